//! The user timeout option (RFC 5482).

use std::time::Duration;

use sim::Puppet;
use sim::puppet::{Seg, seg};
use stack::Config;
use stack::tcp::{
    ConnectOptions, KeepAlive, ListenOptions, Phase, SocketOption, SocketOptions, SynCookies, TcpError,
    UserTimeoutOption,
};
use wire::tcp::TcpFlags;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// ENABLED, with this ADV_UTO in seconds.
fn advertising(seconds: u64) -> UserTimeoutOption {
    UserTimeoutOption::default().advertising(secs(seconds))
}

fn socket(option: UserTimeoutOption) -> SocketOptions {
    let mut socket = SocketOptions::default();
    socket.user_timeout_option = Some(option);
    socket
}

fn connecting(socket: SocketOptions) -> ConnectOptions {
    ConnectOptions { socket, ..ConnectOptions::default() }
}

fn listening() -> ListenOptions {
    let mut options = ListenOptions::default();
    options.socket = socket(advertising(120));
    options
}

/// A connection that advertises two minutes, to a peer whose SYN-ACK has `syn`'s options.
fn established(config: Config, syn: Seg) -> Puppet {
    Puppet::established_with(config, syn, &connecting(socket(advertising(120))), 1 << 16, 1 << 16)
}

fn set(puppet: &mut Puppet, option: SocketOption) {
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_set_option(now, id, option);
    puppet.drain();
}

fn user_timeout(puppet: &Puppet) -> Option<Duration> {
    puppet.stack.tcp_options(puppet.id()).expect("a connection").user_timeout
}

/// What is written now stays unanswered: the connection ends after `patience`, not before.
fn dies_after(puppet: &mut Puppet, patience: Duration) {
    puppet.write(b"x");
    puppet.run_for(patience - millis(1));
    assert_eq!(puppet.phase(), Phase::Established);
    puppet.run_for(millis(1));
    assert_eq!((puppet.phase(), puppet.error()), (Phase::Closed, Some(TcpError::TimedOut)));
}

#[test]
fn nobody_tells_a_user_timeout_who_was_not_asked_to() {
    // RFC 5482 section 3: ENABLED defaults to false, and applies to both sending and receiving.
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    puppet.send(&seg(0).ack(1).flags(TcpFlags::SYN).mss(1460).user_timeout(180));
    puppet.write(b"x");
    puppet.send(&seg(1).ack(2).user_timeout(200));
    assert_eq!(puppet.lines(), ["0.000 S 0:0 ack 0", "0.000 . 1:1 ack 1", "0.000 P. 1:2 ack 1"]);
    assert_eq!((user_timeout(&puppet), puppet.info().remote_user_timeout), (None, None));
}

#[test]
fn the_syn_and_the_first_segment_after_it_tell_it() {
    // RFC 5482 section 3: in the SYN, and SHOULD be in the first packet that does not have the SYN flag set.
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&connecting(socket(advertising(120))));
    puppet.send(&seg(0).ack(1).flags(TcpFlags::SYN).mss(1460));
    puppet.write(b"x");
    puppet.send(&seg(1).ack(2).text(b"y"));
    puppet.write(b"z");
    assert_eq!(
        puppet.lines(),
        ["0.000 S 0:0 ack 0 uto 120", "0.000 . 1:1 ack 1 uto 120", "0.000 P. 1:2 ack 1", "0.000 P. 2:3 ack 2"]
    );
}

#[test]
fn the_syn_ack_tells_it_and_the_first_segment_after_it() {
    let mut puppet = Puppet::new(Config::default());
    let listener = puppet.listen(listening());
    puppet.send(&seg(0).flags(TcpFlags::SYN).mss(1460).scale(3).sack_permitted());
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    puppet.write(b"x");
    puppet.send(&seg(1).ack(2));
    puppet.write(b"y");
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 1 uto 120", "0.000 P. 1:2 ack 1 uto 120", "0.000 P. 2:3 ack 1"]);
}

