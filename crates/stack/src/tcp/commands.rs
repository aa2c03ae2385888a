//! What the owner of the engine asks of TCP (RFC 9293 section 3.9.1, in the words of POSIX).

use alloc::sync::Arc;
use core::hint::cold_path;
use core::net::SocketAddr;

use device::Device;

use crate::entropy::Entropy;
use crate::event::Readiness;
use crate::ip::icmp::ErrorKind;
use crate::ip::icmp::output::Report;
use crate::link::InterfaceId;
use crate::network::{Network, Path};
use crate::ports::{self, BindError};
use crate::stack::Stack;
use crate::tcp::aside::Shelf;
use crate::tcp::buffers::begin_buffers;
use crate::tcp::connection::{Birth, Connection, Flags};
use crate::tcp::counters::TcpCounters;
use crate::tcp::demux::{Flow, Holder};
use crate::tcp::error::{ConnectError, TcpError};
use crate::tcp::info::TcpInfo;
use crate::tcp::listener::{Accepted, ListenOptions};
use crate::tcp::memory::TcpMemory;
use crate::tcp::options::{SocketOption, SocketOptions, StreamRings};
use crate::tcp::phase::Phase;
use crate::tcp::reset::Reset;
use crate::tcp::{ConnectionId, Context, ListenerId, Tcp, mss_of};
use crate::time::Instant;

/// How to connect.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// The local address and port; unspecified or `None` and port 0 leave the choice to the engine.
    pub local: Option<SocketAddr>,
    /// The connection's settings.
    pub socket: SocketOptions,
    /// TCP_FASTOPEN_CONNECT (RFC 7413): the SYN takes along what was written into the send ring before it leaves, if the
    /// server has given a cookie before; otherwise it asks for one. A server may get such text twice.
    pub fast_open: bool,
}

/// How the owner turns a connection request down in any-address mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// With a reset: connection refused.
    Reset,
    /// With an ICMP error.
    Unreachable(ErrorKind),
    /// With silence: the peer tries again, and gives up by time.
    Silent,
}

