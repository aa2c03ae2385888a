//! Echo sockets: ICMP echo requests out, replies and errors in. What `ping` stands on.
//!
//! In any-address mode, requests to foreign addresses are shown to the owner, who answers for them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use ring::Producer;
use ring::datagram::{self, Record};
use wire::icmpv4::{HEADER_LEN, Icmpv4Message};
use wire::ipv4;
use wire::protocol::Protocol;

use super::icmp::ErrorKind;
use super::icmp::input::EchoAnswer;
use super::icmp::output::Report;
use super::output::{IpFields, OutputError};
use crate::Instant;
use crate::discard::Discard;
use crate::event::{Event, Readiness};
use crate::handle::{Handle, Table};
use crate::ip::Delivery;
use crate::link::InterfaceId;
use crate::link::output::Hop;
use crate::link::queue::Class;
use crate::ports::BindError;
use crate::stack::Stack;
use crate::udp::SendError;

/// Marks handles of echo sockets.
pub enum EchoKind {}

/// Names an echo socket of one engine.
pub type EchoId = Handle<EchoKind>;

/// What may be chosen of an echo request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EchoOptions {
    /// TTL; `None` for the engine's default.
    pub ttl: Option<u8>,
    /// DSCP and ECN bits.
    pub tos: u8,
    /// Never fragment.
    pub dont_fragment: bool,
}

/// An ICMP error about an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoError {
    /// Where the request was sent to.
    pub destination: IpAddr,
    /// Its sequence number.
    pub seq: u16,
    /// Who reported it.
    pub from: IpAddr,
    /// What it says.
    pub kind: ErrorKind,
}

/// Any-address mode: an echo request to an address that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingEcho {
    /// Where it came in.
    pub interface: InterfaceId,
    /// The address that it was sent to.
    pub local: IpAddr,
    /// Who sent it.
    pub remote: IpAddr,
    /// The sender's identifier.
    pub ident: u16,
    /// The sender's sequence number.
    pub seq: u16,
    /// Hops that it had left.
    pub ttl: u8,
    /// DSCP and ECN bits.
    pub tos: u8,
    /// What is to be sent back.
    pub data: Vec<u8>,
}

/// Requests that wait for the owner at most.
const INCOMING: usize = 64;
/// Errors that wait in a socket at most; beyond it the oldest goes.
const ERRORS: usize = 16;
/// Destinations that errors are believed about.
const RECENT: usize = 8;

struct EchoSocket {
    ident: u16,
    receive: Producer,
    pending: Readiness,
    errors: VecDeque<EchoError>,
    recent: VecDeque<IpAddr>,
}

/// All echo sockets.
pub(crate) struct Echoes {
    sockets: Table<EchoKind, EchoSocket>,
    by_ident: BTreeMap<u16, EchoId>,
    /// Events about foreign requests that the owner has not read.
    incoming: usize,
}

impl Echoes {
    pub(crate) const fn new() -> Self {
        Self { sockets: Table::new(), by_ident: BTreeMap::new(), incoming: 0 }
    }

    /// The owner has read of a foreign request.
    pub(crate) fn incoming_taken(&mut self) {
        self.incoming = self.incoming.saturating_sub(1);
    }

    /// The event with what has changed until now; `None` if the socket is gone.
    pub(crate) fn complete_event(&mut self, id: EchoId) -> Option<Event> {
        let pending = core::mem::take(&mut self.sockets.get_mut(id)?.pending);
        (!pending.is_empty()).then_some(Event::Echo(id, pending))
    }
}

