//! Time-outs: retransmission (RFC 6298 section 5, RFC 9293 section 3.8.1), and the earlier alarms that mostly spare it,
//! RACK's reordering timer and tail-loss probes (RFC 8985 sections 6.3 and 7).

use crate::config::TcpConfig;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::error::TcpError;
use crate::tcp::phase::Phase;
use crate::tcp::recovery::Alarm;
use crate::time::Instant;

impl Connection {
    /// The retransmission timer has expired.
    pub(crate) fn on_retransmission_timeout(&mut self, now: Instant, config: &TcpConfig) {
        self.end_solitude();
        self.deadlines.retransmit = Instant::NEVER;
        self.set_alarm(Instant::NEVER);
        if matches!(self.phase, Phase::SynSent | Phase::SynReceived) {
            self.on_syn_timeout(config);
            return;
        }
        let timeouts = self.recovery.as_ref().map_or(0, |recovery| recovery.timeouts());
        if self.is_given_up(now, timeouts, config) {
            self.fail(TcpError::TimedOut);
            return;
        }
        self.suspect_black_hole(timeouts, config);
        let (nxt, mss, srtt) = (self.snd.nxt, self.segment_size(), self.rtt.smoothed().unwrap_or_default());
        // RFC 6298 sections 5.4 and 5.5: the earliest segment again, with twice the time-out.
        if let Some(recovery) = &mut self.recovery {
            recovery.on_timeout(now, nxt, mss, srtt, &mut self.congestion);
        }
        self.rtt.back_off();
    }

    fn on_syn_timeout(&mut self, config: &TcpConfig) {
        if self.rtt.backoff() >= config.syn_retries {
            self.fail(TcpError::TimedOut);
            return;
        }
        self.give_up_ecn(config);
        if self.flags.take(Flags::FAST_OPEN) {
            // RFC 7413 section 4.2.1: without the option and the text, which something on the way may not like.
            self.aside.take_parked();
        }
        self.rtt.back_off();
        self.congestion.on_syn_lost(u32::from(self.mss));
        self.flags.set(Flags::SYN_RESENT);
        self.flags.set(Flags::SYN_DUE);
    }

    /// Sets the alarm for RACK or a tail-loss probe after something was sent or acknowledged.
    pub(crate) fn watch_tail(&mut self, now: Instant) {
        let mss = self.segment_size();
        let rto_at = self.deadlines.retransmit;
        let Some(recovery) = &mut self.recovery else { return };
        // A window probe is answered whether its byte was taken or not: what is missing shows when the window opens.
        recovery.alarm_at = if recovery.is_idle() || self.flags.has(Flags::PERSISTING) {
            Instant::NEVER
        } else {
            recovery.next_alarm(now, mss, self.rtt.smoothed().unwrap_or_default(), rto_at)
        };
    }

    /// When RACK's reordering timer or the next tail-loss probe is due.
    #[inline]
    pub(crate) fn alarm_at(&self) -> Instant {
        if self.flags.has(Flags::LONE) {
            return self.lone_alarm_at();
        }
        self.recovery.as_ref().map_or(Instant::NEVER, |recovery| recovery.alarm_at)
    }

    pub(crate) fn set_alarm(&mut self, at: Instant) {
        if let Some(recovery) = &mut self.recovery {
            recovery.alarm_at = at;
        }
    }

    /// Whether a tail-loss probe is due together with the retransmission timer, and goes in its place.
    pub(crate) fn probe_comes_first(&self, now: Instant) -> bool {
        self.recovery.as_ref().is_some_and(|recovery| recovery.alarm_at <= now && recovery.alarm == Alarm::Probe)
    }

    /// The alarm has gone off.
    pub(crate) fn on_alarm(&mut self, now: Instant) {
        self.look_on_alarm(now);
        self.judge_path_probe(now);
    }

    fn look_on_alarm(&mut self, now: Instant) {
        self.set_alarm(Instant::NEVER);
        let (nxt, mss, srtt) = (self.snd.nxt, self.segment_size(), self.rtt.smoothed().unwrap_or_default());
        if let Some(recovery) = &mut self.recovery {
            recovery.on_alarm(now, nxt, mss, srtt, &mut self.congestion);
            if !recovery.probe_due {
                self.watch_tail(now);
            }
        }
    }

    /// Whether the peer is given up, which has not answered `times` times: a user timeout says for how long, and else the count
    /// does (RFC 9293 section 3.8.3, R2). Both do for an orphan: a peer's word must not keep what nobody has.
    pub(crate) fn is_given_up(&self, now: Instant, times: u8, config: &TcpConfig) -> bool {
        let counts = self.options.user_timeout.is_none() || self.flags.has(Flags::ORPHANED);
        (counts && times >= config.retries) || self.user_timeout_passed(now)
    }

    /// Data has waited for an acknowledgement longer than the application allows (RFC 9293 section 3.9.1), or the peer advises
    /// (RFC 5482).
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
