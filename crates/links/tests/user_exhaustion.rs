//! The user-mode gateway when the host has no descriptor left. Alone in its process, whose limit it lowers.

mod guest;

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use guest::{Guest, loopback, outside};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Resource, Rlimit, setrlimit};
use stack::event::Readiness;
use stack::tcp::TcpError;
use wharf_links::user::{Forward, Transport, UserConfig};

fn open_descriptors() -> u64 {
    fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1
}

fn set_limit(current: u64) {
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: None })
        .or_else(|_| {
            // Only a privileged process may say "no maximum"; any other keeps what it has.
            let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
            setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum })
        })
        .unwrap();
}

#[test]
fn without_descriptors_connections_are_refused_and_the_gateway_lives_on() {
    // Its queue takes connections without a descriptor for each.
    let peer = TcpListener::bind(loopback()).unwrap();
    let address = peer.local_addr().unwrap();
    let forward = Forward { transport: Transport::Tcp, host: loopback(), guest_port: 7 };
    let mut guest = Guest::new(&UserConfig {
        redirect: vec![(outside(address), address)],
        forwards: vec![forward],
        ..UserConfig::default()
    });
    let (_, way_in) = guest.link.gateway().forwards()[0];
    let listener = guest.listen(7);
    let caller = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();

    set_limit(open_descriptors() + 10);
    let mut connected = Vec::new();
    let mut refused = 0;
    for _ in 0..30 {
        match guest.connect(outside(address)) {
            Ok(stream) => connected.push(stream),
            Err(error) => {
                assert_eq!(error, TcpError::Refused);
                refused += 1;
            }
        }
    }
    // The numbers below the limit may have gaps.
    assert!((10..15).contains(&connected.len()), "{} connections, {refused} refused", connected.len());
    assert_eq!(guest.link.gateway().stats().refused_for_want_of_room, refused);

    // A connection of the host's waits, and the gateway does not spin meanwhile.
    let _ = connect(&caller, &way_in);
    let before = guest.link.gateway().stats().turns;
    for _ in 0..5 {
        guest.sleep(Duration::from_millis(100));
        guest.turn();
    }
    let turns = guest.link.gateway().stats().turns - before;
    assert!(turns <= 5, "{turns} turns");
    assert!(guest.deadline_is_ahead(), "nothing can be done at once");

    guest.abort(connected.pop().unwrap());
    let (stream, _) = guest.accept(listener);
    assert!(!guest.saw(stream.id, Readiness::CLOSED));
    while let Some(stream) = connected.pop() {
        guest.abort(stream);
    }
    guest.until("room", |guest| (guest.link.gateway().stats().tcp_flows == 1).then_some(()));
    assert!(guest.connect(outside(address)).is_ok());
}