#[test]
fn what_is_advertised_without_a_word_is_five_minutes_or_the_applications_own() {
    // RFC 5482 section 3: if unspecified, ADV_UTO defaults to the default system-wide USER TIMEOUT.
    for (own, told) in [(None, " uto 300"), (Some(secs(45)), " uto 45")] {
        let mut socket = socket(UserTimeoutOption::default());
        socket.user_timeout = own;
        let mut puppet = Puppet::new(Config::default());
        puppet.connect(&connecting(socket));
        assert_eq!(puppet.lines(), [format!("0.000 S 0:0 ack 0{told}")]);
    }
}

#[test]
fn the_larger_of_both_ends_values_is_taken() {
    // RFC 5482 section 3.1: USER_TIMEOUT = min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT)).
    let mut puppet = established(Config::default(), seg(0).mss(1460).user_timeout(180));
    assert_eq!(user_timeout(&puppet), Some(secs(180)));
    dies_after(&mut puppet, secs(180));
    let mut puppet = established(Config::default(), seg(0).mss(1460).user_timeout(110));
    dies_after(&mut puppet, secs(120));
}

#[test]
fn a_listener_takes_what_the_syn_says() {
    let mut puppet = Puppet::new(Config::default());
    let listener = puppet.listen(listening());
    puppet.send(&seg(0).flags(TcpFlags::SYN).mss(1460).user_timeout(180));
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    dies_after(&mut puppet, secs(180));
}

#[test]
fn behind_a_syn_cookie_the_first_segment_says_it_again() {
    // RFC 5482 section 3: useful with SYN cookies, which record nothing of the SYN; so nobody knows either whether it is the
    // first that is answered, and no answer carries the option (section 4.1).
    let mut config = Config::default();
    config.tcp.syn_cookies = SynCookies::Always;
    let mut puppet = Puppet::new(config);
    let listener = puppet.listen(listening());
    puppet.send(&seg(0).flags(TcpFlags::SYN).mss(1460).user_timeout(180));
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 1"]);
    puppet.send(&seg(1).ack(1).user_timeout(180));
    puppet.accept(listener);
    dies_after(&mut puppet, secs(180));
    assert_eq!(puppet.lines()[0], "0.000 P. 1:2 ack 1 uto 120");
}

#[test]
fn a_long_one_outlives_the_number_of_retransmissions() {
    // RFC 5482 section 1: to survive extended periods without connectivity. R2 alone ends it after a quarter of an hour.
    let mut puppet = established(Config::default(), seg(0).mss(1460).user_timeout(3_000));
    dies_after(&mut puppet, secs(3_000));
}

#[test]
fn it_is_never_shorter_than_the_lower_limit() {
    // RFC 5482 section 3.1: L_LIMIT SHOULD be at least 100 s.
    let options = connecting(socket(advertising(1)));
    let syn = seg(0).mss(1460).user_timeout(1);
    let mut puppet = Puppet::established_with(Config::default(), syn, &options, 1 << 16, 1 << 16);
    dies_after(&mut puppet, secs(100));
}

#[test]
fn it_is_longer_than_the_retransmission_time_out() {
    // RFC 5482 section 3.1: L_LIMIT MUST be larger than the current RTO.
    let mut config = Config::default();
    config.tcp.rto_min = secs(90);
    let puppet = established(config, seg(0).mss(1460).user_timeout(1));
    assert_eq!(user_timeout(&puppet), Some(secs(180)));
}

#[test]
fn it_is_never_longer_than_the_upper_limit() {
    // RFC 5482 sections 3.1 and 6: the largest that can be told is 22 days.
    let mut puppet = established(Config::default(), seg(0).mss(1460).user_timeout(u64::MAX));
    assert_eq!(puppet.info().remote_user_timeout, Some(secs(32_767 * 60)));
    dies_after(&mut puppet, secs(3_600));
}

#[test]
fn an_application_that_has_set_its_own_keeps_it() {
    // RFC 5482 section 3.1: if CHANGEABLE is false, USER_TIMEOUT MUST NOT be changed; TCP SHOULD tell the application.
    let mut options = connecting(socket(advertising(120)));
    options.socket.user_timeout = Some(secs(30));
    let syn = seg(0).mss(1460).user_timeout(180);
    let mut puppet = Puppet::established_with(Config::default(), syn, &options, 1 << 16, 1 << 16);
    assert_eq!(puppet.info().remote_user_timeout, Some(secs(180)));
    dies_after(&mut puppet, secs(30));
}

