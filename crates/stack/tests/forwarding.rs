//! Forwarding between two links.

extern crate wharf_stack as stack;

mod common;

use common::*;
use device::{Capabilities, RxChecksum, RxFrame};
use stack::ip::routes::Route;
use stack::link::{AddressCheck, InterfaceConfig, InterfaceId};
use stack::{Config, Discard, Instant, Stack};
use wire::ethernet::{EtherType, MacAddr};
use wire::icmpv4::{Icmpv4Message, TimeExceededCode, UnreachableCode};
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;
use wire::tcp::{SeqNum, TcpFlags, TcpHeader, TcpOptions};

/// A router between 10.0.0.0/24 (1500 bytes) and 10.1.0.0/24 (`mtu` bytes).
struct Router {
    stack: Stack,
    left: (InterfaceId, Port),
    right: (InterfaceId, Port),
}

impl Router {
    fn new(mtu: u32) -> Self {
        let mut stack = Stack::new(Config::default(), seed(1));
        let mut link = |n: u8, mtu: u32, address: &str, neighbour: &str| {
            let capabilities = Capabilities::plain(mac(n), mtu);
            let mut config = InterfaceConfig::new(format!("eth{n}"), capabilities);
            config.address_check = AddressCheck::OFF;
            let id = stack.add_interface(config).unwrap();
            stack.add_address(Instant::ZERO, id, cidr(address)).unwrap();
            stack.add_static_neighbor(Instant::ZERO, id, ip(neighbour), mac(n + 10));
            (id, Port::new(capabilities))
        };
        let left = link(1, 1500, "10.0.0.1/24", "10.0.0.9");
        let right = link(2, mtu, "10.1.0.1/24", "10.1.0.9");
        stack.set_forwarding(true);
        Self { stack, left, right }
    }

    fn receive(&mut self, frame: &RxFrame<'_>) {
        self.stack.handle_frame(Instant::ZERO, self.left.0, frame);
        self.stack.poll_transmit(Instant::ZERO, self.left.0, &mut self.left.1);
        self.stack.poll_transmit(Instant::ZERO, self.right.0, &mut self.right.1);
    }

    fn send(&mut self, header: Ipv4Header<'_>, payload: &[u8]) {
        let frame = ethernet(mac(1), mac(11), EtherType::IPV4, &packet(header, payload));
        self.receive(&RxFrame::plain(&frame));
    }

    fn passed(&mut self) -> Vec<Vec<u8>> {
        self.right.1.sent.drain(..).collect()
    }

    fn answered(&mut self) -> Vec<Vec<u8>> {
        self.left.1.sent.drain(..).collect()
    }
}

fn header() -> Ipv4Header<'static> {
    ip_header("10.0.0.9", "10.1.0.9", Protocol::UDP)
}

#[test]
fn a_packet_for_another_goes_on_with_one_hop_less() {
    let mut router = Router::new(1500);
    let datagram = udp_datagram("10.0.0.9:1", "10.1.0.9:2", b"through");
    router.send(header(), &datagram);
    let frames = router.passed();
    let (passed, payload) = ipv4_of(&frames[0]).unwrap();
    assert_eq!((passed.ttl, passed.src, passed.dst), (63, v4("10.0.0.9"), v4("10.1.0.9")));
    assert_eq!(payload[..datagram.len()], datagram);
    assert_eq!(frames[0][..6], mac(12).0);
    router.stack.set_forwarding(false);
    router.send(header(), &datagram);
    assert!(router.passed().is_empty());
    assert_eq!(router.stack.discards().of(Discard::NotOurAddress), 1);
}

#[test]
fn the_last_hop_ends_here_and_the_sender_hears_of_it() {
    let mut router = Router::new(1500);
    for ttl in [0, 1] {
        router.send(Ipv4Header { ttl, ..header() }, &udp_datagram("10.0.0.9:1", "10.1.0.9:2", b"x"));
    }
    assert!(router.passed().is_empty());
    assert_eq!(router.stack.discards().of(Discard::HopLimit), 2);
    let frames = router.answered();
    let (reply, message) = icmp_of(&frames[0]).unwrap();
    assert_eq!((reply.src, reply.dst), (v4("10.0.0.1"), v4("10.0.0.9")));
    assert!(matches!(message, Icmpv4Message::TimeExceeded { code: TimeExceededCode::TTL, .. }));
}

#[test]
fn an_error_whose_hops_run_out_causes_no_other_error() {
    // U8: never about ICMP errors.
    let mut router = Router::new(1500);
    let mut bytes = vec![0; 36];
    let code = UnreachableCode::HOST;
    let error = Icmpv4Message::DestinationUnreachable { code, next_hop_mtu: 0, quoted: &[0x45; 28] };
    error.emit(&mut bytes);
    router.send(Ipv4Header { ttl: 1, ..ip_header("10.0.0.9", "10.1.0.9", Protocol::ICMP) }, &bytes);
    assert!(router.answered().is_empty());
    // An echo request is no error: traceroute lives by that.
    let ping = Icmpv4Message::EchoRequest { ident: 1, seq: 2, data: &[0; 28] };
    ping.emit(&mut bytes);
    router.send(Ipv4Header { ttl: 1, ..ip_header("10.0.0.9", "10.1.0.9", Protocol::ICMP) }, &bytes);
    assert_eq!(router.answered().len(), 1);
}

