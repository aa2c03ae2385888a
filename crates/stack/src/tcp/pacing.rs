//! Pacing: trains leave at a rate instead of all at once (draft-ietf-ccwg-bbr section 5.6.2, RFC 9002 section 7.7).
//!
//! A paced connection sends a train of about a millisecond's worth, and the next when its time has come: one more of the
//! connection's deadlines, so that nobody looks for it. While it waits [`Flags::PACE_WAIT`] holds new text and what was
//! lost back; acknowledgements, probes and the FIN do not wait. An unpaced connection pays one test of a flag a train.
//!
//! BBR is always paced and names its rate. For the others it is an option, and the rate follows the window.

use core::time::Duration;

use crate::tcp::congestion::{Algorithm, initial_window};
use crate::tcp::connection::{Connection, Flags};
use crate::time::Instant;

/// The longest train, in bytes of payload: with headers it fits an IP packet.
pub(crate) const LONGEST_TRAIN: u32 = 64 * 1024 - 256;

/// When the next train may leave. Part of `recovery`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacer {
    /// The next train may leave then.
    pub next: Instant,
}

impl Pacer {
    pub(crate) const fn new() -> Self {
        Self { next: Instant::ZERO }
    }

    /// A train of `len` bytes leaves at `rate` bytes a second.
    fn on_sent(&mut self, now: Instant, len: u32, rate: u64, mss: u32) {
        // Who was called late, or had nothing to send, makes up for one train and no more.
        let earliest = now - duration(quantum(rate, mss), rate);
        self.next = self.next.max(earliest) + duration(len, rate);
    }
}

/// Draft-ietf-ccwg-bbr-05 section 5.6.3: a millisecond's worth, at least two segments, at most 64 KiB.
fn quantum(rate: u64, mss: u32) -> u32 {
    u32::try_from(rate / 1_000).unwrap_or(u32::MAX).min(LONGEST_TRAIN).max(2 * mss)
}

fn duration(bytes: u32, rate: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Connection {
    /// Another algorithm from now on.
    pub(crate) fn set_congestion(&mut self, algorithm: Algorithm) {
        self.end_solitude();
        self.flags.clear(Flags::CALM);
        self.congestion.set_algorithm(algorithm);
        let model = self.congestion.has_model();
        if let Some(recovery) = &mut self.recovery {
            recovery.rate.follow(model);
        }
        self.settle_pacing();
    }

    /// Whether trains are paced has changed, perhaps: the algorithm or an option has.
    #[inline]
    pub(crate) fn settle_pacing(&mut self) {
        let options = &self.options;
        let paced = options.pacing || options.max_pacing_rate.is_some() || self.congestion.has_model();
        if paced {
            self.flags.set(Flags::PACED);
        } else {
            self.flags.clear(Flags::PACED);
            self.flags.clear(Flags::PACE_WAIT);
        }
    }

    /// The rate at which trains leave, in bytes a second; `None` where they are not paced, or nothing is known to pace by.
    pub(crate) fn pacing_rate(&self) -> Option<u64> {
        if !self.flags.has(Flags::PACED) {
            return None;
        }
        let rate = self.rtt.smoothed().and_then(|srtt| self.congestion.pacing_rate(srtt));
        match (rate, self.options.max_pacing_rate) {
            (Some(rate), Some(most)) => Some(rate.min(most)),
            (rate, most) => rate.or(most),
        }
    }

    /// The rate that holds for the next train; `None` for one that leaves at once.
    fn train_rate(&self) -> Option<u64> {
        let sent = self.send.position() + u64::from(self.flight());
        if self.options.max_pacing_rate.is_none() && sent < u64::from(initial_window(self.segment_size())) {
            // The initial window leaves at once: RFC 9002 section 7.7 allows it, and what a short answer has to say is not
            // kept back. A rate that was set holds from the first byte.
            return None;
        }
        self.pacing_rate()
    }

    /// How long a train may be.
    pub(crate) fn longest_train(&self) -> u32 {
        let mss = self.segment_size();
        if !self.flags.has(Flags::PACED.and(Flags::SAYS_MORE)) {
            return LONGEST_TRAIN.max(mss);
        }
        if self.has_urgent_text() {
            // RFC 9293 section 3.8.5: the pointer counts from each segment's own number, and none is copied from another.
            return mss;
        }
        self.train_rate().map_or(LONGEST_TRAIN.max(mss), |rate| quantum(rate, mss))
    }

    /// A train of `len` bytes has left a paced connection.
    pub(crate) fn on_train_sent(&mut self, now: Instant, len: u32) {
        let mss = self.segment_size();
        let Some(rate) = self.train_rate() else { return };
        let pacer = &mut self.recovery_mut().pacer;
        pacer.on_sent(now, len, rate, mss);
        if pacer.next > now {
            self.flags.set(Flags::PACE_WAIT);
        }
    }

    /// When the next train may leave; `NEVER` if none waits for its time.
    pub(crate) fn pace_deadline(&self) -> Instant {
        if !self.flags.has(Flags::PACE_WAIT) {
            return Instant::NEVER;
        }
        // Without a scoreboard nothing is known that one could wait for.
        self.recovery.as_ref().map_or(Instant::ZERO, |recovery| recovery.pacer.next)
    }
}

#[cfg(test)]
mod tests;
