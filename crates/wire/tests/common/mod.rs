//! What the tests of this crate share.

#![allow(dead_code, reason = "every test file takes what it needs")]

/// SplitMix64: a seed names a test run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.next() as u8;
        }
    }
}

/// Calls `check` with noise of every length up to `max_len`, and with `golden` after a few of its bytes were changed,
/// cut or extended. The second kind is what reaches the depths of a parser.
pub(crate) fn with_noise(golden: &[u8], max_len: usize, mut check: impl FnMut(&[u8])) {
    let mut random = Random::new(0x0057_6861_7266);
    let mut bytes = vec![0; max_len];
    for _ in 0..20_000 {
        let len = random.below(max_len + 1);
        random.fill(&mut bytes[..len]);
        check(&bytes[..len]);
    }
    for _ in 0..60_000 {
        let mut bytes = golden.to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            bytes[at] = if random.chance(2) { random.next() as u8 } else { bytes[at] ^ (1 << random.below(8)) };
        }
        if random.chance(4) {
            bytes.truncate(random.below(bytes.len() + 1));
        } else if random.chance(4) {
            let extra = random.below(32);
            bytes.extend((0..extra).map(|_| random.next() as u8));
        }
        check(&bytes);
    }
}
