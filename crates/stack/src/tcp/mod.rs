//! TCP (RFC 9293). The map of this folder:
//!
//! | what | where |
//! |---|---|
//! | a segment's way in: checksum, look-up, RFC 9293's order of checks | `input`, `demux`, `flow_table` |
//! | the segment that was expected, and the one like all others, on the short way in and out | `fast_path`, `template` |
//! | the segment without text that was foreseen, as a FIN or its acknowledgement, on the short way in, and out | `textless`, `signal` |
//! | receive coalescing: segments of one batch taken in as one | `train` |
//! | opening: SYN, SYN-ACK, options; the short way in of the three segments | `handshake`, `listener`, `isn`, `opening` |
//! | the queue of handshakes that peers have begun | `half_open`, `syn_queue`, `syn_cookies` |
//! | text on SYNs | `fast_open` |
//! | acknowledgements, the send window | `acknowledge` |
//! | text, FIN, the receive window, when to acknowledge | `receive`, `reassembly` |
//! | what to send next, Nagle, silly windows; what follows from its having gone | `output`, `ready`, `sent` |
//! | loss: what is in flight, what is lost, what to do about it | `scoreboard`, `rack`, `recovery`, `retransmit`, `rtt` |
//! | a message that is all there is in flight; requests and responses in one look | `lone`, `turns`, `message` |
//! | the flight's last segments; the rate of repair; losses that were none | `tail_probe`, `reduction`, `undo` |
//! | how much may be in flight, and how fast it leaves | `congestion`, `delivery_rate`, `pacing` |
//! | what the path carries | `path_search`, `icmp` |
//! | how much the rings may hold; what all of them may | `buffers`, `memory` |
//! | what routers say by marks | `ecn` |
//! | urgent data: the mark, sent and received; how a reader sees it | `urgent`, `urgent_reader` |
//! | a closed window; a silent peer | `persist`, `keep_alive` |
//! | RFC 7323 | `timestamps` |
//! | resets, and the limit on answers to forged segments | `reset`, `challenge`, `bare` |
//! | the end | `time_wait`, `phase` |
//! | what a connection has only at times | `aside` |
//! | what the owner calls | `commands`, `options`, `error`, `info` with `ledger` and `waiting`, `counters` |
//! | what the owner has set, as every message needs it | `tuning` |
//!
//! `Tcp` holds the tables. A `Connection` knows nothing of them: its methods change it, and
//! `Tcp::settle` then does what follows from the change.

mod acknowledge;
mod aside;
mod bare;
mod buffers;
mod challenge;
mod commands;
mod congestion;
mod connection;
mod cork;
mod counters;
mod delivery_rate;
mod demux;
mod ecn;
mod error;
mod fast_open;
mod fast_path;
mod flow_table;
mod half_open;
mod handshake;
mod icmp;
mod info;
mod input;
mod isn;
mod keep_alive;
mod ledger;
mod listener;
mod lone;
mod memory;
mod message;
mod opening;
mod options;
mod output;
mod pacing;
mod path_search;
mod persist;
mod phase;
mod quick_ack;
mod rack;
mod ready;
mod reassembly;
mod receive;
mod recovery;
mod reduction;
mod reset;
mod retransmit;
mod rtt;
mod scoreboard;
mod sent;
mod signal;
mod syn_cookies;
mod syn_queue;
mod tail_probe;
mod template;
mod textless;
mod time_wait;
mod timers;
mod timestamps;
mod train;
mod tuning;
mod turns;
mod undo;
mod urgent;
mod urgent_reader;
mod user_timeout;
mod waiting;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

