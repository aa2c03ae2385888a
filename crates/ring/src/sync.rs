//! The atomics of the ring: the processor's, or loom's when a test explores every interleaving.
//!
//! Everything that orders one half against the other goes through here, so that the loom tests run the same
//! code that ships.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
