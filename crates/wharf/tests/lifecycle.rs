//! Engines that stop, die, get an address or do not, and what their users are told.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{CableEnd, LEFT, NOBODY, RIGHT, cable, host, on_cable, pair};
use device::{Capabilities, Device, RxFrame, TransmitError, TxFrame};
use links::Link;
use wharf::net::{TcpListener, TcpStream, UdpSocket};
use wharf::{AddressCheck, Error, Net, PingFailure, Pinger, SocketError};

const LONG: Duration = Duration::from_secs(10);

/// A link that breaks its engine on command.
struct Trap {
    end: CableEnd,
    sprung: Arc<AtomicBool>,
}

impl Device for Trap {
    fn capabilities(&self) -> Capabilities {
        self.end.capabilities()
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        assert!(!self.sprung.load(Ordering::SeqCst), "the trap is sprung");
        self.end.transmit(frame)
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        self.end.receive(budget, input)
    }
}

impl Link for Trap {
    fn fd(&self) -> BorrowedFd<'_> {
        self.end.fd()
    }

    fn name(&self) -> &str {
        "trap"
    }

    fn is_private(&self) -> bool {
        true
    }
}

/// A link on which others may be.
struct Shared(CableEnd);

impl Device for Shared {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        self.0.transmit(frame)
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        self.0.receive(budget, input)
    }
}

impl Link for Shared {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd()
    }

    fn name(&self) -> &str {
        "shared"
    }
}

#[test]
fn everybody_who_waits_on_an_engine_that_dies_is_told() {
    // L4.
    let (left, right) = cable(1_500);
    let sprung = Arc::new(AtomicBool::new(false));
    let trap = Trap { end: left, sprung: Arc::clone(&sprung) };
    let left = Net::builder().link(trap).address(on_cable(LEFT)).build().unwrap();
    let right = host(right, RIGHT).build().unwrap();
    left.wait_configured(LONG).unwrap();
    right.wait_configured(LONG).unwrap();

    let listener = TcpListener::bind(&right, (RIGHT, 0)).unwrap();
    let stream = TcpStream::connect(&left, listener.local_addr().unwrap()).unwrap();
    let own_listener = TcpListener::bind(&left, (LEFT, 0)).unwrap();
    let socket = UdpSocket::bind(&left, (LEFT, 0)).unwrap();
    let full = TcpStream::connect(&left, listener.local_addr().unwrap()).unwrap();

    let mut waiting = Vec::new();
    let reader = stream.try_clone().unwrap();
    waiting.push(thread::spawn(move || (&reader).read(&mut [0; 1]).unwrap_err()));
    waiting.push(thread::spawn(move || (&full).write_all(&vec![0; 8 << 20]).unwrap_err()));
    waiting.push(thread::spawn(move || own_listener.accept().unwrap_err()));
    waiting.push(thread::spawn(move || socket.recv(&mut [0; 1]).unwrap_err()));
    let connecting = left.clone();
    waiting.push(thread::spawn(move || TcpStream::connect(&connecting, (NOBODY, 1)).unwrap_err()));
    thread::sleep(Duration::from_millis(50));

    sprung.store(true, Ordering::SeqCst);
    (&stream).write_all(b"step on it").unwrap();
    for waiter in waiting {
        let error = waiter.join().unwrap();
        assert_eq!(SocketError::of(&error), Some(SocketError::EngineStopped), "{error}");
    }
    // And so is whoever comes later.
    assert_eq!(TcpStream::connect(&left, (RIGHT, 1)).unwrap_err().kind(), ErrorKind::NetworkDown);
    assert_eq!(TcpListener::bind(&left, (LEFT, 0)).unwrap_err().kind(), ErrorKind::NetworkDown);
    assert_eq!(UdpSocket::bind(&left, (LEFT, 0)).unwrap_err().kind(), ErrorKind::NetworkDown);
    assert!(matches!(left.interfaces(), Err(Error::EngineStopped)));
    assert!(matches!(left.wait_configured(LONG), Err(Error::EngineStopped)));
}

#[test]
fn sockets_outlive_the_net_they_were_made_on() {
    let (left, right) = pair();
    let listener = TcpListener::bind(&right, (RIGHT, 0)).unwrap();
    let mut near = TcpStream::connect(&left, listener.local_addr().unwrap()).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    drop((left, right, listener));
    near.write_all(b"still here").unwrap();
    let mut bytes = [0; 10];
    far.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"still here");
}

