//! What ICMP errors do to connections (RFC 1122 section 4.2.3.9, RFC 5461, RFC 5927, RFC 1191, RFC 6633).

use std::time::Duration;

use sim::Puppet;
use sim::puppet::{frame_of, seg};
use stack::Config;
use stack::tcp::{ConnectOptions, Phase, TcpError};
use wire::icmpv4::{Icmpv4Message, TimeExceededCode, UnreachableCode};
use wire::protocol::Protocol;

/// An error that quotes the IP packet in `frame`, with its TCP sequence number moved by `shift`.
pub(crate) fn quoting(frame: &[u8], shift: u32, message: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut quoted = frame[14..14 + 28].to_vec();
    let seq = u32::from_be_bytes([quoted[24], quoted[25], quoted[26], quoted[27]]).wrapping_add(shift);
    quoted[24..28].copy_from_slice(&seq.to_be_bytes());
    frame_of(Protocol::ICMP, &message(&quoted))
}

fn emitted(message: &Icmpv4Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.len()];
    message.emit(&mut bytes);
    bytes
}

pub(crate) fn unreachable(code: UnreachableCode, next_hop_mtu: u16) -> impl Fn(&[u8]) -> Vec<u8> {
    move |quoted| emitted(&Icmpv4Message::DestinationUnreachable { code, next_hop_mtu, quoted })
}

/// "Fragmentation needed": the next hop takes packets of `mtu` bytes.
pub(crate) fn fragmentation_needed(mtu: u16) -> impl Fn(&[u8]) -> Vec<u8> {
    unreachable(UnreachableCode::FRAGMENTATION_NEEDED, mtu)
}

fn connecting() -> (Puppet, Vec<u8>) {
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    let syn = puppet.take_frames().remove(0);
    (puppet, syn)
}

/// An established connection with one segment of data in flight, and that segment's frame.
fn sending() -> (Puppet, Vec<u8>) {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.write(&[1; 1_460]);
    let frame = puppet.take_frames().remove(0);
    (puppet, frame)
}

#[test]
fn a_hard_error_ends_an_attempt_at_once_with_its_reason() {
    for (code, error) in [
        (UnreachableCode::PORT, TcpError::Refused),
        (UnreachableCode::PROTOCOL, TcpError::ProtocolUnreachable),
        (UnreachableCode::HOST, TcpError::HostUnreachable),
        (UnreachableCode::NET, TcpError::NetworkUnreachable),
        (UnreachableCode::FILTERED, TcpError::Prohibited),
    ] {
        let (mut puppet, syn) = connecting();
        puppet.send_frame(&quoting(&syn, 0, unreachable(code, 0)));
        assert_eq!(puppet.phase(), Phase::Closed, "{code}");
        assert_eq!(puppet.error(), Some(error), "{code}");
    }
}

#[test]
fn an_error_about_a_number_that_is_not_in_flight_is_ignored() {
    // RFC 5927 section 4.1.
    for shift in [1, 1_000, u32::MAX, 1 << 31] {
        let (mut puppet, syn) = connecting();
        puppet.send_frame(&quoting(&syn, shift, unreachable(UnreachableCode::PORT, 0)));
        assert_eq!(puppet.phase(), Phase::SynSent, "{shift}");
    }
}

#[test]
fn no_error_ends_an_established_connection_but_it_is_the_reason_given_when_time_does() {
    // RFC 5461 section 4.1, RFC 1122 section 4.2.3.9.
    for code in [UnreachableCode::PORT, UnreachableCode::PROTOCOL, UnreachableCode::HOST, UnreachableCode::FILTERED] {
        let (mut puppet, data) = sending();
        puppet.send_frame(&quoting(&data, 0, unreachable(code, 0)));
        assert_eq!(puppet.phase(), Phase::Established, "{code}");
        assert_eq!(puppet.error(), None);
        puppet.send(&seg(1).ack(1_461));
        assert_eq!(puppet.info().in_flight, 0);
    }
    let (mut puppet, data) = sending();
    puppet.send_frame(&quoting(&data, 0, unreachable(UnreachableCode::HOST, 0)));
    puppet.run_for(Duration::from_secs(7_200));
    assert_eq!(puppet.error(), Some(TcpError::HostUnreachable));
}

