//! The queues against plain ones: the place ahead of them changes nothing about who comes when.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Ready;
use crate::entropy::Entropy;
use crate::handle::{Handle, Table};
use crate::link::{InterfaceId, InterfaceKind};

fn interfaces() -> Vec<InterfaceId> {
    let mut table: Table<InterfaceKind, ()> = Table::new();
    (0..3).map(|_| table.insert(())).collect()
}

#[test]
fn connections_take_their_turn_as_in_a_queue_for_each_interface() {
    let on = interfaces();
    for seed in 0..64 {
        let mut chance = Entropy::new([seed; 32]);
        let mut ready = Ready::default();
        let mut model: Vec<VecDeque<u32>> = on.iter().map(|_| VecDeque::new()).collect();
        for index in 0..400 {
            let at = chance.below(3) as usize;
            match chance.below(8) as u32 {
                0..3 => {
                    ready.push(on[at], index);
                    model[at].push_back(index);
                }
                3 => {
                    ready.push_front(on[at], index);
                    model[at].push_front(index);
                }
                4 if chance.below(8) == 0 => assert_eq!(ready.remove(on[at]), core::mem::take(&mut model[at])),
                _ => assert_eq!(ready.pop(on[at]), model[at].pop_front(), "seed {seed}, step {index}"),
            }
            let waiting: usize = model.iter().map(VecDeque::len).sum();
            assert_eq!(ready.is_silent(), waiting == 0);
            for (at, queue) in model.iter().enumerate() {
                assert_eq!(ready.is_empty(on[at]), queue.is_empty(), "seed {seed}, step {index}");
                // Whoever is said to be the only one is; that it is not seen at times costs a look at the queues.
                if let Some(only) = ready.only(on[at]) {
                    assert_eq!((waiting, queue.front()), (1, Some(&only)));
                }
                if ready.has_one_beside(on[at]) {
                    assert!(waiting == 1 && queue.is_empty());
                }
            }
        }
    }
}

#[test]
fn one_that_is_done_without_being_taken_leaves_nothing_behind() {
    let on = interfaces();
    let mut ready = Ready::default();
    ready.push(on[0], 7);
    assert_eq!(ready.only(on[0]), Some(7));
    ready.forget(8);
    assert_eq!(ready.only(on[0]), Some(7));
    ready.forget(7);
    assert!(ready.is_silent() && ready.pop(on[0]).is_none());
    let other: InterfaceId = Handle::from_bits(on[1].to_bits());
    ready.push(other, 9);
    assert_eq!((ready.only(on[0]), ready.only(on[1])), (None, Some(9)));
}
