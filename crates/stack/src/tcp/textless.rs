//! The short way in of a segment that brings no text: the FIN, its acknowledgement, and other pure acknowledgements.
//!
//! A connection's end is made of such segments, each of which finds the connection in another state, so nothing can be
//! predicted of the next from the one before, as `fast_path` does for text. But most often they come one after the other
//! to the connection that was heard last, are the next in order, and acknowledge either nothing new or the lone segment
//! (`lone`) that is all there is in flight. Then there is nothing to be cut, placed, repaired or doubted, and what is left
//! of RFC 9293's steps is done here. **Where a condition fails nothing has happened yet, and the segment takes the whole
//! way** (`input`), to the same result: `crates/sim/tests/tcp_fast_path.rs` runs both against each other.

use core::hint::cold_path;
use core::net::IpAddr;

use device::{RxChecksum, RxFrame};
use wire::checksum::{Sum, sum_array};
use wire::tcp::{SeqNum, TcpFlags, Timestamps as TimestampsOption};

use crate::config::TcpConfig;
use crate::ip::input::Judged;
use crate::link::InterfaceId;
use crate::link::plain::{LINK, TCP_ALONE, WHOLE};
use crate::network::Network;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::demux::{Flow, Holder};
use crate::tcp::fast_path::{IP, IP_LEN, PLAIN_LEN, TCP, TCP_LEN, TIMESTAMPS, TIMESTAMPS_LEN, array, count};
use crate::tcp::input::Env;
use crate::tcp::phase::Phase;
use crate::tcp::{Context, Tcp, announce};
use crate::time::Instant;
use crate::timers::Wheel;

/// Where the options end that are timestamps and nothing else.
const TIMED_LEN: usize = PLAIN_LEN + TIMESTAMPS_LEN;

/// Where the addresses begin, and the ports behind them.
pub(super) const WIRE: usize = IP + 12;

/// What would make more of a segment than is done here.
const UNUSUAL: Flags = Flags::FAST_OPEN.and(Flags::ECN).and(Flags::PERSISTING).and(Flags::PROBE_DUE);

/// A segment that is a header and nothing else: an ACK, with or without a FIN.
pub(super) struct Textless {
    pub seq: SeqNum,
    pub ack: SeqNum,
    pub window: u16,
    pub fin: bool,
    pub timestamps: Option<TimestampsOption>,
}

/// Its frame.
pub(super) type Fixed = [u8; PLAIN_LEN];

/// Whether the frame of `fixed` is one between the addresses that were judged last, to `interface`'s station, with nothing below
/// TCP that would have to be looked at.
#[inline(always)]
pub(super) fn is_judged(judged: &Judged, net: &Network, interface: InterfaceId, fixed: &Fixed) -> bool {
    let [s0, s1, s2, s3] = judged.source.octets();
    let [d0, d1, d2, d3] = judged.destination.octets();
    array::<8>(fixed, WIRE) == [s0, s1, s2, s3, d0, d1, d2, d3]
        && judged.generation == net.generation
        && judged.interface == interface
        && (u128::from_ne_bytes(array(fixed, 0)) ^ judged.link) & LINK == 0
        && u32::from_ne_bytes(array(fixed, IP + 6)) & WHOLE == TCP_ALONE
        && sum_array(&array::<IP_LEN>(fixed, IP)).is_valid()
}

/// The flow of a frame between the addresses that were judged last.
#[inline(always)]
pub(super) fn flow_of(judged: &Judged, fixed: &Fixed) -> Flow {
    Flow {
        local: IpAddr::V4(judged.destination),
        remote: IpAddr::V4(judged.source),
        local_port: u16::from_be_bytes(array(fixed, TCP + 2)),
        remote_port: u16::from_be_bytes(array(fixed, TCP)),
    }
}

impl Textless {
    /// An ACK, or FIN and ACK, with no options or timestamps, and its length; nothing stands behind it.
    #[inline(always)]
    fn read(fixed: &Fixed, frame: &[u8]) -> Option<(Self, u16)> {
        let flags = TcpFlags(fixed[TCP + 13]).without(TcpFlags::PSH);
        let fin = flags == TcpFlags::ACK | TcpFlags::FIN;
        if !fin && flags != TcpFlags::ACK {
            cold_path();
            return None;
        }
        let total_len = u16::from_be_bytes(array(fixed, IP + 2));
        let timestamps = match (fixed[TCP + 12] >> 4, usize::from(total_len)) {
            (5, len) if len == PLAIN_LEN - IP => None,
            (8, len) if len == TIMED_LEN - IP => {
                let [.., a, b, c, d, v0, v1, v2, v3, e0, e1, e2, e3] = *frame.first_chunk::<TIMED_LEN>()?;
                if [a, b, c, d] != TIMESTAMPS {
                    cold_path();
                    return None;
                }
                let value = u32::from_be_bytes([v0, v1, v2, v3]);
                Some(TimestampsOption { value, echo: u32::from_be_bytes([e0, e1, e2, e3]) })
            }
            _ => return None,
        };
        let segment = Self {
            seq: SeqNum(u32::from_be_bytes(array(fixed, TCP + 4))),
            ack: SeqNum(u32::from_be_bytes(array(fixed, TCP + 8))),
            window: u16::from_be_bytes(array(fixed, TCP + 14)),
            fin,
            timestamps,
        };
        Some((segment, total_len - IP_LEN as u16))
    }
}

