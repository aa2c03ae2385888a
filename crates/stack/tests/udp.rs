//! UDP sockets: binding, look-up, rings, errors. U1 stands in `arp`, U2 in `reassembly`, U5 in `icmp`.

extern crate wharf_stack as stack;

mod common;

use std::collections::HashSet;

use common::*;
use ring::datagram::{self, Record};
use stack::event::Readiness;
use stack::ip::icmp::ErrorKind;
use stack::ports::BindError;
use stack::udp::{SendError, UdpOptions};
use stack::{Discard, Event, Instant};
use wire::ethernet::{EtherType, MacAddr};
use wire::protocol::Protocol;

fn host() -> Host {
    let mut host = Host::new(1, "10.0.0.1/24");
    host.knows("10.0.0.2", 2);
    host
}

fn shared() -> UdpOptions {
    let mut options = UdpOptions::default();
    options.reuse_address = true;
    options
}

fn bind(host: &mut Host, local: &str, options: UdpOptions) -> Result<stack::udp::UdpId, BindError> {
    host.stack.udp_bind(at(local), options, udp_rings().0)
}

#[test]
fn addresses_that_overlap_are_refused_and_others_not() {
    let mut host = host();
    let _any = host.udp("0.0.0.0:53");
    assert_eq!(bind(&mut host, "10.0.0.1:53", UdpOptions::default()), Err(BindError::InUse));
    assert_eq!(bind(&mut host, "0.0.0.0:53", shared()), Err(BindError::InUse), "both must agree to share");
    assert!(bind(&mut host, "10.0.0.1:54", UdpOptions::default()).is_ok());
    assert!(bind(&mut host, "127.0.0.1:54", UdpOptions::default()).is_ok());
    assert_eq!(bind(&mut host, "0.0.0.0:54", UdpOptions::default()), Err(BindError::InUse));
    assert!(bind(&mut host, "[::1]:53", UdpOptions::default()).is_ok(), "the other family is another world");
    assert_eq!(bind(&mut host, "10.0.0.9:1", UdpOptions::default()), Err(BindError::NotAvailable));
    assert_eq!(bind(&mut host, "224.0.0.1:1", UdpOptions::default()), Err(BindError::NotAvailable));
}

#[test]
fn ephemeral_ports_are_unpredictable_and_of_the_largest_range() {
    // U6
    let mut host = host();
    let mut taken = HashSet::new();
    for _ in 0..2_000 {
        let id = bind(&mut host, "0.0.0.0:0", UdpOptions::default()).unwrap();
        let port = host.stack.udp_addresses(id).unwrap().0.port();
        assert!(port >= 1_024);
        assert!(taken.insert(port), "port {port} twice");
    }
    let (low, high) = (taken.iter().min().unwrap(), taken.iter().max().unwrap());
    assert!(*low < 2_000 && *high > 64_500, "{low} to {high}");
    let mut other = Host::new(2, "10.0.0.1/24");
    let id = bind(&mut other, "0.0.0.0:0", UdpOptions::default()).unwrap();
    let mut again = Host::new(3, "10.0.0.1/24");
    let id_again = bind(&mut again, "0.0.0.0:0", UdpOptions::default()).unwrap();
    assert_ne!(other.stack.udp_addresses(id), again.stack.udp_addresses(id_again));
}

#[test]
fn when_every_port_is_taken_the_bind_fails_and_one_that_is_closed_is_found() {
    let mut host = host();
    let rings = || {
        let ((receive, _), (_, send)) = (ring::heap(0), ring::heap(0));
        stack::udp::DatagramRings { receive, send }
    };
    let ids: Vec<_> = (1_024..=65_535u16)
        .map(|port| host.stack.udp_bind(at(&format!("0.0.0.0:{port}")), UdpOptions::default(), rings()).unwrap())
        .collect();
    assert_eq!(host.stack.udp_bind(at("0.0.0.0:0"), UdpOptions::default(), rings()), Err(BindError::NoPorts));
    host.stack.udp_close(Instant::ZERO, ids[500]);
    let id = host.stack.udp_bind(at("10.0.0.1:0"), UdpOptions::default(), rings()).unwrap();
    assert_eq!(host.stack.udp_addresses(id).unwrap().0, at("10.0.0.1:1524"));
}

