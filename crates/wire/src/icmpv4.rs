//! ICMP for IPv4 (RFC 792; RFC 1191 for the MTU of a next hop; RFC 6633 for source quench). Called by the stack's ICMP
//! input and output, and by `ping` and `traceroute`.

use core::fmt;
use core::net::Ipv4Addr;

use crate::Malformed;
use crate::checksum;
use crate::ipv4::Ipv4Header;
use crate::protocol::Protocol;
use crate::tcp::SeqNum;

/// Length of the header that every message here has.
pub const HEADER_LEN: usize = 8;

const ECHO_REPLY: u8 = 0;
const DESTINATION_UNREACHABLE: u8 = 3;
const SOURCE_QUENCH: u8 = 4;
const REDIRECT: u8 = 5;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

/// Why a destination cannot be reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnreachableCode(pub u8);

impl UnreachableCode {
    /// No route to the network.
    pub const NET: UnreachableCode = UnreachableCode(0);
    /// The last hop found no such host.
    pub const HOST: UnreachableCode = UnreachableCode(1);
    /// The host does not speak the transport protocol.
    pub const PROTOCOL: UnreachableCode = UnreachableCode(2);
    /// Nobody listens on the port.
    pub const PORT: UnreachableCode = UnreachableCode(3);
    /// Too big for the next hop, and DF set (RFC 1191).
    pub const FRAGMENTATION_NEEDED: UnreachableCode = UnreachableCode(4);
    /// Source route failed.
    pub const SOURCE_ROUTE_FAILED: UnreachableCode = UnreachableCode(5);
    /// Destination network unknown (RFC 1122).
    pub const NET_UNKNOWN: UnreachableCode = UnreachableCode(6);
    /// Destination host unknown (RFC 1122).
    pub const HOST_UNKNOWN: UnreachableCode = UnreachableCode(7);
    /// Network administratively prohibited (RFC 1122).
    pub const NET_PROHIBITED: UnreachableCode = UnreachableCode(9);
    /// Host administratively prohibited (RFC 1122).
    pub const HOST_PROHIBITED: UnreachableCode = UnreachableCode(10);
    /// Administratively filtered (RFC 1812).
    pub const FILTERED: UnreachableCode = UnreachableCode(13);

    fn name(self) -> Option<&'static str> {
        Some(match self {
            UnreachableCode::NET => "network unreachable",
            UnreachableCode::HOST => "host unreachable",
            UnreachableCode::PROTOCOL => "protocol unreachable",
            UnreachableCode::PORT => "port unreachable",
            UnreachableCode::FRAGMENTATION_NEEDED => "fragmentation needed",
            UnreachableCode::SOURCE_ROUTE_FAILED => "source route failed",
            UnreachableCode::NET_UNKNOWN => "network unknown",
            UnreachableCode::HOST_UNKNOWN => "host unknown",
            UnreachableCode::NET_PROHIBITED => "network prohibited",
            UnreachableCode::HOST_PROHIBITED => "host prohibited",
            UnreachableCode::FILTERED => "administratively filtered",
            _ => return None,
        })
    }
}

impl fmt::Display for UnreachableCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "unreachable, code {}", self.0),
        }
    }
}

impl fmt::Debug for UnreachableCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeExceededCode(pub u8);

impl TimeExceededCode {
    /// The hops of a packet on its way.
    pub const TTL: TimeExceededCode = TimeExceededCode(0);
    /// The time for its fragments to arrive.
    pub const REASSEMBLY: TimeExceededCode = TimeExceededCode(1);
}

