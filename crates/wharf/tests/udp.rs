//! UDP, blocking and asynchronous, between two hosts on a cable.

mod common;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use common::{LEFT, NOBODY, RIGHT, pair, pair_of_mtu, pattern};
use wharf::net::UdpSocket;
use wharf::{Net, SocketError, UdpOptions, aio};

const WAIT: Option<Duration> = Some(Duration::from_secs(10));

fn bound(net: &Net, address: [u8; 4]) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(net, (address, 0)).unwrap();
    socket.set_read_timeout(WAIT).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// What waits for a neighbour's MAC address is bounded, so a burst at a stranger loses some: make acquaintance first.
fn greet(net: &Net) {
    wharf::Pinger::new(net, RIGHT.into()).unwrap().ping(b"hello", Duration::from_secs(10)).unwrap();
}

#[test]
fn datagrams_of_every_size_are_echoed() {
    let (left, right) = pair();
    let (near, _) = bound(&left, LEFT);
    let (far, address) = bound(&right, RIGHT);
    let echo = thread::spawn(move || {
        let mut buffer = vec![0; 65_535];
        loop {
            let (len, peer) = far.recv_from(&mut buffer).unwrap();
            far.send_to(&buffer[..len], peer).unwrap();
            if len == 1 {
                return;
            }
        }
    });
    let mut buffer = vec![0; 65_535];
    // Around one frame, around fragments of it, and to the end of what a datagram holds.
    for len in [0, 2, 511, 1_471, 1_472, 1_473, 2_951, 2_952, 2_953, 9_000, 32_768, 65_506, 65_507, 1] {
        let sent = pattern(len as u64 + 1, len);
        assert_eq!(near.send_to(&sent, address).unwrap(), len);
        let (n, peer) = near.recv_from(&mut buffer).unwrap();
        assert_eq!((n, peer), (len, address));
        assert!(buffer[..n] == sent, "{len} bytes");
    }
    echo.join().unwrap();
}

#[test]
fn more_than_a_datagram_holds_is_refused() {
    // U2.
    let (left, right) = pair();
    let (near, _) = bound(&left, LEFT);
    let (far, address) = bound(&right, RIGHT);
    let error = near.send_to(&vec![0; 65_508], address).unwrap_err();
    assert_eq!(SocketError::of(&error), Some(SocketError::MessageTooLong));
    near.set_dont_fragment(true).unwrap();
    near.send_to(&[1; 1_472], address).unwrap();
    let error = near.send_to(&[2; 1_473], address).unwrap_err();
    assert_eq!(SocketError::of(&error), Some(SocketError::MessageTooLong));
    near.set_dont_fragment(false).unwrap();
    near.send_to(&[3; 1_473], address).unwrap();
    let mut buffer = [0; 2_000];
    assert_eq!((far.recv(&mut buffer).unwrap(), buffer[0]), (1_472, 1));
    assert_eq!((far.recv(&mut buffer).unwrap(), buffer[0]), (1_473, 3));
}

