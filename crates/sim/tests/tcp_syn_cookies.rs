//! SYN cookies (RFC 4987 section 3.6), packet by packet.

use std::net::SocketAddrV4;
use std::time::Duration;

use sim::Puppet;
use sim::puppet::{ENGINE, PUPPET, Seen, seg};
use stack::tcp::{ListenOptions, ListenerId, Phase, SynCookies};
use stack::{Config, Discard};
use wire::tcp::TcpFlags;

const SYN: TcpFlags = TcpFlags::SYN;

fn always() -> (Puppet, ListenerId) {
    let mut config = Config::default();
    config.tcp.syn_cookies = SynCookies::Always;
    let mut puppet = Puppet::new(config);
    let listener = puppet.listen(ListenOptions::default());
    (puppet, listener)
}

fn echo_of(seen: &Seen) -> u32 {
    seen.options.timestamps.expect("timestamps").value
}

#[test]
fn the_answer_remembers_a_client_with_timestamps_and_all_of_its_options() {
    let (mut puppet, listener) = always();
    puppet
        .send(&seg(0).flags(SYN | TcpFlags::ECE | TcpFlags::CWR).mss(1460).scale(7).sack_permitted().timestamps(9, 0));
    let answer = puppet.take().remove(0);
    // RFC 3168 section 6.1.1: ECE alone agrees to ECN.
    assert_eq!(answer.line(), "0.000 SE. 0:0 ack 1");
    assert_eq!(answer.options.mss, Some(1460));
    assert!(answer.options.window_scale.is_some() && answer.options.sack_permitted);
    assert_eq!(puppet.stack.tcp_counts(), (0, 0), "nothing is kept");
    assert!(puppet.stack.poll_timeout().is_never());

    puppet.run_for(Duration::from_secs(60));
    assert_eq!(puppet.lines(), [""; 0], "nor sent again");
    puppet.send(&seg(1).ack(1).timestamps(10, echo_of(&answer)).window(1_000).text(b"GET /"));
    puppet.accept(listener);
    assert_eq!(puppet.phase(), Phase::Established);
    let info = puppet.info();
    assert_eq!(info.window_scale.map(|(theirs, _)| theirs), Some(7));
    assert_eq!(info.send_window, 128_000);
    assert_eq!(info.mss, 1_448);
    assert!(info.timestamps);
    assert_eq!(info.srtt, None, "when the answer went out is not known");
    assert_eq!(puppet.read(50), b"GET /");
    let counters = puppet.stack.tcp_counters();
    assert_eq!((counters.cookies_sent, counters.cookies_accepted), (1, 1));
    // It agreed to SACK: what lies beyond a gap is reported.
    puppet.take();
    puppet.send(&seg(10).ack(1).timestamps(10, echo_of(&answer)).text(b"beyond"));
    assert_eq!(puppet.take()[0].options.sack.len(), 1);
}

#[test]
fn our_timestamps_never_step_back_after_a_cookie() {
    // RFC 7323 section 5.3: the peer would take what looks older for an old duplicate.
    for millis in 0..130 {
        let (mut puppet, listener) = always();
        puppet.run_for(Duration::from_millis(millis));
        puppet.send(&seg(0).flags(SYN).mss(1460).timestamps(9, 0));
        let answer = puppet.take().remove(0);
        puppet.send(&seg(1).ack(1).timestamps(9, echo_of(&answer)));
        puppet.accept(listener);
        puppet.write(b"x");
        let next = echo_of(&puppet.take()[0]);
        assert!(next.wrapping_sub(echo_of(&answer)) < 128, "{millis}");
    }
}

#[test]
fn a_client_without_timestamps_keeps_its_segment_size_and_is_offered_nothing_else() {
    let (mut puppet, listener) = always();
    puppet.send(&seg(0).flags(SYN).mss(1_440).scale(7).sack_permitted());
    let answer = puppet.take().remove(0);
    assert_eq!((answer.options.window_scale, answer.options.sack_permitted), (None, false));
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    assert_eq!(puppet.info().mss, 1_440);
    assert_eq!(puppet.info().window_scale, None);
}

#[test]
fn a_cookie_two_minutes_old_is_refused_with_a_reset() {
    let (mut puppet, listener) = always();
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.run_for(Duration::from_secs(100));
    // Somebody else's cookie keeps the jar open.
    let other = puppet.frame_between(SocketAddrV4::new(PUPPET, 9), SocketAddrV4::new(ENGINE, 80), &seg(0).flags(SYN));
    let isn = puppet.engine_isn();
    puppet.send_frame(&other);
    puppet.run_for(Duration::from_secs(28));
    puppet.take();
    let ack = isn + 1 - puppet.engine_isn();
    puppet.send(&seg(1).ack(ack));
    assert!(puppet.stack.tcp_accept(puppet.instant(), listener).is_none());
    assert_eq!(puppet.stack.discards().of(Discard::TcpBadCookie), 1);
    let seen = puppet.take();
    assert_eq!((seen.len(), seen[0].flags), (1, TcpFlags::RST));
}

