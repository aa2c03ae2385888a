//! The engine's chance: one seed, from which everything unpredictable is drawn.
//!
//! Identifiers, ports and jitter come from a ChaCha12 stream, so that two outputs never reveal the state; initial sequence
//! numbers and most look-up tables are keyed with SipHash, TCP's flows with NH, under keys drawn at the start. The same seed
//! replays the same run.

use core::hash::Hasher;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use siphasher::sip::{SipHasher13, SipHasher24};

/// The engine's random stream.
pub(crate) struct Entropy {
    stream: ChaCha12Rng,
}

impl Entropy {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { stream: ChaCha12Rng::from_seed(seed) }
    }

    /// Another stream, as unpredictable as this one.
    pub(crate) fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        for word in seed.as_chunks_mut::<8>().0 {
            *word = self.next_u64().to_le_bytes();
        }
        Self::new(seed)
    }

    pub(crate) fn next_u16(&mut self) -> u16 {
        self.stream.next_u32() as u16
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        self.stream.next_u32()
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// A number below `bound`; zero when `bound` is zero. The bias of a 64-bit draw is beyond measure here.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A span between zero and `most`.
    pub(crate) fn jitter(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.below(u64::try_from(most.as_nanos()).unwrap_or(u64::MAX)))
    }

    pub(crate) fn key(&mut self) -> Key {
        Key(self.next_u64(), self.next_u64())
    }

    pub(crate) fn flow_key(&mut self) -> FlowKey {
        FlowKey(core::array::from_fn(|_| self.next_u64()))
    }
}

/// A secret under which TCP's flows are hashed for its tables, of which every segment asks: two multiplications in place of
/// SipHash's five rounds.
///
/// It is NH, the universal hash of UMAC (RFC 4418 section 5.2.2), twice. Two flows, whichever they are, have the same product
/// with a chance of 2^-63 for who does not know the key, and the hash itself is never seen outside. Nor do two that were found
/// to share a place, by the time that they take, tell of others that do: sums under the key are multiplied, so what is
/// true of one difference between flows is not true of the same difference between others.
pub(crate) struct FlowKey([u64; 8]);

impl FlowKey {
    #[inline(always)]
    pub(crate) fn hash(&self, local: &IpAddr, local_port: u16, remote: &IpAddr, remote_port: u16) -> u64 {
        let ports = u64::from(local_port) << 16 | u64::from(remote_port);
        let &Self([k0, k1, k2, k3, ..]) = self;
        let first = match (local, remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                let addresses = u64::from(local.to_bits()) << 32 | u64::from(remote.to_bits());
                product(addresses.wrapping_add(k0), ports.wrapping_add(k1))
            }
            (local, remote) => self.wide(local, remote).wrapping_add(product(k0, ports.wrapping_add(k1))),
        };
        let second = product((first as u64).wrapping_add(k2), ((first >> 64) as u64).wrapping_add(k3));
        second as u64 ^ (second >> 64) as u64
    }

    #[inline(never)]
    fn wide(&self, local: &IpAddr, remote: &IpAddr) -> u128 {
        let &Self([.., k4, k5, k6, k7]) = self;
        let [local, remote] = [local, remote].map(|address| match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits(),
        });
        let nh = |bits: u128, one: u64, other: u64| {
            product(((bits >> 64) as u64).wrapping_add(one), (bits as u64).wrapping_add(other))
        };
        nh(local, k4, k5).wrapping_add(nh(remote, k6, k7))
    }
}

#[inline(always)]
fn product(one: u64, other: u64) -> u128 {
    u128::from(one) * u128::from(other)
}

/// A secret under which values are hashed.
#[derive(Clone, Copy)]
pub(crate) struct Key(u64, u64);

