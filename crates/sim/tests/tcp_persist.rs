//! Probing a closed window (RFC 9293 section 3.8.6.1, RFC 1122 section 4.2.2.17).

use std::time::Duration;

use sim::Puppet;
use sim::puppet::seg;
use stack::Config;
use stack::tcp::{ConnectOptions, Phase, TcpError};

/// A connection to a peer whose window is closed, with something to send.
fn shut_out() -> Puppet {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.send(&seg(1).ack(1).window(0));
    puppet.write(b"patience");
    assert_eq!(puppet.lines(), [""; 0]);
    puppet
}

/// The times of the probes within `span`, in milliseconds. The peer answers each if `answers`.
fn probes(puppet: &mut Puppet, span: Duration, answers: bool) -> Vec<u64> {
    let end = puppet.now() + span;
    let step = (span / 10_000).max(Duration::from_millis(50));
    let mut times = Vec::new();
    while puppet.now() < end {
        puppet.run_for(step);
        for seen in puppet.take() {
            assert_eq!((seen.seq, seen.text.as_slice()), (1, b"p".as_slice()));
            times.push(seen.at.as_millis() as u64);
            if answers {
                puppet.send(&seg(1).ack(1).window(0));
            }
        }
    }
    times
}

#[test]
fn the_first_probe_goes_after_a_time_out_and_the_pauses_double_up_to_a_minute() {
    for answers in [false, true] {
        let mut puppet = shut_out();
        let times = probes(&mut puppet, Duration::from_secs(200), answers);
        let pauses: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(times[0], 200);
        assert_eq!(pauses, [400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 60_000], "answered: {answers}");
    }
}

#[test]
fn a_peer_that_answers_may_keep_its_window_closed_for_ever() {
    let mut puppet = shut_out();
    probes(&mut puppet, Duration::from_secs(24 * 3600), true);
    assert_eq!(puppet.phase(), Phase::Established);
    puppet.send(&seg(1).ack(1).window(8));
    assert_eq!(puppet.take().iter().map(|seen| seen.text.clone()).collect::<Vec<_>>(), [b"patience"]);
}

#[test]
fn a_peer_that_answers_no_probe_is_given_up() {
    let mut puppet = shut_out();
    probes(&mut puppet, Duration::from_secs(3600), false);
    assert_eq!(puppet.phase(), Phase::Closed);
    assert_eq!(puppet.error(), Some(TcpError::TimedOut));
}

#[test]
fn a_peer_that_answers_but_never_opens_its_window_does_not_hold_an_orphan_for_ever() {
    // RFC 9293 leaves it open how long; nobody is left to decide.
    let mut puppet = shut_out();
    puppet.close();
    probes(&mut puppet, Duration::from_secs(1_200), true);
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
}

#[test]
fn the_window_update_ends_probing_and_everything_is_sent() {
    let mut puppet = shut_out();
    puppet.run_for(Duration::from_millis(500));
    assert_eq!(puppet.lines(), ["0.200 . 1:2 ack 1"]);
    puppet.send(&seg(1).ack(1).window(1_000));
    assert_eq!(puppet.lines(), ["0.500 P. 1:9 ack 1"]);
    puppet.send(&seg(1).ack(9).window(1_000));
    assert!(probes(&mut puppet, Duration::from_secs(100), false).is_empty());
}

#[test]
fn a_probe_byte_that_was_taken_is_not_sent_again() {
    let mut puppet = shut_out();
    puppet.run_for(Duration::from_millis(200));
    puppet.take();
    puppet.send(&seg(1).ack(2).window(0));
    puppet.run_for(Duration::from_millis(200));
    assert_eq!(puppet.lines(), ["0.400 . 2:3 ack 1"]);
    puppet.send(&seg(1).ack(3).window(100));
    assert_eq!(puppet.lines(), ["0.400 P. 3:9 ack 1"]);
}

#[test]
fn a_window_too_small_for_a_segment_is_used_after_a_time_out() {
    // RFC 1122 section 4.2.3.4: the override of the sender's silly-window avoidance.
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.send(&seg(1).ack(1).window(100));
    puppet.write(&[7; 5_000]);
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(Duration::from_millis(200));
    let seen = puppet.take();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].at.as_millis(), seen[0].text.len()), (200, 100));
}

#[test]
fn probes_that_were_answered_leave_no_tail_loss_probe_behind() {
    // RFC 8985 section 7 asks what became of a flight; a probe of a closed window is none. One would go twice when it opens.
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460).sack_permitted());
    puppet.send(&seg(1).ack(1).window(0));
    puppet.write(b"patience");
    probes(&mut puppet, Duration::from_secs(2), true);
    puppet.run_for(Duration::from_millis(300));
    puppet.take();
    puppet.send(&seg(1).ack(1).window(1_000));
    assert_eq!(puppet.lines().len(), 1, "everything, once");
    puppet.send(&seg(1).ack(9).window(1_000));
    puppet.run_for(Duration::from_secs(10));
    assert_eq!(puppet.lines(), [""; 0]);
}

#[test]
fn probes_that_find_no_neighbour_end_the_connection_as_unanswered_ones_do() {
    // RFC 1122 section 4.2.2.17, RFC 9293 section 3.9.1.
    let minute = Duration::from_secs(60);
    for (user_timeout, least, most) in [(None, 5 * minute, 60 * minute), (Some(30 * minute), 30 * minute, 31 * minute)]
    {
        let mut options = ConnectOptions::default();
        options.socket.user_timeout = user_timeout;
        let mut puppet = Puppet::established_with(Config::default(), seg(0).mss(1460), &options, 1 << 16, 1 << 16);
        puppet.send(&seg(1).ack(1).window(0));
        let (now, interface) = (puppet.instant(), puppet.interface);
        puppet.stack.clear_neighbors(now, interface);
        puppet.write(b"patience");
        puppet.run_for(least);
        assert_eq!(puppet.phase(), Phase::Established, "with {user_timeout:?}");
        puppet.run_for(most - least);
        assert_eq!(
            (puppet.phase(), puppet.error()),
            (Phase::Closed, Some(TcpError::TimedOut)),
            "with {user_timeout:?}"
        );
    }
}
