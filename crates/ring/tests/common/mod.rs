//! What the ring's tests share: seeded chance, bytes that know their position, memory for regions.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use wharf_ring::Region;

/// xorshift64*: a seed replays a run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 32) as usize % n.max(1)
    }

    /// Small most of the time, sometimes up to n.
    pub fn size(&mut self, n: usize) -> usize {
        let bits = self.below(n.max(1).ilog2() as usize + 2);
        self.below((1 << bits).min(n + 1))
    }
}

/// The byte that belongs to a position, so that any byte out of place shows.
pub fn byte_at(position: u64) -> u8 {
    let mixed = (position + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

pub fn bytes_at(position: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| byte_at(position + i)).collect()
}

/// Memory for a region with a margin on either side that nobody may touch.
pub struct Memory {
    begin: NonNull<u8>,
    layout: Layout,
    len: usize,
}

const MARGIN: usize = 4096;
const CANARY: u8 = 0xa5;

impl Memory {
    /// `len` bytes, the two margins around them filled.
    pub fn new(len: usize) -> Self {
        let layout = Layout::from_size_align(len + 2 * MARGIN, 4096).unwrap();
        // SAFETY: the layout is not of size zero.
        let begin = NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap();
        // SAFETY: both margins lie within the allocation.
        unsafe {
            begin.write_bytes(CANARY, MARGIN);
            begin.add(MARGIN + len).write_bytes(CANARY, MARGIN);
        }
        Self { begin, layout, len }
    }

    pub fn base(&self) -> NonNull<u8> {
        // SAFETY: the margin lies within the allocation.
        unsafe { self.begin.add(MARGIN) }
    }

    pub fn region(&self) -> Region {
        // SAFETY: the tests drop the halves before the memory.
        unsafe { Region::new(self.base(), self.len) }.expect("a region of this length")
    }

    /// Overwrites the aligned 64-bit word at a byte offset, as another process would.
    pub fn scribble(&self, offset: usize, word: u64) {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.len);
        // SAFETY: within the region and aligned.
        unsafe { self.base().add(offset).cast::<u64>().write_volatile(word) };
    }

    pub fn peek(&self, offset: usize) -> u64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.len);
        // SAFETY: within the region and aligned.
        unsafe { self.base().add(offset).cast::<u64>().read_volatile() }
    }

    /// Panics if a byte outside of the region was written.
    pub fn check_margins(&self) {
        for offset in (0..MARGIN).chain(MARGIN + self.len..self.len + 2 * MARGIN) {
            // SAFETY: within the allocation.
            assert_eq!(unsafe { self.begin.add(offset).read() }, CANARY, "margin written at {offset}");
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.begin.as_ptr(), self.layout) };
    }
}
