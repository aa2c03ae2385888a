//! What can be set on a socket, before it is made and while it lives.

use std::net::SocketAddr;
use std::time::Duration;

/// Settings of a TCP connection before it is made; what a listener accepts begins with its listener's.
///
/// ```
/// let mut options = wharf::TcpOptions::default();
/// options.no_delay = true;
/// options.receive_buffer = 4 << 20;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TcpOptions {
    /// The address and port to connect from; unspecified parts, or `None`, leave the choice to the engine. A listener
    /// has an address of its own and refuses this one.
    pub local: Option<SocketAddr>,
    /// Most bytes that wait to be sent and acknowledged. Memory is taken as they come. Default 1 MiB.
    pub send_buffer: usize,
    /// Most bytes that wait to be read, and so the largest window offered. Default 1 MiB.
    pub receive_buffer: usize,
    /// TCP_NODELAY. Default false.
    pub no_delay: bool,
    /// SO_KEEPALIVE and its times. Default off.
    pub keep_alive: Option<KeepAlive>,
    /// TCP_USER_TIMEOUT: how long sent data may stay unanswered. Default: as the engine's retransmissions last.
    pub user_timeout: Option<Duration>,
    /// IP_TTL, IPV6_UNICAST_HOPS. Default 64.
    pub hop_limit: u8,
    /// IP_TOS, IPV6_TCLASS: DSCP bits. Default 0.
    pub tos: u8,
    /// TCP_MAXSEG: an upper bound of the segment size. Default: what the path takes.
    pub max_segment: Option<u16>,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            local: None,
            send_buffer: 1 << 20,
            receive_buffer: 1 << 20,
            no_delay: false,
            keep_alive: None,
            user_timeout: None,
            hop_limit: 64,
            tos: 0,
            max_segment: None,
        }
    }
}

/// When an idle connection is probed, and given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeepAlive {
    /// Silence before the first probe. Default two hours.
    pub idle: Duration,
    /// Between probes. Default 75 s.
    pub interval: Duration,
    /// Unanswered probes after which the connection is given up. Default 9.
    pub probes: u8,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(7_200), interval: Duration::from_secs(75), probes: 9 }
    }
}

/// Settings of a listener.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Most connections that are complete, or on the way to be, and not accepted yet. Default 4,096.
    pub backlog: usize,
    /// SO_REUSEPORT: several listeners that all say so may have the same address and port, and each connection goes to
    /// one of them, chosen by its addresses and ports. Default false.
    pub reuse_port: bool,
    /// TCP_FASTOPEN: text on a SYN is taken at once from peers that hold a cookie (RFC 7413), for so many connections at
    /// most whose handshake is not complete. Only for protocols whose requests may come twice. Default `None`, off.
    pub fast_open: Option<usize>,
    /// What its connections begin with; `local` must be `None`.
    pub tcp: TcpOptions,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 4_096, reuse_port: false, fast_open: None, tcp: TcpOptions::default() }
    }
}

/// Settings of a UDP socket before it is bound.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UdpOptions {
    /// Most bytes of datagrams that wait to be sent, 48 more counted for each. Default 256 KiB.
    pub send_buffer: usize,
    /// Most bytes of datagrams that wait to be received, 48 more counted for each; what comes beyond is dropped and
    /// counted. Default 256 KiB.
    pub receive_buffer: usize,
    /// SO_BROADCAST. Default false.
    pub broadcast: bool,
    /// SO_REUSEADDR: share the address with other sockets that say so too. Default false.
    pub reuse_address: bool,
    /// SO_REUSEPORT: share the address with other sockets that say so too; each datagram goes to one of them, chosen by
    /// its addresses and ports. Default false.
    pub reuse_port: bool,
    /// Send with the DF bit: a datagram larger than the path is refused instead of fragmented. Default false.
    pub dont_fragment: bool,
    /// IP_TTL, IPV6_UNICAST_HOPS; `None` is 64. Datagrams for a group have 1.
    pub hop_limit: Option<u8>,
    /// IP_TOS, IPV6_TCLASS. Default 0.
    pub tos: u8,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self {
            send_buffer: 256 << 10,
            receive_buffer: 256 << 10,
            broadcast: false,
            reuse_address: false,
            reuse_port: false,
            dont_fragment: false,
            hop_limit: None,
            tos: 0,
        }
    }
}

/// One change of a living connection's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpOption {
    NoDelay(bool),
    KeepAlive(Option<KeepAlive>),
    UserTimeout(Option<Duration>),
    HopLimit(u8),
    Tos(u8),
    ResetOnClose(bool),
}

/// One change of a living UDP socket's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UdpOption {
    Broadcast(bool),
    DontFragment(bool),
    HopLimit(u8),
    Tos(u8),
}

/// What a connection can tell about itself, like TCP_INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpInfo {
    /// The smoothed round-trip time, once measured.
    pub rtt: Option<Duration>,
    /// Its variance.
    pub rtt_variance: Duration,
    /// Payload bytes of a full segment.
    pub segment_size: u32,
    /// The congestion window in bytes.
    pub congestion_window: u32,
    /// The peer's window in bytes.
    pub send_window: u32,
    /// Our window in bytes, as the peer knows it.
    pub receive_window: u32,
    /// Bytes sent and not acknowledged.
    pub in_flight: u32,
    /// Segments that were sent again.
    pub retransmissions: u32,
}
