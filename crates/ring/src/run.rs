//! Where the next bytes lie while they stay within one piece: what a half found out of `layout` the last time.
//!
//! A segment of a stream, or a message, mostly lies right behind the one before it, in the same chunk, and there was room for
//! it when that one was looked at. Then two subtractions tell its place. Each half has a run of its own, which the other
//! does not touch. They stand in the table, not in the halves, so that an idle ring does not pay for them.
//!
//! The producer's holds until the mapping or a limit changes: memory moves never, room that was promised is not taken back,
//! and the consumer only adds to it. So whoever changes one of them in `producer` forgets the run; what the consumer
//! grants is compared each time.
//!
//! The consumer's holds as long as the table's version stands still. The producer moves that on after each change of the
//! mapping, and before it publishes a byte that needs it, so who has seen the byte sees the version (release and acquire of
//! the tail). Bytes that were published before keep their place through every change, so an older run is right for them;
//! and no run leads outside of the memory of the table in which it stands.

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
    /// What else must be as it was: the grant, or the version.
    under: Cell<u64>,
}

impl Run {
    pub(crate) const fn new() -> Self {
        Self { start: Cell::new(0), len: Cell::new(0), memory: Cell::new(ptr::null_mut()), under: Cell::new(0) }
    }

    /// The positions `[start, start + len)` lie from `memory` on, as long as `under` is this.
    pub(crate) fn set(&self, start: u64, len: u64, memory: NonNull<u8>, under: u64) {
        self.under.set(under);
        self.start.set(start);
        self.len.set(len);
        self.memory.set(memory.as_ptr());
    }

    /// Nothing is known any more.
    pub(crate) fn forget(&self) {
        self.len.set(0);
    }

    /// The memory of the `len` bytes at `position`, if it is known.
    #[inline(always)]
    pub(crate) fn find(&self, position: u64, len: usize, under: u64) -> Option<NonNull<u8>> {
        let into = position.wrapping_sub(self.start.get());
        let run = self.len.get();
        if into >= run || len as u64 > run - into || self.under.get() != under {
            cold_path();
            return None;
        }
        // SAFETY: `into` is less than the run's length, all of which is one piece of memory, which `set` was told.
        Some(unsafe { NonNull::new_unchecked(self.memory.get().add(into as usize)) })
    }
}
