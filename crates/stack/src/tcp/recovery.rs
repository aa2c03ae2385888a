//! Loss recovery by duplicate acknowledgements: fast retransmit and NewReno's fast recovery (RFC 5681 section 3.2,
//! RFC 6582), with limited transmit (RFC 3042).

use wire::tcp::SeqNum;

use crate::tcp::congestion::NewReno;

/// Duplicate ACKs that mean a loss (RFC 5681 section 3.2).
const THRESHOLD: u8 = 3;

/// What is known of losses.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    /// Duplicate ACKs in a row.
    duplicates: u8,
    /// In fast recovery: until `recover` is acknowledged.
    active: bool,
    /// The highest sequence number sent when the last loss was found.
    recover: SeqNum,
    /// The segment at SND.UNA is to be sent again.
    retransmit_due: bool,
    /// Time-outs in a row without an acknowledgement of anything new.
    timeouts: u8,
}

impl Recovery {
    /// `isn`: nothing was sent before it.
    pub(crate) const fn new(isn: SeqNum) -> Self {
        Self { duplicates: 0, active: false, recover: isn, retransmit_due: false, timeouts: 0 }
    }

    pub(crate) const fn timeouts(&self) -> u8 {
        self.timeouts
    }

    /// Whether the segment at SND.UNA is to be sent again now.
    pub(crate) const fn retransmit_due(&self) -> bool {
        self.retransmit_due
    }

    /// That segment was sent.
    pub(crate) fn on_retransmitted(&mut self) {
        self.retransmit_due = false;
    }

    /// Bytes that may be sent beyond the congestion window.
    pub(crate) fn limited_transmit(&self, mss: u32) -> u32 {
        // RFC 3042 section 2: one segment for each of the first two duplicate ACKs, cwnd unchanged.
        if self.active { 0 } else { u32::from(self.duplicates.min(THRESHOLD - 1)) * mss }
    }

    /// A duplicate of the acknowledgement of `una` arrived, with `flight` bytes outstanding up to `max`.
    pub(crate) fn on_duplicate_ack(
        &mut self,
        una: SeqNum,
        max: SeqNum,
        flight: u32,
        mss: u32,
        congestion: &mut NewReno,
    ) {
        self.duplicates = self.duplicates.saturating_add(1);
        if self.active {
            congestion.inflate(mss);
            return;
        }
        // RFC 6582 section 3.2 step 2: a loss in the flight that was recovered last is no new one.
        if self.duplicates != THRESHOLD || !una.after(self.recover) {
            return;
        }
        self.active = true;
        self.recover = max - 1;
        self.retransmit_due = true;
        // RFC 5681 section 3.2 step 2: what limited transmit sent beyond the window does not count.
        congestion.on_loss(flight.min(congestion.window()), mss);
    }

    /// `acked` new bytes were acknowledged, up to `ack`; `before` were outstanding and `flight` still are.
    pub(crate) fn on_new_ack(
        &mut self,
        ack: SeqNum,
        acked: u32,
        before: u32,
        flight: u32,
        mss: u32,
        congestion: &mut NewReno,
    ) {
        self.duplicates = 0;
        self.timeouts = 0;
        if !self.active {
            congestion.on_ack(acked, before, mss);
            return;
        }
        if ack.after(self.recover) {
            self.active = false;
            self.retransmit_due = false;
            congestion.on_recovered(flight, mss);
            return;
        }
        // RFC 6582 section 3.2 step 3: a partial ACK names the next hole.
        self.retransmit_due = true;
        congestion.on_partial_ack(acked, mss);
    }

    /// The peer has answered a retransmission that its closed window keeps out: it is alive.
    pub(crate) fn on_refused(&mut self) {
        self.timeouts = 0;
    }

    /// The retransmission timer expired with everything up to `max` sent. Returns whether this is the first time-out
    /// for the data in question.
    pub(crate) fn on_timeout(&mut self, max: SeqNum) -> bool {
        // RFC 6582 section 4: after a time-out, duplicates of what was in flight then cause no fast retransmit.
        self.recover = max - 1;
        self.active = false;
        self.retransmit_due = false;
        self.duplicates = 0;
        self.timeouts = self.timeouts.saturating_add(1);
        self.timeouts == 1
    }
}