#[test]
fn they_begin_when_the_queue_is_full_and_never_where_the_owner_says_so() {
    for (cookies, answers) in [(SynCookies::WhenFull, 3), (SynCookies::Never, 2)] {
        let mut config = Config::default();
        config.tcp.syn_cookies = cookies;
        let mut puppet = Puppet::new(config);
        let mut options = ListenOptions::default();
        options.handshakes = 2;
        let listener = puppet.listen(options);
        let mut numbers = Vec::new();
        for port in 1..=3 {
            let from = SocketAddrV4::new(PUPPET, port);
            let frame = puppet.frame_between(from, SocketAddrV4::new(ENGINE, 80), &seg(0).flags(SYN).mss(1460));
            puppet.send_frame(&frame);
            numbers.push(puppet.engine_isn());
        }
        assert_eq!(puppet.take().len(), answers);
        assert_eq!(puppet.stack.tcp_counts().0, 2);
        for (port, isn) in (1..=3).zip(numbers).take(answers) {
            let ack = isn + 1 - puppet.engine_isn();
            let from = SocketAddrV4::new(PUPPET, port);
            puppet.send_frame(&puppet.frame_between(from, SocketAddrV4::new(ENGINE, 80), &seg(1).ack(ack)));
            puppet.accept(listener);
            assert_eq!(puppet.phase(), Phase::Established);
        }
        assert_eq!(puppet.lines(), [""; 0]);
    }
}

#[test]
fn an_answer_to_the_cookie_counts_although_the_repeated_syn_found_room() {
    let mut puppet = Puppet::new(Config::default());
    let mut options = ListenOptions::default();
    options.handshakes = 1;
    let listener = puppet.listen(options);
    let other = SocketAddrV4::new(PUPPET, 9);
    let to = SocketAddrV4::new(ENGINE, 80);
    puppet.send_frame(&puppet.frame_between(other, to, &seg(0).flags(SYN).mss(1460)));
    puppet.send(&seg(0).flags(SYN).mss(1460));
    let cookie = puppet.engine_isn();
    puppet.send_frame(&puppet.frame_between(other, to, &seg(1).flags(TcpFlags::RST)));
    puppet.send(&seg(0).flags(SYN).mss(1460));
    assert_ne!(puppet.engine_isn(), cookie, "this one stands in the queue");
    puppet.take();
    let ack = cookie + 1 - puppet.engine_isn();
    puppet.send(&seg(1).ack(ack));
    puppet.accept(listener);
    assert_eq!(puppet.phase(), Phase::Established);
    assert_eq!(puppet.lines(), [""; 0]);
    assert_eq!(puppet.stack.tcp_counts().0, 1);
}

#[test]
fn an_ack_of_a_cookie_that_finds_the_backlog_full_is_dropped_in_silence_and_may_come_again() {
    let mut config = Config::default();
    config.tcp.syn_cookies = SynCookies::Always;
    let mut puppet = Puppet::new(config);
    let mut options = ListenOptions::default();
    options.backlog = 1;
    let listener = puppet.listen(options);
    let to = SocketAddrV4::new(ENGINE, 80);
    let mut numbers = Vec::new();
    for port in 1..=2 {
        puppet.send_frame(&puppet.frame_between(SocketAddrV4::new(PUPPET, port), to, &seg(0).flags(SYN).mss(1460)));
        numbers.push(puppet.engine_isn());
    }
    puppet.take();
    for (port, isn) in (1..=2).zip(&numbers) {
        let ack = *isn + 1 - puppet.engine_isn();
        puppet.send_frame(&puppet.frame_between(SocketAddrV4::new(PUPPET, port), to, &seg(1).ack(ack).text(b"data")));
    }
    assert_eq!(puppet.stack.discards().of(Discard::TcpBacklog), 1);
    puppet.accept(listener);
    let ack = numbers[1] + 1 - puppet.engine_isn();
    puppet.send_frame(&puppet.frame_between(SocketAddrV4::new(PUPPET, 2), to, &seg(1).ack(ack).text(b"data")));
    puppet.accept(listener);
    assert_eq!(puppet.read(10), b"data");
    assert!(puppet.take().iter().all(|seen| !seen.flags.contains(TcpFlags::RST)));
}

#[test]
fn what_a_cookie_has_no_place_for_is_not_agreed_to() {
    // ECN would stand in the timestamp, which this client does not offer.
    let (mut puppet, _) = always();
    puppet.send(&seg(0).flags(SYN | TcpFlags::ECE | TcpFlags::CWR).mss(1460));
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 1"]);
}
