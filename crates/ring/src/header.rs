//! The words that both halves share: positions, epochs, flags. A cache line or less, and all that an idle ring costs.
//!
//! A heap ring and a shared region begin with the same words ([`Header`]). What else a heap ring has ([`HeapHeader`])
//! is its memory, and its epochs lie there; a region has them behind the words ([`RegionHeader`]).
//!
//! Each word has one writer, but for the flags, in which either half sets bits of its own. In a shared region the
//! other process can write any of them at any time, so neither half reads back what it wrote itself (the one
//! exception, in `Producer::slot_of`, is masked by a private size), and what it reads of the other is checked
//! where it is read.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::hint::cold_path;
use core::ptr::NonNull;

use crate::budget::Budget;
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
/// The producer has something to tell about what it publishes, by another way (`Producer::mark`).
pub(crate) const MARKED: u32 = 16;

/// The first ring of a pair on the heap.
const FIRST: u32 = 32;
/// The second.
const SECOND: u32 = 64;
/// In the flags of a pair's first ring: both halves of one of the two are gone.
const ONE_OVER: u32 = 128;
/// The ring's memory is on an account, and something was reserved for it there.
const ADOPTED: u32 = 256;

/// "WhR2": the layout below, in a shared region. A change of layout changes the digit.
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"WhR2");

/// An [`Epoch`] as it is shared: its start, and its base and size in one word.
#[repr(C)]
pub(crate) struct Entry {
    start: AtomicU64,
    word: AtomicU64,
}

