//! How a producer finds room, makes it, and maps positions to it: the writing side of `layout`.

use core::hint::cold_path;
use core::ptr::NonNull;

use super::{Producer, SECOND};
use crate::budget::Budget;
use crate::header::{self, Entry, on_heap};
use crate::layout::{ALIGN, Epoch, MAX_LOG2, log2_for};
use crate::memory::Table;
use crate::sync::Ordering;
use crate::{memory, region};

/// How far from slot 0 an empty ring may begin before it is rewound.
const REWIND_AFTER: u64 = 2048;

impl Producer {
    /// Nothing unread, nothing placed ahead: no byte in the ring is alive.
    #[inline]
    pub(super) fn is_drained(&self) -> bool {
        self.ahead == 0 && {
            self.refresh();
            self.head.get() == self.tail && !self.is_poisoned()
        }
    }

    pub(super) fn largest_log2(&self) -> u8 {
        match self.region_log2 {
            0 => memory::largest_log2(self.first_log2).min(MAX_LOG2),
            log2 => log2,
        }
    }

    /// While the consumer has not reached the current epoch: see `layout`, "append".
    #[inline]
    fn is_pending(&self) -> bool {
        self.log2 != 0 && self.head.get() < self.start
    }

    /// What may lie between head and the last byte placed: our limit, or less if the consumer grants less.
    #[inline]
    fn limit_now(&self) -> u64 {
        self.limit_under(self.grant())
    }

    #[inline]
    fn limit_under(&self, grant: u32) -> u64 {
        if grant == u32::MAX { self.limit as u64 } else { (self.limit as u64).min(u64::from(grant)) }
    }

    #[inline(always)]
    fn grant(&self) -> u32 {
        // Relaxed, and taken for what it is: a consumer that lies harms its own stream only.
        self.header().grant.load(Ordering::Relaxed)
    }

    /// The position up to which bytes could be placed, growing if need be.
    #[inline]
    pub(super) fn room_end(&self) -> u64 {
        let limit = self.limit_now();
        let by_limit = self.head.get() + limit;
        if !self.is_pending() {
            return by_limit;
        }
        let log2 = log2_for(limit).min(self.largest_log2()).max(self.log2);
        by_limit.min(self.base + (1 << log2))
    }

    /// The position up to which bytes can be placed without growing.
    #[inline]
    fn mapped_end(&self) -> u64 {
        match self.log2 {
            0 => self.tail,
            log2 if self.is_pending() => self.base + (1 << log2),
            log2 => self.head.get() + (1 << log2),
        }
    }

    /// Makes room for up to `wanted` bytes at the tail and returns for how many.
    pub(super) fn make_room(&mut self, wanted: usize) -> usize {
        if wanted == 0 || self.is_closed_for_writing() {
            return 0;
        }
        let end = self.tail.saturating_add(wanted as u64);
        if end > self.room_end() {
            self.refresh();
            if self.is_poisoned() {
                return 0;
            }
        }
        let mut n = end.min(self.room_end()).saturating_sub(self.tail);
        while n > 0 && !self.prepare(self.tail + n) {
            // The allocator has no more: what there is can still be filled, or less be asked for.
            let mapped = self.mapped_end().saturating_sub(self.tail);
            n = if mapped > 0 { mapped.min(n) } else { n / 2 };
        }
        n as usize
    }

    /// The position of `offset`, when `len` bytes can be placed there.
    #[inline]
    pub(super) fn prepare_at(&mut self, offset: usize, len: usize) -> Option<u64> {
        let at = self.tail.checked_add(offset as u64)?;
        let end = at.checked_add(len as u64)?;
        if len == 0 {
            return Some(at);
        }
        if self.is_closed_for_writing() || end - self.tail > u64::from(u32::MAX) {
            return None;
        }
        if end > self.room_end() {
            self.refresh();
            if self.is_poisoned() || end > self.room_end() {
                return None;
            }
        }
        self.prepare(end).then_some(at)
    }

