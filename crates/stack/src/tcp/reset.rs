//! Resets that this side sends (RFC 9293 section 3.10.7.1, section 3.5.2).

use wire::tcp::{SeqNum, TcpFlags, Timestamps};

use crate::network::Network;
use crate::tcp::bare;
use crate::tcp::connection::Connection;
use crate::tcp::demux::Flow;
use crate::tcp::input::Incoming;
use crate::tcp::syn_queue::HalfOpen;
use crate::time::Instant;

/// A reset, without the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reset {
    seq: SeqNum,
    ack: Option<SeqNum>,
    timestamps: Option<Timestamps>,
}

impl Reset {
    /// The answer to a segment that fits no connection; `None` for a reset, which is never answered.
    pub(crate) fn answer(segment: &Incoming<'_>) -> Option<Self> {
        if segment.header.flags.contains(TcpFlags::RST) {
            return None;
        }
        // RFC 9293 section 3.10.7.1: take the number from the ACK field, or acknowledge all of it.
        Some(if segment.header.flags.contains(TcpFlags::ACK) {
            Self { seq: segment.header.ack, ack: None, timestamps: None }
        } else {
            Self { seq: SeqNum(0), ack: Some(segment.header.seq + segment.len()), timestamps: None }
        })
    }

    /// The reset that aborts a connection (RFC 9293 section 3.10.5).
    pub(crate) fn abort(now: Instant, connection: &Connection) -> Self {
        let agreed = connection.timestamps.is_agreed();
        // At SND.NXT as the peer knows it: a reset elsewhere would only be challenged (RFC 5961 section 3).
        Self {
            seq: connection.snd.nxt,
            ack: Some(connection.rcv.nxt),
            // RFC 7323 section 3.2: it should be in a reset, too.
            timestamps: agreed.then(|| connection.timestamps.option(now)),
        }
    }

    /// The reset that refuses a SYN which nothing has answered yet.
    pub(crate) fn refuse(connection: &Connection) -> Self {
        // RFC 9293 section 3.10.7.1: the SYN had no ACK.
        Self { seq: SeqNum(0), ack: Some(connection.rcv.nxt), timestamps: None }
    }

    /// The reset that ends a handshake whose SYN-ACK was sent.
    pub(crate) fn of_handshake(half: &HalfOpen) -> Self {
        Self { seq: half.isn + 1, ack: Some(half.syn.seq + 1), timestamps: None }
    }

    /// Sends it on `flow`.
    pub(crate) fn send(self, now: Instant, net: &mut Network, flow: &Flow) {
        let flags = if self.ack.is_some() { TcpFlags::RST | TcpFlags::ACK } else { TcpFlags::RST };
        let mut header = bare::header(flow, self.seq, self.ack.unwrap_or(SeqNum(0)), flags);
        header.options.timestamps = self.timestamps;
        bare::send(now, net, flow, &header);
    }
}
