//! Keep-alive (RFC 1122 section 4.2.3.6), and the end of an orphan's FIN-WAIT-2.

use core::time::Duration;

use crate::config::TcpConfig;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::error::TcpError;
use crate::tcp::phase::Phase;
use crate::time::Instant;

/// No interval is shorter: a connection that wanted to be looked at all the time would keep the engine from everything else.
const SHORTEST: Duration = Duration::from_millis(1);

impl Connection {
    /// Sets the idle deadline anew after the option or the phase changed.
    pub(crate) fn start_keep_alive(&mut self) {
        self.probes = 0;
        self.time_keep_alive();
    }

    /// The same where only the time has changed, and probes go on being counted.
    pub(crate) fn time_keep_alive(&mut self) {
        if self.phase == Phase::FinWait2 && self.flags.has(Flags::ORPHANED) {
            return;
        }
        self.deadlines.idle = match self.options.keep_alive {
            Some(keep_alive) if self.phase.is_synchronized() => self.last_heard + self.keep_alive_idle(keep_alive.idle),
            _ => Instant::NEVER,
        };
    }

    /// The peer has all that this side will ever send; a peer that never finishes must not hold an orphan for ever.
    pub(crate) fn start_fin_wait_2(&mut self, now: Instant, config: &TcpConfig) {
        if self.flags.has(Flags::ORPHANED) {
            self.deadlines.idle = now + config.fin_wait_2;
        }
    }

    /// The idle deadline has passed.
    pub(crate) fn on_idle_timeout(&mut self, now: Instant) {
        let due = core::mem::replace(&mut self.deadlines.idle, Instant::NEVER);
        if self.phase == Phase::FinWait2 && self.flags.has(Flags::ORPHANED) {
            self.phase = Phase::Closed;
            return;
        }
        let Some(keep_alive) = self.options.keep_alive else { return };
        let interval = keep_alive.interval.max(SHORTEST);
        let (quiet, idle) = (now.since(self.last_heard), self.keep_alive_idle(keep_alive.idle));
        if quiet < idle {
            // Something was heard since the deadline was set.
            self.probes = 0;
            self.deadlines.idle = self.last_heard + idle;
            return;
        }
        if self.flight() > 0 || self.flags.has(Flags::PERSISTING) {
            // Retransmissions and window probes find a dead peer by themselves.
            self.deadlines.idle = now + interval;
            return;
        }
        if self.last_heard + interval >= due {
            // The last probe was answered, though that is longer ago than the idle time.
            self.probes = 0;
        }
        if self.probes >= keep_alive.probes {
            self.fail(TcpError::TimedOut);
            return;
        }
        self.probes += 1;
        self.flags.set(Flags::KEEP_ALIVE_DUE);
        self.deadlines.idle = now + interval;
    }
}
