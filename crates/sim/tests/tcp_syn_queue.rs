//! The SYN queue: what a handshake costs while it waits, and what may come meanwhile (RFC 9293 section 3.10.7.4 in
//! SYN-RECEIVED, RFC 4987 section 3, RFC 5961, RFC 5927).

use std::net::{IpAddr, SocketAddrV4};
use std::time::Duration;

use sim::Puppet;
use sim::puppet::{ENGINE, PUPPET, frame_of, seg};
use stack::tcp::{ListenOptions, Phase, SynCookies};
use stack::{Config, Discard};
use wire::icmpv4::{Icmpv4Message, UnreachableCode};
use wire::protocol::Protocol;
use wire::tcp::TcpFlags;

use crate::heap;

const SYN: TcpFlags = TcpFlags::SYN;
const RST: TcpFlags = TcpFlags::RST;

/// An engine that listens and has answered the puppet's SYN.
fn half_open() -> Puppet {
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 1"]);
    puppet
}

#[test]
fn a_handshake_that_waits_is_a_small_record() {
    // RFC 4987 section 3.3: minimal state until the handshake is complete.
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(ListenOptions::default());
    let before = heap::held();
    for port in 1..=4_096 {
        let from = SocketAddrV4::new(PUPPET, port);
        let frame = puppet.frame_between(from, SocketAddrV4::new(ENGINE, 80), &seg(0).flags(SYN).mss(1460));
        puppet.send_frame(&frame);
        puppet.take_frames();
    }
    assert_eq!(puppet.stack.tcp_counts().0, 4_096);
    let each = (heap::held() - before) / 4_096;
    assert!(each <= 128, "{each} bytes a handshake");
    for _ in 0..130 {
        puppet.run_for(Duration::from_secs(1));
        puppet.take_frames();
    }
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
    let left = heap::held() - before;
    // What is left is the test's own queue of frames.
    assert!(left < 256 * 1024, "{left} bytes are kept of a burst that is over");
}

#[test]
fn a_syn_ack_that_found_the_device_full_is_still_owed() {
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(ListenOptions::default());
    puppet.set_device_full(true);
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.run_for(Duration::from_millis(300));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.set_device_full(false);
    assert_eq!(puppet.lines(), ["0.300 S. 0:0 ack 1"]);
    puppet.run_for(Duration::from_secs(1));
    assert_eq!(puppet.lines(), ["1.300 S. 0:0 ack 1"], "the time-out counts from when it went out");
}

#[test]
fn only_a_reset_at_exactly_the_expected_number_ends_it() {
    // RFC 5961 section 3.2.
    let mut puppet = half_open();
    for seq in [2, 1_000, 65_536] {
        puppet.send(&seg(seq).flags(RST));
        assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1"], "{seq}");
    }
    for seq in [0, 65_537, 70_000, 3_000_000_000] {
        puppet.send(&seg(seq).flags(RST));
        assert_eq!(puppet.lines(), [""; 0], "{seq}");
    }
    assert_eq!(puppet.stack.tcp_counts().0, 1);
    puppet.send(&seg(1).flags(RST));
    assert_eq!(puppet.stack.tcp_counts().0, 0);
    assert_eq!(puppet.lines(), [""; 0]);
    assert!(puppet.stack.poll_timeout().is_never());
}

#[test]
fn challenges_to_a_handshake_count_towards_the_limit() {
    // RFC 5961 section 7.
    let mut puppet = half_open();
    for n in 0..5_000 {
        puppet.send(&seg(2 + n).flags(RST));
    }
    assert!(puppet.take().len() <= 1_500);
    assert_eq!(puppet.stack.discards().of(Discard::TcpBadReset), 5_000);
}

#[test]
fn a_segment_without_the_timestamp_it_agreed_to_or_with_an_old_one_completes_nothing() {
    // RFC 7323 sections 3.2 and 5.3 R1.
    let mut puppet = Puppet::new(Config::default());
    let listener = puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460).timestamps(1_000, 0));
    puppet.take();
    puppet.send(&seg(1).ack(1));
    puppet.send(&seg(1).ack(1).timestamps(999, 0));
    assert!(puppet.stack.tcp_accept(puppet.instant(), listener).is_none());
    assert_eq!(puppet.stack.discards().of(Discard::TcpPaws), 2);
    puppet.send(&seg(1).ack(1).timestamps(1_000, 0));
    puppet.accept(listener);
    assert_eq!(puppet.phase(), Phase::Established);
}

