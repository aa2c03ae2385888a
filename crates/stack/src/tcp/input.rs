//! A segment arrives: checksum, look-up, and then the steps of RFC 9293 section 3.10.7 in their order.
//!
//! Called by `Stack` for every packet of protocol 6. The connection's part is [`Connection::on_segment`]; what has to
//! happen to the tables afterwards is in `Tcp::settle`.

use ring::Budget;
use wire::tcp::{HEADER_LEN, SeqNum, TcpFlags, TcpHeader};

use crate::Discard;

use crate::ip::Arrival;
use crate::tcp::challenge::ChallengeLimit;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::demux::{Flow, Holder};
use crate::tcp::ecn;
use crate::tcp::error::TcpError;
use crate::tcp::phase::Phase;
use crate::tcp::reset::Reset;
use crate::tcp::tuning::Tuning;
use crate::tcp::{Context, Tcp};
use crate::time::Instant;

/// A segment that has passed its checksum.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    pub header: TcpHeader,
    pub payload: &'a [u8],
    /// The payload is in the receive ring already, not yet published.
    pub stored: bool,
    /// It came with a SYN, which may have been taken off since: its window is not scaled.
    pub was_syn: bool,
    /// How many segments of the peer it stands for, at least one: a device may have put several together.
    pub segments: u8,
    /// It met congestion on its way (RFC 3168's CE).
    pub marked: bool,
}

impl Default for Incoming<'_> {
    /// One segment of which nothing is known yet.
    fn default() -> Self {
        Self { header: TcpHeader::BLANK, payload: &[], stored: false, was_syn: false, segments: 1, marked: false }
    }
}

impl Incoming<'_> {
    /// SEG.LEN: payload, SYN and FIN.
    pub(crate) fn len(&self) -> u32 {
        self.payload.len() as u32
            + u32::from(self.header.flags.contains(TcpFlags::SYN))
            + u32::from(self.header.flags.contains(TcpFlags::FIN))
    }
}

/// What a connection needs from the engine while it works on a segment.
pub(crate) struct Env<'a> {
    pub now: Instant,
    pub config: &'a Tuning,
    pub challenge: &'a mut ChallengeLimit,
    pub budget: &'a Budget,
}

/// Why a segment's processing ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Counted, and answered by an acknowledgement if the connection's flags say so.
    Discard(Discard),
    /// Counted, and answered by this reset.
    Reset(Discard, Reset),
}

impl From<Discard> for Stop {
    fn from(reason: Discard) -> Self {
        Self::Discard(reason)
    }
}

impl Tcp {
    /// A segment arrived.
    pub(crate) fn input(&mut self, now: Instant, context: &mut Context<'_>, arrival: &Arrival<'_>) {
        if let Err(reason) = self.try_input(now, context, arrival) {
            context.net.discard(reason);
        }
    }

