//! The header that stands before each frame on a TAP device with offload: `struct virtio_net_hdr` of VIRTIO 1.2
//! section 5.1.6, little endian (TUNSETVNETLE). Used by `tap` in both directions.
//!
//! What its marks mean here:
//!
//! - outgoing, NEEDS_CSUM: the checksum field holds the pseudo-header's sum and the kernel does the rest, or leaves it
//!   undone when the frame never leaves the machine;
//! - incoming, NEEDS_CSUM: the same the other way: [`RxChecksum::Partial`], there is nothing to verify;
//! - incoming, DATA_VALID: somebody below has verified the sum: [`RxChecksum::Verified`].

use device::{RxChecksum, TxChecksum, TxFrame};

/// The shortest header, without the count of merged buffers.
pub const HEADER_LEN: usize = 10;

/// The longest header that a device handed to us may have been given: more than any version defines.
pub const MAX_HEADER_LEN: usize = 64;

const FLAG_NEEDS_CSUM: u8 = 1;
const FLAG_DATA_VALID: u8 = 2;

const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_ECN: u8 = 0x80;

/// Where TCP keeps its header's length and its flags.
const TCP_DATA_OFFSET: usize = 12;
const TCP_FLAGS: usize = 13;
const TCP_FLAG_CWR: u8 = 0x80;

/// The header of an outgoing frame. The bytes after the first ten are zero: where there is a count of buffers, it has
/// no meaning in this direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VnetHeader {
    /// FLAG_*.
    pub flags: u8,
    /// GSO_*.
    pub gso_type: u8,
    /// Length of the Ethernet, IP and TCP headers: what the kernel keeps in one piece.
    pub header_len: u16,
    /// TCP payload bytes a segment.
    pub gso_size: u16,
    /// Where the transport header begins, in bytes from the frame's first.
    pub checksum_start: u16,
    /// Where the checksum is, from there.
    pub checksum_offset: u16,
}

/// Why a header is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer bytes than a header has.
    Truncated,
    /// The checksum's place lies outside of the frame.
    ChecksumOutside,
    /// A kind of segmentation that was not asked for.
    Segmentation,
    /// Segments of no size.
    SegmentSize,
}

/// The frame's kind cannot be segmented: neither IPv4 nor IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSegmentable;

impl VnetHeader {
    /// What the kernel must know of `frame`.
    ///
    /// # Errors
    /// [`NotSegmentable`] when the frame is to be cut but is no IP packet.
    pub fn for_frame(frame: &TxFrame<'_>) -> Result<Self, NotSegmentable> {
        let mut header = Self::default();
        if let TxChecksum::Partial { start, offset } = frame.checksum {
            header.flags = FLAG_NEEDS_CSUM;
            header.checksum_start = start;
            header.checksum_offset = offset;
        }
        if let Some(size) = frame.segment_size {
            header.gso_size = size;
            header.gso_type = match ethertype(frame.header) {
                Some(0x0800) => GSO_TCPV4,
                Some(0x86dd) => GSO_TCPV6,
                _ => return Err(NotSegmentable),
            };
            let tcp = usize::from(header.checksum_start);
            // RFC 3168 section 6.1.2: CWR answers one loss and stands in the first segment alone; the kernel sees to
            // that when the mark says that it is there.
            if frame.header.get(tcp + TCP_FLAGS).is_some_and(|flags| flags & TCP_FLAG_CWR != 0) {
                header.gso_type |= GSO_ECN;
            }
            let tcp_len = frame.header.get(tcp + TCP_DATA_OFFSET).map_or(0, |byte| usize::from(byte >> 4) * 4);
            let headers = (tcp + tcp_len).min(frame.header.len());
            header.header_len = u16::try_from(headers).unwrap_or(u16::MAX);
        }
        Ok(header)
    }

    /// Writes the header to the beginning of `to` and clears the rest of `to`.
    ///
    /// # Panics
    /// If `to` is shorter than [`HEADER_LEN`].
    pub fn emit(&self, to: &mut [u8]) {
        let Self { flags, gso_type, header_len, gso_size, checksum_start, checksum_offset } = *self;
        to.fill(0);
        to[0] = flags;
        to[1] = gso_type;
        to[2..4].copy_from_slice(&header_len.to_le_bytes());
        to[4..6].copy_from_slice(&gso_size.to_le_bytes());
        to[6..8].copy_from_slice(&checksum_start.to_le_bytes());
        to[8..10].copy_from_slice(&checksum_offset.to_le_bytes());
    }

    /// Reads the first ten bytes of a header.
    ///
    /// # Errors
    /// [`Malformed::Truncated`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let Some(&[flags, gso_type, a, b, c, d, e, f, g, h]) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(Malformed::Truncated);
        };
        Ok(Self {
            flags,
            gso_type,
            header_len: u16::from_le_bytes([a, b]),
            gso_size: u16::from_le_bytes([c, d]),
            checksum_start: u16::from_le_bytes([e, f]),
            checksum_offset: u16::from_le_bytes([g, h]),
        })
    }

    /// What the header says of a frame of `frame_len` bytes that arrived with it.
    ///
    /// # Errors
    /// [`Malformed`] when it says what cannot be.
    pub fn received(&self, frame_len: usize) -> Result<(RxChecksum, Option<u16>), Malformed> {
        let checksum = if self.flags & FLAG_NEEDS_CSUM != 0 {
            let end = usize::from(self.checksum_start) + usize::from(self.checksum_offset) + 2;
            if end > frame_len {
                return Err(Malformed::ChecksumOutside);
            }
            RxChecksum::Partial { start: self.checksum_start, offset: self.checksum_offset }
        } else if self.flags & FLAG_DATA_VALID != 0 {
            RxChecksum::Verified
        } else {
            RxChecksum::Unverified
        };
        let segment_size = match self.gso_type & !GSO_ECN {
            GSO_NONE => None,
            GSO_TCPV4 | GSO_TCPV6 if self.gso_size == 0 => return Err(Malformed::SegmentSize),
            GSO_TCPV4 | GSO_TCPV6 => Some(self.gso_size),
            _ => return Err(Malformed::Segmentation),
        };
        Ok((checksum, segment_size))
    }
}

/// The ethertype behind at most one VLAN tag.
fn ethertype(frame: &[u8]) -> Option<u16> {
    let at = |offset: usize| Some(u16::from_be_bytes([*frame.get(offset)?, *frame.get(offset + 1)?]));
    match at(12)? {
        0x8100 | 0x88a8 => at(16),
        ethertype => Some(ethertype),
    }
}
