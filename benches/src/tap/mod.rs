//! Family `tap`: one TCP stream between a stack in this process and the kernel's TCP, over a TAP device in a network
//! namespace of its own. Wharf and smoltcp take turns, each over a device of its own.
//!
//! One thread drives the stack and is its application; another is the kernel's, with ordinary sockets. smoltcp runs as
//! in its own benchmark program: its own TAP device, 64 KiB buffers, no congestion control, and an application that
//! touches no data. Wharf runs with its defaults: 1 MiB buffers, NewReno, timestamps, and an application that copies in
//! and out. The kernel uses Reno.

mod kernel;
mod smoltcp;
mod wharf;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::report::Report;
use crate::{machine, namespace, sampling};

const PEER: &str = "smoltcp 0.14";
/// How long a stream runs before it is measured: slow start, the growth of buffers.
const WARM_UP: Duration = Duration::from_millis(200);
/// For how long it is measured.
const SAMPLE: Duration = Duration::from_millis(800);
/// A run that has got nowhere after this has failed.
const HUNG: Duration = Duration::from_secs(10);
/// How long a thread sleeps at most before it looks whether it is to stop.
const NAP: Duration = Duration::from_millis(50);

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// From the stack to the kernel.
    Transmit,
    /// From the kernel to the stack.
    Receive,
}

/// One measurement.
#[derive(Debug)]
pub(crate) struct Case {
    pub name: &'static str,
    direction: Direction,
    device: DeviceKind,
}

/// What the devices are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeviceKind {
    /// Wharf's has a virtio-net header, with checksum and segmentation offload both ways; smoltcp's is plain.
    Offload,
    /// No offload: every frame is of MTU 1500, every checksum is computed.
    Plain,
    /// No offload, and the kernel takes frames in on a thread of its own. smoltcp's device is opened in the same way.
    Threaded,
}

/// All measurements of the family.
pub(crate) const CASES: [Case; 6] = [
    Case { name: "tap_tx", direction: Direction::Transmit, device: DeviceKind::Offload },
    Case { name: "tap_rx", direction: Direction::Receive, device: DeviceKind::Offload },
    Case { name: "tap_tx_plain", direction: Direction::Transmit, device: DeviceKind::Plain },
    Case { name: "tap_rx_plain", direction: Direction::Receive, device: DeviceKind::Plain },
    Case { name: "tap_tx_threaded", direction: Direction::Transmit, device: DeviceKind::Threaded },
    Case { name: "tap_rx_threaded", direction: Direction::Receive, device: DeviceKind::Threaded },
];

/// A TAP device: its name, and the addresses of the kernel and of the stack on it.
#[derive(Clone, Copy, Debug)]
struct Link {
    name: &'static str,
    kernel: Ipv4Addr,
    stack: Ipv4Addr,
}

const PREFIX: u8 = 24;
const PORT: u16 = 7;
const OFFLOAD: Link = Link::new("wharf0", 1);
const PLAIN: Link = Link::new("wharf1", 2);
const THREADED: Link = Link::new("wharf2", 3);
const SMOLTCP: Link = Link::new("smol0", 4);
const SMOLTCP_THREADED: Link = Link::new("smol1", 5);

impl Link {
    const fn new(name: &'static str, network: u8) -> Self {
        Self { name, kernel: Ipv4Addr::new(10, 0, network, 1), stack: Ipv4Addr::new(10, 0, network, 2) }
    }

    const fn server(&self) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(self.stack), PORT)
    }
}

/// What the two threads of a run share.
#[derive(Debug)]
struct Run {
    direction: Direction,
    /// Bytes that the receiving application has got.
    received: AtomicU64,
    /// Tells the kernel's side to end its connection.
    kernel_stops: AtomicBool,
    /// Tells the stack's side to return.
    stack_stops: AtomicBool,
}

impl Run {
    const fn new(direction: Direction) -> Self {
        Self {
            direction,
            received: AtomicU64::new(0),
            kernel_stops: AtomicBool::new(false),
            stack_stops: AtomicBool::new(false),
        }
    }

