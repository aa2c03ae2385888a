//! One direction of a link: what happens to a frame between two hosts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use stack::Instant;

use crate::chance::Chance;

/// The link header, which does not count in a packet's size.
const ETHERNET_LEN: usize = 14;

/// How frames get lost.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Loss {
    /// None do.
    #[default]
    Never,
    /// Each with this probability, whatever happened to the others.
    Random(f64),
    /// In bursts (Gilbert and Elliott): in the good state none, in the bad state all.
    Bursts {
        /// The probability of turning bad, a frame.
        start: f64,
        /// The probability of turning good, a frame.
        end: f64,
    },
    /// By turns all arrive and all are lost, whether there are any or not: a radio link behind a hill.
    Outages {
        /// The mean time in which frames arrive; each is drawn from nothing to twice as much.
        every: Duration,
        /// The mean time in which they are lost, drawn alike.
        lasts: Duration,
    },
}

/// The properties of one direction of a link. The default is a perfect wire of no length.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct LinkModel {
    /// Bits a second; `None` is without limit.
    pub rate: Option<u64>,
    /// Bytes that wait for the wire at most, the frame on it included; `None` is without limit. Of use with a rate.
    pub queue: Option<usize>,
    /// From the last bit's leaving to its arrival.
    pub delay: Duration,
    /// Up to so much more, evenly spread; frames do not overtake each other by it.
    pub jitter: Duration,
    /// How frames get lost.
    pub loss: Loss,
    /// The probability that a frame is held back by `reorder_delay`, so that later ones overtake it.
    pub reorder: f64,
    /// How long it is held back.
    pub reorder_delay: Duration,
    /// The probability that a frame arrives twice.
    pub duplicate: f64,
    /// The probability that a bit of the frame is turned over.
    pub corrupt: f64,
    /// IP packets larger than this many bytes are swallowed, and nobody is told: a black hole of path MTU discovery.
    pub swallow_above: Option<usize>,
    /// Bytes that wait for the wire above which a frame of an ECN-capable transport is marked (RFC 3168's CE); `None` marks
    /// none.
    pub mark: Option<usize>,
}

impl LinkModel {
    /// A wire that delays and does nothing else.
    #[must_use]
    pub fn delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }
}

/// What happened to the frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Frames handed in.
    pub sent: u64,
    /// Bytes handed in.
    pub sent_bytes: u64,
    /// Frames that came out, duplicates included.
    pub arrived: u64,
    /// Frames lost on the wire.
    pub lost: u64,
    /// Frames swallowed for their size.
    pub swallowed: u64,
    /// Frames that were marked.
    pub marked: u64,
    /// Frames that found the queue full.
    pub overflowed: u64,
    /// Frames that were held back.
    pub reordered: u64,
    /// Frames that arrived twice.
    pub duplicated: u64,
    /// Frames with a bit turned over.
    pub corrupted: u64,
}

/// A frame as it crosses a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The checksum needs no check: a device of ours would have filled it in.
    pub verified: bool,
    /// TCP payload bytes a segment, if the frame stands for several.
    pub segment_size: Option<u16>,
}

