//! ICMP: `input` answers echoes and hands errors to whom they concern, `output` reports errors, `limit` bounds them.

pub(crate) mod input;
pub(crate) mod limit;
pub(crate) mod output;

use core::fmt;
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

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortUnreachable => f.write_str("port unreachable"),
            Self::ProtocolUnreachable => f.write_str("protocol unreachable"),
            Self::HostUnreachable => f.write_str("host unreachable"),
            Self::NetworkUnreachable => f.write_str("network unreachable"),
            Self::AdministrativelyProhibited => f.write_str("administratively prohibited"),
            Self::FragmentationNeeded(mtu) => write!(f, "too large for a link with an MTU of {mtu}"),
            Self::TimeExceeded => f.write_str("time to live exceeded"),
            Self::ParameterProblem => f.write_str("parameter problem"),
        }
    }
}

/// RFC 1191 section 7.1: the usual MTU below `len`, for routers that do not say theirs.
pub(crate) fn plateau_below(len: usize) -> u32 {
    const PLATEAUS: [u32; 9] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 576, 552];
    PLATEAUS.into_iter().find(|&plateau| (plateau as usize) < len).unwrap_or(552)
}
