//! Fast Open (RFC 7413), packet by packet, both halves.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sim::puppet::{ENGINE, PUPPET, frame_between, seg};
use sim::world::{A, B, Setup};
use sim::{LinkModel, Loss, Puppet, Stream, World};
use stack::tcp::{ConnectOptions, ListenOptions, ListenerId, Phase, TcpError, UserTimeoutOption, heap_rings};
use stack::{Config, Discard};
use wire::icmpv4::UnreachableCode;
use wire::protocol::Protocol;
use wire::tcp::{FastOpen, FastOpenCookie, SeqNum, TcpFlags, TcpHeader, TcpOptions, UserTimeout};

use crate::tcp_icmp::{fragmentation_needed, quoting, unreachable};

const SYN: TcpFlags = TcpFlags::SYN;
/// The puppet's initial sequence number on the wire.
const ISN: SeqNum = SeqNum(u32::MAX - 700);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn cookie(bytes: &[u8]) -> FastOpen {
    FastOpen::Cookie(FastOpenCookie::new(bytes).expect("a possible length"))
}

/// The option in a frame of the engine.
fn option_in(frame: &[u8]) -> Option<FastOpen> {
    let tcp = &frame[34..];
    FastOpen::find(&tcp[20..usize::from(tcp[12] >> 4) * 4])
}

/// A segment of the puppet's, with the option.
fn with_option(
    puppet: &Puppet,
    source: Ipv4Addr,
    port: u16,
    option: FastOpen,
    ack: Option<SeqNum>,
    text: &[u8],
) -> Vec<u8> {
    with_options(puppet, source, port, (option, None), ack, text)
}

/// The same with a user timeout (RFC 5482), perhaps.
fn with_options(
    puppet: &Puppet,
    source: Ipv4Addr,
    port: u16,
    (option, user_timeout): (FastOpen, Option<UserTimeout>),
    ack: Option<SeqNum>,
    text: &[u8],
) -> Vec<u8> {
    let header = TcpHeader {
        src_port: port,
        dst_port: puppet.port,
        seq: ISN,
        ack: ack.unwrap_or(SeqNum(0)),
        flags: if ack.is_some() { SYN | TcpFlags::ACK } else { SYN },
        window: 65_535,
        urgent: 0,
        options: TcpOptions { mss: Some(1_460), user_timeout, ..TcpOptions::NONE },
    };
    let mut tcp = vec![0; 60];
    let len = header.emit(&mut tcp);
    let len = option.append(&mut tcp, len).expect("room");
    tcp.truncate(len);
    tcp.extend_from_slice(text);
    TcpHeader::fill_checksum(&mut tcp, IpAddr::V4(source), IpAddr::V4(ENGINE));
    frame_between(source, ENGINE, Protocol::TCP, &tcp)
}

fn serving(limit: usize) -> (Puppet, ListenerId) {
    let mut puppet = Puppet::new(Config::default());
    let mut options = ListenOptions::default();
    options.fast_open = Some(limit);
    let listener = puppet.listen(options);
    (puppet, listener)
}

/// The cookie that the engine gives the puppet.
fn granted(puppet: &mut Puppet) -> FastOpen {
    let request = with_option(puppet, PUPPET, 9, FastOpen::Request, None, b"");
    puppet.send_frame(&request);
    let frame = puppet.take_frames().remove(0);
    let option = option_in(&frame).expect("a cookie");
    let reset = puppet.frame_between((PUPPET, 9).into_v4(), (ENGINE, 80).into_v4(), &seg(1).flags(TcpFlags::RST));
    puppet.send_frame(&reset);
    option
}

trait IntoV4 {
    fn into_v4(self) -> std::net::SocketAddrV4;
}

impl IntoV4 for (Ipv4Addr, u16) {
    fn into_v4(self) -> std::net::SocketAddrV4 {
        std::net::SocketAddrV4::new(self.0, self.1)
    }
}

/// A SYN with a good cookie and text, from the puppet's usual port.
fn open(puppet: &mut Puppet, option: FastOpen, text: &[u8]) {
    let frame = with_option(puppet, PUPPET, 40_000, option, None, text);
    puppet.send_frame(&frame);
}