impl Stack {
    /// Opens an echo socket with an identifier, or an unpredictable free one. Replies come into `receive` as records of
    /// [`ring::datagram`]: the port of the remote address is zero, the payload is the sequence number in two bytes, the
    /// upper first, and the data.
    ///
    /// # Errors
    /// [`BindError::InUse`] if another socket has the identifier; [`BindError::NoPorts`] if all are taken.
    pub fn echo_open(&mut self, ident: Option<u16>, receive: Producer) -> Result<EchoId, BindError> {
        let ident = match ident {
            Some(ident) if self.echoes.by_ident.contains_key(&ident) => return Err(BindError::InUse),
            Some(ident) => ident,
            None => {
                let start = self.entropy.next_u16();
                let mut all = (0..=u16::MAX).map(|step| start.wrapping_add(step));
                all.find(|ident| !self.echoes.by_ident.contains_key(ident)).ok_or(BindError::NoPorts)?
            }
        };
        let socket =
            EchoSocket { ident, receive, pending: Readiness::NONE, errors: VecDeque::new(), recent: VecDeque::new() };
        let id = self.echoes.sockets.insert(socket);
        self.echoes.by_ident.insert(ident, id);
        Ok(id)
    }

    /// Sends an echo request.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn echo_send(
        &mut self,
        now: Instant,
        id: EchoId,
        destination: IpAddr,
        seq: u16,
        data: &[u8],
        options: EchoOptions,
    ) -> Result<(), SendError> {
        let sent = self.send_echo_request(now, id, destination, seq, data, options);
        self.settle(now);
        sent
    }

    fn send_echo_request(
        &mut self,
        now: Instant,
        id: EchoId,
        destination: IpAddr,
        seq: u16,
        data: &[u8],
        options: EchoOptions,
    ) -> Result<(), SendError> {
        let ident = self.echoes.sockets.get(id).ok_or(SendError::NoSocket)?.ident;
        if destination.is_ipv6() {
            // ICMPv6 is not spoken yet.
            return Err(SendError::NoRoute);
        }
        let most = usize::from(u16::MAX) - ipv4::HEADER_LEN - HEADER_LEN;
        if data.len() > most {
            return Err(SendError::TooBig(most));
        }
        let way = self.net.way(destination, None, None)?;
        if way.hop == Hop::Broadcast {
            return Err(SendError::Broadcast);
        }
        let default = if matches!(way.hop, Hop::Group(_)) { 1 } else { self.net.default_hop_limit };
        let fields = IpFields {
            source: way.source,
            destination,
            protocol: Protocol::ICMP,
            hop_limit: options.ttl.unwrap_or(default),
            tos: options.tos,
            dont_fragment: options.dont_fragment,
        };
        let message = Icmpv4Message::EchoRequest { ident, seq, data };
        let mut buffer = self.net.packet_buffer(way.interface, true, message.len());
        message.emit(buffer.payload());
        self.net.ip_output(now, &way, &fields, Class::Data, buffer).map_err(|error| match error {
            OutputError::QueueFull => SendError::QueueFull,
            OutputError::TooBig(mtu) => SendError::TooBig((mtu as usize).saturating_sub(ipv4::HEADER_LEN + HEADER_LEN)),
        })?;
        if let Some(socket) = self.echoes.sockets.get_mut(id)
            && !socket.recent.contains(&destination)
        {
            socket.recent.truncate(RECENT - 1);
            socket.recent.push_front(destination);
        }
        Ok(())
    }

    /// The identifier of a socket.
    #[must_use]
    pub fn echo_ident(&self, id: EchoId) -> Option<u16> {
        self.echoes.sockets.get(id).map(|socket| socket.ident)
    }

    /// The oldest error that was not told yet.
    pub fn echo_take_error(&mut self, id: EchoId) -> Option<EchoError> {
        self.echoes.sockets.get_mut(id)?.errors.pop_front()
    }

    /// Closes an echo socket.
    pub fn echo_close(&mut self, id: EchoId) {
        if let Some(socket) = self.echoes.sockets.remove(id) {
            self.echoes.by_ident.remove(&socket.ident);
        }
    }

    /// Any-address mode: answers a request in the name of the address it was sent to.
    pub fn echo_reply(&mut self, now: Instant, request: &IncomingEcho) {
        let IncomingEcho { local, remote, tos, ident, seq, ref data, .. } = *request;
        self.send_echo_reply(now, &EchoAnswer { local, remote, tos, ident, seq, data });
        self.settle(now);
    }

    /// Any-address mode: reports to the sender of a request why there will be no reply.
    pub fn echo_refuse(&mut self, now: Instant, request: &IncomingEcho, kind: ErrorKind) {
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (request.remote, request.local) else { return };
        let message = Icmpv4Message::EchoRequest { ident: request.ident, seq: request.seq, data: &request.data };
        let header = ipv4::Ipv4Header::new(src, dst, Protocol::ICMP, request.ttl, message.len());
        let mut packet = alloc::vec![0; header.len() + message.len()];
        let at = header.emit(&mut packet);
        message.emit(&mut packet[at..]);
        self.net.report(now, request.interface, &packet, false, Report::Error(kind));
        self.settle(now);
    }

    /// An echo reply arrived.
    pub(crate) fn echo_reply_input(&mut self, delivery: &Delivery<'_>, ident: u16, seq: u16, data: &[u8]) {
        let Some(&id) = self.echoes.by_ident.get(&ident) else { return self.net.discard(Discard::IcmpIgnored) };
        let record = Record {
            remote: SocketAddr::new(delivery.source, 0),
            local: Some(delivery.destination),
            interface: delivery.interface.index() + 1,
            tos: delivery.tos,
            ttl: delivery.hop_limit,
        };
        let seq = seq.to_be_bytes();
        let payload = [ring::Span::from_slice(&seq), ring::Span::from_slice(data)];
        let Some(socket) = self.echoes.sockets.get_mut(id) else { return };
        if datagram::push_spans(&mut socket.receive, &record, &payload).is_err() {
            return self.net.discard(Discard::EchoQueueFull);
        }
        self.notify_echo(id, Readiness::READABLE);
    }

    /// An error quotes an echo request to `destination`.
    pub(crate) fn echo_error(
        &mut self,
        now: Instant,
        from: IpAddr,
        destination: IpAddr,
        ident: u16,
        seq: u16,
        kind: ErrorKind,
    ) {
        let id = self.echoes.by_ident.get(&ident).copied();
        let Some(socket) = id.and_then(|id| self.echoes.sockets.get_mut(id)) else {
            return self.net.discard(Discard::IcmpUnmatched);
        };
        if !socket.recent.contains(&destination) {
            return self.net.discard(Discard::IcmpUnmatched);
        }
        if socket.errors.len() >= ERRORS {
            socket.errors.pop_front();
        }
        socket.errors.push_back(EchoError { destination, seq, from, kind });
        if let ErrorKind::FragmentationNeeded(mtu) = kind
            && mtu > 0
        {
            self.net.lower_path_mtu(now, destination, mtu);
        }
        if let Some(id) = id {
            self.notify_echo(id, Readiness::ERROR);
        }
    }

    /// A request came to an address that is not ours: the owner decides.
    pub(crate) fn echo_incoming(&mut self, delivery: &Delivery<'_>, ident: u16, seq: u16, data: &[u8]) {
        if self.echoes.incoming >= INCOMING {
            return self.net.discard(Discard::EventQueue);
        }
        self.echoes.incoming += 1;
        self.events.push(Event::EchoIncoming(IncomingEcho {
            interface: delivery.interface,
            local: delivery.destination,
            remote: delivery.source,
            ident,
            seq,
            ttl: delivery.hop_limit,
            tos: delivery.tos,
            data: data.to_vec(),
        }));
    }

    fn notify_echo(&mut self, id: EchoId, change: Readiness) {
        let Some(socket) = self.echoes.sockets.get_mut(id) else { return };
        let first = socket.pending.is_empty();
        socket.pending |= change;
        if first {
            self.events.push(Event::Echo(id, Readiness::NONE));
        }
    }
}
