//! The one place where software does what the device cannot: cut a train into segments, and sum them.
//!
//! A device that can do both is handed headers and slices of the ring as they are. One that cannot sum is handed them too,
//! where a frame's payload lies in one piece: it is read once for its sum, which costs less than a copy, and the device makes
//! the only one. (Who shares the ring's memory and changes it in between spoils the sum of his own stream, and nothing else.)
//! Otherwise the payload is copied into a frame, and summed in the same pass. `Network::transmit_segment` comes here for every
//! TCP segment; `ip/forward` for trains that arrived in one piece.

use device::{Device, TransmitError, TxChecksum, TxFrame};
use ring::{Span, copy_range_and_sum};
use wire::checksum::{self, Sum, sum_array};
use wire::ethernet::MIN_FRAME_LEN;
use wire::tcp::{CHECKSUM_OFFSET, HEADER_LEN as TCP_LEN, TcpFlags};

/// Most bytes of headers: Ethernet with a tag, IPv6, TCP with all its options.
pub(crate) const MAX_HEADERS: usize = 18 + 40 + 60;
/// Most pieces a payload comes in; see `ring::MAX_SPANS`.
const MAX_PIECES: usize = 16;

/// Headers of a train, from Ethernet's on. The fields that differ from segment to segment are written here.
pub(crate) struct Train<'a> {
    /// All headers. TCP's checksum field is zero, as are IPv4's total length, identification and checksum.
    pub headers: &'a mut [u8],
    /// Where IP's header begins.
    pub ip_at: usize,
    /// Where TCP's header begins.
    pub tcp_at: usize,
    pub ipv4: bool,
    /// The sum of IPv4's header without total length and checksum.
    pub ip_sum: Sum,
    /// The sum of the pseudo-header without the length.
    pub pseudo_sum: Sum,
    pub payload: &'a [Span<'a>],
    pub payload_len: usize,
    /// Payload bytes a segment.
    pub segment_size: usize,
}

/// What the device can do.
#[derive(Clone, Copy)]
pub(crate) struct Offloads {
    pub tx_checksum: bool,
    /// The largest IP packet it cuts; zero when it cuts none.
    pub tx_segmentation: usize,
}

/// Where finished frames go. Two stand behind it: a device, and the queue of an interface.
pub(crate) trait Sink {
    fn take(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError>;
}

impl Sink for &mut dyn Device {
    fn take(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        self.transmit(frame)
    }
}

/// How far a train got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Payload bytes that left, or were lost for good.
    pub payload: usize,
    /// Frames and their bytes that the device took.
    pub frames: u64,
    pub bytes: u64,
    /// Frames that the device lost.
    pub lost: u64,
    /// The device was full before the end.
    pub full: bool,
}