#[test]
fn the_most_specific_socket_gets_the_datagram() {
    let mut host = host();
    let mut any = host.udp_with("0.0.0.0:7", shared());
    let mut bound = host.udp_with("10.0.0.1:7", shared());
    let mut connected = host.udp_with("10.0.0.1:7", shared());
    host.stack.udp_connect(connected.id, at("10.0.0.2:9")).unwrap();
    host.receive(Instant::ZERO, &udp_frame(2, 1, "10.0.0.2:9", "10.0.0.1:7", b"connected"));
    host.receive(Instant::ZERO, &udp_frame(2, 1, "10.0.0.2:10", "10.0.0.1:7", b"bound"));
    let inside = host.udp("0.0.0.0:0");
    host.stack.udp_send(Instant::ZERO, inside.id, &to("127.0.0.1:7"), b"any").unwrap();
    for (socket, expected) in [(&mut connected, "connected"), (&mut bound, "bound"), (&mut any, "any")] {
        assert_eq!(socket.pop().unwrap().1, expected.as_bytes());
        assert!(socket.pop().is_none());
    }
}

#[test]
fn of_sockets_that_share_an_address_the_last_bound_gets_what_is_for_one() {
    let mut host = host();
    let mut first = host.udp_with("0.0.0.0:7", shared());
    let mut second = host.udp_with("0.0.0.0:7", shared());
    host.receive(Instant::ZERO, &udp_frame(2, 1, "10.0.0.2:9", "10.0.0.1:7", b"x"));
    assert!(first.pop().is_none());
    assert!(second.pop().is_some());
    host.stack.udp_close(Instant::ZERO, second.id);
    host.receive(Instant::ZERO, &udp_frame(2, 1, "10.0.0.2:9", "10.0.0.1:7", b"x"));
    assert!(first.pop().is_some());
}

#[test]
fn a_broadcast_reaches_everybody_on_the_port_who_may_hear_it() {
    let mut host = host();
    let mut one = host.udp_with("0.0.0.0:7", shared());
    let mut two = host.udp_with("0.0.0.0:7", shared());
    let mut own = host.udp_with("10.0.0.1:7", shared());
    let mut asking = {
        let mut options = shared();
        options.broadcast = true;
        host.udp_with("10.0.0.1:7", options)
    };
    let mut elsewhere = host.udp_with("0.0.0.0:8", shared());
    for destination in ["255.255.255.255", "10.0.0.255"] {
        let mut frame = udp_frame(2, 1, "10.0.0.2:9", &format!("{destination}:7"), b"all");
        frame[..6].copy_from_slice(&MacAddr::BROADCAST.0);
        host.receive(Instant::ZERO, &frame);
    }
    assert_eq!(std::iter::from_fn(|| one.pop()).count(), 2);
    assert_eq!(two.pop().unwrap().0.local, Some(ip("255.255.255.255")));
    assert_eq!(std::iter::from_fn(|| asking.pop()).count(), 2);
    assert!(own.pop().is_none() && elsewhere.pop().is_none());
}

#[test]
fn broadcasts_are_sent_only_by_who_asked_to_be_allowed() {
    let mut host = host();
    let plain = host.udp("0.0.0.0:0");
    for destination in ["255.255.255.255:7", "10.0.0.255:7"] {
        assert_eq!(host.stack.udp_send(Instant::ZERO, plain.id, &to(destination), b"x"), Err(SendError::Broadcast));
    }
    let mut options = UdpOptions::default();
    options.broadcast = true;
    let socket = host.udp_with("0.0.0.0:0", options);
    for destination in ["255.255.255.255:7", "10.0.0.255:7"] {
        host.stack.udp_send(Instant::ZERO, socket.id, &to(destination), b"x").unwrap();
        host.drain(Instant::ZERO);
        let frames = host.sent();
        assert_eq!(frames[0][..6], MacAddr::BROADCAST.0);
        assert_eq!(ipv4_of(&frames[0]).unwrap().0.src, v4("10.0.0.1"));
    }
}

