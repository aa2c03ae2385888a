//! The short way in of a handshake's three segments, and out of the second.
//!
//! Nearly every SYN and SYN-ACK brings the usual options and nothing else, and nearly every third segment is the next in order,
//! without text, for the handshake that was heard of last. Then what `input`, `listener`, `half_open` and `handshake` would
//! decide is decided in one look, and done by the same verbs. **Where a condition fails nothing has happened yet, and they do
//! it**, with the same result: `crates/sim/tests/tcp_opening.rs` runs both against each other.
//!
//! `textless` asks, for the SYN and the SYN-ACK where it finds another segment than its own, and `half_open` for what it has to
//! send. A connection's own SYN goes out by `signal`.

use alloc::sync::Arc;
use core::hint::cold_path;

use device::{Device, RxChecksum, RxFrame};
use wire::tcp::{HEADER_LEN, SeqNum, SynOptions, TcpFlags, TcpHeader, TcpOptions, Timestamps as TimestampsOption};

use crate::config::TcpConfig;
use crate::event::Readiness;
use crate::link::InterfaceId;
use crate::link::template::Plainly;
use crate::link::textless::TextlessSegment;
use crate::network::Network;
use crate::tcp::aside::Shelf;
use crate::tcp::buffers::begin_buffers;
use crate::tcp::commands::path_mss;
use crate::tcp::congestion::Congestion;
use crate::tcp::connection::{Birth, Connection, Deadlines, Flags, ReceiveSpace, SendSpace};
use crate::tcp::demux::{Flow, Holder, Wire};
use crate::tcp::fast_path::{IP, TCP, array, count};
use crate::tcp::handshake::PeerSyn;
use crate::tcp::options::{StreamRings, heap_rings};
use crate::tcp::phase::Phase;
use crate::tcp::quick_ack::QuickAcks;
use crate::tcp::rtt::RttEstimator;
use crate::tcp::syn_cookies::SynCookies;
use crate::tcp::syn_queue::HalfOpen;
use crate::tcp::textless::{Fixed, Textless, WIRE, flow_of, is_judged};
use crate::tcp::timestamps::Timestamps;
use crate::tcp::{Context, Tcp, announce, announced_mss, ecn};
use crate::time::Instant;
use crate::timers::TimerId;

/// A SYN, or a SYN-ACK, with the usual options and no text.
struct Syn {
    seq: SeqNum,
    ack: SeqNum,
    flags: TcpFlags,
    window: u16,
    options: SynOptions,
}

impl Syn {
    /// Reads it, and returns its bytes too.
    #[inline(always)]
    fn read<'f>(fixed: &Fixed, frame: &'f [u8]) -> Option<(Self, &'f [u8])> {
        let flags = TcpFlags(fixed[TCP + 13]);
        let opens = flags == TcpFlags::SYN || flags == TcpFlags::SYN | TcpFlags::ACK;
        if !opens {
            cold_path();
            return None;
        }
        let total_len = usize::from(u16::from_be_bytes(array(fixed, IP + 2)));
        let segment = frame.get(TCP..IP + total_len)?;
        if usize::from(fixed[TCP + 12] >> 4) * 4 != segment.len() {
            cold_path();
            return None;
        }
        let syn = Self {
            seq: SeqNum(u32::from_be_bytes(array(fixed, TCP + 4))),
            ack: SeqNum(u32::from_be_bytes(array(fixed, TCP + 8))),
            flags,
            window: u16::from_be_bytes(array(fixed, TCP + 14)),
            options: SynOptions::read(segment.get(HEADER_LEN..)?)?,
        };
        Some((syn, segment))
    }
}

impl Tcp {
    /// Takes a SYN for a listener, or the SYN-ACK that a connection waits for; false, with nothing done, for any other
    /// segment, which [`input`](Self::input) takes.
    #[inline(never)]
    pub(super) fn input_opening(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        interface: InterfaceId,
        frame: &RxFrame<'_>,
    ) -> bool {
        let (Some(fixed), Some(judged)) = (frame.bytes.first_chunk(), &context.net.judged) else {
            cold_path();
            return false;
        };
        let Some((syn, segment)) = Syn::read(fixed, frame.bytes) else {
            cold_path();
            return false;
        };
        if !self.config.fast_path || !is_judged(judged, context.net, interface, fixed) {
            cold_path();
            return false;
        }
        let verified = frame.checksum != RxChecksum::Unverified;
        let undamaged =
            verified || (judged.address_sum.add_u16(segment.len() as u16) + TcpHeader::sum(segment)).is_valid();
        if !undamaged || array(fixed, TCP) == [0; 2] {
            cold_path();
            return false;
        }
        let taken = if syn.flags.contains(TcpFlags::ACK) {
            self.input_syn_ack(now, context, &array(fixed, WIRE), &syn)
        } else {
            let flow = flow_of(judged, fixed);
            self.input_syn(now, context, interface, &flow, &syn)
        };
        if taken {
            count(context.net, interface, frame);
        }
        taken
    }

