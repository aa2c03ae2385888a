//! Any-address mode: flows to every address wait for the owner, in bounds.

extern crate wharf_stack as stack;

mod common;

use common::*;
use stack::ip::icmp::ErrorKind;
use stack::ports::BindError;
use stack::udp::UdpOptions;
use stack::{Config, Discard, Event, Instant};
use wire::icmpv4::{Icmpv4Message, Quoted, UnreachableCode};

fn gateway() -> Host {
    let mut host = Host::with(1, "10.0.2.2/24", |config| config.any_address = true);
    host.knows("10.0.2.15", 2);
    host
}

fn guest(dst: &str, payload: &[u8]) -> Vec<u8> {
    udp_frame(2, 1, "10.0.2.15:4000", dst, payload)
}

fn incoming(host: &mut Host) -> Vec<(String, String)> {
    host.events
        .drain(..)
        .filter_map(|event| match event {
            Event::UdpIncoming { local, remote, .. } => Some((local.to_string(), remote.to_string())),
            _ => None,
        })
        .collect()
}

fn admit(host: &mut Host, local: &str) -> Udp {
    let (rings, application) = udp_rings();
    let id = host.stack.udp_admit(at(local), at("10.0.2.15:4000"), UdpOptions::default(), rings).unwrap();
    Udp { id, receive: application.1, send: application.0 }
}

#[test]
fn the_first_datagrams_of_a_flow_wait_and_are_delivered_to_who_takes_it() {
    let mut host = gateway();
    for n in 0..3u8 {
        host.receive(Instant::ZERO, &guest("8.8.8.8:53", &[n]));
    }
    assert_eq!(incoming(&mut host), [("8.8.8.8:53".into(), "10.0.2.15:4000".into())], "one event a flow");
    let mut flow = admit(&mut host, "8.8.8.8:53");
    host.receive(Instant::ZERO, &guest("8.8.8.8:53", &[3]));
    let got: Vec<u8> = std::iter::from_fn(|| flow.pop()).map(|(_, payload)| payload[0]).collect();
    assert_eq!(got, [0, 1, 2, 3]);
    // The answer comes from the address that was asked.
    host.stack.udp_send(Instant::ZERO, flow.id, &to("0.0.0.0:0"), b"answer").unwrap();
    host.drain(Instant::ZERO);
    let frames = host.sent();
    let (header, _) = ipv4_of(&frames[0]).unwrap();
    assert_eq!((header.src, header.dst), (v4("8.8.8.8"), v4("10.0.2.15")));
    let again = host.stack.udp_admit(at("8.8.8.8:53"), at("10.0.2.15:4000"), UdpOptions::default(), udp_rings().0);
    assert_eq!(again, Err(BindError::InUse));
}

#[test]
fn a_refused_flow_is_reported_about_its_first_datagram() {
    let mut host = gateway();
    host.receive(Instant::ZERO, &guest("8.8.8.8:53", b"question"));
    assert!(host.stack.udp_refuse(
        Instant::ZERO,
        at("8.8.8.8:53"),
        at("10.0.2.15:4000"),
        Some(ErrorKind::PortUnreachable)
    ));
    host.drain(Instant::ZERO);
    let frames = host.sent();
    let (header, message) = icmp_of(&frames[0]).unwrap();
    assert_eq!(header.src, v4("8.8.8.8"));
    let Icmpv4Message::DestinationUnreachable { code: UnreachableCode::PORT, quoted, .. } = message else { panic!() };
    assert_eq!(Quoted::parse(quoted).unwrap().ports(), Some((4000, 53)));
    assert!(!host.stack.udp_refuse(Instant::ZERO, at("8.8.8.8:53"), at("10.0.2.15:4000"), None));
}

#[test]
fn an_error_of_the_outside_is_reported_to_the_peer_of_an_admitted_flow() {
    let mut host = gateway();
    host.receive(Instant::ZERO, &guest("8.8.8.8:53", b"question"));
    let flow = admit(&mut host, "8.8.8.8:53");
    host.stack.udp_report(Instant::ZERO, flow.id, ErrorKind::PortUnreachable);
    host.drain(Instant::ZERO);
    let frames = host.sent();
    let (header, message) = icmp_of(&frames[0]).unwrap();
    assert_eq!((header.src, header.dst), (v4("8.8.8.8"), v4("10.0.2.15")));
    let Icmpv4Message::DestinationUnreachable { quoted, .. } = message else { panic!() };
    let quote = Quoted::parse(quoted).unwrap();
    assert_eq!((quote.header.src, quote.header.dst), (v4("10.0.2.15"), v4("8.8.8.8")));
    assert_eq!(quote.ports(), Some((4000, 53)));
}

