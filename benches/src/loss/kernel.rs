//! Beside the kernel: over one emulated link, in real time, the kernel's TCP and Wharf send to the kernel's TCP in turns.
//!
//! The receiver is the kernel in a namespace of its own, behind a TAP device; the kernel that sends is in another, behind
//! another. One thread is the link between them, and the host of Wharf's engine. Many flows run at once, so that one run is
//! many samples: nothing but a delay and loss by chance is on the way, and no flow feels the others. BBR looks for a rate and
//! takes no loss for one, so that each of its flows has a bottleneck of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use device::{Device, TransmitError, TxChecksum, TxFrame};
use links::Link as _;
use links::tap::{Tap, TapOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketType, connect, socket};
use rustix::thread::UnshareFlags;
use sim::Chance;
use sim::link::{Frame, Link, LinkModel, Loss};
use stack::tcp::Algorithm;

use super::network::{FIRST_PORT, Host};
use super::wharf::Wharf;
use crate::namespace;
use crate::report::{Figure, Peer, Report};
use crate::sampling::Series;

const ROUND_TRIP: Duration = Duration::from_millis(50);
const LOSS: f64 = 0.01;
/// Flows at a time.
const FLOWS: usize = 12;
/// Turns of each contender.
const TURNS: u64 = 4;
/// How long flows run before they are measured.
const WARM_UP: Duration = Duration::from_secs(3);
/// For how long they are measured.
const SAMPLE: Duration = Duration::from_secs(20);
/// What a read or write may take.
const HUNG: Duration = Duration::from_secs(30);
/// The bottleneck of a flow of BBR's, in bit/s, and the bytes that wait there at most: those of one round trip.
const BOTTLENECK: u64 = 8_000_000;
const BOTTLENECK_QUEUE: usize = 50_000;
/// Where the destination's port stands in a frame of either sender's.
const DESTINATION_PORT: usize = 36;
/// Wharf may be so far behind.
const ALLOWANCE: f64 = 0.9;

const UP: &str = "wharf-up";
const DOWN: &str = "wharf-down";
const PREFIX: u8 = 24;
/// The kernel that sends, the one that receives. The engine's address is 192.0.2.1 as in the other runs, the receiver's second
/// address 192.0.2.2.
const SENDER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const RECEIVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const RECEIVER_FOR_WHARF: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// Stations: as in `pair::wharf::mac` for hosts 1 and 2, and one for the kernel that sends.
const STATION_OF_WHARF: &str = "02:00:00:00:00:01";
const STATION_OF_RECEIVER: &str = "02:00:00:00:00:02";
const STATION_OF_SENDER: &str = "02:00:00:00:00:03";
/// The TAPs' own ends: other stations than the kernel's, though no frame comes from them.
const OWN_STATION: wire::ethernet::MacAddr = wire::ethernet::MacAddr([2, 0, 0, 0, 9, 9]);

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Kernel,
    Wharf,
}

/// Measures CUBIC, Reno and BBR.
///
/// # Errors
/// When no namespace can be made, a run fails, or Wharf is too far behind.
pub(super) fn run(report: &mut Report) -> Result<()> {
    if !namespace::is_inside() {
        return namespace::run_inside();
    }
    let mut field = Field::new()?;
    let mut behind = Vec::new();
    for algorithm in [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Bbr] {
        let (mut own, mut peer) = (Series::default(), Series::default());
        for turn in 0..TURNS {
            peer.extend(field.turn(From::Kernel, algorithm, turn).context("the kernel's turn")?);
            own.extend(field.turn(From::Wharf, algorithm, turn).context("Wharf's turn")?);
        }
        let name = format!("loss_kernel_{}", algorithm.name());
        let (value, peer_value) = (own.median(), peer.median());
        // Chance alone makes the samples differ; there are many, and their medians do not.
        let figure = Figure {
            spread: own.spread().max(peer.spread()),
            ..Figure::counted(name.clone(), "Mbit/s", value, Some(Peer { name: "Linux", value: peer_value }))
        };
        report.add(&figure)?;
        if value < peer_value * ALLOWANCE {
            behind.push(format!("{name}: {value:.3} against {peer_value:.3} Mbit/s"));
        }
    }
    ensure!(behind.is_empty(), "more than 10 % behind the kernel:\n{}", behind.join("\n"));
    Ok(())
}

