//! The reading half: where bytes leave the ring.
//!
//! The engine is the consumer of a connection's send ring: it looks at spans of it, sends them, perhaps again, and
//! consumes what the peer has acknowledged. The application is the consumer of the receive ring.

use alloc::sync::Arc;
use core::cell::Cell;
use core::fmt;
use core::hint::cold_path;
use core::ptr::NonNull;

use wire::checksum::Sum;

use crate::budget::Budget;
use crate::header::{CLOSED, CONSUMER_GONE, FINISHED, Header, MARKED, PRODUCER_GONE, entries, on_heap, set_budget};
use crate::layout::{Epoch, MAX_LOG2};
use crate::memory::Table;
use crate::region::{self, NotARing, Region};
use crate::span::{Span, Spans};
use crate::sync::Ordering;

/// The reading half of a ring.
///
/// A *poisoned* consumer (only possible in shared memory, see [`Region`]) reads as empty and counts its producer as
/// gone.
pub struct Consumer {
    header: NonNull<Header>,
    /// The position of the next byte to read; ours, never read back.
    head: u64,
    /// How many bytes the producer had published beyond `head` when last looked at; of more than 4 GiB, so many.
    seen: Cell<u32>,
    /// The most slots that the ring can have, as a power of two: in a shared region, all that it has.
    max_log2: u8,
    in_region: bool,
    poisoned: Cell<bool>,
}

#[cfg(all(not(loom), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Consumer>() == 24);

// SAFETY: as for Producer.
unsafe impl Send for Consumer {}

impl Consumer {
    /// The reading half of a heap ring.
    ///
    /// # Safety
    /// `header` is a fresh boxed header, which no other Consumer uses.
    pub(crate) unsafe fn on_heap(header: NonNull<Header>) -> Self {
        Self { header, head: 0, seen: Cell::new(0), max_log2: MAX_LOG2, in_region: false, poisoned: Cell::new(false) }
    }

    /// The reading half of a ring in shared memory, on which [`Region::create`] was called.
    ///
    /// # Errors
    /// If the memory does not begin with a header of this version.
    ///
    /// # Safety
    /// As for [`Region::new`], and no other Consumer was made of this ring, in this process or another that is
    /// trusted.
    pub unsafe fn from_region(region: Region) -> Result<Self, NotARing> {
        region.check()?;
        // SAFETY: the caller's promise; `in_region` makes it a ring without heap chunks.
        let mut consumer = unsafe { Self::on_heap(region.header) };
        consumer.max_log2 = region.log2;
        consumer.in_region = true;
        Ok(consumer)
    }

    /// Bytes that can be read now, counted up to 4 GiB; looks at the producer's position.
    #[inline]
    pub fn len(&self) -> usize {
        self.refresh();
        self.available()
    }

    /// What [`Consumer::len`] said last, less what was consumed since: no look at the producer's position.
    #[inline]
    pub fn seen_len(&self) -> usize {
        self.available()
    }

    /// True when nothing can be read now.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies and consumes as much as there is and `to` holds; returns how much that was.
    #[inline]
    pub fn read(&mut self, to: &mut [u8]) -> usize {
        if let Some(span) = self.begin(to.len()) {
            span.copy_to(to);
            self.pass(to.len());
            return to.len();
        }
        self.read_apart(to)
    }

    /// [`Consumer::read`] of what lies in pieces, or in one that has to be found, or is not there.
    #[cold]
    #[inline(never)]
    fn read_apart(&mut self, to: &mut [u8]) -> usize {
        let n = self.copy_at(0, to);
        self.consume(n);
        n
    }

    /// Copies bytes from `offset` behind the read position on, consuming nothing; returns how many there were.
    pub fn copy_at(&self, offset: usize, to: &mut [u8]) -> usize {
        let mut done = 0;
        self.for_pieces(offset, to.len(), |span| {
            span.copy_to(&mut to[done..]);
            done += span.len();
            true
        });
        done
    }

