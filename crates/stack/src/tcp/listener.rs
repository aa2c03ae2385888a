//! Listeners: who waits for connections, and the queues before `accept` (RFC 9293 section 3.10.7.2, RFC 4987).
//!
//! A listener is not a connection. Handshakes under way stand in the engine's SYN queue (`syn_queue`), complete ones in
//! the listener's own. A full queue answers nothing: the peer's SYN, or its ACK, comes again, and by then there may be room. Nobody is reset for want of
//! it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wire::tcp::{SeqNum, TcpFlags};

use crate::Discard;
use crate::config::TcpConfig;
use crate::entropy::Key;
use crate::event::{Event, Events};
use crate::handle::Table;
use crate::link::InterfaceId;
use crate::network::Network;
use crate::ports::{self, BindError};
use crate::tcp::aside::Shelf;
use crate::tcp::buffers::begin_buffers;
use crate::tcp::commands::path_mss;
use crate::tcp::connection::{Birth, Connection, Flags, Parked, window_scale};
use crate::tcp::demux::{Flow, Holder};
use crate::tcp::fast_open::Ticket;
use crate::tcp::handshake::PeerSyn;
use crate::tcp::input::Incoming;
use crate::tcp::options::{ApplicationRings, SocketOptions, StreamRings, heap_rings};
use crate::tcp::phase::Phase;
use crate::tcp::reset::Reset;
use crate::tcp::syn_cookies::SynCookies;
use crate::tcp::syn_queue::HalfOpen;
use crate::tcp::time_wait::{self, Remains, Verdict};
use crate::tcp::timestamps::Timestamps;
use crate::tcp::{ConnectionId, Context, ListenerId, ListenerKind, Tcp};
use crate::time::Instant;

/// Makes the rings of a connection that comes in.
pub type RingSource = Box<dyn FnMut() -> (StreamRings, ApplicationRings) + Send>;

/// How to listen.
#[non_exhaustive]
pub struct ListenOptions {
    /// Complete connections that wait for `accept` at most. Default 4,096.
    pub backlog: usize,
    /// Handshakes under way at most. Default 4,096.
    pub handshakes: usize,
    /// SO_REUSEADDR: a wildcard and a specific address may share the port.
    pub reuse_address: bool,
    /// SO_REUSEPORT: several listeners that all set it may have the same address and port. Each connection goes to one of
    /// them, chosen by a keyed hash of its addresses and ports. When one of them ends, what stood in its queues is reset
    /// and its share of later connections spreads over the others, who keep theirs.
    pub reuse_port: bool,
    /// TCP_FASTOPEN: text on a SYN is taken at once from peers that hold a cookie (RFC 7413), for so many connections at most
    /// whose handshake is not complete; `None` is off. A SYN that is repeated may then bring its text twice, so only for
    /// protocols whose requests may come twice.
    pub fast_open: Option<usize>,
    /// Settings that accepted connections begin with.
    pub socket: SocketOptions,
    /// Where their rings come from; `None` makes them on the heap, with the engine's limits.
    pub rings: Option<RingSource>,
    /// The most that a receive ring of `rings` holds, in bytes: the SYN-ACK announces it, and the rings are made later.
    /// `None`: [`TcpConfig::receive_buffer`](crate::config::TcpConfig::receive_buffer).
    pub receive_buffer: Option<usize>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 4_096,
            handshakes: 4_096,
            reuse_address: false,
            reuse_port: false,
            fast_open: None,
            socket: SocketOptions::default(),
            rings: None,
            receive_buffer: None,
        }
    }
}

/// A connection that was taken from a listener's queue, or admitted in any-address mode.
pub struct Accepted {
    /// Its handle.
    pub connection: ConnectionId,
    /// The address and port that the peer asked for.
    pub local: SocketAddr,
    /// The peer.
    pub remote: SocketAddr,
    /// The application's halves of its rings.
    pub rings: ApplicationRings,
}

