//! The TCP header (RFC 9293 section 3.1). Called by the stack's TCP input and output for every segment, so parsing and
//! emitting the usual header (no options, or timestamps alone) take no loop.
//!
//! `tcp/seq.rs` holds sequence numbers, `tcp/flags.rs` the control bits, `tcp/options.rs` the options,
//! `tcp/fast_open.rs` the one that only SYNs have.

mod fast_open;
mod flags;
mod options;
mod seq;

use core::net::IpAddr;

use crate::Malformed;
use crate::checksum;
use crate::protocol::Protocol;

pub use fast_open::{FastOpen, FastOpenCookie};
pub use flags::TcpFlags;
pub use options::{
    MAX_WINDOW_SCALE, SYN_OPTIONS_LEN, SackBlocks, SynOptions, TcpOptions, Timestamps, USER_TIMEOUT_LEN,
    USUAL_OPTIONS_LEN, UserTimeout,
};
pub use seq::SeqNum;

/// Length of the header without options.
pub const HEADER_LEN: usize = 20;

/// Most bytes that a header takes.
pub const MAX_HEADER_LEN: usize = 60;

/// Where the checksum stands in the header.
pub const CHECKSUM_OFFSET: usize = 16;

/// A TCP header. The checksum is not a field: see [`TcpHeader::verify`] and [`TcpHeader::write_checksum`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpHeader {
    /// Port of the sender.
    pub src_port: u16,
    /// Port of the destination.
    pub dst_port: u16,
    /// SEG.SEQ: sequence number of the first byte, or of the SYN.
    pub seq: SeqNum,
    /// SEG.ACK: next sequence number that the sender expects; meaningful with [`TcpFlags::ACK`] only.
    pub ack: SeqNum,
    /// The control bits.
    pub flags: TcpFlags,
    /// SEG.WND as it stands in the header: not scaled.
    pub window: u16,
    /// Urgent pointer, an offset from `seq`; meaningful with [`TcpFlags::URG`] only.
    pub urgent: u16,
    /// The options.
    pub options: TcpOptions,
}

impl TcpHeader {
    /// Nothing: what [`read`](Self::read) begins with.
    pub const BLANK: TcpHeader = TcpHeader {
        src_port: 0,
        dst_port: 0,
        seq: SeqNum(0),
        ack: SeqNum(0),
        flags: TcpFlags(0),
        window: 0,
        urgent: 0,
        options: TcpOptions::NONE,
    };

    /// Bytes that `emit` writes: a multiple of four, at most 60.
    #[inline]
    pub fn len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// A header is never empty; here for the convention that goes with `len`.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Splits a segment into header and payload. The checksum is not verified: see [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::HeaderLength`], [`Malformed::OptionLength`].
    #[inline]
    pub fn parse(segment: &[u8]) -> Result<(TcpHeader, &[u8]), Malformed> {
        let mut header = TcpHeader::BLANK;
        let payload = header.read(segment)?;
        Ok((header, payload))
    }

    /// As [`parse`](Self::parse), over a [`BLANK`](Self::BLANK) header: for who would have to move it to its place
    /// otherwise. Returns the payload.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    #[inline]
    pub fn read<'a>(&mut self, segment: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let (fixed, after) = segment.split_first_chunk::<HEADER_LEN>().ok_or(Malformed::Truncated)?;
        let header_len = usize::from(fixed[12] >> 4) * 4;
        let options_len = header_len.checked_sub(HEADER_LEN).ok_or(Malformed::HeaderLength)?;
        let (options, payload) = after.split_at_checked(options_len).ok_or(Malformed::Truncated)?;
        self.src_port = u16::from_be_bytes([fixed[0], fixed[1]]);
        self.dst_port = u16::from_be_bytes([fixed[2], fixed[3]]);
        self.seq = SeqNum(u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]));
        self.ack = SeqNum(u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]));
        self.flags = TcpFlags(fixed[13]);
        self.window = u16::from_be_bytes([fixed[14], fixed[15]]);
        self.urgent = u16::from_be_bytes([fixed[18], fixed[19]]);
        self.options.read(options)?;
        Ok(payload)
    }

    /// Writes the header, with zero in the checksum field, and returns its length.
    ///
    /// # Panics
    /// When `buffer` is shorter than [`len`](Self::len).
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        let (fixed, rest) = buffer.split_first_chunk_mut::<HEADER_LEN>().expect("a buffer shorter than the header");
        let header_len = HEADER_LEN + self.options.emit(rest);
        let [sp0, sp1] = self.src_port.to_be_bytes();
        let [dp0, dp1] = self.dst_port.to_be_bytes();
        let [s0, s1, s2, s3] = self.seq.0.to_be_bytes();
        let [a0, a1, a2, a3] = self.ack.0.to_be_bytes();
        let [w0, w1] = self.window.to_be_bytes();
        let [u0, u1] = self.urgent.to_be_bytes();
        let offset = (header_len as u8 / 4) << 4;
        *fixed = [sp0, sp1, dp0, dp1, s0, s1, s2, s3, a0, a1, a2, a3, offset, self.flags.0, w0, w1, 0, 0, u0, u1];
        header_len
    }

    /// The sum of `bytes`, most often a header with nothing behind it: one without options, or with as many as timestamps or
    /// the usual options of a SYN take, costs no call.
    #[inline]
    pub fn sum(bytes: &[u8]) -> checksum::Sum {
        const LONG_LEN: usize = HEADER_LEN + 12;
        match (bytes.len(), bytes.first_chunk::<HEADER_LEN>(), bytes.first_chunk::<LONG_LEN>()) {
            (HEADER_LEN, Some(header), _) => checksum::sum_array(header),
            (LONG_LEN, _, Some(header)) => checksum::sum_array(header),
            _ => checksum::sum(bytes),
        }
    }

    /// Verifies the checksum of a segment: the whole IP payload.
    ///
    /// # Errors
    /// [`Malformed::Checksum`].
    #[inline]
    pub fn verify(segment: &[u8], src: IpAddr, dst: IpAddr) -> Result<(), Malformed> {
        // RFC 9293 section 3.1 (MUST-3): the receiver MUST check it.
        let pseudo = checksum::pseudo_header(src, dst, Protocol::TCP, segment.len() as u32);
        if (pseudo + checksum::sum(segment)).is_valid() { Ok(()) } else { Err(Malformed::Checksum) }
    }

    /// Stores `value`, which [`Sum::finish`](checksum::Sum::finish) gave for pseudo-header, header and payload.
    ///
    /// # Panics
    /// When `header` is shorter than 18 bytes.
    #[inline]
    pub fn write_checksum(header: &mut [u8], value: u16) {
        header[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&value.to_be_bytes());
    }

    /// Computes and stores the checksum of a segment: header and payload, nothing else.
    ///
    /// # Panics
    /// When `segment` is shorter than 18 bytes.
    pub fn fill_checksum(segment: &mut [u8], src: IpAddr, dst: IpAddr) {
        TcpHeader::write_checksum(segment, 0);
        let pseudo = checksum::pseudo_header(src, dst, Protocol::TCP, segment.len() as u32);
        let value = (pseudo + checksum::sum(segment)).finish();
        TcpHeader::write_checksum(segment, value);
    }
}
