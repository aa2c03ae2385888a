//! Header prediction: the segment that was expected takes the short way.
//!
//! In bulk nearly every segment is the next in order of an established connection, or a plain acknowledgement for one, and
//! the frame differs from the one before in a few fields only. Such a frame is recognised by comparing bytes, and what it
//! changes is changed at once (after Van Jacobson, "4BSD Header Prediction", Computer Communication Review, 1990). The
//! conditions stand in [`Expected::read`] and [`Connection::foresees`]. **Where one fails nothing has happened yet, and
//! the frame takes the whole way**, so every discard, every answer and every rare case is decided in one place only, and
//! both ways give the same result: `crates/sim/tests/tcp_fast_path.rs` runs them against each other.
//!
//! [`Tcp::input_expected`] is tried for every frame before `link/input` sees it, by `train`. `Tcp::input` calls
//! [`Tcp::expect_more`] for a segment that went the whole way well: the next one's link and IP headers will be judged as
//! its own were, as long as nothing changes that the judgement depends on
//! ([`Network::generation`](crate::network::Network)).

use alloc::boxed::Box;
use core::hint::cold_path;
use core::net::IpAddr;

use device::{RxChecksum, RxFrame};
use wire::checksum::{Sum, sum, sum_array};
use wire::ethernet::HEADER_LEN as ETHERNET_LEN;
pub(super) use wire::ipv4::HEADER_LEN as IP_LEN;
use wire::protocol::Protocol;
pub(super) use wire::tcp::HEADER_LEN as TCP_LEN;
use wire::tcp::{SeqNum, TcpFlags, Timestamps as TimestampsOption};

use crate::link::InterfaceId;
use crate::link::neighbors::{CONFIRMED_FOR, NeighborId};
use crate::link::plain::{LINK, TCP_ALONE, WHOLE, link_of};
use crate::network::Network;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::demux::Flow;
use crate::tcp::ecn;
use crate::tcp::input::Env;
use crate::tcp::phase::Phase;
use crate::tcp::{Context, Tcp, announce};
use crate::time::Instant;

/// All headers without options.
pub(super) const PLAIN_LEN: usize = ETHERNET_LEN + IP_LEN + TCP_LEN;
/// Where IPv4's header begins.
pub(super) const IP: usize = ETHERNET_LEN;
/// Where TCP's header begins.
pub(super) const TCP: usize = ETHERNET_LEN + IP_LEN;
/// Timestamps with two octets of padding before them, as every system lays them out (RFC 7323 appendix A).
pub(super) const TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];
pub(super) const TIMESTAMPS_LEN: usize = 12;

/// What the frames of a flow begin with, and where they lead.
#[derive(Clone, Copy)]
pub(super) struct Prediction {
    /// Holds as long as [`Network::generation`] is this.
    generation: u64,
    /// The interface that they come in by.
    interface: InterfaceId,
    /// What [`LINK`] leaves of a frame's first bytes.
    link: u128,
    /// IPv4's source and destination, as they stand in the header.
    addresses: [u8; 8],
    /// TCP's source and destination ports, as they stand in the header.
    ports: [u8; 4],
    /// The connection's slot.
    index: u32,
    /// The interface that the connection's segments leave by, and the neighbour that takes them.
    leaves_by: InterfaceId,
    neighbor: Option<NeighborId>,
    /// When the neighbour was last confirmed by this flow.
    confirmed: Instant,
    /// The sum of the pseudo-header without the length.
    pseudo_sum: Sum,
}

const ENTRIES: usize = 64;

/// A small direct-mapped cache of flows. Whoever fills it with flows of his own slows others down to the usual way.
#[derive(Default)]
pub(super) struct Predictions {
    /// Made with the first entry.
    entries: Box<[Option<Prediction>]>,
}

#[inline]
fn slot(addresses: [u8; 8], ports: [u8; 4]) -> usize {
    let [a, b, c, d, ..] = addresses;
    let mixed = u32::from_ne_bytes(ports) ^ u32::from_ne_bytes([a, b, c, d]);
    (mixed.wrapping_mul(0x9e37_79b9) >> 26) as usize
}

