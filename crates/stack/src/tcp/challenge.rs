//! The limit on challenge acknowledgements (RFC 5961 section 7).

use core::time::Duration;

use crate::entropy::Entropy;
use crate::time::Instant;

/// So many a second for the whole engine, whoever provokes them.
///
/// The number varies from second to second around the limit: were it always the same, an attacker who counts the
/// answers to segments of its own could tell whether its forged ones on another connection had used some up, and so
/// find that connection's numbers (Cao et al., "Off-Path TCP Exploits", 2016).
pub(crate) struct ChallengeLimit {
    a_second: u32,
    left: u32,
    since: Instant,
    entropy: Entropy,
}

impl ChallengeLimit {
    pub(crate) fn new(a_second: u32, entropy: Entropy) -> Self {
        let mut limit = Self { a_second, left: 0, since: Instant::ZERO, entropy };
        limit.refill();
        limit
    }

    fn refill(&mut self) {
        let varying = self.entropy.below(u64::from(self.a_second)) as u32;
        self.left = self.a_second.div_ceil(2).saturating_add(varying);
    }

    /// Whether one more may be sent now.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        // A clock that has gone back begins anew, lest a leap ahead silence us until it is caught up with.
        if now.since(self.since) >= Duration::from_secs(1) || now < self.since {
            self.since = now;
            self.refill();
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}