#[test]
fn who_asks_gets_a_cookie_and_its_text_is_not_taken_yet() {
    // RFC 7413 section 4.1.2.
    let (mut puppet, listener) = serving(10);
    open(&mut puppet, FastOpen::Request, b"GET /");
    let mut options = Vec::new();
    let seen = puppet.take_with_frames(|frame| options.push(option_in(frame)));
    assert_eq!(seen[0].line(), "0.000 S. 0:0 ack 1");
    let Some(FastOpen::Cookie(given)) = options[0] else { panic!("{options:?}") };
    assert_eq!(given.as_bytes().len(), 8);
    assert!(puppet.stack.tcp_accept(puppet.instant(), listener).is_none());
    puppet.send(&seg(1).ack(1).text(b"GET /"));
    puppet.accept(listener);
    assert_eq!(puppet.read(50), b"GET /");
}

#[test]
fn text_with_a_good_cookie_is_delivered_and_answered_before_the_third_segment() {
    // RFC 7413 section 4.2.2.
    let (mut puppet, listener) = serving(10);
    let option = granted(&mut puppet);
    open(&mut puppet, option, b"GET /");
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 6"], "the text is acknowledged with the SYN");
    puppet.accept(listener);
    assert_eq!(puppet.read(50), b"GET /");
    puppet.write(b"200 OK");
    assert_eq!(puppet.lines(), ["0.000 P. 1:7 ack 6"]);
    puppet.run_for(Duration::from_millis(30));
    puppet.send(&seg(6).ack(7));
    let info = puppet.info();
    assert_eq!((info.in_flight, puppet.phase()), (0, Phase::Established));
    assert!(info.srtt.is_some());
    puppet.run_for(secs(200));
    assert_eq!(puppet.lines(), [""; 0], "the SYN-ACK is not sent again");
    assert_eq!(puppet.stack.tcp_counts(), (1, 0));
    assert_eq!(puppet.stack.tcp_counters().fast_open_accepted, 1);
}

#[test]
fn a_repeated_syn_gets_the_answer_again_and_its_text_once() {
    let (mut puppet, listener) = serving(10);
    let option = granted(&mut puppet);
    open(&mut puppet, option, b"GET /");
    open(&mut puppet, option, b"GET /");
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 6"; 2]);
    puppet.accept(listener);
    assert_eq!(puppet.read(50), b"GET /");
    // By the timer too.
    puppet.run_for(secs(3));
    assert_eq!(puppet.lines(), ["1.000 S. 0:0 ack 6", "3.000 S. 0:0 ack 6"]);
    puppet.send(&seg(6).ack(1));
    puppet.run_for(secs(200));
    assert_eq!(puppet.lines(), [""; 0]);
    assert!(puppet.stack.tcp_accept(puppet.instant(), listener).is_none());
    assert_eq!(puppet.phase(), Phase::Established);
}

#[test]
fn after_an_answer_that_was_repeated_by_time_the_timer_begins_at_three_seconds() {
    // RFC 6298 section 5.7; not where the peer was the one that asked again.
    for (by_time, repeated_at) in [(true, "7.000 P. 1:5 ack 6"), (false, "2.000 P. 1:5 ack 6")] {
        let (mut puppet, listener) = serving(10);
        let option = granted(&mut puppet);
        open(&mut puppet, option, b"GET /");
        puppet.accept(listener);
        puppet.read(50);
        if by_time {
            puppet.run_for(secs(4));
        } else {
            open(&mut puppet, option, b"GET /");
            puppet.run_for(Duration::from_millis(999));
        }
        puppet.send(&seg(6).ack(1));
        puppet.run_for(if by_time { secs(0) } else { Duration::from_millis(1) });
        puppet.take();
        puppet.write(b"late");
        puppet.run_for(secs(3));
        assert_eq!(puppet.lines().get(1).map(String::as_str), Some(repeated_at));
    }
}

