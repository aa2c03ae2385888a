//! When the allocator has no more, a ring takes less, loses nothing and goes on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use wharf_ring as ring;

struct Miser;

thread_local! {
    /// Allocations of this size or more fail, on this thread.
    static REFUSED: Cell<usize> = const { Cell::new(usize::MAX) };
    /// Allocations less deallocations, of this thread.
    static LIVING: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: all is passed on to the system's allocator, or refused as the contract of `alloc` allows.
unsafe impl GlobalAlloc for Miser {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= REFUSED.get() {
            return std::ptr::null_mut();
        }
        LIVING.set(LIVING.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVING.set(LIVING.get() - 1);
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
fn a_pair_of_rings_is_one_allocation_that_the_last_half_frees_in_whatever_order_they_go() {
    for order in 0..24 {
        LIVING.set(0);
        let [(one_in, one_out), (other_in, other_out)] = ring::heap_pair(1 << 20, 1 << 16);
        assert_eq!(LIVING.get(), 1);
        let mut halves: Vec<Option<Box<dyn std::any::Any>>> =
            vec![Some(Box::new(one_in)), Some(Box::new(one_out)), Some(Box::new(other_in)), Some(Box::new(other_out))];
        let mut left: Vec<usize> = (0..4).collect();
        let mut choice = order;
        while !left.is_empty() {
            let next = left.remove(choice % left.len());
            choice /= left.len() + 1;
            let living = LIVING.get();
            drop(halves[next].take());
            // A box for each half, and the pair at the end.
            assert_eq!(living - LIVING.get(), if left.is_empty() { 2 } else { 1 }, "order {order}");
        }
    }
}

#[test]
fn rings_of_a_pair_know_nothing_of_each_other() {
    let [(mut one_in, mut one_out), (mut other_in, mut other_out)] = ring::heap_pair(1 << 20, 1 << 16);
    assert_eq!((one_in.write(&[1; 70_000]), other_in.write(&[2; 70_000])), (70_000, 1 << 16));
    drop(one_in);
    let mut bytes = vec![0; 70_000];
    assert_eq!(one_out.read(&mut bytes), 70_000);
    assert!(one_out.is_producer_gone());
    drop(one_out);
    assert_eq!(other_out.read(&mut bytes), 1 << 16);
    assert!(bytes[..1 << 16].iter().all(|&byte| byte == 2));
    assert!(!other_in.is_consumer_gone());
    drop(other_out);
    assert!(other_in.is_consumer_gone());
}

#[test]
fn rings_of_a_pair_are_on_one_account_each_for_itself() {
    let (budget, other) = (ring::Budget::new(1 << 20), ring::Budget::new(1 << 20));
    let [(mut one_in, one_out), (other_in, mut other_out)] = ring::heap_pair(1 << 20, 1 << 16);
    assert!(budget.reserve(ring::Budget::RESERVED) && one_in.set_budget(&budget));
    assert!(!one_out.set_budget(&budget), "it is there already");
    // The other ring of the pair is not on it yet, and can be on no other.
    let mut other_in = other_in;
    assert!(!other_in.set_budget(&other));
    assert_eq!(other_in.write(&[2; 10_000]), 10_000);
    assert_eq!(budget.used(), ring::Budget::RESERVED);
    assert_eq!(other_out.read(&mut [0; 10_000]), 10_000);
    assert!(other_in.release());
    assert!(budget.reserve(ring::Budget::RESERVED) && other_out.set_budget(&budget));
    assert_eq!(one_in.write(&[1; 10_000]), 10_000);
    assert!(budget.used() >= 10_000 + ring::Budget::RESERVED);
    drop((one_in, one_out));
    assert_eq!(budget.used(), ring::Budget::RESERVED);
    drop((other_in, other_out));
    assert_eq!((budget.used(), other.used()), (0, 0));
    assert_eq!((std::sync::Arc::strong_count(&budget), std::sync::Arc::strong_count(&other)), (1, 1));
}

#[test]
fn an_idle_ring_costs_one_allocation_of_64_bytes() {
    let pair = refusing(65, || ring::heap(1 << 20));
    assert_eq!(size_of_val(&pair), 80);
}
