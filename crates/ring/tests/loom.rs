//! Every interleaving of the two halves that loom can find, within its bound of preemptions.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p wharf-ring --test loom --release`
//!
//! The ring's atomics are loom's, and every copy touches loom's cells of the bytes it moves, so a byte that is read
//! before it was handed over, or written before it was given back, fails the model. Sizes are multiples of eight,
//! which is the grain of those cells.

#![cfg(loom)]

use loom::thread;
use wharf_ring::{Consumer, Producer, heap_pair, heap_with_first_chunk};

fn explore(body: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(body);
}

fn byte_at(position: u64) -> u8 {
    (position * 7 + 3) as u8
}

fn write_all(producer: &mut Producer, mut len: usize) {
    while len > 0 {
        let at = producer.position();
        let bytes: Vec<u8> = (0..len as u64).map(|i| byte_at(at + i)).collect();
        let n = producer.write(&bytes);
        len -= n;
        if n == 0 {
            thread::yield_now();
        }
    }
}

/// Reads and checks until `end`.
fn read_until(consumer: &mut Consumer, end: u64) {
    let mut bytes = [0; 256];
    while consumer.position() < end {
        let at = consumer.position();
        let n = consumer.read(&mut bytes);
        for (i, &byte) in bytes[..n].iter().enumerate() {
            assert_eq!(byte, byte_at(at + i as u64), "position {}", at + i as u64);
        }
        if n == 0 {
            thread::yield_now();
        }
    }
}

#[test]
fn published_bytes_are_whole_and_wrap() {
    explore(|| {
        let (mut producer, mut consumer) = heap_with_first_chunk(64, 64);
        let writer = thread::spawn(move || {
            write_all(&mut producer, 40);
            write_all(&mut producer, 48);
        });
        read_until(&mut consumer, 88);
        writer.join().unwrap();
    });
}

#[test]
fn growing_in_place_moves_no_byte_under_the_reader() {
    explore(|| {
        let (mut producer, mut consumer) = heap_with_first_chunk(256, 64);
        let writer = thread::spawn(move || {
            write_all(&mut producer, 48);
            write_all(&mut producer, 64);
        });
        read_until(&mut consumer, 112);
        writer.join().unwrap();
    });
}

#[test]
fn growing_while_wrapped_appends_an_epoch() {
    explore(|| {
        let (mut producer, mut consumer) = heap_with_first_chunk(256, 64);
        write_all(&mut producer, 56);
        read_until(&mut consumer, 40);
        // Wrapped: 40..56 at the end, 56..104 from the beginning on.
        write_all(&mut producer, 40);
        let writer = thread::spawn(move || {
            write_all(&mut producer, 48);
            write_all(&mut producer, 40);
        });
        read_until(&mut consumer, 184);
        writer.join().unwrap();
    });
}

#[test]
fn bytes_out_of_order_land_before_and_behind_an_append() {
    explore(|| {
        let (mut producer, mut consumer) = heap_with_first_chunk(256, 64);
        write_all(&mut producer, 56);
        read_until(&mut consumer, 40);
        let writer = thread::spawn(move || {
            let at = |from: u64, len: u64| (from..from + len).map(byte_at).collect::<Vec<u8>>();
            assert!(producer.write_at(72, &at(128, 16)));
            assert!(producer.write_at(0, &at(56, 72)));
            producer.publish(88);
        });
        read_until(&mut consumer, 144);
        writer.join().unwrap();
    });
}

#[test]
fn memory_is_released_only_when_nobody_reads_it() {
    explore(|| {
        let (mut producer, mut consumer) = heap_with_first_chunk(128, 64);
        let writer = thread::spawn(move || {
            write_all(&mut producer, 48);
            producer.release();
            write_all(&mut producer, 32);
            producer.release();
        });
        read_until(&mut consumer, 80);
        assert_eq!(consumer.len(), 0);
        writer.join().unwrap();
    });
}

#[test]
fn the_end_of_the_stream_comes_after_its_last_byte() {
    explore(|| {
        let (mut producer, mut consumer) = heap_with_first_chunk(64, 64);
        let writer = thread::spawn(move || {
            write_all(&mut producer, 16);
            producer.finish();
        });
        let mut bytes = [0; 64];
        let mut total = 0;
        while !consumer.is_finished() {
            let n = consumer.read(&mut bytes);
            total += n;
            if n == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(total, 16);
        writer.join().unwrap();
    });
}

#[test]
fn the_last_half_frees_the_ring_once() {
    explore(|| {
        let (mut producer, mut consumer) = heap_with_first_chunk(64, 64);
        write_all(&mut producer, 8);
        let other = thread::spawn(move || {
            read_until(&mut consumer, 8);
            drop(consumer);
        });
        drop(producer);
        other.join().unwrap();
    });
}

#[test]
fn the_last_of_four_halves_frees_a_pair_once() {
    explore(|| {
        let [(out, out_end), (back_end, back)] = heap_pair(64, 64);
        let peer = thread::spawn(move || {
            drop(out_end);
            drop(back_end);
        });
        drop(back);
        drop(out);
        peer.join().unwrap();
    });
}
