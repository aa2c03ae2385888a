//! Resets and SYNs that come into a connection (RFC 9293 section 3.10.7.4, RFC 5961, RFC 9293 sections 3.5.1 and 3.5.2).

use std::time::Duration;

use sim::Puppet;
use sim::puppet::{Seg, seg};
use stack::event::Readiness;
use stack::tcp::{ConnectOptions, Phase, TcpError};
use stack::{Config, Discard};
use wire::tcp::TcpFlags;

const RST: TcpFlags = TcpFlags::RST;
const SYN: TcpFlags = TcpFlags::SYN;

fn established() -> Puppet {
    Puppet::established(Config::default(), seg(0).mss(1460))
}

#[test]
fn a_reset_at_exactly_the_expected_number_ends_the_connection() {
    let mut puppet = established();
    puppet.news();
    puppet.send(&seg(1).flags(RST));
    assert_eq!(puppet.phase(), Phase::Closed);
    assert_eq!(puppet.error(), Some(TcpError::Reset));
    assert!(puppet.news().contains(Readiness::CLOSED | Readiness::ERROR | Readiness::READABLE));
    assert_eq!(puppet.lines(), [""; 0]);
}

#[test]
fn a_reset_elsewhere_in_the_window_is_challenged() {
    // RFC 5961 section 3.2.
    let mut puppet = established();
    for seq in [2, 1_000, 65_000] {
        puppet.send(&seg(seq).flags(RST));
        assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1"], "{seq}");
    }
    assert_eq!(puppet.phase(), Phase::Established);
    assert_eq!(puppet.stack.discards().of(Discard::TcpBadReset), 3);
}

#[test]
fn a_reset_outside_of_the_window_is_dropped_in_silence() {
    let mut puppet = established();
    for seq in [0, 70_000, 2_000_000_000, u32::MAX] {
        puppet.send(&seg(seq).flags(RST));
    }
    assert_eq!(puppet.lines(), [""; 0]);
    assert_eq!(puppet.phase(), Phase::Established);
}

#[test]
fn a_reset_whose_text_reaches_the_expected_number_is_not_taken_for_an_exact_one() {
    // RFC 5961 section 3.2: it is SEG.SEQ that must match, or one guess would cover a whole segment's length.
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).text(&[1; 500]));
    puppet.read(500);
    puppet.take();
    puppet.send(&seg(400).flags(RST).text(&[1; 1_000]));
    assert_eq!(puppet.phase(), Phase::Established);
    puppet.send(&seg(500).flags(RST | SYN | TcpFlags::FIN));
    assert_eq!(puppet.phase(), Phase::Established);
}

#[test]
fn a_reset_with_syn_or_fin_set_is_a_reset() {
    for more in [SYN, TcpFlags::FIN, SYN | TcpFlags::FIN, TcpFlags::PSH | TcpFlags::URG] {
        let mut puppet = established();
        puppet.send(&seg(1).flags(RST | more).ack(1));
        assert_eq!(puppet.phase(), Phase::Closed, "{more:?}");
        assert_eq!(puppet.error(), Some(TcpError::Reset));
        assert_eq!(puppet.lines(), [""; 0]);
    }
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    puppet.send(&seg(0).flags(RST | SYN).ack(1));
    assert_eq!(puppet.error(), Some(TcpError::Refused));
}

#[test]
fn a_reset_is_obeyed_while_our_window_is_closed() {
    let syn = seg(0).mss(1460);
    let mut puppet = Puppet::established_with(Config::default(), syn, &ConnectOptions::default(), 1 << 16, 1_000);
    puppet.send(&seg(1).ack(1).text(&[1; 1_000]));
    puppet.send(&seg(1_001).flags(RST));
    assert_eq!(puppet.error(), Some(TcpError::Reset));
    assert_eq!(puppet.read(5_000).len(), 1_000, "what had arrived stays readable");
}

#[test]
fn a_syn_in_a_synchronized_state_is_challenged_wherever_it_lies() {
    // RFC 5961 section 4.2.
    for seq in [1, 2, 1_000, 3_000_000_000, 0] {
        let mut puppet = established();
        puppet.send(&seg(seq).flags(SYN).mss(1460).text(b"never taken"));
        assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1"], "{seq}");
        assert_eq!(puppet.phase(), Phase::Established);
        puppet.send(&seg(1).ack(1).text(b"taken"));
        assert_eq!(puppet.read(50), b"taken", "{seq}");
    }
}

