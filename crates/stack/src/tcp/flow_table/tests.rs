//! The table against a list that does the same slowly.

use alloc::vec::Vec;

use super::*;
use crate::entropy::Entropy;

/// Adds, replaces and removes at random; `hash` makes the hashes.
fn against_a_list(seed: u8, most: usize, mut hash: impl FnMut(&mut Entropy) -> u32) {
    let mut chance = Entropy::new([seed; 32]);
    let mut table = FlowTable::default();
    let mut list: Vec<(u32, u32)> = Vec::new();
    let mut next = 0;
    for step in 0..20_000 {
        let grows = chance.below(2 * most as u64) >= list.len() as u64;
        if list.is_empty() || grows {
            let hash = hash(&mut chance);
            table.insert(hash, next);
            list.push((hash, next));
            next += 1;
        } else {
            let at = chance.below(list.len() as u64) as usize;
            let (hash, name) = list[at];
            if step % 3 == 0 {
                assert!(table.replace(hash, name, next), "seed {seed}, step {step}");
                list[at].1 = next;
                next += 1;
            } else {
                table.remove(hash, name);
                list.swap_remove(at);
            }
        }
        assert_eq!(table.is_empty(), list.is_empty());
        assert!(table.places.last().is_none_or(|last| last.name == EMPTY), "a search ends");
        if step % 16 == 0 {
            for &(hash, name) in &list {
                assert_eq!(table.find(hash, |other| other == name), Some(name), "seed {seed}, step {step}");
            }
            let gone = next + 1;
            assert_eq!(table.find(hash(&mut chance), |other| other == gone), None);
        }
    }
    for (hash, name) in list {
        table.remove(hash, name);
        assert_eq!(table.find(hash, |other| other == name), None);
    }
    assert!(table.is_empty());
}

#[test]
fn whatever_is_added_is_found_until_it_is_taken_out() {
    for seed in 1..=4 {
        against_a_list(seed, 300, Entropy::next_u32);
    }
}

#[test]
fn numbers_whose_searches_begin_at_the_same_place_do_not_hide_each_other() {
    // The last home too, behind which there are few places at first.
    for seed in 1..=4 {
        against_a_list(seed, 40, |chance| if chance.below(2) == 0 { u32::MAX - chance.below(4) as u32 } else { 7 });
    }
}

#[test]
fn everything_stands_in_the_order_of_hashes_and_nothing_before_its_home() {
    let mut table = FlowTable::default();
    let mut chance = Entropy::new([8; 32]);
    let mut living = Vec::new();
    for name in 0..3_000 {
        let hash = chance.next_u32();
        table.insert(hash, name);
        living.push((hash, name));
        if name % 3 == 0 {
            let (hash, name) = living.swap_remove(chance.below(living.len() as u64) as usize);
            table.remove(hash, name);
        }
    }
    let standing = || table.places.iter().enumerate().filter(|(_, place)| place.name != EMPTY);
    assert_eq!(standing().count(), living.len());
    assert!(standing().is_sorted_by_key(|(_, place)| place.hash));
    for (at, place) in standing() {
        let home = table.home(place.hash);
        assert!(home <= at && table.places[home..at].iter().all(|place| place.name != EMPTY), "no hole on the way");
    }
}

#[test]
fn a_table_that_a_burst_has_filled_gives_its_memory_back_when_it_is_empty() {
    let mut table = FlowTable::default();
    let mut chance = Entropy::new([9; 32]);
    let hashes: Vec<u32> = (0..5_000).map(|_| chance.next_u32()).collect();
    (0..).zip(&hashes).for_each(|(name, &hash)| table.insert(hash, name));
    assert!(table.homes <= hashes.len() * 25 / 16, "it grows by a quarter");
    (0..).zip(&hashes).for_each(|(name, &hash)| table.remove(hash, name));
    assert_eq!(table.places.len(), 0);
    table.insert(1, 2);
    assert_eq!(table.find(1, |name| name == 2), Some(2));
}

#[test]
fn what_is_not_there_is_neither_replaced_nor_removed() {
    let mut table = FlowTable::default();
    assert!(!table.replace(1, 2, 3));
    table.remove(1, 2);
    table.insert(1, 2);
    assert!(!table.replace(1, 4, 3));
    table.remove(1, 4);
    assert_eq!(table.find(1, |_| true), Some(2));
}
