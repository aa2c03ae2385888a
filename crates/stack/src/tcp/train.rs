//! Receive coalescing: consecutive segments of one flow in one batch of frames are taken in as one.
//!
//! Links with segmentation offload hand over up to 64 KiB as one frame (`RxFrame::segment_size`). Others bring every
//! segment by itself, and most of what each costs is not its text: judging header, acknowledgement, window and
//! timestamps, publishing, deciding whether to acknowledge. Linux's GRO and others' LRO put frames together for that,
//! and the transport sees one; here the text goes from its frame straight to its place in the receive ring, summed in
//! the same pass, and only what follows from it waits until the train ends. So there is no buffer to fill and no second
//! copy.
//!
//! The first segment of a train has gone the short way (`fast_path`). One that follows joins when its headers are the
//! same but for length, identification, sequence number, PSH and checksums, and its number is the next: then all that was
//! judged of the first holds for it. **Anything else ends the train**, and so does every other call into the engine: what is
//! seen from outside, frames, times, events and counts, is the same as without, segment by segment. `Stack` calls
//! [`Tcp::join_train`] for every frame, [`Tcp::input_short`] for one that does not join, and [`Tcp::end_train`] before
//! anything else.

use device::{RxChecksum, RxFrame};
use wire::checksum::{Sum, sum_array};
use wire::tcp::{SeqNum, TcpFlags};

use crate::link::InterfaceId;
use crate::network::Network;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::fast_path::{IP, PLAIN_LEN, TCP, TCP_LEN, TIMESTAMPS_LEN, array};
use crate::tcp::input::Env;
use crate::tcp::phase::Phase;
use crate::tcp::{Context, Tcp, announce};
use crate::time::Instant;

/// A first segment with less text begins no train: messages have no successors in the same batch, and bulk fills its
/// segments (RFC 9293 section 3.7.1: this size needs no announcement).
const LEAST_TEXT: usize = 536;

/// What the frames of a train have in common, and what waits.
pub(super) struct Train {
    now: Instant,
    interface: InterfaceId,
    /// As in a prediction: what the first was judged by.
    generation: u64,
    common: Common,
    /// The connection's slot.
    index: u32,
    /// The number of the first byte that waits, or will.
    first: SeqNum,
    /// The acknowledgement and the window of all of them, and the number of the last.
    ack: SeqNum,
    window: u16,
    last: SeqNum,
    /// Most text that one may bring: what the first brought, by which full segments are counted.
    size: usize,
    /// The most that may wait: what is left of the receive window, or of what needs no further look at the round trip.
    room: usize,
    /// Text that stands in the ring and is not published.
    waiting: usize,
    /// Frames that joined.
    frames: u64,
}

/// The parts of the headers that are the same in every frame of a train, as the integers that they are compared as, and
/// their sums. What differs is added to these: RFC 1071 section 2 allows any order.
#[derive(Clone, Copy)]
struct Common {
    /// Ethernet's header, and the first two bytes of IPv4's.
    link: [u64; 2],
    /// Fragmentation, TTL, protocol.
    ip: u32,
    addresses: u64,
    ports: u32,
    /// Acknowledgement, header length, flags without PSH, window.
    tcp: u64,
    /// Zeros where there are none.
    timestamps: [u32; TIMESTAMPS_LEN / 4],
    /// All headers, in bytes.
    header_len: usize,
    /// IPv4's header without total length, identification and checksum, in 16 bits as they stand in memory: what is added
    /// makes no carry.
    ip_sum: u64,
    /// The pseudo-header without the length, ports and timestamps.
    tcp_sum: Sum,
}

/// PSH within [`Common::tcp`]: it is for the sending application's sake, and says nothing to who takes all there is.
const PSH: u64 = u64::from_ne_bytes([0, 0, 0, 0, 0, TcpFlags::PSH.0, 0, 0]);

#[inline(always)]
fn word(fixed: &[u8; PLAIN_LEN], at: usize) -> u64 {
    u64::from_ne_bytes(array(fixed, at))
}

#[inline(always)]
fn half(fixed: &[u8; PLAIN_LEN], at: usize) -> u32 {
    u32::from_ne_bytes(array(fixed, at))
}

impl Common {
    fn of(fixed: &[u8; PLAIN_LEN], frame: &[u8], pseudo_sum: Sum) -> Option<Self> {
        let has_timestamps = usize::from(fixed[TCP + 12] >> 4) * 4 != TCP_LEN;
        let timestamps = if has_timestamps { timestamps_of(frame)? } else { [0; 3] };
        let version_and_tos: [u8; 2] = array(fixed, IP);
        let (ip, addresses, ports) = (half(fixed, IP + 6), word(fixed, IP + 12), half(fixed, TCP));
        let ip_sum = sum_array(&version_and_tos) + Sum::of_words(u64::from(ip)) + Sum::of_words(addresses);
        let words = |words: &[u32]| words.iter().fold(Sum::ZERO, |sum, word| sum + Sum::of_words((*word).into()));
        Some(Self {
            link: [word(fixed, 0), word(fixed, 8)],
            ip,
            addresses,
            ports,
            tcp: word(fixed, TCP + 8) & !PSH,
            timestamps,
            header_len: PLAIN_LEN + if has_timestamps { TIMESTAMPS_LEN } else { 0 },
            ip_sum: (!ip_sum.finish()).to_be().into(),
            tcp_sum: pseudo_sum + words(&[ports]) + words(&timestamps),
        })
    }

