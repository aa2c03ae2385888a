//! UDP in: checksum, look-up, and the socket's ring.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use ring::datagram::{self, Record};
use wire::dhcpv4::CLIENT_PORT;
use wire::udp::UdpHeader;

use super::{UdpError, UdpId};
use crate::Instant;
use crate::discard::Discard;
use crate::event::Readiness;
use crate::ip::icmp::output::Report;
use crate::ip::icmp::{ErrorKind, TransportError, plateau_below};
use crate::ip::{Cast, Delivery};
use crate::stack::Stack;

impl Stack {
    /// A UDP datagram arrived.
    pub(crate) fn udp_input(&mut self, now: Instant, delivery: &Delivery<'_>) {
        let Ok((header, payload)) = UdpHeader::parse(delivery.payload()) else {
            return self.net.discard(Discard::UdpMalformed);
        };
        // RFC 8200 section 8.1: over IPv6 a datagram without a checksum is dropped, whatever a device says of it.
        let must_verify = !delivery.checksum_verified || header.checksum == 0;
        if must_verify && UdpHeader::verify(delivery.payload(), delivery.source, delivery.destination).is_err() {
            return self.net.discard(Discard::UdpChecksum);
        }
        if header.dst_port == 0 {
            return self.net.discard(Discard::UdpMalformed);
        }
        let remote = SocketAddr::new(delivery.source, header.src_port);
        let local = SocketAddr::new(delivery.destination, header.dst_port);
        if header.dst_port == CLIENT_PORT && self.dhcp.contains_key(&delivery.interface) {
            return self.dhcp_input(now, delivery.interface, remote, payload);
        }
        if delivery.cast != Cast::Unicast {
            return self.udp_to_many(delivery, local, remote, payload);
        }
        match self.udp.find(local, remote) {
            Some(id) if self.may_hear(id, delivery) => self.udp_deliver(id, delivery, remote, payload),
            _ if self.net.is_local_address(local.ip()) && !self.net.is_any_address(delivery.interface) => {
                self.net.discard(Discard::UdpNoSocket);
                // RFC 1122 section 4.1.3.1: a datagram for a port that nobody has should be answered so.
                let report = Report::Error(ErrorKind::PortUnreachable);
                self.net.report(now, delivery.interface, &delivery.packet, delivery.link_multicast, report);
            }
            // The interface is in any-address mode: what nobody here has bound is for the owner, own addresses too.
            _ => self.hold(now, delivery, local, remote, payload),
        }
    }

    /// Whether a socket takes what comes in by an interface.
    fn may_hear(&self, id: UdpId, delivery: &Delivery<'_>) -> bool {
        let socket = self.udp.sockets.get(id);
        socket.is_some_and(|socket| socket.options.interface.is_none_or(|only| only == delivery.interface))
    }

    /// A broadcast or multicast: every socket that may hear it gets a copy.
    fn udp_to_many(&mut self, delivery: &Delivery<'_>, local: SocketAddr, remote: SocketAddr, payload: &[u8]) {
        let on_link = |address: IpAddr| self.net.interfaces.get(delivery.interface).is_some_and(|l| l.has(address));
        let listeners: Vec<UdpId> = self
            .udp
            .on_port(local.port())
            .filter(|&id| self.may_hear(id, delivery))
            .filter(|&id| {
                self.udp.sockets.get(id).is_some_and(|socket| {
                    let own = socket.local.ip();
                    own.is_ipv4() == local.is_ipv4()
                        && (own.is_unspecified() || socket.options.broadcast && on_link(own))
                        && socket.remote.is_none_or(|peer| peer == remote)
                })
            })
            .collect();
        if listeners.is_empty() {
            return self.net.discard(Discard::UdpNoSocket);
        }
        for id in listeners {
            self.udp_deliver(id, delivery, remote, payload);
        }
    }

    fn udp_deliver(&mut self, id: UdpId, delivery: &Delivery<'_>, remote: SocketAddr, payload: &[u8]) {
        let record = Record {
            remote,
            local: Some(delivery.destination),
            interface: delivery.interface.index() + 1,
            tos: delivery.tos,
            ttl: delivery.hop_limit,
        };
        self.udp_push(id, &record, payload);
    }

    /// Puts a datagram in a socket's ring.
    pub(super) fn udp_push(&mut self, id: UdpId, record: &Record, payload: &[u8]) {
        let Some(socket) = self.udp.sockets.get_mut(id) else { return };
        if datagram::push(&mut socket.rings.receive, record, payload).is_err() {
            socket.stats.dropped += 1;
            return self.net.discard(Discard::UdpQueueFull);
        }
        socket.stats.received += 1;
        self.udp.notify(&mut self.events, id, Readiness::READABLE);
    }

    /// An ICMP error quotes a datagram of `quoted_len` bytes that one of our sockets sent, or is said to have.
    pub(crate) fn udp_error(&mut self, now: Instant, from: IpAddr, error: &TransportError, quoted_len: usize) {
        let TransportError { local, remote, kind, .. } = *error;
        let id = self.udp.find(local, remote);
        let Some(socket) = id.and_then(|id| self.udp.sockets.get_mut(id)) else {
            return self.net.discard(Discard::IcmpUnmatched);
        };
        // RFC 5927 section 4: a stranger can guess a port; he does not know to whom we have just sent.
        if !socket.has_sent_to(remote) {
            return self.net.discard(Discard::IcmpUnmatched);
        }
        let mut kind = kind;
        if let ErrorKind::FragmentationNeeded(mtu) = kind {
            // RFC 1191 section 5: a router that does not say its MTU is too old; the next usual size below is tried.
            let mtu = if mtu == 0 { plateau_below(quoted_len) } else { mtu };
            if mtu as usize >= quoted_len {
                return self.net.discard(Discard::IcmpUnmatched);
            }
            kind = ErrorKind::FragmentationNeeded(self.net.lower_path_mtu(now, remote.ip(), mtu));
            if !socket.options.dont_fragment {
                // The next datagram is fragmented to fit; there is nothing that the application could do.
                return;
            }
        }
        socket.push_error(UdpError { remote, from, kind });
        if let Some(id) = id {
            self.udp.notify(&mut self.events, id, Readiness::ERROR);
        }
    }
}
