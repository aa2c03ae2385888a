//! A flood of SYNs, and forged ACKs with it: memory is bounded, who is there is served, who is connected stays so (RFC
//! 4987).

use std::net::SocketAddrV4;
use std::time::Duration;

use sim::world::{A, B};
use stack::tcp::{Phase, SynCookies};
use stack::{Config, Discard};
use wire::tcp::{TcpFlags, TcpOptions};

use crate::hostile::{PORT, Siege, VICTIM, header, inject, stranger};

const TO: SocketAddrV4 = SocketAddrV4::new(VICTIM, PORT);
const OPTIONS: TcpOptions =
    TcpOptions { mss: Some(1_460), window_scale: Some(7), sack_permitted: true, ..TcpOptions::NONE };

#[test]
fn a_flood_of_syns_from_everywhere_costs_a_full_queue_and_no_goodput() {
    let mut siege = Siege::new(Config::default());
    // 20,000 a second.
    let war = siege.withstands(2 << 20, |world, chance| {
        for _ in 0..20 {
            let syn = header(chance.draw() as u32, 0, TcpFlags::SYN);
            let from = stranger(chance);
            inject(world, from, TO, wire::tcp::TcpHeader { options: OPTIONS, ..syn }, b"");
        }
    });
    let stack = &siege.world.host(A).stack;
    assert!(stack.tcp_counts().0 <= 4_097, "{war:?}");
    assert!(stack.tcp_counters().cookies_sent > 10_000, "{:?}", stack.tcp_counters());

    // Somebody real connects meanwhile, at the first attempt, and keeps what it asked for.
    let world = &mut siege.world;
    let remote = world.socket(A, PORT);
    let client = world.connect(B, remote).expect("a route");
    world.run_for(Duration::from_millis(40));
    let server = world.accept(A, siege.listener).expect("a connection that a cookie remembered");
    assert_eq!(client.phase(world), Phase::Established);
    assert_eq!(world.host(A).stack.tcp_counters().cookies_accepted, 1);
    let info = world.host(A).stack.tcp_info(server.id).expect("a connection");
    let theirs = world.host(B).stack.tcp_info(client.id).expect("a connection");
    assert!(info.timestamps && info.window_scale.is_some() && info.mss == 1_448, "{info:?}");
    assert_eq!(info.window_scale.map(|(a, b)| (b, a)), theirs.window_scale);

    // All of it is forgotten in time.
    world.run_for(Duration::from_secs(130));
    assert_eq!(world.host(A).stack.tcp_counts().0, 2);
}

#[test]
fn ten_thousand_half_open_connections_cost_a_small_record_each() {
    let mut siege = Siege::new(Config::default());
    // As many as the owner allows, rather than cookies.
    let mut options = stack::tcp::ListenOptions::default();
    options.handshakes = 10_000;
    let local = siege.world.socket(A, 81);
    siege.world.host_mut(A).stack.tcp_listen(local, options).expect("a free port");
    let mut left = 10_000;
    let war = siege.withstands(10_000 * 200, |world, chance| {
        for _ in 0..left.min(20) {
            let from = stranger(chance);
            inject(world, from, SocketAddrV4::new(VICTIM, 81), header(1, 0, TcpFlags::SYN), b"");
            left -= 1;
        }
    });
    assert!(siege.world.host(A).stack.tcp_counts().0 > 9_900, "{war:?}");
    assert_eq!(siege.world.host(A).stack.tcp_counters().cookies_sent, 0);
    siege.world.run_for(Duration::from_secs(130));
    assert_eq!(siege.world.host(A).stack.tcp_counts().0, 1);
}

#[test]
fn forged_acks_make_no_connection_while_cookies_are_out() {
    let mut config = Config::default();
    config.tcp.syn_cookies = SynCookies::Always;
    let mut siege = Siege::new(config);
    siege.withstands(1 << 20, |world, chance| {
        for _ in 0..20 {
            let from = stranger(chance);
            inject(world, from, TO, header(chance.draw() as u32, chance.draw() as u32, TcpFlags::ACK), b"GET /");
        }
    });
    let stack = &siege.world.host(A).stack;
    assert_eq!(stack.tcp_counts(), (1, 0));
    assert_eq!(stack.tcp_counters().cookies_accepted, 1, "the connection itself");
    assert!(stack.discards().of(Discard::TcpBadCookie) >= 20_000);
}
