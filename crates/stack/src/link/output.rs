//! Frames out: TCP's segments straight to the device, everything else through an interface's queues.
//!
//! What the usual segments need stands in `template`, which `tcp/template` goes by; here are the others.

use alloc::vec::Vec;
use core::net::IpAddr;

use device::{Device, TransmitError, TxChecksum, TxFrame};
use wire::checksum::{self, Sum};
use wire::ethernet::{EtherType, MIN_FRAME_LEN, MacAddr};
use wire::ipv4;
use wire::ipv6::Ipv6Header;
use wire::protocol::Protocol;
use wire::tcp::{CHECKSUM_OFFSET, HEADER_LEN as TCP_LEN, MAX_HEADER_LEN, TcpHeader};

use super::InterfaceId;
use super::hot_path::{HotPath, MAX_LINK_HEADER};
use super::neighbors::NeighborId;
use super::offload::{MAX_HEADERS, Offloads, Train};
use super::queue::Class;
use super::template::{Headers, OPTIONS_LEN, PLAIN_LEN, PlainSegment, Plainly, TCP};
use crate::Instant;
use crate::discard::Discard;
use crate::network::{Network, Segment, Transmitted};

/// To whom on the link a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    /// The station that has this address.
    Neighbor(IpAddr),
    /// Every station.
    Broadcast,
    /// The stations that listen to this group.
    Group(IpAddr),
}

/// There is no room for a frame; it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

enum Resolved {
    Known { mac: MacAddr, neighbor: Option<NeighborId> },
    Waits { neighbor: NeighborId },
}

/// The group's address on Ethernet.
fn group_mac(group: IpAddr) -> MacAddr {
    match group {
        // RFC 1112 section 6.4: the low 23 bits of the group, under 01:00:5e.
        IpAddr::V4(v4) => {
            let [_, b, c, d] = v4.octets();
            MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        // RFC 2464 section 7: the last four octets, under 33:33.
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = v6.octets();
            MacAddr([0x33, 0x33, a, b, c, d])
        }
    }
}

impl Network {
    /// Hands a TCP segment, or a train of them, to the device of `segment.interface`.
    pub(crate) fn transmit_segment(
        &mut self,
        now: Instant,
        device: &mut dyn Device,
        segment: &Segment<'_>,
    ) -> Transmitted {
        if segment.payload_len == 0
            && let Some(outcome) = self.transmit_header(device, segment)
        {
            return outcome;
        }
        if let Some(outcome) = self.transmit_train(device, segment) {
            return outcome;
        }
        match self.heat(now, segment) {
            Ok(()) => self.transmit_train(device, segment).unwrap_or(Transmitted::Unreachable),
            Err(outcome) => outcome,
        }
    }

    /// Hands a segment that is a header and nothing else, as a SYN is, to the device; `None`, with nothing done, where its
    /// path has no template, or has become too small.
    fn transmit_header(&mut self, device: &mut dyn Device, segment: &Segment<'_>) -> Option<Transmitted> {
        let Segment { interface, source, destination, hop_limit, tos, header, .. } = *segment;
        let path = self.hot_paths.find(self.generation, interface, source, destination)?;
        let template = path.template.as_ref()?;
        let mut bytes = [0; TCP + MAX_HEADER_LEN];
        let (lower, rest) = bytes.split_first_chunk_mut::<TCP>()?;
        let (frame_len, tcp) = (TCP + header.len(), rest.get_mut(..header.len())?);
        if frame_len - usize::from(path.link_header_len) > path.mtu as usize {
            return None;
        }
        let pseudo_sum = template.write_lower(lower, tos, hop_limit, header.len() as u16);
        tcp.copy_from_slice(header);
        // A frame below Ethernet's least length is padded, and so complete when the device gets it.
        let (len, checksum) = if path.tx_checksum && frame_len >= MIN_FRAME_LEN {
            TcpHeader::write_checksum(tcp, !pseudo_sum.finish());
            (frame_len, TxChecksum::Partial { start: TCP as u16, offset: CHECKSUM_OFFSET as u16 })
        } else {
            TcpHeader::write_checksum(tcp, (pseudo_sum + TcpHeader::sum(header)).finish());
            (frame_len.max(MIN_FRAME_LEN), TxChecksum::Complete)
        };
        let frame = TxFrame { header: &bytes[..len], payload: &[], checksum, segment_size: None };
        let taken = device.transmit(&frame);
        let full = self.account(interface, frame_len, taken) == Plainly::DeviceFull;
        Some(if full { Transmitted::DeviceFull } else { Transmitted::Sent })
    }

