//! TCP_INFO in Linux's layout (`linux/tcp.h`), filled from the engine's own. Where Linux counts in packets, the engine's
//! bytes are divided by the segment size; what the engine does not count is zero.

use core::time::Duration;

use stack::Instant;
use stack::tcp::{Phase, TcpInfo, Waiting};

use crate::machine::Machine;
use crate::socket::{Role, Socket};

/// The size of Linux's structure, as of 6.18.
const LEN: usize = 280;

const OPTION_TIMESTAMPS: u8 = 1;
const OPTION_SACK: u8 = 2;
const OPTION_WINDOW_SCALE: u8 = 4;
const OPTION_ECN: u8 = 8;
const OPTION_ECN_SEEN: u8 = 16;
const OPTION_SYN_DATA: u8 = 32;

/// States of the congestion machine (`tcp_ca_state`).
const CA_OPEN: u8 = 0;
const CA_DISORDER: u8 = 1;
const CA_RECOVERY: u8 = 3;
const CA_LOSS: u8 = 4;

/// `TCP_CLOSE` and `TCP_LISTEN`.
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

/// The structure, written field by field at its offset.
struct Layout([u8; LEN]);

impl Layout {
    fn u8(&mut self, at: usize, value: u8) {
        self.0[at] = value;
    }

    fn u64(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }

    fn u32(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
}

/// What `getsockopt(TCP_INFO)` gives.
pub(crate) fn of(socket: &Socket, machine: &Machine) -> Vec<u8> {
    let mut out = Layout([0; LEN]);
    match &socket.role {
        Role::Listening(_) => out.u8(0, LISTEN),
        Role::Fresh => out.u8(0, CLOSE),
        Role::Deferred(_) => out.u8(0, state(Phase::SynSent)),
        Role::Stream(stream) => match machine.stack.tcp_info(stream.id) {
            Some(info) => fill(&mut out, &info, machine.now),
            None => out.u8(0, CLOSE),
        },
    }
    out.0.to_vec()
}

fn state(phase: Phase) -> u8 {
    match phase {
        Phase::Established => 1,
        Phase::SynSent => 2,
        Phase::SynReceived => 3,
        Phase::FinWait1 => 4,
        Phase::FinWait2 => 5,
        Phase::CloseWait => 8,
        Phase::LastAck => 9,
        Phase::Listen => LISTEN,
        Phase::Closing => 11,
        // In Linux the socket of a connection in TIME-WAIT is closed; what remembers it is something else.
        Phase::TimeWait | Phase::Closed => CLOSE,
    }
}

fn fill(out: &mut Layout, info: &TcpInfo, now: Instant) {
    let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let packets = |bytes: u32| bytes.div_ceil(info.mss.max(1));
    let congestion_state = match info {
        TcpInfo { timeouts: 1.., .. } => CA_LOSS,
        TcpInfo { recovering: true, .. } => CA_RECOVERY,
        TcpInfo { sacked: 1.., .. } => CA_DISORDER,
        _ => CA_OPEN,
    };
    let mut options = 0;
    if info.timestamps {
        options |= OPTION_TIMESTAMPS;
    }
    if info.selective_acks {
        options |= OPTION_SACK;
    }
    if info.window_scale.is_some() {
        options |= OPTION_WINDOW_SCALE;
    }
    if info.ecn {
        options |= OPTION_ECN;
    }
    if info.marks_received > 0 {
        options |= OPTION_ECN_SEEN;
    }
    if info.fast_open {
        options |= OPTION_SYN_DATA;
    }
    let (theirs, ours) = info.window_scale.unwrap_or((0, 0));
    out.u8(0, state(info.phase));
    out.u8(1, congestion_state);
    out.u8(2, info.timeouts);
    out.u8(4, info.timeouts);
    out.u8(5, options);
    out.u8(6, theirs & 0xf | ours << 4);
    out.u8(7, u8::from(info.delivery_rate_app_limited));
    out.u32(8, micros(info.rto));
    out.u32(16, info.mss);
    out.u32(24, packets(info.in_flight));
    out.u32(28, packets(info.sacked));
    out.u32(32, packets(info.lost));
    out.u32(68, micros(info.srtt.unwrap_or_default()));
    out.u32(72, micros(info.rttvar));
    // Linux's TCP_INFINITE_SSTHRESH.
    let unknown = info.slow_start_threshold == u32::MAX;
    out.u32(76, if unknown { 0x7fff_ffff } else { info.slow_start_threshold / info.mss.max(1) });
    out.u32(80, info.congestion_window / info.mss.max(1));
    out.u32(100, info.retransmissions);
    out.u64(104, info.pacing_rate.unwrap_or(u64::MAX));
    out.u64(112, u64::MAX);
    out.u64(120, info.bytes_acked);
    out.u64(128, info.bytes_received);
    let unsent = info.send_queue.saturating_sub(info.in_flight as usize);
    out.u32(144, u32::try_from(unsent).unwrap_or(u32::MAX));
    out.u32(148, info.min_rtt.map_or(u32::MAX, micros));
    out.u64(160, info.delivery_rate.unwrap_or(0));
    let since = now.since(info.waiting_since);
    let busy = info.busy + if info.waiting == Waiting::Idle { Duration::ZERO } else { since };
    let shut_out = info.waiting == Waiting::ReceiveWindow;
    let limited = info.receive_window_limited + if shut_out { since } else { Duration::ZERO };
    out.u64(168, u64::try_from(busy.as_micros()).unwrap_or(u64::MAX));
    out.u64(176, u64::try_from(limited.as_micros()).unwrap_or(u64::MAX));
    out.u64(200, info.bytes_sent);
    out.u64(208, info.bytes_retransmitted);
    out.u32(220, u32::from(info.reordering_seen));
    out.u32(228, info.send_window);
    out.u32(232, info.receive_window);
}
