//! Initial sequence numbers that nobody can guess (RFC 6528), and timestamps that tell nobody our uptime.

use wire::tcp::SeqNum;

use crate::entropy::{Entropy, Key};
use crate::tcp::demux::Flow;
use crate::time::Instant;

/// The keys of one engine.
pub(crate) struct IsnGenerator {
    key: Key,
}

impl IsnGenerator {
    pub(crate) fn new(entropy: &mut Entropy) -> Self {
        Self { key: entropy.key() }
    }

    /// RFC 6528 section 3: ISN = M + F(localip, localport, remoteip, remoteport, secretkey), where M counts every 4
    /// microseconds, so that a new incarnation of a connection starts above the old one.
    pub(crate) fn isn(&self, now: Instant, flow: &Flow) -> SeqNum {
        self.numbers(now, flow).0
    }

    /// RFC 7323 section 5.4: the timestamp clock of a flow starts at a point of its own, the same for each of its
    /// incarnations, so that PAWS holds across them.
    pub(crate) fn timestamp_offset(&self, flow: &Flow) -> u32 {
        (flow.prf(self.key) >> 32) as u32
    }

    /// The initial sequence number and the timestamp clock's start. The two halves of F's value tell nothing of each
    /// other.
    pub(crate) fn numbers(&self, now: Instant, flow: &Flow) -> (SeqNum, u32) {
        let secret = flow.prf(self.key);
        let clock = (now.as_nanos() / 4_000) as u32;
        (SeqNum(clock.wrapping_add(secret as u32)), (secret >> 32) as u32)
    }
}
