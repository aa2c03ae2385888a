//! RFC 6298's arithmetic.

use super::*;

const MIN: Duration = Duration::from_millis(1);
const MAX: Duration = Duration::from_secs(120);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn before_any_sample_the_time_out_is_one_second() {
    assert_eq!(RttEstimator::new().rto(MIN, MAX), millis(1_000));
}

#[test]
fn the_first_sample_sets_and_later_ones_smooth() {
    let mut rtt = RttEstimator::new();
    rtt.sample(millis(80));
    assert_eq!((rtt.smoothed(), rtt.variance()), (Some(millis(80)), millis(40)));
    assert_eq!(rtt.rto(MIN, MAX), millis(240));
    rtt.sample(millis(160));
    assert_eq!((rtt.smoothed(), rtt.variance()), (Some(millis(90)), millis(50)));
    assert_eq!(rtt.rto(MIN, MAX), millis(290));
}

#[test]
fn a_steady_path_keeps_the_time_out_above_the_round_trip() {
    let mut rtt = RttEstimator::new();
    for _ in 0..1_000 {
        rtt.sample(millis(100));
    }
    assert!(rtt.rto(MIN, MAX) > millis(100));
    assert!(rtt.rto(MIN, MAX) < millis(110));
}

#[test]
fn on_a_long_steady_path_the_time_out_keeps_half_a_round_trip_or_the_least_time_out_off_it() {
    for (round_trip, time_out) in [(150, 225), (400, 600), (2_000, 2_200)] {
        let mut rtt = RttEstimator::new();
        for _ in 0..1_000 {
            rtt.sample(millis(round_trip));
        }
        assert_eq!(rtt.rto(millis(200), MAX), millis(time_out));
    }
}

#[test]
fn back_off_doubles_up_to_the_most_and_a_sample_ends_it() {
    let mut rtt = RttEstimator::new();
    rtt.sample(millis(100));
    let mut last = rtt.rto(MIN, MAX);
    for _ in 0..8 {
        rtt.back_off();
        assert_eq!(rtt.rto(MIN, MAX), last * 2);
        last *= 2;
    }
    for _ in 0..300 {
        rtt.back_off();
    }
    assert_eq!(rtt.rto(MIN, MAX), MAX);
    rtt.sample(millis(100));
    assert!(rtt.rto(MIN, MAX) < millis(300));
}

#[test]
fn samples_of_zero_and_of_ages_break_nothing() {
    let mut rtt = RttEstimator::new();
    rtt.sample(Duration::ZERO);
    assert!(rtt.smoothed().is_some());
    rtt.sample(Duration::MAX);
    rtt.sample(Duration::MAX);
    assert_eq!(rtt.rto(MIN, MAX), MAX);
    for _ in 0..200 {
        rtt.sample(Duration::ZERO);
    }
    assert!(rtt.rto(MIN, MAX) < millis(1_000));
}

#[test]
fn a_lost_syn_makes_the_first_time_out_three_seconds() {
    let mut rtt = RttEstimator::new();
    rtt.back_off();
    rtt.on_established();
    assert_eq!(rtt.rto(MIN, MAX), millis(3_000));
    rtt.sample(millis(10));
    assert_eq!(rtt.rto(MIN, MAX), millis(30));
}
