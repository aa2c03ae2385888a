//! What a segment brings (RFC 9293 section 3.10.7.4, steps seven and eight): text in order or not, the FIN, and when
//! to acknowledge.

use core::hint::cold_path;

use device::RxFrame;
use ring::Budget;
use wire::tcp::{SackBlocks, TcpFlags};

use crate::Discard;
use crate::config::TcpConfig;
use crate::event::Readiness;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::input::{Env, Incoming};
use crate::tcp::memory;
use crate::tcp::phase::Phase;
use crate::time::Instant;

/// RFC 9293 section 3.7.1: segments of this size need no announcement.
const LEAST_FULL: u32 = 536;

impl Connection {
    /// Steps seven and eight. The segment lies within the window already.
    pub(crate) fn on_text(&mut self, env: &mut Env<'_>, segment: &Incoming<'_>) -> Result<(), Discard> {
        let fin = segment.header.flags.contains(TcpFlags::FIN);
        let seq = segment.header.seq;
        let end = seq + segment.payload.len() as u32;
        if segment.payload.is_empty() && !fin {
            return Ok(());
        }
        if !self.phase.receives() {
            // RFC 9293 section 3.10.7.4: text after the peer's FIN is ignored.
            self.flags.set(Flags::ACK_NOW);
            return Err(Discard::TcpAfterClose);
        }
        if !self.store(segment) {
            self.flags.set(Flags::ACK_NOW);
            self.follow_memory();
            return Err(Discard::TcpMemory);
        }
        if seq != self.rcv.nxt {
            return self.on_gap(segment, fin);
        }

        let mut fin_arrived = fin;
        let mut filled = end;
        let mut filled_hole = false;
        if let Some(reassembly) = self.aside.reassembly_mut() {
            if fin {
                reassembly.set_fin(end);
            }
            filled = reassembly.advance(end);
            fin_arrived |= reassembly.fin_is_at(filled);
            // RFC 5681 section 4.2: a segment that fills all or part of a gap is acknowledged at once.
            filled_hole = true;
            if reassembly.is_empty() || fin_arrived {
                self.aside.end_reassembly();
            }
        }
        let arrived = filled - self.rcv.nxt;
        if arrived > 0 {
            self.note_size(env, segment.payload.len() as u32, segment.segments);
            self.take_in_text(env, arrived, filled_hole);
            self.measure_arrival(env.now, segment.payload.len(), segment.header.options.timestamps);
        }
        if fin_arrived {
            self.on_fin(env);
        }
        Ok(())
    }

    /// Text arrived that is the next in order, stands in the ring already, and closes no gap: the same for the short way.
    #[inline(always)]
    pub(crate) fn on_text_in_order(&mut self, env: &Env<'_>, len: u32, frame: &RxFrame<'_>) {
        if len > u32::from(self.rcv.full) {
            self.note_size(env, len, super::input::segments_of(len as usize, frame.segment_size));
        }
        self.take_in_text(env, len, false);
    }

    /// The peer is heard.
    #[inline(always)]
    pub(super) fn hear(&mut self, env: &Env<'_>, has_text: bool) {
        if env.config.quick_acks != 0 {
            self.note_pause(env, has_text);
        }
        self.last_heard = env.now;
    }

    /// Takes note of what the peer fills a segment with, once acknowledgements are put off.
    #[cold]
    #[inline(never)]
    fn note_size(&mut self, env: &Env<'_>, len: u32, segments: u8) {
        if self.rcv.quick.is_any() {
            return self.acknowledge_quickly(env.config);
        }
        let size = if segments == 1 { len } else { len / u32::from(segments) };
        self.rcv.full = self.rcv.full.max(u16::try_from(size).unwrap_or(u16::MAX));
    }

    /// Hands the next `arrived` bytes to the application.
    #[inline(always)]
    pub(super) fn take_in_text(&mut self, env: &Env<'_>, arrived: u32, filled_hole: bool) {
        if !self.flags.has(Flags::READ_SHUT) {
            self.receive.publish(arrived as usize);
            self.tell(Readiness::READABLE);
        }
        self.rcv.nxt += arrived;
        self.schedule_ack(env, filled_hole);
    }

