//! A bad link between Wharf and the kernel: every frame takes its time, and some are lost. Used by `world` for the TAP
//! devices of tests that run over it, and by `tests/lossy.rs`, which says which do.
//!
//! No kernel module is needed that delays or loses. What Wharf sends into its own TAP device leaves through a bridge by
//! a second device, whose other end is a thread here; after a while the thread hands it to a third, on which the kernel
//! has its address. The emulator of the wire is the simulator's, here in real time.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use device::{Device, TxChecksum, TxFrame};
use links::Link as _;
use links::tap::{Tap, TapOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sim::Chance;
use sim::link::{Frame, Link, LinkModel, Loss};

/// How long a frame is on its way: 80 ms there and back.
const ONE_WAY: Duration = Duration::from_millis(40);
/// The share of frames that are lost, each way.
const LOSS: f64 = 0.02;
/// Tells the run inside the namespace that its link is to be the bad one, and by its value the seed.
const VARIABLE: &str = "WHARF_INTEROP_BAD_LINK";
/// A seed for all tests, in place of each its own.
const SEED: &str = "WHARF_INTEROP_SEED";

/// Has a program, which is to be the test `test` itself, run over the bad link.
///
/// What is lost follows from the test's name: the same frames of each direction, by their number, in every run, and other
/// ones in every test.
///
/// # Panics
///
/// When a seed is given that is no number.
pub(crate) fn choose(command: &mut Command, test: &str) {
    let seed = match std::env::var(SEED) {
        Ok(given) => given.parse().unwrap_or_else(|_| panic!("{SEED} is {given}, which is no number")),
        Err(_) => test
            .bytes()
            .fold(0x_cbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)),
    };
    command.env(VARIABLE, seed.to_string());
}

/// Whether this run's link is the bad one.
pub(crate) fn is_chosen() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// The devices of a bad link whose far end, with the kernel's address, is called `far`: of Wharf, of the thread, and the
/// bridge between them.
pub(crate) struct Names {
    pub(crate) near: String,
    pub(crate) wire: String,
    pub(crate) bridge: String,
}

impl Names {
    pub(crate) fn of(far: &str) -> Self {
        let named = |part: &str| format!("{far}-{part}");
        Self { near: named("near"), wire: named("wire"), bridge: named("br") }
    }
}

/// Carries frames between the devices `wire` and `far` from now on, to the end of the process.
///
/// # Panics
///
/// When they cannot be opened.
pub(crate) fn start(wire: &str, far: &str) {
    let seed = std::env::var(VARIABLE).ok().and_then(|seed| seed.parse().ok()).expect("the outer run names the seed");
    println!("a bad link: {ONE_WAY:?} each way, {} % of the frames lost; {SEED}={seed} loses the same", LOSS * 100.0);
    // Whole frames of Ethernet, so that each of them is lost for itself.
    let open = |name: &str| {
        let options = TapOptions { offload: false, ..TapOptions::default() };
        Tap::open_with(name, options).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let (wire, far) = (open(wire), open(far));
    thread::Builder::new()
        .name("bad link".to_owned())
        .spawn(move || carry(wire, far, seed))
        .expect("threads can be made");
}

/// One direction.
struct Direction {
    link: Link,
    chance: Chance,
}

impl Direction {
    fn new(seed: u64) -> Self {
        let model = LinkModel { loss: Loss::Random(LOSS), ..LinkModel::delay(ONE_WAY) };
        Self { link: Link::new(model), chance: Chance::new(seed) }
    }

    /// Takes what `from` has, and gives to `to` what has arrived.
    fn turn(&mut self, now: stack::Instant, from: &mut Tap, to: &mut Tap) {
        from.receive(1_000, &mut |frame| {
            let frame = Frame { bytes: frame.bytes.to_vec(), verified: false, segment_size: None };
            self.link.send(now, frame, &mut self.chance);
        });
        while let Some(frame) = self.link.receive(now) {
            let frame =
                TxFrame { header: &frame.bytes, payload: &[], checksum: TxChecksum::Complete, segment_size: None };
            // A device that is down loses what it is given, as a cable that was pulled does.
            let _ = to.transmit(&frame);
        }
    }
}

fn carry(mut wire: Tap, mut far: Tap, seed: u64) {
    let (mut forth, mut back) = (Direction::new(seed), Direction::new(!seed));
    let origin = Instant::now();
    let clock = || stack::Instant::ZERO + origin.elapsed();
    loop {
        let now = clock();
        forth.turn(now, &mut wire, &mut far);
        back.turn(now, &mut far, &mut wire);
        let due = forth.link.next_arrival().min(back.link.next_arrival()).min(now + Duration::from_secs(1));
        let timeout = Timespec::try_from(due.since(clock())).expect("a second at most");
        let mut descriptors =
            [PollFd::from_borrowed_fd(wire.fd(), PollFlags::IN), PollFd::from_borrowed_fd(far.fd(), PollFlags::IN)];
        // A signal may end the wait early, and nothing else can go wrong with it.
        let _ = poll(&mut descriptors, Some(&timeout));
    }
}
