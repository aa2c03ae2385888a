//! What an acknowledgement does (RFC 9293 section 3.10.7.4, fifth step): frees what arrived, moves the window, and
//! tells recovery and congestion control.

use core::hint::cold_path;

use wire::tcp::{SackBlocks, SeqNum, TcpFlags, Timestamps as TimestampsOption};

use crate::Discard;
use crate::event::Readiness;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::input::{Env, Incoming};
use crate::tcp::phase::Phase;
use crate::tcp::recovery::Feedback;
use crate::time::Instant;

impl Connection {
    /// Whether an ACK is of something that was sent (RFC 9293 section 3.10.7.4), and no older than any window that was ever
    /// offered (RFC 5961 section 5.2). Any other frees nothing and is answered.
    #[inline]
    pub(crate) fn may_be_acknowledged(&self, ack: SeqNum) -> bool {
        let overtaken = ack.before(self.snd.una) && (self.snd.una - ack) > self.snd.max_wnd.max(u32::from(self.mss));
        !overtaken && ack.at_or_before(self.snd.nxt)
    }

    /// The fifth step for a synchronized connection. An error ends the segment's processing.
    pub(crate) fn on_ack(&mut self, env: &mut Env<'_>, segment: &Incoming<'_>) -> Result<(), Discard> {
        let ack = segment.header.ack;
        if !self.may_be_acknowledged(ack) {
            self.acknowledge_if(env.challenge.allow(env.now));
            return Err(Discard::TcpBadAck);
        }
        let window_changed = self.update_window(segment.header.seq, ack, segment.header.window);
        if ack.at_or_after(self.snd.una) && self.flight() > 0 {
            self.on_current_ack(env, segment, window_changed);
        } else if ack.before(self.snd.una) && self.flight() > 0 && !segment.header.options.sack.is_empty() {
            self.on_overtaken_ack(env, segment);
        } else if ack == self.snd.una && self.recovery.is_some() {
            self.on_late_report(env, segment, window_changed);
        }
        Ok(())
    }

    /// An acknowledgement while nothing is outstanding: what it says of duplicates is about what was sent last.
    fn on_late_report(&mut self, env: &Env<'_>, segment: &Incoming<'_>, window_changed: bool) {
        let ack = segment.header.ack;
        self.end_solitude();
        self.flags.clear(Flags::CALM);
        let mut raw = [(SeqNum(0), SeqNum(0)); SackBlocks::MAX];
        let blocks = raw_blocks(&segment.header.options.sack, &mut raw);
        let duplicate = segment.payload.is_empty() && !window_changed;
        let (mss, srtt) = (self.segment_size(), self.rtt.smoothed().unwrap_or_default());
        let feedback = Feedback {
            now: env.now,
            ack,
            una: ack,
            nxt: self.snd.nxt,
            blocks,
            duplicate,
            echo: false,
            may_be_short: false,
            mss,
            srtt,
        };
        if let Some(recovery) = &mut self.recovery {
            recovery.on_late_report(&feedback, &mut self.congestion);
        }
    }

    /// An acknowledgement that a later one has overtaken on its way: what it says of data beyond SND.UNA is news perhaps,
    /// and the rest would only look like a report of duplicates.
    fn on_overtaken_ack(&mut self, env: &mut Env<'_>, segment: &Incoming<'_>) {
        let una = self.snd.una;
        let mut raw = [(SeqNum(0), SeqNum(0)); SackBlocks::MAX];
        let mut known = 0;
        for block in segment.header.options.sack.iter().filter(|(start, _)| start.after(una)) {
            raw[known] = block;
            known += 1;
        }
        let (mss, srtt) = (self.segment_size(), self.rtt.smoothed().unwrap_or_default());
        let (blocks, nxt) = (&raw[..known], self.snd.nxt);
        if known > 0 {
            let feedback = Feedback {
                now: env.now,
                ack: una,
                una,
                nxt,
                blocks,
                duplicate: false,
                echo: false,
                may_be_short: false,
                mss,
                srtt,
            };
            self.take_in_feedback(env, &feedback, None);
        }
    }