    /// Whether a frame has them too. Differences are gathered, not branched upon: nearly always there is none.
    #[inline(always)]
    fn stand_in(&self, fixed: &[u8; PLAIN_LEN], frame: &[u8]) -> bool {
        let mut other = word(fixed, 0) ^ self.link[0];
        other |= word(fixed, 8) ^ self.link[1];
        other |= u64::from(half(fixed, IP + 6) ^ self.ip);
        other |= word(fixed, IP + 12) ^ self.addresses;
        other |= u64::from(half(fixed, TCP) ^ self.ports);
        other |= (word(fixed, TCP + 8) & !PSH) ^ self.tcp;
        // The header's length is the same by now, if anything is.
        other == 0 && (self.header_len == PLAIN_LEN || timestamps_of(frame) == Some(self.timestamps))
    }

    /// Whether the checksum of IPv4's header is right, in a frame that has these parts in common.
    #[inline(always)]
    fn ip_is_whole(&self, fixed: &[u8; PLAIN_LEN]) -> bool {
        let checksum = u16::from_ne_bytes(array(fixed, IP + 10));
        Sum::of_words(self.ip_sum + u64::from(half(fixed, IP + 2)) + u64::from(checksum)).is_valid()
    }

    /// The sum of pseudo-header and TCP's header, in a frame that has these parts in common.
    #[inline(always)]
    fn header_sum(&self, fixed: &[u8; PLAIN_LEN], text: &[u8]) -> Sum {
        let segment_len = (self.header_len - TCP + text.len()) as u16;
        let (seq, checksum_and_urgent) = (half(fixed, TCP + 4), half(fixed, TCP + 16));
        self.tcp_sum.add_u16(segment_len)
            + Sum::of_words(word(fixed, TCP + 8))
            + Sum::of_words(u64::from(seq) + u64::from(checksum_and_urgent))
    }
}

#[inline]
fn timestamps_of(frame: &[u8]) -> Option<[u32; TIMESTAMPS_LEN / 4]> {
    let &[a, b, c, d, e, f, g, h, i, j, k, l] = frame.get(PLAIN_LEN..)?.first_chunk::<TIMESTAMPS_LEN>()?;
    let words = [[a, b, c, d], [e, f, g, h], [i, j, k, l]];
    Some(words.map(u32::from_ne_bytes))
}

/// The bytes behind `header_len` bytes of headers, of a frame that ends where IPv4's header says. (What is padded is too short for a
/// train.)
#[inline(always)]
fn text_of<'f>(fixed: &[u8; PLAIN_LEN], frame: &'f [u8], header_len: usize) -> Option<&'f [u8]> {
    let end = IP + usize::from(u16::from_be_bytes(array(fixed, IP + 2)));
    if frame.len() == end { frame.get(header_len..) } else { None }
}

#[inline(always)]
fn seq_of(fixed: &[u8; PLAIN_LEN]) -> SeqNum {
    SeqNum(u32::from_be_bytes(array(fixed, TCP + 4)))
}

impl Train {
    /// The headers and the text of a frame that is the next of this train, as far as its headers tell.
    #[inline(always)]
    fn next<'f>(
        &self,
        now: Instant,
        net: &Network,
        interface: InterfaceId,
        frame: &RxFrame<'f>,
    ) -> Option<(&'f [u8; PLAIN_LEN], &'f [u8])> {
        let fixed = frame.bytes.first_chunk::<PLAIN_LEN>()?;
        let same = self.common.stand_in(fixed, frame.bytes)
            && seq_of(fixed) == self.first + self.waiting as u32
            && now == self.now
            && interface == self.interface
            && net.generation == self.generation
            && frame.segment_size.is_none()
            && self.common.ip_is_whole(fixed);
        if !same {
            return None;
        }
        let text = text_of(fixed, frame.bytes, self.common.header_len)?;
        // No text at all is too much here, too.
        let fits = text.len().wrapping_sub(1) < self.size && self.waiting + text.len() <= self.room;
        fits.then_some((fixed, text))
    }

    /// Takes the text of the next frame, if it is undamaged and there is room.
    #[inline(always)]
    fn take(&mut self, connection: &mut Connection, frame: &RxFrame<'_>, fixed: &[u8; PLAIN_LEN], text: &[u8]) -> bool {
        let taken = if frame.checksum == RxChecksum::Unverified {
            let text_sum = connection.receive.write_at_and_sum(self.waiting, text);
            text_sum.is_some_and(|sum| (self.common.header_sum(fixed, text) + sum).is_valid())
        } else {
            connection.receive.write_at(self.waiting, text)
        };
        if taken {
            self.last = seq_of(fixed);
            self.waiting += text.len();
            self.frames += 1;
        }
        taken
    }
}

