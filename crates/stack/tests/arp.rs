//! ARP and the neighbour cache: N1, N2, N3, U1.

extern crate wharf_stack as stack;

mod common;

use std::time::Duration;

use common::*;
use stack::config::NeighborConfig;
use stack::link::neighbors::NeighborState;
use stack::tcp::{ConnectOptions, ListenOptions, heap_rings};
use stack::{Config, Discard, Instant};
use wire::arp::{ArpOperation, ArpPacket};
use wire::ethernet::MacAddr;

fn pair() -> Lan {
    Lan::new(vec![Host::new(1, "10.0.0.1/24"), Host::new(2, "10.0.0.2/24")])
}

fn state(host: &Host, address: &str) -> Option<NeighborState> {
    let neighbors = host.stack.neighbors(host.interface);
    neighbors.iter().find(|entry| entry.address == ip(address)).map(|entry| entry.state)
}

fn requests_for(lan: &Lan, address: &str) -> usize {
    lan.arps().iter().filter(|(_, arp)| arp.operation == ArpOperation::Request && arp.target_ip == v4(address)).count()
}

/// A reply that claims `address` for station `n`.
fn claim(address: &str, n: u8, to: &str, station: u8) -> Vec<u8> {
    let packet = ArpPacket {
        operation: ArpOperation::Reply,
        sender_mac: mac(n),
        sender_ip: v4(address),
        target_mac: mac(station),
        target_ip: v4(to),
    };
    arp_frame(mac(station), &packet)
}

#[test]
fn datagrams_to_an_unresolved_neighbour_are_kept_and_sent_in_order() {
    // U1
    let mut lan = pair();
    let socket = lan.hosts[0].udp("0.0.0.0:0");
    let mut receiver = lan.hosts[1].udp("0.0.0.0:7");
    for n in 0..10u8 {
        lan.hosts[0].stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), &[n]).unwrap();
    }
    lan.settle();
    let received: Vec<u8> = std::iter::from_fn(|| receiver.pop()).map(|(_, payload)| payload[0]).collect();
    assert_eq!(received, (0..10).collect::<Vec<_>>());
    assert_eq!(requests_for(&lan, "10.0.0.2"), 1, "one question for all of them");
}

#[test]
fn the_answer_to_a_syn_from_an_unresolved_neighbour_asks_for_it_in_the_same_drain() {
    let mut client = Host::new(1, "10.0.0.1/24");
    client.knows("10.0.0.2", 2);
    let (rings, _application) = heap_rings(4_096, 4_096);
    client.stack.tcp_connect(Instant::ZERO, at("10.0.0.2:7"), &ConnectOptions::default(), rings).unwrap();
    client.drain(Instant::ZERO);
    let syn = client.sent().pop().expect("a SYN");
    let mut server = Host::new(2, "10.0.0.2/24");
    server.stack.tcp_listen(at("10.0.0.2:7"), ListenOptions::default()).unwrap();
    server.receive(Instant::ZERO, &syn);
    let asks = |frame: &Vec<u8>| arp_of(frame).is_some_and(|arp| arp.target_ip == v4("10.0.0.1"));
    assert_eq!(server.sent().iter().filter(|frame| asks(frame)).count(), 1);
    server.receive(Instant::ZERO, &claim("10.0.0.1", 1, "10.0.0.2", 2));
    assert_eq!(server.sent().len(), 1, "the SYN-ACK");
}

#[test]
fn the_queue_of_a_silent_neighbour_is_bounded_and_the_oldest_goes() {
    let mut host = Host::new(1, "10.0.0.1/24");
    let socket = host.udp("0.0.0.0:0");
    for n in 0..200u8 {
        host.stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), &[n; 1000]).unwrap();
    }
    host.drain(Instant::ZERO);
    host.sent();
    // A frame has 1042 bytes, and 128 KiB wait at most.
    let kept = (128 * 1024 / 1042) as u8;
    assert_eq!(host.discarded(Discard::NeighborQueue), u64::from(200 - kept));
    host.receive(Instant::ZERO, &claim("10.0.0.2", 2, "10.0.0.1", 1));
    let payloads: Vec<u8> = host.sent().iter().map(|frame| ipv4_of(frame).unwrap().1[8]).collect();
    assert_eq!(payloads, (200 - kept..200).collect::<Vec<_>>());
}

#[test]
fn the_largest_datagram_waits_for_its_neighbour_with_all_its_fragments() {
    // U1: the first large datagram to a host is not lost for being the first, whatever the size of its fragments.
    for mtu in [68, 576, 1500] {
        let host = |n, address| Host::with(n, address, |config| config.capabilities.mtu = mtu);
        let mut lan = Lan::new(vec![host(1, "10.0.0.1/24"), host(2, "10.0.0.2/24")]);
        let socket = lan.hosts[0].udp("0.0.0.0:0");
        let mut receiver = lan.hosts[1].udp("0.0.0.0:7");
        let payload: Vec<u8> = (0..65_507_u32).map(|n| ((n * 7) >> 3) as u8).collect();
        lan.hosts[0].stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), &payload).unwrap();
        lan.settle();
        assert!(receiver.pop().is_some_and(|(_, received)| received == payload), "MTU {mtu}");
        assert_eq!(lan.hosts[0].discarded(Discard::NeighborQueue), 0);
    }
}

