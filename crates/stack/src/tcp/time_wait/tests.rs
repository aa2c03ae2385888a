//! The table of connections that are over, without a network around it.

use alloc::vec::Vec;

use super::*;
use crate::entropy::Entropy;

const SPAN: Duration = Duration::from_secs(60);

fn hasher() -> FlowHasher {
    FlowHasher::new(Entropy::new([1; 32]).flow_key())
}

fn table(limit: usize) -> TimeWait {
    TimeWait::new(SPAN, limit)
}

fn v4(port: u16) -> Flow {
    let address = |last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
    Flow { local: address(1), remote: address(2), local_port: 80, remote_port: port }
}

fn v6(port: u16) -> Flow {
    let address = IpAddr::V6(Ipv6Addr::LOCALHOST);
    Flow { local: address, remote: address, local_port: 80, remote_port: port }
}

fn remains(n: u32) -> Remains {
    Remains { snd_nxt: SeqNum(n), rcv_nxt: SeqNum(n + 1), ts_recent: None }
}

#[test]
fn each_is_found_until_its_time_and_not_after() {
    let hasher = hasher();
    let mut table = table(100);
    let start = Instant::from_secs(10);
    for port in 1..=20 {
        table.insert(&hasher, start + Duration::from_secs(u64::from(port)), &v4(port), remains(u32::from(port)));
        table.insert(
            &hasher,
            start + Duration::from_secs(u64::from(port)),
            &v6(port),
            remains(1_000 + u32::from(port)),
        );
    }
    assert_eq!(table.find(&hasher, &v4(7)), Some(remains(7)));
    assert_eq!(table.find(&hasher, &v6(7)), Some(remains(1_007)));
    assert_eq!(table.len(), 40);
    assert_eq!(table.next_deadline(), start + Duration::from_secs(61));
    table.expire(&hasher, start + Duration::from_secs(70));
    assert_eq!(table.len(), 20);
    assert!(table.find(&hasher, &v4(10)).is_none() && table.find(&hasher, &v4(11)).is_some());
}

#[test]
fn what_is_taken_out_of_turn_leaves_the_others_findable() {
    let hasher = hasher();
    let mut table = table(100);
    for port in 1..=50 {
        table.insert(&hasher, Instant::from_secs(u64::from(port)), &v4(port), remains(u32::from(port)));
    }
    for port in (1..=50).step_by(3) {
        table.remove(&hasher, &v4(port));
    }
    let left: Vec<u16> = (1..=50).filter(|&port| table.find(&hasher, &v4(port)).is_some()).collect();
    assert_eq!(left, (1..=50).filter(|port| port % 3 != 1).collect::<Vec<_>>());
    assert_eq!(table.len(), left.len());
    table.expire(&hasher, Instant::from_secs(200));
    assert_eq!(table.len(), 0);
    assert!(table.next_deadline().is_never());
}

#[test]
fn what_is_taken_out_of_turn_is_not_waited_for() {
    let hasher = hasher();
    let mut table = table(100);
    let at = |port: u16| Instant::from_secs(u64::from(port));
    for port in 1..=5 {
        table.insert(&hasher, at(port), &v4(port), remains(u32::from(port)));
    }
    // The first of all; and one that comes to be the first when those before it end.
    table.remove(&hasher, &v4(1));
    table.remove(&hasher, &v4(3));
    assert_eq!(table.next_deadline(), at(2) + SPAN);
    table.expire(&hasher, at(2) + SPAN);
    assert_eq!(table.next_deadline(), at(4) + SPAN);
    assert_eq!(table.len(), 2);
}

#[test]
fn at_the_limit_the_oldest_goes_also_when_numbers_have_wrapped() {
    let hasher = hasher();
    let mut table = table(3);
    table.v4.queue.begin_at(u32::MAX);
    for port in 1..=200 {
        table.insert(&hasher, Instant::from_secs(u64::from(port)), &v4(port), remains(u32::from(port)));
        assert!(table.find(&hasher, &v4(port)).is_some());
    }
    assert_eq!(table.len(), 3);
    assert!((198..=200).all(|port| table.find(&hasher, &v4(port)).is_some()));
}

#[test]
fn a_peer_that_repeats_its_fin_for_ever_does_not_fill_memory() {
    // Each repetition starts the wait again behind those that came since.
    let hasher = hasher();
    let mut table = table(1_000);
    table.insert(&hasher, Instant::from_secs(1), &v4(1), remains(1));
    for n in 0..200_000_u32 {
        let port = 2 + (n % 3) as u16;
        table.remove(&hasher, &v4(port));
        table.insert(&hasher, Instant::from_secs(1), &v4(port), remains(n));
        assert!(table.v4.queue.len() <= 4_096, "{}", table.v4.queue.len());
    }
    assert_eq!(table.len(), 4);
    assert_eq!(table.find(&hasher, &v4(1)), Some(remains(1)));
    assert_eq!(table.find(&hasher, &v4(2 + (199_999 % 3) as u16)), Some(remains(199_999)));
    table.expire(&hasher, Instant::from_secs(61));
    assert_eq!(table.len(), 0);
}

#[test]
fn ends_far_apart_are_kept_to_the_microsecond() {
    let hasher = hasher();
    let mut table = table(1_000);
    let at = |n: u64| Instant::from_nanos(1_000_000_123 + n * 3_000_000_000_001);
    for n in 0..100 {
        table.insert(&hasher, at(n), &v4(1 + n as u16), remains(n as u32));
        let end = at(n) + SPAN;
        table.expire(&hasher, end - SPAN);
        assert!(table.next_deadline() >= end && table.next_deadline() < end + Duration::from_micros(1));
    }
}

#[test]
fn an_entry_takes_32_bytes() {
    assert_eq!(size_of::<Entry<Ipv4Addr>>(), 32);
}
