//! What follows from a segment's having gone out: the acknowledgement that it carried, SND.NXT, the scoreboard, the timers
//! (RFC 9293 section 3.10.2, RFC 6298 section 5). `output` and `template` send it and come here; a message that is all there
//! is in flight goes on to `lone`.

use wire::tcp::SeqNum;

use crate::config::TcpConfig;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::output::{Kind, Plan};
use crate::tcp::phase::Phase;
use crate::tcp::tuning::Tuning;
use crate::time::Instant;

impl Connection {
    /// A segment has gone out.
    #[inline]
    pub(super) fn on_sent(&mut self, now: Instant, plan: Plan, edge: SeqNum, config: &TcpConfig) {
        self.on_acknowledgement_sent(plan.kind, edge);
        if plan.kind == Kind::Ack {
            // Nothing that could be lost.
        } else if config.fast_path && self.goes_alone(&plan) {
            let is_all = self.seen_unsent() <= plan.len;
            self.on_lone_sent(now, plan, is_all, Flags::NONE, self.rtt.rto_at(now, config.rto_min, config.rto_max));
        } else {
            self.on_sent_in_company(now, plan, config);
        }
    }

    /// One that does not stand alone has gone out: the scoreboard is told.
    #[inline(never)]
    fn on_sent_in_company(&mut self, now: Instant, plan: Plan, config: &TcpConfig) {
        let end = plan.end();
        match plan.kind {
            Kind::Ack => return,
            Kind::KeepAlive => {
                self.flags.clear(Flags::KEEP_ALIVE_DUE);
                return;
            }
            Kind::Syn => {
                self.flags.clear(Flags::SYN_DUE);
                // What an earlier SYN took along may still be acknowledged.
                self.snd.nxt = self.snd.nxt.later(end + 1);
                if self.flags.has(Flags::SYN_RESENT) {
                    self.ledger_mut().retransmissions += 1;
                }
            }
            Kind::Text => {
                if plan.len > 0 {
                    // The window is open: only a cork had held the text back, which is under way now.
                    self.end_persisting();
                }
                self.on_text_sent(now, plan, end);
            }
            Kind::PathProbe => {
                self.on_text_sent(now, plan, end);
                self.on_path_probe_sent(plan.seq, end);
            }
            Kind::Again => {
                self.ledger_mut().retransmissions += 1;
                let nxt = self.snd.nxt;
                let old_end = if end.after(nxt) { nxt } else { end };
                self.ledger_mut().bytes_retransmitted += u64::from(old_end - plan.seq);
                self.recovery_mut().on_resent(now, plan.seq, old_end);
                if end.after(nxt) {
                    self.recovery_mut().on_sent(now, end, end - nxt);
                    self.snd.nxt = end;
                }
            }
            Kind::TailProbe => {
                let resent = !end.after(self.snd.nxt);
                if resent {
                    self.ledger_mut().retransmissions += 1;
                    self.ledger_mut().bytes_retransmitted += u64::from(plan.len);
                    self.recovery_mut().on_resent(now, plan.seq, end);
                } else {
                    self.on_text_sent(now, plan, end);
                }
                let nxt = self.snd.nxt;
                self.recovery_mut().on_probe_sent(nxt, resent);
                // RFC 8985 section 7.3: the retransmission timer starts again.
                self.deadlines.retransmit = Instant::NEVER;
            }
            Kind::Probe => {
                self.flags.clear(Flags::PROBE_DUE);
                if end.at_or_before(self.snd.una + self.snd.wnd) && end.after(self.snd.nxt) {
                    // The window holds it: only a rule against small segments had kept it back.
                    self.end_persisting();
                    self.on_text_sent(now, plan, end);
                } else if end.after(self.snd.nxt) {
                    // What the closed window did not take is sent again when it opens.
                    self.recovery_mut().on_window_probe(now, end);
                    self.snd.nxt = end;
                }
            }
        }
        self.last_sent = now;
        // What a SYN takes along is no train, and before the handshake there is nothing that a scoreboard could begin with.
        if self.flags.has(Flags::PACED) && plan.len > 0 && plan.kind != Kind::Syn {
            self.on_train_sent(now, plan.len);
        }
        if self.unanswered_since.is_never() {
            self.unanswered_since = now;
        }
        let of_oldest = plan.kind == Kind::Again && plan.seq == self.snd.una;
        if of_oldest || self.deadlines.retransmit.is_never() {
            // RFC 6298 section 5.1; RFC 6582 section 4: resending the oldest starts the timer anew.
            self.deadlines.retransmit = self.rtt.rto_at(now, config.rto_min, config.rto_max);
        }
        if plan.kind != Kind::Syn {
            self.watch_tail(now);
        }
    }

    /// Every segment carries the acknowledgement that is owed, and a window up to `edge`.
    #[inline]
    fn on_acknowledgement_sent(&mut self, kind: Kind, edge: SeqNum) {
        if kind == Kind::Ack && self.duplicate_acks_owed > 0 {
            self.duplicate_acks_owed -= 1;
        } else {
            self.duplicate_acks_owed = 0;
        }
        // Blocks find no room beside a full segment's text: an acknowledgement of their own carries them.
        let blocks_wait = self.aside.duplicate().is_some() || self.aside.reassembly().is_some();
        if kind == Kind::Ack || !blocks_wait {
            self.flags.clear(Flags::ACK_NOW);
            self.aside.forget_duplicate();
        }
        self.deadlines.ack = Instant::NEVER;
        self.rcv.acked = self.rcv.nxt;
        if edge.after(self.rcv.edge) && !(kind == Kind::Syn && self.phase == Phase::SynSent) {
            self.rcv.edge = edge;
        }
    }

    /// New text, or the FIN, has gone out.
    fn on_text_sent(&mut self, now: Instant, plan: Plan, end: SeqNum) {
        self.recovery_mut().on_sent(now, end, end - plan.seq);
        self.advance_to(plan, end, Flags::NONE);
    }

    /// New text up to `end`, or the FIN, has gone out, and so have `more` become facts.
    #[inline(always)]
    pub(super) fn advance_to(&mut self, plan: Plan, end: SeqNum, more: Flags) {
        let full = self.segment_size();
        let mut flags = self.flags.and(more);
        if plan.len != 0 {
            self.rcv.quick.on_text_sent();
            // Most often the length alone tells, without a division.
            if plan.len < full || (plan.len > full && !plan.len.is_multiple_of(full)) {
                flags.set(Flags::SMALL_SENT);
                self.snd.small = end;
            }
        }
        if plan.fin {
            flags.set(Flags::FIN_SENT);
        }
        self.flags = flags;
        self.snd.nxt = end;
    }

    /// RFC 5681 section 4.1: after an idle time of more than one RTO the window says nothing about the path any more.
    #[inline(always)]
    pub(crate) fn restart_if_idle(&mut self, now: Instant, config: &Tuning) {
        // No time-out is shorter than the shortest; and only a model has to know that something follows at all.
        if self.flight() == 0 && (now > self.last_sent.after_nanos(config.least_rto) || self.congestion.has_model()) {
            self.restart(now, config);
        }
    }

    #[inline(never)]
    fn restart(&mut self, now: Instant, config: &TcpConfig) {
        if now.since(self.last_sent) > self.rtt.rto(config.rto_min, config.rto_max) {
            let mss = self.segment_size();
            self.congestion.on_restart(mss);
            self.give_after_pause(now, config);
        } else {
            self.congestion.on_resume();
        }
    }
}
