//! Two hosts on a link: the shortest way through every layer.

extern crate wharf_stack as stack;

mod common;

use common::*;
use stack::ip::echo::EchoOptions;
use stack::{Config, Instant};
use stack::{Event, Stack};

fn pair() -> Lan {
    Lan::new(vec![Host::new(1, "10.0.0.1/24"), Host::new(2, "10.0.0.2/24")])
}

#[test]
fn a_ping_is_answered_after_arp_has_found_the_way() {
    let mut lan = pair();
    let (producer, mut consumer) = ring::heap(1 << 16);
    let echo = lan.hosts[0].stack.echo_open(Some(7), producer).unwrap();
    let now = lan.now;
    lan.hosts[0].stack.echo_send(now, echo, ip("10.0.0.2"), 3, b"hello", EchoOptions::default()).unwrap();
    lan.settle();
    let mut buffer = [0; 64];
    let (record, len) = ring::datagram::pop(&mut consumer, &mut buffer).unwrap();
    assert_eq!(record.remote.ip(), ip("10.0.0.2"));
    assert_eq!(record.ttl, 64);
    assert_eq!(&buffer[..len], b"\x00\x03hello");
    assert_eq!(lan.log.len(), 4, "a request and a reply of ARP, a request and a reply of ICMP");
    assert!(lan.log.iter().all(|(_, frame)| frame.len() >= 60), "Ethernet's minimum is kept");
    assert!(matches!(lan.hosts[0].events[..], [Event::Echo(id, _)] if id == echo));
}

#[test]
fn a_datagram_crosses_and_is_answered_from_the_address_it_was_sent_to() {
    let mut lan = pair();
    let client = lan.hosts[0].udp("0.0.0.0:0");
    let mut server = lan.hosts[1].udp("0.0.0.0:53");
    let now = lan.now;
    lan.hosts[0].stack.udp_send(now, client.id, &to("10.0.0.2:53"), b"question").unwrap();
    lan.settle();
    let (record, payload) = server.pop().unwrap();
    assert_eq!(payload, b"question");
    assert_eq!(record.local, Some(ip("10.0.0.2")));
    assert_eq!(record.remote.ip(), ip("10.0.0.1"));
    // U3: what came with the datagram is enough to answer it.
    lan.hosts[1].stack.udp_send(now, server.id, &record, b"answer").unwrap();
    lan.settle();
    let mut client = client;
    assert_eq!(client.pop().unwrap().1, b"answer");
}

#[test]
fn traffic_to_an_own_address_stays_inside_without_any_interface() {
    let mut stack = Stack::new(Config::default(), seed(1));
    let (rings, (_, receive)) = udp_rings();
    let server = stack.udp_bind(at("127.0.0.1:9"), Default::default(), rings).unwrap();
    let (rings, _application) = udp_rings();
    let client = stack.udp_bind(at("127.0.0.1:0"), Default::default(), rings).unwrap();
    stack.udp_send(Instant::ZERO, client, &to("127.0.0.1:9"), b"inside").unwrap();
    while stack.poll_timeout() == Instant::ZERO {
        stack.handle_timeout(Instant::ZERO);
    }
    let mut server = Udp { id: server, receive, send: ring::heap(0).0 };
    assert_eq!(server.pop().unwrap().1, b"inside");
}
