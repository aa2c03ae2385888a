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
/// The place of the timer that was armed last.
const APART: u32 = u32::MAX - 1;
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
    /// `level * SLOTS + slot` while armed, or `APART`; `NONE` when the entry is on the free list.
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
    /// The timer that was armed last, which stands in no slot: one that is moved or taken away soon costs nothing but that.
    /// `NONE` if it is gone.
    last: u32,
    /// No timer is due before: what [`next_deadline`](Self::next_deadline) found when it last looked, or something earlier
    /// that has come since; `UNKNOWN` if it has to look. It is asked for after every batch, and seldom changes.
    earliest: Cell<Instant>,
}

/// Stands for the next deadline where it has to be looked for: who rings then is told at once.
const UNKNOWN: Instant = Instant::ZERO;

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
            last: NONE,
            earliest: Cell::new(Instant::NEVER),
        }
    }

    /// Arms a timer. In place of a call, as every connection needs it more than once.
    #[inline(always)]
    pub(crate) fn insert(&mut self, deadline: Instant, key: K) -> TimerId {
        let entry = Entry { deadline, key, next: NONE, prev: NONE, place: APART };
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
        let before = core::mem::replace(&mut self.last, index);
        if before != NONE {
            self.link(before);
        }
        if deadline < self.earliest.get() {
            self.earliest.set(deadline);
        }
        TimerId(index)
    }

    /// Disarms `id`, which must be armed in this wheel or be `NONE`.
    #[inline]
    pub(crate) fn cancel(&mut self, id: TimerId) {
        if id.is_none() {
            return;
        }
        if self.last == id.0 {
            // It stands in no slot.
            self.last = NONE;
            if self.earliest.get() == self.entries[id.0 as usize].deadline {
                self.earliest.set(UNKNOWN);
            }
            self.release(id.0);
            return;
        }
        self.cancel_in_slot(id.0);
    }

    #[inline(never)]
    fn cancel_in_slot(&mut self, index: u32) {
        if self.entries[index as usize].place != NONE {
            self.unlink(index);
            self.release(index);
        }
    }

    /// Moves the armed timer `id` to another deadline.
    pub(crate) fn reschedule(&mut self, id: TimerId, deadline: Instant) {
        if self.last != id.0 {
            self.unlink(id.0);
            self.entries[id.0 as usize].deadline = deadline;
            self.link(id.0);
            return;
        }
        let before = core::mem::replace(&mut self.entries[id.0 as usize].deadline, deadline);
        let earliest = self.earliest.get();
        if self.armed == 1 || deadline < earliest {
            self.earliest.set(deadline);
        } else if before == earliest {
            self.earliest.set(UNKNOWN);
        }
    }

    /// The deadline that `id` is armed for.
    #[inline]
    pub(crate) fn deadline(&self, id: TimerId) -> Instant {
        if id.is_none() { Instant::NEVER } else { self.entries[id.0 as usize].deadline }
    }

    /// When to call [`pop_expired`](Self::pop_expired) next: exact for timers less than about 4 ms away, and never
    /// late for the others; `NEVER` when none is armed. The one that came first may have been taken away since it was looked
    /// for last, where it was further away: then it is early, once.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Instant {
        match self.earliest.get() {
            UNKNOWN => self.look_for_next_deadline(),
            earliest => earliest,
        }
    }

    /// The same without a search: `ZERO` where one is needed.
    #[inline(always)]
    pub(crate) fn known_deadline(&self) -> Instant {
        self.earliest.get()
    }

    // Apart, so that the usual answer costs its caller no registers.
    #[cold]
    #[inline(never)]
    fn look_for_next_deadline(&self) -> Instant {
        let found = self.find_next_deadline();
        self.earliest.set(found);
        found
    }

    fn find_next_deadline(&self) -> Instant {
        let last = self.entries.get(self.last as usize).map_or(Instant::NEVER, |entry| entry.deadline);
        last.min(self.find_next_in_slots())
    }

    fn find_next_in_slots(&self) -> Instant {
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
    #[inline]
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<K> {
        if now < self.earliest.get() { None } else { self.look_for_expired(now) }
    }

    #[cold]
    #[inline(never)]
    fn look_for_expired(&mut self, now: Instant) -> Option<K> {
        if let Some(entry) = self.entries.get(self.last as usize)
            && entry.deadline <= now
        {
            let (index, key) = (self.last, entry.key);
            self.unlink(index);
            self.release(index);
            return Some(key);
        }
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
        self.earliest.set(UNKNOWN);
        self.current = self
            .current
            .max(self.first_slot().map_or(now_tick, |(level, slot)| now_tick.min(self.slot_start(level, slot))));
        None
    }

    /// Spreads a slot whose time has begun over the levels below.
    fn cascade(&mut self, level: usize, slot: usize, start: u64) {
        self.earliest.set(UNKNOWN);
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
        let Some(entry) = self.entries.get_mut(index as usize) else { return };
        let deadline = entry.deadline;
        // A deadline that has passed goes to the slot that is looked at first.
        let at = tick(deadline).max(self.current);
        let differing = at ^ self.current;
        let level = (u64::BITS - (differing | 1).leading_zeros() - 1) / SLOT_BITS;
        let shift = SLOT_BITS * level;
        let slot = (at >> shift) as usize & (SLOTS - 1);
        let place = (level as usize * SLOTS + slot) % self.heads.len();
        let head = core::mem::replace(&mut self.heads[place], index);
        entry.place = place as u32;
        entry.prev = NONE;
        entry.next = head;
        if let Some(next) = self.entries.get_mut(head as usize) {
            next.prev = index;
        }
        self.occupied[level as usize % LEVELS] |= 1 << slot;
        // When the wheel must be looked at on account of it: at its time, or where its slot is to be spread.
        let looked_at = if level == 0 { deadline } else { Instant::from_nanos(at >> shift << shift << TICK_BITS) };
        if looked_at < self.earliest.get() {
            self.earliest.set(looked_at);
        }
    }

    fn unlink(&mut self, index: u32) {
        let Entry { next, prev, place, deadline, .. } = self.entries[index as usize];
        if (place < SLOTS as u32 || place == APART) && self.earliest.get() == deadline {
            // Of the others, one that is gone may ring in vain, once.
            self.earliest.set(UNKNOWN);
        }
        if place == APART {
            self.last = NONE;
            return;
        }
        if let Some(next) = self.entries.get_mut(next as usize) {
            next.prev = prev;
        }
        if let Some(prev) = self.entries.get_mut(prev as usize) {
            prev.next = next;
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
        if self.armed == 0 {
            self.earliest.set(Instant::NEVER);
            if self.entries.len() > KEPT {
                // Nobody holds an id now: what a burst of timers took goes back.
                self.entries = Vec::new();
                self.free = NONE;
            }
        }
    }
}

#[cfg(test)]
mod tests;
