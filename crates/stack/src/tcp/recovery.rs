//! Loss recovery: what is lost, and how fast to send while it is repaired.
//!
//! With SACK, losses are found by time (`rack`), and the last segments of a flight are probed for (tail-loss probe, RFC
//! 8985 section 7). Without it, three duplicate ACKs and then each partial ACK name one segment (RFC 5681, RFC 6582).
//! While losses are repaired the window follows proportional rate reduction (RFC 9937). After a time-out what was sent a
//! round trip ago counts as lost, unless F-RTO (RFC 5682) shows that it was only late. A reduction for what had only been
//! late is taken back (`undo`).
//!
//! Exists while a connection sends; an idle connection has none.

mod alarm;
mod spurious;

use core::time::Duration;

use wire::tcp::SeqNum;

use crate::tcp::congestion::bbr::Update;
use crate::tcp::congestion::{Ack, Congestion};
use crate::tcp::delivery_rate::DeliveryRate;
use crate::tcp::pacing::Pacer;
use crate::tcp::rack::{Conditions, Rack};
use crate::tcp::reduction::Reduction;
use crate::tcp::scoreboard::{Arrival, Delivered, Scoreboard};
use crate::tcp::tail_probe::TailProbe;
use crate::tcp::turns::Turns;
use crate::tcp::undo::Undo;
use crate::time::{Instant, nanos_of};
pub(crate) use alarm::Alarm;

/// Duplicate ACKs that mean a loss (RFC 5681 section 3.2).
const THRESHOLD: u32 = 3;

/// What the sender is doing about losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// None are known.
    Open,
    /// Repairing what acknowledgements told of.
    Fast,
    /// Repairing what the retransmission timer told of.
    Timeout,
    /// None are known, but the peer has echoed a router's mark: slowing down.
    Marked,
}

/// What is known of losses, and of what is in flight.
#[derive(Debug)]
pub(crate) struct Recovery {
    board: Scoreboard,
    rack: Rack,
    /// The peer reports what arrived beyond a gap.
    sack: bool,
    mode: Mode,
    /// Recovery ends when this is acknowledged: SND.NXT when it began.
    point: SeqNum,
    reduction: Reduction,
    /// Without SACK: duplicate ACKs in a row, each of which stands for a segment that left the network.
    duplicates: u32,
    /// Time-outs in a row without an acknowledgement of anything new.
    timeouts: u8,
    /// RFC 5682: after a time-out, nothing more is sent again until it is known whether it was real.
    doubt: bool,
    probe: Option<TailProbe>,
    /// The last reduction, as long as it may prove to have been for nothing.
    undo: Option<Undo>,
    /// What the alarm stands for.
    pub alarm: Alarm,
    /// When it goes off.
    pub alarm_at: Instant,
    /// A tail-loss probe is to be sent now.
    pub probe_due: bool,
    /// The smallest round trip of the last minutes in nanoseconds, and when it was measured.
    min_rtt: Option<(u64, Instant)>,
    /// RFC 8985 section 6.2 step 4: reports of duplicates count once a round trip.
    duplicate_round: SeqNum,
    /// The window was reduced, which a peer that agreed to ECN has not been told yet.
    pub reduced: bool,
    pub rate: DeliveryRate,
    pub pacer: Pacer,
    /// Bytes marked as lost that the delivery rate knows of.
    told_lost: u64,
    /// Turns of which nothing else here knows yet.
    pub turns: Turns,
    /// The last probe of the path's size (`path_search`): nobody slows down for its loss.
    pub spare: Option<(SeqNum, SeqNum)>,
}

/// How long the smallest round trip is believed.
const MIN_RTT_AGE: Duration = Duration::from_secs(300);

/// An acknowledgement, as loss recovery looks at it.
pub(crate) struct Feedback<'a> {
    pub now: Instant,
    pub ack: SeqNum,
    /// SND.UNA before it.
    pub una: SeqNum,
    pub nxt: SeqNum,
    pub blocks: &'a [(SeqNum, SeqNum)],
    /// It is a duplicate in the sense of RFC 5681 section 2.
    pub duplicate: bool,
    /// It echoes a router's mark (RFC 3168).
    pub echo: bool,
    /// [`TcpConfig::fast_path`](crate::config::TcpConfig::fast_path).
    pub may_be_short: bool,
    pub mss: u32,
    pub srtt: Duration,
}

