//! What does not fill a segment waits while the application has more to write (TCP_CORK, MSG_MORE; RFC 9293 section 3.7.4),
//! and for how long at most (RFC 1122 section 4.2.3.4).

use std::time::Duration;

use sim::Puppet;
use sim::puppet::seg;
use stack::Config;
use stack::tcp::SocketOption;

const MS: Duration = Duration::from_millis(1);

/// A connection whose application has more to write.
fn corked() -> Puppet {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.cork(true);
    puppet
}

#[test]
fn small_writes_leave_as_one_segment_when_the_application_says_so() {
    let mut puppet = corked();
    puppet.write(b"a");
    puppet.write(b"b");
    puppet.run_for(100 * MS);
    puppet.write(b"c");
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.cork(false);
    assert_eq!(puppet.lines(), ["0.100 P. 1:4 ack 1"]);
    puppet.send(&seg(1).ack(4));
    puppet.write(b"d");
    assert_eq!(puppet.lines(), ["0.100 P. 4:5 ack 1"], "and nothing waits any more");
}

#[test]
fn full_segments_leave_and_the_tail_waits_to_be_filled() {
    let mut puppet = corked();
    puppet.write(&[1; 2_000]);
    assert_eq!(puppet.lines(), ["0.000 . 1:1461 ack 1"]);
    puppet.write(&[2; 920]);
    assert_eq!(puppet.lines(), ["0.000 P. 1461:2921 ack 1"], "the tail has become a full segment");
}

#[test]
fn no_delay_does_not_let_it_go() {
    let mut puppet = corked();
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_set_option(now, id, SocketOption::NoDelay(true));
    puppet.write(b"a");
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.cork(false);
    assert_eq!(puppet.lines(), ["0.000 P. 1:2 ack 1"]);
}

#[test]
fn an_application_that_finishes_has_no_more_to_write() {
    let mut puppet = corked();
    puppet.write(b"ab");
    puppet.finish();
    assert_eq!(puppet.lines(), ["0.000 FP. 1:3 ack 1"]);
}

#[test]
fn an_application_that_lets_go_has_no_more_to_write() {
    let mut puppet = corked();
    puppet.write(b"ab");
    puppet.close();
    assert_eq!(puppet.lines(), ["0.000 FP. 1:3 ack 1"]);
}

#[test]
fn urgent_data_waits_for_nothing() {
    let mut puppet = corked();
    puppet.write(b"ab");
    puppet.write_urgent(b"c");
    assert_eq!(puppet.lines(), ["0.000 PU. 1:4 ack 1 urg 3"]);
}

#[test]
fn nothing_waits_for_longer_than_a_time_out() {
    // RFC 1122 section 4.2.3.4: the override. Linux's ceiling is the same 200 ms.
    let mut puppet = corked();
    puppet.write(b"ab");
    puppet.run_for(210 * MS);
    assert_eq!(puppet.lines(), ["0.200 P. 1:3 ack 1"]);
    puppet.send(&seg(1).ack(3));
    puppet.write(b"c");
    puppet.run_for(190 * MS);
    assert_eq!(puppet.lines(), [""; 0], "what follows waits again");
    puppet.run_for(20 * MS);
    assert_eq!(puppet.lines(), ["0.410 P. 3:4 ack 1"], "and as long");
}

#[test]
fn a_peer_that_talks_does_not_put_that_time_off() {
    let mut puppet = corked();
    puppet.write(b"ab");
    for turn in 0..3 {
        puppet.run_for(60 * MS);
        puppet.send(&seg(1 + turn).ack(1).text(b"x"));
        puppet.read(1);
    }
    puppet.lines();
    puppet.run_for(60 * MS);
    let lines = puppet.lines();
    assert!(lines.contains(&"0.200 P. 1:3 ack 4".to_string()), "{lines:?}");
}

#[test]
fn while_something_is_in_flight_its_acknowledgement_is_waited_for() {
    let mut puppet = corked();
    puppet.write(&[1; 1_500]);
    assert_eq!(puppet.lines(), ["0.000 . 1:1461 ack 1"]);
    puppet.run_for(50 * MS);
    puppet.send(&seg(1).ack(1_461));
    puppet.run_for(400 * MS);
    assert_eq!(puppet.lines()[0], "0.250 P. 1461:1501 ack 1", "and from then on, a time-out");
}

#[test]
fn what_was_held_back_has_a_timer_of_its_own_once_it_has_left() {
    let mut puppet = corked();
    puppet.write(b"ab");
    puppet.run_for(150 * MS);
    puppet.cork(false);
    assert_eq!(puppet.lines(), ["0.150 P. 1:3 ack 1"]);
    puppet.run_for(250 * MS);
    assert_eq!(puppet.lines(), ["0.350 P. 1:3 ack 1"], "a time-out after it left (RFC 6298 section 5.1)");
}

#[test]
fn so_has_a_segment_that_was_filled_up() {
    let mut puppet = corked();
    puppet.write(b"ab");
    puppet.run_for(150 * MS);
    puppet.write(&[1; 1_460]);
    assert_eq!(puppet.lines(), ["0.150 . 1:1461 ack 1"]);
    puppet.run_for(250 * MS);
    assert_eq!(puppet.lines(), ["0.350 . 1:1461 ack 1"]);
    puppet.send(&seg(1).ack(1_461));
    puppet.cork(false);
    assert_eq!(puppet.lines(), ["0.400 P. 1461:1463 ack 1"]);
}

#[test]
fn the_tail_is_no_probe_of_the_flights_end() {
    // RFC 8985 section 7.3 prefers new text; but that is waited for.
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460).sack_permitted());
    puppet.cork(true);
    puppet.write(&[1; 1_460]);
    puppet.run_for(10 * MS);
    puppet.send(&seg(1).ack(1_461));
    puppet.lines();
    puppet.write(&[1; 3_000]);
    assert_eq!(puppet.lines(), ["0.010 . 1461:2921 ack 1", "0.010 . 2921:4381 ack 1"]);
    puppet.run_for(100 * MS);
    assert_eq!(puppet.lines(), ["0.012 . 2921:4381 ack 1"]);
}

#[test]
fn a_window_that_opens_lets_full_segments_go_and_no_tail() {
    let mut puppet = corked();
    puppet.send(&seg(1).ack(1).window(0));
    puppet.write(&[1; 1_500]);
    puppet.run_for(100 * MS);
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.send(&seg(1).ack(1).window(65_535));
    assert_eq!(puppet.lines(), ["0.100 . 1:1461 ack 1"]);
    puppet.send(&seg(1).ack(1_461).window(65_535));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.cork(false);
    assert_eq!(puppet.lines(), ["0.100 P. 1461:1501 ack 1"]);
}

#[test]
fn what_is_sent_again_takes_none_of_it_along() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.write(&[1; 100]);
    puppet.cork(true);
    puppet.write(&[2; 100]);
    puppet.run_for(300 * MS);
    assert_eq!(puppet.lines(), ["0.000 P. 1:101 ack 1", "0.200 . 1:101 ack 1"]);
    // Unless that fills a segment.
    puppet.write(&[3; 1_300]);
    puppet.run_for(400 * MS);
    assert_eq!(puppet.lines(), ["0.600 . 1:1461 ack 1"]);
}
