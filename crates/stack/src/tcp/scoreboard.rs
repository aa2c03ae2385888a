//! What is in flight, and what became of it: the sender's view of SACK (RFC 2018, RFC 6675), with the times that RACK
//! (RFC 8985) needs.
//!
//! Sent data is kept in runs: neighbouring bytes that were sent at the same time and had the same fate. A train of
//! segments is one run; acknowledgements cut runs where they must. So the cost follows the number of events, not of
//! bytes or segments, and is bounded by [`MAX_RUNS`].

use alloc::collections::VecDeque;

use wire::tcp::SeqNum;

use crate::time::Instant;

/// Most runs that are kept apart. A peer whose SACK blocks would cut finer is not listened to.
const MAX_RUNS: usize = 8_192;

/// Most runs made by sending alone: a window of many trains must leave room for what SACK cuts out of them.
const MAX_SENT_RUNS: usize = MAX_RUNS / 2;

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// On its way, as far as is known.
    InFlight,
    /// The peer has it.
    Sacked,
    /// Believed lost, not yet sent again.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// One past its last byte; it begins where the one before it ends.
    end: SeqNum,
    /// When it was last sent.
    sent_at: Instant,
    fate: Fate,
    /// It was sent more than once.
    resent: bool,
}

/// A run that has arrived, as RACK and the round-trip estimator look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub sent_at: Instant,
    pub end: SeqNum,
    pub resent: bool,
}

/// What an acknowledgement brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Bytes that were not known to have arrived before.
    pub bytes: u32,
    /// The run among them that was sent last.
    pub latest: Option<Arrival>,
    /// The one among those sent but once that was sent last.
    pub unambiguous: Option<Arrival>,
    /// The acknowledgement covers something that was sent again: the rest of what it covers may have waited behind that gap
    /// for long, where the peer has not said so.
    pub mended: bool,
    /// Something arrived that had been sent before, and ends before, what had arrived already, and was never sent again:
    /// the network reorders.
    pub reordered: bool,
}

impl Delivered {
    fn take(&mut self, bytes: u32, run: &Run) {
        let arrival = Arrival { sent_at: run.sent_at, end: run.end, resent: run.resent };
        self.bytes += bytes;
        if self.latest.is_none_or(|latest| sent_after(&arrival, latest.sent_at, latest.end)) {
            self.latest = Some(arrival);
        }
        if !run.resent && self.unambiguous.is_none_or(|latest| sent_after(&arrival, latest.sent_at, latest.end)) {
            self.unambiguous = Some(arrival);
        }
    }
}

/// RFC 8985 section 6.2: whether a run was sent after another; the sequence number decides between those of one time.
pub(crate) fn sent_after(run: &Arrival, sent_at: Instant, end: SeqNum) -> bool {
    run.sent_at > sent_at || (run.sent_at == sent_at && run.end.after(end))
}

/// Everything from SND.UNA to SND.MAX.
#[derive(Debug)]
pub(crate) struct Scoreboard {
    runs: VecDeque<Run>,
    /// SND.UNA: where the first run begins.
    start: SeqNum,
    sacked: u32,
    lost: u32,
    /// Bytes that were ever marked as lost, and when the last run of them had been sent.
    marked: u64,
    marked_sent_at: Instant,
    /// Runs in flight that were sent more than once.
    resent: usize,
    /// One past the highest byte that has arrived (SND.FACK).
    forward: SeqNum,
}

impl Scoreboard {
    /// Nothing is in flight; what is sent next begins at `una`.
    pub(crate) fn new(una: SeqNum) -> Self {
        Self {
            runs: VecDeque::new(),
            start: una,
            sacked: 0,
            lost: 0,
            marked: 0,
            marked_sent_at: Instant::ZERO,
            resent: 0,
            forward: una,
        }
    }

    /// SND.MAX: one past the last byte sent.
    pub(crate) fn end(&self) -> SeqNum {
        self.runs.back().map_or(self.start, |run| run.end)
    }