    /// RFC 9293 section 3.10.7.4: takes SND.WND from a segment that is not older than the one that set it last.
    #[inline]
    pub(crate) fn update_window(&mut self, seq: SeqNum, ack: SeqNum, window: u16) -> bool {
        let before = self.snd.wnd;
        if !self.take_window(seq, ack, window) {
            return false;
        }
        if self.snd.wnd > 0 {
            self.probes = 0;
            if before == 0 || !self.flags.has(Flags::CORKED) {
                self.end_persisting();
            }
        }
        self.snd.wnd != before
    }

    /// The same where nothing waits for the window. Returns whether the segment was new enough.
    #[inline(always)]
    pub(super) fn take_window(&mut self, seq: SeqNum, ack: SeqNum, window: u16) -> bool {
        let fresher = self.snd.wl1.before(seq) || (self.snd.wl1 == seq && self.snd.wl2.at_or_before(ack));
        if !fresher || ack.before(self.snd.una) {
            cold_path();
            return false;
        }
        self.set_window(seq, ack, window);
        true
    }

    /// The same where it is known that nothing newer has come.
    #[inline(always)]
    pub(super) fn set_window(&mut self, seq: SeqNum, ack: SeqNum, window: u16) {
        let window = u32::from(window) << self.snd.scale;
        self.snd.wnd = window;
        self.snd.max_wnd = self.snd.max_wnd.max(window);
        self.snd.wl1 = seq;
        self.snd.wl2 = ack;
    }

    /// An acknowledgement at or after SND.UNA while something is outstanding.
    fn on_current_ack(&mut self, env: &mut Env<'_>, segment: &Incoming<'_>, window_changed: bool) {
        let ack = segment.header.ack;
        let una = self.snd.una;
        let blocks = &segment.header.options.sack;
        let (mss, srtt) = (self.segment_size(), self.rtt.smoothed().unwrap_or_default());
        // RFC 5681 section 2: data outstanding, no data, no SYN or FIN, the same window. A probe's answer is none.
        let duplicate = ack == una
            && segment.payload.is_empty()
            && !segment.header.flags.intersects(TcpFlags::FIN | TcpFlags::SYN)
            && !window_changed
            && !self.flags.has(Flags::PERSISTING);
        if ack == una && !duplicate && blocks.is_empty() {
            return;
        }
        if ack == una
            && self.snd.wnd == 0
            && !self.flags.has(Flags::ORPHANED)
            && let Some(recovery) = &mut self.recovery
        {
            // RFC 1122 section 4.2.2.17: a peer that answers may keep its window closed for ever, also to a lone FIN.
            recovery.on_refused();
        }
        let echo = self.is_echo(segment);
        let mut raw = [(SeqNum(0), SeqNum(0)); SackBlocks::MAX];
        let blocks = raw_blocks(blocks, &mut raw);
        let may_be_short = env.config.fast_path;
        let (now, nxt) = (env.now, self.snd.nxt);
        let feedback = Feedback { now, ack, una, nxt, blocks, duplicate, echo, may_be_short, mss, srtt };
        self.take_in_feedback(env, &feedback, segment.header.options.timestamps);
    }

    /// An acknowledgement of something new, without blocks, on a connection that has no trouble: the same for the short
    /// way.
    #[inline(never)]
    pub(crate) fn on_untroubled_ack(&mut self, env: &mut Env<'_>, ack: SeqNum, timestamps: Option<TimestampsOption>) {
        self.end_solitude();
        let (mss, srtt) = (self.segment_size(), self.rtt.smoothed().unwrap_or_default());
        let (now, una, nxt) = (env.now, self.snd.una, self.snd.nxt);
        let feedback =
            Feedback { now, ack, una, nxt, blocks: &[], duplicate: false, echo: false, may_be_short: true, mss, srtt };
        let sample = match &mut self.recovery {
            Some(recovery) if recovery.goes_in_order() => {
                recovery.on_feedback_in_order(&feedback, &mut self.congestion)
            }
            _ => return self.take_in_feedback(env, &feedback, timestamps),
        };
        if self.aside.path().is_some() {
            self.judge_path_probe(env.now);
        }
        match sample {
            Some(rtt) => self.rtt.sample(rtt),
            None => self.sample_by_timestamp(env.now, timestamps),
        }
        self.on_new_ack(env, ack);
        if self.flight() == 0 {
            self.set_alarm(Instant::NEVER);
            self.find_calm();
        } else {
            self.watch_tail(env.now);
        }
    }

