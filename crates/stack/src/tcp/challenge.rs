//! The limit on challenge acknowledgements (RFC 5961 section 7).

use core::time::Duration;

use crate::time::Instant;

/// So many a second for the whole engine, whoever provokes them.
#[derive(Debug)]
pub(crate) struct ChallengeLimit {
    a_second: u32,
    left: u32,
    since: Instant,
}

impl ChallengeLimit {
    pub(crate) const fn new(a_second: u32) -> Self {
        Self { a_second, left: a_second, since: Instant::ZERO }
    }

    /// Whether one more may be sent now.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        // A clock that has gone back begins anew, lest a leap ahead silence us until it is caught up with.
        if now.since(self.since) >= Duration::from_secs(1) || now < self.since {
            self.since = now;
            self.left = self.a_second;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}
