//! How much may be in flight: the congestion window, one algorithm a file.
//!
//! An algorithm is told what happened and answers with a window; it knows nothing of sequence numbers' fates. Which
//! segments are lost, and how fast to send while losses are repaired, is `recovery`'s business. `hystart` ends slow start
//! before it overshoots, for every algorithm that has a slow start.

pub(crate) mod bbr;
mod cubic;
mod hystart;
mod new_reno;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use core::time::Duration;

use wire::tcp::SeqNum;

use crate::tcp::delivery_rate::per_second;
use crate::time::Instant;
use bbr::{Bbr, Update};
use cubic::Cubic;
use hystart::Hystart;
use new_reno::NewReno;

/// A congestion control algorithm, chosen per socket (TCP_CONGESTION).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// RFC 9438: the default nearly everywhere.
    #[default]
    Cubic,
    /// RFC 5681 and RFC 6582.
    NewReno,
    /// BBR version 3 (draft-ietf-ccwg-bbr): by a model of the path instead of its losses; always paced.
    Bbr,
}

impl Algorithm {
    /// The name under which TCP_CONGESTION knows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::NewReno => "reno",
            Self::Bbr => "bbr",
        }
    }

    /// The algorithm of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Cubic, Self::NewReno, Self::Bbr].into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// The initial window in bytes.
pub(crate) fn initial_window(mss: u32) -> u32 {
    // RFC 6928 section 2: min (10*MSS, max (2*MSS, 14600)).
    (10 * mss).min((2 * mss).max(14_600))
}

/// What an algorithm is told of an acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    pub now: Instant,
    /// Bytes that it acknowledged for the first time.
    pub acked: u32,
    /// Bytes in flight before it.
    pub flight: u32,
    pub mss: u32,
    /// The round trip that it measured, if it did.
    pub rtt: Option<Duration>,
    pub srtt: Duration,
    pub una: SeqNum,
    pub nxt: SeqNum,
}

/// What growth in congestion avoidance is made of; slow start is the same for all.
#[derive(Clone, Debug)]
enum Avoidance {
    Cubic(Cubic),
    NewReno(NewReno),
    Bbr(Box<Bbr>),
}

/// A connection's congestion control: what outlives an idle time, and what is needed only while data flows.
#[derive(Clone, Debug)]
pub(crate) struct Congestion {
    cwnd: u32,
    ssthresh: u32,
    algorithm: Algorithm,
    /// Made by the first acknowledgement of data, dropped by [`rest`](Self::rest).
    working: Option<Box<Working>>,
}

/// What is known of a flow that flows.
#[derive(Clone, Debug)]
struct Working {
    hystart: Hystart,
    avoidance: Avoidance,
    /// Everything as it was before the last reduction, should that prove to have been for nothing.
    prior: Option<Prior>,
    /// How the window was last used.
    full: Option<Full>,
}

/// A window that acknowledgements found full.
#[derive(Clone, Copy, Debug)]
struct Full {
    /// SND.NXT at the last of them.
    until: SeqNum,
    /// The most that was in flight at any of them, in bytes.
    flight: u32,
}

/// What a reduction changes.
#[derive(Clone, Debug)]
struct Prior {
    cwnd: u32,
    ssthresh: u32,
    hystart: Hystart,
    avoidance: Avoidance,
}

impl Working {
    fn new(algorithm: Algorithm) -> Self {
        let avoidance = match algorithm {
            Algorithm::Cubic => Avoidance::Cubic(Cubic::new()),
            Algorithm::NewReno => Avoidance::NewReno(NewReno::new()),
            Algorithm::Bbr => Avoidance::Bbr(Box::new(Bbr::new())),
        };
        Self { hystart: Hystart::new(), avoidance, prior: None, full: None }
    }
}

impl Congestion {
    pub(crate) fn new(algorithm: Algorithm, mss: u32) -> Self {
        Self {
            cwnd: initial_window(mss),
            // RFC 5681 section 3.1: the initial ssthresh is arbitrarily high.
            ssthresh: u32::MAX,
            algorithm,
            working: None,
        }
    }

    pub(crate) const fn window(&self) -> u32 {
        self.cwnd
    }

    pub(crate) const fn slow_start_threshold(&self) -> u32 {
        self.ssthresh
    }

    /// Which algorithm it is.
    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Changes the algorithm; the window stays.
    pub(crate) fn set_algorithm(&mut self, algorithm: Algorithm) {
        if algorithm != self.algorithm {
            if self.algorithm == Algorithm::Bbr {
                // What BBR's window was good for is a place to go on from, not to double.
                self.ssthresh = self.cwnd;
            }
            self.algorithm = algorithm;
            self.working = None;
        }
    }

