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
//! [`Tcp::input_short`] for every frame, and [`Tcp::end_train`] before anything else.

use device::{RxChecksum, RxFrame};
use wire::checksum::{Sum, sum_array};
use wire::tcp::{SeqNum, TcpFlags};

use crate::link::InterfaceId;
use crate::network::Network;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::fast_path::{IP, IP_LEN, PLAIN_LEN, TCP, TCP_LEN, TIMESTAMPS_LEN, array};
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
    /// The sum of the pseudo-header without the length.
    pseudo_sum: Sum,
    /// The connection's slot.
    index: u32,
    /// The next number.
    next: SeqNum,
    /// The acknowledgement and the window of all of them, and the number of the last.
    ack: SeqNum,
    window: u16,
    last: SeqNum,
    /// Most text that one may bring: what the first brought, by which full segments are counted.
    size: usize,
    /// What is left of the receive window, or of what needs no further look at the round trip.
    room: usize,
    /// Text that stands in the ring and is not published.
    waiting: usize,
    /// Frames that joined, and their bytes.
    frames: u64,
    bytes: u64,
}

/// The parts of the headers that are the same in every frame of a train, as the integers that they are compared as.
#[derive(Clone, Copy)]
struct Common {
    /// Ethernet's header, and the first two bytes of IPv4's.
    link: u128,
    /// Fragmentation, TTL, protocol.
    ip: u32,
    addresses: u64,
    ports: u32,
    /// Acknowledgement, header length, flags without PSH, window.
    tcp: u64,
    /// Zeros where there are none.
    timestamps: [u32; TIMESTAMPS_LEN / 4],
    /// TCP's header, in bytes.
    header_len: usize,
}

/// PSH within [`Common::tcp`]: it is for the sending application's sake, and says nothing to who takes all there is.
const PSH: u64 = u64::from_ne_bytes([0, 0, 0, 0, 0, TcpFlags::PSH.0, 0, 0]);

impl Common {
    #[inline]
    fn of(fixed: &[u8; PLAIN_LEN], frame: &[u8]) -> Option<Self> {
        let header_len = usize::from(fixed[TCP + 12] >> 4) * 4;
        let timestamps = if header_len == TCP_LEN { [0; 3] } else { timestamps_of(frame)? };
        Some(Self {
            link: u128::from_ne_bytes(array(fixed, 0)),
            ip: u32::from_ne_bytes(array(fixed, IP + 6)),
            addresses: u64::from_ne_bytes(array(fixed, IP + 12)),
            ports: u32::from_ne_bytes(array(fixed, TCP)),
            tcp: u64::from_ne_bytes(array(fixed, TCP + 8)) & !PSH,
            timestamps,
            header_len,
        })
    }

    /// Whether a frame has them too. Differences are gathered, not branched upon: nearly always there is none.
    #[inline]
    fn stand_in(&self, fixed: &[u8; PLAIN_LEN], frame: &[u8]) -> bool {
        let link = u128::from_ne_bytes(array(fixed, 0)) ^ self.link;
        let mut other = (link >> 64) as u64 | link as u64;
        other |= u64::from(u32::from_ne_bytes(array(fixed, IP + 6)) ^ self.ip);
        other |= u64::from_ne_bytes(array(fixed, IP + 12)) ^ self.addresses;
        other |= u64::from(u32::from_ne_bytes(array(fixed, TCP)) ^ self.ports);
        other |= (u64::from_ne_bytes(array(fixed, TCP + 8)) & !PSH) ^ self.tcp;
        // The header's length is the same by now, if anything is.
        other == 0 && (self.header_len == TCP_LEN || timestamps_of(frame) == Some(self.timestamps))
    }
}

#[inline]
fn timestamps_of(frame: &[u8]) -> Option<[u32; TIMESTAMPS_LEN / 4]> {
    let &[a, b, c, d, e, f, g, h, i, j, k, l] = frame.get(PLAIN_LEN..)?.first_chunk::<TIMESTAMPS_LEN>()?;
    let words = [[a, b, c, d], [e, f, g, h], [i, j, k, l]];
    Some(words.map(u32::from_ne_bytes))
}

/// TCP's header and text, as long as IPv4's header says.
#[inline]
fn segment_of<'f>(fixed: &[u8; PLAIN_LEN], frame: &'f [u8]) -> Option<&'f [u8]> {
    frame.get(TCP..IP + usize::from(u16::from_be_bytes(array(fixed, IP + 2))))
}

