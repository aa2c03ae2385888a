//! What can be asked about a connection, in the manner of TCP_INFO.

use core::time::Duration;

use crate::tcp::congestion::Algorithm;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::phase::Phase;
use crate::tcp::waiting::Waiting;
use crate::time::Instant;

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
    /// How many bytes may wait to be read now (SO_RCVBUF), as set or as sized by what was measured.
    pub receive_buffer: usize,
    /// How many bytes may wait to be sent and acknowledged now (SO_SNDBUF), likewise, if the application's ring takes so
    /// many.
    pub send_buffer: usize,
    /// Bytes of memory that the receive ring has.
    pub receive_memory: usize,
    /// Whether acknowledgements are not put off for now (TCP_QUICKACK).
    pub quick_acks: bool,
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
    /// The reordering window of RFC 8985: how much later than what was sent after it something may arrive.
    pub reordering_window: Duration,
    /// Bytes of text sent, what was sent again included.
    pub bytes_sent: u64,
    /// Bytes of text sent again.
    pub bytes_retransmitted: u64,
    /// Bytes of text that the peer has acknowledged.
    pub bytes_acked: u64,
    /// Bytes of text received in order.
    pub bytes_received: u64,
    /// The rate at which trains leave, in bytes a second; `None` where they are not paced.
    pub pacing_rate: Option<u64>,
    /// The last sample of the rate at which the network delivers, in bytes a second, while data flows.
    pub delivery_rate: Option<u64>,
    /// Whether that sample only says how much the application had to send.
    pub delivery_rate_app_limited: bool,
    /// The user timeout in force: what the application has set, or what the peer said and this side took (RFC 5482).
    pub user_timeout: Option<Duration>,
    /// What the peer last said of its user timeout (RFC 5482), taken or not; `None` also where the option is off.
    pub remote_user_timeout: Option<Duration>,
    /// What the sender waits for.
    pub waiting: Waiting,
    /// Since when, `NEVER` for a connection that rests; the times below do not count what follows.
    pub waiting_since: Instant,
    /// How long the sender had something on its way or to send.
    pub busy: Duration,
    /// How long of it everything that was written was on its way.
    pub application_limited: Duration,
    /// How long the peer's window held it back.
    pub receive_window_limited: Duration,
    /// How long the congestion window did.
    pub congestion_window_limited: Duration,
    /// How long pacing did.
    pub pacing_limited: Duration,
    /// Whether both sides agreed to explicit congestion notification (RFC 3168).
    pub ecn: bool,
    /// Segments that arrived with a router's mark (CE).
    pub marks_received: u32,
    /// Acknowledgements that echoed such a mark (ECE).
    pub echoes_received: u32,
    /// Whether text on the SYN was taken, whoever sent it (RFC 7413).
    pub fast_open: bool,
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
        let ledger = connection.aside.ledger();
        let waited = |reason| connection.waited(reason);
        let reasons = [Waiting::Application, Waiting::ReceiveWindow, Waiting::CongestionWindow, Waiting::Pacing];
        let bytes_acked = connection.send.position();
        let bytes_retransmitted = ledger.map_or(0, |ledger| ledger.bytes_retransmitted);
        let delivery_rate = recovery.and_then(|recovery| recovery.delivery_rate());
        let (waiting, waiting_since) = connection.waiting();
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
            receive_buffer: connection.rcv.limit as usize,
            send_buffer: connection.send.granted(),
            receive_memory: connection.receive.capacity_allocated(),
            quick_acks: connection.rcv.quick.is_any(),
            out_of_order: connection.aside.reassembly().map_or(0, |reassembly| reassembly.bytes()),
            send_window: connection.snd.wnd,
            receive_window: connection.receive_window(),
            sacked: recovery.map_or(0, |recovery| recovery.sacked()),
            lost: connection.lost(),
            recovering: recovery.is_some_and(|recovery| recovery.is_active()),
            reordering_seen: recovery.is_some_and(|recovery| recovery.reordering_seen()),
            min_rtt: recovery.and_then(|recovery| recovery.min_rtt()),
            congestion: connection.congestion.algorithm(),
            retransmissions: ledger.map_or(0, |ledger| ledger.retransmissions),
            timeouts: connection.recovery.as_ref().map_or(0, |recovery| recovery.timeouts()),
            ecn: connection.flags.has(Flags::ECN),
            selective_acks: connection.flags.has(Flags::SACK),
            marks_received: ledger.map_or(0, |ledger| ledger.marks_received),
            echoes_received: ledger.map_or(0, |ledger| ledger.echoes_received),
            fast_open: connection.flags.has(Flags::SYN_TEXT),
            reordering_window: recovery.map_or(Duration::ZERO, |recovery| {
                recovery.reordering_window(connection.segment_size(), connection.rtt.smoothed().unwrap_or_default())
            }),
            bytes_sent: bytes_acked + u64::from(connection.text_in_flight()) + bytes_retransmitted,
            bytes_retransmitted,
            bytes_acked,
            bytes_received: connection.receive.position(),
            pacing_rate: connection.pacing_rate(),
            delivery_rate: delivery_rate.map(|(rate, _)| rate),
            delivery_rate_app_limited: delivery_rate.is_some_and(|(_, limited)| limited),
            user_timeout: connection.options.user_timeout,
            remote_user_timeout: connection.aside.user_timeout().remote.map(|timeout| timeout.duration()),
            waiting,
            waiting_since,
            busy: reasons.into_iter().map(waited).sum(),
            application_limited: waited(Waiting::Application),
            receive_window_limited: waited(Waiting::ReceiveWindow),
            congestion_window_limited: waited(Waiting::CongestionWindow),
            pacing_limited: waited(Waiting::Pacing),
            timestamps: connection.timestamps.is_agreed(),
            window_scale: connection.flags.has(Flags::SCALED).then_some((connection.snd.scale, connection.rcv.scale)),
        }
    }
}