fn key(flow: &Flow) -> Option<([u8; 8], [u8; 4])> {
    let (IpAddr::V4(local), IpAddr::V4(remote)) = (flow.local, flow.remote) else { return None };
    let addresses = u64::from(remote.to_bits()) << 32 | u64::from(local.to_bits());
    let ports = u32::from(flow.remote_port) << 16 | u32::from(flow.local_port);
    Some((addresses.to_be_bytes(), ports.to_be_bytes()))
}

impl Predictions {
    /// Whether there never was an entry.
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[inline]
    fn find(&self, addresses: [u8; 8], ports: [u8; 4]) -> Option<(usize, &Prediction)> {
        let at = slot(addresses, ports);
        let entry = self.entries.get(at)?.as_ref()?;
        (entry.addresses == addresses && entry.ports == ports).then_some((at, entry))
    }

    /// The connection of a frame that was as expected, and the sum of its pseudo-header without the length.
    pub(super) fn led_to(&self, fixed: &[u8; PLAIN_LEN]) -> Option<(u32, Sum)> {
        let (_, prediction) = self.find(array(fixed, IP + 12), array(fixed, TCP))?;
        Some((prediction.index, prediction.pseudo_sum))
    }

    /// The flow of an entry, whose neighbour was last confirmed at `confirmed`, was heard: once in a while that is told.
    #[inline(always)]
    fn confirm(&mut self, entry: usize, confirmed: Instant, now: Instant, net: &mut Network, connection: &Connection) {
        if now.as_nanos().wrapping_sub(confirmed.as_nanos()) >= CONFIRMED_FOR
            && let Some(Some(prediction)) = self.entries.get_mut(entry)
        {
            prediction.confirm(now, net, connection);
        }
    }

    fn insert(&mut self, prediction: Prediction) {
        if self.entries.is_empty() {
            self.entries = alloc::vec![None; ENTRIES].into_boxed_slice();
        }
        self.entries[slot(prediction.addresses, prediction.ports)] = Some(prediction);
    }

    /// The connection is gone.
    pub(super) fn remove(&mut self, index: u32, flow: &Flow) {
        if self.entries.is_empty() {
            return;
        }
        let Some((addresses, ports)) = key(flow) else { return };
        if let Some(entry) = self.entries.get_mut(slot(addresses, ports))
            && entry.is_some_and(|prediction| prediction.index == index)
        {
            *entry = None;
        }
    }
}

/// What an expected segment leaves to be done.
enum Effect {
    /// Nothing.
    Text,
    /// An acknowledgement is owed now.
    Acknowledge,
    /// One was put off.
    PutOff,
    /// More may be sent than before, and any deadline may have moved.
    Any,
    /// The ring's other half lies.
    Corrupt,
}

/// A frame whose headers are as expected.
pub(super) struct Expected<'f> {
    pub seq: SeqNum,
    pub ack: SeqNum,
    pub window: u16,
    pub timestamps: Option<TimestampsOption>,
    /// TCP's header and the payload.
    segment: &'f [u8],
    pub payload: &'f [u8],
    /// The connection's slot.
    index: u32,
    /// The prediction's, and when its neighbour was last confirmed.
    entry: usize,
    confirmed: Instant,
    pseudo_sum: Sum,
}

