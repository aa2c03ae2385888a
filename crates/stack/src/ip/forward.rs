//! Forwarding (RFC 1812 section 5): what is not for us goes on, when the owner wants a router.

use core::net::IpAddr;

use device::{RxChecksum, RxFrame, TransmitError, TxFrame};
use ring::Span;
use wire::checksum;
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;
use wire::tcp;

use super::Cast;
use super::icmp::ErrorKind;
use super::icmp::output::Report;
use crate::Instant;
use crate::discard::Discard;
use crate::link::InterfaceId;
use crate::link::input::LinkReceived;
use crate::link::offload::{Offloads, Sink, Train};
use crate::link::output::Hop;
use crate::link::queue::Class;
use crate::network::{Network, Path, Unroutable};

/// Where the segments of a train that is cut here go: one by one, so that each is queued as a packet of its own.
struct Segments<'a> {
    link_header_len: usize,
    out: &'a mut alloc::vec::Vec<alloc::vec::Vec<u8>>,
}

impl Sink for Segments<'_> {
    fn take(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        let mut bytes = alloc::vec![0; self.link_header_len + frame.len()];
        frame.copy_to(&mut bytes[self.link_header_len..]);
        self.out.push(bytes);
        Ok(())
    }
}

impl Network {
    /// Passes a packet on that came in by `interface` and is for somebody else.
    pub(crate) fn forward(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        frame: &RxFrame<'_>,
        received: LinkReceived,
        header: &Ipv4Header<'_>,
        packet: &[u8],
    ) {
        // RFC 1812 section 5.3.1: a packet whose TTL is not greater than one is not forwarded.
        if header.ttl <= 1 {
            self.discard(Discard::HopLimit);
            return self.report(now, interface, packet, received.multicast, Report::Error(ErrorKind::TimeExceeded));
        }
        let destination = IpAddr::V4(header.dst);
        let path = match self.cast_of(destination) {
            // RFC 2644: directed broadcasts are not forwarded.
            Ok(Cast::Broadcast | Cast::Multicast) | Err(_) => return self.discard(Discard::NotOurAddress),
            Ok(Cast::Unicast) => match self.route(destination, None) {
                Ok(path) => path,
                Err(Unroutable::NoRoute) => {
                    self.discard(Discard::NoRoute);
                    let report = Report::Error(ErrorKind::NetworkUnreachable);
                    return self.report(now, interface, packet, received.multicast, report);
                }
                Err(_) => return self.discard(Discard::NotOurAddress),
            },
        };
        let route_mtu = path.route_mtu;
        let segment_size = frame.segment_size.filter(|_| header.protocol == Protocol::TCP && !header.is_fragment());
        if let Some(size) = segment_size
            && packet.len() > route_mtu as usize
        {
            let refused = self.forward_train(now, &path, header, packet, usize::from(size)).err();
            refused.into_iter().for_each(|reason| self.discard(reason));
            if refused == Some(Discard::TooBig) && header.dont_fragment {
                self.report_too_big(now, interface, packet, received.multicast, route_mtu);
            }
            return;
        }
        if packet.len() > route_mtu as usize && header.dont_fragment {
            self.discard(Discard::TooBig);
            return self.report_too_big(now, interface, packet, received.multicast, route_mtu);
        }
        let link_header_len = self.interfaces.get(path.interface).map_or(0, |link| link.link_header_len());
        let mut out = self.buffers.take();
        out.resize(link_header_len, 0);
        out.extend_from_slice(packet);
        let copy = &mut out[link_header_len..];
        decrement_ttl(copy);
        if let RxChecksum::Partial { start, offset } = frame.checksum {
            // The device between the sender and us was spared the sum; the next wire is not.
            let start = usize::from(start).saturating_sub(received.header_len);
            fill_partial_checksum(copy, start, usize::from(offset));
        }
        let hop = Hop::Neighbor(path.next_hop);
        let sent = if packet.len() <= route_mtu as usize {
            self.link_output(now, path.interface, hop, Class::Data, out)
        } else {
            let sent = self.send_fragments(now, path.interface, hop, Class::Data, &out[link_header_len..], route_mtu);
            self.buffers.give_back(out);
            sent
        };
        // A full queue has counted the packet; RFC 1812 section 4.3.3.3: no source quench is sent for it.
        let _ = sent;
    }

