//! The writing half: where bytes enter the ring, and where its memory is made, grown and given back.
//!
//! The application is the producer of a connection's send ring, the engine the producer of its receive ring: the
//! latter uses [`Producer::free`] as the TCP window and [`Producer::write_at`] for segments out of order.

use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;

use wire::checksum::Sum;

use crate::header::{CLOSED, CONSUMER_GONE, FINISHED, Header, PRODUCER_GONE};
use crate::layout::{ALIGN, Epoch, MAX_LOG2, log2_for};
use crate::region::{NotARing, Region};
use crate::span::{MAX_SPANS, Span};
use crate::sync::Ordering;
use crate::{copy, memory, region};

/// How far from slot 0 an empty ring may begin before it is rewound.
const REWIND_AFTER: u64 = 2048;

/// The writing half of a ring.
///
/// A *poisoned* producer (only possible in shared memory, see [`Region`]) takes no bytes and counts its consumer as
/// gone.
pub struct Producer {
    header: NonNull<Header>,
    /// The position after the last byte published; ours, never read back.
    tail: u64,
    /// The position after the last byte placed, out of order or not; at least `tail`.
    hi: u64,
    /// The consumer's position when last looked at; at most `tail`.
    head: Cell<u64>,
    /// Start and base of the current epoch. While `head < start`, `start - base` is the size of the one before.
    start: u64,
    base: u64,
    /// What may lie between head and the last byte placed.
    limit: usize,
    /// The size of the current epoch as a power of two; 0 while there is no memory.
    log2: u8,
    /// The smallest first chunk.
    first_log2: u8,
    /// The slots of a shared region as a power of two; 0 on the heap.
    region_log2: u8,
    /// Which of the header's entries is the current epoch.
    current: u8,
    finished: bool,
    poisoned: Cell<bool>,
}

#[cfg(all(not(loom), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Producer>() == 64);

// SAFETY: the header it points to is shared only with the Consumer, through atomics; the bytes between are handed
// over by release and acquire of head and tail. Cells are reached through `&self` of one thread only (not Sync).
unsafe impl Send for Producer {}

impl Producer {
    /// The writing half of a heap ring.
    ///
    /// # Safety
    /// `header` is a fresh boxed header, which no other Producer uses.
    pub(crate) unsafe fn on_heap(header: NonNull<Header>, limit: usize, first_log2: u8) -> Self {
        let mut producer = Self {
            header,
            tail: 0,
            hi: 0,
            head: Cell::new(0),
            start: 0,
            base: 0,
            limit: 0,
            log2: 0,
            first_log2,
            region_log2: 0,
            current: 0,
            finished: false,
            poisoned: Cell::new(false),
        };
        producer.set_limit(limit);
        producer
    }

    /// The writing half of a ring in shared memory, on which [`Region::create`] was called.
    ///
    /// # Errors
    /// If the memory does not begin with a header of this version.
    ///
    /// # Safety
    /// As for [`Region::new`], and no other Producer was made of this ring, in this process or another that is
    /// trusted.
    pub unsafe fn from_region(region: Region, limit: usize) -> Result<Self, NotARing> {
        region.check()?;
        // SAFETY: the caller's promise; `region_log2` below makes it a ring without heap chunks.
        let mut producer = unsafe { Self::on_heap(region.header, 0, memory::FIRST_LOG2.min(region.log2)) };
        producer.region_log2 = region.log2;
        producer.set_limit(limit);
        Ok(producer)
    }

