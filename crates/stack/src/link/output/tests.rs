//! A TCP segment's way down: resolution, the path that is remembered, and when it is forgotten.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use device::{Capabilities, RxFrame};
use ring::Span;
use wire::arp::{ArpOperation, ArpPacket};
use wire::cidr::Cidr;
use wire::ethernet::EthernetHeader;
use wire::ipv4::Ipv4Header;
use wire::tcp::TcpHeader;

use super::*;
use crate::config::Config;
use crate::entropy::Entropy;
use crate::link::acd::Origin;
use crate::link::neighbors::NeighborState;
use crate::link::{AddressCheck, Interface, InterfaceConfig};
use crate::network::Notice;

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

struct Port {
    frames: VecDeque<Vec<u8>>,
    checksums: Vec<TxChecksum>,
    room: usize,
    broken: bool,
}

impl Device for Port {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(mac(1), 1500)
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        if self.broken {
            return Err(TransmitError::Lost);
        }
        if self.room == 0 {
            return Err(TransmitError::Full);
        }
        self.checksums.push(frame.checksum);
        self.room -= 1;
        let mut bytes = vec![0; frame.len()];
        frame.copy_to(&mut bytes);
        self.frames.push_back(bytes);
        Ok(())
    }

    fn receive(&mut self, _: usize, _: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        0
    }
}

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

mod messages;

struct Scene {
    net: Network,
    interface: InterfaceId,
    port: Port,
}

impl Scene {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(configure: impl FnOnce(&mut InterfaceConfig)) -> Self {
        let mut net = Network::new(&Config::default(), Entropy::new([1; 32]));
        let mut config = InterfaceConfig::new("eth0", Capabilities::plain(mac(1), 1500));
        config.address_check = AddressCheck::OFF;
        configure(&mut config);
        let interface = net.interfaces.insert(Interface::new(config));
        net.traffic.begin(interface);
        let cidr = Cidr::new(IpAddr::V4(OURS), 24).unwrap();
        net.start_address(Instant::ZERO, interface, cidr, Origin::Manual);
        net.notices.clear();
        Self {
            net,
            interface,
            port: Port { frames: VecDeque::new(), checksums: Vec::new(), room: usize::MAX, broken: false },
        }
    }

    fn send(&mut self, now: Instant, payload: &[u8], size: Option<u16>) -> Transmitted {
        let header = TcpHeader {
            src_port: 1,
            dst_port: 2,
            seq: wire::tcp::SeqNum(0),
            ack: wire::tcp::SeqNum(0),
            flags: wire::tcp::TcpFlags::ACK,
            window: 1,
            urgent: 0,
            options: wire::tcp::TcpOptions::NONE,
        };
        let mut bytes = [0; 20];
        header.emit(&mut bytes);
        let spans = [Span::from_slice(payload)];
        let segment = Segment {
            interface: self.interface,
            source: IpAddr::V4(OURS),
            destination: IpAddr::V4(PEER),
            hop_limit: 64,
            tos: 0,
            header: &bytes,
            payload: &spans,
            payload_len: payload.len(),
            segment_size: size,
        };
        self.net.transmit_segment(now, &mut self.port, &segment)
    }

    fn claim(&mut self, now: Instant, n: u8, asked: bool) {
        let operation = if asked { ArpOperation::Reply } else { ArpOperation::Request };
        let target_ip = if asked { OURS } else { PEER };
        let packet = ArpPacket { operation, sender_mac: mac(n), sender_ip: PEER, target_mac: mac(1), target_ip };
        let mut bytes = [0; 28];
        packet.emit(&mut bytes);
        self.net.arp_input(now, self.interface, &bytes, true);
    }

    fn state(&self) -> Option<NeighborState> {
        let id = self.net.neighbors.find(self.interface, IpAddr::V4(PEER))?;
        self.net.neighbors.get(id).map(|entry| entry.state)
    }

    fn run_timers(&mut self, now: Instant) {
        while let Some(timer) = self.net.timers.pop_expired(now) {
            match timer {
                crate::network::Timer::Neighbor(id) => self.net.neighbor_timeout(now, id),
                other => panic!("{other:?}"),
            }
        }
    }

