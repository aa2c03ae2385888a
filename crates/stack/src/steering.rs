//! Several engines side by side on one link: which of them a TCP connection lives in.
//!
//! An engine is single-threaded, and knows nothing of others. What they agree on is a keyed hash of the four-tuple:
//! whoever takes frames off the link asks [`Steering::engine_of`] and hands a segment to that engine
//! (`links::steered`), and an engine that opens a connection chooses a local port by which the peer's segments lead
//! back to it (`tcp/commands`, by [`Share`]). No table is shared, so nothing is locked and nothing can fill up.

use alloc::sync::Arc;
use core::net::SocketAddr;

use crate::entropy::{Entropy, Key};

/// Spreads connections over engines, the same way for all that share it.
pub struct Steering {
    key: Key,
    engines: u16,
}

impl Steering {
    /// For so many engines, at least one. Who does not know the seed cannot aim connections at one of them.
    #[must_use]
    pub fn new(seed: [u8; 32], engines: u16) -> Self {
        Self { key: Entropy::new(seed).key(), engines: engines.max(1) }
    }

    /// How many engines there are.
    #[must_use]
    pub fn engines(&self) -> usize {
        usize::from(self.engines)
    }

    /// The engine, counted from 0, in which the connection between these two lives. It makes no difference which of
    /// them is ours: both ends of a connection that an engine has with itself lie in that engine.
    #[must_use]
    pub fn engine_of(&self, one: SocketAddr, other: SocketAddr) -> usize {
        let (first, second) =
            if (one.ip(), one.port()) <= (other.ip(), other.port()) { (one, other) } else { (other, one) };
        let hash = self.key.flow(first.ip(), first.port(), second.ip(), second.port());
        // The hash as a fraction of 2^64, times the number of engines.
        ((u128::from(hash) * u128::from(self.engines)) >> 64) as usize
    }
}

impl core::fmt::Debug for Steering {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The key is a secret.
        f.debug_struct("Steering").field("engines", &self.engines).finish_non_exhaustive()
    }
}

/// One engine's place among several.
#[derive(Clone, Debug)]
pub struct Share {
    /// What all of them agree on.
    pub steering: Arc<Steering>,
    /// Which of them this one is, from 0.
    pub engine: usize,
}

impl Share {
    /// Whether the connection between these two lives in this engine.
    pub(crate) fn holds(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.steering.engine_of(local, remote) == self.engine
    }
}
