//! What to send, and sending it (RFC 9293 section 3.10.2 and 3.8.6.2; RFC 1122 section 4.2.3.4 for Nagle and the
//! sender's silly-window avoidance).
//!
//! [`Connection::plan`] decides without changing anything; the segment goes down; [`Connection::on_sent`] takes note. So
//! what a full device refused is still owed.

use device::Device;
use wire::tcp::{MAX_HEADER_LEN, SeqNum, TcpFlags, TcpHeader, TcpOptions, USER_TIMEOUT_LEN};

use crate::config::TcpConfig;
use crate::discard::Discard;
use crate::link::InterfaceId;
use crate::link::template::Plainly;
use crate::network::{Network, Segment, Transmitted, Unroutable};
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::error::TcpError;
use crate::tcp::handshake::SynFields;
use crate::tcp::pacing;
use crate::tcp::path_search::ProbePlan;
use crate::tcp::phase::Phase;
use crate::tcp::{ConnectionId, Context, Tcp, mss_of};
use crate::time::Instant;
use crate::timers::Wheel;

/// What kind of segment is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// SYN or SYN-ACK.
    Syn,
    /// Text from SND.NXT on, perhaps with the FIN.
    Text,
    /// What was lost, once more.
    Again,
    /// A tail-loss probe.
    TailProbe,
    /// A window probe.
    Probe,
    /// Text from SND.NXT on, in a segment larger than the path is known to carry.
    PathProbe,
    /// A keep-alive probe.
    KeepAlive,
    /// An acknowledgement and nothing else.
    Ack,
}

/// What may be owed beside the stream.
pub(super) const OWED: Flags = Flags::SYN_DUE.and(Flags::ACK_NOW).and(Flags::KEEP_ALIVE_DUE);

/// What of the stream waits to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    /// Nothing.
    Silent,
    /// The FIN, behind text that has all been sent: it needs no window.
    Fin,
    /// So much text, and no rule holds it back.
    Free(u32),
    /// Something that only a plan can judge, and may find to have to wait.
    Unclear,
}

/// The next segment, or train of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub kind: Kind,
    pub seq: SeqNum,
    /// Payload bytes.
    pub len: u32,
    pub fin: bool,
}

impl Plan {
    /// One past the last sequence number that it takes.
    pub(super) fn end(&self) -> SeqNum {
        self.seq + self.len + u32::from(self.fin)
    }
}

impl Connection {
    /// The next thing to send, if there is any.
    fn plan(&self) -> Option<Plan> {
        match self.stream() {
            Stream::Silent => self.plan_beside_stream(),
            Stream::Fin => Some(Plan { kind: Kind::Text, seq: self.snd.nxt, len: 0, fin: true }),
            Stream::Free(len) => {
                let fin = self.flags.has(Flags::FINISHED);
                Some(Plan { kind: Kind::Text, seq: self.snd.nxt, len, fin })
            }
            Stream::Unclear => self.plan_stream().or_else(|| self.plan_beside_stream()),
        }
    }

    /// The next thing to send that is no part of the stream.
    fn plan_beside_stream(&self) -> Option<Plan> {
        if self.flags.has(Flags::SYN_DUE) {
            return Some(Plan { kind: Kind::Syn, seq: self.snd.una, len: self.syn_text(), fin: false });
        }
        if !self.phase.is_synchronized() {
            return if self.answers_in_handshake() { self.plan_ack() } else { None };
        }
        if self.flags.has(Flags::KEEP_ALIVE_DUE) {
            // RFC 1122 section 4.2.3.6: at SND.NXT-1, without text, which any peer must answer.
            return Some(Plan { kind: Kind::KeepAlive, seq: self.snd.nxt - 1, len: 0, fin: false });
        }
        self.plan_ack()
    }

    /// RFC 9293 section 3.10.7.4, first step: in SYN-RECEIVED, too, an unacceptable segment gets an ACK.
    fn answers_in_handshake(&self) -> bool {
        self.phase == Phase::SynReceived && !self.flags.has(Flags::HELD)
    }

    /// An acknowledgement, if one is owed.
    fn plan_ack(&self) -> Option<Plan> {
        let owed = self.flags.has(Flags::ACK_NOW) || self.duplicate_acks_owed > 0;
        owed.then_some(Plan { kind: Kind::Ack, seq: self.ack_seq(), len: 0, fin: false })
    }

