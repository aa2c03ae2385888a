//! The writing half: where bytes enter the ring, and where its memory is made, grown and given back.
//!
//! The application is the producer of a connection's send ring, the engine the producer of its receive ring: the
//! latter uses [`Producer::free`] as the TCP window and [`Producer::write_at`] for segments out of order.

mod reserved;
mod room;

use alloc::sync::Arc;
use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;

use wire::checksum::Sum;

use crate::budget::Budget;
use crate::header::{self, CLOSED, CONSUMER_GONE, Entry, FINISHED, Header, MARKED, PRODUCER_GONE, in_region, on_heap};
use crate::region::{NotARing, Region};
use crate::span::Span;
use crate::sync::Ordering;
use crate::{copy, memory};

pub use reserved::{RawPiece, Reserved};

/// The writing half of a ring.
///
/// A *poisoned* producer (only possible in shared memory, see [`Region`]) takes no bytes and counts its consumer as
/// gone.
pub struct Producer {
    header: NonNull<Header>,
    /// The position after the last byte published; ours, never read back.
    tail: u64,
    /// The consumer's position when last looked at; at most `tail`.
    head: Cell<u64>,
    /// Start and base of the current epoch. While `head < start`, `start - base` is the size of the one before.
    start: u64,
    base: u64,
    /// What may lie between head and the last byte placed.
    limit: usize,
    /// How far beyond `tail` the last byte lies that was placed, out of order.
    ahead: u32,
    /// The size of the current epoch as a power of two; 0 while there is no memory.
    log2: u8,
    /// The smallest first chunk.
    first_log2: u8,
    /// The slots of a shared region as a power of two; 0 on the heap.
    region_log2: u8,
    /// [`SECOND`], [`ENDED`], [`POISONED`].
    state: Cell<u8>,
}

/// The current epoch stands in the second of the header's entries.
const SECOND: u8 = 1;
/// [`Producer::finish`] was called.
const ENDED: u8 = 2;
/// The consumer broke the rules.
const POISONED: u8 = 4;

