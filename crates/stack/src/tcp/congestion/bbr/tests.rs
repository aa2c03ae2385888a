//! BBR by its variables, with acknowledgements made by hand.

use super::*;

const MSS: u32 = 1_000;
const RTT: Duration = Duration::from_millis(100);

/// A path that delivers what it is told to.
struct Path {
    now: Instant,
    delivered: u64,
    cwnd: u32,
    bbr: Bbr,
}

impl Path {
    fn new() -> Self {
        Self { now: Instant::from_secs(10), delivered: 0, cwnd: 10 * MSS, bbr: Bbr::new() }
    }

    /// A round of one acknowledgement that delivered `bytes` at `rate`.
    fn round(&mut self, bytes: u32, rate: u64) {
        self.round_with(bytes, rate, |_| {});
    }

    fn round_with(&mut self, bytes: u32, rate: u64, change: impl FnOnce(&mut Update)) {
        let prior_delivered = self.delivered;
        self.delivered += u64::from(bytes);
        self.now += RTT;
        let mut update = Update {
            now: self.now,
            mss: MSS,
            rtt: Some(RTT),
            srtt: RTT,
            acked: bytes,
            lost: 0,
            before: bytes,
            in_flight: bytes,
            delivered: self.delivered,
            sample: Some(RateSample {
                rate,
                delivered: u64::from(bytes),
                prior_delivered,
                in_flight: bytes,
                lost: 0,
                app_limited: false,
            }),
            lost_sample: None,
            marked: false,
            salt: 7,
        };
        change(&mut update);
        self.cwnd = self.bbr.on_update(&update, self.cwnd);
    }

    /// A path of a megabyte a second, known.
    fn known() -> Self {
        let mut path = Self::new();
        for _ in 0..4 {
            path.round_with(100_000, 1_000_000, queue);
        }
        assert_eq!(path.bbr.state, State::Drain);
        // BBR section 5.3.2: the queue is gone; and so there is nothing to slow down for.
        path.round(50_000, 1_000_000);
        assert_eq!(path.bbr.state, State::Cruise);
        path
    }
}

/// A queue stands on the path.
fn queue(update: &mut Update) {
    update.in_flight = 200_000;
}

#[test]
fn startup_sends_at_2_77_times_the_rate_and_ends_when_three_rounds_bring_no_quarter_more() {
    // BBR sections 5.3.1.1 and 5.3.1.2.
    let mut path = Path::new();
    for doubling in 0..4 {
        path.round(10_000 << doubling, 100_000 << doubling);
        assert_eq!(path.bbr.state, State::Startup);
        assert_eq!(path.bbr.pacing_rate(), Some((100_000 << doubling) * 277 * 99 / 10_000));
    }
    path.round_with(90_000, 900_000, queue);
    path.round_with(95_000, 950_000, queue);
    assert_eq!(path.bbr.state, State::Startup);
    path.round_with(95_000, 950_000, queue);
    assert_eq!(path.bbr.state, State::Drain);
    assert_eq!(path.bbr.pacing_rate(), Some(950_000 / 2 * 99 / 100), "BBR section 5.3.2");
}

#[test]
fn samples_of_a_silent_application_end_no_startup() {
    let mut path = Path::new();
    for _ in 0..20 {
        path.round_with(1_000, 10_000, |update| {
            if let Some(sample) = &mut update.sample {
                sample.app_limited = true;
            }
        });
    }
    assert_eq!(path.bbr.state, State::Startup);
}

#[test]
fn a_round_of_many_losses_and_a_mark_end_startup() {
    // BBR section 5.3.1.3; RFC 3168 section 5.
    let mut path = Path::new();
    path.round(10_000, 100_000);
    path.round_with(20_000, 200_000, |update| {
        update.marked = true;
        queue(update);
    });
    assert_eq!(path.bbr.state, State::Drain);
    assert_eq!(path.bbr.model.inflight_long, 20_000);

    let mut path = Path::new();
    path.round(10_000, 100_000);
    for _ in 0..5 {
        path.round_with(1_000, 0, |update| {
            update.lost = MSS;
            update.sample = None;
        });
    }
    path.round_with(40_000, 400_000, |update| {
        update.lost = MSS;
        queue(update);
        if let Some(sample) = &mut update.sample {
            sample.lost = 6_000;
        }
    });
    assert_eq!(path.bbr.state, State::Drain);
}

