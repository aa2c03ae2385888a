//! What IPv4 takes from a wire, and what it refuses: I1, I2, L5.

extern crate wharf_stack as stack;

mod common;

use common::*;
use device::{RxChecksum, RxFrame};
use stack::{Discard, Instant};
use wire::ethernet::{EtherType, MacAddr};
use wire::icmpv4::{Icmpv4Message, TimeExceededCode, UnreachableCode};
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;
use wire::tcp::{TcpFlags, TcpHeader};

fn host() -> Host {
    let mut host = Host::new(1, "10.0.0.1/24");
    host.knows("10.0.0.2", 2);
    host
}

fn frame(header: Ipv4Header<'_>, payload: &[u8]) -> Vec<u8> {
    ethernet(mac(1), mac(2), EtherType::IPV4, &packet(header, payload))
}

#[test]
fn sources_that_no_host_may_use_are_dropped() {
    // I1
    let mut host = host();
    let _socket = host.udp("0.0.0.0:7");
    let sources = [
        "127.0.0.1",
        "127.255.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "240.0.0.1",
        "255.255.255.255",
        "224.0.0.1",
        "239.1.1.1",
        "10.0.0.255",
        "10.0.0.1",
    ];
    for source in sources {
        host.receive(Instant::ZERO, &udp_frame(2, 1, &format!("{source}:9"), "10.0.0.1:7", b"x"));
    }
    assert_eq!(host.discarded(Discard::IpSource), sources.len() as u64);
    assert!(host.sent().is_empty());
}

#[test]
fn a_host_without_an_address_may_ask_for_one_by_broadcast() {
    let mut host = host();
    let mut socket = host.udp("0.0.0.0:67");
    host.receive(Instant::ZERO, &udp_frame(2, 1, "0.0.0.0:68", "255.255.255.255:67", b"discover"));
    assert_eq!(socket.pop().unwrap().1, b"discover");
}

#[test]
fn loopback_addresses_do_not_come_from_a_wire_and_do_not_go_there() {
    // I1
    let mut host = host();
    let mut inside = host.udp("127.0.0.1:7");
    host.receive(Instant::ZERO, &udp_frame(2, 1, "10.0.0.2:9", "127.0.0.1:7", b"x"));
    assert_eq!(host.discarded(Discard::NotOurAddress), 1);
    assert!(inside.pop().is_none());
    let socket = host.udp("0.0.0.0:0");
    host.stack.udp_send(Instant::ZERO, socket.id, &to("127.0.0.1:7"), b"y").unwrap();
    host.drain(Instant::ZERO);
    assert!(host.sent().is_empty());
    assert_eq!(inside.pop().unwrap().0.remote.ip(), ip("127.0.0.1"));
    // A loopback source does not lead outside either.
    assert!(host.stack.udp_send(Instant::ZERO, inside.id, &to("10.0.0.2:7"), b"z").is_err());
}

#[test]
fn traffic_to_our_own_address_stays_inside_whatever_the_interface() {
    // I2
    let mut host = host();
    let other = host.stack.add_interface({
        let mut config = stack::link::InterfaceConfig::new("eth1", device::Capabilities::plain(mac(3), 1500));
        config.address_check = stack::link::AddressCheck::OFF;
        config
    });
    host.stack.add_address(Instant::ZERO, other.unwrap(), cidr("172.16.0.1/24")).unwrap();
    let mut socket = host.udp("172.16.0.1:7");
    let client = host.udp("10.0.0.1:0");
    host.stack.udp_send(Instant::ZERO, client.id, &to("172.16.0.1:7"), b"inside").unwrap();
    host.drain(Instant::ZERO);
    assert!(host.sent().is_empty());
    let (record, payload) = socket.pop().unwrap();
    assert_eq!((record.remote.ip(), payload.as_slice()), (ip("10.0.0.1"), b"inside".as_slice()));
}

#[test]
fn broken_headers_are_counted_by_what_is_broken() {
    let mut host = host();
    let good = udp_frame(2, 1, "10.0.0.2:9", "10.0.0.1:7", b"x");
    let mut bad = good.clone();
    bad[14 + 10] ^= 1;
    host.receive(Instant::ZERO, &bad);
    assert_eq!(host.discarded(Discard::IpChecksum), 1);
    for (at, value) in [(14, 0x55), (14, 0x44)] {
        let mut bad = good.clone();
        bad[at] = value;
        host.receive(Instant::ZERO, &bad);
    }
    host.receive(Instant::ZERO, &good[..30]);
    assert_eq!(host.discarded(Discard::IpMalformed), 3);
    host.receive(Instant::ZERO, &good[..13]);
    assert_eq!(host.discarded(Discard::EthernetMalformed), 1);
}

#[test]
fn padding_after_the_packet_is_cut() {
    let mut host = host();
    let mut socket = host.udp("0.0.0.0:7");
    let mut frame = udp_frame(2, 1, "10.0.0.2:9", "10.0.0.1:7", b"x");
    frame.resize(1_000, 0xee);
    host.receive(Instant::ZERO, &frame);
    assert_eq!(socket.pop().unwrap().1, b"x");
}

