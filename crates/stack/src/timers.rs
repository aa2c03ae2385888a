//! A hierarchical timing wheel: setting, moving and cancelling a timer costs the same with ten as with a million.
//!
//! After Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987). Eight levels of 64 slots cover the whole
//! range of [`Instant`]. A level-0 slot is 65.536 µs wide; deadlines inside a slot are still kept to the
//! nanosecond, so that a virtual clock sees every timer at its exact time. The lowest occupied level holds the
//! earliest timer, so the next deadline needs no scan over what is idle.
//!
//! Used by `tcp` (one entry a connection, its earliest deadline) and by `link` and `ip` (one a neighbour, one a
//! reassembly).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;

use crate::time::Instant;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 8;
/// A level-0 slot covers 2^16 ns.
const TICK_BITS: u32 = 16;
const NONE: u32 = u32::MAX;
/// Entries that are kept although no timer is armed.
const KEPT: usize = 1_024;

/// Names an armed timer; [`TimerId::NONE`] names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId(u32);

impl TimerId {
    pub(crate) const NONE: Self = Self(NONE);

    pub(crate) fn is_none(self) -> bool {
        self.0 == NONE
    }
}

struct Entry<K> {
    deadline: Instant,
    key: K,
    next: u32,
    prev: u32,
    /// `level * SLOTS + slot` while armed; `NONE` when the entry is on the free list.
    place: u32,
}

/// Timers, each carrying a key that says what it is for.
pub(crate) struct Wheel<K> {
    entries: Vec<Entry<K>>,
    free: u32,
    armed: usize,
    /// The tick up to which every slot has been emptied.
    current: u64,
    occupied: [u64; LEVELS],
    heads: Box<[u32; SLOTS * LEVELS]>,
    /// What [`next_deadline`](Self::next_deadline) last found, until something takes it away: it is asked for after every
    /// batch, and seldom changes.
    earliest: Cell<Option<Instant>>,
}

fn tick(at: Instant) -> u64 {
    at.as_nanos() >> TICK_BITS
}