#[test]
fn an_answer_that_nobody_acknowledges_ends_the_connection_in_time() {
    let (mut puppet, listener) = serving(10);
    let option = granted(&mut puppet);
    open(&mut puppet, option, b"GET /");
    puppet.accept(listener);
    puppet.read(50);
    puppet.run_for(secs(126));
    let times: Vec<u64> = puppet.take().iter().map(|seen| seen.at.as_secs()).collect();
    assert_eq!(times, [0, 1, 3, 7, 15, 31, 63]);
    puppet.run_for(secs(1));
    assert_eq!(puppet.error(), Some(TcpError::TimedOut));
    puppet.close();
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
}

#[test]
fn an_icmp_error_about_the_answer_does_not_end_what_the_application_has_already() {
    // RFC 5461 section 4.1: to the application it is established.
    let (mut puppet, listener) = serving(10);
    let option = granted(&mut puppet);
    open(&mut puppet, option, b"GET /");
    let answer = puppet.take_frames().remove(0);
    puppet.send_frame(&quoting(&answer, 0, unreachable(UnreachableCode::HOST, 0)));
    puppet.accept(listener);
    puppet.run_for(secs(1));
    assert_eq!(puppet.lines(), ["1.000 S. 0:0 ack 6"], "it is still sent again");
    puppet.send(&seg(6).ack(1));
    assert_eq!((puppet.phase(), puppet.error()), (Phase::Established, None));
    assert_eq!(puppet.read(50), b"GET /");
}

#[test]
fn a_wrong_cookie_is_an_ordinary_handshake_with_a_new_one() {
    // RFC 7413 section 4.1.2.
    let (mut puppet, _) = serving(10);
    let good = granted(&mut puppet);
    open(&mut puppet, cookie(&[7; 8]), b"GET /");
    let mut options = Vec::new();
    let seen = puppet.take_with_frames(|frame| options.push(option_in(frame)));
    assert_eq!((seen[0].line().as_str(), options[0]), ("0.000 S. 0:0 ack 1", Some(good)));
    assert_eq!(puppet.stack.tcp_counters().fast_open_refused, 1);
    // The cookie is the address's: another's is no good.
    let other = Ipv4Addr::new(192, 0, 2, 77);
    puppet.send_frame(&with_option(&puppet, other, 5, good, None, b"GET /"));
    assert_eq!(puppet.stack.tcp_counters().fast_open_refused, 2);
    assert_eq!(puppet.stack.tcp_counters().fast_open_accepted, 0);
}

#[test]
fn a_listener_that_does_not_offer_it_ignores_the_option() {
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(ListenOptions::default());
    open(&mut puppet, FastOpen::Request, b"GET /");
    let frames = puppet.take_frames();
    assert_eq!(option_in(&frames[0]), None);
}

#[test]
fn requests_that_wait_are_limited_and_one_that_was_reset_counts_for_a_minute() {
    // RFC 7413 section 5.1.
    let (mut puppet, listener) = serving(2);
    let option = granted(&mut puppet);
    let from = |puppet: &mut Puppet, port| {
        let frame = with_option(puppet, PUPPET, port, option, None, b"GET /");
        puppet.send_frame(&frame);
        puppet.take().pop().expect("an answer").ack
    };
    assert_eq!([from(&mut puppet, 1), from(&mut puppet, 2)], [6, 6]);
    let second = puppet.engine_isn();
    assert_eq!(from(&mut puppet, 3), 1);
    assert_eq!(puppet.stack.tcp_counters().fast_open_overflowed, 1);
    // The first is reset by whoever has the address: an attacker must not have the place back at once.
    let reset = puppet.frame_between((PUPPET, 1).into_v4(), (ENGINE, 80).into_v4(), &seg(6).flags(TcpFlags::RST));
    puppet.send_frame(&reset);
    assert_eq!(from(&mut puppet, 4), 1);
    // The second completes its handshake, and has proved itself.
    let ack = second + 1 - puppet.engine_isn();
    let third = puppet.frame_between((PUPPET, 2).into_v4(), (ENGINE, 80).into_v4(), &seg(6).ack(ack));
    puppet.send_frame(&third);
    puppet.run_for(secs(61));
    assert_eq!(puppet.stack.tcp_counters().fast_open_accepted, 2);
    assert_eq!(from(&mut puppet, 5), 6, "a minute later");
    let now = puppet.instant();
    assert_eq!(std::iter::from_fn(|| puppet.stack.tcp_accept(now, listener)).count(), 3);
}

