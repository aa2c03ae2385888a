//! Congestion avoidance of RFC 5681: one segment more a round trip, half after a loss.

use super::Ack;

/// The byte count of RFC 3465.
#[derive(Clone, Debug)]
pub(crate) struct NewReno {
    /// Bytes acknowledged since the window last grew by a segment.
    acknowledged: u32,
}

impl NewReno {
    pub(crate) const fn new() -> Self {
        Self { acknowledged: 0 }
    }

    pub(crate) fn grow(&mut self, cwnd: u32, ack: &Ack) -> u32 {
        // RFC 5681 section 3.1: one SMSS a round trip, which is a window of acknowledged bytes. Of a window that half of an odd
        // flight was, only the whole segments are ever in flight: they are what a round trip acknowledges.
        let full = (cwnd - cwnd % ack.mss).max(ack.mss);
        self.acknowledged = self.acknowledged.saturating_add(ack.acked);
        if self.acknowledged < full {
            return cwnd;
        }
        self.acknowledged -= full;
        cwnd.saturating_add(ack.mss)
    }

    pub(crate) fn reduce(&mut self, flight: u32) -> u32 {
        self.acknowledged = 0;
        // RFC 5681 section 3.1 (4): ssthresh = FlightSize / 2.
        flight / 2
    }
}
