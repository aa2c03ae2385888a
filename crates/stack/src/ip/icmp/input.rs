//! ICMP in: echoes answered, errors checked and handed to whom they concern.

use alloc::vec;
use core::net::{IpAddr, SocketAddr};

use wire::icmpv4::{Icmpv4Message, Quoted, TimeExceededCode, UnreachableCode};
use wire::protocol::Protocol;

use super::{ErrorKind, TransportError};
use crate::Instant;
use crate::discard::Discard;
use crate::ip::{Cast, Delivery};
use crate::link::queue::Class;
use crate::network::Packet;
use crate::stack::Stack;

/// An echo reply to be.
pub(crate) struct EchoAnswer<'a> {
    /// The address that was asked.
    pub local: IpAddr,
    /// Who asked.
    pub remote: IpAddr,
    pub tos: u8,
    pub ident: u16,
    pub seq: u16,
    pub data: &'a [u8],
}

impl Stack {
    /// An ICMP message arrived.
    pub(crate) fn icmp_input(&mut self, now: Instant, delivery: &Delivery<'_>) {
        let (IpAddr::V4(_), Ok(message)) = (delivery.source, Icmpv4Message::parse(delivery.payload())) else {
            return self.net.discard(Discard::IcmpMalformed);
        };
        match message {
            Icmpv4Message::EchoRequest { ident, seq, data } => {
                if delivery.cast != Cast::Unicast || delivery.link_multicast {
                    // RFC 1122 section 3.2.2.6 allows silence, and a network's echoes are a weapon.
                    return self.net.discard(Discard::IcmpIgnored);
                }
                if !self.net.is_local_address(delivery.destination) {
                    return self.echo_incoming(delivery, ident, seq, data);
                }
                let (local, remote, tos) = (delivery.destination, delivery.source, delivery.tos);
                self.send_echo_reply(now, &EchoAnswer { local, remote, tos, ident, seq, data });
            }
            Icmpv4Message::EchoReply { ident, seq, data } => self.echo_reply_input(delivery, ident, seq, data),
            Icmpv4Message::DestinationUnreachable { code, next_hop_mtu, quoted } => {
                self.icmp_error_input(now, delivery, unreachable(code, next_hop_mtu), quoted);
            }
            Icmpv4Message::TimeExceeded { code, quoted } => match code {
                TimeExceededCode::TTL => self.icmp_error_input(now, delivery, ErrorKind::TimeExceeded, quoted),
                // A lost fragment is lost data; the transport's own timers see to that.
                _ => self.net.discard(Discard::IcmpIgnored),
            },
            Icmpv4Message::ParameterProblem { quoted, .. } => {
                self.icmp_error_input(now, delivery, ErrorKind::ParameterProblem, quoted);
            }
            // RFC 6633 section 3: a source quench is discarded in silence. Redirects are anybody's to forge, and a host
            // does well without them; other types ask for what hosts no longer tell.
            Icmpv4Message::SourceQuench { .. } | Icmpv4Message::Redirect { .. } | Icmpv4Message::Other { .. } => {
                self.net.discard(Discard::IcmpIgnored);
            }
        }
    }

    /// An error quotes a packet; hands it to the transport that sent that.
    fn icmp_error_input(&mut self, now: Instant, delivery: &Delivery<'_>, kind: ErrorKind, quoted: &[u8]) {
        let Ok(quote) = Quoted::parse(quoted) else { return self.net.discard(Discard::IcmpMalformed) };
        // RFC 5927 section 4.1: what is quoted must be a packet of ours, and no broadcast is reported.
        let source = IpAddr::V4(quote.header.src);
        let ours = self.net.is_local_address(source) || self.net.is_any_address(delivery.interface);
        if !ours || delivery.cast != Cast::Unicast || delivery.destination != source {
            return self.net.discard(Discard::IcmpUnmatched);
        }
        self.transport_error(now, delivery.source, &quote, kind);
    }

    /// Tells the socket that sent the quoted packet of an error, which `from` reported.
    pub(crate) fn transport_error(&mut self, now: Instant, from: IpAddr, quote: &Quoted<'_>, kind: ErrorKind) {
        if quote.header.protocol == Protocol::ICMP {
            let remote = IpAddr::V4(quote.header.dst);
            return match quote.echo() {
                Some((ident, seq)) => self.echo_error(now, from, remote, ident, seq, kind),
                None => self.net.discard(Discard::IcmpUnmatched),
            };
        }
        // A quoted fragment other than the first has no ports where ports would be; `ports` knows.
        let Some((local_port, remote_port)) = quote.ports().filter(|&(local, remote)| local != 0 && remote != 0) else {
            return self.net.discard(Discard::IcmpUnmatched);
        };
        let sequence = match quote.header.protocol {
            Protocol::TCP => match quote.tcp_seq() {
                Some(sequence) => sequence.0,
                None => return self.net.discard(Discard::IcmpUnmatched),
            },
            _ => 0,
        };
        let error = TransportError {
            local: SocketAddr::new(IpAddr::V4(quote.header.src), local_port),
            remote: SocketAddr::new(IpAddr::V4(quote.header.dst), remote_port),
            sequence,
            kind,
        };
        match quote.header.protocol {
            Protocol::TCP => {
                let (tcp, mut context) = self.tcp_context();
                tcp.icmp_error(now, &mut context, &error);
            }
            _ => self.udp_error(now, from, &error, usize::from(quote.header.total_len)),
        }
    }

    /// Sends an echo reply.
    pub(crate) fn send_echo_reply(&mut self, now: Instant, answer: &EchoAnswer<'_>) {
        let EchoAnswer { local, remote, tos, ident, seq, data } = *answer;
        let message = Icmpv4Message::EchoReply { ident, seq, data };
        let mut bytes = vec![0; message.len()];
        message.emit(&mut bytes);
        let reply = Packet {
            interface: None,
            source: Some(local),
            destination: remote,
            protocol: Protocol::ICMP,
            hop_limit: None,
            tos,
            dont_fragment: false,
            payload: &bytes,
        };
        match self.net.way(remote, Some(local), None) {
            Ok(way) => self.net.send_by(now, &way, &reply, Class::Data),
            Err(_) => self.net.discard(Discard::NoRoute),
        }
    }
}

fn unreachable(code: UnreachableCode, next_hop_mtu: u16) -> ErrorKind {
    match code {
        UnreachableCode::PORT => ErrorKind::PortUnreachable,
        UnreachableCode::PROTOCOL => ErrorKind::ProtocolUnreachable,
        UnreachableCode::FRAGMENTATION_NEEDED => ErrorKind::FragmentationNeeded(u32::from(next_hop_mtu)),
        UnreachableCode::NET | UnreachableCode::NET_UNKNOWN => ErrorKind::NetworkUnreachable,
        UnreachableCode::NET_PROHIBITED | UnreachableCode::HOST_PROHIBITED | UnreachableCode::FILTERED => {
            ErrorKind::AdministrativelyProhibited
        }
        _ => ErrorKind::HostUnreachable,
    }
}
