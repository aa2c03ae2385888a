//! Several engines on the queues of one link: every frame reaches the engine that it concerns, whichever queue it came
//! by. Made by the library for `NetBuilder::queues`.
//!
//! Each engine drives its own [`Steered`] on a thread of its own, as it would any link: it transmits by its own queue,
//! and receives what its queue brings and what the others hand over. A kernel that steers by itself (tun remembers for
//! each flow the queue on which we wrote last, for three seconds) is mostly right, since an engine writes on its own
//! queue; where it is not, as with the first segment of a connection that comes in, the frame crosses over.
//!
//! `place` says whom a frame concerns, `inbox` is the way from one thread to another, `fragments` finds the engine of
//! fragments, which have no ports.

mod fragments;
mod inbox;
mod place;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use device::{Capabilities, Device, RxFrame, TransmitError, TxFrame};
use stack::steering::Steering;
use wire::ethernet::MacAddr;

use self::fragments::Fragments;
use self::inbox::{Inbox, Kind};
use self::place::Place;
use crate::Link;
use crate::counters::Counters;

/// The engine that is the station's voice: it answers ARP, and everything lives in it that is no TCP connection.
pub const FIRST: usize = 0;

/// One of several queues of a link, with the way to the others.
pub struct Steered<L> {
    queue: L,
    way: Way,
}

/// What steers: apart from the queue, so that both can be borrowed.
struct Way {
    engine: usize,
    steering: Arc<Steering>,
    inboxes: Arc<[Inbox]>,
    /// What the first engine knows of fragments under way.
    fragments: Fragments,
    handed_over: u64,
    handed_over_lost: u64,
    mac: MacAddr,
}

/// Joins the queues of one link: the first belongs to engine 0, and so on.
///
/// # Errors
/// When the system refuses the descriptors by which engines wake each other, or there are not as many queues as engines.
pub fn join<L: Link>(queues: Vec<L>, steering: &Arc<Steering>) -> io::Result<Vec<Steered<L>>> {
    if queues.len() != steering.engines() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "as many queues as engines"));
    }
    let inboxes: Arc<[Inbox]> = queues.iter().map(|_| Inbox::new()).collect::<io::Result<_>>()?;
    Ok(queues
        .into_iter()
        .enumerate()
        .map(|(engine, queue)| {
            let way = Way {
                engine,
                steering: Arc::clone(steering),
                inboxes: Arc::clone(&inboxes),
                fragments: Fragments::default(),
                handed_over: 0,
                handed_over_lost: 0,
                mac: queue.capabilities().mac,
            };
            Steered { queue, way }
        })
        .collect())
}

impl Way {
    /// A frame that the queue brought.
    fn steer(&mut self, frame: &RxFrame<'_>, input: &mut dyn FnMut(&RxFrame<'_>)) {
        match place::of(frame.bytes, self.mac, &self.steering) {
            Place::Anywhere => input(frame),
            Place::Engine(engine) => self.deliver(engine, frame, input),
            Place::Everywhere => {
                for engine in 0..self.inboxes.len() {
                    self.deliver(engine, frame, input);
                }
            }
            Place::SegmentFragment if self.engine == FIRST => self.steer_fragment(frame, input),
            Place::SegmentFragment => self.hand_over(FIRST, frame, Kind::Fragment),
        }
    }

    fn deliver(&mut self, engine: usize, frame: &RxFrame<'_>, input: &mut dyn FnMut(&RxFrame<'_>)) {
        if engine == self.engine {
            input(frame);
        } else {
            self.hand_over(engine, frame, Kind::Deliver);
        }
    }

    fn hand_over(&mut self, engine: usize, frame: &RxFrame<'_>, kind: Kind) {
        match self.inboxes.get(engine).is_some_and(|inbox| inbox.push(frame, kind)) {
            true => self.handed_over += 1,
            false => self.handed_over_lost += 1,
        }
    }

    /// The first engine: a fragment of a TCP segment goes where the segment's ports lead, and waits until they are
    /// known.
    fn steer_fragment(&mut self, frame: &RxFrame<'_>, input: &mut dyn FnMut(&RxFrame<'_>)) {
        let (mut fragments, steering) = (std::mem::take(&mut self.fragments), Arc::clone(&self.steering));
        self.handed_over_lost += fragments.take(Instant::now(), frame.bytes, &steering, &mut |engine, bytes| {
            self.deliver(engine, &RxFrame::plain(bytes), input);
        });
        self.fragments = fragments;
    }

    /// Takes in at most `budget` frames that others handed over; returns how many.
    fn take_in(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        let inboxes = Arc::clone(&self.inboxes);
        let Some(inbox) = inboxes.get(self.engine) else { return 0 };
        inbox.drain(budget, |frame, kind| match kind {
            Kind::Deliver => input(frame),
            Kind::Fragment => self.steer_fragment(frame, input),
        })
    }
}

impl<L: Link> Device for Steered<L> {
    fn capabilities(&self) -> Capabilities {
        self.queue.capabilities()
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        self.queue.transmit(frame)
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        let Self { queue, way } = self;
        // Half for what others hand over, and the rest for the queue: neither starves the other.
        let mut taken = way.take_in(budget.div_ceil(2), input);
        taken += queue.receive(budget - taken, &mut |frame| way.steer(frame, input));
        if taken < budget {
            taken += way.take_in(budget - taken, input);
        }
        taken
    }

    fn flush(&mut self) {
        self.queue.flush();
    }

    fn link_up(&self) -> bool {
        self.queue.link_up()
    }
}

impl<L: Link> Link for Steered<L> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.queue.fd()
    }

    fn handed_over_fd(&self) -> Option<BorrowedFd<'_>> {
        self.way.inboxes.get(self.way.engine).map(Inbox::bell)
    }

    fn wants_write(&self) -> bool {
        self.queue.wants_write()
    }

    fn deadline(&self) -> Option<Instant> {
        self.queue.deadline()
    }

    fn name(&self) -> &str {
        self.queue.name()
    }

    fn is_private(&self) -> bool {
        self.queue.is_private()
    }

    fn counters(&self) -> Counters {
        let mut counters = self.queue.counters();
        counters.handed_over = self.way.handed_over;
        counters.handed_over_lost = self.way.handed_over_lost;
        counters
    }
}

impl<L> Drop for Steered<L> {
    /// Nobody takes in any more what is handed over: it counts as lost from now on, and takes no memory.
    fn drop(&mut self) {
        if let Some(inbox) = self.way.inboxes.get(self.way.engine) {
            inbox.close();
        }
    }
}

impl<L: std::fmt::Debug> std::fmt::Debug for Steered<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steered").field("engine", &self.way.engine).field("queue", &self.queue).finish_non_exhaustive()
    }
}