#[test]
fn soft_errors_do_not_end_an_attempt() {
    let (mut puppet, syn) = connecting();
    let exceeded = |quoted: &[u8]| emitted(&Icmpv4Message::TimeExceeded { code: TimeExceededCode::TTL, quoted });
    puppet.send_frame(&quoting(&syn, 0, exceeded));
    assert_eq!(puppet.phase(), Phase::SynSent);
    puppet.run_for(Duration::from_secs(200));
    assert_eq!(
        puppet.error(),
        Some(TcpError::HostUnreachable),
        "what the path said, rather than only how long it took"
    );
}

#[test]
fn a_source_quench_changes_nothing() {
    // RFC 6633 section 3.
    let (mut puppet, data) = sending();
    let before = puppet.info();
    puppet.send_frame(&quoting(&data, 0, |quoted| emitted(&Icmpv4Message::SourceQuench { quoted })));
    assert_eq!(puppet.info(), before);
    assert_eq!(puppet.lines(), [""; 0]);
}

#[test]
fn fragmentation_needed_makes_smaller_segments_and_sends_again_at_once() {
    // RFC 1191 section 6.4.
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.write(&[1; 2_920]);
    let frames = puppet.take_frames();
    puppet.send_frame(&quoting(&frames[0], 0, fragmentation_needed(1_000)));
    let sizes: Vec<usize> = puppet.take().iter().map(|seen| seen.text.len()).collect();
    assert_eq!(sizes, [960, 960, 960, 40]);
    assert_eq!(puppet.info().slow_start_threshold, u32::MAX, "no congestion");
    // The second packet's error comes too: it says nothing new.
    puppet.send_frame(&quoting(&frames[1], 0, fragmentation_needed(1_000)));
    assert_eq!(puppet.lines(), [""; 0]);
    // The next connection there begins with what was learnt.
    puppet.connect(&ConnectOptions::default());
    puppet.take();
    puppet.send(&seg(0).flags(wire::tcp::TcpFlags::SYN).ack(1).mss(1460));
    assert_eq!(puppet.info().mss, 960);
}

#[test]
fn a_forged_path_mtu_makes_no_tiny_segments_and_never_raises_anything() {
    // RFC 1191 section 3, RFC 5927 section 7.2.
    for mtu in [0, 1, 68, 100] {
        let (mut puppet, data) = sending();
        puppet.send_frame(&quoting(&data, 0, fragmentation_needed(mtu)));
        assert!(puppet.info().mss >= 512, "{mtu}: {}", puppet.info().mss);
    }
    let (mut puppet, data) = sending();
    puppet.send_frame(&quoting(&data, 0, fragmentation_needed(9_000)));
    assert_eq!(puppet.info().mss, 1_460);
    let (mut puppet, data) = sending();
    puppet.send_frame(&quoting(&data, 77_777, fragmentation_needed(600)));
    assert_eq!(puppet.info().mss, 1_460, "not in flight");
}

#[test]
fn a_flood_of_guesses_does_nothing() {
    let (mut puppet, data) = sending();
    for n in 0..20_000_u32 {
        let shift = 1_460 + n * 200_003 % 4_000_000_000;
        puppet.send_frame(&quoting(&data, shift, unreachable(UnreachableCode::PORT, 0)));
        puppet.send_frame(&quoting(&data, shift, fragmentation_needed(552)));
    }
    assert_eq!(puppet.info().mss, 1_460);
    assert_eq!(puppet.phase(), Phase::Established);
    puppet.send(&seg(1).ack(1_461));
    assert_eq!(puppet.info().in_flight, 0);
}
