//! A client that lies and scribbles over its shared memory: the other half stays inside of the region, does not
//! panic, does not loop, and says that the ring is poisoned.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Memory, Random};
use wharf_ring::datagram::{self, Record};
use wharf_ring::{Consumer, MAX_SPANS, NotARing, Producer, Region};

const HEAD: usize = 0;
const TAIL: usize = 8;
/// The four words of the two epochs: start, base and size, twice.
const EPOCHS: [usize; 4] = [32, 40, 48, 56];
const SLOTS: usize = 4096;

fn memory() -> Memory {
    let memory = Memory::new(Region::len_for(SLOTS));
    memory.region().create();
    memory
}

fn producer(memory: &Memory) -> Producer {
    // SAFETY: the only producer, dropped before the memory.
    unsafe { Producer::from_region(memory.region(), SLOTS) }.unwrap()
}

fn consumer(memory: &Memory) -> Consumer {
    // SAFETY: the only consumer, dropped before the memory.
    unsafe { Consumer::from_region(memory.region()) }.unwrap()
}

fn assert_dead(producer: &mut Producer) {
    assert!(producer.is_poisoned() && producer.is_consumer_gone());
    assert_eq!((producer.free(), producer.write(b"more"), producer.reserve(9).len()), (0, 0, 0));
    assert!(!producer.write_at(0, b"more") && !producer.release());
}

fn assert_silent(consumer: &mut Consumer) {
    assert!(consumer.is_poisoned() && consumer.is_producer_gone());
    assert!(consumer.is_empty() && !consumer.is_finished());
    assert_eq!((consumer.read(&mut [0; 9]), consumer.spans(0, 9).len()), (0, 0));
}

#[test]
fn a_head_past_the_tail_poisons_the_producer() {
    let memory = memory();
    let mut producer = producer(&memory);
    producer.write(b"four");
    memory.scribble(HEAD, 5);
    assert_eq!(producer.free(), 0, "nothing is gained by it");
    assert_dead(&mut producer);
}

#[test]
fn a_head_that_runs_backwards_poisons_the_producer() {
    let memory = memory();
    let mut producer = producer(&memory);
    producer.write(b"four");
    memory.scribble(HEAD, 4);
    assert_eq!(producer.free(), SLOTS);
    memory.scribble(HEAD, 3);
    producer.free();
    assert_dead(&mut producer);
}

#[test]
fn a_tail_past_the_memory_poisons_the_consumer() {
    let memory = memory();
    let mut consumer = consumer(&memory);
    memory.scribble(TAIL, SLOTS as u64 + 1);
    assert_eq!(consumer.len(), 0);
    assert_silent(&mut consumer);
}

#[test]
fn a_tail_that_runs_backwards_poisons_the_consumer_and_leaves_what_it_saw_consumable() {
    let memory = memory();
    let (mut producer, mut consumer) = (producer(&memory), consumer(&memory));
    producer.write(b"seven77");
    let seen = consumer.len();
    memory.scribble(TAIL, 3);
    assert_eq!(consumer.len(), 0);
    // The caller planned on what it saw before: that must not panic.
    consumer.consume(seen);
    assert_silent(&mut consumer);
}

#[test]
fn an_epoch_of_an_impossible_size_or_none_poisons_the_consumer() {
    for size in [0, 1, 5, 13, 36, 63] {
        let memory = memory();
        let mut consumer = consumer(&memory);
        memory.scribble(EPOCHS[0], 0);
        memory.scribble(EPOCHS[1], size);
        memory.scribble(TAIL, 100);
        assert_eq!(consumer.read(&mut [0; 100]), 0);
        assert_silent(&mut consumer);
    }
    let memory = memory();
    let mut consumer = consumer(&memory);
    memory.scribble(TAIL, 100);
    assert!(consumer.spans(0, 100).is_empty(), "no epoch at all");
    assert_silent(&mut consumer);
}

#[test]
fn memory_without_a_header_is_no_ring() {
    let memory = Memory::new(Region::len_for(SLOTS));
    // SAFETY: as in `producer` and `consumer`.
    unsafe {
        assert_eq!(Producer::from_region(memory.region(), 1).err(), Some(NotARing));
        assert_eq!(Consumer::from_region(memory.region()).err(), Some(NotARing));
        assert!(Region::new(memory.base(), 127).is_none(), "too short");
        assert!(Region::new(memory.base().add(8), 4096).is_none(), "not aligned");
    }
}

/// A word such as a liar would choose: near the truth, near a limit, or anything.
fn lie(random: &mut Random, truth: u64) -> u64 {
    match random.below(6) {
        0 => random.next(),
        1 => truth.wrapping_add(random.size(2 * SLOTS) as u64),
        2 => truth.wrapping_sub(random.size(2 * SLOTS) as u64),
        3 => 1 << random.below(64),
        4 => u64::MAX - random.size(64) as u64,
        // A base and a size, for an epoch.
        _ => (random.size(2 * SLOTS) as u64) << 6 | random.below(14) as u64,
    }
}

/// Where to lie: in the header once in `rarity` times.
fn aim(random: &mut Random, rarity: usize) -> usize {
    let words = if random.below(rarity) == 0 { 8 } else { SLOTS / 8 };
    8 * random.below(words)
}