impl Entry {
    pub(crate) fn new() -> Self {
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

/// The words that every ring has.
#[repr(C)]
pub(crate) struct Header {
    /// Position of the next byte to read. Written by the consumer.
    pub(crate) head: AtomicU64,
    /// Position after the last byte published. Written by the producer.
    pub(crate) tail: AtomicU64,
    /// `FINISHED` and its companions. On the heap the second half to be gone frees the ring.
    pub(crate) flags: AtomicU32,
    /// What the consumer lets the producer have in the ring at most, besides the producer's own limit.
    pub(crate) grant: AtomicU32,
}

/// A heap ring: the words, and where its memory is.
#[repr(C)]
pub(crate) struct HeapHeader {
    words: Header,
    /// The chunks; null while it has no memory.
    pub(crate) table: AtomicPtr<Table>,
}

/// Heap rings in one allocation, one of them or two, which the last half of all frees: a connection needs one each way.
#[repr(C)]
struct Heap<const N: usize> {
    rings: [HeapHeader; N],
    /// Who is asked before memory is taken, by those of them that are [`ADOPTED`]; null for nobody. Set once, and then holds a
    /// reference.
    budget: AtomicPtr<Budget>,
}

/// A ring in a shared region: the words, and the epochs.
#[repr(C)]
pub(crate) struct RegionHeader {
    words: Header,
    /// [`MAGIC`].
    pub(crate) magic: AtomicU32,
    reserved: AtomicU32,
    /// The current epoch and the one before it, in either order. Written by the producer.
    pub(crate) entries: [Entry; 2],
}

#[cfg(all(not(loom), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Heap<1>>() == 40 && size_of::<Heap<2>>() == 72 && size_of::<RegionHeader>() == 64);

impl Header {
    fn new(flags: u32) -> Self {
        Self {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            flags: AtomicU32::new(flags),
            grant: AtomicU32::new(u32::MAX),
        }
    }
}

impl HeapHeader {
    fn new(flags: u32) -> Self {
        Self { words: Header::new(flags), table: AtomicPtr::new(core::ptr::null_mut()) }
    }
}

impl RegionHeader {
    pub(crate) fn new() -> Self {
        Self {
            words: Header::new(0),
            magic: AtomicU32::new(MAGIC),
            reserved: AtomicU32::new(0),
            entries: [Entry::new(), Entry::new()],
        }
    }
}

/// Makes the header of a heap ring.
pub(crate) fn allocate() -> NonNull<Header> {
    // Box makes the allocation; `leave` turns it back.
    let heap = Box::new(Heap { rings: [HeapHeader::new(0)], budget: AtomicPtr::new(core::ptr::null_mut()) });
    NonNull::from(Box::leak(heap)).cast()
}

/// Makes the headers of two heap rings at once.
pub(crate) fn allocate_pair() -> [NonNull<Header>; 2] {
    let rings = [HeapHeader::new(FIRST), HeapHeader::new(SECOND)];
    let pair = Box::new(Heap { rings, budget: AtomicPtr::new(core::ptr::null_mut()) });
    // Both pointers come from that of the whole pair, to which `leave` turns them back.
    let first = NonNull::from(Box::leak(pair)).cast::<HeapHeader>();
    // SAFETY: the second of the two lies behind the first.
    [first.cast(), unsafe { first.add(1) }.cast()]
}

/// The rest of a heap ring's header.
///
/// # Safety
/// `header` is that of a living half, and [`allocate`] or [`allocate_pair`] made it.
pub(crate) unsafe fn on_heap<'a>(header: NonNull<Header>) -> &'a HeapHeader {
    // SAFETY: the caller's promise; the pointer is that of the whole HeapHeader.
    unsafe { header.cast().as_ref() }
}

/// The rest of a region's header.
///
/// # Safety
/// `header` is that of a living half in a [`Region`](crate::Region).
pub(crate) unsafe fn in_region<'a>(header: NonNull<Header>) -> &'a RegionHeader {
    // SAFETY: the caller's promise; the region begins with a RegionHeader.
    unsafe { header.cast().as_ref() }
}

/// The epochs of a ring.
///
/// # Safety
/// `header` is that of a living half; where it is on the heap, the ring has memory, which lasts as long as 'a.
pub(crate) unsafe fn entries<'a>(header: NonNull<Header>, is_on_heap: bool) -> &'a [Entry; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        if is_on_heap { &(*on_heap(header).table.load(Ordering::Relaxed)).entries } else { &in_region(header).entries }
    }
}

/// The account of a heap ring with these flags, or of the pair that it is one of.
///
/// # Safety
/// As for [`on_heap`].
#[inline(always)]
unsafe fn account<'a>(header: NonNull<Header>, flags: u32) -> &'a AtomicPtr<Budget> {
    // It lies behind the one ring, or behind the second of two.
    let behind = 1 + ((flags / FIRST) & 1);
    // SAFETY: the caller's promise. The pointer is that of all.
    unsafe { header.cast::<HeapHeader>().add(behind as usize).cast().as_ref() }
}

/// Who is asked before a heap ring takes memory.
///
/// # Safety
/// As for [`on_heap`].
pub(crate) unsafe fn budget<'a>(header: NonNull<Header>) -> Option<&'a Budget> {
    // SAFETY: the caller's promise. What is set stays as long as the ring.
    unsafe {
        // Acquire: whoever sees the flag sees the pointer that was set before, and the budget behind it.
        let flags = header.as_ref().flags.load(Ordering::Acquire);
        if flags & ADOPTED != 0 { account(header, flags).load(Ordering::Acquire).as_ref() } else { None }
    }
}

/// Puts a heap ring's memory on an account, if it is on none yet, and takes over what was reserved for it. False if it has
/// one, or the ring that it is a pair with has another.
///
/// # Safety
/// As for [`on_heap`].
#[inline(always)]
pub(crate) unsafe fn set_budget(header: NonNull<Header>, budget: &Arc<Budget>) -> bool {
    // SAFETY: the caller's promise.
    let flags = unsafe { &header.as_ref().flags };
    // SAFETY: the caller's promise.
    let account = unsafe { account(header, flags.load(Ordering::Relaxed)) };
    let mut known = account.load(Ordering::Acquire);
    if known.is_null() {
        let raw = Arc::into_raw(Arc::clone(budget)).cast_mut();
        // Release: whoever reads the pointer sees the budget behind it.
        match account.compare_exchange(core::ptr::null_mut(), raw, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => known = raw,
            Err(other) => {
                // SAFETY: made from an Arc right above, and stored nowhere.
                drop(unsafe { Arc::from_raw(raw) });
                known = other;
            }
        }
    }
    known.cast_const() == Arc::as_ptr(budget) && flags.fetch_or(ADOPTED, Ordering::AcqRel) & ADOPTED == 0
}

/// Says that a half is gone, and on the heap frees the ring when the other is as well.
///
/// # Safety
/// `header` is that of a living half, which is not used afterwards; `is_on_heap` tells whether [`allocate`] or
/// [`allocate_pair`] made it.
#[inline]
pub(crate) unsafe fn leave(header: NonNull<Header>, is_on_heap: bool, mine: u32, other: u32) {
    // SAFETY: the caller's half is alive until here.
    let flags = &unsafe { header.as_ref() }.flags;
    if !is_on_heap {
        // The other process may have set any of them already.
        flags.fetch_or(mine, Ordering::AcqRel);
        return;
    }
    // A half leaves once, so the bit is not set, and the sum is the union.
    let before = flags.fetch_add(mine, Ordering::AcqRel);
    if before & other != 0 {
        // SAFETY: both halves are gone; AcqRel orders all that the other did before this.
        unsafe { end(header, before) };
    }
}

/// Frees a heap ring whose halves are gone, and of a pair the pair, if the other ring is gone too.
///
/// # Safety
/// Called once, by the last half of a ring that [`allocate`] or [`allocate_pair`] made, whose flags were `flags`.
#[inline(never)]
unsafe fn end(header: NonNull<Header>, flags: u32) {
    // SAFETY: the ring is this caller's alone, and of a pair the first lies before the second and lives until both are over.
    // `ADOPTED` was set by one of the halves, when the account's pointer was, which stays until the last ring is over. Whoever
    // finds that the other ring is over is the last.
    unsafe {
        if !on_heap(header).table.load(Ordering::Relaxed).is_null() || flags & (FIRST | SECOND) == 0 {
            cold_path();
            return end_apart(header, flags);
        }
        if flags & ADOPTED != 0 {
            (*account(header, flags).load(Ordering::Relaxed)).give_back(Budget::RESERVED);
        }
        let first = header.cast::<HeapHeader>().sub(((flags / SECOND) & 1) as usize);
        // As for a ring's halves.
        if first.as_ref().words.flags.fetch_or(ONE_OVER, Ordering::AcqRel) & ONE_OVER != 0 {
            free::<2>(first);
        }
    }
}

/// [`end`] of a ring that has memory still, which one that was read to its end has not most often, or is none of a pair.
///
/// # Safety
/// As for [`end`].
#[cold]
#[inline(never)]
unsafe fn end_apart(header: NonNull<Header>, flags: u32) {
    // SAFETY: the caller's promise. One that is none of a pair came from a Box, and nobody else is left of it.
    unsafe {
        memory::free(&on_heap(header).table, budget(header));
        if flags & (FIRST | SECOND) != 0 {
            return end(header, flags);
        }
        if let Some(budget) = budget(header) {
            budget.give_back(Budget::RESERVED);
        }
        free::<1>(header.cast());
    }
}

/// Frees heap rings that are over.
///
/// # Safety
/// `first` is the first ring of a leaked `Heap<N>`, of which nothing is used any more.
unsafe fn free<const N: usize>(first: NonNull<HeapHeader>) {
    // SAFETY: the caller's promise. An account that is not null came from an Arc, whose reference nobody else gives back.
    unsafe {
        let heap = Box::from_raw(first.cast::<Heap<N>>().as_ptr());
        let budget = heap.budget.load(Ordering::Relaxed);
        if !budget.is_null() {
            drop(Arc::from_raw(budget));
        }
    }
}