#[test]
fn an_application_that_sets_its_own_late_takes_the_place_of_the_peers() {
    // RFC 5482 section 3: CHANGEABLE becomes false when an application explicitly sets USER_TIMEOUT.
    let mut puppet = established(Config::default(), seg(0).mss(1460).user_timeout(180));
    set(&mut puppet, SocketOption::UserTimeout(Some(secs(30))));
    puppet.send(&seg(1).ack(1).user_timeout(240));
    assert_eq!(user_timeout(&puppet), Some(secs(30)));
    assert_eq!(puppet.info().remote_user_timeout, Some(secs(240)));
    // And with none of its own any more, it follows the peer's again.
    set(&mut puppet, SocketOption::UserTimeout(None));
    assert_eq!(user_timeout(&puppet), Some(secs(240)));
    dies_after(&mut puppet, secs(240));
}

#[test]
fn an_application_may_listen_to_nobody() {
    // RFC 5482 section 3: applications can set or clear CHANGEABLE directly.
    let option = advertising(120).changeable(false);
    let syn = seg(0).mss(1460).user_timeout(180);
    let mut puppet = Puppet::established_with(Config::default(), syn, &connecting(socket(option)), 1 << 16, 1 << 16);
    assert_eq!((user_timeout(&puppet), puppet.info().remote_user_timeout), (None, Some(secs(180))));
    set(&mut puppet, SocketOption::UserTimeoutOption(Some(advertising(120))));
    assert_eq!(user_timeout(&puppet), Some(secs(180)));
    // Switched off, nothing is left of what was taken.
    set(&mut puppet, SocketOption::UserTimeoutOption(None));
    assert_eq!((user_timeout(&puppet), puppet.info().remote_user_timeout), (None, None));
}

#[test]
fn a_change_goes_with_the_next_segment() {
    // RFC 5482 section 3: SHOULD be in the next possible outgoing segment whenever a new user timeout is used.
    let mut puppet = established(Config::default(), seg(0).mss(1460));
    set(&mut puppet, SocketOption::UserTimeoutOption(Some(advertising(600))));
    assert_eq!(puppet.lines(), [""; 0], "it waits for a segment");
    puppet.send(&seg(1).ack(1).text(b"x"));
    puppet.run_for(millis(100));
    assert_eq!(puppet.lines(), ["0.040 . 1:1 ack 2 uto 600"]);
    puppet.send(&seg(2).ack(1).text(b"x"));
    puppet.run_for(millis(100));
    assert_eq!(puppet.lines(), ["0.140 . 1:1 ack 3"]);
}

#[test]
fn full_segments_make_room_for_it() {
    // RFC 9293 section 3.7.1: options come out of the text, so that no segment is larger than the path takes.
    let mut puppet = established(Config::default(), seg(0).mss(1460));
    set(&mut puppet, SocketOption::UserTimeoutOption(Some(advertising(600))));
    puppet.write(&[7; 2_920]);
    let lines = ["0.000 . 1:1457 ack 1 uto 600", "0.000 . 1457:2917 ack 1", "0.000 P. 2917:2921 ack 1"];
    assert_eq!(puppet.lines(), lines);
}

