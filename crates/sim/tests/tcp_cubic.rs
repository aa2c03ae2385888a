//! CUBIC (RFC 9438) packet by packet: the window at given times against the RFC's own formula, in segments and seconds.

use std::time::Duration;

use stack::tcp::Algorithm;

use crate::tcp_script::{Bulk, MSS, RTT, block, established, millis, sack};

/// RFC 9438 sections 4.1.2 and 4.6.
const C: f64 = 0.4;
const BETA: f64 = 0.7;

/// RFC 9438 section 4.2, equations (1) and (2): W_cubic (t), after a reduction from `w_max` to `epoch`.
fn w_cubic(t: f64, w_max: f64, epoch: f64) -> f64 {
    let k = ((w_max - epoch) / C).cbrt();
    C * (t - k).powi(3) + w_max
}

/// A transfer with at least `segments` in flight, over round trips of `rtt`.
fn bulk(segments: u32, rtt: Duration) -> Bulk {
    let mut bulk = Bulk::begin(established(Algorithm::Cubic, rtt));
    bulk.grow_to(segments, rtt);
    bulk
}

/// Lets `seconds` of round trips of 100 ms pass.
fn run(bulk: &mut Bulk, seconds: f64) {
    for _ in 0..(seconds * 10.0).round() as u32 {
        bulk.round(RTT);
    }
}

#[track_caller]
fn assert_near(window: f64, expected: f64) {
    // The window follows the curve's value of one round trip ahead within a round trip.
    assert!((window - expected).abs() <= 0.02 * expected + 1.0, "{window:.1} segments, and not {expected:.1}");
}

#[test]
fn after_a_loss_the_window_is_seven_tenths() {
    // RFC 9438 section 4.6.
    let mut bulk = bulk(100, RTT);
    let before = bulk.window();
    bulk.lose_one(RTT);
    assert_near(bulk.window(), BETA * before);
    assert_eq!(bulk.puppet.info().slow_start_threshold, bulk.puppet.info().congestion_window);
}

#[test]
fn it_follows_the_cubic_curve_up_to_the_last_peak_and_beyond() {
    // RFC 9438 sections 4.2, 4.4 and 4.5.
    let mut bulk = bulk(100, RTT);
    let w_max = bulk.window();
    bulk.lose_one(RTT);
    let epoch = bulk.window();
    let mut t = 0.0;
    for step in [1.0, 1.0, 1.0, 2.0, 2.0, 1.0] {
        run(&mut bulk, step);
        t += step;
        // The window after the round of time t is on its way to the curve's value at t + RTT.
        assert_near(bulk.window(), w_cubic(t + 0.05, w_max, epoch));
    }
    assert!(bulk.window() > w_max + 5.0, "beyond the peak it grows ever faster");
}

#[test]
fn a_flow_that_had_not_reached_its_last_peak_makes_room() {
    // RFC 9438 section 4.7: W_max = cwnd * (1 + beta) / 2.
    let mut bulk = bulk(100, RTT);
    bulk.lose_one(RTT);
    run(&mut bulk, 1.0);
    let before = bulk.window();
    bulk.lose_one(RTT);
    let epoch = bulk.window();
    let w_max = before * (1.0 + BETA) / 2.0;
    run(&mut bulk, 2.0);
    assert_near(bulk.window(), w_cubic(2.05, w_max, epoch));
    run(&mut bulk, 1.5);
    assert_near(bulk.window(), w_cubic(3.55, w_max, epoch));
}

#[test]
fn where_reno_would_be_faster_it_is_reno() {
    // RFC 9438 section 4.3: alpha = 3 * (1 - beta) / (1 + beta) segments a round trip up to the last window, then one.
    let rtt = millis(10);
    let mut bulk = bulk(20, rtt);
    let before = bulk.window();
    bulk.lose_one(rtt);
    let epoch = bulk.window();
    let alpha = 3.0 * (1.0 - BETA) / (1.0 + BETA);
    for _ in 0..8 {
        bulk.round(rtt);
    }
    let window = bulk.window();
    assert!((window - (epoch + 8.0 * alpha)).abs() < 0.5, "{window:.2} after {epoch:.2}");
    while bulk.window() < before {
        bulk.round(rtt);
    }
    let window = bulk.window();
    for _ in 0..8 {
        bulk.round(rtt);
    }
    let growth = bulk.window() - window;
    assert!((7.0..=8.5).contains(&growth), "{growth:.2} in eight round trips");
}

