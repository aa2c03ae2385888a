//! Echo sockets: what ping and traceroute see.

extern crate wharf_stack as stack;

mod common;

use common::*;
use ring::datagram;
use stack::event::Readiness;
use stack::ip::echo::EchoOptions;
use stack::ip::icmp::ErrorKind;
use stack::ports::BindError;
use stack::udp::SendError;
use stack::{Discard, Event, Instant};
use wire::icmpv4::{Icmpv4Message, TimeExceededCode, UnreachableCode};

fn host() -> Host {
    let mut host = Host::new(1, "10.0.0.1/24");
    host.knows("10.0.0.2", 2);
    host
}

#[test]
fn replies_find_their_socket_by_identifier() {
    let mut host = host();
    let (producer, mut one) = ring::heap(1 << 16);
    let first = host.stack.echo_open(Some(1), producer).unwrap();
    let (producer, mut two) = ring::heap(1 << 16);
    let second = host.stack.echo_open(None, producer).unwrap();
    let ident = host.stack.echo_ident(second).unwrap();
    assert_ne!(ident, 1);
    let reply = Icmpv4Message::EchoReply { ident, seq: 0x0102, data: b"abc" };
    host.receive(Instant::ZERO, &icmp_frame(2, mac(1), "10.0.0.2", "10.0.0.1", &reply));
    let mut buffer = [0; 64];
    assert!(datagram::pop(&mut one, &mut buffer).is_none());
    let (record, len) = datagram::pop(&mut two, &mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"\x01\x02abc");
    assert_eq!((record.remote, record.ttl), (at("10.0.0.2:0"), 64));
    assert_eq!(host.events, [Event::Echo(second, Readiness::READABLE)]);
    assert_eq!(host.stack.echo_open(Some(1), ring::heap(0).0), Err(BindError::InUse));
    host.stack.echo_close(first);
    assert!(host.stack.echo_open(Some(1), ring::heap(0).0).is_ok());
    // Nobody's reply is counted.
    let stray = Icmpv4Message::EchoReply { ident: ident ^ 0x5555, seq: 1, data: b"" };
    host.receive(Instant::ZERO, &icmp_frame(2, mac(1), "10.0.0.2", "10.0.0.1", &stray));
    assert_eq!(host.discarded(Discard::IcmpIgnored), 1);
}

#[test]
fn errors_tell_who_reported_them_as_traceroute_needs() {
    let mut host = host();
    let echo = host.stack.echo_open(Some(1), ring::heap(1 << 16).0).unwrap();
    let options = EchoOptions { ttl: Some(1), ..EchoOptions::default() };
    host.stack.echo_send(Instant::ZERO, echo, ip("10.0.0.2"), 9, b"data", options).unwrap();
    host.drain(Instant::ZERO);
    let sent = host.sent()[0][14..].to_vec();
    assert_eq!(sent[8], 1, "the TTL that was asked for");
    let expired = Icmpv4Message::TimeExceeded { code: TimeExceededCode::TTL, quoted: &sent[..28] };
    host.receive(Instant::ZERO, &icmp_frame(2, mac(1), "192.168.0.1", "10.0.0.1", &expired));
    let error = host.stack.echo_take_error(echo).unwrap();
    assert_eq!((error.from, error.destination, error.seq), (ip("192.168.0.1"), ip("10.0.0.2"), 9));
    assert_eq!(error.kind, ErrorKind::TimeExceeded);
    assert!(host.events.contains(&Event::Echo(echo, Readiness::ERROR)));
}