fn connecting(puppet: &mut Puppet, text: &[u8]) {
    connecting_with(puppet, text, ConnectOptions::default());
}

fn connecting_with(puppet: &mut Puppet, text: &[u8], options: ConnectOptions) {
    let options = ConnectOptions { fast_open: true, ..options };
    let (engine, mut rings) = heap_rings(1 << 20, 65_535);
    assert_eq!(rings.send.write(text), text.len());
    let remote = SocketAddr::new(IpAddr::V4(PUPPET), 40_000);
    let id = puppet.stack.tcp_connect(puppet.instant(), remote, &options, engine).expect("a route");
    puppet.port = puppet.stack.tcp_addresses(id).expect("a connection").0.port();
    puppet.connection = Some(id);
    puppet.rings = Some(rings);
    puppet.drain();
}

/// A puppet whose server has given the engine a cookie, in a connection that is over.
fn acquainted() -> Puppet {
    acquainted_by(cookie(&[3; 8]))
}

fn acquainted_by(option: FastOpen) -> Puppet {
    let mut puppet = Puppet::new(Config::default());
    connecting(&mut puppet, b"hello");
    let mut options = Vec::new();
    let seen = puppet.take_with_frames(|frame| options.push(option_in(frame)));
    assert_eq!((seen[0].line().as_str(), options[0]), ("0.000 S 0:0 ack 0", Some(FastOpen::Request)));
    let answer = with_option(&puppet, PUPPET, 40_000, option, Some(puppet.engine_isn() + 1), b"");
    puppet.send_frame(&answer);
    assert_eq!(puppet.lines().last().map(String::as_str), Some("0.000 P. 1:6 ack 1"));
    let now = puppet.instant();
    puppet.stack.tcp_abort(now, puppet.id());
    puppet.drain();
    puppet.take();
    puppet
}

#[test]
fn a_client_asks_once_and_then_sends_its_text_on_the_syn() {
    // RFC 7413 sections 4.1.3 and 4.2.1.
    let mut puppet = acquainted();
    connecting(&mut puppet, b"GET /");
    let mut options = Vec::new();
    let seen = puppet.take_with_frames(|frame| options.push(option_in(frame)));
    assert_eq!((seen.len(), seen[0].text.as_slice(), options[0]), (1, &b"GET /"[..], Some(cookie(&[3; 8]))));
    puppet.send(&seg(0).flags(SYN).ack(6).mss(1460).text(b""));
    assert_eq!(puppet.lines(), ["0.000 . 6:6 ack 1"], "nothing is sent twice");
    assert_eq!(puppet.phase(), Phase::Established);
    assert_eq!((puppet.info().in_flight, puppet.info().send_queue), (0, 0));
    puppet.write(b"more");
    assert_eq!(puppet.lines(), ["0.000 P. 6:10 ack 1"]);
    assert_eq!(puppet.stack.tcp_counters().fast_open_connected, 1);
}

#[test]
fn text_that_the_server_did_not_take_follows_the_handshake() {
    // RFC 7413 section 4.2.1.
    for (taken, rest) in [(1, "0.000 P. 1:6 ack 1"), (3, "0.000 P. 3:6 ack 1")] {
        let mut puppet = acquainted();
        connecting(&mut puppet, b"GET /");
        puppet.take();
        puppet.send(&seg(0).flags(SYN).ack(taken).mss(1460));
        assert_eq!(puppet.lines(), [rest]);
        puppet.send(&seg(1).ack(6));
        assert_eq!((puppet.info().in_flight, puppet.info().send_queue), (0, 0));
    }
    let mut puppet = acquainted();
    connecting(&mut puppet, b"GET /");
    puppet.take();
    puppet.send(&seg(0).flags(SYN).ack(7).mss(1460));
    assert_eq!(puppet.phase(), Phase::SynSent, "more than was sent");
}