    fn destination(&mut self) -> MacAddr {
        let frame = self.port.frames.pop_back().unwrap();
        EthernetHeader::parse(&frame).unwrap().0.dst
    }
}

#[test]
fn a_segment_waits_for_its_neighbour_and_its_sender_hears_of_the_answer() {
    let mut scene = Scene::new();
    let peer = IpAddr::V4(PEER);
    assert_eq!(scene.send(Instant::ZERO, b"x", None), Transmitted::Resolving(peer));
    assert!(scene.port.frames.is_empty());
    scene.claim(Instant::ZERO, 2, true);
    let interface = scene.interface;
    let heard = Notice::Resolved { interface, next_hop: peer, reachable: true };
    assert_eq!(scene.net.poll_notice(), Some(heard));
    assert_eq!(scene.send(Instant::ZERO, b"x", None), Transmitted::Sent);
    assert_eq!(scene.destination(), mac(2));
}

#[test]
fn a_silent_neighbour_is_told_to_who_waits_for_it() {
    let mut scene = Scene::new();
    scene.send(Instant::ZERO, b"x", None);
    for second in 1..=3 {
        scene.run_timers(Instant::from_secs(second));
    }
    let next_hop = IpAddr::V4(PEER);
    let heard = Notice::Resolved { interface: scene.interface, next_hop, reachable: false };
    assert_eq!(scene.net.poll_notice(), Some(heard));
}

#[test]
fn a_path_is_remembered_until_the_neighbour_changes() {
    let mut scene = Scene::new();
    scene.send(Instant::ZERO, b"x", None);
    scene.claim(Instant::ZERO, 2, true);
    scene.send(Instant::ZERO, b"x", None);
    let generation = scene.net.generation;
    for _ in 0..100 {
        assert_eq!(scene.send(Instant::ZERO, b"x", None), Transmitted::Sent);
    }
    assert_eq!(scene.net.generation, generation);
    scene.claim(Instant::from_secs(5), 7, false);
    scene.send(Instant::from_secs(5), b"x", None);
    assert_eq!(scene.destination(), mac(7), "the very next segment goes to the new station");
}

#[test]
fn progress_keeps_a_neighbour_reachable_without_a_question() {
    // N4
    let mut scene = Scene::new();
    scene.send(Instant::ZERO, b"x", None);
    scene.claim(Instant::ZERO, 2, true);
    scene.net.interfaces.get_mut(scene.interface).unwrap().queues = crate::link::queue::Queues::new();
    for second in 1..600 {
        let now = Instant::from_secs(second);
        scene.run_timers(now);
        assert_eq!(scene.send(now, b"x", None), Transmitted::Sent);
        scene.net.confirm_reachable(now, scene.interface, IpAddr::V4(PEER));
        assert_eq!(scene.state(), Some(NeighborState::Reachable), "at {second} s");
    }
    assert!(scene.net.interfaces.get(scene.interface).unwrap().is_idle(), "not one ARP request in ten minutes");
}

#[test]
fn without_progress_a_busy_neighbour_is_probed() {
    let mut scene = Scene::new();
    scene.send(Instant::ZERO, b"x", None);
    scene.claim(Instant::ZERO, 2, true);
    let mut states = Vec::new();
    for tenth in 1..400u64 {
        let now = Instant::from_millis(tenth * 100);
        scene.run_timers(now);
        assert!(!matches!(scene.send(now, b"x", None), Transmitted::Resolving(_)), "packets flow in every state");
        if states.last() != Some(&scene.state().unwrap()) {
            states.push(scene.state().unwrap());
        }
        if scene.state() == Some(NeighborState::Probe) {
            scene.net.confirm_reachable(now, scene.interface, IpAddr::V4(PEER));
            break;
        }
    }
    assert_eq!(states, [NeighborState::Reachable, NeighborState::Delay, NeighborState::Probe]);
    assert_eq!(scene.state(), Some(NeighborState::Reachable), "TCP's progress ends the probing");
}

