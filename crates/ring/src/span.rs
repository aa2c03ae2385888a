//! Slices of ring memory that cannot be mistaken for `&[u8]`.
//!
//! A frame on its way out is headers plus spans of a ring. In shared memory the bytes under a span may change at
//! any time, so a span is only ever copied out of, each byte being read once.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Bound, RangeBounds};

use wire::checksum::Sum;

use crate::copy;

/// Bytes in a ring, or borrowed from a slice, that can be copied out and summed.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    pointer: *const u8,
    len: usize,
    lifetime: PhantomData<&'a [u8]>,
}

// SAFETY: a span only reads, and what it reads is not written while its lifetime lasts (the consumer is borrowed;
// another process that writes there anyway only changes the bytes).
unsafe impl Send for Span<'_> {}
// SAFETY: as for Send; every method takes `&self` or a copy and only reads.
unsafe impl Sync for Span<'_> {}

impl<'a> Span<'a> {
    /// No bytes.
    pub const EMPTY: Self = Self::from_slice(&[]);

    /// The bytes of an ordinary slice.
    pub const fn from_slice(bytes: &'a [u8]) -> Self {
        Self { pointer: bytes.as_ptr(), len: bytes.len(), lifetime: PhantomData }
    }

    /// # Safety
    /// `pointer` is readable for `len` bytes as long as `'a` lasts.
    pub(crate) const unsafe fn from_raw(pointer: *const u8, len: usize) -> Self {
        Self { pointer, len, lifetime: PhantomData }
    }

    /// The number of bytes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when there are no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the bytes are, for a system call that gathers (`writev`). Valid for `len()` bytes while `'a` lasts. In
    /// shared memory the bytes may change under a reader: never make a reference of it.
    pub const fn as_ptr(&self) -> *const u8 {
        self.pointer
    }

    /// Part of the span.
    ///
    /// # Panics
    /// If the range does not lie within the span.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let begin = match range.start_bound() {
            Bound::Included(&begin) => begin,
            Bound::Excluded(&before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len,
        };
        assert!(begin <= end && end <= self.len, "span of {} sliced at {begin}..{end}", self.len);
        // SAFETY: `begin..end` lies within memory that is readable as long as `'a` lasts.
        unsafe { Self::from_raw(self.pointer.add(begin), end - begin) }
    }

    /// The first `mid` bytes, and the rest.
    ///
    /// # Panics
    /// If there are not so many.
    #[inline]
    pub fn split_at(&self, mid: usize) -> (Self, Self) {
        assert!(mid <= self.len, "span of {} split at {mid}", self.len);
        // SAFETY: both lie within memory that is readable as long as `'a` lasts.
        unsafe { (Self::from_raw(self.pointer, mid), Self::from_raw(self.pointer.add(mid), self.len - mid)) }
    }

    /// Copies all bytes to the beginning of `to`.
    ///
    /// # Panics
    /// If `to` is shorter than the span.
    pub fn copy_to(&self, to: &mut [u8]) {
        let to = &mut to[..self.len];
        // SAFETY: both are `len` bytes long, and an exclusive slice does not overlap what a span may read.
        unsafe { copy::copy(self.pointer, to.as_mut_ptr(), self.len) };
    }

    /// Copies all bytes to the beginning of `to` and returns their RFC 1071 sum, in one pass.
    ///
    /// # Panics
    /// If `to` is shorter than the span.
    pub fn copy_to_and_sum(&self, to: &mut [u8]) -> Sum {
        let to = &mut to[..self.len];
        // SAFETY: as in `copy_to`.
        unsafe { copy::copy_and_sum(self.pointer, to.as_mut_ptr(), self.len) }
    }

    /// The RFC 1071 sum of the bytes, the first being the upper half of a word.
    #[inline]
    pub fn sum(&self) -> Sum {
        // SAFETY: readable for `len` bytes.
        unsafe { copy::sum(self.pointer, self.len) }
    }
}

impl Default for Span<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'a> From<&'a [u8]> for Span<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::from_slice(bytes)
    }
}

impl fmt::Debug for Span<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Span({} bytes)", self.len)
    }
}

/// How many pieces a [`Spans`] holds at most.
pub const MAX_SPANS: usize = 8;

/// A range of a ring as pieces in order. Eight are enough for 64 KiB of any ring that grew byte by byte; a range that
/// needs more is cut.
#[derive(Clone, Copy, Debug)]
pub struct Spans<'a> {
    pieces: [Span<'a>; MAX_SPANS],
    count: usize,
    len: usize,
}

impl<'a> Spans<'a> {
    pub(crate) const fn new() -> Self {
        Self { pieces: [Span::EMPTY; MAX_SPANS], count: 0, len: 0 }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count == MAX_SPANS
    }

    /// Adds a piece; there must be room.
    pub(crate) fn push(&mut self, span: Span<'a>) {
        self.pieces[self.count] = span;
        self.count += 1;
        self.len += span.len();
    }

    /// The pieces in order.
    pub fn as_slice(&self) -> &[Span<'a>] {
        &self.pieces[..self.count]
    }

    /// Bytes in all pieces together.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<'a> From<Span<'a>> for Spans<'a> {
    fn from(span: Span<'a>) -> Self {
        let mut spans = Self::new();
        if !span.is_empty() {
            spans.push(span);
        }
        spans
    }
}

/// Bytes in all of `spans` together.
pub fn total_len(spans: &[Span<'_>]) -> usize {
    spans.iter().map(Span::len).sum()
}

/// Copies the bytes `[offset, offset + to.len())` of the concatenated `spans` to `to`.
///
/// # Panics
/// If the spans end before that.
pub fn copy_range(spans: &[Span<'_>], offset: usize, to: &mut [u8]) {
    for_range(spans, offset, to.len(), |at, span| span.copy_to(&mut to[at..]));
}

/// Copies like [`copy_range`] and returns the RFC 1071 sum of the range in the same pass, its first byte being the
/// upper half of a word wherever the pieces meet.
///
/// # Panics
/// If the spans end before the range does.
pub fn copy_range_and_sum(spans: &[Span<'_>], offset: usize, to: &mut [u8]) -> Sum {
    let mut total = Sum::ZERO;
    for_range(spans, offset, to.len(), |at, span| {
        let sum = span.copy_to_and_sum(&mut to[at..]);
        total += if at % 2 == 0 { sum } else { sum.shifted() };
    });
    total
}

/// The RFC 1071 sum of the bytes `[offset, offset + len)` of the concatenated `spans`.
///
/// # Panics
/// If the spans end before the range does.
pub fn sum_range(spans: &[Span<'_>], offset: usize, len: usize) -> Sum {
    let mut total = Sum::ZERO;
    for_range(spans, offset, len, |at, span| {
        total += if at % 2 == 0 { span.sum() } else { span.sum().shifted() };
    });
    total
}

/// Calls `each` with every piece of the range and its distance from the range's beginning.
fn for_range(spans: &[Span<'_>], offset: usize, len: usize, mut each: impl FnMut(usize, Span<'_>)) {
    let mut skip = offset;
    let mut done = 0;
    for span in spans {
        if done == len {
            break;
        }
        if skip >= span.len() {
            skip -= span.len();
            continue;
        }
        let take = (span.len() - skip).min(len - done);
        each(done, span.slice(skip..skip + take));
        skip = 0;
        done += take;
    }
    assert!(done == len, "spans end {} bytes before the range", len - done);
}
