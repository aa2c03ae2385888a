//! Loss recovery by duplicate ACKs (RFC 5681 section 3.2, RFC 6582, RFC 3042), and how the congestion window moves
//! (RFC 5681 section 3.1, RFC 6928, RFC 3465).

use std::time::Duration;

use sim::Puppet;
use sim::puppet::{Seg, seg};
use stack::Config;
use stack::tcp::{Algorithm, ConnectOptions};
use wire::tcp::TcpFlags;

const MSS: u32 = 1_460;

fn established() -> Puppet {
    Puppet::established(new_reno(), seg(0).mss(1460))
}

fn new_reno() -> Config {
    let mut config = Config::default();
    config.tcp.congestion = Algorithm::NewReno;
    config
}

/// The sequence number just after the `n`th full segment.
fn end(n: u32) -> u32 {
    1 + n * MSS
}

fn duplicate() -> Seg {
    seg(1).ack(1)
}

#[test]
fn the_third_duplicate_ack_retransmits_without_waiting_for_the_timer() {
    let mut puppet = established();
    puppet.write(&[1; 14_600]);
    puppet.take();
    puppet.send(&duplicate());
    puppet.send(&duplicate());
    assert_eq!(puppet.lines(), [""; 0], "there is nothing new to send");
    puppet.send(&duplicate());
    assert_eq!(puppet.lines(), ["0.000 . 1:1461 ack 1"]);
    // RFC 5681 section 3.2 step 2: half of the flight.
    let info = puppet.info();
    assert_eq!(info.slow_start_threshold, 7_300);
    assert_eq!(info.timeouts, 0);
}

#[test]
fn the_first_two_duplicate_acks_let_a_new_segment_go_each() {
    // RFC 3042 section 2: the congestion window itself does not move.
    let mut puppet = established();
    puppet.write(&[1; 30_000]);
    assert_eq!(puppet.take().len(), 10);
    puppet.send(&duplicate());
    assert_eq!(puppet.lines(), ["0.000 . 14601:16061 ack 1"]);
    puppet.send(&duplicate());
    assert_eq!(puppet.lines(), ["0.000 . 16061:17521 ack 1"]);
    assert_eq!(puppet.info().congestion_window, 14_600);
}

#[test]
fn new_data_follows_in_proportion_to_what_leaves_the_network() {
    // RFC 9937 section 6: down to the threshold half as much goes out as arrives, the retransmission counted, and from there
    // on as much.
    let mut puppet = established();
    puppet.write(&[1; 60_000]);
    puppet.take();
    for _ in 0..3 {
        puppet.send(&duplicate());
    }
    puppet.take();
    let mut sent = Vec::new();
    for _ in 0..6 {
        puppet.send(&duplicate());
        sent.push(puppet.take().len());
    }
    assert_eq!(sent, [0, 0, 0, 0, 1, 1]);
}

#[test]
fn what_limited_transmit_sent_does_not_raise_the_threshold() {
    // RFC 5681 section 3.2 step 2.
    let mut puppet = established();
    puppet.write(&[1; 60_000]);
    for _ in 0..3 {
        puppet.send(&duplicate());
    }
    assert_eq!(puppet.info().slow_start_threshold, 7_300, "half of ten segments, not of twelve");
}

#[test]
fn a_partial_ack_repairs_the_next_hole_at_once_and_the_full_one_ends_recovery() {
    // RFC 6582 section 3.2 step 3.
    let mut puppet = established();
    puppet.write(&[1; 14_600]);
    puppet.take();
    for _ in 0..3 {
        puppet.send(&duplicate());
    }
    puppet.take();
    puppet.send(&seg(1).ack(end(4)));
    assert_eq!(puppet.take()[0].line(), "0.000 . 5841:7301 ack 1");
    puppet.send(&seg(1).ack(end(6)));
    assert_eq!(puppet.take()[0].line(), "0.000 . 8761:10221 ack 1");
    puppet.send(&seg(1).ack(end(10)));
    let info = puppet.info();
    assert_eq!(info.in_flight, 0);
    assert!(info.congestion_window <= info.slow_start_threshold, "deflated: {info:?}");
    assert_eq!(info.retransmissions, 3);
}

