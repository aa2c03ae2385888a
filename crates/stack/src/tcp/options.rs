//! What the owner may set on a connection, and the rings that it hands over.

use core::time::Duration;

use ring::{Consumer, Producer};

use crate::tcp::congestion::Algorithm;
use crate::tcp::ecn::Ecn;
use crate::tcp::user_timeout::UserTimeoutOption;

/// Settings of one connection; a listener's pass to what it accepts.
#[derive(Clone, Debug, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// TCP_NODELAY: small segments do not wait for the acknowledgement of the one before (RFC 1122 section 4.2.3.4).
    pub no_delay: bool,
    /// SO_KEEPALIVE; `None` is off, as RFC 1122 section 4.2.3.6 demands by default.
    pub keep_alive: Option<KeepAlive>,
    /// TCP_USER_TIMEOUT: how long data may stay unacknowledged; `None` leaves it to the number of retransmissions.
    /// What follows from the peer's, by [`SocketOptions::user_timeout_option`], stands here, too.
    pub user_timeout: Option<Duration>,
    /// IP_TTL and IPV6_UNICAST_HOPS.
    pub hop_limit: u8,
    /// IP_TOS and IPV6_TCLASS: the DSCP bits. Those of ECN are the connection's own and are ignored here.
    pub tos: u8,
    /// SO_LINGER with a time of zero: closing resets the connection.
    pub reset_on_close: bool,
    /// TCP_CONGESTION; `None` takes the engine's.
    pub congestion: Option<Algorithm>,
    /// TCP_MAXSEG: an upper bound of the segment size, announced and obeyed.
    pub max_segment: Option<u16>,
    /// Trains of segments leave at the rate that the window allows, instead of at once. BBR paces always.
    pub pacing: bool,
    /// SO_MAX_PACING_RATE: bytes a second at most, headers not counted. Paces whatever [`SocketOptions::pacing`] says.
    pub max_pacing_rate: Option<u64>,
    /// SO_RCVBUF: how many bytes may wait to be read, and so the window; `None` lets it follow what is measured.
    pub receive_buffer: Option<u32>,
    /// SO_SNDBUF: how many bytes may wait to be sent and acknowledged; `None` lets it follow the congestion window.
    pub send_buffer: Option<u32>,
    /// Explicit congestion notification; `None` takes the engine's. Of effect before the handshake.
    pub ecn: Option<Ecn>,
    /// The user timeout option (RFC 5482): both ends tell each other what they have, and may follow the other's; `None` is off,
    /// and what a peer tells is ignored.
    pub user_timeout_option: Option<UserTimeoutOption>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            no_delay: false,
            keep_alive: None,
            user_timeout: None,
            hop_limit: 64,
            tos: 0,
            reset_on_close: false,
            congestion: None,
            max_segment: None,
            pacing: false,
            max_pacing_rate: None,
            receive_buffer: None,
            send_buffer: None,
            ecn: None,
            user_timeout_option: None,
        }
    }
}

impl PartialEq for SocketOptions {
    /// Each connection asks whether it may share the last one's: so what are bytes is compared by the word.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let small = |options: &Self| {
            let flags = [u8::from(options.no_delay), u8::from(options.reset_on_close)];
            (u16::from_ne_bytes(flags), u16::from_ne_bytes([options.hop_limit, options.tos]))
        };
        let Self {
            no_delay: _,
            reset_on_close: _,
            hop_limit: _,
            tos: _,
            pacing,
            keep_alive,
            user_timeout,
            congestion,
            max_segment,
            max_pacing_rate,
            receive_buffer,
            send_buffer,
            ecn,
            user_timeout_option,
        } = self;
        small(self) == small(other)
            && *pacing == other.pacing
            && *keep_alive == other.keep_alive
            && *user_timeout == other.user_timeout
            && *congestion == other.congestion
            && *max_segment == other.max_segment
            && *max_pacing_rate == other.max_pacing_rate
            && *receive_buffer == other.receive_buffer
            && *send_buffer == other.send_buffer
            && *ecn == other.ecn
            && *user_timeout_option == other.user_timeout_option
    }
}

