//! An allocator that counts, for each thread: how many bytes are allocated, and how many were at most. Family `mem` counts
//! with it; for the others it passes everything on to the system's, at the cost of looking at one flag.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

/// The program's allocator.
pub(crate) struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Bytes that the thread has asked for and not given back since counting began; below zero when it gave back more.
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// Begins to count.
pub(crate) fn start() {
    COUNTS.store(true, Ordering::Relaxed);
}

/// Bytes that this thread has allocated, compared with when counting began.
pub(crate) fn live() -> i64 {
    LIVE.get()
}

/// The most that [`live`] was since the last [`reset_peak`].
pub(crate) fn peak() -> i64 {
    PEAK.get()
}

/// Forgets the peaks of the past.
pub(crate) fn reset_peak() {
    PEAK.set(live());
}

fn changed(from: usize, to: usize) {
    if COUNTS.load(Ordering::Relaxed) {
        let live = LIVE.get() + to as i64 - from as i64;
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
    }
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `System` asks for.
        let memory = unsafe { System.alloc(layout) };
        if !memory.is_null() {
            changed(0, layout.size());
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            changed(0, layout.size());
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        changed(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = unsafe { System.realloc(memory, layout, new_size) };
        if !moved.is_null() {
            changed(layout.size(), new_size);
        }
        moved
    }
}
