//! Keep-alive (RFC 1122 section 4.2.3.6).

use std::time::Duration;

use sim::Puppet;
use sim::puppet::seg;
use stack::Config;
use stack::tcp::{KeepAlive, Phase, SocketOption, TcpError};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn set(puppet: &mut Puppet, value: Option<KeepAlive>) {
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_set_option(now, id, SocketOption::KeepAlive(value));
    puppet.drain();
}

fn kept_alive() -> Puppet {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.send(&seg(1).ack(1).text(b"x"));
    puppet.write(b"y");
    puppet.send(&seg(2).ack(2));
    puppet.take();
    set(&mut puppet, Some(KeepAlive { idle: secs(60), interval: secs(5), probes: 3 }));
    puppet
}

#[test]
fn it_is_off_by_default_and_a_silent_connection_lives_for_ever() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.run_for(secs(365 * 86_400));
    assert_eq!(puppet.lines(), [""; 0]);
    assert_eq!(puppet.phase(), Phase::Established);
}

#[test]
fn the_default_is_two_hours() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    set(&mut puppet, Some(KeepAlive::default()));
    puppet.run_for(secs(7_199));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(secs(1));
    assert_eq!(puppet.take().len(), 1);
}

#[test]
fn probes_lie_one_before_the_next_number_and_carry_nothing() {
    let mut puppet = kept_alive();
    puppet.run_for(secs(64));
    assert_eq!(puppet.lines(), ["60.000 . 1:1 ack 2"]);
}

#[test]
fn unanswered_probes_end_the_connection() {
    let mut puppet = kept_alive();
    puppet.run_for(secs(74));
    assert_eq!(puppet.take().iter().map(|seen| seen.at.as_secs()).collect::<Vec<_>>(), [60, 65, 70]);
    assert_eq!(puppet.phase(), Phase::Established);
    puppet.run_for(secs(1));
    assert_eq!(puppet.phase(), Phase::Closed);
    assert_eq!(puppet.error(), Some(TcpError::TimedOut));
}

#[test]
fn an_answer_starts_the_idle_time_anew() {
    let mut puppet = kept_alive();
    puppet.run_for(secs(65));
    puppet.send(&seg(2).ack(2));
    puppet.take();
    puppet.run_for(secs(59));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(secs(1));
    assert_eq!(puppet.lines(), ["125.000 . 1:1 ack 2"]);
}

#[test]
fn a_peer_with_a_closed_window_is_alive_as_long_as_it_answers() {
    let mut puppet = kept_alive();
    for _ in 0..100 {
        puppet.run_for(secs(5));
        if !puppet.take().is_empty() {
            puppet.send(&seg(2).ack(2).window(0));
        }
    }
    assert_eq!(puppet.phase(), Phase::Established);
}

#[test]
fn a_peer_that_answers_is_alive_where_the_idle_time_is_shorter_than_the_interval() {
    // RFC 1122 section 4.2.3.6: only what is not answered says that the connection is dead.
    for window in [0, 1000] {
        let mut puppet = kept_alive();
        set(&mut puppet, Some(KeepAlive { idle: secs(1), interval: secs(5), probes: 3 }));
        for second in 1..500 {
            puppet.run_for(secs(1));
            let probed = puppet.take().len();
            assert_eq!(probed, usize::from(second % 5 == 1), "{second} s");
            (0..probed).for_each(|_| puppet.send(&seg(2).ack(2).window(window)));
        }
        assert_eq!(puppet.phase(), Phase::Established, "window {window}");
        puppet.run_for(secs(20));
        assert_eq!(puppet.error(), Some(TcpError::TimedOut), "window {window}");
    }
}

#[test]
fn times_of_nothing_are_survived() {
    let none = KeepAlive { idle: secs(0), interval: secs(0), probes: 3 };
    let mut puppet = kept_alive();
    set(&mut puppet, Some(none));
    puppet.run_for(Duration::from_millis(10));
    // The peer was heard when the first one left, which counts as its answer.
    let probes: Vec<_> = puppet.take().iter().map(|seen| seen.at.as_micros()).collect();
    assert_eq!((probes, puppet.error()), (vec![0, 1_000, 2_000, 3_000], Some(TcpError::TimedOut)));

    // Nor does text on its way, which puts probes off, make it ask for the same time again and again.
    let mut puppet = kept_alive();
    puppet.write(b"z");
    set(&mut puppet, Some(none));
    puppet.run_for(Duration::from_millis(100));
    assert_eq!((puppet.take().len(), puppet.phase()), (1, Phase::Established));
}

#[test]
fn it_can_be_switched_off_again() {
    let mut puppet = kept_alive();
    puppet.run_for(secs(61));
    puppet.take();
    set(&mut puppet, None);
    puppet.run_for(secs(86_400));
    assert_eq!(puppet.lines(), [""; 0]);
    assert!(puppet.stack.poll_timeout().is_never());
}

#[test]
fn the_peers_probes_are_answered_with_and_without_text() {
    let mut puppet = kept_alive();
    puppet.send(&seg(1).ack(2));
    puppet.send(&seg(1).ack(2).text(b"?"));
    assert_eq!(puppet.lines(), ["0.000 . 2:2 ack 2"; 2]);
    assert_eq!(puppet.read(10), b"x");
}