#[test]
fn the_round_trip_is_measured_from_the_syn_ack_unless_it_was_sent_twice() {
    // RFC 6298 sections 2 and 3; RFC 5681 section 3.1 for the initial window.
    let mut puppet = Puppet::new(Config::default());
    let listener = puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.run_for(Duration::from_millis(70));
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    let info = puppet.info();
    assert_eq!(info.srtt, Some(Duration::from_millis(70)));
    assert_eq!(info.congestion_window, 14_600);

    let mut puppet = Puppet::new(Config::default());
    let listener = puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.run_for(Duration::from_millis(1_070));
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    let info = puppet.info();
    assert_eq!(info.srtt, None);
    assert_eq!(info.congestion_window, 1_460);
    assert_eq!(info.retransmissions, 1);
}

#[test]
fn an_icmp_error_about_the_syn_ack_frees_its_place_and_a_guess_does_not() {
    // RFC 5927 section 4.1.
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    let answer = puppet.take_frames().remove(0);
    for shift in [1, u32::MAX, 77_777, 0] {
        assert_eq!(puppet.stack.tcp_counts().0, 1);
        let mut quoted = answer[14..14 + 28].to_vec();
        let seq = u32::from_be_bytes([quoted[24], quoted[25], quoted[26], quoted[27]]).wrapping_add(shift);
        quoted[24..28].copy_from_slice(&seq.to_be_bytes());
        let error =
            Icmpv4Message::DestinationUnreachable { code: UnreachableCode::HOST, next_hop_mtu: 0, quoted: &quoted };
        let mut bytes = vec![0; error.len()];
        error.emit(&mut bytes);
        puppet.send_frame(&frame_of(Protocol::ICMP, &bytes));
    }
    assert_eq!(puppet.stack.tcp_counts().0, 0);
    assert_eq!(puppet.stack.discards().of(Discard::IcmpUnmatched), 3);
}

#[test]
fn an_address_or_interface_that_goes_takes_its_handshakes_along() {
    let mut puppet = half_open();
    puppet.stack.remove_address(puppet.instant(), puppet.interface, IpAddr::V4(ENGINE));
    puppet.drain();
    assert_eq!(puppet.stack.tcp_counts().0, 0);
    let mut puppet = half_open();
    puppet.stack.remove_interface(puppet.instant(), puppet.interface);
    assert_eq!(puppet.stack.tcp_counts().0, 0);
    assert!(puppet.stack.poll_timeout().is_never());
}

#[test]
fn text_and_fin_that_came_with_the_third_segment_are_kept() {
    // RFC 9293 section 3.10.7.4, steps seven and eight.
    let mut puppet = Puppet::new(Config::default());
    let listener = puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.send(&seg(1).ack(1).flags(TcpFlags::FIN).text(b"all of it"));
    puppet.accept(listener);
    assert_eq!(puppet.phase(), Phase::CloseWait);
    assert_eq!(puppet.read(50), b"all of it");
    puppet.run_for(Duration::from_millis(40));
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 1", "0.040 . 1:1 ack 11"]);
}

#[test]
fn five_hundred_connects_at_once_are_served_at_once() {
    // T34: none waits for a retransmission, although the application accepts only afterwards.
    use sim::LinkModel;
    use sim::world::{A, B, Setup, World};
    let mut world = World::new(Setup::new(5).link(LinkModel::delay(Duration::from_millis(1))));
    let listener = world.listen(B, 80).expect("a free port");
    let remote = world.socket(B, 80);
    let clients: Vec<_> = (0..500).map(|_| world.connect(A, remote).expect("a route")).collect();
    world.run_for(Duration::from_millis(5));
    assert!(clients.iter().all(|client| client.phase(&world) == Phase::Established));
    for _ in 0..500 {
        world.accept(B, listener).expect("a connection that waits");
    }
    assert_eq!(world.host(B).stack.discards().of(Discard::TcpBacklog), 0);
}

