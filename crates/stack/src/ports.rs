//! Ephemeral ports (RFC 6056), for UDP and TCP, why an address cannot be bound, and who of a group that shares one gets what.

use core::fmt;

use crate::entropy::Entropy;

/// RFC 6056 section 3.2: the whole range above the well-known ports.
const FIRST: u16 = 1_024;
const COUNT: u64 = 65_536 - FIRST as u64;

/// Why a socket got no local address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindError {
    /// Another socket has the address and port (EADDRINUSE).
    InUse,
    /// The address is not one of ours (EADDRNOTAVAIL).
    NotAvailable,
    /// Every ephemeral port is taken (EADDRINUSE).
    NoPorts,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "the address is in use",
            Self::NotAvailable => "the address is not one of ours",
            Self::NoPorts => "every ephemeral port is taken",
        })
    }
}

impl core::error::Error for BindError {}

/// A port that `is_free` agrees to; `None` if there is none.
pub(crate) fn choose(entropy: &mut Entropy, mut is_free: impl FnMut(u16) -> bool) -> Option<u16> {
    let (first, mut others) = candidates(entropy);
    if is_free(first) { Some(first) } else { others.find(|&port| is_free(port)) }
}

/// The port to try first, which is free most often, and the others in their order.
// RFC 6056 section 3.3.1 (algorithm 1): a random start, then the next free one.
#[inline(always)]
pub(crate) fn candidates(entropy: &mut Entropy) -> (u16, impl Iterator<Item = u16> + use<>) {
    let start = entropy.below(COUNT);
    (FIRST + start as u16, (1..COUNT).map(move |step| FIRST + ((start + step) % COUNT) as u16))
}

/// How well a member of a group that shares a port (SO_REUSEPORT) suits a flow: the best of them takes it. `flow` is a keyed
/// hash, so nobody outside can aim at a member; and when one comes or goes, the flows of no other change hands.
pub(crate) fn suits(flow: u64, member: u64) -> u64 {
    // The finalizer of SplitMix64: every bit of both goes into every bit of the rank.
    let mut rank = flow ^ member.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    rank = (rank ^ rank >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    rank = (rank ^ rank >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    rank ^ rank >> 31
}
