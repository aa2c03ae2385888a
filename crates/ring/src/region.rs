//! A ring in memory that two processes share.
//!
//! Layout: [`Region::HEADER_LEN`] bytes of header, then the slots. The memory is best a sparse memory file: a page
//! that no byte has reached costs nothing, and the ring keeps to the lowest slots while its reader keeps up.
//!
//! The process on the other side is not trusted. Of its words each is read once and checked: a position that runs
//! backwards, or past the other, or an impossible size, *poisons* the half that saw it. A poisoned half reads as
//! empty and full, says so (`is_poisoned`), counts its peer as gone, and never leaves the region.

use core::fmt;
use core::ptr::NonNull;

use crate::header::{Header, MAGIC, RegionHeader, in_region};
use crate::layout::{MAX_LOG2, MIN_LOG2, log2_for};
use crate::sync::Ordering;

/// Memory for one ring, mapped and owned by the caller.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    pub(crate) header: NonNull<Header>,
    /// The slots that fit behind the header, as a power of two.
    pub(crate) log2: u8,
}

// SAFETY: a Region is an address; who made it promised that the memory serves any thread.
unsafe impl Send for Region {}

/// The memory does not hold a ring that this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotARing;

impl fmt::Display for NotARing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shared memory holds no ring of a known layout")
    }
}

impl core::error::Error for NotARing {}

impl Region {
    /// Bytes before the first slot.
    pub const HEADER_LEN: usize = 64;

    /// The length to map for a ring that can hold `limit` bytes.
    pub fn len_for(limit: usize) -> usize {
        Self::HEADER_LEN + (1 << log2_for(limit as u64).min(MAX_LOG2))
    }

    /// Takes `len` bytes at `base` for one ring. None if `base` is not aligned to 64 or `len` holds no ring.
    ///
    /// # Safety
    /// The memory is readable and writable for `len` bytes, through pointers derived from `base`, until the last
    /// half made from this region in this process is dropped. In this process nothing else writes to it.
    pub unsafe fn new(base: NonNull<u8>, len: usize) -> Option<Self> {
        let slots = len.checked_sub(Self::HEADER_LEN)?.checked_ilog2()?;
        let log2 = (slots as u8).min(MAX_LOG2);
        if log2 < MIN_LOG2 || base.as_ptr().align_offset(Self::HEADER_LEN) != 0 {
            return None;
        }
        Some(Self { header: base.cast(), log2 })
    }

    /// Writes the header of an empty ring. The owner of the memory calls it once, before either half is made.
    pub fn create(&self) {
        // SAFETY: `new` saw that header and alignment fit, and its caller promised that the memory is ours.
        unsafe { self.header.cast::<RegionHeader>().write(RegionHeader::new()) };
    }

    /// Whether [`Region::create`] was called by a version with this layout.
    pub(crate) fn check(&self) -> Result<(), NotARing> {
        // SAFETY: as in `create`; any bits are valid in atomics of integers and pointers.
        let magic = unsafe { in_region(self.header) }.magic.load(Ordering::Acquire);
        if magic == MAGIC { Ok(()) } else { Err(NotARing) }
    }
}

/// The memory of a slot in a region, and the bytes from there to the end of its slots.
///
/// # Safety
/// `header` came from a [`Region`] with 2^`log2` slots, and `slot` is one of them.
pub(crate) unsafe fn slot(header: NonNull<Header>, log2: u8, slot: usize) -> (NonNull<u8>, usize) {
    // SAFETY: the slots begin HEADER_LEN behind the header, in the same memory.
    (unsafe { header.cast::<u8>().add(Region::HEADER_LEN + slot) }, (1 << log2) - slot)
}
