//! The whole headers of flows that send messages: what one message differs by from the last is written over them.
//!
//! `template` keeps what the packets of a path have in common. A flow's segments have more: ports, TOS and TTL, and the sums
//! of all that (after Van Jacobson, "4BSD Header Prediction", Computer Communication Review, 1990). An entry stands under
//! the flow's name, which is never given twice, and holds as long as [`Network::generation`] stands still and the flow's
//! options stay as they are ([`Network::forget_flow`]).
//!
//! `tcp/message` sends by [`Network::transmit_message`], and what that does not take by `template`.

use alloc::boxed::Box;
use core::hint::cold_path;

use device::{Device, TxChecksum, TxFrame};
use ring::Span;
use wire::checksum::Sum;
use wire::ethernet::{HEADER_LEN as ETHERNET_LEN, MIN_FRAME_LEN};
use wire::tcp::{CHECKSUM_OFFSET, HEADER_LEN as TCP_LEN, SeqNum, TcpFlags, Timestamps};

use super::InterfaceId;
use super::template::{Headers, OPTIONS_LEN, PLAIN_LEN, Plainly, TCP};
use crate::network::Network;
use crate::tcp::Flow;

/// A segment with text.
pub(crate) struct Message<'a> {
    /// The flow's name.
    pub name: u64,
    pub interface: InterfaceId,
    pub seq: SeqNum,
    pub ack: SeqNum,
    pub flags: TcpFlags,
    /// As it stands in the header.
    pub window: u16,
    pub timestamps: Option<Timestamps>,
    /// One segment's at most.
    pub text: Span<'a>,
}

/// The headers of a flow.
struct FlowHeaders {
    name: u64,
    generation: u64,
    interface: InterfaceId,
    /// The device fills in checksums.
    tx_checksum: bool,
    /// The largest frame.
    most: usize,
    /// Those of the last message, with room for timestamps: numbers, flags, window and TCP's checksum differ from one to the
    /// next. The IPv4 header is that of a packet of `total_len` bytes, as long as the one before often is.
    bytes: [u8; PLAIN_LEN + OPTIONS_LEN],
    total_len: u16,
    /// The sum of the IPv4 header without its length, and of pseudo-header and ports without the length.
    ip_sum: Sum,
    pseudo_sum: Sum,
    tcp_sum: Sum,
}

const ENTRIES: usize = 64;

/// A small direct-mapped cache of them, made with the first.
#[derive(Default)]
pub(crate) struct FlowHeaderCache {
    entries: Box<[Option<FlowHeaders>]>,
}

impl FlowHeaderCache {
    #[inline(always)]
    fn find(&mut self, name: u64, generation: u64) -> Option<&mut FlowHeaders> {
        let headers = self.entries.get_mut(name as usize % ENTRIES)?.as_mut()?;
        (headers.name == name && headers.generation == generation).then_some(headers)
    }
}

impl FlowHeaders {
    /// A packet of another length.
    #[inline(never)]
    fn set_total_len(&mut self, total_len: u16) {
        self.total_len = total_len;
        let checksum = self.ip_sum.add_u16(total_len).finish();
        self.bytes[ETHERNET_LEN + 2..ETHERNET_LEN + 4].copy_from_slice(&total_len.to_be_bytes());
        self.bytes[ETHERNET_LEN + 10..ETHERNET_LEN + 12].copy_from_slice(&checksum.to_be_bytes());
    }
}

impl Network {
    /// Keeps the headers of a flow ready, if its path has a template.
    #[cold]
    #[inline(never)]
    pub(crate) fn learn_flow(&mut self, name: u64, interface: InterfaceId, flow: &Flow, tos: u8, hop_limit: u8) {
        let generation = self.generation;
        if self.flow_headers.find(name, generation).is_some_and(|known| known.interface == interface) {
            // What was not taken did not fit.
            return;
        }
        let Some(path) = self.hot_paths.find(generation, interface, flow.local, flow.remote) else { return };
        let Some(template) = &path.template else { return };
        let mut bytes = [0; PLAIN_LEN + OPTIONS_LEN];
        let Some((lower, tcp)) = bytes.split_first_chunk_mut::<TCP>() else { return };
        let Headers { ip_sum, .. } = *template;
        let pseudo_sum = template.write_lower(lower, tos, hop_limit, 0);
        let ports = u32::from(flow.local_port) << 16 | u32::from(flow.remote_port);
        tcp[..4].copy_from_slice(&ports.to_be_bytes());
        let headers = FlowHeaders {
            name,
            generation,
            interface,
            tx_checksum: path.tx_checksum,
            most: path.mtu as usize + ETHERNET_LEN,
            bytes,
            // None is so short: the first message makes it another.
            total_len: 0,
            ip_sum: ip_sum.add_u16(u16::from(tos)).add_u16(u16::from(hop_limit) << 8),
            pseudo_sum,
            tcp_sum: pseudo_sum.add_u32(ports),
        };
        if self.flow_headers.entries.is_empty() {
            self.flow_headers.entries = core::iter::repeat_with(|| None).take(ENTRIES).collect();
        }
        self.flow_headers.entries[name as usize % ENTRIES] = Some(headers);
    }