impl<K: Copy> Wheel<K> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: NONE,
            armed: 0,
            current: 0,
            occupied: [0; LEVELS],
            heads: Box::new([NONE; SLOTS * LEVELS]),
            earliest: Cell::new(Some(Instant::NEVER)),
        }
    }

    /// Arms a timer.
    pub(crate) fn insert(&mut self, deadline: Instant, key: K) -> TimerId {
        let entry = Entry { deadline, key, next: NONE, prev: NONE, place: NONE };
        let index = if self.free == NONE {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        } else {
            let index = self.free;
            self.free = self.entries[index as usize].next;
            self.entries[index as usize] = entry;
            index
        };
        self.armed += 1;
        self.link(index);
        TimerId(index)
    }

    /// Disarms `id`, which must be armed in this wheel or be `NONE`.
    pub(crate) fn cancel(&mut self, id: TimerId) {
        if id.is_none() || self.entries[id.0 as usize].place == NONE {
            return;
        }
        self.unlink(id.0);
        self.release(id.0);
    }

    /// Moves the armed timer `id` to another deadline.
    pub(crate) fn reschedule(&mut self, id: TimerId, deadline: Instant) {
        self.unlink(id.0);
        self.entries[id.0 as usize].deadline = deadline;
        self.link(id.0);
    }

    /// The deadline that `id` is armed for.
    #[inline]
    pub(crate) fn deadline(&self, id: TimerId) -> Instant {
        if id.is_none() { Instant::NEVER } else { self.entries[id.0 as usize].deadline }
    }

    /// When to call [`pop_expired`](Self::pop_expired) next: exact for timers less than about 4 ms away, and never
    /// late for the others; `NEVER` when none is armed.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Instant {
        match self.earliest.get() {
            Some(earliest) => earliest,
            None => self.look_for_next_deadline(),
        }
    }

    // Apart, so that the usual answer costs its caller no registers.
    #[inline(never)]
    fn look_for_next_deadline(&self) -> Instant {
        let found = self.find_next_deadline();
        self.earliest.set(Some(found));
        found
    }

    fn find_next_deadline(&self) -> Instant {
        let Some((level, slot)) = self.first_slot() else { return Instant::NEVER };
        if level > 0 {
            return Instant::from_nanos(self.slot_start(level, slot) << TICK_BITS);
        }
        let mut earliest = Instant::NEVER;
        let mut at = self.heads[slot];
        while at != NONE {
            let entry = &self.entries[at as usize];
            earliest = earliest.min(entry.deadline);
            at = entry.next;
        }
        earliest
    }

    /// Disarms one timer whose time has come and returns its key; `None` when there is no other.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<K> {
        let now_tick = tick(now);
        while let Some((level, slot)) = self.first_slot() {
            let start = self.slot_start(level, slot);
            // What was armed for a time before `current` stands in that slot: the clock may have leapt ahead and returned.
            if start > now_tick && start != self.current {
                break;
            }
            if level == 0 {
                let mut at = self.heads[slot];
                while at != NONE {
                    let Entry { deadline, key, next, .. } = self.entries[at as usize];
                    if deadline <= now {
                        self.unlink(at);
                        self.release(at);
                        return Some(key);
                    }
                    at = next;
                }
                break;
            }
            self.cascade(level, slot, start);
        }
        // Slots are counted from `current`, so that another may come first, or the same be nearer.
        self.earliest.set(None);
        self.current = self
            .current
            .max(self.first_slot().map_or(now_tick, |(level, slot)| now_tick.min(self.slot_start(level, slot))));
        None
    }

    /// Spreads a slot whose time has begun over the levels below.
    fn cascade(&mut self, level: usize, slot: usize, start: u64) {
        self.earliest.set(None);
        self.current = self.current.max(start);
        let place = level * SLOTS + slot;
        let mut at = core::mem::replace(&mut self.heads[place], NONE);
        self.occupied[level] &= !(1 << slot);
        while at != NONE {
            let next = self.entries[at as usize].next;
            self.link(at);
            at = next;
        }
    }

    /// The occupied slot that comes first. All slots of a level lie after those of the level below.
    fn first_slot(&self) -> Option<(usize, usize)> {
        let level = self.occupied.iter().position(|&bits| bits != 0)?;
        Some((level, self.occupied[level].trailing_zeros() as usize))
    }

    /// The tick at which a slot begins.
    fn slot_start(&self, level: usize, slot: usize) -> u64 {
        let shift = SLOT_BITS * level as u32;
        let above = shift + SLOT_BITS;
        let base = if above >= u64::BITS { 0 } else { self.current >> above << above };
        base | (slot as u64) << shift
    }

    fn link(&mut self, index: u32) {
        // A deadline that has passed goes to the slot that is looked at first.
        let at = tick(self.entries[index as usize].deadline).max(self.current);
        let differing = at ^ self.current;
        let level = (u64::BITS - (differing | 1).leading_zeros() - 1) / SLOT_BITS;
        let slot = (at >> (SLOT_BITS * level)) as usize & (SLOTS - 1);
        let place = level as usize * SLOTS + slot;
        let head = self.heads[place];
        let entry = &mut self.entries[index as usize];
        entry.place = place as u32;
        entry.prev = NONE;
        entry.next = head;
        if head != NONE {
            self.entries[head as usize].prev = index;
        }
        self.heads[place] = index;
        self.occupied[level as usize] |= 1 << slot;
        let waits_until = self.waits_until(place, self.entries[index as usize].deadline);
        if self.earliest.get().is_some_and(|earliest| waits_until < earliest) {
            self.earliest.set(Some(waits_until));
        }
    }

    /// When the wheel must be looked at on account of a timer in `place`.
    fn waits_until(&self, place: usize, deadline: Instant) -> Instant {
        match place / SLOTS {
            0 => deadline,
            level => Instant::from_nanos(self.slot_start(level, place % SLOTS) << TICK_BITS),
        }
    }

    fn unlink(&mut self, index: u32) {
        let Entry { next, prev, place, deadline, .. } = self.entries[index as usize];
        if self.earliest.get() == Some(self.waits_until(place as usize, deadline)) {
            self.earliest.set(None);
        }
        if next != NONE {
            self.entries[next as usize].prev = prev;
        }
        if prev != NONE {
            self.entries[prev as usize].next = next;
            return;
        }
        let place = place as usize;
        self.heads[place] = next;
        if next == NONE {
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        }
    }

    fn release(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.place = NONE;
        entry.next = self.free;
        self.free = index;
        self.armed -= 1;
        if self.armed == 0 && self.entries.len() > KEPT {
            // Nobody holds an id now: what a burst of timers took goes back.
            self.entries = Vec::new();
            self.free = NONE;
        }
    }
}

#[cfg(test)]
mod tests;
