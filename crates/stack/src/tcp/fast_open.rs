//! Fast Open (RFC 7413): text on the SYN, for a client that has shown before that its address is its own.
//!
//! A server's half: [`Tcp::answer_fast_open`] makes the connection of such a SYN at once, established as far as the
//! application can see, while the SYN-ACK stands in the SYN queue and is sent and repeated from there, with all that was
//! taken acknowledged. The segment that acknowledges it takes it out ([`Tcp::on_fast_open_segment`]). So nothing that
//! sends or receives knows of Fast Open.
//!
//! A client's half: [`Cookies::offer`] says what a SYN may carry, `handshake` and `output` carry it, and
//! [`Tcp::on_fast_open_answer`] learns from the answer.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;

use wire::tcp::{FastOpen, FastOpenCookie, SeqNum, TcpFlags, TcpHeader};

use crate::Discard;
use crate::config::TcpConfig;
use crate::entropy::{Entropy, Key};
use crate::event::Readiness;
use crate::stack::Stack;
use crate::tcp::connection::{Connection, Flags, Parked};
use crate::tcp::demux::{Flow, Holder};
use crate::tcp::error::TcpError;
use crate::tcp::input::{Env, Incoming};
use crate::tcp::phase::Phase;
use crate::tcp::syn_queue::HalfOpen;
use crate::tcp::{ConnectionId, Context, ListenerId, Tcp};
use crate::time::Instant;

/// How long a server's secret makes cookies; they hold for as long again.
const PERIOD: Duration = Duration::from_secs(12 * 3_600);
/// RFC 7413 section 5.1: how long a request that was reset still counts. Whoever forges a SYN makes its victim answer with
/// a reset, and must not have the place back at once.
const RESET_COUNTS: Duration = Duration::from_secs(60);
/// For how long a destination gets no text on SYNs after one of them was lost; doubled with every further one.
const DISTRUST: Duration = Duration::from_secs(3_600);
/// Doublings of that at most.
const MOST_DOUBLINGS: u8 = 6;
/// Option bytes of a SYN at most; the segment size does not count them (RFC 6691).
const OPTION_BYTES: u32 = 40;

/// Makes and checks a server's cookies.
pub(crate) struct Baker {
    entropy: Entropy,
    /// The secret of the present and of the last period, at `period % 2` and the other.
    secrets: [Key; 2],
    period: u64,
}

impl Baker {
    pub(crate) fn new(mut entropy: Entropy) -> Self {
        let secrets = [entropy.key(), entropy.key()];
        Self { entropy, secrets, period: 0 }
    }

    fn rotate(&mut self, now: Instant) {
        let period = now.as_millis() / PERIOD.as_millis() as u64;
        for begun in (self.period + 1..=period).rev().take(2) {
            self.secrets[(begun % 2) as usize] = self.entropy.key();
        }
        self.period = self.period.max(period);
    }

    fn cookie(&self, period: u64, flow: &Flow) -> Option<FastOpenCookie> {
        // RFC 7413 section 4.1.2: a MAC of the client's address; of ours too, as we may have several.
        let addresses = Flow { local_port: 0, remote_port: 0, ..*flow };
        FastOpenCookie::new(&addresses.prf(self.secrets[(period % 2) as usize]).to_be_bytes())
    }

    /// The cookie for the peer of `flow`.
    pub(crate) fn bake(&mut self, now: Instant, flow: &Flow) -> Option<FastOpenCookie> {
        self.rotate(now);
        self.cookie(self.period, flow)
    }

    /// Whether `cookie` is the one for the peer of `flow`, of this period or of the last.
    fn is_good(&mut self, now: Instant, flow: &Flow, cookie: &FastOpenCookie) -> bool {
        self.rotate(now);
        [self.period, self.period.wrapping_sub(1)].iter().any(|&period| self.cookie(period, flow) == Some(*cookie))
    }

    /// Whether it is of the last period.
    fn is_old(&self, flow: &Flow, cookie: &FastOpenCookie) -> bool {
        self.cookie(self.period, flow) != Some(*cookie)
    }
}

/// What is known of a server.
#[derive(Clone, Copy, Debug)]
struct Known {
    cookie: Option<FastOpenCookie>,
    mss: u16,
    /// SYNs with text that were lost in a row.
    losses: u8,
    /// Until when none is sent.
    distrusted_until: Instant,
    /// When it was last used, as a number of uses.
    used: u64,
}

