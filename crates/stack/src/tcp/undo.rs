//! Taking a reduction back: when the peer reports everything that a recovery sent again as a duplicate (RFC 2883), nothing
//! had been lost, and the window of before the recovery was right (RFC 3708 section 3, RFC 9438 section 4.9).
//!
//! `recovery` keeps one of these from the reduction on until a round trip after the recovery's end.

use wire::tcp::SeqNum;

/// The retransmissions of one recovery that have not yet proved superfluous.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Undo {
    /// SND.UNA when the recovery began.
    start: SeqNum,
    /// Bytes sent again of which no duplicate was reported.
    open: u32,
    /// Something was sent again.
    begun: bool,
    /// Once the recovery is over: an acknowledgement beyond this ends the wait for reports.
    until: Option<SeqNum>,
}

impl Undo {
    /// A recovery begins.
    pub(crate) const fn new(una: SeqNum) -> Self {
        Self { start: una, open: 0, begun: false, until: None }
    }

    /// `len` bytes were sent again.
    pub(crate) fn on_resent(&mut self, len: u32) {
        self.open = self.open.saturating_add(len);
        self.begun = true;
    }

    /// The recovery is over, and SND.NXT is `nxt`: what was sent again is reported within a round trip, or never.
    pub(crate) fn on_recovered(&mut self, nxt: SeqNum) {
        self.until = Some(nxt);
    }

    /// Whether reports can no longer be about this recovery.
    pub(crate) fn is_outdated(&self, ack: SeqNum) -> bool {
        self.until.is_some_and(|until| ack.after(until))
    }

    /// The peer reports that it got `start` to `end` twice. Returns whether all that was sent again was superfluous.
    pub(crate) fn on_duplicate(&mut self, start: SeqNum, end: SeqNum) -> bool {
        if start.at_or_after(self.start) {
            self.open = self.open.saturating_sub(end - start);
        }
        self.begun && self.open == 0
    }
}