#[test]
fn after_a_time_out_the_curve_begins_at_the_window_that_slow_start_leaves() {
    // RFC 9438 section 4.8: K = 0 and W_max = cwnd_epoch, so that Reno's estimate leads at first.
    let mut bulk = bulk(100, RTT);
    let rto = bulk.puppet.info().rto;
    bulk.puppet.run_for(2 * rto + RTT);
    assert!(bulk.puppet.info().timeouts > 0);
    // The peer has held all but the first.
    let end = bulk.acked + bulk.flight();
    bulk.acked = end;
    bulk.puppet.send(&sack(end, &[]));
    bulk.puppet.take();
    let threshold = f64::from(bulk.puppet.info().slow_start_threshold) / f64::from(MSS);
    assert!(threshold < 200.0, "the time-out was real");
    while bulk.window() < threshold {
        bulk.round(RTT);
    }
    let epoch = bulk.window();
    run(&mut bulk, 1.0);
    let alpha = 9.0 / 17.0;
    assert_near(bulk.window(), epoch + 10.0 * alpha);
}

#[test]
fn time_in_which_the_application_sends_little_does_not_count() {
    // RFC 9438 section 5.8.
    let mut bulk = bulk(100, RTT);
    bulk.lose_one(RTT);
    run(&mut bulk, 1.0);
    // What waits goes, and then a segment each 100 ms for half a minute.
    bulk.stop();
    let before = bulk.window();
    for _ in 0..300 {
        bulk.puppet.write(&[1; MSS as usize]);
        bulk.puppet.run_for(RTT);
        bulk.acked += 1;
        bulk.puppet.send(&sack(bulk.acked, &[]));
    }
    assert!((bulk.window() - before).abs() < 0.01);
    bulk.resume();
    run(&mut bulk, 0.5);
    assert!(bulk.window() < before + 12.0, "no leap: {:.1} after {before:.1}", bulk.window());
}

#[test]
fn after_an_idle_time_the_old_curve_is_forgotten() {
    // RFC 9438 section 4.10 with RFC 5681 section 4.1: slow start from the restart window up to the threshold.
    let mut bulk = bulk(100, RTT);
    bulk.lose_one(RTT);
    run(&mut bulk, 1.0);
    bulk.stop();
    let threshold = bulk.puppet.info().slow_start_threshold / MSS;
    bulk.puppet.run_for(Duration::from_secs(3600));
    bulk.resume();
    assert_eq!(bulk.flight(), 10);
    bulk.round(RTT);
    assert_eq!(bulk.flight(), 20);
    bulk.grow_to(threshold, RTT);
    let epoch = bulk.window();
    run(&mut bulk, 1.0);
    assert!(bulk.window() < epoch + 11.0, "an hour is not added at once: {:.1} after {epoch:.1}", bulk.window());
}

#[test]
fn a_reduction_that_was_for_nothing_leaves_the_curve_as_it_was() {
    // RFC 9438 section 4.9.2: W_max, K and the epoch return.
    let mut bulk = bulk(100, RTT);
    let w_max = bulk.window();
    bulk.lose_one(RTT);
    let epoch = bulk.window();
    run(&mut bulk, 2.0);
    let late = bulk.acked + 1;
    bulk.lose_one(RTT);
    bulk.puppet.send(&sack(bulk.acked, &[block(late, late)]));
    run(&mut bulk, 2.0);
    // 4.2 s into the first epoch.
    let window = bulk.window();
    let expected = w_cubic(4.25, w_max, epoch);
    assert!((window - expected).abs() < 3.0, "{window:.1} segments, and not {expected:.1}");
}
