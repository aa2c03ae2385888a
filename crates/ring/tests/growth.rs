//! Memory: none until it is needed, more when it is, and back again; and the room that is promised.

use wharf_ring::{self as ring, Budget};

const PAGE: usize = 4096;

#[test]
fn an_idle_ring_has_no_memory_and_the_first_byte_brings_a_page() {
    let (mut producer, _consumer) = ring::heap(1 << 20);
    assert_eq!(producer.capacity_allocated(), 0);
    assert_eq!(producer.free(), 1 << 20);
    assert_eq!(producer.capacity_allocated(), 0, "asking for room takes none");
    producer.write(b"x");
    assert_eq!(producer.capacity_allocated(), PAGE);
}

#[test]
fn memory_follows_what_the_ring_holds_up_to_the_limit() {
    let (mut producer, _consumer) = ring::heap(100_000);
    let mut written = 0;
    while producer.write(&[1; 1000]) > 0 {
        written = producer.len();
        let allocated = producer.capacity_allocated();
        assert!(allocated >= written && allocated <= (2 * written).max(PAGE), "{allocated} for {written}");
    }
    assert_eq!(written, 100_000);
    assert_eq!(producer.free(), 0);
    assert_eq!(producer.capacity_allocated(), 131_072);
}

#[test]
fn growing_moves_no_byte() {
    let (mut producer, consumer) = ring::heap(1 << 20);
    producer.write(&[7; 4000]);
    let before = consumer.spans(0, 4000).as_slice()[0].as_ptr();
    producer.write(&[8; 500_000]);
    assert_eq!(producer.capacity_allocated(), 524_288);
    let after = consumer.spans(0, 4000).as_slice()[0].as_ptr();
    assert_eq!(before, after);
    assert_eq!(consumer.len(), 504_000);
}

#[test]
fn a_reader_that_keeps_up_keeps_the_ring_small() {
    let (mut producer, mut consumer) = ring::heap(1 << 20);
    let mut bytes = [0; 1460];
    for _ in 0..10_000 {
        assert_eq!(producer.write(&[3; 1460]), 1460);
        assert_eq!(consumer.read(&mut bytes), 1460);
    }
    assert_eq!(producer.capacity_allocated(), PAGE);
}

#[test]
fn after_a_burst_small_messages_return_to_the_lowest_slots() {
    let (mut producer, mut consumer) = ring::heap(1 << 20);
    producer.write(&[1; 1000]);
    let lowest = consumer.spans(0, 1).as_slice()[0].as_ptr().addr();
    for _ in 0..1000 {
        producer.write(&[1; 1000]);
    }
    consumer.consume(consumer.len());
    for _ in 0..1000 {
        producer.write(&[2; 500]);
        for span in consumer.spans(0, 500).as_slice() {
            assert!((lowest..lowest + PAGE).contains(&span.as_ptr().addr()), "cold memory");
        }
        consumer.consume(500);
    }
}

#[test]
fn a_wrapped_ring_grows_although_its_reader_stands_still() {
    let (mut producer, mut consumer) = ring::heap(65_536);
    let bytes: Vec<u8> = (0..80_000u32).map(|i| (i % 251) as u8).collect();
    assert_eq!(producer.write(&bytes[..3000]), 3000);
    let mut read = vec![0; 2500];
    assert_eq!(consumer.read(&mut read), 2500);
    // Wraps within the first page, and from here on the reader does not move.
    for end in (4000..68_036).step_by(500) {
        let at = producer.position() as usize;
        assert_eq!(producer.write(&bytes[at..end.max(at)]), end - at);
        assert_eq!(producer.free(), 65_536 - producer.len(), "room is what the limit says");
    }
    let rest = 2500 + 65_536 - producer.position() as usize;
    assert_eq!(producer.write(&[0; 80_000][..rest + 1]), rest);
    let mut all = vec![0; 65_536 - rest];
    assert_eq!(consumer.copy_at(0, &mut all), all.len());
    assert_eq!(all, bytes[2500..2500 + all.len()]);
    assert_eq!(producer.capacity_allocated(), 65_536, "never more than the limit asks for");
}