#[test]
fn a_segment_that_makes_room_for_it_is_full_and_holds_nothing_back() {
    // RFC 9293 sections 3.7.1 and 3.7.4: Eff.snd.MSS, by which Nagle's rule counts, is what the options leave.
    let mut puppet = established(Config::default(), seg(0).mss(1460));
    let tell = |puppet: &mut Puppet| set(puppet, SocketOption::UserTimeoutOption(Some(advertising(600))));
    tell(&mut puppet);
    puppet.write(&[7; 2_000]);
    assert_eq!(puppet.lines(), ["0.000 . 1:1457 ack 1 uto 600", "0.000 P. 1457:2001 ack 1"]);
    puppet.send(&seg(1).ack(2_001));
    // One that just fits beside it is full, too.
    tell(&mut puppet);
    puppet.write(&[7; 1_456]);
    puppet.write(b"x");
    assert_eq!(puppet.lines(), ["0.000 P. 2001:3457 ack 1 uto 600", "0.000 P. 3457:3458 ack 1"]);
    // And one that is small without it stays so, also what was small before it.
    tell(&mut puppet);
    puppet.write(b"y");
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.send(&seg(1).ack(3_458));
    puppet.write(b"z");
    assert_eq!(puppet.lines(), ["0.000 P. 3458:3459 ack 1 uto 600"]);
    tell(&mut puppet);
    puppet.write(&[7; 1_460]);
    assert_eq!(puppet.lines(), ["0.000 . 3459:4915 ack 1 uto 600"], "five bytes wait");
}

#[test]
fn a_request_of_one_full_segment_leaves_whole_with_the_handshake() {
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&connecting(socket(advertising(120))));
    puppet.write(&[7; 1_460]);
    puppet.take();
    puppet.send(&seg(0).ack(1).flags(TcpFlags::SYN).mss(1460));
    assert_eq!(puppet.lines(), ["0.000 . 1:1457 ack 1 uto 120", "0.000 P. 1457:1461 ack 1"]);
}

#[test]
fn what_is_sent_again_goes_without_it() {
    // RFC 5482 section 4.1: segments that carry it may be lost for that very reason.
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&connecting(socket(advertising(120))));
    puppet.run_for(millis(1_000));
    puppet.send(&seg(0).ack(1).flags(TcpFlags::SYN).mss(1460));
    assert_eq!(puppet.lines(), ["0.000 S 0:0 ack 0 uto 120", "1.000 S 0:0 ack 0", "1.000 . 1:1 ack 1 uto 120"]);
    set(&mut puppet, SocketOption::UserTimeoutOption(Some(advertising(600))));
    puppet.write(b"x");
    puppet.run_for(millis(3_000));
    assert_eq!(puppet.lines(), ["1.000 P. 1:2 ack 1 uto 600", "4.000 P. 1:2 ack 1"]);
}

#[test]
fn a_syn_ack_that_nobody_answers_goes_again_without_it() {
    // RFC 5482 section 4.1.
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(listening());
    puppet.send(&seg(0).flags(TcpFlags::SYN).mss(1460));
    puppet.run_for(millis(1_100));
    let told = puppet.take().into_iter().map(|seen| seen.options.user_timeout.map(|told| told.duration()));
    assert_eq!(told.collect::<Vec<_>>(), [Some(secs(120)), None]);
}

#[test]
fn a_syn_ack_that_a_repeated_syn_draws_goes_without_it() {
    // RFC 5482 section 4.1: the first one did not get through, perhaps for that very reason.
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(listening());
    for _ in 0..3 {
        puppet.send(&seg(0).flags(TcpFlags::SYN).mss(1460));
        puppet.run_for(millis(300));
    }
    let told: Vec<bool> = puppet.take().iter().map(|seen| seen.options.user_timeout.is_some()).collect();
    assert_eq!(told, [true, false, false]);
}

#[test]
fn a_later_segment_changes_it_and_one_that_is_not_acceptable_does_not() {
    let mut puppet = established(Config::default(), seg(0).mss(1460).user_timeout(180));
    puppet.send(&seg(1).ack(1).user_timeout(240));
    assert_eq!(user_timeout(&puppet), Some(secs(240)));
    // Beyond the window; of what was never sent; and a reset.
    puppet.send(&seg(100_000).ack(1).user_timeout(3_000));
    puppet.send(&seg(1).ack(2).user_timeout(3_000));
    puppet.send(&seg(2).flags(TcpFlags::RST).user_timeout(3_000));
    assert_eq!(user_timeout(&puppet), Some(secs(240)));
    assert_eq!(puppet.info().remote_user_timeout, Some(secs(240)));
}