impl Train<'_> {
    /// Sends the train in as many frames as the device makes necessary.
    pub(crate) fn transmit(&mut self, sink: &mut impl Sink, offloads: Offloads, scratch: &mut [u8]) -> Progress {
        let header_len = self.headers.len();
        let ip_header_len = header_len - self.ip_at;
        let step = self.step(offloads, ip_header_len);
        let flags = TcpFlags(self.headers[self.tcp_at + 13]);
        let mut cursor = Cursor::new(self.payload);
        let mut progress = Progress::default();
        loop {
            let left = self.payload_len - progress.payload;
            let (first, last) = (progress.payload == 0, left <= step);
            let len = if last { left } else { step };
            // All frames but the last differ in nothing but the sequence number and what is summed; and the first, if it says CWR.
            let alone = last || (first && flags.contains(TcpFlags::CWR));
            let count = if alone { 1 } else { (left - 1) / step };
            self.mark_piece(flags, first, last);
            self.write_lengths(ip_header_len + len);
            let pseudo = self.pseudo(len);
            let finish = if offloads.tx_checksum && header_len + len >= MIN_FRAME_LEN {
                // The field holds the pseudo-header's sum, not complemented.
                self.write_checksum(!pseudo.finish());
                Finish::Device
            } else {
                Finish::Here(pseudo + self.common_sum())
            };
            self.send_alike(sink, &mut cursor, len, count, finish, &mut progress, scratch);
            if last || progress.full {
                return progress;
            }
        }
    }

    /// Sends `count` frames of `len` bytes of payload: their headers are written but for the sequence number of all behind the
    /// first, and sums that are taken here.
    #[inline(never)]
    #[allow(clippy::too_many_arguments, reason = "one step of `transmit`, apart so that the loop is short")]
    fn send_alike(
        &mut self,
        sink: &mut impl Sink,
        cursor: &mut Cursor<'_>,
        len: usize,
        count: usize,
        finish: Finish,
        progress: &mut Progress,
        scratch: &mut [u8],
    ) {
        // Copies of one's own are in registers, and most of the accounts follow from how far this got.
        let (mut seq, mut own, mut done, mut lost) = (self.seq(), *cursor, 0, 0);
        while done < count {
            let taken = match finish {
                Finish::Device => self.hand_over(sink, &mut own, len),
                Finish::Here(sum) => {
                    self.assemble(sink, &mut own, progress.payload + done * len, len, sum.add_u32(seq), scratch)
                }
            };
            match taken {
                Ok(()) => {}
                Err(TransmitError::Full) => break,
                Err(TransmitError::Lost) => lost += 1,
            }
            done += 1;
            seq = seq.wrapping_add(len as u32);
            self.write_seq(seq);
        }
        *cursor = own;
        let frames = done - lost;
        progress.full = done < count;
        progress.payload += done * len;
        progress.frames += frames as u64;
        progress.bytes += (frames * (self.headers.len() + len)) as u64;
        progress.lost += lost as u64;
    }

    /// Payload bytes a frame.
    fn step(&self, offloads: Offloads, ip_header_len: usize) -> usize {
        let size = self.segment_size.max(1);
        if self.payload_len <= size {
            return size;
        }
        let room = offloads.tx_segmentation.saturating_sub(ip_header_len);
        // A device that cuts gets whole segments, so that only the train's last one is short.
        (room / size * size).max(size)
    }

    /// A frame that is one of several: FIN and PSH belong to the last (RFC 9293 section 3.8.4 pushes to the end of
    /// what was sent), CWR to the first (RFC 3168 section 6.1.2: one reduction is told once).
    fn mark_piece(&mut self, flags: TcpFlags, first: bool, last: bool) {
        let mut own = flags;
        if !last {
            own = own.without(TcpFlags::FIN).without(TcpFlags::PSH);
        }
        if !first {
            own = own.without(TcpFlags::CWR);
        }
        self.headers[self.tcp_at + 13] = own.0;
    }

    fn seq(&self) -> u32 {
        let field = &self.headers[self.tcp_at + 4..self.tcp_at + 8];
        u32::from_be_bytes([field[0], field[1], field[2], field[3]])
    }

    #[inline]
    fn write_seq(&mut self, seq: u32) {
        self.headers[self.tcp_at + 4..self.tcp_at + 8].copy_from_slice(&seq.to_be_bytes());
    }

    /// Writes IP's length, and IPv4's checksum.
    fn write_lengths(&mut self, packet_len: usize) {
        let ip = &mut self.headers[self.ip_at..self.tcp_at];
        if self.ipv4 {
            let total_len = packet_len as u16;
            ip[2..4].copy_from_slice(&total_len.to_be_bytes());
            ip[10..12].copy_from_slice(&self.ip_sum.add_u16(total_len).finish().to_be_bytes());
        } else {
            let payload_len = (packet_len - wire::ipv6::HEADER_LEN) as u16;
            ip[4..6].copy_from_slice(&payload_len.to_be_bytes());
        }
    }

    /// The pseudo-header's sum for a segment with `len` bytes of payload.
    fn pseudo(&self, len: usize) -> Sum {
        self.pseudo_sum.add_u32((self.headers.len() - self.tcp_at + len) as u32)
    }

    /// The sum of TCP's header without sequence number and checksum.
    fn common_sum(&self) -> Sum {
        let tcp = &self.headers[self.tcp_at..];
        let Some((fixed, options)) = tcp.split_first_chunk::<TCP_LEN>() else { return checksum::sum(tcp) };
        let mut common = *fixed;
        common[4..8].fill(0);
        common[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].fill(0);
        sum_array(&common) + checksum::sum(options)
    }

    #[inline]
    fn write_checksum(&mut self, value: u16) {
        let at = self.tcp_at + CHECKSUM_OFFSET;
        self.headers[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }

    /// Headers and slices as they are: the device sums, and cuts if need be.
    #[inline]
    fn hand_over(&self, sink: &mut impl Sink, cursor: &mut Cursor<'_>, len: usize) -> Result<(), TransmitError> {
        let header: &[u8] = self.headers;
        let checksum = TxChecksum::Partial { start: self.tcp_at as u16, offset: CHECKSUM_OFFSET as u16 };
        let segment_size = (len > self.segment_size).then_some(self.segment_size as u16);
        if let Some(span) = cursor.take(len) {
            let payload = &[span][..usize::from(len > 0)];
            return sink.take(&TxFrame { header, payload, checksum, segment_size });
        }
        let mut pieces = [Span::EMPTY; MAX_PIECES];
        let payload = cursor.take_pieces(len, &mut pieces);
        sink.take(&TxFrame { header, payload, checksum, segment_size })
    }

    /// One frame, summed here: gathered from headers and a slice, or else in one piece, copied and summed in one pass, padded to
    /// Ethernet's minimum. `sum` is that of pseudo-header and header, without the checksum's field.
    #[inline]
    fn assemble(
        &mut self,
        sink: &mut impl Sink,
        cursor: &mut Cursor<'_>,
        from: usize,
        len: usize,
        sum: Sum,
        scratch: &mut [u8],
    ) -> Result<(), TransmitError> {
        if self.headers.len() + len >= MIN_FRAME_LEN
            && let Some(span) = cursor.take(len)
        {
            self.write_checksum((sum + span.sum()).finish());
            let payload = &[span][..usize::from(len > 0)];
            let checksum = TxChecksum::Complete;
            return sink.take(&TxFrame { header: self.headers, payload, checksum, segment_size: None });
        }
        cursor.take_pieces(len, &mut [Span::EMPTY; MAX_PIECES]);
        self.assemble_in_one_piece(sink, from, len, sum, scratch)
    }

    /// A frame that is put together in `scratch`: the bytes of the payload from `from` on, copied and summed.
    #[inline(never)]
    fn assemble_in_one_piece(
        &mut self,
        sink: &mut impl Sink,
        from: usize,
        len: usize,
        mut sum: Sum,
        scratch: &mut [u8],
    ) -> Result<(), TransmitError> {
        let header_len = self.headers.len();
        let end = header_len + len;
        if len > 0 {
            sum += copy_range_and_sum(self.payload, from, &mut scratch[header_len..end]);
        }
        self.write_checksum(sum.finish());
        scratch[..header_len].copy_from_slice(self.headers);
        let padded = end.max(MIN_FRAME_LEN);
        scratch[end..padded].fill(0);
        let frame =
            TxFrame { header: &scratch[..padded], payload: &[], checksum: TxChecksum::Complete, segment_size: None };
        sink.take(&frame)
    }
}