#[test]
fn multicast_leaves_with_a_ttl_of_one_to_the_groups_mac() {
    // U7
    let mut host = host();
    let socket = host.udp("0.0.0.0:0");
    host.stack.udp_send(Instant::ZERO, socket.id, &to("239.129.2.3:7"), b"x").unwrap();
    host.drain(Instant::ZERO);
    let frames = host.sent();
    assert_eq!(frames[0][..6], [0x01, 0x00, 0x5e, 0x01, 0x02, 0x03]);
    assert_eq!(ipv4_of(&frames[0]).unwrap().0.ttl, 1);
}

#[test]
fn a_flood_to_one_socket_fills_its_ring_and_takes_nothing_from_others() {
    // U9
    let mut host = host();
    let mut flooded = host.udp("0.0.0.0:7");
    let mut other = host.udp("0.0.0.0:8");
    let frame = udp_frame(2, 1, "10.0.0.2:9", "10.0.0.1:7", &[0; 1_000]);
    for _ in 0..10_000 {
        host.receive(Instant::ZERO, &frame);
    }
    host.receive(Instant::ZERO, &udp_frame(2, 1, "10.0.0.2:9", "10.0.0.1:8", b"mine"));
    assert_eq!(other.pop().unwrap().1, b"mine");
    let kept = std::iter::from_fn(|| flooded.pop()).count() as u64;
    let stats = host.stack.udp_stats(flooded.id).unwrap();
    assert_eq!(kept, stats.received);
    assert_eq!(kept + stats.dropped, 10_000);
    assert_eq!(host.discarded(Discard::UdpQueueFull), stats.dropped);
    assert!(kept > 100 && kept < 300);
    let events = host.events.iter().filter(|event| matches!(event, Event::Udp(id, _) if *id == flooded.id)).count();
    assert!(events > 0);
}

#[test]
fn events_of_one_socket_are_merged_until_they_are_read() {
    let mut host = host();
    let socket = host.udp("0.0.0.0:7");
    let frame = udp_frame(2, 1, "10.0.0.2:9", "10.0.0.1:7", b"x");
    for _ in 0..100 {
        host.stack.handle_frame(Instant::ZERO, host.interface, &device::RxFrame::plain(&frame));
    }
    assert_eq!(host.stack.poll_event(), Some(Event::Udp(socket.id, Readiness::READABLE)));
    assert_eq!(host.stack.poll_event(), None);
    host.stack.handle_frame(Instant::ZERO, host.interface, &device::RxFrame::plain(&frame));
    host.stack.udp_close(Instant::ZERO, socket.id);
    assert_eq!(host.stack.poll_event(), None, "no event names a socket that is gone");
}

#[test]
fn a_send_flood_leaves_arp_its_way_out() {
    // U9: the memory that ARP replies need.
    let mut host = host();
    let socket = host.udp("0.0.0.0:0");
    host.port.room = 0;
    let full = (0..10_000).map(|_| host.stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), &[0; 1_000]));
    assert!(full.last().unwrap() == Err(SendError::QueueFull));
    let request = wire::arp::ArpPacket::request(mac(2), v4("10.0.0.2"), v4("10.0.0.1"));
    host.receive(Instant::ZERO, &arp_frame(MacAddr::BROADCAST, &request));
    host.port.room = 1;
    host.drain(Instant::ZERO);
    assert!(arp_of(&host.sent()[0]).is_some(), "the first frame out is the reply");
}