    /// The sequence number of an acknowledgement alone: SND.NXT as the peer may know it, but inside the window that it
    /// offers. A probe, and what was sent before it took its window back, lie beyond.
    fn ack_seq(&self) -> SeqNum {
        let edge = self.snd.una + self.snd.wnd;
        // RFC 9293 section 3.8.6.1: the FIN needs no window, and what follows a FIN lies after it.
        if self.snd.nxt.after(edge) && !self.flags.has(Flags::FIN_SENT) && self.phase.is_synchronized() {
            edge
        } else {
            self.snd.nxt
        }
    }

    /// The next part of the stream: what was lost, what is new, or a probe.
    fn plan_stream(&self) -> Option<Plan> {
        let (lost, prefers_new, tail_probe) = match &self.recovery {
            Some(recovery) => (recovery.lost() > 0, recovery.prefers_new(), recovery.probe_due),
            None => (false, false, false),
        };
        let again = || if lost { self.plan_again() } else { None };
        let plan = if prefers_new { self.plan_text().or_else(again) } else { again().or_else(|| self.plan_text()) };
        plan.or_else(|| if tail_probe { self.plan_tail_probe() } else { None })
            .or_else(|| if self.flags.has(Flags::PROBE_DUE) { self.plan_window_probe() } else { None })
    }

    /// What is believed lost, as far as the windows allow.
    fn plan_again(&self) -> Option<Plan> {
        if self.flags.has(Flags::PACE_WAIT) {
            return None;
        }
        let (start, end) = self.recovery.as_ref()?.next_lost()?;
        let mss = self.segment_size();
        let text_end = self.fin().map_or(end, |fin| if end.after(fin) { fin } else { end });
        let wanted = text_end - start;
        // RFC 6675 section 5, step C: while cwnd - pipe is at least a segment.
        let room = self.congestion.window().saturating_sub(self.pipe());
        if room < mss.min(wanted) {
            return None;
        }
        let offered = (self.snd.una + self.snd.wnd) - start;
        let offered = if offered > 1 << 30 { 0 } else { offered };
        let mut len = wanted.min(offered).min(self.longest_train());
        if len > room {
            len = (room - room % mss).max(mss.min(len));
        }
        let fin = self.fin() == Some(start + len) && end.after(start + len);
        if len < mss && start + len == self.snd.nxt && !self.flags.has(Flags::FIN_SENT) {
            // What was lost at the end of the flight takes what waits behind it along.
            let longer = (len + self.unsent()).min(mss).min(offered);
            if longer == mss || !self.is_corked() {
                len = longer;
            }
        }
        (len > 0 || fin).then_some(Plan { kind: Kind::Again, seq: start, len, fin })
    }

    /// Bytes that the application has written and that were never sent.
    pub(crate) fn unsent(&self) -> u32 {
        let offset = self.send_offset(self.snd.nxt);
        u32::try_from(self.send.len().saturating_sub(offset)).unwrap_or(u32::MAX)
    }

    /// The same as far as was seen when last looked.
    #[inline]
    pub(crate) fn seen_unsent(&self) -> u32 {
        let offset = self.send_offset(self.snd.nxt);
        u32::try_from(self.send.seen_len().saturating_sub(offset)).unwrap_or(u32::MAX)
    }

    /// RFC 8985 section 7.3: a new segment if there is one, else the last one in flight once more, whatever cwnd says.
    fn plan_tail_probe(&self) -> Option<Plan> {
        let mss = self.segment_size();
        let offered = self.snd.wnd.saturating_sub(self.snd.nxt - self.snd.una);
        let new = if self.flags.has(Flags::FIN_SENT) { 0 } else { self.unsent().min(mss).min(offered) };
        if new > 0 && !(new < mss && self.is_corked()) {
            return Some(Plan { kind: Kind::TailProbe, seq: self.snd.nxt, len: new, fin: false });
        }
        let (start, end) = self.recovery.as_ref()?.tail()?;
        let fin = self.fin().is_some_and(|fin| end.after(fin));
        let text_end = if fin { end - 1 } else { end };
        let len = (text_end - start).min(mss);
        Some(Plan { kind: Kind::TailProbe, seq: text_end - len, len, fin })
    }