/// Keep-alive times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// One change of a living connection's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketOption {
    /// [`SocketOptions::no_delay`].
    NoDelay(bool),
    /// [`SocketOptions::keep_alive`].
    KeepAlive(Option<KeepAlive>),
    /// [`SocketOptions::user_timeout`].
    UserTimeout(Option<Duration>),
    /// [`SocketOptions::user_timeout_option`].
    UserTimeoutOption(Option<UserTimeoutOption>),
    /// [`SocketOptions::hop_limit`].
    HopLimit(u8),
    /// [`SocketOptions::tos`].
    Tos(u8),
    /// [`SocketOptions::reset_on_close`].
    ResetOnClose(bool),
    /// [`SocketOptions::congestion`].
    Congestion(Algorithm),
    /// [`SocketOptions::pacing`].
    Pacing(bool),
    /// [`SocketOptions::max_pacing_rate`].
    MaxPacingRate(Option<u64>),
    /// [`SocketOptions::receive_buffer`], fixed from now on. The shift that both sides agreed on bounds the window.
    ReceiveBuffer(u32),
    /// [`SocketOptions::send_buffer`], fixed from now on. It is no more than the application's ring takes.
    SendBuffer(u32),
    /// TCP_CORK, and MSG_MORE for what is written from now on: the application has more to write, so that what does not fill
    /// a segment waits, whatever [`SocketOptions::no_delay`] says. Off at first; once it is off again, all that waits goes.
    /// Nothing waits for longer than a retransmission time-out, at least 200 ms, once nothing is in flight.
    Cork(bool),
    /// TCP_QUICKACK. On: what is owed is acknowledged now, and so is, without delay, the text that comes next, as often as
    /// [`TcpConfig::quick_acks`](crate::config::TcpConfig::quick_acks) says, or 16 times; off: put off from now on. It does not
    /// last: text sent after text was received ends it, as the application answers.
    /// [`TcpInfo::quick_acks`](crate::tcp::TcpInfo::quick_acks) says how it stands.
    QuickAck(bool),
}

impl SocketOptions {
    /// Makes one change.
    pub(crate) fn change(&mut self, option: SocketOption) {
        match option {
            SocketOption::NoDelay(value) => self.no_delay = value,
            SocketOption::KeepAlive(value) => self.keep_alive = value,
            SocketOption::UserTimeout(value) => self.user_timeout = value,
            SocketOption::UserTimeoutOption(value) => self.user_timeout_option = value,
            SocketOption::HopLimit(value) => self.hop_limit = value,
            SocketOption::Tos(value) => self.tos = value,
            SocketOption::ResetOnClose(value) => self.reset_on_close = value,
            SocketOption::Congestion(value) => self.congestion = Some(value),
            SocketOption::Pacing(value) => self.pacing = value,
            SocketOption::MaxPacingRate(value) => self.max_pacing_rate = value,
            SocketOption::ReceiveBuffer(value) => self.receive_buffer = Some(value),
            SocketOption::SendBuffer(value) => self.send_buffer = Some(value),
            // No setting, but a state.
            SocketOption::Cork(_) => {}
            // No setting that would last.
            SocketOption::QuickAck(_) => {}
        }
    }
}

/// The engine's halves of a connection's two rings.
pub struct StreamRings {
    /// What the application writes.
    pub send: Consumer,
    /// What the application reads.
    pub receive: Producer,
}

/// The application's halves.
pub struct ApplicationRings {
    /// What the application writes.
    pub send: Producer,
    /// What the application reads.
    pub receive: Consumer,
}

/// A connection's rings on the heap; no memory is taken before the first byte.
#[must_use]
pub fn heap_rings(send_limit: usize, receive_limit: usize) -> (StreamRings, ApplicationRings) {
    let [(send_in, send_out), (receive_in, receive_out)] = ring::heap_pair(send_limit, receive_limit);
    (StreamRings { send: send_out, receive: receive_in }, ApplicationRings { send: send_in, receive: receive_out })
}
