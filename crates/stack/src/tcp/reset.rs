//! Resets that this side sends (RFC 9293 section 3.10.7.1, section 3.5.2).

use wire::checksum::{pseudo_header, sum};
use wire::protocol::Protocol;
use wire::tcp::{SeqNum, TcpFlags, TcpHeader, TcpOptions};

use crate::network::{Network, Packet};
use crate::tcp::connection::Connection;
use crate::tcp::demux::Flow;
use crate::tcp::input::Incoming;
use crate::time::Instant;

/// A reset, without the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reset {
    seq: SeqNum,
    ack: Option<SeqNum>,
}

impl Reset {
    /// The answer to a segment that fits no connection; `None` for a reset, which is never answered.
    pub(crate) fn answer(segment: &Incoming<'_>) -> Option<Self> {
        if segment.header.flags.contains(TcpFlags::RST) {
            return None;
        }
        // RFC 9293 section 3.10.7.1: take the number from the ACK field, or acknowledge all of it.
        Some(if segment.header.flags.contains(TcpFlags::ACK) {
            Self { seq: segment.header.ack, ack: None }
        } else {
            Self { seq: SeqNum(0), ack: Some(segment.header.seq + segment.len()) }
        })
    }

    /// The reset that aborts a connection (RFC 9293 section 3.10.5).
    pub(crate) fn abort(connection: &Connection) -> Self {
        // At SND.NXT as the peer knows it: a reset elsewhere would only be challenged (RFC 5961 section 3).
        Self { seq: connection.snd.nxt, ack: Some(connection.rcv.nxt) }
    }

    /// The reset that refuses a SYN which nothing has answered yet.
    pub(crate) fn refuse(connection: &Connection) -> Self {
        // RFC 9293 section 3.10.7.1: the SYN had no ACK.
        Self { seq: SeqNum(0), ack: Some(connection.rcv.nxt) }
    }

    /// Sends it on `flow`.
    pub(crate) fn send(self, now: Instant, net: &mut Network, flow: &Flow) {
        let header = TcpHeader {
            src_port: flow.local_port,
            dst_port: flow.remote_port,
            seq: self.seq,
            ack: self.ack.unwrap_or(SeqNum(0)),
            flags: if self.ack.is_some() { TcpFlags::RST | TcpFlags::ACK } else { TcpFlags::RST },
            window: 0,
            urgent: 0,
            options: TcpOptions::NONE,
        };
        let mut bytes = [0; 20];
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
        // A reset that finds no way is lost like any packet; the network has counted it.
        let _ = net.send_packet(now, &packet);
    }
}
