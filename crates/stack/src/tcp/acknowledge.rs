//! What an acknowledgement does (RFC 9293 section 3.10.7.4, fifth step): frees what arrived, moves the window, and
//! tells recovery and congestion control.

use wire::tcp::{SeqNum, TcpFlags};

use crate::Discard;
use crate::event::Readiness;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::input::{Env, Incoming};
use crate::tcp::phase::Phase;
use crate::time::Instant;

impl Connection {
    /// The fifth step for a synchronized connection. An error ends the segment's processing.
    pub(crate) fn on_ack(&mut self, env: &mut Env<'_>, segment: &Incoming<'_>) -> Result<(), Discard> {
        let ack = segment.header.ack;
        if ack.after(self.snd.max) {
            // RFC 9293 section 3.10.7.4: an ACK of something not yet sent is answered and frees nothing.
            self.acknowledge_if(env.challenge.allow(env.now));
            return Err(Discard::TcpBadAck);
        }
        if ack.before(self.snd.una) && (self.snd.una - ack) > self.snd.max_wnd.max(u32::from(self.mss)) {
            // RFC 5961 section 5.2: older than any window ever offered.
            self.acknowledge_if(env.challenge.allow(env.now));
            return Err(Discard::TcpBadAck);
        }

        let window_changed = self.update_window(segment);
        if ack.after(self.snd.una) {
            self.on_new_ack(env, segment, ack);
        } else if ack == self.snd.una {
            self.on_old_ack(segment, window_changed);
        }
        Ok(())
    }

    /// RFC 9293 section 3.10.7.4: takes SND.WND from a segment that is not older than the one that set it last.
    fn update_window(&mut self, segment: &Incoming<'_>) -> bool {
        let seq = segment.header.seq;
        let ack = segment.header.ack;
        let fresher = self.snd.wl1.before(seq) || (self.snd.wl1 == seq && self.snd.wl2.at_or_before(ack));
        if !fresher || ack.before(self.snd.una) {
            return false;
        }
        let window = u32::from(segment.header.window) << self.snd.scale;
        let changed = window != self.snd.wnd;
        self.snd.wnd = window;
        self.snd.max_wnd = self.snd.max_wnd.max(window);
        self.snd.wl1 = seq;
        self.snd.wl2 = ack;
        if window > 0 {
            self.probes = 0;
            if self.flags.take(Flags::PERSISTING) {
                self.deadlines.retransmit = Instant::NEVER;
                self.flags.clear(Flags::PROBE_DUE);
            }
        }
        changed
    }

    /// An acknowledgement of nothing new.
    fn on_old_ack(&mut self, segment: &Incoming<'_>, window_changed: bool) {
        if self.snd.wnd == 0 && !self.flags.has(Flags::ORPHANED) {
            // RFC 1122 section 4.2.2.17: a peer that answers may keep its window closed for ever, also to a lone FIN.
            self.recovery.on_refused();
        }
        // RFC 5681 section 2: data outstanding, no data, no SYN or FIN, the same window. A probe's answer is none.
        let duplicate = self.flight() > 0
            && segment.payload.is_empty()
            && !segment.header.flags.contains(TcpFlags::FIN)
            && !segment.header.flags.contains(TcpFlags::SYN)
            && !window_changed
            && !self.flags.has(Flags::PERSISTING);
        if !duplicate {
            return;
        }
        let (una, max, flight, mss) = (self.snd.una, self.snd.max, self.flight(), self.segment_size());
        self.recovery.on_duplicate_ack(una, max, flight, mss, &mut self.congestion);
    }

    /// An acknowledgement of something new.
    fn on_new_ack(&mut self, env: &mut Env<'_>, segment: &Incoming<'_>, ack: SeqNum) {
        let before = self.flight();
        let fin_acked = self.snd.fin.is_some_and(|fin| ack.after(fin));
        let acked = ack - self.snd.una;
        let freed = acked - u32::from(fin_acked);

        self.sample_round_trip(env.now, segment, ack);
        self.send.consume(freed as usize);
        self.snd.una = ack;
        if self.snd.nxt.before(ack) {
            self.snd.nxt = ack;
        }
        self.probes = 0;
        self.flags.clear(Flags::PERSISTING);
        self.flags.clear(Flags::PROBE_DUE);

        let (flight, mss) = (self.flight(), self.segment_size());
        self.recovery.on_new_ack(ack, acked, before, flight, mss, &mut self.congestion);

        if flight == 0 {
            // RFC 6298 section 5.2: nothing is outstanding, the timer is off.
            self.deadlines.retransmit = Instant::NEVER;
            self.unanswered_since = Instant::NEVER;
        } else {
            // RFC 6298 section 5.3: something new was acknowledged, the timer starts again.
            self.deadlines.retransmit = env.now + self.rtt.rto(env.config.rto_min, env.config.rto_max);
            self.unanswered_since = env.now;
        }
        if freed > 0 {
            self.tell(Readiness::WRITABLE);
        }
        if fin_acked {
            self.snd.fin = None;
            self.phase = self.phase.on_fin_acknowledged();
            if self.phase == Phase::FinWait2 {
                self.start_fin_wait_2(env.now, env.config);
            }
        }
        if flight == 0 && self.send.is_empty() {
            self.tell(Readiness::DRAINED);
        }
    }

    /// RFC 6298 section 3 and RFC 7323 section 4: the timed segment if it came back, else the echoed timestamp, which
    /// is not ambiguous when something was sent twice.
    fn sample_round_trip(&mut self, now: Instant, segment: &Incoming<'_>, ack: SeqNum) {
        if self.rtt.on_acknowledged(now, ack) || self.rtt.is_timing() {
            return;
        }
        if let Some(option) = segment.header.options.timestamps
            && self.timestamps.is_agreed()
            && let Some(elapsed) = self.timestamps.elapsed(now, option.echo)
        {
            self.rtt.sample(elapsed);
        }
    }
}