impl Tcp {
    /// Whether any frame could go a shorter way than the whole one: one that a train waits for was predicted, too.
    #[inline]
    pub(crate) const fn expects_any(&self) -> bool {
        !self.demux.predictions.is_empty()
    }

    /// Takes a frame that is the next of the train; false, with nothing done, if it is not.
    #[inline(always)]
    pub(crate) fn join_train(
        &mut self,
        now: Instant,
        net: &Network,
        interface: InterfaceId,
        frame: &RxFrame<'_>,
    ) -> bool {
        let Self { train: Some(train), connections, .. } = self else { return false };
        train.next(now, net, interface, frame).is_some_and(|(fixed, text)| {
            connections.at_mut(train.index).is_some_and(|connection| train.take(connection, frame, fixed, text))
        })
    }

    /// Takes a frame the short way, where there is no train, if that fits it; false, with nothing done, if it must go the whole
    /// way.
    #[inline(always)]
    pub(crate) fn input_short(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        interface: InterfaceId,
        frame: &RxFrame<'_>,
    ) -> bool {
        debug_assert!(!self.has_train(), "it has ended before");
        let taken = self.input_expected(now, context, interface, frame);
        if taken && frame.bytes.len() >= PLAIN_LEN + LEAST_TEXT && self.config.receive_coalescing {
            self.set_out(now, context.net, interface, frame);
        }
        taken
    }

    // Apart, so that a message costs none of the registers that a train takes.
    #[inline(never)]
    fn set_out(&mut self, now: Instant, net: &Network, interface: InterfaceId, frame: &RxFrame<'_>) {
        self.train = self.begin_train(now, net, interface, frame);
    }

    /// The train that a frame begins which has just gone the short way.
    fn begin_train(&self, now: Instant, net: &Network, interface: InterfaceId, frame: &RxFrame<'_>) -> Option<Train> {
        let fixed = frame.bytes.first_chunk::<PLAIN_LEN>()?;
        let (index, pseudo_sum) = self.demux.predictions.led_to(fixed)?;
        let connection = self.connections.at(index)?;
        let common = Common::of(fixed, frame.bytes, pseudo_sum)?;
        let (seq, size) = (seq_of(fixed), text_of(fixed, frame.bytes, common.header_len)?.len());
        // Loopback frames are few, and what they set off is carried on at once. A frame of several has been put together. What
        // joins is not looked at for its size: that of the first has to be known, and is not as long as acknowledgements are quick.
        let begins = size >= LEAST_TEXT
            && size <= usize::from(connection.rcv.full)
            && frame.segment_size.is_none()
            && interface != net.loopback
            && connection.phase == Phase::Established
            && connection.rcv.nxt == seq + size as u32;
        begins.then(|| Train {
            now,
            interface,
            generation: net.generation,
            common,
            index,
            first: connection.rcv.nxt,
            ack: SeqNum(u32::from_be_bytes(array(fixed, TCP + 8))),
            window: u16::from_be_bytes(array(fixed, TCP + 14)),
            last: seq,
            size,
            room: (connection.receive_window() as usize).min(connection.unmeasured()),
            waiting: 0,
            frames: 0,
        })
    }

    /// Whether there is a train to end.
    #[inline]
    pub(crate) fn has_train(&self) -> bool {
        self.train.is_some()
    }

    /// Whether something waits for the end of a train.
    pub(crate) fn train_waits(&self) -> bool {
        self.train.as_ref().is_some_and(|train| train.waiting > 0)
    }

    /// Does for a train what one segment of its text would bring about.
    pub(crate) fn end_train(&mut self, context: &mut Context<'_>) {
        let Some(train) = self.train.take().filter(|train| train.waiting > 0) else { return };
        let Train { now, interface, index, ack, window, last, waiting, frames, .. } = train;
        self.counters.coalesced += frames;
        let bytes = frames * train.common.header_len as u64 + waiting as u64;
        context.net.traffic.received(interface, frames, bytes);
        let Some((id, connection)) = self.connections.named_at(index) else { return };
        let env = Env { now, config: &self.config, challenge: &mut self.challenge, budget: &self.memory.budget };
        let ack_was_due = connection.deadlines.ack;
        // The window is the first one's, which was taken; only the number by which the next one is judged moves on.
        connection.update_window(last, ack, window);
        connection.take_in_text(&env, waiting as u32, false);
        if connection.is_corrupt() {
            self.settle(now, context, index, Phase::Established);
            return;
        }
        if connection.deadlines.ack != ack_was_due {
            connection.arm(index, &mut self.wheel);
        }
        announce(connection, context.events, id);
        if connection.flags.has(Flags::ACK_NOW) {
            self.ready.enter(connection, index);
        }
    }
}