/// The two TAP devices and the kernel that receives.
struct Field {
    up: Tap,
    down: Tap,
    receiver: Receiver,
}

/// The kernel that receives: bytes of each flow of a turn.
struct Receiver {
    counts: Arc<Vec<AtomicU64>>,
    /// Whether the thread that accepts is to go on.
    stops: Arc<AtomicBool>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
    }
}

impl Field {
    fn new() -> Result<Self> {
        namespace::add_tap(UP, SENDER, PREFIX)?;
        // What one turn has learnt about the path must not help or hinder the next.
        std::fs::write("/proc/sys/net/ipv4/tcp_no_metrics_save", "1")
            .context("keeping the kernel from remembering paths")?;
        namespace::ip(&["link", "set", "dev", UP, "address", STATION_OF_SENDER])?;
        namespace::ip(&["neighbor", "replace", &RECEIVER.to_string(), "lladdr", STATION_OF_RECEIVER, "dev", UP])?;
        let up = open(UP)?;
        namespace::wait_for_carrier(UP)?;
        let (down, receiver) = Receiver::start()?;
        Ok(Self { up, down, receiver })
    }

    /// Lets all flows run once; returns the goodput of each in Mbit/s.
    fn turn(&mut self, from: From, algorithm: Algorithm, seed: u64) -> Result<Vec<f64>> {
        for count in self.receiver.counts.iter() {
            count.store(0, Ordering::Relaxed);
        }
        let mut wharf = (from == From::Wharf).then(|| Wharf::sender(&[algorithm; FLOWS], 1 << 22, 10 + seed as u8));
        let stops = AtomicBool::new(false);
        thread::scope(|scope| {
            let senders: Vec<_> = (0..if from == From::Kernel { FLOWS } else { 0 })
                .map(|flow| {
                    scope.spawn({
                        let stops = &stops;
                        move || send(flow, algorithm, stops)
                    })
                })
                .collect();
            let mut way = Way::new(algorithm, seed);
            let carried = carry(&mut self.up, &mut self.down, wharf.as_mut(), &self.receiver.counts, &mut way);
            stops.store(true, Ordering::Relaxed);
            // The kernel's senders may wait for room that only the link makes.
            let mut left = senders;
            while !left.is_empty() {
                let (done, waiting): (Vec<_>, Vec<_>) = left.into_iter().partition(|sender| sender.is_finished());
                for sender in done {
                    sender.join().unwrap_or_else(|_| Err(anyhow!("a sender panicked")))?;
                }
                left = waiting;
                drain(&mut self.up);
                drain(&mut self.down);
                thread::sleep(Duration::from_millis(1));
            }
            carried
        })
    }
}

/// Opens a TAP device as a plain link of MTU 1500.
fn open(name: &str) -> Result<Tap> {
    Tap::open_with(name, TapOptions { mac: Some(OWN_STATION), offload: false, threaded: false })
        .with_context(|| format!("opening {name}"))
}

/// Throws away what waits: it belongs to a turn that is over.
fn drain(tap: &mut Tap) {
    tap.receive(1_000, &mut |_| {});
}

impl Receiver {
    /// A thread in a namespace of its own, and the device that leads there.
    fn start() -> Result<(Tap, Self)> {
        let counts: Arc<Vec<AtomicU64>> = Arc::new((0..FLOWS).map(|_| AtomicU64::new(0)).collect());
        let stops = Arc::new(AtomicBool::new(false));
        let receiver = Self { counts: Arc::clone(&counts), stops: Arc::clone(&stops) };
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let prepared = prepare();
            let (tap, listeners) = match prepared {
                Ok((tap, listeners)) => (Ok(tap), listeners),
                Err(error) => (Err(error), Vec::new()),
            };
            if tell.send(tap).is_err() {
                return;
            }
            serve(&listeners, &counts, &stops);
        });
        let tap = told.recv().context("the receiver's thread has gone")??;
        Ok((tap, receiver))
    }
}