    /// RFC 1191 section 4: the MTU of the next hop stands in the message.
    fn report_too_big(&mut self, now: Instant, interface: InterfaceId, packet: &[u8], multicast: bool, mtu: u32) {
        self.report(now, interface, packet, multicast, Report::Error(ErrorKind::FragmentationNeeded(mtu)));
    }

    /// A train that arrived in one piece, for a link that is too small for it: its segments go on one by one, if they are not
    /// too large themselves.
    fn forward_train(
        &mut self,
        now: Instant,
        path: &Path,
        header: &Ipv4Header<'_>,
        packet: &[u8],
        size: usize,
    ) -> Result<(), Discard> {
        let tcp_at = header.len();
        let offset = packet.get(tcp_at + 12).ok_or(Discard::TcpMalformed)?;
        let tcp_len = usize::from(offset >> 4) * 4;
        let payload_at = tcp_at + tcp_len;
        if tcp_len < tcp::HEADER_LEN || payload_at > packet.len() || size == 0 {
            return Err(Discard::TcpMalformed);
        }
        if payload_at + size > path.route_mtu as usize {
            return Err(Discard::TooBig);
        }
        let mut headers = packet[..payload_at].to_vec();
        decrement_ttl(&mut headers);
        headers[2..4].fill(0);
        headers[10..12].fill(0);
        headers[tcp_at + tcp::CHECKSUM_OFFSET..tcp_at + tcp::CHECKSUM_OFFSET + 2].fill(0);
        let ip_sum = checksum::sum(&headers[..tcp_at]);
        let payload = [Span::from_slice(&packet[payload_at..])];
        let mut train = Train {
            headers: &mut headers,
            ip_at: 0,
            tcp_at,
            ipv4: true,
            ip_sum,
            pseudo_sum: checksum::pseudo_header(header.src.into(), header.dst.into(), Protocol::TCP, 0),
            payload: &payload,
            payload_len: packet.len() - payload_at,
            segment_size: size,
        };
        let link_header_len = self.interfaces.get(path.interface).map_or(0, |link| link.link_header_len());
        let mut frames = alloc::vec::Vec::new();
        let mut scratch = alloc::vec![0; (payload_at + size).max(wire::ethernet::MIN_FRAME_LEN)];
        let offloads = Offloads { tx_checksum: false, tx_segmentation: 0 };
        train.transmit(&mut Segments { link_header_len, out: &mut frames }, offloads, &mut scratch);
        for frame in frames {
            if self.link_output(now, path.interface, Hop::Neighbor(path.next_hop), Class::Data, frame).is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn decrement_ttl(packet: &mut [u8]) {
    let field = |packet: &[u8], at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let old = field(packet, 8);
    packet[8] -= 1;
    let new = field(packet, 8);
    // RFC 1624: the checksum follows the one word that changed.
    let updated = checksum::incremental_update(field(packet, 10), old, new);
    packet[10..12].copy_from_slice(&updated.to_be_bytes());
}

/// Completes a checksum whose field holds the pseudo-header's sum.
fn fill_partial_checksum(packet: &mut [u8], start: usize, offset: usize) {
    let Some(covered) = packet.get(start..) else { return };
    // RFC 768: a computed zero is written as all ones; to TCP both mean the same.
    let sum = match checksum::sum(covered).finish() {
        0 => 0xffff,
        sum => sum,
    };
    if let Some(field) = packet.get_mut(start + offset..start + offset + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}