/// What a client knows of servers, the least recently used of which are forgotten.
pub(crate) struct Cookies {
    servers: BTreeMap<IpAddr, Known>,
    by_use: BTreeMap<u64, IpAddr>,
    uses: u64,
    limit: usize,
}

/// What the SYN of a client carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub option: FastOpen,
    /// The segment size that the server announced the last time.
    mss: u16,
}

impl Connection {
    /// Lets the SYN of a new connection carry what Fast Open allows.
    pub(crate) fn offer_fast_open(&mut self, now: Instant, cookies: &mut Cookies) {
        if let Some(offer) = cookies.offer(now, self.flow.remote) {
            self.flags.set(Flags::FAST_OPEN);
            self.aside.park(Parked { rings: None, origin: None, offer: Some(offer) });
        }
    }

    /// What our SYN carries besides its own options.
    pub(super) fn syn_offer(&self) -> Option<&Offer> {
        if !self.flags.has(Flags::FAST_OPEN) || self.phase != Phase::SynSent {
            return None;
        }
        self.aside.parked()?.offer.as_ref()
    }

    /// Bytes of text that our SYN takes along (RFC 7413 section 4.2.1): what was written so far, as far as one segment of
    /// the size that the server announced the last time holds it.
    pub(crate) fn syn_text(&self) -> u32 {
        match self.syn_room() {
            0 => 0,
            most => u32::try_from(self.send.len()).unwrap_or(u32::MAX).min(most),
        }
    }

    /// Bytes of text that our SYN could take along.
    fn syn_room(&self) -> u32 {
        match self.syn_offer() {
            Some(Offer { option: FastOpen::Cookie(_), mss }) => {
                u32::from(self.mss.min(*mss)).saturating_sub(OPTION_BYTES)
            }
            _ => 0,
        }
    }

    /// The path carries less than was thought: our SYN, if it took along more text than fits, goes again at once with less
    /// (RFC 1191 section 6.4). The first one did not arrive, so the answer measures the round trip of the second, and
    /// neither the window nor the trust in the server suffers.
    pub(crate) fn shrink_syn(&mut self, now: Instant, config: &TcpConfig) {
        let carried = (self.snd.nxt - self.snd.una).saturating_sub(1);
        if self.syn_offer().is_none() || carried <= self.syn_text() {
            return;
        }
        self.flags.set(Flags::SYN_DUE);
        self.ledger_mut().retransmissions += 1;
        // RFC 6298 section 5.1: timed from now on.
        self.deadlines.retransmit = self.rtt.rto_at(now, config.rto_min, config.rto_max);
    }

    /// Appends the option to the header of our SYN, if it has one, and returns the header's length.
    pub(crate) fn append_fast_open(&self, header: &mut [u8], len: usize) -> usize {
        self.syn_offer().and_then(|offer| offer.option.append(header, len)).unwrap_or(len)
    }
}

impl Stack {
    /// Whether a SYN to `server` would show a cookie (RFC 7413): it has given one, and no SYN with text was lost on the way to
    /// it lately.
    #[must_use]
    pub fn tcp_has_fast_open_cookie(&self, now: Instant, server: IpAddr) -> bool {
        let known = self.tcp.fast_open_cookies.servers.get(&server);
        known.is_some_and(|known| known.cookie.is_some() && now >= known.distrusted_until)
    }

    /// Bytes of text that the SYN of `connection` takes along if they are written before it leaves; zero where it carries no
    /// cookie, and when it was answered.
    #[must_use]
    pub fn tcp_syn_room(&self, connection: ConnectionId) -> usize {
        self.tcp.connections.get(connection).map_or(0, |connection| connection.syn_room() as usize)
    }

    /// TCP_FASTOPEN of a listener that listens already: as [`ListenOptions::fast_open`](crate::tcp::ListenOptions::fast_open).
    pub fn tcp_listener_set_fast_open(&mut self, listener: ListenerId, limit: Option<usize>) {
        if let Some(listener) = self.tcp.listeners.table.get_mut(listener) {
            listener.options.fast_open = limit;
        }
    }
}

