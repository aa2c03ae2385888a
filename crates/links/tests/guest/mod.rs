//! A guest on a user-mode segment: an engine driven in real time by the test's own thread, and peers on the host's
//! loopback in threads of their own.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use device::Device;
use ring::datagram::{self, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use stack::event::{Event, Readiness};
use stack::ip::routes::Route;
use stack::link::{AddressCheck, InterfaceConfig, InterfaceId};
use stack::tcp::{ApplicationRings, ConnectOptions, ConnectionId, ListenerId, TcpError, heap_rings};
use stack::udp::{DatagramRings, UdpId, UdpOptions};
use stack::{Config, Stack};
use wharf_links::Link;
use wharf_links::user::{UserConfig, UserLink};
use wire::cidr::Cidr;

/// Longer than anything here takes on a busy machine; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);
/// A destination outside, which tests redirect to a peer on the host's loopback.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

pub struct Guest {
    pub stack: Stack,
    pub link: UserLink,
    pub interface: InterfaceId,
    epoch: Instant,
    /// Events of connections that were not asked for yet, merged.
    readiness: HashMap<ConnectionId, Readiness>,
    /// All other events, the oldest first.
    pub events: VecDeque<Event>,
}

/// A connection of the guest's.
pub struct Stream {
    pub id: ConnectionId,
    pub rings: ApplicationRings,
}

impl Guest {
    /// A guest with the first address of the pool, set by hand.
    pub fn new(config: &UserConfig) -> Self {
        let mut guest = Self::unconfigured(config);
        let now = guest.now();
        let address = Cidr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15)), 24).unwrap();
        guest.stack.add_address(now, guest.interface, address).unwrap();
        let route = Route {
            destination: Cidr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0).unwrap(),
            via: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2))),
            interface: guest.interface,
            metric: 0,
            mtu: None,
        };
        guest.stack.add_route(route).unwrap();
        guest
    }

    /// A guest without an address.
    pub fn unconfigured(config: &UserConfig) -> Self {
        wharf_links::user::raise_descriptor_limit();
        let link = UserLink::open(config).unwrap();
        let mut stack = Stack::new(Config::default(), [7; 32]);
        let mut interface = InterfaceConfig::new("user", link.capabilities());
        interface.address_check = AddressCheck::OFF;
        let interface = stack.add_interface(interface).unwrap();
        Self { stack, link, interface, epoch: Instant::now(), readiness: HashMap::new(), events: VecDeque::new() }
    }

    /// A guest whose [`OUTSIDE`] leads, port by port, to `peers` on the host.
    pub fn with_peers(peers: &[SocketAddr]) -> Self {
        let redirect = peers.iter().map(|&peer| (outside(peer), peer)).collect();
        Self::new(&UserConfig { redirect, ..UserConfig::default() })
    }

    pub fn now(&self) -> stack::Instant {
        stack::Instant::from_nanos(self.epoch.elapsed().as_nanos() as u64)
    }

    /// One turn of the loop without sleep; true if the link had as many frames as a turn takes.
    pub fn turn(&mut self) -> bool {
        const BUDGET: usize = 64;
        let Self { stack, link, interface, epoch, readiness, events } = self;
        let now = stack::Instant::from_nanos(epoch.elapsed().as_nanos() as u64);
        stack.handle_timeout(now);
        let count = link.receive(BUDGET, &mut |frame| stack.handle_frame(now, *interface, frame));
        stack.poll_transmit(now, *interface, link);
        link.flush();
        while let Some(event) = stack.poll_event() {
            match event {
                Event::Tcp(id, news) => *readiness.entry(id).or_default() |= news,
                event => events.push_back(event),
            }
        }
        count == BUDGET
    }

    /// Sleeps until the link or a timer has something to do, at most for `most`; false if nothing had.
    pub fn sleep(&mut self, most: Duration) -> bool {
        let timer = self.stack.poll_timeout();
        let timer = (!timer.is_never()).then(|| self.epoch + Duration::from_nanos(timer.as_nanos()));
        let due = timer.into_iter().chain(self.link.deadline()).min();
        let wait = due.map_or(most, |due| due.saturating_duration_since(Instant::now()).min(most));
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let fd = self.link.fd();
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        let readable = poll(&mut fds, Some(&wait)).unwrap_or(1) > 0;
        readable || due.is_some_and(|due| due <= Instant::now())
    }

    /// Turns until `step` has a result.
    pub fn until<T>(&mut self, what: &str, mut step: impl FnMut(&mut Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(result) = step(self) {
                return result;
            }
            assert!(start.elapsed() < PATIENCE, "waited in vain: {what}; gateway {:?}", self.link.gateway().stats());
            // What `step` wrote is sent before anything is waited for.
            self.turn();
            if let Some(result) = step(self) {
                return result;
            }
            // Peers are polled for too: a millisecond is the most that a change on their side goes unseen.
            self.sleep(Duration::from_millis(1));
        }
    }

    /// What has happened to a connection since it was last asked.
    pub fn news(&mut self, id: ConnectionId) -> Readiness {
        self.readiness.remove(&id).unwrap_or_default()
    }

    /// What has happened to a connection, without taking it.
    pub fn saw(&self, id: ConnectionId, what: Readiness) -> bool {
        self.readiness.get(&id).is_some_and(|news| news.contains(what))
    }

    pub fn start_connect(&mut self, remote: SocketAddr) -> Stream {
        let (rings, application) = heap_rings(1 << 20, 1 << 20);
        let now = self.now();
        let id = self.stack.tcp_connect(now, remote, &ConnectOptions::default(), rings).unwrap();
        Stream { id, rings: application }
    }

    pub fn connect(&mut self, remote: SocketAddr) -> Result<Stream, TcpError> {
        let stream = self.start_connect(remote);
        self.until("a connection", |guest| {
            if guest.saw(stream.id, Readiness::CLOSED) {
                return Some(Err(guest.stack.tcp_error(stream.id).unwrap()));
            }
            guest.saw(stream.id, Readiness::CONNECTED).then_some(Ok(()))
        })
        .map(|()| stream)
    }

    /// Writes what fits; returns how much.
    pub fn write(&mut self, stream: &mut Stream, bytes: &[u8]) -> usize {
        let count = stream.rings.send.write(bytes);
        if count > 0 {
            let now = self.now();
            self.stack.tcp_wrote(now, stream.id);
        }
        count
    }

    pub fn write_all(&mut self, stream: &mut Stream, bytes: &[u8]) {
        let mut written = 0;
        self.until("room to write", |guest| {
            written += guest.write(stream, &bytes[written..]);
            (written == bytes.len()).then_some(())
        });
    }

    pub fn finish(&mut self, stream: &mut Stream) {
        stream.rings.send.finish();
        let now = self.now();
        self.stack.tcp_wrote(now, stream.id);
    }

    /// Reads what is there.
    pub fn read(&mut self, stream: &mut Stream, buffer: &mut [u8]) -> usize {
        let count = stream.rings.receive.read(buffer);
        if count > 0 {
            let now = self.now();
            self.stack.tcp_read(now, stream.id);
        }
        count
    }

    pub fn read_exact(&mut self, stream: &mut Stream, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut have = 0;
        self.until("bytes to read", |guest| {
            have += guest.read(stream, &mut bytes[have..]);
            (have == len).then_some(())
        });
        bytes
    }

    pub fn read_to_end(&mut self, stream: &mut Stream) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        self.until("the end of the stream", |guest| {
            loop {
                let count = guest.read(stream, &mut buffer);
                if count == 0 {
                    return stream.rings.receive.is_finished().then_some(());
                }
                bytes.extend_from_slice(&buffer[..count]);
            }
        });
        bytes
    }

    pub fn close(&mut self, stream: Stream) {
        let now = self.now();
        self.stack.tcp_close(now, stream.id);
    }

    pub fn abort(&mut self, stream: Stream) {
        let now = self.now();
        self.stack.tcp_abort(now, stream.id);
    }

    pub fn listen(&mut self, port: u16) -> ListenerId {
        let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        self.stack.tcp_listen(local, stack::tcp::ListenOptions::default()).unwrap()
    }

    pub fn accept(&mut self, listener: ListenerId) -> (Stream, SocketAddr) {
        self.until("a connection to accept", |guest| {
            let now = guest.now();
            let accepted = guest.stack.tcp_accept(now, listener)?;
            Some((Stream { id: accepted.connection, rings: accepted.rings }, accepted.remote))
        })
    }

    /// Waits for the error that ends a connection.
    pub fn error(&mut self, stream: &Stream) -> TcpError {
        self.until("an error", |guest| guest.stack.tcp_error(stream.id))
    }
}

