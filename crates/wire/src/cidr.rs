//! An address with the length of its network prefix (RFC 4632), as interfaces are configured and routes are written.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// An address and a prefix length that fits its family. The address may have host bits: `10.0.2.15/24`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    addr: IpAddr,
    prefix_len: u8,
}

impl Cidr {
    /// `None` when `prefix_len` is over 32 for IPv4 or over 128 for IPv6.
    pub const fn new(addr: IpAddr, prefix_len: u8) -> Option<Cidr> {
        let longest = match addr {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        if prefix_len > longest { None } else { Some(Cidr { addr, prefix_len }) }
    }

    /// `None` when the mask's ones are not all in front.
    pub const fn from_netmask(addr: Ipv4Addr, netmask: Ipv4Addr) -> Option<Cidr> {
        let mask = netmask.to_bits();
        let prefix_len = mask.leading_ones();
        if mask.count_ones() != prefix_len {
            return None;
        }
        Some(Cidr { addr: IpAddr::V4(addr), prefix_len: prefix_len as u8 })
    }

    /// The network of one address: /32 or /128.
    pub const fn host(addr: IpAddr) -> Cidr {
        let prefix_len = match addr {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Cidr { addr, prefix_len }
    }

    /// The address, host bits included.
    pub const fn addr(&self) -> IpAddr {
        self.addr
    }

    /// Bits of the network prefix.
    pub const fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// Whether `addr` is of the same family and shares the prefix.
    #[inline]
    pub const fn contains(&self, addr: IpAddr) -> bool {
        match (self.addr, addr) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => (ours.to_bits() ^ other.to_bits()) & mask_v4(self.prefix_len) == 0,
            (IpAddr::V6(ours), IpAddr::V6(other)) => (ours.to_bits() ^ other.to_bits()) & mask_v6(self.prefix_len) == 0,
            _ => false,
        }
    }

    /// The same network with the host bits cleared.
    pub const fn network(&self) -> Cidr {
        let addr = match self.addr {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask_v4(self.prefix_len))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask_v6(self.prefix_len))),
        };
        Cidr { addr, prefix_len: self.prefix_len }
    }

    /// The directed broadcast address; `None` where there is none: IPv6, /32, and /31.
    pub const fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.addr {
            // RFC 3021 section 2.1: both addresses of a 31-bit prefix are hosts.
            IpAddr::V4(v4) if self.prefix_len < 31 => {
                Some(Ipv4Addr::from_bits(v4.to_bits() | !mask_v4(self.prefix_len)))
            }
            _ => None,
        }
    }

    /// The prefix as a mask, of the address's family.
    pub const fn netmask(&self) -> IpAddr {
        match self.addr {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(mask_v4(self.prefix_len))),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(mask_v6(self.prefix_len))),
        }
    }
}

const fn mask_v4(prefix_len: u8) -> u32 {
    match u32::MAX.checked_shl(32 - prefix_len as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

const fn mask_v6(prefix_len: u8) -> u128 {
    match u128::MAX.checked_shl(128 - prefix_len as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

/// The text is not `address/prefix-length`, or the length is too long for the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseCidrError;

impl fmt::Display for ParseCidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an address and a prefix length, as in 10.0.2.15/24")
    }
}

impl core::error::Error for ParseCidrError {}

impl FromStr for Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Cidr, ParseCidrError> {
        let (addr, prefix_len) = text.split_once('/').ok_or(ParseCidrError)?;
        // `u8::from_str` takes a sign; a prefix length has none.
        if !prefix_len.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseCidrError);
        }
        let addr = addr.parse().map_err(|_| ParseCidrError)?;
        let prefix_len = prefix_len.parse().map_err(|_| ParseCidrError)?;
        Cidr::new(addr, prefix_len).ok_or(ParseCidrError)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix_len)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
