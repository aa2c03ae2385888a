//! The memory behind the slots: chunks on the heap, or one range of a shared region.
//!
//! On the heap, chunk 0 holds the slots `[0, F)` and chunk k the slots `[F * 2^(k-1), F * 2^k)`, F being the size of
//! the first chunk, so doubling the ring adds one chunk. All are zeroed when made: a stray `publish` can show old
//! bytes of the same ring, never another's.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::{self, NonNull};

use crate::budget::Budget;
use crate::header::Entry;
use crate::run::Run;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};

/// How many times a ring can double, plus one for the first chunk.
pub(crate) const CHUNKS: usize = 26;

/// The first chunk when a ring begins with few bytes: a page.
pub(crate) const FIRST_LOG2: u8 = 12;

/// The chunks of a heap ring. Made by the producer before the first byte, freed by it when the ring is empty, or by
/// the last half. In this order, so that what the producer writes with every segment is apart from what the consumer reads.
#[repr(C)]
pub(crate) struct Table {
    /// The size of chunk 0, as a power of two. Does not change while the table lives.
    first_log2: u8,
    /// The current epoch and the one before it, in either order. Written by the producer.
    pub(crate) entries: [Entry; 2],
    /// Moves on with every change of the mapping. Written by the producer.
    pub(crate) version: AtomicU64,
    /// The consumer's.
    pub(crate) read_run: Run,
    chunks: [AtomicPtr<u8>; CHUNKS],
    /// Bytes that are on the ring's budget.
    charged: Cell<usize>,
    /// The producer's.
    pub(crate) run: Run,
    /// Stands for the bytes in model checking; see [`Shadow`].
    #[cfg(loom)]
    pub(crate) shadow: Shadow,
}

impl Table {
    fn new(first_log2: u8) -> Self {
        Self {
            first_log2,
            entries: [Entry::new(), Entry::new()],
            version: AtomicU64::new(0),
            read_run: Run::new(),
            chunks: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            charged: Cell::new(0),
            run: Run::new(),
            #[cfg(loom)]
            shadow: Shadow::new(),
        }
    }

    /// The chunk of a slot, the offset in it, and the bytes from there to the chunk's end.
    #[inline(always)]
    fn locate(&self, slot: usize) -> (usize, usize, usize) {
        let first_log2 = u32::from(self.first_log2) % usize::BITS;
        let first = 1 << first_log2;
        if slot < first {
            return (0, slot, first - slot);
        }
        // Each further chunk begins at a power of two and is as long: the highest bit of the slot.
        let log2 = slot.ilog2();
        let begin = 1 << log2;
        ((log2 - first_log2) as usize + 1, slot - begin, 2 * begin - slot)
    }

    /// Asks for the memory of slots `[0, 1 << log2)`; false when the budget has no more.
    fn charge(&self, log2: u8, budget: Option<&Budget>) -> bool {
        let wanted = (1usize << log2).saturating_sub(Budget::RESERVED);
        let Some(budget) = budget.filter(|_| wanted > self.charged.get()) else { return true };
        // What was taken before the ring had a budget is not on it, and does not come onto it.
        let had = self.charged.get().max(self.len().saturating_sub(Budget::RESERVED));
        let more = wanted.saturating_sub(had);
        let granted = budget.grow(more);
        if granted {
            self.charged.set(self.charged.get() + more);
        }
        granted
    }

    /// Bytes of memory.
    fn len(&self) -> usize {
        let existing = |&(_, chunk): &(usize, &AtomicPtr<u8>)| !chunk.load(Ordering::Relaxed).is_null();
        self.chunks.iter().enumerate().filter(existing).map(|(index, _)| chunk_len(self.first_log2, index)).sum()
    }

    /// Allocates the chunks of slots `[0, 1 << log2)` that do not exist; false when the allocator or the budget has no
    /// more.
    fn cover(&self, log2: u8, budget: Option<&Budget>) -> bool {
        if !self.charge(log2, budget) {
            return false;
        }
        let last = usize::from(log2.saturating_sub(self.first_log2)).min(CHUNKS - 1);
        for (index, entry) in self.chunks[..=last].iter().enumerate() {
            if !entry.load(Ordering::Relaxed).is_null() {
                continue;
            }
            let Some(layout) = chunk_layout(self.first_log2, index) else { return false };
            // SAFETY: a chunk is at least 64 bytes.
            let chunk = unsafe { alloc_zeroed(layout) };
            if chunk.is_null() {
                return false;
            }
            // Relaxed: the tail published afterwards orders it.
            entry.store(chunk, Ordering::Relaxed);
        }
        true
    }

    /// The memory of a slot and the bytes that follow it without a gap.
    ///
    /// # Safety
    /// The slot lies below a size that was passed to [`grow`] with success, and that call happened before this one.
    #[inline(always)]
    pub(crate) unsafe fn slot(&self, slot: usize) -> (NonNull<u8>, usize) {
        let (index, offset, len) = self.locate(slot);
        // Relaxed: the tail that published bytes in this chunk was read with acquire.
        let chunk = self.chunks[index].load(Ordering::Relaxed);
        debug_assert!(!chunk.is_null());
        // SAFETY: the caller says the chunk exists, so the pointer is not null and `offset` lies inside of it.
        (unsafe { NonNull::new_unchecked(chunk.add(offset)) }, len)
    }
}