/// The address in the guest's world of a peer on the host.
pub fn outside(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(OUTSIDE), peer.port())
}

/// Any address of the host's loopback.
pub fn loopback() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
}

/// A stream of bytes in which no part looks like another.
pub struct Pattern {
    block: Vec<u8>,
}

impl Pattern {
    pub fn new(seed: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        // A length that is no multiple of any segment's or buffer's.
        let block = (0..(1 << 20) + 13)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 24) as u8
            })
            .collect();
        Self { block }
    }

    /// The bytes at `position`, at most `len` of them.
    pub fn at(&self, position: u64, len: usize) -> &[u8] {
        let start = (position % self.block.len() as u64) as usize;
        &self.block[start..self.block.len().min(start + len)]
    }

    /// Whether `bytes` are those at `position`.
    pub fn matches(&self, mut position: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let expected = self.at(position, bytes.len());
            if expected != &bytes[..expected.len()] {
                return false;
            }
            position += expected.len() as u64;
            bytes = &bytes[expected.len()..];
        }
        true
    }
}

/// A UDP socket of the guest's.
pub struct Datagrams {
    pub id: UdpId,
    receive: ring::Consumer,
}

impl Guest {
    pub fn bind(&mut self, port: u16) -> Datagrams {
        let (receive, application) = ring::heap(4 << 20);
        let (_, send) = ring::heap(0);
        let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        let rings = DatagramRings { receive, send };
        let id = self.stack.udp_bind(local, UdpOptions::default(), rings).unwrap();
        Datagrams { id, receive: application }
    }