#[test]
fn a_removed_route_ends_a_remembered_path() {
    let mut scene = Scene::new();
    scene.send(Instant::ZERO, b"x", None);
    scene.claim(Instant::ZERO, 2, true);
    assert_eq!(scene.send(Instant::ZERO, b"x", None), Transmitted::Sent);
    scene.net.drop_address(scene.interface, IpAddr::V4(OURS));
    assert_eq!(scene.send(Instant::ZERO, b"x", None), Transmitted::Unreachable);
}

#[test]
fn a_train_that_does_not_fit_the_device_is_taken_in_part() {
    let mut scene = Scene::new();
    scene.send(Instant::ZERO, b"x", None);
    scene.claim(Instant::ZERO, 2, true);
    scene.port.room = 0;
    assert_eq!(scene.send(Instant::ZERO, &[0; 5_000], Some(1_000)), Transmitted::DeviceFull);
    scene.port.room = 2;
    assert_eq!(scene.send(Instant::ZERO, &[0; 5_000], Some(1_000)), Transmitted::Partly(2_000));
    let stats = scene.net.traffic.of(scene.interface);
    assert_eq!((stats.tx_packets, stats.tx_bytes), (2, 2 * 1_054));
}

#[test]
fn a_segment_larger_than_the_link_is_not_sent_and_told_what_fits() {
    let mut scene = Scene::new();
    scene.send(Instant::ZERO, b"x", None);
    scene.claim(Instant::ZERO, 2, true);
    assert_eq!(scene.send(Instant::ZERO, &[0; 1_461], None), Transmitted::TooBig(1_500));
    assert!(scene.port.frames.is_empty());
    assert_eq!(scene.send(Instant::ZERO, &[0; 1_460], None), Transmitted::Sent);
    assert_eq!(scene.port.frames[0].len(), 1_514);
}

#[test]
fn a_tagged_interface_tags_its_segments() {
    let mut scene = Scene::with(|config| config.vlan = Some(42));
    scene.send(Instant::ZERO, b"x", None);
    scene.claim(Instant::ZERO, 2, true);
    scene.send(Instant::ZERO, &[7; 100], None);
    let frame = scene.port.frames.pop_back().unwrap();
    let (header, packet) = EthernetHeader::parse(&frame).unwrap();
    assert_eq!(header.vlan.map(|tag| tag.id), Some(42));
    let (ip, segment) = Ipv4Header::parse(packet).unwrap();
    TcpHeader::verify(segment, IpAddr::V4(ip.src), IpAddr::V4(ip.dst)).unwrap();
}

#[test]
fn a_link_that_is_down_takes_nothing() {
    let mut scene = Scene::new();
    scene.send(Instant::ZERO, b"x", None);
    scene.claim(Instant::ZERO, 2, true);
    scene.net.interfaces.get_mut(scene.interface).unwrap().up = false;
    scene.net.changed();
    assert_eq!(scene.send(Instant::ZERO + Duration::from_secs(1), b"x", None), Transmitted::Unreachable);
}

/// A SYN's header, with room for a checksum.
fn syn() -> [u8; 28] {
    let options = wire::tcp::TcpOptions { mss: Some(1_460), sack_permitted: true, ..wire::tcp::TcpOptions::NONE };
    let header = TcpHeader { src_port: 1, dst_port: 2, flags: wire::tcp::TcpFlags::SYN, options, ..TcpHeader::BLANK };
    let mut bytes = [0; 28];
    assert_eq!(header.emit(&mut bytes), 28);
    bytes
}

