//! What the sender makes of SACK: losses found by time (RACK, RFC 8985 sections 5.3 and 6), and what is sent again (RFC 2018, RFC
//! 6675). Every round trip is 100 ms.

use std::time::Duration;

use sim::Puppet;
use sim::puppet::seg;

use crate::tcp_script::{MSS, RTT, block, end, line, millis, numbers, patient, reno, sack, write};

#[test]
fn three_segments_beyond_a_gap_mean_a_loss_at_once() {
    // RFC 8985 section 6.2 step 4: while no reordering was seen, DupThresh ends the wait; RFC 6675 section 4, IsLost.
    let mut puppet = reno();
    write(&mut puppet, 10);
    puppet.run_for(RTT);
    puppet.send(&sack(0, &[block(2, 2)]));
    puppet.send(&sack(0, &[block(2, 3)]));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.send(&sack(0, &[block(2, 4)]));
    assert_eq!(puppet.lines(), [line("0.200", 1)]);
    assert_eq!(puppet.info().sacked, 3 * MSS);
}

/// Such numbers are neither before nor after any other (RFC 1982 section 3.2).
#[test]
fn a_block_half_of_the_sequence_space_away_says_nothing() {
    const HALF: u32 = 1 << 31;
    let mut puppet = reno();
    write(&mut puppet, 3);
    puppet.run_for(RTT);
    puppet.send(&sack(0, &[block(2, 2)]));
    let all = 1 + 3 * MSS;
    for (ack, at) in [(1, 1 + HALF), (1, all + HALF), (all, all + HALF)] {
        puppet.send(&seg(1).ack(ack).sack(&[(at, at + 1), (at - 1, at)]));
    }
    assert_eq!((puppet.info().sacked, puppet.info().in_flight), (0, 0));
    write(&mut puppet, 1);
}

#[test]
fn fewer_are_given_a_quarter_of_the_round_trip_to_be_reordering() {
    // RFC 8985 section 6.2 step 5: Segment.xmit_ts + RACK.rtt + RACK.reo_wnd = 0.100 + 0.100 + 0.025.
    let mut puppet = reno();
    write(&mut puppet, 3);
    puppet.run_for(RTT);
    puppet.send(&sack(0, &[block(2, 2)]));
    puppet.run_for(millis(24));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(millis(1));
    assert_eq!(puppet.lines(), [line("0.225", 1)], "and not the third, which was sent after what has arrived");
}

#[test]
fn what_arrives_within_the_window_is_not_sent_again_and_changes_nothing() {
    let mut puppet = reno();
    write(&mut puppet, 3);
    puppet.run_for(RTT);
    puppet.send(&sack(0, &[block(2, 2)]));
    puppet.run_for(millis(20));
    puppet.send(&sack(3, &[]));
    puppet.run_for(Duration::from_secs(1));
    assert_eq!(puppet.lines(), [""; 0]);
    let info = puppet.info();
    assert_eq!((info.retransmissions, info.slow_start_threshold), (0, u32::MAX));
}

#[test]
fn once_reordering_was_seen_three_segments_beyond_a_gap_wait_too() {
    // RFC 8985 section 6.2 steps 3 and 4.
    let mut puppet = reno();
    write(&mut puppet, 3);
    puppet.run_for(RTT);
    puppet.send(&sack(0, &[block(2, 2)]));
    assert!(!puppet.info().reordering_seen);
    puppet.send(&sack(2, &[]));
    assert!(puppet.info().reordering_seen, "the first came after the second, and was sent once");
    puppet.send(&sack(3, &[]));

    write(&mut puppet, 8);
    puppet.run_for(RTT);
    puppet.send(&sack(3, &[block(5, 10)]));
    puppet.run_for(millis(24));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(millis(1));
    assert_eq!(puppet.lines(), [line("0.325", 4)]);
}

#[test]
fn several_blocks_in_one_ack_after_lost_ones_are_no_reordering() {
    // RFC 8985 section 6.2 step 3 looks at the order in which segments arrived, of which the order of blocks (RFC 2018
    // section 4, the latest first) says nothing.
    let mut puppet = reno();
    write(&mut puppet, 10);
    puppet.run_for(RTT);
    puppet.send(&sack(0, &[block(6, 6), block(4, 4), block(2, 2)]));
    assert!(!puppet.info().reordering_seen);
    assert_eq!(numbers(&mut puppet)[..1], [1], "at once");
}