    fn try_input(&mut self, now: Instant, context: &mut Context<'_>, arrival: &Arrival<'_>) -> Result<(), Discard> {
        let segment = arrival.segment;
        let mut incoming = Incoming::default();
        let payload = incoming.header.read(segment).map_err(|_| Discard::TcpMalformed)?;
        let header = &incoming.header;
        // RFC 9293 section 3.9.2.3: segments to or from broadcast and multicast addresses are ignored.
        if !arrival.unicast || header.src_port == 0 {
            return Err(Discard::TcpNotUnicast);
        }
        let flow = Flow {
            local: arrival.destination,
            remote: arrival.source,
            local_port: header.dst_port,
            remote_port: header.src_port,
        };
        let header_len = segment.len() - payload.len();
        incoming.was_syn = header.flags.contains(TcpFlags::SYN);
        incoming.payload = payload;
        let unverified = !arrival.checksum_verified;
        let pseudo_sum = || arrival.address_sum.add_u32(segment.len() as u32);

        let holder = self.demux.find(&self.hasher, &self.connections, &self.syn_queue, &flow);
        let Some(Holder::Connection(index)) = holder else {
            if unverified && !(pseudo_sum() + TcpHeader::sum(segment)).is_valid() {
                return Err(Discard::TcpChecksum);
            }
            if let Some(Holder::HalfOpen(index)) = holder {
                return self.on_half_open(now, context, index, &mut incoming);
            }
            let options = &segment[HEADER_LEN..header_len];
            return self.on_stray(now, context, arrival.interface, flow, &mut incoming, options);
        };
        let Some(connection) = self.connections.at_mut(index) else { return Err(Discard::TcpNoConnection) };

        if unverified {
            // One pass copies the text to its place and sums it. It is published only after the sum was right.
            let payload_sum = if connection.expects(&incoming.header, payload.len()) {
                connection.receive.write_at_and_sum(0, payload)
            } else {
                None
            };
            incoming.stored = payload_sum.is_some();
            let total = match payload_sum {
                Some(payload_sum) => TcpHeader::sum(&segment[..header_len]) + payload_sum,
                None => TcpHeader::sum(segment),
            };
            if !(pseudo_sum() + total).is_valid() {
                return Err(Discard::TcpChecksum);
            }
        }
        incoming.segments = segments_of(payload.len(), arrival.segment_size);
        incoming.marked = ecn::is_marked(arrival.tos);
        let before = connection.phase;
        let fast_open = connection.flags.has(Flags::FAST_OPEN);
        let isn = connection.snd.una;
        if fast_open
            && before != Phase::SynSent
            && let Some(outcome) = self.on_fast_open_segment(now, index, &incoming)
        {
            self.settle(now, context, index, before);
            return outcome;
        }
        let Some(connection) = self.connections.at_mut(index) else { return Err(Discard::TcpNoConnection) };
        let mut env = Env { now, config: &self.config, challenge: &mut self.challenge, budget: &self.memory.budget };
        let outcome = connection.on_segment(&mut env, &mut incoming);
        // A flow that carries text has more to come; the segments of a handshake and of an end are the last of their kind.
        let expects = !payload.is_empty() || connection.send.position() > 0;
        let answered = fast_open && before == Phase::SynSent && connection.phase.is_synchronized();
        if outcome.is_ok() {
            context.net.confirm_reachable(now, connection.interface, flow.remote);
        }
        if let Some(mtu) = connection.take_path_news() {
            context.net.learn_path_mtu(now, flow.remote, mtu);
        }
        if answered {
            self.on_fast_open_answer(index, &incoming.header, &segment[HEADER_LEN..header_len], isn);
        }
        self.settle(now, context, index, before);
        match outcome {
            Ok(()) => {
                if expects {
                    self.expect_more(context.net, arrival.interface, index);
                }
                Ok(())
            }
            Err(Stop::Discard(reason)) => Err(reason),
            Err(Stop::Reset(reason, reset)) => {
                reset.send(now, context.net, &flow);
                Err(reason)
            }
        }
    }
}

/// For how many segments of `size` bytes a payload stands.
#[inline]
pub(super) fn segments_of(payload_len: usize, size: Option<u16>) -> u8 {
    match size {
        Some(size) if size > 0 => payload_len.div_ceil(usize::from(size)).clamp(1, 255) as u8,
        _ => 1,
    }
}

impl Connection {
    /// Whether a segment is the next in order, fits the window, and nothing stands in the way of its text: then the
    /// text may be placed before the header is judged.
    fn expects(&self, header: &TcpHeader, len: usize) -> bool {
        len > 0
            && self.phase.receives()
            && header.seq == self.rcv.nxt
            && len as u64 <= u64::from(self.receive_window())
            && self.aside.reassembly().is_none()
            && !self.flags.has(Flags::READ_SHUT)
            && !header.flags.contains(TcpFlags::SYN)
            && !header.flags.contains(TcpFlags::RST)
    }