#[test]
fn what_is_sent_after_a_paced_syn_is_repeated_from_where_the_server_is() {
    // RFC 6298 section 5.4: the earliest segment that was not acknowledged, which nothing of the SYN is any more.
    for (taken, rest) in [(1, "P. 1:6 ack 1"), (3, "P. 3:6 ack 1"), (6, "P. 6:10 ack 1")] {
        let mut puppet = acquainted();
        let mut options = ConnectOptions::default();
        options.socket.max_pacing_rate = Some(1 << 30);
        connecting_with(&mut puppet, b"GET /", options);
        puppet.take();
        puppet.send(&seg(0).flags(SYN).ack(taken).mss(1460));
        if taken == 6 {
            puppet.write(b"more");
        }
        puppet.run_for(Duration::from_millis(500));
        let sent = puppet.lines().into_iter().filter(|line| line.contains("P.")).collect::<Vec<_>>();
        assert_eq!(sent, [format!("0.000 {rest}"), format!("0.200 {rest}")]);
    }
}

#[test]
fn a_syn_that_is_lost_is_followed_by_a_plain_one_and_by_distrust() {
    // RFC 7413 sections 4.2.1 and 4.1.3.1.
    let mut puppet = acquainted();
    connecting(&mut puppet, b"GET /");
    puppet.take();
    puppet.run_for(secs(1));
    let mut options = Vec::new();
    let seen = puppet.take_with_frames(|frame| options.push(option_in(frame)));
    assert_eq!((seen[0].line().as_str(), options[0]), ("1.000 S 0:0 ack 0", None));
    // The first one arrived after all: its answer is as good.
    puppet.send(&seg(0).flags(SYN).ack(6).mss(1460));
    assert_eq!((puppet.phase(), puppet.info().send_queue), (Phase::Established, 0));
    puppet.take();
    connecting(&mut puppet, b"GET /");
    assert_eq!(puppet.take_frames().iter().filter_map(|frame| option_in(frame)).count(), 0);
    puppet.run_for(secs(3_600));
    puppet.take();
    connecting(&mut puppet, b"GET /");
    assert_eq!(puppet.take().last().map(|seen| seen.text.clone()), Some(b"GET /".to_vec()), "an hour later");
}

#[test]
fn a_syn_takes_along_no_more_than_one_segment() {
    let mut puppet = acquainted();
    connecting(&mut puppet, &[7; 5_000]);
    let text = puppet.take().remove(0).text;
    assert!((1_400..=1_460).contains(&text.len()), "{}", text.len());
    puppet.send(&seg(0).flags(SYN).ack(1 + text.len() as u32).mss(1460));
    let rest: usize = puppet.take().iter().map(|seen| seen.text.len()).sum();
    assert_eq!(rest, 5_000 - text.len());
}

#[test]
fn a_syn_whose_text_a_router_finds_too_large_goes_again_at_once_with_less() {
    // RFC 1191 section 6.4, RFC 4821 section 7.
    let mut puppet = acquainted();
    connecting(&mut puppet, &[7; 5_000]);
    let syn = puppet.take_frames().remove(0);
    puppet.run_for(Duration::from_millis(30));
    // RFC 5927 section 4.1: only about what is in flight.
    for shift in [u32::MAX, 1 << 31, 5_000] {
        puppet.send_frame(&quoting(&syn, shift, fragmentation_needed(1_000)));
        assert_eq!(puppet.lines(), [""; 0], "{shift}");
    }
    puppet.send_frame(&quoting(&syn, 0, fragmentation_needed(1_000)));
    let mut packets = Vec::new();
    let seen = puppet.take_with_frames(|frame| packets.push((frame.len() - 14, option_in(frame))));
    assert_eq!((seen.len(), seen[0].line().as_str()), (1, "0.030 S 0:920 ack 0"));
    assert!(packets[0].0 <= 1_000 && packets[0].1 == Some(cookie(&[3; 8])), "{packets:?}");
    // It says nothing new a second time, nor does one that names a larger size.
    puppet.send_frame(&quoting(&syn, 0, fragmentation_needed(1_000)));
    puppet.send_frame(&quoting(&syn, 0, fragmentation_needed(1_400)));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(Duration::from_millis(70));
    puppet.send(&seg(0).flags(SYN).ack(921).mss(1460));
    let seen = puppet.take();
    assert_eq!((seen[0].seq, seen.iter().map(|seen| seen.text.len()).max()), (921, Some(960)));
    let info = puppet.info();
    assert_eq!((info.mss, info.srtt, info.retransmissions), (960, Some(Duration::from_millis(70)), 1));
    assert_eq!(info.congestion_window, 9_600, "no congestion: RFC 6928 section 2");
}

