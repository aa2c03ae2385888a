//! The headers of a TCP segment without options but the usual ones, over IPv4 and Ethernet without a tag, written over a
//! template that a hot path keeps: some twenty stores, no loop and no look-up but the hot path's own.
//!
//! `tcp/template` decides what is such a segment and calls [`Network::transmit_plain`]; everything else goes by
//! [`Network::transmit_segment`](crate::network::Network::transmit_segment).

use core::hint::cold_path;
use core::net::{IpAddr, Ipv4Addr};

use device::{Device, TransmitError, TxChecksum, TxFrame};
use ring::Span;
use wire::checksum::{Sum, sum_array};
use wire::ethernet::{HEADER_LEN as ETHERNET_LEN, MIN_FRAME_LEN};
use wire::ipv4::HEADER_LEN as IP_LEN;
use wire::protocol::Protocol;
use wire::tcp::{CHECKSUM_OFFSET, HEADER_LEN as TCP_LEN, SeqNum, TcpFlags};

use super::InterfaceId;
use crate::discard::Discard;
use crate::network::Network;
use crate::tcp::Flow;

/// Where TCP's header begins.
pub(super) const TCP: usize = ETHERNET_LEN + IP_LEN;
/// Ethernet's, IPv4's and TCP's headers.
pub(super) const PLAIN_LEN: usize = TCP + TCP_LEN;
/// Timestamps with two octets of padding, or what a SYN brings.
pub(super) const OPTIONS_LEN: usize = wire::tcp::USUAL_OPTIONS_LEN;

/// A segment that fits a template.
pub(crate) struct PlainSegment<'a> {
    pub interface: InterfaceId,
    pub flow: &'a Flow,
    pub hop_limit: u8,
    /// DSCP and ECN bits.
    pub tos: u8,
    pub seq: SeqNum,
    pub ack: SeqNum,
    pub flags: TcpFlags,
    /// As it stands in the header.
    pub window: u16,
    /// TCP's options, all of them.
    pub options: Option<[u8; OPTIONS_LEN]>,
    /// One segment's at most.
    pub payload: Span<'a>,
}

/// What became of a segment that fits a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plainly {
    /// The device has it, or it was lost on the way down and counted.
    Sent,
    /// The device's queue is full: nothing was sent, offer it again when the device can take more.
    DeviceFull,
    /// Nothing was done: there is no template for it, or the path has become too small.
    NotSo,
}

/// Ethernet's and IPv4's headers of a path, apart from what differs from packet to packet: TOS, total length, TTL and
/// checksum are zero.
#[derive(Clone, Copy)]
pub(crate) struct Headers {
    pub(super) bytes: [u8; TCP],
    /// The sum of the IPv4 header as it stands here.
    pub(super) ip_sum: Sum,
    /// The sum of the pseudo-header without the length.
    pub(super) pseudo_sum: Sum,
    /// IPv4's checksum, as it stands in the header of a packet of [`BARE_LEN`] bytes with a TOS of zero and [`USUAL_TTL`].
    pub(super) bare_checksum: [u8; 2],
}

/// Length of an IPv4 packet with TCP's header alone.
pub(super) const BARE_LEN: u16 = (IP_LEN + TCP_LEN) as u16;
/// The TTL that nearly all packets leave with.
pub(super) const USUAL_TTL: u8 = 64;

