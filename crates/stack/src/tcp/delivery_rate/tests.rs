//! Rates by their formula.

use wire::tcp::SeqNum;

use super::*;

const NO_MINIMUM: Duration = Duration::ZERO;

fn at(millis: u64) -> Instant {
    Instant::from_millis(10_000 + millis)
}

fn left(millis: u64) -> Option<Arrival> {
    Some(Arrival { sent_at: at(millis), end: SeqNum(0), resent: false })
}

#[test]
fn the_rate_is_what_arrived_over_the_longer_of_sending_and_acknowledging() {
    // Draft-cheng-iccrg-delivery-rate-estimation section 3.1: ten segments at once, acknowledged one a millisecond.
    let mut rate = DeliveryRate::new(true);
    rate.on_sent(at(0), 0, 10_000);
    for millis in 0..10 {
        let sample = rate.on_delivered(at(50 + millis), 1_000, left(0), Some(at(0)), NO_MINIMUM);
        let sample = sample.expect("each arrival is a sample");
        assert_eq!(sample.rate, (millis + 1) * 1_000 * 1_000 / (50 + millis));
        rate.on_sent(at(50 + millis), 9_000, 10_000);
    }
    // What left when the first was acknowledged, and then one a millisecond: a megabyte a second.
    let sample = rate.on_delivered(at(100), 1_000, left(50), Some(at(51)), NO_MINIMUM).expect("a sample");
    assert_eq!((sample.delivered, sample.prior_delivered), (10_000, 1_000));
    assert_eq!(sample.rate, 10_000 * 1_000 / 50);
    assert_eq!(sample.in_flight, 10_000);
}

#[test]
fn compressed_acknowledgements_do_not_look_fast_when_sending_took_longer() {
    // Section 3.1: the longer of both intervals.
    let mut rate = DeliveryRate::new(true);
    for millis in 0..10 {
        rate.on_sent(at(millis * 10), (millis * 1_000) as u32, (millis * 1_000 + 1_000) as u32);
    }
    rate.on_delivered(at(95), 1_000, left(0), Some(at(10)), NO_MINIMUM);
    // The other nine are acknowledged within a millisecond.
    let sample = rate.on_delivered(at(96), 9_000, left(90), None, NO_MINIMUM).expect("a sample");
    assert!(sample.rate <= 10_000 * 1_000 / 90, "{sample:?}");
}

#[test]
fn a_sample_shorter_than_any_round_trip_says_nothing() {
    let mut rate = DeliveryRate::new(true);
    rate.on_sent(at(0), 0, 1_000);
    let sample = rate.on_delivered(at(5), 1_000, left(0), None, Duration::from_millis(20)).expect("a sample");
    assert_eq!(sample.rate, 0);
    assert_eq!(rate.last(&Turns::NONE, 0), None);
}

#[test]
fn what_left_while_the_application_was_silent_is_marked_until_it_has_arrived() {
    // Section 3.4.
    let mut rate = DeliveryRate::new(true);
    rate.on_sent(at(0), 0, 2_000);
    rate.on_app_limited(2_000);
    rate.on_sent(at(10), 2_000, 4_000);
    let first = rate.on_delivered(at(50), 2_000, left(0), Some(at(10)), NO_MINIMUM).expect("a sample");
    assert!(!first.app_limited, "it left before");
    let second = rate.on_delivered(at(60), 2_000, left(10), None, NO_MINIMUM).expect("a sample");
    assert!(second.app_limited);
    rate.on_sent(at(70), 0, 1_000);
    let third = rate.on_delivered(at(120), 1_000, left(70), None, NO_MINIMUM).expect("a sample");
    assert!(!third.app_limited);
}

#[test]
fn what_was_lost_since_a_departure_is_told() {
    let mut rate = DeliveryRate::new(true);
    rate.on_sent(at(0), 0, 5_000);
    rate.on_sent(at(1), 5_000, 9_000);
    let lost = rate.on_lost(at(50), 2_000, at(0)).expect("a departure that is known");
    assert_eq!((lost.lost, lost.in_flight), (2_000, 5_000));
    let sample = rate.on_delivered(at(51), 4_000, left(1), None, NO_MINIMUM).expect("a sample");
    assert_eq!((sample.lost, sample.in_flight), (2_000, 9_000));
}

#[test]
fn without_bbr_one_departure_a_round_trip_is_followed() {
    let mut rate = DeliveryRate::new(false);
    rate.on_sent(at(0), 0, 1_000);
    for millis in 1..100 {
        rate.on_sent(at(millis), 1_000, 2_000);
        assert_eq!(rate.single.map(|departure| departure.at), Some(at(0)));
    }
    rate.on_delivered_seldom(at(100), 50_000, left(50), NO_MINIMUM);
    assert_eq!(rate.last(&Turns::NONE, 0), Some((500_000, false)));
    rate.on_delivered_seldom(at(101), 50_000, left(99), NO_MINIMUM);
    assert_eq!(rate.last(&Turns::NONE, 0), Some((500_000, false)), "nothing was followed since");
}

#[test]
fn any_number_of_departures_takes_bounded_memory() {
    let mut rate = DeliveryRate::new(true);
    for millis in 0..100_000 {
        rate.on_sent(at(millis), 1_000, 2_000);
        assert!(rate.followed.as_ref().is_some_and(|followed| followed.len() <= MOST));
    }
    let sample = rate.on_delivered(at(100_000), 1_000, left(50_001), Some(at(50_002)), NO_MINIMUM);
    assert!(sample.is_some(), "one that was forgotten counts as the next");
}