/// Makes the namespace of the calling thread, a device and the listeners in it.
fn prepare() -> Result<(Tap, Vec<TcpListener>)> {
    // SAFETY: a network namespace of its own takes neither memory nor descriptors away from the other threads.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.context("making a namespace for the receiver")?;
    namespace::add_tap(DOWN, RECEIVER, PREFIX)?;
    namespace::ip(&["address", "add", &format!("{RECEIVER_FOR_WHARF}/{PREFIX}"), "dev", DOWN])?;
    namespace::ip(&["link", "set", "dev", DOWN, "address", STATION_OF_RECEIVER])?;
    namespace::ip(&["neighbor", "replace", &SENDER.to_string(), "lladdr", STATION_OF_SENDER, "dev", DOWN])?;
    namespace::ip(&["neighbor", "replace", "192.0.2.1", "lladdr", STATION_OF_WHARF, "dev", DOWN])?;
    let tap = open(DOWN)?;
    namespace::wait_for_carrier(DOWN)?;
    let listeners = (0..FLOWS)
        .map(|flow| {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, FIRST_PORT + flow as u16))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
        .collect::<std::io::Result<Vec<_>>>()
        .context("listening in the receiver's namespace")?;
    Ok((tap, listeners))
}

/// Accepts and reads. A flow's new connection takes the place of its old one.
fn serve(listeners: &[TcpListener], counts: &[AtomicU64], stops: &AtomicBool) {
    let mut streams: Vec<Option<TcpStream>> = listeners.iter().map(|_| None).collect();
    let mut buffer = vec![0; 1 << 16];
    while !stops.load(Ordering::Relaxed) {
        for (flow, listener) in listeners.iter().enumerate() {
            if let Ok((stream, _)) = listener.accept()
                && stream.set_nonblocking(true).is_ok()
            {
                streams[flow] = Some(stream);
            }
            let Some(stream) = &mut streams[flow] else { continue };
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => streams[flow] = None,
                    Ok(read) => {
                        counts[flow].fetch_add(read as u64, Ordering::Relaxed);
                        continue;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => streams[flow] = None,
                }
                break;
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// One of the kernel's senders.
fn send(flow: usize, algorithm: Algorithm, stops: &AtomicBool) -> Result<()> {
    let remote = SocketAddr::new(IpAddr::V4(RECEIVER), FIRST_PORT + flow as u16);
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).context("a socket of the kernel's")?;
    // Before it connects: a connection that began with BBR, where that is the system's default, stays paced under any other.
    sockopt::set_tcp_congestion(&socket, algorithm.name()).with_context(|| {
        format!("choosing {} for the kernel (sysctl net.ipv4.tcp_allowed_congestion_control)", algorithm.name())
    })?;
    sockopt::set_socket_timeout(&socket, Timeout::Send, Some(HUNG)).context("a limit to the kernel's connecting")?;
    connect(&socket, &remote).context("the kernel's connecting")?;
    let mut stream = TcpStream::from(socket);
    // Short, so that the sender soon sees that it is to stop.
    stream.set_write_timeout(Some(Duration::from_millis(200)))?;
    let buffer = vec![7; 1 << 16];
    while !stops.load(Ordering::Relaxed) {
        match stream.write(&buffer) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).context("the kernel's write"),
        }
    }
    // What is still on its way must not disturb the next turn.
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).context("giving up what is unsent")
}

/// What lies between a sender and the receiver.
struct Way {
    /// To the receiver: a link for each flow.
    forth: Vec<Link>,
    back: Link,
    chance: Chance,
}

impl Way {
    fn new(algorithm: Algorithm, seed: u64) -> Self {
        let model = LinkModel::delay(ROUND_TRIP / 2);
        let mut forth = LinkModel { loss: Loss::Random(LOSS), ..model };
        if algorithm == Algorithm::Bbr {
            forth.rate = Some(BOTTLENECK);
            forth.queue = Some(BOTTLENECK_QUEUE);
        }
        let forth = (0..FLOWS).map(|_| Link::new(forth)).collect();
        Self { forth, back: Link::new(model), chance: Chance::new(seed) }
    }

