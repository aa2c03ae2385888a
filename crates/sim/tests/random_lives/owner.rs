//! Whoever gives the commands of a random life, and those about TCP.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use device::{RxChecksum, RxFrame};
use sim::world::{A, B, Host, HostId};
use sim::{Chance, Stream, World};
use stack::Event;
use stack::ip::echo::EchoId;
use stack::ip::icmp::ErrorKind;
use stack::tcp::{
    Algorithm, ConnectOptions, KeepAlive, ListenOptions, ListenerId, Phase, Refusal, SocketOptions, UserTimeoutOption,
    heap_rings,
};
use stack::udp::{DatagramRings, UdpId, UdpOptions};

use super::pass;
use crate::random_changes::random_option;

/// Connections, listeners and sockets of an application, at most.
pub(super) const MOST: usize = 24;
/// Ports on which applications listen and to which they connect.
pub(super) const PORTS: u64 = 3;

/// An application's end of a connection.
pub(super) struct End {
    stream: Stream,
    /// From which follows what it writes, and what it reads.
    keys: [u64; 2],
    written: u64,
    read: u64,
}

/// The byte at `offset` of a stream.
pub(super) fn text(key: u64, offset: u64) -> u8 {
    ((key ^ offset).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// What both ends of a connection know of it.
fn key(client: SocketAddr, server: SocketAddr) -> u64 {
    [client, server].into_iter().fold(7, |key: u64, end| {
        let IpAddr::V4(address) = end.ip() else { return key };
        (key.rotate_left(20) ^ u64::from(u32::from(address)) ^ u64::from(end.port()) << 32)
            .wrapping_mul(0x2545_f491_4f6c_dd1d)
    })
}

impl End {
    fn new(stream: Stream, client: SocketAddr, server: SocketAddr, is_client: bool) -> Self {
        let key = key(client, server);
        let keys = if is_client { [key, !key] } else { [!key, key] };
        Self { stream, keys, written: 0, read: 0 }
    }

    fn write(&mut self, world: &mut World, len: usize) {
        let len = len.min(self.stream.rings.send.free());
        if self.stream.rings.send.is_finished() {
            return;
        }
        let bytes: Vec<u8> = (0..len as u64).map(|at| text(self.keys[0], self.written + at)).collect();
        self.written += self.stream.write(world, &bytes) as u64;
    }

    fn read(&mut self, world: &mut World, len: usize) {
        let mut bytes = vec![0; len];
        let read = self.stream.read(world, &mut bytes);
        for byte in &bytes[..read] {
            assert_eq!(*byte, text(self.keys[1], self.read), "byte {} of what arrived", self.read);
            self.read += 1;
        }
    }
}

/// Who gives the commands, and everything that he holds.
pub(super) struct Owner {
    pub chance: Chance,
    pub told: bool,
    pub ends: Vec<End>,
    pub listeners: Vec<(HostId, ListenerId)>,
    pub sockets: Vec<(HostId, UdpId, ring::Producer, ring::Consumer)>,
    pub echoes: Vec<(HostId, EchoId, ring::Consumer)>,
    /// What the owner has to decide about.
    pub asked: VecDeque<(HostId, Event)>,
    /// Frames that passed by lately, and to whom.
    pub recent: VecDeque<(HostId, Vec<u8>)>,
}

impl Owner {
    fn pick<T>(&mut self, of: impl Fn(&Self) -> &Vec<T>) -> Option<usize> {
        let len = of(self).len() as u64;
        (len > 0).then(|| self.chance.below(len) as usize)
    }

    fn host(&mut self) -> HostId {
        [A, B][self.chance.below(2) as usize]
    }

    /// An address and port that somebody may listen on: the other's, one's own, or nobody's.
    pub(super) fn target(&mut self, world: &World, host: HostId) -> SocketAddr {
        let other = if host == A { B } else { A };
        let port = 1 + self.chance.below(PORTS + 1) as u16;
        match self.chance.below(16) {
            0 => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            1 => world.socket(host, port),
            2 => SocketAddr::from(([192, 0, 2, 77], port)),
            3 => SocketAddr::from(([198, 51, 100, 1], port)),
            _ => world.socket(other, port),
        }
    }

    fn options(&mut self) -> SocketOptions {
        let chance = &mut self.chance;
        let mut options = SocketOptions::default();
        options.no_delay = chance.below(2) > 0;
        options.reset_on_close = chance.below(8) == 0;
        options.user_timeout = (chance.below(8) == 0).then(|| Duration::from_millis((1 << chance.below(17)) - 1));
        options.user_timeout_option = (chance.below(6) == 0).then(|| {
            let advertised = Duration::from_secs((1 << chance.below(13)) - 1);
            UserTimeoutOption::default().advertising(advertised)
        });
        options.max_segment = (chance.below(6) == 0).then(|| chance.below(2_000) as u16);
        options.receive_buffer = (chance.below(6) == 0).then(|| (1 << chance.below(18)) - 1);
        options.send_buffer = (chance.below(6) == 0).then(|| (1 << chance.below(18)) - 1);
        options.pacing = chance.below(6) == 0;
        options.max_pacing_rate = (chance.below(6) == 0).then(|| (1 << chance.below(24)) - 1);
        options.congestion = Some([Algorithm::Cubic, Algorithm::NewReno, Algorithm::Bbr][chance.below(3) as usize]);
        options.keep_alive = (chance.below(6) == 0).then(|| {
            let [idle, interval] = [chance.between(0, 10), chance.between(0, 10)].map(Duration::from_secs);
            KeepAlive { idle, interval, probes: chance.below(4) as u8 }
        });
        options
    }

    fn connect(&mut self, world: &mut World, host: HostId) {
        let remote = self.target(world, host);
        let mut options = ConnectOptions::default();
        options.socket = self.options();
        options.fast_open = self.chance.below(4) == 0;
        if self.chance.below(8) == 0 {
            options.local = Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 100 + self.chance.below(4) as u16)));
        }
        let (engine, rings) = heap_rings(1 << self.chance.between(6, 18), 1 << self.chance.between(6, 18));
        let now = world.now();
        let stack = &mut world.host_mut(host).stack;
        if let Ok(id) = stack.tcp_connect(now, remote, &options, engine) {
            let (local, remote) = stack.tcp_addresses(id).expect("a connection that was just made");
            let mut end = End::new(Stream { host, id, rings }, local, remote, true);
            if options.fast_open {
                let len = self.chance.below(3_000) as usize;
                end.write(world, len);
            }
            self.ends.push(end);
        }
    }

    fn listen(&mut self, world: &mut World, host: HostId) {
        let port = 1 + self.chance.below(PORTS) as u16;
        let mut options = ListenOptions::default();
        options.backlog = self.chance.below(8) as usize;
        options.handshakes = 1 + self.chance.below(8) as usize;
        options.fast_open = (self.chance.below(2) > 0).then_some(2);
        options.reuse_port = self.chance.below(2) > 0;
        options.socket = self.options();
        let any = self.chance.below(2) > 0;
        let local = if any { SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)) } else { world.socket(host, port) };
        if let Ok(id) = world.host_mut(host).stack.tcp_listen(local, options) {
            self.listeners.push((host, id));
        }
    }

    fn accept(&mut self, world: &mut World, (host, listener): (HostId, ListenerId)) {
        let now = world.now();
        if let Some(accepted) = world.host_mut(host).stack.tcp_accept(now, listener) {
            let stream = Stream { host, id: accepted.connection, rings: accepted.rings };
            self.ends.push(End::new(stream, accepted.remote, accepted.local, false));
        }
    }

    /// Takes what the engines have to tell.
    pub(super) fn hear(&mut self, world: &mut World) {
        for host in [A, B] {
            let events = std::mem::take(&mut world.host_mut(host).events);
            self.asked.extend(events.into_iter().map(|event| (host, event)));
        }
    }

    /// Any-address mode: says yes or no to what is asked, or nothing yet. A datagram, or an echo request, may stay without answer.
    pub(super) fn decide(&mut self, world: &mut World, most: usize) {
        let now = world.now();
        for (host, event) in std::mem::take(&mut self.asked) {
            let stack = &mut world.host_mut(host).stack;
            let kind = self.chance.below(8);
            match event {
                Event::TcpIncoming { connection, local, remote } if kind < 4 && self.ends.len() < most => {
                    if let Some(accepted) = stack.tcp_admit(now, connection) {
                        let stream = Stream { host, id: connection, rings: accepted.rings };
                        self.ends.push(End::new(stream, remote, local, false));
                    }
                }
                Event::TcpIncoming { .. } if kind == 7 => self.asked.push_back((host, event)),
                Event::TcpIncoming { connection, .. } => {
                    let refusals = [Refusal::Reset, Refusal::Silent, Refusal::Unreachable(ErrorKind::HostUnreachable)];
                    stack.tcp_refuse(now, connection, refusals[self.chance.below(3) as usize]);
                }
                Event::UdpIncoming { local, remote, .. } if kind < 4 && self.sockets.len() < most => {
                    let ((into, receive), (write, send)) = (ring::heap(4_096), ring::heap(4_096));
                    let rings = DatagramRings { receive: into, send };
                    if let Ok(id) = stack.udp_admit(local, remote, UdpOptions::default(), rings) {
                        self.sockets.push((host, id, write, receive));
                    }
                }
                Event::UdpIncoming { local, remote, .. } if kind < 7 => {
                    let error = (kind > 5).then_some(ErrorKind::PortUnreachable);
                    stack.udp_refuse(now, local, remote, error);
                }
                Event::EchoIncoming(request) if kind < 4 => stack.echo_reply(now, &request),
                Event::EchoIncoming(request) => stack.echo_refuse(now, &request, ErrorKind::HostUnreachable),
                _ => {}
            }
        }
    }

    /// A frame of before arrives once more.
    fn replay(&mut self, world: &mut World) {
        let at = self.chance.below(self.recent.len() as u64) as usize;
        let Some((to, bytes)) = self.recent.get(at) else { return };
        let now = world.now();
        let Host { stack, interface, .. } = world.host_mut(*to);
        // A train of a device that cuts is more than comes out of one.
        let frame = RxFrame { bytes, checksum: RxChecksum::Verified, segment_size: None };
        stack.handle_frame(now, *interface, &frame);
    }

    /// Lets an end go, in one of the ways there are.
    pub(super) fn let_go(&mut self, world: &mut World, end: End) {
        let (now, host, id) = (world.now(), end.stream.host, end.stream.id);
        match self.chance.below(4) {
            0 => end.stream.abort(world),
            1 => {
                // The rings go first.
                drop(end.stream.rings);
                world.host_mut(host).stack.tcp_close(now, id);
            }
            _ => end.stream.close(world),
        }
        if self.chance.below(4) == 0 {
            // Too late, and of no effect.
            let stack = &mut world.host_mut(host).stack;
            match self.chance.below(4) {
                0 => stack.tcp_close(now, id),
                1 => stack.tcp_abort(now, id),
                2 => stack.tcp_set_option(now, id, random_option(&mut self.chance)),
                _ => stack.tcp_wrote(now, id),
            }
        }
    }

    /// Gives one command; says which.
    pub(super) fn turn(&mut self, world: &mut World) -> String {
        let host = self.host();
        let (now, size) = (world.now(), 1 << self.chance.below(17));
        let said = match self.chance.below(32) {
            0..=3 if self.ends.len() < MOST => {
                self.connect(world, host);
                "connects".into()
            }
            4 if self.listeners.len() < MOST => {
                self.listen(world, host);
                "listens".into()
            }
            5..=9 => {
                if let Some(at) = self.pick(|owner| &owner.listeners) {
                    self.accept(world, self.listeners[at]);
                }
                "accepts".into()
            }
            10 if self.chance.below(4) == 0 => {
                if let Some(at) = self.pick(|owner| &owner.listeners) {
                    let (host, id) = self.listeners.swap_remove(at);
                    world.host_mut(host).stack.tcp_unlisten(now, id);
                }
                "listens no more".into()
            }
            11..=14 => {
                if let Some(at) = self.pick(|owner| &owner.ends) {
                    self.ends[at].write(world, size);
                }
                format!("writes {size}")
            }
            15..=18 => {
                for end in &mut self.ends {
                    end.read(world, size);
                }
                format!("reads {size}")
            }
            19 => {
                if let Some(at) = self.pick(|owner| &owner.ends) {
                    let Stream { host, id, ref rings } = self.ends[at].stream;
                    let end = rings.send.position().saturating_sub(self.chance.below(100));
                    world.host_mut(host).stack.tcp_wrote_urgent(now, id, end);
                }
                "has something urgent".into()
            }
            20 => {
                if let Some(at) = self.pick(|owner| &owner.ends) {
                    self.ends[at].stream.finish(world);
                }
                "finishes".into()
            }
            21 if self.chance.below(4) == 0 => {
                if let Some(at) = self.pick(|owner| &owner.ends) {
                    let Stream { host, id, .. } = self.ends[at].stream;
                    world.host_mut(host).stack.tcp_shutdown_read(now, id);
                }
                "wants to read no more".into()
            }
            22 | 23 => {
                // Whatever is over, and one that perhaps is not.
                let over = |end: &mut End| end.stream.phase(world) == Phase::Closed;
                let mut gone: Vec<End> = self.ends.extract_if(.., over).collect();
                if let Some(at) = self.pick(|owner| &owner.ends) {
                    gone.push(self.ends.swap_remove(at));
                }
                for end in gone {
                    self.let_go(world, end);
                }
                "lets go".into()
            }
            24 | 25 => {
                let option = random_option(&mut self.chance);
                if let Some(at) = self.pick(|owner| &owner.ends) {
                    let Stream { host, id, .. } = self.ends[at].stream;
                    world.host_mut(host).stack.tcp_set_option(now, id, option);
                }
                format!("sets {option:?}")
            }
            26 | 27 => {
                self.datagrams(world, host);
                "datagrams".into()
            }
            28 => format!("{host:?} has {}", self.network(world, host)),
            29 => {
                self.decide(world, MOST);
                "decides".into()
            }
            30 if self.chance.below(3) == 0 => {
                self.replay(world);
                "hears what is old".into()
            }
            30 => {
                self.mend(world, host);
                format!("{host:?} is well")
            }
            _ => {
                let span = Duration::from_micros(1 << self.chance.below(28));
                pass(world, span);
                format!("{span:?}")
            }
        };
        world.settle();
        if self.chance.below(2) > 0 {
            pass(world, Duration::from_micros(1 << self.chance.below(16)));
        }
        said
    }
}