#[test]
fn frames_for_other_stations_and_protocols_are_counted() {
    let mut host = host();
    host.receive(Instant::ZERO, &udp_frame(2, 9, "10.0.0.2:9", "10.0.0.1:7", b"x"));
    assert_eq!(host.discarded(Discard::NotOurMac), 1);
    host.receive(Instant::ZERO, &ethernet(mac(1), mac(2), EtherType(0x88cc), &[0; 60]));
    host.receive(Instant::ZERO, &ethernet(mac(1), mac(2), EtherType(0x0026), &[0; 60]));
    assert_eq!(host.discarded(Discard::EthernetProtocol), 2);
    host.receive(Instant::ZERO, &ethernet(mac(1), mac(2), EtherType::IPV6, &[0x60; 60]));
    assert_eq!(host.discarded(Discard::Ipv6), 1);
    host.receive(Instant::ZERO, &udp_frame(2, 1, "10.0.0.2:9", "10.0.0.77:7", b"x"));
    host.receive(Instant::ZERO, &udp_frame(2, 1, "10.0.0.2:9", "0.0.0.0:7", b"x"));
    assert_eq!(host.discarded(Discard::NotOurAddress), 2);
}

#[test]
fn a_unicast_packet_in_a_broadcast_frame_is_not_ours() {
    let mut host = host();
    let mut socket = host.udp("0.0.0.0:7");
    let mut frame = udp_frame(2, 1, "10.0.0.2:9", "10.0.0.1:7", b"x");
    frame[..6].copy_from_slice(&MacAddr::BROADCAST.0);
    host.receive(Instant::ZERO, &frame);
    assert!(socket.pop().is_none());
    assert_eq!(host.discarded(Discard::NotOurAddress), 1);
}

#[test]
fn source_routes_are_refused_and_other_options_taken() {
    let mut host = host();
    let mut socket = host.udp("0.0.0.0:7");
    let datagram = udp_datagram("10.0.0.2:9", "10.0.0.1:7", b"x");
    let with = |options| Ipv4Header { options, ..ip_header("10.0.0.2", "10.0.0.1", Protocol::UDP) };
    host.receive(Instant::ZERO, &frame(with(&[131, 7, 4, 10, 0, 0, 9, 0]), &datagram));
    host.receive(Instant::ZERO, &frame(with(&[1, 137, 7, 4, 10, 0, 0, 9]), &datagram));
    assert_eq!(host.discarded(Discard::SourceRouted), 2);
    assert!(socket.pop().is_none());
    host.receive(Instant::ZERO, &frame(with(&[148, 4, 0, 0]), &datagram));
    assert!(socket.pop().is_some());
}

#[test]
fn an_unreadable_option_is_reported_where_it_stands() {
    let mut host = host();
    let datagram = udp_datagram("10.0.0.2:9", "10.0.0.1:7", b"x");
    let header = Ipv4Header { options: &[1, 1, 7, 99], ..ip_header("10.0.0.2", "10.0.0.1", Protocol::UDP) };
    host.receive(Instant::ZERO, &frame(header, &datagram));
    assert_eq!(host.discarded(Discard::IpMalformed), 1);
    let frames = host.sent();
    let Some((_, Icmpv4Message::ParameterProblem { pointer, .. })) = icmp_of(&frames[0]) else { panic!() };
    assert_eq!(pointer, 22);
}

#[test]
fn a_protocol_that_nobody_speaks_is_answered_so() {
    let mut host = host();
    host.receive(Instant::ZERO, &frame(ip_header("10.0.0.2", "10.0.0.1", Protocol(132)), &[0; 32]));
    assert_eq!(host.discarded(Discard::IpProtocol), 1);
    let frames = host.sent();
    let (_, message) = icmp_of(&frames[0]).unwrap();
    assert!(
        matches!(message, Icmpv4Message::DestinationUnreachable { code: UnreachableCode::PROTOCOL, .. }),
        "{message:?}"
    );
}

#[test]
fn a_device_that_vouches_for_a_checksum_is_believed() {
    // L2
    let mut host = host();
    let mut socket = host.udp("0.0.0.0:7");
    let mut frame = udp_frame(2, 1, "10.0.0.2:9", "10.0.0.1:7", b"x");
    frame[14 + 20 + 6] ^= 0x55;
    host.receive(Instant::ZERO, &frame);
    assert_eq!(host.discarded(Discard::UdpChecksum), 1);
    for checksum in [RxChecksum::Verified, RxChecksum::Partial { start: 34, offset: 6 }] {
        let received = RxFrame { checksum, ..RxFrame::plain(&frame) };
        host.stack.handle_frame(Instant::ZERO, host.interface, &received);
        assert!(socket.pop().is_some());
    }
}

