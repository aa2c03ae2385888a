//! ProbeBW: cruising, and every few seconds a probe for more bandwidth (draft-ietf-ccwg-bbr-05 section 5.3.3).
//!
//! ```text
//!   Down -- flight below the pipe and the headroom --> Cruise -- two to three seconds, or as many rounds as Reno would
//!   need --> Refill -- one round --> Up -- the bandwidth grows no more, or too much is lost --> Down
//! ```

use core::time::Duration;

use super::model::UNKNOWN;
use super::{Bbr, LOSS_THRESHOLD, State, Update, is_too_much};
use crate::tcp::delivery_rate::RateSample;
use crate::time::Instant;

/// What acknowledgements are about (BBR.ack_phase).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acks {
    ProbeStarting,
    ProbeFeedback,
    ProbeStopping,
    Refilling,
}

/// The variables of ProbeBW.
#[derive(Clone, Debug)]
pub(super) struct ProbeBw {
    /// BBR.rounds_since_bw_probe.
    pub rounds: u32,
    cycle_stamp: Instant,
    wait: Duration,
    acks: Acks,
    /// BBR.bw_probe_samples: losses are to be blamed on the probe.
    samples: bool,
    /// BBR.probe_up_cnt, BBR.bw_probe_up_acks, BBR.bw_probe_up_rounds: bytes to be acknowledged for each segment more.
    up_count: u64,
    up_acks: u64,
    up_rounds: u32,
}

impl ProbeBw {
    pub(super) const fn new() -> Self {
        Self {
            rounds: 0,
            cycle_stamp: Instant::ZERO,
            wait: Duration::from_secs(2),
            acks: Acks::ProbeStopping,
            samples: false,
            up_count: UNKNOWN,
            up_acks: 0,
            up_rounds: 0,
        }
    }

    /// ProbeRTT begins.
    pub(super) fn stop(&mut self) {
        self.acks = Acks::ProbeStopping;
    }
}

impl Bbr {
    /// BBRStartProbeBW_DOWN.
    pub(super) fn start_down(&mut self, update: &Update) {
        self.model.forget_signals();
        self.probe.up_count = UNKNOWN;
        // BBRPickProbeWait: two to three seconds, so that flows that share a link do not probe together.
        let noise = mix(update.now.as_nanos() ^ u64::from(update.salt) << 32);
        self.probe.rounds = (noise & 1) as u32;
        self.probe.wait = Duration::from_millis(2_000 + (noise >> 8) % 1_000);
        self.probe.cycle_stamp = update.now;
        self.probe.acks = Acks::ProbeStopping;
        self.model.start_round(update.delivered);
        self.state = State::Down;
    }

    fn start_refill(&mut self, update: &Update) {
        self.model.forget_short_term();
        self.probe.up_rounds = 0;
        self.probe.up_acks = 0;
        self.probe.acks = Acks::Refilling;
        self.model.start_round(update.delivered);
        self.state = State::Refill;
    }

    fn start_up(&mut self, update: &Update, cwnd: u32) {
        self.probe.samples = true;
        self.probe.acks = Acks::ProbeStarting;
        self.model.start_round(update.delivered);
        self.restart_full_bw(update.sample.map_or(0, |sample| sample.rate));
        self.state = State::Up;
        self.raise_slope(update, cwnd);
    }

    /// BBRUpdateProbeBWCyclePhase, and BBRHandleLostPacket.
    pub(super) fn update_probe_bw(&mut self, update: &Update, cwnd: u32) {
        if !self.full_bw_reached {
            return;
        }
        self.adapt_long_term(update, cwnd);
        let goes_down = self.state == State::Up && self.is_time_to_go_down(update, cwnd);
        match self.state {
            State::Down | State::Cruise if self.is_time_to_probe(update, cwnd) => self.start_refill(update),
            State::Down if self.is_time_to_cruise(update) => self.state = State::Cruise,
            State::Refill if self.model.round_start => self.start_up(update, cwnd),
            State::Up if goes_down => self.start_down(update),
            _ => {}
        }
    }

    /// Section 5.3.3.5: by time, or in as many rounds as Reno needs to fill the pipe, so that Reno and CUBIC are left their
    /// share.
    fn is_time_to_probe(&self, update: &Update, cwnd: u32) -> bool {
        let rounds = (self.target_inflight(cwnd) / u64::from(update.mss.max(1))).min(63);
        update.now.since(self.probe.cycle_stamp) > self.probe.wait || u64::from(self.probe.rounds) >= rounds
    }

