use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use stack::ip::icmp::ErrorKind;

use super::super::host::{self, Attempt, HostEvent, Owner, Poller, Token, Watch};
use super::super::table::Table;

fn pair() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (ours, theirs)
}

fn poll(poller: &Poller) -> Vec<HostEvent> {
    let mut events = Vec::new();
    poller.poll(|event| events.push(event));
    events
}

#[test]
fn the_kernel_writes_into_a_ring_and_reads_from_it_in_place() {
    let (ours, mut theirs) = pair();
    let (mut producer, mut consumer) = ring::heap(100_000);
    let mut written = 0_u32;
    let mut read = Vec::new();
    // Sizes that make the ring grow and wrap.
    for size in [1, 4_095, 5_000, 60_000, 33, 50_000, 7, 99_999] {
        let bytes: Vec<u8> = (0..size).map(|n| (written + n) as u8).collect();
        theirs.write_all(&bytes).unwrap();
        written += size;
        while consumer.len() < size as usize {
            let (attempt, offered) = host::receive_into(ours.as_fd(), &mut producer, 1 << 20);
            assert!(matches!(attempt, Attempt::Done(count) if count > 0 && count <= offered), "{attempt:?}");
        }
        while !consumer.is_empty() {
            let spans = consumer.spans(0, 30_000);
            let Attempt::Done(count) = host::send_spans(ours.as_fd(), spans.as_slice()) else { panic!("full") };
            consumer.consume(count);
            let mut back = vec![0; count];
            theirs.read_exact(&mut back).unwrap();
            read.extend(back);
        }
    }
    assert!(read.len() == written as usize && read.iter().enumerate().all(|(n, byte)| *byte == n as u8));
    assert!(matches!(host::receive_into(ours.as_fd(), &mut producer, 10).0, Attempt::WouldBlock));
    drop(theirs);
    assert!(matches!(host::receive_into(ours.as_fd(), &mut producer, 10).0, Attempt::Done(0)));
    let spans = [ring::Span::from_slice(b"no signal comes of it")];
    assert!(matches!(host::send_spans(ours.as_fd(), &spans), Attempt::Failed(_)));
}

#[test]
fn each_change_of_a_socket_is_told_once() {
    let poller = Poller::new().unwrap();
    let (ours, mut theirs) = pair();
    let key = Table::new(1).insert(()).unwrap();
    let token = Token { owner: Owner::DnsStream, key };
    poller.watch(&ours, token, Watch::Stream).unwrap();
    let events = poll(&poller);
    assert!(matches!(events[..], [HostEvent { writable: true, readable: false, .. }]), "{events:?}");
    assert!(poll(&poller).is_empty());
    theirs.write_all(b"x").unwrap();
    let events = poll(&poller);
    assert!(matches!(events[..], [HostEvent { readable: true, hangup: false, .. }]), "{events:?}");
    assert_eq!(events[0].token, token);
    assert!(poll(&poller).is_empty(), "unread, and still told only once");
    drop(theirs);
    assert!(matches!(poll(&poller)[..], [HostEvent { hangup: true, readable: true, .. }]));
    drop(ours);
    assert!(poll(&poller).is_empty());
}

#[test]
fn a_refused_connection_and_a_refused_datagram_tell_their_errors() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let socket: OwnedFd = host::connect_stream(closed).unwrap();
    let error = (0..1_000)
        .find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            host::take_error(&socket)
        })
        .unwrap();
    assert_eq!(host::icmp_kind(&error), Some(ErrorKind::PortUnreachable));

    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let socket = host::connect_datagram(closed).unwrap();
    socket.send(b"x").unwrap();
    let Attempt::Failed(error) = Attempt::from(socket.recv(&mut [0; 1])) else { panic!("no error") };
    assert_eq!(host::icmp_kind(&error), Some(ErrorKind::PortUnreachable));
    host::drain_error_queue(&socket);
    assert!(matches!(Attempt::from(socket.recv(&mut [0; 1])), Attempt::WouldBlock));
}

#[test]
fn a_socket_closed_by_reset_is_seen_as_reset() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let remote = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listener.local_addr().unwrap().port());
    let socket = host::connect_stream(remote).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    host::reset(socket);
    let error = accepted.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}
