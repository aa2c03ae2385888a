//! Pings through the user-mode gateway.
//!
//! Who may open the host's echo sockets is a setting of each network namespace, so the tests of both cases run this
//! file's second half again in one of their own.

mod guest;

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use guest::{Guest, OUTSIDE};
use ring::datagram;
use stack::ip::echo::EchoOptions;
use stack::ip::icmp::ErrorKind;

/// Runs the ignored test `name` as root of a namespace in which the loopback has [`OUTSIDE`] too, after `setting`.
fn in_a_namespace(name: &str, setting: &str) {
    let script = format!("ip link set lo up && ip address add {OUTSIDE}/32 dev lo && {setting} && exec \"$@\"");
    let test = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", &script, "sh"])
        .arg(test)
        .args(["--ignored", "--exact", name])
        .output()
        .expect("unshare(1) of util-linux is installed");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// The reply to one ping of `len` bytes, or the error that comes instead.
fn ping(guest: &mut Guest, destination: Ipv4Addr, sequence: u16, len: usize) -> Result<Vec<u8>, ErrorKind> {
    let (receive, mut replies) = ring::heap(1 << 18);
    let socket = guest.stack.echo_open(None, receive).unwrap();
    let data: Vec<u8> = (0..len).map(|n| n as u8 ^ sequence as u8).collect();
    let now = guest.now();
    guest.stack.echo_send(now, socket, IpAddr::V4(destination), sequence, &data, EchoOptions::default()).unwrap();
    let mut buffer = vec![0; 65_536];
    let result = guest.until("a reply", |guest| {
        if let Some((record, len)) = datagram::pop(&mut replies, &mut buffer) {
            assert_eq!(record.remote.ip(), IpAddr::V4(destination));
            assert_eq!(buffer[..2], sequence.to_be_bytes());
            return Some(Ok(buffer[2..len].to_vec()));
        }
        guest.stack.echo_take_error(socket).map(|error| Err(error.kind))
    });
    assert!(result.as_ref().map_or(true, |reply| *reply == data), "the reply is what was sent");
    guest.stack.echo_close(socket);
    result
}

#[test]
fn the_gateway_and_the_resolver_answer_for_themselves() {
    let mut guest = Guest::with_peers(&[]);
    for last in [2, 3] {
        for len in [0, 56, 1_472, 1_473, 20_000] {
            assert!(ping(&mut guest, Ipv4Addr::new(10, 0, 2, last), 1, len).is_ok());
        }
    }
    assert_eq!(ping(&mut guest, Ipv4Addr::new(10, 0, 2, 77), 1, 56), Err(ErrorKind::HostUnreachable));
}

#[test]
fn pings_reach_the_outside_through_the_hosts_echo_sockets() {
    in_a_namespace("where_the_host_allows_it", "echo 0 0 > /proc/sys/net/ipv4/ping_group_range");
}

#[test]
#[ignore = "run in a namespace by pings_reach_the_outside_through_the_hosts_echo_sockets"]
fn where_the_host_allows_it() {
    let mut guest = Guest::with_peers(&[]);
    for (sequence, len) in [0, 1, 56, 1_472, 1_473, 8_000].into_iter().enumerate() {
        assert!(ping(&mut guest, OUTSIDE, sequence as u16, len).is_ok());
    }
    // A destination to which the namespace has no route.
    assert_eq!(ping(&mut guest, Ipv4Addr::new(198, 51, 100, 1), 7, 56), Err(ErrorKind::NetworkUnreachable));
}

#[test]
fn a_ping_that_the_host_does_not_allow_is_told_to_be_forbidden() {
    // Nobody may, in a new namespace.
    in_a_namespace("where_the_host_forbids_it", "true");
}

#[test]
#[ignore = "run in a namespace by a_ping_that_the_host_does_not_allow_is_told_to_be_forbidden"]
fn where_the_host_forbids_it() {
    let mut guest = Guest::with_peers(&[]);
    assert_eq!(ping(&mut guest, OUTSIDE, 1, 56), Err(ErrorKind::AdministrativelyProhibited));
}
