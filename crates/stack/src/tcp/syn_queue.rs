//! The SYN queue: handshakes that peers have begun and not completed (RFC 9293 section 3.10.7.2, RFC 4987 section 3).
//!
//! An entry is a record of about a hundred bytes, whatever the connection will weigh: the connection and its rings are
//! made when the third segment arrives. All entries that have been answered equally often wait equally long for it, so
//! there is a list for each count in the order of deadlines, and no timer. What stands here for a segment is decided in
//! `half_open`.

use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::HashTable;
use wire::tcp::SeqNum;

use crate::config::TcpConfig;
use crate::link::InterfaceId;
use crate::tcp::ListenerId;
use crate::tcp::demux::{Flow, FlowHasher};
use crate::tcp::handshake::PeerSyn;
use crate::time::Instant;

const NONE: u32 = u32::MAX;
/// RFC 6298 section 2.1: the time-out before anything was measured.
const INITIAL_RTO: Duration = Duration::from_secs(1);
/// With fewer slots than this an empty table keeps its memory.
const KEPT_SLOTS: usize = 64;

/// A handshake that waits for its third segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfOpen {
    pub flow: Flow,
    pub interface: InterfaceId,
    pub listener: ListenerId,
    /// What the peer said in its SYN.
    pub syn: PeerSyn,
    /// Our initial sequence number.
    pub isn: SeqNum,
    /// When the SYN-ACK was last sent.
    pub answered_at: Instant,
    /// How often it was sent again because nothing came.
    pub retries: u8,
    /// It was sent more than once, for whatever reason.
    pub repeated: bool,
    /// Bytes of the SYN's text, and its FIN, that were taken.
    pub taken: u16,
    /// The SYN-ACK brings a Fast Open cookie.
    pub grant: bool,
    /// The connection exists already, by Fast Open.
    pub pending: bool,
    /// The answer to it measures the round trip.
    pub measurable: bool,
}

struct Slot {
    entry: HalfOpen,
    /// The SYN-ACK must be sent (again): the slot stands in its interface's list and not in that of its retries.
    due: bool,
    next: u32,
    prev: u32,
}

#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

const EMPTY: List = List { head: NONE, tail: NONE };

/// All handshakes that wait.
pub(crate) struct SynQueue {
    slots: Vec<Slot>,
    /// The first free slot, linked by `next`.
    free: u32,
    table: HashTable<u32>,
    /// Those that were answered, by retries, each list in the order of answers and so of deadlines.
    waiting: Vec<List>,
    /// Those whose SYN-ACK is due.
    due: Vec<(InterfaceId, List)>,
    /// How many these are: most often none, and every call asks.
    due_len: usize,
}

impl SynQueue {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            table: HashTable::new(),
            waiting: Vec::new(),
            due: Vec::new(),
            due_len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The slot of `flow`.
    pub(crate) fn find(&self, hasher: &FlowHasher, flow: &Flow) -> Option<u32> {
        if self.table.is_empty() {
            return None;
        }
        self.table.find(hasher.of(flow), |&index| self.slots[index as usize].entry.flow == *flow).copied()
    }

    /// The entry in a slot that [`find`](Self::find), [`first_due`](Self::first_due) or a walk gave.
    pub(crate) fn at(&self, index: u32) -> &HalfOpen {
        &self.slots[index as usize].entry
    }

    pub(crate) fn at_mut(&mut self, index: u32) -> &mut HalfOpen {
        &mut self.slots[index as usize].entry
    }

    /// Adds a handshake, of a flow that is not there, whose SYN-ACK is due.
    pub(crate) fn insert(&mut self, hasher: &FlowHasher, entry: HalfOpen) {
        let slot = Slot { entry, due: true, next: NONE, prev: NONE };
        let index = if self.free == NONE {
            self.slots.push(slot);
            self.slots.len() as u32 - 1
        } else {
            let index = self.free;
            self.free = self.slots[index as usize].next;
            self.slots[index as usize] = slot;
            index
        };
        let Self { slots, table, .. } = self;
        let rehash = |&other: &u32| hasher.of_other(&slots[other as usize].entry.flow);
        table.insert_unique(hasher.of(&entry.flow), index, rehash);
        self.link(index);
    }

    pub(crate) fn remove(&mut self, hasher: &FlowHasher, index: u32) -> HalfOpen {
        self.unlink(index);
        let entry = self.slots[index as usize].entry;
        if let Ok(found) = self.table.find_entry(hasher.of(&entry.flow), |&other| other == index) {
            found.remove();
        }
        self.slots[index as usize].next = self.free;
        self.free = index;
        if self.table.is_empty() && self.slots.len() > KEPT_SLOTS {
            // The memory of a flood is given back.
            self.slots = Vec::new();
            self.free = NONE;
            self.table = HashTable::new();
        }
        entry
    }

