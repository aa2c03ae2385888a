//! HyStart++ (RFC 9406): slow start ends when the round trips grow, not when the queue overflows.

use core::time::Duration;

use wire::tcp::SeqNum;

use super::Ack;

// RFC 9406 section 4.3.
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u32 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Slow start at full speed.
    SlowStart,
    /// Conservative slow start, with the round trip that it began at and the rounds it has had.
    Conservative {
        baseline: Duration,
        rounds: u8,
    },
    Over,
}

/// RFC 9406 section 4.2.
#[derive(Clone, Debug)]
pub(crate) struct Hystart {
    stage: Stage,
    /// The round ends when this is acknowledged; `None` before the first.
    window_end: Option<SeqNum>,
    last_round_min: Option<Duration>,
    current_round_min: Option<Duration>,
    samples: u32,
}

impl Hystart {
    pub(crate) const fn new() -> Self {
        Self { stage: Stage::SlowStart, window_end: None, last_round_min: None, current_round_min: None, samples: 0 }
    }

    /// Congestion was met: nothing is left to find out.
    pub(crate) fn end(&mut self) {
        self.stage = Stage::Over;
    }

    /// Whether slow start should end here.
    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// By how much the window grows for `ack` in slow start.
    pub(crate) fn on_ack(&mut self, ack: &Ack) -> u32 {
        if self.stage == Stage::Over {
            // Slow start after a loss or an idle time: nothing to watch.
            return ack.acked;
        }
        let end = *self.window_end.get_or_insert(ack.nxt);
        if let Some(rtt) = ack.rtt {
            self.current_round_min = Some(self.current_round_min.map_or(rtt, |min| min.min(rtt)));
            self.samples += 1;
        }
        self.judge();
        let growth = match self.stage {
            // RFC 9406 section 4.2: cwnd += min (N, L * SMSS) / CSS_GROWTH_DIVISOR.
            Stage::Conservative { .. } => ack.acked / CSS_GROWTH_DIVISOR,
            _ => ack.acked,
        };
        if ack.una.at_or_after(end) {
            self.begin_round(ack);
        }
        growth
    }

    /// RFC 9406 section 4.2: windowEnd is acknowledged, by what was still sent in the round that ends.
    fn begin_round(&mut self, ack: &Ack) {
        self.window_end = Some(ack.nxt);
        self.last_round_min = self.current_round_min.take();
        self.samples = 0;
        if let Stage::Conservative { rounds, .. } = &mut self.stage {
            *rounds += 1;
            if *rounds >= CSS_ROUNDS {
                // RFC 9406 section 4.2: after five rounds it is no jitter.
                self.stage = Stage::Over;
            }
        }
    }

    fn judge(&mut self) {
        let (Some(last), Some(current)) = (self.last_round_min, self.current_round_min) else { return };
        if self.samples < N_RTT_SAMPLE {
            return;
        }
        match self.stage {
            Stage::SlowStart => {
                let threshold = (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if current >= last + threshold {
                    self.stage = Stage::Conservative { baseline: current, rounds: 0 };
                }
            }
            // The round trips have shrunk again: it was jitter.
            Stage::Conservative { baseline, .. } if current < baseline => self.stage = Stage::SlowStart,
            Stage::Conservative { .. } | Stage::Over => {}
        }
    }
}
