//! UDP out: from a call or from a socket's send ring to IP.

use core::fmt;
use core::net::SocketAddr;

use ring::datagram::{self, Record};
use wire::ipv4;
use wire::protocol::Protocol;
use wire::udp::{HEADER_LEN, UdpHeader};

use super::{UdpError, UdpId};
use crate::Instant;
use crate::discard::Discard;
use crate::event::Readiness;
use crate::ip::icmp::ErrorKind;
use crate::ip::output::{IpFields, OutputError, PacketBuffer};
use crate::ip::route::Way;
use crate::link::InterfaceId;
use crate::link::output::Hop;
use crate::link::queue::Class;
use crate::network::Unroutable;
use crate::stack::Stack;

/// Why a datagram was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// There is no such socket.
    NoSocket,
    /// No destination was given, and the socket is not connected (EDESTADDRREQ).
    NoDestination,
    /// The destination names nobody, or is of the other family (EINVAL).
    BadDestination,
    /// A broadcast, which the socket has not asked to be allowed (EACCES).
    Broadcast,
    /// The source is not an address of ours (EADDRNOTAVAIL).
    BadSource,
    /// No route leads there (ENETUNREACH).
    NoRoute,
    /// More bytes than a datagram, or the path of one that may not be fragmented, carries (EMSGSIZE). So many fit.
    TooBig(usize),
    /// The interface's queue is full (EAGAIN).
    QueueFull,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSocket => f.write_str("there is no such socket"),
            Self::NoDestination => f.write_str("no destination was given"),
            Self::BadDestination => f.write_str("nothing can be sent to this destination"),
            Self::Broadcast => f.write_str("the socket may not send broadcasts"),
            Self::BadSource => f.write_str("the source is not an address of ours"),
            Self::NoRoute => f.write_str("no route leads there"),
            Self::TooBig(most) => write!(f, "too large: {most} bytes fit"),
            Self::QueueFull => f.write_str("the interface's queue is full"),
        }
    }
}

impl core::error::Error for SendError {}

impl From<Unroutable> for SendError {
    fn from(reason: Unroutable) -> Self {
        match reason {
            Unroutable::NoRoute => Self::NoRoute,
            Unroutable::Broadcast => Self::Broadcast,
            Unroutable::Multicast | Unroutable::BadDestination => Self::BadDestination,
            Unroutable::BadSource => Self::BadSource,
        }
    }
}

/// Datagrams that one look at a send ring sends at most, so that a busy socket keeps none of the others waiting.
const FLUSH_BUDGET: usize = 256;