    /// RFC 9293 section 3.10.7.3 and 3.10.7.4, in their order.
    pub(crate) fn on_segment(&mut self, env: &mut Env<'_>, segment: &mut Incoming<'_>) -> Result<(), Stop> {
        if self.phase == Phase::SynSent {
            return self.on_syn_sent_segment(env, segment);
        }
        if self.phase == Phase::SynReceived {
            self.on_repeated_syn(segment)?;
        }
        let seq = segment.header.seq;
        self.check_timestamp(env, segment)?;
        self.check_sequence(env, segment)?;
        if self.check_reset(env, segment)? {
            return Ok(());
        }
        self.check_syn(env, segment)?;
        // Fifth: without an ACK there is nothing more to do.
        if !segment.header.flags.contains(TcpFlags::ACK) {
            return Err(Discard::TcpBadAck.into());
        }
        self.hear(env, !segment.payload.is_empty());
        if self.flags.has(Flags::ECN) {
            self.on_ecn_marks(segment);
        }
        if self.phase == Phase::SynReceived {
            self.on_handshake_ack(env, segment)?;
        } else {
            self.on_ack(env, segment)?;
        }
        if let Some(option) = segment.header.options.timestamps
            && self.timestamps.is_agreed()
        {
            // RFC 7323 section 4.3 (2): SEG.SEQ as it came, not as it was cut. Only now that the ACK was found good: a
            // forged clock far ahead would have everything that follows taken for old.
            self.timestamps.update(env.now, option.value, seq, self.rcv.acked);
        }
        self.on_probe_answered();
        if self.phase == Phase::Closed {
            return Ok(());
        }
        if segment.header.options.user_timeout.is_some() {
            self.hear_user_timeout(segment.header.options.user_timeout);
            self.adopt_user_timeout(env.config);
        }
        if self.flags.has(Flags::ORPHANED) && !segment.payload.is_empty() && self.phase.receives() {
            // RFC 1122 section 4.2.2.13: nobody is left to read what arrives.
            let reset = Reset::abort(env.now, self);
            self.phase = Phase::Closed;
            return Err(Stop::Reset(Discard::TcpAfterClose, reset));
        }
        // Sixth: the URG bit.
        self.on_urgent(seq, &segment.header);
        self.on_text(env, segment)?;
        Ok(())
    }

    /// RFC 7323 section 5.3 R1: protection against wrapped sequence numbers.
    fn check_timestamp(&mut self, env: &mut Env<'_>, segment: &Incoming<'_>) -> Result<(), Discard> {
        if !self.timestamps.is_agreed() || segment.header.flags.contains(TcpFlags::RST) {
            return Ok(());
        }
        match segment.header.options.timestamps {
            Some(option) if self.timestamps.is_old(env.now, option.value) => {
                self.acknowledge_if(env.challenge.allow(env.now));
                Err(Discard::TcpPaws)
            }
            Some(_) => Ok(()),
            // RFC 7323 section 3.2: a segment without the agreed option is dropped.
            None => Err(Discard::TcpPaws),
        }
    }

    /// First: the sequence number. Cuts the segment to the window.
    fn check_sequence(&mut self, env: &mut Env<'_>, segment: &mut Incoming<'_>) -> Result<(), Discard> {
        let seq = segment.header.seq;
        let len = segment.len();
        let end = seq + len;
        let (nxt, edge) = (self.rcv.nxt, self.rcv.edge);

        // An empty segment right at the edge is taken too: a peer whose data is under way numbers its pure ACKs so.
        let acceptable = if len == 0 {
            seq.at_or_after(nxt) && seq.at_or_before(edge)
        } else {
            end.after(nxt) && (seq.before(edge) || seq == nxt)
        };
        if !acceptable {
            self.on_unacceptable(env, segment, end);
            return Err(Discard::TcpOutsideWindow);
        }
        let behind = if seq.before(nxt) { nxt - seq } else { 0 };
        let beyond = if end.after(edge) { end - edge } else { 0 };
        // RFC 5961 sections 3.2 and 4.2: a reset is judged by the number that it came with, and a SYN is challenged
        // wherever it lies.
        let judged_whole = segment.header.flags.intersects(TcpFlags::RST.with(TcpFlags::SYN));
        if !judged_whole && (behind > 0 || beyond > 0) {
            self.trim(segment, behind, beyond);
        }
        Ok(())
    }

    /// What came before is acknowledged once more. If it was sent again because the first acknowledgement was lost, the clock to
    /// echo is that of its second coming: with the first, the peer would take its time-out for a round trip. As
    /// RFC 7323 section 4.3 (2) has it, that is a segment which spans the last acknowledgement sent, whose numbers are as hard
    /// to guess as those of the window.
    fn hear_repetition(&mut self, now: Instant, header: &TcpHeader, len: u32) {
        let Some(option) = header.options.timestamps.filter(|_| self.timestamps.is_agreed()) else { return };
        let spans = len > 0 && (header.seq + len).at_or_after(self.rcv.acked) && !header.flags.contains(TcpFlags::SYN);
        if spans && header.flags.contains(TcpFlags::ACK) && self.may_be_acknowledged(header.ack) {
            self.timestamps.update(now, option.value, header.seq, self.rcv.acked);
        }
    }

