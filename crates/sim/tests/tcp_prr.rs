//! Proportional rate reduction (RFC 9937, which obsoletes RFC 6937): how many segments go out for each acknowledgement while
//! losses are repaired. Every round trip is 100 ms, and NewReno halves the window.

use sim::Puppet;
use sim::puppet::seg;
use stack::tcp::Algorithm;

use crate::tcp_script::{MSS, RTT, block, established, established_by, numbers, sack, twenty_of};

/// Twenty segments in flight, from the 11th to the 30th, all that the window of 20 allows.
fn twenty() -> Puppet {
    let puppet = twenty_of(established(Algorithm::NewReno, RTT), 200);
    assert_eq!(puppet.info().congestion_window, 20 * MSS);
    puppet
}

/// How many segments each of these acknowledgements lets go.
fn counts(puppet: &mut Puppet, acks: impl IntoIterator<Item = (u32, Vec<(u32, u32)>)>) -> Vec<usize> {
    acks.into_iter()
        .map(|(acked, blocks)| {
            puppet.send(&sack(acked, &blocks));
            numbers(puppet).len()
        })
        .collect()
}

#[test]
fn down_to_the_threshold_every_second_acknowledgement_lets_a_segment_go() {
    // RFC 9937 section 6: CEIL (prr_delivered * ssthresh / RecoverFS) - prr_out. The 11th is lost. Two segments go out by
    // limited transmit (RFC 3042); what arrived before is not part of RecoverFS, so that 20 are to become 10.
    let mut puppet = twenty();
    let sent = counts(&mut puppet, (12..=30).map(|n| (10, vec![block(12, n)])));
    // 12 and 13: limited transmit. 14: the retransmission. From there on half of what is delivered, until with 29 the pipe
    // has come down to the threshold; it is held there by 30.
    assert_eq!(sent, [1, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1]);
    let info = puppet.info();
    assert_eq!((info.slow_start_threshold, info.lost), (10 * MSS, 0));
    assert_eq!(info.in_flight - info.sacked, 10 * MSS);
    // The retransmission's acknowledgement ends the recovery at the threshold.
    puppet.run_for(RTT);
    puppet.send(&sack(32, &[]));
    let info = puppet.info();
    assert!(!info.recovering);
    assert_eq!((info.congestion_window, info.in_flight), (10 * MSS, 10 * MSS));
}

#[test]
fn when_less_than_the_threshold_is_in_flight_as_much_goes_out_as_arrives() {
    // RFC 9937 section 6, PRR-CRB: 11 to 26 are lost, and the pipe falls to a few at once. An acknowledgement that does not
    // advance is not safe, and allows what it delivers, no more.
    let mut puppet = twenty();
    let sent = counts(&mut puppet, (27..=30).map(|n| (10, vec![block(27, n)])));
    assert_eq!(sent, [1, 1, 1, 1], "limited transmit twice, and then the first two that are lost");
}

#[test]
fn a_safe_acknowledgement_allows_one_segment_more() {
    // RFC 9937 section 6, PRR-SSRB: SND.UNA advances and no more is found lost.
    let mut puppet = twenty();
    counts(&mut puppet, (27..=30).map(|n| (10, vec![block(27, n)])));
    puppet.run_for(RTT);
    let sent = counts(&mut puppet, [(11, vec![block(27, 30)]), (12, vec![block(27, 30)])]);
    assert_eq!(sent, [2, 2]);
    let info = puppet.info();
    assert!(info.in_flight - info.sacked - info.lost <= info.slow_start_threshold, "and never more than the threshold");
}

#[test]
fn the_slow_start_part_stops_at_the_threshold() {
    let mut puppet = twenty();
    counts(&mut puppet, (27..=30).map(|n| (10, vec![block(27, n)])));
    // Everything that was lost is repaired, with acknowledgements that come one by one.
    let mut acked = 10;
    while puppet.info().recovering {
        puppet.run_for(RTT);
        acked += 1;
        let info = puppet.info();
        let pipe = info.in_flight - info.sacked - info.lost;
        assert!(pipe <= info.slow_start_threshold, "{} segments in flight", pipe / MSS);
        let blocks = if acked < 26 { vec![block(27, 30)] } else { vec![] };
        if acked == 26 {
            acked = 32;
        }
        puppet.send(&sack(acked, &blocks));
        puppet.take();
    }
    assert_eq!(puppet.info().congestion_window, 10 * MSS, "RFC 9937 section 6: at the end cwnd is ssthresh");
}

#[test]
fn one_acknowledgement_for_many_lets_their_share_go_at_once() {
    // RFC 9937 section 6: lost or stretched acknowledgements change when, not how much in the end.
    let mut puppet = twenty();
    let sent = counts(&mut puppet, [(10, vec![block(12, 14)]), (10, vec![block(12, 22)]), (10, vec![block(12, 30)])]);
    // Of three delivered one segment and a half. Then nine are in flight, and one more makes the threshold; then two, and
    // eight more do.
    assert_eq!(sent, [1, 1, 8]);
}

#[test]
fn an_acknowledgement_that_delivers_nothing_lets_nothing_go() {
    // RFC 9937 section 6.
    let mut puppet = twenty();
    counts(&mut puppet, (12..=20).map(|n| (10, vec![block(12, n)])));
    let sent = counts(&mut puppet, (0..50).map(|_| (10, vec![block(12, 20)])));
    assert_eq!(sent, [0; 50]);
}

#[test]
fn without_sack_what_duplicates_stood_for_is_not_counted_again() {
    // RFC 9937 section 5: a duplicate ACK is one segment of DeliveredData, and a partial ACK what it covers, less those.
    let mut puppet = twenty_of(established_by(Algorithm::NewReno, RTT, seg(0).mss(1460).scale(7)), 200);
    // 11 and 16 are lost: eighteen duplicates.
    let sent = counts(&mut puppet, (0..18).map(|_| (10, vec![])));
    assert_eq!(sent[..3], [1, 1, 1], "limited transmit twice, and the retransmission");
    let new: usize = sent[3..].iter().sum();
    assert!(new <= 8, "no more than half of what has arrived: {sent:?}");
    puppet.run_for(RTT);
    puppet.send(&sack(15, &[]));
    assert_eq!(numbers(&mut puppet), [16], "RFC 6582 section 3.2 step 3: the next hole, and no more");
}