#[test]
fn our_own_address_is_served_by_our_own_sockets_and_without_one_the_owner_decides() {
    let mut host = gateway();
    let mut dhcp = host.udp("0.0.0.0:67");
    host.receive(Instant::ZERO, &guest("10.0.2.2:67", b"x"));
    assert!(dhcp.pop().is_some());
    assert!(incoming(&mut host).is_empty());
    host.receive(Instant::ZERO, &guest("10.0.2.2:68", b"x"));
    assert_eq!(incoming(&mut host), [("10.0.2.2:68".into(), "10.0.2.15:4000".into())]);
}

#[test]
fn a_socket_on_all_addresses_also_hears_foreign_ones_and_admitted_flows_block_no_bind() {
    let mut host = gateway();
    host.receive(Instant::ZERO, &guest("8.8.8.8:53", b"x"));
    let _flow = admit(&mut host, "8.8.8.8:53");
    let _resolver = host.udp("10.0.2.2:53");
    host.receive(Instant::ZERO, &guest("9.9.9.9:53", b"x"));
    assert_eq!(incoming(&mut host).len(), 2);
}

#[test]
fn what_is_held_is_bounded_in_flows_datagrams_and_bytes() {
    let mut config = Config::default();
    config.held_bytes = 100_000;
    let mut host = Host::with_config(config, 1, "10.0.2.2/24", |config| config.any_address = true);
    for port in 1..=5_000u16 {
        host.stack.handle_frame(
            Instant::ZERO,
            host.interface,
            &device::RxFrame::plain(&guest(&format!("8.8.8.8:{port}"), b"x")),
        );
    }
    host.drain(Instant::ZERO);
    let flows = incoming(&mut host).len();
    assert!(flows <= 1_024, "{flows} flows");
    assert_eq!(host.discarded(Discard::UdpHeld), 5_000 - flows as u64);
    let mut host = gateway();
    for _ in 0..100 {
        host.receive(Instant::ZERO, &guest("8.8.8.8:53", &[0; 100]));
    }
    let mut flow = admit(&mut host, "8.8.8.8:53");
    assert_eq!(std::iter::from_fn(|| flow.pop()).count(), 16);
}

#[test]
fn flows_that_nobody_decides_about_go_after_a_while() {
    let mut host = gateway();
    host.receive(Instant::ZERO, &guest("8.8.8.8:53", b"x"));
    assert!(host.stack.poll_timeout() <= Instant::from_secs(30));
    let deadline = Instant::from_secs(31);
    host.stack.handle_timeout(deadline);
    assert_eq!(host.discarded(Discard::UdpHeld), 1);
    assert!(!host.stack.udp_refuse(deadline, at("8.8.8.8:53"), at("10.0.2.15:4000"), None));
}

#[test]
fn addresses_that_are_nobodys_are_not_offered() {
    let mut host = gateway();
    for destination in ["0.0.0.0:1", "127.0.0.1:1", "240.0.0.1:1", "239.0.0.1:1"] {
        host.receive(Instant::ZERO, &guest(destination, b"x"));
    }
    assert!(incoming(&mut host).is_empty());
}

#[test]
fn an_echo_to_a_foreign_address_is_the_owners_to_answer() {
    let mut host = gateway();
    let ping = Icmpv4Message::EchoRequest { ident: 5, seq: 6, data: b"far" };
    for _ in 0..2 {
        host.receive(Instant::ZERO, &icmp_frame(2, mac(1), "10.0.2.15", "1.1.1.1", &ping));
    }
    let requests: Vec<_> = host
        .events
        .drain(..)
        .filter_map(|event| if let Event::EchoIncoming(echo) = event { Some(echo) } else { None })
        .collect();
    assert_eq!(requests.len(), 2);
    assert!(host.sent().is_empty());
    host.stack.echo_reply(Instant::ZERO, &requests[0]);
    host.drain(Instant::ZERO);
    host.stack.echo_refuse(Instant::ZERO, &requests[1], ErrorKind::AdministrativelyProhibited);
    host.drain(Instant::ZERO);
    let frames = host.sent();
    let (header, message) = icmp_of(&frames[0]).unwrap();
    assert_eq!((header.src, message), (v4("1.1.1.1"), Icmpv4Message::EchoReply { ident: 5, seq: 6, data: b"far" }));
    let (_, message) = icmp_of(&frames[1]).unwrap();
    let Icmpv4Message::DestinationUnreachable { quoted, .. } = message else { panic!() };
    assert_eq!(Quoted::parse(quoted).unwrap().echo(), Some((5, 6)));
    // Requests that the owner does not read are bounded.
    let frame = icmp_frame(2, mac(1), "10.0.2.15", "1.1.1.1", &ping);
    for _ in 0..1_000 {
        host.stack.handle_frame(Instant::ZERO, host.interface, &device::RxFrame::plain(&frame));
    }
    assert_eq!(host.discarded(Discard::EventQueue), 1_000 - 64);
    // To our own address we answer ourselves.
    host.receive(Instant::ZERO, &icmp_frame(2, mac(1), "10.0.2.15", "10.0.2.2", &ping));
    assert_eq!(icmp_of(host.sent().last().unwrap()).unwrap().0.src, v4("10.0.2.2"));
}