    fn is_time_to_cruise(&self, update: &Update) -> bool {
        let in_flight = u64::from(update.in_flight);
        in_flight <= self.inflight_with_headroom(update) && in_flight <= self.inflight(update, 100)
    }

    /// Section 5.3.3.6.
    fn is_time_to_go_down(&mut self, update: &Update, cwnd: u32) -> bool {
        if self.is_cwnd_limited() && u64::from(cwnd) >= self.model.inflight_long {
            // The bound holds the rate back, not the path.
            self.restart_full_bw(update.sample.map_or(0, |sample| sample.rate));
            return false;
        }
        self.full_bw_now
    }

    /// BBRTargetInflight.
    fn target_inflight(&self, cwnd: u32) -> u64 {
        self.model.bdp(self.model.bw(), 100).unwrap_or(UNKNOWN).min(u64::from(cwnd))
    }

    /// Section 5.3.3.6, BBRAdaptLongTermModel: how much the path holds.
    fn adapt_long_term(&mut self, update: &Update, cwnd: u32) {
        if self.probe.acks == Acks::ProbeStarting && self.model.round_start {
            self.probe.acks = Acks::ProbeFeedback;
        }
        if self.probe.acks == Acks::ProbeStopping && self.model.round_start {
            if self.state.probes_bw() && update.sample.is_some_and(|sample| !sample.app_limited) {
                self.model.advance_bw_cycle();
            }
            self.probe.samples = false;
            self.probe.acks = Acks::ProbeFeedback;
        }
        if self.probe.samples {
            if let Some(sample) = update.lost_sample.filter(|sample| is_too_much(sample, update.mss)) {
                self.on_too_much(update, cwnd, sample.app_limited, crossing(&sample, update.lost));
                return;
            }
            if update.marked {
                let sample = update.sample.or(update.lost_sample);
                let in_flight = sample.map_or(u64::from(update.before), |sample| u64::from(sample.in_flight));
                self.on_too_much(update, cwnd, false, in_flight);
                return;
            }
        }
        let Some(sample) = update.sample else { return };
        if is_too_much(&sample, update.mss) {
            if self.probe.samples {
                self.on_too_much(update, cwnd, sample.app_limited, u64::from(sample.in_flight));
            }
            return;
        }
        if self.model.inflight_long == UNKNOWN {
            return;
        }
        self.model.inflight_long = self.model.inflight_long.max(u64::from(sample.in_flight));
        if self.state == State::Up {
            self.probe_upward(update, cwnd);
        }
    }

    /// BBRHandleInflightTooHigh: `in_flight` was more than the path holds.
    fn on_too_much(&mut self, update: &Update, cwnd: u32, app_limited: bool, in_flight: u64) {
        self.probe.samples = false;
        if !app_limited {
            self.model.inflight_long = in_flight.max(self.target_inflight(cwnd) / 10 * 7);
        }
        if self.state == State::Up {
            self.start_down(update);
        }
    }

    /// BBRProbeInflightLongtermUpward: slowly at first, and twice as fast each round.
    fn probe_upward(&mut self, update: &Update, cwnd: u32) {
        if !self.is_cwnd_limited() || u64::from(cwnd) < self.model.inflight_long {
            return;
        }
        self.probe.up_acks += u64::from(update.acked);
        if self.probe.up_acks >= self.probe.up_count {
            let steps = self.probe.up_acks / self.probe.up_count;
            self.probe.up_acks -= steps * self.probe.up_count;
            self.model.inflight_long = self.model.inflight_long.saturating_add(steps * u64::from(update.mss));
        }
        if self.model.round_start {
            self.raise_slope(update, cwnd);
        }
    }

    /// BBRRaiseInflightLongtermSlope.
    fn raise_slope(&mut self, update: &Update, cwnd: u32) {
        let growth = 1u64 << self.probe.up_rounds;
        self.probe.up_rounds = (self.probe.up_rounds + 1).min(30);
        self.probe.up_count = (u64::from(cwnd) / growth).max(u64::from(update.mss));
    }
}

/// BBRInflightAtLoss: with how much in flight the losses crossed the threshold; `lost` bytes of them were found now.
fn crossing(sample: &RateSample, lost: u32) -> u64 {
    let size = u64::from(lost);
    let in_flight = u64::from(sample.in_flight).saturating_sub(size);
    let before = sample.lost.saturating_sub(size);
    let prefix = (in_flight * LOSS_THRESHOLD).saturating_sub(before * 100) / (100 - LOSS_THRESHOLD);
    in_flight + prefix
}

/// A step of SplitMix64: chance enough to keep flows out of step.
const fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}