    fn count(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn must_kernel_stop(&self) -> bool {
        self.kernel_stops.load(Ordering::Relaxed)
    }

    fn must_stack_stop(&self) -> bool {
        self.stack_stops.load(Ordering::Relaxed)
    }

    /// Watches the stream; returns its speed in Gbit/s.
    fn measure(&self) -> Result<f64> {
        let start = Instant::now();
        while self.received.load(Ordering::Relaxed) == 0 {
            ensure!(start.elapsed() < HUNG, "no byte arrived within {HUNG:?}");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(WARM_UP);
        let (start, before) = (Instant::now(), self.received.load(Ordering::Relaxed));
        thread::sleep(SAMPLE);
        let (elapsed, after) = (start.elapsed(), self.received.load(Ordering::Relaxed));
        ensure!(after > before, "the stream came to a halt");
        Ok((after - before) as f64 * 8.0 / elapsed.as_secs_f64() / 1e9)
    }
}

/// How the family is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

/// Runs every case that `chosen` chooses.
///
/// # Errors
/// When no namespace can be made, or a measurement fails.
pub(crate) fn run(_options: &Options, pairs: usize, chosen: impl Fn(&str) -> bool, report: &mut Report) -> Result<()> {
    if !namespace::is_inside() {
        return namespace::run_inside();
    }
    let processors = machine::processors()?;
    let placement = Placement { stack: processors[0], kernel: processors[processors.len() - 1] };
    machine::pin(placement.stack)?;
    let cases: Vec<&Case> = CASES.iter().filter(|case| chosen(case.name)).collect();
    for kind in [DeviceKind::Offload, DeviceKind::Plain, DeviceKind::Threaded] {
        let cases: Vec<&Case> = cases.iter().copied().filter(|case| case.device == kind).collect();
        if !cases.is_empty() {
            measure(kind, &cases, placement, pairs, report)?;
        }
    }
    Ok(())
}

/// Measures `cases`, which have devices of this kind.
fn measure(kind: DeviceKind, cases: &[&Case], placement: Placement, pairs: usize, report: &mut Report) -> Result<()> {
    let (link, peer_link) = match kind {
        DeviceKind::Offload => (&OFFLOAD, &SMOLTCP),
        DeviceKind::Plain => (&PLAIN, &SMOLTCP),
        DeviceKind::Threaded => (&THREADED, &SMOLTCP_THREADED),
    };
    for link in [link, peer_link] {
        namespace::add_tap(link.name, link.kernel, PREFIX)?;
    }
    if kind == DeviceKind::Threaded {
        namespace::show_interfaces()?;
    }
    // They stay open: a device that is let go loses its carrier, and gets it back when the kernel finds time.
    let mut device = wharf::open(link, kind)?;
    let mut peer = match kind {
        DeviceKind::Offload | DeviceKind::Plain => smoltcp::open(peer_link)?,
        DeviceKind::Threaded => smoltcp::take_over(&wharf::open(peer_link, kind)?)?,
    };
    for link in [link, peer_link] {
        namespace::wait_for_carrier(link.name)?;
    }
    for case in cases {
        let samples = sampling::alternate(
            pairs,
            || sample(link, case.direction, placement, |run| wharf::run(&mut device, link, run)),
            || sample(peer_link, case.direction, placement, |run| smoltcp::run(&mut peer, peer_link, run)),
        )
        .with_context(|| format!("measuring {}", case.name))?;
        report.add_sampled(case.name, "Gbit/s", PEER, &samples)?;
    }
    drop((device, peer));
    for link in [link, peer_link] {
        namespace::remove_tap(link.name)?;
    }
    Ok(())
}

/// Which processor the stack has, and which the kernel's application: another where there is one.
#[derive(Clone, Copy, Debug)]
struct Placement {
    stack: usize,
    kernel: usize,
}

/// One stream: the stack on this thread, the kernel's application and a watch on others.
fn sample(
    link: &Link,
    direction: Direction,
    placement: Placement,
    stack: impl FnOnce(&Run) -> Result<()>,
) -> Result<f64> {
    let run = Run::new(direction);
    thread::scope(|scope| {
        let kernel = scope.spawn(|| {
            machine::pin(placement.kernel)?;
            kernel::run(link.server(), &run)
        });
        let watch = scope.spawn(|| {
            let speed = run.measure();
            run.kernel_stops.store(true, Ordering::Relaxed);
            let kernel = kernel.join().unwrap_or_else(|_| Err(anyhow!("the kernel's side panicked")));
            run.stack_stops.store(true, Ordering::Relaxed);
            // Where a side failed, that is why nothing arrived.
            kernel.and(speed)
        });
        stack(&run)?;
        watch.join().unwrap_or_else(|_| Err(anyhow!("the watch panicked")))
    })
}
