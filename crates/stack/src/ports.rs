//! Ephemeral ports (RFC 6056), for UDP and TCP, and why an address cannot be bound.

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
// RFC 6056 section 3.3.1 (algorithm 1): a random start, then the next free one.
pub(crate) fn choose(entropy: &mut Entropy, mut is_free: impl FnMut(u16) -> bool) -> Option<u16> {
    let start = entropy.below(COUNT);
    (0..COUNT).map(|step| FIRST + ((start + step) % COUNT) as u16).find(|&port| is_free(port))
}
