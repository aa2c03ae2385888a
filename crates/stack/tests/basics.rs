//! Two hosts on a link: the shortest way through every layer.

extern crate wharf_stack as stack;

mod common;

use common::*;
use std::time::Duration;

use stack::ip::echo::EchoOptions;
use stack::tcp::heap_rings;
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

#[test]
fn what_a_connection_sends_to_this_engine_goes_to_no_device_that_is_offered_for_the_loopback() {
    let mut stack = Stack::new(Config::default(), seed(1));
    let lo = stack.interfaces()[0].id;
    let mut port = Port::new(device::Capabilities::plain(mac(1), 1500));
    let mut now = Instant::from_secs(1);
    let settle = |stack: &mut Stack, port: &mut Port, now: Instant| {
        // As for any other interface, which the loopback may be taken for.
        assert!(stack.poll_transmit(now, lo, port));
        while stack.poll_timeout() <= now {
            stack.handle_timeout(now);
        }
    };
    let listener = stack.tcp_listen(at("127.0.0.1:7"), Default::default()).unwrap();
    let (rings, mut client) = heap_rings(1024, 1024);
    let id = stack.tcp_connect(now, at("127.0.0.1:7"), &Default::default(), rings).unwrap();
    settle(&mut stack, &mut port, now);
    let mut server = stack.tcp_accept(now, listener).unwrap();
    let mut answer = [0; 8];
    for _ in 0..20 {
        now += Duration::from_millis(1);
        assert_eq!(client.send.write(b"question"), 8);
        stack.tcp_wrote(now, id);
        settle(&mut stack, &mut port, now);
        assert_eq!(server.rings.receive.read(&mut answer), 8);
        stack.tcp_read(now, server.connection);
        assert_eq!(server.rings.send.write(b"answered"), 8);
        assert!(stack.tcp_push(now, server.connection, lo, &mut port));
        settle(&mut stack, &mut port, now);
        assert_eq!(client.receive.read(&mut answer), 8);
        stack.tcp_read(now, id);
        assert_eq!(&answer, b"answered");
    }
    assert!(port.sent.is_empty(), "{:?}", port.sent);
}

#[test]
fn whoever_has_the_only_thing_to_send_is_told_that_the_device_is_full_and_sends_it_once_when_it_is_not() {
    let mut lan = pair();
    lan.now = Instant::from_secs(1);
    lan.hosts[0].knows("10.0.0.2", 2);
    lan.hosts[1].knows("10.0.0.1", 1);
    let listener = lan.hosts[1].stack.tcp_listen(at("10.0.0.2:7"), Default::default()).unwrap();
    let (rings, mut client) = heap_rings(1 << 16, 1 << 16);
    let id = lan.hosts[0].stack.tcp_connect(lan.now, at("10.0.0.2:7"), &Default::default(), rings).unwrap();
    let drain = |lan: &mut Lan, room| {
        let (now, host) = (lan.now, &mut lan.hosts[0]);
        host.port.room = room;
        let done = host.stack.poll_transmit(now, host.interface, &mut host.port);
        host.port.room = usize::MAX;
        (done, host.port.sent.len())
    };
    assert_eq!(drain(&mut lan, 0), (false, 0), "the SYN");
    assert_eq!(drain(&mut lan, 1), (true, 1));
    lan.settle();
    let server = lan.hosts[1].stack.tcp_accept(lan.now, listener).unwrap();
    // The first goes by the path's template, the others over their flow's headers.
    for n in 0..3 {
        client.send.write(b"question");
        lan.hosts[0].stack.tcp_wrote(lan.now, id);
        assert_eq!(drain(&mut lan, 0), (false, 0), "message {n}");
        assert_eq!(drain(&mut lan, 0), (false, 0), "message {n}, still full");
        assert_eq!(drain(&mut lan, 1), (true, 1), "message {n}");
        lan.settle();
        lan.run(Duration::from_millis(100));
    }
    let mut server = server.rings;
    assert_eq!(server.receive.read(&mut [0; 100]), 3 * b"question".len());
    client.send.finish();
    lan.hosts[0].stack.tcp_wrote(lan.now, id);
    assert_eq!(drain(&mut lan, 0), (false, 0), "the FIN");
    assert_eq!(drain(&mut lan, 1), (true, 1));
    lan.settle();
    assert!(server.receive.is_finished());
}
