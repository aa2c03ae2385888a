//! A handshake that a peer has begun with a listener: the answer to its SYN, and what comes while it waits in the SYN
//! queue (RFC 9293 section 3.10.7.4 in SYN-RECEIVED, RFC 5961, RFC 5927).
//!
//! Called by `listener` for a SYN, by `input` for segments of an entry, by `Tcp::handle_timeout` and `Tcp::transmit`.
//! The third segment makes the connection, which then judges that segment as any other.

use alloc::sync::Arc;
use core::hint::cold_path;

use device::Device;
use wire::tcp::{FastOpen, MAX_HEADER_LEN, TcpFlags, TcpHeader, TcpOptions, Timestamps as TimestampsOption};

use crate::Discard;
use crate::ip::icmp::ErrorKind;
use crate::link::InterfaceId;
use crate::link::template::Plainly;
use crate::network::{Network, Segment, Transmitted};
use crate::tcp::aside::Shelf;
use crate::tcp::buffers::begin_buffers;
use crate::tcp::commands::path_mss;
use crate::tcp::connection::{Birth, Connection, Flags};
use crate::tcp::demux::{Flow, Holder};
use crate::tcp::handshake::PeerSyn;
use crate::tcp::input::{Env, Incoming, Stop};
use crate::tcp::listener::Listener;
use crate::tcp::options::heap_rings;
use crate::tcp::phase::Phase;
use crate::tcp::reset::Reset;
use crate::tcp::rtt::RttEstimator;
use crate::tcp::syn_cookies::CookieJar;
use crate::tcp::syn_queue::HalfOpen;
use crate::tcp::timestamps::Timestamps;
use crate::tcp::{ConnectionId, Context, ListenerId, Tcp, announced_mss, bare, ecn};
use crate::time::Instant;

/// What becomes of a segment of a handshake.
enum Verdict {
    /// Nothing.
    Drop(Discard),
    /// The SYN-ACK goes out again.
    Answer(Discard),
    /// An acknowledgement within the limit on challenges, and nothing else.
    Challenge(Discard),
    /// This reset, and nothing else.
    Reset(Discard, Reset),
    /// The peer has given up.
    Forget,
    /// It is the third segment.
    Complete,
}

impl Tcp {
    /// The SYN-ACK of a handshake.
    fn syn_ack(&self, now: Instant, net: &Network, half: &HalfOpen) -> Option<TcpHeader> {
        let listener = self.listeners.table.get(half.listener)?;
        let (window, scale) = listener.offer;
        let socket = &listener.options.socket;
        let syn = &half.syn;
        let timestamps = syn.timestamp.map(|echo| {
            let clock = Timestamps::new(self.isn.timestamp_offset(&half.flow));
            TimestampsOption { value: clock.value(now), echo }
        });
        let options = TcpOptions {
            mss: Some(announced_mss(net.route_mtu(half.interface, half.flow.remote), half.flow.remote, socket)),
            // RFC 7323 sections 2.2 and 3.2, RFC 2018 section 2: only what the SYN offered.
            window_scale: syn.scale.map(|_| scale),
            timestamps,
            sack_permitted: syn.sack,
            // Once: something on the way may not like it (RFC 5482 section 4.1).
            user_timeout: if half.repeated { None } else { socket.advertised_user_timeout(true) },
            ..TcpOptions::NONE
        };
        let ecn = listener.options.socket.ecn.unwrap_or(self.config.ecn);
        let flags = TcpFlags::SYN | TcpFlags::ACK | ecn.answer(syn.flags);
        let header = bare::header(&half.flow, half.isn, syn.seq + 1 + u32::from(half.taken), flags);
        Some(TcpHeader { window, options, ..header })
    }

    /// Answers a SYN for which there is no room in the queue: the answer's number remembers it.
    pub(crate) fn answer_with_cookie(
        &mut self,
        now: Instant,
        net: &mut Network,
        mut half: HalfOpen,
    ) -> Result<(), Discard> {
        half.isn = self.cookies.bake(now, &half.flow, &mut half.syn).ok_or(Discard::TcpBacklog)?;
        let mut header = self.syn_ack(now, net, &half).ok_or(Discard::TcpNoConnection)?;
        // RFC 5482 section 4.1: nobody remembers whether it is the first. What follows the handshake tells it.
        header.options.user_timeout = None;
        if let Some(timestamps) = &mut header.options.timestamps {
            let ecn = header.flags.contains(TcpFlags::ECE);
            timestamps.value = CookieJar::stamp(timestamps.value, &half.syn, ecn);
        }
        bare::send(now, net, &half.flow, &header);
        self.counters.cookies_sent += 1;
        Ok(())
    }

