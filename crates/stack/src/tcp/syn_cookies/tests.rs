//! What a cookie keeps, for how long, and how hard it is to forge.

use core::net::{IpAddr, Ipv4Addr};

use wire::tcp::Timestamps;

use super::*;

fn jar() -> CookieJar {
    CookieJar::new(Entropy::new([9; 32]))
}

fn flow(remote_port: u16) -> Flow {
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    Flow { local: address, remote: address, local_port: 80, remote_port }
}

fn syn(mss: u16, scale: Option<u8>, sack: bool, ecn: bool, timestamp: Option<u32>) -> PeerSyn {
    let flags = if ecn { TcpFlags::SYN | ecn::SETUP } else { TcpFlags::SYN };
    PeerSyn { seq: SeqNum(77), timestamp, window: 0, mss, scale, sack, flags }
}

fn echo(stamp: u32) -> TcpOptions {
    TcpOptions { timestamps: Some(Timestamps { value: 5, echo: stamp }), ..TcpOptions::NONE }
}

#[test]
fn every_option_comes_back_from_number_and_timestamp() {
    let mut jar = jar();
    let now = Instant::from_secs(1_000);
    for clock in [0, 1, 63, 64, 1_000_000, u32::MAX, u32::MAX - 40] {
        for scale in [None, Some(0), Some(7), Some(14)] {
            for (sack, ecn) in [(false, false), (true, false), (false, true), (true, true)] {
                let mut said = syn(1_460, scale, sack, ecn, Some(5));
                let isn = jar.bake(now, &flow(1), &mut said).expect("a usual size");
                let stamp = CookieJar::stamp(clock, &said, ecn);
                assert!(clock.wrapping_sub(stamp) < 128, "not ahead of the clock, and not far behind");
                let found = jar.open(now, &flow(1), SeqNum(78), isn + 1, &echo(stamp), clock.wrapping_add(300));
                assert_eq!(found, Some(said));
            }
        }
    }
}

#[test]
fn without_timestamps_the_segment_size_alone_is_kept() {
    let mut jar = jar();
    let now = Instant::from_secs(1_000);
    for (mss, kept) in [(536, 536), (1_300, 1_220), (1_459, 1_440), (1_460, 1_460), (9_000, 1_460)] {
        let mut said = syn(mss, Some(7), true, true, None);
        let isn = jar.bake(now, &flow(1), &mut said).expect("a usual size");
        assert_eq!((said.scale, said.sack, said.flags), (None, false, TcpFlags::SYN), "not to be offered");
        let found = jar.open(now, &flow(1), SeqNum(78), isn + 1, &TcpOptions::NONE, 0).expect("a cookie");
        assert_eq!((found.mss, found.scale, found.timestamp), (kept, None, None));
    }
    assert_eq!(jar.bake(now, &flow(1), &mut syn(535, None, false, false, None)), None, "nothing names a smaller size");
}

#[test]
fn a_cookie_holds_for_one_to_two_minutes() {
    for begun in [0, 1, 30_000, 63_999] {
        let mut jar = jar();
        let at = |millis: u64| Instant::from_secs(6_400) + Duration::from_millis(begun + millis);
        let isn = jar.bake(at(0), &flow(1), &mut syn(1_460, None, false, false, None)).expect("a usual size");
        let mut opens = |millis| jar.open(at(millis), &flow(1), SeqNum(78), isn + 1, &TcpOptions::NONE, 0).is_some();
        assert!(opens(0) && opens(60_000), "{begun}");
        assert!(!opens(128_000) && !opens(128_001) && !opens(3_000_000), "{begun}");
    }
}

#[test]
fn a_cookie_is_of_one_flow_and_one_number_and_cannot_be_guessed() {
    let mut jar = jar();
    let now = Instant::from_secs(1_000);
    let isn = jar.bake(now, &flow(1), &mut syn(1_460, None, false, false, None)).expect("a usual size");
    let mut opens =
        |flow: Flow, seq: u32, ack: SeqNum| jar.open(now, &flow, SeqNum(seq), ack, &TcpOptions::NONE, 0).is_some();
    assert!(opens(flow(1), 78, isn + 1));
    assert!(!opens(flow(2), 78, isn + 1));
    assert!(!opens(flow(1), 79, isn + 1));
    assert!(!opens(Flow { local_port: 81, ..flow(1) }, 78, isn + 1));
    // One in 2^29 fits by chance.
    let mut guesses = Entropy::new([1; 32]);
    assert!((0..100_000).all(|_| !opens(flow(3), 78, SeqNum(guesses.next_u32()))));
    assert!((0..32).all(|bit| !opens(flow(1), 78, SeqNum((isn + 1).0 ^ 1 << bit))));
}

#[test]
fn a_timestamp_that_was_not_sent_with_a_cookie_opens_none() {
    let mut jar = jar();
    let now = Instant::from_secs(1_000);
    let mut said = syn(1_460, Some(7), true, false, Some(5));
    let isn = jar.bake(now, &flow(1), &mut said).expect("a usual size");
    let clock = 500_000;
    for stamp in [clock + 1, clock - 200_000, 0] {
        assert_eq!(jar.open(now, &flow(1), SeqNum(78), isn + 1, &echo(stamp), clock), None, "{stamp}");
    }
}

#[test]
fn cookies_are_looked_for_only_while_some_are_out() {
    let mut jar = jar();
    let now = Instant::from_secs(1_000);
    assert!(!jar.is_open(now));
    jar.bake(now, &flow(1), &mut syn(1_460, None, false, false, None));
    assert!(jar.is_open(now + Duration::from_secs(127)));
    assert!(!jar.is_open(now + Duration::from_secs(128)));
}
