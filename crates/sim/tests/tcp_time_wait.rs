//! TIME-WAIT (RFC 9293 sections 3.6.1 and 3.10.7.4, RFC 1337, RFC 6191).

use std::net::SocketAddrV4;
use std::time::Duration;

use sim::Puppet;
use sim::puppet::{ENGINE, PUPPET, PUPPET_PORT, Seg, seg};
use stack::tcp::{ConnectError, ConnectOptions, ListenOptions, ListenerId, Phase, SynCookies, heap_rings};
use stack::{Config, Discard};
use wire::tcp::TcpFlags;

const FIN: TcpFlags = TcpFlags::FIN;
const SYN: TcpFlags = TcpFlags::SYN;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A connection that came in to port 80 and was closed by us first; `times` puts a timestamp on a segment or not.
fn waiting(times: impl Fn(Seg, u32) -> Seg) -> Puppet {
    let (mut puppet, _) =
        Puppet::accepted(Config::default(), times(seg(0).mss(1460), 1_000), &times(seg(1).ack(1), 1_000));
    puppet.close();
    puppet.send(&times(seg(1).ack(2), 1_001));
    puppet.send(&times(seg(1).ack(2).flags(FIN), 1_002));
    assert_eq!(puppet.take().last().map(|seen| seen.ack), Some(2));
    assert_eq!(puppet.stack.tcp_counts(), (0, 1));
    puppet
}

fn without(segment: Seg, _: u32) -> Seg {
    segment
}

fn with(segment: Seg, value: u32) -> Seg {
    segment.timestamps(value, 0)
}

#[test]
fn it_lasts_a_minute_and_then_nothing_is_left() {
    let mut puppet = waiting(without);
    puppet.run_for(secs(60) - Duration::from_nanos(1));
    assert_eq!(puppet.stack.tcp_counts(), (0, 1));
    puppet.run_for(Duration::from_nanos(1));
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
    assert!(puppet.stack.poll_timeout().is_never());
}

#[test]
fn the_peers_fin_again_is_acknowledged_and_the_wait_begins_anew() {
    let mut puppet = waiting(with);
    puppet.run_for(secs(50));
    puppet.send(&with(seg(1).ack(2).flags(FIN), 1_003));
    let seen = puppet.take();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].line(), "50.000 . 2:2 ack 2");
    assert!(seen[0].options.timestamps.is_some());
    puppet.run_for(secs(59));
    assert_eq!(puppet.stack.tcp_counts(), (0, 1));
    puppet.run_for(secs(1));
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
}

#[test]
fn a_reset_does_not_cut_it_short() {
    // RFC 1337 section 3.
    let mut puppet = waiting(without);
    puppet.send(&seg(2).flags(TcpFlags::RST));
    puppet.send(&seg(2).flags(TcpFlags::RST).ack(2));
    assert_eq!(puppet.lines(), [""; 0]);
    assert_eq!(puppet.stack.tcp_counts(), (0, 1));
}

#[test]
fn bytes_that_the_application_has_not_read_outlive_it() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.finish();
    puppet.send(&seg(1).ack(2).flags(FIN).text(b"last words"));
    assert_eq!(puppet.phase(), Phase::TimeWait);
    puppet.run_for(secs(3_600));
    assert_eq!(puppet.stack.tcp_counts(), (1, 0), "only the handle is left");
    assert_eq!(puppet.read(100), b"last words");
    assert!(puppet.rings.as_ref().is_some_and(|rings| rings.receive.is_finished()));
    assert_eq!(puppet.error(), None);
    puppet.close();
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
}

#[test]
fn a_syn_with_a_higher_number_takes_the_place() {
    // RFC 1122 section 4.2.2.13.
    let mut puppet = waiting(without);
    let old = puppet.engine_isn();
    puppet.send(&seg(100_000).flags(SYN).mss(1460));
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 100001"]);
    assert!(puppet.engine_isn().after(old + 2), "numbers above the old ones");
    assert_eq!(puppet.stack.tcp_counts(), (1, 0));
}

