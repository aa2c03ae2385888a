//! A TCP listener as the application holds it.
//!
//! The engine accepts connections as they complete and puts them into this listener's queue, so that `accept` asks
//! nobody. The queue is short; what does not fit waits in the engine's backlog, which has the limit that was asked
//! for.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};

use crate::control::{Attachment, Command, Complete, Completion, EngineEnd, Marks, Reply, SocketId};
use crate::error::SocketError;
use crate::lock;
use crate::options::ListenOptions;
use crate::socket::client::{Client, Engines};
use crate::socket::stream::{Stream, StreamState};
use crate::socket::wakers::WakerSet;

/// Accepted connections that wait here at most.
const STAGED: usize = 64;

/// What both sides know of a listener.
pub(crate) struct ListenerState {
    pub id: SocketId,
    pub marks: Marks,
    /// How many of `accepted` there may be.
    limit: usize,
    accepted: Mutex<VecDeque<(Arc<StreamState>, SocketAddr)>>,
    closed: OnceLock<SocketError>,
    acceptors: WakerSet,
}

impl ListenerState {
    /// The engine: room for how many more.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(lock(&self.accepted).len())
    }

    /// The engine: one more connection; who waits is woken by [`Completion::Readable`].
    pub(crate) fn push(&self, stream: Arc<StreamState>, remote: SocketAddr) {
        lock(&self.accepted).push_back((stream, remote));
    }

    /// The engine: takes back a connection that nobody accepted.
    pub(crate) fn pop(&self) -> Option<Arc<StreamState>> {
        lock(&self.accepted).pop_front().map(|(stream, _)| stream)
    }
}

impl Complete for ListenerState {
    fn complete(&self, completion: Completion) {
        let reason = match completion {
            Completion::Error(reason) | Completion::Closed(Some(reason)) => Some(reason),
            Completion::Closed(None) => Some(SocketError::Aborted),
            Completion::Connected { .. }
            | Completion::Readable
            | Completion::PeerFinished
            | Completion::Writable
            | Completion::Drained
            | Completion::Urgent { .. }
            | Completion::UrgentNoted { .. }
            | Completion::EchoError { .. } => None,
        };
        if let Some(reason) = reason {
            // The first reason stands.
            let _ = self.closed.set(reason);
        }
        self.acceptors.wake();
    }
}

/// The application's hold on a listener: on its part in each engine.
pub(crate) struct Listener {
    /// At least one.
    parts: Box<[Part]>,
    local: SocketAddr,
    /// The part that is asked first, so that none of them waits for the others.
    next: AtomicUsize,
}

/// A listener in one engine.
struct Part {
    client: Arc<Client>,
    state: Arc<ListenerState>,
}

/// How often a port that the first engine chose may be taken in another before that is an error. It is only where
/// somebody else binds at the same moment.
const PORT_TRIES: usize = 16;

impl Listener {
    /// Listens in every engine, on the same address and port.
    pub(crate) async fn bind(
        engines: &Engines,
        local: SocketAddr,
        options: &ListenOptions,
    ) -> Result<Self, SocketError> {
        if options.tcp.local.is_some() || options.tcp.fast_open || !options.tcp.is_valid() {
            return Err(SocketError::InvalidOption);
        }
        // Connections spread evenly, and so does the backlog.
        let mut options = options.clone();
        options.backlog = options.backlog.div_ceil(engines.all().len());
        for _ in 1..PORT_TRIES {
            match Self::try_bind(engines, local, &options).await {
                Err(SocketError::AddressInUse) if local.port() == 0 => {}
                bound => return bound,
            }
        }
        Self::try_bind(engines, local, &options).await
    }

    async fn try_bind(engines: &Engines, local: SocketAddr, options: &ListenOptions) -> Result<Self, SocketError> {
        let mut local = local;
        let mut parts = Vec::with_capacity(engines.all().len());
        for client in engines.all() {
            let (part, reply) = Part::bind(client, local, options)?;
            // Those that stand already go with an error.
            parts.push(part);
            local = reply.answer().await?;
        }
        Ok(Self { parts: parts.into(), local, next: AtomicUsize::new(0) })
    }

    pub(crate) fn local_addr(&self) -> Result<SocketAddr, SocketError> {
        Ok(self.local)
    }

    /// The next connection and its peer.
    pub(crate) fn poll_accept(&self, context: &mut Context<'_>) -> Poll<Result<(Stream, SocketAddr), SocketError>> {
        if let Some(result) = self.try_accept() {
            return Poll::Ready(result);
        }
        for part in &self.parts {
            part.state.acceptors.register(context.waker());
        }
        self.try_accept().map_or(Poll::Pending, Poll::Ready)
    }

    /// As [`poll_accept`](Self::poll_accept), `None` where that would wait.
    pub(crate) fn try_accept(&self) -> Option<Result<(Stream, SocketAddr), SocketError>> {
        if let [only] = &*self.parts {
            return only.try_accept();
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut failed = None;
        for step in 0..self.parts.len() {
            match self.parts[first.wrapping_add(step) % self.parts.len()].try_accept() {
                Some(Err(reason)) => failed = Some(Err(reason)),
                Some(accepted) => return Some(accepted),
                None => {}
            }
        }
        failed
    }
}

impl Part {
    /// Asks for a listener; it stands when the reply says at which address.
    fn bind(
        client: &Arc<Client>,
        local: SocketAddr,
        options: &ListenOptions,
    ) -> Result<(Self, Reply<SocketAddr>), SocketError> {
        let id = client.channel.name_socket();
        let state = Arc::new(ListenerState {
            id,
            marks: Marks::default(),
            limit: options.backlog.clamp(1, STAGED),
            accepted: Mutex::default(),
            closed: OnceLock::new(),
            acceptors: WakerSet::default(),
        });
        let (reply, bound) = Reply::new();
        client.channel.submit(
            id,
            Command::TcpListen { local, options: options.clone() },
            Attachment::Listener { state: EngineEnd(Arc::clone(&state)), bound },
        )?;
        Ok((Self { client: Arc::clone(client), state }, reply))
    }

    fn try_accept(&self) -> Option<Result<(Stream, SocketAddr), SocketError>> {
        let (taken, was_full) = {
            let mut accepted = lock(&self.state.accepted);
            let was_full = accepted.len() >= self.state.limit;
            (accepted.pop_front(), was_full)
        };
        if was_full {
            self.client.channel.mark(self.state.id, &self.state.marks, Marks::ACCEPTED);
        }
        match taken {
            Some((state, remote)) => Some(Ok((Stream::accepted(&self.client, state), remote))),
            None => self.state.closed.get().map(|&reason| Err(reason)),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // An engine that has stopped has let go already.
        let _ = self.client.channel.submit(self.state.id, Command::Close, Attachment::None);
    }
}
