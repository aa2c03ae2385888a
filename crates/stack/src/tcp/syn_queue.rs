//! The SYN queue: handshakes that peers have begun and not completed (RFC 9293 section 3.10.7.2, RFC 4987 section 3).
//!
//! An entry is a record of about a hundred bytes, whatever the connection will weigh: the connection and its rings are
//! made when the third segment arrives. All entries that have been answered equally often wait equally long for it, so
//! there is a list for each count in the order of deadlines, and no timer. `demux` finds them by their flows, and what
//! stands here for a segment is decided in `half_open`.

use alloc::vec::Vec;
use core::cell::Cell;
use core::hint::cold_path;

use wire::tcp::{SeqNum, UserTimeout};

use crate::link::InterfaceId;
use crate::tcp::ListenerId;
use crate::tcp::demux::Flow;
use crate::tcp::handshake::PeerSyn;
use crate::tcp::tuning::Tuning;
use crate::time::Instant;

const NONE: u32 = u32::MAX;
/// RFC 6298 section 2.1: the time-out before anything was measured.
const INITIAL_RTO: u64 = 1_000_000_000;
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
    /// What the SYN said of the peer's user timeout (RFC 5482).
    pub user_timeout: Option<UserTimeout>,
    /// One side tells the other something that few do, a cookie or a user timeout: it goes no short way.
    pub says_more: bool,
    /// The answer to it measures the round trip.
    pub measurable: bool,
}

struct Slot {
    entry: HalfOpen,
    /// The flow's hash, as far as the table of flows keeps it.
    hash: u32,
    /// The list that it stands in: [`waiting`], [`due`] or [`NONE`], where it is free.
    list: u32,
    next: u32,
    prev: u32,
}

#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

const EMPTY: List = List { head: NONE, tail: NONE };

/// The list of those that were answered so often and nothing came back.
#[inline]
const fn waiting(retries: u8) -> u32 {
    2 * retries as u32
}

/// The list of those whose SYN-ACK is to leave by `interface`.
#[inline]
fn due(interface: InterfaceId) -> u32 {
    2 * interface.index() + 1
}

/// How long one is waited for that was answered so often in vain, in nanoseconds.
#[inline]
fn patience(retries: u8, config: &Tuning) -> u64 {
    // RFC 6298 section 5.5: the time-out doubles each time.
    INITIAL_RTO.max(config.least_rto).saturating_mul(1 << retries.min(16)).min(config.most_rto)
}

/// All handshakes that wait.
pub(crate) struct SynQueue {
    slots: Vec<Slot>,
    /// The first free slot, linked by `next`.
    free: u32,
    /// Slots that are not free.
    len: usize,
    /// [`waiting`], each in the order of answers and so of deadlines, and [`due`].
    lists: Vec<List>,
    /// How many are due: most often none, and every call asks.
    due_len: usize,
    /// None has waited long enough before: when the next one has, or one that is gone would have; `UNKNOWN` if it has to be
    /// looked for.
    earliest: Cell<Instant>,
}

/// Stands for the next deadline where it has to be looked for.
const UNKNOWN: Instant = Instant::ZERO;

impl SynQueue {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            len: 0,
            lists: Vec::new(),
            due_len: 0,
            earliest: Cell::new(Instant::NEVER),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The entry in a slot that [`insert`](Self::insert), [`first_due`](Self::first_due) or a walk gave.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> &HalfOpen {
        &self.slots[index as usize].entry
    }