#[test]
fn a_syn_with_an_old_number_is_answered_by_an_ack_and_takes_nothing() {
    let mut puppet = waiting(without);
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.send(&seg(2).flags(SYN).mss(1460));
    assert_eq!(puppet.lines(), ["0.000 . 2:2 ack 2"; 2]);
    assert_eq!(puppet.stack.tcp_counts(), (0, 1));
}

#[test]
fn with_timestamps_a_later_one_decides_whatever_the_number() {
    // RFC 6191 section 2.
    let mut puppet = waiting(with);
    puppet.send(&with(seg(3_000_000_000).flags(SYN).mss(1460), 900));
    puppet.send(&with(seg(100_000).flags(SYN).mss(1460), 900));
    assert!(puppet.take().iter().all(|seen| seen.flags == TcpFlags::ACK), "an older time is an old duplicate");
    assert_eq!(puppet.stack.tcp_counts(), (0, 1));
    puppet.send(&with(seg(3_000_000_000).flags(SYN).mss(1460), 1_003));
    assert_eq!(puppet.take()[0].flags, SYN | TcpFlags::ACK);
    assert_eq!(puppet.stack.tcp_counts(), (1, 0));
}

#[test]
fn a_syn_that_nobody_accepts_leaves_it_as_it_was() {
    let mut puppet = Puppet::new(Config::default());
    let listener = puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    puppet.stack.tcp_unlisten(puppet.instant(), listener);
    puppet.close();
    puppet.send(&seg(1).ack(2).flags(FIN));
    puppet.take();
    puppet.send(&seg(100_000).flags(SYN).mss(1460));
    assert_eq!(puppet.stack.tcp_counts(), (0, 1));
    assert_eq!(puppet.lines(), ["0.000 . 2:2 ack 2"]);
}

#[test]
fn a_syn_that_finds_the_backlog_full_leaves_it_as_it_was() {
    let mut puppet = Puppet::new(Config::default());
    let mut options = ListenOptions::default();
    options.backlog = 1;
    let listener = puppet.listen(options);
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    puppet.close();
    puppet.send(&seg(1).ack(2).flags(FIN));
    let from = SocketAddrV4::new(PUPPET, 1_024);
    let to = SocketAddrV4::new(ENGINE, 80);
    puppet.send_frame(&puppet.frame_between(from, to, &seg(0).flags(SYN).mss(1460)));
    puppet.send_frame(&puppet.frame_between(from, to, &seg(1).ack(1)));
    puppet.take_frames();
    let before = puppet.stack.tcp_counts();
    puppet.send(&seg(100_000).flags(SYN).mss(1460));
    assert_eq!(puppet.stack.tcp_counts(), before);
    assert_eq!(before.1, 1);
}

#[test]
fn our_own_connect_does_not_take_the_place() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.close();
    puppet.send(&seg(1).ack(2).flags(FIN));
    assert_eq!(puppet.stack.tcp_counts(), (0, 1));
    let options = ConnectOptions {
        local: Some(std::net::SocketAddr::new(ENGINE.into(), puppet.port)),
        ..ConnectOptions::default()
    };
    let remote = std::net::SocketAddr::new(PUPPET.into(), PUPPET_PORT);
    let now = puppet.instant();
    let refused = puppet.stack.tcp_connect(now, remote, &options, heap_rings(100, 100).0);
    assert_eq!(refused, Err(ConnectError::InUse));
    puppet.run_for(secs(61));
    let now = puppet.instant();
    assert!(puppet.stack.tcp_connect(now, remote, &options, heap_rings(100, 100).0).is_ok());
}

#[test]
fn at_the_limit_the_oldest_goes() {
    let mut config = Config::default();
    config.tcp.time_wait_limit = 3;
    let mut puppet = Puppet::new(config);
    let listener = puppet.listen(ListenOptions::default());
    for port in 1..=5 {
        let from = SocketAddrV4::new(PUPPET, port);
        let to = SocketAddrV4::new(ENGINE, 80);
        puppet.send_frame(&puppet.frame_between(from, to, &seg(0).flags(SYN).mss(1460)));
        puppet.send_frame(&puppet.frame_between(from, to, &seg(1).ack(1)));
        puppet.accept(listener);
        puppet.close();
        puppet.send_frame(&puppet.frame_between(from, to, &seg(1).ack(2).flags(FIN)));
        puppet.run_for(secs(1));
    }
    assert_eq!(puppet.stack.tcp_counts(), (0, 3));
    puppet.run_for(secs(58));
    assert_eq!(puppet.stack.tcp_counts(), (0, 1));
}