#[test]
fn one_dead_neighbour_delays_nobody_and_cannot_block_the_reply_it_waits_for() {
    // N1
    let mut lan = pair();
    let socket = lan.hosts[0].udp("0.0.0.0:0");
    let mut receiver = lan.hosts[1].udp("0.0.0.0:7");
    for dead in 10..200u8 {
        let record = to(&format!("10.0.0.{dead}:7"));
        for _ in 0..20 {
            let _ = lan.hosts[0].stack.udp_send(Instant::ZERO, socket.id, &record, &[0; 1000]);
        }
    }
    lan.hosts[0].stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), b"alive").unwrap();
    lan.settle();
    assert_eq!(receiver.pop().unwrap().1, b"alive");
    assert_eq!(lan.now, Instant::ZERO);
    let kept = 190 * 20 - lan.hosts[0].discarded(Discard::NeighborQueue);
    assert!(kept < 256, "{kept} packets of a kilobyte wait, whatever the number of neighbours");
}

#[test]
fn a_silent_neighbour_is_asked_three_times_a_second_apart_and_given_up() {
    let mut lan = pair();
    let socket = lan.hosts[0].udp("0.0.0.0:0");
    lan.hosts[0].stack.udp_connect(socket.id, at("10.0.0.9:7")).unwrap();
    lan.hosts[0].stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.9:7"), b"x").unwrap();
    lan.run(Duration::from_millis(2_999));
    assert_eq!(requests_for(&lan, "10.0.0.9"), 3);
    assert_eq!(state(&lan.hosts[0], "10.0.0.9"), Some(NeighborState::Incomplete));
    lan.run(Duration::from_millis(2));
    assert_eq!(state(&lan.hosts[0], "10.0.0.9"), Some(NeighborState::Failed));
    assert_eq!(lan.hosts[0].discarded(Discard::NeighborUnreachable), 1);
    // The socket hears of it as of any unreachable host.
    let error = lan.hosts[0].stack.udp_take_error(socket.id).unwrap();
    assert_eq!(error.kind, stack::ip::icmp::ErrorKind::HostUnreachable);
    lan.run_secs(120);
    assert_eq!(requests_for(&lan, "10.0.0.9"), 3, "nobody asks while nobody sends");
    assert_eq!(state(&lan.hosts[0], "10.0.0.9"), None, "a dead neighbour is forgotten");
}

#[test]
fn a_flood_towards_a_dead_neighbour_asks_once_a_second() {
    // N2: solicitations are rate-limited.
    let mut lan = pair();
    let socket = lan.hosts[0].udp("0.0.0.0:0");
    for _ in 0..1_000 {
        let now = lan.now;
        let _ = lan.hosts[0].stack.udp_send(now, socket.id, &to("10.0.0.9:7"), b"x");
        lan.run(Duration::from_millis(10));
    }
    let asked = requests_for(&lan, "10.0.0.9");
    assert!((8..=11).contains(&asked), "{asked} requests in ten seconds");
}

#[test]
fn the_rate_of_questions_holds_even_when_entries_are_evicted() {
    // N2: per neighbour, even when entries are evicted.
    let mut config = Config::default();
    config.neighbors.limit = 4;
    let mut host = Host::with_config(config, 1, "10.0.0.1/24", |_| {});
    let socket = host.udp("0.0.0.0:0");
    for round in 0..50 {
        for n in 10..30u8 {
            let _ = host.stack.udp_send(Instant::from_millis(round), socket.id, &to(&format!("10.0.0.{n}:7")), b"x");
            host.drain(Instant::from_millis(round));
        }
    }
    let frames = host.sent();
    for n in 10..30u8 {
        let asked = frames.iter().filter_map(|f| arp_of(f)).filter(|a| a.target_ip.octets()[3] == n).count();
        assert!(asked <= 1, "10.0.0.{n} was asked for {asked} times in 50 ms");
    }
    assert!(host.stack.neighbors(host.interface).len() <= 4);
}

