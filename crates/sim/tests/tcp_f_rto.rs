//! After a time-out: whether it was spurious (F-RTO, RFC 5682), the back-off and its end (RFC 6298), and reductions taken
//! back because the peer reports duplicates (RFC 2883, RFC 9438 section 4.9). Every round trip is 100 ms, so that the
//! first time-out is 300 ms.

use std::time::Duration;

use sim::Puppet;
use sim::puppet::seg;
use stack::tcp::Algorithm;

use crate::tcp_script::{Bulk, MSS, RTT, block, established, established_by, line, millis, numbers, sack, write};

/// Ten segments in flight at 0.100, more waiting, no answer; with SACK, the probe has gone at 0.300 and the timer expired at
/// 0.600, without, at 0.400. The first goes again.
fn timed_out(with_sack: bool, segments: u32) -> Puppet {
    let syn = seg(0).mss(1460).scale(7);
    let syn = if with_sack { syn.sack_permitted() } else { syn };
    let mut puppet = established_by(Algorithm::NewReno, RTT, syn);
    write(&mut puppet, segments);
    while puppet.info().timeouts == 0 {
        puppet.take();
        puppet.run_for(millis(1));
    }
    assert_eq!(numbers(&mut puppet), [1]);
    let info = puppet.info();
    assert_eq!(info.congestion_window, MSS, "RFC 5681 section 3.1: the loss window");
    assert_eq!(info.slow_start_threshold, 5 * MSS, "RFC 5681 section 3.1: half of what was in flight");
    puppet
}

#[test]
fn a_time_out_that_late_acks_show_to_be_spurious_is_taken_back() {
    for with_sack in [true, false] {
        let mut puppet = timed_out(with_sack, 30);
        // What SACK's probe sent, the others did not.
        let next = if with_sack { 12 } else { 11 };
        // RFC 5682 section 2.1 step 2b: the first ACK that advances lets two new segments go, and nothing old.
        puppet.run_for(millis(10));
        puppet.send(&sack(1, &[]));
        assert_eq!(numbers(&mut puppet), [next, next + 1]);
        // Step 3b: the second one too; the time-out was for nothing.
        puppet.send(&sack(2, &[]));
        let info = puppet.info();
        assert_eq!((info.lost, info.recovering), (0, false));
        assert!(info.congestion_window >= 10 * MSS, "{info:?}");
        assert_eq!(info.slow_start_threshold, u32::MAX);
        for n in 3..=10 {
            puppet.send(&sack(n, &[]));
        }
        let sent = numbers(&mut puppet);
        assert!(sent.iter().all(|&n| n > next), "nothing goes again: {sent:?}");
        assert_eq!(puppet.info().retransmissions, 1);
    }
}

#[test]
fn a_report_of_what_was_not_sent_again_shows_it_too() {
    // RFC 5682 section 3.1 step 3b: by SACK information below RecoveryPoint.
    let mut puppet = timed_out(true, 30);
    puppet.send(&sack(1, &[]));
    puppet.take();
    puppet.send(&sack(1, &[block(3, 3)]));
    assert_eq!(puppet.info().slow_start_threshold, u32::MAX);
}

#[test]
fn a_time_out_that_was_real_is_repaired_in_slow_start() {
    // RFC 5682 section 3.1 step 3a: what answers the new segments tells that nothing else has arrived.
    let mut puppet = timed_out(true, 30);
    puppet.run_for(RTT);
    puppet.send(&sack(1, &[]));
    assert_eq!(numbers(&mut puppet), [12, 13]);
    puppet.run_for(RTT);
    puppet.send(&sack(1, &[block(12, 12)]));
    assert_eq!(numbers(&mut puppet)[0], 2);
    puppet.send(&sack(1, &[block(12, 13)]));
    assert_eq!(puppet.info().slow_start_threshold, 5 * MSS, "the reduction stands");
    let mut again = vec![2];
    for acked in 2..=10 {
        puppet.run_for(RTT);
        again.extend(numbers(&mut puppet));
        puppet.send(&sack(acked, &[block(12, 13)]));
    }
    again.extend(numbers(&mut puppet));
    for n in 2..=11 {
        assert_eq!(again.iter().filter(|&&sent| sent == n).count(), 1, "{n} goes again once: {again:?}");
    }
    assert_eq!(puppet.info().timeouts, 0);
}

#[test]
fn what_reports_new_data_together_with_old_shows_nothing() {
    // RFC 5682 section 3.1 step 3a: the SACK information covers more than RecoveryPoint. The report of the third may have been
    // lost before the time-out.
    let mut puppet = timed_out(true, 30);
    puppet.send(&sack(1, &[]));
    assert_eq!(numbers(&mut puppet), [12, 13]);
    puppet.run_for(RTT);
    puppet.send(&sack(1, &[block(12, 12), block(3, 3)]));
    assert_eq!(puppet.info().slow_start_threshold, 5 * MSS);
    assert_eq!(numbers(&mut puppet)[0], 2, "old data goes on");
}