impl Stack {
    /// Opens a connection to `remote`. [`Readiness::CONNECTED`] tells when it stands, [`Readiness::CLOSED`] that it
    /// failed; what is written into the rings meanwhile is sent once it stands.
    ///
    /// # Errors
    /// [`ConnectError`], at once, for what can never be.
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        options: &ConnectOptions,
        rings: StreamRings,
    ) -> Result<ConnectionId, ConnectError> {
        let (tcp, mut context) = self.tcp_context();
        tcp.connect(now, &mut context, remote, options, rings)
    }

    /// Listens on `local`: an unspecified address takes connections to any of ours, port 0 a free port.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn tcp_listen(&mut self, local: SocketAddr, options: ListenOptions) -> Result<ListenerId, BindError> {
        let (tcp, context) = self.tcp_context();
        tcp.listen(context.net, context.entropy, local, options)
    }

    /// The address and port of a listener.
    #[must_use]
    pub fn tcp_listener_address(&self, listener: ListenerId) -> Option<SocketAddr> {
        self.tcp.listeners.table.get(listener).map(|listener| listener.local)
    }

    /// Changes the settings that connections of a listener begin with, from the next handshake on.
    pub fn tcp_listener_set_options(&mut self, listener: ListenerId, options: SocketOptions) {
        let shared = self.tcp.shared_options(&options);
        if let Some(listener) = self.tcp.listeners.table.get_mut(listener) {
            listener.options.socket = shared;
            listener.offer = listener.options.offer(&self.tcp.config);
            listener.plain_handshakes = listener.options.plain_handshakes();
        }
        if options.user_timeout_option.is_some() {
            // Those under way tell it, too.
            for index in self.tcp.syn_queue.pick(|half| half.listener == listener) {
                self.tcp.syn_queue.at_mut(index).says_more = true;
            }
        }
    }

    /// How many connections wait to be accepted.
    #[must_use]
    pub fn tcp_waiting(&self, listener: ListenerId) -> usize {
        self.tcp.listeners.table.get(listener).map_or(0, |listener| listener.queue.len())
    }

    /// The oldest connection that waits to be accepted.
    pub fn tcp_accept(&mut self, now: Instant, listener: ListenerId) -> Option<Accepted> {
        let (tcp, mut context) = self.tcp_context();
        tcp.accept(now, &mut context, listener)
    }

    /// Ends a listener. Connections that nobody has accepted are reset.
    pub fn tcp_unlisten(&mut self, now: Instant, listener: ListenerId) {
        let (tcp, mut context) = self.tcp_context();
        tcp.unlisten(now, &mut context, listener);
    }

    /// Any-address mode: takes the connection that [`Event::TcpIncoming`](crate::Event::TcpIncoming) told of. The peer is
    /// answered now; [`Readiness::CONNECTED`] follows. `None` if it has given up meanwhile.
    pub fn tcp_admit(&mut self, now: Instant, connection: ConnectionId) -> Option<Accepted> {
        let (tcp, mut context) = self.tcp_context();
        tcp.admit(now, &mut context, connection)
    }

    /// Any-address mode: turns it down.
    pub fn tcp_refuse(&mut self, now: Instant, connection: ConnectionId, refusal: Refusal) {
        let (tcp, mut context) = self.tcp_context();
        tcp.refuse(now, &mut context, connection, refusal);
    }

    /// The application has written into its send ring, or finished it: then a FIN follows the last byte.
    #[inline]
    pub fn tcp_wrote(&mut self, now: Instant, connection: ConnectionId) {
        let tcp = &mut self.tcp;
        if !tcp.has_train()
            && let Some(entry) = tcp.connections.get_mut(connection)
            && entry.is_at_leisure()
            && entry.may_say_more()
        {
            // What there is to send is planned when the device asks for it, and what follows from it then.
            entry.restart_if_idle(now, &tcp.config);
            tcp.ready.enter(entry, connection.index());
            return;
        }
        self.take_in_what_was_written(now, connection);
    }

    /// As [`tcp_wrote`](Self::tcp_wrote) and then [`poll_transmit`](Self::poll_transmit), for an owner that has the device at
    /// hand: a request or a response leaves in this call, without having to be found again. Returns what `poll_transmit` does.
    #[inline]
    pub fn tcp_push(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        interface: InterfaceId,
        device: &mut dyn Device,
    ) -> bool {
        let alone = self.is_calm() && interface != self.net.loopback;
        if alone && self.tcp.push_message(now, &mut self.net, interface, device, connection) {
            device.flush();
            return true;
        }
        cold_path();
        self.tcp_wrote(now, connection);
        self.poll_transmit(now, interface, device)
    }

    #[inline(never)]
    fn take_in_what_was_written(&mut self, now: Instant, connection: ConnectionId) {
        self.end_train();
        let tcp = &mut self.tcp;
        let Some(entry) = tcp.connections.get_mut(connection) else { return };
        if entry.may_say_more() && entry.has_free_text() {
            entry.restart_if_idle(now, &tcp.config);
            tcp.ready.enter(entry, connection.index());
            return;
        }
        if entry.may_finish_at_once() {
            entry.restart_if_idle(now, &tcp.config);
            entry.flags.set(Flags::FINISHED);
            entry.phase = entry.phase.on_finish();
            tcp.ready.enter(entry, connection.index());
            return;
        }
        self.change_connection(now, connection, |connection, config| {
            if connection.flags.has(Flags::FINISHED) {
                return;
            }
            connection.restart_if_idle(now, config);
            if connection.send.is_producer_finished() {
                connection.flags.set(Flags::FINISHED);
                connection.phase = connection.phase.on_finish();
            }
        });
    }

    /// As [`tcp_wrote`](Self::tcp_wrote), where all that was written before `end` is urgent (RFC 9293 section 3.8.5): a
    /// position of the send ring, as its producer counts. What was not written yet is urgent when it comes: who writes
    /// from another thread says so first, and no byte leaves without the mark.
    pub fn tcp_wrote_urgent(&mut self, now: Instant, connection: ConnectionId, end: u64) {
        self.change_connection(now, connection, |connection, config| {
            if !connection.flags.has(Flags::FINISHED) {
                connection.restart_if_idle(now, config);
                connection.mark_urgent(end);
            }
        });
    }

    /// How far the peer's urgent data reaches: the position of the receive ring, as its consumer counts, that follows the
    /// last urgent byte, which may still be on its way. `None` if there never was any.
    ///
    /// Until the owner has told the reader, and [said so](Self::tcp_urgent_told), the ring is
    /// marked (`Consumer::is_marked`).
    #[must_use]
    pub fn tcp_urgent_mark(&self, connection: ConnectionId) -> Option<u64> {
        self.tcp.connections.get(connection)?.urgent_mark()
    }

    /// The reader knows of the mark.
    pub fn tcp_urgent_told(&mut self, connection: ConnectionId) {
        if let Some(connection) = self.tcp.connections.get_mut(connection) {
            connection.receive.mark(false);
        }
    }

    /// The application has read from its receive ring: the window may open. No window is offered for a few bytes (RFC 9293
    /// section 3.8.6.2.2): who reads little at a time may say so once it has read an eighth of the ring's limit, or 8 KiB where
    /// that is less, and when it is to wait, that memory can be given back.
    #[inline]
    pub fn tcp_read(&mut self, now: Instant, connection: ConnectionId) {
        let tcp = &self.tcp;
        if !tcp.has_train()
            && let Some(entry) = tcp.connections.get(connection)
            && entry.has_read_little(&tcp.config, &tcp.memory.budget)
        {
            return;
        }
        self.take_in_what_was_read(now, connection);
    }

    #[inline(never)]
    fn take_in_what_was_read(&mut self, now: Instant, connection: ConnectionId) {
        self.end_train();
        let (tcp, mut context) = self.tcp_parts();
        let Some(entry) = tcp.connections.get_mut(connection) else { return };
        let before = entry.phase;
        if matches!(before, Phase::Closed | Phase::TimeWait) {
            return;
        }
        entry.resize_receive_buffer(now, &tcp.config, &tcp.memory.budget);
        entry.on_read();
        if !entry.flags.has(Flags::ACK_NOW) && !entry.is_quiet() && !entry.is_corrupt() {
            // Nothing follows from a window that stays as it is.
            return;
        }
        entry.rest_if_idle(now, &tcp.config);
        tcp.settle(now, &mut context, connection.index(), before);
    }

    /// The application reads no more: what still comes is acknowledged and thrown away, as after `shutdown(SHUT_RD)`.
    pub fn tcp_shutdown_read(&mut self, now: Instant, connection: ConnectionId) {
        self.change_connection(now, connection, |connection, _| {
            connection.flags.set(Flags::READ_SHUT);
            connection.receive.finish();
        });
    }

    /// The application lets go. What it wrote is still sent; if it has not read everything, or asked for it with
    /// [`SocketOptions::reset_on_close`], the connection is reset. The handle is void from now on.
    pub fn tcp_close(&mut self, now: Instant, connection: ConnectionId) {
        let (tcp, mut context) = self.tcp_context();
        tcp.close(now, &mut context, connection);
    }

    /// Ends the connection with a reset, throwing away what was not sent. The handle is void from now on.
    pub fn tcp_abort(&mut self, now: Instant, connection: ConnectionId) {
        let (tcp, mut context) = self.tcp_context();
        tcp.abort(now, &mut context, connection);
    }

    /// Takes the error that ended the connection (SO_ERROR).
    pub fn tcp_error(&mut self, connection: ConnectionId) -> Option<TcpError> {
        self.tcp.connections.get_mut(connection)?.error.take()
    }

    /// The connection's state; `Closed` also for a void handle.
    #[must_use]
    pub fn tcp_phase(&self, connection: ConnectionId) -> Phase {
        self.tcp.connections.get(connection).map_or(Phase::Closed, |connection| connection.phase)
    }

    /// The connection's two ends: ours and the peer's.
    #[must_use]
    pub fn tcp_addresses(&self, connection: ConnectionId) -> Option<(SocketAddr, SocketAddr)> {
        let flow = self.tcp.connections.get(connection)?.flow;
        Some((flow.local_socket(), flow.remote_socket()))
    }

    /// The connection's inner figures.
    #[must_use]
    pub fn tcp_info(&self, connection: ConnectionId) -> Option<TcpInfo> {
        Some(TcpInfo::of(self.tcp.connections.get(connection)?, &self.tcp.config))
    }

    /// The connection's settings.
    #[must_use]
    pub fn tcp_options(&self, connection: ConnectionId) -> Option<&SocketOptions> {
        Some(&self.tcp.connections.get(connection)?.options)
    }

    /// Changes one setting.
    pub fn tcp_set_option(&mut self, now: Instant, connection: ConnectionId, option: SocketOption) {
        match option {
            SocketOption::Cork(on) => return self.cork(now, connection, on),
            SocketOption::QuickAck(on) => {
                return self.change_connection(now, connection, |connection, _| connection.set_quick_acks(on));
            }
            _ => {}
        }
        let Some(entry) = self.tcp.connections.get(connection) else { return };
        let mut wanted = SocketOptions::clone(&entry.options);
        wanted.change(option);
        let shared = self.tcp.shared_options(&wanted);
        self.net.forget_flow(connection.to_bits());
        self.change_connection(now, connection, |connection, config| {
            connection.options = shared;
            match option {
                SocketOption::KeepAlive(_) => connection.start_keep_alive(),
                SocketOption::UserTimeout(_) | SocketOption::UserTimeoutOption(_) => {
                    connection.on_user_timeout_set(option, config);
                }
                SocketOption::Congestion(value) => connection.set_congestion(value),
                SocketOption::Pacing(_) | SocketOption::MaxPacingRate(_) => connection.settle_pacing(),
                SocketOption::ReceiveBuffer(value) => {
                    connection.fix_receive_buffer(value);
                    connection.on_read();
                }
                SocketOption::SendBuffer(value) => {
                    connection.fix_send_buffer(value);
                    connection.tell(Readiness::WRITABLE);
                }
                _ => {}
            }
        });
    }

    /// How much memory connections and their rings take, and how short it is. [`Event::TcpMemory`](crate::Event::TcpMemory)
    /// tells of changes.
    pub fn tcp_memory(&mut self) -> TcpMemory {
        self.tcp.memory()
    }

    /// How many connections have a handle or a protocol under way, handshakes in the SYN queue included, and how many are
    /// in TIME-WAIT.
    #[must_use]
    pub fn tcp_counts(&self) -> (usize, usize) {
        (self.tcp.connection_count() + self.tcp.half_open_len(), self.tcp.time_wait_len())
    }

    /// What was counted over all connections.
    #[must_use]
    pub fn tcp_counters(&self) -> TcpCounters {
        self.tcp.counters
    }

    /// Every connection that has a handle: its ends and its state.
    pub fn tcp_connections(&self) -> impl Iterator<Item = (ConnectionId, SocketAddr, SocketAddr, Phase)> + '_ {
        self.tcp.connections.iter().map(|(id, connection)| {
            (id, connection.flow.local_socket(), connection.flow.remote_socket(), connection.phase)
        })
    }

    pub(super) fn change_connection(
        &mut self,
        now: Instant,
        id: ConnectionId,
        change: impl FnOnce(&mut Connection, &crate::tcp::tuning::Tuning),
    ) {
        let (tcp, mut context) = self.tcp_context();
        let Some(connection) = tcp.connections.get_mut(id) else { return };
        let before = connection.phase;
        if matches!(before, Phase::Closed | Phase::TimeWait) {
            return;
        }
        change(connection, &tcp.config);
        tcp.settle(now, &mut context, id.index(), before);
    }
}