#[test]
fn a_send_ring_is_drained_as_the_device_takes_it() {
    let mut host = host();
    let mut socket = host.udp("0.0.0.0:0");
    host.port.room = 0;
    let mut written = 0u32;
    let mut pushed = |socket: &mut Udp| {
        while datagram::push(&mut socket.send, &to("10.0.0.2:7"), &[&written.to_be_bytes()[..], &[0; 996]].concat())
            .is_ok()
        {
            written += 1;
        }
        written
    };
    let mut total = pushed(&mut socket);
    while host.stack.udp_flush(Instant::ZERO, socket.id) {
        total = pushed(&mut socket);
        assert!(total < 10_000, "the queue has no bound");
    }
    assert!(host.stack.poll_event().is_none());
    host.port.room = usize::MAX;
    for _ in 0..20 {
        host.drain(Instant::ZERO);
    }
    let frames = host.sent();
    let numbers: Vec<u32> =
        frames.iter().map(|f| u32::from_be_bytes(ipv4_of(f).unwrap().1[8..12].try_into().unwrap())).collect();
    assert_eq!(numbers, (0..total).collect::<Vec<_>>(), "all, once, in order");
    assert!(host.events.contains(&Event::Udp(socket.id, Readiness::WRITABLE)));
}

#[test]
fn records_that_cannot_be_sent_are_told_and_do_not_block_the_rest() {
    let mut host = host();
    let mut socket = host.udp("0.0.0.0:0");
    for destination in ["8.8.8.8:53", "10.0.0.255:7", "0.0.0.0:0", "10.0.0.2:0", "10.0.0.2:7"] {
        datagram::push(&mut socket.send, &to(destination), b"x").unwrap();
    }
    assert!(host.stack.udp_flush(Instant::ZERO, socket.id));
    host.drain(Instant::ZERO);
    assert_eq!(host.sent().len(), 1);
    assert_eq!(host.discarded(Discard::UdpUnsendable), 4);
    assert_eq!(host.stack.udp_take_error(socket.id).unwrap().kind, ErrorKind::NetworkUnreachable);
}

#[test]
fn what_cannot_be_sent_says_why() {
    let mut host = host();
    let socket = host.udp("0.0.0.0:0");
    let mut send = |record: &Record| host.stack.udp_send(Instant::ZERO, socket.id, record, b"x");
    assert_eq!(send(&to("8.8.8.8:53")), Err(SendError::NoRoute));
    assert_eq!(send(&to("0.0.0.0:0")), Err(SendError::NoDestination));
    assert_eq!(send(&to("10.0.0.2:0")), Err(SendError::BadDestination));
    assert_eq!(send(&to("0.1.2.3:7")), Err(SendError::BadDestination));
    assert_eq!(send(&to("241.0.0.1:7")), Err(SendError::BadDestination));
    assert_eq!(send(&to("[::1]:7")), Err(SendError::BadDestination));
    let foreign = Record { local: Some(ip("10.0.0.77")), ..to("10.0.0.2:7") };
    assert_eq!(send(&foreign), Err(SendError::BadSource));
    host.stack.udp_close(Instant::ZERO, socket.id);
    // L4: a stale handle names nothing, nor the slot's next tenant.
    let next = host.udp("0.0.0.0:0");
    assert_ne!(next.id, socket.id);
    assert_eq!(host.stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), b"x"), Err(SendError::NoSocket));
    assert_eq!(host.stack.udp_addresses(socket.id), None);
}

#[test]
fn a_connected_socket_hears_its_peer_only_and_sends_without_a_destination() {
    let mut host = host();
    let mut socket = host.udp("0.0.0.0:4000");
    host.stack.udp_connect(socket.id, at("10.0.0.2:7")).unwrap();
    assert_eq!(host.stack.udp_addresses(socket.id), Some((at("10.0.0.1:4000"), Some(at("10.0.0.2:7")))));
    host.receive(Instant::ZERO, &udp_frame(2, 1, "10.0.0.3:7", "10.0.0.1:4000", b"stranger"));
    host.receive(Instant::ZERO, &udp_frame(2, 1, "10.0.0.2:7", "10.0.0.1:4000", b"peer"));
    assert_eq!(socket.pop().unwrap().1, b"peer");
    assert!(socket.pop().is_none());
    host.sent();
    host.stack.udp_send(Instant::ZERO, socket.id, &to("0.0.0.0:0"), b"x").unwrap();
    host.drain(Instant::ZERO);
    assert_eq!(ipv4_of(&host.sent()[0]).unwrap().0.dst, v4("10.0.0.2"));
    host.stack.udp_disconnect(socket.id);
    host.receive(Instant::ZERO, &udp_frame(2, 1, "10.0.0.3:7", "10.0.0.1:4000", b"stranger"));
    assert_eq!(socket.pop().unwrap().1, b"stranger");
}

