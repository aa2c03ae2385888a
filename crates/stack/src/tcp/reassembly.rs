//! Data that came before its turn (RFC 9293 section 3.10.7.4, seventh step).
//!
//! The bytes themselves lie in the receive ring already, beyond what is published; here stands only which ranges
//! of it are filled. Ranges are disjoint, not adjacent, in order, and at most [`MAX_RANGES`].

use alloc::vec::Vec;

use wire::tcp::SeqNum;

/// Most holes that are remembered. A sender that keeps more open is not helped by more memory.
pub(crate) const MAX_RANGES: usize = 64;

/// What was received out of order.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    ranges: Vec<(SeqNum, SeqNum)>,
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
            return true;
        }
        let first = self.ranges[from].0;
        let last = self.ranges[to - 1].1;
        self.ranges[from] = (earlier(first, start), later(last, end));
        self.ranges.drain(from + 1..to);
        true
    }

    /// `next` has arrived in order; returns where the contiguous data ends now, and forgets what it passes. Nothing that
    /// lies beyond the FIN counts.
    pub(crate) fn advance(&mut self, next: SeqNum) -> SeqNum {
        let passed = self.ranges.partition_point(|range| range.0.at_or_before(next));
        let end = self.ranges[..passed].last().map_or(next, |range| later(range.1, next));
        self.ranges.drain(..passed);
        self.fin.map_or(end, |fin| earlier(fin, end))
    }

    /// Notes that the peer's stream ends at `at`.
    pub(crate) fn set_fin(&mut self, at: SeqNum) {
        self.fin = Some(self.fin.map_or(at, |fin| earlier(fin, at)));
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

fn earlier(a: SeqNum, b: SeqNum) -> SeqNum {
    if b.before(a) { b } else { a }
}

fn later(a: SeqNum, b: SeqNum) -> SeqNum {
    if b.after(a) { b } else { a }
}

#[cfg(test)]
mod tests;
