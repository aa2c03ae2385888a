//! The words that both halves share: positions, epochs, flags. One cache line, and all that an idle ring costs.
//!
//! Each word has one writer, but for the flags, in which either half sets bits of its own. In a shared region the
//! other process can write any of them at any time, so neither half reads back what it wrote itself (the one
//! exception, in `Producer::slot_of`, is masked by a private size), and what it reads of the other is checked
//! where it is read.

use alloc::boxed::Box;
use core::ptr::NonNull;

use crate::layout::{ABSENT, Epoch};
use crate::memory;
use crate::memory::Table;
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// The producer called `finish`: no byte follows the tail.
pub(crate) const FINISHED: u32 = 1;
/// The producer was dropped.
pub(crate) const PRODUCER_GONE: u32 = 2;
/// The consumer called `close`: it will read no more.
pub(crate) const CLOSED: u32 = 4;
/// The consumer was dropped.
pub(crate) const CONSUMER_GONE: u32 = 8;

/// "WhR1": the layout below, in a shared region. A change of layout changes the digit.
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"WhR1");

/// An [`Epoch`] as it is shared: its start, and its base and size in one word.
#[repr(C)]
pub(crate) struct Entry {
    start: AtomicU64,
    word: AtomicU64,
}

impl Entry {
    fn new() -> Self {
        Self { start: AtomicU64::new(ABSENT), word: AtomicU64::new(0) }
    }

    /// Written by the producer. Relaxed: the tail published afterwards orders it.
    pub(crate) fn store(&self, epoch: Epoch) {
        self.start.store(epoch.start, Ordering::Relaxed);
        self.word.store(epoch.word(), Ordering::Relaxed);
    }

    /// Replaces base and size only: the stretching of an epoch, one store.
    pub(crate) fn store_word(&self, word: u64) {
        self.word.store(word, Ordering::Relaxed);
    }

    /// Marks that no epoch is here.
    pub(crate) fn clear(&self) {
        self.start.store(ABSENT, Ordering::Relaxed);
    }

    /// The start and the word, not checked and perhaps torn (see `layout`).
    pub(crate) fn load(&self) -> (u64, u64) {
        (self.start.load(Ordering::Relaxed), self.word.load(Ordering::Relaxed))
    }
}

/// The shared words of a ring.
#[repr(C)]
pub(crate) struct Header {
    /// Position of the next byte to read. Written by the consumer.
    pub(crate) head: AtomicU64,
    /// Position after the last byte published. Written by the producer.
    pub(crate) tail: AtomicU64,
    /// The current epoch and the one before it, in either order. Written by the producer.
    pub(crate) entries: [Entry; 2],
    /// The chunks of a heap ring; null while it has no memory. Not used in a shared region.
    pub(crate) table: AtomicPtr<Table>,
    /// `FINISHED` and its companions. On the heap the second half to be gone frees the ring.
    pub(crate) flags: AtomicU32,
    /// [`MAGIC`] in a shared region.
    pub(crate) magic: AtomicU32,
}

#[cfg(all(not(loom), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Header>() == 64);

impl Header {
    pub(crate) fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            entries: [Entry::new(), Entry::new()],
            table: AtomicPtr::new(core::ptr::null_mut()),
            flags: AtomicU32::new(0),
            magic: AtomicU32::new(MAGIC),
        }
    }
}

/// Makes the header of a heap ring.
pub(crate) fn allocate() -> NonNull<Header> {
    // Box makes the allocation; `leave` turns it back.
    NonNull::from(Box::leak(Box::new(Header::new())))
}

/// Says that a half is gone, and on the heap frees the ring when the other is as well.
///
/// # Safety
/// `header` is that of a living half, which is not used afterwards; `on_heap` tells whether [`allocate`] made it.
pub(crate) unsafe fn leave(header: NonNull<Header>, on_heap: bool, mine: u32, other: u32) {
    // SAFETY: the caller's half is alive until here.
    let flags = unsafe { header.as_ref() }.flags.fetch_or(mine, Ordering::AcqRel);
    if !on_heap || flags & other == 0 {
        return;
    }
    // SAFETY: both halves are gone; AcqRel orders all that the other did before this. The header came from a Box.
    unsafe {
        memory::free(&header.as_ref().table);
        drop(Box::from_raw(header.as_ptr()));
    }
}
