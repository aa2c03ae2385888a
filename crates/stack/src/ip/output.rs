//! IP out for everything but TCP's segments: headers, fragments, and the queue of the interface.

use alloc::vec::Vec;
use core::net::IpAddr;

use wire::ipv4::{self, Ipv4Header};
use wire::ipv6::{self, Ipv6Header};
use wire::protocol::Protocol;

use super::route::Way;
use crate::Instant;
use crate::discard::Discard;
use crate::link::InterfaceId;
use crate::link::queue::Class;
use crate::network::{Network, Packet, Unroutable};

/// What an IP header says besides lengths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IpFields {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: Protocol,
    pub hop_limit: u8,
    pub tos: u8,
    pub dont_fragment: bool,
}

/// Why a packet did not go down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputError {
    /// It exceeds the path's MTU, which is this, and may not be fragmented.
    TooBig(u32),
    /// The interface's queue is full.
    QueueFull,
}

/// A packet under construction: room for the headers, then the payload.
pub(crate) struct PacketBuffer {
    pub bytes: Vec<u8>,
    /// Where the payload begins.
    pub payload_at: usize,
}

impl PacketBuffer {
    /// What follows the IP header.
    pub(crate) fn payload(&mut self) -> &mut [u8] {
        &mut self.bytes[self.payload_at..]
    }
}

impl Network {
    /// A buffer for a packet with `payload_len` bytes after the IP header, all zero.
    pub(crate) fn packet_buffer(&mut self, interface: InterfaceId, is_ipv4: bool, payload_len: usize) -> PacketBuffer {
        let link = self.interfaces.get(interface).map_or(0, |link| link.link_header_len());
        let ip = if is_ipv4 { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
        let mut bytes = self.buffers.take();
        bytes.resize(link + ip + payload_len, 0);
        PacketBuffer { bytes, payload_at: link + ip }
    }

    /// Completes the packet in `buffer` with its IP header and sends it, in fragments if need be.
    pub(crate) fn ip_output(
        &mut self,
        now: Instant,
        way: &Way,
        fields: &IpFields,
        class: Class,
        mut buffer: PacketBuffer,
    ) -> Result<(), OutputError> {
        let payload_len = buffer.bytes.len() - buffer.payload_at;
        let (ip_at, packet_len) = match fields.source {
            IpAddr::V4(_) => (buffer.payload_at - ipv4::HEADER_LEN, ipv4::HEADER_LEN + payload_len),
            IpAddr::V6(_) => (buffer.payload_at - ipv6::HEADER_LEN, ipv6::HEADER_LEN + payload_len),
        };
        let fits = packet_len <= way.mtu as usize;
        let may_fragment = fields.source.is_ipv4() && !fields.dont_fragment && packet_len <= usize::from(u16::MAX);
        if !fits && !may_fragment {
            self.buffers.give_back(buffer.bytes);
            return Err(OutputError::TooBig(way.mtu));
        }
        self.write_header(fields, payload_len, &mut buffer.bytes[ip_at..]);
        if fits {
            return self
                .link_output(now, way.interface, way.hop, class, buffer.bytes)
                .map_err(|_| OutputError::QueueFull);
        }
        let sent = self.send_fragments(now, way.interface, way.hop, class, &buffer.bytes[ip_at..], way.mtu);
        self.buffers.give_back(buffer.bytes);
        sent.map_err(|_| OutputError::QueueFull)
    }

    fn write_header(&mut self, fields: &IpFields, payload_len: usize, packet: &mut [u8]) {
        let IpFields { source, destination, protocol, hop_limit, tos, dont_fragment } = *fields;
        match (source, destination) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                // RFC 6864 section 4.1: only what may be fragmented on the way needs an identification.
                let identification = if dont_fragment { 0 } else { self.identifications.next(src, dst, protocol) };
                let header = Ipv4Header {
                    tos,
                    total_len: (ipv4::HEADER_LEN + payload_len) as u16,
                    identification,
                    dont_fragment,
                    more_fragments: false,
                    fragment_offset: 0,
                    ttl: hop_limit,
                    protocol,
                    src,
                    dst,
                    options: &[],
                };
                header.emit(packet);
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let header = Ipv6Header {
                    traffic_class: tos,
                    flow_label: 0,
                    payload_len: payload_len as u16,
                    next_header: protocol,
                    hop_limit,
                    src,
                    dst,
                };
                header.emit(packet);
            }
            // Routes never join addresses of two families.
            _ => {}
        }
    }

    /// Sends a small packet of the control kind.
    pub(crate) fn send_packet(&mut self, now: Instant, packet: &Packet<'_>) -> Result<(), Unroutable> {
        let way = self.way(packet.destination, packet.source, packet.interface)?;
        self.send_by(now, &way, packet, Class::Control);
        Ok(())
    }

    /// Sends a packet whose way is known.
    pub(crate) fn send_by(&mut self, now: Instant, way: &Way, packet: &Packet<'_>, class: Class) {
        let fields = IpFields {
            source: way.source,
            destination: packet.destination,
            protocol: packet.protocol,
            hop_limit: packet.hop_limit.unwrap_or(self.default_hop_limit),
            tos: packet.tos,
            dont_fragment: packet.dont_fragment,
        };
        let mut buffer = self.packet_buffer(way.interface, way.source.is_ipv4(), packet.payload.len());
        buffer.payload().copy_from_slice(packet.payload);
        // A full queue has counted the packet already.
        if let Err(OutputError::TooBig(_)) = self.ip_output(now, way, &fields, class, buffer) {
            self.discard(Discard::TooBig);
        }
    }
}