/// What a listener keeps of its [`ListenOptions`].
pub(crate) struct Settings {
    pub backlog: usize,
    pub handshakes: usize,
    pub reuse_address: bool,
    pub reuse_port: bool,
    pub fast_open: Option<usize>,
    /// Shared with the connections that come in.
    pub socket: Arc<SocketOptions>,
    pub rings: Option<RingSource>,
    pub receive_buffer: Option<usize>,
}

impl Settings {
    /// Handshakes that may begin by the short way: as many as may at all, or none where SYN-ACKs say more than usual.
    pub(crate) fn plain_handshakes(&self) -> usize {
        if self.socket.user_timeout_option.is_some() { 0 } else { self.handshakes }
    }

    /// The first window and the shift of all later ones that connections offer.
    pub(crate) fn offer(&self, config: &TcpConfig) -> (u16, u8) {
        let most = self.receive_buffer.unwrap_or(config.receive_buffer as usize);
        let fixed = self.socket.receive_buffer.map(|size| size as usize);
        let scale = if config.window_scaling { window_scale(most.max(fixed.unwrap_or(0))) } else { 0 };
        let room = fixed.unwrap_or(most.min(config.receive_start as usize));
        // RFC 7323 section 2.2: the window of a SYN-ACK is not scaled.
        (u16::try_from(room).unwrap_or(u16::MAX), scale)
    }
}

/// One listener.
pub(crate) struct Listener {
    pub local: SocketAddr,
    pub options: Settings,
    /// As [`Settings::plain_handshakes`] says.
    pub plain_handshakes: usize,
    /// Its entries in the SYN queue.
    pub handshakes: usize,
    /// Complete, in the order of completion.
    pub queue: VecDeque<ConnectionId>,
    /// The first window and the shift of all later ones that its connections offer.
    pub offer: (u16, u8),
    /// An event stands in the owner's queue.
    pub told: bool,
    /// Connections that were opened by Fast Open and whose SYN-ACK is not acknowledged.
    pub pending: usize,
    /// Until when those of them that were reset still count.
    pub fast_open_resets: VecDeque<Instant>,
}

impl Listener {
    /// Whether there is no room for another complete connection.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= self.options.backlog.max(1)
    }

    /// A handshake with this listener, whose name is `own`, is complete: the connection waits to be accepted.
    #[inline]
    pub(super) fn line_up(&mut self, events: &mut Events, connection: ConnectionId, own: ListenerId) {
        self.queue.push_back(connection);
        if !core::mem::replace(&mut self.told, true) {
            events.push_accept(own);
        }
    }

    /// How many connections count as opened by Fast Open and not proven.
    pub(crate) fn fast_open_pending(&self, now: Instant) -> usize {
        self.pending + self.fast_open_resets.iter().filter(|&&until| now < until).count()
    }
}

/// All listeners.
pub(crate) struct Listeners {
    pub table: Table<ListenerKind, Listener>,
    by_port: BTreeMap<u16, Vec<ListenerId>>,
    /// The port that was asked for last, and who alone listens there: the next SYN most likely asks again.
    sole: Cell<Option<(u16, ListenerId)>>,
    /// Steers connections among listeners that share an address.
    key: Key,
}

impl Listeners {
    pub(crate) const fn new(key: Key) -> Self {
        Self { table: Table::new(), by_port: BTreeMap::new(), sole: Cell::new(None), key }
    }

    /// Whether a listener on `local` would clash with one that is there.
    fn clashes(&self, local: SocketAddr, options: &ListenOptions) -> bool {
        self.on_port(local.port()).any(|(_, other)| {
            if options.reuse_port && other.options.reuse_port {
                return false;
            }
            if other.local.ip() == local.ip() {
                return true;
            }
            let overlap = covers(other.local.ip(), local.ip()) || covers(local.ip(), other.local.ip());
            overlap && !(options.reuse_address && other.options.reuse_address)
        })
    }

