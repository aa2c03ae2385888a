//! Two threads, and two processes: every byte arrives, in order.
//!
//! Both sanitizers run on a nightly without rebuilding std, and are clean (F being "--target x86_64-unknown-linux-gnu"):
//!
//! ```text
//! RUSTFLAGS=-Zsanitizer=address cargo +nightly test -p wharf-ring F --tests
//! RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
//! TSAN_OPTIONS=suppressions=$PWD/crates/ring/tests/tsan.supp cargo +nightly test -p wharf-ring F --test threads
//! ```

mod common;

use std::thread;

use common::{Random, byte_at, bytes_at};
use wharf_ring::{self as ring, Consumer, Producer, Region};

/// Writes `total` bytes in random pieces, some out of order, releasing and changing the limit on the way.
fn produce(mut producer: Producer, total: u64, seed: u64) {
    let mut random = Random::new(seed);
    while producer.position() < total {
        let at = producer.position();
        let wanted = (1 + random.size(20_000) as u64).min(total - at) as usize;
        match random.below(16) {
            0 => {
                producer.release();
            }
            1 => producer.set_limit(1 + random.size(200_000)),
            2..5 => {
                let len = wanted.min(producer.free());
                let half = len / 2;
                let bytes = bytes_at(at, len);
                assert!(producer.write_at(half, &bytes[half..]));
                assert!(producer.write_at(0, &bytes[..half]));
                producer.publish(len);
            }
            _ => {
                if producer.write(&bytes_at(at, wanted)) == 0 {
                    thread::yield_now();
                }
            }
        }
        assert!(!producer.is_poisoned());
        if producer.is_consumer_gone() {
            return;
        }
    }
    producer.finish();
}

/// Reads to the end in random pieces and checks each byte.
fn consume(mut consumer: Consumer, total: u64, seed: u64) {
    let mut random = Random::new(seed);
    let mut bytes = vec![0; 30_000];
    while !consumer.is_finished() {
        let at = consumer.position();
        let wanted = 1 + random.size(bytes.len() - 1);
        let n = if random.below(4) == 0 {
            let spans = consumer.spans(0, wanted);
            ring::copy_range(spans.as_slice(), 0, &mut bytes[..spans.len()]);
            let n = spans.len();
            consumer.consume(n);
            n
        } else {
            consumer.read(&mut bytes[..wanted])
        };
        for (i, &byte) in bytes[..n].iter().enumerate() {
            assert_eq!(byte, byte_at(at + i as u64), "seed {seed}, position {}", at + i as u64);
        }
        if n == 0 {
            assert!(!consumer.is_poisoned());
            thread::yield_now();
        }
    }
    assert_eq!(consumer.position(), total);
}

#[test]
fn every_byte_crosses_between_threads_while_the_ring_grows_and_shrinks() {
    const TOTAL: u64 = 4 << 20;
    for seed in 0..6 {
        let (producer, consumer) = ring::heap_with_first_chunk(10_000, if seed % 2 == 0 { 64 } else { 4096 });
        let writer = thread::spawn(move || produce(producer, TOTAL, seed));
        consume(consumer, TOTAL, seed + 100);
        writer.join().unwrap();
    }
}

/// A mapping of a file in memory, for as long as the process lives.
#[cfg(target_os = "linux")]
fn map(descriptor: i32, len: usize) -> Region {
    // SAFETY: a new mapping of a file that is `len` long.
    let base = unsafe {
        libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, descriptor, 0)
    };
    assert_ne!(base, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    let base = std::ptr::NonNull::new(base.cast()).unwrap();
    // SAFETY: it is never unmapped, and this process uses it for one half.
    unsafe { Region::new(base, len) }.unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn every_byte_crosses_between_processes() {
    const TOTAL: u64 = 4 << 20;
    const LIMIT: usize = 1 << 17;
    const VARIABLE: &str = "WHARF_RING_TEST_DESCRIPTOR";
    let len = Region::len_for(LIMIT);
    if let Ok(descriptor) = std::env::var(VARIABLE) {
        // We are the child, which writes.
        // SAFETY: the parent made the region and is its consumer.
        let producer = unsafe { Producer::from_region(map(descriptor.parse().unwrap(), len), LIMIT) }.unwrap();
        produce(producer, TOTAL, 1);
        return;
    }
    // Without MFD_CLOEXEC, so that the child inherits it under the same number.
    // SAFETY: a call with a terminated name.
    let descriptor = unsafe { libc::memfd_create(c"ring".as_ptr(), 0) };
    assert!(descriptor >= 0);
    // SAFETY: a call on our descriptor.
    assert_eq!(unsafe { libc::ftruncate(descriptor, len as libc::off_t) }, 0);
    let region = map(descriptor, len);
    region.create();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "every_byte_crosses_between_processes"])
        .env(VARIABLE, descriptor.to_string())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // SAFETY: the child is the producer.
    consume(unsafe { Consumer::from_region(region) }.unwrap(), TOTAL, 2);
    assert!(child.wait().unwrap().success());
}
