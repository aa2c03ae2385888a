//! Ethernet II frames (RFC 894) with at most one VLAN tag (IEEE 802.1Q). Called by the stack's link layer and by links
//! that answer for themselves. The preamble and the frame check sequence belong to the device and are not seen here.

use core::fmt;
use core::str::FromStr;

use crate::Malformed;

/// The shortest frame that Ethernet carries, without its check sequence: senders pad to it.
pub const MIN_FRAME_LEN: usize = 60;

/// Ethernet header without a tag.
pub const HEADER_LEN: usize = 14;

/// Bytes that a VLAN tag adds.
pub const VLAN_TAG_LEN: usize = 4;

/// A 48-bit hardware address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Every station.
    pub const BROADCAST: MacAddr = MacAddr([0xff; 6]);
    /// No station; what ARP writes for "unknown".
    pub const UNSPECIFIED: MacAddr = MacAddr([0; 6]);

    /// Whether this is `ff:ff:ff:ff:ff:ff`.
    #[inline]
    pub const fn is_broadcast(&self) -> bool {
        matches!(self.0, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
    }

    /// Whether the group bit is set. Broadcast counts as multicast.
    #[inline]
    pub const fn is_multicast(&self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether this can be the address of one station: not a group, not all zero.
    #[inline]
    pub const fn is_unicast(&self) -> bool {
        !self.is_multicast() && !matches!(self.0, [0, 0, 0, 0, 0, 0])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not six pairs of hexadecimal digits with colons or hyphens between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseMacAddrError;

impl fmt::Display for ParseMacAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a hardware address, as in 02:00:00:00:00:01")
    }
}

impl core::error::Error for ParseMacAddrError {}

impl FromStr for MacAddr {
    type Err = ParseMacAddrError;

    fn from_str(text: &str) -> Result<MacAddr, ParseMacAddrError> {
        let mut octets = [0; 6];
        let mut pairs = text.split([':', '-']);
        for octet in &mut octets {
            let pair = pairs.next().ok_or(ParseMacAddrError)?;
            if pair.len() != 2 || !pair.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(ParseMacAddrError);
            }
            *octet = u8::from_str_radix(pair, 16).map_err(|_| ParseMacAddrError)?;
        }
        if pairs.next().is_some() {
            return Err(ParseMacAddrError);
        }
        Ok(MacAddr(octets))
    }
}

/// What a frame carries; below 0x600 it is the length of an IEEE 802.2 LLC frame instead.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EtherType(pub u16);

impl EtherType {
    /// RFC 894.
    pub const IPV4: EtherType = EtherType(0x0800);
    /// RFC 826.
    pub const ARP: EtherType = EtherType(0x0806);
    /// IEEE 802.1Q customer tag.
    pub const VLAN: EtherType = EtherType(0x8100);
    /// RFC 2464.
    pub const IPV6: EtherType = EtherType(0x86dd);
    /// IEEE 802.1ad service tag.
    pub const QINQ: EtherType = EtherType(0x88a8);

    /// Whether the field is the length of an LLC frame (spanning tree and the like), which carries no IP.
    pub const fn is_length(self) -> bool {
        self.0 < 0x600
    }
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            EtherType::IPV4 => f.write_str("IPv4"),
            EtherType::ARP => f.write_str("ARP"),
            EtherType::VLAN => f.write_str("VLAN"),
            EtherType::IPV6 => f.write_str("IPv6"),
            EtherType::QINQ => f.write_str("QinQ"),
            EtherType(other) => write!(f, "{other:#06x}"),
        }
    }
}

/// An IEEE 802.1Q tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VlanTag {
    /// VLAN identifier, 12 bits. Zero tags a priority only; 4095 is reserved.
    pub id: u16,
    /// Priority code point, 0 to 7.
    pub priority: u8,
    /// Drop eligible indicator.
    pub drop_eligible: bool,
}

/// The header in front of every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetHeader {
    /// Destination station or group.
    pub dst: MacAddr,
    /// Sending station.
    pub src: MacAddr,
    /// The first tag, when it is an 802.1Q one. A second tag shows as `ethertype`.
    pub vlan: Option<VlanTag>,
    /// What the payload is.
    pub ethertype: EtherType,
}

impl EthernetHeader {
    /// Bytes that `emit` writes.
    #[inline]
    pub const fn len(&self) -> usize {
        if self.vlan.is_some() { HEADER_LEN + VLAN_TAG_LEN } else { HEADER_LEN }
    }

    /// A header is never empty; here for the convention that goes with `len`.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Splits a frame into header and payload. The payload may end in padding. Frames with a length in place of the
    /// type are returned as they are: ask [`EtherType::is_length`].
    ///
    /// # Errors
    /// [`Malformed::Truncated`].
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<(EthernetHeader, &[u8]), Malformed> {
        let (header, payload) = frame.split_first_chunk::<HEADER_LEN>().ok_or(Malformed::Truncated)?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
        let dst = MacAddr([d0, d1, d2, d3, d4, d5]);
        let src = MacAddr([s0, s1, s2, s3, s4, s5]);
        let ethertype = EtherType(u16::from_be_bytes([t0, t1]));
        if ethertype != EtherType::VLAN {
            return Ok((EthernetHeader { dst, src, vlan: None, ethertype }, payload));
        }
        let (&[c0, c1, t0, t1], payload) = payload.split_first_chunk::<VLAN_TAG_LEN>().ok_or(Malformed::Truncated)?;
        let control = u16::from_be_bytes([c0, c1]);
        let vlan =
            VlanTag { id: control & 0x0fff, priority: (control >> 13) as u8, drop_eligible: control & 0x1000 != 0 };
        let ethertype = EtherType(u16::from_be_bytes([t0, t1]));
        Ok((EthernetHeader { dst, src, vlan: Some(vlan), ethertype }, payload))
    }

    /// Writes the header and returns its length.
    ///
    /// # Panics
    /// When `buffer` is shorter than [`len`](Self::len).
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        let (addresses, rest) = buffer.split_at_mut(12);
        addresses[..6].copy_from_slice(&self.dst.0);
        addresses[6..].copy_from_slice(&self.src.0);
        let ethertype = self.ethertype.0.to_be_bytes();
        let Some(tag) = self.vlan else {
            rest[..2].copy_from_slice(&ethertype);
            return HEADER_LEN;
        };
        let control = (u16::from(tag.priority & 7) << 13) | (u16::from(tag.drop_eligible) << 12) | (tag.id & 0x0fff);
        rest[..2].copy_from_slice(&EtherType::VLAN.0.to_be_bytes());
        rest[2..4].copy_from_slice(&control.to_be_bytes());
        rest[4..6].copy_from_slice(&ethertype);
        HEADER_LEN + VLAN_TAG_LEN
    }
}