    /// Copies as much of `bytes` as there is room for, publishes it, and returns how much that was.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let n = self.make_room(bytes.len());
        if n > 0 {
            self.place(self.tail, Span::from_slice(&bytes[..n]));
            self.advance(n);
        }
        n
    }

    /// How many bytes could be written now. It shrinks only by what is written and by a lowered limit, so TCP can
    /// announce it as a window: in all, at least `limit - len()`, except that for a while after the ring grew it
    /// counts only room that needs no second growth.
    pub fn free(&self) -> usize {
        if self.is_closed_for_writing() {
            return 0;
        }
        self.refresh();
        self.room_end().saturating_sub(self.tail) as usize
    }

    /// Copies `bytes` to `offset` behind the published end, not published yet: data that came out of order. Returns
    /// false, and does nothing, if that does not lie wholly within [`Producer::free`]; no bytes fit anywhere.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> bool {
        self.write_span_at(offset, Span::from_slice(bytes))
    }

    /// [`Producer::write_at`] for bytes that lie in another ring.
    pub fn write_span_at(&mut self, offset: usize, span: Span<'_>) -> bool {
        let Some(at) = self.prepare_at(offset, span.len()) else {
            return false;
        };
        self.place(at, span);
        self.placed(at, span.len());
        true
    }

    /// [`Producer::write_at`], returning the RFC 1071 sum of `bytes`, taken in the same pass. None if there is no
    /// room.
    pub fn write_at_and_sum(&mut self, offset: usize, bytes: &[u8]) -> Option<Sum> {
        let at = self.prepare_at(offset, bytes.len())?;
        let mut total = Sum::ZERO;
        let mut done = 0;
        while done < bytes.len() {
            let (to, run) = self.piece(at + done as u64);
            let len = run.min(bytes.len() - done);
            // SAFETY: `piece` gives memory for `run` bytes that the consumer does not read before they are
            // published; `bytes` has `len` left and is not ring memory.
            let sum = unsafe { copy::copy_and_sum(bytes[done..].as_ptr(), to.as_ptr(), len) };
            total += if done % 2 == 0 { sum } else { sum.shifted() };
            done += len;
        }
        self.placed(at, bytes.len());
        Some(total)
    }

    /// Lets the consumer see the next `n` bytes, all of which [`Producer::write_at`] has placed.
    ///
    /// # Panics
    /// If so many have not been placed.
    pub fn publish(&mut self, n: usize) {
        assert!(n as u64 <= self.hi - self.tail, "{n} bytes published, {} placed", self.hi - self.tail);
        self.advance(n);
    }

    /// Room for up to `max` bytes as raw memory, for a system call that scatters (`readv`). May be shorter than
    /// asked, and is empty when there is no room.
    pub fn reserve(&mut self, max: usize) -> Reserved<'_> {
        let room = self.make_room(max);
        let mut pieces = [RawPiece { pointer: NonNull::dangling(), len: 0 }; MAX_SPANS];
        let mut count = 0;
        let mut len = 0;
        while len < room && count < MAX_SPANS {
            let (pointer, run) = self.piece(self.tail + len as u64);
            pieces[count] = RawPiece { pointer, len: run.min(room - len) };
            len += pieces[count].len;
            count += 1;
        }
        Reserved { producer: self, pieces, count, len }
    }

    /// Bytes published and not consumed, as far as the consumer has said.
    pub fn len(&self) -> usize {
        self.refresh();
        (self.tail - self.head.get()) as usize
    }

    /// True when everything published has been consumed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes the ring may hold.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Changes the limit, at any time. What the ring holds beyond a lower limit stays. The most that can be had is
    /// 64 GiB on the heap and the size of the region in shared memory.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(1 << self.largest_log2());
    }

    /// Says that no byte follows those published. From then on the ring takes none.
    pub fn finish(&mut self) {
        self.finished = true;
        // Release: who sees the flag sees the last tail.
        self.header().flags.fetch_or(FINISHED, Ordering::Release);
    }

    /// Whether [`Producer::finish`] was called.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether the consumer has closed or dropped its half, or broke the rules: nobody will read what is written.
    pub fn is_consumer_gone(&self) -> bool {
        self.poisoned.get() || self.header().flags.load(Ordering::Acquire) & (CLOSED | CONSUMER_GONE) != 0
    }

    /// Whether the shared memory was found to hold what no honest consumer writes.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.get()
    }

    /// Gives all memory back if the ring is empty and nothing is placed out of order; says whether it has none now.
    /// A shared region begins again at its first slot; its owner may then punch out the pages.
    pub fn release(&mut self) -> bool {
        if self.log2 == 0 {
            return true;
        }
        if self.poisoned.get() || !self.is_drained() {
            return false;
        }
        let header = self.header();
        for entry in &header.entries {
            entry.clear();
        }
        if self.region_log2 == 0 {
            // SAFETY: head has caught up with tail, so the consumer, which looks at memory only for unread bytes,
            // does not; spans borrow it from looking to consuming, so none is held.
            unsafe { memory::free(&header.table) };
        }
        self.log2 = 0;
        true
    }

    /// Bytes of memory that the ring has now, besides the halves and the header.
    pub fn capacity_allocated(&self) -> usize {
        match (self.region_log2, self.log2) {
            // SAFETY: we are the producer.
            (0, _) => unsafe { memory::allocated(&self.header().table) },
            (_, 0) => 0,
            (_, log2) => 1 << log2,
        }
    }

    /// The stream position after the last byte published: bytes published since the ring was made.
    pub fn position(&self) -> u64 {
        self.tail
    }

    fn header(&self) -> &Header {
        // SAFETY: the header lives until the last half leaves it, or as long as the region does, which outlives us.
        unsafe { self.header.as_ref() }
    }

    fn is_closed_for_writing(&self) -> bool {
        self.finished || self.poisoned.get()
    }

    /// Looks at the consumer's position, once, and takes it if it can be true.
    fn refresh(&self) {
        // Acquire: the consumer has finished reading what lies before it.
        let head = self.header().head.load(Ordering::Acquire);
        if head < self.head.get() || head > self.tail {
            self.poisoned.set(true);
            return;
        }
        self.head.set(head);
    }

    /// Nothing unread, nothing placed ahead: no byte in the ring is alive.
    fn is_drained(&self) -> bool {
        self.hi == self.tail && {
            self.refresh();
            self.head.get() == self.tail && !self.poisoned.get()
        }
    }

    fn largest_log2(&self) -> u8 {
        match self.region_log2 {
            0 => memory::largest_log2(self.first_log2).min(MAX_LOG2),
            log2 => log2,
        }
    }

    /// While the consumer has not reached the current epoch: see `layout`, "append".
    fn is_pending(&self) -> bool {
        self.log2 != 0 && self.head.get() < self.start
    }

    /// The position up to which bytes could be placed, growing if need be.
    fn room_end(&self) -> u64 {
        let by_limit = self.head.get() + self.limit as u64;
        if !self.is_pending() {
            return by_limit;
        }
        let log2 = log2_for(self.limit as u64).min(self.largest_log2()).max(self.log2);
        by_limit.min(self.base + (1 << log2))
    }

    /// The position up to which bytes can be placed without growing.
    fn mapped_end(&self) -> u64 {
        match self.log2 {
            0 => self.tail,
            log2 if self.is_pending() => self.base + (1 << log2),
            log2 => self.head.get() + (1 << log2),
        }
    }

    /// Makes room for up to `wanted` bytes at the tail and returns for how many.
    fn make_room(&mut self, wanted: usize) -> usize {
        if wanted == 0 || self.is_closed_for_writing() {
            return 0;
        }
        let end = self.tail.saturating_add(wanted as u64);
        if end > self.room_end() {
            self.refresh();
            if self.poisoned.get() {
                return 0;
            }
        }
        let end = end.min(self.room_end());
        if end <= self.tail {
            return 0;
        }
        if self.prepare(end) {
            return (end - self.tail) as usize;
        }
        // No memory for more: what there is can still be filled.
        end.min(self.mapped_end()).saturating_sub(self.tail) as usize
    }

    /// The position of `offset`, when `len` bytes can be placed there.
    fn prepare_at(&mut self, offset: usize, len: usize) -> Option<u64> {
        let at = self.tail.checked_add(offset as u64)?;
        let end = at.checked_add(len as u64)?;
        if len == 0 {
            return Some(at);
        }
        if self.is_closed_for_writing() {
            return None;
        }
        if end > self.room_end() {
            self.refresh();
            if self.poisoned.get() || end > self.room_end() {
                return None;
            }
        }
        self.prepare(end).then_some(at)
    }

    /// Makes all positions before `end`, which is at most `room_end()`, have memory. False when there is none left.
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
        if self.is_drained() {
            self.rewind(self.log2);
        }
        end <= self.mapped_end() || self.grow(end)
    }

    /// The first memory, of a ring that is empty.
    fn begin(&mut self, end: u64) -> bool {
        let log2 = log2_for(end - self.tail).max(self.first_log2);
        if !self.allocate(log2) {
            return false;
        }
        self.rewind(log2);
        true
    }

    /// See `layout`, "rewind". Only for a drained ring.
    fn rewind(&mut self, log2: u8) {
        self.log2 = log2;
        self.start = self.tail;
        self.base = self.tail & !(ALIGN - 1);
        self.current = 0;
        let epoch = Epoch { start: self.start, base: self.base, log2 };
        let [first, second] = &self.header().entries;
        first.store(epoch);
        second.clear();
    }

    /// Changes the size so that positions before `end` fit: see `layout`, "stretch" and "append".
    fn grow(&mut self, end: u64) -> bool {
        let size = 1u64 << self.log2;
        let head = self.head.get();
        if self.is_pending() {
            return self.stretch(self.base, log2_for(end - self.base));
        }
        let log2 = log2_for(end - head);
        let lap = head - (head.wrapping_sub(self.base) & (size - 1));
        if self.hi <= lap + size {
            return self.stretch(lap, log2);
        }
        if !self.allocate(log2) {
            return false;
        }
        self.start = head + size;
        self.base = head;
        self.log2 = log2;
        self.current ^= 1;
        let epoch = Epoch { start: self.start, base: self.base, log2 };
        self.header().entries[usize::from(self.current)].store(epoch);
        true
    }

    fn stretch(&mut self, base: u64, log2: u8) -> bool {
        if !self.allocate(log2) {
            return false;
        }
        self.base = base;
        self.log2 = log2;
        let epoch = Epoch { start: self.start, base, log2 };
        self.header().entries[usize::from(self.current)].store_word(epoch.word());
        true
    }

    /// Makes the slots of a size have memory.
    fn allocate(&mut self, log2: u8) -> bool {
        debug_assert!(log2 <= self.largest_log2());
        if self.region_log2 != 0 {
            return log2 <= self.region_log2;
        }
        // SAFETY: we are the producer, and the limit keeps sizes within `largest_log2`.
        unsafe { memory::grow(&self.header().table, log2) }
    }

    /// The slot of a position at or after the tail that `prepare` has covered, and how many positions follow it
    /// without a wrap.
    fn slot_of(&self, position: u64) -> (usize, u64) {
        if position >= self.start {
            let size = 1u64 << self.log2;
            let slot = position.wrapping_sub(self.base) & (size - 1);
            return (slot as usize, size - slot);
        }
        // An append is pending and the byte still belongs to the epoch before. Its base is read back from the
        // header; its size is private, so that not even a wrong base leads outside.
        let size = self.start - self.base;
        let (_, word) = self.header().entries[usize::from(self.current ^ 1)].load();
        let slot = position.wrapping_sub(word >> 6) & (size - 1);
        (slot as usize, (size - slot).min(self.start - position))
    }

    /// The memory of such a position and how many positions follow it in the same piece.
    fn piece(&self, position: u64) -> (NonNull<u8>, usize) {
        let (slot, run) = self.slot_of(position);
        let (pointer, len) = if self.region_log2 == 0 {
            // SAFETY: `log2 != 0` after `prepare`, so `grow` has made a table that covers the size.
            unsafe { (*self.header().table.load(Ordering::Relaxed)).slot(slot) }
        } else {
            // SAFETY: sizes are at most the region's.
            unsafe { region::slot(self.header, self.region_log2, slot) }
        };
        (pointer, len.min(run as usize))
    }

    /// Copies to a position that is prepared.
    fn place(&mut self, at: u64, span: Span<'_>) {
        let mut done = 0;
        while done < span.len() {
            let (to, run) = self.piece(at + done as u64);
            let len = run.min(span.len() - done);
            // SAFETY: `piece` gives memory for `run` bytes that the consumer does not read before they are
            // published; the span has `len` left, and its bytes, of a slice or published, are not those.
            unsafe { copy::copy(span.as_ptr().add(done), to.as_ptr(), len) };
            #[cfg(loom)]
            self.shadow(at + done as u64, len);
            done += len;
        }
    }

    #[cfg(loom)]
    fn shadow(&self, position: u64, len: usize) {
        // SAFETY: as in `piece`.
        let table = unsafe { &*self.header().table.load(Ordering::Relaxed) };
        table.shadow.written(self.slot_of(position).0, len);
    }

    fn placed(&mut self, at: u64, len: usize) {
        if len > 0 {
            self.hi = self.hi.max(at + len as u64);
        }
    }

    fn advance(&mut self, n: usize) {
        self.tail += n as u64;
        self.hi = self.hi.max(self.tail);
        // Release: the bytes and the epochs before it.
        self.header().tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // SAFETY: this half is not used any more.
        unsafe { crate::header::leave(self.header, self.region_log2 == 0, PRODUCER_GONE, CONSUMER_GONE) };
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("position", &self.tail)
            .field("len", &(self.tail - self.head.get()))
            .field("limit", &self.limit)
            .field("finished", &self.finished)
            .field("poisoned", &self.poisoned.get())
            .finish_non_exhaustive()
    }
}

/// A piece of ring memory that may be written to while a [`Reserved`] lasts.
#[derive(Clone, Copy, Debug)]
pub struct RawPiece {
    /// Where it begins; writable for `len` bytes. In shared memory never make a reference of it.
    pub pointer: NonNull<u8>,
    /// Its length in bytes.
    pub len: usize,
}

/// Room at the end of a ring, to be filled from the outside and then committed. Dropped, it has no effect.
#[derive(Debug)]
pub struct Reserved<'a> {
    producer: &'a mut Producer,
    pieces: [RawPiece; MAX_SPANS],
    count: usize,
    len: usize,
}

impl Reserved<'_> {
    /// The pieces in order.
    pub fn as_slice(&self) -> &[RawPiece] {
        &self.pieces[..self.count]
    }

    /// Bytes in all pieces together.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when the ring has no room.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Publishes the first `n` bytes.
    ///
    /// # Panics
    /// If `n` is more than [`Reserved::len`].
    pub fn commit(self, n: usize) {
        assert!(n <= self.len, "{n} bytes committed, {} reserved", self.len);
        self.producer.advance(n);
    }
}