#[test]
fn a_reserved_value_is_ignored() {
    // RFC 5482 section 3.4: zero, in seconds or minutes, MUST be ignored upon reception.
    let mut puppet = established(Config::default(), seg(0).mss(1460).user_timeout(180));
    for reserved in [0x0000_u16, 0x8000] {
        let mut frame = puppet.frame(&seg(1).ack(1).user_timeout(200));
        let at = frame.len() - 2;
        frame[at..].copy_from_slice(&reserved.to_be_bytes());
        // The urgent pointer, which says nothing without URG, makes up for it in the checksum.
        let pointer = 200_u16.wrapping_sub(reserved);
        let pointer = if reserved > 200 { pointer - 1 } else { pointer };
        frame[14 + 20 + 18..14 + 20 + 20].copy_from_slice(&pointer.to_be_bytes());
        let before = puppet.info().remote_user_timeout;
        puppet.send_frame(&frame);
        assert_eq!(puppet.info().remote_user_timeout, before);
        assert!(puppet.stack.discards().iter().all(|(_, count)| count == 0), "it was taken, but for the option");
    }
    assert_eq!(user_timeout(&puppet), Some(secs(180)));
}

#[test]
fn a_peer_that_changes_its_mind_all_the_time_costs_nothing_and_never_passes_the_limits() {
    let mut puppet = established(Config::default(), seg(0).mss(1460));
    puppet.send(&seg(1).ack(1).user_timeout(1));
    puppet.take();
    for round in 0..5_000_u64 {
        puppet.send(&seg(1).ack(1).user_timeout(1 + round * round));
        let taken = user_timeout(&puppet).expect("one that was taken");
        assert!(taken >= secs(120) && taken <= secs(3_600), "{taken:?}");
    }
    assert_eq!(puppet.lines(), [""; 0], "nothing is answered");
}

#[test]
fn an_orphan_is_kept_no_longer_for_it() {
    // RFC 5482 section 6: the number of retransmissions ends what nobody has any more.
    let ends_at = |syn| {
        let mut puppet = established(Config::default(), syn);
        puppet.write(b"x");
        puppet.close();
        while puppet.stack.tcp_counts().0 > 0 {
            puppet.run_for(secs(1));
        }
        puppet.now()
    };
    assert_eq!(ends_at(seg(0).mss(1460).user_timeout(3_600)), ends_at(seg(0).mss(1460)));
    assert_eq!(ends_at(seg(0).mss(1460).user_timeout(1)), secs(120), "it may end sooner");
}

#[test]
fn an_orphan_at_a_closed_window_is_kept_no_longer_for_it() {
    let ends_at = |syn| {
        let mut puppet = established(Config::default(), syn);
        puppet.send(&seg(1).ack(1).window(0));
        puppet.write(b"x");
        puppet.close();
        while puppet.stack.tcp_counts().0 > 0 {
            puppet.run_for(secs(1));
        }
        puppet.now()
    };
    assert_eq!(ends_at(seg(0).mss(1460).user_timeout(3_600)), ends_at(seg(0).mss(1460)));
}

#[test]
fn unanswered_window_probes_are_borne_as_long() {
    let mut puppet = established(Config::default(), seg(0).mss(1460).user_timeout(3_000));
    puppet.send(&seg(1).ack(1).window(0));
    puppet.write(b"x");
    puppet.run_for(secs(2_990));
    assert_eq!(puppet.phase(), Phase::Established);
    puppet.run_for(secs(30));
    assert_eq!(puppet.error(), Some(TcpError::TimedOut));
}

#[test]
fn keep_alive_waits_longer_than_it() {
    // RFC 5482 section 4.2: the keep-alive timer MUST be larger than the adopted user timeout.
    let mut options = connecting(socket(advertising(120)));
    options.socket.keep_alive = Some(KeepAlive { idle: secs(10), interval: secs(5), probes: 3 });
    let mut puppet =
        Puppet::established_with(Config::default(), seg(0).mss(1460).user_timeout(180), &options, 1 << 16, 1 << 16);
    puppet.run_for(secs(185));
    assert_eq!(puppet.lines(), ["181.000 . 0:0 ack 1"]);
    // Without a word of the peer's the application's own times hold.
    let mut puppet = Puppet::established_with(Config::default(), seg(0).mss(1460), &options, 1 << 16, 1 << 16);
    puppet.run_for(secs(14));
    assert_eq!(puppet.lines(), ["10.000 . 0:0 ack 1"]);
}