#[test]
fn a_syn_that_was_made_smaller_for_a_router_is_repeated_in_time_as_any_other() {
    // RFC 6298 section 5.1, RFC 7413 section 4.2.1.
    let mut puppet = acquainted();
    connecting(&mut puppet, &[7; 5_000]);
    let syn = puppet.take_frames().remove(0);
    puppet.run_for(Duration::from_millis(600));
    puppet.send_frame(&quoting(&syn, 0, fragmentation_needed(1_000)));
    puppet.run_for(secs(2));
    let sent: Vec<(u128, usize)> = puppet.take().iter().map(|seen| (seen.at.as_millis(), seen.text.len())).collect();
    assert_eq!(sent, [(600, 920), (1_600, 0)]);
    // An error about the first one is too late to change anything.
    puppet.send_frame(&quoting(&syn, 0, fragmentation_needed(900)));
    assert_eq!(puppet.lines(), [""; 0]);
    // The first one has arrived after all.
    puppet.send(&seg(0).flags(SYN).ack(1_421).mss(1460));
    assert_eq!(puppet.take()[0].seq, 1_421);
}

#[test]
fn a_syn_that_fits_what_a_router_carries_is_not_sent_again_for_it() {
    for text in [&b""[..], &b"GET /"[..]] {
        let mut puppet = acquainted();
        connecting(&mut puppet, text);
        let syn = puppet.take_frames().remove(0);
        puppet.send_frame(&quoting(&syn, 0, fragmentation_needed(1_000)));
        assert_eq!(puppet.lines(), [""; 0]);
    }
}

#[test]
fn both_sides_opening_at_once_send_the_text_afterwards() {
    let mut puppet = acquainted();
    connecting(&mut puppet, b"GET /");
    puppet.take();
    puppet.send(&seg(0).flags(SYN).mss(1460));
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 1"]);
    puppet.send(&seg(1).ack(1));
    assert_eq!(puppet.lines(), ["0.000 P. 1:6 ack 1"]);
}

#[test]
fn a_peer_that_opens_at_once_may_take_the_text_of_the_syn_all_the_same() {
    // RFC 9293 section 3.10.7.4: what was sent may be acknowledged, in SYN-RECEIVED too.
    let mut puppet = acquainted();
    connecting(&mut puppet, b"GET /");
    puppet.take();
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.take();
    puppet.send(&seg(1).ack(6));
    assert_eq!((puppet.phase(), puppet.info().send_queue), (Phase::Established, 0));
    assert_eq!(puppet.take().len(), 0, "no reset, and nothing twice");
    puppet.write(b"more");
    assert_eq!(puppet.lines(), ["0.000 P. 6:10 ack 1"]);
}

#[test]
fn a_user_timeout_leaves_its_room_on_the_syn_to_the_cookie_and_follows_the_handshake() {
    // RFC 5482 section 3, RFC 7413 section 4.1.1: beside the largest cookie and timestamps there is no room for it.
    for cookie in [cookie(&[3; 8]), cookie(&[3; 16])] {
        let mut puppet = acquainted_by(cookie);
        let mut options = ConnectOptions::default();
        options.socket.user_timeout_option = Some(UserTimeoutOption::default().advertising(secs(120)));
        connecting_with(&mut puppet, b"GET /", options);
        let mut options = Vec::new();
        let seen = puppet.take_with_frames(|frame| options.push(option_in(frame)));
        assert_eq!((seen.len(), seen[0].text.as_slice(), options[0]), (1, &b"GET /"[..], Some(cookie)));
        assert!(seen[0].options.timestamps.is_some() && seen[0].options.user_timeout.is_none());
        puppet.send(&seg(0).flags(SYN).ack(6).mss(1460).user_timeout(180));
        assert_eq!(puppet.lines(), ["0.000 . 6:6 ack 1 uto 120"]);
        assert_eq!(puppet.stack.tcp_options(puppet.id()).expect("a connection").user_timeout, Some(secs(180)));
    }
}

