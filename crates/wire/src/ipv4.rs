//! The IPv4 header (RFC 791). Called by the stack's IP layer for every packet, and by ICMP for the packets it quotes.

use core::net::Ipv4Addr;

use crate::Malformed;
use crate::checksum::{self, Sum};
use crate::protocol::Protocol;

/// Length of the header without options.
pub const HEADER_LEN: usize = 20;

/// Most bytes that options take.
pub const MAX_OPTIONS_LEN: usize = 40;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// An IPv4 header. The checksum is not a field: `parse` has verified it and `emit` computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Header<'a> {
    /// Type of service: six bits of DSCP (RFC 2474), two of ECN (RFC 3168).
    pub tos: u8,
    /// Length of header and payload in bytes.
    pub total_len: u16,
    /// Ties the fragments of one datagram together.
    pub identification: u16,
    /// Routers must not fragment this.
    pub dont_fragment: bool,
    /// This is not the last fragment.
    pub more_fragments: bool,
    /// Where the payload belongs in the datagram, in bytes: a multiple of 8, at most 65,528.
    pub fragment_offset: u16,
    /// Hops left.
    pub ttl: u8,
    /// What the payload is.
    pub protocol: Protocol,
    /// Sender.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
    /// The raw options, padding included: at most 40 bytes. `emit` pads to a multiple of four with End of Options.
    pub options: &'a [u8],
}

impl<'a> Ipv4Header<'a> {
    /// A header without options, not fragmented, for `payload_len` bytes of payload. `identification` is zero, which
    /// RFC 6864 section 4.1 allows for datagrams with DF set; DF is set.
    ///
    /// # Panics
    /// When header and payload exceed 65,535 bytes.
    #[inline]
    pub fn new(src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, ttl: u8, payload_len: usize) -> Ipv4Header<'static> {
        let total_len = u16::try_from(HEADER_LEN + payload_len).expect("an IPv4 datagram holds at most 65,535 bytes");
        Ipv4Header {
            tos: 0,
            total_len,
            identification: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            ttl,
            protocol,
            src,
            dst,
            options: &[],
        }
    }

    /// Length of the header in bytes, padded options included: what `emit` writes.
    #[inline]
    pub const fn len(&self) -> usize {
        HEADER_LEN + self.options.len().next_multiple_of(4)
    }

    /// A header is never empty; here for the convention that goes with `len`.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Bytes that follow the header according to `total_len`.
    #[inline]
    pub const fn payload_len(&self) -> usize {
        (self.total_len as usize).saturating_sub(self.len())
    }

    /// Whether this is a part of a datagram and not the whole.
    #[inline]
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// The options one by one.
    pub const fn options(&self) -> Ipv4Options<'a> {
        Ipv4Options { rest: self.options }
    }

    /// Writes the options that every fragment must carry, padded, and returns how many bytes they take. Options that
    /// cannot be read end the copy.
    pub fn copied_options(&self, buffer: &mut [u8; MAX_OPTIONS_LEN]) -> usize {
        // RFC 791 section 3.1: the copied flag says whether an option goes into all fragments.
        let mut len = 0;
        for option in self.options().map_while(Result::ok).filter(|option| option.is_copied()) {
            let end = len + 2 + option.data.len();
            let Some(space) = buffer.get_mut(len..end) else {
                break;
            };
            space[0] = option.kind;
            space[1] = 2 + option.data.len() as u8;
            space[2..].copy_from_slice(option.data);
            len = end;
        }
        let padded = len.next_multiple_of(4);
        buffer[len..padded].fill(Ipv4Option::END);
        padded
    }

    /// Reads the header, verifies its checksum, and cuts the payload to the header's total length.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::Version`], [`Malformed::HeaderLength`], [`Malformed::TotalLength`],
    /// [`Malformed::Checksum`].
    #[inline]
    pub fn parse(packet: &'a [u8]) -> Result<(Ipv4Header<'a>, &'a [u8]), Malformed> {
        let (header, after) = Ipv4Header::read(packet)?;
        let header_len = HEADER_LEN + header.options.len();
        let sum = match packet.first_chunk::<HEADER_LEN>() {
            Some(fixed) if header.options.is_empty() => checksum::sum_array(fixed),
            _ => checksum::sum(&packet[..header_len]),
        };
        // RFC 1122 section 3.2.1.2: a host MUST verify the header checksum and silently discard a bad datagram.
        if !sum.is_valid() {
            return Err(Malformed::Checksum);
        }
        let payload = after.get(..usize::from(header.total_len) - header_len).ok_or(Malformed::Truncated)?;
        Ok((header, payload))
    }

    /// Reads a header that an ICMP error quotes: the checksum is not verified (a router may have changed the header),
    /// and the payload is whatever part of it is there.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), without [`Malformed::Checksum`].
    pub fn parse_without_checksum(packet: &'a [u8]) -> Result<(Ipv4Header<'a>, &'a [u8]), Malformed> {
        let (header, after) = Ipv4Header::read(packet)?;
        let promised = usize::from(header.total_len) - (HEADER_LEN + header.options.len());
        Ok((header, &after[..promised.min(after.len())]))
    }

    /// The header and all that follows it. The total length is at least the header's length.
    #[inline]
    fn read(packet: &'a [u8]) -> Result<(Ipv4Header<'a>, &'a [u8]), Malformed> {
        let (fixed, rest) = packet.split_first_chunk::<HEADER_LEN>().ok_or(Malformed::Truncated)?;
        if fixed[0] >> 4 != 4 {
            return Err(Malformed::Version);
        }
        let header_len = usize::from(fixed[0] & 0x0f) * 4;
        let options_len = header_len.checked_sub(HEADER_LEN).ok_or(Malformed::HeaderLength)?;
        let (options, after) = rest.split_at_checked(options_len).ok_or(Malformed::Truncated)?;
        let total_len = u16::from_be_bytes([fixed[2], fixed[3]]);
        if usize::from(total_len) < header_len {
            return Err(Malformed::TotalLength);
        }
        let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
        let header = Ipv4Header {
            tos: fixed[1],
            total_len,
            identification: u16::from_be_bytes([fixed[4], fixed[5]]),
            dont_fragment: fragment & DONT_FRAGMENT != 0,
            more_fragments: fragment & MORE_FRAGMENTS != 0,
            fragment_offset: (fragment & OFFSET_MASK) * 8,
            ttl: fixed[8],
            protocol: Protocol(fixed[9]),
            src: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]),
            dst: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
            options,
        };
        Ok((header, after))
    }

    /// Writes the header with its checksum and returns its length.
    ///
    /// # Panics
    /// When `buffer` is shorter than [`len`](Self::len), or `options` are longer than 40 bytes.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        let header_len = self.len();
        assert!(self.options.len() <= MAX_OPTIONS_LEN, "IPv4 options of more than 40 bytes");
        let (fixed, rest) = buffer.split_first_chunk_mut::<HEADER_LEN>().expect("a buffer shorter than the header");
        let [length0, length1] = self.total_len.to_be_bytes();
        let [id0, id1] = self.identification.to_be_bytes();
        let fragment = (self.fragment_offset / 8)
            | if self.dont_fragment { DONT_FRAGMENT } else { 0 }
            | if self.more_fragments { MORE_FRAGMENTS } else { 0 };
        let [fragment0, fragment1] = fragment.to_be_bytes();
        let [s0, s1, s2, s3] = self.src.octets();
        let [d0, d1, d2, d3] = self.dst.octets();
        let version_and_length = 0x40 | (header_len / 4) as u8;
        *fixed = [
            version_and_length,
            self.tos,
            length0,
            length1,
            id0,
            id1,
            fragment0,
            fragment1,
            self.ttl,
            self.protocol.0,
            0,
            0,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ];
        let mut sum = checksum::sum_array(fixed);
        if !self.options.is_empty() {
            sum += self.emit_options(&mut rest[..header_len - HEADER_LEN]);
        }
        fixed[10..12].copy_from_slice(&sum.finish().to_be_bytes());
        header_len
    }

    fn emit_options(&self, space: &mut [u8]) -> Sum {
        let (options, padding) = space.split_at_mut(self.options.len());
        options.copy_from_slice(self.options);
        padding.fill(Ipv4Option::END);
        checksum::sum(space)
    }
}

