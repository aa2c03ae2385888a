//! The algorithms by their formulas.

use core::time::Duration;

use wire::tcp::SeqNum;

use super::*;

const MSS: u32 = 1000;

fn ack(now: Instant, acked: u32, flight: u32) -> Ack {
    let srtt = Duration::from_millis(100);
    Ack { now, acked, flight, mss: MSS, rtt: Some(srtt), srtt, una: SeqNum(0), nxt: SeqNum(0) }
}

/// Grows a full window for `rounds` round trips of 100 ms.
fn grow(congestion: &mut Congestion, now: &mut Instant, rounds: u32) {
    for _ in 0..rounds {
        let mut acknowledged = 0;
        let flight = congestion.window();
        while acknowledged < flight {
            congestion.on_ack(&ack(*now, MSS, congestion.window()));
            acknowledged += MSS;
        }
        *now += Duration::from_millis(100);
    }
}

#[test]
fn the_initial_window_is_ten_segments_or_what_14600_bytes_hold() {
    // RFC 6928 section 2.
    assert_eq!(initial_window(1000), 10_000);
    assert_eq!(initial_window(1460), 14_600);
    assert_eq!(initial_window(8948), 17_896);
    assert_eq!(initial_window(536), 5_360);
}

#[test]
fn new_reno_grows_by_a_segment_a_round_trip_and_halves() {
    // RFC 5681 section 3.1.
    let mut reno = Congestion::new(Algorithm::NewReno, MSS);
    let mut now = Instant::from_secs(1);
    reno.set_window(20_000);
    reno.on_loss(20_000, MSS);
    assert_eq!(reno.slow_start_threshold(), 10_000);
    reno.set_window(10_000);
    grow(&mut reno, &mut now, 10);
    assert!((19_000..=20_000).contains(&reno.window()), "{}", reno.window());
}

#[test]
fn cubic_reaches_its_last_peak_after_k_seconds_and_stays_there_a_while() {
    // RFC 9438 section 4.2: with W_max = 100 segments and beta = 0.7, K = (30 / 0.4)^(1/3) = 4.217 s.
    let mut cubic = Congestion::new(Algorithm::Cubic, MSS);
    let mut now = Instant::from_secs(1);
    cubic.set_window(100_000);
    cubic.on_loss(100_000, MSS);
    assert_eq!(cubic.slow_start_threshold(), 70_000);
    cubic.set_window(70_000);
    grow(&mut cubic, &mut now, 21);
    assert!((80_000..97_000).contains(&cubic.window()), "half-way: {}", cubic.window());
    grow(&mut cubic, &mut now, 22);
    assert!((97_000..103_000).contains(&cubic.window()), "at K: {}", cubic.window());
    grow(&mut cubic, &mut now, 60);
    assert!(cubic.window() > 180_000, "beyond K: {}", cubic.window());
}

#[test]
fn cubic_gives_way_when_it_had_not_reached_its_last_peak() {
    // RFC 9438 section 4.7: W_max = cwnd * (1 + beta) / 2.
    let mut cubic = Congestion::new(Algorithm::Cubic, MSS);
    cubic.set_window(100_000);
    cubic.on_loss(100_000, MSS);
    cubic.set_window(80_000);
    cubic.on_loss(80_000, MSS);
    cubic.set_window(56_000);
    let mut now = Instant::from_secs(1);
    grow(&mut cubic, &mut now, 20);
    assert!((64_000..70_000).contains(&cubic.window()), "the peak is at 68,000 now: {}", cubic.window());
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    // RFC 9438 section 5.8; RFC 7661.
    for algorithm in [Algorithm::Cubic, Algorithm::NewReno] {
        let mut congestion = Congestion::new(algorithm, MSS);
        let mut now = Instant::from_secs(1);
        congestion.set_window(100_000);
        congestion.on_loss(100_000, MSS);
        congestion.set_window(congestion.slow_start_threshold());
        let window = congestion.window();
        for _ in 0..10_000 {
            congestion.on_ack(&ack(now, MSS, 2_000));
            now += Duration::from_secs(60);
        }
        assert_eq!(congestion.window(), window);
        // The weeks that have passed do not make the first used window jump.
        congestion.on_ack(&ack(now, MSS, window));
        assert!(congestion.window() <= window + MSS, "{algorithm:?}");
    }
}

#[test]
fn the_largest_windows_and_the_longest_times_overflow_nothing() {
    let mut cubic = Congestion::new(Algorithm::Cubic, 65_535);
    cubic.set_window(u32::MAX - 1);
    cubic.on_loss(u32::MAX, 65_535);
    cubic.set_window(cubic.slow_start_threshold());
    let mut last = cubic.window();
    for seconds in [1, 1_000, 1_000_000, 1 << 40] {
        let now = Instant::from_secs(seconds);
        cubic.on_ack(&Ack { acked: u32::MAX, mss: 65_535, ..ack(now, 0, u32::MAX) });
        assert!(cubic.window() >= last);
        last = cubic.window();
    }
}

#[test]
fn the_loss_window_and_the_threshold_have_their_floors() {
    let mut reno = Congestion::new(Algorithm::NewReno, MSS);
    for _ in 0..20 {
        reno.on_timeout(1, 0, MSS, true);
    }
    assert_eq!((reno.window(), reno.slow_start_threshold()), (MSS, 2 * MSS));
}

