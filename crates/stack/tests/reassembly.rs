//! Reassembly: I4, I5, L2; and fragmentation: I5, I6, I12.

extern crate wharf_stack as stack;

mod common;

use std::collections::HashSet;

use common::*;
use device::{RxChecksum, RxFrame};
use stack::ip::routes::Route;
use stack::link::InterfaceConfig;
use stack::udp::{SendError, UdpOptions};
use stack::{Config, Discard, Instant};
use wire::ethernet::EtherType;
use wire::icmpv4::{Icmpv4Message, TimeExceededCode};
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;

fn host() -> Host {
    let mut host = Host::new(1, "10.0.0.1/24");
    host.knows("10.0.0.2", 2);
    host
}

/// The frames of a datagram cut into pieces of `size` bytes.
fn fragments(payload: &[u8], id: u16, size: usize) -> Vec<Vec<u8>> {
    let datagram = udp_datagram("10.0.0.2:9", "10.0.0.1:7", payload);
    let count = datagram.len().div_ceil(size);
    (0..count)
        .map(|n| {
            let bytes = &datagram[n * size..datagram.len().min((n + 1) * size)];
            fragment(id, n * size, n + 1 < count, bytes)
        })
        .collect()
}

fn fragment(id: u16, offset: usize, more: bool, bytes: &[u8]) -> Vec<u8> {
    let header = Ipv4Header {
        identification: id,
        fragment_offset: offset as u16,
        more_fragments: more,
        ..ip_header("10.0.0.2", "10.0.0.1", Protocol::UDP)
    };
    ethernet(mac(1), mac(2), EtherType::IPV4, &packet(header, bytes))
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 % 251) as u8).collect()
}

#[test]
fn fragments_in_any_order_and_twice_become_the_datagram_once() {
    let mut host = host();
    let mut socket = host.udp("0.0.0.0:7");
    let payload = bytes(5_000);
    let parts = fragments(&payload, 1, 1_000);
    for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]] {
        for at in order {
            host.receive(Instant::ZERO, &parts[at]);
            if at != *order.last().unwrap() {
                host.receive(Instant::ZERO, &parts[at]);
            }
        }
        assert_eq!(socket.pop().unwrap().1, payload);
        assert!(socket.pop().is_none());
    }
}

#[test]
fn many_datagrams_are_reassembled_at_once() {
    // I4
    let mut host = host();
    let (rings, (_, receive)) = udp_rings();
    let id = host.stack.udp_bind(at("0.0.0.0:7"), Default::default(), rings).unwrap();
    let mut socket = Udp { id, receive, send: ring::heap(0).0 };
    let parts: Vec<_> = (0..500u16).map(|id| fragments(&id.to_be_bytes().repeat(30), id, 32)).collect();
    for n in 0..parts[0].len() {
        for datagram in &parts {
            host.receive(Instant::ZERO, &datagram[n]);
        }
    }
    assert_eq!(std::iter::from_fn(|| socket.pop()).count(), 500);
}

#[test]
fn memory_for_fragments_is_bounded_and_the_oldest_datagram_goes() {
    // I4
    let mut config = Config::default();
    config.reassembly_bytes = 20_000;
    let mut host = Host::with_config(config, 1, "10.0.0.1/24", |_| {});
    let mut socket = host.udp("0.0.0.0:7");
    let parts: Vec<_> = (0..30u16).map(|id| fragments(&bytes(1_400), id, 1_000)).collect();
    for datagram in &parts {
        host.receive(Instant::ZERO, &datagram[0]);
    }
    let evicted = host.discarded(Discard::FragmentMemory);
    assert!((15..=25).contains(&evicted), "{evicted}");
    host.receive(Instant::ZERO, &parts[0][1]);
    assert!(socket.pop().is_none(), "the oldest is gone");
    host.receive(Instant::ZERO, &parts[29][1]);
    assert!(socket.pop().is_some(), "the newest is whole");
}

#[test]
fn a_flood_of_tiny_fragments_costs_no_more_than_the_limit() {
    let mut config = Config::default();
    config.reassembly_bytes = 100_000;
    let mut host = Host::with_config(config, 1, "10.0.0.1/24", |_| {});
    for n in 0..20_000usize {
        host.receive(Instant::ZERO, &fragment(n as u16, 8 * (n % 8_000), true, &[0; 8]));
    }
    assert!(host.discarded(Discard::FragmentMemory) > 19_000);
}