    /// Text from SND.NXT on, as far as the windows and the rules against small segments allow.
    fn plan_text(&self) -> Option<Plan> {
        if self.flags.has(Flags::FIN_SENT) {
            return None;
        }
        let left = self.unsent();
        let finished = self.flags.has(Flags::FINISHED);
        if left == 0 {
            // RFC 9293 section 3.10.4: the FIN follows the last byte; it needs no window.
            return finished.then_some(Plan { kind: Kind::Text, seq: self.snd.nxt, len: 0, fin: true });
        }
        if self.flags.has(Flags::PACE_WAIT) {
            return None;
        }
        if self.aside.path().is_some()
            && let Some(probe) = self.plan_path_probe()
        {
            return match probe {
                ProbePlan::Send(len) => Some(Plan { kind: Kind::PathProbe, seq: self.snd.nxt, len, fin: false }),
                ProbePlan::Wait => None,
            };
        }
        let mss = self.segment_size();
        let len = left.min(self.sendable()).min(self.longest_train());
        let len = if len < mss {
            self.worth_sending(len, left, finished).then_some(len)?
        } else {
            let rest = len % mss;
            // A train's short tail goes along only where it could go alone.
            let tail_allowed = len == left && self.worth_sending(rest, rest, finished);
            if rest > 0 && !tail_allowed { len - rest } else { len }
        };
        let fin = finished && len == left;
        (len > 0).then_some(Plan { kind: Kind::Text, seq: self.snd.nxt, len, fin })
    }

    /// Bytes that the peer's window and the congestion window let go now.
    pub(crate) fn sendable(&self) -> u32 {
        let offered = self.snd.wnd.saturating_sub(self.snd.nxt - self.snd.una);
        offered.min(self.congestion.window().saturating_sub(self.pipe()))
    }

    /// Bytes of new text that the peer's window takes and no pace holds back: the congestion window alone says how many of them
    /// go.
    pub(crate) fn held_by_window(&self) -> u32 {
        if self.flags.has(Flags::PACE_WAIT.and(Flags::FIN_SENT)) {
            return 0;
        }
        self.seen_unsent().min(self.snd.wnd.saturating_sub(self.snd.nxt - self.snd.una))
    }

    /// RFC 1122 section 4.2.3.4: whether a segment of `len` bytes, less than a full one, of `left` that wait may go.
    fn worth_sending(&self, len: u32, left: u32, finished: bool) -> bool {
        if len == 0 {
            return false;
        }
        if len < left {
            // The window is too small for a full segment: only for at least half of the largest window seen.
            return len >= self.snd.max_wnd / 2;
        }
        // Everything that waits: not if the application has said that there is more to come.
        if self.is_corked() {
            return false;
        }
        // Nagle's rule, in Minshall's form: not while a small segment is unacknowledged.
        let small_outstanding = self.flags.has(Flags::SMALL_SENT) && self.snd.small.after(self.snd.una);
        self.options.no_delay || finished || !small_outstanding || self.has_unsent_urgent_text()
    }

    /// RFC 9293 section 3.8.6.1: one byte beyond the window; more if the window holds some and only the rule against
    /// small segments held it back. Where something was sent before, its first byte.
    fn plan_window_probe(&self) -> Option<Plan> {
        let outstanding = self.flight() - u32::from(self.flags.has(Flags::FIN_SENT));
        let left = if outstanding > 0 { outstanding } else { self.unsent() };
        let len = self.snd.wnd.max(1).min(left).min(self.segment_size());
        (left > 0).then_some(Plan { kind: Kind::Probe, seq: self.snd.una, len, fin: false })
    }

    /// What waits of the stream, as far as it can be told without a plan.
    #[inline(always)]
    fn stream(&self) -> Stream {
        if !self.phase.sends() || self.flags.has(Flags::SYN_DUE) {
            return Stream::Silent;
        }
        let left = if self.flags.has(Flags::FIN_SENT) { 0 } else { self.unsent() };
        if left > 0 {
            return if self.is_free(left) { Stream::Free(left) } else { Stream::Unclear };
        }
        if self.flags.has(Flags::PROBE_DUE) || self.recovery.as_ref().is_some_and(|r| r.probe_due || r.lost() > 0) {
            return Stream::Unclear;
        }
        // RFC 9293 section 3.10.4: the FIN follows the last byte.
        let fin = self.flags.has(Flags::FINISHED) && !self.flags.has(Flags::FIN_SENT);
        if fin { Stream::Fin } else { Stream::Silent }
    }

