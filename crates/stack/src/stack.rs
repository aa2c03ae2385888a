//! The engine's only door: [`Stack`].
//!
//! Interfaces, addresses, routes and neighbours are set in `stack/interfaces`; TCP's, UDP's, the echo sockets' and the
//! DHCP client's calls stand with their mechanism.

mod interfaces;

use alloc::collections::BTreeMap;
use core::hint::cold_path;
use core::net::IpAddr;

use device::{Device, RxFrame};
use wire::icmpv4::Quoted;
use wire::protocol::Protocol;

pub use interfaces::AddressError;

use crate::autoconf::dhcpv4::Client;
use crate::config::Config;
use crate::discard::{Discard, Discards};
use crate::entropy::Entropy;
use crate::event::{Event, Events, Named};
use crate::ip::Delivery;
use crate::ip::echo::Echoes;
use crate::ip::icmp::ErrorKind;
use crate::ip::icmp::output::Report;
use crate::link::InterfaceId;
use crate::link::loopback::Loopback;
use crate::link::template::Plainly;
use crate::network::{Network, Notice, Timer};
use crate::tcp::{Context, Tcp};
use crate::time::Instant;
use crate::udp::Udp;

/// Frames that one call carries around the loopback at most, so that two sockets of the same engine cannot keep a call
/// from returning.
const LOOPBACK_BUDGET: usize = 512;

/// How often one call drains the queues that sockets' rings fill again, for the same reason.
const TRANSMIT_ROUNDS: usize = 16;

/// One engine: every protocol, no clock, no entropy, no device.
///
/// # The contract
///
/// Everything happens inside the caller's calls. There are four kinds of them: getters; `handle_*`, which tell the
/// engine what happened outside; commands (`add_address`, `tcp_connect`, `udp_send`, ...); and `poll_*`, which ask what
/// is to be done. **After any call that is not a getter or a poll, and after any batch of them, drain the engine:**
///
/// 1. [`poll_transmit`](Self::poll_transmit) for each interface that can take frames, until it returns true. Where it
///    returns false the device is full: call it again when the device can take more.
/// 2. [`poll_event`](Self::poll_event) until it returns `None`.
/// 3. [`poll_timeout`](Self::poll_timeout), and call [`handle_timeout`](Self::handle_timeout) at that time, or as soon as
///    possible if it has passed.
///
/// Frames that arrive go to [`handle_frame`](Self::handle_frame), a batch of them before the engine is drained.
/// [`tcp_push`](Self::tcp_push) is a command and the first step of draining for its interface.
///
/// **Time** is the `now` of each call: a monotonic clock of the caller's choice. An instant before the last one is taken
/// as it is and breaks nothing. **Chance** is the seed given to [`new`](Self::new): the same seed and the same calls
/// give the same frames. A seed must come from a cryptographic source where frames leave for a real network.
///
/// **The loopback** ("lo": 127.0.0.0/8, ::1, and traffic to the engine's own addresses) needs no care: every `handle_*`
/// and `poll_transmit` carries what waits there, up to a bound. While something is left, `poll_timeout` says
/// [`Instant::ZERO`], that is, at once; an engine without any other interface is driven by `handle_timeout` alone.
///
/// A bad packet is not an error: it is counted in [`discards`](Self::discards).
pub struct Stack {
    pub(crate) net: Network,
    pub(crate) tcp: Tcp,
    pub(crate) udp: Udp,
    pub(crate) echoes: Echoes,
    pub(crate) dhcp: BTreeMap<InterfaceId, Client>,
    pub(crate) events: Events,
    pub(crate) entropy: Entropy,
    loopback: Loopback,
}