    /// The handshake that a segment completes whose SYN was answered with a cookie.
    pub(crate) fn open_cookie(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        flow: &Flow,
        segment: &Incoming<'_>,
    ) -> Result<HalfOpen, Discard> {
        let flags = segment.header.flags;
        let may_be = flags.contains(TcpFlags::ACK) && !flags.intersects(TcpFlags::SYN | TcpFlags::RST);
        if !may_be || !self.cookies.is_open(now) {
            return Err(Discard::TcpNoConnection);
        }
        let found = self.listeners.find(flow);
        let listener = found.ok_or(Discard::TcpNoConnection)?;
        let TcpHeader { seq, ack, options, .. } = segment.header;
        let clock = Timestamps::new(self.isn.timestamp_offset(flow)).value(now);
        let syn = self.cookies.open(now, flow, seq, ack, &options, clock).ok_or(Discard::TcpBadCookie)?;
        if self.listeners.table.get(listener).is_none_or(Listener::is_full) {
            return Err(Discard::TcpBacklog);
        }
        self.counters.cookies_accepted += 1;
        let half = Self::half_open(now, *flow, interface, listener, syn, ack - 1);
        // When its SYN-ACK went out is not known, and the echoed timestamp is not the time either.
        Ok(HalfOpen { measurable: false, ..half })
    }