    /// Takes out all that `wanted` picks.
    pub(crate) fn remove_all(
        &mut self,
        hasher: &FlowHasher,
        mut wanted: impl FnMut(&HalfOpen) -> bool,
    ) -> Vec<HalfOpen> {
        let picked: Vec<u32> =
            self.table.iter().copied().filter(|&index| wanted(&self.slots[index as usize].entry)).collect();
        picked.into_iter().map(|index| self.remove(hasher, index)).collect()
    }

    /// The SYN-ACK of a slot must be sent again, if it does not wait to be sent already.
    pub(crate) fn make_due(&mut self, index: u32) {
        self.unlink(index);
        self.slots[index as usize].due = true;
        self.link(index);
    }

    /// Whether any SYN-ACK waits to be sent by `interface`.
    #[inline]
    pub(crate) fn has_due(&self, interface: InterfaceId) -> bool {
        self.due_len > 0 && self.first_due(interface).is_some()
    }

    /// Whether none waits, by whatever interface.
    #[inline]
    pub(crate) const fn is_silent(&self) -> bool {
        self.due_len == 0
    }

    /// The first whose SYN-ACK waits to be sent by `interface`.
    pub(crate) fn first_due(&self, interface: InterfaceId) -> Option<u32> {
        let list = self.due.iter().find(|(of, _)| *of == interface)?.1;
        (list.head != NONE).then_some(list.head)
    }

    /// The SYN-ACK of a slot has gone out.
    pub(crate) fn answered(&mut self, now: Instant, index: u32) {
        self.unlink(index);
        let slot = &mut self.slots[index as usize];
        slot.due = false;
        slot.entry.answered_at = now;
        self.link(index);
    }

    /// When the next one has waited long enough.
    #[inline]
    pub(crate) fn next_deadline(&self, config: &TcpConfig) -> Instant {
        if self.table.is_empty() { Instant::NEVER } else { self.first_deadline(config) }
    }

    #[inline(never)]
    fn first_deadline(&self, config: &TcpConfig) -> Instant {
        let heads = self.waiting.iter().filter(|list| list.head != NONE);
        heads.map(|list| self.deadline(list.head, config)).min().unwrap_or(Instant::NEVER)
    }

    /// A slot that has waited long enough; it stays where it is until it is removed or made due.
    pub(crate) fn first_expired(&self, now: Instant, config: &TcpConfig) -> Option<u32> {
        if self.table.is_empty() {
            return None;
        }
        let heads = self.waiting.iter().map(|list| list.head).filter(|&head| head != NONE);
        heads.into_iter().find(|&head| self.deadline(head, config) <= now)
    }

    fn deadline(&self, index: u32, config: &TcpConfig) -> Instant {
        let entry = &self.slots[index as usize].entry;
        // RFC 6298 section 5.5: the time-out doubles each time.
        let rto = INITIAL_RTO.max(config.rto_min).saturating_mul(1 << entry.retries.min(16));
        entry.answered_at + rto.min(config.rto_max)
    }

    /// The list that a slot belongs in.
    fn list_of(&mut self, index: u32) -> &mut List {
        let Slot { entry, due, .. } = &self.slots[index as usize];
        if *due {
            // Most engines have one link.
            if let Some((of, _)) = self.due.first()
                && *of == entry.interface
            {
                return &mut self.due[0].1;
            }
            let at = self.due.iter().position(|(of, _)| *of == entry.interface).unwrap_or_else(|| {
                self.due.push((entry.interface, EMPTY));
                self.due.len() - 1
            });
            return &mut self.due[at].1;
        }
        let level = usize::from(entry.retries);
        if self.waiting.len() <= level {
            self.waiting.resize(level + 1, EMPTY);
        }
        &mut self.waiting[level]
    }

    /// Appends a slot to its list.
    fn link(&mut self, index: u32) {
        self.due_len += usize::from(self.slots[index as usize].due);
        let list = self.list_of(index);
        let last = core::mem::replace(&mut list.tail, index);
        if last == NONE {
            list.head = index;
        } else {
            self.slots[last as usize].next = index;
        }
        let slot = &mut self.slots[index as usize];
        slot.prev = last;
        slot.next = NONE;
    }

    fn unlink(&mut self, index: u32) {
        let Slot { next, prev, due, .. } = self.slots[index as usize];
        self.due_len -= usize::from(due);
        if prev == NONE && next == NONE {
            *self.list_of(index) = EMPTY;
            return;
        }
        if prev == NONE {
            self.list_of(index).head = next;
        } else {
            self.slots[prev as usize].next = next;
        }
        if next == NONE {
            self.list_of(index).tail = prev;
        } else {
            self.slots[next as usize].prev = prev;
        }
    }

    /// `interface` is gone; nothing in the queue is of it any more.
    pub(crate) fn forget_interface(&mut self, interface: InterfaceId) {
        self.due.retain(|(of, _)| *of != interface);
    }
}

#[cfg(test)]
mod tests;