impl Frame {
    /// Bytes of the largest IP packet that goes over the wire: a frame that stands for several segments is cut there.
    fn largest_packet(&self) -> usize {
        let whole = self.bytes.len().saturating_sub(ETHERNET_LEN);
        let Some(size) = self.segment_size else { return whole };
        let byte = |at: usize| usize::from(self.bytes.get(at).copied().unwrap_or(0));
        let ip = (byte(ETHERNET_LEN) & 0x0f) * 4;
        let tcp = (byte(ETHERNET_LEN + ip + 12) >> 4) * 4;
        whole.min(ip + tcp + usize::from(size))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct InFlight {
    at: Instant,
    /// Breaks ties in the order of sending.
    number: u64,
    frame: Frame,
}

impl Ord for InFlight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for InFlight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// One direction of a link, with the frames on it.
#[derive(Debug)]
pub struct Link {
    /// Its properties; may be changed at any time for the frames to come.
    pub model: LinkModel,
    stats: LinkStats,
    in_flight: BinaryHeap<Reverse<InFlight>>,
    numbers: u64,
    /// When the wire has sent all that waits for it.
    free_at: Instant,
    /// The latest arrival of a frame that was not held back.
    last_arrival: Instant,
    bad: bool,
    /// When an outage begins or ends.
    turns_at: Instant,
}

impl Link {
    /// An empty link.
    #[must_use]
    pub fn new(model: LinkModel) -> Self {
        Self {
            model,
            stats: LinkStats::default(),
            in_flight: BinaryHeap::new(),
            numbers: 0,
            free_at: Instant::ZERO,
            last_arrival: Instant::ZERO,
            bad: false,
            turns_at: Instant::ZERO,
        }
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Bytes that wait for the wire, the frame on it included.
    #[must_use]
    pub fn queued(&self, now: Instant) -> usize {
        let Some(rate) = self.model.rate else { return 0 };
        (self.free_at.since(now).as_nanos() * u128::from(rate) / 8_000_000_000) as usize
    }

    /// When the next frame arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Instant {
        self.in_flight.peek().map_or(Instant::NEVER, |frame| frame.0.at)
    }

    /// Takes a frame that has arrived by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<Frame> {
        if self.next_arrival() > now {
            return None;
        }
        self.stats.arrived += 1;
        self.in_flight.pop().map(|frame| frame.0.frame)
    }

    /// Puts a frame on the wire.
    pub fn send(&mut self, now: Instant, frame: Frame, chance: &mut Chance) {
        self.stats.sent += 1;
        self.stats.sent_bytes += frame.bytes.len() as u64;
        let mut frame = frame;
        if self.model.mark.is_some_and(|most| self.waiting(now) > most) && mark(&mut frame.bytes) {
            self.stats.marked += 1;
        }
        let Some(left_at) = self.serialize(now, frame.bytes.len()) else {
            self.stats.overflowed += 1;
            return;
        };
        if self.model.swallow_above.is_some_and(|most| frame.largest_packet() > most) {
            self.stats.swallowed += 1;
            return;
        }
        if self.is_lost(left_at, chance) {
            self.stats.lost += 1;
            return;
        }
        let jitter = Duration::from_nanos(chance.below(self.model.jitter.as_nanos() as u64 + 1));
        let mut at = (left_at + self.model.delay + jitter).max(self.last_arrival);
        if chance.happens(self.model.reorder) {
            self.stats.reordered += 1;
            at += self.model.reorder_delay;
        } else {
            self.last_arrival = at;
        }
        if chance.happens(self.model.corrupt) && !frame.bytes.is_empty() {
            self.stats.corrupted += 1;
            let bit = chance.below(frame.bytes.len() as u64 * 8);
            frame.bytes[bit as usize / 8] ^= 1 << (bit % 8);
            frame.verified = false;
        }
        if chance.happens(self.model.duplicate) {
            self.stats.duplicated += 1;
            self.push(at, frame.clone());
        }
        self.push(at, frame);
    }

    fn push(&mut self, at: Instant, frame: Frame) {
        self.numbers += 1;
        self.in_flight.push(Reverse(InFlight { at, number: self.numbers, frame }));
    }

    /// Bytes that wait for the wire.
    fn waiting(&self, now: Instant) -> usize {
        let Some(rate) = self.model.rate else { return 0 };
        (self.free_at.since(now).as_nanos() * u128::from(rate) / 8_000_000_000) as usize
    }

    /// When the frame's last bit has left; `None` if the queue has no room for it.
    fn serialize(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.model.rate else { return Some(now) };
        let start = self.free_at.max(now);
        if self.model.queue.is_some_and(|most| self.waiting(now) + len > most) {
            return None;
        }
        let nanos = (len as u128 * 8_000_000_000).div_ceil(u128::from(rate)) as u64;
        self.free_at = start + Duration::from_nanos(nanos);
        Some(self.free_at)
    }

    fn is_lost(&mut self, at: Instant, chance: &mut Chance) -> bool {
        match self.model.loss {
            Loss::Never => false,
            Loss::Random(p) => chance.happens(p),
            Loss::Bursts { start, end } => {
                self.bad = if self.bad { !chance.happens(end) } else { chance.happens(start) };
                self.bad
            }
            Loss::Outages { every, lasts } => {
                if self.turns_at == Instant::ZERO {
                    // A link begins well.
                    self.turns_at = at + spread(every, chance);
                }
                while self.turns_at <= at {
                    self.bad = !self.bad;
                    self.turns_at += spread(if self.bad { lasts } else { every }, chance);
                }
                self.bad
            }
        }
    }
}

/// From a nanosecond to twice `mean`.
fn spread(mean: Duration, chance: &mut Chance) -> Duration {
    Duration::from_nanos(1 + chance.below(2 * mean.as_nanos() as u64))
}

/// Sets CE in the IP header of an Ethernet frame, if its transport is ECN-capable (RFC 3168 section 5).
fn mark(frame: &mut [u8]) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x00]) if frame.len() >= 34 && frame[15] & 3 != 0 => {
            frame[15] |= 3;
            frame[24..26].fill(0);
            let end = 14 + usize::from(frame[14] & 15) * 4;
            let sum = wire::checksum::sum(&frame[14..end.min(frame.len())]).finish();
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
            true
        }
        // IPv6 has the two bits in the upper half of its second byte, and no checksum.
        Some([0x86, 0xdd]) if frame.len() >= 54 && frame[15] & 0x30 != 0 => {
            frame[15] |= 0x30;
            true
        }
        _ => false,
    }
}
