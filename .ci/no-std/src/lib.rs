//! Proof that `wire`, `ring`, `device` and `stack` build without std, run by `.ci/checks`.
//!
//! A program has one panic handler. This one has its own, so if any crate below brought std in, which has another,
//! the build fails with "duplicate lang item: panic_impl". That holds for every target, so that the proof needs no
//! bare-metal target to be installed; where one is, `.ci/no-std/run` builds for it too.

#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;
use core::ptr::null_mut;

// Named so that they are linked.
use device as _;
use ring as _;
use stack as _;
use wire as _;

/// An allocator with nothing to give: the library is built and never run.
struct Empty;

// SAFETY: a null pointer is how `alloc` says that there is no memory, and nothing is ever there to be freed.
unsafe impl GlobalAlloc for Empty {
    unsafe fn alloc(&self, _layout: Layout) -> *mut u8 {
        null_mut()
    }

    unsafe fn dealloc(&self, _pointer: *mut u8, _layout: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Empty = Empty;

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    loop {}
}
