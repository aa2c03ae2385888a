//! ICMP errors out (RFC 792, RFC 1122 section 3.2.2, RFC 1812 section 4.3.2): which packets may be reported, how much
//! of them is quoted, and how often.

use core::net::{IpAddr, Ipv4Addr};

use wire::icmpv4::{Icmpv4Message, TimeExceededCode, UnreachableCode};
use wire::ipv4::{HEADER_LEN, Ipv4Header};
use wire::protocol::Protocol;

use super::ErrorKind;
use crate::Instant;
use crate::discard::Discard;
use crate::link::InterfaceId;
use crate::network::{Network, Packet};

/// What to tell the sender of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    Error(ErrorKind),
    /// Its fragments did not all come in time.
    ReassemblyTimeout,
    /// The octet at this offset makes no sense.
    ParameterProblem(u8),
}

// RFC 1812 section 4.3.2.3: as much of the packet as fits without the error exceeding 576 bytes.
const MOST_QUOTED: usize = 576 - HEADER_LEN - wire::icmpv4::HEADER_LEN;

impl Report {
    fn message(self, quoted: &[u8]) -> Icmpv4Message<'_> {
        let unreachable = |code, next_hop_mtu| Icmpv4Message::DestinationUnreachable { code, next_hop_mtu, quoted };
        match self {
            Self::Error(ErrorKind::PortUnreachable) => unreachable(UnreachableCode::PORT, 0),
            Self::Error(ErrorKind::ProtocolUnreachable) => unreachable(UnreachableCode::PROTOCOL, 0),
            Self::Error(ErrorKind::HostUnreachable) => unreachable(UnreachableCode::HOST, 0),
            Self::Error(ErrorKind::NetworkUnreachable) => unreachable(UnreachableCode::NET, 0),
            Self::Error(ErrorKind::AdministrativelyProhibited) => unreachable(UnreachableCode::FILTERED, 0),
            Self::Error(ErrorKind::FragmentationNeeded(mtu)) => {
                unreachable(UnreachableCode::FRAGMENTATION_NEEDED, u16::try_from(mtu).unwrap_or(u16::MAX))
            }
            Self::Error(ErrorKind::TimeExceeded) => Icmpv4Message::TimeExceeded { code: TimeExceededCode::TTL, quoted },
            Self::Error(ErrorKind::ParameterProblem) => Self::ParameterProblem(0).message(quoted),
            Self::ReassemblyTimeout => Icmpv4Message::TimeExceeded { code: TimeExceededCode::REASSEMBLY, quoted },
            Self::ParameterProblem(pointer) => Icmpv4Message::ParameterProblem { code: 0, pointer, quoted },
        }
    }
}

impl Network {
    /// Reports to the sender of `packet` what became of it, where the rules allow it. `packet` begins with its IPv4
    /// header and came in by `interface`.
    pub(crate) fn report(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        packet: &[u8],
        link_multicast: bool,
        report: Report,
    ) {
        // ICMPv6 is not spoken yet; such packets exist inside the engine only.
        let Ok((header, payload)) = Ipv4Header::parse_without_checksum(packet) else { return };
        if link_multicast || !self.may_be_reported(interface, &header, payload) {
            return;
        }
        if !self.icmp_limit.take(now) {
            return self.discard(Discard::IcmpRateLimited);
        }
        let quoted = &packet[..packet.len().min(MOST_QUOTED).min(usize::from(header.total_len))];
        let message = report.message(quoted);
        let mut bytes = [0; 576];
        let len = message.emit(&mut bytes);
        // RFC 1812 section 4.3.2.4: it comes from the address that was spoken to; a router's, from the interface's.
        let asked = IpAddr::V4(header.dst);
        let ours = self.is_local_address(asked) || self.is_any_address(interface);
        let reply = Packet {
            interface: None,
            source: ours.then_some(asked),
            destination: IpAddr::V4(header.src),
            protocol: Protocol::ICMP,
            hop_limit: None,
            tos: 0,
            dont_fragment: false,
            payload: &bytes[..len],
        };
        if self.send_packet(now, &reply).is_err() {
            self.discard(Discard::NoRoute);
        }
    }

    /// RFC 1122 section 3.2.2: about which packets no error is ever sent.
    fn may_be_reported(&self, interface: InterfaceId, header: &Ipv4Header<'_>, payload: &[u8]) -> bool {
        let link = self.interfaces.get(interface);
        let names_many = |address: Ipv4Addr| {
            address.is_broadcast()
                || address.is_multicast()
                || link.is_some_and(|link| link.is_directed_broadcast(address))
        };
        let src = header.src;
        let source_names_nobody = src.octets()[0] == 0 || names_many(src);
        let about_error = header.protocol == Protocol::ICMP
            // Echo, timestamp, information and mask requests and their replies are all that are no errors.
            && !matches!(payload.first(), Some(0 | 8 | 13..=18));
        header.fragment_offset == 0 && !source_names_nobody && !names_many(header.dst) && !about_error
    }
}