impl Cookies {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { servers: BTreeMap::new(), by_use: BTreeMap::new(), uses: 0, limit }
    }

    /// What a SYN to `server` carries: a cookie, or a request for one; `None` after one was lost.
    fn offer(&mut self, now: Instant, server: IpAddr) -> Option<Offer> {
        let request = Offer { option: FastOpen::Request, mss: 0 };
        if !self.servers.contains_key(&server) {
            return Some(request);
        }
        let known = self.touch(server);
        if now < known.distrusted_until {
            return None;
        }
        Some(known.cookie.map_or(request, |cookie| Offer { option: FastOpen::Cookie(cookie), mss: known.mss }))
    }

    /// The entry of `server`, made if need be, as the one that was used last.
    fn touch(&mut self, server: IpAddr) -> &mut Known {
        self.uses += 1;
        let uses = self.uses;
        if let Some(known) = self.servers.get(&server) {
            self.by_use.remove(&known.used);
        } else if self.servers.len() >= self.limit.max(1)
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.servers.remove(&oldest);
        }
        self.by_use.insert(uses, server);
        let known = self.servers.entry(server).or_insert(Known {
            cookie: None,
            mss: 0,
            losses: 0,
            distrusted_until: Instant::ZERO,
            used: uses,
        });
        known.used = uses;
        known
    }

    /// A server has answered: with a cookie, or having taken text from the SYN.
    fn learn(&mut self, server: IpAddr, cookie: Option<FastOpenCookie>, mss: u16, took_text: bool) {
        if cookie.is_none() && !took_text {
            return;
        }
        let known = self.touch(server);
        known.cookie = cookie.or(known.cookie);
        known.mss = mss;
        if took_text {
            known.losses = 0;
        }
    }

    /// A SYN to `server` that carried text or the option was not answered in time.
    pub(crate) fn distrust(&mut self, now: Instant, server: IpAddr) {
        let known = self.touch(server);
        known.distrusted_until = now + DISTRUST * (1 << known.losses.min(MOST_DOUBLINGS));
        known.losses = known.losses.saturating_add(1);
    }
}

/// What a SYN's option comes to at a listener.
pub(crate) enum Ticket {
    /// Nothing: an ordinary handshake.
    None,
    /// An ordinary handshake, whose SYN-ACK brings a cookie.
    Grant,
    /// The text is taken at once; `renew` brings a new cookie along.
    Valid { renew: bool },
}

impl Tcp {
    /// Judges the option of a SYN.
    pub(crate) fn ticket(
        &mut self,
        now: Instant,
        flow: &Flow,
        listener: ListenerId,
        options: &[u8],
        text: &[u8],
    ) -> Ticket {
        let Some(listener) = self.listeners.table.get(listener) else { return Ticket::None };
        let Some(limit) = listener.options.fast_open else { return Ticket::None };
        match FastOpen::find(options) {
            None => Ticket::None,
            Some(FastOpen::Request) => Ticket::Grant,
            Some(FastOpen::Cookie(cookie)) if !self.baker.is_good(now, flow, &cookie) => {
                self.counters.fast_open_refused += 1;
                Ticket::Grant
            }
            // RFC 7413 section 5.1: too many wait for their third segment.
            Some(_) if listener.fast_open_pending(now) >= limit => {
                self.counters.fast_open_overflowed += 1;
                Ticket::None
            }
            Some(FastOpen::Cookie(cookie)) if !text.is_empty() => {
                Ticket::Valid { renew: self.baker.is_old(flow, &cookie) }
            }
            Some(_) => Ticket::None,
        }
    }

    /// RFC 7413 section 4.2.2: takes the text of a SYN and puts the connection before the listener's owner at once.
    pub(crate) fn answer_fast_open(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        mut half: HalfOpen,
        segment: &mut Incoming<'_>,
    ) -> Result<(), Discard> {
        if !self.reserve_connection(context.events) {
            return Err(Discard::TcpMemory);
        }
        let Some(id) = self.add_connection_of(now, context.net, &half, None) else {
            self.unreserve_connection();
            return Err(Discard::TcpNoConnection);
        };
        let Some(connection) = self.connections.get_mut(id) else { return Err(Discard::TcpNoConnection) };
        connection.phase = Phase::Established;
        connection.flags.set(Flags::FAST_OPEN.and(Flags::SYN_TEXT));
        connection.snd.una = half.isn + 1;
        connection.snd.nxt = half.isn + 1;
        connection.snd.wl2 = half.isn + 1;
        segment.header.seq += 1;
        segment.header.flags = segment.header.flags.without(TcpFlags::SYN);
        let most = segment.payload.len().min(connection.receive_window() as usize);
        if most < segment.payload.len() {
            segment.payload = &segment.payload[..most];
            segment.header.flags = segment.header.flags.without(TcpFlags::FIN);
        }
        let mut env = Env { now, config: &self.config, challenge: &mut self.challenge, budget: &self.memory.budget };
        let outcome = connection.on_text(&mut env, segment);
        // The SYN-ACK acknowledges it.
        connection.forget_acks();
        connection.deadlines.ack = Instant::NEVER;
        connection.rcv.acked = connection.rcv.nxt;
        connection.tell(Readiness::CONNECTED | Readiness::WRITABLE);
        connection.start_keep_alive();
        half.taken = (connection.rcv.nxt - (half.syn.seq + 1)) as u16;
        half.pending = true;
        self.begin_handshake(half);
        self.counters.fast_open_accepted += 1;
        self.offer(context.events, id, half.listener);
        self.settle(now, context, id.index(), Phase::Established);
        outcome
    }

