//! The retransmission time-out (RFC 6298 section 5, RFC 9293 section 3.8.1): send again from SND.UNA, back off, and
//! give up in the end.

use crate::config::TcpConfig;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::error::TcpError;
use crate::tcp::phase::Phase;
use crate::time::Instant;

impl Connection {
    /// The retransmission timer has expired.
    pub(crate) fn on_retransmission_timeout(&mut self, now: Instant, config: &TcpConfig) {
        self.deadlines.retransmit = Instant::NEVER;
        if matches!(self.phase, Phase::SynSent | Phase::SynReceived) {
            self.on_syn_timeout(config);
            return;
        }
        if self.recovery.timeouts() >= config.retries || self.user_timeout_passed(now) {
            self.fail(TcpError::TimedOut);
            return;
        }
        let (flight, mss) = (self.flight(), self.segment_size());
        let first = self.recovery.on_timeout(self.snd.max);
        self.congestion.on_timeout(flight, mss, first);
        // RFC 6298 sections 5.4 and 5.5: the earliest segment again, with twice the time-out.
        self.snd.nxt = self.snd.una;
        self.rtt.back_off();
    }

    fn on_syn_timeout(&mut self, config: &TcpConfig) {
        if self.rtt.backoff() >= config.syn_retries {
            self.fail(TcpError::TimedOut);
            return;
        }
        self.rtt.back_off();
        self.congestion.on_syn_lost(u32::from(self.mss));
        self.flags.set(Flags::SYN_RESENT);
        self.flags.set(Flags::SYN_DUE);
    }

    /// RFC 5482: data has waited for an acknowledgement longer than the application allows.
    pub(crate) fn user_timeout_passed(&self, now: Instant) -> bool {
        self.options
            .user_timeout
            .is_some_and(|most| !self.unanswered_since.is_never() && now.since(self.unanswered_since) >= most)
    }

    /// The connection is over, badly.
    pub(crate) fn fail(&mut self, error: TcpError) {
        self.phase = Phase::Closed;
        let error = match (error, self.soft_error) {
            (TcpError::TimedOut, Some(reason)) => reason,
            _ => error,
        };
        self.error.get_or_insert(error);
    }
}