#[test]
fn forged_errors_reach_no_echo_socket() {
    // U5
    let mut host = host();
    let echo = host.stack.echo_open(Some(1), ring::heap(1 << 16).0).unwrap();
    host.stack.echo_send(Instant::ZERO, echo, ip("10.0.0.2"), 9, b"", EchoOptions::default()).unwrap();
    let about = |ident: u16, destination: &str| {
        let ping = Icmpv4Message::EchoRequest { ident, seq: 9, data: b"" };
        icmp_frame(1, mac(2), "10.0.0.1", destination, &ping)[14..].to_vec()
    };
    let reply = {
        let pong = Icmpv4Message::EchoReply { ident: 1, seq: 9, data: b"" };
        icmp_frame(1, mac(2), "10.0.0.1", "10.0.0.2", &pong)[14..].to_vec()
    };
    for quoted in [about(2, "10.0.0.2"), about(1, "10.0.0.3"), reply] {
        let code = UnreachableCode::HOST;
        let message = Icmpv4Message::DestinationUnreachable { code, next_hop_mtu: 0, quoted: &quoted };
        host.receive(Instant::ZERO, &icmp_frame(2, mac(1), "10.0.0.2", "10.0.0.1", &message));
    }
    assert_eq!(host.stack.echo_take_error(echo), None);
    assert_eq!(host.discarded(Discard::IcmpUnmatched), 3);
}

#[test]
fn a_host_that_does_not_answer_arp_is_an_error_too() {
    let mut lan = Lan::new(vec![host()]);
    let echo = lan.hosts[0].stack.echo_open(Some(1), ring::heap(1 << 16).0).unwrap();
    lan.hosts[0].stack.echo_send(Instant::ZERO, echo, ip("10.0.0.99"), 1, b"", EchoOptions::default()).unwrap();
    lan.run_secs(4);
    let error = lan.hosts[0].stack.echo_take_error(echo).unwrap();
    assert_eq!((error.kind, error.from), (ErrorKind::HostUnreachable, ip("10.0.0.1")));
}

#[test]
fn what_cannot_be_sent_says_why() {
    let mut host = host();
    let echo = host.stack.echo_open(Some(1), ring::heap(1 << 16).0).unwrap();
    let mut send = |destination: &str, len: usize, dont_fragment| {
        let options = EchoOptions { dont_fragment, ..EchoOptions::default() };
        host.stack.echo_send(Instant::ZERO, echo, ip(destination), 1, &vec![0; len], options)
    };
    assert_eq!(send("8.8.8.8", 1, false), Err(SendError::NoRoute));
    assert_eq!(send("10.0.0.255", 1, false), Err(SendError::Broadcast));
    assert_eq!(send("10.0.0.2", 1_473, true), Err(SendError::TooBig(1_472)));
    assert_eq!(send("10.0.0.2", 65_508, false), Err(SendError::TooBig(65_507)));
    assert_eq!(send("10.0.0.2", 65_507, false), Ok(()));
}

#[test]
fn a_large_ping_to_oneself_and_over_the_link_comes_back_whole() {
    let mut lan = Lan::new(vec![Host::new(1, "10.0.0.1/24"), Host::new(2, "10.0.0.2/24")]);
    let (producer, mut receive) = ring::heap(1 << 20);
    let echo = lan.hosts[0].stack.echo_open(Some(1), producer).unwrap();
    let data: Vec<u8> = (0..20_000).map(|n| (n % 249) as u8).collect();
    for destination in ["10.0.0.2", "10.0.0.1", "127.0.0.1"] {
        let now = lan.now;
        lan.hosts[0].stack.echo_send(now, echo, ip(destination), 1, &data, EchoOptions::default()).unwrap();
        lan.settle();
        let mut buffer = vec![0; 65_536];
        let (record, len) = datagram::pop(&mut receive, &mut buffer).unwrap();
        assert_eq!(record.remote.ip(), ip(destination));
        assert_eq!(buffer[2..len], data);
    }
}

#[test]
fn a_full_ring_drops_replies_counted() {
    let mut host = host();
    let _echo = host.stack.echo_open(Some(1), ring::heap(200).0).unwrap();
    let reply = Icmpv4Message::EchoReply { ident: 1, seq: 1, data: &[0; 50] };
    for _ in 0..10 {
        host.receive(Instant::ZERO, &icmp_frame(2, mac(1), "10.0.0.2", "10.0.0.1", &reply));
    }
    assert!(host.discarded(Discard::EchoQueueFull) >= 8);
}