impl<'f> Expected<'f> {
    /// Ethernet without a tag, IPv4 without options or a mark, whole and with a good checksum, TCP without options but timestamps,
    /// an ACK that may push, of a flow that was seen before.
    #[inline(always)]
    fn read(predictions: &Predictions, net: &Network, interface: InterfaceId, frame: &'f [u8]) -> Option<Self> {
        let fixed = frame.first_chunk::<PLAIN_LEN>()?;
        let (entry, prediction) = predictions.find(array(fixed, IP + 12), array(fixed, TCP))?;
        let flags = TcpFlags(fixed[TCP + 13]).without(TcpFlags::PSH);
        let as_expected = prediction.generation == net.generation
            && prediction.interface == interface
            && (u128::from_ne_bytes(array(fixed, 0)) ^ prediction.link) & LINK == 0
            && u32::from_ne_bytes(array(fixed, IP + 6)) & WHOLE == TCP_ALONE
            && !ecn::is_marked(fixed[IP + 1])
            && flags == TcpFlags::ACK
            && sum_array(&array::<IP_LEN>(fixed, IP)).is_valid();
        if !as_expected {
            cold_path();
            return None;
        }
        let total_len = usize::from(u16::from_be_bytes(array(fixed, IP + 2)));
        let segment = frame.get(TCP..IP + total_len)?;
        let (timestamps, payload) = match fixed[TCP + 12] >> 4 {
            5 => (None, segment.get(TCP_LEN..)?),
            8 => {
                let (option, payload) = segment.get(TCP_LEN..)?.split_first_chunk::<TIMESTAMPS_LEN>()?;
                let [a, b, c, d, v0, v1, v2, v3, e0, e1, e2, e3] = *option;
                if [a, b, c, d] != TIMESTAMPS {
                    return None;
                }
                let value = u32::from_be_bytes([v0, v1, v2, v3]);
                (Some(TimestampsOption { value, echo: u32::from_be_bytes([e0, e1, e2, e3]) }), payload)
            }
            _ => return None,
        };
        Some(Self {
            seq: SeqNum(u32::from_be_bytes(array(fixed, TCP + 4))),
            ack: SeqNum(u32::from_be_bytes(array(fixed, TCP + 8))),
            window: u16::from_be_bytes(array(fixed, TCP + 14)),
            timestamps,
            segment,
            payload,
            index: prediction.index,
            entry,
            confirmed: prediction.confirmed,
            pseudo_sum: prediction.pseudo_sum,
        })
    }

    /// The sum of pseudo-header and header.
    #[inline(always)]
    fn header_sum(&self) -> Sum {
        let pseudo = self.pseudo_sum.add_u16(self.segment.len() as u16);
        let header = match (self.timestamps, self.segment.first_chunk(), self.segment.first_chunk()) {
            (None, Some(header), _) => sum_array::<TCP_LEN>(header),
            (Some(_), _, Some(header)) => sum_array::<{ TCP_LEN + TIMESTAMPS_LEN }>(header),
            _ => sum(&self.segment[..self.segment.len() - self.payload.len()]),
        };
        pseudo + header
    }
}

/// The `N` bytes at `at`, which must lie within.
#[inline(always)]
pub(super) fn array<const N: usize>(bytes: &[u8; PLAIN_LEN], at: usize) -> [u8; N] {
    // The end is known to the compiler, so that nothing is left of the zeros.
    bytes[at..].first_chunk().copied().unwrap_or([0; N])
}

/// The frame was taken in.
#[inline(always)]
pub(super) fn count(net: &mut Network, interface: InterfaceId, frame: &RxFrame<'_>) {
    net.traffic.received(interface, 1, frame.bytes.len() as u64);
}

impl Tcp {
    /// Takes a frame whose every header is as expected; false, with nothing done, if one is not.
    #[inline(always)]
    pub(crate) fn input_expected(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        interface: InterfaceId,
        frame: &RxFrame<'_>,
    ) -> bool {
        let Some(expected) = Expected::read(&self.demux.predictions, context.net, interface, frame.bytes) else {
            cold_path();
            return false;
        };
        let index = expected.index;
        let Some((id, connection)) = self.connections.named_at(index) else { return false };
        if !connection.awaits_answer(now, &expected) {
            cold_path();
            let Expected { seq, ack, window, timestamps, segment, payload, index, entry, confirmed, pseudo_sum } =
                expected;
            // Laid out in memory for this only.
            let expected =
                Expected { seq, ack, window, timestamps, segment, payload, index, entry, confirmed, pseudo_sum };
            return self.input_of_stream(now, context, interface, frame, &expected);
        }
        if !connection.store_expected(frame, &expected) {
            cold_path();
            return false;
        }
        count(context.net, interface, frame);
        self.demux.predictions.confirm(expected.entry, expected.confirmed, now, context.net, connection);
        let env = Env { now, config: &self.config, challenge: &mut self.challenge, budget: &self.memory.budget };
        let sends = connection.on_answer(&env, &expected, frame, index, &mut self.wheel);
        if connection.is_corrupt() {
            cold_path();
            self.settle(now, context, index, Phase::Established);
            return true;
        }
        announce(connection, context.events, id);
        if sends {
            cold_path();
            self.ready.enter(connection, index);
        }
        true
    }