    /// Puts a segment without text that no connection sends into the queue of small packets; false, with nothing done,
    /// where its path has no template: then it is built like any other packet, and comes to the same.
    pub(crate) fn queue_plain(&mut self, segment: &PlainSegment<'_>) -> bool {
        let PlainSegment { interface, flow, .. } = *segment;
        let Some(path) = self.hot_paths.find(self.generation, interface, flow.local, flow.remote) else { return false };
        let Some(template) = path.template.as_ref().filter(|_| path.mtu as usize >= PLAIN_LEN + OPTIONS_LEN) else {
            return false;
        };
        let mut bytes = [0; PLAIN_LEN + OPTIONS_LEN];
        let (len, sum) = template.write(&mut bytes, segment, false);
        TcpHeader::write_checksum(&mut bytes[TCP..], sum.finish());
        let mut frame = self.buffers.take();
        frame.extend_from_slice(&bytes[..len]);
        let Some(link) = self.interfaces.get_mut(interface) else { return true };
        match link.enqueue(Class::Control, frame, &mut self.queued) {
            Ok(()) => self.inside |= interface == self.loopback,
            Err(frame) => {
                self.discard(Discard::TransmitQueue);
                self.buffers.give_back(frame);
            }
        }
        true
    }

    /// Finds out what the headers of a path look like, and remembers it.
    fn heat(&mut self, now: Instant, segment: &Segment<'_>) -> Result<(), Transmitted> {
        let Segment { interface, source, destination, .. } = *segment;
        let Some(next_hop) = self.next_hop_on(interface, destination) else { return Err(Transmitted::Unreachable) };
        let (mac, neighbor) = match self.link_address(now, interface, next_hop) {
            Some(Resolved::Known { mac, neighbor }) => (mac, neighbor),
            Some(Resolved::Waits { neighbor }) => {
                if let Some(entry) = self.neighbors.get_mut(neighbor) {
                    entry.awaited = true;
                }
                return Err(Transmitted::Resolving(next_hop));
            }
            None => return Err(Transmitted::Unreachable),
        };
        let Some(link) = self.interfaces.get(interface).filter(|link| link.up) else {
            return Err(Transmitted::Unreachable);
        };
        let mut link_header = [0; MAX_LINK_HEADER];
        let ethertype = if destination.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
        let link_header_len = link.write_link_header(mac, ethertype, &mut link_header) as u8;
        let path = HotPath {
            generation: self.generation,
            interface,
            source,
            destination,
            neighbor,
            link_header,
            link_header_len,
            tx_checksum: link.capabilities.tx_checksum || link.capabilities.tx_segmentation.is_some(),
            tx_segmentation: link.capabilities.tx_segmentation.unwrap_or(0),
            mtu: self.route_mtu(interface, destination),
            template: Headers::new(&link_header[..usize::from(link_header_len)], source, destination),
            address_sum: checksum::pseudo_header(source, destination, Protocol(0), 0),
        };
        self.hot_paths.insert(path);
        Ok(())
    }

