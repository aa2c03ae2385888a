//! Single-producer single-consumer byte rings on the heap or in shared memory.
//!
//! A ring is a stream of bytes from a [`Producer`] to a [`Consumer`], in two threads or two processes. It has no
//! memory until the first byte, grows with need up to a limit without moving a byte (`layout` says how), and gives
//! its memory back when it is empty. A socket is two of them; `stack` reads and writes them as TCP's buffers,
//! `wharf` as a socket's, and [`datagram`] lays records in them for UDP.
//!
//! On the heap both halves are this program's. In a [`Region`] the other half may belong to a process that lies:
//! nothing it writes leads outside of the region, to a panic or to a loop without end.
//!
//! ```
//! let (mut producer, mut consumer) = wharf_ring::heap(65536);
//! assert_eq!(producer.write(b"Wharf"), 5);
//! let mut bytes = [0; 8];
//! assert_eq!(consumer.read(&mut bytes), 5);
//! assert_eq!(&bytes[..5], b"Wharf");
//! ```
//!
//! This is the only crate beside the links whose code is `unsafe`: each block says what makes it sound.

#![no_std]

extern crate alloc;

mod budget;
mod consumer;
mod copy;
pub mod datagram;
mod header;
mod kernels;
mod layout;
mod memory;
mod producer;
mod region;
mod run;
mod span;
mod sync;

pub use budget::Budget;
pub use consumer::Consumer;
pub use producer::{Producer, RawPiece, Reserved};
pub use region::{NotARing, Region};
pub use span::{MAX_SPANS, Span, Spans, copy_range, copy_range_and_sum, sum_range, total_len};

/// Makes a ring on the heap that holds up to `limit` bytes. Besides the halves (64 and 32 bytes) it takes 40 bytes
/// until the first byte is written. Both halves are `Send`, neither is `Sync`.
pub fn heap(limit: usize) -> (Producer, Consumer) {
    heap_with_first_chunk(limit, 1 << memory::FIRST_LOG2)
}

/// Two rings as [`heap`] makes them, of which one holds up to `first` bytes and one up to `second`, in a single allocation
/// of 72 bytes: for the two directions of a stream, which most often come and go together, and are on one account.
#[inline]
pub fn heap_pair(first: usize, second: usize) -> [(Producer, Consumer); 2] {
    let [one, other] = header::allocate_pair();
    // SAFETY: fresh headers, one producer and one consumer for each.
    unsafe {
        [
            (Producer::on_heap(one, first, memory::FIRST_LOG2), Consumer::on_heap(one)),
            (Producer::on_heap(other, second, memory::FIRST_LOG2), Consumer::on_heap(other)),
        ]
    }
}

/// [`heap`] with another size of the first chunk than 4096 bytes: it is rounded up to a power of two of at least 64,
/// and a small one makes a ring that is stingy with memory, in more pieces.
pub fn heap_with_first_chunk(limit: usize, first_chunk: usize) -> (Producer, Consumer) {
    let first_log2 = layout::log2_for(first_chunk as u64).min(layout::MAX_LOG2);
    let header = header::allocate();
    // SAFETY: a fresh header, one producer, one consumer.
    unsafe { (Producer::on_heap(header, limit, first_log2), Consumer::on_heap(header)) }
}
