//! Where the next bytes go while they stay within one piece: what the producer found out of `layout` the last time.
//!
//! A segment of a stream mostly lies right behind the one before it, in the same chunk, and there was room for it when that
//! one was looked at. Then two subtractions tell its place. What is kept here is used by the producer alone. It stands in
//! the table, not in the [`Producer`](crate::Producer), so that an idle ring does not pay for it.
//!
//! It holds until the mapping or the limit changes: memory moves never, room that was promised is not taken back, and the
//! consumer only adds to it. So whoever changes one of them in `producer` forgets the run.

use core::cell::Cell;
use core::hint::cold_path;
use core::ptr::{self, NonNull};

/// Positions that follow each other in memory, and for which there is room.
pub(crate) struct Run {
    /// The first position.
    start: Cell<u64>,
    /// How many positions; 0 for none.
    len: Cell<u64>,
    /// The memory of the first.
    memory: Cell<*mut u8>,
}

impl Run {
    pub(crate) const fn new() -> Self {
        Self { start: Cell::new(0), len: Cell::new(0), memory: Cell::new(ptr::null_mut()) }
    }

    /// The positions `[start, start + len)` lie from `memory` on.
    pub(crate) fn set(&self, start: u64, len: u64, memory: NonNull<u8>) {
        self.start.set(start);
        self.len.set(len);
        self.memory.set(memory.as_ptr());
    }

    /// Nothing is known any more.
    pub(crate) fn forget(&self) {
        self.len.set(0);
    }

    /// The memory of the `len` bytes at `position`, if it is known: `len` is not 0 then.
    #[inline(always)]
    pub(crate) fn find(&self, position: u64, len: usize) -> Option<NonNull<u8>> {
        let into = position.wrapping_sub(self.start.get());
        let left = self.len.get().saturating_sub(into);
        if (len as u64).wrapping_sub(1) >= left {
            cold_path();
            return None;
        }
        // SAFETY: `into` is less than the run's length, all of which is one piece of memory, which `set` was told.
        Some(unsafe { NonNull::new_unchecked(self.memory.get().add(into as usize)) })
    }
}
