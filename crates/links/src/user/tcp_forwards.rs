//! Ways in over TCP: the host's listeners, each connection of which calls the guest.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use stack::tcp::{self, ConnectOptions};

use super::context::Context;
use super::destinations::GATEWAY;
use super::forward::Forward;
use super::host::{self, HostEvent, Owner, Poller, Token, Watch};
use super::table::{Key, Table};
use super::tcp_flows::TcpFlows;

/// Listeners at most.
const LIMIT: usize = 1_024;
/// Connections taken from one listener in one turn.
const SHARE: usize = 64;
/// How long to wait when the host has no descriptor left for a connection that is there.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes that a connection's rings hold, each.
const RING: usize = 1 << 20;

/// All listeners.
pub(super) struct TcpForwards {
    listeners: Table<Listener>,
    /// Listeners at which connections may wait.
    ready: Vec<Key>,
    /// When to try those again, if there was no room for another connection.
    retry: Option<Instant>,
}

struct Listener {
    socket: TcpListener,
    guest: SocketAddr,
}

impl TcpForwards {
    pub(super) fn new() -> Self {
        Self { listeners: Table::new(LIMIT), ready: Vec::new(), retry: None }
    }

    /// Opens a listener; returns its address.
    pub(super) fn open(&mut self, poller: &Poller, forward: &Forward, guest: IpAddr) -> io::Result<SocketAddr> {
        let socket = host::listen_stream(forward.host)?;
        let local = socket.local_addr()?;
        let guest = SocketAddr::new(guest, forward.guest_port);
        let key = self
            .listeners
            .insert(Listener { socket, guest })
            .map_err(|_| io::Error::other(format!("more than {LIMIT} forwards")))?;
        if let Some(listener) = self.listeners.get(key) {
            poller.watch(&listener.socket, Token { owner: Owner::TcpForward, key }, Watch::Input)?;
        }
        Ok(local)
    }

    pub(super) fn on_host_event(&mut self, event: HostEvent) {
        let key = event.token.key;
        if !self.ready.contains(&key) {
            self.ready.push(key);
        }
    }

    pub(super) fn has_work(&self) -> bool {
        !self.ready.is_empty() && self.retry.is_none()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retry
    }

    /// Accepts what waits.
    pub(super) fn run(&mut self, cx: &mut Context<'_>, flows: &mut TcpFlows) {
        if self.retry.is_some_and(|retry| cx.wall < retry) {
            return;
        }
        self.retry = None;
        let mut ready = std::mem::take(&mut self.ready);
        ready.retain(|&key| self.accept(cx, flows, key));
        self.ready = ready;
    }

    /// Accepts from one listener; true if there may be more.
    fn accept(&mut self, cx: &mut Context<'_>, flows: &mut TcpFlows, key: Key) -> bool {
        let Some(listener) = self.listeners.get(key) else { return false };
        for _ in 0..SHARE {
            if flows.is_full() {
                self.retry = Some(cx.wall + PAUSE);
                return true;
            }
            match listener.socket.accept() {
                Ok((socket, _)) => call(cx, flows, socket.into(), listener.guest),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if host::is_exhausted(&error) => {
                    self.retry = Some(cx.wall + PAUSE);
                    return true;
                }
                // accept(2): errors of the connection that waited are told here; the next one may be well.
                Err(_) => {}
            }
        }
        true
    }
}

/// Calls the guest for a connection of the host's.
fn call(cx: &mut Context<'_>, flows: &mut TcpFlows, socket: OwnedFd, guest: SocketAddr) {
    if host::prepare_accepted(&socket).is_err() {
        return host::reset(socket);
    }
    let local = Some(SocketAddr::new(IpAddr::V4(GATEWAY), 0));
    let mut options = ConnectOptions { local, ..ConnectOptions::default() };
    options.socket.no_delay = true;
    let (rings, application) = tcp::heap_rings(RING, RING);
    match cx.stack.tcp_connect(cx.now, guest, &options, rings) {
        Ok(connection) => flows.greet(cx, connection, socket, application),
        Err(_) => host::reset(socket),
    }
}
