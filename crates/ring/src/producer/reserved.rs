//! Room in a ring that something else fills: a system call that scatters what it reads, straight into the ring.

use core::ptr::NonNull;

use super::Producer;
use crate::span::MAX_SPANS;

/// A piece of ring memory that may be written to while a [`Reserved`] lasts.
#[derive(Clone, Copy, Debug)]
pub struct RawPiece {
    /// Where it begins; writable for `len` bytes. In shared memory never make a reference of it.
    pub pointer: NonNull<u8>,
    /// Its length in bytes.
    pub len: usize,
}

/// Room at the end of a ring, to be filled from the outside and then committed. Dropped, it has no effect.
#[derive(Debug)]
pub struct Reserved<'a> {
    producer: &'a mut Producer,
    pieces: [RawPiece; MAX_SPANS],
    count: usize,
    len: usize,
}

impl<'a> Reserved<'a> {
    pub(super) fn new(producer: &'a mut Producer, max: usize) -> Self {
        let room = producer.make_room(max);
        let mut pieces = [RawPiece { pointer: NonNull::dangling(), len: 0 }; MAX_SPANS];
        let mut count = 0;
        let mut len = 0;
        while len < room && count < MAX_SPANS {
            let (pointer, run) = producer.piece(producer.tail + len as u64);
            pieces[count] = RawPiece { pointer, len: run.min(room - len) };
            len += pieces[count].len;
            count += 1;
        }
        Reserved { producer, pieces, count, len }
    }

    /// The pieces in order.
    pub fn as_slice(&self) -> &[RawPiece] {
        &self.pieces[..self.count]
    }

    /// Bytes in all pieces together.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when the ring has no room.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Publishes the first `n` bytes.
    ///
    /// # Panics
    /// If `n` is more than [`Reserved::len`].
    pub fn commit(self, n: usize) {
        assert!(n <= self.len, "{n} bytes committed, {} reserved", self.len);
        self.producer.advance(n);
    }
}