#[test]
fn what_never_comes_is_given_up_after_thirty_seconds_and_reported() {
    // I4: time exceeded is sent.
    let mut lan = Lan::new(vec![host()]);
    lan.hosts[0].receive(Instant::ZERO, &fragments(&bytes(2_000), 1, 1_000)[0]);
    lan.hosts[0].receive(Instant::ZERO, &fragments(&bytes(2_000), 2, 1_000)[1]);
    lan.run_secs(29);
    assert!(lan.log.is_empty());
    lan.run_secs(2);
    assert_eq!(lan.hosts[0].discarded(Discard::FragmentTimeout), 2);
    // RFC 792: only where fragment zero is there.
    assert_eq!(lan.log.len(), 1);
    let (_, message) = icmp_of(&lan.log[0].1).unwrap();
    let Icmpv4Message::TimeExceeded { code: TimeExceededCode::REASSEMBLY, quoted } = message else { panic!() };
    assert_eq!(Ipv4Header::parse_without_checksum(quoted).unwrap().0.identification, 1);
}

#[test]
fn fragments_that_overlap_end_their_datagram() {
    // I4: overlaps end it.
    for (offset, len) in [(8, 32), (0, 24), (0, 40), (16, 8)] {
        let mut host = host();
        let mut socket = host.udp("0.0.0.0:7");
        let parts = fragments(&bytes(56), 1, 32);
        host.receive(Instant::ZERO, &parts[0]);
        host.receive(Instant::ZERO, &fragment(1, offset, true, &vec![0xaa; len]));
        assert_eq!(host.discarded(Discard::FragmentOverlap), 1, "{offset}+{len}");
        host.receive(Instant::ZERO, &parts[1]);
        assert!(socket.pop().is_none());
    }
}

#[test]
fn two_ends_and_bytes_beyond_the_end_are_refused() {
    let mut host = host();
    host.receive(Instant::ZERO, &fragment(1, 64, false, &[0; 8]));
    host.receive(Instant::ZERO, &fragment(1, 128, false, &[0; 8]));
    host.receive(Instant::ZERO, &fragment(2, 64, false, &[0; 8]));
    host.receive(Instant::ZERO, &fragment(2, 128, true, &[0; 8]));
    host.receive(Instant::ZERO, &fragment(3, 128, true, &[0; 8]));
    host.receive(Instant::ZERO, &fragment(3, 64, false, &[0; 8]));
    assert_eq!(host.discarded(Discard::FragmentOverlap), 3);
}

#[test]
fn impossible_fragments_are_dropped() {
    // L5: lengths cannot wrap.
    let mut host = host();
    host.receive(Instant::ZERO, &fragment(1, 65_528, false, &[0; 100]));
    host.receive(Instant::ZERO, &fragment(1, 8, true, &[0; 13]));
    host.receive(Instant::ZERO, &fragment(1, 8, false, &[]));
    assert_eq!(host.discarded(Discard::FragmentMalformed), 3);
}

#[test]
fn the_header_is_fragment_zeros_and_the_checksum_is_verified_in_software() {
    // I5; L2: fragments are never trusted.
    let mut host = host();
    let mut socket = host.udp("0.0.0.0:7");
    let parts = fragments(&bytes(100), 1, 64);
    let mut second = parts[1].clone();
    second[14 + 8] = 9;
    let header = &mut second[14..34];
    header[10..12].fill(0);
    let checksum = wire::checksum::sum(header).finish();
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    host.receive(Instant::ZERO, &second);
    host.receive(Instant::ZERO, &parts[0]);
    assert_eq!(socket.pop().unwrap().0.ttl, 64, "not the other fragment's 9");

    let mut damaged = parts[1].clone();
    *damaged.last_mut().unwrap() ^= 1;
    for frame in [&parts[0], &damaged] {
        let received = RxFrame { checksum: RxChecksum::Verified, ..RxFrame::plain(frame) };
        host.stack.handle_frame(Instant::ZERO, host.interface, &received);
    }
    assert!(socket.pop().is_none());
    assert_eq!(host.discarded(Discard::UdpChecksum), 1);
}

#[test]
fn a_congestion_mark_on_one_fragment_marks_the_datagram() {
    let mut host = host();
    let mut socket = host.udp("0.0.0.0:7");
    let datagram = udp_datagram("10.0.0.2:9", "10.0.0.1:7", &bytes(100));
    for (n, tos) in [(0, 2), (1, 3)] {
        let header = Ipv4Header {
            tos,
            identification: 1,
            fragment_offset: n * 64,
            more_fragments: n == 0,
            ..ip_header("10.0.0.2", "10.0.0.1", Protocol::UDP)
        };
        let at = usize::from(n) * 64;
        let part = &datagram[at..datagram.len().min(at + 64)];
        host.receive(Instant::ZERO, &ethernet(mac(1), mac(2), EtherType::IPV4, &packet(header, part)));
    }
    assert_eq!(socket.pop().unwrap().0.tos, 3);
}