impl Tcp {
    /// The one copy of these settings that connections made one after the other share.
    pub(crate) fn shared_options(&mut self, wanted: &SocketOptions) -> Arc<SocketOptions> {
        share(&mut self.options, wanted)
    }

    fn connect(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        remote: SocketAddr,
        options: &ConnectOptions,
        mut rings: StreamRings,
    ) -> Result<ConnectionId, ConnectError> {
        if remote.port() == 0 {
            return Err(ConnectError::BadDestination);
        }
        let bound = options.local.filter(|local| !local.ip().is_unspecified()).map(|local| local.ip());
        if options.local.is_some_and(|local| local.is_ipv4() != remote.is_ipv4()) {
            return Err(ConnectError::BadSource);
        }
        let Path { interface, source, mtu, .. } = context.net.route(remote.ip(), bound)?;
        let mut flow = Flow { local: source, remote: remote.ip(), local_port: 0, remote_port: remote.port() };
        let hash = match options.local.map_or(0, |local| local.port()) {
            0 => self.choose_port(context.entropy, &mut flow).ok_or(ConnectError::NoPort)?,
            port => {
                flow.local_port = port;
                if !self.lives_here(&flow) {
                    return Err(ConnectError::OtherEngine);
                }
                let hash = self.hasher.of(&flow);
                if self.is_taken(hash, &flow) {
                    return Err(ConnectError::InUse);
                }
                hash
            }
        };
        if !self.reserve_connection(context.events) {
            return Err(ConnectError::NoMemory);
        }
        self.memory.adopt(&rings);
        let (isn, timestamp_offset) = self.isn.numbers(now, &flow);
        let shared = self.shared_options(&options.socket);
        let offering = begin_buffers(&mut rings, &shared, &self.config);
        let birth = Birth {
            flow: &flow,
            interface,
            isn,
            mss: mss_within(mtu, &flow, &options.socket),
            timestamp_offset,
            options: shared,
            offering,
            aside: Shelf::EMPTY,
        };
        let (id, place) = self.connections.vacant();
        let mut connection = Connection::new(now, Phase::SynSent, birth, rings, &self.config);
        connection.flags.set(Flags::OWNED.and(Flags::SYN_DUE).and(Flags::QUEUED));
        let placed = place.fill(connection, hash);
        self.demux.insert_hashed(hash, &flow, Holder::Connection(id.index()));
        if (options.fast_open | options.socket.user_timeout_option.is_some())
            && let Some(connection) = placed
        {
            connection.owe_user_timeout();
            if options.fast_open {
                connection.offer_fast_open(now, &mut self.fast_open_cookies);
            }
        }
        self.ready.push(interface, id.index());
        Ok(id)
    }