    pub(crate) fn insert(&mut self, listener: Listener) -> ListenerId {
        let port = listener.local.port();
        let id = self.table.insert(listener);
        self.sole.set(None);
        self.by_port.entry(port).or_default().push(id);
        id
    }

    pub(crate) fn remove(&mut self, id: ListenerId) -> Option<Listener> {
        let listener = self.table.remove(id)?;
        self.sole.set(None);
        let port = listener.local.port();
        if let Some(ids) = self.by_port.get_mut(&port) {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.by_port.remove(&port);
            }
        }
        Some(listener)
    }

    /// Whether anybody listens on `port`.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        self.by_port.contains_key(&port)
    }

    /// Who takes a connection of `flow`: the most specific one, and of several with the same address one chosen by the
    /// flow.
    #[inline(always)]
    pub(crate) fn find(&self, flow: &Flow) -> Option<ListenerId> {
        if let Some((port, id)) = self.sole.get()
            && port == flow.local_port
        {
            return self.table.get(id).filter(|listener| covers(listener.local.ip(), flow.local)).map(|_| id);
        }
        self.find_anew(flow)
    }

    /// The same, to change it.
    #[inline(always)]
    pub(super) fn find_mut(&mut self, flow: &Flow) -> Option<(ListenerId, &mut Listener)> {
        let id = self.find(flow)?;
        let listener = self.table.get_mut(id)?;
        Some((id, listener))
    }

    #[inline(never)]
    fn find_anew(&self, flow: &Flow) -> Option<ListenerId> {
        if let Some(&[id]) = self.by_port.get(&flow.local_port).map(Vec::as_slice) {
            // Nearly always there is one, and nothing to choose.
            self.sole.set(Some((flow.local_port, id)));
            return self.table.get(id).filter(|listener| covers(listener.local.ip(), flow.local)).map(|_| id);
        }
        let takers = || self.on_port(flow.local_port).filter(|(_, listener)| covers(listener.local.ip(), flow.local));
        let (_, best) = takers().max_by_key(|(_, listener)| !listener.local.ip().is_unspecified())?;
        let address = best.local.ip();
        let mut group = takers().filter(|(_, listener)| listener.local.ip() == address);
        let first = group.next().map(|(id, _)| id);
        let Some(second) = group.next() else { return first };
        let hash = flow.hash(self.key);
        let members = first.into_iter().chain([second.0]).chain(group.map(|(id, _)| id));
        members.max_by_key(|id| ports::suits(hash, id.to_bits()))
    }

    fn on_port(&self, port: u16) -> impl Iterator<Item = (ListenerId, &Listener)> {
        self.by_port.get(&port).into_iter().flatten().filter_map(|&id| Some((id, self.table.get(id)?)))
    }
}

