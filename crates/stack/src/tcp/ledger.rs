//! What a connection has counted that nothing but [`TcpInfo`](super::TcpInfo) asks for.
//!
//! Made when the first text goes out or the first mark arrives, so that a connection that never spoke has none; and one that
//! rests keeps it only where it says more than for how long text was on its way (`aside`). Bytes acknowledged and received
//! need no counter: the rings' positions tell.

use core::time::Duration;

use crate::tcp::connection::Connection;
use crate::tcp::turns::Turns;
use crate::tcp::waiting::Waiting;
use crate::time::Instant;

/// Counters.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    /// Segments that were sent again.
    pub retransmissions: u32,
    /// Segments that arrived with a mark (CE).
    pub marks_received: u32,
    /// Acknowledgements that echoed one (ECE).
    pub echoes_received: u32,
    /// Bytes of text that were sent again.
    pub bytes_retransmitted: u64,
    /// What the sender waits for, and since when.
    pub waiting: Waiting,
    pub since: Instant,
    /// How many nanoseconds it has waited before, for each reason but [`Waiting::Idle`].
    waited: [u64; 4],
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            retransmissions: 0,
            marks_received: 0,
            echoes_received: 0,
            bytes_retransmitted: 0,
            waiting: Waiting::Idle,
            since: Instant::ZERO,
            waited: [0; 4],
        }
    }
}

impl Ledger {
    /// For how long all that was written was on its way, if nothing else was counted and nothing is on its way.
    pub(crate) fn busy_alone(&self) -> Option<Duration> {
        let Self { retransmissions, marks_received, echoes_received, bytes_retransmitted, waiting, since: _, waited } =
            self;
        let [application, receive_window, congestion_window, pacing] = waited;
        let alone = *waiting == Waiting::Idle
            && retransmissions | marks_received | echoes_received == 0
            && bytes_retransmitted | receive_window | congestion_window | pacing == 0;
        alone.then(|| Duration::from_nanos(*application))
    }

    /// Nothing was counted.
    #[inline]
    pub(crate) fn is_blank(&self) -> bool {
        self.busy_alone().is_some_and(|busy| busy.is_zero())
    }

    /// The sender waits for something else from now on.
    pub(crate) fn wait_for(&mut self, now: Instant, waiting: Waiting) {
        if let Some(waited) = place(self.waiting).and_then(|at| self.waited.get_mut(at)) {
            *waited = waited.saturating_add(now.as_nanos().saturating_sub(self.since.as_nanos()));
        }
        self.waiting = waiting;
        self.since = now;
    }

    /// The application was waited for while segments went to and fro (`turns`); nothing else was.
    pub(crate) fn on_turns(&mut self, turns: &Turns) {
        if turns.bytes > 0 {
            if let Some(waited) = place(Waiting::Application).and_then(|at| self.waited.get_mut(at)) {
                *waited = waited.saturating_add(turns.busy);
            }
            self.since = turns.answered_at;
        }
    }

    /// How long the sender has waited for this, up to the last change.
    pub(crate) fn waited(&self, waiting: Waiting) -> Duration {
        Duration::from_nanos(place(waiting).and_then(|at| self.waited.get(at)).copied().unwrap_or(0))
    }
}

/// Where the time of a reason is kept.
const fn place(waiting: Waiting) -> Option<usize> {
    (waiting as usize).checked_sub(1)
}

impl Connection {
    /// The ledger, made when there is something to enter.
    pub(crate) fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.aside.make().ledger
    }
}
