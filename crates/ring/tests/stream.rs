//! The ring as a stream, one thread: what is written is read, in order, within the limit.

mod common;

use std::collections::VecDeque;

use common::{Memory, Random, bytes_at};
use wharf_ring as ring;
use wharf_ring::{Consumer, Producer, Region};

/// Drives a ring and a model with the same random operations.
fn run_model(seed: u64, operations: usize, max_limit: usize, make: impl Fn(usize) -> (Producer, Consumer)) {
    let mut random = Random::new(seed);
    let mut limit = 1 + random.below(max_limit);
    let (mut producer, mut consumer) = make(limit);
    let mut largest_limit = limit;
    let mut unread: VecDeque<u8> = VecDeque::new();
    // Placed ahead of the tail: offset ranges from it.
    let mut ahead: Vec<(usize, usize)> = Vec::new();
    let mut largest_end = 0u64;
    for step in 0..operations {
        let context = || format!("seed {seed}, step {step}");
        let tail = producer.position();
        let free = producer.free();
        assert!(free + unread.len() <= limit.max(unread.len()), "{}", context());
        // Room once promised is not taken back, but for a lowered limit.
        assert!(tail + free as u64 >= largest_end, "{}: {tail} + {free} < {largest_end}", context());
        largest_end = tail + free as u64;
        match random.below(12) {
            0..=2 if ahead.is_empty() => {
                let wanted = random.size(limit + 10);
                let n = producer.write(&bytes_at(tail, wanted));
                assert_eq!(n, wanted.min(free), "{}", context());
                unread.extend(bytes_at(tail, n));
            }
            3 if ahead.is_empty() => {
                let reserved = producer.reserve(random.size(limit + 10));
                let n = random.below(reserved.len() + 1);
                let mut done = 0;
                for piece in reserved.as_slice() {
                    let bytes = bytes_at(tail + done as u64, piece.len);
                    // SAFETY: a reserved piece is writable for its length.
                    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), piece.pointer.as_ptr(), piece.len) };
                    done += piece.len;
                }
                reserved.commit(n);
                unread.extend(bytes_at(tail, n));
            }
            0..=5 => {
                let offset = random.size(limit);
                let len = random.size(limit);
                let fits = len == 0 || offset + len <= free;
                assert_eq!(producer.write_at(offset, &bytes_at(tail + offset as u64, len)), fits, "{}", context());
                if fits && len > 0 {
                    ahead.push((offset, offset + len));
                }
                // Publish what has become contiguous, sometimes only part of it.
                ahead.sort_unstable();
                let mut end = 0;
                for &(from, to) in &ahead {
                    if from <= end {
                        end = end.max(to);
                    }
                }
                let n = if random.below(3) == 0 { random.below(end + 1) } else { end };
                producer.publish(n);
                unread.extend(bytes_at(tail, n));
                ahead.retain_mut(|range| {
                    *range = (range.0.saturating_sub(n), range.1.saturating_sub(n));
                    range.1 > 0
                });
            }
            6..=8 => {
                let mut to = vec![0; random.size(limit + 10)];
                let n = consumer.read(&mut to);
                assert_eq!(n, to.len().min(unread.len()), "{}", context());
                assert!(unread.drain(..n).eq(to[..n].iter().copied()), "{}", context());
            }
            9 => {
                let offset = random.size(limit);
                let spans = consumer.spans(offset, random.size(limit));
                let mut to = vec![0; spans.len()];
                ring::copy_range(spans.as_slice(), 0, &mut to);
                assert!(unread.iter().skip(offset).take(to.len()).eq(to.iter()), "{}", context());
                assert!(unread.len() >= offset + to.len() || to.is_empty(), "{}", context());
                if spans.as_slice().len() < ring::MAX_SPANS && offset + 1 < unread.len() {
                    assert!(!to.is_empty() || spans.len() == to.len(), "{}", context());
                }
            }
            10 => {
                let could = unread.is_empty() && ahead.is_empty();
                let had_none = producer.capacity_allocated() == 0;
                assert_eq!(producer.release(), could || had_none, "{}", context());
                assert_eq!(producer.capacity_allocated() == 0, could || had_none, "{}", context());
            }
            _ => {
                if random.below(8) == 0 {
                    limit = random.size(max_limit);
                    producer.set_limit(limit);
                    largest_limit = largest_limit.max(limit);
                    largest_end = 0;
                }
            }
        }
        // Twice the bytes that the ring ever had to hold, at most: sizes are powers of two. A page comes at once.
        let most = largest_limit.next_power_of_two().max(4096);
        assert!(producer.capacity_allocated() <= most, "{}", context());
        assert_eq!(consumer.len(), unread.len(), "{}", context());
        assert_eq!(producer.len(), unread.len(), "{}", context());
    }
}

fn in_region(memory: &Memory, limit: usize) -> (Producer, Consumer) {
    let region = memory.region();
    region.create();
    // SAFETY: one half of each kind, dropped before the memory.
    unsafe { (Producer::from_region(region, limit).unwrap(), Consumer::from_region(region).unwrap()) }
}

#[test]
fn a_heap_ring_agrees_with_a_queue_under_random_operations() {
    for seed in 0..40 {
        run_model(seed, 2_500, 3_000, |limit| ring::heap_with_first_chunk(limit, 64));
    }
    for seed in 100..110 {
        run_model(seed, 10_000, 500, |limit| ring::heap_with_first_chunk(limit, 64));
    }
    for seed in 200..210 {
        run_model(seed, 1_000, 100_000, ring::heap);
    }
}

#[test]
fn a_shared_ring_agrees_with_a_queue_under_random_operations() {
    for (seeds, max_limit) in [(0..20, 512), (20..40, 4096), (40..50, 65_536)] {
        for seed in seeds {
            let memory = Memory::new(Region::len_for(max_limit));
            run_model(seed, 2_500, max_limit, |limit| in_region(&memory, limit));
            memory.check_margins();
        }
    }
}
