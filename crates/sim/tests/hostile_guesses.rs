//! An attacker off the path who knows a connection's addresses and ports, and guesses the rest (RFC 5961, RFC 5927): the
//! connection lives, its bytes are right, its goodput stays, and nothing grows.

use std::net::{SocketAddr, SocketAddrV4};

use sim::puppet::frame_between;
use sim::world::A;
use sim::{Chance, World};
use stack::tcp::TcpError;
use stack::{Config, Discard};
use wire::icmpv4::{Icmpv4Message, UnreachableCode};
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;
use wire::tcp::{TcpFlags, TcpHeader, TcpOptions, Timestamps};

use crate::hostile::{PEER, PORT, Siege, VICTIM, header, inject, inject_frame};

const TO: SocketAddrV4 = SocketAddrV4::new(VICTIM, PORT);

fn peer_of(siege: &Siege) -> SocketAddrV4 {
    let (_, remote) = siege.world.host(A).stack.tcp_addresses(siege.server.id).expect("a connection");
    let SocketAddr::V4(remote) = remote else { panic!("{remote}") };
    assert_eq!(remote.ip(), &PEER);
    remote
}

fn number(chance: &mut Chance) -> u32 {
    chance.draw() as u32
}

#[test]
fn segments_with_random_numbers_change_nothing() {
    let mut siege = Siege::new(Config::default());
    let peer = peer_of(&siege);
    siege.withstands(64 << 10, |world, chance| {
        for _ in 0..20 {
            let flags = TcpFlags((chance.draw() as u8 | TcpFlags::ACK.0) & !TcpFlags::RST.0);
            let timestamps = Timestamps { value: number(chance), echo: number(chance) };
            let options = TcpOptions { timestamps: Some(timestamps), ..TcpOptions::NONE };
            let guess = TcpHeader { options, ..header(number(chance), number(chance), flags) };
            inject(world, peer, TO, guess, b"forged");
        }
    });
    let discards = siege.world.host(A).stack.discards();
    let refused: u64 = [Discard::TcpOutsideWindow, Discard::TcpPaws, Discard::TcpBadAck, Discard::TcpBadSyn]
        .iter()
        .map(|&reason| discards.of(reason))
        .sum();
    assert!(refused >= 20_000, "each is counted: {refused}");
}

#[test]
fn resets_and_syns_that_guess_are_challenged_at_most() {
    // RFC 5961 sections 3.2 and 4.2.
    let mut siege = Siege::new(Config::default());
    let peer = peer_of(&siege);
    siege.withstands(64 << 10, |world, chance| {
        for _ in 0..20 {
            inject(world, peer, TO, header(number(chance), 0, TcpFlags::RST), b"");
            inject(world, peer, TO, header(number(chance), 0, TcpFlags::SYN), b"");
        }
    });
    assert_eq!(siege.server.error(&mut siege.world), None::<TcpError>);
    // Both ways: the peer's connection to a closed port of the victim's is not what the resets end.
    assert_eq!(siege.client.error(&mut siege.world), None);
}

fn quote(world: &mut World, peer: SocketAddrV4, seq: u32, code: UnreachableCode, next_hop_mtu: u16) {
    let quoted_header = Ipv4Header::new(VICTIM, PEER, Protocol::TCP, 64, 20);
    let mut quoted = vec![0; quoted_header.len()];
    quoted_header.emit(&mut quoted);
    quoted.extend_from_slice(&PORT.to_be_bytes());
    quoted.extend_from_slice(&peer.port().to_be_bytes());
    quoted.extend_from_slice(&seq.to_be_bytes());
    let message = Icmpv4Message::DestinationUnreachable { code, next_hop_mtu, quoted: &quoted };
    let mut bytes = vec![0; message.len()];
    message.emit(&mut bytes);
    inject_frame(world, &frame_between(PEER, VICTIM, Protocol::ICMP, &bytes));
}

#[test]
fn icmp_errors_that_guess_neither_end_nor_slow_anything() {
    // RFC 5927 section 4.1. Of all numbers as many are right as there are bytes in flight; a guess that is right by luck is
    // as good as what a router says, so these keep away from them.
    let mut siege = Siege::new(Config::default());
    let peer = peer_of(&siege);
    let isn = siege.isn;
    let number = |chance: &mut Chance| isn.wrapping_add((1 << 30) + chance.below(1 << 31) as u32);
    siege.withstands(64 << 10, |world, chance| {
        for _ in 0..10 {
            quote(world, peer, number(chance), UnreachableCode::PORT, 0);
            quote(world, peer, number(chance), UnreachableCode::HOST, 0);
            quote(world, peer, number(chance), UnreachableCode::FRAGMENTATION_NEEDED, 552);
        }
    });
    let stack = &siege.world.host(A).stack;
    let info = stack.tcp_info(siege.server.id).expect("a connection");
    assert_eq!(info.mss, 1_448, "no guess made the segments smaller");
    assert!(stack.discards().of(Discard::IcmpUnmatched) > 29_000);
}

#[test]
fn strays_to_every_port_leave_nothing_behind() {
    let mut siege = Siege::new(Config::default());
    siege.withstands(64 << 10, |world, chance| {
        for _ in 0..20 {
            let to = SocketAddrV4::new(VICTIM, chance.draw() as u16);
            let from = crate::hostile::stranger(chance);
            inject(world, from, to, header(number(chance), number(chance), TcpFlags(chance.draw() as u8)), b"x");
        }
    });
    assert!(siege.world.host(A).stack.tcp_counts().0 < 200, "the few SYNs to port 80 among them");
}
