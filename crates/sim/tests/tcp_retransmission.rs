//! Retransmission by time (RFC 6298, RFC 9293 section 3.8.1) and its limits (RFC 9293 section 3.8.3, RFC 5482).

use std::time::Duration;

use sim::Puppet;
use sim::puppet::{PUPPET, seg};
use stack::Config;
use stack::tcp::{Algorithm, ConnectOptions, Phase, SocketOption, SocketOptions, TcpError};
use wire::ethernet::MacAddr;
use wire::tcp::{TcpFlags, Timestamps};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A connection whose handshake took `rtt`.
fn established_in(rtt: Duration) -> Puppet {
    let mut config = Config::default();
    config.tcp.congestion = Algorithm::NewReno;
    // The size is not what is wrong here.
    config.tcp.path_probing = false;
    let mut puppet = Puppet::new(config);
    puppet.connect(&ConnectOptions::default());
    puppet.run_for(rtt);
    puppet.send(&seg(0).flags(TcpFlags::SYN).ack(1).mss(1460));
    puppet.take();
    puppet
}

#[test]
fn the_first_measurement_sets_the_time_out() {
    // RFC 6298 section 2.2: SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 * RTTVAR.
    let puppet = established_in(millis(100));
    let info = puppet.info();
    assert_eq!(info.srtt, Some(millis(100)));
    assert_eq!(info.rttvar, millis(50));
    assert_eq!(info.rto, millis(300));
}

#[test]
fn later_measurements_smooth_it() {
    // RFC 6298 section 2.3: RTTVAR = 3/4 * 50 + 1/4 * |100 - 180|, SRTT = 7/8 * 100 + 1/8 * 180.
    let mut puppet = established_in(millis(100));
    puppet.write(b"x");
    puppet.run_for(millis(180));
    puppet.send(&seg(1).ack(2));
    let info = puppet.info();
    assert_eq!(info.srtt, Some(millis(110)));
    assert_eq!(info.rttvar, Duration::from_micros(57_500));
    assert_eq!(info.rto, millis(340));
}

#[test]
fn the_time_out_doubles_and_each_time_the_oldest_segment_goes_again() {
    // RFC 6298 sections 5.1 and 5.4 to 5.6.
    let mut puppet = established_in(millis(100));
    puppet.write(&[1; 4_000]);
    puppet.run_for(millis(2_200));
    assert_eq!(
        puppet.lines(),
        [
            "0.100 . 1:1461 ack 1",
            "0.100 . 1461:2921 ack 1",
            "0.100 P. 2921:4001 ack 1",
            "0.400 . 1:1461 ack 1",
            "1.000 . 1:1461 ack 1",
            "2.200 . 1:1461 ack 1",
        ]
    );
    assert_eq!(puppet.info().timeouts, 3);
}

#[test]
fn an_ack_of_new_data_starts_the_timer_anew() {
    // RFC 6298 section 5.3: both segments went at 0.100; the ACK at 0.350 gives the second another 300 ms or more.
    let mut puppet = established_in(millis(100));
    puppet.write(&[1; 2_920]);
    puppet.take();
    puppet.run_for(millis(100));
    puppet.send(&seg(1).ack(1_461));
    let rto = puppet.info().rto;
    puppet.run_for(rto - millis(1));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(millis(1));
    assert_eq!(puppet.take().len(), 1);
}

#[test]
fn the_timer_is_off_when_everything_is_acknowledged() {
    // RFC 6298 section 5.2.
    let mut puppet = established_in(millis(100));
    puppet.write(b"x");
    puppet.send(&seg(1).ack(2));
    puppet.run_for(Duration::from_secs(3600));
    assert_eq!(puppet.lines(), ["0.100 P. 1:2 ack 1"]);
    assert!(puppet.stack.poll_timeout().is_never());
}

#[test]
fn the_time_out_is_never_below_the_configured_least_nor_above_the_most() {
    let mut puppet = established_in(Duration::from_micros(50));
    assert_eq!(puppet.info().rto, millis(200));
    puppet.write(b"x");
    puppet.run_for(Duration::from_secs(300));
    assert_eq!(puppet.info().rto, Duration::from_secs(120));
}

