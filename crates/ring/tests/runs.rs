//! Bytes behind each other, whose place is known from those before: whatever changes the mapping or the limit in between
//! is heeded.

mod common;

use common::{Random, bytes_at};
use wharf_ring::{self as ring, Consumer, Producer};

/// A ring in whose first chunk a run has begun: two segments are placed, none is published.
fn with_a_run(limit: usize) -> (Producer, Consumer) {
    let (mut producer, consumer) = ring::heap(limit);
    for offset in [0, 600] {
        assert!(producer.write_at(offset, &bytes_at(offset as u64, 600)));
    }
    (producer, consumer)
}

fn assert_reads(consumer: &mut Consumer, len: usize) {
    let at = consumer.position();
    let mut to = vec![0; len];
    assert_eq!(consumer.read(&mut to), len);
    assert!(to == bytes_at(at, len), "other bytes at {at}");
}

#[test]
fn a_lowered_limit_holds_for_bytes_behind_others() {
    let (mut producer, _consumer) = with_a_run(65_536);
    producer.set_limit(1500);
    assert!(!producer.write_at(1200, &[0; 600]));
    assert!(producer.write_at_and_sum(1200, &[0; 600]).is_none());
    assert!(producer.write_at(1200, &[0; 300]));
}

#[test]
#[should_panic(expected = "1201 bytes published, 1200 placed")]
fn no_bytes_place_nothing() {
    let (mut producer, _consumer) = with_a_run(65_536);
    producer.write_at(2_000, b"");
    producer.write_at_and_sum(2_000, b"");
    producer.publish(1_201);
}

#[test]
fn a_grant_holds_for_bytes_behind_others() {
    let (mut producer, consumer) = with_a_run(65_536);
    consumer.grant(1500);
    assert!(!producer.write_at(1200, &[0; 600]));
    assert!(producer.write_at(1200, &[0; 300]));
}

#[test]
fn a_finished_ring_takes_no_bytes_behind_others() {
    let (mut producer, _consumer) = with_a_run(65_536);
    producer.finish();
    assert!(!producer.write_at(1200, &[0; 10]));
    assert!(producer.write_at_and_sum(1200, &[0; 10]).is_none());
}

#[test]
fn room_ends_where_the_limit_says_within_a_chunk() {
    let (mut producer, mut consumer) = with_a_run(2000);
    assert!(producer.write_at(1200, &bytes_at(1200, 800)));
    assert!(!producer.write_at(2000, b"x"));
    producer.publish(2000);
    assert!(!producer.write_at(0, b"x"));
    assert_reads(&mut consumer, 2000);
}

#[test]
fn bytes_far_ahead_stay_placed_when_those_before_them_come() {
    let (mut producer, mut consumer) = with_a_run(65_536);
    assert!(producer.write_at(3000, &bytes_at(3000, 500)));
    for offset in (1200..3000).step_by(600) {
        assert!(producer.write_at(offset, &bytes_at(offset as u64, 600)));
    }
    producer.publish(3500);
    assert_reads(&mut consumer, 3500);
}

#[test]
fn an_offset_beyond_all_positions_is_refused() {
    let (mut producer, mut consumer) = with_a_run(65_536);
    producer.publish(1200);
    assert_reads(&mut consumer, 1000);
    assert!(!producer.write_at(usize::MAX - 100, &[0; 50]));
    assert!(!producer.write_at(usize::MAX, &[0; 50]));
    assert!(producer.write_at(700, &[]), "nothing fits anywhere");
    assert_eq!(producer.free(), 65_536 - 200);
}

