//! What BBR believes of the path: bandwidth, round trip, bounds of what may be in flight, and how acknowledgements come
//! in lumps (draft-ietf-ccwg-bbr-05 section 5.5).
//!
//! Rates are in bytes a second, volumes in bytes. What is not known is `u64::MAX`, so that a minimum ignores it.

use core::time::Duration;

use super::{LIFETIME, Update, is_beyond_chance};
use crate::time::Instant;

/// Not known, or without a bound.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// BBR.ProbeRTTInterval.
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);
/// BBR.ExtraAckedFilterLen in rounds, half of it.
const HALF_EXTRA_ACKED_FILTER: u8 = 5;

/// Packet-timed rounds, rates and bounds.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// BBR.max_bw_filter: the last cycle's largest sample and this one's.
    bw_cycles: [u64; 2],
    /// BBR.bw_shortterm.
    pub bw_short: u64,
    /// BBR.inflight_shortterm.
    pub inflight_short: u64,
    /// BBR.inflight_longterm.
    pub inflight_long: u64,
    bw_latest: u64,
    pub inflight_latest: u64,
    /// BBR.min_rtt, and when it was measured.
    min_rtt: Option<Duration>,
    min_rtt_at: Instant,
    /// BBR.probe_rtt_min_delay.
    probe_rtt_min: Option<Duration>,
    pub probe_rtt_min_at: Instant,
    pub probe_rtt_expired: bool,
    /// BBR.next_round_delivered.
    next_round: u64,
    pub round_start: bool,
    pub rounds: u64,
    next_loss_round: u64,
    pub loss_round_start: bool,
    /// Bytes of this round that were lost and that arrived, and whether a mark was echoed in it.
    lost: u64,
    arrived: u64,
    marked: bool,
    /// Acknowledgements of this round that told of losses.
    pub loss_events: u32,
    /// BBR.extra_acked_filter: the largest of the last rounds and of these.
    extra: [u64; 2],
    extra_rounds: u8,
    extra_since: Instant,
    extra_delivered: u64,
}

impl Model {
    pub(super) const fn new() -> Self {
        Self {
            bw_cycles: [0; 2],
            bw_short: UNKNOWN,
            inflight_short: UNKNOWN,
            inflight_long: UNKNOWN,
            bw_latest: 0,
            inflight_latest: 0,
            min_rtt: None,
            min_rtt_at: Instant::ZERO,
            probe_rtt_min: None,
            probe_rtt_min_at: Instant::ZERO,
            probe_rtt_expired: false,
            next_round: 0,
            round_start: false,
            rounds: 0,
            next_loss_round: 0,
            loss_round_start: false,
            lost: 0,
            arrived: 0,
            marked: false,
            loss_events: 0,
            extra: [0; 2],
            extra_rounds: 0,
            extra_since: Instant::NEVER,
            extra_delivered: 0,
        }
    }

    /// BBR.max_bw.
    pub(super) fn max_bw(&self) -> u64 {
        self.bw_cycles[0].max(self.bw_cycles[1])
    }

    /// BBR.bw: section 5.5.2, bounded by what congestion has taught lately.
    pub(super) fn bw(&self) -> u64 {
        self.max_bw().min(self.bw_short)
    }

    /// Section 5.5.10: the bandwidth-delay product, times `percent`; `None` before it is known.
    pub(super) fn bdp(&self, bw: u64, percent: u64) -> Option<u64> {
        let rtt = self.min_rtt?;
        let product = u128::from(bw) * rtt.as_nanos() / 1_000_000_000 * u128::from(percent) / 100;
        Some(u64::try_from(product).unwrap_or(UNKNOWN))
    }

    /// What aggregation adds to what must be in flight.
    pub(super) fn extra_acked(&self) -> u64 {
        self.extra[0].max(self.extra[1])
    }

    /// The counters of bytes have begun anew, as the connection had been at rest.
    pub(super) fn resynchronize(&mut self, delivered: u64) {
        if self.next_round > delivered {
            self.next_round = 0;
            self.next_loss_round = 0;
        }
    }

    /// BBRStartRound.
    pub(super) fn start_round(&mut self, delivered: u64) {
        self.next_round = delivered;
    }

    /// Sections 5.5.1 and 5.5.5: rounds, the largest bandwidth, what congestion says.
    pub(super) fn on_sample(&mut self, update: &Update, probing: bool, cwnd: u64) {
        self.round_start = false;
        self.loss_round_start = false;
        self.lost += u64::from(update.lost);
        self.arrived += u64::from(update.acked);
        self.marked |= update.marked;
        self.loss_events += u32::from(update.lost > 0);
        let Some(sample) = update.sample else { return };
        // BBRUpdateLatestDeliverySignals.
        self.bw_latest = self.bw_latest.max(sample.rate);
        self.inflight_latest = self.inflight_latest.max(sample.delivered);
        if sample.prior_delivered >= self.next_loss_round {
            self.next_loss_round = update.delivered;
            self.loss_round_start = true;
        }
        // BBRUpdateRound.
        if sample.prior_delivered >= self.next_round {
            self.start_round(update.delivered);
            self.rounds += 1;
            self.round_start = true;
        }
        // BBRUpdateMaxBw.
        if sample.rate > 0 && (sample.rate >= self.max_bw() || !sample.app_limited) {
            self.bw_cycles[1] = self.bw_cycles[1].max(sample.rate);
        }
        if self.loss_round_start && self.is_congested(update.mss) && !probing {
            self.lower_bounds(cwnd);
        }
    }