    /// [`Consumer::copy_at`], returning the RFC 1071 sum of what was copied as well, taken in the same pass.
    pub fn copy_at_and_sum(&self, offset: usize, to: &mut [u8]) -> (usize, Sum) {
        let mut done = 0;
        let mut total = Sum::ZERO;
        self.for_pieces(offset, to.len(), |span| {
            let sum = span.copy_to_and_sum(&mut to[done..]);
            total += if done % 2 == 0 { sum } else { sum.shifted() };
            done += span.len();
            true
        });
        (done, total)
    }

    /// The bytes `[offset, offset + len)` behind the read position where they lie. Shorter if there are not so many,
    /// or if they lie in more than [`MAX_SPANS`](crate::MAX_SPANS) pieces.
    pub fn spans(&self, offset: usize, len: usize) -> Spans<'_> {
        let mut spans = Spans::new();
        self.for_pieces(offset, len, |span| {
            spans.push(span);
            !spans.is_full()
        });
        spans
    }

    /// As [`Consumer::spans`], for a range that lies in one piece; `None` if it does not, or if there are not so many bytes.
    #[inline]
    pub fn span(&self, offset: usize, len: usize) -> Option<Span<'_>> {
        if len == 0 {
            return Some(Span::EMPTY);
        }
        let end = offset.checked_add(len)?;
        if end > self.available() {
            self.refresh();
            if end > self.available() {
                return None;
            }
        }
        self.one_piece(self.head + offset as u64, len)
    }

    /// Everything that can be read now, where that is something, no more than `most` bytes, and lies in one piece; looks at the
    /// producer's position.
    #[inline(always)]
    pub fn whole_within(&self, most: u32) -> Option<Span<'_>> {
        let len = self.len();
        if len == 0 || len > most as usize {
            return None;
        }
        self.one_piece(self.head, len)
    }

    /// The first `len` bytes, which are more than none, where they lie in one piece; looks at the producer's position.
    #[inline(always)]
    fn begin(&self, len: usize) -> Option<Span<'_>> {
        if len == 0 || len > self.len() {
            return None;
        }
        self.one_piece(self.head, len)
    }

    /// `len` bytes that were published, and are more than none, where they lie in one piece.
    #[inline(always)]
    fn one_piece(&self, position: u64, len: usize) -> Option<Span<'_>> {
        let pointer = match self.find_in_run(position, len) {
            Some(pointer) => pointer,
            None => self.find_anew(position, len)?,
        };
        #[cfg(loom)]
        self.shadow(position, len);
        // SAFETY: as in `for_pieces`.
        Some(unsafe { Span::from_raw(pointer.as_ptr(), len) })
    }

    /// The memory of `len` bytes that were published, if they lie in the run that is known.
    #[inline(always)]
    fn find_in_run(&self, position: u64, len: usize) -> Option<NonNull<u8>> {
        let table = self.table()?;
        // Acquire: the tail that published these bytes was read before, and the version is at least theirs. What it names was
        // found when it stood already.
        table.read_run.find(position, len, table.version.load(Ordering::Acquire))
    }

    /// The same, found out of the epochs, and remembered for what follows.
    #[cold]
    #[inline(never)]
    fn find_anew(&self, position: u64, len: usize) -> Option<NonNull<u8>> {
        // Acquire: read before the entries, which are at least as new.
        let version = self.table().map(|table| table.version.load(Ordering::Acquire));
        let (pointer, run) = self.piece(position)?;
        if run < len {
            return None;
        }
        if let (Some(table), Some(version)) = (self.table(), version) {
            table.read_run.set(position, run as u64, pointer, version);
        }
        Some(pointer)
    }

    /// The chunks of a heap ring, while a byte is unread.
    #[inline(always)]
    fn table(&self) -> Option<&Table> {
        if self.in_region {
            return None;
        }
        // SAFETY: our header, on the heap. Where there are unread bytes, the table lives until they are consumed, for which no
        // use of `self` may be left.
        unsafe { on_heap(self.header).table.load(Ordering::Relaxed).as_ref() }
    }

    /// Gives the room of the next `n` bytes back to the producer.
    ///
    /// # Panics
    /// If so many were not there when last looked at.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        let seen = self.seen.get();
        assert!(n as u64 <= u64::from(seen), "{n} bytes consumed of {seen}");
        if n == 0 {
            cold_path();
            return;
        }
        self.pass(n);
    }

    /// Gives the room of `n` bytes back, which are more than none and no more than were seen.
    #[inline(always)]
    fn pass(&mut self, n: usize) {
        // The last moment at which a span of these bytes may have been read.
        #[cfg(loom)]
        self.for_pieces(0, n, |_| true);
        self.head += n as u64;
        self.seen.set(self.seen.get() - n as u32);
        // Release: our reads come before the producer's next writes there.
        self.header().head.store(self.head, Ordering::Release);
    }

    /// Whether the producer finished the stream and everything was consumed: end of file.
    pub fn is_finished(&self) -> bool {
        self.is_producer_finished() && self.is_empty() && !self.poisoned.get()
    }

    /// Whether the producer finished the stream; bytes may remain to be read.
    pub fn is_producer_finished(&self) -> bool {
        // Acquire: whoever sees the flag sees the last tail.
        self.header().flags.load(Ordering::Acquire) & FINISHED != 0
    }

    /// Whether the producer has marked what it publishes ([`Producer::mark`](crate::Producer::mark)). Says of the bytes that
    /// [`Consumer::len`] last saw whether they were marked before they came.
    #[inline]
    pub fn is_marked(&self) -> bool {
        self.header().flags.load(Ordering::Acquire) & MARKED != 0
    }

    /// Whether the producer was dropped, or broke the rules. What it published can still be read; if it did not
    /// finish, the stream was cut off.
    pub fn is_producer_gone(&self) -> bool {
        self.poisoned.get() || self.header().flags.load(Ordering::Acquire) & PRODUCER_GONE != 0
    }

    /// Whether the shared memory was found to hold what no honest producer writes.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.get()
    }

    /// The stream position of the next byte: bytes consumed since the ring was made.
    pub fn position(&self) -> u64 {
        self.head
    }

    /// Lets the producer have at most `bytes` in the ring from now on, if its own limit does not say less; what it holds
    /// beyond stays. Without it the producer's limit alone counts.
    pub fn grant(&self, bytes: usize) {
        // Relaxed: a bound of what is to come.
        self.header().grant.store(u32::try_from(bytes).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// What [`Consumer::grant`] said last; `u32::MAX` if nothing.
    pub fn granted(&self) -> usize {
        self.header().grant.load(Ordering::Relaxed) as usize
    }

    /// Lets the ring's memory be taken from `budget` from now on. The caller has reserved [`Budget::RESERVED`] bytes of it,
    /// which the ring gives back when both halves are gone. False, and no change, if the ring has a budget already, or
    /// lies in a shared region, whose memory is there from the beginning.
    #[inline]
    pub fn set_budget(&self, budget: &Arc<Budget>) -> bool {
        // SAFETY: our header, on the heap.
        !self.in_region && unsafe { set_budget(self.header, budget) }
    }

    /// Tells the producer that nothing more will be read.
    pub fn close(&mut self) {
        self.header().flags.fetch_or(CLOSED, Ordering::Release);
    }

    /// Declares the content corrupt: from now on the ring reads as empty.
    #[cold]
    pub(crate) fn poison(&self) {
        self.poisoned.set(true);
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the header lives until the last half leaves it, or as long as the region does, which outlives us.
        unsafe { self.header.as_ref() }
    }

    /// Looks at the producer's position, once, and takes it if it can be true, as that of a producer of this program always is.
    #[inline]
    fn refresh(&self) {
        // Acquire: the bytes before it, and the epochs they lie in.
        let tail = self.header().tail.load(Ordering::Acquire);
        // One before head wraps around, and is as far beyond any size.
        let ahead = tail.wrapping_sub(self.head);
        if self.in_region && (ahead < u64::from(self.seen.get()) || ahead > 1 << self.max_log2) {
            self.poison();
            return;
        }
        self.seen.set(u32::try_from(ahead).unwrap_or(u32::MAX));
    }

    /// Bytes that can be read as far as we have looked.
    #[inline]
    fn available(&self) -> usize {
        if self.poisoned.get() { 0 } else { self.seen.get() as usize }
    }

    /// Calls `each` with the pieces of a range, cut to what is there, until it returns false.
    fn for_pieces<'a>(&'a self, offset: usize, len: usize, mut each: impl FnMut(Span<'a>) -> bool) {
        if offset.checked_add(len).is_none_or(|end| end > self.available()) {
            self.refresh();
        }
        let available = self.available();
        let begin = offset.min(available);
        let mut position = self.head + begin as u64;
        let mut left = len.min(available - begin);
        while left > 0 {
            let Some((pointer, run)) = self.piece(position) else {
                return;
            };
            let len = run.min(left);
            #[cfg(loom)]
            self.shadow(position, len);
            // SAFETY: the piece is readable for `run` bytes; the producer does not write to it before head passes it,
            // which takes `&mut self` and so outlasts 'a.
            if !each(unsafe { Span::from_raw(pointer.as_ptr(), len) }) {
                return;
            }
            position += len as u64;
            left -= len;
        }
    }

    /// The memory of an unread position and how many positions follow it in the same piece, at least one. None if the
    /// producer's words make no sense, which poisons.
    #[inline]
    fn piece(&self, position: u64) -> Option<(NonNull<u8>, usize)> {
        let Some((epoch, end)) = self.epoch_of(position) else {
            self.poison();
            return None;
        };
        let slot = epoch.slot(position);
        let (pointer, len) = if !self.in_region {
            // SAFETY: on the heap the producer is this program's; it made a table with chunks for all slots of an
            // epoch before it published a byte in it, and keeps them while a byte is unread.
            unsafe { (*on_heap(self.header).table.load(Ordering::Relaxed)).slot(slot) }
        } else {
            // SAFETY: `epoch_of` admits sizes up to the region's.
            unsafe { region::slot(self.header, self.max_log2, slot) }
        };
        let run = (epoch.size() - slot as u64).min(end - position);
        Some((pointer, len.min(run as usize)))
    }

    #[cfg(loom)]
    fn shadow(&self, position: u64, len: usize) {
        // SAFETY: as in `piece`.
        let table = unsafe { &*on_heap(self.header).table.load(Ordering::Relaxed) };
        if let Some((epoch, _)) = self.epoch_of(position) {
            table.shadow.read(epoch.slot(position), len);
        }
    }

    /// The epoch with the greatest start at or before the position, and where the other takes over.
    #[inline]
    fn epoch_of(&self, position: u64) -> Option<(Epoch, u64)> {
        // SAFETY: a byte is unread, so a heap ring has memory, and keeps it at least as long.
        let [first, second] = unsafe { entries(self.header, !self.in_region) };
        let ((first_start, first_word), (second_start, second_word)) = (first.load(), second.load());
        let second_is_later = second_start > first_start;
        let (older, newer) = if second_is_later {
            ((first_start, first_word), (second_start, second_word))
        } else {
            ((second_start, second_word), (first_start, first_word))
        };
        let ((start, word), end) = if newer.0 <= position { (newer, u64::MAX) } else { (older, newer.0) };
        if start > position {
            return None;
        }
        Some((Epoch::from_words(start, word, self.max_log2)?, end))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // SAFETY: this half is not used any more.
        unsafe { crate::header::leave(self.header, !self.in_region, CONSUMER_GONE, PRODUCER_GONE) };
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("position", &self.head)
            .field("len", &self.seen.get())
            .field("poisoned", &self.poisoned.get())
            .finish_non_exhaustive()
    }
}
