//! When what was written goes (RFC 9293 section 3.10.2): Nagle's rule in Minshall's form, its switch (RFC 1122 section
//! 4.2.3.4), and PSH.

use std::time::Duration;

use sim::Puppet;
use sim::puppet::seg;
use stack::Config;
use stack::tcp::SocketOption;

fn established() -> Puppet {
    Puppet::established(Config::default(), seg(0).mss(1460))
}

#[test]
fn a_second_small_segment_waits_for_the_ack_of_the_first() {
    let mut puppet = established();
    puppet.write(b"a");
    assert_eq!(puppet.lines(), ["0.000 P. 1:2 ack 1"]);
    puppet.write(b"b");
    puppet.write(b"c");
    puppet.run_for(Duration::from_millis(100));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.send(&seg(1).ack(2));
    assert_eq!(puppet.lines(), ["0.100 P. 2:4 ack 1"], "both in one segment");
}

#[test]
fn full_segments_never_wait() {
    let mut puppet = established();
    puppet.write(b"a");
    puppet.write(&[1; 1_459]);
    assert_eq!(puppet.lines(), ["0.000 P. 1:2 ack 1"]);
    puppet.write(b"b");
    assert_eq!(puppet.lines(), ["0.000 P. 2:1462 ack 1"]);
}

#[test]
fn the_small_tail_of_a_large_write_goes_at_once() {
    // Minshall's form: only an earlier small segment holds a small one back, so that a request of one and a half segments
    // does not wait for a delayed ACK.
    let mut puppet = established();
    puppet.write(&[1; 2_000]);
    assert_eq!(puppet.lines(), ["0.000 . 1:1461 ack 1", "0.000 P. 1461:2001 ack 1"]);
    puppet.write(&[2; 2_000]);
    assert_eq!(puppet.lines(), ["0.000 . 2001:3461 ack 1"], "but the next tail waits for this one");
    puppet.send(&seg(1).ack(2_001));
    assert_eq!(puppet.lines(), ["0.000 P. 3461:4001 ack 1"]);
}

#[test]
fn no_delay_sends_at_once_and_releases_what_waits_when_it_is_set() {
    let mut puppet = established();
    puppet.write(b"a");
    puppet.write(b"b");
    assert_eq!(puppet.lines(), ["0.000 P. 1:2 ack 1"]);
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_set_option(now, id, SocketOption::NoDelay(true));
    puppet.drain();
    assert_eq!(puppet.lines(), ["0.000 P. 2:3 ack 1"]);
    puppet.write(b"c");
    puppet.write(b"d");
    assert_eq!(puppet.lines(), ["0.000 P. 3:4 ack 1", "0.000 P. 4:5 ack 1"]);
}

#[test]
fn the_last_bytes_before_a_fin_do_not_wait() {
    let mut puppet = established();
    puppet.write(b"a");
    puppet.write(b"b");
    puppet.finish();
    assert_eq!(puppet.lines(), ["0.000 P. 1:2 ack 1", "0.000 FP. 2:3 ack 1"]);
}

#[test]
fn a_small_segment_is_retransmitted_whatever_waits() {
    let mut puppet = established();
    puppet.write(b"a");
    puppet.write(b"b");
    puppet.run_for(Duration::from_millis(200));
    assert_eq!(puppet.lines(), ["0.000 P. 1:2 ack 1", "0.200 P. 1:3 ack 1"]);
}

#[test]
fn the_last_segment_of_what_was_written_is_pushed() {
    // RFC 9293 section 3.9.1.2: a sender that buffers sets PSH on the last segment of its buffer.
    let mut puppet = established();
    puppet.write(&[1; 4_000]);
    assert_eq!(puppet.lines(), ["0.000 . 1:1461 ack 1", "0.000 . 1461:2921 ack 1", "0.000 P. 2921:4001 ack 1"]);
}