#[test]
fn a_half_open_connection_recovers() {
    // RFC 9293 section 3.5.1, figure 9: the peer has crashed and opens the same connection again.
    let mut puppet = established();
    puppet.send(&seg(3_000_000_000).flags(SYN).mss(1460));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1"]);
    // It answers the challenge with a reset, which ends the old connection.
    puppet.send(&seg(1).flags(RST));
    assert_eq!(puppet.phase(), Phase::Closed);
}

#[test]
fn our_own_data_discovers_a_peer_that_has_forgotten_the_connection() {
    // RFC 9293 section 3.5.1, figure 10.
    let mut puppet = established();
    puppet.write(b"hello?");
    puppet.take();
    puppet.send(&seg(1).flags(RST));
    assert_eq!(puppet.error(), Some(TcpError::Reset));
}

#[test]
fn challenges_are_limited_to_a_number_a_second() {
    // RFC 5961 section 7.
    let floods: [fn(u32) -> Seg; 4] = [
        |n| seg(2 + n % 60_000).flags(RST),
        |n| seg(n).flags(SYN).ack(1),
        |n| seg(3_000_000_000 + n).flags(SYN),
        |n| seg(1).ack(5_000 + n),
    ];
    for (which, flood) in floods.into_iter().enumerate() {
        let mut puppet = established();
        for n in 0..10_000 {
            puppet.send(&flood(n + 2));
        }
        let first = puppet.take().len();
        assert!((1..=2_000).contains(&first), "flood {which}: {first} answers");
        puppet.run_for(Duration::from_secs(1));
        puppet.send(&flood(7));
        assert_eq!(puppet.take().len(), 1, "flood {which}: again after a second");
        assert_eq!(puppet.phase(), Phase::Established);
    }
}

#[test]
fn how_many_challenges_there_are_tells_nobody_whether_others_were_challenged() {
    // The number varies from second to second around the limit.
    let mut puppet = established();
    let mut counts = Vec::new();
    for _ in 0..20 {
        for n in 0..2_000 {
            puppet.send(&seg(2 + n).flags(RST));
        }
        counts.push(puppet.take().len());
        puppet.run_for(Duration::from_secs(1));
    }
    assert!(counts.iter().all(|count| (500..=1_500).contains(count)), "{counts:?}");
    counts.sort_unstable();
    counts.dedup();
    assert!(counts.len() > 15, "{counts:?}");
}

#[test]
fn keep_alives_and_zero_length_probes_are_answered_also_when_challenges_are_used_up() {
    // RFC 1122 section 4.2.3.6 and RFC 9293 section 3.8.6.1.
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).text(b"x"));
    for n in 0..10_000 {
        puppet.send(&seg(3 + n % 60_000).flags(RST));
    }
    puppet.take();
    puppet.send(&seg(1).ack(1));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 2"], "without text");
    puppet.send(&seg(1).ack(1).text(b"x"));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 2"], "with one byte of garbage");
    puppet.send(&seg(1).ack(1).text(b"xyz"));
    puppet.run_for(Duration::from_millis(40));
    assert_eq!(puppet.lines(), ["0.040 . 1:1 ack 4"], "and data is taken");
}

#[test]
fn an_ack_older_than_any_window_is_challenged_and_its_text_dropped() {
    // RFC 5961 section 5.2.
    let mut puppet = established();
    puppet.send(&seg(1).ack(3_000_000_000).text(b"injected"));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1"]);
    assert_eq!(puppet.read(50), b"");
    assert_eq!(puppet.stack.discards().of(Discard::TcpBadAck), 1);
}

#[test]
fn a_segment_without_ack_is_dropped() {
    let mut puppet = established();
    puppet.send(&seg(1).text(b"no ACK"));
    puppet.send(&seg(1).flags(TcpFlags::FIN));
    assert_eq!(puppet.read(50), b"");
    assert_eq!(puppet.phase(), Phase::Established);
}

#[test]
fn who_was_reset_while_the_device_was_full_waits_for_nothing_any_more() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.finish();
    puppet.set_device_full(true);
    // An acknowledgement is owed, and finds no room.
    puppet.send(&seg(1).ack(1).text(&[7; 1_000]));
    puppet.send(&seg(1_001).ack(1).text(&[7; 1_000]));
    puppet.send(&seg(2_001).ack(1).flags(TcpFlags::RST));
    assert_eq!((puppet.phase(), puppet.error()), (Phase::Closed, Some(TcpError::Reset)));
    puppet.take();
    puppet.set_device_full(false);
    assert_eq!(puppet.lines(), [""; 0]);
    assert!(puppet.stack.poll_timeout().is_never());
}