#[test]
fn the_cycle_goes_from_down_to_cruise_to_refill_to_up_and_down_again() {
    // BBR section 5.3.3.
    let mut path = Path::known();
    assert_eq!(path.bbr.pacing_rate(), Some(1_000_000 * 99 / 100));
    let begun = path.now;
    while path.bbr.state == State::Cruise {
        path.round(99_000, 1_000_000);
    }
    let cruised = path.now.since(begun);
    assert!((Duration::from_millis(1_900)..Duration::from_millis(3_100)).contains(&cruised), "{cruised:?}");
    assert_eq!(path.bbr.state, State::Refill);
    path.round(99_000, 1_000_000);
    assert_eq!(path.bbr.state, State::Up);
    assert_eq!(path.bbr.pacing_rate(), Some(1_000_000 * 125 * 99 / 10_000));
    let mut rounds = 0;
    while path.bbr.state == State::Up {
        path.round_with(100_000, 1_000_000, queue);
        rounds += 1;
    }
    assert_eq!(rounds, 3, "until the bandwidth has not grown for three rounds");
    assert_eq!(path.bbr.state, State::Down);
    assert_eq!(path.bbr.pacing_rate(), Some(1_000_000 * 90 * 99 / 10_000));
    path.round_with(100_000, 1_000_000, queue);
    assert_eq!(path.bbr.state, State::Down, "until the queue is gone");
    path.round(80_000, 1_000_000);
    assert_eq!(path.bbr.state, State::Cruise);
}

#[test]
fn a_probe_that_loses_too_much_bounds_the_flight_and_ends() {
    // BBR section 5.3.3.6: more than two in a hundred.
    let mut path = Path::known();
    while path.bbr.state != State::Up {
        path.round(80_000, 1_000_000);
    }
    path.round_with(100_000, 1_000_000, |update| {
        update.lost = 5_000;
        update.lost_sample = Some(RateSample {
            rate: 0,
            delivered: 0,
            prior_delivered: 0,
            in_flight: 120_000,
            lost: 5_000,
            app_limited: false,
        });
    });
    assert_eq!(path.bbr.state, State::Down);
    // 115,000 had been in flight before the losses, and 2,346 more of them would have been allowed.
    assert_eq!(path.bbr.model.inflight_long, 115_000 + 115_000 * 2 / 98);
}

#[test]
fn of_a_small_flight_two_segments_may_be_lost_by_chance() {
    // BBR section 5.5.10.2 asks for more than two in a hundred alone; see docs/decisions.md.
    let probe_loses = |lost: u32| {
        let mut path = Path::known();
        while path.bbr.state != State::Up {
            path.round(20_000, 1_000_000);
        }
        path.round_with(20_000, 1_000_000, |update| {
            update.lost = lost;
            update.lost_sample = Some(RateSample {
                rate: 0,
                delivered: 0,
                prior_delivered: 0,
                in_flight: 25_000,
                lost: u64::from(lost),
                app_limited: false,
            });
        });
        path.bbr.state
    };
    assert_eq!(probe_loses(2 * MSS), State::Up);
    assert_ne!(probe_loses(3 * MSS), State::Up);

    let mut path = Path::known();
    path.round(20_000, 500_000);
    path.round_with(20_000, 500_000, |update| update.lost = 2 * MSS);
    assert_eq!(path.bbr.model.bw(), 1_000_000);
    path.round_with(20_000, 500_000, |update| update.lost = 3 * MSS);
    assert!(path.bbr.model.bw() < 1_000_000);
}

#[test]
fn a_round_with_few_losses_lowers_nothing_and_one_with_many_lowers_to_what_was_delivered() {
    // BBR section 5.5.10.3, from BBR.LossThresh on.
    let mut path = Path::known();
    path.round(80_000, 1_000_000);
    path.round_with(99_000, 990_000, |update| update.lost = 1_000);
    assert_eq!(path.bbr.model.bw(), 1_000_000);
    path.round_with(90_000, 900_000, |update| update.lost = 10_000);
    assert_eq!(path.bbr.model.bw(), 990_000, "the best of this round and the last");
    path.round_with(10_000, 100_000, |update| update.lost = 90_000);
    path.round_with(10_000, 100_000, |update| update.lost = 90_000);
    assert!(path.bbr.model.bw() >= 990_000 * 49 / 100, "three tenths a round at most: {}", path.bbr.model.bw());
    assert_eq!(path.bbr.model.max_bw(), 1_000_000, "which the next probe goes back to");
}

#[test]
fn the_window_is_never_less_than_four_segments_nor_more_than_a_scoreboard_holds() {
    let mut path = Path::known();
    for _ in 0..50 {
        path.round_with(MSS, 1, |update| update.lost = u32::MAX);
    }
    assert_eq!(path.cwnd, 4 * MSS);
    let mut path = Path::new();
    for _ in 0..200 {
        path.round(u32::MAX, u64::MAX);
    }
    assert!(path.cwnd <= 1 << 30);
    path.bbr.on_restart();
    path.round(u32::MAX, u64::MAX);
}

#[test]
fn a_time_out_leaves_a_segment_and_the_end_of_recovery_restores_the_window() {
    // BBR section 5.6.4.4.
    let mut path = Path::known();
    let before = path.cwnd;
    path.cwnd = path.bbr.on_timeout(path.cwnd, 3_000, MSS);
    assert_eq!(path.cwnd, 4_000);
    assert_eq!(path.bbr.on_recovered(path.cwnd), before);
}

#[test]
fn counters_that_begin_anew_after_a_rest_stop_no_rounds() {
    let mut path = Path::known();
    path.delivered = 0;
    let rounds = path.bbr.model.rounds;
    path.round(80_000, 1_000_000);
    path.round(80_000, 1_000_000);
    assert!(path.bbr.model.rounds > rounds);
}
