//! Keyed hashes.

use alloc::collections::BTreeSet;
use core::net::Ipv6Addr;

use super::*;

#[test]
fn a_function_that_has_absorbed_the_addresses_gives_what_the_whole_one_gives() {
    let mut entropy = Entropy::new([5; 32]);
    for _ in 0..1_000 {
        let key = entropy.key();
        let (local, remote) = (Ipv4Addr::from_bits(entropy.next_u32()), Ipv4Addr::from_bits(entropy.next_u32()));
        let (here, there) = (entropy.next_u16(), entropy.next_u16());
        let whole = key.prf(local.into(), here, remote.into(), there);
        assert_eq!(key.absorb(local, remote).prf(here, there), whole);
    }
}

/// How many of `flows` share one of `1 << bits` places, by the first bits of their hashes and by the last.
fn crowding(key: &FlowKey, bits: u32, flows: impl Iterator<Item = (IpAddr, u16, IpAddr, u16)>) -> [usize; 2] {
    let (mut first, mut last) = (BTreeSet::new(), BTreeSet::new());
    let mut count = 0;
    for (local, here, remote, there) in flows {
        let hash = key.hash(&local, here, &remote, there);
        first.insert(hash >> (64 - bits));
        last.insert(hash & ((1 << bits) - 1));
        count += 1;
    }
    [count - first.len(), count - last.len()]
}

#[test]
fn flows_that_differ_little_are_spread_as_if_by_chance() {
    let mut entropy = Entropy::new([6; 32]);
    let v4 = |last: u32| IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + last));
    let v6 = |last: u32| IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(last)));
    for _ in 0..20 {
        let key = entropy.flow_key();
        // Of 4,096 balls in 65,536 bins some 125 find company.
        let alike = [
            crowding(&key, 16, (0..4_096).map(|n| (v4(1), 80, v4(2), 1_024 + n))),
            crowding(&key, 16, (0..4_096).map(|n| (v4(1), 1_024 + n, v4(2), 80))),
            crowding(&key, 16, (0..4_096).map(|n| (v4(1), 80, v4(n), 1_024))),
            crowding(&key, 16, (0..4_096).map(|n| (v4(n), 80, v4(n + 1), 1_024 + n as u16))),
            crowding(&key, 16, (0..4_096).map(|n| (v6(1), 80, v6(2), 1_024 + n))),
            crowding(&key, 16, (0..4_096).map(|n| (v6(n), 80, v6(1), 1_024))),
        ];
        assert!(alike.as_flattened().iter().all(|company| (60..220).contains(company)), "{alike:?}");
    }
}

#[test]
fn the_hash_of_a_flow_depends_on_its_direction_and_on_the_key() {
    let mut entropy = Entropy::new([7; 32]);
    let (one, other) = (entropy.flow_key(), entropy.flow_key());
    let (a, b) = (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));
    assert_ne!(one.hash(&a, 1, &b, 2), one.hash(&b, 1, &a, 2));
    assert_ne!(one.hash(&a, 1, &b, 2), one.hash(&a, 2, &b, 1));
    assert_ne!(one.hash(&a, 1, &b, 2), other.hash(&a, 1, &b, 2));
}