    /// A socket that is told of errors, since it speaks with `remote` alone.
    pub fn bind_to(&mut self, remote: SocketAddr) -> Datagrams {
        let socket = self.bind(0);
        self.stack.udp_connect(socket.id, remote).unwrap();
        socket
    }

    pub fn send(&mut self, socket: &Datagrams, remote: SocketAddr, payload: &[u8]) {
        let record = Record { remote, local: None, interface: 0, tos: 0, ttl: 0 };
        let now = self.now();
        self.stack.udp_send(now, socket.id, &record, payload).unwrap();
    }

    /// The next datagram that is there, and where it is from.
    pub fn try_receive(&mut self, socket: &mut Datagrams) -> Option<(SocketAddr, Vec<u8>)> {
        let mut buffer = vec![0; 65_536];
        let (record, len) = datagram::pop(&mut socket.receive, &mut buffer)?;
        buffer.truncate(len);
        Some((record.remote, buffer))
    }

    pub fn receive(&mut self, socket: &mut Datagrams) -> (SocketAddr, Vec<u8>) {
        self.until("a datagram", |guest| guest.try_receive(socket))
    }
}

impl Guest {
    /// Whether the link asks for no turn at once.
    pub fn deadline_is_ahead(&self) -> bool {
        self.link.deadline().is_none_or(|due| due > Instant::now())
    }
}
