//! What can go wrong, by layer: sockets fail with [`SocketError`] inside an `io::Error`, as std's do; everything else
//! with [`Error`], whose text names the layer, the thing, and what to try.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// Why a socket's operation failed: found inside the `io::Error` that sockets return.
///
/// ```
/// use wharf::SocketError;
///
/// let error = std::io::Error::from(SocketError::Refused);
/// assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
/// assert_eq!(SocketError::of(&error), Some(SocketError::Refused));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketError {
    /// Nobody listens there: the peer answered with a reset, or with ICMP's port unreachable.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The peer stopped answering.
    TimedOut,
    /// The next hop does not answer, or a router says that the host cannot be reached.
    HostUnreachable,
    /// No route leads there, or a router says that none does.
    NetworkUnreachable,
    /// The host does not speak the protocol.
    ProtocolUnreachable,
    /// A filter on the way forbids it, or a broadcast was not asked for.
    Prohibited,
    /// The socket's address, or its interface, went away.
    AddressRemoved,
    /// This side aborted the connection.
    Aborted,
    /// The stream was ended by this side, or the connection is over.
    BrokenPipe,
    /// The address and port are taken.
    AddressInUse,
    /// The local address is not one of ours.
    AddressNotAvailable,
    /// No host can have the destination address, or the port is 0.
    BadDestination,
    /// Every ephemeral port is in use.
    NoPort,
    /// The interface's queue is full.
    QueueFull,
    /// The hop limit ran out on the way.
    TimeExceeded,
    /// The datagram is longer than the protocol, or the path, allows.
    MessageTooLong,
    /// The socket is not connected.
    NotConnected,
    /// The option does not exist for this socket, or its value is out of range.
    InvalidOption,
    /// No urgent byte can be taken out of band: there is none, it was taken, or it stays in the stream.
    NothingUrgent,
    /// The memory behind the socket was damaged by whoever shares it.
    Corrupt,
    /// The engine behind the socket has stopped.
    EngineStopped,
}

impl SocketError {
    /// The reason inside an `io::Error` that came from one of our sockets.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    /// The nearest `io::ErrorKind`.
    #[must_use]
    pub fn kind(self) -> io::ErrorKind {
        match self {
            Self::Refused => io::ErrorKind::ConnectionRefused,
            Self::Reset => io::ErrorKind::ConnectionReset,
            Self::TimedOut => io::ErrorKind::TimedOut,
            Self::HostUnreachable | Self::TimeExceeded => io::ErrorKind::HostUnreachable,
            Self::NetworkUnreachable => io::ErrorKind::NetworkUnreachable,
            Self::ProtocolUnreachable => io::ErrorKind::Unsupported,
            Self::Prohibited => io::ErrorKind::PermissionDenied,
            Self::AddressRemoved => io::ErrorKind::NetworkDown,
            Self::Aborted => io::ErrorKind::ConnectionAborted,
            Self::BrokenPipe => io::ErrorKind::BrokenPipe,
            Self::AddressInUse => io::ErrorKind::AddrInUse,
            Self::AddressNotAvailable | Self::BadDestination | Self::NoPort => io::ErrorKind::AddrNotAvailable,
            Self::MessageTooLong | Self::InvalidOption | Self::NothingUrgent => io::ErrorKind::InvalidInput,
            Self::QueueFull => io::ErrorKind::ResourceBusy,
            Self::NotConnected => io::ErrorKind::NotConnected,
            Self::Corrupt => io::ErrorKind::InvalidData,
            Self::EngineStopped => io::ErrorKind::NetworkDown,
        }
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Reset => "connection reset by peer",
            Self::TimedOut => "connection timed out",
            Self::HostUnreachable => "no route to host",
            Self::NetworkUnreachable => "network is unreachable",
            Self::ProtocolUnreachable => "the host does not speak the protocol",
            Self::Prohibited => "forbidden by a filter, or a broadcast that was not asked for",
            Self::AddressRemoved => "the local address went away",
            Self::Aborted => "connection aborted",
            Self::BrokenPipe => "the stream has been ended",
            Self::AddressInUse => "address already in use",
            Self::AddressNotAvailable => "the local address is not one of ours",
            Self::BadDestination => "no host can have this address, or the port is 0",
            Self::NoPort => "every ephemeral port is in use",
            Self::QueueFull => "the interface's queue is full",
            Self::TimeExceeded => "the hop limit ran out on the way",
            Self::MessageTooLong => "message too long",
            Self::NotConnected => "not connected",
            Self::InvalidOption => "no such option, or its value is out of range",
            Self::NothingUrgent => "there is no urgent byte to take out of band",
            Self::Corrupt => "the socket's shared memory was damaged",
            Self::EngineStopped => "the network engine has stopped",
        })
    }
}

impl std::error::Error for SocketError {}

impl From<SocketError> for io::Error {
    fn from(reason: SocketError) -> Self {
        Self::new(reason.kind(), reason)
    }
}

/// Why something other than a socket's operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The link could not be opened or attached.
    #[error("link {link}: {reason}")]
    Link {
        /// The link's name.
        link: String,
        /// What is wrong, and what to try.
        reason: String,
    },
    /// The capture file could not be written.
    #[error("cannot write the capture {path}: {source}")]
    Capture {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// No DHCP server gave an address in time.
    #[error(
        "no DHCP lease on {interface} in {} s: {stage}; is a server there? (an address can be set by hand)",
        waited.as_secs_f32()
    )]
    NoLease {
        /// The interface.
        interface: String,
        /// How long was waited.
        waited: Duration,
        /// How far the exchange came.
        stage: String,
        /// The address that a server gave last, if another station has it. The server is asked again ten seconds after
        /// it was told (RFC 2131 section 3.1, step 5), so that waiting on is worth while.
        declined: Option<IpAddr>,
    },
    /// An address set by hand was not in use in time.
    #[error(
        "ARP: {address} on {interface} was still being checked for another holder after {} s; is the link up?",
        waited.as_secs_f32()
    )]
    AddressUnchecked {
        /// The interface.
        interface: String,
        /// The address.
        address: IpAddr,
        /// How long was waited.
        waited: Duration,
    },
    /// Another station uses the address.
    #[error("{address} on {interface} is in use by another station; choose another address")]
    AddressConflict {
        /// The interface.
        interface: String,
        /// The address.
        address: IpAddr,
    },
    /// The configuration asked for makes no sense.
    #[error("configuration: {0}")]
    Configuration(String),
    /// No answer to an echo request.
    #[error("ping {address}: {reason}")]
    Ping {
        /// Who was asked.
        address: IpAddr,
        /// What came instead.
        reason: PingFailure,
    },
    /// The operating system refused what the engine's thread needs.
    #[error("cannot start the network engine: {0}")]
    Start(io::Error),
    /// The engine has stopped.
    #[error("the network engine has stopped")]
    EngineStopped,
}

/// What came instead of an echo reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PingFailure {
    /// Nothing, for this long.
    NoReply(Duration),
    /// The request could not be sent.
    Failed(SocketError),
    /// An ICMP error came back.
    Reported {
        /// From whom.
        from: IpAddr,
        /// What it says.
        reason: SocketError,
    },
}

impl fmt::Display for PingFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoReply(waited) => write!(f, "no reply in {} s", waited.as_secs_f32()),
            Self::Failed(reason) => reason.fmt(f),
            Self::Reported { from, reason } => write!(f, "{from} says: {reason}"),
        }
    }
}