/// Whether the checksum of a segment of `tcp_len` bytes is right; `pseudo_sum` is that of the pseudo-header without the length.
#[inline(always)]
fn is_undamaged(pseudo_sum: Sum, frame: &[u8], fixed: &Fixed, tcp_len: u16) -> bool {
    const LONG_LEN: usize = TCP_LEN + TIMESTAMPS_LEN;
    let header = match frame.get(TCP..TIMED_LEN).and_then(<[u8]>::first_chunk) {
        Some(long) if usize::from(tcp_len) == LONG_LEN => sum_array::<LONG_LEN>(long),
        _ => sum_array(&array::<TCP_LEN>(fixed, TCP)),
    };
    (pseudo_sum.add_u16(tcp_len) + header).is_valid()
}

impl Tcp {
    /// Takes a segment without text that the connection heard last foresees; false, with nothing done, for any other, which
    /// [`input`](Self::input) takes. In place of its only call, which is apart itself.
    #[inline(always)]
    pub(crate) fn input_textless(
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
        let Some((segment, tcp_len)) = Textless::read(fixed, frame.bytes) else {
            return self.input_opening(now, context, interface, frame);
        };
        let Some(holder) = self.demux.heard_last(&array(fixed, WIRE)) else {
            cold_path();
            return false;
        };
        if !self.config.fast_path || !is_judged(judged, context.net, interface, fixed) {
            cold_path();
            return false;
        }
        let verified = frame.checksum != RxChecksum::Unverified;
        if !verified && !is_undamaged(judged.address_sum, frame.bytes, fixed, tcp_len) {
            cold_path();
            return false;
        }
        let index = match holder {
            Holder::Connection(index) => index,
            Holder::HalfOpen(index) => {
                let taken = self.input_third(now, context, index, &segment);
                if taken {
                    count(context.net, interface, frame);
                }
                return taken;
            }
        };
        let Some((id, connection)) = self.connections.named_at(index) else {
            cold_path();
            return false;
        };
        let before = connection.phase;
        let mut env = Env { now, config: &self.config, challenge: &mut self.challenge, budget: &self.memory.budget };
        if !connection.take_if_foreseen(&mut env, &segment) {
            cold_path();
            return false;
        }
        count(context.net, interface, frame);
        context.net.confirm_judged(now, connection.interface, connection.flow.remote);
        if connection.is_corrupt() {
            self.settle(now, context, index, before);
            return true;
        }
        if matches!(connection.phase, Phase::TimeWait | Phase::Closed) {
            self.retire(now, context, index, before);
            return true;
        }
        // What is left of `settle` for a connection that lives on.
        let sends = connection.prepare_after_textless(now, index, &self.config, &mut self.wheel);
        announce(connection, context.events, id);
        if sends {
            self.ready.enter(connection, index);
        }
        true
    }
}

impl Connection {
    /// Takes the segment if it is foreseen. A function of its own, so that what the look-up needs does not take its registers.
    #[inline(never)]
    fn take_if_foreseen(&mut self, env: &mut Env<'_>, segment: &Textless) -> bool {
        let foreseen = self.foresees_textless(env.now, segment);
        if foreseen {
            self.take_textless(env, segment);
        }
        foreseen
    }

    /// The segment is the next in order, whatever it acknowledges is all that is in flight or nothing, and no mechanism but
    /// those of [`take_textless`](Self::take_textless) would make anything of it.
    #[inline(always)]
    fn foresees_textless(&self, now: Instant, segment: &Textless) -> bool {
        let acknowledges = if segment.ack == self.snd.una {
            // While something is in flight, or the scoreboard may hear of duplicates, it may report them.
            self.flight() == 0 && self.recovery.is_none()
        } else {
            segment.ack == self.snd.nxt && self.flags.has(Flags::LONE)
        };
        acknowledges
            && segment.seq == self.rcv.nxt
            && self.phase.is_synchronized()
            && (!segment.fin || self.phase.receives())
            && !self.flags.has(UNUSUAL)
            // Acknowledgements of text have more to come, of which the whole way takes note (`Tcp::expect_more`).
            && (segment.fin || self.phase.has_finished() || self.send.position() == 0)
            && self.aside.reassembly().is_none()
            && self.aside.path().is_none()
            && match segment.timestamps {
                // RFC 7323 section 3.2: every segment has the option, or none.
                Some(option) => self.timestamps.is_agreed() && !self.timestamps.is_old(now, option.value),
                None => !self.timestamps.is_agreed(),
            }
    }

    /// What [`prepare`](Self::prepare) comes to after it. Returns whether there is something to send.
    #[inline(always)]
    fn prepare_after_textless(&mut self, now: Instant, index: u32, config: &TcpConfig, wheel: &mut Wheel<u32>) -> bool {
        if self.lone_signal(config).is_some() {
            // No deadline has come closer, and the timers are put right when it has gone.
            return true;
        }
        self.prepare(now, index, config, wheel)
    }

    /// What [`on_segment`](Self::on_segment) comes to for a segment that is foreseen.
    #[inline(always)]
    fn take_textless(&mut self, env: &mut Env<'_>, segment: &Textless) {
        let &Textless { seq, ack, window, fin, timestamps, .. } = segment;
        let fin_sent = self.phase == Phase::LastAck && self.flags.has(Flags::FIN_SENT);
        if fin_sent && ack != self.snd.una && self.flags.has(Flags::ORPHANED) {
            // RFC 9293 section 3.10.7.4: our FIN is acknowledged, and that is the end. Nobody is left to hear of anything else.
            self.phase = Phase::Closed;
            return;
        }
        self.last_heard = env.now;
        self.update_window(seq, ack, window);
        if ack != self.snd.una {
            self.on_lone_ack(env, ack);
        }
        if let Some(option) = timestamps {
            // RFC 7323 section 4.3 (2).
            self.timestamps.update(env.now, option.value, seq, self.rcv.acked);
        }
        if fin && self.phase != Phase::Closed {
            self.on_fin(env);
        }
    }
}