#[test]
fn a_grown_ring_takes_no_memory_beyond_its_limit_while_its_reader_catches_up() {
    let (mut producer, mut consumer) = ring::heap(65_536);
    producer.write(&[1; 3000]);
    consumer.consume(consumer.len().min(2500));
    // Wrapped and then grown; the reader is still among the bytes from before.
    assert_eq!(producer.write(&[1; 2000]), 2000);
    assert_eq!(producer.capacity_allocated(), PAGE);
    assert_eq!(producer.write(&[1; 1 << 20]), 65_536 - 2500);
    assert_eq!(consumer.len(), 65_536);
    consumer.consume(3000);
    let before = producer.free();
    assert!(before < 3000, "room that would take a growth beyond the limit is not offered yet");
    assert_eq!(producer.write(&[1; 1 << 20]), before);
    assert_eq!(producer.capacity_allocated(), 65_536);
    consumer.consume(2000);
    assert_eq!(producer.free(), 65_536 - producer.len());
}

#[test]
fn a_promised_window_never_shrinks_while_the_ring_grows() {
    let (mut producer, mut consumer) = ring::heap(50_000);
    let mut edge = 0;
    let mut unread = 0usize;
    for step in 0..5000usize {
        let window_end = producer.position() + producer.free() as u64;
        assert!(window_end >= edge, "step {step}: {window_end} < {edge}");
        edge = window_end;
        unread += producer.write(&vec![0; (step * 37) % 1461]);
        let mut bytes = vec![0; (step * 101) % 1400];
        if step % 3 != 0 {
            unread -= consumer.read(&mut bytes);
        }
        assert_eq!(producer.len(), unread);
    }
}

#[test]
fn release_gives_memory_back_only_from_an_empty_ring() {
    let (mut producer, mut consumer) = ring::heap(1 << 20);
    assert!(producer.release(), "there is none yet");
    producer.write(&[1; 10_000]);
    assert!(!producer.release());
    let mut bytes = vec![0; 10_000];
    consumer.read(&mut bytes[..9_999]);
    assert!(!producer.release());
    consumer.read(&mut bytes);
    assert!(producer.write_at(5, b"out of order"));
    assert!(!producer.release(), "bytes out of order are alive");
    assert!(producer.write_at(0, b"four5"));
    producer.publish(17);
    assert_eq!(consumer.read(&mut bytes), 17);
    assert_eq!(&bytes[..17], b"four5out of order");
    assert!(producer.release());
    assert_eq!(producer.capacity_allocated(), 0);
    // And it works on from an odd position.
    assert_eq!(producer.write(&[9; 20_000]), 20_000);
    let mut bytes = vec![0; 20_000];
    assert_eq!(consumer.read(&mut bytes), 20_000);
    assert!(bytes.iter().all(|&byte| byte == 9));
}

#[test]
fn limits_change_at_any_time_and_never_lose_bytes() {
    let (mut producer, mut consumer) = ring::heap(100);
    assert_eq!(producer.write(&[1; 200]), 100);
    producer.set_limit(10);
    assert_eq!((producer.free(), producer.write(&[2; 5])), (0, 0));
    assert_eq!(consumer.len(), 100);
    producer.set_limit(70_000);
    assert_eq!(producer.write(&[3; 100_000]), 69_900);
    producer.set_limit(0);
    let mut bytes = vec![0; 70_000];
    assert_eq!(consumer.read(&mut bytes), 70_000);
    assert_eq!(bytes[..100], [1; 100]);
    assert_eq!(bytes[100..], [3; 69_900]);
    assert_eq!(producer.free(), 0);
    producer.set_limit(usize::MAX);
    assert!(producer.free() >= 1 << 28);
}

#[test]
fn a_big_first_write_lies_in_one_piece() {
    let (mut producer, consumer) = ring::heap(1 << 20);
    producer.write(&[1; 65_536]);
    assert_eq!(consumer.spans(0, 65_536).as_slice().len(), 1);
}

