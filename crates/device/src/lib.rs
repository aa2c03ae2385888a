//! What the engine asks of a link, and the frames that cross it.
//!
//! A [`Device`] moves Ethernet frames and knows nothing of ARP or IP. Offload is part of the contract, in the
//! terms that virtio-net, TAP and every modern NIC share: a frame may be up to 64 KiB, carry a checksum that the
//! link fills in, and a segment size at which the link cuts it. A link that can do none of this says so in its
//! [`Capabilities`], and the engine's link layer does the work instead, in one place
//! (`stack::link::offload`).
//!
//! Implemented in `drivers` and `links`; called by whoever drives a `stack::Stack`.

#![no_std]
#![forbid(unsafe_code)]

use ring::Span;
use wire::ethernet::MacAddr;

/// What a link can do, told once when it is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The station's own address.
    pub mac: MacAddr,
    /// The largest IP packet the link carries, in bytes, without Ethernet's header: 1500 on plain Ethernet.
    pub mtu: u32,
    /// The link fills in transport checksums marked [`TxChecksum::Partial`].
    pub tx_checksum: bool,
    /// The largest IP packet that the link cuts into TCP segments by itself (TSO), in bytes; `None` when it
    /// cannot. Implies `tx_checksum`.
    pub tx_segmentation: Option<u32>,
}

impl Capabilities {
    /// An Ethernet link that offloads nothing.
    #[must_use]
    pub const fn plain(mac: MacAddr, mtu: u32) -> Self {
        Self { mac, mtu, tx_checksum: false, tx_segmentation: None }
    }
}

/// Who finishes the transport checksum of an outgoing frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxChecksum {
    /// The bytes are as they go on the wire.
    Complete,
    /// The field at `start + offset` holds the pseudo-header's sum, not complemented; the link adds the sum of
    /// everything from `start` (in bytes from the frame's first) to the end, and stores the complement.
    Partial {
        /// Where the transport header begins.
        start: u16,
        /// Where its checksum field is, from `start`.
        offset: u16,
    },
}

/// An outgoing Ethernet frame: headers, then slices of the socket's ring, not yet copied anywhere.
#[derive(Clone, Copy)]
pub struct TxFrame<'a> {
    /// Ethernet, IP and transport headers; for a frame without payload slices, all of it.
    pub header: &'a [u8],
    /// What follows the headers, in order.
    pub payload: &'a [Span<'a>],
    /// Who finishes the checksum.
    pub checksum: TxChecksum,
    /// TCP payload bytes a segment, when the link is to cut the frame.
    pub segment_size: Option<u16>,
}

impl TxFrame<'_> {
    /// The frame's length in bytes, headers included.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        let payload_len = match self.payload {
            // Nearly always; no loop is needed.
            [span] => span.len(),
            spans => spans.iter().map(Span::len).sum(),
        };
        self.header.len() + payload_len
    }

    /// Whether the frame has no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gathers the frame into `out`, which must be at least [`len`](Self::len) bytes long; returns the length.
    #[inline]
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let (header, rest) = out.split_at_mut(self.header.len());
        Span::from_slice(self.header).copy_to(header);
        let payload_len = match self.payload {
            [] => 0,
            [span] => {
                span.copy_to(rest);
                span.len()
            }
            spans => copy_one_by_one(spans, rest),
        };
        self.header.len() + payload_len
    }
}

/// Apart, so that the usual case needs no registers for a loop.
#[inline(never)]
fn copy_one_by_one(spans: &[Span<'_>], to: &mut [u8]) -> usize {
    let mut done = 0;
    for span in spans {
        span.copy_to(&mut to[done..]);
        done += span.len();
    }
    done
}

/// What is known of the transport checksum of a frame that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxChecksum {
    /// Nothing: the engine computes it.
    Unverified,
    /// The link computed it and it was right. Fragments are never trusted on this word.
    Verified,
    /// The frame came from a sender on the same machine that left the sum to a device it never passed: the field
    /// holds no checksum, and the bytes crossed no wire on which they could have been damaged.
    Partial {
        /// Where the transport header begins, in bytes from the frame's first.
        start: u16,
        /// Where its checksum field is, from `start`.
        offset: u16,
    },
}

/// An Ethernet frame that arrived.
#[derive(Clone, Copy, Debug)]
pub struct RxFrame<'a> {
    /// The whole frame, from the destination address on, without the frame check sequence.
    pub bytes: &'a [u8],
    /// What is known of its transport checksum.
    pub checksum: RxChecksum,
    /// TCP payload bytes a segment, when the frame stands for several that the link put together.
    pub segment_size: Option<u16>,
}

impl<'a> RxFrame<'a> {
    /// A frame about which the link knows nothing.
    #[must_use]
    pub const fn plain(bytes: &'a [u8]) -> Self {
        Self { bytes, checksum: RxChecksum::Unverified, segment_size: None }
    }
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransmitError {
    /// The queue is full: the caller keeps the frame and offers it again when the link is writable.
    Full,
    /// The link is down or broken: the frame is lost and must be counted as such.
    Lost,
}

/// A link that moves Ethernet frames.
pub trait Device {
    /// What the link can do. Constant for as long as it is attached, apart from what [`link_up`](Self::link_up) says.
    fn capabilities(&self) -> Capabilities;

    /// Takes one frame, or refuses it whole. The slices are read before the call returns.
    ///
    /// # Errors
    /// [`TransmitError`] says whether to try again.
    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError>;

    /// Hands at most `budget` waiting frames to `input`, without blocking; returns how many. Fewer than `budget`
    /// means that none is left.
    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize;

    /// Ends a batch of `transmit` calls: a link that collects frames sends them now.
    fn flush(&mut self) {}

    /// Whether there is a carrier.
    fn link_up(&self) -> bool {
        true
    }
}
