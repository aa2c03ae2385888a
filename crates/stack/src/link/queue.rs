//! Frames that wait for the device, bounded in number and bytes.
//!
//! Three queues in order of urgency, so that a flood of datagrams takes nothing away from the ARP reply that it may
//! itself be waiting for: ARP; control (ICMP errors, TCP's resets and acknowledgements for nobody); data (datagrams,
//! echoes, what is forwarded). TCP's own data is never queued here: it stays in its ring until the device takes it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Which queue a frame waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Arp,
    Control,
    Data,
}

const ARP_FRAMES: usize = 1_024;
const CONTROL_FRAMES: usize = 512;
const DATA_FRAMES: usize = 2_048;
const CONTROL_BYTES: usize = 256 * 1024;
const DATA_BYTES: usize = 2 * 1024 * 1024;

struct Queue {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    most_frames: usize,
    most_bytes: usize,
}

impl Queue {
    const fn new(most_frames: usize, most_bytes: usize) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, most_frames, most_bytes }
    }

    fn has_room(&self, len: usize) -> bool {
        self.frames.len() < self.most_frames && self.bytes + len <= self.most_bytes
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        // A burst's memory is not kept for ever.
        if self.frames.is_empty() && self.frames.capacity() > 256 {
            self.frames = VecDeque::new();
        }
        Some(frame)
    }
}

/// An interface's queues.
pub(crate) struct Queues {
    queues: [Queue; 3],
    /// Frames in all of them.
    waiting: usize,
}

impl Queues {
    pub(crate) const fn new() -> Self {
        Self {
            queues: [
                Queue::new(ARP_FRAMES, usize::MAX),
                Queue::new(CONTROL_FRAMES, CONTROL_BYTES),
                Queue::new(DATA_FRAMES, DATA_BYTES),
            ],
            waiting: 0,
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Whether a packet of `len` bytes finds room in the queue of data; one finds it always when that is empty.
    pub(crate) fn has_room_for_data(&self, len: usize) -> bool {
        self.queues[Class::Data as usize].has_room(len) || self.queues[Class::Data as usize].frames.is_empty()
    }

    /// Adds a frame, and gives it back where there is no room. `everywhere` counts what waits on all interfaces.
    pub(crate) fn push(&mut self, class: Class, frame: Vec<u8>, everywhere: &mut usize) -> Result<(), Vec<u8>> {
        let queue = &mut self.queues[class as usize];
        if !queue.has_room(frame.len()) {
            return Err(frame);
        }
        queue.bytes += frame.len();
        queue.frames.push_back(frame);
        self.waiting += 1;
        *everywhere += 1;
        Ok(())
    }

    /// Adds a frame that was counted against another bound before (it waited for its neighbour).
    pub(crate) fn push_admitted(&mut self, frame: Vec<u8>, everywhere: &mut usize) {
        let queue = &mut self.queues[Class::Data as usize];
        queue.bytes += frame.len();
        queue.frames.push_back(frame);
        self.waiting += 1;
        *everywhere += 1;
    }

    /// The most urgent frame.
    #[inline]
    pub(crate) fn front(&self) -> Option<&[u8]> {
        if self.is_empty() {
            return None;
        }
        self.queues.iter().find_map(|queue| queue.frames.front()).map(Vec::as_slice)
    }

    /// Takes it.
    pub(crate) fn pop(&mut self, everywhere: &mut usize) -> Option<Vec<u8>> {
        if self.is_empty() {
            return None;
        }
        let frame = self.queues.iter_mut().find_map(Queue::pop)?;
        self.waiting -= 1;
        *everywhere -= 1;
        Some(frame)
    }
}

/// Buffers of frames that were sent, for the next ones.
pub(crate) struct BufferPool {
    buffers: Vec<Vec<u8>>,
}

const POOLED_BUFFERS: usize = 64;
const POOLED_BYTES: usize = 4_096;

impl BufferPool {
    pub(crate) const fn new() -> Self {
        Self { buffers: Vec::new() }
    }

    /// An empty buffer.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    pub(crate) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < POOLED_BUFFERS && (1..=POOLED_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}
