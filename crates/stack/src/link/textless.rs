//! Segments without text, over the template that a hot path keeps: a SYN, an acknowledgement, a FIN. There is nothing to
//! gather, and how many options there are is known where the segment is made, so that nothing is left but stores.
//!
//! `tcp/signal` sends by [`Network::transmit_textless`], and what that does not take by
//! [`Network::transmit_segment`](crate::network::Network::transmit_segment).

use core::hint::cold_path;
use core::net::IpAddr;

use device::{Device, TxChecksum, TxFrame};
use wire::checksum::Sum;
use wire::ethernet::{HEADER_LEN as ETHERNET_LEN, MIN_FRAME_LEN};
use wire::ipv4::HEADER_LEN as IP_LEN;
use wire::tcp::{CHECKSUM_OFFSET, HEADER_LEN as TCP_LEN, SYN_OPTIONS_LEN, SeqNum, TcpFlags};

use super::InterfaceId;
use super::hot_path::HotPath;
use super::template::{BARE_LEN, Headers, PLAIN_LEN, Plainly, TCP, USUAL_TTL};
use crate::network::Network;
use crate::tcp::Flow;

/// Room for the largest that is sent from here.
const MOST: usize = PLAIN_LEN + SYN_OPTIONS_LEN;

/// A segment without text, and with `N` bytes of options.
pub(crate) struct TextlessSegment<'a, const N: usize> {
    pub flow: &'a Flow,
    pub hop_limit: u8,
    /// DSCP and ECN bits.
    pub tos: u8,
    pub seq: SeqNum,
    pub ack: SeqNum,
    pub flags: TcpFlags,
    /// As it stands in the header.
    pub window: u16,
    /// At most a SYN's, a multiple of four bytes.
    pub options: [u8; N],
}

impl<'a, const N: usize> TextlessSegment<'a, N> {
    /// The same with other options.
    #[inline(always)]
    pub(crate) fn with_options<const M: usize>(self, options: [u8; M]) -> TextlessSegment<'a, M> {
        let Self { flow, hop_limit, tos, seq, ack, flags, window, options: _ } = self;
        TextlessSegment { flow, hop_limit, tos, seq, ack, flags, window, options }
    }

    /// Writes all headers, with the checksum, or the pseudo-header's sum where the device does the rest.
    #[inline(always)]
    fn write(&self, template: &Headers, to: &mut [u8; MOST], in_hardware: bool) {
        let Self { flow, hop_limit, tos, seq, ack, flags, window, options } = *self;
        let tcp_len = (TCP_LEN + N) as u16;
        let total_len = IP_LEN as u16 + tcp_len;
        let ip_checksum = if (total_len, tos, hop_limit) == (BARE_LEN, 0, USUAL_TTL) {
            template.bare_checksum
        } else {
            // Few words have no carry out of 64 bits.
            let varied = [u16::from(tos), total_len, u16::from(hop_limit) << 8].map(|field| u64::from(field.to_be()));
            (template.ip_sum + Sum::of_words(varied.iter().sum())).finish().to_be_bytes()
        };
        to[..TCP].copy_from_slice(&template.bytes);
        to[ETHERNET_LEN + 1] = tos;
        to[ETHERNET_LEN + 2..ETHERNET_LEN + 4].copy_from_slice(&total_len.to_be_bytes());
        to[ETHERNET_LEN + 8] = hop_limit;
        to[ETHERNET_LEN + 10..ETHERNET_LEN + 12].copy_from_slice(&ip_checksum);
        // RFC 9293 section 3.1, by words: ports, numbers, length with flags and window.
        let ports = u32::from(flow.local_port) << 16 | u32::from(flow.remote_port);
        let fields = u32::from(tcp_len) << 26 | u32::from(flags.0) << 16 | u32::from(window);
        let words = [ports, seq.0, ack.0, fields].map(u32::to_be);
        to[TCP..TCP + 4].copy_from_slice(&words[0].to_ne_bytes());
        to[TCP + 4..TCP + 8].copy_from_slice(&words[1].to_ne_bytes());
        to[TCP + 8..TCP + 12].copy_from_slice(&words[2].to_ne_bytes());
        to[TCP + 12..TCP + 16].copy_from_slice(&words[3].to_ne_bytes());
        to[PLAIN_LEN..PLAIN_LEN + N].copy_from_slice(&options);
        let len = u64::from(tcp_len.to_be());
        let varied = words.iter().map(|&word| u64::from(word)).sum::<u64>()
            + options.as_chunks::<4>().0.iter().map(|&word| u64::from(u32::from_ne_bytes(word))).sum::<u64>();
        let checksum = if in_hardware {
            !(template.pseudo_sum + Sum::of_words(len)).finish()
        } else {
            (template.pseudo_sum + Sum::of_words(len + varied)).finish()
        };
        to[TCP + CHECKSUM_OFFSET..TCP + CHECKSUM_OFFSET + 2].copy_from_slice(&checksum.to_be_bytes());
    }
}

impl Network {
    /// Hands a segment without text to the device; [`Plainly::NotSo`], with nothing done, if there is no template for its path.
    /// `segment` makes it, given the link's MTU, of which a SYN tells the peer.
    #[inline(always)]
    pub(crate) fn transmit_textless<'s, const N: usize>(
        &mut self,
        device: &mut dyn Device,
        interface: InterfaceId,
        flow: &Flow,
        segment: impl FnOnce(u32) -> TextlessSegment<'s, N>,
    ) -> Plainly {
        let (IpAddr::V4(local), IpAddr::V4(remote)) = (flow.local, flow.remote) else {
            cold_path();
            return Plainly::NotSo;
        };
        let path = self.hot_paths.find_template(self.generation, interface, local, remote);
        let Some((HotPath { mtu, tx_checksum, .. }, template)) = path else {
            cold_path();
            return Plainly::NotSo;
        };
        let frame_len = PLAIN_LEN + N;
        if frame_len - ETHERNET_LEN > *mtu as usize {
            cold_path();
            return Plainly::NotSo;
        }
        // A frame below Ethernet's least length is padded, and so complete when the device gets it.
        let in_hardware = *tx_checksum && frame_len >= MIN_FRAME_LEN;
        let mut bytes = [0; MOST];
        segment(*mtu).write(template, &mut bytes, in_hardware);
        let checksum = if in_hardware {
            TxChecksum::Partial { start: TCP as u16, offset: CHECKSUM_OFFSET as u16 }
        } else {
            TxChecksum::Complete
        };
        // Behind a header without options there is nothing but zeros.
        let header = &bytes[..frame_len.max(MIN_FRAME_LEN)];
        let taken = device.transmit(&TxFrame { header, payload: &[], checksum, segment_size: None });
        self.account(interface, frame_len, taken)
    }
}