    /// [`input_expected`](Self::input_expected) for what is no answer to a message.
    #[inline(never)]
    fn input_of_stream(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        interface: InterfaceId,
        frame: &RxFrame<'_>,
        expected: &Expected<'_>,
    ) -> bool {
        let index = expected.index;
        let Some((id, connection)) = self.connections.named_at(index) else { return false };
        let mut env = Env { now, config: &self.config, challenge: &mut self.challenge, budget: &self.memory.budget };
        let effect = connection.take_expected(&mut env, frame, expected);
        let Some(effect) = effect else { return false };
        count(context.net, interface, frame);
        self.demux.predictions.confirm(expected.entry, expected.confirmed, now, context.net, connection);
        if connection.aside.path().is_some()
            && let Some(mtu) = connection.take_path_news()
        {
            context.net.learn_path_mtu(now, connection.flow.remote, mtu);
        }
        // What follows, as in `settle`.
        let sends = match effect {
            // Nothing has changed that a plan depends on, and no deadline has come closer.
            Effect::Text => false,
            Effect::Acknowledge => true,
            Effect::PutOff => {
                connection.arm(index, &mut self.wheel);
                false
            }
            Effect::Any => connection.prepare(now, index, &self.config, &mut self.wheel),
            Effect::Corrupt => {
                self.settle(now, context, index, Phase::Established);
                return true;
            }
        };
        announce(connection, context.events, id);
        if sends {
            self.ready.enter(connection, index);
        }
        true
    }

    /// A segment of the connection in slot `index` went the whole way well: the next one will be known by its headers.
    pub(crate) fn expect_more(&mut self, net: &Network, interface: InterfaceId, index: u32) {
        if !self.config.fast_path {
            return;
        }
        let Some(connection) = self.connections.at(index).filter(|connection| connection.phase.is_synchronized())
        else {
            return;
        };
        let Some((addresses, ports)) = key(&connection.flow) else { return };
        let known = self.demux.predictions.find(addresses, ports);
        let leaves_by = connection.interface;
        if known.is_some_and(|(_, entry)| entry.generation == net.generation && entry.leaves_by == leaves_by) {
            return;
        }
        let Some(link) = net.interfaces.get(interface).filter(|link| link.vlan.is_none()) else { return };
        self.demux.predictions.insert(Prediction {
            generation: net.generation,
            interface,
            link: link_of(link.capabilities.mac),
            addresses,
            ports,
            index,
            leaves_by,
            neighbor: net.forwarding_neighbor(leaves_by, connection.flow.remote),
            confirmed: Instant::NEVER,
            pseudo_sum: sum_array(&addresses).add_u16(u16::from(Protocol::TCP.0)),
        });
    }
}

impl Prediction {
    /// The peer answers, so the neighbour that forwards to it is there.
    #[cold]
    #[inline(never)]
    fn confirm(&mut self, now: Instant, net: &mut Network, connection: &Connection) {
        self.confirmed = now;
        if self.leaves_by == connection.interface {
            net.confirm_neighbor(now, self.neighbor);
        } else {
            net.confirm_reachable(now, connection.interface, connection.flow.remote);
        }
    }
}