#[test]
fn what_is_no_third_segment_completes_nothing() {
    let mut puppet = Puppet::new(Config::default());
    let listener = puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.take();
    // RFC 5961 section 4.2: another SYN in the window is challenged.
    puppet.send(&seg(2).flags(SYN));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1"]);
    // RFC 9293 section 3.10.7.4: text from before the window is answered, and what has no ACK is dropped.
    puppet.send(&seg(0).ack(1).text(b"x"));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1"]);
    puppet.send(&seg(1).text(b"x"));
    assert_eq!(puppet.lines(), [""; 0]);
    assert!(puppet.stack.tcp_accept(puppet.instant(), listener).is_none());
}

#[test]
fn a_router_that_wants_smaller_packets_does_not_end_it() {
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    let answer = puppet.take_frames().remove(0);
    let quoted = &answer[14..14 + 28];
    let code = UnreachableCode::FRAGMENTATION_NEEDED;
    let error = Icmpv4Message::DestinationUnreachable { code, next_hop_mtu: 1_000, quoted };
    let mut bytes = vec![0; error.len()];
    error.emit(&mut bytes);
    puppet.send_frame(&frame_of(Protocol::ICMP, &bytes));
    assert_eq!(puppet.stack.tcp_counts().0, 1);
}

#[test]
fn a_syn_with_reset_or_acknowledgement_is_no_request() {
    // RFC 9293 section 3.10.7.2: RST first, then ACK, then SYN.
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN | RST));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.send(&seg(0).flags(SYN).ack(1).mss(1460));
    let answers = puppet.take();
    assert!(answers.len() == 1 && answers[0].flags.contains(RST), "{answers:?}");
    assert_eq!(puppet.stack.tcp_counts().0, 0);
}

#[test]
fn a_syn_that_came_twice_measures_no_round_trip() {
    // RFC 6298 section 3: which of the answers is acknowledged cannot be told.
    let mut puppet = Puppet::new(Config::default());
    let listener = puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.run_for(Duration::from_millis(70));
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    assert_eq!(puppet.info().srtt, None);
}

#[test]
fn the_time_out_of_a_syn_ack_keeps_within_its_bounds() {
    // RFC 6298 sections 2.4 and 2.5.
    let mut config = Config::default();
    config.tcp.rto_max = Duration::from_secs(2);
    let mut puppet = Puppet::new(config);
    puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.run_for(Duration::from_secs(6));
    let lines = ["0.000", "1.000", "3.000", "5.000"].map(|time| format!("{time} S. 0:0 ack 1"));
    assert_eq!(puppet.lines(), lines);

    let mut config = Config::default();
    config.tcp.rto_min = Duration::from_secs(2);
    let mut puppet = Puppet::new(config);
    puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.run_for(Duration::from_secs(3));
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 1", "2.000 S. 0:0 ack 1"]);
}

#[test]
fn the_engine_keeps_no_more_handshakes_than_it_was_allowed() {
    let mut config = Config::default();
    config.tcp.half_open_limit = 2;
    config.tcp.syn_cookies = SynCookies::Never;
    let mut puppet = Puppet::new(config);
    puppet.listen(ListenOptions::default());
    for port in 1..=5 {
        let from = SocketAddrV4::new(PUPPET, port);
        let frame = puppet.frame_between(from, SocketAddrV4::new(ENGINE, 80), &seg(0).flags(SYN).mss(1460));
        puppet.send_frame(&frame);
    }
    assert_eq!(puppet.stack.tcp_counts().0, 2);
    assert_eq!(puppet.stack.discards().of(Discard::TcpBacklog), 3);
}

#[test]
fn a_listener_announces_the_segment_size_that_it_was_told_to() {
    let mut puppet = Puppet::new(Config::default());
    let mut options = ListenOptions::default();
    options.socket.max_segment = Some(500);
    puppet.listen(options);
    puppet.send(&seg(0).flags(SYN).mss(1460));
    assert_eq!(puppet.take()[0].options.mss, Some(500));
}

