//! Where the byte at a stream position lies: the arithmetic that lets a ring grow without copying.
//!
//! # The idea
//!
//! A ring of logical size N (a power of two) keeps the byte at position p in slot `(p - base) & (N - 1)`. What
//! holds from one position on until another is an [`Epoch`]: a `start`, a `base` and a size. At most two epochs are
//! alive at a time, the current one and the one before it, and a byte belongs to the epoch with the greatest start
//! at or before it. Memory for the slots `[0, N)` exists whenever an epoch of size N does; growing adds slots at
//! the end and moves none. There are three ways to change the mapping, all made by the producer:
//!
//! 1. **Rewind.** Ring empty, nothing placed out of order: one epoch of any size, starting at the tail. No byte is
//!    alive, so nothing can be misread. It keeps a flow whose reader keeps up in the lowest, warmest slots.
//! 2. **Stretch.** Every living byte of the current epoch, `[lo, hi)`, lies within one lap, that is within
//!    `[b, b + N)` with `b = base + k * N`. The epoch becomes (b, N') for a larger N'. For such a byte
//!    `0 <= p - b < N < N'`, hence `(p - b) & (N' - 1) = p - b = (p - b) & (N - 1) = (p - base) & (N - 1)`:
//!    its slot is the same under both, and a reader may use either.
//! 3. **Append.** The living bytes wrap around the end of N. A new epoch begins at `P = head + N`, the first
//!    position that the present size has no room for, with base `P - N = head` and a larger N'. Its bytes
//!    `[P, base + N')` take the slots `[N, N')`, which are new; nothing alive is touched. Bytes before P keep their
//!    slots in `[0, N)` under the epoch before. Until the reader has reached P, the room ends at `base + N'`,
//!    because slots below N may still hold bytes of the old epoch; from then on the room is N' bytes from head.
//!
//! While the reader is before P (the append is *pending*), the epoch has not wrapped, so stretching it is always
//! possible; once it is at or past P, the older epoch has no living byte and its entry may be reused. So a larger
//! size can be had at any moment, two entries suffice, and room once promised is never taken back: with
//! `M = max(N', limit rounded up to a power of two)`, the end of the room is `head + limit` before an append, at
//! least `base + M >= head + limit` just after it (base is that head), constant while it is pending, and
//! `head + limit >= P + limit` when it no longer is.
//!
//! # Reading the entries while they change
//!
//! The consumer reads both entries after it has read the tail (acquire), and looks up only positions in
//! `[head, tail)`. The producer writes an entry before it publishes (release) a tail that needs it. A concurrent
//! change cannot mislead: an append starts at or past every tail published so far and overwrites an entry whose
//! epoch lies wholly before head, so a torn entry has a start that is either beyond the range or older than the
//! current epoch's, and is not chosen; a stretch is one store, and both values give the same slots; a rewind needs
//! a consumer that holds no unread byte.

/// Positions are rounded down to this for a rewind's base, so that a rewound ring begins on a cache line.
pub(crate) const ALIGN: u64 = 64;
/// The smallest size of an epoch, as a power of two.
pub(crate) const MIN_LOG2: u8 = 6;
/// The largest size of an epoch, as a power of two (64 GiB, or what a 32-bit address space allows).
pub(crate) const MAX_LOG2: u8 = if usize::BITS >= 64 { 36 } else { 28 };
/// The start of an entry that holds no epoch: no position reaches it.
pub(crate) const ABSENT: u64 = u64::MAX;

/// A stretch of the stream and the slots it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// The first position that belongs to it; [`ABSENT`] for none.
    pub(crate) start: u64,
    /// The position that lies in slot 0, modulo 2^58.
    pub(crate) base: u64,
    /// The size, as a power of two.
    pub(crate) log2: u8,
}

impl Epoch {
    /// The slot of position `p`.
    pub(crate) fn slot(&self, p: u64) -> usize {
        (p.wrapping_sub(self.base) & (self.size() - 1)) as usize
    }

    /// The number of slots.
    pub(crate) fn size(&self) -> u64 {
        1 << self.log2
    }

    /// The base and the size in one word, as they stand in the header. Only the base modulo the size matters, and
    /// sizes end at 2^36, so that losing the uppermost six bits of it loses nothing.
    pub(crate) fn word(&self) -> u64 {
        self.base << 6 | u64::from(self.log2)
    }

    /// Reads back what [`Epoch::word`] made. None for a size outside of `MIN_LOG2..=max_log2`, which only a hostile
    /// writer makes; this is what keeps every slot inside the memory.
    pub(crate) fn from_words(start: u64, word: u64, max_log2: u8) -> Option<Self> {
        let log2 = (word & 63) as u8;
        (MIN_LOG2..=max_log2).contains(&log2).then_some(Self { start, base: word >> 6, log2 })
    }
}

/// The exponent of the smallest allowed size that holds `bytes`.
pub(crate) fn log2_for(bytes: u64) -> u8 {
    let exponent = u64::BITS - bytes.saturating_sub(1).leading_zeros();
    (exponent as u8).max(MIN_LOG2)
}
