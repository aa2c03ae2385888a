//! How connections fail, and how requests for them are refused.

use core::fmt;

use crate::ip::icmp::ErrorKind;
use crate::network::Unroutable;

/// Why a connection ended other than by both sides' closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TcpError {
    /// The peer answered the SYN with a reset (ECONNREFUSED).
    Refused,
    /// The peer reset the connection (ECONNRESET).
    Reset,
    /// Nothing was heard for as long as the retransmissions or probes lasted (ETIMEDOUT).
    TimedOut,
    /// The next hop does not answer, or a router says that the host cannot be reached (EHOSTUNREACH).
    HostUnreachable,
    /// There is no route, or a router says that there is none (ENETUNREACH).
    NetworkUnreachable,
    /// The host does not speak TCP (ENOPROTOOPT).
    ProtocolUnreachable,
    /// A filter on the way forbids the connection (EACCES).
    Prohibited,
    /// The local address or its interface went away (ENETDOWN).
    AddressRemoved,
    /// This side aborted it (ECONNABORTED).
    Aborted,
    /// The memory behind the socket was damaged by whoever shares it (EIO).
    Corrupt,
}

impl fmt::Display for TcpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Reset => "connection reset by peer",
            Self::TimedOut => "connection timed out",
            Self::HostUnreachable => "no route to host",
            Self::NetworkUnreachable => "network is unreachable",
            Self::ProtocolUnreachable => "the host does not speak TCP",
            Self::Prohibited => "a filter on the way forbids it",
            Self::AddressRemoved => "the local address went away",
            Self::Aborted => "connection aborted",
            Self::Corrupt => "the socket's shared memory was damaged",
        })
    }
}

impl core::error::Error for TcpError {}

impl From<ErrorKind> for TcpError {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::PortUnreachable => Self::Refused,
            ErrorKind::ProtocolUnreachable => Self::ProtocolUnreachable,
            ErrorKind::NetworkUnreachable => Self::NetworkUnreachable,
            ErrorKind::AdministrativelyProhibited => Self::Prohibited,
            ErrorKind::HostUnreachable
            | ErrorKind::TimeExceeded
            | ErrorKind::FragmentationNeeded(_)
            | ErrorKind::ParameterProblem => Self::HostUnreachable,
        }
    }
}

/// Why `tcp_connect` failed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectError {
    /// No route leads to the destination (ENETUNREACH).
    NoRoute,
    /// The destination is a broadcast, multicast, unspecified or reserved address, or port 0 (EADDRNOTAVAIL, or
    /// EACCES for broadcast).
    BadDestination,
    /// The local address asked for is not ours, or of the other family (EADDRNOTAVAIL).
    BadSource,
    /// The same connection exists, or the local port is taken (EADDRINUSE).
    InUse,
    /// Every ephemeral port to this destination is in use (EADDRNOTAVAIL).
    NoPort,
    /// The engine's memory for connections is used up (ENOBUFS).
    NoMemory,
    /// With the local port asked for the connection lives in another of the engines that share the link:
    /// [`Steering::engine_of`](crate::steering::Steering::engine_of) says in which.
    OtherEngine,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoute => "network is unreachable: no route leads there",
            Self::BadDestination => "no host can have this address, or the port is 0",
            Self::BadSource => "the local address is not one of ours",
            Self::InUse => "address already in use",
            Self::NoMemory => "no memory for another connection",
            Self::NoPort => "every local port to this destination is in use",
            Self::OtherEngine => "with this local port the connection belongs to another engine",
        })
    }
}

impl core::error::Error for ConnectError {}

impl From<Unroutable> for ConnectError {
    fn from(reason: Unroutable) -> Self {
        match reason {
            Unroutable::NoRoute => Self::NoRoute,
            Unroutable::Broadcast | Unroutable::Multicast | Unroutable::BadDestination => Self::BadDestination,
            Unroutable::BadSource => Self::BadSource,
        }
    }
}