pub use commands::ConnectOptions;
pub use commands::Refusal;
pub use congestion::Algorithm;
pub use counters::TcpCounters;
pub use ecn::Ecn;
pub use error::{ConnectError, TcpError};
pub use info::TcpInfo;
pub use listener::{Accepted, ListenOptions, RingSource};
pub use memory::{MemoryState, TcpMemory};
pub use options::{ApplicationRings, KeepAlive, SocketOption, SocketOptions, StreamRings, heap_rings};
pub use phase::Phase;
pub use syn_cookies::SynCookies;
pub use urgent_reader::{OutOfBand, UrgentReader};
pub use user_timeout::UserTimeoutOption;
pub use waiting::Waiting;

use crate::config::TcpConfig;
use crate::entropy::Entropy;
use crate::event::{Event, Events, Readiness};
use crate::handle::{Handle, Table};
use crate::link::InterfaceId;
use crate::network::Network;
use crate::tcp::aside::Aside;
use crate::tcp::challenge::ChallengeLimit;
use crate::tcp::connection::{Connection, Flags};
pub(crate) use crate::tcp::demux::Flow;
use crate::tcp::demux::{Demux, FlowHasher};
use crate::tcp::fast_open::{Baker, Cookies};
use crate::tcp::isn::IsnGenerator;
use crate::tcp::listener::Listeners;
use crate::tcp::memory::Memory;
use crate::tcp::ready::Ready;
use crate::tcp::reset::Reset;
use crate::tcp::syn_cookies::CookieJar;
use crate::tcp::syn_queue::SynQueue;
use crate::tcp::time_wait::TimeWait;
use crate::tcp::train::Train;
use crate::tcp::tuning::Tuning;
use crate::time::Instant;
use crate::timers::Wheel;

/// Marks handles of connections.
pub enum ConnectionKind {}

/// Names a connection of one engine.
pub type ConnectionId = Handle<ConnectionKind>;

/// Marks handles of listeners.
pub enum ListenerKind {}

/// Names a listener of one engine.
pub type ListenerId = Handle<ListenerKind>;

/// What TCP may use of the rest of the engine while it works.
pub(crate) struct Context<'a> {
    pub net: &'a mut Network,
    pub events: &'a mut Events,
    pub entropy: &'a mut Entropy,
}

/// All of TCP.
pub(crate) struct Tcp {
    config: Tuning,
    connections: Table<ConnectionKind, Connection>,
    hasher: FlowHasher,
    demux: Demux,
    listeners: Listeners,
    time_wait: TimeWait,
    syn_queue: SynQueue,
    cookies: CookieJar,
    baker: Baker,
    fast_open_cookies: Cookies,
    counters: TcpCounters,
    wheel: Wheel<u32>,
    ready: Ready,
    /// Connections that wait for a next hop's MAC address.
    resolving: BTreeMap<(InterfaceId, IpAddr), Vec<ConnectionId>>,
    isn: IsnGenerator,
    challenge: ChallengeLimit,
    /// Connection requests that wait for the owner's word.
    held: usize,
    /// What stood beside the connection that was accepted last: memory for the next that comes in.
    spare_aside: Option<Box<Aside>>,
    /// The settings of the last connection made, which the next one most likely has too.
    options: Arc<SocketOptions>,
    memory: Memory,
    /// Segments that were taken in and not yet acted on.
    train: Option<Train>,
}

impl Tcp {
    pub(crate) fn new(config: TcpConfig, entropy: &mut Entropy) -> Self {
        Self {
            connections: Table::new(),
            hasher: FlowHasher::new(entropy.flow_key()),
            demux: Demux::default(),
            listeners: Listeners::new(entropy.key()),
            time_wait: TimeWait::new(config.time_wait, config.time_wait_limit),
            syn_queue: SynQueue::new(),
            cookies: CookieJar::new(entropy.fork()),
            baker: Baker::new(entropy.fork()),
            fast_open_cookies: Cookies::new(config.fast_open_cookies),
            counters: TcpCounters::default(),
            wheel: Wheel::new(),
            ready: Ready::default(),
            resolving: BTreeMap::new(),
            isn: IsnGenerator::new(entropy),
            challenge: ChallengeLimit::new(config.challenge_ack_limit, entropy.fork()),
            held: 0,
            spare_aside: None,
            options: Arc::new(SocketOptions::default()),
            memory: Memory::new(config.memory_budget),
            train: None,
            config: Tuning::new(config),
        }
    }