/// An ICMP message. `quoted` is the start of the packet that an error is about: see [`Quoted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmpv4Message<'a> {
    /// Send this back.
    EchoRequest {
        /// Tells one sender of echoes from another.
        ident: u16,
        /// Counts the echoes.
        seq: u16,
        /// Any bytes.
        data: &'a [u8],
    },
    /// What was sent.
    EchoReply {
        /// From the request.
        ident: u16,
        /// From the request.
        seq: u16,
        /// From the request.
        data: &'a [u8],
    },
    /// The packet did not reach its destination.
    DestinationUnreachable {
        /// Why.
        code: UnreachableCode,
        /// With [`UnreachableCode::FRAGMENTATION_NEEDED`], the MTU in bytes that was too small, or zero from a router
        /// older than RFC 1191. Zero with other codes.
        next_hop_mtu: u16,
        /// The packet's start.
        quoted: &'a [u8],
    },
    /// Slow down; ignored by every modern stack (RFC 6633).
    SourceQuench {
        /// The packet's start.
        quoted: &'a [u8],
    },
    /// There is a better first hop.
    Redirect {
        /// For the network (0), the host (1), or either with a type of service (2, 3).
        code: u8,
        /// The better first hop.
        gateway: Ipv4Addr,
        /// The packet's start.
        quoted: &'a [u8],
    },
    /// The packet lived too long.
    TimeExceeded {
        /// On the way, or in fragments.
        code: TimeExceededCode,
        /// The packet's start.
        quoted: &'a [u8],
    },
    /// The packet's header makes no sense.
    ParameterProblem {
        /// 0: see `pointer`; 1: an option is missing; 2: bad length.
        code: u8,
        /// Offset of the offending octet in the quoted packet.
        pointer: u8,
        /// The packet's start.
        quoted: &'a [u8],
    },
    /// A message of a type that is not listed above.
    Other {
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
        /// The four octets after the checksum.
        rest_of_header: [u8; 4],
        /// What follows.
        data: &'a [u8],
    },
}

impl<'a> Icmpv4Message<'a> {
    /// Reads a message: the whole IP payload. Verifies its checksum.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::Checksum`].
    pub fn parse(message: &'a [u8]) -> Result<Icmpv4Message<'a>, Malformed> {
        let (&[kind, code, _, _, r0, r1, r2, r3], data) =
            message.split_first_chunk::<HEADER_LEN>().ok_or(Malformed::Truncated)?;
        if !checksum::sum(message).is_valid() {
            return Err(Malformed::Checksum);
        }
        let (upper, lower) = (u16::from_be_bytes([r0, r1]), u16::from_be_bytes([r2, r3]));
        Ok(match kind {
            ECHO_REQUEST => Icmpv4Message::EchoRequest { ident: upper, seq: lower, data },
            ECHO_REPLY => Icmpv4Message::EchoReply { ident: upper, seq: lower, data },
            DESTINATION_UNREACHABLE => {
                let code = UnreachableCode(code);
                // RFC 1191 section 4: the field is unused, and so of no meaning, with the other codes.
                let next_hop_mtu = if code == UnreachableCode::FRAGMENTATION_NEEDED { lower } else { 0 };
                Icmpv4Message::DestinationUnreachable { code, next_hop_mtu, quoted: data }
            }
            SOURCE_QUENCH => Icmpv4Message::SourceQuench { quoted: data },
            REDIRECT => Icmpv4Message::Redirect { code, gateway: Ipv4Addr::new(r0, r1, r2, r3), quoted: data },
            TIME_EXCEEDED => Icmpv4Message::TimeExceeded { code: TimeExceededCode(code), quoted: data },
            PARAMETER_PROBLEM => Icmpv4Message::ParameterProblem { code, pointer: r0, quoted: data },
            _ => Icmpv4Message::Other { kind, code, rest_of_header: [r0, r1, r2, r3], data },
        })
    }

    /// Whether this reports an error: no error is ever sent about one of these (RFC 1122 section 3.2.2).
    pub const fn is_error(&self) -> bool {
        match self {
            Icmpv4Message::DestinationUnreachable { .. }
            | Icmpv4Message::SourceQuench { .. }
            | Icmpv4Message::Redirect { .. }
            | Icmpv4Message::TimeExceeded { .. }
            | Icmpv4Message::ParameterProblem { .. } => true,
            Icmpv4Message::EchoRequest { .. } | Icmpv4Message::EchoReply { .. } | Icmpv4Message::Other { .. } => false,
        }
    }

    /// The message, without its checksum: type, code, the four octets after the checksum, and what follows.
    fn parts(&self) -> (u8, u8, [u8; 4], &'a [u8]) {
        let pair = |upper: u16, lower: u16| {
            let [u0, u1] = upper.to_be_bytes();
            let [l0, l1] = lower.to_be_bytes();
            [u0, u1, l0, l1]
        };
        match *self {
            Icmpv4Message::EchoRequest { ident, seq, data } => (ECHO_REQUEST, 0, pair(ident, seq), data),
            Icmpv4Message::EchoReply { ident, seq, data } => (ECHO_REPLY, 0, pair(ident, seq), data),
            Icmpv4Message::DestinationUnreachable { code, next_hop_mtu, quoted } => {
                (DESTINATION_UNREACHABLE, code.0, pair(0, next_hop_mtu), quoted)
            }
            Icmpv4Message::SourceQuench { quoted } => (SOURCE_QUENCH, 0, [0; 4], quoted),
            Icmpv4Message::Redirect { code, gateway, quoted } => (REDIRECT, code, gateway.octets(), quoted),
            Icmpv4Message::TimeExceeded { code, quoted } => (TIME_EXCEEDED, code.0, [0; 4], quoted),
            Icmpv4Message::ParameterProblem { code, pointer, quoted } => {
                (PARAMETER_PROBLEM, code, [pointer, 0, 0, 0], quoted)
            }
            Icmpv4Message::Other { kind, code, rest_of_header, data } => (kind, code, rest_of_header, data),
        }
    }

    /// Bytes that `emit` writes.
    pub fn len(&self) -> usize {
        HEADER_LEN + self.parts().3.len()
    }

    /// A message is never empty; here for the convention that goes with `len`.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Writes the message with its checksum and returns its length.
    ///
    /// # Panics
    /// When `buffer` is shorter than [`len`](Self::len).
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        let (kind, code, [r0, r1, r2, r3], data) = self.parts();
        let (header, rest) = buffer.split_first_chunk_mut::<HEADER_LEN>().expect("a buffer shorter than the header");
        *header = [kind, code, 0, 0, r0, r1, r2, r3];
        let sum = checksum::sum_array(header) + checksum::copy_and_sum(data, &mut rest[..data.len()]);
        header[2..4].copy_from_slice(&sum.finish().to_be_bytes());
        HEADER_LEN + data.len()
    }
}