    /// Bytes sent and not acknowledged (RFC 5681's FlightSize).
    pub(crate) fn outstanding(&self) -> u32 {
        self.end() - self.start
    }

    /// Bytes believed to be in the network (RFC 6675's pipe).
    pub(crate) fn pipe(&self) -> u32 {
        self.outstanding() - self.sacked - self.lost
    }

    /// Bytes that the peer has beyond a gap.
    pub(crate) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Bytes believed lost and not yet sent again.
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    fn note_lost(&mut self, len: u32, sent_at: Instant) {
        self.lost += len;
        self.marked += u64::from(len);
        self.marked_sent_at = sent_at;
    }

    /// How many bytes were ever marked as lost, and when the last run of them had been sent.
    pub(crate) fn marked(&self) -> (u64, Instant) {
        (self.marked, self.marked_sent_at)
    }

    /// No run that is out was sent before then; `None` if none is out.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.runs.front().map(|run| if run.resent { Instant::ZERO } else { run.sent_at })
    }

    /// Whether the peer has reported the very byte that it asks for: then it has dropped what it reported.
    pub(crate) fn begins_sacked(&self) -> bool {
        self.runs.front().is_some_and(|run| run.fate == Fate::Sacked)
    }

    /// Nothing lies beyond a gap, and nothing is believed lost.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        self.sacked == 0 && self.lost == 0
    }

    /// Nothing lies beyond a gap or ever did, nothing is believed lost, and nothing in flight was sent twice.
    #[inline]
    pub(crate) fn is_in_order(&self) -> bool {
        self.is_whole() && self.resent == 0 && self.forward.at_or_before(self.start)
    }

    /// [`on_ack`](Self::on_ack) for a board that [is in order](Self::is_in_order): runs stand in the order in which they were
    /// sent. Returns the one that was sent last among those that arrived.
    pub(crate) fn on_ack_in_order(&mut self, una: SeqNum) -> Option<Arrival> {
        let mut latest = None;
        while let Some(run) = self.runs.front()
            && una.after(self.start)
        {
            // Of a train that has arrived in part, nothing is known of the rest.
            let end = if una.before(run.end) { una } else { run.end };
            latest = Some(Arrival { sent_at: run.sent_at, end, resent: false });
            self.start = end;
            if end == run.end {
                self.runs.pop_front();
            }
        }
        if una.after(self.start) {
            self.start = una;
        }
        self.forward = self.start;
        latest
    }

    /// Nothing is in flight that is known here, and all before `una` has arrived.
    #[inline]
    pub(crate) fn pass(&mut self, una: SeqNum) {
        self.start = una;
        self.forward = una;
    }

    /// Whether nothing that is in flight was sent before a run that has arrived, as [`sent_after`] has it.
    #[inline]
    pub(crate) fn is_all_later(&self, sent_at: Instant, end: SeqNum) -> bool {
        // Runs that were sent but once stand in the order in which they were sent.
        self.resent == 0
            && self.runs.front().is_none_or(|run| {
                run.fate == Fate::InFlight
                    && (run.sent_at > sent_at || (run.sent_at == sent_at && !run.end.before(end)))
            })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Everything up to `end` has now been sent, what is new of it for the first time.
    pub(crate) fn on_sent(&mut self, now: Instant, end: SeqNum) {
        if !end.after(self.end()) {
            return;
        }
        let crowded = self.runs.len() >= MAX_SENT_RUNS;
        match self.runs.back_mut() {
            // One train handed down in two parts, or the runs used up: time is kept for the whole.
            Some(last) if last.fate == Fate::InFlight && !last.resent && last.sent_at == now => last.end = end,
            Some(last) if crowded && last.fate == Fate::InFlight && !last.resent => {
                last.end = end;
                last.sent_at = now;
            }
            _ => self.runs.push_back(Run { end, sent_at: now, fate: Fate::InFlight, resent: false }),
        }
    }

    /// The bytes from `start` to `end`, which were believed lost, have been sent again.
    pub(crate) fn on_resent(&mut self, now: Instant, start: SeqNum, end: SeqNum) {
        let (Some(from), Some(to)) = (self.cut(start), self.cut(end)) else { return };
        for index in from..to {
            let len = self.len_of(index);
            let run = &mut self.runs[index];
            match run.fate {
                Fate::Sacked => continue,
                Fate::Lost => self.lost -= len,
                Fate::InFlight => self.resent -= usize::from(run.resent),
            }
            *run = Run { sent_at: now, fate: Fate::InFlight, resent: true, ..*run };
            self.resent += 1;
        }
    }

    /// The first bytes that are believed lost, and one past the last of those that follow without a gap.
    pub(crate) fn next_lost(&self) -> Option<(SeqNum, SeqNum)> {
        if self.lost == 0 {
            return None;
        }
        let first = self.runs.iter().position(|run| run.fate == Fate::Lost)?;
        let followers = self.runs.range(first..).take_while(|run| run.fate == Fate::Lost);
        Some((self.start_of(first), followers.last()?.end))
    }

    /// The last run that is in flight: what a tail-loss probe sends again.
    pub(crate) fn last_in_flight(&self) -> Option<(SeqNum, SeqNum)> {
        let index = self.runs.iter().rposition(|run| run.fate == Fate::InFlight)?;
        Some((self.start_of(index), self.runs[index].end))
    }

    /// Everything before `una` has arrived.
    pub(crate) fn on_ack(&mut self, una: SeqNum, delivered: &mut Delivered) {
        while let Some(run) = self.runs.front().copied() {
            if !una.after(self.start) {
                break;
            }
            let end = if una.before(run.end) { una } else { run.end };
            let len = end - self.start;
            // Of a train that has arrived in part, nothing is known of the rest.
            let arrived = Run { end, ..run };
            match run.fate {
                Fate::Sacked => self.sacked -= len,
                Fate::Lost => {
                    self.lost -= len;
                    self.note(len, &arrived, delivered);
                }
                Fate::InFlight => self.note(len, &arrived, delivered),
            }
            delivered.mended |= run.resent;
            self.start = end;
            if end == run.end {
                self.resent -= usize::from(run.resent && run.fate == Fate::InFlight);
                self.runs.pop_front();
            }
        }
        if una.after(self.start) {
            self.start = una;
        }
        if self.forward.before(self.start) {
            self.forward = self.start;
        }
    }

    fn note(&self, len: u32, run: &Run, delivered: &mut Delivered) {
        delivered.reordered |= !run.resent && run.end.before(self.forward);
        delivered.take(len, run);
    }

    /// The peer has the bytes from `start` to `end`, beyond a gap.
    pub(crate) fn on_sack(&mut self, start: SeqNum, end: SeqNum, delivered: &mut Delivered) {
        // Distances, since comparing says nothing of numbers that are half of the space apart.
        let inside = start - self.start < end - self.start && end - self.start <= self.outstanding();
        // A block that lies about what was sent, or that would cut too finely, says nothing.
        if !inside || self.runs.len() + 2 > MAX_RUNS {
            return;
        }
        let (Some(from), Some(to)) = (self.cut(start), self.cut(end)) else { return };
        for index in from..to {
            let run = self.runs[index];
            let len = self.len_of(index);
            match run.fate {
                Fate::Sacked => continue,
                Fate::Lost => self.lost -= len,
                Fate::InFlight => self.resent -= usize::from(run.resent),
            }
            self.note(len, &run, delivered);
            self.sacked += len;
            self.runs[index].fate = Fate::Sacked;
        }
        if end.after(self.forward) {
            self.forward = end;
        }
        self.join(from, to);
    }

    /// Marks as lost what `is_lost` says of each run in flight; returns how many bytes. `stop` ends the search at runs sent
    /// but once that it does not concern, behind which there are only later ones.
    pub(crate) fn mark_lost(&mut self, mut judge: impl FnMut(&Arrival) -> Judgement) -> u32 {
        let mut marked = 0;
        for index in 0..self.runs.len() {
            let run = self.runs[index];
            if run.fate != Fate::InFlight {
                continue;
            }
            match judge(&Arrival { sent_at: run.sent_at, end: run.end, resent: run.resent }) {
                Judgement::Lost => {
                    let len = self.len_of(index);
                    self.resent -= usize::from(run.resent);
                    self.runs[index].fate = Fate::Lost;
                    self.note_lost(len, run.sent_at);
                    marked += len;
                }
                Judgement::Waits => {}
                Judgement::SentLater if !run.resent && self.resent == 0 => break,
                Judgement::SentLater => {}
            }
        }
        marked
    }

    /// Marks everything that has not arrived as lost: the retransmission timer has expired. `forget` drops also what the
    /// peer has reported beyond gaps.
    pub(crate) fn mark_all_lost(&mut self, forget: bool) {
        for index in 0..self.runs.len() {
            let len = self.len_of(index);
            let run = &mut self.runs[index];
            match run.fate {
                Fate::Lost => continue,
                Fate::Sacked if !forget => continue,
                Fate::Sacked => self.sacked -= len,
                Fate::InFlight => {}
            }
            run.fate = Fate::Lost;
            let sent_at = run.sent_at;
            self.note_lost(len, sent_at);
        }
        self.resent = 0;
    }

    /// Marks the first `len` bytes as lost: what duplicate ACKs say where there is no SACK.
    pub(crate) fn mark_first_lost(&mut self, len: u32) -> u32 {
        let end = self.start + len.min(self.end() - self.start);
        let Some(to) = self.cut(end) else { return 0 };
        let mut marked = 0;
        for index in 0..to {
            if self.runs[index].fate == Fate::InFlight {
                let len = self.len_of(index);
                self.resent -= usize::from(self.runs[index].resent);
                self.runs[index].fate = Fate::Lost;
                let sent_at = self.runs[index].sent_at;
                self.note_lost(len, sent_at);
                marked += len;
            }
        }
        marked
    }

    /// Takes back that anything is lost: it was only late.
    pub(crate) fn mark_none_lost(&mut self) {
        for run in &mut self.runs {
            if run.fate == Fate::Lost {
                run.fate = Fate::InFlight;
                self.resent += usize::from(run.resent);
            }
        }
        self.lost = 0;
    }

    fn start_of(&self, index: usize) -> SeqNum {
        if index == 0 { self.start } else { self.runs[index - 1].end }
    }

    fn len_of(&self, index: usize) -> u32 {
        self.runs[index].end - self.start_of(index)
    }

    /// Sees to it that a run begins at `at`, and returns its index; `None` if `at` lies outside.
    fn cut(&mut self, at: SeqNum) -> Option<usize> {
        let (start, distance) = (self.start, at - self.start);
        if distance == 0 {
            return Some(0);
        }
        if distance > self.outstanding() {
            return None;
        }
        let index = self.runs.partition_point(|run| (run.end - start) < distance);
        if self.runs[index].end == at {
            return Some(index + 1);
        }
        let run = self.runs[index];
        self.resent += usize::from(run.resent && run.fate == Fate::InFlight);
        self.runs.insert(index, Run { end: at, ..run });
        Some(index + 1)
    }

    /// Joins runs from `from` to `to`, and their neighbours, that the peer has: their times no longer matter.
    fn join(&mut self, from: usize, to: usize) {
        let first = from.saturating_sub(1);
        let mut index = to.min(self.runs.len().saturating_sub(1));
        while index > first {
            if self.runs[index].fate == Fate::Sacked && self.runs[index - 1].fate == Fate::Sacked {
                self.runs.remove(index - 1);
            }
            index -= 1;
        }
    }
}

/// What is thought of a run in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is lost.
    Lost,
    /// It may still come.
    Waits,
    /// It was sent after everything that has arrived: nothing is known of it.
    SentLater,
}

#[cfg(test)]
mod tests;