#[test]
fn any_64_kib_of_a_ring_that_grew_byte_by_byte_fit_the_spans() {
    let (mut producer, mut consumer) = ring::heap(1 << 18);
    for _ in 0..1 << 18 {
        producer.write(&[1]);
    }
    for _ in 0..300 {
        assert_eq!(consumer.spans(0, 65_536).len(), 65_536);
        let n = consumer.len().min(3333);
        consumer.consume(n);
        producer.write(&vec![2; n]);
    }
}

#[test]
fn spans_are_cut_where_pieces_run_out_and_to_what_is_there() {
    let (mut producer, consumer) = ring::heap_with_first_chunk(1 << 16, 64);
    for _ in 0..1 << 16 {
        producer.write(&[1]);
    }
    let spans = consumer.spans(0, 1 << 16);
    assert_eq!(spans.as_slice().len(), ring::MAX_SPANS);
    assert!(spans.len() < 1 << 16);
    assert_eq!(consumer.spans(spans.len(), 1 << 16).len(), (1 << 16) - spans.len());
    assert!(consumer.spans(1 << 16, 1).is_empty());
    assert!(consumer.spans(usize::MAX, usize::MAX).is_empty());
    assert_eq!(consumer.copy_at(usize::MAX, &mut [0; 4]), 0);
}

#[test]
fn bytes_out_of_order_wait_until_they_are_published() {
    let (mut producer, mut consumer) = ring::heap(10_000);
    assert!(producer.write_at(5000, b"late"));
    assert!(!producer.write_at(9_997, b"late"), "beyond the room");
    assert!(!producer.write_at(usize::MAX, b"late"));
    assert_eq!(consumer.len(), 0);
    assert!(producer.write_at(0, &[b'-'; 5000]));
    assert_eq!(consumer.len(), 0);
    producer.publish(5004);
    let mut bytes = vec![0; 6000];
    assert_eq!(consumer.read(&mut bytes), 5004);
    assert_eq!(&bytes[4998..5004], b"--late");
}

#[test]
#[should_panic(expected = "5 bytes published, 4 placed")]
fn publishing_what_was_not_placed_is_refused() {
    let (mut producer, _consumer) = ring::heap(100);
    producer.write_at(0, b"four");
    producer.publish(5);
}

#[test]
fn a_reservation_dropped_has_no_effect_and_committed_publishes() {
    let (mut producer, mut consumer) = ring::heap(1000);
    assert_eq!(producer.reserve(5000).len(), 1000);
    assert_eq!((producer.len(), consumer.len()), (0, 0));
    assert!(producer.release());
    let reserved = producer.reserve(10);
    // SAFETY: a reserved piece is writable for its length.
    unsafe { reserved.as_slice()[0].pointer.write_bytes(b'r', 10) };
    reserved.commit(4);
    let mut bytes = [0; 10];
    assert_eq!(consumer.read(&mut bytes), 4);
    assert_eq!(&bytes[..4], b"rrrr");
}

#[test]
fn the_end_shows_after_the_last_byte_and_takes_no_more() {
    let (mut producer, mut consumer) = ring::heap(1000);
    producer.write(b"end");
    producer.finish();
    assert_eq!((producer.write(b"more"), producer.free()), (0, 0));
    assert!(!producer.write_at(0, b"more"));
    assert!(consumer.is_producer_finished() && !consumer.is_finished());
    consumer.consume(3);
    assert!(consumer.is_finished());
    assert!(!consumer.is_producer_gone());
    drop(producer);
    assert!(consumer.is_producer_gone() && consumer.is_finished());
}

#[test]
fn a_dropped_producer_without_an_end_is_a_cut_stream() {
    let (mut producer, mut consumer) = ring::heap(1000);
    producer.write(b"cut");
    drop(producer);
    assert!(consumer.is_producer_gone() && !consumer.is_producer_finished());
    let mut bytes = [0; 3];
    assert_eq!(consumer.read(&mut bytes), 3);
    assert!(!consumer.is_finished());
}

#[test]
fn a_closed_or_dropped_consumer_shows() {
    let (producer, mut consumer) = ring::heap(1000);
    assert!(!producer.is_consumer_gone());
    consumer.close();
    assert!(producer.is_consumer_gone());
    let (mut producer, consumer) = ring::heap(1000);
    drop(consumer);
    assert!(producer.is_consumer_gone());
    producer.write(b"nobody reads this, and nothing breaks");
}