#[test]
fn a_second_time_out_for_the_same_data_leaves_the_threshold() {
    // RFC 5681 section 3.1, equation (4).
    let mut reno = Congestion::new(Algorithm::NewReno, MSS);
    reno.set_window(40 * MSS);
    reno.on_timeout(40 * MSS, 0, MSS, true);
    reno.on_timeout(MSS, 0, MSS, false);
    assert_eq!(reno.slow_start_threshold(), 20 * MSS);
}

#[test]
fn a_reduction_that_was_for_nothing_is_taken_back() {
    for algorithm in [Algorithm::Cubic, Algorithm::NewReno] {
        let mut congestion = Congestion::new(algorithm, MSS);
        congestion.set_window(40 * MSS);
        congestion.on_timeout(40 * MSS, 0, MSS, true);
        congestion.undo();
        assert_eq!((congestion.window(), congestion.slow_start_threshold()), (40 * MSS, u32::MAX), "{algorithm:?}");
    }
}

#[test]
fn nothing_overflows_at_the_largest_windows() {
    for algorithm in [Algorithm::Cubic, Algorithm::NewReno] {
        let mut congestion = Congestion::new(algorithm, 65_495);
        let largest = Ack { acked: u32::MAX, mss: 65_495, ..ack(Instant::from_secs(1), 0, u32::MAX) };
        for _ in 0..100_000 {
            congestion.on_ack(&largest);
        }
        assert!(congestion.window() >= 1 << 31, "{algorithm:?}: {}", congestion.window());
        congestion.on_loss(u32::MAX, 65_495);
        congestion.on_restart(65_495);
        assert!(congestion.window() > 0);
    }
}

#[test]
fn slow_start_after_a_loss_goes_up_to_the_threshold() {
    let mut reno = Congestion::new(Algorithm::NewReno, MSS);
    let mut now = Instant::from_secs(1);
    reno.on_timeout(10_000, 0, MSS, true);
    assert_eq!((reno.window(), reno.slow_start_threshold()), (1_000, 5_000));
    grow(&mut reno, &mut now, 3);
    assert_eq!((reno.window(), reno.slow_start_threshold()), (5_000, 5_000));
}

#[test]
fn slow_start_ends_when_round_trips_grow_and_goes_on_when_it_was_jitter() {
    // RFC 9406 section 4.2.
    let round = |hystart: &mut Hystart, number: u32, millis: u64| {
        let mut growth = 0;
        for sample in 0..10 {
            let ack = Ack {
                rtt: Some(Duration::from_millis(millis)),
                una: SeqNum(number * 10 + sample),
                nxt: SeqNum(number * 10 + 10),
                ..ack(Instant::from_secs(1), MSS, 1 << 20)
            };
            growth += hystart.on_ack(&ack);
        }
        growth
    };
    let mut hystart = Hystart::new();
    round(&mut hystart, 0, 50);
    assert_eq!(round(&mut hystart, 1, 50), 10 * MSS);
    assert!(round(&mut hystart, 2, 60) < 10 * MSS, "conservative from the eighth sample on");
    assert_eq!(round(&mut hystart, 3, 61), 10 * MSS / 4);
    assert!(!hystart.is_over());
    assert!(round(&mut hystart, 4, 50) > 10 * MSS / 4, "the round trips have shrunk again");
    round(&mut hystart, 5, 80);
    for number in 6..11 {
        round(&mut hystart, number, 80);
    }
    assert!(hystart.is_over(), "after five conservative rounds");
}

#[test]
fn acknowledgements_that_are_taken_in_together_all_count() {
    // The window was full when they were sent for; nothing could be sent between them.
    let mut reno = Congestion::new(Algorithm::NewReno, MSS);
    let now = Instant::from_secs(1);
    reno.set_window(20_000);
    reno.on_loss(20_000, MSS);
    reno.set_window(10_000);
    for n in 0..5 {
        let (una, nxt) = (SeqNum(2_000 * (n + 1)), SeqNum(10_000));
        reno.on_ack(&Ack { una, nxt, ..ack(now, 2 * MSS, 10_000 - 2_000 * n) });
    }
    assert_eq!(reno.window(), 11_000);
    // What is sent into a window that is never full says nothing, and neither do its acknowledgements.
    for n in 5..25 {
        let (una, nxt) = (SeqNum(2_000 * (n + 1)), SeqNum(2_000 * (n + 1)));
        reno.on_ack(&Ack { una, nxt, ..ack(now, 2 * MSS, 2 * MSS) });
    }
    assert_eq!(reno.window(), 11_000);
}

#[test]
fn slow_start_goes_no_further_than_twice_of_what_was_in_flight() {
    // RFC 7661: a window of which less than half was used is not validated.
    let window_after = |flight: u32| {
        let mut reno = Congestion::new(Algorithm::NewReno, MSS);
        assert_eq!(reno.window(), 10_000);
        for n in 0..flight {
            let (una, nxt) = (SeqNum(MSS * (n + 1)), SeqNum(MSS * flight));
            reno.on_ack(&Ack { una, nxt, ..ack(Instant::from_secs(1), MSS, MSS * (flight - n)) });
        }
        reno.window()
    };
    assert_eq!([4, 5, 6, 8, 10].map(window_after), [10_000, 10_000, 12_000, 16_000, 20_000]);
    // One acknowledgement of all is asked once, as Linux does.
    let mut reno = Congestion::new(Algorithm::NewReno, MSS);
    reno.set_window(20_000);
    reno.on_ack(&Ack { una: SeqNum(16_000), nxt: SeqNum(16_000), ..ack(Instant::from_secs(1), 16_000, 16_000) });
    assert_eq!(reno.window(), 36_000);
}
