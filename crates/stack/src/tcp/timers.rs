//! A connection's deadlines, and its one entry in the wheel.
//!
//! The entry stands for the earliest deadline. It is moved only when a deadline comes closer; when it fires too
//! early, it is set again. So acknowledgements in bulk, each of which moves the retransmission deadline away, touch
//! no wheel, and an idle connection has no entry at all.

use core::time::Duration;

use crate::config::TcpConfig;
use crate::tcp::connection::{Connection, Deadlines, Flags};
use crate::tcp::error::TcpError;
use crate::tcp::phase::Phase;
use crate::time::Instant;
use crate::timers::{TimerId, Wheel};

/// A connection on which nothing has moved for so long gives back the memory that only a busy one needs.
const REST: Duration = Duration::from_secs(1);

impl Connection {
    /// The earlier of two deadlines that few connections have: of the user's patience, and of the next train.
    fn earliest_seldom(&self) -> Instant {
        let user = match self.options.user_timeout {
            Some(most) if !self.unanswered_since.is_never() => self.unanswered_since + most,
            _ => Instant::NEVER,
        };
        user.min(self.pace_deadline())
    }

    /// Sees to it that the wheel wakes no later than the earliest deadline.
    #[inline(always)]
    pub(crate) fn arm(&mut self, index: u32, wheel: &mut Wheel<u32>) {
        let armed = wheel.deadline(self.timer);
        let Deadlines { retransmit, ack, idle } = self.deadlines;
        let busy = retransmit.min(self.alarm_at()).min(ack);
        if busy.min(idle) >= armed
            && (!busy.is_never() || armed <= self.last_heard + REST)
            && !self.flags.has(Flags::PACE_WAIT)
            && self.options.user_timeout.is_none()
        {
            // Most often the entry rings early enough already, also where there is nothing to wait for but the time to rest.
            return;
        }
        self.arm_anew(index, wheel, busy, armed);
    }

    /// The same where the entry, which is armed for `armed`, may have to be moved; `busy` is the earliest of the deadlines
    /// that a quiet connection has not.
    #[cold]
    #[inline(never)]
    fn arm_anew(&mut self, index: u32, wheel: &mut Wheel<u32>, busy: Instant, armed: Instant) {
        if matches!(self.phase, Phase::TimeWait | Phase::Closed) {
            // It may have a last word to say, and stand in a queue for that, but the deadlines are those of before.
            return;
        }
        let mut earliest = busy.min(self.deadlines.idle).min(self.earliest_seldom()).min(armed);
        if busy.is_never() && !self.is_light() {
            // Nothing is under way; then there may be memory to give back, in a while.
            let rest = self.rest_at();
            if rest < earliest && self.send.is_empty() && self.holds_spare_memory() {
                earliest = rest;
            }
        }
        if earliest == armed {
            return;
        }
        if self.timer.is_none() {
            self.timer = wheel.insert(earliest, index);
        } else {
            wheel.reschedule(self.timer, earliest);
        }
    }

    /// Whether there is nothing to wait for, and nothing that would be given back after a while.
    #[inline(always)]
    pub(crate) fn waits_for_nothing(&self) -> bool {
        let Deadlines { retransmit, ack, idle } = self.deadlines;
        retransmit.min(ack).min(idle).is_never()
            && !self.flags.has(Flags::PACE_WAIT)
            && self.is_light()
            && self.options.user_timeout.is_none()
    }

    /// Takes the connection out of the wheel for good.
    pub(crate) fn disarm(&mut self, wheel: &mut Wheel<u32>) {
        wheel.cancel(self.timer);
        self.timer = TimerId::NONE;
    }

    /// Nothing is in flight, owed, to be sent or waited for but the peer's next word.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        let Deadlines { retransmit, ack, idle: _ } = self.deadlines;
        retransmit.is_never() && self.alarm_at().is_never() && ack.is_never() && self.send.is_empty()
    }

    /// When the connection counts as idle, if nothing happens until then.
    fn rest_at(&self) -> Instant {
        self.last_heard.max(self.last_sent) + REST.max(self.congestion.keeps_for())
    }

    /// Whether there is nothing beside the connection itself, or what is parked there, and so no memory to give back.
    #[inline(always)]
    fn is_light(&self) -> bool {
        self.aside.has_parked_at_most()
            && self.recovery.is_none()
            && !self.congestion.is_working()
            && !self.receive.is_spare()
    }

    /// Whether there is memory that an idle connection does without.
    fn holds_spare_memory(&self) -> bool {
        self.congestion.is_working()
            || (self.aside.is_in_use() && (self.aside.measurement().is_some() || self.has_spare_aside()))
            || self.recovery.as_ref().is_some_and(|recovery| recovery.is_idle())
            || (self.receive.is_spare() && self.aside.reassembly().is_none())
    }

    /// Where nothing has happened for a while: an idle connection keeps no scoreboard, no model of the path, and no memory
    /// for what nobody sends.
    pub(crate) fn rest_if_idle(&mut self, now: Instant, config: &TcpConfig) {
        if !self.is_quiet() || now < self.rest_at() {
            return;
        }
        self.end_solitude();
        self.congestion.rest();
        self.reset_buffers(config);
        if self.recovery.as_ref().is_some_and(|recovery| recovery.is_idle()) {
            if self.flags.has(Flags::ECN) && self.owes_cwr() {
                self.flags.set(Flags::CWR_DUE);
            }
            self.recovery = None;
            self.flags.clear(Flags::CALM);
        }
        if self.aside.reassembly().is_none() {
            self.receive.release();
        }
        self.fold_aside();
    }

    /// Acts on every deadline that has passed. The wheel's entry is gone already.
    pub(crate) fn on_timer(&mut self, now: Instant, config: &TcpConfig) {
        self.timer = TimerId::NONE;
        if self.deadlines.retransmit.min(self.alarm_at()) <= now {
            self.end_solitude();
        }
        if self.deadlines.ack <= now {
            self.deadlines.ack = Instant::NEVER;
            self.flags.set(Flags::ACK_NOW);
        }
        if self.deadlines.retransmit <= now {
            // Whatever the neighbour's state was: try again.
            self.flags.clear(Flags::RESOLVING);
            if self.flags.has(Flags::PERSISTING) {
                self.on_persist_timeout(now, config);
            } else if self.probe_comes_first(now) {
                // RFC 8985 section 7.3: sending the probe, or failing to, starts the timer again.
                self.deadlines.retransmit = self.rtt.rto_at(now, config.rto_min, config.rto_max);
            } else {
                self.on_retransmission_timeout(now, config);
            }
        }
        if self.phase != Phase::Closed && self.alarm_at() <= now {
            self.on_alarm(now);
        }
        self.rest_if_idle(now, config);
        if self.pace_deadline() <= now {
            self.flags.clear(Flags::PACE_WAIT);
        }
        if self.phase != Phase::Closed && self.deadlines.idle <= now {
            self.on_idle_timeout(now);
        }
        if self.phase != Phase::Closed && self.user_timeout_passed(now) {
            self.fail(TcpError::TimedOut);
        }
    }
}
