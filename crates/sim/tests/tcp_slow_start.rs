//! Slow start: the initial window (RFC 6928), growth by bytes (RFC 3465), its end by HyStart++ (RFC 9406), the restart after
//! an idle time (RFC 5681 section 4.1), and limited transmit (RFC 3042).

use sim::Puppet;
use sim::puppet::seg;
use stack::tcp::Algorithm;

use crate::tcp_script::{Bulk, MSS, RTT, block, established, established_by, millis, numbers, sack, write};

const BOTH: [Algorithm; 2] = [Algorithm::Cubic, Algorithm::NewReno];

fn bulk(algorithm: Algorithm) -> Bulk {
    Bulk::begin(established(algorithm, RTT))
}

/// The flights of round trips that took so many milliseconds.
fn flights(bulk: &mut Bulk, rtts: &[u64]) -> Vec<u32> {
    let round = |&rtt: &u64| {
        bulk.round(millis(rtt));
        bulk.flight()
    };
    rtts.iter().map(round).collect()
}

#[test]
fn ten_segments_begin_and_each_round_trip_doubles_them() {
    // RFC 6928 section 2; RFC 5681 section 3.1.
    for algorithm in BOTH {
        let mut bulk = bulk(algorithm);
        assert_eq!(bulk.flight(), 10);
        assert_eq!(flights(&mut bulk, &[100; 4]), [20, 40, 80, 160]);
    }
}

#[test]
fn a_peer_that_acknowledges_every_second_segment_slows_nothing() {
    // RFC 3465 section 2.1: growth counts bytes, not acknowledgements.
    let mut slow = bulk(Algorithm::NewReno);
    slow.stretch = 2;
    assert_eq!(flights(&mut slow, &[100; 3]), [20, 40, 80]);
    slow.lose_one(RTT);
    let before = slow.window();
    for _ in 0..5 {
        slow.round(RTT);
    }
    let growth = slow.window() - before;
    assert!((4.0..=5.0).contains(&growth), "RFC 5681 section 3.1: a segment a round trip, not {growth}");
}

#[test]
fn round_trips_that_grow_by_an_eighth_make_it_conservative() {
    // RFC 9406 section 4.2: RttThresh = max (4 ms, min (lastRoundMinRTT / 8, 16 ms)), here 12.5 ms; then a quarter of the
    // growth. The eighth sample of the round tells.
    for algorithm in BOTH {
        let mut below = bulk(algorithm);
        assert_eq!(flights(&mut below, &[100, 112, 124, 136]), [20, 40, 80, 160], "{algorithm:?}");
        let mut above = bulk(algorithm);
        assert_eq!(flights(&mut above, &[100, 113]), [20, 20 + 7 + 13 / 4], "{algorithm:?}");
    }
}

#[test]
fn the_threshold_is_four_milliseconds_at_least_and_sixteen_at_most() {
    // RFC 9406 section 4.3: MIN_RTT_THRESH, MAX_RTT_THRESH.
    let mut short = Bulk::begin(established(Algorithm::Cubic, millis(8)));
    assert_eq!(flights(&mut short, &[8, 11, 14]), [20, 40, 80]);
    let mut short = Bulk::begin(established(Algorithm::Cubic, millis(8)));
    assert!(flights(&mut short, &[8, 12])[1] <= 30);
    let mut long = Bulk::begin(established(Algorithm::Cubic, millis(400)));
    assert_eq!(flights(&mut long, &[400, 415, 430]), [20, 40, 80]);
    let mut long = Bulk::begin(established(Algorithm::Cubic, millis(400)));
    assert!(flights(&mut long, &[400, 416])[1] <= 30);
}

#[test]
fn when_the_round_trips_shrink_again_it_was_jitter() {
    // RFC 9406 section 4.2: currentRoundMinRTT < cssBaselineMinRtt.
    let mut bulk = bulk(Algorithm::Cubic);
    let conservative = flights(&mut bulk, &[100, 120])[1];
    let resumed = flights(&mut bulk, &[119, 119]);
    assert!(resumed[0] > conservative + conservative / 2, "from the eighth sample on");
    assert_eq!(resumed[1], 2 * resumed[0]);
    assert_eq!(bulk.puppet.info().slow_start_threshold, u32::MAX);
}

#[test]
fn five_conservative_rounds_end_it() {
    // RFC 9406 sections 4.2 and 4.3: CSS_ROUNDS; the round in which it began counts.
    for algorithm in BOTH {
        let mut bulk = bulk(algorithm);
        flights(&mut bulk, &[100, 120, 120, 120, 120]);
        assert_eq!(bulk.puppet.info().slow_start_threshold, u32::MAX, "{algorithm:?}");
        flights(&mut bulk, &[120, 120]);
        let info = bulk.puppet.info();
        assert!(info.slow_start_threshold <= info.congestion_window, "{algorithm:?}: {info:?}");
        assert_eq!(info.retransmissions, 0);
    }
}