impl Key {
    /// A quick keyed hash of a flow, for look-up tables: an attacker who does not know the key cannot aim for a
    /// bucket.
    pub(crate) fn flow(self, local: IpAddr, local_port: u16, remote: IpAddr, remote_port: u16) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        write_flow(&mut hasher, local, local_port, remote, remote_port);
        hasher.finish()
    }

    /// A pseudo-random function of a flow, strong enough that its value stays secret: for what goes on the wire.
    pub(crate) fn prf(self, local: IpAddr, local_port: u16, remote: IpAddr, remote_port: u16) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        write_flow(&mut hasher, local, local_port, remote, remote_port);
        hasher.finish()
    }

    /// [`prf`](Self::prf) of a flow and a number.
    pub(crate) fn prf_with(self, local: IpAddr, local_port: u16, remote: IpAddr, remote_port: u16, number: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        write_flow(&mut hasher, local, local_port, remote, remote_port);
        hasher.write_u64(number);
        hasher.finish()
    }
}

/// SipHash-2-4 of [`Key::prf`], where it stands behind two IPv4 addresses: a quarter of its rounds, which flows between the
/// same addresses have in common.
#[derive(Clone, Copy)]
pub(crate) struct Absorbed([u64; 4]);

impl Key {
    /// What is common to the flows between two addresses.
    pub(crate) fn absorb(self, local: Ipv4Addr, remote: Ipv4Addr) -> Absorbed {
        let Self(k0, k1) = self;
        // The constants that SipHash begins with.
        let begin = [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573];
        let state = [begin[0] ^ k0, begin[1] ^ k1, begin[2] ^ k0, begin[3] ^ k1];
        Absorbed(compress(state, u64::from(local.to_bits()) << 32 | u64::from(remote.to_bits())))
    }
}

impl Absorbed {
    /// [`Key::prf`] of the flow between these ports.
    pub(crate) fn prf(self, local_port: u16, remote_port: u16) -> u64 {
        // The last word of twelve bytes has their number in front.
        let ports = u64::from(local_port) << 16 | u64::from(remote_port);
        let [v0, v1, v2, v3] = compress(self.0, 12 << 56 | ports);
        let [v0, v1, v2, v3] = round(round(round(round([v0, v1, v2 ^ 0xff, v3]))));
        v0 ^ v1 ^ v2 ^ v3
    }
}

#[inline(always)]
fn compress([v0, v1, v2, v3]: [u64; 4], word: u64) -> [u64; 4] {
    let [v0, v1, v2, v3] = round(round([v0, v1, v2, v3 ^ word]));
    [v0 ^ word, v1, v2, v3]
}

#[inline(always)]
fn round([mut v0, mut v1, mut v2, mut v3]: [u64; 4]) -> [u64; 4] {
    v0 = v0.wrapping_add(v1);
    v2 = v2.wrapping_add(v3);
    v1 = v1.rotate_left(13) ^ v0;
    v3 = v3.rotate_left(16) ^ v2;
    v0 = v0.rotate_left(32).wrapping_add(v3);
    v2 = v2.wrapping_add(v1);
    v3 = v3.rotate_left(21) ^ v0;
    v1 = v1.rotate_left(17) ^ v2;
    [v0, v1, v2.rotate_left(32), v3]
}

// In place of a call: the bytes are few, and known to be of one kind or the other.
#[inline(always)]
fn write_flow(hasher: &mut impl Hasher, local: IpAddr, local_port: u16, remote: IpAddr, remote_port: u16) {
    match (local, remote) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => {
            hasher.write_u64(u64::from(local.to_bits()) << 32 | u64::from(remote.to_bits()));
        }
        (local, remote) => {
            for address in [local, remote] {
                let bits = match address {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
                    IpAddr::V6(v6) => v6.to_bits(),
                };
                hasher.write_u64((bits >> 64) as u64);
                hasher.write_u64(bits as u64);
            }
        }
    }
    hasher.write_u32(u32::from(local_port) << 16 | u32::from(remote_port));
}

#[cfg(test)]
mod tests;