#[test]
fn a_packet_too_large_is_cut_or_refused_with_the_mtu() {
    let mut router = Router::new(600);
    let payload: Vec<u8> = (0..1_400).map(|n| n as u8).collect();
    router.send(Ipv4Header { dont_fragment: true, ..header() }, &payload);
    assert!(router.passed().is_empty());
    let frames = router.answered();
    let Some((_, Icmpv4Message::DestinationUnreachable { code, next_hop_mtu, .. })) = icmp_of(&frames[0]) else {
        panic!()
    };
    assert_eq!((code, next_hop_mtu), (UnreachableCode::FRAGMENTATION_NEEDED, 600));
    router.send(Ipv4Header { identification: 77, ..header() }, &payload);
    let frames = router.passed();
    assert_eq!(frames.len(), 3);
    let mut whole = vec![0; 1_400];
    for (n, frame) in frames.iter().enumerate() {
        let (part, bytes) = ipv4_of(frame).unwrap();
        assert!(part.total_len <= 600);
        assert_eq!((part.identification, part.ttl, part.more_fragments), (77, 63, n < 2));
        whole[usize::from(part.fragment_offset)..][..bytes.len()].copy_from_slice(bytes);
    }
    assert_eq!(whole, payload);
    // A fragment that is cut again keeps its place in the whole.
    router.send(Ipv4Header { fragment_offset: 1_600, more_fragments: true, ..header() }, &payload);
    let frames = router.passed();
    let offsets: Vec<u16> = frames.iter().map(|frame| ipv4_of(frame).unwrap().0.fragment_offset).collect();
    assert_eq!(offsets, [1_600, 2_176, 2_752]);
    assert!(frames.iter().all(|frame| ipv4_of(frame).unwrap().0.more_fragments));
}

#[test]
fn a_route_that_takes_less_than_its_link_says_so() {
    let mut router = Router::new(1_500);
    let interface = router.right.0;
    let route = Route { destination: cidr("10.1.0.9/32"), via: None, interface, metric: 0, mtu: Some(600) };
    router.stack.add_route(route).unwrap();
    router.send(Ipv4Header { dont_fragment: true, ..header() }, &[0; 700]);
    let Some((_, Icmpv4Message::DestinationUnreachable { code, next_hop_mtu, .. })) = icmp_of(&router.answered()[0])
    else {
        panic!()
    };
    assert_eq!((code, next_hop_mtu), (UnreachableCode::FRAGMENTATION_NEEDED, 600));
    router.send(header(), &[0; 700]);
    assert_eq!(router.passed().len(), 2, "in fragments");
}

#[test]
fn options_without_the_copy_flag_stay_in_the_first_fragment() {
    // I6
    let mut router = Router::new(600);
    // Record route (not copied), router alert (copied).
    let options = [7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0];
    router.send(Ipv4Header { options: &options, ..header() }, &[5; 1_400]);
    let frames = router.passed();
    let kinds =
        |frame: &[u8]| -> Vec<u8> { ipv4_of(frame).unwrap().0.options().map(|option| option.unwrap().kind).collect() };
    assert_eq!(kinds(&frames[0]), [7, 148]);
    assert!(frames[1..].iter().all(|frame| kinds(frame) == [148]));
    let bytes: usize = frames.iter().map(|frame| ipv4_of(frame).unwrap().0.payload_len()).sum();
    assert_eq!(bytes, 1_400);
}

#[test]
fn what_has_no_route_is_reported_and_what_is_for_many_is_not_passed_on() {
    let mut router = Router::new(1500);
    router.send(ip_header("10.0.0.9", "8.8.8.8", Protocol::UDP), &[0; 20]);
    let frames = router.answered();
    let Some((_, Icmpv4Message::DestinationUnreachable { code, .. })) = icmp_of(&frames[0]) else { panic!() };
    assert_eq!(code, UnreachableCode::NET);
    for destination in ["10.1.0.255", "239.1.1.1", "240.0.0.1", "127.0.0.1"] {
        router.send(ip_header("10.0.0.9", destination, Protocol::UDP), &[0; 20]);
    }
    let mut frame = ethernet(mac(1), mac(11), EtherType::IPV4, &packet(header(), &[0; 20]));
    frame[..6].copy_from_slice(&MacAddr::BROADCAST.0);
    router.receive(&RxFrame::plain(&frame));
    assert!(router.passed().is_empty() && router.answered().is_empty());
}