/// What an acknowledgement brought, as far as the path's rate is concerned.
struct Learnt {
    /// Bytes that arrived, and what left last of them.
    bytes: u32,
    latest: Option<Arrival>,
    rtt: Option<Duration>,
    /// Bytes in flight before it.
    before: u32,
    /// It echoes a mark, the first of a window.
    marked: bool,
}

/// What was on its way before something told of a loss or a mark, in bytes.
#[derive(Clone, Copy, Debug)]
struct Before {
    /// Sent and not acknowledged.
    outstanding: u32,
    /// Of these, reported by the peer.
    sacked: u32,
    /// What the window had let go besides, and had not gone out yet. Acknowledgements that are taken in together leave no time
    /// to send between them; each is judged as if there had been.
    owed: u32,
}

impl Before {
    /// FlightSize (RFC 5681 section 2).
    const fn flight(&self) -> u32 {
        self.outstanding.saturating_add(self.owed)
    }

    const fn reduction(&self) -> Reduction {
        Reduction::new(self.flight(), self.sacked, self.owed)
    }
}

impl Feedback<'_> {
    /// What the peer reports to have got twice: RFC 2883 section 4, the first block, if it lies below the ACK or within the
    /// second.
    fn duplicate_report(&self) -> Option<(SeqNum, SeqNum)> {
        let (&first, rest) = self.blocks.split_first()?;
        let within = rest.first().is_some_and(|outer| first.0.at_or_after(outer.0) && first.1.at_or_before(outer.1));
        (first.0.before(first.1) && (first.1.at_or_before(self.ack) || within)).then_some(first)
    }
}

impl Recovery {
    /// Nothing is in flight; what is sent next begins at `una`.
    pub(crate) fn new(una: SeqNum, sack: bool, model: bool) -> Self {
        Self {
            board: Scoreboard::new(una),
            rack: Rack::new(una),
            sack,
            mode: Mode::Open,
            // RFC 6582 section 3.2 step 1: nothing has been repaired yet that duplicate ACKs could be about.
            point: una - 1,
            reduction: Reduction::default(),
            duplicates: 0,
            timeouts: 0,
            doubt: false,
            probe: None,
            undo: None,
            alarm: Alarm::Probe,
            alarm_at: Instant::NEVER,
            probe_due: false,
            min_rtt: None,
            duplicate_round: una,
            reduced: false,
            rate: DeliveryRate::new(model),
            pacer: Pacer::new(),
            told_lost: 0,
            turns: Turns::NONE,
            spare: None,
        }
    }

    /// Consecutive time-outs.
    pub(crate) const fn timeouts(&self) -> u8 {
        self.timeouts
    }

    /// Bytes believed to be in the network.
    pub(crate) fn pipe(&self, mss: u32) -> u32 {
        self.board.pipe().saturating_sub(self.duplicates.saturating_mul(mss))
    }

    /// Bytes believed lost and not yet sent again.
    pub(crate) fn lost(&self) -> u32 {
        self.board.lost()
    }

    /// Bytes that the peer has beyond a gap.
    pub(crate) fn sacked(&self) -> u32 {
        self.board.sacked()
    }

    /// Nothing is lost, missing, in doubt or probed for, and nothing may be taken back: an acknowledgement of something new
    /// does what it does every time, and one of nothing new does nothing.
    #[inline]
    pub(crate) fn is_untroubled(&self) -> bool {
        self.mode == Mode::Open
            && self.probe.is_none()
            && self.undo.is_none()
            && !self.doubt
            && self.duplicates == 0
            && self.board.is_whole()
    }

    /// Whether all that has arrived and all that is in flight were sent but once and in their order.
    #[inline]
    pub(crate) fn goes_in_order(&self) -> bool {
        self.board.is_in_order() && self.rack.finds_nothing(&self.board)
    }