#[test]
fn an_echo_to_us_is_answered_and_one_to_a_broadcast_is_not() {
    // U7
    let mut host = host();
    let ping = Icmpv4Message::EchoRequest { ident: 1, seq: 2, data: b"abc" };
    host.receive(Instant::ZERO, &icmp_frame(2, mac(1), "10.0.0.2", "10.0.0.1", &ping));
    let frames = host.sent();
    let (header, message) = icmp_of(&frames[0]).unwrap();
    assert_eq!(message, Icmpv4Message::EchoReply { ident: 1, seq: 2, data: b"abc" });
    assert_eq!((header.src, header.dst), (v4("10.0.0.1"), v4("10.0.0.2")));
    for destination in ["10.0.0.255", "255.255.255.255", "224.0.0.1"] {
        host.receive(Instant::ZERO, &icmp_frame(2, MacAddr::BROADCAST, "10.0.0.2", destination, &ping));
    }
    assert!(host.sent().is_empty());
    assert_eq!(host.discarded(Discard::IcmpIgnored), 3);
}

#[test]
fn a_damaged_icmp_message_is_dropped() {
    let mut host = host();
    let ping = Icmpv4Message::EchoRequest { ident: 1, seq: 2, data: b"abc" };
    let mut frame = icmp_frame(2, mac(1), "10.0.0.2", "10.0.0.1", &ping);
    *frame.last_mut().unwrap() ^= 1;
    host.receive(Instant::ZERO, &frame);
    assert_eq!(host.discarded(Discard::IcmpMalformed), 1);
    let stray = Icmpv4Message::TimeExceeded { code: TimeExceededCode::TTL, quoted: &[0x45, 0, 0] };
    host.receive(Instant::ZERO, &icmp_frame(2, mac(1), "10.0.0.2", "10.0.0.1", &stray));
    assert_eq!(host.discarded(Discard::IcmpMalformed), 2);
}

/// A frame with a SYN for a port that nobody listens on.
fn syn_frame(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let header = TcpHeader { src_port: 9, dst_port: 7, flags: TcpFlags::SYN, window: 1, ..TcpHeader::BLANK };
    let mut segment = vec![0; 20];
    header.emit(&mut segment);
    TcpHeader::fill_checksum(&mut segment, ip("10.0.0.2"), ip("10.0.0.1"));
    let mut frame = frame(ip_header("10.0.0.2", "10.0.0.1", Protocol::TCP), &segment);
    change(&mut frame);
    frame
}

/// Writes IPv4's checksum anew.
fn sum_again(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum = wire::checksum::sum(&frame[14..34]).finish();
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn a_segment_between_the_addresses_of_the_last_one_is_taken_or_refused_for_the_same_reasons() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(Change, Option<Discard>); 13] = [
        (|_| {}, Some(Discard::TcpNoConnection)),
        // Padding belongs to nobody.
        (|frame| frame.extend_from_slice(&[9; 6]), Some(Discard::TcpNoConnection)),
        (|frame| frame[24] ^= 1, Some(Discard::IpChecksum)),
        (|frame| frame[5] = 9, Some(Discard::NotOurMac)),
        (|frame| frame[..6].fill(0xff), Some(Discard::NotOurAddress)),
        (|frame| frame[6] |= 1, Some(Discard::EthernetMalformed)),
        (|frame| frame[13] = 1, Some(Discard::EthernetProtocol)),
        (
            |frame| {
                frame[14] = 0x55;
                sum_again(frame);
            },
            Some(Discard::IpMalformed),
        ),
        (
            |frame| {
                frame[17] = 19;
                sum_again(frame);
            },
            Some(Discard::IpMalformed),
        ),
        (
            |frame| {
                frame[17] = 41;
                sum_again(frame);
            },
            Some(Discard::IpMalformed),
        ),
        (
            |frame| {
                frame[26..30].copy_from_slice(&[127, 0, 0, 1]);
                sum_again(frame);
            },
            Some(Discard::IpSource),
        ),
        (|frame| frame.truncate(40), Some(Discard::IpMalformed)),
        // The first part of a datagram waits for the others.
        (
            |frame| {
                frame[20] = 0x20;
                frame[17] = 36;
                frame.truncate(50);
                sum_again(frame);
            },
            None,
        ),
    ];
    for (number, (change, reason)) in changes.into_iter().enumerate() {
        // With and without a segment before it.
        for judged in [false, true] {
            let mut host = host();
            if judged {
                host.receive(Instant::ZERO, &syn_frame(|_| {}));
            }
            let before = host.stack.discards().clone();
            host.receive(Instant::ZERO, &syn_frame(change));
            let counted: Vec<_> =
                host.stack.discards().iter().filter(|&(reason, count)| count > before.of(reason)).collect();
            let expected = reason.map(|reason| (reason, before.of(reason) + 1));
            assert_eq!(counted, expected.into_iter().collect::<Vec<_>>(), "change {number}, judged: {judged}");
        }
    }
}

#[test]
fn an_address_that_is_gone_is_not_ours_whatever_was_judged_before() {
    let mut host = host();
    host.receive(Instant::ZERO, &syn_frame(|_| {}));
    assert_eq!(host.discarded(Discard::TcpNoConnection), 1);
    host.stack.remove_address(Instant::ZERO, host.interface, ip("10.0.0.1"));
    host.receive(Instant::ZERO, &syn_frame(|_| {}));
    assert_eq!(host.discarded(Discard::TcpNoConnection), 1);
    assert_eq!(host.discarded(Discard::NotOurAddress), 1);
}
