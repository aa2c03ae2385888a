//! ICMP: errors in and out.

use core::net::SocketAddr;

/// An ICMP error about a packet of ours, as a transport sees it. The quoted packet's addresses are as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TransportError {
    /// The quoted packet's source: ours.
    pub local: SocketAddr,
    /// The quoted packet's destination.
    pub remote: SocketAddr,
    /// The quoted TCP sequence number; zero for other protocols.
    pub sequence: u32,
    pub kind: ErrorKind,
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nobody listens on the port (ECONNREFUSED).
    PortUnreachable,
    /// The host does not speak the protocol (ENOPROTOOPT).
    ProtocolUnreachable,
    /// The host cannot be reached (EHOSTUNREACH).
    HostUnreachable,
    /// The network cannot be reached (ENETUNREACH).
    NetworkUnreachable,
    /// A filter forbids it (EACCES, or EHOSTUNREACH for TCP).
    AdministrativelyProhibited,
    /// The packet is larger than a link on the path and may not be fragmented; the link's MTU, or zero if unknown.
    FragmentationNeeded(u32),
    /// The hop limit ran out on the way (EHOSTUNREACH).
    TimeExceeded,
    /// A header field was not understood (EPROTO).
    ParameterProblem,
}
