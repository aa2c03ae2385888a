//! An account of memory that many rings draw on, in whatever threads their producers are.
//!
//! Rings grow where the bytes come from: the receive ring in the engine, the send ring in the application's thread. All
//! ask here before they take memory, so the sum stays within the limit, whoever is fastest. The first
//! [`Budget::RESERVED`] bytes of each ring are not asked for: they are reserved before the ring gets its budget, and so
//! it always has room for something, and nobody waits for ever.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The account.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    limit: usize,
    /// Rings grow no more from here on; the rest is for reservations.
    pressure: usize,
    refusals: AtomicUsize,
}

impl Budget {
    /// Bytes of each ring that were reserved with its budget, and that it takes without asking.
    pub const RESERVED: usize = 1 << Self::RESERVED_LOG2;
    pub(crate) const RESERVED_LOG2: u8 = 11;

    /// An account of `limit` bytes, of which rings may fill three quarters by growing.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        let pressure = limit - limit / 4;
        Arc::new(Self { used: AtomicUsize::new(0), limit, pressure, refusals: AtomicUsize::new(0) })
    }

    /// Takes `bytes` for something that must be had as long as there is anything: a connection and what is reserved for
    /// its rings. False, and nothing taken, beyond the limit.
    pub fn reserve(&self, bytes: usize) -> bool {
        self.take(bytes, self.limit)
    }

    /// Takes `bytes` for growth. False, and counted, once three quarters are used.
    pub fn grow(&self, bytes: usize) -> bool {
        let taken = self.take(bytes, self.pressure);
        if !taken {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Gives back what was taken.
    pub fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes taken now, never more than the limit.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit, in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// From how many bytes on rings do not grow.
    pub fn pressure(&self) -> usize {
        self.pressure
    }

    /// How often growth was refused.
    pub fn refusals(&self) -> usize {
        self.refusals.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize, most: usize) -> bool {
        // Relaxed: a number, which orders nothing else.
        let enough = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= most);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough).is_ok()
    }
}
