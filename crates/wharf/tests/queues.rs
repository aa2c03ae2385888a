//! Several engines on the queues of one link that always brings a frame by another queue than the last one.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use device::{Capabilities, Device, RxFrame, TransmitError, TxFrame};
use links::Link;
use rustix::event::{EventfdFlags, eventfd};
use wharf::net::{TcpListener, TcpStream, UdpSocket};
use wharf::{AddressCheck, Cidr, Error, MacAddr, Net, Pinger, SocketError, TcpOptions};

const QUEUES: usize = 4;
const FAR: &str = "10.0.0.1";
const NEAR: &str = "10.0.0.2";

/// Frames on their way to one queue.
struct Pipe {
    frames: Mutex<VecDeque<Vec<u8>>>,
    bell: OwnedFd,
}

impl Pipe {
    fn new() -> Arc<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap();
        Arc::new(Self { frames: Mutex::default(), bell })
    }
}

/// A queue that sends each frame to the next of the other side's.
struct Queue {
    station: u8,
    from: Arc<Pipe>,
    to: Vec<Arc<Pipe>>,
    next: usize,
    sent: Arc<Mutex<usize>>,
}

impl Device for Queue {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(MacAddr([2, 0, 0, 0, 0, self.station]), 1500)
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        let mut bytes = vec![0; frame.len()];
        frame.copy_to(&mut bytes);
        self.next = (self.next + 1) % self.to.len();
        let pipe = &self.to[self.next];
        pipe.frames.lock().unwrap().push_back(bytes);
        rustix::io::write(&pipe.bell, &1u64.to_ne_bytes()).unwrap();
        *self.sent.lock().unwrap() += 1;
        Ok(())
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        // Before the look at the frames: what comes after it rings again.
        let _ = rustix::io::read(&self.from.bell, &mut [0; 8]);
        for taken in 0..budget {
            let Some(frame) = self.from.frames.lock().unwrap().pop_front() else { return taken };
            input(&RxFrame::plain(&frame));
        }
        budget
    }
}

impl Link for Queue {
    fn fd(&self) -> BorrowedFd<'_> {
        self.from.bell.as_fd()
    }

    fn name(&self) -> &str {
        if self.station == 1 { "far" } else { "near" }
    }
}

struct Lan {
    far: Net,
    /// The one with several engines.
    near: Net,
    /// Frames sent by each of its queues.
    sent: Vec<Arc<Mutex<usize>>>,
    pipes: Vec<Arc<Pipe>>,
}

fn lan() -> Lan {
    let far_pipe = Pipe::new();
    let pipes: Vec<_> = (0..QUEUES).map(|_| Pipe::new()).collect();
    let queue = |station, from: &Arc<Pipe>, to: &[Arc<Pipe>]| Queue {
        station,
        from: Arc::clone(from),
        to: to.to_vec(),
        next: 0,
        sent: Arc::default(),
    };
    let far = queue(1, &far_pipe, &pipes);
    let near: Vec<Queue> = pipes.iter().map(|pipe| queue(2, pipe, std::slice::from_ref(&far_pipe))).collect();
    let sent = near.iter().map(|queue| Arc::clone(&queue.sent)).collect();
    let builder = || Net::builder().address_check(AddressCheck::OFF).linger(Duration::from_millis(500));
    let far = builder().link(far).address(subnet(FAR)).build().unwrap();
    let near = builder().queues(near).address(subnet(NEAR)).build().unwrap();
    for net in [&far, &near] {
        net.wait_configured(Duration::from_secs(10)).unwrap();
    }
    Lan { far, near, sent, pipes }
}

fn subnet(host: &str) -> Cidr {
    Cidr::new(host.parse().unwrap(), 24).unwrap()
}

fn address(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse().unwrap(), port)
}