#[test]
fn ten_thousand_flows_on_one_port_are_told_apart() {
    let mut host = host();
    let mut sockets = Vec::new();
    for n in 0..10_000u16 {
        let socket = {
            let (receive, application) = ring::heap_with_first_chunk(1_024, 64);
            let (_, send) = ring::heap(0);
            let rings = stack::udp::DatagramRings { receive, send };
            let id = host.stack.udp_bind(at("10.0.0.1:443"), shared(), rings).unwrap();
            (id, application)
        };
        host.stack.udp_connect(socket.0, at(&format!("10.0.0.2:{}", 10_000 + n))).unwrap();
        sockets.push(socket);
    }
    for n in [0u16, 1, 4_999, 9_999] {
        let source = format!("10.0.0.2:{}", 10_000 + n);
        host.receive(Instant::ZERO, &udp_frame(2, 1, &source, "10.0.0.1:443", &n.to_be_bytes()));
        let mut buffer = [0; 8];
        let (_, len) = datagram::pop(&mut sockets[usize::from(n)].1, &mut buffer).unwrap();
        assert_eq!(buffer[..len], n.to_be_bytes());
    }
}

#[test]
fn a_wrong_checksum_is_dropped_and_an_absent_one_is_not() {
    let mut host = host();
    let mut socket = host.udp("0.0.0.0:7");
    let send = |host: &mut Host, checksum: [u8; 2]| {
        let mut datagram = udp_datagram("10.0.0.2:9", "10.0.0.1:7", b"x");
        datagram[6..8].copy_from_slice(&checksum);
        let bytes = packet(ip_header("10.0.0.2", "10.0.0.1", Protocol::UDP), &datagram);
        host.receive(Instant::ZERO, &ethernet(mac(1), mac(2), EtherType::IPV4, &bytes));
    };
    send(&mut host, [0x12, 0x34]);
    assert_eq!(host.discarded(Discard::UdpChecksum), 1);
    send(&mut host, [0, 0]);
    assert!(socket.pop().is_some());
}

#[test]
fn an_ipv6_datagram_without_a_checksum_is_dropped_whatever_the_device_says() {
    // U4, inside the engine, which is where IPv6 is spoken so far.
    let mut host = host();
    let mut socket = host.udp("[::1]:7");
    let lo = host.stack.interfaces()[0].id;
    let header = wire::ipv6::Ipv6Header {
        traffic_class: 0,
        flow_label: 0,
        payload_len: 9,
        next_header: Protocol::UDP,
        hop_limit: 64,
        src: "::1".parse().unwrap(),
        dst: "::1".parse().unwrap(),
    };
    let mut bytes = vec![0; 49];
    header.emit(&mut bytes);
    bytes[40..].copy_from_slice(&[0, 9, 0, 7, 0, 9, 0, 0, b'x']);
    let frame = ethernet(MacAddr::UNSPECIFIED, MacAddr::UNSPECIFIED, EtherType::IPV6, &bytes);
    let received = device::RxFrame { checksum: device::RxChecksum::Verified, ..device::RxFrame::plain(&frame) };
    host.stack.handle_frame(Instant::ZERO, lo, &received);
    assert!(socket.pop().is_none());
    assert_eq!(host.discarded(Discard::UdpChecksum), 1);
    // Our own have one.
    let client = host.udp("[::1]:0");
    host.stack.udp_send(Instant::ZERO, client.id, &to("[::1]:7"), b"six").unwrap();
    assert_eq!(socket.pop().unwrap().1, b"six");
}