/// An engine with one connection in TIME-WAIT, the puppet's, and the listener that it came in by.
fn waiting_at(config: Config, handshakes: usize) -> (Puppet, ListenerId) {
    let mut puppet = Puppet::new(config);
    let mut options = ListenOptions::default();
    options.handshakes = handshakes;
    let listener = puppet.listen(options);
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    puppet.close();
    puppet.send(&seg(1).ack(2).flags(FIN));
    assert_eq!(puppet.stack.tcp_counts(), (0, 1));
    puppet.take();
    (puppet, listener)
}

/// A SYN from another port of the puppet's, which stays unanswered.
fn occupy(puppet: &mut Puppet) {
    let (from, to) = (SocketAddrV4::new(PUPPET, 9), SocketAddrV4::new(ENGINE, 80));
    puppet.send_frame(&puppet.frame_between(from, to, &seg(0).flags(SYN).mss(1460)));
    assert_eq!(puppet.take().len(), 1);
}

#[test]
fn who_takes_the_place_is_never_answered_with_a_cookie() {
    // RFC 6191 section 2: the new numbers lie above the old ones, which a cookie's would not, and the old connection would
    // stand in the way of the third segment.
    for (cookies, sent_before) in [(SynCookies::WhenFull, 0), (SynCookies::Always, 1)] {
        let mut config = Config::default();
        config.tcp.syn_cookies = cookies;
        let (mut puppet, listener) = waiting_at(config, 1);
        let old = puppet.engine_isn();
        if cookies == SynCookies::WhenFull {
            occupy(&mut puppet);
        }
        let others = puppet.stack.tcp_counts().0;
        puppet.send(&seg(100_000).flags(SYN).mss(1460));
        assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 100001"]);
        assert!(puppet.engine_isn().after(old + 2));
        assert_eq!(puppet.stack.tcp_counts(), (others + 1, 0));
        assert_eq!(puppet.stack.tcp_counters().cookies_sent, sent_before);
        puppet.send(&seg(100_001).ack(1));
        puppet.accept(listener);
        assert_eq!(puppet.phase(), Phase::Established);
    }
}

#[test]
fn where_the_engine_has_no_room_for_its_handshake_it_takes_the_place_later() {
    for cookies in [SynCookies::Never, SynCookies::WhenFull] {
        let mut config = Config::default();
        config.tcp.half_open_limit = 1;
        config.tcp.syn_cookies = cookies;
        let (mut puppet, listener) = waiting_at(config, 10);
        occupy(&mut puppet);
        puppet.send(&seg(100_000).flags(SYN).mss(1460));
        assert_eq!(puppet.lines(), [""; 0], "{cookies:?}");
        assert_eq!(puppet.stack.tcp_counts(), (1, 1));
        assert_eq!(puppet.stack.discards().of(Discard::TcpBacklog), 1);
        let (from, to) = (SocketAddrV4::new(PUPPET, 9), SocketAddrV4::new(ENGINE, 80));
        puppet.send_frame(&puppet.frame_between(from, to, &seg(1).flags(TcpFlags::RST)));
        puppet.send(&seg(100_000).flags(SYN).mss(1460));
        puppet.send(&seg(100_001).ack(1));
        puppet.accept(listener);
        assert_eq!(puppet.phase(), Phase::Established);
    }
}

#[test]
fn its_answers_to_what_does_not_belong_to_it_are_limited_and_the_fins_are_not() {
    // RFC 5961 section 7, RFC 9293 section 3.10.7.4.
    let mut puppet = waiting(without);
    for _ in 0..5_000 {
        puppet.send(&seg(70_000).ack(2).text(b"x"));
    }
    let answers = puppet.take().len();
    assert!((500..=1_500).contains(&answers), "{answers}");
    puppet.send(&seg(1).ack(2).flags(FIN));
    assert_eq!(puppet.lines(), ["0.000 . 2:2 ack 2"]);
}
