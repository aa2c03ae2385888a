//! The user-mode gateway's resolver and DHCP server, as a guest sees them.

mod guest;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use guest::{Datagrams, Guest, loopback};
use stack::Event;
use stack::autoconf::dhcpv4::DhcpConfig;
use wharf_links::user::UserConfig;

const A: u16 = 1;
const RESOLVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 3)), 53);

fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    out
}

/// An answer with one address, and `padding` bytes behind it so that it may be long.
fn answer(query: &[u8], address: [u8; 4], padding: usize) -> Vec<u8> {
    let mut out = query.to_vec();
    out[2] = 0x81;
    out[3] = 0x80;
    out[7] = 1;
    out.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    out.extend(address);
    out.resize(out.len() + padding, 0);
    out
}

/// A resolver on the host's loopback, on UDP and TCP, that answers as `behave` says.
fn resolver(behave: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).unwrap();
    let address = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(address).unwrap();
    let over_tcp = behave.clone();
    thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            for reply in behave(&buffer[..len]) {
                socket.send_to(&reply, from).unwrap();
            }
        }
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut prefix = [0; 2];
            while stream.read_exact(&mut prefix).is_ok() {
                let mut message = vec![0; usize::from(u16::from_be_bytes(prefix))];
                stream.read_exact(&mut message).unwrap();
                for reply in over_tcp(&message) {
                    stream.write_all(&(reply.len() as u16).to_be_bytes()).unwrap();
                    stream.write_all(&reply).unwrap();
                }
            }
        }
    });
    address
}

/// A resolver's address at which nobody is.
fn nobody() -> SocketAddr {
    UdpSocket::bind(loopback()).unwrap().local_addr().unwrap()
}

fn guest_with(resolvers: &[SocketAddr]) -> Guest {
    Guest::new(&UserConfig {
        hosts: vec![("example.com".to_owned(), IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34)))],
        resolvers: Some(resolvers.to_vec()),
        ..UserConfig::default()
    })
}

fn ask(guest: &mut Guest, socket: &mut Datagrams, message: &[u8]) -> Vec<u8> {
    guest.send(socket, RESOLVER, message);
    let (from, reply) = guest.receive(socket);
    assert_eq!(from, RESOLVER);
    assert_eq!(reply[..2], message[..2], "the identifier is the client's");
    reply
}

fn code(reply: &[u8]) -> u8 {
    reply[3] & 0xf
}

#[test]
fn fixed_names_are_answered_without_any_resolver() {
    let mut guest = guest_with(&[]);
    let mut socket = guest.bind(0);
    let reply = ask(&mut guest, &mut socket, &query(1, "example.com", A));
    assert!(code(&reply) == 0 && reply.ends_with(&[93, 184, 216, 34]));
    let reply = ask(&mut guest, &mut socket, &query(2, "other.example", A));
    assert_eq!(code(&reply), 2, "SERVFAIL");
}

#[test]
fn other_names_are_asked_of_the_hosts_resolver_byte_for_byte() {
    let server = resolver(|query| vec![answer(query, [192, 0, 2, 53], 0)]);
    let mut guest = guest_with(&[server]);
    let mut socket = guest.bind(0);
    for id in 0..100 {
        let question = query(id, "MiXeD.case.test", A);
        assert_eq!(ask(&mut guest, &mut socket, &question), answer(&question, [192, 0, 2, 53], 0));
    }
    let long = resolver(|query| vec![answer(query, [192, 0, 2, 53], 3_000)]);
    let mut guest = guest_with(&[long]);
    let mut socket = guest.bind(0);
    assert_eq!(ask(&mut guest, &mut socket, &query(7, "long.test", A)).len(), 3_000 + 27 + 16);
}

#[test]
fn forged_and_foreign_answers_are_passed_over() {
    let server = resolver(|query| {
        let mut other_id = answer(query, [6, 6, 6, 6], 0);
        other_id[0] ^= 1;
        let mut other_question = answer(query, [6, 6, 6, 6], 0);
        other_question[13] ^= 1;
        let not_an_answer = query.to_vec();
        vec![other_id, other_question, not_an_answer, vec![0; 5], answer(query, [192, 0, 2, 53], 0)]
    });
    let mut guest = guest_with(&[server]);
    let mut socket = guest.bind(0);
    let reply = ask(&mut guest, &mut socket, &query(1, "forged.test", A));
    assert!(reply.ends_with(&[192, 0, 2, 53]));
}

