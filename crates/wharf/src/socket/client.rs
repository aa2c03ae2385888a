//! The application's hold on engines: what `Net` and every socket share.
//!
//! A `Net` has one engine, or several on the queues of one link. They live and end together: a socket in one of them
//! needs the address that the first has leased, and that engine the queue on which the kernel answers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use stack::steering::Steering;

use crate::configuration::{Configuration, Progress};
use crate::control::Channel;
use crate::error::Error;
use crate::lock;

/// A hold on a running engine. When the last holder of any engine of the group is gone, all of them send what is still
/// to be sent and stop.
pub(crate) struct Client {
    pub channel: Arc<Channel>,
    /// How far the configuration is.
    pub progress: Arc<Progress>,
    /// Held for its end.
    _group: Arc<Group>,
}

/// The engines of one `Net`.
pub(crate) struct Engines {
    /// At least one. In the first lives all that is no TCP connection.
    clients: Box<[Arc<Client>]>,
    /// Where a connection belongs; `None` with one engine.
    steering: Option<Arc<Steering>>,
    /// Where the next connection goes.
    next: AtomicUsize,
}

/// Engines that stop together.
#[derive(Default)]
struct Group {
    channels: Vec<Arc<Channel>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// An engine that is ready to run.
pub(crate) struct Ready<R> {
    pub channel: Arc<Channel>,
    pub progress: Arc<Progress>,
    /// What its thread does.
    pub run: R,
}

impl Engines {
    /// Starts each engine on a thread of its own. `first` is an engine too, so there is one.
    pub(crate) fn start<R: FnOnce() + Send + 'static>(
        first: Ready<R>,
        others: Vec<Ready<R>>,
        steering: Option<Arc<Steering>>,
    ) -> io::Result<Self> {
        let mut group = Group::default();
        let mut parts = Vec::new();
        for Ready { channel, progress, run } in std::iter::once(first).chain(others) {
            // Whatever was started before is stopped again if this fails, by the drop of the group.
            let thread = thread::Builder::new().name("wharf".into()).spawn(run)?;
            group.channels.push(Arc::clone(&channel));
            lock(&group.threads).push(thread);
            parts.push((channel, progress));
        }
        let group = Arc::new(group);
        let clients = parts.into_iter().map(|(channel, progress)| {
            let group = Arc::clone(&group);
            Arc::new(Client { channel, progress, _group: group })
        });
        Ok(Self { clients: clients.collect(), steering, next: AtomicUsize::new(0) })
    }

    /// All of them, the first one first.
    pub(crate) fn all(&self) -> &[Arc<Client>] {
        &self.clients
    }

    /// The engine in which everything lives that is no TCP connection.
    pub(crate) fn first(&self) -> &Arc<Client> {
        &self.clients[0]
    }

    /// The engine for a new connection: each in turn, unless its local port leads to one of them.
    pub(crate) fn for_connection(&self, local: Option<SocketAddr>, remote: SocketAddr) -> &Arc<Client> {
        let Some(steering) = &self.steering else { return self.first() };
        let engine = match local.filter(|local| local.port() != 0) {
            // Without an address yet there is no route either, and any engine says so.
            Some(local) => self.source(local, remote).map_or(0, |local| steering.engine_of(local, remote)),
            None => self.next.fetch_add(1, Ordering::Relaxed),
        };
        &self.clients[engine % self.clients.len()]
    }

    /// The address from which an engine connects that is told to use `local`.
    fn source(&self, local: SocketAddr, remote: SocketAddr) -> Option<SocketAddr> {
        if !local.ip().is_unspecified() {
            return Some(local);
        }
        let own = || self.first().progress.current().map(|configuration| configuration.address.addr());
        let address: IpAddr = if remote.ip().is_loopback() { remote.ip() } else { own()? };
        Some(SocketAddr::new(address, local.port()))
    }

    /// Ready when every engine has its address, or when there will be none.
    pub(crate) fn poll_configured(&self, context: &mut Context<'_>) -> Poll<Result<Configuration, Error>> {
        // From the last to the first: the others adopt what the first has, which so decides what is told.
        let mut configured = Poll::Pending;
        for client in self.clients.iter().rev() {
            configured = client.progress.poll(context);
            if configured.is_pending() {
                return Poll::Pending;
            }
        }
        configured
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for channel in &self.channels {
            channel.stop();
        }
        let threads = std::mem::take(&mut *lock(&self.threads));
        // A waker that an engine calls may drop the last socket: an engine cannot wait for itself, and need not for the
        // others.
        if threads.iter().any(|thread| thread.thread().id() == thread::current().id()) {
            return;
        }
        for thread in threads {
            // A panic there has been reported by the panic hook, and every socket has failed with EngineStopped.
            let _ = thread.join();
        }
    }
}