    /// A flow's TOS or TTL has changed, perhaps.
    pub(crate) fn forget_flow(&mut self, name: u64) {
        let entry = self.flow_headers.entries.get_mut(name as usize % ENTRIES);
        if let Some(entry) = entry {
            entry.take_if(|headers| headers.name == name);
        }
    }

    /// Hands a message to the device; [`Plainly::NotSo`], with nothing done, if its flow's headers are not ready or it does
    /// not fit them.
    #[inline(always)]
    pub(crate) fn transmit_message(&mut self, device: &mut dyn Device, message: &Message<'_>) -> Plainly {
        let Some(headers) = self.flow_headers.find(message.name, self.generation) else {
            cold_path();
            return Plainly::NotSo;
        };
        let option_len = if message.timestamps.is_some() { OPTIONS_LEN } else { 0 };
        let header_len = PLAIN_LEN + option_len;
        let frame_len = header_len + message.text.len();
        if frame_len > headers.most || frame_len < MIN_FRAME_LEN || headers.interface != message.interface {
            cold_path();
            return Plainly::NotSo;
        }
        let total_len = (frame_len - ETHERNET_LEN) as u16;
        if headers.total_len != total_len {
            cold_path();
            headers.set_total_len(total_len);
        }
        // Over those of the last message, of which nothing that differs is left.
        let bytes = &mut headers.bytes;
        // RFC 9293 section 3.1, by words: numbers, then length with flags and window.
        let offset = (TCP_LEN + option_len) as u32 / 4;
        let fields = offset << 28 | u32::from(message.flags.0) << 16 | u32::from(message.window);
        let words = [message.seq.0, message.ack.0, fields].map(u32::to_be);
        bytes[TCP + 4..TCP + 8].copy_from_slice(&words[0].to_ne_bytes());
        bytes[TCP + 8..TCP + 12].copy_from_slice(&words[1].to_ne_bytes());
        bytes[TCP + 12..TCP + 16].copy_from_slice(&words[2].to_ne_bytes());
        let tcp_len = u64::from(((frame_len - TCP) as u16).to_be());
        // So few words have no carry out of 64 bits.
        let mut varied = tcp_len + words.iter().map(|&word| u64::from(word)).sum::<u64>();
        if let Some(option) = message.timestamps {
            let [v0, v1, v2, v3] = option.value.to_be_bytes();
            let [e0, e1, e2, e3] = option.echo.to_be_bytes();
            let option = [1, 1, 8, 10, v0, v1, v2, v3, e0, e1, e2, e3];
            bytes[PLAIN_LEN..].copy_from_slice(&option);
            varied += option.as_chunks::<4>().0.iter().map(|&word| u64::from(u32::from_ne_bytes(word))).sum::<u64>();
        }
        let (sum, checksum) = if headers.tx_checksum {
            // The field holds the pseudo-header's sum, and the device does the rest.
            let pseudo_sum = !(headers.pseudo_sum + Sum::of_words(tcp_len)).finish();
            (pseudo_sum, TxChecksum::Partial { start: TCP as u16, offset: CHECKSUM_OFFSET as u16 })
        } else {
            let sum = headers.tcp_sum + Sum::of_words(varied) + message.text.sum();
            (sum.finish(), TxChecksum::Complete)
        };
        bytes[TCP + CHECKSUM_OFFSET..TCP + CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
        let interface = headers.interface;
        let frame = TxFrame { header: &bytes[..header_len], payload: &[message.text], checksum, segment_size: None };
        let taken = device.transmit(&frame);
        self.account(interface, frame_len, taken)
    }
}
