//! The lone segment: a message on its way, and nothing else.
//!
//! A request or a response is most often one segment that goes out when nothing is in flight, and the next thing that
//! happens to it is that all of it is acknowledged. Nothing can be missing behind it, nothing is sent twice, and the
//! scoreboard, RACK and the delivery rate would take note of it only to forget it again. So they are not told: when it
//! was sent and how long it is stands in the connection anyway (`last_sent`, SND.UNA, SND.NXT), and its alarm follows
//! from that. **Whatever else happens, they are told first** ([`Connection::end_solitude`]): a second segment
//! goes out, an alarm rings, an acknowledgement comes that is not just of all of it, the path shrinks. From there on
//! everything is as if they had known all the time.
//!
//! A FIN that is all a connection ever sent needs no scoreboard either, and none is made for it.
//!
//! `message` and `template` send a lone segment, `message`, `fast_path` and `acknowledge` see it answered.

use core::hint::cold_path;

use wire::tcp::SeqNum;

use crate::tcp::congestion::Ack;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::input::Env;
use crate::tcp::output::{Kind, OWED, Plan};
use crate::tcp::tail_probe;
use crate::tcp::tuning::Tuning;
use crate::time::Instant;
use crate::timers::Wheel;

impl Connection {
    /// Whether `plan`, one segment at most, would be all there is in flight, and nothing is known that it could matter to.
    #[inline]
    pub(super) fn goes_alone(&self, plan: &Plan) -> bool {
        const UNUSUAL: Flags = Flags::PACED.and(Flags::PERSISTING);
        // Without a scoreboard there is nothing that could be out of date; but text is measured from the first on.
        let calm = self.flags.has(Flags::CALM) || (self.recovery.is_none() && plan.len == 0);
        calm && plan.kind == Kind::Text
            && plan.len <= self.segment_size()
            && self.flight() == 0
            && !self.flags.has(UNUSUAL)
            && self.aside.path().is_none()
    }

    /// It has gone out, which does away with what `done` says, and its retransmission timer rings at `rto_at`. `is_all`: nothing
    /// that was written waits behind it.
    #[inline(always)]
    pub(super) fn on_lone_sent(&mut self, now: Instant, plan: Plan, is_all: bool, done: Flags, rto_at: Instant) {
        let is_turn = is_all && !plan.fin;
        if is_turn != self.flags.has(Flags::TURNS) {
            self.begin_or_end_turns(is_turn);
        }
        self.flags.clear(done);
        self.advance_to(plan, plan.end(), Flags::LONE);
        self.last_sent = now;
        self.unanswered_since = now;
        // RFC 6298 section 5.1.
        self.deadlines.retransmit = rto_at;
    }

    /// Whether nothing but a lone segment is in flight, at most, the stream has nothing more to say for now, and nothing else is
    /// owed: what `prepare` would find right after it, or an acknowledgement, has gone out.
    #[inline]
    pub(super) fn says_no_more(&self) -> bool {
        const OTHER: Flags = Flags::PROBE_DUE.and(OWED);
        let is_at_end = self.flags.has(Flags::FIN_SENT);
        let alone = self.flags.has(Flags::LONE) || (self.recovery.is_none() && self.flight() == 0);
        alone
            && !self.flags.has(OTHER)
            && self.duplicate_acks_owed == 0
            && (is_at_end || (!self.flags.has(Flags::FINISHED) && self.seen_unsent() == 0))
    }

    /// The scoreboard is told what is in flight, as if it had been when it went out.
    #[cold]
    pub(super) fn end_solitude(&mut self) {
        self.tell_turns();
        if !self.flags.take(Flags::LONE) {
            return;
        }
        let (sent_at, end, len) = (self.last_sent, self.snd.nxt, self.flight());
        self.recovery_mut().on_sent(sent_at, end, len);
        self.watch_tail(sent_at);
    }

    /// Whether the wheel rings early enough for a lone segment that has just gone out, as most often it does: no later than
    /// any alarm of it can.
    #[inline(always)]
    pub(super) fn rings_before_lone_alarm(&self, now: Instant, config: &Tuning, wheel: &Wheel<u32>) -> bool {
        let armed = wheel.deadline(self.timer);
        armed <= now.after_nanos(config.soonest_alone)
            && armed <= self.deadlines.idle
            && !self.flags.has(Flags::PACE_WAIT)
            && self.options.user_timeout.is_none()
    }

    /// When a lone segment's tail-loss probe is due: what `Recovery::next_alarm` says of it.
    pub(super) fn lone_alarm_at(&self) -> Instant {
        if !self.flags.has(Flags::SACK) {
            return Instant::NEVER;
        }
        let patience = tail_probe::patience(self.rtt.smoothed_nanos(), true);
        // RFC 8985 section 7.2: no later than the retransmission timer, in whose place the probe then goes.
        self.last_sent.after_nanos(patience).min(self.deadlines.retransmit)
    }

    /// All of a lone segment is acknowledged.
    #[inline(never)]
    pub(super) fn on_lone_ack_apart(&mut self, env: &mut Env<'_>, ack: SeqNum) {
        self.on_lone_ack(env, ack);
    }

    /// The same where it is called.
    #[inline(always)]
    pub(super) fn on_lone_ack(&mut self, env: &mut Env<'_>, ack: SeqNum) {
        self.measure_lone_ack(env.now, ack);
        self.on_new_ack(env, ack);
    }

    /// What `Recovery::on_feedback_in_order` comes to for a lone segment that is acknowledged. Returns whether the congestion
    /// window may have changed.
    #[inline(always)]
    pub(super) fn measure_lone_ack(&mut self, now: Instant, ack: SeqNum) -> bool {
        self.flags.clear(Flags::LONE);
        let (sent_at, flight) = (self.last_sent, self.flight());
        let nanos = now.as_nanos().saturating_sub(sent_at.as_nanos());
        // The next one waits already: the turn is not over.
        let waits = self.send.len() > flight as usize;
        if waits && self.flags.has(Flags::TURNS) {
            cold_path();
            self.tell_turns();
        }
        if let Some(recovery) = &mut self.recovery {
            if self.flags.has(Flags::TURNS) {
                recovery.on_turn(now, sent_at, flight, nanos);
            } else if !recovery.on_lone_arrival(now, sent_at, ack, flight) {
                cold_path();
                self.flags.clear(Flags::CALM);
            }
        }
        let counts = !self.congestion.has_room_for(flight);
        if counts {
            cold_path();
            let (mss, srtt) = (self.segment_size(), self.rtt.smoothed().unwrap_or_default());
            let rtt = Some(now.since(sent_at));
            self.congestion.on_ack(&Ack { now, acked: flight, flight, mss, rtt, srtt, una: ack, nxt: ack });
        }
        self.rtt.sample_nanos(nanos);
        counts
    }
}
