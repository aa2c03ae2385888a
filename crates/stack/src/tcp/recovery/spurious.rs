//! What had not been lost after all: time-outs that F-RTO (RFC 5682) finds spurious, and retransmissions that the peer reports
//! as duplicates (RFC 2883). Called by `Recovery::on_feedback`.

use wire::tcp::SeqNum;

use super::{Feedback, Mode, Recovery};
use crate::tcp::congestion::Congestion;
use crate::tcp::scoreboard::Delivered;

impl Recovery {
    /// RFC 5682 section 2.1 step 2b: new data goes before what is believed lost, as its acknowledgement will tell whether the
    /// time-out was real.
    pub(crate) fn prefers_new(&self) -> bool {
        self.doubt && self.timeouts == 0
    }

    /// RFC 5682: what an ACK after a time-out says about it. Returns whether it was spurious.
    pub(super) fn resolve_doubt(&mut self, feedback: &Feedback<'_>, delivered: &Delivered) -> bool {
        let Feedback { ack, una, nxt, blocks, duplicate, .. } = *feedback;
        if self.timeouts > 0 {
            if ack.after(una) {
                // RFC 5682 section 3.1 step 2: RecoveryPoint is what was sent up to now; what is new follows it.
                self.point = nxt;
            } else if duplicate && !self.sack {
                // RFC 5682 section 2.1 step 2a: a duplicate ACK tells that something is missing. With SACK the wait goes
                // on (section 3.1 step 2).
                self.doubt = false;
            }
            return false;
        }
        let beyond = ack.after(self.point) || blocks.iter().any(|block| block.1.after(self.point));
        if delivered.unambiguous.is_some() && !beyond {
            // RFC 5682 section 3.1 step 3b: what was sent before the time-out, and not again, has arrived.
            return true;
        }
        if ack.after(una) || duplicate {
            // RFC 5682 section 3.1 step 3a: the time-out was real.
            self.doubt = false;
        }
        false
    }

    /// RFC 2883: the peer got something twice.
    pub(super) fn on_duplicate_reported(
        &mut self,
        report: Option<(SeqNum, SeqNum)>,
        ack: SeqNum,
        nxt: SeqNum,
        congestion: &mut Congestion,
    ) {
        if self.undo.is_some_and(|undo| undo.is_outdated(ack)) {
            self.undo = None;
        }
        let Some((start, end)) = report else { return };
        // RFC 8985 section 6.2 step 4: once a round trip.
        if ack.at_or_after(self.duplicate_round) {
            self.rack.on_duplicate_reported();
            self.duplicate_round = nxt;
        }
        if let Some(undo) = &mut self.undo
            && undo.on_duplicate(start, end)
            && self.board.lost() == 0
        {
            // RFC 9438 section 4.9.2: nothing of what was sent again had been lost.
            self.was_spurious(congestion);
        }
    }

    /// An acknowledgement came while nothing was in flight: it can tell of duplicates.
    pub(crate) fn on_late_report(&mut self, feedback: &Feedback<'_>, congestion: &mut Congestion) {
        let report = feedback.duplicate_report();
        self.settle_probe(feedback, report, 0, congestion);
        self.on_duplicate_reported(report, feedback.ack, feedback.nxt, congestion);
    }

    /// Nothing had been lost, and the reduction was for nothing.
    pub(super) fn was_spurious(&mut self, congestion: &mut Congestion) {
        self.board.mark_none_lost();
        congestion.undo();
        self.undo = None;
        self.mode = Mode::Open;
        self.doubt = false;
    }
}
