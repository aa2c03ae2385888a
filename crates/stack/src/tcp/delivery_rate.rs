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
use crate::tcp::turns::Turns;
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
    /// The one departure that is followed where a sample a round trip is enough.
    single: Option<Departure>,
    /// Every departure, for BBR.
    followed: Option<VecDeque<Departure>>,
    last: Option<Last>,
}

/// The last sample: its bytes and nanoseconds, divided when somebody asks.
#[derive(Clone, Copy, Debug)]
struct Last {
    bytes: u64,
    nanos: u64,
    app_limited: bool,
}

impl Last {
    /// Of `bytes` that left when nothing was in flight; `None` if it says nothing, as no round trip took less than `least`.
    #[inline]
    fn alone(bytes: u32, nanos: u64, least: u64) -> Option<Self> {
        (nanos > 0 && nanos >= least).then(|| Self { bytes: u64::from(bytes), nanos, app_limited: true })
    }

    /// In bytes a second, and whether the application limited it.
    fn rate(self) -> (u64, bool) {
        (per_second(self.bytes, Duration::from_nanos(self.nanos)), self.app_limited)
    }
}

impl DeliveryRate {
    pub(crate) fn new(every: bool) -> Self {
        Self {
            delivered: 0,
            delivered_at: Instant::ZERO,
            first_sent_at: Instant::ZERO,
            lost: 0,
            app_limited_until: 0,
            single: None,
            followed: every.then(VecDeque::new),
            last: None,
        }
    }

    /// Whether every departure is to be followed from now on.
    pub(crate) fn follow(&mut self, every: bool) {
        self.single = None;
        self.followed = every.then(VecDeque::new);
    }

    /// Bytes delivered so far.
    pub(crate) const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// The last sample in bytes a second, and whether the application limited it, once it has been told of `turns`.
    pub(crate) fn last(&self, turns: &Turns, least: u64) -> Option<(u64, bool)> {
        self.last_after(turns, least).map(Last::rate)
    }

    /// Something has left: `before` bytes had been in flight, `in_flight` are now.
    #[inline]
    pub(crate) fn on_sent(&mut self, now: Instant, before: u32, in_flight: u32) {
        if before == 0 {
            // Section 3.3: after an idle time the clocks start anew.
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        if self.followed.is_some() {
            self.follow_departure(now, in_flight);
        } else if self.single.is_none() {
            self.single = Some(self.departure(now, in_flight));
        }
    }

    fn departure(&self, now: Instant, in_flight: u32) -> Departure {
        Departure {
            at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            lost: self.lost,
            in_flight,
            app_limited: self.app_limited_until > 0,
        }
    }

    fn follow_departure(&mut self, now: Instant, in_flight: u32) {
        let departure = self.departure(now, in_flight);
        let Some(followed) = &mut self.followed else { return };
        if let Some(last) = followed.back_mut()
            && last.at == now
        {
            last.in_flight = in_flight;
            return;
        }
        if followed.len() >= MOST {
            thin_out(followed);
        }
        followed.push_back(departure);
    }

    /// So many bytes have arrived.
    #[inline]
    fn count(&mut self, now: Instant, bytes: u64) {
        self.delivered += bytes;
        self.delivered_at = now;
        if self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
    }

    /// `bytes` have arrived, of which `latest` left last: a sample for `TcpInfo`, if that is what is followed.
    #[inline]
    pub(crate) fn on_delivered_seldom(&mut self, now: Instant, bytes: u32, latest: Option<Arrival>, min_rtt: Duration) {
        self.count(now, u64::from(bytes));
        let Some(latest) = latest else { return };
        if let Some(departure) = &self.single
            && departure.at <= latest.sent_at
        {
            let departure = *departure;
            self.single = None;
            self.keep(now, &departure, min_rtt);
        }
        self.first_sent_at = latest.sent_at;
    }

    /// Whether no departure is followed, and the application is what limits the next one: then nothing has to be noted of it
    /// when it leaves.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.app_limited_until > 0 && self.single.is_none() && self.followed.is_none()
    }