    /// A SYN of a flow that nobody has, for a listener with room. What `Tcp::on_request` comes to.
    #[inline(always)]
    fn input_syn(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        interface: InterfaceId,
        flow: &Flow,
        syn: &Syn,
    ) -> bool {
        let Some((id, listener)) = self.listeners.find_mut(flow) else {
            cold_path();
            return false;
        };
        let has_memory = self.memory.could_reserve(self.connections.len());
        let has_room = !listener.is_full()
            && listener.handshakes < listener.plain_handshakes
            && self.syn_queue.len() < self.config.half_open_limit
            && self.config.syn_cookies != SynCookies::Always
            && has_memory;
        if !has_room {
            cold_path();
            return false;
        }
        let hash = self.hasher.of(flow);
        let is_known = self.demux.peek_hashed(hash, &self.connections, &self.syn_queue, flow).is_some()
            || self.time_wait.has_hashed(hash, flow);
        if is_known {
            cold_path();
            return false;
        }
        // What `begin_handshake` does, once more for the one kind that is usual.
        listener.handshakes += 1;
        let Syn { seq, window, flags, options, .. } = *syn;
        let syn = PeerSyn::usual(seq, window, flags, options, &self.config);
        let isn = self.isn.isn(now, flow);
        let half = || Self::half_open(now, *flow, interface, id, syn, isn);
        let index = self.syn_queue.insert(interface, hash, half);
        self.demux.insert_hashed(hash, flow, Holder::HalfOpen(index));
        self.memory.watch(context.events);
        true
    }

    /// Sends the SYN-ACK of the handshake in slot `index` of the SYN queue, if it has the usual options and nothing else;
    /// [`Plainly::NotSo`], with nothing done, for any other. What `Tcp::syn_ack` comes to.
    #[inline]
    pub(super) fn send_syn_ack(&self, now: Instant, net: &mut Network, device: &mut dyn Device, index: u32) -> Plainly {
        let half @ HalfOpen { flow, interface, syn, isn, taken, .. } = self.syn_queue.at(index);
        if !self.config.fast_path || half.says_more || !syn.sack || syn.scale.is_none() {
            cold_path();
            return Plainly::NotSo;
        }
        let Some(listener) = self.listeners.table.get(half.listener) else {
            cold_path();
            return Plainly::NotSo;
        };
        let socket = &listener.options.socket;
        let (window, shift) = listener.offer;
        let mss = |mtu| announced_mss(mtu, flow.remote, socket);
        let ecn = socket.ecn.unwrap_or(self.config.ecn);
        let flags = TcpFlags::SYN | TcpFlags::ACK | ecn.answer(syn.flags);
        let segment = TextlessSegment {
            flow,
            hop_limit: socket.hop_limit,
            tos: socket.tos & !ecn::MASK,
            seq: *isn,
            ack: syn.seq + 1 + u32::from(*taken),
            flags,
            window,
            options: [],
        };
        match syn.timestamp {
            None => {
                let segment = |mtu| segment.with_options(TcpOptions::of_syn(mss(mtu), shift));
                net.transmit_textless(device, *interface, flow, segment)
            }
            Some(echo) => {
                let value = Timestamps::new(self.isn.timestamp_offset(flow)).value(now);
                let timestamps = TimestampsOption { value, echo };
                let options = |mtu| TcpOptions::of_syn_with_timestamps(mss(mtu), timestamps, shift);
                net.transmit_textless(device, *interface, flow, |mtu| segment.with_options(options(mtu)))
            }
        }
    }