#[cfg(all(not(loom), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Producer>() == 56);

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
            head: Cell::new(0),
            start: 0,
            base: 0,
            limit: 0,
            ahead: 0,
            log2: 0,
            first_log2,
            region_log2: 0,
            state: Cell::new(0),
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
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        if let Some(to) = self.next_in_run(0, bytes.len()) {
            self.write_piece(bytes, to);
            return bytes.len();
        }
        self.write_some(bytes)
    }

    /// [`Producer::write`] where the place has to be found, and there may not be room for all.
    #[cold]
    #[inline(never)]
    fn write_some(&mut self, bytes: &[u8]) -> usize {
        if let Some((to, piece)) = self.next_piece(0, bytes.len())
            && bytes.len() <= piece
        {
            self.write_piece(bytes, to);
            return bytes.len();
        }
        let n = self.make_room(bytes.len());
        if n > 0 {
            self.place(self.tail, Span::from_slice(&bytes[..n]));
            self.advance(n);
        }
        n
    }

    /// Copies and publishes bytes that go to one piece.
    #[inline(always)]
    fn write_piece(&mut self, bytes: &[u8], to: NonNull<u8>) {
        // SAFETY: as in `place`, for one piece.
        unsafe { copy::copy(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
        #[cfg(loom)]
        self.shadow(self.tail, bytes.len());
        self.advance(bytes.len());
    }

    /// How many bytes could be written now. It shrinks only by what is written and by a lowered limit, so TCP can
    /// announce it as a window: in all, at least `limit - len()`, except that for a while after the ring grew it
    /// counts only room that needs no second growth.
    #[inline]
    pub fn free(&self) -> usize {
        if self.is_closed_for_writing() {
            return 0;
        }
        self.refresh();
        if self.is_poisoned() {
            return 0;
        }
        self.room_end().saturating_sub(self.tail) as usize
    }

    /// Copies `bytes` to `offset` behind the published end, not published yet: data that came out of order. Returns
    /// false, and does nothing, if that does not lie wholly within [`Producer::free`], or 4 GiB ahead; no bytes fit anywhere.
    #[inline(always)]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> bool {
        self.write_span_at(offset, Span::from_slice(bytes))
    }

    /// [`Producer::write_at`] for bytes that lie in another ring.
    #[inline(always)]
    pub fn write_span_at(&mut self, offset: usize, span: Span<'_>) -> bool {
        if !span.is_empty()
            && let Some(to) = self.next_in_run(offset, span.len())
        {
            // SAFETY: as in `place`, for one piece.
            unsafe { copy::copy(span.as_ptr(), to.as_ptr(), span.len()) };
            self.placed_in_piece(offset, span.len());
            return true;
        }
        self.write_span_anywhere(offset, span)
    }

    /// [`Producer::write_span_at`] where the place has to be found.
    #[cold]
    #[inline(never)]
    fn write_span_anywhere(&mut self, offset: usize, span: Span<'_>) -> bool {
        let at = match self.next_piece(offset, span.len()) {
            Some((to, piece)) if span.len() <= piece => {
                // SAFETY: as in `place`, for one piece.
                unsafe { copy::copy(span.as_ptr(), to.as_ptr(), span.len()) };
                self.placed_in_piece(offset, span.len());
                return true;
            }
            Some((to, piece)) => {
                let at = self.tail + offset as u64;
                let (rest_to, rest_piece) = self.piece(at + piece as u64);
                let rest = span.len() - piece;
                // It ends in the next piece, but where pieces are tiny.
                if rest <= rest_piece {
                    // SAFETY: as in `place`, for two pieces.
                    unsafe {
                        copy::copy(span.as_ptr(), to.as_ptr(), piece);
                        copy::copy(span.as_ptr().add(piece), rest_to.as_ptr(), rest);
                    }
                    self.placed_in_piece(offset, piece);
                    self.placed_in_piece(offset + piece, rest);
                    // SAFETY: within the piece, or at its end.
                    let behind = (unsafe { rest_to.add(rest) }, rest_piece - rest);
                    self.keep_run_behind(at + span.len() as u64, Some(behind));
                    return true;
                }
                at
            }
            None => match self.prepare_at(offset, span.len()) {
                Some(at) => at,
                None => return false,
            },
        };
        let behind = self.place(at, span);
        self.placed(at, span.len());
        self.keep_run_behind(at + span.len() as u64, behind);
        true
    }

    /// [`Producer::write_at`], returning the RFC 1071 sum of `bytes`, taken in the same pass. None if there is no
    /// room.
    #[inline(always)]
    pub fn write_at_and_sum(&mut self, offset: usize, bytes: &[u8]) -> Option<Sum> {
        if !bytes.is_empty()
            && let Some(to) = self.next_in_run(offset, bytes.len())
        {
            // SAFETY: as in `place`, for one piece.
            let sum = unsafe { copy::copy_and_sum(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
            self.placed_in_piece(offset, bytes.len());
            return Some(sum);
        }
        self.write_anywhere_and_sum(offset, bytes)
    }

    /// [`Producer::write_at_and_sum`] where the place has to be found.
    #[cold]
    #[inline(never)]
    fn write_anywhere_and_sum(&mut self, offset: usize, bytes: &[u8]) -> Option<Sum> {
        let at = match self.next_piece(offset, bytes.len()) {
            Some((to, piece)) if bytes.len() <= piece => {
                // SAFETY: as below, for one piece.
                let sum = unsafe { copy::copy_and_sum(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
                self.placed_in_piece(offset, bytes.len());
                return Some(sum);
            }
            Some(_) => self.tail + offset as u64,
            None => self.prepare_at(offset, bytes.len())?,
        };
        let mut total = Sum::ZERO;
        let mut done = 0;
        let mut behind = None;
        while done < bytes.len() {
            let (to, run) = self.piece(at + done as u64);
            let len = run.min(bytes.len() - done);
            // SAFETY: `piece` gives memory for `run` bytes that the consumer does not read before they are
            // published; `bytes` has `len` left and is not ring memory.
            let sum = unsafe { copy::copy_and_sum(bytes[done..].as_ptr(), to.as_ptr(), len) };
            total += if done % 2 == 0 { sum } else { sum.shifted() };
            done += len;
            // SAFETY: within the piece, or at its end.
            behind = Some((unsafe { to.add(len) }, run - len));
        }
        self.placed(at, bytes.len());
        self.keep_run_behind(at + bytes.len() as u64, behind);
        Some(total)
    }

    /// Lets the consumer see the next `n` bytes, all of which [`Producer::write_at`] has placed.
    ///
    /// # Panics
    /// If so many have not been placed.
    #[inline]
    pub fn publish(&mut self, n: usize) {
        assert!(n <= self.ahead as usize, "{n} bytes published, {} placed", self.ahead);
        self.advance(n);
    }

    /// Room for up to `max` bytes as raw memory, for a system call that scatters (`readv`). May be shorter than
    /// asked, and is empty when there is no room.
    pub fn reserve(&mut self, max: usize) -> Reserved<'_> {
        Reserved::new(self, max)
    }

    /// Bytes published and not consumed, as far as the consumer has said.
    #[inline]
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

    /// Bytes that the ring may hold without taking more memory.
    pub fn capacity(&self) -> usize {
        if self.log2 == 0 { 0 } else { 1 << self.log2 }
    }

    /// Changes the limit, at any time. What the ring holds beyond a lower limit stays. The most that can be had is
    /// 64 GiB on the heap and the size of the region in shared memory.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(1 << self.largest_log2());
        self.forget_run();
    }

    /// Lets the ring's memory be taken from `budget` from now on. The caller has reserved [`Budget::RESERVED`] bytes of it,
    /// which the ring gives back when both halves are gone. False, and no change, if the ring has a budget already, or
    /// lies in a shared region, whose memory is there from the beginning.
    #[inline]
    pub fn set_budget(&self, budget: &Arc<Budget>) -> bool {
        // SAFETY: our header, on the heap.
        self.region_log2 == 0 && unsafe { header::set_budget(self.header, budget) }
    }

    /// Says that no byte follows those published. From then on the ring takes none.
    pub fn finish(&mut self) {
        self.forget_run();
        self.state.set(self.state.get() | ENDED);
        // Release: who sees the flag sees the last tail.
        self.header().flags.fetch_or(FINISHED, Ordering::Release);
    }

    /// Says that there is something to know about bytes that will be published from now on, which the consumer learns by
    /// another way than the ring and should not read past before; or that it has been told.
    pub fn mark(&self, on: bool) {
        // Release: who sees a byte published after the mark sees the mark, and who sees it taken back sees what was told.
        if on {
            self.header().flags.fetch_or(MARKED, Ordering::Release);
        } else {
            self.header().flags.fetch_and(!MARKED, Ordering::Release);
        }
    }

    /// Whether [`Producer::finish`] was called.
    pub fn is_finished(&self) -> bool {
        self.state.get() & ENDED != 0
    }

    /// Whether the consumer has closed or dropped its half, or broke the rules: nobody will read what is written.
    pub fn is_consumer_gone(&self) -> bool {
        self.is_poisoned() || self.header().flags.load(Ordering::Acquire) & (CLOSED | CONSUMER_GONE) != 0
    }

    /// Whether the shared memory was found to hold what no honest consumer writes.
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.state.get() & POISONED != 0
    }

    /// Gives all memory back if the ring is empty and nothing is placed out of order; says whether it has none now.
    /// A shared region begins again at its first slot; its owner may then punch out the pages.
    pub fn release(&mut self) -> bool {
        if self.log2 == 0 {
            return true;
        }
        if self.is_poisoned() || !self.is_drained() {
            return false;
        }
        if self.region_log2 != 0 {
            // SAFETY: our header, in a region.
            unsafe { in_region(self.header) }.entries.iter().for_each(Entry::clear);
        } else {
            // SAFETY: head has caught up with tail, so the consumer, which looks at memory only for unread bytes,
            // does not; spans borrow it from looking to consuming, so none is held.
            unsafe {
                let heap = on_heap(self.header);
                memory::free(&heap.table, header::budget(self.header));
            }
        }
        self.log2 = 0;
        true
    }

    /// Whether [`Producer::release`] would give memory back.
    #[inline]
    pub fn is_spare(&self) -> bool {
        self.log2 != 0 && self.is_drained()
    }

    /// Bytes of memory that the ring has now, besides the halves and the header.
    pub fn capacity_allocated(&self) -> usize {
        match (self.region_log2, self.log2) {
            // SAFETY: we are the producer.
            (0, _) => unsafe { memory::allocated(&on_heap(self.header).table) },
            (_, 0) => 0,
            (_, log2) => 1 << log2,
        }
    }

    /// The stream position after the last byte published: bytes published since the ring was made.
    pub fn position(&self) -> u64 {
        self.tail
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the header lives until the last half leaves it, or as long as the region does, which outlives us.
        unsafe { self.header.as_ref() }
    }

    #[inline]
    fn is_closed_for_writing(&self) -> bool {
        self.state.get() & (ENDED | POISONED) != 0
    }

    /// Looks at the consumer's position, once, and takes it if it can be true.
    #[inline]
    fn refresh(&self) {
        // Acquire: the consumer has finished reading what lies before it.
        let head = self.header().head.load(Ordering::Acquire);
        if head < self.head.get() || head > self.tail {
            self.state.set(self.state.get() | POISONED);
            return;
        }
        self.head.set(head);
    }

    /// Copies to a position that is prepared. Returns where the piece of the last byte goes on, and for how many bytes.
    #[inline]
    fn place(&mut self, at: u64, span: Span<'_>) -> Option<(NonNull<u8>, usize)> {
        let mut done = 0;
        let mut behind = None;
        while done < span.len() {
            let (to, run) = self.piece(at + done as u64);
            let len = run.min(span.len() - done);
            // SAFETY: `piece` gives memory for `run` bytes that the consumer does not read before they are
            // published; the span has `len` left, and its bytes, of a slice or published, are not those.
            unsafe { copy::copy(span.as_ptr().add(done), to.as_ptr(), len) };
            #[cfg(loom)]
            self.shadow(at + done as u64, len);
            done += len;
            // SAFETY: within the piece, or at its end.
            behind = Some((unsafe { to.add(len) }, run - len));
        }
        behind
    }

    #[cfg(loom)]
    fn shadow(&self, position: u64, len: usize) {
        // SAFETY: as in `piece`.
        let table = unsafe { &*on_heap(self.header).table.load(Ordering::Relaxed) };
        table.shadow.written(self.slot_of(position).0, len);
    }

    /// Bytes that `next_in_run` or `next_piece` had one place for, both of which admit nothing further ahead than `ahead` can say.
    #[inline(always)]
    fn placed_in_piece(&mut self, offset: usize, len: usize) {
        #[cfg(loom)]
        self.shadow(self.tail + offset as u64, len);
        self.ahead = self.ahead.max((offset + len) as u32);
    }

    #[inline]
    fn placed(&mut self, at: u64, len: usize) {
        if len > 0 {
            // `prepare_at` admits nothing further ahead.
            self.ahead = self.ahead.max((at - self.tail + len as u64) as u32);
        }
    }

    #[inline]
    fn advance(&mut self, n: usize) {
        self.tail += n as u64;
        self.ahead = self.ahead.saturating_sub(u32::try_from(n).unwrap_or(u32::MAX));
        // Release: the bytes and the epochs before it.
        self.header().tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // SAFETY: this half is not used any more.
        unsafe { header::leave(self.header, self.region_log2 == 0, PRODUCER_GONE, CONSUMER_GONE) };
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("position", &self.tail)
            .field("len", &(self.tail - self.head.get()))
            .field("limit", &self.limit)
            .field("finished", &self.is_finished())
            .field("poisoned", &self.is_poisoned())
            .finish_non_exhaustive()
    }
}