#[test]
fn a_next_hop_that_does_not_answer_is_reported_to_the_sender() {
    let mut router = Router::new(1500);
    router.send(ip_header("10.0.0.9", "10.1.0.77", Protocol::UDP), &udp_datagram("10.0.0.9:1", "10.1.0.77:2", b"x"));
    for second in 1..=3 {
        router.stack.handle_timeout(Instant::from_secs(second));
    }
    router.stack.poll_transmit(Instant::from_secs(3), router.left.0, &mut router.left.1);
    let frames = router.answered();
    let Some((_, Icmpv4Message::DestinationUnreachable { code, .. })) = icmp_of(&frames[0]) else { panic!() };
    assert_eq!(code, UnreachableCode::HOST);
}

fn train(len: usize, partial: bool) -> Vec<u8> {
    let tcp = TcpHeader {
        src_port: 1,
        dst_port: 2,
        seq: SeqNum(100),
        ack: SeqNum(5),
        flags: TcpFlags::ACK | TcpFlags::PSH,
        window: 9,
        urgent: 0,
        options: TcpOptions::NONE,
    };
    let mut segment = vec![0; 20 + len];
    tcp.emit(&mut segment);
    for (n, byte) in segment[20..].iter_mut().enumerate() {
        *byte = n as u8;
    }
    let pseudo = wire::checksum::pseudo_header(ip("10.0.0.9"), ip("10.1.0.9"), Protocol::TCP, segment.len() as u32);
    if partial {
        segment[16..18].copy_from_slice(&(!pseudo.finish()).to_be_bytes());
    } else {
        TcpHeader::fill_checksum(&mut segment, ip("10.0.0.9"), ip("10.1.0.9"));
    }
    let mut header = ip_header("10.0.0.9", "10.1.0.9", Protocol::TCP);
    header.dont_fragment = true;
    ethernet(mac(1), mac(11), EtherType::IPV4, &packet(header, &segment))
}

#[test]
fn a_checksum_that_no_device_has_filled_in_is_filled_in_before_the_next_wire() {
    let mut router = Router::new(1500);
    let frame = train(100, true);
    let checksum = RxChecksum::Partial { start: 34, offset: 16 };
    router.receive(&RxFrame { checksum, ..RxFrame::plain(&frame) });
    let frames = router.passed();
    let (header, segment) = ipv4_of(&frames[0]).unwrap();
    TcpHeader::verify(segment, header.src.into(), header.dst.into()).unwrap();
}

#[test]
fn a_train_is_cut_for_a_link_that_is_too_small_for_it() {
    let mut router = Router::new(1500);
    let frame = train(10_000, true);
    let checksum = RxChecksum::Partial { start: 34, offset: 16 };
    router.receive(&RxFrame { checksum, segment_size: Some(1_460), ..RxFrame::plain(&frame) });
    let frames = router.passed();
    assert_eq!(frames.len(), 7);
    let mut whole = Vec::new();
    for frame in &frames {
        let (header, segment) = ipv4_of(frame).unwrap();
        assert!(header.total_len <= 1_500 && header.ttl == 63);
        TcpHeader::verify(segment, header.src.into(), header.dst.into()).unwrap();
        let (tcp, bytes) = TcpHeader::parse(segment).unwrap();
        assert_eq!(tcp.seq, SeqNum(100) + whole.len() as u32);
        whole.extend_from_slice(bytes);
    }
    assert_eq!(whole, (0..10_000).map(|n| n as u8).collect::<Vec<_>>());
}

#[test]
fn a_train_is_cut_for_its_route_or_refused_with_the_routes_mtu() {
    // RFC 1191 section 4: the sender hears of it as if the device had not put its segments together.
    let checksum = RxChecksum::Partial { start: 34, offset: 16 };
    let frame = train(10_000, true);
    for (mtu, size, cut) in [(1_400, 1_360, true), (1_400, 1_361, false)] {
        let mut router = Router::new(1_500);
        let interface = router.right.0;
        let route = Route { destination: cidr("10.1.0.9/32"), via: None, interface, metric: 0, mtu: Some(mtu) };
        router.stack.add_route(route).unwrap();
        router.receive(&RxFrame { checksum, segment_size: Some(size), ..RxFrame::plain(&frame) });
        assert_eq!(router.passed().len(), if cut { 8 } else { 0 });
        assert_eq!(router.stack.discards().of(Discard::TooBig), u64::from(!cut));
        let answered = router.answered();
        assert_eq!(answered.len(), usize::from(!cut));
        if let Some(frame) = answered.first() {
            let Some((_, Icmpv4Message::DestinationUnreachable { code, next_hop_mtu, .. })) = icmp_of(frame) else {
                panic!()
            };
            assert_eq!((code, next_hop_mtu), (UnreachableCode::FRAGMENTATION_NEEDED, mtu as u16));
        }
    }
}
