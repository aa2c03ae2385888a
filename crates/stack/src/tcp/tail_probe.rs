//! Tail-loss probes (RFC 8985 section 7): when nothing comes back for two round trips, one segment more asks the peer
//! what it has, long before the retransmission timer would. What its answer says is judged here; `output` sends the probe,
//! `recovery` decides when one may be.

use core::time::Duration;

use wire::tcp::SeqNum;

use crate::time::nanos_of;

/// TLP.max_ack_delay (RFC 8985 section 7.2): the longest that a receiver delays its acknowledgement.
const WORST_DELAYED_ACK: Duration = Duration::from_millis(200);
/// The least patience. A departure: over links of microseconds twice the round trip is less than what a busy peer takes to
/// wake up, and each such probe would be superfluous.
const LEAST: Duration = Duration::from_millis(2);

/// No less than this, in nanoseconds, is waited for the answer to a segment alone.
pub(crate) const LEAST_ALONE: u64 = nanos_of(LEAST) + nanos_of(WORST_DELAYED_ACK);

/// How long to wait for an acknowledgement before a probe (RFC 8985 section 7.2, TLP_calc_PTO), the retransmission timer
/// apart. `alone`: no more than one segment is in flight.
///
/// Both in nanoseconds; an SRTT of zero: nothing was measured yet.
#[inline]
pub(crate) fn patience(srtt: u64, alone: bool) -> u64 {
    if srtt == 0 {
        // RFC 8985 section 7.2: one second while nothing was measured.
        return 1_000_000_000;
    }
    // RFC 8985 section 7.2: PTO = 2 * SRTT, and the peer's delayed acknowledgement for a segment alone.
    (2 * srtt).max(nanos_of(LEAST)) + if alone { nanos_of(WORST_DELAYED_ACK) } else { 0 }
}

/// A probe whose answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TailProbe {
    /// TLP.end_seq: SND.NXT after it was sent.
    pub end: SeqNum,
    /// TLP.is_retrans: it repeated what had been sent before.
    pub resent: bool,
}

/// What an acknowledgement says of the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing yet.
    Pending,
    /// The probe has done its work, and no loss showed.
    Settled,
    /// The probe has repaired a loss, which is a loss all the same.
    Repaired,
}

impl TailProbe {
    /// RFC 8985 section 7.4.2 (TLP_process_ack). `duplicate` is what the peer reports to have got twice, `bare` a duplicate ACK
    /// without SACK blocks.
    pub(crate) fn judge(&self, ack: SeqNum, duplicate: Option<(SeqNum, SeqNum)>, bare: bool) -> Answer {
        if ack.before(self.end) {
            return Answer::Pending;
        }
        // RFC 8985 section 7.4.2: the original and the probe have both arrived if the probe is reported as a duplicate, or,
        // by a peer that makes no such reports, if each has caused an acknowledgement.
        let both_arrived = duplicate.is_some_and(|(_, end)| end == self.end) || (bare && ack == self.end);
        if !self.resent || both_arrived {
            Answer::Settled
        } else if ack.after(self.end) {
            // RFC 8985 section 7.4.2: what was sent after the probe has arrived, and no report of a duplicate before.
            Answer::Repaired
        } else {
            Answer::Pending
        }
    }
}