/// Who sums a frame.
#[derive(Clone, Copy)]
enum Finish {
    Device,
    /// We do: this is the sum of pseudo-header and header, without sequence number and checksum.
    Here(Sum),
}

/// Where a train has got to: frames are cut one after the other, and most of them lie in one piece.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    /// What is left of the piece.
    piece: Span<'a>,
    /// The pieces behind it.
    more: &'a [Span<'a>],
}

impl<'a> Cursor<'a> {
    fn new(spans: &'a [Span<'a>]) -> Self {
        Self { piece: Span::EMPTY, more: spans }
    }

    /// The next `len` bytes if they lie in one piece; `None`, and nothing is taken, if not.
    #[inline]
    fn take(&mut self, len: usize) -> Option<Span<'a>> {
        if self.piece.is_empty() {
            self.turn();
        }
        if self.piece.len() < len {
            return None;
        }
        let (taken, left) = self.piece.split_at(len);
        self.piece = left;
        Some(taken)
    }

    /// On to the next piece that holds anything.
    fn turn(&mut self) {
        while let [next, more @ ..] = self.more
            && self.piece.is_empty()
        {
            (self.piece, self.more) = (*next, more);
        }
    }

    /// The next `len` bytes, which lie in several pieces, as slices of them.
    fn take_pieces<'b>(&mut self, len: usize, pieces: &'b mut [Span<'a>; MAX_PIECES]) -> &'b [Span<'a>] {
        let (mut left, mut count) = (len, 0);
        while left > 0 {
            self.turn();
            let Some(piece) = self.take(left.min(self.piece.len())).filter(|piece| !piece.is_empty()) else { break };
            pieces[count] = piece;
            count += 1;
            left -= piece.len();
        }
        &pieces[..count]
    }
}

#[cfg(test)]
mod tests;