#[test]
fn an_engine_that_nobody_uses_stops_at_once() {
    let (left, right) = pair();
    let listener = TcpListener::bind(&right, (RIGHT, 0)).unwrap();
    drop(TcpStream::connect(&left, listener.local_addr().unwrap()).unwrap());
    let begun = Instant::now();
    drop((left, right, listener));
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn an_engine_with_something_to_send_lingers_no_longer_than_told() {
    let (left, right) = cable(1_500);
    let left = host(left, LEFT).linger(Duration::from_millis(100)).build().unwrap();
    let right = host(right, RIGHT).build().unwrap();
    right.wait_configured(LONG).unwrap();
    left.wait_configured(LONG).unwrap();
    let listener = TcpListener::bind(&right, (RIGHT, 0)).unwrap();
    let mut near = TcpStream::connect(&left, listener.local_addr().unwrap()).unwrap();
    let (_unread, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    while near.write(&[0; 1 << 16]).is_ok() {
        thread::sleep(Duration::from_millis(1));
    }
    let begun = Instant::now();
    drop((near, left));
    assert!((Duration::from_millis(100)..Duration::from_secs(2)).contains(&begun.elapsed()));
}

#[test]
fn a_net_on_which_nothing_was_done_is_dropped_quickly() {
    let begun = Instant::now();
    drop(Net::loopback().unwrap());
    drop(pair());
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn no_server_is_an_error_that_says_what_to_do() {
    let (left, _right) = cable(1_500);
    let net = Net::from_link(left).unwrap();
    let error = net.wait_configured(Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, Error::NoLease { .. }));
    let text = error.to_string();
    assert!(text.contains("DHCP") && text.contains("left"), "{text}");
    assert!(net.configuration().is_none());
    assert!(net.dns_servers().is_empty());
}

#[test]
fn an_address_by_hand_is_told_as_it_was_set() {
    let (left, _right) = cable(1_400);
    let net = host(left, LEFT).gateway(RIGHT.into()).dns([9, 9, 9, 9].into()).build().unwrap();
    let configuration = net.wait_configured(LONG).unwrap();
    assert_eq!(configuration.address, on_cable(LEFT));
    assert_eq!(configuration.gateway, Some(RIGHT.into()));
    assert_eq!(configuration.dns, [std::net::IpAddr::from([9, 9, 9, 9])]);
    assert_eq!((configuration.interface.as_str(), configuration.mtu), ("left", 1_400));
    assert!(configuration.lease.is_none());
    let interfaces = net.interfaces().unwrap();
    let names: Vec<_> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
    assert_eq!(names, ["lo", "left"]);
    assert!(interfaces[1].up && interfaces[1].addresses == [on_cable(LEFT)]);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let (left, right) = cable(1_500);
    assert!(matches!(Net::builder().link(left).gateway(RIGHT.into()).build(), Err(Error::Configuration(_))));
    assert!(matches!(Net::builder().address(on_cable(LEFT)).build(), Err(Error::Configuration(_))));
    let broadcast = [10, 9, 0, 255];
    assert!(matches!(Net::builder().link(right).address(on_cable(broadcast)).build(), Err(Error::Configuration(_))));
}

#[test]
fn an_address_that_somebody_has_is_a_conflict() {
    // N3: on a link that is not private an address is probed for first.
    let (left, right) = cable(1_500);
    let right = host(right, RIGHT).build().unwrap();
    right.wait_configured(LONG).unwrap();
    let left = Net::builder().link(Shared(left)).address(on_cable(RIGHT)).build().unwrap();
    let error = left.wait_configured(Duration::from_millis(1)).unwrap_err();
    assert!(matches!(error, Error::AddressUnchecked { .. }), "{error}");
    let error = left.wait_configured(Duration::from_secs(30)).unwrap_err();
    assert!(matches!(error, Error::AddressConflict { .. }), "{error}");
}

#[test]
fn an_address_is_probed_for_as_often_as_the_builder_says() {
    // RFC 5227 section 2.1.1: a probe asks from the unspecified address.
    for (check, expected) in [(AddressCheck::BRIEF, 2), (AddressCheck::OFF, 0)] {
        let (left, mut wire) = cable(1_500);
        let left = Net::builder().link(Shared(left)).address(on_cable(LEFT)).address_check(check).build().unwrap();
        left.wait_configured(Duration::from_secs(30)).unwrap();
        let mut probes = 0;
        wire.receive(100, &mut |frame| {
            let arp = frame.bytes.get(12..14) == Some(&[0x08, 0x06]);
            probes += usize::from(arp && frame.bytes.get(28..32) == Some(&[0; 4]));
        });
        assert_eq!(probes, expected, "{check:?}");
    }
}

#[test]
fn pings_are_answered_or_told_why_not() {
    let (left, _right) = pair();
    let pinger = Pinger::new(&left, RIGHT.into()).unwrap();
    for sequence in 1..=3 {
        let reply = pinger.ping(&[7; 56], LONG).unwrap();
        assert_eq!((reply.sequence, reply.len, reply.source), (sequence, 56, RIGHT.into()));
        assert!(reply.round_trip < LONG);
    }
    assert_eq!(pinger.ping(&[7; 20_000], LONG).unwrap().len, 20_000);

    let nobody = Pinger::new(&left, NOBODY.into()).unwrap();
    let error = nobody.ping(b"?", Duration::from_millis(30)).unwrap_err();
    assert!(matches!(error, Error::Ping { reason: PingFailure::NoReply(_), .. }));
    let error = nobody.ping(b"?", LONG).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Ping {
                reason: PingFailure::Reported { reason: SocketError::HostUnreachable, .. }
                    | PingFailure::Failed(SocketError::HostUnreachable),
                ..
            }
        ),
        "{error}"
    );
    let away = Pinger::new(&left, [192, 0, 2, 1].into()).unwrap();
    let error = away.ping(b"?", LONG).unwrap_err();
    assert!(matches!(error, Error::Ping { reason: PingFailure::Failed(SocketError::NetworkUnreachable), .. }));
}

#[tokio::test]
async fn pings_can_be_awaited() {
    let (left, _right) = pair();
    let pinger = Pinger::new(&left, RIGHT.into()).unwrap();
    assert_eq!(pinger.ping_async(&[0; 8]).await.unwrap().len, 8);
    assert_eq!(left.configured().await.unwrap().address, on_cable(LEFT));
}

#[test]
fn a_capture_shows_what_crossed_the_link() {
    let path = std::env::temp_dir().join(format!("wharf-capture-{}.pcapng", std::process::id()));
    let (left, right) = cable(1_500);
    let left = host(left, LEFT).capture(&path).build().unwrap();
    let right = host(right, RIGHT).build().unwrap();
    right.wait_configured(LONG).unwrap();
    left.wait_configured(LONG).unwrap();
    Pinger::new(&left, RIGHT.into()).unwrap().ping(b"in the capture", LONG).unwrap();
    drop(left);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(bytes[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    let found = bytes.windows(14).filter(|window| window == b"in the capture").count();
    assert_eq!(found, 2);
}