    /// Whether `left` bytes that wait go at once: nothing is in flight and all of them fit the windows and one train. No rule
    /// holds them back then, and none has to be asked. The usual case of a request or a response.
    #[inline]
    fn is_free(&self, left: u32) -> bool {
        const UNUSUAL: Flags = Flags::PACED.and(Flags::SAYS_MORE).and(Flags::FIN_SENT).and(Flags::CORKED);
        if self.flight() != 0 || self.flags.has(UNUSUAL) {
            return false;
        }
        // Of nothing in flight, something may be lost still.
        let pipe = if self.flags.has(Flags::CALM) { 0 } else { self.pipe() };
        let sendable = self.snd.wnd.min(self.congestion.window().saturating_sub(pipe));
        left <= pacing::LONGEST_TRAIN && left <= sendable
    }

    /// Whether the stream goes on, and nothing else has to be seen to.
    #[inline]
    pub(crate) fn may_say_more(&self) -> bool {
        self.phase == Phase::Established && !self.send.is_producer_finished() && !self.is_corrupt()
    }

    /// Whether it does with text that no rule holds back.
    pub(crate) fn has_free_text(&self) -> bool {
        matches!(self.stream(), Stream::Free(_))
    }

    /// Whether the stream has just been finished while nothing of it is in flight: its end will be planned, as any text is that
    /// goes before it.
    #[inline]
    pub(crate) fn may_finish_at_once(&self) -> bool {
        self.send.is_producer_finished() && self.may_end_at_once()
    }

    /// The same where the application lets go, and so has finished.
    #[inline]
    pub(crate) fn may_end_at_once(&self) -> bool {
        matches!(self.phase, Phase::Established | Phase::CloseWait)
            && !self.flags.has(Flags::FINISHED)
            && self.flight() == 0
            && (self.flags.has(Flags::CALM) || self.recovery.is_none())
            && !self.is_corrupt()
    }

    /// Nothing is in flight and the peer's window is open: what has been written will find out by itself, when it is planned,
    /// whether it may go.
    #[inline]
    pub(crate) fn is_at_leisure(&self) -> bool {
        self.flags.has(Flags::CALM) && self.flight() == 0 && self.snd.wnd > 0
    }

    /// Whether anything is to be sent that is no part of the stream: whether [`plan_beside_stream`](Self::plan_beside_stream)
    /// would find something.
    #[inline]
    fn sends_beside_stream(&self) -> bool {
        let owes = self.flags.has(OWED) || self.duplicate_acks_owed != 0;
        owes && (self.phase.is_synchronized() || self.flags.has(Flags::SYN_DUE) || self.plan_beside_stream().is_some())
    }

    /// What is to be sent next has nowhere to go: it is as good as lost on the way, and its timers and counts say for how long
    /// that is borne (RFC 9293 section 3.8.3).
    pub(crate) fn lose_next_segment(&mut self, now: Instant, config: &TcpConfig) {
        match self.plan() {
            Some(plan) if plan.kind != Kind::Ack => self.on_sent(now, plan, self.rcv.edge, config),
            // They say nothing that the next segment does not say too.
            _ => self.forget_acks(),
        }
    }

    /// Gives up the acknowledgements that are owed.
    pub(crate) fn forget_acks(&mut self) {
        self.flags.clear(Flags::ACK_NOW);
        self.duplicate_acks_owed = 0;
    }

    /// Puts the timers right after something has changed. Returns whether there is something to send.
    #[inline]
    pub(crate) fn prepare(&mut self, now: Instant, index: u32, config: &TcpConfig, wheel: &mut Wheel<u32>) -> bool {
        const BUSY: Flags = Flags::FINISHED.and(Flags::PROBE_DUE).and(OWED);
        let calm = self.flags.has(Flags::CALM) || (self.recovery.is_none() && self.flight() == 0);
        if calm && !self.flags.has(BUSY) && self.duplicate_acks_owed == 0 && self.unsent() == 0 {
            // Everything that was written has been sent, at most a lone segment is under way: nothing has to be decided.
            self.arm(index, wheel);
            if self.flight() == 0 {
                self.note_idle(now);
            } else {
                self.note_all_sent(now);
            }
            return false;
        }
        self.prepare_anew(now, index, config, wheel)
    }

