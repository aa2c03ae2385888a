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
    pub cursor: Cursor,
    /// Once it is known: the sum of what all segments' TCP headers have in common.
    pub common_sum: Option<Sum>,
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
        let mut progress = Progress::default();
        let mut written = None;
        loop {
            let len = step.min(self.payload_len - progress.payload);
            let last = progress.payload + len == self.payload_len;
            if progress.payload > 0 || !last {
                self.mark_piece(flags, progress.payload == 0, last);
            }
            // All frames of a train are alike but for the last.
            if written != Some(len) {
                self.write_lengths(ip_header_len + len);
                written = Some(len);
            }
            let in_hardware = offloads.tx_checksum && header_len + len >= MIN_FRAME_LEN;
            let taken = if in_hardware {
                self.hand_over(sink, progress.payload, len)
            } else {
                self.assemble(sink, progress.payload, len, scratch)
            };
            match taken {
                Ok(()) => {
                    progress.frames += 1;
                    progress.bytes += (header_len + len) as u64;
                }
                Err(TransmitError::Full) => {
                    progress.full = true;
                    return progress;
                }
                Err(TransmitError::Lost) => progress.lost += 1,
            }
            progress.payload += len;
            if last {
                return progress;
            }
            self.advance(len);
        }
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

    /// Moves the sequence number on.
    fn advance(&mut self, len: usize) {
        let field = &mut self.headers[self.tcp_at + 4..self.tcp_at + 8];
        let seq = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
        field.copy_from_slice(&seq.wrapping_add(len as u32).to_be_bytes());
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

    /// The sum of TCP's header, whose checksum field is zero: what is the same in all segments is added up but once.
    #[inline]
    fn header_sum(&mut self) -> Sum {
        let tcp = &self.headers[self.tcp_at..];
        let Some((fixed, options)) = tcp.split_first_chunk::<TCP_LEN>() else { return checksum::sum(tcp) };
        let &[_, _, _, _, s0, s1, s2, s3, .., offset, flags, _, _, _, _, _, _] = fixed;
        let common = *self.common_sum.get_or_insert_with(|| {
            let mut common = *fixed;
            common[4..8].fill(0);
            common[12..14].fill(0);
            sum_array(&common) + checksum::sum(options)
        });
        common.add_u32(u32::from_be_bytes([s0, s1, s2, s3])).add_u16(u16::from_be_bytes([offset, flags]))
    }

    fn write_checksum(&mut self, value: u16) {
        let at = self.tcp_at + CHECKSUM_OFFSET;
        self.headers[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }

    /// Headers and slices as they are: the device sums, and cuts if need be.
    fn hand_over(&mut self, sink: &mut impl Sink, from: usize, len: usize) -> Result<(), TransmitError> {
        // The field holds the pseudo-header's sum, not complemented.
        let partial = !self.pseudo(len).finish();
        self.write_checksum(partial);
        let checksum = TxChecksum::Partial { start: self.tcp_at as u16, offset: CHECKSUM_OFFSET as u16 };
        let segment_size = (len > self.segment_size).then_some(self.segment_size as u16);
        let header: &[u8] = self.headers;
        if from == 0 && len == self.payload_len {
            return sink.take(&TxFrame { header, payload: self.payload, checksum, segment_size });
        }
        if let Some(span) = self.cursor.take(self.payload, from, len) {
            return sink.take(&TxFrame { header, payload: &[span], checksum, segment_size });
        }
        let mut pieces = [Span::EMPTY; MAX_PIECES];
        let payload = slice_spans(self.payload, from, len, &mut pieces);
        sink.take(&TxFrame { header, payload, checksum, segment_size })
    }

    /// One frame, summed here: gathered from headers and a slice, or else in one piece, copied and summed in one pass, padded to
    /// Ethernet's minimum.
    fn assemble(
        &mut self,
        sink: &mut impl Sink,
        from: usize,
        len: usize,
        scratch: &mut [u8],
    ) -> Result<(), TransmitError> {
        self.write_checksum(0);
        let header_len = self.headers.len();
        let end = header_len + len;
        let mut sum = self.pseudo(len) + self.header_sum();
        if end >= MIN_FRAME_LEN
            && let Some(span) = self.cursor.take(self.payload, from, len)
        {
            self.write_checksum((sum + span.sum()).finish());
            let checksum = TxChecksum::Complete;
            return sink.take(&TxFrame { header: self.headers, payload: &[span], checksum, segment_size: None });
        }
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

/// Where a train has got to: frames are cut one after the other, and most of them lie in one piece.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cursor {
    /// The piece, and how many bytes of the payload lie before it.
    index: usize,
    before: usize,
}

impl Cursor {
    /// The bytes `[from, from + len)` if they lie in one piece. `from` never goes back.
    #[inline]
    fn take<'a>(&mut self, spans: &[Span<'a>], from: usize, len: usize) -> Option<Span<'a>> {
        let mut span = spans.get(self.index)?;
        while from - self.before >= span.len() {
            self.before += span.len();
            self.index += 1;
            span = spans.get(self.index)?;
        }
        let skip = from - self.before;
        (span.len() - skip >= len).then(|| span.slice(skip..skip + len))
    }
}

/// The bytes `[from, from + len)` of `spans`, as slices of them.
fn slice_spans<'a, 'b>(
    spans: &[Span<'a>],
    from: usize,
    len: usize,
    pieces: &'b mut [Span<'a>; MAX_PIECES],
) -> &'b [Span<'a>] {
    let (mut skip, mut left, mut count) = (from, len, 0);
    for span in spans {
        if left == 0 {
            break;
        }
        if skip >= span.len() {
            skip -= span.len();
            continue;
        }
        let take = (span.len() - skip).min(left);
        pieces[count] = span.slice(skip..skip + take);
        count += 1;
        skip = 0;
        left -= take;
    }
    &pieces[..count]
}

#[cfg(test)]
mod tests;