impl Stack {
    /// Sends one datagram. `record` says where to (an unspecified address and port 0: to the connected peer), and may
    /// choose source, interface, TTL and TOS; what it leaves at zero or `None` the socket's options choose.
    ///
    /// A datagram that waits for its neighbour's MAC counts as sent.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn udp_send(&mut self, now: Instant, id: UdpId, record: &Record, payload: &[u8]) -> Result<(), SendError> {
        let sent = self.udp_send_with(now, id, record, payload.len(), |space| space.copy_from_slice(payload));
        self.settle(now);
        sent
    }

    /// Sends what waits in the socket's send ring. True: the ring is empty. False: a queue was full; the rest is sent
    /// as soon as there is room, and [`Readiness::WRITABLE`] tells.
    ///
    /// A record that cannot be sent is taken out of the ring, counted, and told by [`Readiness::ERROR`] where it is
    /// for a network that is not reached.
    pub fn udp_flush(&mut self, now: Instant, id: UdpId) -> bool {
        let drained = self.udp_drain(now, id);
        self.settle(now);
        drained
    }

    /// Goes on with the sockets that found a queue full.
    pub(crate) fn udp_resume(&mut self, now: Instant) {
        for _ in 0..self.udp.blocked.len() {
            let Some(id) = self.udp.blocked.pop_front() else { return };
            if let Some(socket) = self.udp.sockets.get_mut(id) {
                socket.blocked = false;
                self.udp_drain(now, id);
                self.udp.notify(&mut self.events, id, Readiness::WRITABLE);
            }
        }
    }

    fn udp_drain(&mut self, now: Instant, id: UdpId) -> bool {
        for _ in 0..FLUSH_BUDGET {
            let Some(socket) = self.udp.sockets.get_mut(id) else { return true };
            let Some((record, len)) = datagram::peek(&socket.rings.send) else { return true };
            // The ring's memory may be another process's: the bytes are copied out once, into the frame.
            let sent = self.udp_send_ring_front(now, id, &record, len);
            if sent == Err(SendError::QueueFull) {
                break;
            }
            let Some(socket) = self.udp.sockets.get_mut(id) else { return true };
            datagram::skip(&mut socket.rings.send);
            if let Err(error) = sent {
                let kind = match error {
                    SendError::NoRoute => Some(ErrorKind::NetworkUnreachable),
                    SendError::TooBig(most) => Some(ErrorKind::FragmentationNeeded(most as u32)),
                    SendError::Broadcast => Some(ErrorKind::AdministrativelyProhibited),
                    _ => None,
                };
                self.net.discard(Discard::UdpUnsendable);
                if let (Some(kind), Some(socket)) = (kind, self.udp.sockets.get_mut(id)) {
                    let from = socket.local.ip();
                    socket.push_error(UdpError { remote: record.remote, from, kind });
                    self.udp.notify(&mut self.events, id, Readiness::ERROR);
                }
            }
        }
        if let Some(socket) = self.udp.sockets.get_mut(id)
            && !core::mem::replace(&mut socket.blocked, true)
        {
            self.udp.blocked.push_back(id);
        }
        false
    }

    fn udp_send_ring_front(&mut self, now: Instant, id: UdpId, record: &Record, len: usize) -> Result<(), SendError> {
        let plan = self.udp_plan(id, record, len)?;
        let mut buffer = self.net.packet_buffer(plan.way.interface, plan.way.source.is_ipv4(), HEADER_LEN + len);
        if let Some(socket) = self.udp.sockets.get(id) {
            socket.rings.send.copy_at(datagram::HEADER_LEN, &mut buffer.payload()[HEADER_LEN..]);
        }
        self.udp_emit(now, id, &plan, buffer)
    }

    fn udp_send_with(
        &mut self,
        now: Instant,
        id: UdpId,
        record: &Record,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), SendError> {
        let plan = self.udp_plan(id, record, len)?;
        let mut buffer = self.net.packet_buffer(plan.way.interface, plan.way.source.is_ipv4(), HEADER_LEN + len);
        fill(&mut buffer.payload()[HEADER_LEN..]);
        self.udp_emit(now, id, &plan, buffer)
    }

    /// Where a datagram goes, and whether it may.
    fn udp_plan(&mut self, id: UdpId, record: &Record, len: usize) -> Result<Plan, SendError> {
        let socket = self.udp.sockets.get(id).ok_or(SendError::NoSocket)?;
        let to_peer = record.remote.ip().is_unspecified() && record.remote.port() == 0;
        let remote = if to_peer { socket.remote.ok_or(SendError::NoDestination)? } else { record.remote };
        if remote.port() == 0 || remote.is_ipv4() != socket.local.is_ipv4() {
            return Err(SendError::BadDestination);
        }
        let own = socket.local.ip();
        // A source that the record asks for must be ours like any other; a bound socket keeps to its own.
        let source =
            if own.is_unspecified() { record.local.filter(|local| !local.is_unspecified()) } else { Some(own) };
        let by_record = self.interface_by_number(record.interface);
        let interface: Option<InterfaceId> = socket.options.interface.or(by_record);
        let way = self.net.way(remote.ip(), source, interface)?;
        let hop_limit = match (record.ttl, way.hop) {
            (0, Hop::Group(_)) => socket.options.multicast_ttl,
            (0, _) => socket.options.ttl.unwrap_or(self.net.default_hop_limit),
            (ttl, _) => ttl,
        };
        if way.hop == Hop::Broadcast && !socket.options.broadcast {
            return Err(SendError::Broadcast);
        }
        let ip_header = if own.is_ipv4() { ipv4::HEADER_LEN } else { 0 };
        let most = usize::from(u16::MAX) - ip_header - HEADER_LEN;
        if len > most {
            return Err(SendError::TooBig(most));
        }
        let link = self.net.interfaces.get(way.interface).ok_or(SendError::NoRoute)?;
        if !link.queues.has_room_for_data(len) {
            return Err(SendError::QueueFull);
        }
        let fields = IpFields {
            source: way.source,
            destination: remote.ip(),
            protocol: Protocol::UDP,
            hop_limit,
            tos: if record.tos == 0 { socket.options.tos } else { record.tos },
            dont_fragment: socket.options.dont_fragment,
        };
        Ok(Plan { way, fields, src_port: socket.local.port(), remote })
    }

    fn udp_emit(&mut self, now: Instant, id: UdpId, plan: &Plan, mut buffer: PacketBuffer) -> Result<(), SendError> {
        let datagram = buffer.payload();
        let len = datagram.len() as u16;
        let header = UdpHeader { src_port: plan.src_port, dst_port: plan.remote.port(), len, checksum: 0 };
        header.emit(datagram);
        let inside = plan.way.interface == self.net.loopback;
        if !inside || plan.fields.source.is_ipv6() {
            UdpHeader::fill_checksum(datagram, plan.fields.source, plan.fields.destination);
        }
        let header_len = buffer.bytes.len() - usize::from(len);
        match self.net.ip_output(now, &plan.way, &plan.fields, Class::Data, buffer) {
            Ok(()) => {}
            Err(OutputError::QueueFull) => return Err(SendError::QueueFull),
            Err(OutputError::TooBig(mtu)) => {
                let link = self.net.interfaces.get(plan.way.interface).map_or(0, |link| link.link_header_len());
                let headers = header_len - link + HEADER_LEN;
                return Err(SendError::TooBig((mtu as usize).saturating_sub(headers)));
            }
        }
        if let Some(socket) = self.udp.sockets.get_mut(id) {
            socket.stats.sent += 1;
            socket.sent_to(plan.remote);
        }
        Ok(())
    }
}

/// A datagram that may be sent.
struct Plan {
    way: Way,
    fields: IpFields,
    src_port: u16,
    remote: SocketAddr,
}
