//! A connection's deadlines, and its one entry in the wheel.
//!
//! The entry stands for the earliest deadline. It is moved only when a deadline comes closer; when it fires too
//! early, it is set again. So acknowledgements in bulk, each of which moves the retransmission deadline away, touch
//! no wheel, and an idle connection has no entry at all.

use crate::config::TcpConfig;
use crate::tcp::connection::{Connection, Deadlines, Flags};
use crate::tcp::error::TcpError;
use crate::tcp::phase::Phase;
use crate::time::Instant;
use crate::timers::{TimerId, Wheel};

impl Connection {
    /// The earliest of the deadlines.
    fn earliest(&self) -> Instant {
        let user = match self.options.user_timeout {
            Some(most) if !self.unanswered_since.is_never() => self.unanswered_since + most,
            _ => Instant::NEVER,
        };
        let Deadlines { retransmit, alarm, ack, idle } = self.deadlines;
        retransmit.min(alarm).min(ack).min(idle).min(user)
    }

    /// Sees to it that the wheel wakes no later than the earliest deadline.
    pub(crate) fn arm(&mut self, index: u32, wheel: &mut Wheel<u32>) {
        let earliest = self.earliest();
        if earliest.is_never() {
            return;
        }
        if self.timer.is_none() {
            self.timer = wheel.insert(earliest, index);
        } else if earliest < wheel.deadline(self.timer) {
            wheel.reschedule(self.timer, earliest);
        }
    }

    /// Takes the connection out of the wheel for good.
    pub(crate) fn disarm(&mut self, wheel: &mut Wheel<u32>) {
        wheel.cancel(self.timer);
        self.timer = TimerId::NONE;
    }

    /// Nothing has happened for a while: an idle connection keeps no scoreboard, and no memory for what nobody sends.
    fn give_memory_back(&mut self) {
        if self.recovery.as_ref().is_some_and(|recovery| recovery.is_idle()) {
            self.recovery = None;
        }
        if self.reassembly.is_none() {
            self.receive.release();
        }
    }

    /// Acts on every deadline that has passed. The wheel's entry is gone already.
    pub(crate) fn on_timer(&mut self, now: Instant, config: &TcpConfig) {
        self.timer = TimerId::NONE;
        if self.deadlines.ack <= now {
            self.deadlines.ack = Instant::NEVER;
            self.flags.set(Flags::ACK_NOW);
        }
        if self.deadlines.retransmit <= now {
            // Whatever the neighbour's state was: try again.
            self.flags.clear(Flags::RESOLVING);
            if self.flags.has(Flags::PERSISTING) {
                self.on_persist_timeout(now, config);
            } else {
                self.on_retransmission_timeout(now, config);
            }
        }
        if self.phase != Phase::Closed && self.deadlines.alarm <= now {
            self.on_alarm(now);
        }
        if self.earliest().is_never() {
            self.give_memory_back();
        }
        if self.phase != Phase::Closed && self.deadlines.idle <= now {
            self.on_idle_timeout(now);
        }
        if self.phase != Phase::Closed && self.user_timeout_passed(now) {
            self.fail(TcpError::TimedOut);
        }
    }
}