    /// A sender's frame enters the link of its flow; one of no flow, the first.
    fn send(&mut self, now: stack::Instant, bytes: Vec<u8>) {
        let port = bytes.get(DESTINATION_PORT..DESTINATION_PORT + 2).map(|port| u16::from_be_bytes([port[0], port[1]]));
        let flow = port.map_or(0, |port| usize::from(port.wrapping_sub(FIRST_PORT)));
        let link = if flow < FLOWS { flow } else { 0 };
        self.forth[link].send(now, plain(bytes), &mut self.chance);
    }

    fn next_arrival(&self) -> stack::Instant {
        let forth = self.forth.iter().map(Link::next_arrival);
        forth.fold(self.back.next_arrival(), std::cmp::min)
    }
}

/// Is the link, for one turn; returns the goodput of each flow in Mbit/s.
fn carry(
    up: &mut Tap,
    down: &mut Tap,
    mut wharf: Option<&mut Wharf>,
    counts: &[AtomicU64],
    way: &mut Way,
) -> Result<Vec<f64>> {
    let origin = std::time::Instant::now();
    let clock = || super::network::BEGINNING + origin.elapsed();
    let read = || -> Vec<u64> { counts.iter().map(|count| count.load(Ordering::Relaxed)).collect() };
    let mut before: Option<Vec<u64>> = None;
    loop {
        let now = clock();
        if let Some(wharf) = wharf.as_deref_mut() {
            while let Some(frame) = way.back.receive(now) {
                wharf.take(now, &frame);
            }
            wharf.turn(now, &mut |bytes| way.send(now, bytes));
        } else {
            up.receive(1_000, &mut |frame| way.send(now, frame.bytes.to_vec()));
            while let Some(frame) = way.back.receive(now) {
                transmit(up, &frame.bytes)?;
            }
        }
        let Way { forth, back, chance } = way;
        down.receive(1_000, &mut |frame| back.send(now, plain(frame.bytes.to_vec()), chance));
        for link in forth {
            while let Some(frame) = link.receive(now) {
                transmit(down, &frame.bytes)?;
            }
        }

        let elapsed = origin.elapsed();
        if elapsed >= WARM_UP && before.is_none() {
            before = Some(read());
        }
        if elapsed >= WARM_UP + SAMPLE {
            break;
        }
        let mut due = way.next_arrival().min(now + Duration::from_millis(20));
        if let Some(wharf) = wharf.as_deref_mut() {
            due = due.min(wharf.due(now));
        }
        let timeout = Timespec::try_from(due.since(clock())).context("a time to sleep")?;
        let mut descriptors =
            [PollFd::from_borrowed_fd(up.fd(), PollFlags::IN), PollFd::from_borrowed_fd(down.fd(), PollFlags::IN)];
        poll(&mut descriptors, Some(&timeout)).context("waiting for frames")?;
    }
    let before = before.context("a run has a beginning")?;
    let goodputs: Vec<f64> = read()
        .iter()
        .zip(&before)
        .map(|(after, before)| after.saturating_sub(*before) as f64 * 8.0 / SAMPLE.as_secs_f64() / 1e6)
        .collect();
    if goodputs.iter().any(|&goodput| goodput <= 0.0) {
        bail!("a flow came to a halt: {goodputs:.3?} Mbit/s");
    }
    Ok(goodputs)
}

fn plain(bytes: Vec<u8>) -> Frame {
    Frame { bytes, verified: false, segment_size: None }
}

fn transmit(tap: &mut Tap, bytes: &[u8]) -> Result<()> {
    let frame = TxFrame { header: bytes, payload: &[], checksum: TxChecksum::Complete, segment_size: None };
    match tap.transmit(&frame) {
        Ok(()) => Ok(()),
        Err(TransmitError::Full) => bail!("the kernel takes no more frames"),
        Err(TransmitError::Lost) => bail!("the device is down"),
    }
}