    /// [`prepare`](Self::prepare) for a connection of which nothing is known.
    #[inline(never)]
    pub(super) fn prepare_anew(
        &mut self,
        now: Instant,
        index: u32,
        config: &TcpConfig,
        wheel: &mut Wheel<u32>,
    ) -> bool {
        let sends = match self.stream() {
            Stream::Fin | Stream::Free(_) => true,
            Stream::Silent => self.sends_beside_stream(),
            Stream::Unclear => self.prepare_to_send(now, config),
        };
        self.arm(index, wheel);
        if !sends || (self.flight() == 0 && self.send.seen_len() == 0) {
            // Also where an acknowledgement is all there is to send.
            self.note_waiting(now);
        }
        sends
    }

    /// [`prepare`](Self::prepare) after something was sent.
    #[inline]
    fn after_output(&mut self, now: Instant, index: u32, config: &TcpConfig, wheel: &mut Wheel<u32>) -> bool {
        if self.phase == Phase::TimeWait {
            // It has no timers, and has said the last that it had to say.
            return false;
        }
        if !self.says_no_more() {
            return self.prepare(now, index, config, wheel);
        }
        self.arm(index, wheel);
        if self.flight() == 0 || self.flags.has(Flags::FIN_SENT) {
            self.note_waiting(now);
        } else {
            self.note_all_sent(now);
        }
        false
    }

    /// The part of [`prepare`](Self::prepare) for a connection whose stream may have to wait: where it does, and nothing on
    /// the way could bring it a window, the timer that will probe for one is set.
    fn prepare_to_send(&mut self, now: Instant, config: &TcpConfig) -> bool {
        if self.plan_stream().is_some() {
            return true;
        }
        if self.is_stuck() {
            self.persist(now, config);
        }
        self.plan_beside_stream().is_some()
    }

    /// Nothing of the stream may go: whether nothing on the way could bring a window for it either.
    fn is_stuck(&self) -> bool {
        self.deadlines.retransmit.is_never()
            && (self.lost() > 0 || (!self.flags.has(Flags::FIN_SENT) && self.unsent() > 0))
            && self.pipe() == 0
            && !self.flags.has(Flags::PACE_WAIT)
    }

    /// Hands `plan` down, and takes note of what went out of it.
    fn send_segment(
        &mut self,
        now: Instant,
        net: &mut Network,
        device: &mut dyn Device,
        plan: Plan,
        config: &TcpConfig,
    ) -> Transmitted {
        let more = self.flags.has(Flags::SAYS_MORE);
        let (plan, user_timeout) = if more { self.tell_user_timeout(plan) } else { (plan, None) };
        let mut flags = TcpFlags::ACK;
        let mut options = TcpOptions::NONE;
        let (mut window, mut edge) = self.offer_window();
        if plan.kind == Kind::Syn {
            SynFields { flags, window, options } = self.syn_fields(now, net, config);
            edge = self.rcv.nxt + u32::from(window);
        } else {
            options.timestamps = self.timestamps.is_agreed().then(|| self.timestamps.option(now));
            if plan.kind == Kind::Ack && self.flags.has(Flags::SACK) {
                let user_timeout_len = if user_timeout.is_some() { USER_TIMEOUT_LEN as u32 } else { 0 };
                options.sack = self.sack_blocks(self.segment_size() - user_timeout_len);
            }
            options.user_timeout = user_timeout;
        }
        if plan.fin {
            flags |= TcpFlags::FIN;
        }
        let offset = self.send_offset(plan.seq);
        if plan.len > 0 && plan.kind != Kind::Syn && offset + plan.len as usize == self.send.len() {
            // RFC 9293 section 3.9.1.2: the end of what was written.
            flags |= TcpFlags::PSH;
        }
        // Text that was never sent before, all of it.
        let new = plan.len > 0 && plan.kind != Kind::Syn && plan.seq == self.snd.nxt;
        if self.flags.has(Flags::ECN) && plan.kind != Kind::Syn {
            if self.flags.has(Flags::ECN_ECHO) {
                flags |= TcpFlags::ECE;
            }
            if new && self.owes_cwr() {
                flags |= TcpFlags::CWR;
            }
        }
        let urgent = self.urgent_pointer(plan.seq);
        if urgent > 0 {
            flags |= TcpFlags::URG;
        }
        let is_first_syn = plan.kind == Kind::Syn && self.phase == Phase::SynSent;
        let header = TcpHeader {
            src_port: self.flow.local_port,
            dst_port: self.flow.remote_port,
            seq: plan.seq,
            ack: if is_first_syn { SeqNum(0) } else { self.rcv.nxt },
            flags,
            window,
            urgent,
            options,
        };
        let mut bytes = [0; MAX_HEADER_LEN];
        let mut header_len = header.emit(&mut bytes);
        if is_first_syn {
            header_len = self.append_fast_open(&mut bytes, header_len);
        }
        let spans = self.send.spans(offset, plan.len as usize);
        let size = self.segment_size();
        let segment = Segment {
            interface: self.interface,
            source: self.flow.local,
            destination: self.flow.remote,
            hop_limit: self.options.hop_limit,
            tos: self.tos(new && plan.kind != Kind::Probe),
            header: &bytes[..header_len],
            payload: spans.as_slice(),
            payload_len: spans.len(),
            segment_size: (spans.len() as u32 > size && plan.kind != Kind::PathProbe).then_some(size as u16),
        };
        let cut = spans.len() < plan.len as usize;
        let len = spans.len() as u32;
        let transmitted = net.transmit_segment(now, device, &segment);
        let sent = match transmitted {
            Transmitted::Sent => len,
            Transmitted::Partly(bytes) => bytes as u32,
            Transmitted::DeviceFull | Transmitted::Resolving(_) | Transmitted::Unreachable | Transmitted::TooBig(_) => {
                return transmitted;
            }
        };
        let fin = plan.fin && !cut && sent == plan.len;
        if flags.contains(TcpFlags::CWR) && plan.kind != Kind::Syn {
            self.on_cwr_sent();
        }
        let sent = Plan { len: sent, fin, ..plan };
        if user_timeout.is_some() {
            self.on_sent_with_user_timeout(now, sent, edge, config);
        } else {
            self.on_sent(now, sent, edge, config);
        }
        transmitted
    }
}

