//! Turns: lone segments that were answered, one after the other, and told of all at once.
//!
//! Where two ends talk in turns, RACK, the delivery rate and the ledger would be told of every segment (`lone`) only to have
//! forgotten it when somebody asks. Each turn is as the one before: what went out alone has arrived, the sender waited for the
//! application meanwhile, and nothing else happened. So it is added up, and told **before anybody looks at what it changes**
//! ([`Connection::end_solitude`]): from there on everything is as if it had been told each time.
//! `crates/sim/tests/tcp_lone.rs` runs both against each other. The smallest round trip is not put off, for it goes out of
//! date.

use core::time::Duration;

use crate::tcp::connection::{Connection, Flags};
use crate::tcp::waiting::Waiting;
use crate::time::Instant;

/// What RACK, the delivery rate and the ledger have not been told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turns {
    /// Bytes that arrived: none if there was no turn yet.
    pub bytes: u64,
    /// Of the last turn that took any time: its bytes and nanoseconds. Zero if there was none.
    pub sample: (u32, u64),
    /// When the last turn's segment left, and when it was acknowledged.
    pub sent_at: Instant,
    pub answered_at: Instant,
    /// Nanoseconds for which a segment was on its way.
    pub busy: u64,
}

impl Turns {
    pub(crate) const NONE: Self =
        Self { bytes: 0, sample: (0, 0), sent_at: Instant::ZERO, answered_at: Instant::ZERO, busy: 0 };

    /// `bytes` that left at `sent_at` were acknowledged `nanos` nanoseconds later, at `now`.
    #[inline(always)]
    pub(crate) fn note(&mut self, now: Instant, sent_at: Instant, bytes: u32, nanos: u64) {
        self.bytes += u64::from(bytes);
        if nanos > 0 {
            self.sample = (bytes, nanos);
        }
        self.sent_at = sent_at;
        self.answered_at = now;
        self.busy = self.busy.saturating_add(nanos);
    }

    /// How long the last turn took, in nanoseconds.
    pub(crate) fn last_nanos(&self) -> u64 {
        self.answered_at.as_nanos().saturating_sub(self.sent_at.as_nanos())
    }
}

impl Connection {
    /// The turns that nobody has been told of; `None` where everybody knows.
    pub(crate) fn turns(&self) -> Option<&Turns> {
        let recovery = self.recovery.as_ref().filter(|_| self.flags.has(Flags::TURNS))?;
        Some(&recovery.turns)
    }

    /// Text goes out alone, and turns are added up from here on; or with it a FIN, which nobody will answer, or with more to
    /// come, for which it is not the application that the sender waits.
    #[cold]
    #[inline(never)]
    pub(super) fn begin_or_end_turns(&mut self, is_turn: bool) {
        if !is_turn {
            return self.tell_turns();
        }
        // What it waited for before is told first: the next one may begin turns.
        let waited = self.aside.ledger().is_some_and(|ledger| ledger.waiting != Waiting::Idle);
        if !waited && let Some(recovery) = &mut self.recovery {
            recovery.turns = Turns::NONE;
            self.flags.set(Flags::TURNS);
        }
    }

    /// Everybody is told. All that was sent since the first turn has been acknowledged, but for what is in flight.
    #[cold]
    pub(super) fn tell_turns(&mut self) {
        if !self.flags.take(Flags::TURNS) {
            return;
        }
        let (una, flight) = (self.snd.una, self.flight());
        let Some(recovery) = &mut self.recovery else { return };
        let turns = core::mem::replace(&mut recovery.turns, Turns::NONE);
        recovery.on_turns(&turns, una, flight);
        let last_sent = self.last_sent;
        let ledger = self.ledger_mut();
        ledger.on_turns(&turns);
        if flight > 0 {
            ledger.wait_for(last_sent, Waiting::Application);
        }
    }

    /// What the sender waits for, and since when; `NEVER` if it never waited.
    pub(crate) fn waiting(&self) -> (Waiting, Instant) {
        let known =
            self.aside.ledger().map_or((Waiting::Idle, Instant::NEVER), |ledger| (ledger.waiting, ledger.since));
        match self.turns() {
            Some(_) if self.flight() > 0 => (Waiting::Application, self.last_sent),
            Some(turns) if turns.bytes > 0 => (Waiting::Idle, turns.answered_at),
            _ => known,
        }
    }

    /// For how long the turns that the ledger has not been told of had a segment on its way.
    pub(crate) fn busy_in_turns(&self) -> Duration {
        self.turns().map_or(Duration::ZERO, |turns| Duration::from_nanos(turns.busy))
    }
}