    /// Nothing has been sent for a while: what is known of the path is too old to keep memory for. Window and threshold
    /// stay, as RFC 5681 section 4.1 has it.
    pub(crate) fn rest(&mut self) {
        self.working = None;
    }

    /// Whether [`rest`](Self::rest) would give memory back.
    pub(crate) const fn is_working(&self) -> bool {
        self.working.is_some()
    }

    const fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// Whether the window follows a model of the path: then [`on_update`](Self::on_update) sets it with every
    /// acknowledgement, and what recovery has to say of it is not heard.
    pub(crate) fn has_model(&self) -> bool {
        self.algorithm == Algorithm::Bbr
    }

    fn bbr(&mut self) -> Option<(&mut u32, &mut Bbr)> {
        if !self.has_model() {
            return None;
        }
        let algorithm = self.algorithm;
        let working = self.working.get_or_insert_with(|| Box::new(Working::new(algorithm)));
        match &mut working.avoidance {
            Avoidance::Bbr(bbr) => Some((&mut self.cwnd, bbr)),
            Avoidance::Cubic(_) | Avoidance::NewReno(_) => None,
        }
    }

    /// For a model of the path: what an acknowledgement says.
    pub(crate) fn on_update(&mut self, update: &Update) {
        if let Some((cwnd, bbr)) = self.bbr() {
            *cwnd = bbr.on_update(update, *cwnd);
        }
    }

    /// Every loss has been repaired.
    pub(crate) fn on_recovered(&mut self) {
        if let Some((cwnd, bbr)) = self.bbr() {
            *cwnd = bbr.on_recovered(*cwnd);
        }
    }

    /// For how long an idle connection's model is good.
    pub(crate) fn keeps_for(&self) -> Duration {
        if self.has_model() { bbr::LIFETIME } else { Duration::ZERO }
    }

    /// The rate at which trains leave in bytes a second, if they are paced; `None` before anything is known of the path.
    pub(crate) fn pacing_rate(&self, srtt: Duration) -> Option<u64> {
        if self.has_model() {
            return match &self.working.as_ref()?.avoidance {
                Avoidance::Bbr(bbr) => bbr.pacing_rate(),
                Avoidance::Cubic(_) | Avoidance::NewReno(_) => None,
            };
        }
        // RFC 9002 section 7.7: somewhat faster than a window a round trip, so that pacing is not what limits the flow; in
        // slow start twice as fast, as the window doubles.
        let percent = if self.cwnd < self.ssthresh / 2 { 200 } else { 120 };
        Some(per_second(u64::from(self.cwnd) * percent / 100, srtt))
    }

    /// Whether an acknowledgement of all `flight` bytes that were in flight means nothing to [`on_ack`](Self::on_ack).
    #[inline]
    pub(crate) fn has_room_for(&self, flight: u32) -> bool {
        self.working.is_none() && flight < self.cwnd / 2 && self.in_slow_start()
    }

    /// New data was acknowledged outside of recovery.
    pub(crate) fn on_ack(&mut self, ack: &Ack) {
        if self.has_model() {
            return;
        }
        let in_slow_start = self.in_slow_start();
        let Self { cwnd, ssthresh, algorithm, working } = self;
        // A window that was not used says nothing about the network: RFC 7661, RFC 9438 section 5.8.
        // An ACK of a train finds the window not quite full, and those that are taken in together find it emptier one by
        // one: whatever was in flight when it was full counts.
        let slack = ack.mss.max(*cwnd / 8);
        let used = if in_slow_start { ack.flight.saturating_mul(2) } else { ack.flight.saturating_add(slack) };
        if used < *cwnd && working.is_none() {
            return;
        }
        let Working { hystart, avoidance, full, .. } =
            &mut **working.get_or_insert_with(|| Box::new(Working::new(*algorithm)));
        let before = full.filter(|full| !ack.una.after(full.until));
        let flight = before.map_or(0, |full| full.flight).max(ack.flight);
        if used >= *cwnd {
            *full = Some(Full { until: ack.nxt, flight });
        } else if before.is_none() {
            if let Avoidance::Cubic(cubic) = avoidance {
                cubic.on_unused(ack.now);
            }
            return;
        }
        if in_slow_start {
            // RFC 5681 section 3.1: cwnd += min (N, SMSS) for each ACK; an ACK here may stand for a train of segments, whose
            // bytes are all counted (RFC 3465), as RFC 9406 section 4.3 does for senders that do not burst. None counts where
            // the window is twice of what was in flight already: of more, nothing is known of the path (RFC 7661).
            let searching = !hystart.is_over();
            let growth = hystart.on_ack(ack);
            if *cwnd < flight.saturating_mul(2) {
                *cwnd = cwnd.saturating_add(growth).min((*ssthresh).max(cwnd.saturating_add(ack.mss)));
            }
            if searching && hystart.is_over() {
                *ssthresh = *cwnd;
            }
            return;
        }
        *cwnd = match avoidance {
            Avoidance::Cubic(cubic) => cubic.grow(*cwnd, ack),
            Avoidance::NewReno(reno) => reno.grow(*cwnd, ack),
            Avoidance::Bbr(_) => *cwnd,
        };
    }

