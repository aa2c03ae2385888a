//! BBR version 3 (draft-ietf-ccwg-bbr-05): the rate and the window follow a model of the path, not its losses.
//!
//! Startup doubles the rate each round until the bandwidth grows no more, Drain empties the queue that this made, and
//! ProbeBW then cruises below the bandwidth and, every few seconds, probes for more (`probe_bw`). ProbeRTT lets the queue
//! run dry when no round trip has been short for long. `model` holds what is believed of the path.
//!
//! `Congestion::on_update` comes here with every acknowledgement; `pacing` asks for the rate. The draft's variables keep
//! their names as far as they are words; its sections are cited as "BBR section".

mod model;
mod probe_bw;

use core::time::Duration;

use crate::tcp::delivery_rate::{RateSample, per_second};
use crate::time::Instant;
use model::{Model, UNKNOWN};
use probe_bw::ProbeBw;

// BBR section 5.6.1, in percent.
const STARTUP_PACING_GAIN: u64 = 277;
const DRAIN_PACING_GAIN: u64 = 50;
const CWND_GAIN: u64 = 200;
const PROBE_RTT_CWND_GAIN: u64 = 50;
/// BBR.PacingMarginPercent.
const PACING_MARGIN: u64 = 1;
/// BBR.LossThresh, in percent.
const LOSS_THRESHOLD: u64 = 2;
/// So many segments are lost in one flight without its being told from chance.
const CHANCE: u64 = 2;
/// BBR.StartupFullLossCnt.
const STARTUP_FULL_LOSSES: u32 = 6;
/// BBR.StartupFullBwCnt.
const FULL_BW_ROUNDS: u8 = 3;
/// BBR.MinRTTFilterLen: an idle connection's model is too old after that.
pub(crate) const LIFETIME: Duration = Duration::from_secs(10);
/// BBR.ProbeRTTDuration.
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);

/// What an acknowledgement says, as far as BBR is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    pub now: Instant,
    pub mss: u32,
    /// The round trip that it measured without ambiguity.
    pub rtt: Option<Duration>,
    pub srtt: Duration,
    /// Bytes that it delivered, and that it showed to be lost.
    pub acked: u32,
    pub lost: u32,
    /// Bytes in flight before it, and after it.
    pub before: u32,
    pub in_flight: u32,
    /// Bytes delivered since the connection was last at rest.
    pub delivered: u64,
    /// The sample of what arrived, and of what was lost.
    pub sample: Option<RateSample>,
    pub lost_sample: Option<RateSample>,
    /// It echoes a router's mark, the first of a window (RFC 3168).
    pub marked: bool,
    /// Differs between connections, so that they do not probe in step.
    pub salt: u32,
}

/// BBR section 5.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

impl State {
    /// BBR section 5.6.1: the pacing gain, in percent.
    const fn pacing_gain(self) -> u64 {
        match self {
            Self::Startup => STARTUP_PACING_GAIN,
            Self::Drain => DRAIN_PACING_GAIN,
            Self::Down => 90,
            Self::Up => 125,
            Self::Cruise | Self::Refill | Self::ProbeRtt => 100,
        }
    }

    const fn cwnd_gain(self) -> u64 {
        match self {
            Self::Up => 225,
            Self::ProbeRtt => PROBE_RTT_CWND_GAIN,
            _ => CWND_GAIN,
        }
    }

    const fn probes_bw(self) -> bool {
        matches!(self, Self::Down | Self::Cruise | Self::Refill | Self::Up)
    }

    /// BBRIsAcceleratingProbeBW: losses are expected, and judged by other means.
    const fn accelerates(self) -> bool {
        matches!(self, Self::Startup | Self::Refill | Self::Up)
    }
}

