//! Requests and responses: a message that goes out alone, and comes in as the answer to one.
//!
//! Where two ends talk in turns, every segment is the same: all that was written, while nothing is in flight; or text in
//! order that acknowledges all there is. Then next to nothing is left to decide, and what `output`, `template`, `fast_path`
//! and `acknowledge` would find in as many looks is found in one. **Where a condition fails nothing has happened, and they do
//! it**, with the same result: `crates/sim/tests/tcp_lone.rs` and `tcp_fast_path.rs` run both against each other.

use core::hint::cold_path;

use device::{Device, RxFrame};
use ring::Span;
use wire::tcp::TcpFlags;

use crate::event::Readiness;
use crate::link::InterfaceId;
use crate::link::flow_headers::Message;
use crate::link::template::Plainly;
use crate::network::Network;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::fast_path::Expected;
use crate::tcp::input::Env;
use crate::tcp::output::{Kind, OWED, Plan};
use crate::tcp::phase::Phase;
use crate::tcp::tuning::Tuning;
use crate::tcp::{ConnectionId, Tcp};

use crate::time::Instant;
use crate::timers::Wheel;

/// So little text leaves every measurement of a stream as it is (`buffers`, `train`).
const MESSAGE: usize = 536;

impl Connection {
    /// All that waits, if it goes as a lone segment and nothing else is to be decided: what `plan` and
    /// [`goes_alone`](Self::goes_alone) come to for a request or a response, asked at once.
    #[inline(always)]
    fn lone_text(&self) -> Option<Span<'_>> {
        const UNUSUAL: Flags = Flags::FINISHED
            .and(Flags::FIN_SENT)
            .and(Flags::PROBE_DUE)
            .and(Flags::SYN_DUE)
            .and(Flags::KEEP_ALIVE_DUE)
            .and(Flags::PERSISTING)
            .and(Flags::PACED)
            .and(Flags::SAYS_MORE)
            .and(Flags::ECN)
            .and(Flags::CORKED);
        let undisturbed = self.flags.has(Flags::CALM)
            && !self.flags.has(UNUSUAL)
            && self.flight() == 0
            && self.phase == Phase::Established
            && self.duplicate_acks_owed == 0
            && self.aside.is_undisturbed();
        if !undisturbed {
            cold_path();
            return None;
        }
        let most = self.segment_size().min(self.snd.wnd).min(self.congestion.window());
        self.send.whole_within(most)
    }

    /// What follows where it was all there was to send.
    #[inline(always)]
    fn after_lone_output(&mut self, now: Instant, config: &Tuning, index: u32, wheel: &mut Wheel<u32>) {
        if !self.rings_before_lone_alarm(now, config, wheel) {
            cold_path();
            self.arm(index, wheel);
        }
        self.note_all_sent(now);
    }

    /// Sends all that waits over its flow's headers, and takes note of it; `None` if it does not go alone. The headers are learnt
    /// for the next one where they were not ready.
    #[inline(always)]
    pub(super) fn send_lone(
        &mut self,
        now: Instant,
        net: &mut Network,
        device: &mut dyn Device,
        name: u64,
        config: &Tuning,
    ) -> Option<Plainly> {
        let text = self.lone_text()?;
        let len = text.len() as u32;
        let (window, edge) = self.offer_window();
        let message = Message {
            name,
            interface: self.interface,
            seq: self.snd.nxt,
            ack: self.rcv.nxt,
            // RFC 9293 section 3.9.1.2: it is the end of what was written.
            flags: TcpFlags::ACK | TcpFlags::PSH,
            window,
            timestamps: self.timestamps.is_agreed().then(|| self.timestamps.option(now)),
            text,
        };
        let became = net.transmit_message(device, &message);
        if became == Plainly::NotSo {
            cold_path();
            // Without short ways none are ever ready.
            if config.fast_path {
                net.learn_flow(name, self.interface, &self.flow, self.tos(false), self.options.hop_limit);
            }
        }
        if became == Plainly::Sent {
            // No block and no duplicate waits to be told.
            const DONE: Flags = Flags::ACK_NOW.and(Flags::QUEUED);
            self.deadlines.ack = Instant::NEVER;
            self.rcv.acked = self.rcv.nxt;
            self.rcv.edge = self.rcv.edge.later(edge);
            let plan = Plan { kind: Kind::Text, seq: self.snd.nxt, len, fin: false };
            let rto = self.rtt.rto_between(config.least_rto, config.most_rto);
            self.on_lone_sent(now, plan, true, DONE, now.after_nanos(rto));
        }
        Some(became)
    }

    /// Whether a segment that is as expected brings a message, in order, and acknowledges the one that it answers.
    #[inline(always)]
    pub(super) fn awaits_answer(&self, now: Instant, expected: &Expected<'_>) -> bool {
        const UNUSUAL: Flags = OWED
            .and(Flags::FINISHED)
            .and(Flags::FIN_SENT)
            .and(Flags::PROBE_DUE)
            .and(Flags::PERSISTING)
            .and(Flags::ORPHANED)
            .and(Flags::READ_SHUT);
        let len = expected.payload.len();
        self.flags.has(Flags::LONE)
            && !self.flags.has(UNUSUAL)
            && self.phase == Phase::Established
            && expected.seq == self.rcv.nxt
            && expected.ack == self.snd.nxt
            && len.wrapping_sub(1) < MESSAGE - 1
            && len <= self.receive_window() as usize
            && self.may_have(now, expected.timestamps)
            && self.duplicate_acks_owed == 0
            && self.aside.is_undisturbed()
    }

    /// Its text stands in the ring: takes it in, as [`take_expected`](Self::take_expected) and [`prepare`](Self::prepare) would.
    /// Returns whether there is something to send.
    #[inline(always)]
    pub(super) fn on_answer(
        &mut self,
        env: &Env<'_>,
        expected: &Expected<'_>,
        frame: &RxFrame<'_>,
        index: u32,
        wheel: &mut Wheel<u32>,
    ) -> bool {
        let &Expected { seq, ack, window, timestamps, payload, .. } = expected;
        let now = env.now;
        self.last_heard = now;
        // All that was sent is acknowledged, and all that was before the text was taken: nothing newer can have come.
        self.set_window(seq, ack, window);
        let grew = self.measure_lone_ack(now, ack);
        // What `on_new_ack` comes to where nothing stays in flight and there is no FIN.
        self.send.consume(self.flight() as usize);
        self.snd.una = ack;
        self.probes = 0;
        self.deadlines.retransmit = Instant::NEVER;
        self.unanswered_since = Instant::NEVER;
        if grew {
            cold_path();
            self.resize_send_buffer(env.budget);
        }
        // As `measure_lone_ack` has just found.
        let unsent = self.send.seen_len();
        self.tell(if unsent == 0 { Readiness::WRITABLE | Readiness::DRAINED } else { Readiness::WRITABLE });
        if let Some(option) = timestamps {
            // RFC 7323 section 4.3 (2).
            self.timestamps.update(now, option.value, seq, self.rcv.acked);
        }
        self.on_text_in_order(env, payload.len() as u32, frame);
        if unsent != 0 || !self.flags.has(Flags::CALM) || self.flags.has(Flags::ACK_NOW) {
            cold_path();
            return self.prepare_anew(now, index, env.config, wheel);
        }
        self.arm(index, wheel);
        self.note_idle(now);
        false
    }
}

