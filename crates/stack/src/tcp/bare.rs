//! Segments without text that no connection sends: resets, answers from TIME-WAIT and from the SYN queue.
//!
//! They go through the interface's queue of small packets, which is bounded: one that finds it full is counted there,
//! and lost like any packet.

use ring::Span;
use wire::checksum::{pseudo_header, sum};
use wire::protocol::Protocol;
use wire::tcp::{MAX_HEADER_LEN, SeqNum, TcpFlags, TcpHeader, TcpOptions};

use crate::link::template::PlainSegment;
use crate::network::{Network, Packet};
use crate::tcp::demux::Flow;
use crate::time::Instant;

/// The header of a segment on `flow`, without options and with a window of zero.
pub(crate) fn header(flow: &Flow, seq: SeqNum, ack: SeqNum, flags: TcpFlags) -> TcpHeader {
    TcpHeader {
        src_port: flow.local_port,
        dst_port: flow.remote_port,
        seq,
        ack,
        flags,
        window: 0,
        urgent: 0,
        options: TcpOptions::NONE,
    }
}

/// Sends `header` with nothing behind it.
pub(crate) fn send(now: Instant, net: &mut Network, flow: &Flow, header: &TcpHeader) {
    if let Some(options) = header.options.usual()
        && let Ok(path) = net.route(flow.remote, Some(flow.local))
    {
        let segment = PlainSegment {
            interface: path.interface,
            flow,
            hop_limit: net.default_hop_limit,
            tos: 0,
            seq: header.seq,
            ack: header.ack,
            flags: header.flags,
            window: header.window,
            options,
            payload: Span::from_slice(&[]),
        };
        if net.queue_plain(&segment) {
            return;
        }
    }
    let mut bytes = [0; MAX_HEADER_LEN];
    let len = header.emit(&mut bytes);
    let total = pseudo_header(flow.local, flow.remote, Protocol::TCP, len as u32) + sum(&bytes[..len]);
    TcpHeader::write_checksum(&mut bytes, total.finish());
    let packet = Packet {
        interface: None,
        source: Some(flow.local),
        destination: flow.remote,
        protocol: Protocol::TCP,
        hop_limit: None,
        tos: 0,
        dont_fragment: true,
        payload: &bytes[..len],
    };
    // One that finds no way is lost like any packet; the network has counted it.
    let _ = net.send_packet(now, &packet);
}