#[test]
fn without_sack_a_duplicate_ack_shows_that_it_was_real() {
    // RFC 5682 section 2.1 step 3a: the receiver holds 2 and 3, whose bytes the first ACK covers; that proves nothing.
    let mut puppet = timed_out(false, 30);
    puppet.run_for(RTT);
    puppet.send(&sack(3, &[]));
    assert_eq!(numbers(&mut puppet), [11, 12]);
    puppet.run_for(RTT);
    puppet.send(&sack(3, &[]));
    assert_eq!(numbers(&mut puppet)[0], 4, "what is missing next");
    let info = puppet.info();
    assert_eq!(info.slow_start_threshold, 5 * MSS);
    assert!(info.lost > 0);
}

#[test]
fn without_sack_a_duplicate_ack_before_any_other_ends_the_doubt() {
    // RFC 5682 section 2.1 step 2a.
    let mut puppet = timed_out(false, 30);
    puppet.send(&sack(0, &[]));
    puppet.send(&sack(1, &[]));
    assert_eq!(numbers(&mut puppet)[0], 2, "conventional recovery");
}

#[test]
fn with_sack_duplicate_acks_before_it_only_fill_the_scoreboard() {
    // RFC 5682 section 3.1 step 2: stay in step 2 and wait for the next new acknowledgement.
    let mut puppet = timed_out(true, 30);
    puppet.send(&sack(0, &[block(5, 5)]));
    puppet.take();
    puppet.send(&sack(1, &[block(5, 5)]));
    assert_eq!(numbers(&mut puppet)[..2], [12, 13], "new data first");
    puppet.send(&sack(2, &[block(5, 5)]));
    assert_eq!(puppet.info().slow_start_threshold, u32::MAX);
}

#[test]
fn an_ack_of_everything_says_nothing_about_the_time_out() {
    // RFC 5682 section 3.1 step 2a: the receiver held all but the first. RFC 3465 section 2.3: so its ACK counts as one.
    for with_sack in [true, false] {
        let mut puppet = timed_out(with_sack, 10);
        puppet.run_for(RTT);
        puppet.send(&sack(10, &[]));
        let info = puppet.info();
        assert_eq!((info.slow_start_threshold, info.recovering), (5 * MSS, false));
        assert!(info.congestion_window <= 2 * MSS, "RFC 5682 section 3.1 step 2a: no more than two segments");
    }
}

#[test]
fn without_new_data_to_ask_with_recovery_is_conventional() {
    // RFC 5682 section 2.1 step 2b: step 3 is not entered. The receiver holds 3 to 10; 1 and 2 were lost.
    let mut puppet = timed_out(false, 10);
    puppet.run_for(RTT);
    puppet.send(&sack(1, &[]));
    assert_eq!(numbers(&mut puppet)[0], 2);
    puppet.run_for(RTT);
    puppet.send(&sack(10, &[]));
    assert_eq!(puppet.info().slow_start_threshold, 5 * MSS, "the ACK of what was held proves nothing");
}

#[test]
fn a_single_new_segment_asks_as_well_and_nothing_old_goes_with_it() {
    // RFC 5682 section 2.1 step 2b: up to two new segments.
    let mut puppet = timed_out(false, 11);
    puppet.send(&sack(1, &[]));
    assert_eq!(numbers(&mut puppet).len(), 1);
    puppet.send(&sack(2, &[]));
    assert_eq!(puppet.info().slow_start_threshold, u32::MAX);
    assert_eq!(puppet.info().retransmissions, 1);
}

#[test]
fn a_second_time_out_is_believed() {
    // RFC 5682 section 3.1 step 1: RecoveryPoint is not below SND.UNA.
    let mut puppet = timed_out(true, 30);
    let rto = puppet.info().rto;
    puppet.run_for(rto);
    assert_eq!(numbers(&mut puppet), [1]);
    puppet.send(&sack(1, &[]));
    assert_eq!(numbers(&mut puppet), [2, 3], "old data at once");
}

#[test]
fn each_time_out_doubles_the_next_and_a_measurement_of_new_data_ends_that() {
    // RFC 6298 section 5.5, and section 3 (Karn's rule): the ACK of what went twice measures nothing.
    let mut puppet = established_by(Algorithm::NewReno, RTT, seg(0).mss(1460).scale(7));
    write(&mut puppet, 1);
    puppet.run_for(millis(2_200));
    assert_eq!(
        puppet.lines(),
        [line("0.400", 1), line("1.000", 1), line("2.200", 1)].map(|line| line.replace(" . ", " P. "))
    );
    puppet.run_for(millis(50));
    puppet.send(&sack(1, &[]));
    assert_eq!(puppet.info().rto, millis(2_400), "still backed off");
    write(&mut puppet, 1);
    puppet.run_for(RTT);
    puppet.send(&sack(2, &[]));
    assert_eq!(puppet.info().rto, millis(250), "SRTT 100 ms, RTTVAR 37.5 ms");
}

