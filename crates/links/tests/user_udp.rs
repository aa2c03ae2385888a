//! UDP through the user-mode gateway, against the host's own sockets.

mod guest;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use guest::{Guest, Pattern, loopback, outside};
use stack::ip::icmp::ErrorKind;
use wharf_links::user::{Forward, Transport, UserConfig};

/// A host that sends every datagram back.
fn echo() -> SocketAddr {
    let socket = UdpSocket::bind(loopback()).unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..len], from);
        }
    });
    address
}

fn closed_port() -> SocketAddr {
    UdpSocket::bind(loopback()).unwrap().local_addr().unwrap()
}

#[test]
fn datagrams_of_every_size_come_back_whole() {
    let peer = echo();
    let mut guest = Guest::with_peers(&[peer]);
    let mut socket = guest.bind(0);
    let pattern = Pattern::new(4);
    // Around nothing, a word, a segment, one and two and many fragments, and the most there can be.
    let sizes = (0..40).chain(1460..1490).chain(2940..2970).chain([8_192, 30_000, 65_000, 65_506, 65_507]);
    for size in sizes {
        let payload = pattern.at(size as u64, size).to_vec();
        guest.send(&socket, outside(peer), &payload);
        let (from, back) = guest.receive(&mut socket);
        assert_eq!(from, outside(peer));
        assert!(back == payload, "{size} bytes came back as {}", back.len());
    }
    assert_eq!(guest.link.gateway().stats().udp_flows, 1);
}

#[test]
fn each_destination_is_a_flow_and_answers_come_from_where_they_were_asked() {
    let peers: Vec<_> = (0..20).map(|_| echo()).collect();
    let mut guest = Guest::with_peers(&peers);
    let mut socket = guest.bind(0);
    // The first one waits for the gateway's MAC address; no more than a few may do so at once.
    let (first, others) = peers.split_first().unwrap();
    guest.send(&socket, outside(*first), first.to_string().as_bytes());
    guest.receive(&mut socket);
    for peer in others {
        guest.send(&socket, outside(*peer), peer.to_string().as_bytes());
    }
    for _ in others {
        let (from, text) = guest.receive(&mut socket);
        let said: SocketAddr = String::from_utf8(text).unwrap().parse().unwrap();
        assert_eq!(from, outside(said));
    }
    assert_eq!(guest.link.gateway().stats().udp_flows, 20);
}

#[test]
fn a_flood_makes_room_by_ending_the_oldest_flows() {
    let peer = echo();
    let mut guest = Guest::with_peers(&[peer]);
    for n in 0..1_100 {
        let mut socket = guest.bind(10_000 + n);
        guest.send(&socket, outside(peer), b"one of many");
        guest.receive(&mut socket);
        let now = guest.now();
        guest.stack.udp_close(now, socket.id);
    }
    let stats = guest.link.gateway().stats();
    assert_eq!(stats.udp_flows, 1_024);
    assert_eq!(stats.udp_flows_evicted, 1_100 - 1_024);
    assert_eq!(stats.datagrams_dropped, 0);
}

#[test]
fn a_closed_port_of_the_hosts_is_told_to_the_guest() {
    let peer = closed_port();
    let mut guest = Guest::with_peers(&[peer]);
    let socket = guest.bind_to(outside(peer));
    guest.send(&socket, outside(peer), b"anybody?");
    let kind = guest.until("an error", |guest| guest.stack.udp_take_error(socket.id)).kind;
    assert_eq!(kind, ErrorKind::PortUnreachable);
}

#[test]
fn what_leads_nowhere_is_told_to_the_guest() {
    let mut guest = Guest::with_peers(&[]);
    for (address, expected) in [
        ([10, 0, 2, 2], ErrorKind::PortUnreachable),
        ([10, 0, 2, 3], ErrorKind::PortUnreachable),
        ([10, 0, 2, 77], ErrorKind::HostUnreachable),
    ] {
        let remote = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(address)), 9);
        let socket = guest.bind_to(remote);
        guest.send(&socket, remote, b"anybody?");
        let kind = guest.until("an error", |guest| guest.stack.udp_take_error(socket.id)).kind;
        assert_eq!(kind, expected, "{remote}");
    }
}

#[test]
fn the_hosts_loopback_is_closed_unless_opened() {
    let peer = echo();
    let inside = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)), peer.port());
    let mut guest = Guest::new(&UserConfig::default());
    let socket = guest.bind_to(inside);
    guest.send(&socket, inside, b"anybody?");
    let error = guest.until("an error", |guest| guest.stack.udp_take_error(socket.id));
    assert_eq!(error.kind, ErrorKind::PortUnreachable);
    let mut guest = Guest::new(&UserConfig { host_loopback: true, ..UserConfig::default() });
    let mut socket = guest.bind(0);
    guest.send(&socket, inside, b"open");
    assert_eq!(guest.receive(&mut socket), (inside, b"open".to_vec()));
}

#[test]
fn a_forward_lets_datagrams_in_and_answers_out() {
    let forward = Forward { transport: Transport::Udp, host: loopback(), guest_port: 5_000 };
    let mut guest = Guest::new(&UserConfig { forwards: vec![forward], ..UserConfig::default() });
    let mut socket = guest.bind(5_000);
    let (_, way_in) = guest.link.gateway().forwards()[0];
    let peers: Vec<_> = (0..3).map(|_| UdpSocket::bind(loopback()).unwrap()).collect();
    for (n, peer) in peers.iter().enumerate() {
        peer.set_nonblocking(true).unwrap();
        peer.send_to(&[n as u8; 3_000], way_in).unwrap();
        let (from, payload) = guest.receive(&mut socket);
        assert_eq!(from.ip(), IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!(payload, [n as u8; 3_000]);
        guest.send(&socket, from, &payload[1..]);
    }
    let mut buffer = [0; 4_000];
    for (n, peer) in peers.iter().enumerate() {
        let (len, from) = guest.until("the answer", |_| peer.recv_from(&mut buffer).ok());
        assert_eq!((from, &buffer[..len]), (way_in, &[n as u8; 2_999][..]));
    }
}

/// PITFALLS P2: an idle gateway burns nothing.
#[test]
fn an_idle_flow_does_not_wake_the_gateway() {
    let peer = echo();
    let mut guest = Guest::with_peers(&[peer]);
    let mut socket = guest.bind(0);
    guest.send(&socket, outside(peer), b"once");
    guest.receive(&mut socket);
    while guest.sleep(Duration::from_secs(1)) {
        guest.turn();
    }
    let before = guest.link.gateway().stats().turns;
    assert!(!guest.sleep(Duration::from_millis(300)), "something woke an idle guest");
    assert_eq!(guest.link.gateway().stats().turns, before);
}
