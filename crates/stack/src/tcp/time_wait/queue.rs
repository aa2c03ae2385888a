//! Entries in the order of their ends, in pieces that come and go: 32 bytes an entry for IPv4, and no slack worth
//! mentioning, where one buffer that doubles has up to as much again.
//!
//! An entry has a number by which it is found as long as it is in the queue.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hint::cold_path;

use wire::tcp::SeqNum;

use super::Remains;
use crate::tcp::demux::Flow;
use crate::time::Instant;

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
        u32::try_from(at.nanos_since(self.begins).saturating_add(999) / 1_000).ok()
    }

    /// When an entry ends.
    #[inline]
    fn end(&self, entry: &Entry<A>) -> Instant {
        self.begins.after_nanos(u64::from(entry.ends) * 1_000)
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
    #[inline(always)]
    pub(super) fn push(&mut self, ends: Instant, entry: Entry<A>) -> u32 {
        if self.len == 0 {
            self.first_end = ends;
        }
        self.len += 1;
        let place = self.chunks.len() as u32;
        if let Some(chunk) = self.chunks.back_mut()
            && chunk.entries.len() < CHUNK
            && let Some(ends) = chunk.offset(ends)
        {
            let number = self.first.wrapping_add(place - 1) % NUMBERS;
            chunk.entries.push(Entry { ends, ..entry });
            return number << CHUNK_BITS | (chunk.entries.len() as u32 - 1);
        }
        cold_path();
        self.begin_chunk(ends, entry)
    }

    /// The same where the entry begins a chunk.
    #[inline(never)]
    fn begin_chunk(&mut self, ends: Instant, entry: Entry<A>) -> u32 {
        let number = self.first.wrapping_add(self.chunks.len() as u32) % NUMBERS;
        let mut entries = if self.chunks.is_empty() { Vec::new() } else { Vec::with_capacity(CHUNK) };
        entries.push(entry);
        self.chunks.push_back(Chunk { begins: ends, entries });
        number << CHUNK_BITS
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
        Some((chunk.end(entry), entry))
    }

    /// Takes the first entry out, and those behind it that were taken out of turn; returns its number.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<(u32, Entry<A>)> {
        let chunk = self.chunks.front()?;
        let entry = *chunk.entries.get(self.gone)?;
        let number = self.first << CHUNK_BITS | self.gone as u32;
        self.gone += 1;
        self.len -= 1;
        match chunk.entries.get(self.gone) {
            Some(next) if next.alive => self.first_end = chunk.end(next),
            _ => {
                cold_path();
                self.look_for_next();
            }
        }
        Some((number, entry))
    }

    /// The next one stands in another chunk, or behind some that were taken out of turn.
    #[inline(never)]
    fn look_for_next(&mut self) {
        self.end_chunk_if_over();
        self.trim();
    }

    /// Drops entries at the front that were taken out of turn.
    #[inline]
    pub(super) fn trim(&mut self) {
        self.first_end = loop {
            let Some((ends, entry)) = self.front() else { break Instant::NEVER };
            if entry.alive {
                break ends;
            }
            cold_path();
            self.advance();
        };
    }

    /// The first entry is gone.
    #[inline]
    fn advance(&mut self) {
        self.gone += 1;
        self.len -= 1;
        self.end_chunk_if_over();
    }

    #[inline]
    fn end_chunk_if_over(&mut self) {
        if self.chunks.front().is_some_and(|chunk| self.gone == chunk.entries.len()) {
            cold_path();
            self.end_chunk();
        }
    }

    /// So are all of the first chunk.
    #[inline(never)]
    fn end_chunk(&mut self) {
        self.chunks.pop_front();
        self.first = (self.first + 1) % NUMBERS;
        self.gone = 0;
        if self.chunks.len() < self.chunks.capacity() / 4 {
            self.chunks.shrink_to(2 * self.chunks.len());
        }
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