#[test]
fn two_duplicate_acks_are_reordering_and_change_nothing() {
    let mut puppet = established();
    puppet.write(&[1; 14_600]);
    puppet.take();
    puppet.send(&duplicate());
    puppet.send(&duplicate());
    puppet.send(&seg(1).ack(end(10)));
    let info = puppet.info();
    assert_eq!(info.retransmissions, 0);
    assert_eq!(info.slow_start_threshold, u32::MAX);
}

#[test]
fn what_carries_text_a_fin_or_another_window_is_no_duplicate_ack() {
    // RFC 5681 section 2.
    let text: Vec<Seg> = (0..5).map(|n| seg(1 + n).ack(1).text(b"x")).collect();
    let windows: Vec<Seg> = (0..5).map(|n| duplicate().window(60_000 - n)).collect();
    // Out of order, so that each is looked at anew.
    let fins: Vec<Seg> = (0..5).map(|n| seg(100 - n).ack(1).flags(TcpFlags::FIN)).collect();
    for segments in [text, windows, fins] {
        let mut puppet = established();
        puppet.write(&[1; 14_600]);
        puppet.take();
        for segment in &segments {
            puppet.send(segment);
        }
        assert!(puppet.take().iter().all(|seen| seen.text.is_empty()), "{segments:?}");
        assert_eq!(puppet.info().retransmissions, 0, "{segments:?}");
    }
}

#[test]
fn repeated_syns_are_no_duplicate_acks() {
    let mut puppet = established();
    puppet.write(&[1; 14_600]);
    puppet.take();
    for _ in 0..5 {
        puppet.send(&seg(0).flags(TcpFlags::SYN).ack(1).mss(1460));
        puppet.send(&seg(1).flags(TcpFlags::SYN).ack(1));
    }
    assert_eq!(puppet.info().retransmissions, 0);
}

#[test]
fn duplicates_of_what_was_in_flight_at_a_time_out_cause_no_fast_retransmit() {
    // RFC 6582 section 4.
    let mut puppet = established();
    puppet.write(&[1; 14_600]);
    puppet.run_for(Duration::from_millis(200));
    puppet.take();
    let threshold = puppet.info().slow_start_threshold;
    puppet.send(&seg(1).ack(end(1)));
    puppet.take();
    for _ in 0..5 {
        puppet.send(&seg(1).ack(end(1)));
    }
    assert!(puppet.take().iter().all(|seen| seen.seq > end(1)), "the hole is not sent a second time");
    assert_eq!(puppet.info().slow_start_threshold, threshold);
}

#[test]
fn duplicates_right_at_the_end_of_a_recovery_cause_no_other() {
    // RFC 6582 section 3.2 step 1: the ACK has to cover more than "recover". They may answer what went twice.
    let mut puppet = established();
    puppet.write(&[1; 14_600]);
    for _ in 0..3 {
        puppet.send(&duplicate());
    }
    puppet.send(&seg(1).ack(end(10)));
    puppet.write(&[1; 5 * MSS as usize]);
    assert_eq!(puppet.info().retransmissions, 1);
    for _ in 0..3 {
        puppet.send(&seg(1).ack(end(10)));
    }
    assert_eq!(puppet.info().retransmissions, 1);
    puppet.send(&seg(1).ack(end(11)));
    puppet.take();
    for _ in 0..3 {
        puppet.send(&seg(1).ack(end(11)));
    }
    assert_eq!(puppet.take()[0].seq, end(11), "beyond it they do");
}

#[test]
fn a_lone_fin_in_flight_keeps_its_timer_through_duplicate_acks() {
    let mut puppet = established();
    puppet.finish();
    puppet.take();
    for _ in 0..5 {
        puppet.send(&duplicate());
    }
    assert_eq!(puppet.lines(), ["0.000 F. 1:1 ack 1"], "by the third duplicate");
    puppet.run_for(Duration::from_millis(700));
    assert_eq!(puppet.lines(), ["0.200 F. 1:1 ack 1", "0.600 F. 1:1 ack 1"], "and by the timer");
}

