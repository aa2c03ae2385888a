//! Two hosts, an emulated link each way, and one virtual clock: one sends as much as it can over one or more connections,
//! the other takes it. The same seed and the same hosts give the same run, to the nanosecond, on every machine.

use std::time::Duration;

use sim::Chance;
use sim::link::{Frame, Link, LinkModel};
use stack::Instant;

/// The port of the first flow; the others follow.
pub(super) const FIRST_PORT: u16 = 7_000;

/// A host with an application, whatever its stack.
pub(super) trait Host {
    /// A frame arrived.
    fn take(&mut self, now: Instant, frame: &Frame);
    /// Does everything that can be done now: timers, the application, frames, which go to `send`.
    fn turn(&mut self, now: Instant, send: &mut dyn FnMut(Vec<u8>));
    /// When there is something to do although nothing arrived.
    fn due(&mut self, now: Instant) -> Instant;
    /// Bytes that the application has received, of each flow.
    fn received(&self) -> &[u64];
    /// A flow's congestion window in bytes, where the stack tells.
    fn window(&self, flow: usize) -> Option<u32>;
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub seed: u64,
    /// The link that the data takes.
    pub forth: LinkModel,
    /// The link that the acknowledgements take.
    pub back: LinkModel,
    pub flows: usize,
    /// The run ends when so much time has passed, ...
    pub span: Duration,
    /// ... or when so many bytes have arrived.
    pub bytes: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub elapsed: Duration,
    /// Bytes that the applications received, of each flow.
    pub received: Vec<u64>,
    /// Segments with text that were sent, ...
    pub segments: u64,
    /// ... and how many of them had been sent before.
    pub resent: u64,
    /// How many frames the link that the data takes has lost, by chance or because its queue was full.
    pub lost: u64,
}

impl Outcome {
    /// Both runs as if they were one.
    pub(super) fn with(mut self, other: &Self) -> Self {
        self.elapsed += other.elapsed;
        for (bytes, more) in self.received.iter_mut().zip(&other.received) {
            *bytes += more;
        }
        self.segments += other.segments;
        self.resent += other.resent;
        self.lost += other.lost;
        self
    }

    /// Bits a second that the applications received.
    pub(super) fn goodput(&self) -> f64 {
        self.received.iter().sum::<u64>() as f64 * 8.0 / self.elapsed.as_secs_f64()
    }

    /// Of the segments sent, those that had been sent before.
    pub(super) fn resent_share(&self) -> f64 {
        self.resent as f64 / self.segments.max(1) as f64
    }

    /// Jain's index: 1 where all flows had the same, 1/n where one had it all.
    pub(super) fn fairness(&self) -> f64 {
        let sum: f64 = self.received.iter().map(|&bytes| bytes as f64).sum();
        let squares: f64 = self.received.iter().map(|&bytes| (bytes as f64).powi(2)).sum();
        sum * sum / (self.received.len() as f64 * squares)
    }
}

/// A look at a run under way.
#[derive(Clone, Debug)]
pub(super) struct Glance {
    pub at: Duration,
    /// Bytes received so far, all flows together.
    pub received: u64,
    /// Bytes that wait for the link.
    pub queued: usize,
    /// The first flow's congestion window in bytes, where the stack tells.
    pub window: Option<u32>,
}

/// What went over the link that the data takes.
struct Watch {
    /// Of each flow, the sequence number after the last byte that was sent.
    sent: Vec<Option<u32>>,
    segments: u64,
    resent: u64,
}

impl Watch {
    /// Notes a frame without options in its IPv4 header, as both stacks send them.
    fn note(&mut self, frame: &[u8]) {
        let Some(tcp) = frame.get(34..54) else { return };
        let word = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
        let text = total.saturating_sub(20 + usize::from(tcp[12] >> 4) * 4);
        let Some(flow) = word(2).checked_sub(FIRST_PORT).map(usize::from) else { return };
        if frame[12..14] != [8, 0] || text == 0 || flow >= self.sent.len() {
            return;
        }
        let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        let end = seq.wrapping_add(text as u32);
        self.segments += 1;
        match self.sent[flow] {
            Some(sent) if (seq.wrapping_sub(sent) as i32) < 0 => {
                self.resent += 1;
                if (end.wrapping_sub(sent) as i32) > 0 {
                    self.sent[flow] = Some(end);
                }
            }
            _ => self.sent[flow] = Some(end),
        }
    }
}

/// When both hosts' clocks begin.
pub(super) const BEGINNING: Instant = Instant::from_secs(1);

/// Lets `sender` send to `receiver`. With `glance`, that is called every so often.
pub(super) fn run(
    run: &Run,
    sender: &mut dyn Host,
    receiver: &mut dyn Host,
    mut glance: Option<(Duration, &mut dyn FnMut(Glance))>,
) -> Outcome {
    let mut chance = Chance::new(run.seed);
    let (mut forth, mut back) = (Link::new(run.forth), Link::new(run.back));
    let mut watch = Watch { sent: vec![None; run.flows], segments: 0, resent: 0 };
    let mut now = BEGINNING;
    let end = now + run.span;
    let mut next_glance = now;
    let (mut sender_due, mut receiver_due) = (now, now);
    loop {
        if let Some((every, look)) = &mut glance {
            while next_glance <= now {
                look(Glance {
                    at: next_glance.since(BEGINNING),
                    received: receiver.received().iter().sum(),
                    queued: forth.queued(now),
                    window: sender.window(0),
                });
                next_glance += *every;
            }
        }
        let mut arrived = false;
        while let Some(frame) = forth.receive(now) {
            receiver.take(now, &frame);
            arrived = true;
        }
        if arrived || receiver_due <= now {
            receiver.turn(now, &mut |bytes| back.send(now, plain(bytes), &mut chance));
            receiver_due = receiver.due(now);
        }
        let mut arrived = false;
        while let Some(frame) = back.receive(now) {
            sender.take(now, &frame);
            arrived = true;
        }
        if arrived || sender_due <= now {
            sender.turn(now, &mut |bytes| {
                watch.note(&bytes);
                forth.send(now, plain(bytes), &mut chance);
            });
            sender_due = sender.due(now);
        }
        let received = receiver.received();
        if received.iter().sum::<u64>() >= run.bytes {
            break;
        }
        // A deadline that has passed and is named again must not stop the clock.
        let soonest = now + Duration::from_nanos(1);
        let mut next = forth.next_arrival().min(back.next_arrival()).min(sender_due.min(receiver_due).max(soonest));
        if glance.is_some() {
            next = next.min(next_glance);
        }
        if next > end {
            now = end;
            break;
        }
        now = next.max(now);
    }
    Outcome {
        elapsed: now.since(BEGINNING),
        received: receiver.received().to_vec(),
        segments: watch.segments,
        resent: watch.resent,
        lost: forth.stats().lost + forth.stats().overflowed,
    }
}

fn plain(bytes: Vec<u8>) -> Frame {
    Frame { bytes, verified: false, segment_size: None }
}