#[test]
fn a_destination_that_cannot_be_reached_is_the_error_of_the_call() {
    let (left, _right) = pair();
    let (near, _) = bound(&left, LEFT);
    let error = near.send_to(b"x", ([192, 0, 2, 1], 53)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
    let error = near.send_to(b"x", ([10, 9, 0, 255], 53)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(near.send_to(b"x", (RIGHT, 0)).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    assert_eq!(near.send(b"x").unwrap_err().kind(), ErrorKind::NotConnected);
}

#[test]
fn a_closed_port_is_told_to_a_connected_socket() {
    let (left, _right) = pair();
    let (near, _) = bound(&left, LEFT);
    near.connect((RIGHT, 9)).unwrap();
    near.send(b"anybody?").unwrap();
    assert_eq!(near.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    near.send(b"still nobody?").unwrap();
    let error = loop {
        if let Some(error) = near.take_error().unwrap() {
            break error;
        }
        thread::sleep(Duration::from_millis(1));
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_host_that_does_not_exist_is_told_to_a_connected_socket() {
    let (left, _right) = pair();
    let (near, _) = bound(&left, LEFT);
    near.connect((NOBODY, 9)).unwrap();
    near.send(b"anybody?").unwrap();
    assert_eq!(near.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::HostUnreachable);
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    let (left, right) = pair();
    let (near, near_address) = bound(&left, LEFT);
    let (far, far_address) = bound(&right, RIGHT);
    let (other, _) = bound(&right, RIGHT);
    near.connect(far_address).unwrap();
    assert_eq!(near.peer_addr().unwrap(), far_address);
    other.send_to(b"stranger", near_address).unwrap();
    far.send_to(b"friend", near_address).unwrap();
    let mut buffer = [0; 16];
    let n = near.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..n], b"friend");
    near.send(b"answer").unwrap();
    let (n, peer) = far.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..n], peer), (&b"answer"[..], near_address));
}

#[test]
fn connecting_an_unspecified_socket_gives_it_an_address() {
    let (left, _right) = pair();
    let (near, address) = bound(&left, [0, 0, 0, 0]);
    assert!(address.ip().is_unspecified());
    near.connect((RIGHT, 53)).unwrap();
    assert_eq!(near.local_addr().unwrap().ip(), std::net::IpAddr::from(LEFT));
}

#[test]
fn what_does_not_fit_the_buffer_is_lost_and_peeking_takes_nothing() {
    let (left, right) = pair();
    let (near, _) = bound(&left, LEFT);
    let (far, address) = bound(&right, RIGHT);
    near.send_to(b"too long for this", address).unwrap();
    near.send_to(b"next", address).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(far.peek(&mut buffer).unwrap(), 8);
    assert_eq!(far.recv(&mut buffer).unwrap(), 8);
    assert_eq!(&buffer, b"too long");
    assert_eq!(far.recv(&mut buffer).unwrap(), 4);
}

#[test]
fn broadcasts_need_permission_and_reach_everybody() {
    let (left, right) = pair();
    let near = UdpSocket::bind(&left, (LEFT, 0)).unwrap();
    let far = UdpSocket::bind(&right, ([0, 0, 0, 0], 4_000)).unwrap();
    far.set_read_timeout(WAIT).unwrap();
    near.set_broadcast(true).unwrap();
    near.send_to(b"all", ([10, 9, 0, 255], 4_000)).unwrap();
    near.send_to(b"everywhere", ([255, 255, 255, 255], 4_000)).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(far.recv(&mut buffer).unwrap(), 3);
    assert_eq!(far.recv(&mut buffer).unwrap(), 10);
}

#[test]
fn a_flooded_socket_drops_and_the_others_go_on() {
    // U9.
    let (left, right) = pair();
    let (near, _) = bound(&left, LEFT);
    let mut options = UdpOptions::default();
    options.receive_buffer = 4_096;
    let flooded = UdpSocket::bind_with(&right, (RIGHT, 0), &options).unwrap();
    let (other, other_address) = bound(&right, RIGHT);
    let address = flooded.local_addr().unwrap();
    for _ in 0..500 {
        near.send_to(&[0; 1_000], address).unwrap();
    }
    near.send_to(b"through", other_address).unwrap();
    assert_eq!(other.recv(&mut [0; 16]).unwrap(), 7);
    flooded.set_nonblocking(true).unwrap();
    let mut received = 0;
    while flooded.recv(&mut [0; 1_000]).is_ok() {
        received += 1;
    }
    assert!((1..=4).contains(&received), "{received}");
}

#[test]
fn a_burst_larger_than_the_send_ring_waits_for_room() {
    let (left, right) = pair();
    let (near, _) = bound(&left, LEFT);
    let mut options = UdpOptions::default();
    options.receive_buffer = 8 << 20;
    let far = UdpSocket::bind_with(&right, (RIGHT, 0), &options).unwrap();
    far.set_read_timeout(WAIT).unwrap();
    let address = far.local_addr().unwrap();
    greet(&left);
    for number in 0..2_000u32 {
        let mut datagram = [0; 1_200];
        datagram[..4].copy_from_slice(&number.to_be_bytes());
        near.send_to(&datagram, address).unwrap();
    }
    let mut buffer = [0; 1_200];
    for number in 0..2_000u32 {
        assert_eq!(far.recv(&mut buffer).unwrap(), 1_200);
        assert_eq!(buffer[..4], number.to_be_bytes());
    }
}

#[test]
fn datagrams_are_whole_at_a_tiny_mtu() {
    let (left, right) = pair_of_mtu(68);
    let (near, _) = bound(&left, LEFT);
    let (far, address) = bound(&right, RIGHT);
    greet(&left);
    let sent = pattern(9, 1_000);
    near.send_to(&sent, address).unwrap();
    let mut buffer = [0; 2_000];
    let n = far.recv(&mut buffer).unwrap();
    assert!(buffer[..n] == sent);
}

#[test]
fn receiving_stops_when_its_time_is_over() {
    let (left, _right) = pair();
    let (near, _) = bound(&left, LEFT);
    near.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(near.recv(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_nonblocking_send_to_a_new_destination_is_sent() {
    // Only a lack of room is worth WouldBlock: a program would wait in vain for a socket to become writable that is.
    let (left, right) = pair();
    let (near, _) = bound(&left, LEFT);
    let (far, address) = bound(&right, RIGHT);
    near.set_nonblocking(true).unwrap();
    assert_eq!(near.recv(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    near.send_to(b"now", address).unwrap();
    assert_eq!(far.recv(&mut [0; 8]).unwrap(), 3);
}

#[test]
fn a_port_is_taken_once_unless_shared() {
    let (left, _right) = pair();
    let (_near, address) = bound(&left, LEFT);
    assert_eq!(UdpSocket::bind(&left, address).unwrap_err().kind(), ErrorKind::AddrInUse);
    let mut options = UdpOptions::default();
    options.reuse_address = true;
    let first = UdpSocket::bind_with(&left, (LEFT, 4_001), &options).unwrap();
    let _second = UdpSocket::bind_with(&left, first.local_addr().unwrap(), &options).unwrap();
    assert_eq!(UdpSocket::bind(&left, (RIGHT, 0)).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
}

#[tokio::test]
async fn async_sockets_send_receive_and_tell_what_is_known() {
    // U3.
    let (left, right) = pair();
    let near = aio::UdpSocket::bind(&left, ([0, 0, 0, 0], 0)).await.unwrap();
    let far = aio::UdpSocket::bind(&right, ([0, 0, 0, 0], 0)).await.unwrap();
    let port = far.local_addr().unwrap().port();
    near.set_ttl(33).unwrap();
    near.set_tos(0x28).unwrap();
    near.send_to(b"metadata", (RIGHT, port)).await.unwrap();
    let mut buffer = [0; 4];
    let received = far.receive(&mut buffer).await.unwrap();
    assert_eq!((received.len, received.full_len), (4, 8));
    assert_eq!(received.source.ip(), std::net::IpAddr::from(LEFT));
    assert_eq!(received.destination, Some(RIGHT.into()));
    assert_eq!((received.hop_limit, received.tos), (33, 0x28));
    far.send_to(b"back", received.source).await.unwrap();
    let (n, peer) = near.recv_from(&mut buffer).await.unwrap();
    assert_eq!((n, peer), (4, SocketAddr::from((RIGHT, port))));
}

#[tokio::test]
async fn many_tasks_send_on_one_socket() {
    let (left, right) = pair();
    let near = std::sync::Arc::new(aio::UdpSocket::bind(&left, (LEFT, 0)).await.unwrap());
    let far = aio::UdpSocket::bind(&right, (RIGHT, 0)).await.unwrap();
    let address = far.local_addr().unwrap();
    greet(&left);
    let mut senders = tokio::task::JoinSet::new();
    for number in 0..100u8 {
        let near = std::sync::Arc::clone(&near);
        senders.spawn(async move { near.send_to(&[number], address).await.unwrap() });
    }
    let mut seen = [false; 100];
    for _ in 0..100 {
        let mut byte = [0];
        far.recv(&mut byte).await.unwrap();
        assert!(!std::mem::replace(&mut seen[usize::from(byte[0])], true), "a datagram came twice");
    }
    senders.join_all().await;
}

#[tokio::test]
async fn poll_functions_send_each_datagram_once() {
    let (left, right) = pair();
    let near = aio::UdpSocket::bind(&left, (LEFT, 0)).await.unwrap();
    let far = aio::UdpSocket::bind(&right, (RIGHT, 0)).await.unwrap();
    let address = far.local_addr().unwrap();
    for number in 0..10u8 {
        let payload = [number; 3];
        let sent = std::future::poll_fn(|context| near.poll_send_to(context, &payload, address)).await;
        assert_eq!(sent.unwrap(), 3);
    }
    for number in 0..10u8 {
        let mut bytes = [0; 8];
        let mut buffer = tokio::io::ReadBuf::new(&mut bytes);
        let peer = std::future::poll_fn(|context| far.poll_recv_from(context, &mut buffer)).await;
        assert_eq!(peer.unwrap(), near.local_addr().unwrap());
        assert_eq!(buffer.filled(), [number; 3]);
    }
}
