//! The UDP header (RFC 768; over IPv6 RFC 8200 section 8.1). Called by the stack's UDP input and output.

use core::net::IpAddr;

use crate::Malformed;
use crate::checksum::{self, Sum};
use crate::protocol::Protocol;

/// Length of every UDP header.
pub const HEADER_LEN: usize = 8;

/// Where the checksum stands in the header.
pub const CHECKSUM_OFFSET: usize = 6;

/// A UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpHeader {
    /// Port of the sender; zero when it expects no answer.
    pub src_port: u16,
    /// Port of the destination.
    pub dst_port: u16,
    /// Length of header and payload in bytes.
    pub len: u16,
    /// The checksum as it stands in the packet; zero means that there is none.
    pub checksum: u16,
}

impl UdpHeader {
    /// Reads the header and cuts the payload to its length field. The checksum is not verified: see
    /// [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`Malformed::Truncated`]; [`Malformed::TotalLength`] for a length below 8.
    #[inline]
    pub fn parse(datagram: &[u8]) -> Result<(UdpHeader, &[u8]), Malformed> {
        let (&[s0, s1, d0, d1, l0, l1, c0, c1], after) =
            datagram.split_first_chunk::<HEADER_LEN>().ok_or(Malformed::Truncated)?;
        let len = u16::from_be_bytes([l0, l1]);
        let payload_len = usize::from(len).checked_sub(HEADER_LEN).ok_or(Malformed::TotalLength)?;
        let payload = after.get(..payload_len).ok_or(Malformed::Truncated)?;
        let header = UdpHeader {
            src_port: u16::from_be_bytes([s0, s1]),
            dst_port: u16::from_be_bytes([d0, d1]),
            len,
            checksum: u16::from_be_bytes([c0, c1]),
        };
        Ok((header, payload))
    }

    /// Verifies the checksum of a datagram that `parse` has accepted. Bytes after its length do not count.
    ///
    /// # Errors
    /// [`Malformed::Checksum`], also for a datagram over IPv6 without a checksum; what `parse` reports, if it was not
    /// asked.
    pub fn verify(datagram: &[u8], src: IpAddr, dst: IpAddr) -> Result<(), Malformed> {
        let (header, _) = UdpHeader::parse(datagram)?;
        if header.checksum == 0 {
            // RFC 768: zero means that the sender made no checksum. RFC 8200 section 8.1: over IPv6 it MUST make one.
            return if src.is_ipv4() { Ok(()) } else { Err(Malformed::Checksum) };
        }
        let whole = &datagram[..usize::from(header.len)];
        let pseudo = checksum::pseudo_header(src, dst, Protocol::UDP, u32::from(header.len));
        if (pseudo + checksum::sum(whole)).is_valid() { Ok(()) } else { Err(Malformed::Checksum) }
    }

    /// Writes the header, with the checksum field as it is in `self`, and returns its length.
    ///
    /// # Panics
    /// When `buffer` is shorter than 8 bytes.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        let header = buffer.first_chunk_mut::<HEADER_LEN>().expect("a buffer shorter than the header");
        let [s0, s1] = self.src_port.to_be_bytes();
        let [d0, d1] = self.dst_port.to_be_bytes();
        let [l0, l1] = self.len.to_be_bytes();
        let [c0, c1] = self.checksum.to_be_bytes();
        *header = [s0, s1, d0, d1, l0, l1, c0, c1];
        HEADER_LEN
    }

    /// Stores the checksum that finishes `sum`: pseudo-header, header with a zero checksum field, payload.
    ///
    /// # Panics
    /// When `header` is shorter than 8 bytes.
    #[inline]
    pub fn write_checksum(header: &mut [u8], sum: Sum) {
        let value = match sum.finish() {
            // RFC 768: a computed zero is sent as all ones, since zero means no checksum.
            0 => 0xffff,
            value => value,
        };
        header[CHECKSUM_OFFSET..HEADER_LEN].copy_from_slice(&value.to_be_bytes());
    }

    /// Computes and stores the checksum of a datagram: header and payload, nothing else, at most 65,535 bytes.
    ///
    /// # Panics
    /// When `datagram` is shorter than 8 bytes.
    pub fn fill_checksum(datagram: &mut [u8], src: IpAddr, dst: IpAddr) {
        datagram[CHECKSUM_OFFSET..HEADER_LEN].fill(0);
        let pseudo = checksum::pseudo_header(src, dst, Protocol::UDP, datagram.len() as u32);
        let sum = pseudo + checksum::sum(datagram);
        UdpHeader::write_checksum(datagram, sum);
    }
}
