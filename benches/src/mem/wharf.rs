//! Wharf's memory.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use stack::tcp::{ListenOptions, ListenerId, Phase};
use stack::{Config, Instant};

use crate::allocator;
use crate::crowd::Crowd;
use crate::idle::wharf::{PORT, crowd, exchange, introduce, open};
use crate::pair::Offload;
use crate::pair::wharf::{Host, Socket, host_with, ip};

/// What the application and its peer say to each other.
const MESSAGE: [u8; 64] = [7; 64];
/// How long the connections are left alone: until nothing is owed any more.
const PAUSE: Duration = Duration::from_secs(10);

/// Between two that speak: an engine gives a ring's memory back when nothing has followed for a while, and a million
/// connections that speak within a second are not idle.
const BETWEEN: Duration = Duration::from_micros(50);

/// A host, and a crowd that connects to it.
struct Server {
    now: Instant,
    host: Host,
    crowd: Crowd,
    listener: ListenerId,
}

impl Server {
    fn new(connections: u32) -> Self {
        let now = Instant::from_secs(1);
        let mut host = host_with(now, 1, Offload::Nothing, Config::default());
        introduce(&mut host, now, connections);
        let local = SocketAddr::new(ip(1), PORT);
        let listener = host.stack.tcp_listen(local, ListenOptions::default()).expect("a free port");
        Self { now, host, crowd: crowd(1, true), listener }
    }

    fn open(&mut self, peer: u32) -> Socket {
        open(&mut self.host, &mut self.now, &self.crowd, self.listener, peer)
    }

    /// Says something over the connection, and hears it come back.
    fn speak(&mut self, socket: &mut Socket) {
        self.now += BETWEEN;
        assert_eq!(socket.rings.send.write(&MESSAGE), MESSAGE.len(), "an idle connection takes a whole message");
        self.host.stack.tcp_wrote(self.now, socket.id);
        exchange(&mut self.host, self.now, &self.crowd);
        let mut heard = [0; MESSAGE.len()];
        let read = socket.rings.receive.read(&mut heard);
        assert_eq!(heard[..read], MESSAGE, "what was said comes back");
        self.host.stack.tcp_read(self.now, socket.id);
        // As `wharf`'s sockets do when somebody waits for what comes next.
        socket.rings.send.release();
        self.host.drain(self.now);
    }

    /// Time passes, with everything done when it is due.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while self.host.stack.poll_timeout() <= end {
            self.now = self.now.max(self.host.stack.poll_timeout());
            exchange(&mut self.host, self.now, &self.crowd);
        }
        self.now = end;
    }

    /// Ends both streams, this side first, and lets the connection go: it is in TIME-WAIT.
    fn close(&mut self, mut socket: Socket) {
        self.now += Duration::from_micros(1);
        socket.rings.send.finish();
        self.host.stack.tcp_wrote(self.now, socket.id);
        exchange(&mut self.host, self.now, &self.crowd);
        assert!(socket.rings.receive.is_finished(), "the peer ends its stream too");
        self.host.stack.tcp_close(self.now, socket.id);
        self.host.drain(self.now);
    }
}

/// Bytes that `count` connections take that have carried data and are idle now.
pub(super) fn established(count: u32) -> i64 {
    let mut server = Server::new(count);
    let before = allocator::live();
    let mut sockets = Vec::with_capacity(count as usize);
    for peer in 0..count {
        let mut socket = server.open(peer);
        server.speak(&mut socket);
        sockets.push(socket);
    }
    server.pass(PAUSE);
    allocator::live() - before
}

/// Bytes that `count` listeners take.
pub(super) fn listening(count: u32) -> i64 {
    let mut server = Server::new(1);
    let before = allocator::live();
    for number in 0..count {
        let local = SocketAddr::new(ip(1), 1_000 + number as u16);
        server.host.stack.tcp_listen(local, ListenOptions::default()).expect("a free port");
    }
    allocator::live() - before
}

/// Bytes that `count` connections in TIME-WAIT take.
pub(super) fn time_wait(count: u32) -> i64 {
    let mut server = Server::new(count);
    let before = allocator::live();
    for peer in 0..count {
        let socket = server.open(peer);
        server.close(socket);
    }
    assert_eq!(server.host.stack.tcp_counts(), (0, count as usize), "all are in TIME-WAIT");
    allocator::live() - before
}

/// What many connections took.
pub(super) struct Many {
    /// Bytes while all were idle.
    pub idle: i64,
    /// The most bytes at any time.
    pub peak: i64,
}

/// Opens `count` connections, speaks to each, lets them fall idle and closes them.
///
/// # Errors
/// When one is lost on the way.
pub(super) fn many(count: u32) -> Result<Many> {
    let before = allocator::live();
    allocator::reset_peak();
    let mut server = Server::new(count);
    let mut sockets: Vec<Socket> = Vec::with_capacity(count as usize);
    for peer in 0..count {
        sockets.push(server.open(peer));
    }
    server.pass(PAUSE);
    for socket in &mut sockets {
        server.speak(socket);
    }
    server.pass(PAUSE);
    let idle = allocator::live() - before;
    let standing = server.host.stack.tcp_connections().filter(|&(.., phase)| phase == Phase::Established).count();
    ensure!(standing == count as usize, "only {standing} of {count} connections stand");
    for socket in sockets {
        server.close(socket);
    }
    let (left, waiting) = server.host.stack.tcp_counts();
    ensure!(left == 0, "{left} connections of {count} did not close");
    ensure!(waiting > 0, "no connection is in TIME-WAIT");
    server.pass(Duration::from_secs(120));
    let (_, waiting) = server.host.stack.tcp_counts();
    ensure!(waiting == 0, "{waiting} connections never leave TIME-WAIT");
    Ok(Many { idle, peak: allocator::peak() - before })
}
