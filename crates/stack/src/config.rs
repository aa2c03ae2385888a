//! Settings of an engine, with the defaults that RFCs and custom give.

use core::time::Duration;

use crate::steering::Share;
use crate::tcp::{Algorithm, Ecn, SynCookies};

pub use crate::link::neighbors::NeighborConfig;

/// Settings of a [`Stack`](crate::Stack), all with usable defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// TCP's settings; each connection starts with a copy of what concerns it.
    pub tcp: TcpConfig,
    /// The neighbour cache's.
    pub neighbors: NeighborConfig,
    /// Bytes that fragments waiting for their rest may take. Default 4 MiB.
    pub reassembly_bytes: usize,
    /// ICMP errors sent a second at most, after a burst of 50. Default 1,000.
    pub icmp_errors_per_second: u32,
    /// TTL of packets whose sender does not set one. Default 64.
    pub default_hop_limit: u8,
    /// Datagrams of any-address mode that wait for the owner's decision, in bytes. Default 1 MiB.
    pub held_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tcp: TcpConfig::default(),
            neighbors: NeighborConfig::default(),
            reassembly_bytes: 4 << 20,
            icmp_errors_per_second: 1_000,
            default_hop_limit: 64,
            held_bytes: 1 << 20,
        }
    }
}

/// Settings of TCP.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TcpConfig {
    /// Most bytes that wait in the receive ring of a connection that came in, and so the largest window advertised. The
    /// window begins with [`receive_start`](Self::receive_start). Default 6 MiB, enough for 240 Mbit/s over 100 ms.
    pub receive_buffer: u32,
    /// Most bytes that wait in the send ring of a connection that came in. It begins with
    /// [`send_start`](Self::send_start). Default 4 MiB.
    pub send_buffer: u32,
    /// The receive window of a connection on which nothing was measured yet, in bytes. Default 64 KiB.
    pub receive_start: u32,
    /// What an application may write ahead before anything was acknowledged, in bytes. Default 64 KiB.
    pub send_start: u32,
    /// Bytes that connections and their rings may take in all, reserves included: 5 KiB a connection, whatever it does.
    /// Default 8 GiB, or 512 MiB where addresses have 32 bits.
    pub memory_budget: usize,
    /// Connection requests in any-address mode that wait for the owner's word at most. Default 4,096.
    pub held_limit: usize,
    /// Handshakes in the SYN queue at most, over all listeners. Default 65,536.
    pub half_open_limit: usize,
    /// Servers whose Fast Open cookies are kept at most; the least recently used goes. Default 1,024.
    pub fast_open_cookies: usize,
    /// When handshakes are answered with SYN cookies. Default [`SynCookies::WhenFull`].
    pub syn_cookies: SynCookies,
    /// Retransmissions of a SYN or SYN-ACK before the attempt fails with a time-out. Default 6 (127 s).
    pub syn_retries: u8,
    /// Retransmissions of data before the connection is given up (RFC 9293 section 3.8.3, R2), where no user timeout says for
    /// how long instead. Default 15.
    pub retries: u8,
    /// RFC 6298's lower bound of the retransmission time-out. Default 200 ms, as every large system has it; the RFC
    /// says 1 s.
    pub rto_min: Duration,
    /// RFC 6298's upper bound. Default 120 s.
    pub rto_max: Duration,
    /// RFC 5482's L_LIMIT: no shorter user timeout follows from what a peer says. Default 100 s, as RFC 1122 section 4.2.3.5
    /// has it.
    pub user_timeout_min: Duration,
    /// RFC 5482's U_LIMIT: nor does a longer one. Default one hour.
    pub user_timeout_max: Duration,
    /// How long an acknowledgement may wait for company (RFC 1122 section 4.2.3.2). Default 40 ms.
    pub delayed_ack: Duration,
    /// How many acknowledgements are not put off, at most 127, from the first text on that a connection receives, and again after a
    /// pause of more than a retransmission time-out; what the application sends in answer ends them. Linux has 16.
    /// Default 0: as RFC 1122 section 4.2.3.2 has it, from the first segment on.
    pub quick_acks: u8,
    /// How long a closed connection is remembered: twice the maximum segment lifetime. Default 60 s.
    pub time_wait: Duration,
    /// How long a connection that the application has let go waits in FIN-WAIT-2 for the peer's FIN. Default 60 s.
    pub fin_wait_2: Duration,
    /// Connections in TIME-WAIT at most; beyond it the oldest goes. Default 262,144.
    pub time_wait_limit: usize,
    /// Challenge ACKs a second, for the whole engine (RFC 5961 section 7): in each from half as many to half as many
    /// more, so that the count tells nobody anything. Default 1,000.
    pub challenge_ack_limit: u32,
    /// Find out what a path carries where no router says so (RFC 8899). Default true.
    pub path_probing: bool,
    /// Offer window scaling (RFC 7323).
    pub window_scaling: bool,
    /// Offer timestamps (RFC 7323).
    pub timestamps: bool,
    /// Offer selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// Let segments that are like those before them take a shorter way through the engine, in and out. Default true; off,
    /// every segment takes the whole way, with the same result: for tests and measurements.
    pub fast_path: bool,
    /// Take consecutive segments of one batch of frames in as one, where the link has not put them together (receive coalescing). It
    /// needs `fast_path`. Default true; the result is the same either way.
    pub receive_coalescing: bool,
    /// The congestion control of sockets that ask for none. Default CUBIC.
    pub congestion: Algorithm,
    /// Explicit congestion notification (RFC 3168) for sockets that do not say. Default: where the peer asks for it.
    pub ecn: Ecn,
    /// Which connections live in this engine, where several share a link. Default: all.
    pub share: Option<Share>,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            receive_buffer: 6 << 20,
            send_buffer: 4 << 20,
            receive_start: 64 << 10,
            send_start: 64 << 10,
            memory_budget: if usize::BITS >= 64 { (512 << 20) * 16 } else { 512 << 20 },
            held_limit: 4_096,
            half_open_limit: 65_536,
            fast_open_cookies: 1_024,
            syn_cookies: SynCookies::WhenFull,
            syn_retries: 6,
            retries: 15,
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(120),
            user_timeout_min: Duration::from_secs(100),
            user_timeout_max: Duration::from_secs(3_600),
            delayed_ack: Duration::from_millis(40),
            quick_acks: 0,
            time_wait: Duration::from_secs(60),
            fin_wait_2: Duration::from_secs(60),
            time_wait_limit: 262_144,
            challenge_ack_limit: 1_000,
            path_probing: true,
            window_scaling: true,
            timestamps: true,
            sack: true,
            fast_path: true,
            receive_coalescing: true,
            congestion: Algorithm::Cubic,
            ecn: Ecn::Passive,
            share: None,
        }
    }
}
