//! A siege: an engine with an established connection that carries data both ways, and an attacker on the same link who
//! says what he likes. What the attack costs in memory and in goodput is counted.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use device::RxFrame;
use sim::puppet::frame_between;
use sim::world::{A, B, Setup};
use sim::{Chance, LinkModel, Stream, World};
use stack::Config;
use stack::ip::routes::Route;
use stack::tcp::{ListenerId, Phase};
use wire::cidr::Cidr;
use wire::protocol::Protocol;
use wire::tcp::{SeqNum, TcpFlags, TcpHeader, TcpOptions};

use crate::heap;

/// The engine under siege, which listens on port 80.
pub(crate) const VICTIM: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Its peer.
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The port that the established connection came in by.
pub(crate) const PORT: u16 = 80;

pub(crate) struct Siege {
    pub(crate) world: World,
    pub(crate) client: Stream,
    pub(crate) server: Stream,
    pub(crate) listener: ListenerId,
    pub(crate) chance: Chance,
    /// The number of the victim's SYN in that connection.
    pub(crate) isn: u32,
}

/// What a siege showed.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Bytes that the victim received and sent.
    pub(crate) received: usize,
    pub(crate) sent: usize,
    /// By how much the memory of everything had grown at the worst.
    pub(crate) grown: isize,
}

impl Siege {
    /// 100 Mbit/s and a round trip of 10 ms.
    pub(crate) fn new(config: Config) -> Self {
        let model = LinkModel { rate: Some(100_000_000), ..LinkModel::delay(Duration::from_millis(5)) };
        let mut setup = Setup::new(11).link(model);
        setup.config[0] = config;
        let mut world = World::new(setup);
        // Answers to whatever address go back over the link.
        let everywhere = Cidr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0).expect("no bits of 32");
        let host = world.host_mut(A);
        let via = Some(IpAddr::V4(PEER));
        let route = Route { destination: everywhere, via, interface: host.interface, metric: 0, mtu: None };
        host.stack.add_route(route).expect("a gateway on the link");
        let listener = world.listen(A, PORT).expect("a free port");
        world.trace();
        let client = world.connect(B, world.socket(A, PORT)).expect("a route");
        let mut server = None;
        assert!(world.run_until(Duration::from_secs(1), |world| {
            server = world.accept(A, listener);
            server.is_some() && client.phase(world) == Phase::Established
        }));
        let answer = world.take_trace().into_iter().find(|traced| traced.from == A).expect("a SYN-ACK");
        world.stop_tracing();
        let (tcp, _) = TcpHeader::parse(&answer.bytes[14 + 20..]).expect("a segment");
        let chance = Chance::new(5);
        Self { world, client, server: server.expect("accepted"), listener, chance, isn: tcp.seq.0 }
    }

    /// Both applications send as fast as they can for `span`, while `attack` is called every millisecond.
    pub(crate) fn carry(&mut self, span: Duration, mut attack: impl FnMut(&mut World, &mut Chance)) -> Outcome {
        let block = vec![7; 64 * 1024];
        let mut outcome = Outcome { received: 0, sent: 0, grown: 0 };
        let before = heap::held();
        let end = self.world.now() + span;
        while self.world.now() < end {
            attack(&mut self.world, &mut self.chance);
            self.world.settle();
            self.client.write(&mut self.world, &block);
            self.server.write(&mut self.world, &block);
            self.world.run_for(Duration::from_millis(1));
            for host in [A, B] {
                self.world.host_mut(host).events.clear();
            }
            outcome.received += self.server.read_all(&mut self.world).len();
            outcome.sent += self.client.read_all(&mut self.world).len();
            outcome.grown = outcome.grown.max(heap::held() - before);
        }
        assert_eq!(self.server.phase(&self.world), Phase::Established);
        assert_eq!(self.client.phase(&self.world), Phase::Established);
        outcome
    }

    /// [`carry`](Self::carry) for a second without an attack and then for a second with one: at least nine tenths of the
    /// goodput are left both ways, and memory has grown by no more than `memory` bytes beyond what it does anyway.
    pub(crate) fn withstands(&mut self, memory: isize, attack: impl FnMut(&mut World, &mut Chance)) -> Outcome {
        let second = Duration::from_secs(1);
        self.carry(second, |_, _| {});
        let peace = self.carry(second, |_, _| {});
        let war = self.carry(second, attack);
        assert!(peace.received > 8_000_000 && peace.sent > 8_000_000, "{peace:?}");
        assert!(war.received * 10 > peace.received * 9 && war.sent * 10 > peace.sent * 9, "{peace:?}, then {war:?}");
        assert!(war.grown < peace.grown.max(0) + memory, "{peace:?}, then {war:?}");
        war
    }
}

/// A segment from anybody to anybody arrives at the victim.
pub(crate) fn inject(world: &mut World, from: SocketAddrV4, to: SocketAddrV4, header: TcpHeader, text: &[u8]) {
    let header = TcpHeader { src_port: from.port(), dst_port: to.port(), ..header };
    let mut tcp = vec![0; header.len()];
    header.emit(&mut tcp);
    tcp.extend_from_slice(text);
    TcpHeader::fill_checksum(&mut tcp, IpAddr::V4(*from.ip()), IpAddr::V4(*to.ip()));
    inject_frame(world, &frame_between(*from.ip(), *to.ip(), Protocol::TCP, &tcp));
}

/// A frame arrives at the victim.
pub(crate) fn inject_frame(world: &mut World, frame: &[u8]) {
    let now = world.now();
    let host = world.host_mut(A);
    host.stack.handle_frame(now, host.interface, &RxFrame::plain(frame));
}

/// A header without options.
pub(crate) fn header(seq: u32, ack: u32, flags: TcpFlags) -> TcpHeader {
    TcpHeader {
        src_port: 0,
        dst_port: 0,
        seq: SeqNum(seq),
        ack: SeqNum(ack),
        flags,
        window: 65_535,
        urgent: 0,
        options: TcpOptions::NONE,
    }
}

/// An address that no host of the link has.
pub(crate) fn stranger(chance: &mut Chance) -> SocketAddrV4 {
    let address = Ipv4Addr::from_bits(0x0a00_0000 | chance.below(1 << 24) as u32);
    SocketAddrV4::new(address, chance.between(1_024, 65_535) as u16)
}
