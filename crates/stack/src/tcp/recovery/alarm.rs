//! The alarms that come before the retransmission timer: RACK's reordering timer and the tail-loss probe (RFC 8985 sections
//! 6.2 and 7), and what the answer to a probe means. Called by `retransmit` and by `Recovery::on_feedback`.

use core::time::Duration;

use wire::tcp::SeqNum;

use super::{Feedback, Mode, Recovery};
use crate::tcp::congestion::Congestion;
use crate::tcp::tail_probe::{self, Answer};
use crate::time::{Instant, nanos_of};

/// What the probe timer stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// RACK: what was sent before something that arrived may be lost by then.
    Reordering,
    /// TLP: the flight's tail may be lost.
    Probe,
}

impl Recovery {
    /// When to look again, and what for: RACK's reordering timer, or a tail-loss probe. `rto_at` is when the retransmission
    /// timer expires.
    pub(crate) fn next_alarm(&mut self, now: Instant, mss: u32, srtt: Duration, rto_at: Instant) -> Instant {
        if let Some(left) = self.detect(now, mss, srtt) {
            self.alarm = Alarm::Reordering;
            return now + left;
        }
        // RFC 8985 section 7.2: SACK, no recovery, no other probe, something in flight, and nothing beyond a gap.
        let allowed = self.sack && !self.is_active() && self.probe.is_none() && self.board.sacked() == 0;
        if !allowed || self.board.is_empty() {
            return Instant::NEVER;
        }
        self.alarm = Alarm::Probe;
        let patience = tail_probe::patience(nanos_of(srtt), self.board.outstanding() <= mss);
        // RFC 8985 section 7.2: no later than the retransmission timer, in whose place the probe then goes.
        now.after_nanos(patience).min(rto_at)
    }

    /// The alarm's time has come.
    pub(crate) fn on_alarm(
        &mut self,
        now: Instant,
        nxt: SeqNum,
        mss: u32,
        srtt: Duration,
        congestion: &mut Congestion,
    ) {
        match self.alarm {
            Alarm::Probe => self.probe_due = !self.board.is_empty() && self.probe.is_none(),
            Alarm::Reordering => {
                // Whatever the window let go has gone: nothing has arrived since.
                let before = self.before(self.pipe(mss), 0, mss, congestion);
                self.detect(now, mss, srtt);
                match self.mode {
                    Mode::Open if self.board.lost() > 0 && !self.is_spare_loss() => {
                        self.enter(nxt, &before, mss, congestion);
                        self.reduce(false, mss, 0, congestion);
                        self.let_first_go(mss, congestion);
                    }
                    Mode::Marked if self.board.lost() > 0 => self.mode = Mode::Fast,
                    _ => {}
                }
            }
        }
    }

    /// RFC 8985 section 7.4: what the answer to a tail-loss probe says.
    pub(super) fn settle_probe(
        &mut self,
        feedback: &Feedback<'_>,
        report: Option<(SeqNum, SeqNum)>,
        flight: u32,
        congestion: &mut Congestion,
    ) {
        let Some(probe) = self.probe else { return };
        let bare = feedback.duplicate && feedback.blocks.is_empty();
        let answer = probe.judge(feedback.ack, report, bare);
        if answer == Answer::Pending {
            return;
        }
        self.probe = None;
        if answer == Answer::Repaired && self.mode == Mode::Open {
            self.undo = None;
            congestion.on_loss(flight, feedback.mss);
            self.reduced = true;
            congestion.set_window(congestion.slow_start_threshold());
        }
    }
}