#[test]
fn six_steady_round_trips_do_not_make_the_next_that_is_longer_a_time_out() {
    // RFC 7323 section 4.2: many samples a round trip let RTTVAR shrink too fast; a departure from RFC 6298 section 2.3 toward
    // more patience.
    let rtt = millis(400);
    let mut bulk = Bulk::begin(established(Algorithm::Cubic, rtt));
    for _ in 0..6 {
        bulk.round(rtt);
    }
    bulk.puppet.run_for(millis(580));
    assert_eq!(bulk.puppet.lines(), [""; 0], "no probe, and nothing again");
}

#[test]
fn a_time_out_of_another_segment_lowers_the_threshold_again() {
    // RFC 5681 section 3.1, equation (4): for a segment not yet resent by the timer.
    let mut puppet = timed_out(false, 10);
    puppet.run_for(RTT);
    puppet.send(&sack(1, &[]));
    puppet.take();
    puppet.run_for(Duration::from_secs(1));
    let info = puppet.info();
    assert!(info.timeouts > 0);
    assert_eq!(info.slow_start_threshold, 2 * MSS);
}

/// The first of ten segments comes late and is sent again; the ACK at the end is of everything.
fn recovered_from_reordering(algorithm: Algorithm) -> Puppet {
    let mut puppet = established(algorithm, RTT);
    write(&mut puppet, 10);
    puppet.run_for(RTT);
    puppet.send(&sack(0, &[block(2, 10)]));
    assert_eq!(numbers(&mut puppet), [1]);
    puppet.run_for(millis(10));
    puppet.send(&sack(10, &[]));
    assert!(puppet.info().slow_start_threshold < u32::MAX);
    puppet
}

#[test]
fn a_reduction_is_taken_back_when_all_that_went_again_had_arrived() {
    // RFC 2883 section 5.1, RFC 3708 section 3: a false retransmission because of reordering. RFC 9438 section 4.9.2: window
    // and threshold return.
    for algorithm in [Algorithm::Cubic, Algorithm::NewReno] {
        let mut puppet = recovered_from_reordering(algorithm);
        puppet.run_for(millis(90));
        puppet.send(&sack(10, &[block(1, 1)]));
        let info = puppet.info();
        assert_eq!(info.slow_start_threshold, u32::MAX);
        assert!(info.congestion_window >= 10 * MSS);
    }
}

#[test]
fn without_such_a_report_or_with_one_about_something_else_it_stands() {
    let mut puppet = recovered_from_reordering(Algorithm::NewReno);
    puppet.send(&sack(10, &[]));
    assert_eq!(puppet.info().slow_start_threshold, 5 * MSS);

    let mut puppet = established(Algorithm::NewReno, RTT);
    write(&mut puppet, 10);
    puppet.run_for(RTT);
    puppet.send(&sack(0, &[block(3, 10)]));
    let again = numbers(&mut puppet);
    puppet.send(&sack(1, &[block(3, 10)]));
    assert_eq!([again, numbers(&mut puppet)].concat(), [1, 2]);
    puppet.send(&sack(10, &[]));
    puppet.send(&sack(10, &[block(1, 1)]));
    assert_eq!(puppet.info().slow_start_threshold, 5 * MSS, "the second was lost");
    puppet.send(&sack(10, &[block(2, 2)]));
    assert_eq!(puppet.info().slow_start_threshold, u32::MAX, "it was not");
}

#[test]
fn a_report_that_comes_a_round_trip_too_late_changes_nothing() {
    let mut puppet = recovered_from_reordering(Algorithm::NewReno);
    write(&mut puppet, 2);
    puppet.run_for(RTT);
    puppet.send(&sack(11, &[]));
    write(&mut puppet, 1);
    puppet.run_for(RTT);
    puppet.send(&sack(13, &[]));
    puppet.send(&sack(13, &[block(1, 1)]));
    assert_eq!(puppet.info().slow_start_threshold, 5 * MSS);
}

#[test]
fn reports_of_all_that_a_time_out_sent_again_take_it_back() {
    // There was no new data for F-RTO to ask with.
    let mut puppet = timed_out(true, 10);
    puppet.send(&sack(1, &[]));
    let again = numbers(&mut puppet);
    puppet.send(&sack(10, &[]));
    puppet.send(&sack(10, &[block(1, 1)]));
    assert_eq!(puppet.info().slow_start_threshold, 5 * MSS);
    for n in again {
        puppet.send(&sack(10, &[block(n, n)]));
    }
    assert_eq!(puppet.info().slow_start_threshold, u32::MAX);
}