impl Headers {
    /// The template of a path, if its frames have no tag and its packets are IPv4's.
    pub(crate) fn new(link_header: &[u8], source: IpAddr, destination: IpAddr) -> Option<Self> {
        let link_header: &[u8; ETHERNET_LEN] = link_header.try_into().ok()?;
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) else { return None };
        let mut bytes = [0; TCP];
        bytes[..ETHERNET_LEN].copy_from_slice(link_header);
        let ip = &mut bytes[ETHERNET_LEN..];
        ip[0] = 0x45;
        // RFC 1191 section 3, RFC 6864 section 4.1: DF, and no identification.
        ip[6] = 0x40;
        ip[9] = Protocol::TCP.0;
        ip[12..16].copy_from_slice(&source.octets());
        ip[16..20].copy_from_slice(&destination.octets());
        let ip_sum = wire::checksum::sum(ip);
        let pseudo_sum = wire::checksum::pseudo_header(source.into(), destination.into(), Protocol::TCP, 0);
        let bare_sum = ip_sum.add_u16(BARE_LEN).add_u16(u16::from(USUAL_TTL) << 8);
        Some(Self { bytes, ip_sum, pseudo_sum, bare_checksum: bare_sum.finish().to_be_bytes() })
    }

    /// Whether the path leads from `source` to `destination`.
    #[inline(always)]
    pub(super) fn is_between(&self, source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        // Each as a word: both as one would have to be put together first.
        let word = |at: usize| self.bytes[at..].first_chunk().map(|octets| u32::from_ne_bytes(*octets));
        word(ETHERNET_LEN + 12) == Some(u32::from_ne_bytes(source.octets()))
            && word(ETHERNET_LEN + 16) == Some(u32::from_ne_bytes(destination.octets()))
    }

    /// Writes what the headers in front of TCP's have in common in a train: all but total length and checksum. Returns the sum of
    /// that much of IPv4's, and of the pseudo-header without the length.
    #[inline]
    pub(super) fn write_common(&self, to: &mut [u8; TCP], tos: u8, hop_limit: u8) -> (Sum, Sum) {
        *to = self.bytes;
        to[ETHERNET_LEN + 1] = tos;
        to[ETHERNET_LEN + 8] = hop_limit;
        (self.ip_sum.add_u16(u16::from(tos)).add_u16(u16::from(hop_limit) << 8), self.pseudo_sum)
    }

    /// Writes the headers in front of TCP's, for a segment of `tcp_len` bytes. Returns the sum of the pseudo-header.
    #[inline]
    pub(super) fn write_lower(&self, to: &mut [u8; TCP], tos: u8, hop_limit: u8, tcp_len: u16) -> Sum {
        let total_len = IP_LEN as u16 + tcp_len;
        let ip_sum = self.ip_sum.add_u16(u16::from(tos)).add_u16(total_len).add_u16(u16::from(hop_limit) << 8);
        *to = self.bytes;
        to[ETHERNET_LEN + 1] = tos;
        to[ETHERNET_LEN + 2..ETHERNET_LEN + 4].copy_from_slice(&total_len.to_be_bytes());
        to[ETHERNET_LEN + 8] = hop_limit;
        to[ETHERNET_LEN + 10..ETHERNET_LEN + 12].copy_from_slice(&ip_sum.finish().to_be_bytes());
        self.pseudo_sum.add_u16(tcp_len)
    }

    /// Writes all headers, with the pseudo-header's sum (`partial`) or nothing in TCP's checksum field. Returns their
    /// length, and the sum of pseudo-header and TCP header without that field.
    #[inline(always)]
    pub(super) fn write(
        &self,
        to: &mut [u8; PLAIN_LEN + OPTIONS_LEN],
        segment: &PlainSegment<'_>,
        partial: bool,
    ) -> (usize, Sum) {
        let option_len = if segment.options.is_some() { OPTIONS_LEN } else { 0 };
        let tcp_len = (TCP_LEN + option_len + segment.payload.len()) as u16;
        let (lower, _) = to.split_first_chunk_mut::<TCP>().expect("the lower headers' room");
        let pseudo_sum = self.write_lower(lower, segment.tos, segment.hop_limit, tcp_len);

        // RFC 9293 section 3.1, by words: ports, numbers, length with flags and window, checksum with no urgent pointer.
        let Flow { local_port, remote_port, .. } = *segment.flow;
        let offset = (TCP_LEN + option_len) as u32 / 4;
        let words = [
            u32::from(local_port) << 16 | u32::from(remote_port),
            segment.seq.0,
            segment.ack.0,
            offset << 28 | u32::from(segment.flags.0) << 16 | u32::from(segment.window),
            if partial { u32::from(!pseudo_sum.finish()) << 16 } else { 0 },
        ];
        let mut sum = pseudo_sum;
        for (word, place) in words.iter().zip(to[TCP..PLAIN_LEN].as_chunks_mut::<4>().0) {
            *place = word.to_be_bytes();
            sum = sum.add_u32(*word);
        }
        if let Some(options) = segment.options {
            to[PLAIN_LEN..].copy_from_slice(&options);
            sum += sum_array(&options);
        }
        (PLAIN_LEN + option_len, sum)
    }
}

