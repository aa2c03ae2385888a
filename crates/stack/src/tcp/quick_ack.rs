//! Quick acknowledgements: those of text that are not put off (TCP_QUICKACK).
//!
//! RFC 1122 section 4.2.3.2 has a receiver wait a little with its acknowledgement, as the application may answer. Where it
//! will not, and at a beginning nobody knows, the sender waits for nothing: its round trip is measured longer than it is,
//! and a window of one segment stands still. So a number of acknowledgements may be quick: those of the first text, those of text
//! after a pause, and those that the application asks for. Text of our own ends it: the application answers, and its
//! answers carry acknowledgements along.
//!
//! `receive` comes here with every segment of text as long as any are left: [`ReceiveSpace::full`] is zero until then, so
//! that each one is larger than any before. So it costs nothing where there are none, which is the default.
//!
//! [`ReceiveSpace::full`]: crate::tcp::connection::ReceiveSpace::full

use core::time::Duration;

use crate::config::TcpConfig;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::input::Env;
use crate::time::Instant;

/// How many acknowledgements are not put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuickAcks(u8);

/// Given, and no text has come since: what this side says meanwhile is no answer.
const GIVEN: u8 = 1 << 7;

/// How many an application gets that asks for them, where the engine's owner has not said how many.
const ASKED_FOR: u8 = 16;

impl QuickAcks {
    pub(crate) const NONE: Self = Self(0);

    /// What a connection begins with.
    #[inline]
    pub(crate) const fn at_first(config: &TcpConfig) -> Self {
        if config.quick_acks == 0 { Self::NONE } else { Self(GIVEN) }
    }

    /// Whether there are any.
    pub(crate) fn is_any(self) -> bool {
        self != Self::NONE
    }

    /// Whether no text has come since they were given.
    pub(crate) const fn awaits_text(self) -> bool {
        self.0 & GIVEN != 0
    }

    /// The application has said something: they are over, if text came before.
    #[inline(always)]
    pub(crate) fn on_text_sent(&mut self) {
        self.0 &= GIVEN;
    }
}

impl Connection {
    /// So many from now on.
    fn give_quick_acks(&mut self) {
        self.rcv.quick = QuickAcks(GIVEN);
        // What the peer fills a segment with is found out again when they are used up.
        self.rcv.full = 0;
    }

    /// TCP_QUICKACK: they are given, and what is owed goes now; or there are none any more.
    pub(crate) fn set_quick_acks(&mut self, on: bool) {
        if !on {
            self.rcv.quick = QuickAcks::NONE;
            return;
        }
        self.give_quick_acks();
        self.acknowledge_if(!self.deadlines.ack.is_never());
    }

    /// Text has come while there are some: one is used up for all that one segment will acknowledge.
    pub(super) fn acknowledge_quickly(&mut self, config: &TcpConfig) {
        let left = match self.rcv.quick {
            quick if !quick.awaits_text() => quick.0,
            _ if config.quick_acks == 0 => ASKED_FOR,
            _ => config.quick_acks.min(GIVEN - 1),
        };
        let used = u8::from(!self.flags.has(Flags::ACK_NOW));
        self.rcv.quick = QuickAcks(left - used);
        self.flags.set(Flags::ACK_NOW);
    }

    /// A segment has come, and nothing of it was taken in yet: after a pause of more than a time-out in which this side waited for
    /// nothing, the sender begins again with a small window (RFC 5681 section 4.1).
    #[cold]
    pub(super) fn note_pause(&mut self, env: &Env<'_>, has_text: bool) {
        if has_text && self.flight() == 0 {
            self.give_after_pause(env.now, env.config);
        }
    }

    /// The peer was silent for long, and says something, or is to answer.
    pub(super) fn give_after_pause(&mut self, now: Instant, config: &TcpConfig) {
        let pause: Duration = now.since(self.last_heard);
        if config.quick_acks != 0 && pause > self.rtt.rto(config.rto_min, config.rto_max) {
            self.give_quick_acks();
        }
    }
}