/// A connection's BBR.
#[derive(Clone, Debug)]
pub(crate) struct Bbr {
    state: State,
    model: Model,
    probe: ProbeBw,
    /// BBR.full_bw_reached, BBR.full_bw_now, BBR.full_bw, BBR.full_bw_count.
    full_bw_reached: bool,
    full_bw_now: bool,
    full_bw: u64,
    full_bw_count: u8,
    /// The window was used up in this round, and in the last.
    cwnd_limited: [bool; 2],
    /// BBR.probe_rtt_done_stamp; `NEVER` before the flight is small enough.
    probe_rtt_done: Instant,
    probe_rtt_round_done: bool,
    idle_restart: bool,
    /// BBR.prior_cwnd: to be restored.
    prior_cwnd: u32,
    pacing_rate: u64,
}

impl Bbr {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Startup,
            model: Model::new(),
            probe: ProbeBw::new(),
            full_bw_reached: false,
            full_bw_now: false,
            full_bw: 0,
            full_bw_count: 0,
            cwnd_limited: [false; 2],
            probe_rtt_done: Instant::NEVER,
            probe_rtt_round_done: false,
            idle_restart: false,
            prior_cwnd: 0,
            pacing_rate: 0,
        }
    }

    /// The rate at which trains leave, in bytes a second; `None` before anything is known.
    pub(crate) fn pacing_rate(&self) -> Option<u64> {
        (self.pacing_rate > 0).then_some(self.pacing_rate)
    }

    /// BBR section 5.2.3, BBRUpdateOnACK: returns the window.
    pub(crate) fn on_update(&mut self, update: &Update, cwnd: u32) -> u32 {
        self.model.resynchronize(update.delivered);
        self.note_use(update, cwnd);
        self.model.on_sample(update, self.state.accelerates(), u64::from(cwnd));
        if self.model.round_start {
            self.probe.rounds = self.probe.rounds.saturating_add(1);
        }
        self.model.on_aggregation(update, u64::from(cwnd), self.full_bw_reached);
        self.check_full_bw(update);
        self.check_startup_done(update);
        if self.state == State::Drain && u64::from(update.in_flight) <= self.inflight(update, 100) {
            // BBR section 5.3.2: the queue is gone.
            self.start_down(update);
        }
        self.update_probe_bw(update, cwnd);
        self.model.on_round_trip(update);
        let cwnd = self.check_probe_rtt(update, cwnd);
        self.model.end_of_update(update);
        self.set_pacing_rate(update, cwnd);
        self.next_window(update, cwnd)
    }

    /// C.is_cwnd_limited: whether the window was used up in the last round.
    fn note_use(&mut self, update: &Update, cwnd: u32) {
        if self.model.round_start {
            self.cwnd_limited = [false, self.cwnd_limited[0]];
        }
        self.cwnd_limited[0] |= update.before.saturating_add(2 * update.mss) >= cwnd;
    }

    fn is_cwnd_limited(&self) -> bool {
        self.cwnd_limited[0] || self.cwnd_limited[1]
    }

    /// BBR section 5.3.1.2: whether the bandwidth has stopped growing.
    fn check_full_bw(&mut self, update: &Update) {
        let Some(sample) = update.sample else { return };
        if self.full_bw_now || !self.model.round_start || sample.app_limited {
            return;
        }
        if sample.rate >= self.full_bw.saturating_add(self.full_bw / 4) {
            self.restart_full_bw(sample.rate);
            return;
        }
        self.full_bw_count += 1;
        self.full_bw_now = self.full_bw_count >= FULL_BW_ROUNDS;
        self.full_bw_reached |= self.full_bw_now;
    }

    /// BBRResetFullBW, with a new mark to beat.
    pub(super) fn restart_full_bw(&mut self, rate: u64) {
        self.full_bw = rate;
        self.full_bw_count = 0;
        self.full_bw_now = false;
    }

    fn check_startup_done(&mut self, update: &Update) {
        // BBR section 5.3.1.3: a round with many losses fills the pipe too. So does a mark, which RFC 3168 section 5 wants
        // answered as a loss that it took the place of.
        let losing = self.model.loss_round_start
            && self.model.loss_events >= STARTUP_FULL_LOSSES
            && update.sample.is_some_and(|sample| is_too_much(&sample, update.mss));
        if self.state == State::Startup && !self.full_bw_reached && (losing || update.marked) {
            self.full_bw_reached = true;
            let bdp = self.model.bdp(self.model.max_bw(), 100).unwrap_or(0);
            self.model.inflight_long = bdp.max(self.model.inflight_latest);
        }
        if self.state == State::Startup && self.full_bw_reached {
            self.state = State::Drain;
        }
    }

    /// BBR section 5.3.4: lets the queue run dry when the shortest round trip is old.
    fn check_probe_rtt(&mut self, update: &Update, cwnd: u32) -> u32 {
        let mut cwnd = cwnd;
        if self.state != State::ProbeRtt && self.model.probe_rtt_expired && !self.idle_restart {
            self.prior_cwnd = self.prior_cwnd.max(cwnd);
            self.state = State::ProbeRtt;
            self.probe_rtt_done = Instant::NEVER;
            self.probe.stop();
            self.model.start_round(update.delivered);
        }
        if self.state == State::ProbeRtt {
            cwnd = self.on_probe_rtt(update, cwnd);
        }
        if update.acked > 0 {
            self.idle_restart = false;
        }
        cwnd
    }

    fn on_probe_rtt(&mut self, update: &Update, cwnd: u32) -> u32 {
        if self.probe_rtt_done.is_never() {
            if u64::from(update.in_flight) <= self.probe_rtt_window(update) {
                // BBR section 5.3.4.3: for 200 ms and a round trip.
                self.probe_rtt_done = update.now + PROBE_RTT_DURATION;
                self.probe_rtt_round_done = false;
                self.model.start_round(update.delivered);
            }
            return cwnd;
        }
        self.probe_rtt_round_done |= self.model.round_start;
        if !self.probe_rtt_round_done || update.now <= self.probe_rtt_done {
            return cwnd;
        }
        self.model.probe_rtt_min_at = update.now;
        self.model.forget_short_term();
        let restored = cwnd.max(core::mem::take(&mut self.prior_cwnd));
        if self.full_bw_reached {
            self.start_down(update);
            self.state = State::Cruise;
        } else {
            self.state = State::Startup;
        }
        restored
    }

    /// BBR section 5.6.2.
    fn set_pacing_rate(&mut self, update: &Update, cwnd: u32) {
        let mut bw = self.model.bw();
        if bw == 0 {
            // BBRInitPacingRate: no sample yet, but a round trip.
            if update.srtt.is_zero() {
                return;
            }
            bw = per_second(u64::from(cwnd), update.srtt);
        }
        let rate = scale(bw, self.state.pacing_gain() * (100 - PACING_MARGIN)) / 100;
        if self.full_bw_reached || rate > self.pacing_rate {
            self.pacing_rate = rate.max(u64::from(update.mss));
        }
    }

    /// BBR section 5.6.4: the window after an acknowledgement.
    fn next_window(&self, update: &Update, cwnd: u32) -> u32 {
        let mss = u64::from(update.mss);
        let acked = u64::from(update.acked);
        // BBR section 5.6.4.4: what was lost makes no room.
        let mut window = u64::from(cwnd).saturating_sub(u64::from(update.lost)).max(mss);
        let most = self.max_inflight(update);
        if self.full_bw_reached {
            window = (window + acked).min(most);
        } else if window < most || update.delivered < 10 * mss {
            window += acked;
        }
        window = window.max(least(update));
        if self.state == State::ProbeRtt {
            window = window.min(self.probe_rtt_window(update));
        }
        window = window.min(self.bound(update).max(least(update)));
        // No scoreboard holds more than half of the sequence space.
        window.min(1 << 30) as u32
    }

    /// BBRBoundCwndForModel.
    fn bound(&self, update: &Update) -> u64 {
        let long = match self.state {
            State::Down | State::Refill | State::Up => self.model.inflight_long,
            State::Cruise | State::ProbeRtt => self.inflight_with_headroom(update),
            State::Startup | State::Drain => UNKNOWN,
        };
        long.min(self.model.inflight_short)
    }

    /// BBRUpdateMaxInflight.
    fn max_inflight(&self, update: &Update) -> u64 {
        match self.model.bdp(self.model.bw(), self.state.cwnd_gain()) {
            Some(bdp) => self.quantize(update, bdp.saturating_add(self.model.extra_acked())),
            None => UNKNOWN,
        }
    }

    /// BBRInflight: what fills the pipe, times `percent`.
    pub(super) fn inflight(&self, update: &Update, percent: u64) -> u64 {
        match self.model.bdp(self.model.max_bw(), percent) {
            Some(bdp) => self.quantize(update, bdp),
            None => UNKNOWN,
        }
    }

    /// BBRQuantizationBudget: room for trains at the sender and for an acknowledgement of two segments at the receiver.
    fn quantize(&self, update: &Update, inflight: u64) -> u64 {
        let mss = u64::from(update.mss);
        // In this order: over the loopback two segments are more than 64 KiB.
        let quantum = (self.pacing_rate / 1_000).min(64 * 1024).max(2 * mss);
        let up = if self.state == State::Up { 2 * mss } else { 0 };
        inflight.max(3 * quantum).max(least(update)).saturating_add(up)
    }

    /// BBRInflightWithHeadroom: room for others.
    pub(super) fn inflight_with_headroom(&self, update: &Update) -> u64 {
        if self.model.inflight_long == UNKNOWN {
            return UNKNOWN;
        }
        let headroom = (self.model.inflight_long / 100 * 15).max(u64::from(update.mss));
        self.model.inflight_long.saturating_sub(headroom).max(least(update))
    }

    fn probe_rtt_window(&self, update: &Update) -> u64 {
        self.model.bdp(self.model.bw(), PROBE_RTT_CWND_GAIN).unwrap_or(0).max(least(update))
    }

    /// BBROnEnterRTO: returns the loss window, with `in_flight` bytes not given up.
    pub(crate) fn on_timeout(&mut self, cwnd: u32, in_flight: u32, mss: u32) -> u32 {
        self.prior_cwnd = self.prior_cwnd.max(cwnd);
        in_flight.saturating_add(mss)
    }

    /// Losses are repaired: returns the window of before the time-out, if there was one.
    pub(crate) fn on_recovered(&mut self, cwnd: u32) -> u32 {
        if self.state == State::ProbeRtt { cwnd } else { cwnd.max(core::mem::take(&mut self.prior_cwnd)) }
    }

    /// Nothing had been lost.
    pub(crate) fn on_spurious(&mut self, cwnd: u32) -> u32 {
        self.model.forget_short_term();
        self.model.forget_signals();
        self.on_recovered(cwnd)
    }

    /// BBR section 5.4.2: sending begins again after everything had arrived.
    pub(crate) fn on_restart(&mut self) {
        self.idle_restart = true;
        self.model.forget_aggregation();
        if self.state.probes_bw() {
            // As fast as the path is known to take, neither faster nor slower.
            self.pacing_rate = (scale(self.model.bw(), 100 - PACING_MARGIN)).max(1);
        }
    }
}

/// `value` times `percent` over a hundred.
fn scale(value: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(percent) / 100).unwrap_or(UNKNOWN)
}

/// BBR.MinPipeCwnd.
fn least(update: &Update) -> u64 {
    4 * u64::from(update.mss)
}

/// BBRIsInflightTooHigh.
fn is_too_much(sample: &RateSample, mss: u32) -> bool {
    is_beyond_chance(sample.lost, u64::from(sample.in_flight), mss)
}

/// Whether more than BBR.LossThresh of `bytes` were lost, and more than [`CHANCE`] segments. The draft leaves the second out. Of some
/// dozens of segments two in a hundred are less than one, so that the first that chance takes away would stop each probe.
fn is_beyond_chance(lost: u64, bytes: u64, mss: u32) -> bool {
    lost > (bytes * LOSS_THRESHOLD / 100).max(CHANCE * u64::from(mss))
}

#[cfg(test)]
mod tests;
