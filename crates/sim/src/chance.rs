//! The random numbers of a simulated world: a seed, and everything else follows.

use std::ops::Range;

/// The seeds of a test that plays `count` games: all of them, or the one that `WHARF_SEED` names.
///
/// # Panics
/// If it names none.
#[must_use]
pub fn seeds(count: u64) -> Range<u64> {
    match std::env::var("WHARF_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("WHARF_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..count,
    }
}

/// A SplitMix64 generator (Steele, Lea and Flood, 2014): quick, small, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; zero if `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True with probability `p`.
    pub fn happens(&mut self, p: f64) -> bool {
        p > 0.0 && ((self.draw() >> 11) as f64 / (1u64 << 53) as f64) < p
    }

    /// A 32-byte seed for an engine.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        for chunk in seed.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes());
        }
        seed
    }
}