impl Stack {
    /// An engine with a loopback and nothing else.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut entropy = Entropy::new(seed);
        let net = Network::new(&config, entropy.fork());
        let udp = Udp::new(config.held_bytes, &mut entropy);
        let tcp = Tcp::new(config.tcp, &mut entropy);
        Self {
            net,
            tcp,
            udp,
            echoes: Echoes::new(),
            dhcp: BTreeMap::new(),
            events: Events::default(),
            entropy,
            loopback: Loopback::new(),
        }
    }

    /// A frame arrived on `interface`.
    pub fn handle_frame(&mut self, now: Instant, interface: InterfaceId, frame: &RxFrame<'_>) {
        if self.tcp.has_train() {
            self.handle_next(now, interface, frame);
        } else if self.tcp.expects_any() {
            self.handle_single(now, interface, frame);
        } else {
            self.handle_unexpected(now, interface, frame);
        }
    }

    /// A frame behind a train, which most likely is its next.
    #[inline(never)]
    fn handle_next(&mut self, now: Instant, interface: InterfaceId, frame: &RxFrame<'_>) {
        if !self.tcp.join_train(now, &self.net, interface, frame) {
            self.end_train();
            self.handle_single(now, interface, frame);
        }
    }

    /// A frame where there is no train.
    #[inline(never)]
    fn handle_single(&mut self, now: Instant, interface: InterfaceId, frame: &RxFrame<'_>) {
        let lo = self.net.loopback;
        let (tcp, mut context) = self.tcp_parts();
        if tcp.input_short(now, &mut context, interface, frame) {
            // Nothing has changed but a connection; only what it sends may stay inside.
            if !tcp.is_silent() && tcp.has_output(lo) {
                cold_path();
                self.settle(now);
            }
            return;
        }
        cold_path();
        self.handle_unexpected(now, interface, frame);
    }

    /// A frame that nobody expected.
    #[inline(never)]
    fn handle_unexpected(&mut self, now: Instant, interface: InterfaceId, frame: &RxFrame<'_>) {
        let (tcp, mut context) = self.tcp_context();
        if !tcp.input_textless(now, &mut context, interface, frame) {
            cold_path();
            self.handle_whole(now, interface, frame);
        }
        if self.waiting_inside() != 0 || self.net.inside || self.tcp.may_have_output(self.net.loopback) {
            cold_path();
            self.settle_inside(now);
        }
    }

    /// A frame of which all has to be looked at, or all of TCP.
    #[inline(never)]
    fn handle_whole(&mut self, now: Instant, interface: InterfaceId, frame: &RxFrame<'_>) {
        if let Some(arrival) = self.net.input_judged(interface, frame) {
            let (tcp, mut context) = self.tcp_context();
            tcp.input(now, &mut context, &arrival);
        } else {
            self.receive_any(now, interface, frame);
        }
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come. Calling it at any other time does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.end_train();
        while let Some(timer) = self.net.timers.pop_expired(now) {
            match timer {
                Timer::Neighbor(id) => self.net.neighbor_timeout(now, id),
                Timer::Reassembly(id) => self.net.reassembly_timeout(now, id),
                Timer::PathMtu(destination) => self.net.path_mtu_timeout(destination),
                Timer::Address(interface, address) => self.net.address_timeout(now, interface, address),
                Timer::Dhcp(interface) => self.dhcp_timeout(now, interface),
                Timer::Held(id) => self.held_timeout(id),
            }
        }
        let (tcp, mut context) = self.tcp_context();
        tcp.handle_timeout(now, &mut context);
        self.settle(now);
    }

    /// Hands everything that is to leave by `interface` to its device. True: it took everything. False: it is full, or
    /// has had its share of this call; call again when it can take more.
    #[inline]
    pub fn poll_transmit(&mut self, now: Instant, interface: InterfaceId, device: &mut dyn Device) -> bool {
        if self.is_calm_beside_tcp() {
            if self.tcp.is_silent() {
                // Who is drained most often has nothing to say.
                device.flush();
                return true;
            }
            if interface != self.net.loopback {
                if let Some(index) = self.tcp.only_sender(interface) {
                    // Or one connection has a message, and nobody else anything.
                    return self.drain_only(now, interface, device, index);
                }
                if self.tcp.has_only_answers() {
                    return self.drain_answers(now, interface, device);
                }
            }
        }
        self.drain(now, interface, device)
    }

    /// [`drain`](Self::drain) where nobody but the connection in slot `index` has something to say.
    #[inline(never)]
    fn drain_only(&mut self, now: Instant, interface: InterfaceId, device: &mut dyn Device, index: u32) -> bool {
        let became = self.tcp.transmit_message(now, &mut self.net, interface, device, index);
        if became == Plainly::NotSo {
            cold_path();
            let (tcp, mut context) = self.tcp_parts();
            let done = tcp.transmit_first(now, &mut context, interface, device);
            return self.end_drain(now, interface, device, done);
        }
        device.flush();
        became == Plainly::Sent
    }

    /// [`drain`](Self::drain) where nobody but the SYN queue has something to say.
    #[inline(never)]
    fn drain_answers(&mut self, now: Instant, interface: InterfaceId, device: &mut dyn Device) -> bool {
        let (tcp, mut context) = self.tcp_parts();
        let done = tcp.transmit_syn_acks(now, &mut context, interface, device);
        self.end_drain(now, interface, device, done)
    }

    /// What follows on whoever alone had something to say; `done` if the device took all of it. Then more may wait, in the
    /// interface's queue or for another one.
    #[inline(always)]
    fn end_drain(&mut self, now: Instant, interface: InterfaceId, device: &mut dyn Device, done: bool) -> bool {
        if done && !self.is_calm() {
            return self.drain(now, interface, device);
        }
        device.flush();
        self.settle(now);
        done
    }

    #[inline(never)]
    fn drain(&mut self, now: Instant, interface: InterfaceId, device: &mut dyn Device) -> bool {
        self.end_train();
        self.settle(now);
        let done = if self.is_for_tcp_alone() {
            let done = self.transmit_tcp(now, interface, device);
            if done && self.is_calm() {
                // TCP was the only one that had something to send, and has said it all.
                device.flush();
                return true;
            }
            done && self.transmit(now, interface, device)
        } else {
            self.transmit(now, interface, device)
        };
        device.flush();
        self.settle(now);
        done
    }

    /// Whether nothing waits to leave or to be carried on but what connections have to send.
    #[inline(always)]
    fn is_calm_beside_tcp(&self) -> bool {
        self.waiting_beside_tcp() == 0 && !self.net.inside && !self.tcp.has_train()
    }

    /// Whether nothing waits to leave or to be carried on.
    #[inline(always)]
    pub(crate) fn is_calm(&self) -> bool {
        (self.waiting_beside_tcp() | self.tcp.waiting()) == 0 && !self.net.inside && !self.tcp.has_train()
    }

    /// No count of anything, but zero where nothing waits. Asked by every call, of numbers that are all zero then: one question
    /// and not four.
    #[inline(always)]
    fn waiting_beside_tcp(&self) -> usize {
        self.net.queued | self.udp.blocked_len() | self.waiting_inside()
    }

    /// The same of what is to be carried on here, `Network::inside` and what connections have to send apart.
    #[inline(always)]
    fn waiting_inside(&self) -> usize {
        self.net.notices.len() | self.loopback.len()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): [`Instant::NEVER`] when nothing is to come.
    #[inline]
    pub fn poll_timeout(&self) -> Instant {
        let known = self.net.timers.known_deadline().min(self.tcp.known_deadline());
        // Of what is not known, and of what is due at the clock's origin, more is found out.
        if known != Instant::ZERO && self.is_calm() {
            return known;
        }
        self.find_timeout()
    }

    /// [`poll_timeout`](Self::poll_timeout) where something has to be looked at.
    #[cold]
    #[inline(never)]
    fn find_timeout(&self) -> Instant {
        if self.loopback_waits() || self.tcp.train_waits() {
            return Instant::ZERO;
        }
        self.net.timers.next_deadline().min(self.tcp.next_deadline())
    }

    /// What happened since the last call.
    #[inline(always)]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.end_train();
        if self.events.is_empty() {
            return None;
        }
        // Nearly all of them are of these kinds.
        while let Some(named) = self.events.take_named() {
            match named {
                Named::Tcp(id) => {
                    if let Some(news) = self.tcp.take_news(id) {
                        return Some(Event::Tcp(id, news));
                    }
                }
                Named::Accept(id) => {
                    if self.tcp.take_accept(id) {
                        return Some(Event::Accept(id));
                    }
                }
            }
        }
        if self.events.is_empty() { None } else { self.next_event() }
    }

    #[cold]
    #[inline(never)]
    fn next_event(&mut self) -> Option<Event> {
        loop {
            let complete = match self.events.pop()? {
                Event::Udp(id, _) => self.udp.complete_event(id),
                Event::Echo(id, _) => self.echoes.complete_event(id),
                event @ Event::EchoIncoming(_) => {
                    self.echoes.incoming_taken();
                    Some(event)
                }
                Event::Tcp(id, _) => self.tcp.take_news(id).map(|news| Event::Tcp(id, news)),
                event @ (Event::Accept(_) | Event::TcpIncoming { .. } | Event::TcpMemory(_)) => {
                    self.tcp.complete_event(event)
                }
                event => Some(event),
            };
            if complete.is_some() {
                return complete;
            }
        }
    }

    /// How many packets went no further, by reason.
    #[must_use]
    pub fn discards(&self) -> &Discards {
        &self.net.discards
    }

    /// TCP, and what it may use of the rest. A train of segments ends here: whatever is done next finds it taken in.
    pub(crate) fn tcp_context(&mut self) -> (&mut Tcp, Context<'_>) {
        self.end_train();
        self.tcp_parts()
    }

    #[inline]
    pub(crate) fn end_train(&mut self) {
        if self.tcp.has_train() {
            self.end_that_train();
        }
    }

    #[cold]
    #[inline(never)]
    fn end_that_train(&mut self) {
        let (tcp, mut context) = self.tcp_parts();
        tcp.end_train(&mut context);
    }

    /// As [`tcp_context`](Self::tcp_context), for the next frame, which may belong to the train.
    #[inline]
    pub(crate) fn tcp_parts(&mut self) -> (&mut Tcp, Context<'_>) {
        let Self { tcp, net, events, entropy, .. } = self;
        (tcp, Context { net, events, entropy })
    }

    fn receive(&mut self, now: Instant, interface: InterfaceId, frame: &RxFrame<'_>) {
        self.end_train();
        let (tcp, mut context) = self.tcp_parts();
        if !tcp.input_short(now, &mut context, interface, frame) {
            self.receive_any(now, interface, frame);
        }
    }

    /// A frame of which nothing is known takes the whole way.
    #[inline(never)]
    fn receive_any(&mut self, now: Instant, interface: InterfaceId, frame: &RxFrame<'_>) {
        // Looked at where it stands: it is large.
        let delivery = self.net.input(now, interface, frame);
        let Some(delivery) = &delivery else { return };
        match delivery.protocol {
            Protocol::TCP => {
                let arrival = delivery.arrival();
                let (tcp, mut context) = self.tcp_context();
                tcp.input(now, &mut context, &arrival);
            }
            Protocol::UDP => self.udp_input(now, delivery),
            Protocol::ICMP => self.icmp_input(now, delivery),
            _ => self.refuse_protocol(now, delivery),
        }
    }

    fn refuse_protocol(&mut self, now: Instant, delivery: &Delivery<'_>) {
        self.net.discard(Discard::IpProtocol);
        let report = Report::Error(ErrorKind::ProtocolUnreachable);
        self.net.report(now, delivery.interface, &delivery.packet, delivery.link_multicast, report);
    }

    /// Whether nobody but TCP has anything to send.
    #[inline(always)]
    fn is_for_tcp_alone(&self) -> bool {
        self.net.queued == 0 && !self.udp.is_blocked()
    }

    #[inline(never)]
    fn transmit(&mut self, now: Instant, interface: InterfaceId, device: &mut dyn Device) -> bool {
        for _ in 0..TRANSMIT_ROUNDS {
            if self.is_for_tcp_alone() {
                if !self.tcp.has_output(interface) {
                    return true;
                }
                if !self.transmit_tcp(now, interface, device) {
                    return false;
                }
                continue;
            }
            let Some(link) = self.net.interfaces.get_mut(interface) else { return true };
            // Whoever was cut off by a full device goes first the next time: neither starves the other.
            let transports_first = core::mem::take(&mut link.transports_first);
            if transports_first && !self.transmit_tcp(now, interface, device) {
                return false;
            }
            if !self.net.transmit_queued(interface, device) {
                if let Some(link) = self.net.interfaces.get_mut(interface) {
                    link.transports_first = !transports_first;
                }
                return false;
            }
            if self.tcp.is_silent() && !self.udp.is_blocked() {
                // Only an answer or two waited.
                return true;
            }
            if !transports_first && !self.transmit_tcp(now, interface, device) {
                return false;
            }
            if self.udp.is_blocked() {
                self.udp_resume(now);
            }
            if self.net.interfaces.get(interface).is_none_or(|link| link.is_idle()) {
                return true;
            }
        }
        // Applications fill their rings as fast as the device takes: others must have their turn.
        false
    }

    fn transmit_tcp(&mut self, now: Instant, interface: InterfaceId, device: &mut dyn Device) -> bool {
        let (tcp, mut context) = self.tcp_context();
        tcp.transmit(now, &mut context, interface, device)
    }

    /// Carries on what a call has set off inside the engine.
    #[inline(always)]
    pub(crate) fn settle(&mut self, now: Instant) {
        if self.net.has_notices() || self.loopback_waits() {
            self.settle_inside(now);
        }
    }

    #[cold]
    #[inline(never)]
    fn settle_inside(&mut self, now: Instant) {
        self.pass_notices(now);
        if self.loopback_waits() {
            self.run_loopback(now);
            self.pass_notices(now);
        }
    }

    #[inline]
    fn loopback_waits(&self) -> bool {
        let talks = !self.tcp.is_silent() && self.tcp.has_output(self.net.loopback);
        talks || self.net.inside || !self.loopback.is_empty()
    }

    fn run_loopback(&mut self, now: Instant) {
        let lo = self.net.loopback;
        for _ in 0..LOOPBACK_BUDGET {
            // Set again by whatever is put there from here on.
            self.net.inside = false;
            let queued = self.net.interfaces.get_mut(lo).and_then(|link| {
                let frame = link.queues.pop(&mut self.net.queued)?;
                self.net.traffic.sent(lo, 1, frame.len() as u64);
                Some(frame)
            });
            if let Some(frame) = queued {
                // And there may be more.
                self.net.inside = true;
                let received = RxFrame { checksum: device::RxChecksum::Verified, ..RxFrame::plain(&frame) };
                self.receive(now, lo, &received);
                self.net.buffers.give_back(frame);
                continue;
            }
            if self.loopback.is_empty() {
                let (tcp, net, events, entropy) = (&mut self.tcp, &mut self.net, &mut self.events, &mut self.entropy);
                let mut context = Context { net, events, entropy };
                tcp.transmit(now, &mut context, lo, &mut self.loopback);
                self.udp_resume(now);
            }
            match self.loopback.pop() {
                Some(frame) => {
                    self.receive(now, lo, &frame.as_received());
                    self.loopback.recycle(frame);
                }
                None if self.net.interfaces.get(lo).is_none_or(|link| link.is_idle()) => return,
                None => {}
            }
        }
    }

    fn pass_notices(&mut self, now: Instant) {
        while let Some(notice) = self.net.poll_notice() {
            match notice {
                Notice::Resolved { interface, next_hop, reachable } => {
                    let (tcp, mut context) = self.tcp_context();
                    tcp.resolved(now, &mut context, interface, next_hop, reachable);
                }
                Notice::AddressAdded(interface, cidr) => {
                    self.events.push(Event::AddressAdded(interface, cidr));
                    self.dhcp_address_added(now, interface, cidr);
                }
                Notice::AddressRemoved(interface, cidr) => {
                    self.address_removed(now, cidr.addr());
                    self.events.push(Event::AddressRemoved(interface, cidr));
                }
                Notice::AddressConflict(interface, cidr) => {
                    self.events.push(Event::AddressConflict(interface, cidr));
                    self.dhcp_address_conflict(now, interface, cidr);
                }
                Notice::Undeliverable(interface, packet) => self.undeliverable(now, interface, &packet),
            }
        }
    }

    fn address_removed(&mut self, now: Instant, address: IpAddr) {
        let (tcp, mut context) = self.tcp_context();
        tcp.address_removed(now, &mut context, address);
        self.udp.address_removed(&mut self.events, address);
    }

    /// A packet waited for a neighbour in vain: its sender, here or elsewhere, is told.
    fn undeliverable(&mut self, now: Instant, interface: InterfaceId, packet: &[u8]) {
        let Ok(quote) = Quoted::parse(packet) else { return };
        let source = IpAddr::V4(quote.header.src);
        if self.net.is_local_address(source) {
            self.transport_error(now, source, &quote, ErrorKind::HostUnreachable);
        } else if !self.net.is_any_address(interface) {
            self.net.report(now, interface, packet, false, Report::Error(ErrorKind::HostUnreachable));
        }
    }
}