/// One IPv4 option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Option<'a> {
    /// The whole type octet: copied flag, class and number.
    pub kind: u8,
    /// What follows the type and the length.
    pub data: &'a [u8],
}

impl Ipv4Option<'_> {
    /// End of the list: one octet. Never returned by the iterator.
    pub const END: u8 = 0;
    /// No operation, for alignment: one octet. Never returned by the iterator.
    pub const NOP: u8 = 1;
    /// Record route (RFC 791).
    pub const RECORD_ROUTE: u8 = 7;
    /// Internet timestamp (RFC 791).
    pub const TIMESTAMP: u8 = 68;
    /// Loose source route (RFC 791).
    pub const LOOSE_SOURCE_ROUTE: u8 = 131;
    /// Strict source route (RFC 791).
    pub const STRICT_SOURCE_ROUTE: u8 = 137;
    /// Router alert (RFC 2113).
    pub const ROUTER_ALERT: u8 = 148;

    /// Whether every fragment carries this option.
    pub const fn is_copied(&self) -> bool {
        self.kind & 0x80 != 0
    }
}

/// The options of a header, without the one-octet ones. Ends after the first that cannot be read.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4Options<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Ipv4Options<'a> {
    type Item = Result<Ipv4Option<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&kind, after) = self.rest.split_first()?;
            match kind {
                Ipv4Option::END => {
                    self.rest = &[];
                    return None;
                }
                Ipv4Option::NOP => self.rest = after,
                _ => return Some(self.take(kind, after)),
            }
        }
    }
}

impl<'a> Ipv4Options<'a> {
    fn take(&mut self, kind: u8, after: &'a [u8]) -> Result<Ipv4Option<'a>, Malformed> {
        self.rest = &[];
        let (&len, after) = after.split_first().ok_or(Malformed::OptionLength)?;
        // The length counts the type and itself.
        let data_len = usize::from(len).checked_sub(2).ok_or(Malformed::OptionLength)?;
        let (data, rest) = after.split_at_checked(data_len).ok_or(Malformed::OptionLength)?;
        self.rest = rest;
        Ok(Ipv4Option { kind, data })
    }
}