    /// RFC 9293 section 3.10.7.4: an unacceptable segment is answered by an ACK, unless it is a reset.
    fn on_unacceptable(&mut self, env: &mut Env<'_>, segment: &Incoming<'_>, end: SeqNum) {
        if segment.header.flags.contains(TcpFlags::RST) {
            return;
        }
        // Keep-alives and window probes (at RCV.NXT-1 or at a closed window) and retransmissions are always answered;
        // other empty segments only within the limit, lest two confused ends answer each other for ever. A SYN but for
        // the one that began the connection is challenged (RFC 5961 section 4.2).
        if !segment.payload.is_empty() && segment.header.seq.before(self.rcv.nxt) {
            // RFC 2883 section 4.1: it came twice.
            let seq = segment.header.seq;
            let text_end = seq + segment.payload.len() as u32;
            self.aside.make().duplicate = Some((seq, text_end.earlier(self.rcv.nxt)));
        }
        self.hear_repetition(env.now, &segment.header, segment.len());
        let foreign_syn = segment.header.flags.contains(TcpFlags::SYN) && end != self.rcv.nxt;
        let probe = (segment.len() > 0 && !foreign_syn) || segment.header.seq + 1 == self.rcv.nxt;
        if probe || env.challenge.allow(env.now) {
            self.flags.set(Flags::ACK_NOW);
        }
        // RFC 9293 section 3.10.7.4: the ACK field of what arrives at a closed window counts nevertheless.
        let retransmission = end.at_or_before(self.rcv.nxt);
        if !retransmission && self.receive_window() == 0 && segment.header.flags.contains(TcpFlags::ACK) {
            self.last_heard = env.now;
            if self.phase.is_synchronized() && self.on_ack(env, segment).is_ok() {
                self.on_probe_answered();
                // RFC 9293 section 3.8.6: URG is processed, too, when the window is closed.
                self.on_urgent(segment.header.seq, &segment.header);
            }
        }
    }

    /// Cuts what was received before and what lies beyond the window.
    fn trim(&mut self, segment: &mut Incoming<'_>, behind: u32, beyond: u32) {
        let cut = (behind as usize).min(segment.payload.len());
        if cut > 0 && self.flags.has(Flags::SACK) {
            // RFC 2883 section 4: the part that came twice, in the next acknowledgement.
            let seq = segment.header.seq;
            self.aside.make().duplicate = Some((seq, seq + cut as u32));
        }
        segment.payload = &segment.payload[cut..];
        segment.header.seq += cut as u32;
        segment.stored = false;
        if beyond > 0 {
            let fin = segment.header.flags.contains(TcpFlags::FIN);
            let text_beyond = (beyond - u32::from(fin)) as usize;
            if text_beyond > 0 {
                // The bytes before the FIN have not all arrived. Where they have, it is taken: it needs no room, and a
                // peer that waits for a window in vain would repeat it until it gives up.
                segment.header.flags = segment.header.flags.without(TcpFlags::FIN);
                self.flags.set(Flags::ACK_NOW);
            }
            segment.payload = &segment.payload[..segment.payload.len().saturating_sub(text_beyond)];
        }
    }

    /// Second: the RST bit. Returns whether the connection was reset.
    fn check_reset(&mut self, env: &mut Env<'_>, segment: &Incoming<'_>) -> Result<bool, Discard> {
        if !segment.header.flags.contains(TcpFlags::RST) {
            return Ok(false);
        }
        // RFC 5961 section 3.2: only a reset at exactly RCV.NXT is obeyed; one elsewhere in the window is challenged.
        if segment.header.seq != self.rcv.nxt {
            self.acknowledge_if(env.challenge.allow(env.now));
            return Err(Discard::TcpBadReset);
        }
        let refused = self.phase == Phase::SynReceived;
        match self.phase {
            // Everything was said, and acknowledged but for the FIN: to the application this is a close.
            Phase::Closing | Phase::LastAck if self.send.is_empty() => self.phase = Phase::Closed,
            _ => self.fail(if refused { TcpError::Refused } else { TcpError::Reset }),
        }
        Ok(true)
    }

    /// Fourth: the SYN bit.
    fn check_syn(&mut self, env: &mut Env<'_>, segment: &Incoming<'_>) -> Result<(), Discard> {
        if !segment.header.flags.contains(TcpFlags::SYN) {
            return Ok(());
        }
        // RFC 5961 section 4.2: whatever its number, a SYN here is challenged; a peer that has forgotten the connection
        // answers with a reset that proves it.
        self.acknowledge_if(env.challenge.allow(env.now));
        Err(Discard::TcpBadSyn)
    }
}
