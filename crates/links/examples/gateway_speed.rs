//! How fast one TCP stream crosses the user-mode gateway, each way, at both of PERFORMANCE's MTUs.
//!
//! ```text
//! cargo run --release -p wharf-links --example gateway_speed [SECONDS]
//! ```
//!
//! The guest and the gateway share one thread; the peer on the host's loopback has another.

#![allow(clippy::print_stdout, reason = "an example prints its result")]

#[path = "../tests/guest/mod.rs"]
mod guest;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use guest::{Guest, loopback, outside};
use wharf_links::user::UserConfig;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let span = Duration::from_secs_f64(seconds);
    for mtu in [1_500, 65_520] {
        println!("MTU {mtu}: up {:.1} Gbit/s, down {:.1} Gbit/s", up(mtu, span), down(mtu, span));
    }
}

/// Guest to host.
fn up(mtu: u32, span: Duration) -> f64 {
    let peer = peer(|mut stream| {
        let mut buffer = vec![0; 1 << 18];
        while let Ok(1..) = stream.read(&mut buffer) {}
    });
    let mut guest = guest_of(mtu, peer);
    let mut stream = guest.connect(outside(peer)).expect("the peer listens");
    let block = vec![1; 1 << 18];
    let start = Instant::now();
    while start.elapsed() < span {
        guest.write(&mut stream, &block);
        step(&mut guest);
    }
    gigabits(guest.link.gateway().stats().bytes_from_guest, start)
}

/// Host to guest.
fn down(mtu: u32, span: Duration) -> f64 {
    let peer = peer(|mut stream| {
        let block = vec![1; 1 << 18];
        while stream.write_all(&block).is_ok() {}
    });
    let mut guest = guest_of(mtu, peer);
    let mut stream = guest.connect(outside(peer)).expect("the peer listens");
    let mut buffer = vec![0; 1 << 18];
    let mut received = 0;
    let start = Instant::now();
    while start.elapsed() < span {
        received += guest.read(&mut stream, &mut buffer) as u64;
        step(&mut guest);
    }
    gigabits(received, start)
}

fn step(guest: &mut Guest) {
    guest.turn();
    guest.sleep(Duration::from_millis(10));
}

fn guest_of(mtu: u32, peer: SocketAddr) -> Guest {
    Guest::new(&UserConfig { redirect: vec![(outside(peer), peer)], mtu, ..UserConfig::default() })
}

fn peer(serve: impl Fn(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).expect("the loopback is up");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || serve(listener.accept().expect("the guest connects").0));
    address
}

fn gigabits(bytes: u64, start: Instant) -> f64 {
    bytes as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e9
}