    /// Whether losses are being repaired.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.mode, Mode::Fast | Mode::Timeout)
    }

    /// Whether the network was seen to reorder.
    pub(crate) fn reordering_seen(&self) -> bool {
        self.rack.reordering_seen()
    }

    /// How much later than what was sent after it something may arrive (RFC 8985 section 6.2 step 4).
    pub(crate) fn reordering_window(&self, mss: u32, srtt: Duration) -> Duration {
        self.rack.reordering_window(&self.conditions(mss, srtt))
    }

    /// The smallest round trip of the last minutes.
    pub(crate) fn min_rtt(&self) -> Option<Duration> {
        self.min_rtt.map(|(nanos, _)| Duration::from_nanos(nanos))
    }

    /// Nothing is in flight and nothing is being repaired: an idle connection needs none of this.
    pub(crate) fn is_idle(&self) -> bool {
        self.board.is_empty()
    }

    /// What is to be sent again next.
    pub(crate) fn next_lost(&self) -> Option<(SeqNum, SeqNum)> {
        // RFC 5682 section 2.1 step 2b: the new segments are out, and the next ACK tells; until then nothing old goes.
        if self.prefers_new() && self.board.end().after(self.point) {
            return None;
        }
        self.board.next_lost()
    }

    /// The last run in flight: what a tail-loss probe repeats when there is nothing new.
    pub(crate) fn tail(&self) -> Option<(SeqNum, SeqNum)> {
        self.board.last_in_flight()
    }

    /// Everything up to `end` has been sent, `len` bytes of it now.
    pub(crate) fn on_sent(&mut self, now: Instant, end: SeqNum, len: u32) {
        let before = self.board.pipe();
        self.board.on_sent(now, end);
        self.rate.on_sent(now, before, self.board.pipe());
        self.count_out(len);
    }

    /// What lies between `start` and `end` has been sent again.
    pub(crate) fn on_resent(&mut self, now: Instant, start: SeqNum, end: SeqNum) {
        let before = self.board.pipe();
        self.board.on_resent(now, start, end);
        self.rate.on_sent(now, before, self.board.pipe());
        self.count_out(end - start);
        let overlaps = |(from, to): (SeqNum, SeqNum)| start.before(to) && end.after(from);
        if self.spare.is_some_and(overlaps) && self.board.lost() == 0 {
            // From here on it is text like any other: lost once more, it is not the probe's size that is to blame.
            self.spare = None;
        }
        if let Some(undo) = &mut self.undo
            && self.mode != Mode::Open
        {
            undo.on_resent(end - start);
        }
        if self.prefers_new() {
            // RFC 5682 section 2.1 step 2b: there was nothing new to send, and so no ACK will tell.
            self.doubt = false;
        }
    }

    fn count_out(&mut self, len: u32) {
        if matches!(self.mode, Mode::Fast | Mode::Marked) {
            self.reduction.on_sent(len);
        }
    }

    /// The byte at SND.UNA was sent into a closed window: it is sent again when the window opens.
    pub(crate) fn on_window_probe(&mut self, now: Instant, end: SeqNum) {
        self.board.on_sent(now, end);
        self.board.mark_all_lost(false);
    }

    /// A tail-loss probe was sent, and SND.NXT is `nxt` now.
    pub(crate) fn on_probe_sent(&mut self, nxt: SeqNum, resent: bool) {
        self.probe_due = false;
        self.probe = Some(TailProbe { end: nxt, resent });
    }

    /// An acknowledgement arrived, while only the congestion window held `waiting` bytes of new text back. Returns the round trip
    /// that it measured without ambiguity.
    pub(crate) fn on_feedback(
        &mut self,
        feedback: &Feedback<'_>,
        waiting: u32,
        congestion: &mut Congestion,
    ) -> Option<Duration> {
        let Feedback { now, ack, una, nxt, mss, srtt, .. } = *feedback;
        let advanced = ack.after(una);
        let in_order = advanced && feedback.may_be_short && feedback.blocks.is_empty() && !feedback.echo;
        if in_order && self.is_untroubled() && self.goes_in_order() {
            return self.on_feedback_in_order(feedback, congestion);
        }
        let pipe = self.pipe(mss);
        let before = self.before(pipe, waiting, mss, congestion);
        let duplicates = self.duplicates;
        let mut delivered = Delivered::default();
        let report = feedback.duplicate_report();
        let late = self.take_in(feedback, report.is_some(), &mut delivered);

        let timed = delivered.unambiguous.filter(|_| !delivered.mended);
        let rtt = timed.map(|arrival| now.since(arrival.sent_at));
        if let Some(rtt) = rtt {
            self.note_min_rtt(now, nanos_of(rtt));
        }
        let min_rtt = self.min_rtt().unwrap_or(srtt);
        self.rack.update(now, &delivered, min_rtt);
        self.settle_probe(feedback, report, before.flight(), congestion);

        if late {
            self.was_spurious(congestion);
        }
        let known_lost = self.board.lost();
        self.detect(now, mss, srtt);
        let more_lost = self.board.lost() > known_lost;
        self.on_duplicate_reported(report, ack, nxt, congestion);
        if advanced {
            self.timeouts = 0;
        }
        // RFC 9937 section 5: without SACK, a duplicate ACK stands for a segment, which is taken off again when SND.UNA passes
        // it.
        let counted = match feedback.duplicate {
            _ if self.sack => delivered.bytes,
            true => mss,
            false => delivered.bytes.saturating_sub(duplicates.saturating_mul(mss)),
        };
        let mut marked = false;
        match self.mode {
            Mode::Open if self.board.lost() > 0 && !self.is_spare_loss() => {
                self.enter(nxt, &before, mss, congestion);
                self.reduce(false, mss, counted, congestion);
                self.let_first_go(mss, congestion);
            }
            Mode::Marked if self.board.lost() > 0 => {
                // RFC 3168 section 6.1.2: one reduction a window, whatever tells of it.
                self.mode = Mode::Fast;
                self.reduce(false, mss, counted, congestion);
                self.let_first_go(mss, congestion);
            }
            Mode::Fast | Mode::Marked => {
                self.reduce(advanced && !more_lost, mss, counted, congestion);
                if advanced && !self.sack && self.board.lost() > 0 {
                    // RFC 6582 section 3.2 step 3: the hole that a partial ACK names is sent again whatever the window.
                    congestion.set_window(congestion.window().max(self.pipe(mss) + mss));
                }
            }
            // RFC 3168 section 6.1.2: once a window; what acknowledges no more than was sent before the last reduction says
            // nothing new, as the peer has not seen CWR yet.
            Mode::Open if feedback.echo && ack.after(self.point) => {
                marked = true;
                self.slow_down(nxt, &before, mss, congestion);
                self.reduce(advanced, mss, counted, congestion);
            }
            Mode::Open | Mode::Timeout => {}
        }
        let mode = self.mode;
        if mode != Mode::Open && ack.at_or_after(self.point) {
            self.leave(nxt, congestion, mss);
        }
        if !matches!(mode, Mode::Fast | Mode::Marked) && advanced {
            // RFC 3465 section 2.3: after a time-out an ACK covers what the peer has held all along; it counts as one segment.
            let acked = if mode == Mode::Timeout { (ack - una).min(mss) } else { ack - una };
            congestion.on_ack(&Ack { now, acked, flight: pipe, mss, rtt, srtt, una: ack, nxt });
            if self.doubt {
                // RFC 5682 section 2.1 step 2b: two new segments, and nothing old, until the next ACK tells.
                congestion.set_window(congestion.window().max(self.pipe(mss) + 2 * mss));
            }
        }
        // What was sent twice may have arrived by its first copy: not if that would be the shortest round trip of all.
        let least = self.min_rtt().unwrap_or_default();
        let plausible = |arrival: &Arrival| !arrival.resent || now.since(arrival.sent_at) >= least;
        let latest = delivered.latest.filter(plausible).or(delivered.unambiguous);
        let learnt = Learnt { bytes: delivered.bytes, latest, rtt, before: pipe, marked };
        self.learn(feedback, &learnt, congestion);
        rtt
    }

    /// What [`on_feedback`](Self::on_feedback) comes to when everything goes well: nothing is missing, nothing was sent twice,
    /// and what is still in flight was sent after what has arrived.
    #[inline]
    pub(crate) fn on_feedback_in_order(
        &mut self,
        feedback: &Feedback<'_>,
        congestion: &mut Congestion,
    ) -> Option<Duration> {
        let Feedback { now, ack, una, nxt, mss, srtt, .. } = *feedback;
        let flight = self.board.outstanding();
        let latest = self.board.on_ack_in_order(ack);
        let rtt = latest.map(|arrival| now.since(arrival.sent_at));
        if let (Some(latest), Some(rtt)) = (latest, rtt) {
            self.note_min_rtt(now, nanos_of(rtt));
            self.rack.on_arrival_in_order(&latest, nanos_of(rtt));
        }
        self.timeouts = 0;
        self.probe_due = false;
        congestion.on_ack(&Ack { now, acked: ack - una, flight, mss, rtt, srtt, una: ack, nxt });
        let learnt = Learnt { bytes: ack - una, latest, rtt, before: flight, marked: false };
        self.learn(feedback, &learnt, congestion);
        rtt
    }

    /// What [`on_feedback_in_order`](Self::on_feedback_in_order) comes to for a segment of which nothing was known (`lone`),
    /// `bytes` long, sent at `sent_at` and acknowledged up to `end`. Returns whether the next one may go alone, too.
    #[inline]
    pub(crate) fn on_lone_arrival(&mut self, now: Instant, sent_at: Instant, end: SeqNum, bytes: u32) -> bool {
        let nanos = now.as_nanos().saturating_sub(sent_at.as_nanos());
        self.board.pass(end);
        self.note_min_rtt(now, nanos);
        self.rack.on_arrival_in_order(&Arrival { sent_at, end, resent: false }, nanos);
        self.rate.on_lone_delivered(now, sent_at, bytes, self.least_nanos());
        self.rate.is_settled()
    }

    /// The same for one that is told of later, with others (`turns`).
    #[inline(always)]
    pub(crate) fn on_turn(&mut self, now: Instant, sent_at: Instant, bytes: u32, nanos: u64) {
        self.note_min_rtt(now, nanos);
        self.turns.note(now, sent_at, bytes, nanos);
    }

    /// What [`on_lone_arrival`](Self::on_lone_arrival) comes to for all of them. SND.UNA is `una`, and `flight` bytes have left
    /// since, the last there are.
    pub(crate) fn on_turns(&mut self, turns: &Turns, una: SeqNum, flight: u32) {
        if turns.bytes > 0 {
            let nanos = turns.last_nanos();
            self.board.pass(una);
            self.rack.on_arrival_in_order(&Arrival { sent_at: turns.sent_at, end: una, resent: false }, nanos);
            self.rate.on_turns(turns, self.least_nanos());
        }
        self.rate.on_app_limited(flight);
    }

    /// The last sample of the rate of delivery in bytes a second, and whether the application limited it.
    pub(crate) fn delivery_rate(&self) -> Option<(u64, bool)> {
        self.rate.last(&self.turns, self.least_nanos())
    }

    /// Whether nothing is in flight, and all that ever was has arrived in its order: then a segment may go alone.
    pub(crate) fn is_calm(&self) -> bool {
        self.board.is_empty() && self.is_untroubled() && self.board.is_in_order() && self.rate.is_settled()
    }

    /// What the acknowledgement says of the path's rate, and of the path to an algorithm that keeps a model of it.
    fn learn(&mut self, feedback: &Feedback<'_>, learnt: &Learnt, congestion: &mut Congestion) {
        let Learnt { bytes, latest, rtt, before, marked } = *learnt;
        let Feedback { now, nxt, mss, srtt, .. } = *feedback;
        if !congestion.has_model() {
            self.rate.on_delivered_seldom(now, bytes, latest, self.min_rtt().unwrap_or_default());
            return;
        }
        let (all_lost, lost_sent_at) = self.board.marked();
        let lost = u32::try_from(all_lost - self.told_lost).unwrap_or(u32::MAX);
        self.told_lost = all_lost;
        let lost_sample = if lost > 0 { self.rate.on_lost(now, lost, lost_sent_at) } else { None };
        let min_rtt = self.min_rtt().unwrap_or_default();
        let sample = self.rate.on_delivered(now, bytes, latest, self.board.oldest(), min_rtt);
        congestion.on_update(&Update {
            now,
            mss,
            rtt,
            srtt,
            acked: bytes,
            lost,
            before,
            in_flight: self.pipe(mss),
            delivered: self.rate.delivered(),
            sample,
            lost_sample,
            marked,
            salt: nxt.0,
        });
    }

    /// Enters what the peer has into the scoreboard. Returns whether that shows the last time-out to have been spurious.
    fn take_in(&mut self, feedback: &Feedback<'_>, reported: bool, delivered: &mut Delivered) -> bool {
        let Feedback { ack, una, blocks, duplicate, mss, .. } = *feedback;
        if ack.after(una) {
            self.board.on_ack(ack, delivered);
            self.duplicates = 0;
            // RFC 8985 section 7.2: the timer starts again, also where a full device has kept the probe.
            self.probe_due = false;
        }
        if self.sack {
            let fresh = blocks.get(usize::from(reported)..).unwrap_or_default();
            self.take_in_blocks(una, fresh, delivered);
        } else if duplicate {
            self.duplicates = self.duplicates.saturating_add(1);
            // RFC 6582 section 3.2 step 1: not for what was in flight when the last recovery began.
            let news = self.mode == Mode::Marked || (self.mode == Mode::Open && ack.after(self.point));
            if news && self.duplicates == THRESHOLD {
                self.board.mark_first_lost(mss);
            }
        } else if ack.after(una) && self.mode == Mode::Fast && ack.before(self.point) {
            // RFC 6582 section 3.2 step 3: a partial ACK names the next hole.
            self.board.mark_first_lost(mss);
        }
        self.doubt && self.resolve_doubt(feedback, delivered)
    }

    /// Enters SACK blocks, the lowest first: their order is that of their reports (RFC 2018 section 4), and after a lost ACK
    /// it would look like reordering in the network.
    fn take_in_blocks(&mut self, una: SeqNum, blocks: &[(SeqNum, SeqNum)], delivered: &mut Delivered) {
        let mut sorted = [(una, una); 4];
        let count = blocks.len().min(sorted.len());
        sorted[..count].copy_from_slice(&blocks[..count]);
        sorted[..count].sort_unstable_by_key(|block| block.0 - una);
        for &(start, end) in &sorted[..count] {
            self.board.on_sack(start, end, delivered);
        }
    }

    /// The smallest round trip in nanoseconds; zero where none was measured.
    #[inline]
    fn least_nanos(&self) -> u64 {
        self.min_rtt.map_or(0, |(least, _)| least)
    }

    #[inline(always)]
    fn note_min_rtt(&mut self, now: Instant, nanos: u64) {
        if self.min_rtt.is_none_or(|(min, at)| nanos <= min || now.since(at) > MIN_RTT_AGE) {
            self.min_rtt = Some((nanos, now));
        }
    }

    /// Runs RACK over what is in flight; returns after what time to look again.
    fn detect(&mut self, now: Instant, mss: u32, srtt: Duration) -> Option<Duration> {
        if !self.sack || self.rack.finds_nothing(&self.board) {
            return None;
        }
        let conditions = self.conditions(mss, srtt);
        self.rack.detect(now, &mut self.board, &conditions).1
    }

    fn conditions(&self, mss: u32, srtt: Duration) -> Conditions {
        Conditions {
            in_recovery: self.is_active(),
            many_sacked: self.board.sacked() >= THRESHOLD * mss,
            min_rtt: self.min_rtt().unwrap_or(srtt),
            srtt,
        }
    }

    /// Whether all that is lost is a probe of the path's size: RFC 4821 section 7.5, no sign of congestion.
    pub(crate) fn is_spare_loss(&self) -> bool {
        let Some((start, end)) = self.spare else { return false };
        let within = |at: SeqNum| at.at_or_after(start) && at.before(end);
        self.board.lost() <= end - start && self.board.next_lost().is_some_and(|(from, _)| within(from))
    }

    /// What is on its way, of which `pipe` bytes in the network. Only the congestion window holds `waiting` bytes of new text
    /// back.
    fn before(&self, pipe: u32, waiting: u32, mss: u32, congestion: &Congestion) -> Before {
        // During recovery the reduction says what may go out.
        let room = if self.mode == Mode::Open { congestion.window().saturating_sub(pipe) } else { 0 };
        let owed = waiting.min(room);
        Before { outstanding: self.board.outstanding(), sacked: self.board.sacked(), owed: owed - owed % mss.max(1) }
    }

    /// Recovery begins.
    fn enter(&mut self, nxt: SeqNum, before: &Before, mss: u32, congestion: &mut Congestion) {
        self.mode = Mode::Fast;
        self.undo = Some(Undo::new(nxt - before.outstanding));
        self.point = nxt;
        self.reduction = before.reduction();
        self.probe = None;
        self.probe_due = false;
        congestion.on_loss(before.flight(), mss);
        self.reduced = true;
    }

    /// The window need not hold the first retransmission back.
    fn let_first_go(&self, mss: u32, congestion: &mut Congestion) {
        // RFC 9937 section 6: a fast retransmit upon entering recovery.
        congestion.set_window(congestion.window().max(self.pipe(mss) + self.reduction.owed() + mss));
    }

    /// The peer echoes a router's mark: RFC 3168 section 6.1.2, a reduction as for a loss.
    fn slow_down(&mut self, nxt: SeqNum, before: &Before, mss: u32, congestion: &mut Congestion) {
        self.mode = Mode::Marked;
        self.undo = None;
        self.point = nxt;
        self.reduction = Before { sacked: self.board.sacked(), ..*before }.reduction();
        congestion.on_loss(before.flight(), mss);
        self.reduced = true;
    }

    /// What may be sent after an acknowledgement in recovery that told of `arrived` bytes; `safe` as in `Reduction::allow`.
    fn reduce(&mut self, safe: bool, mss: u32, arrived: u32, congestion: &mut Congestion) {
        let pipe = self.pipe(mss);
        let allowed = self.reduction.allow(arrived, pipe, congestion.slow_start_threshold(), safe, mss);
        congestion.set_window(pipe.saturating_add(allowed));
    }

    /// Everything that was outstanding when the loss was found has arrived.
    fn leave(&mut self, nxt: SeqNum, congestion: &mut Congestion, mss: u32) {
        if matches!(self.mode, Mode::Fast | Mode::Marked) {
            // RFC 9937 section 6: at the end, cwnd is ssthresh.
            congestion.set_window(congestion.slow_start_threshold().max(mss));
        }
        if self.mode != Mode::Marked {
            self.rack.on_recovered();
        }
        if let Some(undo) = &mut self.undo {
            undo.on_recovered(nxt);
        }
        self.mode = Mode::Open;
        self.doubt = false;
        self.duplicates = 0;
        congestion.on_recovered();
    }

    /// The peer has answered a retransmission that its closed window keeps out: it is alive.
    pub(crate) fn on_refused(&mut self) {
        self.timeouts = 0;
    }

    /// The retransmission timer expired.
    pub(crate) fn on_timeout(
        &mut self,
        now: Instant,
        nxt: SeqNum,
        mss: u32,
        srtt: Duration,
        congestion: &mut Congestion,
    ) {
        self.spare = None;
        let first = self.timeouts == 0;
        let flight = self.board.outstanding();
        // RFC 2018 section 8: the peer may have dropped what it reported. It has if it asks for what it reported, and a
        // second time-out says so too. The segment at SND.UNA goes again either way.
        if !self.sack || !first || self.board.begins_sacked() {
            self.board.mark_all_lost(true);
        } else {
            self.board.mark_first_lost(mss);
            let conditions = self.conditions(mss, srtt);
            self.rack.mark_on_timeout(now, &mut self.board, &conditions);
        }
        self.timeouts = self.timeouts.saturating_add(1);
        // RFC 5682 section 2.1 step 1: in doubt, if no recovery was under way.
        self.doubt = first && !self.is_active();
        if first {
            self.undo = (self.mode == Mode::Open).then(|| Undo::new(nxt - flight));
        }
        // RFC 5681 section 3.1: a loss window of one segment, beside what was sent too lately to be given up.
        congestion.on_timeout(flight, self.pipe(mss), mss, first);
        self.mode = Mode::Timeout;
        self.reduced = true;
        self.point = nxt;
        self.duplicates = 0;
        self.probe = None;
        self.probe_due = false;
    }

    /// The path carries less than was thought: what is in flight never arrives.
    pub(crate) fn on_path_shrunk(&mut self) {
        self.board.mark_all_lost(false);
    }
}