    /// Whether `transmit` would have something to do.
    #[inline]
    pub(crate) fn has_output(&self, interface: InterfaceId) -> bool {
        !self.ready.is_empty(interface) || self.syn_queue.has_due(interface)
    }

    /// The connection that has something to send by `interface`, where nobody else has, by whatever interface.
    #[inline]
    pub(crate) fn only_sender(&self, interface: InterfaceId) -> Option<u32> {
        if self.syn_queue.is_silent() { self.ready.only(interface) } else { None }
    }

    /// Whether no connection has something to send, by whatever interface: at most the SYN queue.
    #[inline]
    pub(crate) const fn has_only_answers(&self) -> bool {
        self.ready.is_silent()
    }

    /// Whether anything is to be sent by `interface`, as far as it can be told at once.
    #[inline(always)]
    pub(crate) fn may_have_output(&self, interface: InterfaceId) -> bool {
        (!self.ready.is_silent() && !self.ready.has_one_beside(interface)) || self.syn_queue.has_due(interface)
    }

    /// Whether `transmit` would have nothing to do on any interface.
    #[inline]
    pub(crate) const fn is_silent(&self) -> bool {
        self.waiting() == 0
    }

    /// No count of anything, but zero where `transmit` would have nothing to do.
    #[inline]
    pub(crate) const fn waiting(&self) -> usize {
        self.ready.waiting() | self.syn_queue.due_len()
    }

    #[inline]
    pub(crate) fn next_deadline(&self) -> Instant {
        self.wheel.next_deadline().min(self.time_wait.next_deadline()).min(self.syn_queue.next_deadline(&self.config))
    }

    /// The same as far as it is known: `ZERO` where it has to be looked for.
    #[inline(always)]
    pub(crate) fn known_deadline(&self) -> Instant {
        self.wheel.known_deadline().min(self.time_wait.next_deadline()).min(self.syn_queue.known_deadline())
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, context: &mut Context<'_>) {
        self.time_wait.expire(&self.hasher, now);
        self.expire_half_open(now, context);
        self.memory.watch(context.events);
        while let Some(index) = self.wheel.pop_expired(now) {
            let Some(connection) = self.connections.at_mut(index) else { continue };
            let before = connection.phase;
            let offered = before == Phase::SynSent && connection.flags.has(Flags::FAST_OPEN);
            connection.on_timer(now, &self.config);
            if offered && !connection.flags.has(Flags::FAST_OPEN) {
                self.fast_open_cookies.distrust(now, connection.flow.remote);
            }
            self.settle(now, context, index, before);
        }
    }

    /// The search for a next hop's MAC has ended, well or not.
    pub(crate) fn resolved(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        interface: InterfaceId,
        next_hop: IpAddr,
        reachable: bool,
    ) {
        for id in self.resolving.remove(&(interface, next_hop)).unwrap_or_default() {
            let Some(connection) = self.connections.get_mut(id) else { continue };
            let before = connection.phase;
            connection.flags.clear(Flags::RESOLVING);
            match before {
                _ if reachable => {}
                Phase::SynSent => connection.fail(TcpError::HostUnreachable),
                _ => connection.lose_next_segment(now, &self.config),
            }
            self.settle(now, context, id.index(), before);
        }
    }

