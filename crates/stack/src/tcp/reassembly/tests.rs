//! Ranges against a plain set of bytes.

use alloc::collections::BTreeSet;

use super::*;
use crate::entropy::Entropy;

#[test]
fn ranges_that_touch_or_overlap_become_one() {
    let at = |n: u32| SeqNum(u32::MAX - 50) + n;
    let mut reassembly = Reassembly::default();
    assert!(reassembly.insert(at(20), at(30)));
    assert!(reassembly.insert(at(40), at(50)));
    assert!(reassembly.insert(at(60), at(70)));
    assert_eq!(reassembly.ranges.len(), 3);
    assert!(reassembly.insert(at(30), at(40)));
    assert_eq!(reassembly.ranges, [(at(20), at(50)), (at(60), at(70))]);
    assert!(reassembly.insert(at(10), at(80)));
    assert_eq!(reassembly.ranges, [(at(10), at(80))]);
    assert_eq!(reassembly.bytes(), 70);
    assert_eq!(reassembly.advance(at(5)), at(5));
    assert_eq!(reassembly.advance(at(10)), at(80));
    assert!(reassembly.is_empty());
}

#[test]
fn holes_are_bounded_and_a_full_list_still_takes_what_it_can_join() {
    let mut reassembly = Reassembly::default();
    for n in 0..MAX_RANGES as u32 {
        assert!(reassembly.insert(SeqNum(10 + n * 10), SeqNum(15 + n * 10)));
    }
    assert!(!reassembly.insert(SeqNum(100_000), SeqNum(100_001)));
    assert!(!reassembly.insert(SeqNum(17), SeqNum(18)), "between two, touching neither");
    assert!(reassembly.insert(SeqNum(15), SeqNum(20)), "the gap between two");
    assert_eq!(reassembly.ranges.len(), MAX_RANGES - 1);
    assert!(reassembly.insert(SeqNum(100_000), SeqNum(100_001)));
}

#[test]
fn nothing_beyond_the_fin_is_counted() {
    let mut reassembly = Reassembly::default();
    reassembly.insert(SeqNum(20), SeqNum(40));
    reassembly.set_fin(SeqNum(30));
    reassembly.set_fin(SeqNum(35));
    assert_eq!(reassembly.advance(SeqNum(20)), SeqNum(30));
    assert!(reassembly.fin_is_at(SeqNum(30)));
}

#[test]
fn it_agrees_with_a_set_of_bytes_whatever_comes() {
    let mut entropy = Entropy::new([3; 32]);
    for _ in 0..200 {
        let base = SeqNum(entropy.next_u32());
        let mut reassembly = Reassembly::default();
        let mut set: BTreeSet<u32> = BTreeSet::new();
        let mut next = 0;
        for _ in 0..200 {
            let start = next + entropy.below(300) as u32;
            let end = start + 1 + entropy.below(40) as u32;
            if start > next {
                if reassembly.insert(base + start, base + end) {
                    set.extend(start..end);
                }
            } else {
                let mut expected = end;
                while set.contains(&expected) {
                    expected += 1;
                }
                assert_eq!(reassembly.advance(base + end), base + expected);
                next = expected;
                set = set.split_off(&next);
            }
            assert_eq!(reassembly.bytes() as usize, set.len());
            assert!(reassembly.ranges.windows(2).all(|pair| pair[0].1.before(pair[1].0)), "apart and in order");
        }
    }
}