    /// A loss was found (or an ECN mark seen) with `flight` bytes outstanding: sets the threshold. The window follows it by
    /// proportional rate reduction.
    pub(crate) fn on_loss(&mut self, flight: u32, mss: u32) {
        if self.has_model() {
            return;
        }
        let Self { cwnd, ssthresh, algorithm, working } = self;
        let working = working.get_or_insert_with(|| Box::new(Working::new(*algorithm)));
        working.prior = Some(Prior {
            cwnd: *cwnd,
            ssthresh: *ssthresh,
            hystart: working.hystart.clone(),
            avoidance: working.avoidance.clone(),
        });
        // RFC 5681 section 3.2 step 2: what limited transmit sent beyond the window does not count.
        let flight = flight.min(*cwnd);
        *ssthresh = match &mut working.avoidance {
            Avoidance::Cubic(cubic) => cubic.reduce(*cwnd, flight),
            Avoidance::NewReno(reno) => reno.reduce(flight),
            Avoidance::Bbr(_) => flight,
        }
        // RFC 5681 section 3.1 (4): never below two segments.
        .max(2 * mss);
        working.hystart.end();
    }

    /// Sets the window while losses are repaired (RFC 9937), and at the end of it.
    pub(crate) fn set_window(&mut self, cwnd: u32) {
        if !self.has_model() {
            self.cwnd = cwnd;
        }
    }

    /// The retransmission timer expired; `first` for the data in question. `pipe` bytes were sent too lately to be given up.
    pub(crate) fn on_timeout(&mut self, flight: u32, pipe: u32, mss: u32, first: bool) {
        if let Some((cwnd, bbr)) = self.bbr() {
            *cwnd = bbr.on_timeout(*cwnd, pipe, mss);
            return;
        }
        // RFC 5681 section 3.1 (4): ssthresh is set when a segment is first resent by the timer, not again.
        if first {
            self.on_loss(flight, mss);
            if let Some(Avoidance::Cubic(cubic)) = self.working.as_mut().map(|working| &mut working.avoidance) {
                cubic.on_timeout();
            }
        }
        // RFC 5681 section 3.1: the loss window is one segment.
        self.cwnd = mss.saturating_add(pipe);
    }

    /// The last reduction was for nothing: what was believed lost has arrived.
    pub(crate) fn undo(&mut self) {
        if let Some((cwnd, bbr)) = self.bbr() {
            *cwnd = bbr.on_spurious(*cwnd);
            return;
        }
        let Some(working) = &mut self.working else { return };
        let Some(prior) = working.prior.take() else { return };
        // RFC 9438 section 4.9: window, threshold, and the cubic curve with its epoch, unless the window has grown beyond.
        self.cwnd = self.cwnd.max(prior.cwnd);
        self.ssthresh = prior.ssthresh;
        working.hystart = prior.hystart;
        working.avoidance = prior.avoidance;
    }

    /// A SYN or SYN-ACK was lost.
    pub(crate) fn on_syn_lost(&mut self, mss: u32) {
        // RFC 5681 section 3.1: the initial window is one segment then; ssthresh stays high (RFC 6928 section 2), so
        // that the connection's life is not crippled by its birth.
        self.cwnd = mss;
    }

    /// Something is sent again after everything had arrived.
    pub(crate) fn on_resume(&mut self) {
        if self.working.is_some()
            && let Some((_, bbr)) = self.bbr()
        {
            bbr.on_restart();
        }
    }

    /// Nothing was sent for longer than an RTO.
    pub(crate) fn on_restart(&mut self, mss: u32) {
        if self.has_model() && self.working.is_some() {
            // BBR section 5.4.2: the model holds, and pacing keeps the first flight from being a burst.
            self.on_resume();
            return;
        }
        // RFC 5681 section 4.1: RW = min (IW, cwnd).
        self.cwnd = self.cwnd.min(initial_window(mss));
        let Some(working) = &mut self.working else { return };
        working.hystart = Hystart::new();
        if let Avoidance::Cubic(cubic) = &mut working.avoidance {
            // RFC 9438 section 4.10: an epoch of before the pause means nothing.
            cubic.end_epoch();
        }
    }
}