    /// The answer to the SYN of the connection that was heard of last, which acknowledges all of it. What
    /// `Connection::on_syn_sent_segment` comes to.
    #[inline(always)]
    fn input_syn_ack(&mut self, now: Instant, context: &mut Context<'_>, wire: &Wire, syn: &Syn) -> bool {
        let Some(Holder::Connection(index)) = self.demux.heard_last(wire) else {
            cold_path();
            return false;
        };
        let Some((id, connection)) = self.connections.named_at(index) else {
            cold_path();
            return false;
        };
        let foreseen = connection.phase == Phase::SynSent
            && syn.ack == connection.snd.nxt
            && connection.flight() == 1
            && !connection.flags.has(Flags::FAST_OPEN)
            && connection.aside.path().is_none();
        if !foreseen {
            cold_path();
            return false;
        }
        let Syn { seq, ack, window, flags, options, .. } = *syn;
        let peer = PeerSyn::usual(seq, window, flags, options, &self.config);
        connection.on_peer_syn(now, &peer, &self.config);
        // RFC 7323 section 2.2: the window of a SYN-ACK is not scaled.
        connection.establish(now, seq, ack, u32::from(window), options.timestamps);
        connection.flags.set(Flags::ACK_NOW);
        connection.open_window();
        context.net.confirm_judged(now, connection.interface, connection.flow.remote);
        if connection.is_corrupt() {
            self.settle(now, context, index, Phase::SynSent);
            return true;
        }
        // What is left of `settle`, where most often there is an acknowledgement to send, and nothing else.
        let sends = if connection.send.is_empty() && !connection.flags.has(Flags::FINISHED) {
            if !connection.waits_for_nothing() {
                // The SYN's time is no longer waited for, and most often no other.
                connection.arm(index, &mut self.wheel);
            }
            true
        } else {
            connection.prepare(now, index, &self.config, &mut self.wheel)
        };
        announce(connection, context.events, id);
        if sends {
            self.ready.enter(connection, index);
        }
        true
    }

    /// The third segment of the handshake in slot `index` of the SYN queue; false, with nothing done, if it is anything
    /// but an acknowledgement of a SYN-ACK that was sent once. What `Tcp::on_half_open` comes to.
    #[inline(never)]
    pub(super) fn input_third(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        index: u32,
        segment: &Textless,
    ) -> bool {
        let half = self.syn_queue.at(index);
        if !half.foresees(segment) {
            cold_path();
            return false;
        }
        let Some(listener) = self.listeners.table.get_mut(half.listener) else {
            cold_path();
            return false;
        };
        if listener.is_full() || !self.memory.try_reserve(self.connections.len()) {
            cold_path();
            return false;
        }
        self.memory.watch(context.events);
        listener.handshakes -= 1;
        let (offer, options) = (listener.offer, Arc::clone(&listener.options.socket));
        // Kept together: they are large, and go straight from here to where they will stand.
        let mut rings = match &mut listener.options.rings {
            Some(source) => source(),
            None => heap_rings(self.config.send_buffer as usize, self.config.receive_buffer as usize),
        };
        self.memory.adopt(&rings.0);
        let offering = begin_buffers(&mut rings.0, &options, &self.config);
        let mss = path_mss(context.net, half.interface, &half.flow, &options);
        let timestamp_offset = half.syn.timestamp.map_or(0, |_| self.isn.timestamp_offset(&half.flow));
        let aside = Shelf::of_parked(&mut self.spare_aside, rings.1, half.listener);
        let (flow, interface, isn) = (&half.flow, half.interface, half.isn);
        let (id, place) = self.connections.vacant();
        let birth = Birth { flow, interface, isn, mss, timestamp_offset, options, offering, aside };
        let hash = self.syn_queue.hash_at(index);
        let connection = Connection::accepted(now, birth, rings.0, half, offer, segment, &self.config);
        let placed = place.fill(connection, hash);
        let number = id.index();
        self.demux.promote(hash, &half.flow, index, number);
        context.net.confirm_judged(now, half.interface, half.flow.remote);
        listener.line_up(context.events, id, half.listener);
        self.syn_queue.release(index);
        let Some(connection) = placed else { return true };
        if connection.is_corrupt() {
            self.settle(now, context, number, Phase::SynReceived);
        } else if connection.is_expectant() && connection.prepare(now, number, &self.config, &mut self.wheel) {
            self.ready.enter(connection, number);
        }
        true
    }
}