#[test]
fn a_header_alone_is_the_same_frame_with_and_without_a_template() {
    for tx_checksum in [false, true] {
        let mut scene = Scene::with(|config| config.capabilities.tx_checksum = tx_checksum);
        scene.send(Instant::ZERO, b"", None);
        scene.claim(Instant::ZERO, 2, true);
        let header = syn();
        let segment = Segment {
            interface: scene.interface,
            source: IpAddr::V4(OURS),
            destination: IpAddr::V4(PEER),
            hop_limit: 9,
            tos: 0xb8,
            header: &header,
            payload: &[],
            payload_len: 0,
            segment_size: None,
        };
        // The path's template is made for the first one, and used for the second.
        assert_eq!(scene.net.transmit_segment(Instant::ZERO, &mut scene.port, &segment), Transmitted::Sent);
        assert_eq!(scene.net.transmit_segment(Instant::ZERO, &mut scene.port, &segment), Transmitted::Sent);
        let (first, second) = (scene.port.frames.pop_front().unwrap(), scene.port.frames.pop_front().unwrap());
        assert_eq!(first, second);
        let stats = scene.net.traffic.of(scene.interface);
        assert_eq!((stats.tx_packets, stats.tx_bytes % 2), (2, 0));
    }
}

#[test]
fn a_queued_segment_is_the_same_frame_with_and_without_a_template() {
    let mut scene = Scene::new();
    scene.send(Instant::ZERO, b"x", None);
    scene.claim(Instant::ZERO, 2, true);
    // The question for the neighbour.
    assert!(scene.net.interfaces.get_mut(scene.interface).unwrap().queues.pop(&mut scene.net.queued).is_some());
    let flow = crate::tcp::Flow { local: OURS.into(), remote: PEER.into(), local_port: 1, remote_port: 2 };
    let none = wire::tcp::TcpOptions::NONE;
    let clocks = wire::tcp::TcpOptions { timestamps: Some(wire::tcp::Timestamps { value: 3, echo: 4 }), ..none };
    let syn = wire::tcp::TcpOptions { mss: Some(1_460), window_scale: Some(7), sack_permitted: true, ..none };
    for options in [none, clocks, syn] {
        let plain = PlainSegment {
            interface: scene.interface,
            flow: &flow,
            hop_limit: scene.net.default_hop_limit,
            tos: 0,
            seq: wire::tcp::SeqNum(5),
            ack: wire::tcp::SeqNum(6),
            flags: wire::tcp::TcpFlags::ACK,
            window: 7,
            options: options.usual().unwrap(),
            payload: Span::from_slice(&[]),
        };
        let PlainSegment { seq, ack, flags, window, .. } = plain;
        let header = TcpHeader { src_port: 1, dst_port: 2, seq, ack, flags, window, urgent: 0, options };
        let mut bytes = [0; MAX_HEADER_LEN];
        let len = header.emit(&mut bytes);
        TcpHeader::fill_checksum(&mut bytes[..len], flow.local, flow.remote);
        let packet = crate::network::Packet {
            interface: None,
            source: Some(flow.local),
            destination: flow.remote,
            protocol: Protocol::TCP,
            hop_limit: None,
            tos: 0,
            dont_fragment: true,
            payload: &bytes[..len],
        };
        scene.net.send_packet(Instant::ZERO, &packet).unwrap();
        scene.send(Instant::ZERO, b"x", None);
        assert!(scene.net.queue_plain(&plain), "the path has a template");
        let queues = &mut scene.net.interfaces.get_mut(scene.interface).unwrap().queues;
        let queued = &mut scene.net.queued;
        let (first, second) = (queues.pop(queued), queues.pop(queued));
        assert!(first.is_some() && first == second, "{first:?} {second:?}");
    }
}

#[test]
fn a_segment_is_not_queued_over_the_template_of_a_path_that_has_changed() {
    let mut scene = Scene::new();
    scene.send(Instant::ZERO, b"x", None);
    scene.claim(Instant::ZERO, 2, true);
    scene.send(Instant::ZERO, b"x", None);
    scene.net.changed();
    let flow = crate::tcp::Flow { local: OURS.into(), remote: PEER.into(), local_port: 1, remote_port: 2 };
    let plain = PlainSegment {
        interface: scene.interface,
        flow: &flow,
        hop_limit: 64,
        tos: 0,
        seq: wire::tcp::SeqNum(5),
        ack: wire::tcp::SeqNum(6),
        flags: wire::tcp::TcpFlags::ACK,
        window: 7,
        options: None,
        payload: Span::from_slice(&[]),
    };
    assert!(!scene.net.queue_plain(&plain));
}