#[inline]
fn seq_of(fixed: &[u8; PLAIN_LEN]) -> SeqNum {
    SeqNum(u32::from_be_bytes(array(fixed, TCP + 4)))
}

impl Train {
    /// Takes the frame's text if it is the next of this train, whole and undamaged.
    #[inline]
    fn join(
        &mut self,
        connection: &mut Connection,
        now: Instant,
        net: &Network,
        interface: InterfaceId,
        frame: &RxFrame<'_>,
    ) -> Option<()> {
        let fixed = frame.bytes.first_chunk::<PLAIN_LEN>()?;
        let same = seq_of(fixed) == self.next
            && self.common.stand_in(fixed, frame.bytes)
            && interface == self.interface
            && now == self.now
            && net.generation == self.generation
            && frame.segment_size.is_none()
            && sum_array(&array::<IP_LEN>(fixed, IP)).is_valid();
        if !same {
            return None;
        }
        let segment = segment_of(fixed, frame.bytes)?;
        let text = segment.get(self.common.header_len..)?;
        if text.is_empty() || text.len() > self.size.min(self.room) {
            return None;
        }
        if frame.checksum == RxChecksum::Unverified {
            let header_sum = match self.common.header_len {
                TCP_LEN => sum_array::<TCP_LEN>(segment.first_chunk()?),
                _ => sum_array::<{ TCP_LEN + TIMESTAMPS_LEN }>(segment.first_chunk()?),
            };
            let text_sum = connection.receive.write_at_and_sum(self.waiting, text)?;
            let total = self.pseudo_sum.add_u16(segment.len() as u16) + header_sum + text_sum;
            if !total.is_valid() {
                return None;
            }
        } else if !connection.receive.write_at(self.waiting, text) {
            return None;
        }
        self.last = self.next;
        self.next += text.len() as u32;
        self.room -= text.len();
        self.waiting += text.len();
        self.frames += 1;
        self.bytes += frame.bytes.len() as u64;
        Some(())
    }
}

impl Tcp {
    /// Whether any frame could go a shorter way than the whole one: one that a train waits for was predicted, too.
    #[inline]
    pub(crate) const fn expects_any(&self) -> bool {
        !self.demux.predictions.is_empty()
    }

    /// Takes a frame the shortest way that fits it; false, with nothing done, if it must go the whole way.
    #[inline]
    pub(crate) fn input_short(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        interface: InterfaceId,
        frame: &RxFrame<'_>,
    ) -> bool {
        if let Some(train) = &mut self.train {
            if let Some(connection) = self.connections.at_mut(train.index)
                && train.join(connection, now, context.net, interface, frame).is_some()
            {
                return true;
            }
            self.end_train(context);
        }
        let taken = self.input_expected(now, context, interface, frame);
        if taken && frame.bytes.len() >= PLAIN_LEN + LEAST_TEXT && self.config.receive_coalescing {
            self.train = self.begin_train(now, context.net, interface, frame);
        }
        taken
    }

    /// The train that a frame begins which has just gone the short way.
    fn begin_train(&self, now: Instant, net: &Network, interface: InterfaceId, frame: &RxFrame<'_>) -> Option<Train> {
        let fixed = frame.bytes.first_chunk::<PLAIN_LEN>()?;
        let (index, pseudo_sum) = self.demux.predictions.led_to(fixed)?;
        let connection = self.connections.at(index)?;
        let common = Common::of(fixed, frame.bytes)?;
        let (seq, size) = (seq_of(fixed), segment_of(fixed, frame.bytes)?.len() - common.header_len);
        // Loopback frames are few, and what they set off is carried on at once. A frame of several has been put together.
        let begins = size >= LEAST_TEXT
            && frame.segment_size.is_none()
            && interface != net.loopback
            && connection.phase == Phase::Established
            && connection.rcv.nxt == seq + size as u32;
        begins.then(|| Train {
            now,
            interface,
            generation: net.generation,
            common,
            pseudo_sum,
            index,
            next: connection.rcv.nxt,
            ack: SeqNum(u32::from_be_bytes(array(fixed, TCP + 8))),
            window: u16::from_be_bytes(array(fixed, TCP + 14)),
            last: seq,
            size,
            room: (connection.receive_window() as usize).min(connection.unmeasured()),
            waiting: 0,
            frames: 0,
            bytes: 0,
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
        let Train { now, interface, index, ack, window, last, waiting, frames, bytes, .. } = train;
        self.counters.coalesced += frames;
        if let Some(link) = context.net.interfaces.get_mut(interface) {
            link.stats.rx_packets += frames;
            link.stats.rx_bytes += bytes;
        }
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