impl Network {
    /// Counts what the device has made of a frame of `frame_len` bytes, padding apart.
    #[inline(always)]
    pub(super) fn account(
        &mut self,
        interface: InterfaceId,
        frame_len: usize,
        taken: Result<(), TransmitError>,
    ) -> Plainly {
        match taken {
            Ok(()) => {
                self.traffic.sent(interface, 1, frame_len as u64);
                Plainly::Sent
            }
            Err(TransmitError::Full) => {
                cold_path();
                Plainly::DeviceFull
            }
            Err(TransmitError::Lost) => {
                cold_path();
                self.discard(Discard::LinkLost);
                Plainly::Sent
            }
        }
    }

    /// Hands a segment that fits the template of its path to the device.
    #[inline(never)]
    pub(crate) fn transmit_plain(&mut self, device: &mut dyn Device, segment: &PlainSegment<'_>) -> Plainly {
        self.try_transmit_plain(device, segment).unwrap_or(Plainly::NotSo)
    }

    #[inline(always)]
    fn try_transmit_plain(&mut self, device: &mut dyn Device, segment: &PlainSegment<'_>) -> Option<Plainly> {
        let PlainSegment { interface, flow, payload, .. } = *segment;
        let path = self.hot_paths.find(self.generation, interface, flow.local, flow.remote)?;
        let template = path.template.as_ref()?;
        let mut bytes = [0; PLAIN_LEN + OPTIONS_LEN];
        let option_len = if segment.options.is_some() { OPTIONS_LEN } else { 0 };
        let frame_len = PLAIN_LEN + option_len + payload.len();
        if frame_len - ETHERNET_LEN > path.mtu as usize {
            return None;
        }
        // A frame below Ethernet's least length is padded, and so put together here.
        let in_hardware = path.tx_checksum && frame_len >= MIN_FRAME_LEN;
        let (header_len, sum) = template.write(&mut bytes, segment, in_hardware);
        let spans = [payload];
        let spans = if payload.is_empty() { &[] } else { &spans[..] };
        let taken = if in_hardware {
            let checksum = TxChecksum::Partial { start: TCP as u16, offset: CHECKSUM_OFFSET as u16 };
            device.transmit(&TxFrame { header: &bytes[..header_len], payload: spans, checksum, segment_size: None })
        } else if frame_len >= MIN_FRAME_LEN {
            // As `offload` has it: read once for the sum, copied by the device.
            let sum = if payload.is_empty() { sum } else { sum + payload.sum() };
            bytes[TCP + CHECKSUM_OFFSET..TCP + CHECKSUM_OFFSET + 2].copy_from_slice(&sum.finish().to_be_bytes());
            let checksum = TxChecksum::Complete;
            device.transmit(&TxFrame { header: &bytes[..header_len], payload: spans, checksum, segment_size: None })
        } else if payload.is_empty() {
            bytes[TCP + CHECKSUM_OFFSET..TCP + CHECKSUM_OFFSET + 2].copy_from_slice(&sum.finish().to_be_bytes());
            let checksum = TxChecksum::Complete;
            // Behind a header without options there is nothing but zeros.
            device.transmit(&TxFrame { header: &bytes[..MIN_FRAME_LEN], payload: &[], checksum, segment_size: None })
        } else {
            let mut frame = [0; MIN_FRAME_LEN];
            let sum = sum + payload.copy_to_and_sum(&mut frame[header_len..frame_len]);
            bytes[TCP + CHECKSUM_OFFSET..TCP + CHECKSUM_OFFSET + 2].copy_from_slice(&sum.finish().to_be_bytes());
            frame[..header_len].copy_from_slice(&bytes[..header_len]);
            let checksum = TxChecksum::Complete;
            device.transmit(&TxFrame { header: &frame, payload: &[], checksum, segment_size: None })
        };
        Some(self.account(interface, frame_len, taken))
    }
}