#[test]
fn seven_samples_in_a_round_say_nothing() {
    // RFC 9406 section 4.3: N_RTT_SAMPLE is 8.
    let mut bulk = bulk(Algorithm::Cubic);
    bulk.stretch = 3;
    assert_eq!(flights(&mut bulk, &[100, 180]), [20, 40], "seven acknowledgements a round");
}

#[test]
fn after_an_idle_time_of_more_than_a_time_out_the_window_restarts() {
    // RFC 5681 section 4.1: RW = min (IW, cwnd).
    for (more, expected) in [(0, 160), (1, 10)] {
        let mut bulk = bulk(Algorithm::NewReno);
        flights(&mut bulk, &[100; 4]);
        bulk.stop();
        let rto = bulk.puppet.info().rto;
        let since_sent = RTT;
        bulk.puppet.run_for(rto + millis(more) - since_sent);
        bulk.resume();
        let window = bulk.puppet.info().congestion_window / MSS;
        assert!(if more == 0 { window >= expected } else { window == expected }, "{window} segments");
        assert_eq!(bulk.puppet.info().slow_start_threshold, u32::MAX);
    }
}

#[test]
fn a_window_that_the_application_does_not_fill_does_not_grow() {
    // RFC 7661 section 4.2; RFC 9438 section 5.8.
    for algorithm in BOTH {
        let mut puppet = established(algorithm, RTT);
        for n in 1..100 {
            write(&mut puppet, 1);
            puppet.run_for(RTT);
            puppet.send(&sack(n, &[]));
        }
        assert_eq!(puppet.info().congestion_window, 10 * MSS, "{algorithm:?}");
    }
}

/// Ten segments in flight and more that waits.
fn ten() -> Puppet {
    let mut puppet = established(Algorithm::NewReno, RTT);
    write(&mut puppet, 30);
    puppet.run_for(RTT);
    puppet
}

#[test]
fn each_of_the_first_two_duplicates_lets_a_new_segment_go_without_a_larger_window() {
    // RFC 3042 section 2; RFC 6675 section 5, step 3.
    let mut puppet = ten();
    puppet.send(&sack(0, &[block(2, 2)]));
    assert_eq!(numbers(&mut puppet), [11]);
    puppet.send(&sack(0, &[block(2, 3)]));
    assert_eq!(numbers(&mut puppet), [12]);
    assert_eq!(puppet.info().congestion_window, 10 * MSS);
}

#[test]
fn a_duplicate_that_reports_nothing_new_lets_nothing_go() {
    // RFC 3042 section 2: with SACK, only for new SACK information.
    let mut puppet = ten();
    puppet.send(&sack(0, &[block(2, 2)]));
    puppet.take();
    for _ in 0..5 {
        puppet.send(&sack(0, &[block(2, 2)]));
    }
    assert_eq!(puppet.lines(), [""; 0]);
}

#[test]
fn limited_transmit_stays_within_the_peers_window() {
    // RFC 3042 section 2: the receiver's advertised window allows it.
    let mut puppet = established_by(Algorithm::NewReno, RTT, seg(0).mss(1460).sack_permitted());
    let ack = |blocks: &[(u32, u32)]| sack(0, blocks).window(14_600);
    puppet.send(&ack(&[]));
    write(&mut puppet, 30);
    puppet.run_for(RTT);
    puppet.send(&ack(&[block(2, 2)]));
    puppet.send(&ack(&[block(2, 3)]));
    assert_eq!(puppet.lines(), [""; 0]);
}

#[test]
fn windows_are_counted_in_the_size_that_segments_have() {
    // RFC 5681 section 2: SMSS is what the sender sends, options excluded (RFC 6691 section 2), whatever the peer would take.
    let syn = seg(0).mss(8_960).sack_permitted().timestamps(1, 0).scale(7);
    let mut puppet = established_by(Algorithm::NewReno, RTT, syn);
    puppet.write(&[1; 200_000]);
    let size = 1_448;
    let ack = |n: u32| seg(1).ack(1 + n * size).timestamps(2, 0);
    let flight = puppet.take();
    assert_eq!(flight.iter().map(|seen| seen.text.len() as u32).collect::<Vec<_>>(), [size; 10]);
    puppet.run_for(RTT);
    for n in 1..=10 {
        puppet.send(&ack(n));
    }
    assert_eq!(puppet.info().congestion_window, 20 * size);
    puppet.run_for(RTT);
    puppet.send(&ack(10).sack(&[(1 + 11 * size, 1 + 30 * size)]));
    assert_eq!(puppet.info().slow_start_threshold, 10 * size);
    puppet.send(&ack(30));
    assert_eq!(puppet.info().congestion_window, 10 * size);
    let mut acked = 30;
    for _ in 0..5 {
        puppet.run_for(RTT);
        for _ in 0..puppet.info().in_flight / size {
            acked += 1;
            puppet.send(&ack(acked));
        }
    }
    let window = puppet.info().congestion_window;
    assert!((14 * size..=15 * size).contains(&window), "a segment a round trip: {window}");
}