#[test]
fn the_options_of_a_datagram_are_its_own_or_its_sockets() {
    let mut host = host();
    let mut options = UdpOptions::default();
    (options.ttl, options.tos) = (Some(9), 0xb8);
    let socket = host.udp_with("0.0.0.0:0", options);
    host.stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), b"x").unwrap();
    host.stack.udp_send(Instant::ZERO, socket.id, &Record { ttl: 3, tos: 4, ..to("10.0.0.2:7") }, b"x").unwrap();
    host.drain(Instant::ZERO);
    let frames = host.sent();
    let headers: Vec<_> = frames.iter().map(|frame| ipv4_of(frame).unwrap().0).collect();
    assert_eq!((headers[0].ttl, headers[0].tos), (9, 0xb8));
    assert_eq!((headers[1].ttl, headers[1].tos), (3, 4));
    assert!(!headers[0].dont_fragment);
}

#[test]
fn a_socket_whose_address_goes_hears_of_it() {
    // I9, L4
    let mut host = host();
    let socket = host.udp("10.0.0.1:7");
    let other = host.udp("0.0.0.0:8");
    host.stack.remove_address(Instant::ZERO, host.interface, ip("10.0.0.1"));
    host.drain(Instant::ZERO);
    assert!(host.events.contains(&Event::Udp(socket.id, Readiness::CLOSED | Readiness::ERROR)));
    assert!(!host.events.iter().any(|event| matches!(event, Event::Udp(id, _) if *id == other.id)));
    let sent = host.stack.udp_send(Instant::ZERO, socket.id, &to("10.0.0.2:7"), b"x");
    assert!(matches!(sent, Err(SendError::NoRoute | SendError::BadSource)), "{sent:?}");
}

#[test]
fn a_datagram_of_64_kib_is_sent_and_received_inside() {
    let mut host = host();
    let mut socket = host.udp("127.0.0.1:7");
    let client = host.udp("127.0.0.1:0");
    let payload = vec![7; 65_507];
    host.stack.udp_send(Instant::ZERO, client.id, &to("127.0.0.1:7"), &payload).unwrap();
    assert_eq!(socket.pop().unwrap().1, payload);
}

#[test]
fn sockets_that_share_a_port_as_a_group_get_a_part_of_the_peers_each() {
    // SO_REUSEPORT: U6.
    let mut host = host();
    let mut group = UdpOptions::default();
    group.reuse_port = true;
    let mut sockets: Vec<_> = (0..4).map(|_| host.udp_with("10.0.0.1:53", group.clone())).collect();
    assert_eq!(bind(&mut host, "10.0.0.1:53", UdpOptions::default()), Err(BindError::InUse), "this one does not");
    assert_eq!(bind(&mut host, "10.0.0.1:53", shared()), Err(BindError::InUse), "and this one not in the same way");
    let mut takers = Vec::new();
    for round in 0..2 {
        for port in 1_000..1_200 {
            host.receive(Instant::ZERO, &udp_frame(2, 1, &format!("10.0.0.2:{port}"), "10.0.0.1:53", b"who?"));
            let took: Vec<usize> = (0..4).filter(|&n| sockets[n].pop().is_some()).collect();
            assert_eq!(took.len(), 1);
            if round == 0 {
                takers.push(took[0]);
            } else {
                assert_eq!(took[0], takers[port - 1_000], "a flow keeps its socket");
            }
        }
    }
    for n in 0..4 {
        let share = takers.iter().filter(|&&taker| taker == n).count();
        assert!((25..85).contains(&share), "{share} of 200");
    }
    // One goes: its flows spread over the others, and theirs stay.
    host.stack.udp_close(Instant::ZERO, sockets[0].id);
    for port in 1_000..1_200 {
        host.receive(Instant::ZERO, &udp_frame(2, 1, &format!("10.0.0.2:{port}"), "10.0.0.1:53", b"who?"));
        let taker = (1..4).find(|&n| sockets[n].pop().is_some()).expect("another takes it");
        let before = takers[port - 1_000];
        assert!(before == 0 || before == taker);
    }
}
