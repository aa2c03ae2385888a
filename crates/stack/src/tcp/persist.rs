//! Probing a closed window (RFC 9293 section 3.8.6.1, RFC 1122 section 4.2.2.17), and the override that ends the
//! sender's silly-window avoidance (RFC 1122 section 4.2.3.4).

use core::time::Duration;

use crate::config::TcpConfig;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::error::TcpError;
use crate::time::Instant;

/// Longest time between probes.
const LONGEST: Duration = Duration::from_secs(60);

impl Connection {
    /// There is something to send, nothing in flight that could bring a window update, and no window for it.
    pub(crate) fn persist(&mut self, now: Instant, config: &TcpConfig) {
        if self.flags.has(Flags::PERSISTING) {
            return;
        }
        self.flags.set(Flags::PERSISTING);
        self.set_alarm(Instant::NEVER);
        if let Some(recovery) = &mut self.recovery {
            recovery.probe_due = false;
        }
        self.probes = 0;
        self.unanswered_probes = 0;
        // RFC 1122 section 4.2.2.17: the first probe when the window has been zero for one RTO.
        self.deadlines.retransmit = now + self.rtt.rto(config.rto_min, config.rto_max).min(LONGEST);
    }

    /// There is a window, or nothing that would need one: probing ends, and its timer.
    pub(crate) fn end_persisting(&mut self) {
        if self.flags.has(Flags::PERSISTING) {
            self.deadlines.retransmit = Instant::NEVER;
            self.flags.clear(Flags::PERSISTING.and(Flags::PROBE_DUE));
        }
    }

    /// The time for a probe has come.
    pub(crate) fn on_persist_timeout(&mut self, now: Instant, config: &TcpConfig) {
        // RFC 1122 section 4.2.2.17: a peer that answers may keep its window closed for ever; one that does not is gone.
        // An orphan ends either way: otherwise a peer could hold its memory for as long as it likes.
        let orphaned = self.flags.has(Flags::ORPHANED);
        let counted = if orphaned { self.probes } else { self.unanswered_probes };
        if self.is_given_up(now, counted, config) {
            self.fail(TcpError::TimedOut);
            return;
        }
        self.probes = self.probes.saturating_add(1);
        self.unanswered_probes = self.unanswered_probes.saturating_add(1);
        self.flags.set(Flags::PROBE_DUE);
        // RFC 1122 section 4.2.2.17: the interval grows exponentially.
        let interval = self.rtt.rto(config.rto_min, config.rto_max).saturating_mul(1 << self.probes.min(10));
        self.deadlines.retransmit = now + interval.min(LONGEST);
    }

    /// The peer was heard while its window is closed: it is alive.
    pub(crate) fn on_probe_answered(&mut self) {
        if self.flags.has(Flags::PERSISTING) {
            self.unanswered_probes = 0;
            self.unanswered_since = Instant::NEVER;
        }
    }
}