    /// Sends the SYN-ACKs that are due on `interface`; false when the device became full before the end.
    pub(crate) fn transmit_syn_acks(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        interface: InterfaceId,
        device: &mut dyn Device,
    ) -> bool {
        while let Some(index) = self.syn_queue.first_due(interface) {
            match self.send_syn_ack(now, context.net, device, index) {
                Plainly::DeviceFull => return false,
                Plainly::Sent => self.syn_queue.answered(now, index, &self.config),
                Plainly::NotSo => {
                    cold_path();
                    if !self.send_unusual_syn_ack(now, context.net, device, index) {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Sends any SYN-ACK; false when the device is full.
    #[inline(never)]
    fn send_unusual_syn_ack(&mut self, now: Instant, net: &mut Network, device: &mut dyn Device, index: u32) -> bool {
        let half = self.syn_queue.at(index);
        let Some(header) = self.syn_ack(now, net, half) else {
            self.forget_half_open(index);
            return true;
        };
        let (hop_limit, tos) = self.listeners.table.get(half.listener).map_or((net.default_hop_limit, 0), |listener| {
            (listener.options.socket.hop_limit, listener.options.socket.tos & !ecn::MASK)
        });
        let mut bytes = [0; MAX_HEADER_LEN];
        let mut len = header.emit(&mut bytes);
        if half.grant
            && let Some(cookie) = self.baker.bake(now, &half.flow)
        {
            // One for which the options leave no room is left out.
            len = FastOpen::Cookie(cookie).append(&mut bytes, len).unwrap_or(len);
        }
        let segment = Segment {
            interface: half.interface,
            source: half.flow.local,
            destination: half.flow.remote,
            hop_limit,
            tos,
            header: &bytes[..len],
            payload: &[],
            payload_len: 0,
            segment_size: None,
        };
        match net.transmit_segment(now, device, &segment) {
            Transmitted::DeviceFull => return false,
            // The neighbour's queue keeps it until the search has ended.
            Transmitted::Resolving(_) => bare::send(now, net, &half.flow, &header),
            // As good as lost on the way.
            Transmitted::TooBig(_) => net.discard(Discard::TooBig),
            Transmitted::Sent | Transmitted::Partly(_) | Transmitted::Unreachable => {}
        }
        self.syn_queue.answered(now, index, &self.config);
        true
    }

    /// Sends SYN-ACKs again that nothing has come back for, and forgets those that have waited long enough.
    pub(crate) fn expire_half_open(&mut self, now: Instant, context: &mut Context<'_>) {
        while let Some(index) = self.syn_queue.first_expired(now, &self.config) {
            if self.syn_queue.at(index).retries >= self.config.syn_retries {
                let half = self.forget_half_open(index);
                if half.pending {
                    self.fast_open_timed_out(now, context, &half.flow);
                }
                continue;
            }
            self.syn_queue.make_due(index);
            let half = self.syn_queue.at_mut(index);
            half.retries += 1;
            half.repeated = true;
        }
    }

    /// Takes a handshake out of the queue.
    pub(crate) fn forget_half_open(&mut self, index: u32) -> HalfOpen {
        let half = self.take_half_open(index);
        self.demux.remove_half_open(&self.hasher, &half.flow, index);
        half
    }

    /// The same, where the flow goes over to the connection.
    #[inline]
    fn take_half_open(&mut self, index: u32) -> HalfOpen {
        let half = self.syn_queue.remove(index);
        if let Some(listener) = self.listeners.table.get_mut(half.listener) {
            listener.handshakes -= 1;
            listener.pending -= usize::from(half.pending);
        }
        half
    }

    /// Takes out the handshakes that `wanted` picks, with a reset to their peers if `reset`.
    pub(crate) fn forget_handshakes(
        &mut self,
        now: Instant,
        net: &mut Network,
        reset: bool,
        wanted: impl FnMut(&HalfOpen) -> bool,
    ) {
        for index in self.syn_queue.pick(wanted) {
            let half = self.forget_half_open(index);
            if reset {
                Reset::of_handshake(&half).send(now, net, &half.flow);
            }
        }
    }

    /// A segment of a handshake that waits.
    pub(crate) fn on_half_open(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        index: u32,
        segment: &mut Incoming<'_>,
    ) -> Result<(), Discard> {
        let half = *self.syn_queue.at(index);
        let Some(listener) = self.listeners.table.get(half.listener) else { return Err(Discard::TcpNoConnection) };
        let (window, scale) = listener.offer;
        let full = listener.is_full();
        match judge(&half, window, segment) {
            Verdict::Drop(reason) => Err(reason),
            Verdict::Answer(reason) => {
                self.syn_queue.at_mut(index).repeated = true;
                self.syn_queue.make_due(index);
                Err(reason)
            }
            Verdict::Challenge(reason) => {
                if self.challenge.allow(now) {
                    self.acknowledge_half_open(now, context.net, &half, window >> half.syn.scale.map_or(0, |_| scale));
                }
                Err(reason)
            }
            // Its first SYN may have been answered with a cookie, and that answer arrived first.
            Verdict::Reset(..) if let Ok(cookie) = self.open_cookie(now, half.interface, &half.flow, segment) => {
                self.forget_half_open(index);
                self.complete_handshake(now, context, &cookie, segment)
            }
            Verdict::Reset(reason, reset) => {
                reset.send(now, context.net, &half.flow);
                Err(reason)
            }
            Verdict::Forget => {
                self.forget_half_open(index);
                Ok(())
            }
            // Nothing is answered, and nobody reset: the SYN-ACK comes again and draws the ACK again, or the peer
            // repeats its text.
            Verdict::Complete if full => Err(Discard::TcpBacklog),
            Verdict::Complete if !self.reserve_connection(context.events) => Err(Discard::TcpMemory),
            Verdict::Complete => {
                self.take_half_open(index);
                self.complete_reserved(now, context, &half, Some(index), segment)
            }
        }
    }

    /// RFC 9293 section 3.10.7.4: the answer to a segment that is not acceptable.
    fn acknowledge_half_open(&self, now: Instant, net: &mut Network, half: &HalfOpen, window: u16) {
        let clock = Timestamps::new(self.isn.timestamp_offset(&half.flow));
        let mut header = bare::header(&half.flow, half.isn + 1, half.syn.seq + 1, TcpFlags::ACK);
        header.window = window;
        header.options.timestamps = half.syn.timestamp.map(|echo| TimestampsOption { value: clock.value(now), echo });
        bare::send(now, net, &half.flow, &header);
    }

    /// The third segment has come: makes the connection, lets it judge the segment, and puts it before the listener's
    /// owner.
    pub(crate) fn complete_handshake(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        half: &HalfOpen,
        segment: &mut Incoming<'_>,
    ) -> Result<(), Discard> {
        if !self.reserve_connection(context.events) {
            return Err(Discard::TcpMemory);
        }
        self.complete_reserved(now, context, half, None, segment)
    }

    /// The same where the connection's memory is reserved already. It takes over the flow from the handshake in slot
    /// `waited` of the SYN queue, if it was in there.
    fn complete_reserved(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        half: &HalfOpen,
        waited: Option<u32>,
        segment: &mut Incoming<'_>,
    ) -> Result<(), Discard> {
        let Some(id) = self.add_connection_of(now, context.net, half, waited) else {
            self.unreserve_connection();
            if let Some(handshake) = waited {
                self.demux.remove_half_open(&self.hasher, &half.flow, handshake);
            }
            return Err(Discard::TcpNoConnection);
        };
        let Some(connection) = self.connections.get_mut(id) else { return Err(Discard::TcpNoConnection) };
        connection.snd.nxt = half.isn + 1;
        connection.last_sent = half.answered_at;
        connection.unanswered_since = half.answered_at;
        if half.retries > 0 {
            connection.ledger_mut().retransmissions = u32::from(half.retries);
        }
        if half.repeated {
            // RFC 6298 section 3: which of them is answered cannot be told.
            connection.flags.set(Flags::SYN_RESENT);
        }
        let mut env = Env { now, config: &self.config, challenge: &mut self.challenge, budget: &self.memory.budget };
        let outcome = connection.on_segment(&mut env, segment);
        if !half.measurable {
            connection.rtt = RttEstimator::new();
        }
        self.offer(context.events, id, half.listener);
        self.settle(now, context, id.index(), Phase::SynReceived);
        context.net.confirm_reachable(now, half.interface, half.flow.remote);
        match outcome {
            Ok(()) => Ok(()),
            Err(Stop::Discard(reason)) => Err(reason),
            Err(Stop::Reset(reason, reset)) => {
                reset.send(now, context.net, &half.flow);
                Err(reason)
            }
        }
    }

    /// Adds a connection in SYN-RECEIVED as `half` and its listener's settings describe it; `None` if that is gone.
    pub(crate) fn add_connection_of(
        &mut self,
        now: Instant,
        net: &mut Network,
        half: &HalfOpen,
        waited: Option<u32>,
    ) -> Option<ConnectionId> {
        let listener = self.listeners.table.get_mut(half.listener)?;
        let (window, scale) = listener.offer;
        let (mut rings, application) = match &mut listener.options.rings {
            Some(source) => source(),
            None => heap_rings(self.config.send_buffer as usize, self.config.receive_buffer as usize),
        };
        let options = Arc::clone(&listener.options.socket);
        let mss = path_mss(net, half.interface, &half.flow, &options);
        self.memory.adopt(&rings);
        let offering = begin_buffers(&mut rings, &options, &self.config);
        let birth = Birth {
            flow: &half.flow,
            interface: half.interface,
            isn: half.isn,
            mss,
            // Only a clock that runs needs a beginning.
            timestamp_offset: half.syn.timestamp.map_or(0, |_| self.isn.timestamp_offset(&half.flow)),
            options,
            offering,
            aside: Shelf::EMPTY,
        };
        let hash = self.hasher.of(&half.flow);
        let connection = Connection::new(now, Phase::SynReceived, birth, rings, &self.config);
        let id = self.connections.insert_noted(connection, hash);
        match waited {
            Some(handshake) => self.demux.promote(hash, &half.flow, handshake, id.index()),
            None => self.demux.insert_hashed(hash, &half.flow, Holder::Connection(id.index())),
        }
        let connection = self.connections.get_mut(id)?;
        connection.rcv.scale = scale;
        if half.retries > 0 {
            // RFC 5681 section 3.1: a lost SYN-ACK costs the initial window.
            connection.flags.set(Flags::SYN_RESENT);
            connection.rtt.back_off();
        }
        connection.on_peer_syn(now, &half.syn, &self.config);
        connection.rcv.edge = connection.rcv.nxt + u32::from(window);
        connection.aside = Shelf::of_parked(&mut self.spare_aside, application, half.listener);
        connection.hear_user_timeout(half.user_timeout);
        connection.owe_user_timeout();
        Some(id)
    }

    /// An ICMP error quoted the SYN-ACK of a handshake; false if it did not.
    pub(crate) fn icmp_error_half_open(&mut self, index: u32, sequence: u32, kind: ErrorKind) -> bool {
        // RFC 5927 section 4.1: only a number that is in flight was seen by a router on the way.
        if self.syn_queue.at(index).isn.0 != sequence {
            return false;
        }
        // Who asked cannot be reached: nothing is lost but a record, and a peer that was there all the same asks again.
        if !matches!(kind, ErrorKind::FragmentationNeeded(_)) {
            self.forget_half_open(index);
        }
        true
    }

    /// A handshake for `listener` enters the queue.
    #[inline]
    pub(crate) fn begin_handshake(&mut self, half: HalfOpen) {
        if let Some(listener) = self.listeners.table.get_mut(half.listener) {
            listener.handshakes += 1;
            listener.pending += usize::from(half.pending);
        }
        let hash = self.hasher.of(&half.flow);
        let index = self.syn_queue.insert(half.interface, hash, || half);
        if half.pending {
            self.demux.insert_beside(hash, index);
        } else {
            self.demux.insert_hashed(hash, &half.flow, Holder::HalfOpen(index));
        }
    }

    /// The record of a SYN for `listener`.
    #[inline(always)]
    pub(crate) fn half_open(
        now: Instant,
        flow: Flow,
        interface: InterfaceId,
        listener: ListenerId,
        syn: PeerSyn,
        isn: wire::tcp::SeqNum,
    ) -> HalfOpen {
        HalfOpen {
            flow,
            interface,
            listener,
            syn,
            isn,
            answered_at: now,
            retries: 0,
            repeated: false,
            taken: 0,
            grant: false,
            pending: false,
            user_timeout: None,
            says_more: false,
            measurable: true,
        }
    }
}

/// RFC 9293 section 3.10.7.4 in SYN-RECEIVED, in its order, for a peer that was offered `window`.
fn judge(half: &HalfOpen, window: u16, segment: &Incoming<'_>) -> Verdict {
    let header = &segment.header;
    let flags = header.flags;
    let nxt = half.syn.seq + 1;
    if flags.contains(TcpFlags::SYN) && !flags.contains(TcpFlags::RST) && header.seq == half.syn.seq {
        // The SYN-ACK was lost: the same connection, not a second one.
        return Verdict::Answer(Discard::TcpBadSyn);
    }
    // RFC 7323 section 5.3 R1.
    if let Some(recent) = half.syn.timestamp
        && !flags.contains(TcpFlags::RST)
    {
        match header.options.timestamps {
            Some(option) if (option.value.wrapping_sub(recent) as i32) < 0 => {
                return Verdict::Challenge(Discard::TcpPaws);
            }
            Some(_) => {}
            // RFC 7323 section 3.2: a segment without the agreed option is dropped.
            None => return Verdict::Drop(Discard::TcpPaws),
        }
    }
    // First: the sequence number.
    let (end, edge) = (header.seq + segment.len(), nxt + u32::from(window));
    let acceptable = if segment.len() == 0 {
        header.seq.at_or_after(nxt) && header.seq.at_or_before(edge)
    } else {
        end.after(nxt) && (header.seq.before(edge) || header.seq == nxt)
    };
    if flags.contains(TcpFlags::RST) {
        // RFC 5961 section 3.2: only a reset at exactly RCV.NXT is obeyed; one elsewhere in the window is challenged.
        return match acceptable {
            _ if header.seq == nxt => Verdict::Forget,
            true => Verdict::Challenge(Discard::TcpBadReset),
            false => Verdict::Drop(Discard::TcpOutsideWindow),
        };
    }
    if !acceptable {
        return Verdict::Challenge(Discard::TcpOutsideWindow);
    }
    if flags.contains(TcpFlags::SYN) {
        // RFC 5961 section 4.2.
        return Verdict::Challenge(Discard::TcpBadSyn);
    }
    if !flags.contains(TcpFlags::ACK) {
        return Verdict::Drop(Discard::TcpBadAck);
    }
    // RFC 9293 section 3.10.7.4, fifth step: an ACK of anything but our SYN is reset.
    if header.ack != half.isn + 1 {
        return match Reset::answer(segment) {
            Some(reset) => Verdict::Reset(Discard::TcpBadAck, reset),
            None => Verdict::Drop(Discard::TcpBadAck),
        };
    }
    Verdict::Complete
}