    /// [`on_delivered_seldom`](Self::on_delivered_seldom) for what left at `sent_at` when nothing was in flight, of which
    /// [`on_sent`](Self::on_sent) was not told: its departure began the clocks anew, and is over. No round trip took less than
    /// `least` nanoseconds.
    #[inline]
    pub(crate) fn on_lone_delivered(&mut self, now: Instant, sent_at: Instant, bytes: u32, least: u64) {
        self.count(now, u64::from(bytes));
        self.first_sent_at = sent_at;
        let nanos = now.as_nanos().saturating_sub(sent_at.as_nanos());
        self.last = Last::alone(bytes, nanos, least).or(self.last);
    }

    /// The same for many, one after the other.
    pub(crate) fn on_turns(&mut self, turns: &Turns, least: u64) {
        self.count(turns.answered_at, turns.bytes);
        self.first_sent_at = turns.sent_at;
        self.last = self.last_after(turns, least);
    }

    fn last_after(&self, turns: &Turns, least: u64) -> Option<Last> {
        let (bytes, nanos) = turns.sample;
        Last::alone(bytes, nanos, least).or(self.last)
    }

    /// Section 3.3: keeps the rate since `departure`, unless it says nothing.
    fn keep(&mut self, now: Instant, departure: &Departure, min_rtt: Duration) {
        let sending = departure.at.as_nanos().saturating_sub(departure.first_sent_at.as_nanos());
        let acknowledging = now.as_nanos().saturating_sub(departure.delivered_at.as_nanos());
        let nanos = sending.max(acknowledging);
        // No packet was delivered faster than the network can; such a sample is an artefact.
        if nanos > 0 && Duration::from_nanos(nanos) >= min_rtt {
            let bytes = self.delivered - departure.delivered;
            self.last = Some(Last { bytes, nanos, app_limited: departure.app_limited });
        }
    }

    /// `bytes` have arrived, of which `latest` left last; `oldest` is when the oldest run that is still out left. A sample, if
    /// every departure is followed.
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
        self.count(now, u64::from(bytes));
        let left_at = latest?.sent_at;
        let departure = self.find(left_at);
        let followed = self.followed.as_mut()?;
        while followed.front().is_some_and(|first| oldest.is_none_or(|oldest| first.at < oldest)) {
            followed.pop_front();
        }
        self.first_sent_at = left_at;
        let departure = departure?;
        self.keep(now, &departure, min_rtt);
        Some(self.sample(now, &departure, min_rtt))
    }

    fn find(&self, left_at: Instant) -> Option<Departure> {
        let followed = self.followed.as_ref()?;
        followed.get(followed.partition_point(|departure| departure.at < left_at)).copied()
    }

    /// Section 3.3: the rate since `departure`.
    fn sample(&self, now: Instant, departure: &Departure, min_rtt: Duration) -> RateSample {
        let sending = departure.at.since(departure.first_sent_at);
        let acknowledging = now.since(departure.delivered_at);
        let interval = sending.max(acknowledging);
        let delivered = self.delivered - departure.delivered;
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
        let departure = self.find(left_at)?;
        Some(self.sample(now, &departure, Duration::MAX))
    }

    /// Section 3.4: everything there is has been sent, with `in_flight` bytes on the way, and the windows would allow more.
    pub(crate) fn on_app_limited(&mut self, in_flight: u32) {
        self.app_limited_until = (self.delivered + u64::from(in_flight)).max(1);
    }
}

/// A run whose departure was forgotten counts as having left with the next one, which is as good a sample.
fn thin_out(followed: &mut VecDeque<Departure>) {
    let mut keep = false;
    followed.retain(|_| {
        keep = !keep;
        keep
    });
}

/// `bytes` in `interval`, in bytes a second.
pub(crate) fn per_second(bytes: u64, interval: Duration) -> u64 {
    let nanos =
        interval.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(interval.subsec_nanos())).max(1);
    // A division of 128 bits costs as much as the rest of an acknowledgement, and is seldom needed.
    match bytes.checked_mul(1_000_000_000) {
        Some(scaled) => scaled / nanos,
        None => u64::try_from(u128::from(bytes) * 1_000_000_000 / u128::from(nanos)).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests;