impl Connection {
    /// A connection of `half`, whose listener offered a window and a shift, at the moment when the third segment has come: what
    /// [`new`](Self::new), [`on_peer_syn`](Self::on_peer_syn) and [`establish`](Self::establish) come to one after the other.
    #[inline(always)]
    fn accepted(
        now: Instant,
        birth: Birth<'_>,
        StreamRings { send, receive }: StreamRings,
        half: &HalfOpen,
        (window, scale): (u16, u8),
        segment: &Textless,
        config: &TcpConfig,
    ) -> Self {
        let Birth { flow, interface, isn, mss, timestamp_offset, options, offering, aside } = birth;
        let PeerSyn { seq, timestamp, window: first_wnd, mss: peer_mss, scale: peer_scale, sack, flags: syn_flags } =
            half.syn;
        let nxt = seq + 1;
        let mut timestamps = Timestamps::new(timestamp_offset);
        if let (Some(value), Some(option)) = (timestamp, segment.timestamps) {
            timestamps.agree(now, TimestampsOption { value, echo: 0 });
            // RFC 7323 section 4.3 (2).
            timestamps.update(now, option.value, segment.seq, nxt);
        }
        let mut rtt = RttEstimator::new();
        rtt.sample_nanos(now.nanos_since(half.answered_at));
        rtt.on_established();
        let algorithm = options.congestion.unwrap_or(config.congestion);
        let mss = mss.min(peer_mss);
        // RFC 6691 section 2.
        let full = mss - timestamps.option_len();
        let congestion = Congestion::new(algorithm, u32::from(full));
        let mut flags = Flags::default();
        if peer_scale.is_some() {
            flags.set(Flags::SCALED);
        }
        if sack {
            flags.set(Flags::SACK);
        }
        if options.ecn.unwrap_or(config.ecn).answer(syn_flags) != TcpFlags::NONE {
            flags.set(Flags::ECN);
        }
        if options.pacing || options.max_pacing_rate.is_some() || congestion.has_model() {
            flags.set(Flags::PACED);
        }
        let idle = options.keep_alive.map_or(Instant::NEVER, |keep_alive| now + keep_alive.idle);
        let wnd = u32::from(segment.window) << peer_scale.unwrap_or(0);
        Self {
            flow: *flow,
            phase: Phase::Established,
            flags,
            interface,
            mss,
            snd: SendSpace {
                una: segment.ack,
                nxt: segment.ack,
                wnd,
                max_wnd: wnd.max(u32::from(first_wnd)),
                wl1: segment.seq,
                wl2: segment.ack,
                scale: peer_scale.unwrap_or(0),
                full,
                small: isn,
            },
            rcv: ReceiveSpace {
                nxt,
                edge: nxt + u32::from(window),
                // RFC 7323 section 2.2: both sides or neither.
                scale: if peer_scale.is_some() { scale } else { 0 },
                limit: offering.limit,
                acked: nxt,
                full: 0,
                quick: QuickAcks::at_first(config),
            },
            timestamps,
            rtt,
            recovery: None,
            congestion,
            deadlines: Deadlines { retransmit: Instant::NEVER, ack: Instant::NEVER, idle },
            timer: TimerId::NONE,
            last_heard: now,
            last_sent: half.answered_at,
            unanswered_since: Instant::NEVER,
            duplicate_acks_owed: 0,
            probes: 0,
            unanswered_probes: 0,
            send,
            receive,
            aside,
            rested: 0,
            options,
            news: Readiness::CONNECTED | Readiness::WRITABLE,
            error: None,
            soft_error: None,
        }
    }

    /// Whether a connection that was just made waits for a time, or has something to send or to give back: all that there is to
    /// prepare for.
    #[inline]
    fn is_expectant(&self) -> bool {
        !self.deadlines.idle.is_never() || !self.send.is_empty() || self.receive.is_spare()
    }
}

impl HalfOpen {
    /// The segment is the next in order, acknowledges the SYN-ACK, which was sent once, and brings nothing.
    #[inline(always)]
    fn foresees(&self, segment: &Textless) -> bool {
        segment.seq == self.syn.seq + 1
            && segment.ack == self.isn + 1
            && !segment.fin
            && !self.says_more
            && self.taken == 0
            && !self.repeated
            && !self.pending
            && self.measurable
            && match (segment.timestamps, self.syn.timestamp) {
                (None, None) => true,
                // RFC 7323 section 5.3 R1.
                (Some(option), Some(recent)) => (option.value.wrapping_sub(recent) as i32) >= 0,
                _ => false,
            }
    }
}

#[cfg(test)]
mod tests;