/// `count` calls from one to the other, each answered with what it said.
fn calls(from: &Net, to: &Net, host: &str, count: usize) {
    let listener = TcpListener::bind(to, address(host, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    thread::scope(|scope| {
        for n in 0..count {
            scope.spawn(move || {
                let stream = TcpStream::connect(from, at).unwrap();
                let said: Vec<u8> = (0..50_000).map(|at| (at * 31 + n * 7) as u8).collect();
                thread::scope(|scope| {
                    scope.spawn(|| {
                        (&stream).write_all(&said).unwrap();
                        stream.shutdown(std::net::Shutdown::Write).unwrap();
                    });
                    let mut heard = Vec::new();
                    (&stream).read_to_end(&mut heard).unwrap();
                    assert!(heard == said, "call {n}");
                });
            });
        }
        for _ in 0..count {
            let (mut stream, _) = listener.accept().unwrap();
            scope.spawn(move || {
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).unwrap();
                stream.write_all(&heard).unwrap();
            });
        }
    });
}

#[test]
fn connections_both_ways_live_in_every_engine_whatever_the_queue() {
    let lan = lan();
    calls(&lan.near, &lan.far, FAR, 40);
    for (queue, sent) in lan.sent.iter().enumerate() {
        assert!(std::mem::take(&mut *sent.lock().unwrap()) > 10, "queue {queue} sent nothing");
    }
    calls(&lan.far, &lan.near, NEAR, 40);
    for (queue, sent) in lan.sent.iter().enumerate() {
        assert!(*sent.lock().unwrap() > 10, "queue {queue} answered nothing");
    }
}

#[test]
fn one_host_answers_refusals_pings_and_datagrams() {
    let lan = lan();
    for n in 0..20 {
        let refused = TcpStream::connect(&lan.far, address(NEAR, 9 + n)).unwrap_err();
        assert_eq!(SocketError::of(&refused), Some(SocketError::Refused));
        let refused = TcpStream::connect(&lan.near, address(FAR, 9 + n)).unwrap_err();
        assert_eq!(SocketError::of(&refused), Some(SocketError::Refused));
    }
    for (net, host) in [(&lan.far, NEAR), (&lan.near, FAR)] {
        let pinger = Pinger::new(net, host.parse().unwrap()).unwrap();
        for _ in 0..10 {
            pinger.ping(&[1; 3_000], Duration::from_secs(10)).unwrap();
        }
    }
    for (net, host, other) in [(&lan.far, NEAR, &lan.near), (&lan.near, FAR, &lan.far)] {
        let echo = UdpSocket::bind(other, address(host, 0)).unwrap();
        let socket = UdpSocket::bind(net, address("0.0.0.0", 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        for len in [0, 1, 1_000, 5_000, 40_000] {
            socket.send_to(&vec![3; len], echo.local_addr().unwrap()).unwrap();
            let mut bytes = vec![0; 50_000];
            let (got, from) = echo.recv_from(&mut bytes).unwrap();
            assert_eq!(got, len);
            echo.send_to(&bytes[..got], from).unwrap();
            assert_eq!(socket.recv_from(&mut bytes).unwrap().0, len);
        }
    }
}

#[test]
fn a_local_port_that_is_asked_for_is_had() {
    let lan = lan();
    let listener = TcpListener::bind(&lan.far, address(FAR, 80)).unwrap();
    for port in 3_000..3_020 {
        for host in ["0.0.0.0", NEAR] {
            let local = address(host, port);
            let mut options = TcpOptions::default();
            options.local = Some(local);
            // The second is another connection of the same port: to another port of the peer's, refused.
            let to = if host == NEAR { 80 } else { 81 };
            let connected = TcpStream::connect_with(&lan.near, address(FAR, to), &options);
            match to {
                80 => assert_eq!(connected.unwrap().local_addr().unwrap(), address(NEAR, port)),
                _ => assert_eq!(SocketError::of(&connected.unwrap_err()), Some(SocketError::Refused)),
            }
        }
        assert_eq!(listener.accept().unwrap().1, address(NEAR, port));
    }
}

#[test]
fn traffic_to_its_own_addresses_stays_inside() {
    let lan = lan();
    for host in ["127.0.0.1", NEAR] {
        calls(&lan.near, &lan.near, host, 12);
        let (one, other) = (
            UdpSocket::bind(&lan.near, address(host, 0)).unwrap(),
            UdpSocket::bind(&lan.near, address(host, 0)).unwrap(),
        );
        one.send_to(b"inside", other.local_addr().unwrap()).unwrap();
        assert_eq!(other.recv_from(&mut [0; 16]).unwrap().0, 6);
    }
    assert!(lan.sent.iter().all(|sent| *sent.lock().unwrap() == 0), "something left");
    let mut options = TcpOptions::default();
    let listener = TcpListener::bind(&lan.near, address("0.0.0.0", 0)).unwrap();
    for port in 4_000..4_010 {
        options.local = Some(address("0.0.0.0", port));
        for host in ["127.0.0.1", NEAR] {
            let to = address(host, listener.local_addr().unwrap().port());
            let stream = TcpStream::connect_with(&lan.near, to, &options).unwrap();
            assert_eq!(stream.local_addr().unwrap(), address(host, port));
        }
    }
}

#[test]
fn a_port_is_taken_in_every_engine_or_in_none() {
    let lan = lan();
    let listener = TcpListener::bind(&lan.near, address(NEAR, 80)).unwrap();
    let refused = TcpListener::bind(&lan.near, address(NEAR, 80)).unwrap_err();
    assert_eq!(SocketError::of(&refused), Some(SocketError::AddressInUse));
    drop(listener);
    // What the refused attempt had of it is given back, and so is the listener's.
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpListener::bind(&lan.near, address(NEAR, 80)).is_err() {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
    let ports: Vec<u16> = (0..100)
        .map(|_| TcpListener::bind(&lan.near, address("0.0.0.0", 0)).unwrap().local_addr().unwrap().port())
        .collect();
    assert!(ports.iter().all(|&port| port >= 1_024));
}

#[test]
fn a_socket_keeps_every_engine_and_the_last_one_ends_them_all() {
    let Lan { far, near, pipes, .. } = lan();
    let listener = TcpListener::bind(&far, address(FAR, 80)).unwrap();
    let mut stream = TcpStream::connect(&near, listener.local_addr().unwrap()).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    drop(near);
    for _ in 0..3 {
        stream.write_all(b"here").unwrap();
        peer.read_exact(&mut [0; 4]).unwrap();
    }
    // The first engine still answers for the station.
    Pinger::new(&far, NEAR.parse().unwrap()).unwrap().ping(&[1], Duration::from_secs(10)).unwrap();
    drop((stream, peer, listener));
    // The link has gone with the threads: what is left are the far side's ends, and ours here.
    assert!(pipes.iter().all(|pipe| Arc::strong_count(pipe) == 2));
}

#[test]
fn queues_are_one_interface() {
    let lan = lan();
    let listener = TcpListener::bind(&lan.far, address(FAR, 80)).unwrap();
    for _ in 0..8 {
        TcpStream::connect(&lan.near, listener.local_addr().unwrap()).unwrap();
    }
    let interfaces = lan.near.interfaces().unwrap();
    assert_eq!(interfaces.iter().map(|interface| &interface.name[..]).collect::<Vec<_>>(), ["lo", "near"]);
    assert_eq!(interfaces[1].addresses, [subnet(NEAR)]);
    assert!(interfaces[1].stats.tx_packets > 16, "{:?}", interfaces[1].stats);
}

#[test]
fn what_makes_no_sense_with_queues_is_refused() {
    let none: [Queue; 0] = [];
    assert!(matches!(Net::builder().queues(none).build(), Err(Error::Configuration(_))));
    let queue = Queue { station: 2, from: Pipe::new(), to: vec![Pipe::new()], next: 0, sent: Arc::default() };
    let file = std::env::temp_dir().join("wharf-no-such-capture.pcapng");
    assert!(matches!(Net::builder().queues([queue]).capture(&file).build(), Err(Error::Configuration(_))));
    assert!(!file.exists());
}
