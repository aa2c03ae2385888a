//! One socket: what it was told before it had a connection, and what it has become.

use std::ffi::c_int;
use std::net::SocketAddr;
use std::time::Duration;

use stack::config::TcpConfig;
use stack::tcp::{
    ApplicationRings, ConnectionId, KeepAlive, ListenerId, SocketOption, SocketOptions, TcpError, UrgentReader,
};

use crate::errno::Errno;
use crate::machine::Machine;

/// What a socket is.
pub(crate) enum Role {
    /// Neither connected nor listening.
    Fresh,
    Listening(ListenerId),
    /// TCP_FASTOPEN_CONNECT: `connect` has succeeded, and the first write opens the connection.
    Deferred(SocketAddr),
    Stream(Stream),
}

/// A socket that has, or had, a connection.
pub(crate) struct Stream {
    pub id: ConnectionId,
    pub rings: ApplicationRings,
    /// What is known of the peer's urgent data.
    pub urgent: UrgentReader,
    /// `connect` has begun and its end was not told yet.
    pub opening: bool,
    /// `shutdown(SHUT_RD)`.
    pub shut_read: bool,
    /// `shutdown(SHUT_WR)`.
    pub shut_write: bool,
    /// What the engine was last told of TCP_CORK and MSG_MORE.
    pub corked: bool,
}

impl Stream {
    pub(crate) fn new(id: ConnectionId, rings: ApplicationRings, opening: bool, urgent_inline: bool) -> Self {
        let mut urgent = UrgentReader::default();
        urgent.set_out_of_band(!urgent_inline);
        Self { id, rings, urgent, opening, shut_read: false, shut_write: false, corked: false }
    }

    /// Bytes that a read would find: what has arrived, up to the urgent mark.
    pub(crate) fn unread(&self) -> usize {
        self.urgent.admissible(&self.rings.receive, self.rings.receive.len())
    }
}

/// A TCP socket.
pub(crate) struct Socket {
    /// AF_INET or AF_INET6.
    pub family: c_int,
    pub nonblocking: bool,
    pub bound: Option<SocketAddr>,
    pub reuse_address: bool,
    pub reuse_port: bool,
    /// What the engine is told when the connection begins.
    pub options: SocketOptions,
    /// SO_KEEPALIVE, apart from its times, which can be set while it is off.
    pub keep_alive: bool,
    pub keep_alive_times: KeepAlive,
    /// TCP_CORK.
    pub cork: bool,
    /// SO_OOBINLINE.
    pub urgent_inline: bool,
    /// TCP_FASTOPEN: connections of this listener that may have brought text on their SYN and are not proven; zero is off.
    pub fast_open: usize,
    /// TCP_FASTOPEN_CONNECT.
    pub fast_open_connect: bool,
    /// TCP_QUICKACK, as it was set before there was a connection to tell of it.
    pub quick_ack: Option<bool>,
    /// SO_LINGER.
    pub linger: Option<Duration>,
    /// The most that the rings of a new connection will ever hold.
    pub send_limit: usize,
    pub receive_limit: usize,
    pub send_timeout: Option<Duration>,
    pub receive_timeout: Option<Duration>,
    /// SO_RCVLOWAT.
    pub receive_low_water: usize,
    /// TCP_NOTSENT_LOWAT; zero is none.
    pub unsent_low_water: usize,
    /// SO_ERROR: what went wrong and was not told yet.
    pub error: Option<Errno>,
    pub role: Role,
    /// Grows whenever something happens: what edge-triggered epoll looks at.
    pub edges: u64,
}

impl Socket {
    pub(crate) fn new(family: c_int, nonblocking: bool, config: &TcpConfig) -> Self {
        Self {
            family,
            nonblocking,
            bound: None,
            reuse_address: false,
            reuse_port: false,
            options: SocketOptions::default(),
            keep_alive: false,
            keep_alive_times: KeepAlive::default(),
            cork: false,
            urgent_inline: false,
            fast_open: 0,
            fast_open_connect: false,
            quick_ack: None,
            linger: None,
            send_limit: config.send_buffer as usize,
            receive_limit: config.receive_buffer as usize,
            send_timeout: None,
            receive_timeout: None,
            receive_low_water: 1,
            unsent_low_water: 0,
            error: None,
            role: Role::Fresh,
            edges: 0,
        }
    }

    /// A socket that `accept` returns: it has its listener's settings.
    pub(crate) fn accepted(&self, id: ConnectionId, rings: ApplicationRings, local: SocketAddr) -> Self {
        let stream = Stream::new(id, rings, false, self.urgent_inline);
        Self {
            nonblocking: false,
            bound: Some(local),
            options: self.options.clone(),
            error: None,
            role: Role::Stream(stream),
            edges: 1,
            ..*self
        }
    }

    /// Its connection.
    pub(crate) fn stream(&self) -> Option<&Stream> {
        match &self.role {
            Role::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    /// What does not fill a segment waits for more, or goes.
    pub(crate) fn set_corked(&mut self, machine: &mut Machine, on: bool) {
        if let Role::Stream(stream) = &mut self.role
            && stream.corked != on
        {
            stream.corked = on;
            machine.stack.tcp_set_option(machine.now, stream.id, SocketOption::Cork(on));
        }
    }

    /// The connection has failed.
    pub(crate) fn fail(&mut self, error: TcpError) {
        let finished = self.stream().is_some_and(|stream| stream.rings.receive.is_producer_finished());
        self.error = Some(match error {
            // Linux: a reset after the peer's FIN cuts off nothing that was still to come, only what is still to go.
            TcpError::Reset if finished => Errno(libc::EPIPE),
            other => other.into(),
        });
    }

    /// Takes what went wrong.
    pub(crate) fn take_error(&mut self) -> Result<(), Errno> {
        self.error.take().map_or(Ok(()), Err)
    }
}