impl Connection {
    /// The segment is the next in order, within the window, or acknowledges something new and no more than was sent; and
    /// nothing is under way that would make anything else of it: no gap, no loss, no closed window, no end.
    #[inline]
    fn foresees(&self, now: Instant, expected: &Expected<'_>) -> bool {
        const UNUSUAL: Flags = Flags::ORPHANED.and(Flags::READ_SHUT).and(Flags::PERSISTING).and(Flags::PROBE_DUE);
        let len = expected.payload.len();
        let (una, nxt) = (self.snd.una, self.snd.nxt);
        self.phase == Phase::Established
            && !self.flags.has(UNUSUAL)
            && expected.seq == self.rcv.nxt
            && len as u64 <= u64::from(self.receive_window())
            && expected.ack.at_or_after(una)
            && expected.ack.at_or_before(nxt)
            // What brings nothing may be a duplicate acknowledgement, a keep-alive, or an update of the window.
            && (len > 0 || expected.ack != una)
            && self.aside.reassembly().is_none()
            && (self.flags.has(Flags::CALM) || self.recovery.as_ref().is_none_or(|recovery| recovery.is_untroubled()))
            && self.may_have(now, expected.timestamps)
    }

    /// Whether a segment may have these timestamps, or none.
    #[inline]
    pub(super) fn may_have(&self, now: Instant, timestamps: Option<TimestampsOption>) -> bool {
        match timestamps {
            // RFC 7323 section 3.2: every segment has the option, or none.
            Some(option) => self.timestamps.is_agreed() && !self.timestamps.is_old(now, option.value),
            None => !self.timestamps.is_agreed(),
        }
    }

    /// Puts the text where it belongs, not published yet, and checks the sum in the same pass.
    #[inline(always)]
    pub(super) fn store_expected(&mut self, frame: &RxFrame<'_>, expected: &Expected<'_>) -> bool {
        let payload = expected.payload;
        if frame.checksum != RxChecksum::Unverified {
            return payload.is_empty() || self.receive.write_at(0, payload);
        }
        let payload_sum = if payload.is_empty() { Some(Sum::ZERO) } else { self.receive.write_at_and_sum(0, payload) };
        match payload_sum {
            Some(payload_sum) => (expected.header_sum() + payload_sum).is_valid(),
            None => false,
        }
    }

    /// Takes the segment if it is foreseen and its checksum is right, doing what [`on_segment`](Self::on_segment) would do.
    /// A function of its own, so that what the look-up needs does not take its registers.
    #[inline(never)]
    fn take_expected(&mut self, env: &mut Env<'_>, frame: &RxFrame<'_>, expected: &Expected<'_>) -> Option<Effect> {
        if !self.foresees(env.now, expected) || !self.store_expected(frame, expected) {
            return None;
        }
        let &Expected { seq, ack, window, timestamps, payload, .. } = expected;
        self.hear(env, !payload.is_empty());
        let mut sends_more = self.update_window(seq, ack, window);
        if ack.after(self.snd.una) {
            if self.flags.has(Flags::LONE) && ack == self.snd.nxt {
                self.on_lone_ack_apart(env, ack);
            } else {
                self.on_untroubled_ack(env, ack, timestamps);
            }
            sends_more = true;
        }
        if let Some(option) = timestamps {
            // RFC 7323 section 4.3 (2).
            self.timestamps.update(env.now, option.value, seq, self.rcv.acked);
        }
        let ack_was_due = self.deadlines.ack;
        if !payload.is_empty() {
            self.on_text_in_order(env, payload.len() as u32, frame);
            self.measure_arrival(env.now, payload.len(), timestamps);
        }
        Some(if self.is_corrupt() {
            Effect::Corrupt
        } else if sends_more {
            Effect::Any
        } else if self.flags.has(Flags::ACK_NOW) {
            Effect::Acknowledge
        } else if self.deadlines.ack != ack_was_due {
            Effect::PutOff
        } else {
            Effect::Text
        })
    }
}