    fn take_in_feedback(&mut self, env: &mut Env<'_>, feedback: &Feedback<'_>, timestamps: Option<TimestampsOption>) {
        let Feedback { ack, una, nxt, .. } = *feedback;
        let alone = ack == nxt && feedback.blocks.is_empty() && !feedback.echo && feedback.may_be_short;
        if alone && self.flags.has(Flags::LONE) {
            self.on_lone_ack_apart(env, ack);
            return;
        }
        self.end_solitude();
        let waiting = self.held_by_window();
        let sample = match &mut self.recovery {
            Some(recovery) => recovery.on_feedback(feedback, waiting, &mut self.congestion),
            None => None,
        };
        if self.aside.path().is_some() {
            self.judge_path_probe(env.now);
        }
        match sample {
            Some(rtt) => self.rtt.sample(rtt),
            None if ack.after(una) => self.sample_by_timestamp(env.now, timestamps),
            None => {}
        }
        if ack.after(una) {
            self.on_new_ack(env, ack);
        }
        self.watch_tail(env.now);
        if feedback.may_be_short && self.flight() == 0 {
            self.find_calm();
        }
    }

    /// Nothing is in flight any more: whether a segment may go alone.
    fn find_calm(&mut self) {
        if self.recovery.as_ref().is_some_and(|recovery| recovery.is_calm()) {
            self.flags.set(Flags::CALM);
        }
    }

    /// Something new was acknowledged.
    #[inline(always)]
    pub(super) fn on_new_ack(&mut self, env: &mut Env<'_>, ack: SeqNum) {
        let fin_acked = self.fin().is_some_and(|fin| ack.after(fin));
        let freed = ack - self.snd.una - u32::from(fin_acked);
        self.send.consume(freed as usize);
        self.snd.una = ack;
        self.probes = 0;
        self.flags.clear(Flags::PERSISTING.and(Flags::PROBE_DUE));

        if self.flight() == 0 {
            // RFC 6298 section 5.2: nothing is outstanding, the timer is off.
            self.deadlines.retransmit = Instant::NEVER;
            self.unanswered_since = Instant::NEVER;
        } else {
            // RFC 6298 section 5.3: something new was acknowledged, the timer starts again.
            self.deadlines.retransmit = self.rtt.rto_at(env.now, env.config.rto_min, env.config.rto_max);
            self.unanswered_since = env.now;
        }
        if self.aside.path().is_some() {
            self.on_path_ack(env.now, ack);
        }
        if freed > 0 {
            self.resize_send_buffer(env.budget);
            self.tell(Readiness::WRITABLE);
        }
        if fin_acked {
            self.flags.clear(Flags::FIN_SENT);
            self.phase = self.phase.on_fin_acknowledged();
            if self.phase == Phase::FinWait2 {
                self.start_fin_wait_2(env.now, env.config);
            }
        }
        if self.flight() == 0 && self.send.is_empty() {
            self.tell(Readiness::DRAINED);
        }
    }

    /// RFC 7323 section 4: the echoed timestamp is not ambiguous when something was sent twice.
    fn sample_by_timestamp(&mut self, now: Instant, timestamps: Option<TimestampsOption>) {
        if let Some(option) = timestamps
            && self.timestamps.is_agreed()
            && let Some(elapsed) = self.timestamps.elapsed(now, option.echo)
        {
            self.rtt.sample(elapsed);
        }
    }
}

/// The blocks of an option, laid out in `room`.
fn raw_blocks<'a>(blocks: &SackBlocks, room: &'a mut [(SeqNum, SeqNum); SackBlocks::MAX]) -> &'a [(SeqNum, SeqNum)] {
    for (place, block) in room.iter_mut().zip(blocks.iter()) {
        *place = block;
    }
    &room[..blocks.len()]
}