#[test]
fn a_flood_of_strangers_does_not_evict_a_reachable_neighbour() {
    // N2: forged answers and echoes do not evict reachable entries.
    let mut config = Config::default();
    config.neighbors.limit = 16;
    let mut host = Host::with_config(config, 1, "10.0.0.1/24", |_| {});
    let socket = host.udp("0.0.0.0:0");
    host.stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), b"x").unwrap();
    host.receive(Instant::ZERO, &claim("10.0.0.2", 2, "10.0.0.1", 1));
    assert_eq!(state(&host, "10.0.0.2"), Some(NeighborState::Reachable));
    for n in 3..250u8 {
        // Requests for us, which teach us their sender, and replies that nobody asked for.
        let packet = ArpPacket::request(mac(n), v4(&format!("10.0.0.{n}")), v4("10.0.0.1"));
        host.receive(Instant::ZERO, &arp_frame(MacAddr::BROADCAST, &packet));
        host.receive(Instant::ZERO, &claim(&format!("10.0.0.{n}"), n, "10.0.0.1", 1));
    }
    assert_eq!(state(&host, "10.0.0.2"), Some(NeighborState::Reachable));
    assert!(host.stack.neighbors(host.interface).len() <= 16);
}

#[test]
fn an_answer_that_nobody_asked_for_is_not_learnt() {
    let mut host = Host::new(1, "10.0.0.1/24");
    host.receive(Instant::ZERO, &claim("10.0.0.2", 2, "10.0.0.1", 1));
    assert_eq!(state(&host, "10.0.0.2"), None);
    assert_eq!(host.discarded(Discard::ArpIgnored), 1);
}

#[test]
fn a_request_for_us_teaches_us_its_sender_and_is_answered_to_it_alone() {
    let mut host = Host::new(1, "10.0.0.1/24");
    let request = ArpPacket::request(mac(2), v4("10.0.0.2"), v4("10.0.0.1"));
    host.receive(Instant::ZERO, &arp_frame(MacAddr::BROADCAST, &request));
    let frames = host.sent();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0][..6], mac(2).0);
    let reply = arp_of(&frames[0]).unwrap();
    assert_eq!((reply.operation, reply.sender_mac, reply.sender_ip), (ArpOperation::Reply, mac(1), v4("10.0.0.1")));
    assert_eq!(state(&host, "10.0.0.2"), Some(NeighborState::Stale));
    // Off-link senders are answered and not learnt.
    let request = ArpPacket::request(mac(3), v4("172.16.0.1"), v4("10.0.0.1"));
    host.receive(Instant::ZERO, &arp_frame(MacAddr::BROADCAST, &request));
    assert_eq!(state(&host, "172.16.0.1"), None);
}

#[test]
fn a_probe_for_our_address_is_answered() {
    // N3
    let mut host = Host::new(1, "10.0.0.1/24");
    host.receive(Instant::ZERO, &arp_frame(MacAddr::BROADCAST, &ArpPacket::probe(mac(2), v4("10.0.0.1"))));
    let reply = arp_of(&host.sent()[0]).unwrap();
    assert_eq!((reply.operation, reply.sender_ip), (ArpOperation::Reply, v4("10.0.0.1")));
    assert!(host.stack.neighbors(host.interface).is_empty(), "a probe teaches nothing");
}

#[test]
fn a_gratuitous_arp_updates_what_is_known_and_nothing_else() {
    // N3
    let mut host = Host::new(1, "10.0.0.1/24");
    let socket = host.udp("0.0.0.0:0");
    host.stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), b"x").unwrap();
    host.receive(Instant::ZERO, &claim("10.0.0.2", 2, "10.0.0.1", 1));
    host.sent();
    let later = Instant::from_secs(5);
    host.receive(later, &arp_frame(MacAddr::BROADCAST, &ArpPacket::announcement(mac(7), v4("10.0.0.2"))));
    host.receive(later, &arp_frame(MacAddr::BROADCAST, &ArpPacket::announcement(mac(8), v4("10.0.0.3"))));
    assert_eq!(state(&host, "10.0.0.2"), Some(NeighborState::Stale), "heard of, not proven");
    assert_eq!(state(&host, "10.0.0.3"), None);
    host.stack.udp_send(later, socket.id, &to("10.0.0.2:7"), b"x").unwrap();
    host.drain(later);
    assert_eq!(host.sent()[0][..6], mac(7).0, "packets flow to the new station at once");
}

#[test]
fn a_claim_against_a_neighbour_confirmed_this_second_is_not_believed() {
    let mut host = Host::new(1, "10.0.0.1/24");
    let socket = host.udp("0.0.0.0:0");
    host.stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), b"x").unwrap();
    host.receive(Instant::ZERO, &claim("10.0.0.2", 2, "10.0.0.1", 1));
    host.receive(Instant::from_millis(10), &claim("10.0.0.2", 66, "10.0.0.1", 1));
    let entry = host.stack.neighbors(host.interface)[0];
    assert_eq!(entry.mac, Some(mac(2)));
}