impl Tcp {
    /// Sends what connections on `interface` have to send, a train each in turn; false when the device became full before
    /// the end.
    pub(crate) fn transmit(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        interface: InterfaceId,
        device: &mut dyn Device,
    ) -> bool {
        if self.syn_queue.has_due(interface) && !self.transmit_syn_acks(now, context, interface, device) {
            return false;
        }
        while let Some(index) = self.ready.pop(interface) {
            match self.transmit_message_of_many(now, context.net, interface, device, index) {
                Plainly::Sent => continue,
                Plainly::DeviceFull => {
                    self.ready.push_front(interface, index);
                    return false;
                }
                Plainly::NotSo => {}
            }
            if !self.transmit_planned(now, context, interface, device, index) {
                return false;
            }
        }
        true
    }

    /// Sends what the first connection on `interface` has to send, which is no message, as [`transmit`](Self::transmit) would
    /// find out once more.
    #[inline]
    pub(crate) fn transmit_first(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        interface: InterfaceId,
        device: &mut dyn Device,
    ) -> bool {
        match self.ready.pop(interface) {
            Some(index) => self.transmit_planned(now, context, interface, device, index),
            None => true,
        }
    }

    /// [`transmit_message`](Self::transmit_message) where others wait, too: apart, so that it takes no registers from them.
    #[inline(never)]
    fn transmit_message_of_many(
        &mut self,
        now: Instant,
        net: &mut Network,
        interface: InterfaceId,
        device: &mut dyn Device,
        index: u32,
    ) -> Plainly {
        self.transmit_message(now, net, interface, device, index)
    }