#[test]
fn a_retransmitted_segment_is_not_measured() {
    // RFC 6298 section 3 (Karn), without timestamps.
    let mut puppet = established_in(millis(100));
    let before = puppet.info().srtt;
    puppet.write(b"x");
    puppet.run_for(millis(350));
    assert_eq!(puppet.take().len(), 2);
    puppet.send(&seg(1).ack(2));
    assert_eq!(puppet.info().srtt, before);
    assert_eq!(puppet.info().rto, millis(600), "the back-off holds until something is measured");
    puppet.write(b"y");
    puppet.run_for(millis(100));
    puppet.send(&seg(1).ack(3));
    assert!(puppet.info().rto < millis(400));
}

#[test]
fn nor_is_what_waited_behind_its_gap() {
    // RFC 6298 section 3: the second and third arrived at once, but their acknowledgement had to wait for the first.
    let mut puppet = established_in(millis(100));
    let before = puppet.info().srtt;
    puppet.write(&[1; 3 * 1_460]);
    puppet.run_for(Duration::from_secs(3));
    assert!(puppet.info().retransmissions > 0);
    puppet.send(&seg(1).ack(1 + 3 * 1_460));
    assert_eq!((puppet.info().in_flight, puppet.info().srtt), (0, before));
}

#[test]
fn with_timestamps_a_retransmitted_segment_is_measured_and_the_back_off_ends() {
    // RFC 7323 section 4: the echo tells the copies apart.
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    let Some(Timestamps { value, .. }) = puppet.take()[0].options.timestamps else { panic!("no timestamps offered") };
    puppet.run_for(millis(100));
    puppet.send(&seg(0).flags(TcpFlags::SYN).ack(1).mss(1460).timestamps(1, value));
    puppet.write(&[1; 3_000]);
    puppet.run_for(millis(350));
    assert_eq!(puppet.info().timeouts, 1);
    assert_eq!(puppet.info().rto, millis(600));
    let again = puppet.take().pop().expect("a retransmission");
    let Some(Timestamps { value, .. }) = again.options.timestamps else { panic!("no timestamps") };
    puppet.run_for(millis(150));
    puppet.send(&seg(1).ack(1_449).timestamps(2, value));
    let info = puppet.info();
    assert_eq!(info.timeouts, 0);
    assert!(info.rto < millis(400), "measured while more is still to be repaired: {:?}", info.rto);
    // The copy went at 0.4 s, the ACK came at 0.6 s: 7/8 * 100 + 1/8 * 200.
    assert_eq!(info.srtt, Some(Duration::from_micros(112_500)));
}

#[test]
fn after_a_time_out_all_that_was_in_flight_goes_again_in_slow_start() {
    // RFC 5681 section 3.1: the loss window is one segment; RFC 6298 section 5.4.
    let mut puppet = established_in(millis(100));
    puppet.write(&[1; 14_600]);
    assert_eq!(puppet.take().len(), 10);
    puppet.run_for(millis(300));
    assert_eq!(puppet.lines(), ["0.400 . 1:1461 ack 1"]);
    let info = puppet.info();
    assert_eq!((info.congestion_window, info.slow_start_threshold), (1_460, 7_300));
    puppet.send(&seg(1).ack(1_461));
    assert_eq!(puppet.lines(), ["0.400 . 1461:2921 ack 1", "0.400 . 2921:4381 ack 1"]);
    // The rest had arrived: nothing of it goes again.
    puppet.send(&seg(1).ack(14_601));
    assert_eq!(puppet.lines(), [""; 0]);
    assert_eq!(puppet.info().in_flight, 0);
}

#[test]
fn fifteen_retransmissions_without_an_answer_end_the_connection() {
    let mut puppet = established_in(millis(100));
    puppet.write(b"x");
    puppet.run_for(Duration::from_secs(3_600));
    assert_eq!(puppet.take().len(), 16);
    assert_eq!(puppet.phase(), Phase::Closed);
    assert_eq!(puppet.error(), Some(TcpError::TimedOut));
    assert!(puppet.stack.poll_timeout().is_never());
}

