//! RACK: losses found by time (RFC 8985 section 6). What was sent well before something that has arrived, and has not
//! arrived itself, is lost; "well" is the reordering window, which follows the reordering that is seen.

use core::time::Duration;

use wire::tcp::SeqNum;

use crate::tcp::scoreboard::{Arrival, Delivered, Judgement, Scoreboard, sent_after};
use crate::time::{Instant, nanos_of};

/// RFC 8985 section 6.2 step 4: recoveries after which a widened window is narrowed again.
const PERSIST: u8 = 16;

/// RACK's variables (RFC 8985 section 5.3).
#[derive(Clone, Debug)]
pub(crate) struct Rack {
    /// The latest-sent run that has arrived; meaningful once `rtt` is not zero.
    sent_at: Instant,
    end: SeqNum,
    /// RACK.rtt in nanoseconds.
    rtt: u64,
    reordering_seen: bool,
    /// RACK.reo_wnd_mult.
    multiple: u8,
    /// RACK.reo_wnd_persist.
    persist: u8,
}

impl Rack {
    pub(crate) const fn new(isn: SeqNum) -> Self {
        Self { sent_at: Instant::ZERO, end: isn, rtt: 0, reordering_seen: false, multiple: 1, persist: PERSIST }
    }

    /// Whether the network was seen to reorder.
    pub(crate) const fn reordering_seen(&self) -> bool {
        self.reordering_seen
    }

    /// RFC 8985 section 6.2 steps 1 to 3: takes note of what arrived.
    pub(crate) fn update(&mut self, now: Instant, delivered: &Delivered, min_rtt: Duration) {
        self.reordering_seen |= delivered.reordered;
        // A run sent twice may have arrived by its first copy: not if the round trip is shorter than any.
        let plausible = |arrival: &Arrival| !arrival.resent || now.since(arrival.sent_at) >= min_rtt;
        let Some(latest) = delivered.latest.filter(plausible).or(delivered.unambiguous) else { return };
        self.rtt = nanos_of(now.since(latest.sent_at)).max(1);
        if sent_after(&latest, self.sent_at, self.end) {
            self.sent_at = latest.sent_at;
            self.end = latest.end;
        }
    }

    /// RFC 8985 section 6.2 step 4: the peer reported a duplicate: what was thought lost had only been late.
    pub(crate) fn on_duplicate_reported(&mut self) {
        // Bounded by SRTT in the end, and here by what counts it.
        self.multiple = self.multiple.saturating_add(1);
        self.persist = PERSIST;
    }

    /// RFC 8985 section 6.2 step 4: a recovery has ended without such a report.
    pub(crate) fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.multiple = 1;
        }
    }

    /// RFC 8985 section 6.2 step 4.
    fn window(&self, in_recovery: bool, many_sacked: bool, min_rtt: Duration, srtt: Duration) -> Duration {
        if !self.reordering_seen && (in_recovery || many_sacked) {
            return Duration::ZERO;
        }
        // RFC 8985 section 6.2 step 4: min (RACK.reo_wnd_mult * RACK.min_RTT / 4, SRTT).
        (min_rtt * u32::from(self.multiple) / 4).min(srtt)
    }

    /// Whether [`detect`](Self::detect) would find nothing: everything in flight was sent after what has arrived.
    #[inline]
    pub(crate) fn finds_nothing(&self, board: &Scoreboard) -> bool {
        self.rtt == 0 || board.is_all_later(self.sent_at, self.end)
    }

    /// RFC 8985 section 6.2 steps 1 to 3 for a run that was sent once, of a flight without gaps and took
    /// `nanos` nanoseconds.
    #[inline]
    pub(crate) fn on_arrival_in_order(&mut self, latest: &Arrival, nanos: u64) {
        self.rtt = nanos.max(1);
        if sent_after(latest, self.sent_at, self.end) {
            self.sent_at = latest.sent_at;
            self.end = latest.end;
        }
    }

    /// The reordering window as it stands.
    pub(crate) fn reordering_window(&self, conditions: &Conditions) -> Duration {
        let Conditions { in_recovery, many_sacked, min_rtt, srtt } = *conditions;
        self.window(in_recovery, many_sacked, min_rtt, srtt)
    }

    /// RFC 8985 section 6.2 step 5: marks what is lost. Returns how many bytes, and after what time to look again.
    pub(crate) fn detect(
        &self,
        now: Instant,
        board: &mut Scoreboard,
        conditions: &Conditions,
    ) -> (u32, Option<Duration>) {
        if self.rtt == 0 {
            return (0, None);
        }
        let Conditions { in_recovery, many_sacked, min_rtt, srtt } = *conditions;
        let window = self.window(in_recovery, many_sacked, min_rtt, srtt);
        let patience = Duration::from_nanos(self.rtt) + window;
        let mut again: Option<Duration> = None;
        let marked = board.mark_lost(|run| {
            if !sent_after(&Arrival { sent_at: self.sent_at, end: self.end, resent: false }, run.sent_at, run.end) {
                return Judgement::SentLater;
            }
            let age = now.since(run.sent_at);
            if age >= patience {
                return Judgement::Lost;
            }
            let left = patience - age;
            again = Some(again.map_or(left, |other| other.max(left)));
            Judgement::Waits
        });
        (marked, again)
    }

    /// RFC 8985 section 6.3: the retransmission timer has expired. Marks what was sent long enough ago to be lost, whatever
    /// has arrived meanwhile.
    pub(crate) fn mark_on_timeout(&self, now: Instant, board: &mut Scoreboard, conditions: &Conditions) {
        let Conditions { in_recovery, many_sacked, min_rtt, srtt } = *conditions;
        // Where nothing was measured yet, everything is older than the nothing that is known.
        let patience = Duration::from_nanos(self.rtt) + self.window(in_recovery, many_sacked, min_rtt, srtt);
        board.mark_lost(|run| if now.since(run.sent_at) >= patience { Judgement::Lost } else { Judgement::Waits });
    }
}

/// What the reordering window depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
    /// Fast recovery or retransmission by time is under way.
    pub in_recovery: bool,
    /// The peer has at least three segments beyond a gap (RFC 8985's DupThresh).
    pub many_sacked: bool,
    pub min_rtt: Duration,
    pub srtt: Duration,
}
