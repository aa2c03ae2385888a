//! The IPv6 header and a walk along its extension headers (RFC 8200).

use core::net::Ipv6Addr;

use crate::Malformed;
use crate::protocol::Protocol;

/// Length of the fixed header.
pub const HEADER_LEN: usize = 40;

/// An IPv6 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Header {
    /// Six bits of DSCP (RFC 2474), two of ECN (RFC 3168).
    pub traffic_class: u8,
    /// Flow label, 20 bits (RFC 6437).
    pub flow_label: u32,
    /// Bytes that follow this header, extension headers included.
    pub payload_len: u16,
    /// What follows.
    pub next_header: Protocol,
    /// Hops left.
    pub hop_limit: u8,
    /// Sender.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
}

impl Ipv6Header {
    /// Bytes that `emit` writes.
    #[inline]
    pub const fn len(&self) -> usize {
        HEADER_LEN
    }

    /// A header is never empty; here for the convention that goes with `len`.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Reads the header and cuts the payload to its length field. Jumbograms (RFC 2675) are not spoken: their payload
    /// length is zero, and so is the payload returned.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::Version`].
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<(Ipv6Header, &[u8]), Malformed> {
        let (fixed, after) = packet.split_first_chunk::<HEADER_LEN>().ok_or(Malformed::Truncated)?;
        let first = u32::from_be_bytes([fixed[0], fixed[1], fixed[2], fixed[3]]);
        if first >> 28 != 6 {
            return Err(Malformed::Version);
        }
        let payload_len = u16::from_be_bytes([fixed[4], fixed[5]]);
        let payload = after.get(..usize::from(payload_len)).ok_or(Malformed::Truncated)?;
        let header = Ipv6Header {
            traffic_class: (first >> 20) as u8,
            flow_label: first & 0x000f_ffff,
            payload_len,
            next_header: Protocol(fixed[6]),
            hop_limit: fixed[7],
            src: Ipv6Addr::from_octets(core::array::from_fn(|i| fixed[8 + i])),
            dst: Ipv6Addr::from_octets(core::array::from_fn(|i| fixed[24 + i])),
        };
        Ok((header, payload))
    }

    /// Writes the header and returns its length.
    ///
    /// # Panics
    /// When `buffer` is shorter than [`len`](Self::len).
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        let fixed = buffer.first_chunk_mut::<HEADER_LEN>().expect("a buffer shorter than the header");
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | (self.flow_label & 0x000f_ffff);
        fixed[..4].copy_from_slice(&first.to_be_bytes());
        fixed[4..6].copy_from_slice(&self.payload_len.to_be_bytes());
        fixed[6] = self.next_header.0;
        fixed[7] = self.hop_limit;
        fixed[8..24].copy_from_slice(&self.src.octets());
        fixed[24..40].copy_from_slice(&self.dst.octets());
        HEADER_LEN
    }
}

/// One extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtensionHeader<'a> {
    /// Options for every hop, as type-length-value bytes.
    HopByHop(&'a [u8]),
    /// A route to follow.
    Routing {
        /// Routing type.
        kind: u8,
        /// Listed nodes still to be visited.
        segments_left: u8,
        /// Type-specific data.
        data: &'a [u8],
    },
    /// This packet is a part of another. With an offset other than zero nothing after it can be read, so the walk ends.
    Fragment {
        /// Where the payload belongs, in bytes.
        offset: u16,
        /// This is not the last fragment.
        more_fragments: bool,
        /// Ties the fragments together.
        identification: u32,
    },
    /// Options for the destination, as type-length-value bytes.
    DestinationOptions(&'a [u8]),
}

/// Walks from an IPv6 header to the upper layer. Ends after the first header that cannot be read.
#[derive(Clone, Copy, Debug)]
pub struct ExtensionHeaders<'a> {
    next_header: Protocol,
    rest: &'a [u8],
    walked: u8,
    done: bool,
}

impl<'a> ExtensionHeaders<'a> {
    /// Longest chain walked. RFC 8200 section 4.1 recommends each kind once and destination options twice; the excess
    /// leaves room for odd but honest senders and bounds the work for the others.
    pub const MAX: u8 = 8;

    /// A walk over `payload`, which `next_header` of the IPv6 header describes.
    pub const fn new(next_header: Protocol, payload: &'a [u8]) -> ExtensionHeaders<'a> {
        ExtensionHeaders { next_header, rest: payload, walked: 0, done: false }
    }

    /// What stands after the headers walked so far: once the iterator has ended without an error, the upper layer.
    /// After a fragment header, the fragment's bytes.
    pub const fn upper_layer(&self) -> (Protocol, &'a [u8]) {
        (self.next_header, self.rest)
    }

    fn step(&mut self) -> Result<ExtensionHeader<'a>, Malformed> {
        if self.walked == Self::MAX {
            return Err(Malformed::HeaderChain);
        }
        self.walked += 1;
        let (fixed, _) = self.rest.split_first_chunk::<8>().ok_or(Malformed::Truncated)?;
        // RFC 8200 section 4.5: the fragment header has a fixed size, its second octet is reserved.
        let len = if self.next_header == Protocol::IPV6_FRAG { 8 } else { 8 + usize::from(fixed[1]) * 8 };
        let (header, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
        let extension = match self.next_header {
            Protocol::HOPOPT if self.walked == 1 => ExtensionHeader::HopByHop(&header[2..]),
            // RFC 8200 section 4.1: hop-by-hop options stand immediately after the IPv6 header only.
            Protocol::HOPOPT => return Err(Malformed::Value),
            Protocol::IPV6_ROUTE => {
                ExtensionHeader::Routing { kind: fixed[2], segments_left: fixed[3], data: &header[4..] }
            }
            Protocol::IPV6_FRAG => {
                let field = u16::from_be_bytes([fixed[2], fixed[3]]);
                let offset = field & !7;
                self.done = offset != 0;
                let identification = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
                ExtensionHeader::Fragment { offset, more_fragments: field & 1 != 0, identification }
            }
            _ => ExtensionHeader::DestinationOptions(&header[2..]),
        };
        self.next_header = Protocol(fixed[0]);
        self.rest = rest;
        Ok(extension)
    }
}

impl<'a> Iterator for ExtensionHeaders<'a> {
    type Item = Result<ExtensionHeader<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let is_extension = matches!(
            self.next_header,
            Protocol::HOPOPT | Protocol::IPV6_ROUTE | Protocol::IPV6_FRAG | Protocol::IPV6_DEST_OPTS
        );
        if self.done || !is_extension {
            return None;
        }
        let step = self.step();
        self.done |= step.is_err();
        Some(step)
    }
}