    /// Puts the text where it belongs in the ring, unless the checksum's pass has done so already.
    fn store(&mut self, segment: &Incoming<'_>) -> bool {
        if segment.stored || segment.payload.is_empty() || self.flags.has(Flags::READ_SHUT) {
            return true;
        }
        let offset = segment.header.seq - self.rcv.nxt;
        self.receive.write_at(offset as usize, segment.payload)
    }

    /// The segment leaves a gap before it.
    fn on_gap(&mut self, segment: &Incoming<'_>, fin: bool) -> Result<(), Discard> {
        // RFC 5681 section 4.2: out-of-order segments are acknowledged at once. Without SACK the peer counts the
        // acknowledgements; with it, one tells everything.
        if self.flags.has(Flags::SACK) {
            self.flags.set(Flags::ACK_NOW);
        } else {
            self.duplicate_acks_owed = self.duplicate_acks_owed.saturating_add(segment.segments);
        }
        let start = segment.header.seq;
        let end = start + segment.payload.len() as u32;
        // RFC 2883 section 4: a segment beyond a gap that came before, or a part of it that did.
        if let Some(twice) = self.aside.reassembly().and_then(|reassembly| reassembly.overlap(start, end)) {
            self.aside.make().duplicate = Some(twice);
        }
        let reassembly = self.aside.make().reassembly.get_or_insert_default();
        if start != end && !reassembly.insert(start, end) {
            return Err(Discard::TcpMemory);
        }
        if fin {
            reassembly.set_fin(end);
        }
        Ok(())
    }

    /// RFC 1122 section 4.2.3.2: acknowledge at least every second full segment, and within half a second.
    fn schedule_ack(&mut self, env: &Env<'_>, at_once: bool) {
        let unacked = self.rcv.nxt - self.rcv.acked;
        // RFC 5681 section 4.2: full is what the peer fills its segments with, up to the size that we announced, and not
        // what it takes itself. Until it has sent any, what every peer may send.
        let full = u32::from(self.rcv.full).max(self.segment_size().min(LEAST_FULL));
        if at_once || unacked >= 2 * full {
            self.flags.set(Flags::ACK_NOW);
        } else {
            self.put_off_ack(env);
        }
    }

    /// An acknowledgement goes with what is sent next, or when its time has come.
    #[inline(always)]
    fn put_off_ack(&mut self, env: &Env<'_>) {
        if self.deadlines.ack.is_never() {
            self.deadlines.ack = env.now.after_nanos(env.config.ack_delay);
        }
    }