#[test]
fn the_initial_window_is_ten_segments_of_the_real_size() {
    // RFC 6928 section 2. With timestamps a segment carries 1448 bytes (RFC 6691 section 2), and the window counts in those.
    let mut puppet = established();
    puppet.write(&[1; 60_000]);
    assert_eq!(puppet.take().iter().map(|seen| seen.text.len()).sum::<usize>(), 14_600);

    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460).timestamps(1, 0));
    puppet.write(&[1; 60_000]);
    let sizes: Vec<usize> = puppet.take().iter().map(|seen| seen.text.len()).collect();
    assert_eq!(sizes, [1_448; 10]);

    let mut puppet = Puppet::established(Config::default(), seg(0).mss(536));
    puppet.write(&[1; 60_000]);
    let sizes: Vec<usize> = puppet.take().iter().map(|seen| seen.text.len()).collect();
    assert_eq!(sizes, [536; 10]);
}

#[test]
fn slow_start_doubles_the_window_a_round_trip() {
    let mut puppet = established();
    puppet.write(&[1; 200_000]);
    let mut sent = 0;
    let mut flights = Vec::new();
    for _ in 0..3 {
        let flight = puppet.take();
        flights.push(flight.len());
        for _ in 0..flight.len() {
            sent += 1;
            puppet.send(&seg(1).ack(end(sent)));
        }
    }
    assert_eq!(flights, [10, 20, 40]);
}

#[test]
fn congestion_avoidance_adds_one_segment_a_round_trip() {
    // RFC 5681 section 3.1, RFC 3465.
    let mut puppet = established();
    puppet.write(&[1; 200_000]);
    puppet.take();
    for _ in 0..3 {
        puppet.send(&duplicate());
    }
    puppet.take();
    puppet.send(&seg(1).ack(end(12)));
    let mut sent = 12;
    let mut flights = Vec::new();
    for _ in 0..8 {
        let flight = puppet.info().in_flight / MSS;
        flights.push(flight);
        for _ in 0..flight {
            sent += 1;
            puppet.send(&seg(1).ack(end(sent)));
        }
    }
    assert_eq!(flights, [5, 6, 7, 8, 9, 10, 11, 12], "from the threshold of five segments, one each");
}

#[test]
fn a_flow_that_the_application_limits_does_not_grow_its_window() {
    let mut puppet = established();
    let mut acked = 1;
    for _ in 0..200 {
        puppet.write(&[1; 1_000]);
        acked += 1_000;
        puppet.send(&seg(1).ack(acked));
    }
    assert_eq!(puppet.info().congestion_window, 14_600);
}

#[test]
fn after_idle_time_the_window_restarts_and_nothing_else_is_frozen() {
    // RFC 5681 section 4.1.
    let mut puppet = established();
    puppet.write(&[1; 200_000]);
    let mut sent = 0;
    while puppet.info().in_flight > 0 {
        for _ in puppet.take() {
            sent = (sent + MSS).min(200_000);
            puppet.send(&seg(1).ack(1 + sent));
        }
    }
    assert!(puppet.info().congestion_window > 100_000);
    puppet.run_for(Duration::from_secs(60 * 86_400));
    puppet.write(&[1; 60_000]);
    assert_eq!(puppet.take().len(), 10, "the restart window");
    puppet.run_for(Duration::from_secs(1));
    assert!(!puppet.take().is_empty(), "the timer runs after two months as on the first day");
}

#[test]
fn a_flood_of_duplicate_acks_sends_no_more_than_the_peers_window() {
    let mut puppet =
        Puppet::established_with(Config::default(), seg(0).mss(1460), &ConnectOptions::default(), 1 << 20, 1 << 16);
    puppet.write(&[1; 200_000]);
    for _ in 0..10_000 {
        puppet.send(&duplicate());
    }
    assert!(puppet.info().in_flight <= 65_535);
    assert_eq!(puppet.info().retransmissions, 1);
}