#[test]
fn datagrams_of_every_size_cross_a_link_of_every_size() {
    // I12: a tiny MTU underflows nothing.
    for mtu in [68, 69, 75, 76, 100, 576, 1_500, 9_000] {
        let shrink = |config: &mut InterfaceConfig| config.capabilities.mtu = mtu;
        let hosts = vec![Host::with(1, "10.0.0.1/24", shrink), Host::with(2, "10.0.0.2/24", shrink)];
        let mut lan = Lan::new(hosts);
        lan.hosts[0].knows("10.0.0.2", 2);
        let sender = lan.hosts[0].udp("0.0.0.0:0");
        let mut receiver = lan.hosts[1].udp("0.0.0.0:7");
        for len in [0, 1, 39, 40, 41, 1_471, 1_472, 1_473, 4_000, 9_001, 20_000, 65_507] {
            let payload = bytes(len);
            let now = lan.now;
            lan.hosts[0].stack.udp_send(now, sender.id, &to("10.0.0.2:7"), &payload).unwrap();
            lan.settle();
            let received = receiver.pop();
            assert_eq!(received.map(|(_, bytes)| bytes), Some(payload), "{len} bytes over {mtu}");
        }
        assert!(lan.log.iter().all(|(_, frame)| frame.len() <= 14 + mtu.max(46) as usize));
    }
}

#[test]
fn a_datagram_larger_than_its_path_is_an_error_for_who_forbids_fragments() {
    // U2
    let mut host = host();
    let options = UdpOptions::default();
    let mut strict = UdpOptions::default();
    strict.dont_fragment = true;
    let socket = host.udp_with("0.0.0.0:0", strict);
    let sent = host.stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), &[0; 1_473]);
    assert_eq!(sent, Err(SendError::TooBig(1_472)));
    host.stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), &[0; 1_472]).unwrap();
    host.drain(Instant::ZERO);
    assert!(ipv4_of(&host.sent()[0]).unwrap().0.dont_fragment);
    let socket = host.udp_with("0.0.0.0:0", options);
    let sent = host.stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), &[0; 65_508]);
    assert_eq!(sent, Err(SendError::TooBig(65_507)));
}

#[test]
fn identifications_do_not_repeat_and_differ_between_destinations() {
    // I5: fragment ids are unpredictable.
    let mut host = host();
    host.knows("10.0.0.3", 3);
    let socket = host.udp("0.0.0.0:0");
    let mut seen = [Vec::new(), Vec::new()];
    for _ in 0..1_000 {
        for (n, destination) in ["10.0.0.2:7", "10.0.0.3:7"].into_iter().enumerate() {
            host.stack.udp_send(Instant::ZERO, socket.id, &to(destination), b"x").unwrap();
            host.drain(Instant::ZERO);
            seen[n].push(ipv4_of(&host.sent()[0]).unwrap().0.identification);
        }
    }
    for ids in &seen {
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "no repetition within a lifetime");
    }
    let gap = |n: usize| seen[1][n].wrapping_sub(seen[0][n]);
    assert_ne!(seen[0][0], seen[1][0]);
    assert!(gap(0) != 1 && gap(0) != 0xffff, "what one destination sees tells nothing of the other");
    // A thousand destinations share the counters; their first numbers are still no neighbours of one another.
    let interface = host.interface;
    let everything = cidr("0.0.0.0/0");
    let route = Route { destination: everything, via: Some(ip("10.0.0.2")), interface, metric: 0, mtu: None };
    host.stack.add_route(route).unwrap();
    let mut first: Vec<u16> = Vec::new();
    for n in 0..1_000u16 {
        let destination = to(&format!("100.64.{}.{}:7", n >> 8, n & 255));
        host.stack.udp_send(Instant::ZERO, socket.id, &destination, b"x").unwrap();
        host.drain(Instant::ZERO);
        first.push(ipv4_of(&host.sent()[0]).unwrap().0.identification);
    }
    first.sort_unstable();
    let adjacent = first.windows(2).filter(|pair| pair[1] - pair[0] == 1).count();
    assert!(adjacent < 100, "{adjacent} of 1000 follow one another; chance makes about 15");
    let mut other = Host::new(9, "10.0.0.1/24");
    other.knows("10.0.0.2", 2);
    let socket = other.udp("0.0.0.0:0");
    other.stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), b"x").unwrap();
    other.drain(Instant::ZERO);
    assert_ne!(ipv4_of(&other.sent()[0]).unwrap().0.identification, seen[0][0], "another seed, another start");
}