    /// `address` is no longer ours: its connections are over.
    pub(crate) fn address_removed(&mut self, now: Instant, context: &mut Context<'_>, address: IpAddr) {
        self.forget_handshakes(now, context.net, false, |half| half.flow.local == address);
        let affected: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.flow.local == address && connection.phase != Phase::Closed)
            .map(|(id, _)| id)
            .collect();
        for id in affected {
            self.end(now, context, id, TcpError::AddressRemoved);
        }
    }

    /// `interface` is gone, and with it the queue of what it had to send; connections find another way or fail by time.
    pub(crate) fn interface_removed(&mut self, now: Instant, context: &mut Context<'_>, interface: InterfaceId) {
        // Their SYNs come again, by whatever way there is now.
        self.forget_handshakes(now, context.net, false, |half| half.interface == interface);
        for index in self.ready.remove(interface) {
            if let Some(connection) = self.connections.at_mut(index) {
                connection.flags.clear(Flags::QUEUED);
            }
        }
        let affected: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.interface == interface && connection.phase != Phase::Closed)
            .map(|(id, _)| id)
            .collect();
        for id in affected {
            let Some(connection) = self.connections.get_mut(id) else { continue };
            connection.flags.clear(Flags::RESOLVING);
            match context.net.route(connection.flow.remote, Some(connection.flow.local)) {
                Ok(path) => {
                    connection.interface = path.interface;
                    self.enqueue(id.index());
                }
                Err(_) => self.end(now, context, id, TcpError::AddressRemoved),
            }
        }
        self.resolving.retain(|(of, _), _| *of != interface);
    }

    /// Fails a connection for a reason that came from outside of it.
    pub(crate) fn end(&mut self, now: Instant, context: &mut Context<'_>, id: ConnectionId, error: TcpError) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let before = connection.phase;
        connection.fail(error);
        self.settle(now, context, id.index(), before);
    }

    /// What happened to a connection for which an event stood in the queue; `None` if it is gone or nothing did.
    pub(crate) fn take_news(&mut self, id: ConnectionId) -> Option<Readiness> {
        let connection = self.connections.get_mut(id)?;
        connection.flags.clear(Flags::EVENT_QUEUED);
        let news = core::mem::take(&mut connection.news);
        (!news.is_empty()).then_some(news)
    }

    /// Whether the listener for which an event stood in the queue is still there.
    pub(crate) fn take_accept(&mut self, id: ListenerId) -> bool {
        let listener = self.listeners.table.get_mut(id);
        listener.map(|listener| listener.told = false).is_some()
    }

    /// Whether what `event` says of a listener or a request still holds; `None` if it is gone.
    pub(crate) fn complete_event(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Accept(id) => self.take_accept(id).then_some(event),
            Event::TcpIncoming { connection, .. } => self.connections.get(connection).map(|_| event),
            Event::TcpMemory(_) => self.complete_memory_event(),
            other => Some(other),
        }
    }

    /// Does what follows from a change of the connection in slot `index`, which was in phase `before`.
    pub(crate) fn settle(&mut self, now: Instant, context: &mut Context<'_>, index: u32, before: Phase) {
        let Some((id, connection)) = self.connections.named_at(index) else { return };
        let phase = connection.phase;
        if before == Phase::SynReceived && phase != before && connection.flags.take(Flags::HELD) {
            self.held -= 1;
            if phase == Phase::Closed {
                // The peer has given up before the owner said a word: there is nothing left to admit.
                connection.flags.set(Flags::ORPHANED);
            }
        }
        if phase != Phase::Closed && connection.is_corrupt() {
            Reset::abort(now, connection).send(now, context.net, &connection.flow);
            connection.fail(TcpError::Corrupt);
        }
        match connection.phase {
            Phase::TimeWait | Phase::Closed if before != connection.phase => self.retire(now, context, index, before),
            Phase::Closed => {}
            // Its last acknowledgement has waited for the next hop's address.
            Phase::TimeWait if connection.flags.has(Flags::ACK_NOW) => self.ready.enter(connection, index),
            Phase::TimeWait => {}
            _ => {
                let sends = connection.prepare(now, index, &self.config, &mut self.wheel);
                announce(connection, context.events, id);
                if sends {
                    self.ready.enter(connection, index);
                }
            }
        }
    }

    /// The connection's protocol has ended. What the application still holds stays readable, and the last acknowledgement
    /// can still leave; the rest goes.
    #[inline(never)]
    fn retire(&mut self, now: Instant, context: &mut Context<'_>, index: u32, before: Phase) {
        let Some((id, hash, connection)) = self.connections.noted_at(index) else { return };
        connection.disarm(&mut self.wheel);
        if connection.phase == Phase::TimeWait {
            self.time_wait.insert_hashed(&self.hasher, hash, now, &connection.flow, connection.remains());
            if connection.flags.has(Flags::RESOLVING) {
                connection.acknowledge_end(now, context.net);
            } else if connection.flags.has(Flags::ACK_NOW) {
                self.ready.enter(connection, index);
            }
        }
        let has_a_last_word = connection.has_a_last_word();
        // A stream ends by the peer's FIN alone: what a reset cut off must not look whole.
        connection.send.close();
        connection.aside.end_reassembly();
        let mut news = Readiness::CLOSED | Readiness::READABLE;
        if connection.error.is_some() {
            news |= Readiness::ERROR;
        }
        connection.tell(news);
        announce(connection, context.events, id);
        let reset = connection.error == Some(TcpError::Reset);
        let unproven = connection.flags.has(Flags::FAST_OPEN);
        let abandoned = connection.flags.has(Flags::ORPHANED)
            || (before == Phase::SynReceived && !connection.flags.has(Flags::OWNED));
        self.demux.remove(hash, index, &connection.flow);
        if unproven {
            let flow = connection.flow;
            self.fast_open_ended(now, &flow, reset);
        }
        if abandoned && !has_a_last_word {
            self.connections.discard(id);
        }
    }

    /// Whether a connection of this four-tuple, which has this hash, exists or is remembered.
    #[inline]
    pub(crate) fn has_flow(&self, hash: u32, flow: &Flow) -> bool {
        self.demux.peek_hashed(hash, &self.connections, &self.syn_queue, flow).is_some()
            || self.time_wait.has_hashed(hash, flow)
    }

    /// Connections in TIME-WAIT.
    pub(crate) fn time_wait_len(&self) -> usize {
        self.time_wait.len()
    }

    /// Handshakes in the SYN queue.
    pub(crate) fn half_open_len(&self) -> usize {
        self.syn_queue.len()
    }

    /// Connections that have a handle.
    pub(crate) fn connection_count(&self) -> usize {
        self.connections.len()
    }
}