/// Whether a socket bound to `bound` takes what is sent to `address`.
#[inline]
fn covers(bound: IpAddr, address: IpAddr) -> bool {
    match bound {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.is_ipv4(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.is_ipv6(),
        _ => bound == address,
    }
}

/// Where a SYN came in, and what its connection's number must lie above if RFC 6191 gives it an old one's place.
struct Request {
    interface: InterfaceId,
    flow: Flow,
    above: Option<SeqNum>,
}

impl Tcp {
    /// A segment for no connection that lives, and no handshake that waits.
    pub(crate) fn on_stray(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        interface: InterfaceId,
        flow: Flow,
        segment: &mut Incoming<'_>,
        options: &[u8],
    ) -> Result<(), Discard> {
        let mut before = None;
        match self.time_wait.on_segment(&self.hasher, now, &flow, segment) {
            Verdict::Unknown => {}
            Verdict::Ignored => return Err(Discard::TcpBadReset),
            Verdict::Reuse(remains) => before = Some(remains),
            Verdict::Acknowledge(remains, restarted) => {
                self.answer_from_time_wait(now, context, &flow, &remains, restarted);
                return if restarted { Ok(()) } else { Err(Discard::TcpAfterClose) };
            }
        }
        let flags = segment.header.flags;
        let is_request =
            flags.contains(TcpFlags::SYN) && !flags.contains(TcpFlags::ACK) && !flags.contains(TcpFlags::RST);
        if is_request {
            let above = before.map(|remains| remains.snd_nxt);
            let request = Request { interface, flow, above };
            if let Some(listener) = self.listeners.find(&flow) {
                return self.on_request(now, context, request, segment, options, listener);
            }
            // Any-address mode: whatever nobody here listens on is the owner's to decide.
            if context.net.is_any_address(interface) {
                return self.on_unknown_request(now, context, request, segment);
            }
        }
        if let Some(remains) = before {
            // Nobody takes the place, so the old connection keeps it.
            self.answer_from_time_wait(now, context, &flow, &remains, false);
            return Err(Discard::TcpAfterClose);
        }
        let outcome = match self.open_cookie(now, interface, &flow, segment) {
            Ok(half) => return self.complete_handshake(now, context, &half, segment),
            Err(reason @ Discard::TcpBacklog) => return Err(reason),
            Err(reason) => Err(reason),
        };
        if let Some(reset) = Reset::answer(segment) {
            reset.send(now, context.net, &flow);
        }
        outcome
    }

    /// An acknowledgement for a connection that is over: always if `owed`, else within the limit on challenges.
    fn answer_from_time_wait(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        flow: &Flow,
        remains: &Remains,
        owed: bool,
    ) {
        if owed || self.challenge.allow(now) {
            let clock = Timestamps::new(self.isn.timestamp_offset(flow));
            time_wait::acknowledge(now, context.net, flow, remains, clock.value(now));
        }
    }

    /// A SYN for a listener.
    fn on_request(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        request: Request,
        segment: &mut Incoming<'_>,
        options: &[u8],
        id: ListenerId,
    ) -> Result<(), Discard> {
        if !self.has_memory(context.events) {
            return Err(Discard::TcpMemory);
        }
        let Some(listener) = self.listeners.table.get(id) else { return Err(Discard::TcpNoConnection) };
        if listener.is_full() {
            return Err(Discard::TcpBacklog);
        }
        let Request { interface, flow, above } = request;
        // Whoever takes the place of a connection in TIME-WAIT has completed a handshake before, and a cookie could not
        // keep its number above the old one's (RFC 6191 section 2).
        let crowded = above.is_none() && listener.handshakes >= listener.options.handshakes
            || self.syn_queue.len() >= self.config.half_open_limit;
        let syn = PeerSyn::of(&segment.header, flow.remote, &self.config);
        let mut half = Self::half_open(now, flow, interface, id, syn, SeqNum(0));
        let exchanges = listener.options.socket.user_timeout_option.is_some();
        half.user_timeout = segment.header.options.user_timeout.filter(|_| exchanges);
        half.says_more = exchanges;
        match self.ticket(now, &flow, id, options, segment.payload) {
            Ticket::None => {}
            Ticket::Grant => (half.grant, half.says_more) = (true, true),
            Ticket::Valid { renew } => {
                let isn = self.isn_above(now, &flow, above);
                return self.answer_fast_open(
                    now,
                    context,
                    HalfOpen { isn, grant: renew, says_more: renew || exchanges, ..half },
                    segment,
                );
            }
        }
        match self.config.syn_cookies {
            SynCookies::WhenFull if crowded && above.is_none() => self.answer_with_cookie(now, context.net, half),
            SynCookies::Always if above.is_none() => self.answer_with_cookie(now, context.net, half),
            _ if crowded => Err(Discard::TcpBacklog),
            _ => {
                let isn = self.isn_above(now, &flow, above);
                self.begin_handshake(HalfOpen { isn, ..half });
                Ok(())
            }
        }
    }

    /// Our initial sequence number for `flow`.
    fn isn_above(&mut self, now: Instant, flow: &Flow, above: Option<SeqNum>) -> SeqNum {
        let isn = self.isn.isn(now, flow);
        let Some(above) = above else { return isn };
        self.time_wait.remove(&self.hasher, flow);
        // RFC 6191 section 2: the new incarnation's numbers lie above the old one's.
        if isn.after(above) { isn } else { above + 64_000 }
    }

    /// Any-address mode: a SYN that is the owner's to decide about.
    fn on_unknown_request(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        request: Request,
        segment: &Incoming<'_>,
    ) -> Result<(), Discard> {
        if self.held >= self.config.held_limit {
            return Err(Discard::TcpBacklog);
        }
        if !self.reserve_connection(context.events) {
            return Err(Discard::TcpMemory);
        }
        self.held += 1;
        let Request { interface, flow, above } = request;
        let (mut rings, application) =
            heap_rings(self.config.send_buffer as usize, self.config.receive_buffer as usize);
        self.memory.adopt(&rings);
        let socket = SocketOptions::default();
        let birth = Birth {
            flow: &flow,
            interface,
            isn: self.isn_above(now, &flow, above),
            mss: path_mss(context.net, interface, &flow, &socket),
            timestamp_offset: self.isn.timestamp_offset(&flow),
            options: self.shared_options(&socket),
            offering: begin_buffers(&mut rings, &socket, &self.config),
            aside: Shelf::EMPTY,
        };
        let mut connection = Connection::new(now, Phase::SynReceived, birth, rings, &self.config);
        connection.on_peer_syn(now, &PeerSyn::of(&segment.header, flow.remote, &self.config), &self.config);
        connection.aside.park(Parked { rings: Some(application), origin: None, offer: None });
        connection.flags.set(Flags::HELD);
        connection.flags.set(Flags::OWNED);
        let hash = self.hasher.of(&flow);
        let id = self.connections.insert_noted(connection, hash);
        self.demux.insert_hashed(hash, &flow, Holder::Connection(id.index()));
        context.events.push(Event::TcpIncoming {
            connection: id,
            local: flow.local_socket(),
            remote: flow.remote_socket(),
        });
        Ok(())
    }

    /// A handshake is complete: the connection waits to be accepted.
    #[inline]
    pub(crate) fn offer(&mut self, events: &mut Events, id: ConnectionId, listener: ListenerId) {
        let Some(entry) = self.listeners.table.get_mut(listener) else { return };
        entry.line_up(events, id, listener);
    }

    /// Listens on `local`; an unspecified address takes connections to any of ours, port 0 a free port.
    pub(crate) fn listen(
        &mut self,
        net: &Network,
        entropy: &mut crate::entropy::Entropy,
        local: SocketAddr,
        options: ListenOptions,
    ) -> Result<ListenerId, BindError> {
        if !local.ip().is_unspecified() && !net.is_local_address(local.ip()) {
            return Err(BindError::NotAvailable);
        }
        let port = match local.port() {
            0 => self.free_listen_port(entropy).ok_or(BindError::NoPorts)?,
            port => port,
        };
        let local = SocketAddr::new(local.ip(), port);
        if self.listeners.clashes(local, &options) {
            return Err(BindError::InUse);
        }
        let ListenOptions { backlog, handshakes, reuse_address, reuse_port, fast_open, socket, rings, receive_buffer } =
            options;
        let socket = self.shared_options(&socket);
        let options =
            Settings { backlog, handshakes, reuse_address, reuse_port, fast_open, socket, rings, receive_buffer };
        let listener = Listener {
            local,
            offer: options.offer(&self.config),
            plain_handshakes: options.plain_handshakes(),
            options,
            handshakes: 0,
            queue: VecDeque::new(),
            told: false,
            pending: 0,
            fast_open_resets: VecDeque::new(),
        };
        Ok(self.listeners.insert(listener))
    }
}