fn chunk_len(first_log2: u8, index: usize) -> usize {
    1 << (usize::from(first_log2) + index.saturating_sub(1))
}

/// Cache-line alignment, so that the slots are aligned as positions are.
fn chunk_layout(first_log2: u8, index: usize) -> Option<Layout> {
    Layout::from_size_align(chunk_len(first_log2, index), 64).ok()
}

/// Gives slots `[0, 1 << log2)` memory, making the table with a first chunk of that size if there is none.
/// False, with what existed before intact, when the allocator has no more.
///
/// # Safety
/// Called by the producer alone; `table` is null or holds a table made here and not freed. `log2` is at most
/// [`largest_log2`] of the first chunk.
pub(crate) unsafe fn grow(table: &AtomicPtr<Table>, log2: u8, budget: Option<&Budget>) -> bool {
    let mut pointer = table.load(Ordering::Relaxed);
    if pointer.is_null() {
        let layout = Layout::new::<Table>();
        // SAFETY: the layout of a Table is not of size zero.
        pointer = unsafe { alloc_zeroed(layout) }.cast::<Table>();
        if pointer.is_null() {
            return false;
        }
        // SAFETY: fresh memory of a Table's size and alignment.
        unsafe { pointer.write(Table::new(log2)) };
        // Relaxed: the tail published afterwards orders it.
        table.store(pointer, Ordering::Relaxed);
    }
    // SAFETY: not null, so a table that lives until `free`, which only the producer or the last half calls.
    if unsafe { &*pointer }.cover(log2, budget) {
        return true;
    }
    // A table without its first chunk has settled a size that cannot be had: the next attempt may choose another.
    // SAFETY: as above; without a first chunk there is no unread byte.
    unsafe {
        if (*pointer).chunks[0].load(Ordering::Relaxed).is_null() {
            free(table, budget);
        }
    }
    false
}

/// The largest size that a ring whose first chunk has this size can reach.
pub(crate) fn largest_log2(first_log2: u8) -> u8 {
    first_log2 + (CHUNKS as u8 - 1)
}

/// Frees the table and its chunks.
///
/// # Safety
/// No byte is unread and no span is held, or both halves are gone; called by the producer or the last half alone.
pub(crate) unsafe fn free(table: &AtomicPtr<Table>, budget: Option<&Budget>) {
    let pointer = table.load(Ordering::Relaxed);
    if pointer.is_null() {
        return;
    }
    table.store(ptr::null_mut(), Ordering::Relaxed);
    {
        // SAFETY: made by `grow` and, as the caller says, used by nobody else any more.
        let table = unsafe { &*pointer };
        #[cfg(loom)]
        table.shadow.written(0, Shadow::SLOTS);
        if let Some(budget) = budget {
            budget.give_back(table.charged.get());
        }
        for (index, chunk) in table.chunks.iter().enumerate() {
            let chunk = chunk.load(Ordering::Relaxed);
            if let (false, Some(layout)) = (chunk.is_null(), chunk_layout(table.first_log2, index)) {
                // SAFETY: allocated by `grow` with this layout.
                unsafe { dealloc(chunk, layout) };
            }
        }
    }
    // SAFETY: allocated and initialised by `grow`; the reference above has ended.
    unsafe {
        ptr::drop_in_place(pointer);
        dealloc(pointer.cast(), Layout::new::<Table>());
    }
}

/// The bytes that the chunks of a table take, for accounts of memory.
///
/// # Safety
/// As for [`grow`].
pub(crate) unsafe fn allocated(table: &AtomicPtr<Table>) -> usize {
    let pointer = table.load(Ordering::Relaxed);
    if pointer.is_null() {
        return 0;
    }
    // SAFETY: not null, so a table that lives until the producer frees it.
    unsafe { &*pointer }.len()
}

/// Under loom, a cell for every eight bytes: loom follows accesses to its own cells only, not to raw memory, so each
/// copy touches the cells of its bytes as well. Two halves that meet at one byte without order are then found.
/// Tests keep to multiples of eight and to few slots.
#[cfg(loom)]
pub(crate) struct Shadow([loom::cell::UnsafeCell<()>; Shadow::SLOTS / 8]);

#[cfg(loom)]
impl Shadow {
    const SLOTS: usize = 512;

    fn new() -> Self {
        Self(core::array::from_fn(|_| loom::cell::UnsafeCell::new(())))
    }

    pub(crate) fn read(&self, slot: usize, len: usize) {
        self.0[slot / 8..(slot + len).div_ceil(8)].iter().for_each(|cell| cell.with(|_| ()));
    }

    pub(crate) fn written(&self, slot: usize, len: usize) {
        self.0[slot / 8..(slot + len).div_ceil(8)].iter().for_each(|cell| cell.with_mut(|_| ()));
    }
}
