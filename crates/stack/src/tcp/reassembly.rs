//! Data that came before its turn (RFC 9293 section 3.10.7.4, seventh step).
//!
//! The bytes themselves lie in the receive ring already, beyond what is published; here stands only which ranges
//! of it are filled. Ranges are disjoint, not adjacent, in order, and at most [`MAX_RANGES`].

use alloc::vec::Vec;

use wire::tcp::SeqNum;

/// Most ranges that are remembered. A queue that overflows in slow start drops every other segment of a window: 2,048 ranges
/// are those of six megabytes of such a flight. What comes beyond them is dropped, and counts as lost.
pub(crate) const MAX_RANGES: usize = 2_048;

/// Most ranges that fit an acknowledgement (RFC 2018 section 3).
const REPORTED: usize = 4;

/// What was received out of order.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    ranges: Vec<(SeqNum, SeqNum)>,
    /// A byte of each range that changed lately, the latest first: what SACK reports (RFC 2018 section 4).
    recent: [Option<SeqNum>; REPORTED],
    /// The sequence number of the peer's FIN, when that came early.
    fin: Option<SeqNum>,
}

impl Reassembly {
    /// Notes that `[start, end)` is in the ring; false when there are too many holes already.
    pub(crate) fn insert(&mut self, start: SeqNum, end: SeqNum) -> bool {
        // The first range that ends at or after `start`: the only ones that can touch it come from there on.
        let from = self.ranges.partition_point(|range| range.1.before(start));
        let to = from + self.ranges[from..].partition_point(|range| range.0.at_or_before(end));
        if from == to {
            if self.ranges.len() == MAX_RANGES {
                return false;
            }
            self.ranges.insert(from, (start, end));
            self.note(start, end);
            return true;
        }
        let first = self.ranges[from].0;
        let last = self.ranges[to - 1].1;
        let joined = (first.earlier(start), last.later(end));
        self.ranges[from] = joined;
        self.ranges.drain(from + 1..to);
        self.note(joined.0, joined.1);
        true
    }

    /// Puts the range `[start, end)` first among those that changed lately. What it has swallowed leaves room for others.
    fn note(&mut self, start: SeqNum, end: SeqNum) {
        let mut kept = [None; REPORTED];
        kept[0] = Some(start);
        let others = self.recent.iter().flatten().filter(|at| at.before(start) || at.at_or_after(end));
        for (place, &at) in kept[1..].iter_mut().zip(others) {
            *place = Some(at);
        }
        self.recent = kept;
    }

    /// Ranges that changed lately, the latest first, each once.
    pub(crate) fn recent(&self) -> impl Iterator<Item = (SeqNum, SeqNum)> + '_ {
        self.recent.iter().flatten().filter_map(|&at| self.first_beyond(at).filter(|range| range.0.at_or_before(at)))
    }

    /// The first part of `[start, end)` that is there already.
    pub(crate) fn overlap(&self, start: SeqNum, end: SeqNum) -> Option<(SeqNum, SeqNum)> {
        let range = self.first_beyond(start).filter(|range| range.0.before(end))?;
        Some((range.0.later(start), range.1.earlier(end)))
    }

    /// The first range that ends after `at`.
    fn first_beyond(&self, at: SeqNum) -> Option<(SeqNum, SeqNum)> {
        self.ranges.get(self.ranges.partition_point(|range| range.1.at_or_before(at))).copied()
    }

    /// `next` has arrived in order; returns where the contiguous data ends now, and forgets what it passes. Nothing that
    /// lies beyond the FIN counts.
    pub(crate) fn advance(&mut self, next: SeqNum) -> SeqNum {
        let passed = self.ranges.partition_point(|range| range.0.at_or_before(next));
        let end = self.ranges[..passed].last().map_or(next, |range| range.1.later(next));
        self.ranges.drain(..passed);
        for at in &mut self.recent {
            *at = at.filter(|at| at.after(end));
        }
        self.fin.map_or(end, |fin| fin.earlier(end))
    }

    /// Notes that the peer's stream ends at `at`.
    pub(crate) fn set_fin(&mut self, at: SeqNum) {
        self.fin = Some(self.fin.map_or(at, |fin| fin.earlier(at)));
    }

    /// Whether the FIN follows right after `next`.
    pub(crate) fn fin_is_at(&self, next: SeqNum) -> bool {
        self.fin == Some(next)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.fin.is_none()
    }

    /// How far ahead of `next` the furthest byte is.
    pub(crate) fn bytes(&self) -> u32 {
        self.ranges.iter().map(|range| range.1 - range.0).sum()
    }
}

#[cfg(test)]
mod tests;