/// Sends two segments after `sent` others, of which the first comes late: the time after which it is sent again.
/// `reports`: how often the peer then tells that it got it twice.
fn late_by(puppet: &mut Puppet, sent: u32, reports: usize) -> Duration {
    let start = puppet.now();
    write(puppet, 2);
    puppet.run_for(RTT);
    puppet.send(&sack(sent, &[block(sent + 2, sent + 2)]));
    puppet.run_for(millis(200));
    let again = puppet.take();
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(again[0].seq, end(sent));
    puppet.send(&sack(sent + 2, &[]));
    for _ in 0..reports {
        puppet.send(&sack(sent + 2, &[block(sent + 1, sent + 1)]));
    }
    again[0].at - start - RTT
}

#[test]
fn reports_of_duplicates_widen_the_reordering_window_up_to_the_smoothed_round_trip() {
    // RFC 8985 section 6.2 step 4: min (RACK.reo_wnd_mult * RACK.min_RTT / 4, SRTT).
    let mut puppet = patient();
    let waits: Vec<u64> = (0..7).map(|n| late_by(&mut puppet, 2 * n, 1).as_millis() as u64).collect();
    assert_eq!(waits, [25, 50, 75, 100, 100, 100, 100]);
}

#[test]
fn reports_of_duplicates_count_once_a_round_trip() {
    // RFC 8985 section 6.2 step 4: RACK.dsack_round.
    let mut puppet = patient();
    assert_eq!(late_by(&mut puppet, 0, 0), millis(25));
    write(&mut puppet, 2);
    puppet.run_for(RTT);
    // Both come while the same two segments are in flight.
    puppet.send(&sack(2, &[block(1, 1)]));
    puppet.send(&sack(2, &[block(2, 2)]));
    puppet.send(&sack(4, &[]));
    assert_eq!(late_by(&mut puppet, 4, 0), millis(50));
}

#[test]
fn sixteen_recoveries_without_a_report_narrow_the_window_again() {
    // RFC 8985 section 6.2 step 4: RACK.reo_wnd_persist.
    let mut puppet = patient();
    late_by(&mut puppet, 0, 1);
    let waits: Vec<u64> = (1..19).map(|n| late_by(&mut puppet, 2 * n, 0).as_millis() as u64).collect();
    assert_eq!(waits[..16], [50; 16]);
    assert_eq!(waits[16..], [25; 2]);
}

#[test]
fn recoveries_by_time_out_narrow_the_window_too() {
    // RFC 8985 section 6.2 step 4: "exiting Fast or RTO recovery".
    let mut puppet = patient();
    late_by(&mut puppet, 0, 1);
    let mut sent = 2;
    for _ in 0..16 {
        write(&mut puppet, 1);
        sent += 1;
        // A probe, and then the time-out.
        puppet.run_for(Duration::from_secs(5));
        assert!(puppet.info().timeouts > 0);
        puppet.send(&sack(sent, &[]));
        // A measurement ends the back-off.
        write(&mut puppet, 1);
        sent += 1;
        puppet.run_for(RTT);
        puppet.send(&sack(sent, &[]));
        puppet.take();
    }
    assert_eq!(late_by(&mut puppet, sent, 0), millis(25));
}

#[test]
fn a_retransmission_that_is_lost_is_sent_again_when_something_sent_later_arrives() {
    // RFC 8985 section 6.2 step 5; plain SACK recovery (RFC 6675) would wait for the timer.
    let mut puppet = reno();
    write(&mut puppet, 30);
    puppet.run_for(RTT);
    puppet.send(&sack(0, &[block(2, 4)]));
    assert_eq!(numbers(&mut puppet)[0], 1);
    puppet.run_for(millis(10));
    puppet.send(&sack(0, &[block(2, 10)]));
    let new = numbers(&mut puppet);
    assert!(new.contains(&13), "new data goes on: {new:?}");
    puppet.run_for(RTT);
    // Sent 10 ms after the retransmission; the segments before it are also late, but were sent together with it.
    puppet.send(&sack(0, &[block(2, 13)]));
    assert_eq!(numbers(&mut puppet)[0], 1, "at 0.310, 200 ms before the timer");
}

#[test]
fn only_what_is_missing_is_sent_again_the_lowest_first() {
    // RFC 2018 section 5; RFC 6675 section 5, NextSeg.
    let mut puppet = reno();
    write(&mut puppet, 10);
    puppet.run_for(RTT);
    puppet.send(&sack(1, &[block(9, 10), block(6, 7), block(3, 4)]));
    let mut again = numbers(&mut puppet);
    puppet.run_for(RTT);
    puppet.send(&sack(4, &[block(9, 10), block(6, 7)]));
    again.extend(numbers(&mut puppet));
    puppet.run_for(RTT);
    puppet.send(&sack(7, &[block(9, 10)]));
    again.extend(numbers(&mut puppet));
    puppet.send(&sack(10, &[]));
    assert_eq!(again, [2, 5, 8]);
    assert!(!puppet.info().recovering);
}