    /// Where `len` bytes at `offset` behind the published end go, in the usual case of a stream: there is memory and room as far
    /// as is known, they follow what was placed last, and nothing has to be rewound. Returns the first one's place, and how many go
    /// there; the others go where `piece` says. `None` where anything is different.
    #[inline(always)]
    pub(super) fn next_piece(&self, offset: usize, len: usize) -> Option<(NonNull<u8>, usize)> {
        let (head, tail) = (self.head.get(), self.tail);
        // `ahead` keeps the offset within 32 bits.
        let usual =
            self.ahead as usize == offset && self.log2 != 0 && head >= self.start && !self.is_closed_for_writing();
        if !usual || len.wrapping_sub(1) >= u32::MAX as usize {
            return None;
        }
        let end = offset as u64 + len as u64;
        let mask = (1u64 << self.log2) - 1;
        let grant = self.grant();
        let room = (mask + 1).min(self.limit_under(grant));
        let from_base = tail.wrapping_sub(self.base);
        // Relaxed: whoever has caught up is looked at properly by `prepare`.
        let drained = || offset == 0 && self.header().head.load(Ordering::Relaxed) == tail;
        if end > u64::from(u32::MAX) || (tail - head) + end > room || (from_base >= REWIND_AFTER && drained()) {
            return None;
        }
        let slot = (from_base + offset as u64) & mask;
        let (to, chunk) = self.chunk(slot as usize);
        // The first chunk may be larger than the ring.
        let piece = (chunk as u64).min(mask + 1 - slot);
        if len as u64 <= piece {
            let room = (room - (tail - head)).min(u64::from(u32::MAX)) - offset as u64;
            self.keep_run(tail + offset as u64, piece.min(room), to, grant);
        }
        Some((to, piece as usize))
    }

    /// Remembers the memory of the `len` positions from `position` on, at or after the tail: under this grant there is room
    /// for them.
    #[inline(always)]
    fn keep_run(&self, position: u64, len: u64, memory: NonNull<u8>, grant: u32) {
        if let Some(table) = self.table() {
            table.run.set(position, len, memory, u64::from(grant));
        }
    }

    /// Remembers what is left of the piece that the last byte before `position` was placed in, as far as there is room.
    pub(super) fn keep_run_behind(&self, position: u64, piece: Option<(NonNull<u8>, usize)>) {
        let Some((memory, len)) = piece else { return };
        let (size, grant) = (1 << self.log2, self.grant());
        let end = (self.head.get() + self.limit_under(grant).min(size)).min(self.tail + u64::from(u32::MAX));
        // Of an epoch that the consumer has not reached, room and places are looked up each time.
        if !self.is_pending() && position < end {
            self.keep_run(position, (len as u64).min(end - position), memory, grant);
        }
    }

    /// Where `len` bytes at `offset` behind the published end go, if they lie in the piece that the bytes before them led to.
    #[inline(always)]
    pub(super) fn next_in_run(&self, offset: usize, len: usize) -> Option<NonNull<u8>> {
        let Some(position) = self.tail.checked_add(offset as u64) else {
            cold_path();
            return None;
        };
        // Relaxed: whether the consumer has caught up; then the ring may have to be rewound.
        let may_rewind = offset == 0
            && self.tail.wrapping_sub(self.base) >= REWIND_AFTER
            && self.header().head.load(Ordering::Relaxed) == self.tail;
        if may_rewind {
            cold_path();
            return None;
        }
        let Some(table) = self.table() else {
            cold_path();
            return None;
        };
        table.run.find(position, len, u64::from(self.grant()))
    }

    /// The mapping or the limit changes.
    pub(super) fn forget_run(&self) {
        // Without memory there is no run; and before its end, this is not told from a shared region.
        if self.log2 != 0
            && let Some(table) = self.table()
        {
            table.run.forget();
        }
    }

    /// The chunks of a heap ring that has memory.
    #[inline(always)]
    fn table(&self) -> Option<&Table> {
        if self.region_log2 != 0 {
            return None;
        }
        // SAFETY: our header, on the heap. The table is null or one that lives until we free it, for which no span and no other
        // use of `self` may be left.
        unsafe { on_heap(self.header).table.load(Ordering::Relaxed).as_ref() }
    }

    /// Makes all positions before `end`, which is at most `room_end()`, have memory. False when there is none left.
    #[inline]
    fn prepare(&mut self, end: u64) -> bool {
        if self.log2 == 0 {
            return self.begin(end);
        }
        let far = self.tail.wrapping_sub(self.base) >= REWIND_AFTER;
        if far && self.is_drained() {
            self.rewind(self.log2);
        }
        if end <= self.mapped_end() {
            return true;
        }
        // Before taking more memory: perhaps the consumer has made room by now.
        self.refresh();
        if self.is_drained() {
            self.rewind(self.log2);
        }
        end <= self.mapped_end() || self.grow(end)
    }

    /// The first memory, of a ring that is empty.
    fn begin(&mut self, end: u64) -> bool {
        let least = log2_for(end - self.tail);
        let log2 = least.max(self.first_log2);
        if self.allocate(log2) {
            self.rewind(log2);
            return true;
        }
        // There is no memory to spare, but for what was set aside for this ring.
        let reserved = Budget::RESERVED_LOG2;
        let fits = self.region_log2 == 0 && least <= reserved && reserved < log2 && self.allocate(reserved);
        if fits {
            self.rewind(reserved);
        }
        fits
    }

