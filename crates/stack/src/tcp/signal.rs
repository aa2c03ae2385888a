//! Segments that say something and bring nothing, on a short way out: the SYN, the acknowledgement that is owed, and the FIN
//! behind text that has all arrived.
//!
//! Where neither gaps nor losses nor probes are under way there is nothing to plan: the segment says SND.NXT, RCV.NXT and
//! the window. **Where a condition fails nothing has happened, and `output` plans it**, with the same result:
//! `crates/sim/tests/tcp_fast_path.rs` and `tcp_lone.rs` run both against each other.

use core::hint::cold_path;

use device::Device;
use wire::tcp::{TcpFlags, TcpOptions};

use crate::config::TcpConfig;
use crate::link::template::Plainly;
use crate::link::textless::TextlessSegment;
use crate::network::Network;
use crate::tcp::announced_mss;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::output::{Kind, Plan};
use crate::tcp::phase::Phase;
use crate::tcp::tuning::Tuning;
use crate::time::Instant;
use crate::timers::Wheel;

/// All there is to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// An acknowledgement.
    Ack,
    /// The end of the stream, and whatever acknowledgement is owed.
    Fin,
}

impl Connection {
    /// What there is to send, if it is one signal and nothing else is to be decided: what `plan` and
    /// [`goes_alone`](Self::goes_alone) come to then.
    #[inline(always)]
    pub(super) fn lone_signal(&self, config: &TcpConfig) -> Option<Signal> {
        const UNUSUAL: Flags = Flags::SYN_DUE
            .and(Flags::KEEP_ALIVE_DUE)
            .and(Flags::PROBE_DUE)
            .and(Flags::PERSISTING)
            .and(Flags::PACED)
            .and(Flags::SAYS_MORE)
            .and(Flags::ECN);
        let undisturbed = (self.recovery.is_none() || self.flags.has(Flags::CALM))
            && !self.flags.has(UNUSUAL)
            && self.phase.is_synchronized()
            && config.fast_path
            && self.duplicate_acks_owed == 0
            && self.aside.is_undisturbed();
        if !undisturbed {
            cold_path();
            return None;
        }
        let is_at_rest = self.flight() == 0;
        let at_end = self.flags.has(Flags::FIN_SENT) || !self.phase.sends();
        if !at_end && (!is_at_rest || !self.send.is_empty() || self.send.is_poisoned()) {
            cold_path();
            return None;
        }
        if !at_end && self.flags.has(Flags::FINISHED) {
            // RFC 9293 section 3.10.4: the FIN follows the last byte; it needs no window.
            return Some(Signal::Fin);
        }
        self.flags.has(Flags::ACK_NOW).then_some(Signal::Ack)
    }

    /// Sends it, takes note of it, and puts the timers right.
    #[inline(always)]
    pub(super) fn send_signal(
        &mut self,
        now: Instant,
        net: &mut Network,
        device: &mut dyn Device,
        signal: Signal,
        config: &Tuning,
        alarm: (u32, &mut Wheel<u32>),
    ) -> Plainly {
        let (window, edge) = self.offer_window();
        let fin = if signal == Signal::Fin { TcpFlags::FIN } else { TcpFlags(0) };
        let became = if self.timestamps.is_agreed() {
            let options = self.timestamps.option(now).to_bytes();
            let segment = |_| self.signal(TcpFlags::ACK | fin, window, options);
            net.transmit_textless(device, self.interface, &self.flow, segment)
        } else {
            let segment = |_| self.signal(TcpFlags::ACK | fin, window, []);
            net.transmit_textless(device, self.interface, &self.flow, segment)
        };
        if became != Plainly::Sent {
            return became;
        }
        // No block and no duplicate waits to be told.
        self.flags.clear(Flags::ACK_NOW);
        self.deadlines.ack = Instant::NEVER;
        self.rcv.acked = self.rcv.nxt;
        self.rcv.edge = self.rcv.edge.later(edge);
        if self.phase == Phase::TimeWait {
            // There are no timers, and nothing is waited for any more.
            return became;
        }
        let (index, wheel) = alarm;
        if signal == Signal::Fin {
            let plan = Plan { kind: Kind::Text, seq: self.snd.nxt, len: 0, fin: true };
            let rto = self.rtt.rto_between(config.least_rto, config.most_rto);
            self.on_lone_sent(now, plan, true, Flags::NONE, now.after_nanos(rto));
            if !self.rings_before_lone_alarm(now, config, wheel) {
                self.arm(index, wheel);
            }
            self.note_waiting(now);
            return became;
        }
        if !self.waits_for_nothing() {
            // No deadline has come closer by an acknowledgement; but there may be none any more.
            self.arm(index, wheel);
        }
        if self.recovery.is_some() && self.flight() == 0 {
            self.note_idle(now);
        } else {
            self.note_waiting(now);
        }
        became
    }

    /// The segment at SND.NXT.
    #[inline(always)]
    fn signal<const N: usize>(&self, flags: TcpFlags, window: u16, options: [u8; N]) -> TextlessSegment<'_, N> {
        TextlessSegment {
            flow: &self.flow,
            hop_limit: self.options.hop_limit,
            tos: self.tos(false),
            seq: self.snd.nxt,
            ack: self.rcv.nxt,
            flags,
            window,
            options,
        }
    }

    /// Sends the first SYN of a connection that is being opened, without text and with the options that are agreed on by
    /// nearly all; [`Plainly::NotSo`], with nothing done, for any other.
    #[inline(always)]
    pub(super) fn send_opening(
        &mut self,
        now: Instant,
        net: &mut Network,
        device: &mut dyn Device,
        config: &Tuning,
        alarm: (u32, &mut Wheel<u32>),
    ) -> Plainly {
        const UNUSUAL: Flags = Flags::SYN_RESENT.and(Flags::FAST_OPEN).and(Flags::SAYS_MORE);
        let usual = config.fast_path && config.window_scaling && config.sack;
        if self.phase != Phase::SynSent || self.flags.has(UNUSUAL) || self.flight() != 0 || !usual {
            cold_path();
            return Plainly::NotSo;
        }
        let mss = |mtu| announced_mss(mtu, self.flow.remote, &self.options);
        let flags = TcpFlags::SYN | self.ecn_of_syn(config);
        // RFC 7323 section 2.2: unscaled.
        let window = u16::try_from(self.room()).unwrap_or(u16::MAX);
        let became = if config.timestamps {
            let timestamps = self.timestamps.option(now);
            let options = |mtu| TcpOptions::of_syn_with_timestamps(mss(mtu), timestamps, self.rcv.scale);
            let segment = |mtu| self.signal(flags, window, options(mtu));
            net.transmit_textless(device, self.interface, &self.flow, segment)
        } else {
            let segment = |mtu| self.signal(flags, window, TcpOptions::of_syn(mss(mtu), self.rcv.scale));
            net.transmit_textless(device, self.interface, &self.flow, segment)
        };
        if became == Plainly::Sent {
            self.flags.clear(Flags::SYN_DUE);
            self.snd.nxt += 1;
            self.last_sent = now;
            self.unanswered_since = now;
            // RFC 6298 section 5.1.
            self.deadlines.retransmit = now.after_nanos(self.rtt.rto_between(config.least_rto, config.most_rto));
            let (index, wheel) = alarm;
            self.arm(index, wheel);
            self.note_waiting(now);
        }
        became
    }
}