    /// The hash of its flow.
    #[inline]
    pub(crate) fn hash_at(&self, index: u32) -> u32 {
        self.slots[index as usize].hash
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> &mut HalfOpen {
        &mut self.slots[index as usize].entry
    }

    /// Adds a handshake, of a flow with this hash, whose SYN-ACK is due on `interface`. Returns its slot. In place of a call: an
    /// entry is large, and so is made where it will stand.
    #[inline(always)]
    pub(crate) fn insert(&mut self, interface: InterfaceId, hash: u32, entry: impl FnOnce() -> HalfOpen) -> u32 {
        let list = due(interface);
        if self.free == NONE {
            cold_path();
            return self.push(entry(), hash, list);
        }
        let index = self.free;
        let slot = &mut self.slots[index as usize];
        self.free = slot.next;
        slot.entry = entry();
        slot.hash = hash;
        self.len += 1;
        self.link(index, list);
        index
    }

    #[inline(never)]
    fn push(&mut self, entry: HalfOpen, hash: u32, list: u32) -> u32 {
        let index = self.slots.len() as u32;
        self.slots.push(Slot { entry, hash, list, next: NONE, prev: NONE });
        self.len += 1;
        self.link(index, list);
        index
    }

    /// Takes a handshake out.
    pub(crate) fn remove(&mut self, index: u32) -> HalfOpen {
        let entry = *self.at(index);
        self.release(index);
        entry
    }

    /// The same for who needs it no more.
    #[inline(always)]
    pub(crate) fn release(&mut self, index: u32) {
        self.unlink(index);
        self.len -= 1;
        let slot = &mut self.slots[index as usize];
        slot.list = NONE;
        slot.next = self.free;
        self.free = index;
        if self.len == 0 {
            self.earliest.set(Instant::NEVER);
            if self.slots.len() > KEPT_SLOTS {
                // The memory of a flood is given back.
                self.slots = Vec::new();
                self.free = NONE;
            }
        }
    }

    /// The slots of those that `wanted` picks.
    pub(crate) fn pick(&self, mut wanted: impl FnMut(&HalfOpen) -> bool) -> Vec<u32> {
        let slots = (0..).zip(&self.slots).filter(|(_, slot)| slot.list != NONE && wanted(&slot.entry));
        slots.map(|(index, _)| index).collect()
    }

    /// The SYN-ACK of a slot must be sent again, if it does not wait to be sent already.
    pub(crate) fn make_due(&mut self, index: u32) {
        self.unlink(index);
        self.link(index, due(self.at(index).interface));
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

    /// How many SYN-ACKs wait to be sent.
    #[inline]
    pub(crate) const fn due_len(&self) -> usize {
        self.due_len
    }

    /// The first whose SYN-ACK waits to be sent by `interface`.
    #[inline]
    pub(crate) fn first_due(&self, interface: InterfaceId) -> Option<u32> {
        let list = self.lists.get(due(interface) as usize)?;
        (list.head != NONE).then_some(list.head)
    }

    /// The SYN-ACK of a slot has gone out.
    #[inline(always)]
    pub(crate) fn answered(&mut self, now: Instant, index: u32, config: &Tuning) {
        self.unlink(index);
        let entry = self.at_mut(index);
        entry.answered_at = now;
        let retries = entry.retries;
        self.link(index, waiting(retries));
        let deadline = now.after_nanos(patience(retries, config));
        if deadline < self.earliest.get() {
            self.earliest.set(deadline);
        }
    }

    /// When the next one has waited long enough, as far as it is known: `ZERO` where it has to be looked for.
    #[inline(always)]
    pub(crate) fn known_deadline(&self) -> Instant {
        self.earliest.get()
    }

    /// When to look for one that has waited long enough: never late, and early at most once where the one that came first is
    /// gone.
    pub(crate) fn next_deadline(&self, config: &Tuning) -> Instant {
        if self.earliest.get() == UNKNOWN {
            let deadlines = self.longest_waiting().map(|index| self.deadline(index, config));
            self.earliest.set(deadlines.min().unwrap_or(Instant::NEVER));
        }
        self.earliest.get()
    }

    /// A slot that has waited long enough; it stays where it is until it is removed or made due.
    #[inline]
    pub(crate) fn first_expired(&self, now: Instant, config: &Tuning) -> Option<u32> {
        if now < self.earliest.get() { None } else { self.look_for_expired(now, config) }
    }

    #[inline(never)]
    fn look_for_expired(&self, now: Instant, config: &Tuning) -> Option<u32> {
        self.earliest.set(UNKNOWN);
        self.longest_waiting().find(|&index| self.deadline(index, config) <= now)
    }

    /// The first of each list of those that were answered.
    fn longest_waiting(&self) -> impl Iterator<Item = u32> {
        self.lists.iter().step_by(2).map(|list| list.head).filter(|&head| head != NONE)
    }

    fn deadline(&self, index: u32, config: &Tuning) -> Instant {
        let entry = &self.slots[index as usize].entry;
        entry.answered_at.after_nanos(patience(entry.retries, config))
    }

    /// Appends a slot to a list.
    #[inline]
    fn link(&mut self, index: u32, list: u32) {
        self.due_len += list as usize % 2;
        let slot = &mut self.slots[index as usize];
        slot.list = list;
        slot.next = NONE;
        let Some(list) = self.lists.get_mut(list as usize) else { return self.begin_list(index, list) };
        slot.prev = core::mem::replace(&mut list.tail, index);
        match slot.prev {
            NONE => list.head = index,
            last => self.slots[last as usize].next = index,
        }
    }

    /// [`link`](Self::link) to a list that there never was.
    #[cold]
    fn begin_list(&mut self, index: u32, list: u32) {
        self.slots[index as usize].prev = NONE;
        self.lists.resize(list as usize + 1, EMPTY);
        self.lists[list as usize] = List { head: index, tail: index };
    }

    #[inline]
    fn unlink(&mut self, index: u32) {
        let Slot { next, prev, list, .. } = self.slots[index as usize];
        self.due_len -= list as usize % 2;
        let list = &mut self.lists[list as usize];
        match prev {
            NONE => list.head = next,
            prev => self.slots[prev as usize].next = next,
        }
        match next {
            NONE => list.tail = prev,
            next => self.slots[next as usize].prev = prev,
        }
    }
}

#[cfg(test)]
mod tests;