    /// Whether no new connection may have this four-tuple: it exists, is remembered, or would be its own peer.
    #[inline(always)]
    fn is_taken(&self, hash: u32, flow: &Flow) -> bool {
        self.has_flow(hash, flow) || (flow.local == flow.remote && flow.local_port == flow.remote_port)
    }

    /// Whether the peer's segments of this flow come to this engine, where several share a link.
    fn lives_here(&self, flow: &Flow) -> bool {
        let Some(share) = &self.config.share else { return true };
        share.holds(flow.local_socket(), flow.remote_socket())
    }

    /// Gives `flow` a local port that is free for it. Returns its hash.
    #[inline(always)]
    fn choose_port(&self, entropy: &mut Entropy, flow: &mut Flow) -> Option<u32> {
        let (first, others) = ports::candidates(entropy);
        self.try_port(flow, first).or_else(|| self.choose_among(flow, others))
    }

    #[cold]
    #[inline(never)]
    fn choose_among(&self, flow: &mut Flow, mut ports: impl Iterator<Item = u16>) -> Option<u32> {
        ports.find_map(|port| self.try_port(flow, port))
    }

    /// Gives `flow` this local port. Returns its hash if the port is free for it.
    #[inline(always)]
    fn try_port(&self, flow: &mut Flow, port: u16) -> Option<u32> {
        flow.local_port = port;
        let hash = self.hasher.of(flow);
        let is_free = !self.listeners.has_port(port) && !self.is_taken(hash, flow) && self.lives_here(flow);
        is_free.then_some(hash)
    }