#[test]
fn bytes_out_of_order_do_not_grow_a_ring_whose_reader_has_moved_on() {
    let (mut producer, mut consumer) = ring::heap(65_536);
    let mut bytes = [0; 3000];
    for _ in 0..100 {
        // One hole of a thousand bytes, filled last: there is always something ahead of the tail.
        assert!(producer.write_at(1000, &[1; 2000]));
        assert!(producer.write_at(0, &[1; 1000]));
        assert!(producer.write_at(3000, &[2; 100]));
        producer.publish(3000);
        assert_eq!(consumer.read(&mut bytes), 3000);
    }
    assert_eq!(producer.capacity_allocated(), PAGE);
}

#[test]
fn what_the_consumer_grants_bounds_the_ring_and_takes_nothing_back() {
    let (mut producer, mut consumer) = ring::heap(1 << 20);
    consumer.grant(10_000);
    assert_eq!(producer.free(), 10_000);
    assert_eq!(producer.write(&[1; 20_000]), 10_000);
    consumer.grant(4_000);
    assert_eq!((producer.free(), producer.write(b"x")), (0, 0));
    assert_eq!(consumer.len(), 10_000, "what is there stays");
    consumer.consume(8_000);
    assert_eq!(producer.write(&[1; 20_000]), 2_000);
    consumer.grant(2 << 20);
    assert_eq!(producer.free(), (1 << 20) - 4_000, "the producer's own limit holds");
}

#[test]
fn rings_on_a_budget_stay_within_it_and_each_has_what_was_reserved() {
    let budget = Budget::new(100_000);
    let rings: Vec<_> = (0..20)
        .map(|_| {
            let (producer, consumer) = ring::heap(1 << 20);
            assert!(budget.reserve(Budget::RESERVED) && consumer.set_budget(&budget));
            (producer, consumer)
        })
        .collect();
    let mut taken = Vec::new();
    for (mut producer, consumer) in rings {
        while producer.write(&[7; 700]) > 0 {}
        assert!(producer.len() >= Budget::RESERVED, "each has room for something");
        taken.push(producer.capacity_allocated());
        std::mem::forget((producer, consumer));
    }
    assert!(taken.iter().sum::<usize>() <= 100_000, "{taken:?}");
    assert!(budget.used() <= budget.limit() && budget.refusals() > 0);
    assert!(taken[0] > taken[19], "the first took what there was: {taken:?}");
}

#[test]
fn memory_that_goes_back_is_on_the_budget_again() {
    let budget = Budget::new(1 << 20);
    let (mut producer, mut consumer) = ring::heap(1 << 20);
    assert!(budget.reserve(Budget::RESERVED) && producer.set_budget(&budget));
    assert!(!consumer.set_budget(&Budget::new(0)), "the first one stays");
    producer.write(&[1; 300_000]);
    assert_eq!(budget.used(), 1 << 19);
    consumer.consume(consumer.len());
    assert!(producer.release());
    assert_eq!(budget.used(), Budget::RESERVED);
    producer.write(&[1; 3_000]);
    assert_eq!(budget.used(), PAGE);
    drop((producer, consumer));
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_ring_without_memory_to_spare_begins_with_what_was_reserved_and_grows_when_there_is() {
    let budget = Budget::new(16 * PAGE);
    let (mut producer, mut consumer) = ring::heap(1 << 16);
    assert!(
        producer.set_budget(&budget) && budget.reserve(16 * PAGE),
        "some of it is reserved, the rest somebody else's"
    );
    let bytes: Vec<u8> = (0..20_000u32).map(|i| (i % 251) as u8).collect();
    let mut written = producer.write(&bytes);
    assert!((1_000..=Budget::RESERVED).contains(&written), "{written}");
    budget.give_back(16 * PAGE - Budget::RESERVED);
    written += producer.write(&bytes[written..]);
    assert_eq!(written, bytes.len());
    let mut read = vec![0; bytes.len()];
    assert_eq!(consumer.read(&mut read), bytes.len());
    assert_eq!(read, bytes);
}