    /// Hands down a segment, or a train of them, whose path is hot; `None`, with nothing done, if it is not.
    fn transmit_train(&mut self, device: &mut dyn Device, segment: &Segment<'_>) -> Option<Transmitted> {
        let Self { generation, hot_paths, scratch, discards, traffic, .. } = self;
        let path = hot_paths.find(*generation, segment.interface, segment.source, segment.destination)?;
        let ip_at = usize::from(path.link_header_len);
        let tcp_at = ip_at + path.ip_header_len();
        let end = tcp_at + segment.header.len();
        let segment_size = segment.segment_size.map_or(segment.payload_len, usize::from);
        let largest = end - ip_at + segment_size.min(segment.payload_len);
        if largest > path.mtu as usize || end > MAX_HEADERS {
            return Some(Transmitted::TooBig(path.mtu));
        }
        let mut headers = [0; MAX_HEADERS];
        let (ip_sum, pseudo_sum) = match (&path.template, headers.first_chunk_mut()) {
            (Some(template), Some(lower)) => template.write_common(lower, segment.tos, segment.hop_limit),
            _ => {
                headers[..ip_at].copy_from_slice(&path.link_header[..ip_at]);
                let ip_sum = write_ip_header(&mut headers[ip_at..tcp_at], segment, path);
                (ip_sum, path.address_sum.add_u16(u16::from(Protocol::TCP.0)))
            }
        };
        copy_tcp_header(segment.header, &mut headers[tcp_at..end]);

        let offloads = Offloads { tx_checksum: path.tx_checksum, tx_segmentation: path.tx_segmentation as usize };
        // Software assembles one frame at a time here: whole ones for a device that cannot sum, those below Ethernet's
        // minimum for one that can.
        let assembled = if offloads.tx_checksum { 0 } else { end + segment_size.min(segment.payload_len) };
        let needed = assembled.max(MIN_FRAME_LEN);
        if scratch.len() < needed {
            *scratch = alloc::vec![0; needed.next_power_of_two()].into_boxed_slice();
        }
        let mut train = Train {
            headers: &mut headers[..end],
            ip_at,
            tcp_at,
            ipv4: path.destination.is_ipv4(),
            ip_sum,
            pseudo_sum,
            payload: segment.payload,
            payload_len: segment.payload_len,
            segment_size,
        };
        let mut sink = device;
        let progress = train.transmit(&mut sink, offloads, scratch);
        traffic.sent(segment.interface, progress.frames, progress.bytes);
        for _ in 0..progress.lost {
            discards.count(Discard::LinkLost);
        }
        Some(match progress {
            _ if !progress.full => Transmitted::Sent,
            _ if progress.payload == 0 => Transmitted::DeviceFull,
            _ => Transmitted::Partly(progress.payload),
        })
    }

    /// The MAC that packets to `next_hop` carry; `None` if none can be found.
    fn link_address(&mut self, now: Instant, interface: InterfaceId, next_hop: IpAddr) -> Option<Resolved> {
        if interface == self.loopback {
            return Some(Resolved::Known { mac: MacAddr::UNSPECIFIED, neighbor: None });
        }
        match self.resolve(now, interface, next_hop)? {
            (id, Some(mac)) => Some(Resolved::Known { mac, neighbor: Some(id) }),
            (neighbor, None) => Some(Resolved::Waits { neighbor }),
        }
    }

    /// Queues a frame whose link header is still to be written; its packet begins after the room left for it.
    pub(crate) fn link_output(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        hop: Hop,
        class: Class,
        mut frame: Vec<u8>,
    ) -> Result<(), QueueFull> {
        if !self.interfaces.get(interface).is_some_and(|link| link.up) {
            self.discard(Discard::NoInterface);
            self.buffers.give_back(frame);
            return Ok(());
        }
        let mac = match hop {
            Hop::Broadcast => MacAddr::BROADCAST,
            Hop::Group(group) => group_mac(group),
            Hop::Neighbor(next_hop) => match self.link_address(now, interface, next_hop) {
                Some(Resolved::Known { mac, .. }) => mac,
                Some(Resolved::Waits { neighbor }) => {
                    self.pend(interface, neighbor, frame);
                    return Ok(());
                }
                None => {
                    self.discard(Discard::NeighborQueue);
                    self.buffers.give_back(frame);
                    return Err(QueueFull);
                }
            },
        };
        let Some(link) = self.interfaces.get_mut(interface) else { return Ok(()) };
        let version = frame.get(link.link_header_len()).map_or(0, |byte| byte >> 4);
        let ethertype = if version == 6 { EtherType::IPV6 } else { EtherType::IPV4 };
        link.write_link_header(mac, ethertype, &mut frame);
        match link.enqueue(class, frame, &mut self.queued) {
            Ok(()) => {
                self.inside |= interface == self.loopback;
                Ok(())
            }
            Err(frame) => {
                self.discard(Discard::TransmitQueue);
                self.buffers.give_back(frame);
                Err(QueueFull)
            }
        }
    }

