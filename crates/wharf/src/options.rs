//! What can be set on a socket, before it is made and while it lives.

use std::net::SocketAddr;
use std::time::Duration;

/// Settings of a TCP connection before it is made; what a listener accepts begins with its listener's.
///
/// ```
/// let mut options = wharf::TcpOptions::default();
/// options.no_delay = true;
/// options.receive_buffer = Some(4 << 20);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TcpOptions {
    /// The address and port to connect from; unspecified parts, or `None`, leave the choice to the engine. A listener
    /// has an address of its own and refuses this one.
    pub local: Option<SocketAddr>,
    /// SO_SNDBUF: most bytes that wait to be sent and acknowledged. Memory is taken as they come. Default: what the path
    /// makes use of, from 64 KiB to 4 MiB.
    pub send_buffer: Option<usize>,
    /// SO_RCVBUF: most bytes that wait to be read, and so the largest window offered. Default: what the path and the reader
    /// make use of, from 64 KiB to 6 MiB.
    pub receive_buffer: Option<usize>,
    /// TCP_NODELAY. Default false.
    pub no_delay: bool,
    /// SO_KEEPALIVE and its times. Default off.
    pub keep_alive: Option<KeepAlive>,
    /// TCP_USER_TIMEOUT: how long sent data may stay unanswered. Default: as the engine's retransmissions last.
    pub user_timeout: Option<Duration>,
    /// Tell the peer of that time, and learn of its own (RFC 5482). Default off.
    pub user_timeout_option: Option<UserTimeoutOption>,
    /// IP_TTL, IPV6_UNICAST_HOPS. Default 64.
    pub hop_limit: u8,
    /// IP_TOS, IPV6_TCLASS: DSCP bits. Default 0.
    pub tos: u8,
    /// TCP_MAXSEG: an upper bound of the segment size. Default: what the path takes.
    pub max_segment: Option<u16>,
    /// TCP_CONGESTION. Default: the engine's, which is CUBIC.
    pub congestion_control: Option<CongestionControl>,
    /// Send at the rate that the congestion window allows instead of in bursts; BBR does so always. Default false.
    pub pacing: bool,
    /// SO_MAX_PACING_RATE: bytes a second at most. Default: without limit.
    pub max_pacing_rate: Option<u64>,
    /// Explicit congestion notification (RFC 3168). Default: where the peer asks for it.
    pub ecn: Option<Ecn>,
    /// TCP_FASTOPEN_CONNECT (RFC 7413): the SYN asks the server for a cookie, or shows the one that this [`Net`](crate::Net)
    /// was given before and takes along what is written by then, which is what `connect_with_data` is for. Only for
    /// requests that may come twice. Default false.
    pub fast_open: bool,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            local: None,
            send_buffer: None,
            receive_buffer: None,
            no_delay: false,
            keep_alive: None,
            user_timeout: None,
            user_timeout_option: None,
            hop_limit: 64,
            tos: 0,
            max_segment: None,
            congestion_control: None,
            pacing: false,
            max_pacing_rate: None,
            ecn: None,
            fast_open: false,
        }
    }
}

/// The most that a send buffer grows to by itself, in bytes.
const LARGEST_SEND_BUFFER: usize = 4 << 20;
/// The most that a receive buffer grows to by itself, in bytes: enough for 240 Mbit/s over 100 ms.
const LARGEST_RECEIVE_BUFFER: usize = 6 << 20;

impl TcpOptions {
    /// Bytes that the send ring may ever hold.
    pub(crate) fn send_limit(&self) -> usize {
        self.send_buffer.unwrap_or(LARGEST_SEND_BUFFER)
    }

    /// Bytes that the receive ring may ever hold.
    pub(crate) fn receive_limit(&self) -> usize {
        self.receive_buffer.unwrap_or(LARGEST_RECEIVE_BUFFER)
    }

    /// Whether no option is out of range.
    pub(crate) fn is_valid(&self) -> bool {
        self.hop_limit > 0 && self.max_pacing_rate != Some(0)
    }
}

/// How much a connection sends at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CongestionControl {
    /// CUBIC (RFC 9438), "cubic".
    Cubic,
    /// NewReno (RFC 5681 and RFC 6582), "reno".
    NewReno,
    /// BBR version 3 (draft-ietf-ccwg-bbr), "bbr".
    Bbr,
}

impl CongestionControl {
    /// The name that TCP_CONGESTION knows it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::NewReno => "reno",
            Self::Bbr => "bbr",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Cubic, Self::NewReno, Self::Bbr].into_iter().find(|control| control.name() == name)
    }
}

/// Whether a connection uses explicit congestion notification (RFC 3168).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// Never.
    Off,
    /// Where the peer asks for it.
    Passive,
    /// Asked for, and given up where that is refused.
    Active,
}

/// When an idle connection is probed, and given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeepAlive {
    /// Silence before the first probe. Default two hours.
    pub idle: Duration,
    /// Between probes, a millisecond at least. Default 75 s.
    pub interval: Duration,
    /// Unanswered probes after which the connection is given up. Default 9.
    pub probes: u8,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(7_200), interval: Duration::from_secs(75), probes: 9 }
    }
}

