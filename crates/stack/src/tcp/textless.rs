//! The short way in of a segment that brings no text: the FIN, its acknowledgement, and other pure acknowledgements.
//!
//! A connection's end is made of such segments, each of which finds the connection in another state, so nothing can be
//! predicted of the next from the one before, as `fast_path` does for text. But most often they come one after the other
//! to the connection that was heard last, are the next in order, and acknowledge either nothing new or the lone segment
//! (`lone`) that is all there is in flight. Then there is nothing to be cut, placed, repaired or doubted, and what is left
//! of RFC 9293's steps is done here. **Where a condition fails nothing has happened yet, and the segment takes the whole
//! way** (`input`), to the same result: `crates/sim/tests/tcp_fast_path.rs` runs both against each other.

use wire::checksum::sum_array;
use wire::tcp::{SeqNum, TcpFlags, Timestamps as TimestampsOption};

use crate::ip::Arrival;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::demux::{Flow, Holder};
use crate::tcp::fast_path::{TCP_LEN, TIMESTAMPS, TIMESTAMPS_LEN};
use crate::tcp::input::Env;
use crate::tcp::phase::Phase;
use crate::tcp::{Context, Tcp, announce};
use crate::time::Instant;

/// With timestamps and nothing else.
const LONG_LEN: usize = TCP_LEN + TIMESTAMPS_LEN;

/// What would make more of a segment than is done here.
const UNUSUAL: Flags = Flags::FAST_OPEN.and(Flags::ECN).and(Flags::PERSISTING).and(Flags::PROBE_DUE);

/// A segment that is a header and nothing else: an ACK, with or without a FIN.
struct Textless {
    remote_port: u16,
    local_port: u16,
    seq: SeqNum,
    ack: SeqNum,
    window: u16,
    fin: bool,
    timestamps: Option<TimestampsOption>,
}

impl Textless {
    #[inline(always)]
    fn read(segment: &[u8]) -> Option<Self> {
        let fixed = segment.first_chunk::<TCP_LEN>()?;
        let [r0, r1, l0, l1, s0, s1, s2, s3, a0, a1, a2, a3, offset, flags, w0, w1, ..] = *fixed;
        let (flags, header_len) = (TcpFlags(flags).without(TcpFlags::PSH), usize::from(offset >> 4) * 4);
        let fin = flags == TcpFlags::ACK | TcpFlags::FIN;
        if header_len != segment.len() || !(fin || flags == TcpFlags::ACK) {
            return None;
        }
        let timestamps = match segment.len() {
            TCP_LEN => None,
            LONG_LEN => {
                let [a, b, c, d, v0, v1, v2, v3, e0, e1, e2, e3] = *segment.last_chunk::<TIMESTAMPS_LEN>()?;
                if [a, b, c, d] != TIMESTAMPS {
                    return None;
                }
                let value = u32::from_be_bytes([v0, v1, v2, v3]);
                Some(TimestampsOption { value, echo: u32::from_be_bytes([e0, e1, e2, e3]) })
            }
            _ => return None,
        };
        Some(Self {
            remote_port: u16::from_be_bytes([r0, r1]),
            local_port: u16::from_be_bytes([l0, l1]),
            seq: SeqNum(u32::from_be_bytes([s0, s1, s2, s3])),
            ack: SeqNum(u32::from_be_bytes([a0, a1, a2, a3])),
            window: u16::from_be_bytes([w0, w1]),
            fin,
            timestamps,
        })
    }
}

#[inline(always)]
fn is_undamaged(arrival: &Arrival<'_>) -> bool {
    let segment = arrival.segment;
    let header = match (segment.first_chunk(), segment.first_chunk()) {
        (_, Some(long)) => sum_array::<LONG_LEN>(long),
        (Some(short), None) => sum_array::<TCP_LEN>(short),
        (None, None) => return false,
    };
    (arrival.address_sum.add_u32(segment.len() as u32) + header).is_valid()
}

impl Tcp {
    /// Takes a segment without text that the connection heard last foresees; false, with nothing done, for any other, which
    /// [`input`](Self::input) takes.
    #[inline(always)]
    pub(crate) fn input_textless(&mut self, now: Instant, context: &mut Context<'_>, arrival: &Arrival<'_>) -> bool {
        let Some(segment) = Textless::read(arrival.segment) else { return false };
        let flow = Flow {
            local: arrival.destination,
            remote: arrival.source,
            local_port: segment.local_port,
            remote_port: segment.remote_port,
        };
        if !arrival.unicast || !self.config.fast_path {
            return false;
        }
        let Some(Holder::Connection(index)) = self.demux.heard_last(&flow) else { return false };
        let Some((id, connection)) = self.connections.named_at(index) else { return false };
        if !connection.foresees_textless(now, &segment) || !(arrival.checksum_verified || is_undamaged(arrival)) {
            return false;
        }
        let before = connection.phase;
        let mut env = Env { now, config: &self.config, challenge: &mut self.challenge, budget: &self.memory.budget };
        connection.take_textless(&mut env, &segment);
        context.net.confirm_reachable(now, connection.interface, flow.remote);
        if connection.is_corrupt() {
            self.settle(now, context, index, before);
            return true;
        }
        if matches!(connection.phase, Phase::TimeWait | Phase::Closed) {
            self.retire(now, context, index, before);
            return true;
        }
        // What is left of `settle` for a connection that lives on.
        let sends = connection.prepare(now, index, &self.config, &mut self.wheel);
        announce(connection, context.events, id);
        if sends {
            self.ready.enter(connection, index);
        }
        true
    }
}

impl Connection {
    /// The segment is the next in order, whatever it acknowledges is all that is in flight or nothing, and no mechanism but
    /// those of [`take_textless`](Self::take_textless) would make anything of it.
    #[inline]
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

    /// What [`on_segment`](Self::on_segment) comes to for a segment that is foreseen.
    #[inline]
    fn take_textless(&mut self, env: &mut Env<'_>, segment: &Textless) {
        let &Textless { seq, ack, window, fin, timestamps, .. } = segment;
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
            self.on_fin();
        }
    }
}
