//! The bound on ICMP errors that leave (RFC 1812 section 4.3.2.8): so many a second, and a burst.

use core::time::Duration;

use crate::Instant;

/// Errors that may leave at once after a pause.
const BURST: u32 = 50;

/// A token bucket, kept as the instant at which it would be full again.
pub(crate) struct TokenBucket {
    /// What a token takes to form; `None` if none ever does.
    interval: Option<Duration>,
    full_at: Instant,
}

impl TokenBucket {
    /// `per_second` of zero never gives a token.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { interval: Duration::from_secs(1).checked_div(per_second), full_at: Instant::ZERO }
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let Some(interval) = self.interval else { return false };
        let full_at = self.full_at.max(now);
        if full_at > now + interval * (BURST - 1) {
            return false;
        }
        self.full_at = full_at + interval;
        true
    }
}