/// How a connection uses the user timeout option (RFC 5482).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserTimeoutOption {
    /// What the peer is told, in whole seconds, begun ones too, and from nine hours on in minutes. Default: the user timeout
    /// that is set, or five minutes.
    pub advertised: Option<Duration>,
    /// Where no user timeout is set, the longer of the two ends' holds here, but no less than 100 s and no more than an hour.
    /// Default true.
    pub changeable: bool,
}

impl Default for UserTimeoutOption {
    fn default() -> Self {
        Self { advertised: None, changeable: true }
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
    /// What its connections begin with; `local` must be `None`, and `TcpOptions::fast_open` false.
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
    Cork(bool),
    KeepAlive(Option<KeepAlive>),
    UserTimeout(Option<Duration>),
    UserTimeoutOption(Option<UserTimeoutOption>),
    HopLimit(u8),
    Tos(u8),
    ResetOnClose(bool),
    Congestion(CongestionControl),
    Pacing(bool),
    MaxPacingRate(Option<u64>),
    QuickAck(bool),
}

/// One change of a living UDP socket's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UdpOption {
    Broadcast(bool),
    DontFragment(bool),
    HopLimit(u8),
    Tos(u8),
}

/// What a sender waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Waiting {
    /// Nothing: everything that was written has arrived.
    #[default]
    Idle,
    /// The application: everything that was written is on its way, or so little is left that it waits for more.
    Application,
    /// The peer's window.
    ReceiveWindow,
    /// The congestion window.
    CongestionWindow,
    /// The time at which more may be sent.
    Pacing,
}

/// What a connection can tell about itself, like TCP_INFO. Rates are in bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpInfo {
    /// The smoothed round-trip time, once measured.
    pub rtt: Option<Duration>,
    /// Its variance.
    pub rtt_variance: Duration,
    /// The shortest round trip of the last minutes, while data flows.
    pub min_rtt: Option<Duration>,
    /// The retransmission time-out, back-off included.
    pub retransmission_timeout: Duration,
    /// Payload bytes of a full segment.
    pub segment_size: u32,
    /// The congestion control algorithm.
    pub congestion_control: Option<CongestionControl>,
    /// The congestion window in bytes.
    pub congestion_window: u32,
    /// The slow-start threshold in bytes; `u32::MAX` before the first loss.
    pub slow_start_threshold: u32,
    /// The peer's window in bytes.
    pub send_window: u32,
    /// Our window in bytes, as the peer knows it.
    pub receive_window: u32,
    /// Whether acknowledgements are not put off for now (TCP_QUICKACK).
    pub quick_acks: bool,
    /// Bytes sent and not acknowledged.
    pub in_flight: u32,
    /// Bytes among them that the peer has beyond a gap.
    pub sacked: u32,
    /// Bytes among them that are believed lost and not yet sent again.
    pub lost: u32,
    /// Segments that were sent again.
    pub retransmissions: u32,
    /// Time-outs in a row.
    pub timeouts: u8,
    /// Whether losses are being repaired.
    pub recovering: bool,
    /// Whether the network was seen to reorder.
    pub reordering_seen: bool,
    /// How much later than what was sent after it something may arrive before it counts as lost (RFC 8985).
    pub reordering_window: Duration,
    /// Bytes of text sent, what was sent again included.
    pub bytes_sent: u64,
    /// Bytes of text sent again.
    pub bytes_retransmitted: u64,
    /// Bytes of text that the peer has acknowledged.
    pub bytes_acked: u64,
    /// Bytes of text received in order.
    pub bytes_received: u64,
    /// The rate at which segments leave; `None` where they are not paced.
    pub pacing_rate: Option<u64>,
    /// The rate at which the network has delivered lately, while data flows.
    pub delivery_rate: Option<u64>,
    /// Whether that rate only says how much the application had to send.
    pub delivery_rate_app_limited: bool,
    /// What the sender waits for.
    pub waiting: Waiting,
    /// How long the sender had something on its way or to send, up to the last change of what it waits for.
    pub busy: Duration,
    /// How long of it everything that was written was on its way.
    pub application_limited: Duration,
    /// How long the peer's window held it back.
    pub receive_window_limited: Duration,
    /// How long the congestion window did.
    pub congestion_window_limited: Duration,
    /// How long pacing did.
    pub pacing_limited: Duration,
    /// The user timeout in force: what the application has set, or what the peer said and was obeyed in (RFC 5482).
    pub user_timeout: Option<Duration>,
    /// What the peer last said of its user timeout, obeyed or not, where the option is used (RFC 5482).
    pub remote_user_timeout: Option<Duration>,
    /// Whether both sides agreed to explicit congestion notification (RFC 3168).
    pub ecn: bool,
    /// Segments that arrived with a router's mark.
    pub marks_received: u32,
    /// Acknowledgements that echoed such a mark.
    pub echoes_received: u32,
    /// Whether text on the SYN was taken (RFC 7413).
    pub fast_open: bool,
}