impl Tcp {
    /// Sends all that was written to a connection, if it is a message and the connection leaves by `interface`; false, with
    /// nothing done that [`tcp_wrote`](crate::Stack::tcp_wrote) would not do, if it is not, or the device is full. Nobody else
    /// has anything to send.
    #[inline(always)]
    pub(crate) fn push_message(
        &mut self,
        now: Instant,
        net: &mut Network,
        interface: InterfaceId,
        device: &mut dyn Device,
        id: ConnectionId,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let may_go = connection.flight() == 0
            && connection.interface == interface
            && !connection.flags.has(Flags::RESOLVING)
            && !connection.send.is_producer_finished();
        if !may_go {
            cold_path();
            return false;
        }
        connection.restart_if_idle(now, &self.config);
        let became = connection.send_lone(now, net, device, id.to_bits(), &self.config);
        if became != Some(Plainly::Sent) {
            cold_path();
            return false;
        }
        connection.after_lone_output(now, &self.config, id.index(), &mut self.wheel);
        true
    }

    /// Sends all that the connection in slot `index` has to send, which stands in the queue or was just taken out of it, if it
    /// is a message or a signal; [`Plainly::NotSo`], with nothing done, if it is not.
    #[inline(always)]
    pub(crate) fn transmit_message(
        &mut self,
        now: Instant,
        net: &mut Network,
        interface: InterfaceId,
        device: &mut dyn Device,
        index: u32,
    ) -> Plainly {
        let Some((id, connection)) = self.connections.named_at(index) else {
            cold_path();
            return Plainly::NotSo;
        };
        if connection.interface != interface || connection.flags.has(Flags::RESOLVING) {
            cold_path();
            return Plainly::NotSo;
        }
        let became = if let Some(became) = connection.send_lone(now, net, device, id.to_bits(), &self.config) {
            if became == Plainly::Sent {
                connection.after_lone_output(now, &self.config, index, &mut self.wheel);
                self.ready.forget(index);
            }
            return became;
        } else if let Some(signal) = connection.lone_signal(&self.config) {
            connection.send_signal(now, net, device, signal, &self.config, (index, &mut self.wheel))
        } else if connection.flags.has(Flags::SYN_DUE) {
            connection.send_opening(now, net, device, &self.config, (index, &mut self.wheel))
        } else {
            return Plainly::NotSo;
        };
        if became == Plainly::Sent {
            let was_the_last_word = connection.has_a_last_word();
            connection.flags.clear(Flags::QUEUED);
            self.ready.forget(index);
            if was_the_last_word {
                self.connections.discard(id);
            }
        }
        became
    }
}