#[test]
fn after_a_lost_syn_ack_the_first_text_has_three_seconds() {
    // RFC 6298 section 5.7.
    for (wait, at) in [(70, [70, 280]), (1_070, [1_070, 4_070])] {
        let mut puppet = Puppet::new(Config::default());
        let listener = puppet.listen(ListenOptions::default());
        puppet.send(&seg(0).flags(SYN).mss(1460));
        puppet.run_for(Duration::from_millis(wait));
        puppet.send(&seg(1).ack(1));
        puppet.accept(listener);
        puppet.take();
        puppet.write(b"hello");
        puppet.run_for(Duration::from_millis(at[1] - wait));
        let sent: Vec<u64> = puppet.take().iter().map(|seen| seen.at.as_millis() as u64).collect();
        assert_eq!(sent, at);
    }
}

#[test]
fn a_reset_needs_no_timestamp() {
    // RFC 7323 section 3.2: RST segments are judged without.
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460).timestamps(1_000, 0));
    assert_eq!(puppet.stack.tcp_counts().0, 1);
    puppet.send(&seg(1).flags(RST));
    assert_eq!(puppet.stack.tcp_counts().0, 0);
}

#[test]
fn the_window_of_a_challenge_is_scaled_if_both_sides_scale() {
    // RFC 7323 section 2.3: every window but a SYN's.
    for (syn, window) in [(seg(0), 65_535), (seg(0).scale(2), 65_535 >> 7)] {
        let mut puppet = Puppet::new(Config::default());
        puppet.listen(ListenOptions::default());
        puppet.send(&syn.flags(SYN).mss(1460));
        puppet.take();
        puppet.send(&seg(2).flags(RST));
        let challenge = puppet.take().pop().expect("RFC 5961 section 3.2");
        assert_eq!((challenge.line().as_str(), challenge.window), ("0.000 . 1:1 ack 1", window));
    }
}

#[test]
fn the_third_segment_counts_although_there_is_no_room_for_its_text() {
    // RFC 9293 section 3.10.7.4: with a window of zero nothing is acceptable, but a valid ACK is.
    let mut puppet = Puppet::new(Config::default());
    let mut options = ListenOptions::default();
    options.socket.receive_buffer = Some(0);
    let listener = puppet.listen(options);
    puppet.send(&seg(0).flags(SYN).mss(1460));
    assert_eq!(puppet.take()[0].window, 0);
    puppet.send(&seg(1).ack(1).text(b"hello"));
    puppet.accept(listener);
    assert_eq!(puppet.phase(), Phase::Established);
    let answer = puppet.take().pop().expect("an ACK");
    assert_eq!((answer.line().as_str(), answer.window), ("0.000 . 1:1 ack 1", 0));
    assert_eq!(puppet.read(10), b"");
}

/// An ARP request of the puppet for the engine's address.
fn arp_request() -> Vec<u8> {
    let (engine, puppet) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let mut frame = Vec::new();
    frame.extend_from_slice(&engine);
    frame.extend_from_slice(&puppet);
    frame.extend_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend_from_slice(&puppet);
    frame.extend_from_slice(&PUPPET.octets());
    frame.extend_from_slice(&[0; 6]);
    frame.extend_from_slice(&ENGINE.octets());
    frame
}

#[test]
fn the_third_segment_shows_that_the_way_back_works() {
    // RFC 4861 section 7.3.1, as for ARP: a handshake that is complete was answered, so the neighbour is there and nobody
    // has to ask for it.
    for (completes, asked) in [(true, 0), (false, 1)] {
        let mut puppet = Puppet::new(Config::default());
        puppet.listen(ListenOptions::default());
        let now = puppet.instant();
        puppet.stack.clear_neighbors(now, puppet.interface);
        puppet.send_frame(&arp_request());
        puppet.take_frames();
        // By now that is old news.
        puppet.run_for(Duration::from_secs(60));
        puppet.send(&seg(0).flags(SYN).mss(1460));
        assert_eq!(puppet.lines(), ["60.000 S. 0:0 ack 1"]);
        if completes {
            puppet.send(&seg(1).ack(1));
        }
        puppet.run_for(Duration::from_secs(6));
        let arp = puppet.take_frames().iter().filter(|frame| frame[12..14] == [8, 6]).count();
        assert_eq!(arp.min(1), asked);
    }
}
