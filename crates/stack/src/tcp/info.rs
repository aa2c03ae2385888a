//! What can be asked about a connection, in the manner of TCP_INFO.

use core::time::Duration;

use crate::tcp::congestion::Algorithm;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::phase::Phase;

/// A connection's inner figures.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpInfo {
    /// Its state.
    pub phase: Phase,
    /// Smoothed round-trip time, once one was measured.
    pub srtt: Option<Duration>,
    /// Its variance.
    pub rttvar: Duration,
    /// The retransmission time-out, back-off included.
    pub rto: Duration,
    /// The segment size in use, options excluded.
    pub mss: u32,
    /// The congestion window, in bytes.
    pub congestion_window: u32,
    /// The slow-start threshold, in bytes; `u32::MAX` before the first loss.
    pub slow_start_threshold: u32,
    /// Bytes sent and not acknowledged.
    pub in_flight: u32,
    /// Bytes that the application has written and that are not acknowledged.
    pub send_queue: usize,
    /// Bytes received that the application has not read.
    pub receive_queue: usize,
    /// Bytes of memory that the receive ring has.
    pub receive_memory: usize,
    /// Bytes received out of order.
    pub out_of_order: u32,
    /// The peer's window, in bytes.
    pub send_window: u32,
    /// Our window as the peer knows it, in bytes.
    pub receive_window: u32,
    /// Bytes that the peer has beyond a gap.
    pub sacked: u32,
    /// Bytes believed lost and not yet sent again.
    pub lost: u32,
    /// Whether losses are being repaired.
    pub recovering: bool,
    /// Whether the network was seen to reorder.
    pub reordering_seen: bool,
    /// The smallest round trip of the last minutes, while data flows.
    pub min_rtt: Option<Duration>,
    /// The congestion control algorithm.
    pub congestion: Algorithm,
    /// Segments or trains sent again.
    pub retransmissions: u32,
    /// Time-outs in a row.
    pub timeouts: u8,
    /// Whether both sides agreed to explicit congestion notification (RFC 3168).
    pub ecn: bool,
    /// Segments that arrived with a router's mark (CE).
    pub marks_received: u32,
    /// Acknowledgements that echoed such a mark (ECE).
    pub echoes_received: u32,
    /// Whether selective acknowledgements are in use.
    pub selective_acks: bool,
    /// Whether timestamps are in use.
    pub timestamps: bool,
    /// The shifts of the peer's windows and of ours; `None` when windows are not scaled.
    pub window_scale: Option<(u8, u8)>,
}

impl TcpInfo {
    pub(crate) fn of(connection: &Connection, config: &crate::config::TcpConfig) -> Self {
        let recovery = connection.recovery.as_deref();
        Self {
            phase: connection.phase,
            srtt: connection.rtt.smoothed(),
            rttvar: connection.rtt.variance(),
            rto: connection.rtt.rto(config.rto_min, config.rto_max),
            mss: connection.segment_size(),
            congestion_window: connection.congestion.window(),
            slow_start_threshold: connection.congestion.slow_start_threshold(),
            in_flight: connection.flight(),
            send_queue: connection.send.len(),
            receive_queue: connection.receive.len(),
            receive_memory: connection.receive.capacity_allocated(),
            out_of_order: connection.reassembly.as_ref().map_or(0, |reassembly| reassembly.bytes()),
            send_window: connection.snd.wnd,
            receive_window: connection.receive_window(),
            sacked: recovery.map_or(0, |recovery| recovery.sacked()),
            lost: connection.lost(),
            recovering: recovery.is_some_and(|recovery| recovery.is_active()),
            reordering_seen: recovery.is_some_and(|recovery| recovery.reordering_seen()),
            min_rtt: recovery.and_then(|recovery| recovery.min_rtt()),
            congestion: connection.congestion.algorithm(),
            retransmissions: connection.retransmissions,
            timeouts: connection.recovery.as_ref().map_or(0, |recovery| recovery.timeouts()),
            ecn: connection.flags.has(Flags::ECN),
            marks_received: connection.ledger.as_ref().map_or(0, |ledger| ledger.marks_received),
            echoes_received: connection.ledger.as_ref().map_or(0, |ledger| ledger.echoes_received),
            selective_acks: connection.flags.has(Flags::SACK),
            timestamps: connection.timestamps.is_agreed(),
            window_scale: connection.flags.has(Flags::SCALED).then_some((connection.snd.scale, connection.rcv.scale)),
        }
    }
}
