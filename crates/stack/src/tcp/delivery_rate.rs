//! How fast the network delivers (draft-cheng-iccrg-delivery-rate-estimation-02; draft-ietf-ccwg-bbr section 4.1.2).
//!
//! A departure remembers what had been delivered by then. When something that left at that time arrives, what was
//! delivered since, over the longer of the time that sending it took and the time that acknowledging it took, is a
//! sample of the rate.
//!
//! BBR takes a sample from every acknowledgement. For the others `TcpInfo` shows the last one: there one departure at a
//! time is followed, which costs a comparison a segment and one sample a round trip. Part of `recovery`, and gone with it
//! when the connection rests.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::tcp::scoreboard::Arrival;
use crate::time::Instant;

/// Departures that are remembered at most; beyond it every second one is forgotten.
const MOST: usize = 2_048;

/// The connection's state when something left: the draft's P.
#[derive(Clone, Copy, Debug)]
struct Departure {
    at: Instant,
    /// P.delivered.
    delivered: u64,
    /// P.delivered_time.
    delivered_at: Instant,
    /// P.first_sent_time.
    first_sent_at: Instant,
    /// P.lost.
    lost: u64,
    /// P.tx_in_flight: bytes in flight, those that left included.
    in_flight: u32,
    /// P.is_app_limited.
    app_limited: bool,
}

/// A rate sample: the draft's RS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateSample {
    /// Bytes a second; zero where the interval says nothing.
    pub rate: u64,
    /// Bytes delivered since the departure.
    pub delivered: u64,
    /// Bytes delivered before the departure.
    pub prior_delivered: u64,
    /// Bytes in flight at the departure.
    pub in_flight: u32,
    /// Bytes lost since the departure.
    pub lost: u64,
    /// The application had not kept the network busy.
    pub app_limited: bool,
}

/// The draft's C.
#[derive(Debug)]
pub(crate) struct DeliveryRate {
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    lost: u64,
    /// C.app_limited: until so much is delivered, samples are limited by the application; zero when they are not.
    app_limited_until: u64,
    /// Every departure is followed, not one a round trip.
    every: bool,
    departures: VecDeque<Departure>,
    /// The last sample's rate, and whether the application limited it.
    last: Option<(u64, bool)>,
}

impl DeliveryRate {
    pub(crate) const fn new(every: bool) -> Self {
        Self {
            delivered: 0,
            delivered_at: Instant::ZERO,
            first_sent_at: Instant::ZERO,
            lost: 0,
            app_limited_until: 0,
            every,
            departures: VecDeque::new(),
            last: None,
        }
    }

    /// Whether every departure is to be followed from now on.
    pub(crate) fn follow(&mut self, every: bool) {
        self.every = every;
    }

    /// Bytes delivered so far.
    pub(crate) const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// The last sample in bytes a second, and whether the application limited it.
    pub(crate) const fn last(&self) -> Option<(u64, bool)> {
        self.last
    }

    /// Something has left: `before` bytes had been in flight, `in_flight` are now.
    pub(crate) fn on_sent(&mut self, now: Instant, before: u32, in_flight: u32) {
        if before == 0 {
            // Section 3.3: after an idle time the clocks start anew.
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        if !self.every && !self.departures.is_empty() {
            return;
        }
        if let Some(last) = self.departures.back_mut()
            && last.at == now
        {
            last.in_flight = in_flight;
            return;
        }
        if self.departures.len() >= MOST {
            self.thin_out();
        }
        self.departures.push_back(Departure {
            at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            lost: self.lost,
            in_flight,
            app_limited: self.app_limited_until > 0,
        });
    }

    /// A run whose departure was forgotten counts as having left with the next one, which is as good a sample.
    fn thin_out(&mut self) {
        let mut keep = false;
        self.departures.retain(|_| {
            keep = !keep;
            keep
        });
    }

    /// `bytes` have arrived, of which `latest` left last. `oldest` is when the oldest run that is still out left.
    pub(crate) fn on_delivered(
        &mut self,
        now: Instant,
        bytes: u32,
        latest: Option<Arrival>,
        oldest: Option<Instant>,
        min_rtt: Duration,
    ) -> Option<RateSample> {
        if bytes == 0 {
            return None;
        }
        self.delivered += u64::from(bytes);
        self.delivered_at = now;
        if self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let left_at = latest?.sent_at;
        let departure = if self.every {
            let found = self.find(left_at);
            while self.departures.front().is_some_and(|first| oldest.is_none_or(|oldest| first.at < oldest)) {
                self.departures.pop_front();
            }
            found?
        } else {
            self.departures.front().copied().filter(|departure| departure.at <= left_at)?
        };
        let sample = self.sample(now, &departure, min_rtt);
        self.first_sent_at = left_at;
        if !self.every {
            self.departures.clear();
        }
        if sample.rate > 0 {
            self.last = Some((sample.rate, sample.app_limited));
        }
        Some(sample)
    }

    fn find(&self, left_at: Instant) -> Option<Departure> {
        self.departures.get(self.departures.partition_point(|departure| departure.at < left_at)).copied()
    }

    /// Section 3.3: the rate since `departure`.
    fn sample(&self, now: Instant, departure: &Departure, min_rtt: Duration) -> RateSample {
        let sending = departure.at.since(departure.first_sent_at);
        let acknowledging = now.since(departure.delivered_at);
        let interval = sending.max(acknowledging);
        let delivered = self.delivered - departure.delivered;
        // Section 3.3: no packet was delivered faster than the network can; such a sample is an artefact.
        let plausible = interval >= min_rtt && !interval.is_zero();
        RateSample {
            rate: if plausible { per_second(delivered, interval) } else { 0 },
            delivered,
            prior_delivered: departure.delivered,
            in_flight: departure.in_flight,
            lost: self.lost - departure.lost,
            app_limited: departure.app_limited,
        }
    }

    /// `bytes` are believed lost, the last of which left at `left_at`. Returns a sample of what was lost since then.
    pub(crate) fn on_lost(&mut self, now: Instant, bytes: u32, left_at: Instant) -> Option<RateSample> {
        self.lost += u64::from(bytes);
        let departure = if self.every { self.find(left_at)? } else { return None };
        Some(self.sample(now, &departure, Duration::MAX))
    }

    /// Section 3.4: everything there is has been sent, with `in_flight` bytes on the way, and the windows would allow more.
    pub(crate) fn on_app_limited(&mut self, in_flight: u32) {
        self.app_limited_until = (self.delivered + u64::from(in_flight)).max(1);
    }
}

/// `bytes` in `interval`, in bytes a second.
pub(crate) fn per_second(bytes: u64, interval: Duration) -> u64 {
    let rate = u128::from(bytes) * 1_000_000_000 / interval.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
