//! Why a sender waits, and for how long it has: what TCP_INFO's busy, rwnd-limited and cwnd-limited times tell.
//!
//! Looked at whenever a connection has nothing (more) to send; the reason holds from then to the next look. The same look
//! tells the delivery rate which samples only measure the application.

use crate::tcp::connection::{Connection, Flags};
use crate::time::Instant;

/// What a sender waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum Waiting {
    /// Nothing: everything that was written has arrived.
    #[default]
    Idle,
    /// The application: everything that was written is on its way, or so little is left that it waits for more (Nagle).
    Application,
    /// The peer's window.
    ReceiveWindow,
    /// The congestion window.
    CongestionWindow,
    /// The time at which the next train may leave.
    Pacing,
}

impl Connection {
    fn waits_for(&self) -> Waiting {
        if !self.phase.sends() {
            return Waiting::Idle;
        }
        let (lost, unsent) = (self.lost(), if self.flags.has(Flags::FIN_SENT) { 0 } else { self.seen_unsent() });
        if lost == 0 && unsent == 0 {
            // A FIN alone is nothing that was written.
            return if self.text_in_flight() == 0 { Waiting::Idle } else { Waiting::Application };
        }
        if self.flags.has(Flags::PACE_WAIT) {
            return Waiting::Pacing;
        }
        let room = self.congestion.window().saturating_sub(self.pipe());
        let offered = self.snd.wnd.saturating_sub(self.snd.nxt - self.snd.una);
        let wanted = if lost > 0 { lost } else { unsent }.min(self.segment_size());
        if lost == 0 && offered < wanted && offered <= room {
            Waiting::ReceiveWindow
        } else if room < wanted {
            Waiting::CongestionWindow
        } else {
            Waiting::Application
        }
    }

    /// There is nothing to send now.
    #[inline]
    pub(crate) fn note_waiting(&mut self, now: Instant) {
        if self.send.seen_len() == 0 && self.recovery.is_none() && !self.aside.is_in_use() {
            // Nothing that was written is on its way, and nothing was ever noted.
            return;
        }
        if self.flags.has(Flags::TURNS) {
            if self.phase.sends() && self.seen_unsent() == 0 {
                // As in every turn.
                return;
            }
            self.end_solitude();
        }
        self.note_reason(now);
    }

    #[cold]
    #[inline(never)]
    fn note_reason(&mut self, now: Instant) {
        let idle = self.snd.nxt == self.snd.una && self.send.seen_len() == 0;
        let known = self.aside.ledger().map_or(Waiting::Idle, |ledger| ledger.waiting);
        if idle && known == Waiting::Idle {
            // A connection that only receives.
            return;
        }
        let waiting = if idle { Waiting::Idle } else { self.waits_for() };
        if waiting == Waiting::Application {
            let pipe = self.pipe();
            if let Some(recovery) = &mut self.recovery {
                recovery.rate.on_app_limited(pipe);
            }
        }
        if known != waiting {
            self.ledger_mut().wait_for(now, waiting);
        }
    }

    /// Everything that was written has arrived.
    #[inline]
    pub(super) fn note_idle(&mut self, now: Instant) {
        if self.flags.has(Flags::TURNS) {
            return;
        }
        if self.aside.ledger().is_some_and(|ledger| ledger.waiting != Waiting::Idle) {
            self.ledger_mut().wait_for(now, Waiting::Idle);
        }
    }

    /// Everything that was written is on its way, in a lone segment.
    #[inline(always)]
    pub(super) fn note_all_sent(&mut self, now: Instant) {
        if self.flags.has(Flags::TURNS) {
            return;
        }
        let flight = self.flight();
        if let Some(recovery) = &mut self.recovery {
            recovery.rate.on_app_limited(flight);
        }
        let ledger = self.ledger_mut();
        if ledger.waiting != Waiting::Application {
            ledger.wait_for(now, Waiting::Application);
        }
    }
}
