//! Copying bytes between raw pointers.
//!
//! The one place where ring memory is read or written. It works on raw pointers because ring memory is never a
//! `&[u8]`: in a shared region another process may change it at any time.

use core::ptr;

/// Copies `len` bytes.
///
/// # Safety
/// `from` is readable and `to` writable for `len` bytes, and they do not overlap.
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { ptr::copy_nonoverlapping(from, to, len) }
}