    /// A segment of a connection whose SYN-ACK waits for its acknowledgement. `Some` if that was all it brought.
    pub(crate) fn on_fast_open_segment(
        &mut self,
        now: Instant,
        index: u32,
        segment: &Incoming<'_>,
    ) -> Option<Result<(), Discard>> {
        let connection = self.connections.at_mut(index)?;
        let at = self.demux.half_open(&self.hasher, &self.syn_queue, &connection.flow)?;
        let half = *self.syn_queue.at(at);
        let TcpHeader { seq, ack, flags, .. } = segment.header;
        if flags.intersects(TcpFlags::SYN | TcpFlags::RST) {
            let repeated = flags.contains(TcpFlags::SYN) && !flags.contains(TcpFlags::RST) && seq == half.syn.seq;
            if !repeated {
                return None;
            }
            // The SYN-ACK was lost, and the text of this SYN is known.
            self.syn_queue.at_mut(at).repeated = true;
            self.syn_queue.make_due(at);
            return Some(Err(Discard::TcpBadSyn));
        }
        let acknowledges =
            flags.contains(TcpFlags::ACK) && ack.at_or_after(half.isn + 1) && ack.at_or_before(connection.snd.nxt);
        let in_window = seq.at_or_after(half.syn.seq + 1) && seq.at_or_before(connection.rcv.edge);
        if acknowledges && in_window {
            connection.flags.clear(Flags::FAST_OPEN);
            connection.adopt_user_timeout(&self.config);
            if !half.repeated {
                connection.rtt.sample(now.since(half.answered_at));
            }
            if half.retries > 0 {
                connection.rtt.on_handshake_repeated();
            }
            self.forget_half_open(at);
        }
        None
    }

    /// A connection has ended before its SYN-ACK was acknowledged.
    pub(crate) fn fast_open_ended(&mut self, now: Instant, flow: &Flow, reset: bool) {
        let Some(at) = self.demux.half_open(&self.hasher, &self.syn_queue, flow) else { return };
        let half = self.forget_half_open(at);
        if reset && let Some(listener) = self.listeners.table.get_mut(half.listener) {
            while listener.fast_open_resets.front().is_some_and(|&until| until <= now) {
                listener.fast_open_resets.pop_front();
            }
            listener.fast_open_resets.push_back(now + RESET_COUNTS);
        }
    }

    /// The SYN-ACK of a connection was repeated in vain.
    pub(crate) fn fast_open_timed_out(&mut self, now: Instant, context: &mut Context<'_>, flow: &Flow) {
        let holder = self.demux.peek(&self.hasher, &self.connections, &self.syn_queue, flow);
        if let Some(Holder::Connection(index)) = holder
            && let Some(id) = self.connections.handle_at(index)
        {
            self.end(now, context, id, TcpError::TimedOut);
        }
    }

    /// The answer to a SYN that carried the option: what it says of the server.
    pub(crate) fn on_fast_open_answer(&mut self, index: u32, answer: &TcpHeader, options: &[u8], isn: SeqNum) {
        let Some(connection) = self.connections.at_mut(index) else { return };
        connection.aside.take_parked();
        let (server, mss) = (connection.flow.remote, connection.mss);
        connection.flags.clear(Flags::FAST_OPEN);
        let took_text = answer.ack != isn + 1;
        let cookie = match FastOpen::find(options) {
            Some(FastOpen::Cookie(cookie)) => Some(cookie),
            _ => None,
        };
        if took_text {
            connection.flags.set(Flags::SYN_TEXT);
            self.counters.fast_open_connected += 1;
        }
        self.fast_open_cookies.learn(server, cookie, mss, took_text);
    }
}

#[cfg(test)]
mod tests;