    /// The link went down: what waits for it is lost.
    pub(crate) fn drop_queued(&mut self, interface: InterfaceId) {
        let Some(link) = self.interfaces.get_mut(interface) else { return };
        while let Some(frame) = link.queues.pop(&mut self.queued) {
            self.discards.count(Discard::LinkLost);
            self.buffers.give_back(frame);
        }
    }

    /// Hands what is queued on `interface` to its device; false when the device is full.
    pub(crate) fn transmit_queued(&mut self, interface: InterfaceId, device: &mut dyn Device) -> bool {
        let Some(link) = self.interfaces.get_mut(interface) else { return true };
        while let Some(bytes) = link.queues.front() {
            const PADDING: [u8; MIN_FRAME_LEN] = [0; MIN_FRAME_LEN];
            let padding = [ring::Span::from_slice(&PADDING[bytes.len().min(MIN_FRAME_LEN)..])];
            let payload: &[ring::Span<'_>] = if bytes.len() < MIN_FRAME_LEN { &padding } else { &[] };
            let frame = TxFrame { header: bytes, payload, checksum: TxChecksum::Complete, segment_size: None };
            match device.transmit(&frame) {
                Ok(()) => self.traffic.sent(interface, 1, frame.len() as u64),
                Err(TransmitError::Full) => return false,
                Err(TransmitError::Lost) => self.discards.count(Discard::LinkLost),
            }
            if let Some(buffer) = link.queues.pop(&mut self.queued) {
                self.buffers.give_back(buffer);
            }
        }
        true
    }
}

/// Copies a header most of which is of a length that the compiler knows.
#[inline]
fn copy_tcp_header(from: &[u8], to: &mut [u8]) {
    match (from.split_first_chunk::<TCP_LEN>(), to.split_first_chunk_mut::<TCP_LEN>()) {
        (Some((fixed, options)), Some((fixed_copy, options_copy))) => {
            *fixed_copy = *fixed;
            if !options.is_empty() {
                options_copy.copy_from_slice(options);
            }
        }
        _ => to.copy_from_slice(from),
    }
}

/// Writes the IP header of a train without total length and checksum; returns the sum of what IPv4's checksum covers.
fn write_ip_header(header: &mut [u8], segment: &Segment<'_>, path: &HotPath) -> Sum {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (segment.source, segment.destination) else {
        write_ipv6_header(header, segment);
        return Sum::ZERO;
    };
    const VERSION_AND_LENGTH: u8 = 0x40 | (ipv4::HEADER_LEN / 4) as u8;
    // RFC 1191 section 3: a host that does path MTU discovery sets DF on every datagram. RFC 6864 section 4.1: the
    // identification of such a datagram has no meaning; it is zero.
    const DONT_FRAGMENT: u16 = 0x4000;
    header[0] = VERSION_AND_LENGTH;
    header[1] = segment.tos;
    header[6..8].copy_from_slice(&DONT_FRAGMENT.to_be_bytes());
    header[8] = segment.hop_limit;
    header[9] = Protocol::TCP.0;
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    path.address_sum
        .add_u16(u16::from_be_bytes([VERSION_AND_LENGTH, segment.tos]))
        .add_u16(DONT_FRAGMENT)
        .add_u16(u16::from_be_bytes([segment.hop_limit, Protocol::TCP.0]))
}

fn write_ipv6_header(header: &mut [u8], segment: &Segment<'_>) {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (segment.source, segment.destination) else { return };
    let fields = Ipv6Header {
        traffic_class: segment.tos,
        flow_label: 0,
        payload_len: 0,
        next_header: Protocol::TCP,
        hop_limit: segment.hop_limit,
        src,
        dst,
    };
    fields.emit(header);
}

#[cfg(test)]
mod tests;
