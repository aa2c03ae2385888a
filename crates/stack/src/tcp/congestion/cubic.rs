//! CUBIC (RFC 9438): the window as a cubic function of the time since the last reduction.
//!
//! Windows are in bytes and times in milliseconds; the arithmetic is in integers wide enough for any window and any time.

use core::time::Duration;

use super::Ack;
use crate::time::Instant;

// RFC 9438 section 4.5: beta is 0.7, and C is 0.4 segments a second cubed.
const BETA_NUMERATOR: u64 = 7;
const BETA_DENOMINATOR: u64 = 10;

/// RFC 9438 section 4.1.2.
#[derive(Clone, Debug)]
pub(crate) struct Cubic {
    /// W_max, in bytes.
    w_max: u32,
    /// When the current congestion avoidance stage began; `NEVER` before its first ACK.
    epoch: Instant,
    /// K, in milliseconds.
    k: u64,
    /// The window in which the cubic curve has its origin, in bytes.
    origin: u32,
    /// W_est: what Reno would have, in bytes.
    w_est: u32,
    /// The window at the last reduction (cwnd_prior).
    cwnd_prior: u32,
    /// Shares of bytes that growth has not paid out yet: of the cubic curve and of W_est.
    owed: u64,
    owed_est: u64,
    last_ack: Instant,
}

impl Cubic {
    pub(crate) const fn new() -> Self {
        Self {
            w_max: 0,
            epoch: Instant::NEVER,
            k: 0,
            origin: 0,
            w_est: 0,
            cwnd_prior: 0,
            owed: 0,
            owed_est: 0,
            last_ack: Instant::ZERO,
        }
    }

    /// RFC 9438 sections 4.2 to 4.5: the window after `ack` in congestion avoidance.
    pub(crate) fn grow(&mut self, cwnd: u32, ack: &Ack) -> u32 {
        if self.epoch.is_never() {
            self.begin_epoch(cwnd, ack);
        }
        self.last_ack = ack.now;
        let elapsed = ack.now.since(self.epoch);
        let w_cubic = self.w_cubic(elapsed, ack.mss);
        self.grow_estimate(cwnd, ack);
        if w_cubic < self.w_est {
            // RFC 9438 section 4.3: where Reno would be faster, be Reno.
            return cwnd.max(self.w_est);
        }
        // RFC 9438 section 4.2: the target is the curve a round trip ahead, at most half a window above.
        let target = self.w_cubic(elapsed + ack.srtt, ack.mss).clamp(cwnd, cwnd.saturating_add(cwnd / 2));
        self.owed += u64::from(target - cwnd) * u64::from(ack.acked);
        let growth = self.owed / u64::from(cwnd.max(1));
        self.owed -= growth * u64::from(cwnd.max(1));
        cwnd.saturating_add(growth as u32)
    }

    /// The application did not fill the window: the time does not count (RFC 9438 section 5.8).
    pub(crate) fn on_unused(&mut self, now: Instant) {
        if !self.epoch.is_never() {
            self.epoch += now.since(self.last_ack);
        }
        self.last_ack = now;
    }

    /// RFC 9438 sections 4.6 and 4.7: a reduction; returns the new threshold.
    pub(crate) fn reduce(&mut self, cwnd: u32, flight: u32) -> u32 {
        self.epoch = Instant::NEVER;
        self.cwnd_prior = cwnd;
        // RFC 9438 section 4.7: a flow that had not reached its last peak makes room for others.
        self.w_max = if cwnd < self.w_max {
            (u64::from(cwnd) * (BETA_DENOMINATOR + BETA_NUMERATOR) / (2 * BETA_DENOMINATOR)) as u32
        } else {
            cwnd
        };
        (u64::from(flight) * BETA_NUMERATOR / BETA_DENOMINATOR) as u32
    }

    /// RFC 9438 section 4.8: the reduction was a time-out's. The curve of the next congestion avoidance begins at the window
    /// that slow start leaves, with K zero.
    pub(crate) fn on_timeout(&mut self) {
        self.w_max = 0;
    }

    /// The epoch means nothing any more; the next acknowledgement in congestion avoidance begins another.
    pub(crate) fn end_epoch(&mut self) {
        self.epoch = Instant::NEVER;
    }

    fn begin_epoch(&mut self, cwnd: u32, ack: &Ack) {
        self.epoch = ack.now;
        self.last_ack = ack.now;
        self.w_est = cwnd;
        self.owed = 0;
        self.owed_est = 0;
        if cwnd < self.w_max {
            // RFC 9438 section 4.2: K = cubic root of ((W_max - cwnd_epoch) / C), here in milliseconds.
            let segments_times_2_5e9 = u128::from(self.w_max - cwnd) * 2_500_000_000 / u128::from(ack.mss.max(1));
            self.k = cube_root(u64::try_from(segments_times_2_5e9).unwrap_or(u64::MAX));
            self.origin = self.w_max;
        } else {
            self.k = 0;
            self.origin = cwnd;
        }
    }

    /// RFC 9438 section 4.2: W_cubic(t) = C * (t - K)^3 + W_max.
    fn w_cubic(&self, elapsed: Duration, mss: u32) -> u32 {
        // Beyond a quarter of an hour from K the curve has left every window.
        let t = i128::try_from(elapsed.as_millis()).unwrap_or(i128::MAX) - i128::from(self.k);
        let t = t.clamp(-1_000_000, 1_000_000);
        let offset = t * t * t * 2 * i128::from(mss) / 5_000_000_000;
        (i128::from(self.origin) + offset).clamp(0, i128::from(u32::MAX)) as u32
    }

    /// RFC 9438 section 4.3: W_est += alpha * segments_acked / cwnd.
    fn grow_estimate(&mut self, cwnd: u32, ack: &Ack) {
        // alpha = 3 * (1 - beta) / (1 + beta) = 9 / 17, and one once W_est has reached the window of before the reduction.
        let (numerator, denominator) = if self.w_est < self.cwnd_prior { (9, 17) } else { (1, 1) };
        self.owed_est += u64::from(ack.acked) * u64::from(ack.mss) * numerator;
        let unit = u64::from(cwnd.max(1)) * denominator;
        let growth = self.owed_est / unit;
        self.owed_est -= growth * unit;
        self.w_est = self.w_est.saturating_add(u32::try_from(growth).unwrap_or(u32::MAX));
    }
}

/// The largest number whose cube is at most `value`.
fn cube_root(value: u64) -> u64 {
    let mut root = 0u64;
    for bit in (0..22).rev() {
        let candidate = root | 1 << bit;
        if candidate.checked_pow(3).is_some_and(|cube| cube <= value) {
            root = candidate;
        }
    }
    root
}