#[test]
fn a_lost_fin_is_sent_again_and_has_the_same_limit() {
    let mut puppet = established_in(millis(100));
    puppet.close();
    puppet.run_for(millis(1_000));
    assert_eq!(puppet.lines(), ["0.100 F. 1:1 ack 1", "0.400 F. 1:1 ack 1", "1.000 F. 1:1 ack 1"]);
    puppet.run_for(Duration::from_secs(3_600));
    assert_eq!(puppet.take().len(), 13);
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
}

#[test]
fn a_user_time_out_ends_the_connection_at_its_time() {
    // RFC 5482.
    let options = ConnectOptions {
        socket: {
            let mut socket = SocketOptions::default();
            socket.user_timeout = Some(millis(1_500));
            socket
        },
        ..ConnectOptions::default()
    };
    let mut puppet = Puppet::established_with(Config::default(), seg(0).mss(1460), &options, 1 << 16, 1 << 16);
    puppet.run_for(Duration::from_secs(100));
    assert_eq!(puppet.phase(), Phase::Established, "it counts only while something is unanswered");
    puppet.write(b"x");
    puppet.run_for(millis(1_499));
    assert_eq!(puppet.phase(), Phase::Established);
    puppet.run_for(millis(1));
    assert_eq!(puppet.error(), Some(TcpError::TimedOut));
}

#[test]
fn a_user_time_out_may_be_set_late() {
    let mut puppet = established_in(millis(100));
    puppet.write(b"x");
    puppet.run_for(millis(100));
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_set_option(now, id, SocketOption::UserTimeout(Some(millis(500))));
    puppet.drain();
    puppet.run_for(millis(399));
    assert_eq!(puppet.phase(), Phase::Established);
    puppet.run_for(millis(1));
    assert_eq!(puppet.phase(), Phase::Closed);
}

#[test]
fn text_that_finds_no_neighbour_ends_the_connection_as_time_outs_do() {
    // RFC 9293 section 3.8.3: R2 by the count, and section 3.9.1's user timeout by its time.
    let hour = Duration::from_secs(3_600);
    for (user_timeout, least, most) in [(None, hour / 8, hour), (Some(hour / 2), hour / 2, hour / 2 + millis(10_000))] {
        let mut options = ConnectOptions::default();
        options.socket.user_timeout = user_timeout;
        let mut puppet = Puppet::established_with(Config::default(), seg(0).mss(1460), &options, 1 << 16, 1 << 16);
        let (now, interface) = (puppet.instant(), puppet.interface);
        puppet.stack.clear_neighbors(now, interface);
        puppet.write(b"x");
        puppet.run_for(least);
        assert_eq!(puppet.phase(), Phase::Established, "with {user_timeout:?}");
        puppet.run_for(most - least);
        assert_eq!(
            (puppet.phase(), puppet.error()),
            (Phase::Closed, Some(TcpError::TimedOut)),
            "with {user_timeout:?}"
        );
        assert!(puppet.stack.poll_timeout().is_never());
    }
}

#[test]
fn text_that_finds_a_neighbour_late_arrives() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    let (now, interface) = (puppet.instant(), puppet.interface);
    puppet.stack.clear_neighbors(now, interface);
    puppet.write(&[1; 2_000]);
    puppet.run_for(Duration::from_secs(60));
    assert_eq!(puppet.lines(), [""; 0]);
    let now = puppet.instant();
    puppet.stack.add_static_neighbor(now, interface, PUPPET.into(), MacAddr([2, 0, 0, 0, 0, 2]));
    puppet.drain();
    let mut arrived = 0;
    for _ in 0..60 {
        puppet.run_for(Duration::from_secs(1));
        for seen in puppet.take() {
            arrived = arrived.max(seen.seq + seen.text.len() as u32);
            puppet.send(&seg(1).ack(arrived));
        }
    }
    assert_eq!((arrived, puppet.info().in_flight), (2_001, 0));
}