    /// What the next acknowledgement reports: a duplicate first (RFC 2883 section 4), then what lies beyond gaps, the most
    /// recent first (RFC 2018 section 4). No more than the path has room for, which is what it has for text.
    pub(crate) fn sack_blocks(&self, room: u32) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        let duplicate = self.aside.duplicate().into_iter();
        let beyond = self.aside.reassembly().into_iter().flat_map(|reassembly| reassembly.recent());
        // RFC 2018 section 3: eight bytes each; the option begins with two, which most put two NOPs before.
        for (start, end) in duplicate.chain(beyond).take((room.saturating_sub(4) / 8) as usize) {
            if !blocks.push(start, end) {
                break;
            }
        }
        blocks
    }

    /// Step eight: the peer has finished.
    #[inline]
    pub(super) fn on_fin(&mut self, env: &Env<'_>) {
        self.rcv.nxt += 1;
        if self.rcv.edge.before(self.rcv.nxt) {
            self.rcv.edge = self.rcv.nxt;
        }
        self.receive.finish();
        if self.phase != Phase::Established || self.rcv.quick.awaits_text() {
            // RFC 9293 section 3.10.7.4: this side has finished, and nothing more goes out that could say so too. Or nothing is
            // put off yet.
            self.flags.set(Flags::ACK_NOW);
        } else {
            // RFC 1122 section 4.2.3.2: most often the application answers or finishes now, and that says it.
            self.put_off_ack(env);
        }
        self.phase = self.phase.on_fin();
        if self.phase == Phase::TimeWait {
            self.deadlines.idle = Instant::NEVER;
        }
        self.tell(Readiness::READABLE | Readiness::PEER_FINISHED);
    }

    /// An acknowledgement is owed if `allowed`.
    pub(crate) fn acknowledge_if(&mut self, allowed: bool) {
        if allowed {
            self.flags.set(Flags::ACK_NOW);
        }
    }

    /// The application has read: tells the peer if the window opens by enough to be worth a segment.
    pub(crate) fn on_read(&mut self) {
        if self.phase.receives() && self.window_step(self.room()) > 0 {
            self.flags.set(Flags::ACK_NOW);
        }
    }

    /// Whether nothing follows from what the application has read: the window that the peer knows of is so wide still that
    /// none is worth telling, no round trip of reading is measured, and an acknowledgement that was put off will say the rest.
    #[inline]
    pub(crate) fn has_read_little(&self, config: &TcpConfig, budget: &Budget) -> bool {
        let limit = self.rcv.limit;
        self.holds_most(self.receive_window())
            && !self.deadlines.ack.is_never()
            && limit >= self.receive_start(config)
            && self.aside.measurement().is_none()
            && !self.flags.has(Flags::ACK_NOW.and(Flags::READ_SHUT))
            && !memory::is_short(budget)
            && !self.is_corrupt()
    }

    /// Whether the peer holds so much of the window that even all of it would be no step worth telling (`window_step`).
    #[inline]
    fn holds_most(&self, held: u32) -> bool {
        let limit = self.rcv.limit;
        u64::from(held) + u64::from((limit / 2).min(self.segment_size())) > u64::from(limit)
    }

    /// Bytes that can be taken now.
    pub(crate) fn room(&self) -> usize {
        let limit = self.rcv.limit as usize;
        if self.flags.has(Flags::READ_SHUT) {
            cold_path();
            // What is thrown away needs no room.
            return limit;
        }
        self.receive.free().saturating_sub(self.receive.limit().saturating_sub(limit))
    }

    /// By how much the right edge of the window may move now that there is `room`, zero while that is too little to be
    /// worth it.
    #[inline]
    fn window_step(&self, room: usize) -> u32 {
        // One unit of the scaled field is kept back, as the edge is rounded up to it and never moves back.
        let slack = (1usize << self.rcv.scale) - 1;
        let room = room.saturating_sub(slack);
        let limit = self.rcv.limit;
        let room = u32::try_from(room).unwrap_or(u32::MAX).min(65_535 << self.rcv.scale);
        let held = self.receive_window();
        let step = room.saturating_sub(held);
        // RFC 1122 section 4.2.3.3: at least min (half the buffer, one MSS).
        let least = (limit / 2).min(self.segment_size());
        if step >= least.max(1) { step } else { 0 }
    }

    /// The window field of the next segment, and the right edge that it promises.
    #[inline(always)]
    pub(crate) fn offer_window(&self) -> (u16, wire::tcp::SeqNum) {
        let held = self.receive_window();
        let scale = self.rcv.scale;
        if self.holds_most(held) && held >> scale < 65_535 {
            // However much room there is, the edge stays.
            let unit_mask = (1u32 << scale) - 1;
            // The field is rounded up to its unit where there is that much room, as in `offer_anew`.
            let up = (held | unit_mask) + 1;
            if held & unit_mask != 0 && up as usize <= self.room() {
                return ((up >> scale) as u16, self.rcv.nxt + up);
            }
            return ((held >> scale) as u16, self.rcv.edge);
        }
        self.offer_anew()
    }

    /// [`offer_window`](Self::offer_window) where the edge may move.
    #[cold]
    #[inline(never)]
    fn offer_anew(&self) -> (u16, wire::tcp::SeqNum) {
        let room = self.room();
        let window = self.receive_window() + self.window_step(room);
        let scale = self.rcv.scale;
        let unit_mask = (1u32 << scale) - 1;
        // The edge never moves back, so the field is rounded up to its unit, but never to more than there is room for:
        // RFC 7323 section 2.4 lets the edge seem to shrink by a part of a unit then.
        let up = window.saturating_add(unit_mask) >> scale;
        let field = if (u64::from(up) << scale) <= room as u64 { up } else { window >> scale };
        let field = u16::try_from(field).unwrap_or(u16::MAX);
        (field, self.rcv.nxt + (u32::from(field) << self.rcv.scale))
    }
}

#[cfg(test)]
mod tests;
