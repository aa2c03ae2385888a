//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624). Used by every header here, by the stack to
//! checksum segments, and by the rings to sum bytes while they copy them.
//!
//! A [`Sum`] is the ones-complement sum of 16-bit words in the machine's own byte order, kept in 64 bits. RFC 1071
//! section 2 allows both: the sum does not depend on byte order until it is stored, and 64-bit ones-complement addition
//! gives the same value modulo 65,535, because 2^64 - 1 is a multiple of 2^16 - 1. Eight bytes go in per addition.

use core::net::IpAddr;
use core::ops::{Add, AddAssign};

use crate::protocol::Protocol;

/// A partial checksum. Sums of spans that each begin at an even offset of the packet are added; the sum of a span that
/// begins at an odd offset is [`shifted`](Sum::shifted) first.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Sum = Sum(0);

    /// A sum that was taken elsewhere: of 16-bit words as they lie in memory, congruent modulo 2^16 - 1, and zero only where all
    /// of them are.
    #[inline]
    pub const fn of_words(sum: u64) -> Sum {
        Sum(sum)
    }

    /// The sum of a 16-bit field that holds `value`.
    #[inline]
    pub const fn add_u16(self, value: u16) -> Sum {
        Sum(end_around(self.0, value.to_be() as u64))
    }

    /// The sum with a 32-bit field that holds `value`.
    #[inline]
    pub const fn add_u32(self, value: u32) -> Sum {
        Sum(end_around(self.0, value.to_be() as u64))
    }

    /// The sum that the same bytes have when they begin at an odd offset of the packet.
    // RFC 1071 section 2(B): the sum of byte-swapped words is the byte-swapped sum. Rotating the 64 bits by eight
    // multiplies by 256 modulo 65,535, which is that swap.
    #[inline]
    pub const fn shifted(self) -> Sum {
        Sum(self.0.rotate_left(8))
    }

    /// The value of the checksum field: store it big-endian. The field itself counts as zero in the sum.
    #[inline]
    pub const fn finish(self) -> u16 {
        !u16::from_be(self.fold())
    }

    /// Whether a sum that includes the stored checksum says that the bytes arrived unharmed.
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }

    #[inline]
    const fn fold(self) -> u16 {
        // A number and itself with its halves exchanged: the upper half of their sum is that of the halves, the carry out of the
        // lower half included.
        let half = (self.0.wrapping_add(self.0.rotate_left(32)) >> 32) as u32;
        (half.wrapping_add(half.rotate_left(16)) >> 16) as u16
    }
}

impl Add for Sum {
    type Output = Sum;

    #[inline]
    fn add(self, other: Sum) -> Sum {
        Sum(end_around(self.0, other.0))
    }
}

impl AddAssign for Sum {
    #[inline]
    fn add_assign(&mut self, other: Sum) {
        *self = *self + other;
    }
}

/// Ones-complement addition.
#[inline]
const fn end_around(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    // After a carry the sum is at most 2^64 - 2, so this cannot overflow.
    sum + carry as u64
}

/// Sums `bytes`; an odd last byte counts as if a zero followed it.
pub fn sum(bytes: &[u8]) -> Sum {
    let mut chains = [0; CHAINS];
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for block in blocks {
        add_block(&mut chains, block);
    }
    join(chains) + sum_short(rest)
}

/// Copies `source` over `destination` and sums it on the way: the bytes come from memory once.
///
/// # Panics
/// When the lengths differ.
pub fn copy_and_sum(source: &[u8], destination: &mut [u8]) -> Sum {
    assert_eq!(source.len(), destination.len(), "copy_and_sum of different lengths");
    let mut chains = [0; CHAINS];
    let (blocks, rest) = source.as_chunks::<BLOCK>();
    let (copies, rest_copy) = destination.as_chunks_mut::<BLOCK>();
    for (block, copy) in blocks.iter().zip(copies) {
        *copy = *block;
        add_block(&mut chains, block);
    }
    rest_copy.copy_from_slice(rest);
    join(chains) + sum_short(rest)
}

/// The sum of a span whose size is known to the compiler, as a TCP header with timestamps: no loop remains, and a call
/// of [`sum`] is saved.
#[inline(always)]
pub fn sum_array<const N: usize>(bytes: &[u8; N]) -> Sum {
    sum_short(bytes)
}

/// Sums that do not wait for each other: an addition with carry depends on the one before it, and the processor works
/// on two such chains at a time.
const CHAINS: usize = 2;

/// What one chain takes between two starts without a carry, in bytes.
const LINK: usize = 64;

const BLOCK: usize = CHAINS * LINK;

/// One addition for each eight bytes, straight from memory: half the instructions that SSE2 needs to widen its lanes,
/// and with two chains as quick.
#[inline(always)]
fn add_block(chains: &mut [u64; CHAINS], block: &[u8; BLOCK]) {
    for (total, link) in chains.iter_mut().zip(block.as_chunks::<LINK>().0) {
        let mut carry = false;
        for word in link.as_chunks::<8>().0 {
            (*total, carry) = total.carrying_add(u64::from_ne_bytes(*word), carry);
        }
        // A carry out of the last word leaves at most 2^64 - 2: to leave 2^64 - 1, the word before it would have had to
        // do the same, and so on to the first, which takes no carry.
        *total += u64::from(carry);
    }
}

#[inline(always)]
fn join(chains: [u64; CHAINS]) -> Sum {
    let [first, second] = chains;
    Sum(end_around(first, second))
}

#[inline(always)]
fn sum_short(bytes: &[u8]) -> Sum {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut total = 0;
    for word in words {
        total = end_around(total, u64::from_ne_bytes(*word));
    }
    // The last seven bytes at most; each step keeps to even offsets, so an odd byte can only be the last.
    let mut tail = 0u64;
    let (words, rest) = rest.as_chunks::<4>();
    if let [word] = words {
        tail += u64::from(u32::from_ne_bytes(*word));
    }
    let (words, rest) = rest.as_chunks::<2>();
    if let [word] = words {
        tail += u64::from(u16::from_ne_bytes(*word));
    }
    if let [last] = rest {
        tail += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    Sum(end_around(total, tail))
}

/// The sum of the pseudo-header of TCP, UDP and ICMPv6 (RFC 9293 section 3.1, RFC 768, RFC 8200 section 8.1).
/// `len` is the length of the transport header and its payload in bytes.
///
/// Both addresses are of one family in every packet; the sum is well defined, though useless, if they are not.
#[inline]
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: Protocol, len: u32) -> Sum {
    Sum::ZERO.add_u32(len).add_u16(u16::from(protocol.0)) + address(source) + address(destination)
}

#[inline]
fn address(address: IpAddr) -> Sum {
    match address {
        IpAddr::V4(v4) => sum_array(&v4.octets()),
        IpAddr::V6(v6) => sum_array(&v6.octets()),
    }
}

/// The checksum after one 16-bit field of the packet changed from `old` to `new`. All three are field values.
#[inline]
pub const fn incremental_update(checksum: u16, old: u16, new: u16) -> u16 {
    // RFC 1624 section 3: HC' = ~(~HC + ~m + m'). The RFC 1141 form yields 0xffff where it must yield zero.
    let sum = !checksum as u32 + !old as u32 + new as u32;
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}