    /// Sends what the connection in slot `index`, which was taken out of the queue, has to send next; false when the device is
    /// full.
    #[inline(never)]
    fn transmit_planned(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        interface: InterfaceId,
        device: &mut dyn Device,
        index: u32,
    ) -> bool {
        let Some((id, connection)) = self.connections.named_at(index) else { return true };
        if connection.has_a_last_word() {
            return self.transmit_last_word(now, context.net, interface, device, id);
        }
        connection.flags.clear(Flags::QUEUED);
        if connection.interface != interface || connection.flags.has(Flags::RESOLVING) {
            return true;
        }
        let Some(plan) = connection.plan() else {
            if connection.phase != Phase::TimeWait {
                // Nothing, but timers may be in want of it.
                connection.prepare(now, index, &self.config, &mut self.wheel);
            }
            return true;
        };
        let transmitted = match connection.send_plain(now, context.net, device, plan, &self.config) {
            Plainly::Sent if !connection.send.is_poisoned() => {
                // The usual case.
                if connection.after_output(now, index, &self.config, &mut self.wheel) {
                    self.ready.enter(connection, index);
                }
                return true;
            }
            Plainly::Sent => Transmitted::Sent,
            Plainly::DeviceFull => Transmitted::DeviceFull,
            Plainly::NotSo => connection.send_segment(now, context.net, device, plan, &self.config),
        };
        match transmitted {
            Transmitted::Sent if connection.send.is_poisoned() => {
                let id = self.connections.handle_at(index);
                id.into_iter().for_each(|id| self.end(now, context, id, TcpError::Corrupt));
            }
            Transmitted::Sent => self.after_output(now, index),
            Transmitted::Partly(_) => {
                self.after_output(now, index);
                self.enqueue(index);
                return false;
            }
            Transmitted::DeviceFull => {
                connection.flags.set(Flags::QUEUED);
                self.ready.push_front(interface, index);
                return false;
            }
            Transmitted::Resolving(next_hop) => {
                connection.flags.set(Flags::RESOLVING);
                let waiting = self.resolving.entry((interface, next_hop)).or_default();
                if let Some(id) = self.connections.handle_at(index) {
                    waiting.push(id);
                }
                // The search has an end, and says what came of it (`Tcp::resolved`).
                self.after_output(now, index);
            }
            Transmitted::Unreachable => self.on_unreachable(now, context, index, plan),
            Transmitted::TooBig(mtu) => self.on_too_big(now, context.net, index, plan, mtu),
        }
        true
    }

    /// Sends the acknowledgement that is all there is left of a connection, and forgets it; false when the device is full.
    #[cold]
    fn transmit_last_word(
        &mut self,
        now: Instant,
        net: &mut Network,
        interface: InterfaceId,
        device: &mut dyn Device,
        id: ConnectionId,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return true };
        let goes_here = connection.interface == interface && !connection.flags.has(Flags::RESOLVING);
        let became = match connection.plan().filter(|_| goes_here) {
            Some(plan) => connection.send_segment(now, net, device, plan, &self.config),
            None => Transmitted::Unreachable,
        };
        match became {
            Transmitted::DeviceFull => {
                self.ready.push_front(interface, id.index());
                return false;
            }
            Transmitted::Sent | Transmitted::Partly(_) => {}
            Transmitted::TooBig(_) => net.discard(Discard::TooBig),
            // It goes by whatever way there is, once that is known, and needs the connection no more.
            Transmitted::Resolving(_) | Transmitted::Unreachable => connection.acknowledge_end(now, net),
        }
        self.connections.discard(id);
        true
    }

    /// Puts a connection that has sent something in order again: its place in the queue, its timers.
    fn after_output(&mut self, now: Instant, index: u32) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        if connection.after_output(now, index, &self.config, &mut self.wheel) {
            self.ready.enter(connection, index);
        }
    }

    /// Our own route takes less than it did, or leads over another link that does: text is cut anew for it. What is in flight
    /// already fitted when it left.
    fn on_too_big(&mut self, now: Instant, net: &mut Network, index: u32, plan: Plan, mtu: u32) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        let mss = mss_of(mtu, connection.flow.remote);
        if mss < connection.mss {
            connection.path_is_told(now, mss);
            self.enqueue(index);
            return;
        }
        // A probe for more than that, or options for which there is no room: as good as lost on the way.
        net.discard(Discard::TooBig);
        connection.on_sent(now, plan, connection.rcv.edge, &self.config);
        self.after_output(now, index);
    }

    /// No way leads to the peer at the moment.
    fn on_unreachable(&mut self, now: Instant, context: &mut Context<'_>, index: u32, plan: Plan) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        let before = connection.phase;
        match context.net.route(connection.flow.remote, Some(connection.flow.local)) {
            Ok(path) if path.interface != connection.interface => {
                // The route leads elsewhere now.
                connection.interface = path.interface;
            }
            Ok(_) if before == Phase::SynSent => connection.fail(TcpError::HostUnreachable),
            Err(Unroutable::BadSource) => connection.fail(TcpError::AddressRemoved),
            Err(_) if before == Phase::SynSent => connection.fail(TcpError::NetworkUnreachable),
            // As good as lost on the way: the retransmission timer sees to it.
            _ => connection.on_sent(now, plan, connection.rcv.edge, &self.config),
        }
        self.settle(now, context, index, before);
    }

    /// The queue of connections on its interface that have something to send.
    pub(crate) fn enqueue(&mut self, index: u32) {
        if let Some(connection) = self.connections.at_mut(index) {
            self.ready.enter(connection, index);
        }
    }
}