/// Segments behind each other in batches of any length, of sizes that meet the ends of chunks in every way, while the reader is
/// as far behind as it likes and the ring wraps, grows, rewinds and gives its memory back.
#[test]
fn segments_behind_each_other_arrive_whole_whatever_the_ring_does_in_between() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let limit = 1000 + random.below(100_000);
        let (mut producer, mut consumer) = ring::heap_with_first_chunk(limit, 1 << (6 + random.below(8)));
        for _ in 0..120 {
            let size = 1 + random.below(2000);
            let (mut placed, batch) = (0, random.below(40));
            for step in 0..batch {
                let at = producer.position() + placed as u64;
                let bytes = bytes_at(at, size);
                let fits = placed + size <= producer.free();
                let taken = if step % 3 == 0 {
                    producer.write_at_and_sum(placed, &bytes).is_some()
                } else {
                    producer.write_at(placed, &bytes)
                };
                assert_eq!(taken, fits, "seed {seed}");
                placed += if taken { size } else { 0 };
                if random.below(10) == 0 && !consumer.is_empty() {
                    let n = random.below(consumer.len() + 1);
                    assert_reads(&mut consumer, n);
                }
                if random.below(20) == 0 {
                    producer.publish(placed);
                    placed = 0;
                }
            }
            producer.publish(placed);
            if random.below(4) > 0 {
                let n = consumer.len();
                assert_reads(&mut consumer, n);
            }
            if random.below(8) == 0 {
                producer.release();
            }
        }
    }
}

#[test]
fn what_was_looked_at_ahead_of_the_reader_does_not_hide_an_append() {
    let (mut producer, mut consumer) = ring::heap_with_first_chunk(1000, 128);
    assert_eq!(producer.write(&bytes_at(0, 100)), 100);
    assert_reads(&mut consumer, 60);
    assert_eq!(producer.write(&bytes_at(100, 50)), 50);
    // In the second lap, far ahead of the first unread byte.
    assert!(consumer.span(80, 10).is_some());
    assert_eq!(producer.write(&bytes_at(150, 60)), 60);
    let mut to = [0; 15];
    consumer.span(130, 15).expect("one piece").copy_to(&mut to);
    assert!(to[..] == bytes_at(190, 15)[..], "the bytes of the new epoch lie behind the old one's");
    assert_reads(&mut consumer, 150);
}

/// Messages that are written and read whole, one by one or some together, with the reader now at once and now far behind: each half
/// finds its place from the one before, whatever the ring, its limit and the reader's grant do in between.
#[test]
fn messages_behind_each_other_arrive_whole_whatever_the_ring_does_in_between() {
    for seed in 0..60 {
        let mut random = Random::new(1000 + seed);
        let largest = 500 + random.below(20_000);
        let (mut producer, mut consumer) = ring::heap_with_first_chunk(largest, 1 << (6 + random.below(7)));
        let mut lens = std::collections::VecDeque::new();
        for _ in 0..2000 {
            let longest = if random.below(12) == 0 { 2000 } else { 150 };
            let len = 1 + random.below(longest);
            // Only now and then does the producer look how far the reader has come, but where it needs the room.
            let free = if random.below(20) == 0 { producer.free() } else { 0 };
            let written = producer.write(&bytes_at(producer.position(), len));
            assert!(written >= len.min(free), "seed {seed}");
            if written > 0 {
                lens.push_back(written);
            }
            let (unread, ahead) = (consumer.len(), random.below(400));
            if ahead < unread {
                let len = 1 + random.below((unread - ahead).min(100));
                let mut to = vec![0; len];
                if let Some(span) = consumer.span(ahead, len) {
                    span.copy_to(&mut to);
                    assert!(to == bytes_at(consumer.position() + ahead as u64, len), "seed {seed}: other bytes ahead");
                }
            }
            // Most often the answer comes at once.
            while random.below(8) > 1
                && let Some(len) = lens.pop_front()
            {
                if random.below(2) == 0 {
                    assert_reads(&mut consumer, len);
                } else {
                    let mut to = vec![0; len];
                    if let Some(span) = consumer.span(0, len) {
                        span.copy_to(&mut to);
                    } else {
                        assert_eq!(consumer.copy_at(0, &mut to), len, "seed {seed}");
                    }
                    assert!(to == bytes_at(consumer.position(), len), "seed {seed}: other bytes");
                    consumer.consume(len);
                }
            }
            match random.below(60) {
                0 => producer.set_limit(1 + random.below(largest)),
                1 => consumer.grant(1 + random.below(largest)),
                2 => consumer.grant(u32::MAX as usize),
                3 => {
                    producer.release();
                }
                _ => {}
            }
        }
    }
}
