//! Handles and the memory of their table.

use super::*;

enum Kind {}

#[test]
fn a_stale_handle_never_names_the_slots_next_tenant_also_when_its_memory_went_in_between() {
    let mut table = Table::<Kind, u32>::new();
    for round in 0..5 {
        let handles: Vec<_> = (0..1_000).map(|n| table.insert(n)).collect();
        for (n, &handle) in handles.iter().enumerate() {
            assert_eq!(table.get(handle), Some(&(n as u32)));
            assert_eq!(table.handle_at(handle.index()), Some(handle));
        }
        for &handle in &handles {
            assert!(table.remove(handle).is_some());
        }
        let again: Vec<_> = (0..1_000).map(|n| table.insert(n)).collect();
        for &handle in &handles {
            assert!(table.get(handle).is_none() && table.remove(handle).is_none(), "round {round}");
        }
        again.into_iter().for_each(|handle| assert!(table.remove(handle).is_some()));
    }
    assert_eq!(table.len(), 0);
}

#[test]
fn what_a_burst_took_is_given_back_but_for_one_chunk() {
    let mut table = Table::<Kind, [u64; 8]>::new();
    let handles: Vec<_> = (0..10_000).map(|_| table.insert([0; 8])).collect();
    let slots = |table: &Table<Kind, [u64; 8]>| table.chunks.iter().map(|chunk| chunk.slots.capacity()).sum::<usize>();
    assert!(slots(&table) <= 10_000 + CHUNK, "no more than is needed");
    for &handle in &handles[1..] {
        table.remove(handle);
    }
    assert!(slots(&table) <= 2 * CHUNK);
    assert_eq!(table.iter().map(|(handle, _)| handle).collect::<Vec<_>>(), [handles[0]]);
    table.remove(handles[0]);
    for _ in 0..100 {
        let only = table.insert([1; 8]);
        table.remove(only);
    }
    assert!(slots(&table) <= 2 * CHUNK);
}

#[test]
fn slots_that_were_left_are_taken_before_new_ones() {
    let mut table = Table::<Kind, usize>::new();
    let handles: Vec<_> = (0..640).map(|n| table.insert(n)).collect();
    for &handle in handles.iter().step_by(3) {
        table.remove(handle);
    }
    for n in 0..handles.iter().step_by(3).count() {
        assert!(table.insert(n).index() < 640);
    }
    assert_eq!((table.len(), table.iter().count()), (640, 640));
}