#[test]
fn a_user_timeout_beside_a_request_is_taken_when_the_handshake_is_complete() {
    // RFC 5482 section 3.3: only in synchronized states, and the answer to the SYN is not acknowledged before.
    let mut puppet = Puppet::new(Config::default());
    let mut options = ListenOptions::default();
    options.fast_open = Some(10);
    options.socket.user_timeout_option = Some(UserTimeoutOption::default().advertising(secs(120)));
    let listener = puppet.listen(options);
    let option = granted(&mut puppet);
    let told = Some(UserTimeout::of(secs(180)));
    let request = with_options(&puppet, PUPPET, 40_000, (option, told), None, b"GET /");
    puppet.send_frame(&request);
    puppet.accept(listener);
    puppet.write(b"200 OK");
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 6 uto 120", "0.000 P. 1:7 ack 6 uto 120"]);
    let taken = |puppet: &Puppet| puppet.stack.tcp_options(puppet.id()).expect("a connection").user_timeout;
    assert_eq!((taken(&puppet), puppet.info().remote_user_timeout), (None, Some(secs(180))));
    puppet.send(&seg(6).ack(1));
    assert_eq!(taken(&puppet), Some(secs(180)));
    puppet.run_for(secs(179));
    assert_eq!(puppet.phase(), Phase::Established);
    puppet.run_for(secs(1));
    assert_eq!(puppet.error(), Some(TcpError::TimedOut));
}

#[test]
fn two_engines_exchange_request_and_response_in_one_round_trip_and_lose_nothing_on_a_bad_link() {
    for (loss, seed) in [(Loss::Never, 1), (Loss::Random(0.2), 2), (Loss::Random(0.2), 3), (Loss::Random(0.2), 4)] {
        let mut world =
            World::new(Setup::new(seed).link(LinkModel { loss, ..LinkModel::delay(Duration::from_millis(50)) }));
        let mut options = ListenOptions::default();
        options.fast_open = Some(100);
        let local = world.socket(B, 80);
        let listener = world.host_mut(B).stack.tcp_listen(local, options).expect("a free port");
        let connect = ConnectOptions { fast_open: true, ..ConnectOptions::default() };
        for round in 0..30u8 {
            let began = world.now();
            let (engine, mut rings) = heap_rings(65_536, 65_536);
            assert_eq!(rings.send.write(&[round; 1_000]), 1_000);
            let now = world.now();
            let id = world.host_mut(A).stack.tcp_connect(now, local, &connect, engine).expect("a route");
            world.settle();
            let mut client = Stream { host: A, id, rings };
            let (mut server, mut request, mut response) = (None, Vec::new(), Vec::new());
            let done = world.run_until(secs(600), |world| {
                if server.is_none() {
                    server = world.accept(B, listener);
                }
                if let Some(stream) = &mut server {
                    let read: Vec<u8> = stream.read_all(world);
                    request.extend(read);
                    if request.len() == 1_000 && !stream.rings.send.is_finished() {
                        stream.write(world, &[!round; 1_000]);
                        stream.finish(world);
                    }
                }
                response.extend(client.read_all(world));
                response.len() == 1_000 && client.is_finished()
            });
            assert!(done && request == [round; 1_000] && response == [!round; 1_000], "seed {seed}, round {round}");
            if loss == Loss::Never && round > 0 {
                let took = world.now().since(began);
                assert!(took < Duration::from_millis(110), "{round}: {took:?}");
            }
            client.finish(&mut world);
            client.close(&mut world);
            server.expect("accepted").close(&mut world);
            // What was distrusted for a loss is tried again.
            world.run_for(secs(4_000));
        }
        let (ours, theirs) = (world.host(A).stack.tcp_counters(), world.host(B).stack.tcp_counters());
        assert!(ours.fast_open_connected > 0 && theirs.fast_open_accepted >= ours.fast_open_connected);
        world.run_for(secs(1_000));
        assert_eq!(world.host(B).stack.tcp_counts(), (0, 0), "seed {seed}");
        assert_eq!(world.host(B).stack.discards().of(Discard::TcpMemory), 0);
    }
}