#[test]
fn a_producer_survives_any_scribbling() {
    let mut poisoned = 0;
    for seed in 0..3000 {
        let mut random = Random::new(seed);
        let memory = memory();
        let mut producer = producer(&memory);
        for _ in 0..60 {
            let before = producer.position();
            match random.below(8) {
                0..=2 => assert!(producer.write(&[1; SLOTS][..random.size(SLOTS)]) <= SLOTS),
                3 => {
                    let offset = random.size(2 * SLOTS);
                    producer.write_at(offset, &[2; SLOTS][..random.size(SLOTS)]);
                }
                4 => {
                    let reserved = producer.reserve(random.size(SLOTS));
                    for piece in reserved.as_slice() {
                        // SAFETY: reserved pieces are writable.
                        unsafe { piece.pointer.write_bytes(3, piece.len) };
                    }
                    let n = random.below(reserved.len() + 1);
                    reserved.commit(n);
                }
                5 => {
                    producer.release();
                    producer.set_limit(random.size(3 * SLOTS));
                }
                // Most lies are an honest consumer's progress, or the run would end at once.
                6 => memory.scribble(HEAD, before - random.below(producer.len() + 1) as u64),
                _ => {
                    let offset = aim(&mut random, 2);
                    let word = lie(&mut random, memory.peek(offset));
                    memory.scribble(offset, word);
                }
            }
            assert!(producer.free() <= SLOTS && producer.len() <= SLOTS);
        }
        poisoned += usize::from(producer.is_poisoned());
        memory.check_margins();
    }
    assert!((500..2900).contains(&poisoned), "{poisoned} of 3000: the lies are too weak or too strong");
}

#[test]
fn a_consumer_survives_any_scribbling() {
    let mut poisoned = 0;
    for seed in 0..3000 {
        let mut random = Random::new(seed);
        let memory = memory();
        let (mut honest, mut consumer) = (producer(&memory), consumer(&memory));
        let mut bytes = [0; 2 * SLOTS];
        for _ in 0..60 {
            match random.below(12) {
                0 | 1 | 5..=10 => {
                    honest.write(&[1; SLOTS][..random.size(SLOTS)]);
                }
                2 => assert!(consumer.read(&mut bytes[..random.size(SLOTS)]) <= SLOTS),
                3 => {
                    let spans = consumer.spans(random.size(SLOTS), random.size(2 * SLOTS));
                    assert!(spans.as_slice().len() <= MAX_SPANS && spans.len() <= SLOTS);
                    let mut n = 0;
                    for span in spans.as_slice() {
                        let _ = span.copy_to_and_sum(&mut bytes[n..]);
                        n += span.len();
                    }
                }
                4 if random.below(30) == 0 => {
                    datagram::pop(&mut consumer, &mut bytes);
                }
                _ => {
                    let offset = aim(&mut random, 2);
                    if offset == 16 {
                        continue;
                    }
                    let word = lie(&mut random, memory.peek(offset));
                    memory.scribble(offset, word);
                }
            }
            assert!(consumer.len() <= SLOTS);
        }
        poisoned += usize::from(consumer.is_poisoned());
        memory.check_margins();
    }
    assert!((500..2900).contains(&poisoned), "{poisoned} of 3000: the lies are too weak or too strong");
}

#[test]
fn both_halves_survive_a_thread_that_scribbles_meanwhile() {
    for seed in 0..20 {
        let memory = memory();
        let (mut producer, mut consumer) = (producer(&memory), consumer(&memory));
        let done = AtomicBool::new(false);
        // The base as a number that a thread may hold; the scribbler is the other process.
        struct Shared<'a>(&'a Memory);
        // SAFETY: only `scribble` and `peek` are called through it, which tear nothing.
        unsafe impl Sync for Shared<'_> {}
        let shared = Shared(&memory);
        thread::scope(|scope| {
            scope.spawn(|| {
                let shared = &shared;
                let mut random = Random::new(seed);
                while !done.load(Ordering::Relaxed) {
                    let offset = aim(&mut random, 16);
                    let word = lie(&mut random, shared.0.peek(offset));
                    shared.0.scribble(offset, word);
                }
            });
            let mut bytes = [0; SLOTS];
            for _ in 0..2000 {
                producer.write(&bytes[..1000]);
                consumer.read(&mut bytes[..1500]);
                consumer.spans(0, SLOTS);
                producer.release();
            }
            done.store(true, Ordering::Relaxed);
        });
        memory.check_margins();
    }
}

#[test]
fn a_record_header_that_makes_no_sense_poisons_the_consumer() {
    let record = Record { remote: "192.0.2.1:53".parse().unwrap(), local: None, interface: 1, tos: 0, ttl: 64 };
    // The mark, the families, and the length of the payload.
    for (byte, value) in [(0, 0), (1, 0), (1, 3), (1, 1 | 3 << 2), (1, 0x11), (2, 6)] {
        let memory = memory();
        let (mut producer, mut consumer) = (producer(&memory), consumer(&memory));
        datagram::push(&mut producer, &record, b"query").unwrap();
        // SAFETY: within the first record.
        unsafe { memory.base().add(Region::HEADER_LEN + byte).write_volatile(value) };
        assert_eq!(datagram::pop(&mut consumer, &mut [0; 100]), None, "{byte} {value}");
        assert_silent(&mut consumer);
    }
    let memory = memory();
    let (mut producer, mut consumer) = (producer(&memory), consumer(&memory));
    producer.write(&[0xd6; 47]);
    assert_eq!(datagram::pop(&mut consumer, &mut []), None);
    assert_silent(&mut consumer);
}