    /// A port that nobody listens on.
    pub(crate) fn free_listen_port(&self, entropy: &mut Entropy) -> Option<u16> {
        ports::choose(entropy, |port| !self.listeners.has_port(port))
    }

    #[inline(always)]
    fn accept(&mut self, now: Instant, context: &mut Context<'_>, listener: ListenerId) -> Option<Accepted> {
        loop {
            let id = self.listeners.table.get_mut(listener)?.queue.pop_front()?;
            // One that has gone meanwhile must not hide those behind it.
            let accepted = self.hand_over(now, context, id);
            if accepted.is_some() {
                return accepted;
            }
        }
    }

    /// Makes the owner of the engine the owner of a connection that is parked, and tells it what has happened so far.
    #[inline(always)]
    fn hand_over(&mut self, now: Instant, context: &mut Context<'_>, id: ConnectionId) -> Option<Accepted> {
        let connection = self.connections.get_mut(id)?;
        let parked = connection.aside.unpark()?;
        connection.flags.set(Flags::OWNED);
        let (local, remote) = (connection.flow.local_socket(), connection.flow.remote_socket());
        let before = connection.phase;
        super::announce(connection, context.events, id);
        if connection.flags.has(Flags::SYN_DUE) || connection.aside.is_in_use() {
            // It is answered only now, or what rests beside it may be let go now.
            self.settle(now, context, id.index(), before);
        }
        // The rings last: they are large, and go straight to who takes them over.
        let rings = parked.take_rings(&mut self.spare_aside)?;
        Some(Accepted { connection: id, local, remote, rings })
    }