#[test]
fn a_block_that_is_no_part_of_what_was_sent_changes_nothing() {
    // RFC 6675 section 3 keeps a scoreboard of what was sent; a report beyond it is a lie.
    let mut puppet = reno();
    write(&mut puppet, 10);
    puppet.run_for(RTT);
    let before = puppet.info();
    for lie in [block(11, 12), block(10, 11), (end(10), end(0)), (end(5), end(5)), (end(6), end(5))] {
        puppet.send(&sack(0, &[lie]));
    }
    assert_eq!(puppet.lines(), [""; 0]);
    assert_eq!(puppet.info().sacked, 0);
    assert_eq!(puppet.info().congestion_window, before.congestion_window);
}

#[test]
fn a_time_out_gives_up_only_what_is_older_than_a_round_trip() {
    // RFC 8985 section 6.3: the first segment, and what was sent a round trip and a reordering window ago.
    let mut puppet = reno();
    write(&mut puppet, 1);
    puppet.run_for(RTT);
    puppet.send(&sack(1, &[]));
    // The second is lost. The probe in place of the first time-out is lost too.
    write(&mut puppet, 1);
    let rto = puppet.info().rto;
    puppet.run_for(rto);
    assert_eq!(numbers(&mut puppet), [2]);
    puppet.run_for(rto - millis(10));
    write(&mut puppet, 1);
    puppet.run_for(millis(10));
    assert_eq!(numbers(&mut puppet), [2], "by the timer");
    let info = puppet.info();
    assert_eq!((info.lost, info.timeouts), (0, 1));
    assert_eq!(info.congestion_window, 2 * MSS, "a segment beside the one that is under way");
    puppet.run_for(millis(90));
    puppet.send(&sack(1, &[block(3, 3)]));
    puppet.run_for(millis(10));
    puppet.send(&sack(3, &[]));
    puppet.run_for(Duration::from_secs(5));
    assert_eq!(puppet.lines(), [""; 0], "the third went once");
}

#[test]
fn what_was_reported_is_not_sent_again_after_a_time_out() {
    // RFC 6675 section 5.1: the scoreboard is kept.
    let mut puppet = reno();
    write(&mut puppet, 6);
    puppet.run_for(RTT);
    // Of 1, 2 and 5, 6 nothing is heard; 1 and 2 are sent again, in vain.
    puppet.send(&sack(0, &[block(3, 4)]));
    while puppet.info().timeouts == 0 {
        puppet.run_for(millis(10));
    }
    puppet.take();
    assert_eq!(puppet.info().sacked, 2 * MSS);
    puppet.send(&sack(1, &[block(3, 4)]));
    puppet.run_for(RTT);
    puppet.send(&sack(4, &[]));
    let again = numbers(&mut puppet);
    assert!(!again.contains(&3) && !again.contains(&4), "{again:?}");
    assert!(again.contains(&2) && again.contains(&5), "{again:?}");
}

#[test]
fn a_peer_that_takes_its_reports_back_is_served_again() {
    // RFC 2018 section 8: it asks for what it has reported; the segment at the left edge goes at the first time-out,
    // whatever was reported of it, and so does the rest.
    let mut puppet = reno();
    write(&mut puppet, 4);
    puppet.run_for(RTT);
    puppet.send(&sack(0, &[block(2, 4)]));
    assert_eq!(numbers(&mut puppet), [1]);
    puppet.run_for(RTT);
    puppet.send(&sack(1, &[]));
    let rto = puppet.info().rto;
    puppet.run_for(rto);
    assert_eq!(numbers(&mut puppet), [2]);
    let mut again = Vec::new();
    for acked in 2..=4 {
        puppet.run_for(RTT);
        puppet.send(&sack(acked, &[]));
        again.extend(numbers(&mut puppet));
    }
    assert_eq!(again, [3, 4]);
    assert_eq!(puppet.info().in_flight, 0);
}

#[test]
fn an_acknowledgement_that_was_overtaken_still_says_what_arrived() {
    // RFC 2018 section 5: what is above SND.UNA is news; what is below was acknowledged meanwhile, and is no report of
    // duplicates.
    let mut puppet = reno();
    write(&mut puppet, 10);
    puppet.run_for(RTT);
    puppet.send(&sack(2, &[]));
    puppet.take();
    let threshold = puppet.info().slow_start_threshold;
    puppet.send(&sack(0, &[block(2, 2), block(4, 6)]));
    let info = puppet.info();
    assert_eq!(info.sacked, 3 * MSS);
    assert_eq!(numbers(&mut puppet), [3], "three segments beyond the gap");
    assert!(info.slow_start_threshold < threshold);
}
