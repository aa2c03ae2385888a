//! Round-trip time and retransmission time-out (RFC 6298), with Karn's rule.
//!
//! Round trips come from the scoreboard, which knows when each run was sent by the engine's own clock; where a
//! retransmission makes that ambiguous, from the echoed timestamp.

use core::hint::cold_path;
use core::time::Duration;

use crate::time::{Instant, nanos_of};

/// The clock granularity G of RFC 6298: the wheel is exact to the nanosecond, so this only keeps the RTO off the
/// RTT itself when there is no variance.
const GRANULARITY_US: u32 = 1_000;

/// The time-out before the first sample (RFC 6298 section 2.1).
const INITIAL_RTO: Duration = Duration::from_secs(1);
/// The same, where the SYN had to be sent again (RFC 6298 section 5.7).
const CAUTIOUS_RTO: Duration = Duration::from_secs(3);

/// No round trip is taken for longer, in microseconds: four minutes and a half.
const LONGEST: u32 = 1 << 28;
const LONGEST_NANOS: u64 = LONGEST as u64 * 1_000;

/// Smoothed round-trip time, its variance, and the time-out that follows from them.
#[derive(Clone, Debug)]
pub(crate) struct RttEstimator {
    /// SRTT in microseconds; zero before the first sample.
    srtt: u32,
    /// RTTVAR in microseconds.
    rttvar: u32,
    /// Consecutive time-outs: the RTO is doubled this many times.
    backoff: u8,
    /// The SYN was lost and nothing has been measured since.
    cautious: bool,
}

impl RttEstimator {
    pub(crate) const fn new() -> Self {
        Self { srtt: 0, rttvar: 0, backoff: 0, cautious: false }
    }

    /// Takes a sample (RFC 6298 sections 2.2 and 2.3), and forgets the back-off.
    pub(crate) fn sample(&mut self, rtt: Duration) {
        self.sample_nanos(nanos_of(rtt));
    }

    /// The same, in nanoseconds.
    #[inline]
    pub(crate) fn sample_nanos(&mut self, nanos: u64) {
        let mut rtt = (nanos / 1_000) as u32;
        if nanos >= LONGEST_NANOS {
            cold_path();
            rtt = LONGEST;
        }
        // A sample of zero would read as "no sample yet".
        rtt = rtt.max(1);
        if self.srtt == 0 {
            cold_path();
            // RFC 6298 section 2.2: SRTT <- R, RTTVAR <- R/2.
            self.srtt = rtt;
            self.rttvar = rtt / 2;
        } else {
            // RFC 6298 section 2.3: RTTVAR <- 3/4 RTTVAR + 1/4 |SRTT - R|, SRTT <- 7/8 SRTT + 1/8 R.
            let deviation = self.srtt.abs_diff(rtt);
            self.rttvar = self.rttvar - self.rttvar / 4 + deviation / 4;
            self.srtt = self.srtt - self.srtt / 8 + rtt / 8;
        }
        self.backoff = 0;
    }

    /// The retransmission time-out now, back-off included.
    pub(crate) fn rto(&self, min: Duration, max: Duration) -> Duration {
        Duration::from_nanos(self.rto_nanos(min, max))
    }

    /// When what is sent at `now` has waited for that time.
    #[inline]
    pub(crate) fn rto_at(&self, now: Instant, min: Duration, max: Duration) -> Instant {
        now.after_nanos(self.rto_nanos(min, max))
    }

    #[inline]
    fn rto_nanos(&self, min: Duration, max: Duration) -> u64 {
        self.rto_between(nanos_of(min), nanos_of(max))
    }

    /// The same between two bounds in nanoseconds.
    #[inline(always)]
    pub(crate) fn rto_between(&self, min: u64, max: u64) -> u64 {
        // No more than this comes out below: where round trips are short, the least time-out.
        let most = 3 * u64::from(self.srtt) / 2 + 4 * u64::from(self.rttvar) + u64::from(GRANULARITY_US);
        if self.srtt != 0 && self.backoff == 0 && most * 1_000 <= min {
            return min.min(max);
        }
        self.rto_nanos_between(min, max)
    }

    #[cold]
    #[inline(never)]
    fn rto_nanos_between(&self, min: u64, max: u64) -> u64 {
        let base = if self.srtt == 0 {
            nanos_of(if self.cautious { CAUTIOUS_RTO } else { INITIAL_RTO })
        } else {
            // RFC 6298 section 2.3: RTO <- SRTT + max(G, 4 * RTTVAR). With a sample for every ACK, RTTVAR shrinks to nothing
            // within a few steady round trips (RFC 7323 section 4.2), and where they are longer than the least time-out,
            // that no longer keeps the RTO off the round trip: half a round trip more does, up to the least time-out.
            let least = (min / 1_000).min(u64::from(self.srtt / 2));
            let variance = u64::from(self.rttvar.saturating_mul(4).max(GRANULARITY_US)).max(least);
            (u64::from(self.srtt) + variance) * 1_000
        };
        let base = base.max(min);
        let backed_off = if self.backoff == 0 { base } else { base.saturating_mul(1 << self.backoff.min(16)) };
        backed_off.min(max)
    }

    /// RFC 6298 section 5.5: a time-out doubles the RTO.
    pub(crate) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// The handshake is complete, perhaps without a sample.
    pub(crate) fn on_established(&mut self) {
        // RFC 6298 section 5.7: if the SYN's timer expired, the RTO begins at 3 seconds.
        self.cautious = self.backoff > 0;
        self.backoff = 0;
    }

    /// The answer to a SYN was repeated by time while the application talked already: until something is measured, the RTO is what
    /// it begins with after such a handshake (RFC 6298 section 5.7).
    pub(crate) fn on_handshake_repeated(&mut self) {
        self.cautious = true;
    }

    /// How often in a row the timer has expired.
    pub(crate) const fn backoff(&self) -> u8 {
        self.backoff
    }

    /// SRTT, once there is one.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        (self.srtt > 0).then(|| Duration::from_micros(u64::from(self.srtt)))
    }

    /// SRTT in nanoseconds; zero before the first sample.
    #[inline]
    pub(crate) fn smoothed_nanos(&self) -> u64 {
        u64::from(self.srtt) * 1_000
    }

    /// RTTVAR.
    pub(crate) fn variance(&self) -> Duration {
        Duration::from_micros(u64::from(self.rttvar))
    }
}

#[cfg(test)]
mod tests;
