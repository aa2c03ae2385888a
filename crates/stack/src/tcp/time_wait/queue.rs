//! Entries in the order of their ends, in pieces that come and go: 32 bytes an entry for IPv4, and no slack worth
//! mentioning, where one buffer that doubles has up to as much again.
//!
//! An entry has a number by which it is found as long as it is in the queue.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::Remains;
use crate::tcp::demux::Flow;
use crate::time::Instant;
use wire::tcp::SeqNum;

/// Entries of a chunk, as a power of two.
const CHUNK_BITS: u32 = 6;
const CHUNK: usize = 1 << CHUNK_BITS;
/// Chunks are numbered modulo this.
const NUMBERS: u32 = 1 << (32 - CHUNK_BITS);

/// One connection that is over.
#[derive(Clone, Copy)]
pub(super) struct Entry<A> {
    pub local: A,
    pub remote: A,
    pub local_port: u16,
    pub remote_port: u16,
    snd_nxt: SeqNum,
    rcv_nxt: SeqNum,
    ts_recent: u32,
    /// When it ends, in microseconds after the chunk's beginning, rounded up.
    ends: u32,
    has_timestamps: bool,
    /// False once the entry was taken out of turn.
    pub alive: bool,
}

impl<A: Copy> Entry<A> {
    pub(super) fn new(local: A, remote: A, flow: &Flow, remains: Remains) -> Self {
        Self {
            local,
            remote,
            local_port: flow.local_port,
            remote_port: flow.remote_port,
            snd_nxt: remains.snd_nxt,
            rcv_nxt: remains.rcv_nxt,
            ts_recent: remains.ts_recent.unwrap_or(0),
            ends: 0,
            has_timestamps: remains.ts_recent.is_some(),
            alive: true,
        }
    }

    /// The same entry, to be put into another queue.
    pub(super) fn renewed(self) -> Self {
        Self { ends: 0, ..self }
    }

    pub(super) fn remains(&self) -> Remains {
        Remains {
            snd_nxt: self.snd_nxt,
            rcv_nxt: self.rcv_nxt,
            ts_recent: self.has_timestamps.then_some(self.ts_recent),
        }
    }
}

struct Chunk<A> {
    /// When its first entry ends.
    begins: Instant,
    entries: Vec<Entry<A>>,
}

impl<A> Chunk<A> {
    /// `at` as entries have it; `None` if it is too far from the chunk's beginning.
    fn offset(&self, at: Instant) -> Option<u32> {
        u32::try_from(at.since(self.begins).as_nanos().div_ceil(1_000)).ok()
    }
}

/// The queue.
pub(super) struct Queue<A> {
    chunks: VecDeque<Chunk<A>>,
    /// The number of the first chunk.
    first: u32,
    /// Entries of the first chunk that have left.
    gone: usize,
    len: usize,
    /// When the first entry ends; `NEVER` if there is none. It is asked for after every batch.
    first_end: Instant,
}

impl<A: Copy> Queue<A> {
    pub(super) const fn new() -> Self {
        Self { chunks: VecDeque::new(), first: 0, gone: 0, len: 0, first_end: Instant::NEVER }
    }

    /// Entries, dead ones too.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts an entry at the end and returns its number.
    pub(super) fn push(&mut self, ends: Instant, mut entry: Entry<A>) -> u32 {
        let offset =
            self.chunks.back().filter(|chunk| chunk.entries.len() < CHUNK).and_then(|chunk| chunk.offset(ends));
        if let Some(offset) = offset {
            entry.ends = offset;
        } else {
            let entries = if self.chunks.is_empty() { Vec::new() } else { Vec::with_capacity(CHUNK) };
            self.chunks.push_back(Chunk { begins: ends, entries });
        }
        if self.len == 0 {
            self.first_end = ends;
        }
        self.len += 1;
        let number = self.first.wrapping_add(self.chunks.len() as u32 - 1) % NUMBERS;
        let Some(chunk) = self.chunks.back_mut() else { return 0 };
        chunk.entries.push(entry);
        number << CHUNK_BITS | (chunk.entries.len() as u32 - 1)
    }

    fn chunk_index(&self, number: u32) -> usize {
        ((number >> CHUNK_BITS).wrapping_sub(self.first) % NUMBERS) as usize
    }

    pub(super) fn at(&self, number: u32) -> Option<&Entry<A>> {
        self.chunks.get(self.chunk_index(number))?.entries.get(number as usize % CHUNK)
    }

    pub(super) fn at_mut(&mut self, number: u32) -> Option<&mut Entry<A>> {
        let index = self.chunk_index(number);
        self.chunks.get_mut(index)?.entries.get_mut(number as usize % CHUNK)
    }

    /// The first entry, and when it ends.
    pub(super) fn front(&self) -> Option<(Instant, &Entry<A>)> {
        let chunk = self.chunks.front()?;
        let entry = chunk.entries.get(self.gone)?;
        Some((chunk.begins + Duration::from_micros(u64::from(entry.ends)), entry))
    }

    /// Takes the first entry out; returns its number.
    pub(super) fn pop(&mut self) -> Option<(u32, Entry<A>)> {
        let chunk = self.chunks.front()?;
        let entry = *chunk.entries.get(self.gone)?;
        let number = self.first << CHUNK_BITS | self.gone as u32;
        self.gone += 1;
        self.len -= 1;
        if self.gone == chunk.entries.len() {
            self.chunks.pop_front();
            self.first = (self.first + 1) % NUMBERS;
            self.gone = 0;
            if self.chunks.len() < self.chunks.capacity() / 4 {
                self.chunks.shrink_to(2 * self.chunks.len());
            }
        }
        self.first_end = self.front().map_or(Instant::NEVER, |(ends, _)| ends);
        Some((number, entry))
    }

    /// When the first entry ends; `NEVER` if there is none.
    #[inline]
    pub(super) const fn first_end(&self) -> Instant {
        self.first_end
    }

    #[cfg(test)]
    pub(super) fn begin_at(&mut self, chunk: u32) {
        self.first = chunk % NUMBERS;
    }
}
