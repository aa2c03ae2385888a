//! The window's arithmetic, at both ends of its range.

use super::*;

const MSS: u32 = 1_000;

#[test]
fn the_initial_window_follows_rfc_6928() {
    assert_eq!(initial_window(536), 5_360);
    assert_eq!(initial_window(1_460), 14_600);
    assert_eq!(initial_window(1_461), 14_600);
    assert_eq!(initial_window(4_000), 14_600);
    assert_eq!(initial_window(8_960), 17_920);
    assert_eq!(initial_window(65_495), 130_990);
}

#[test]
fn slow_start_stops_at_the_threshold_exactly() {
    let mut reno = NewReno::new(MSS);
    reno.on_loss(50 * MSS, MSS);
    reno.on_timeout(50 * MSS, MSS, false);
    for _ in 0..200 {
        let before = reno.window();
        reno.on_ack(3 * MSS, before, MSS);
        if before < 25 * MSS {
            assert!(reno.window() <= (25 * MSS).max(before + MSS));
        }
    }
    assert!(reno.window() > 25 * MSS && reno.window() < 60 * MSS);
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let mut reno = NewReno::new(MSS);
    for _ in 0..1_000 {
        reno.on_ack(MSS, 4 * MSS, MSS);
    }
    assert_eq!(reno.window(), 10 * MSS);
}

#[test]
fn the_loss_window_and_the_threshold_have_their_floors() {
    let mut reno = NewReno::new(MSS);
    for _ in 0..20 {
        reno.on_timeout(1, MSS, true);
    }
    assert_eq!((reno.window(), reno.slow_start_threshold()), (MSS, 2 * MSS));
    reno.on_partial_ack(100 * MSS, MSS);
    assert!(reno.window() >= MSS);
    reno.on_recovered(0, MSS);
    assert!(reno.window() >= MSS);
}

#[test]
fn a_second_time_out_for_the_same_data_leaves_the_threshold() {
    // RFC 5681 section 3.1, equation (4).
    let mut reno = NewReno::new(MSS);
    reno.on_timeout(40 * MSS, MSS, true);
    reno.on_timeout(MSS, MSS, false);
    assert_eq!(reno.slow_start_threshold(), 20 * MSS);
}

#[test]
fn nothing_overflows_at_the_largest_windows() {
    let mut reno = NewReno::new(65_495);
    for _ in 0..100_000 {
        reno.on_ack(u32::MAX, u32::MAX, 65_495);
        reno.inflate(65_495);
    }
    assert_eq!(reno.window(), u32::MAX);
    reno.on_loss(u32::MAX, 65_495);
    reno.on_partial_ack(u32::MAX, 65_495);
    reno.on_recovered(u32::MAX, 65_495);
    reno.on_restart(65_495);
    assert!(reno.window() > 0);
}