    /// See `layout`, "rewind". Only for a drained ring.
    fn rewind(&mut self, log2: u8) {
        self.forget_run();
        self.log2 = log2;
        self.start = self.tail;
        self.base = self.tail & !(ALIGN - 1);
        self.state.set(self.state.get() & !SECOND);
        let epoch = Epoch { start: self.start, base: self.base, log2 };
        let [first, second] = self.entries();
        first.store(epoch);
        second.clear();
        self.move_version_on();
    }

    /// The mapping has changed: the consumer finds out anew where what is published from now on lies.
    fn move_version_on(&self) {
        if let Some(table) = self.table() {
            // Release: who sees the version sees the entries.
            table.version.store(table.version.load(Ordering::Relaxed) + 1, Ordering::Release);
        }
    }

    /// Changes the size so that positions before `end` fit: see `layout`, "stretch" and "append".
    fn grow(&mut self, end: u64) -> bool {
        self.forget_run();
        let size = 1u64 << self.log2;
        let head = self.head.get();
        if self.is_pending() {
            return self.stretch(self.base, log2_for(end - self.base));
        }
        let log2 = log2_for(end - head);
        let lap = head - (head.wrapping_sub(self.base) & (size - 1));
        if self.tail + u64::from(self.ahead) <= lap + size {
            return self.stretch(lap, log2);
        }
        if !self.allocate(log2) {
            return false;
        }
        self.start = head + size;
        self.base = head;
        self.log2 = log2;
        self.state.set(self.state.get() ^ SECOND);
        let epoch = Epoch { start: self.start, base: self.base, log2 };
        self.entries()[self.current()].store(epoch);
        self.move_version_on();
        true
    }

    fn stretch(&mut self, base: u64, log2: u8) -> bool {
        if !self.allocate(log2) {
            return false;
        }
        self.base = base;
        self.log2 = log2;
        let epoch = Epoch { start: self.start, base, log2 };
        self.entries()[self.current()].store_word(epoch.word());
        self.move_version_on();
        true
    }

    /// Which of the entries is the current epoch.
    #[inline]
    fn current(&self) -> usize {
        usize::from(self.state.get() & SECOND)
    }

    /// The epochs, of a ring that has memory.
    #[inline]
    fn entries(&self) -> &[Entry; 2] {
        // SAFETY: our header, and called only after `allocate`, whose memory lasts until `release`.
        unsafe { header::entries(self.header, self.region_log2 == 0) }
    }

    /// Makes the slots of a size have memory.
    fn allocate(&mut self, log2: u8) -> bool {
        debug_assert!(log2 <= self.largest_log2());
        if self.region_log2 != 0 {
            return log2 <= self.region_log2;
        }
        // SAFETY: we are the producer, and the limit keeps sizes within `largest_log2`.
        unsafe {
            let heap = on_heap(self.header);
            memory::grow(&heap.table, log2, header::budget(self.header))
        }
    }

    /// The slot of a position at or after the tail that `prepare` has covered, and how many positions follow it
    /// without a wrap.
    #[inline(always)]
    pub(super) fn slot_of(&self, position: u64) -> (usize, u64) {
        if position >= self.start {
            let size = 1u64 << self.log2;
            let slot = position.wrapping_sub(self.base) & (size - 1);
            return (slot as usize, size - slot);
        }
        // An append is pending and the byte still belongs to the epoch before. Its base is read back from the
        // header; its size is private, so that not even a wrong base leads outside.
        let size = self.start - self.base;
        let (_, word) = self.entries()[self.current() ^ 1].load();
        let slot = position.wrapping_sub(word >> 6) & (size - 1);
        (slot as usize, (size - slot).min(self.start - position))
    }

    /// The memory of such a position and how many positions follow it in the same piece.
    #[inline(always)]
    pub(super) fn piece(&self, position: u64) -> (NonNull<u8>, usize) {
        let (slot, run) = self.slot_of(position);
        let (pointer, len) = self.chunk(slot);
        (pointer, len.min(run as usize))
    }

    /// The memory of a slot below the current size, and how many follow it without a gap.
    #[inline(always)]
    fn chunk(&self, slot: usize) -> (NonNull<u8>, usize) {
        if self.region_log2 == 0 {
            // SAFETY: `log2 != 0` after `prepare`, so `grow` has made a table that covers the size.
            unsafe { (*on_heap(self.header).table.load(Ordering::Relaxed)).slot(slot) }
        } else {
            // SAFETY: sizes are at most the region's.
            unsafe { region::slot(self.header, self.region_log2, slot) }
        }
    }
}
