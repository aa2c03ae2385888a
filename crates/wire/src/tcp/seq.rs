//! Sequence numbers: 32 bits that wrap (RFC 9293 section 3.4). There is no order among them, only one relative to a
//! window of less than half the space, so there is no `Ord`; the stack compares with the words below.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A sequence number.
///
/// Two numbers exactly 2^31 apart are neither before nor after each other: all four comparisons are false then, so that
/// no such number is ever taken for new or for old. `!a.before(b)` is therefore not `a.at_or_after(b)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// Whether `other` follows within 2^31 - 1.
    #[inline]
    pub const fn before(self, other: SeqNum) -> bool {
        other.0.wrapping_sub(self.0) as i32 > 0
    }

    /// Whether this follows `other` within 2^31 - 1.
    #[inline]
    pub const fn after(self, other: SeqNum) -> bool {
        other.before(self)
    }

    /// `before`, or equal.
    #[inline]
    pub const fn at_or_before(self, other: SeqNum) -> bool {
        other.0.wrapping_sub(self.0) as i32 >= 0
    }

    /// `after`, or equal.
    #[inline]
    pub const fn at_or_after(self, other: SeqNum) -> bool {
        other.at_or_before(self)
    }

    /// Whether this is one of the `len` numbers from `start` on. Holds for any `len`, up to the whole space.
    #[inline]
    pub const fn in_window(self, start: SeqNum, len: u32) -> bool {
        self.0.wrapping_sub(start.0) < len
    }

    /// The later of two numbers; `self` when neither is.
    #[inline]
    pub const fn later(self, other: SeqNum) -> SeqNum {
        if other.after(self) { other } else { self }
    }

    /// The earlier of two numbers; `self` when neither is.
    #[inline]
    pub const fn earlier(self, other: SeqNum) -> SeqNum {
        if other.before(self) { other } else { self }
    }
}

impl Add<u32> for SeqNum {
    type Output = SeqNum;

    #[inline]
    fn add(self, bytes: u32) -> SeqNum {
        SeqNum(self.0.wrapping_add(bytes))
    }
}

impl AddAssign<u32> for SeqNum {
    #[inline]
    fn add_assign(&mut self, bytes: u32) {
        *self = *self + bytes;
    }
}

impl Sub<u32> for SeqNum {
    type Output = SeqNum;

    #[inline]
    fn sub(self, bytes: u32) -> SeqNum {
        SeqNum(self.0.wrapping_sub(bytes))
    }
}

/// The way from `other` up to `self`, modulo 2^32: huge, not negative, when `self` is before `other`.
impl Sub<SeqNum> for SeqNum {
    type Output = u32;

    #[inline]
    fn sub(self, other: SeqNum) -> u32 {
        self.0.wrapping_sub(other.0)
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
