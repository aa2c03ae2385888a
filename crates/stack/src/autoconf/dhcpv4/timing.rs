//! The client's clocks: when to say something again, and when to renew.

use core::time::Duration;

use wire::dhcpv4::DhcpOptions;

use crate::Instant;
use crate::entropy::Entropy;

/// How long after a DECLINE the search begins anew.
// RFC 2131 section 3.1.5: the client SHOULD wait a minimum of ten seconds.
pub(super) const AFTER_DECLINE: Duration = Duration::from_secs(10);

/// Before the `attempt`th repetition (from zero).
// RFC 2131 section 4.1: 4 s, then doubled up to 64 s, each moved by a random value between -1 and +1 s.
pub(super) fn retransmission(entropy: &mut Entropy, attempt: u32) -> Duration {
    let base = Duration::from_secs(4 << attempt.min(4));
    base - Duration::from_secs(1) + entropy.jitter(Duration::from_secs(2))
}

/// Before the search begins anew after so many refusals in a row: a server that refuses everything must not make us
/// spin.
pub(super) fn after_refusal(entropy: &mut Entropy, refusals: u32) -> Duration {
    match refusals {
        0 | 1 => Duration::ZERO,
        more => Duration::from_secs(1 << more.min(6)) + entropy.jitter(Duration::from_secs(1)),
    }
}

/// Before a renewal is repeated.
// RFC 2131 section 4.4.5: half of what remains until the next state, but no less than 60 s. A lease of a few minutes or
// seconds has no such time: there an eighth of it is the least.
pub(super) fn renewal(now: Instant, until: Instant, duration: Duration) -> Duration {
    let least = Duration::from_secs(60).min(duration / 8).max(Duration::from_millis(250));
    (until.since(now) / 2).max(least)
}

/// The instants at which a lease that was requested at `requested` changes its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaseClock {
    pub duration: Duration,
    /// T1: ask the server that granted it.
    pub renew: Instant,
    /// T2: ask any server.
    pub rebind: Instant,
    pub expire: Instant,
}

impl LeaseClock {
    /// `None` for a lease that ends as it begins.
    // RFC 2131 section 4.4.5: T1 defaults to 0.5, T2 to 0.875 of the lease; T1 < T2 < lease, whatever the server says.
    pub(super) fn new(requested: Instant, options: &DhcpOptions) -> Option<Self> {
        let seconds = options.lease_time.filter(|&seconds| seconds > 0)?;
        if seconds == u32::MAX {
            // RFC 2131 section 3.3: all ones are infinity.
            let never = Instant::NEVER;
            return Some(Self { duration: Duration::MAX, renew: never, rebind: never, expire: never });
        }
        let duration = Duration::from_secs(u64::from(seconds));
        let given = |value: Option<u32>| value.map(|seconds| Duration::from_secs(u64::from(seconds)));
        let rebind = given(options.rebinding_time).filter(|t2| !t2.is_zero() && *t2 < duration);
        let rebind = rebind.unwrap_or(duration / 8 * 7);
        let renew = given(options.renewal_time).filter(|t1| !t1.is_zero() && *t1 < rebind);
        let renew = renew.unwrap_or((duration / 2).min(rebind / 8 * 7));
        Some(Self { duration, renew: requested + renew, rebind: requested + rebind, expire: requested + duration })
    }
}
