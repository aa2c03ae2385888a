//! Copying bytes and adding them up in one pass, between raw pointers.
//!
//! The one place, with its loops in `kernels`, where ring memory is read or written. It works on raw pointers because
//! ring memory is never a `&[u8]`: in a shared region another process may change it at any time. Bytes go through
//! registers, so what is summed is what was stored.

use core::ptr;

use wire::checksum::Sum;

use crate::kernels::{self, BLOCK};

/// So few bytes are summed before a vector kernel has been chosen and its lanes are gathered.
const FEW: usize = 128;

/// Copies `len` bytes.
///
/// # Safety
/// `from` is readable and `to` writable for `len` bytes, and they do not overlap.
#[inline]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { kernels::copy(from, to, len) }
}

/// Copies `len` bytes and returns their RFC 1071 sum, the first byte being the upper half of a word.
///
/// # Safety
/// As for [`copy`].
#[inline(always)]
pub(crate) unsafe fn copy_and_sum(from: *const u8, to: *mut u8, len: usize) -> Sum {
    // SAFETY: the caller's promise.
    unsafe { if len <= FEW { few::<true>(from, to, len) } else { many::<true>(from, to, len) } }
}

/// The sum of `len` bytes.
///
/// # Safety
/// `from` is readable for `len` bytes.
#[inline(always)]
pub(crate) unsafe fn sum(from: *const u8, len: usize) -> Sum {
    // SAFETY: the caller's promise; without COPY nothing is written.
    unsafe {
        if len <= FEW { few::<false>(from, ptr::null_mut(), len) } else { many::<false>(from, ptr::null_mut(), len) }
    }
}

/// A message's bytes, where the caller stands.
///
/// # Safety
/// As for [`rest`].
#[inline(always)]
unsafe fn few<const COPY: bool>(from: *const u8, to: *mut u8, len: usize) -> Sum {
    // SAFETY: the caller's promise, for fewer bytes.
    unsafe {
        let total = words::<COPY>(from, to, len - len % BLOCK);
        rest::<COPY>(from, to, len, total)
    }
}

/// A segment's.
///
/// # Safety
/// As for [`rest`].
#[inline(always)]
unsafe fn many<const COPY: bool>(from: *const u8, to: *mut u8, len: usize) -> Sum {
    // SAFETY: the caller's promise.
    unsafe {
        match kernels::at_once::<COPY>(from, to, len) {
            Some(total) => Sum::of_words(total),
            None => in_steps::<COPY>(from, to, len),
        }
    }
}

/// [`many`] by blocks and what is left of them.
///
/// # Safety
/// As for [`rest`].
#[inline(never)]
unsafe fn in_steps<const COPY: bool>(from: *const u8, to: *mut u8, len: usize) -> Sum {
    // SAFETY: the caller's promise, for fewer bytes.
    unsafe {
        let total = kernels::blocks::<COPY>(from, to, len - len % BLOCK);
        rest::<COPY>(from, to, len, total)
    }
}

/// Reads every byte behind the last whole block once, writes it if COPY, and adds it to `total`.
///
/// # Safety
/// `from` is readable for `len` bytes; if COPY, `to` is writable for as many and they do not overlap.
#[inline(always)]
unsafe fn rest<const COPY: bool>(from: *const u8, to: *mut u8, len: usize, mut total: u64) -> Sum {
    let rest_len = len % BLOCK;
    let mut offset = len - rest_len;
    if rest_len == 0 {
        return Sum::of_words(total);
    }
    // Fewer than 32 bytes remain: what the bits of the length say, the largest first.
    if rest_len & 16 != 0 {
        // SAFETY: 16 bytes remain.
        let words: [u64; 2] = unsafe { step::<COPY, _>(from, to, offset) };
        total = add(add(total, words[0]), words[1]);
        offset += 16;
    }
    if rest_len & 8 != 0 {
        // SAFETY: 8 bytes remain.
        total = add(total, unsafe { step::<COPY, u64>(from, to, offset) });
        offset += 8;
    }
    if rest_len & 4 != 0 {
        // SAFETY: 4 bytes remain.
        total = add(total, u64::from(unsafe { step::<COPY, u32>(from, to, offset) }));
        offset += 4;
    }
    if rest_len & 2 != 0 {
        // SAFETY: 2 bytes remain.
        total = add(total, u64::from(unsafe { step::<COPY, u16>(from, to, offset) }));
        offset += 2;
    }
    if rest_len & 1 != 0 {
        // RFC 1071 section 4.1: an odd last byte is the upper half of a word whose lower half is zero.
        // SAFETY: 1 byte remains.
        total = add(total, u64::from(u16::from_ne_bytes([unsafe { step::<COPY, u8>(from, to, offset) }, 0])));
    }
    // RFC 1071 section 2 (B): the sum does not depend on byte order, so memory's order serves until the end.
    Sum::of_words(total)
}

/// Copies, if COPY, and sums `len` bytes, a multiple of [`BLOCK`], word by word.
///
/// # Safety
/// As for [`rest`].
#[inline(always)]
unsafe fn words<const COPY: bool>(from: *const u8, to: *mut u8, len: usize) -> u64 {
    let mut total = 0;
    let mut offset = 0;
    while offset < len {
        // SAFETY: a block remains.
        let block: [u64; BLOCK / 8] = unsafe { step::<COPY, _>(from, to, offset) };
        total = block.into_iter().fold(total, add);
        offset += BLOCK;
    }
    total
}

/// Reads a value of plain bytes at an offset, and writes it if COPY.
///
/// # Safety
/// `T` has no invalid bits and no padding; `from`, and if COPY `to`, are valid for a `T` at the offset.
#[inline(always)]
unsafe fn step<const COPY: bool, T: Copy>(from: *const u8, to: *mut u8, offset: usize) -> T {
    // SAFETY: the caller's promise.
    unsafe {
        let value = from.add(offset).cast::<T>().read_unaligned();
        if COPY {
            to.add(offset).cast::<T>().write_unaligned(value);
        }
        value
    }
}

/// RFC 1071 section 2: a carry out of the upper end comes in at the lower.
#[inline(always)]
fn add(total: u64, word: u64) -> u64 {
    let (sum, carry) = total.overflowing_add(word);
    sum + u64::from(carry)
}