#[test]
fn a_stale_neighbour_in_use_is_probed_by_unicast_and_packets_flow_meanwhile() {
    let mut lan = pair();
    let socket = lan.hosts[0].udp("0.0.0.0:0");
    let mut receiver = lan.hosts[1].udp("0.0.0.0:7");
    lan.hosts[0].stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), b"1").unwrap();
    lan.run_secs(31);
    assert_eq!(state(&lan.hosts[0], "10.0.0.2"), Some(NeighborState::Stale));
    lan.log.clear();
    let now = lan.now;
    lan.hosts[0].stack.udp_send(now, socket.id, &to("10.0.0.2:7"), b"2").unwrap();
    lan.settle();
    assert_eq!(std::iter::from_fn(|| receiver.pop()).count(), 2, "no wait");
    assert_eq!(state(&lan.hosts[0], "10.0.0.2"), Some(NeighborState::Delay));
    lan.run_secs(6);
    assert_eq!(state(&lan.hosts[0], "10.0.0.2"), Some(NeighborState::Reachable));
    let questions: Vec<_> = lan.log.iter().filter(|(from, frame)| *from == 0 && arp_of(frame).is_some()).collect();
    assert_eq!(questions.len(), 1);
    assert_eq!(questions[0].1[..6], mac(2).0, "the question goes to the known station");
}

#[test]
fn a_neighbour_that_moved_away_is_found_again() {
    let mut lan = pair();
    let socket = lan.hosts[0].udp("0.0.0.0:0");
    lan.hosts[0].stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), b"1").unwrap();
    lan.run_secs(31);
    // The host is replaced by another with the same address.
    lan.hosts[1] = Host::new(9, "10.0.0.2/24");
    let mut receiver = lan.hosts[1].udp("0.0.0.0:7");
    for _ in 0..15 {
        let now = lan.now;
        let _ = lan.hosts[0].stack.udp_send(now, socket.id, &to("10.0.0.2:7"), b"2");
        lan.run_secs(1);
    }
    assert!(receiver.pop().is_some());
    assert_eq!(lan.hosts[0].stack.neighbors(lan.hosts[0].interface)[0].mac, Some(mac(9)));
}

#[test]
fn an_idle_neighbour_is_forgotten_after_five_minutes() {
    let mut lan = pair();
    let socket = lan.hosts[0].udp("0.0.0.0:0");
    lan.hosts[0].stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), b"1").unwrap();
    lan.run_secs(299);
    assert!(state(&lan.hosts[0], "10.0.0.2").is_some());
    lan.run_secs(2);
    assert!(state(&lan.hosts[0], "10.0.0.2").is_none());
    assert!(lan.hosts[0].stack.poll_timeout().is_never(), "no timer is left for an idle engine");
}

#[test]
fn a_static_neighbour_is_never_asked_for_and_never_changed() {
    let mut host = Host::new(1, "10.0.0.1/24");
    host.knows("10.0.0.2", 2);
    host.receive(Instant::from_secs(10), &claim("10.0.0.2", 66, "10.0.0.1", 1));
    let socket = host.udp("0.0.0.0:0");
    host.stack.udp_send(Instant::from_secs(10), socket.id, &to("10.0.0.2:7"), b"1").unwrap();
    host.drain(Instant::from_secs(10));
    let frames = host.sent();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0][..6], mac(2).0);
    host.stack.clear_neighbors(Instant::from_secs(10), host.interface);
    assert!(host.stack.neighbors(host.interface).is_empty());
}

#[test]
fn absurd_arp_is_counted_and_changes_nothing() {
    let mut host = Host::new(1, "10.0.0.1/24");
    let good = ArpPacket::request(mac(2), v4("10.0.0.2"), v4("10.0.0.1"));
    for sender in ["224.0.0.1", "255.255.255.255", "127.0.0.1"] {
        let packet = ArpPacket { sender_ip: v4(sender), ..good };
        host.receive(Instant::ZERO, &arp_frame(MacAddr::BROADCAST, &packet));
    }
    for sender_mac in [MacAddr::BROADCAST, MacAddr::UNSPECIFIED, mac(1)] {
        let packet = ArpPacket { sender_mac, ..good };
        let mut frame = arp_frame(MacAddr::BROADCAST, &packet);
        frame[6..12].copy_from_slice(&mac(2).0);
        host.receive(Instant::ZERO, &frame);
    }
    assert_eq!(host.discarded(Discard::ArpIgnored), 6);
    let short = &arp_frame(MacAddr::BROADCAST, &good)[..40];
    host.receive(Instant::ZERO, short);
    assert_eq!(host.discarded(Discard::ArpMalformed), 1);
    assert!(host.sent().is_empty());
    assert!(host.stack.neighbors(host.interface).is_empty());
}

#[test]
fn the_settings_have_the_documented_defaults() {
    let config = NeighborConfig::default();
    assert_eq!((config.lifetime, config.retry, config.tries), (Duration::from_secs(300), Duration::from_secs(1), 3));
}