#[test]
fn keep_alive_is_the_applications_again_when_nothing_is_adopted_any_more() {
    // RFC 5482 section 4.2 puts it off for an adopted user timeout, and for no other.
    for change in [SocketOption::UserTimeoutOption(None), SocketOption::UserTimeout(Some(secs(5)))] {
        let mut options = connecting(socket(advertising(120)));
        options.socket.keep_alive = Some(KeepAlive { idle: secs(10), interval: secs(5), probes: 3 });
        let syn = seg(0).mss(1460).user_timeout(3_000);
        let mut puppet = Puppet::established_with(Config::default(), syn, &options, 1 << 16, 1 << 16);
        // Its time passes, and is put off to 3,001 s.
        puppet.run_for(secs(20));
        set(&mut puppet, change);
        puppet.run_for(secs(1));
        assert!(!puppet.take().is_empty(), "no probe after {change:?}");
    }
}

#[test]
fn keep_alive_waits_no_longer_than_for_what_the_peer_said_last() {
    let mut options = connecting(socket(advertising(120)));
    options.socket.keep_alive = Some(KeepAlive { idle: secs(10), interval: secs(5), probes: 3 });
    let syn = seg(0).mss(1460).user_timeout(3_000);
    let mut puppet = Puppet::established_with(Config::default(), syn, &options, 1 << 16, 1 << 16);
    puppet.run_for(secs(20));
    puppet.send(&seg(1).ack(1).user_timeout(180));
    puppet.run_for(secs(185));
    assert_eq!(puppet.lines(), ["201.000 . 0:0 ack 1"]);
}

#[test]
fn a_simultaneous_open_tells_it_too() {
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&connecting(socket(advertising(120))));
    puppet.send(&seg(0).flags(TcpFlags::SYN).mss(1460).user_timeout(180));
    assert_eq!(puppet.lines(), ["0.000 S 0:0 ack 0 uto 120", "0.000 S. 0:0 ack 1 uto 120"]);
    assert_eq!(user_timeout(&puppet), None, "RFC 5482 section 3.3: only in synchronized states");
    puppet.send(&seg(1).ack(1));
    dies_after(&mut puppet, secs(180));
}

#[test]
fn more_time_outs_are_borne_than_their_count_can_tell() {
    // RFC 5482 section 1. The count, of eight bits, stands at its most from then on.
    let mut config = Config::default();
    config.tcp.rto_max = secs(10);
    let puppet = established(config.clone(), seg(0).mss(1460).user_timeout(3_600));
    let mut options = ConnectOptions::default();
    options.socket.user_timeout = Some(secs(3_600));
    let own = Puppet::established_with(config, seg(0).mss(1460), &options, 1 << 16, 1 << 16);
    for mut puppet in [puppet, own] {
        puppet.write(&[1; 1_460]);
        puppet.run_for(secs(3_000));
        assert_eq!((puppet.phase(), puppet.info().timeouts), (Phase::Established, u8::MAX));
        puppet.run_for(secs(600));
        assert_eq!(puppet.error(), Some(TcpError::TimedOut));
    }
}

#[test]
fn limits_may_be_the_largest_there_are() {
    let mut config = Config::default();
    (config.tcp.user_timeout_min, config.tcp.user_timeout_max) = (Duration::MAX, Duration::MAX);
    let mut options = connecting(socket(advertising(120)));
    options.socket.keep_alive = Some(KeepAlive { idle: secs(10), interval: secs(5), probes: 3 });
    let mut puppet = Puppet::established_with(config, seg(0).mss(1460).user_timeout(180), &options, 1 << 16, 1 << 16);
    puppet.run_for(secs(20));
    assert_eq!((puppet.phase(), user_timeout(&puppet)), (Phase::Established, Some(Duration::MAX)));
}
