//! When the allocator has no more, a ring takes less, loses nothing and goes on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use wharf_ring as ring;

struct Miser;

thread_local! {
    /// Allocations of this size or more fail, on this thread.
    static REFUSED: Cell<usize> = const { Cell::new(usize::MAX) };
}

// SAFETY: all is passed on to the system's allocator, or refused as the contract of `alloc` allows.
unsafe impl GlobalAlloc for Miser {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= REFUSED.get() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) };
    }
}

#[global_allocator]
static MISER: Miser = Miser;

fn refusing<T>(size: usize, body: impl FnOnce() -> T) -> T {
    REFUSED.set(size);
    let result = body();
    REFUSED.set(usize::MAX);
    result
}

#[test]
fn a_write_that_finds_no_memory_takes_what_fits_and_later_the_rest() {
    let (mut producer, mut consumer) = ring::heap(1 << 20);
    let bytes: Vec<u8> = (0..50_000u32).map(|i| (i % 251) as u8).collect();
    assert_eq!(refusing(100, || producer.write(&bytes)), 0, "not even a table");
    let n = refusing(20_000, || producer.write(&bytes));
    assert_eq!(n, 12_500, "half of a half fits a chunk of 16 KiB");
    assert_eq!(refusing(1, || producer.write(&bytes[n..])), 16_384 - n);
    assert_eq!(refusing(1, || producer.write(&bytes[16_384..])), 0, "full");
    assert!(!refusing(1, || producer.write_at(0, &bytes[16_384..])));
    assert_eq!(producer.len(), 16_384);
    assert_eq!(producer.write(&bytes[16_384..]), 50_000 - 16_384);
    let mut read = vec![0; 50_000];
    assert_eq!(consumer.read(&mut read), 50_000);
    assert_eq!(read, bytes);
}

#[test]
fn a_ring_in_use_allocates_nothing() {
    let (mut producer, mut consumer) = ring::heap(8192);
    assert_eq!(producer.write(&[1; 8192]), 8192);
    let mut bytes = [0; 3000];
    refusing(1, || {
        for _ in 0..1000 {
            let n = consumer.read(&mut bytes);
            assert!(producer.write_at(0, &bytes[..n]));
            producer.publish(n);
        }
    });
    assert_eq!(producer.len(), 8192);
}

#[test]
fn an_idle_ring_costs_one_allocation_of_64_bytes() {
    let pair = refusing(65, || ring::heap(1 << 20));
    assert_eq!(size_of_val(&pair), 80);
}