/// The start of a packet that an ICMP error quotes: enough to find whose it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a> {
    /// The IP header of the packet, as it reached the sender of the error. Its checksum is not verified.
    pub header: Ipv4Header<'a>,
    /// What is there of its payload: at least 8 bytes from a sender that obeys RFC 792.
    pub transport: &'a [u8],
}

impl<'a> Quoted<'a> {
    /// Reads the quoted header; the payload may be cut anywhere.
    ///
    /// # Errors
    /// As [`Ipv4Header::parse_without_checksum`].
    pub fn parse(quoted: &'a [u8]) -> Result<Quoted<'a>, Malformed> {
        let (header, transport) = Ipv4Header::parse_without_checksum(quoted)?;
        Ok(Quoted { header, transport })
    }

    /// Source and destination port of the quoted packet. `None` when it is neither TCP nor UDP, is not the first
    /// fragment, or is cut before them.
    pub fn ports(&self) -> Option<(u16, u16)> {
        if !matches!(self.header.protocol, Protocol::TCP | Protocol::UDP) || self.header.fragment_offset != 0 {
            return None;
        }
        let &[s0, s1, d0, d1] = self.transport.first_chunk()?;
        Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
    }

    /// Sequence number of the quoted segment, by which a forged error is told (RFC 5927 section 4.1). `None` when it
    /// is not TCP, is not the first fragment, or is cut before it.
    pub fn tcp_seq(&self) -> Option<SeqNum> {
        if self.header.protocol != Protocol::TCP || self.header.fragment_offset != 0 {
            return None;
        }
        let &[_, _, _, _, s0, s1, s2, s3] = self.transport.first_chunk()?;
        Some(SeqNum(u32::from_be_bytes([s0, s1, s2, s3])))
    }

    /// Identifier and sequence number of a quoted echo request. `None` when it is none, is not the first fragment, or
    /// is cut before them.
    pub fn echo(&self) -> Option<(u16, u16)> {
        if self.header.protocol != Protocol::ICMP || self.header.fragment_offset != 0 {
            return None;
        }
        match self.transport.first_chunk()? {
            &[ECHO_REQUEST, _, _, _, i0, i1, s0, s1] => {
                Some((u16::from_be_bytes([i0, i1]), u16::from_be_bytes([s0, s1])))
            }
            _ => None,
        }
    }
}