    /// Whether this round saw congestion: a mark, or more losses than BBR.LossThresh. The draft takes any loss for it here, in
    /// contrast to all other places; a path that loses one segment in a hundred by chance then has its rate lowered nearly
    /// every round until the next probe, to two thirds of what it carries.
    fn is_congested(&self, mss: u32) -> bool {
        self.marked || is_beyond_chance(self.lost, self.lost + self.arrived, mss)
    }

    /// Section 5.5.10.3: a round with losses, or with marks, lowers the short-term bounds to what was delivered, and by
    /// three tenths at most.
    fn lower_bounds(&mut self, cwnd: u64) {
        if self.bw_short == UNKNOWN {
            self.bw_short = self.max_bw();
        }
        if self.inflight_short == UNKNOWN {
            self.inflight_short = cwnd;
        }
        self.bw_short = self.bw_latest.max(self.bw_short / 10 * 7).max(1);
        self.inflight_short = self.inflight_latest.max(self.inflight_short / 10 * 7);
    }

    /// BBRAdvanceLatestDeliverySignals, after everything else of an acknowledgement.
    pub(super) fn end_of_update(&mut self, update: &Update) {
        if self.loss_round_start {
            self.forget_round();
            if let Some(sample) = update.sample {
                self.bw_latest = sample.rate;
                self.inflight_latest = sample.delivered;
            }
        }
    }

    /// BBRAdvanceMaxBwFilter: the samples of the cycle before the last are forgotten.
    pub(super) fn advance_bw_cycle(&mut self) {
        if self.bw_cycles[1] > 0 {
            self.bw_cycles = [self.bw_cycles[1], 0];
        }
    }

    /// BBRResetShortTermModel.
    pub(super) fn forget_short_term(&mut self) {
        self.bw_short = UNKNOWN;
        self.inflight_short = UNKNOWN;
    }

    fn forget_round(&mut self) {
        self.lost = 0;
        self.arrived = 0;
        self.marked = false;
        self.loss_events = 0;
    }

    /// BBRResetCongestionSignals.
    pub(super) fn forget_signals(&mut self) {
        self.forget_round();
        self.bw_latest = 0;
        self.inflight_latest = 0;
    }

    /// Section 5.5.9: how much more than the bandwidth explains is acknowledged at once.
    pub(super) fn on_aggregation(&mut self, update: &Update, cwnd: u64, full: bool) {
        let span = if self.extra_since.is_never() { Duration::ZERO } else { update.now.since(self.extra_since) };
        let mut expected = u64::try_from(u128::from(self.bw()) * span.as_nanos() / 1_000_000_000).unwrap_or(UNKNOWN);
        if self.extra_since.is_never() || self.extra_delivered <= expected {
            self.extra_delivered = 0;
            self.extra_since = update.now;
            expected = 0;
        }
        self.extra_delivered += u64::from(update.acked);
        if self.round_start {
            self.extra_rounds += 1;
            // Before the bandwidth is known one round is remembered.
            if self.extra_rounds >= if full { HALF_EXTRA_ACKED_FILTER } else { 1 } {
                self.extra_rounds = 0;
                self.extra = [self.extra[1], 0];
            }
        }
        self.extra[1] = self.extra[1].max(self.extra_delivered.saturating_sub(expected).min(cwnd));
    }

    /// After an idle time acknowledgements are counted anew.
    pub(super) fn forget_aggregation(&mut self) {
        self.extra_since = Instant::NEVER;
    }

    /// Section 5.3.4.3, BBRUpdateMinRTT.
    pub(super) fn on_round_trip(&mut self, update: &Update) {
        let now = update.now;
        self.probe_rtt_expired = self.probe_rtt_min.is_some() && now.since(self.probe_rtt_min_at) > PROBE_RTT_INTERVAL;
        if let Some(rtt) = update.rtt
            && (self.probe_rtt_expired || self.probe_rtt_min.is_none_or(|least| rtt < least))
        {
            self.probe_rtt_min = Some(rtt);
            self.probe_rtt_min_at = now;
        }
        let expired = now.since(self.min_rtt_at) > LIFETIME;
        if let Some(probed) = self.probe_rtt_min
            && (expired || self.min_rtt.is_none_or(|least| probed < least))
        {
            self.min_rtt = Some(probed);
            self.min_rtt_at = self.probe_rtt_min_at;
        }
    }
}