/// Queues an event for the connection, unless one stands there already or nobody owns it.
#[inline]
fn announce(connection: &mut Connection, events: &mut Events, id: ConnectionId) {
    const TOLD: Flags = Flags::ORPHANED.and(Flags::EVENT_QUEUED);
    if connection.news.is_empty() || !connection.flags.has(Flags::OWNED) || connection.flags.has(TOLD) {
        return;
    }
    connection.flags.set(Flags::EVENT_QUEUED);
    events.push_tcp(id);
}

/// The segment size that a socket announces to `remote` over a link of `mtu` bytes: no more than it was set to.
#[inline]
fn announced_mss(mtu: u32, remote: IpAddr, socket: &SocketOptions) -> u16 {
    let own = mss_of(mtu, remote);
    socket.max_segment.map_or(own, |most| most.min(own))
}

/// The segment size that a link of `mtu` bytes carries to `remote`: what is left of the IP packet after both headers
/// (RFC 9293 section 3.7.1).
fn mss_of(mtu: u32, remote: IpAddr) -> u16 {
    let headers = match remote {
        IpAddr::V4(_) => 40,
        IpAddr::V6(_) => 60,
    };
    // A header with timestamps leaves at least a few bytes of the smallest MTU that IPv4 allows, which is 68.
    u16::try_from(mtu.saturating_sub(headers)).unwrap_or(u16::MAX).max(28)
}