    fn unlisten(&mut self, now: Instant, context: &mut Context<'_>, listener: ListenerId) {
        self.forget_handshakes(now, context.net, true, |half| half.listener == listener && !half.pending);
        if self.listeners.remove(listener).is_none() {
            return;
        }
        let orphans: alloc::vec::Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.aside.parked().is_some_and(|parked| parked.origin == Some(listener)))
            .map(|(id, _)| id)
            .collect();
        for id in orphans {
            self.abort(now, context, id);
        }
    }

    fn admit(&mut self, now: Instant, context: &mut Context<'_>, id: ConnectionId) -> Option<Accepted> {
        let connection = self.connections.get_mut(id)?;
        if connection.flags.take(Flags::HELD) {
            self.held -= 1;
            connection.flags.set(Flags::SYN_DUE);
        }
        self.hand_over(now, context, id)
    }

    fn refuse(&mut self, now: Instant, context: &mut Context<'_>, id: ConnectionId, refusal: Refusal) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.flags.has(Flags::HELD) {
            self.abort(now, context, id);
            return;
        }
        let flow = connection.flow;
        let before = connection.phase;
        match refusal {
            Refusal::Reset => Reset::refuse(connection).send(now, context.net, &flow),
            Refusal::Unreachable(kind) => {
                let quoted = connection.quoted_syn();
                context.net.report(now, connection.interface, &quoted, false, Report::Error(kind));
            }
            Refusal::Silent => {}
        }
        connection.flags.set(Flags::ORPHANED);
        connection.phase = Phase::Closed;
        self.settle(now, context, id.index(), before);
    }

    fn close(&mut self, now: Instant, context: &mut Context<'_>, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let before = connection.phase;
        connection.flags.set(Flags::ORPHANED);
        connection.news = Readiness::NONE;
        match before {
            Phase::Closed | Phase::TimeWait => {
                if connection.flags.has(Flags::ACK_NOW) {
                    connection.acknowledge_end(now, context.net);
                }
                self.connections.discard(id);
                return;
            }
            Phase::SynSent => connection.phase = Phase::Closed,
            // RFC 2525 section 2.17: closing with unread data is not a clean end.
            _ if connection.flags.has(Flags::HELD)
                || connection.options.reset_on_close
                || !connection.receive.is_empty() =>
            {
                self.abort(now, context, id);
                return;
            }
            _ if connection.may_end_at_once() => {
                connection.flags.set(Flags::FINISHED);
                connection.phase = before.on_finish();
                connection.probes = 0;
                self.ready.enter(connection, id.index());
                return;
            }
            _ => {
                connection.flags.set(Flags::FINISHED);
                connection.phase = before.on_finish();
                // An orphan's probes of a closed window are counted from here.
                connection.probes = 0;
                if before == Phase::FinWait2 {
                    connection.start_fin_wait_2(now, &self.config);
                }
            }
        }
        self.settle(now, context, id.index(), before);
    }

    fn abort(&mut self, now: Instant, context: &mut Context<'_>, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let before = connection.phase;
        connection.flags.set(Flags::ORPHANED);
        connection.news = Readiness::NONE;
        match before {
            Phase::Closed | Phase::TimeWait => {
                if connection.flags.has(Flags::ACK_NOW) {
                    connection.acknowledge_end(now, context.net);
                }
                self.connections.discard(id);
                return;
            }
            Phase::SynSent => {}
            // RFC 9293 section 3.10.5.
            _ => {
                let reset = if connection.flags.has(Flags::HELD) {
                    Reset::refuse(connection)
                } else {
                    Reset::abort(now, connection)
                };
                reset.send(now, context.net, &connection.flow);
            }
        }
        connection.fail(TcpError::Aborted);
        self.settle(now, context, id.index(), before);
    }
}

/// `last` where it is what is `wanted`, and a copy of that otherwise.
pub(crate) fn share(last: &mut Arc<SocketOptions>, wanted: &SocketOptions) -> Arc<SocketOptions> {
    if **last != *wanted {
        *last = Arc::new(wanted.clone());
    }
    Arc::clone(last)
}

/// The segment size that path, link and socket allow.
#[inline(always)]
pub(crate) fn path_mss(net: &mut Network, interface: InterfaceId, flow: &Flow, socket: &SocketOptions) -> u16 {
    let mtu = net.mtu_between(&flow.remote, &flow.local).unwrap_or_else(|| net.mtu(interface));
    mss_within(mtu, flow, socket)
}

/// The segment size that a path of `mtu` bytes and the socket allow.
#[inline]
fn mss_within(mtu: u32, flow: &Flow, socket: &SocketOptions) -> u16 {
    let mss = mss_of(mtu, flow.remote);
    socket.max_segment.map_or(mss, |most| most.clamp(28, mss.max(28)))
}