#[test]
fn a_dead_resolver_gives_way_to_the_next_and_the_last_to_servfail() {
    let refuses = resolver(|query| {
        let mut reply = answer(query, [6, 6, 6, 6], 0);
        reply[3] |= 5;
        vec![reply]
    });
    let works = resolver(|query| vec![answer(query, [192, 0, 2, 53], 0)]);
    let mut guest = guest_with(&[nobody(), refuses, works]);
    let mut socket = guest.bind(0);
    let reply = ask(&mut guest, &mut socket, &query(1, "some.test", A));
    assert!(code(&reply) == 0 && reply.ends_with(&[192, 0, 2, 53]));

    let mut guest = guest_with(&[nobody(), nobody()]);
    let mut socket = guest.bind(0);
    let reply = ask(&mut guest, &mut socket, &query(2, "some.test", A));
    assert_eq!(code(&reply), 2, "SERVFAIL");
    assert_eq!(guest.link.gateway().stats().dns_failures, 1);
}

#[test]
fn a_silent_resolver_ends_in_servfail_and_floods_it_at_once() {
    let silent = resolver(|_| Vec::new());
    let mut guest = guest_with(&[silent]);
    let mut socket = guest.bind(0);
    for id in 0..300 {
        guest.send(&socket, RESOLVER, &query(id, "silent.test", A));
        guest.turn();
    }
    let mut failed: Vec<u16> = Vec::new();
    guest.until("300 answers", |guest| {
        while let Some((_, reply)) = guest.try_receive(&mut socket) {
            assert_eq!(code(&reply), 2, "SERVFAIL");
            failed.push(u16::from_be_bytes([reply[0], reply[1]]));
        }
        (failed.len() == 300).then_some(())
    });
    assert!(failed[..44].iter().all(|id| *id >= 256), "the newest have no room and are told so first: {failed:?}");
}

#[test]
fn dns_over_tcp_answers_one_query_after_the_other() {
    let server = resolver(|query| vec![answer(query, [192, 0, 2, 53], 20_000)]);
    let mut guest = guest_with(&[server]);
    let mut stream = guest.connect(RESOLVER).unwrap();
    let mut sent = Vec::new();
    for (id, name) in [(1, "long.test"), (2, "example.com"), (3, "longer.test")] {
        let message = query(id, name, A);
        sent.extend((message.len() as u16).to_be_bytes());
        sent.extend(message);
    }
    // In pieces, as a stream may come.
    for piece in sent.chunks(7) {
        guest.write_all(&mut stream, piece);
        guest.turn();
    }
    guest.finish(&mut stream);
    let received = guest.read_to_end(&mut stream);
    let mut rest = &received[..];
    for (id, len) in [(1, 25 + 2 + 16 + 20_000), (2, 29 + 16), (3, 29 + 16 + 20_000)] {
        let (prefix, behind) = rest.split_first_chunk().unwrap();
        let (message, behind) = behind.split_at(usize::from(u16::from_be_bytes(*prefix)));
        assert_eq!((message.len(), message[1], code(message)), (len, id, 0));
        rest = behind;
    }
    assert_eq!(rest, b"");
}

#[test]
fn dns_over_tcp_says_servfail_when_the_resolver_is_dead() {
    let mut guest = guest_with(&[nobody()]);
    let mut stream = guest.connect(RESOLVER).unwrap();
    let message = query(9, "some.test", A);
    guest.write_all(&mut stream, &(message.len() as u16).to_be_bytes());
    guest.write_all(&mut stream, &message);
    let reply = guest.read_exact(&mut stream, 2 + message.len());
    assert_eq!(code(&reply[2..]), 2, "SERVFAIL");
    // A guest that says nothing more is not waited for.
    assert_eq!(guest.read_to_end(&mut stream), b"");
}

#[test]
fn a_guest_is_configured_by_dhcp_and_then_resolves() {
    let mut guest = Guest::unconfigured(&UserConfig {
        hosts: vec![("example.com".to_owned(), IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34)))],
        mtu: 1_400,
        ..UserConfig::default()
    });
    let now = guest.now();
    let interface = guest.interface;
    guest.stack.start_dhcp(now, interface, DhcpConfig::default()).unwrap();
    let lease = guest.until("a lease", |guest| {
        guest.events.drain(..).find_map(|event| match event {
            Event::DhcpBound(_, lease) => Some(lease),
            _ => None,
        })
    });
    assert_eq!(lease.address.to_string(), "10.0.2.15/24");
    assert_eq!(lease.routers, [Ipv4Addr::new(10, 0, 2, 2)]);
    assert_eq!(lease.dns_servers, [Ipv4Addr::new(10, 0, 2, 3)]);
    assert_eq!(lease.mtu, Some(1_400));
    assert_eq!(lease.server, Ipv4Addr::new(10, 0, 2, 2));
    assert!(lease.duration > Duration::from_secs(3_600));
    let mut socket = guest.bind(0);
    let reply = ask(&mut guest, &mut socket, &query(1, "example.com", A));
    assert!(reply.ends_with(&[93, 184, 216, 34]));
}
