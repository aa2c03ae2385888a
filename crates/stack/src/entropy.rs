//! The engine's chance: one seed, from which everything unpredictable is drawn.
//!
//! Identifiers, ports and jitter come from a ChaCha12 stream, so that two outputs never reveal the state; look-up
//! tables and initial sequence numbers are keyed with SipHash under keys drawn at the start. The same seed replays
//! the same run.

use core::hash::Hasher;
use core::net::IpAddr;
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
