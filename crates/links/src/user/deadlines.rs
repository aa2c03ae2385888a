//! When idle flows end, and which of them goes first when there is no room.
//!
//! Traffic only writes a time into its flow; an entry here is looked at when it falls due and moved on if the flow
//! was active meanwhile. So a datagram costs nothing here, and each flow has one entry.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::table::Key;

/// The deadlines of the flows of one table, the next on top.
#[derive(Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, u64)>>,
}

impl Deadlines {
    /// Watches a flow from now on. Once for each key.
    pub(super) fn insert(&mut self, key: Key, deadline: Instant) {
        self.heap.push(Reverse((deadline, key.to_bits())));
    }

    /// When to call [`expired`](Self::expired) next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|&Reverse((deadline, _))| deadline)
    }

    /// Takes out a flow whose deadline has passed. `deadline_of` tells a flow's deadline as it is now, `None` for a
    /// flow that is gone.
    pub(super) fn expired(&mut self, now: Instant, deadline_of: impl Fn(Key) -> Option<Instant>) -> Option<Key> {
        while self.next()? <= now {
            let (key, deadline) = self.pop(&deadline_of)?;
            if deadline <= now {
                return Some(key);
            }
            self.insert(key, deadline);
        }
        None
    }

    /// Takes out the flow that would end first.
    pub(super) fn earliest(&mut self, deadline_of: impl Fn(Key) -> Option<Instant>) -> Option<Key> {
        loop {
            let (key, deadline) = self.pop(&deadline_of)?;
            match self.next() {
                Some(next) if next < deadline => self.insert(key, deadline),
                _ => return Some(key),
            }
        }
    }

    /// The top entry with its deadline as it is now; entries of flows that are gone are dropped.
    fn pop(&mut self, deadline_of: &impl Fn(Key) -> Option<Instant>) -> Option<(Key, Instant)> {
        loop {
            let Reverse((_, bits)) = self.heap.pop()?;
            let key = Key::from_bits(bits);
            if let Some(deadline) = deadline_of(key) {
                return Some((key, deadline));
            }
        }
    }
}
