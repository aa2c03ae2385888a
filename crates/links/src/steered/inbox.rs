//! The way of a frame from the thread of one engine to that of another: a bounded queue of copies, and a bell.
//!
//! Frames cross where the kernel's choice of queue and ours differ, which is seldom: a lock held for one copy is cheap
//! enough, and buffers are used again. The bell is rung only for the first frame that waits.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use device::{RxChecksum, RxFrame};
use rustix::event::{EventfdFlags, eventfd};

/// Frames that wait at most.
const MOST_FRAMES: usize = 1_024;

/// Bytes that wait at most: 64 of the largest frames.
const MOST_BYTES: usize = 4 << 20;

/// Empty buffers kept for the next frames, and the largest that is kept.
const SPARE: usize = 64;
const SPARE_BYTES: usize = 4_096;

/// What becomes of a frame that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The engine takes it in.
    Deliver,
    /// A fragment, whose engine the first one is to find.
    Fragment,
}

struct Handed {
    bytes: Vec<u8>,
    checksum: RxChecksum,
    segment_size: Option<u16>,
    kind: Kind,
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<Handed>,
    bytes: usize,
    spare: Vec<Vec<u8>>,
    closed: bool,
}

/// Where frames for one engine wait.
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    bell: OwnedFd,
    /// The bell was rung and not heard yet. Whoever pushes does so first and looks at this afterwards, and the engine
    /// clears it before it looks at what waits: no frame is left lying (SeqCst and the lock put both in one order).
    rung: AtomicBool,
}

impl Inbox {
    pub(super) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { waiting: Mutex::default(), bell, rung: AtomicBool::new(false) })
    }

    /// Readable when frames wait.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Hands a copy of `frame` over; false when there is no room, or nobody there any more.
    pub(super) fn push(&self, frame: &RxFrame<'_>, kind: Kind) -> bool {
        let len = frame.bytes.len();
        {
            let mut waiting = self.lock();
            if waiting.closed || waiting.frames.len() >= MOST_FRAMES || waiting.bytes + len > MOST_BYTES {
                return false;
            }
            let mut bytes = waiting.spare.pop().unwrap_or_default();
            bytes.extend_from_slice(frame.bytes);
            waiting.bytes += len;
            let (checksum, segment_size) = (frame.checksum, frame.segment_size);
            waiting.frames.push_back(Handed { bytes, checksum, segment_size, kind });
        }
        if !self.rung.swap(true, Ordering::SeqCst) {
            // Only a counter at its maximum could refuse, and then it is readable.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
        true
    }

    /// The engine: takes at most `budget` frames; returns how many there were. Not under the lock: `take` may hand
    /// frames on.
    pub(super) fn drain(&self, budget: usize, mut take: impl FnMut(&RxFrame<'_>, Kind)) -> usize {
        if self.rung.swap(false, Ordering::SeqCst) {
            let _ = rustix::io::read(&self.bell, &mut [0u8; 8]);
        }
        for taken in 0..budget {
            let Some(handed) = self.pop() else { return taken };
            let Handed { bytes, checksum, segment_size, kind } = handed;
            take(&RxFrame { bytes: &bytes, checksum, segment_size }, kind);
            self.give_back(bytes);
        }
        budget
    }

    /// Throws away what waits, and refuses what comes.
    pub(super) fn close(&self) {
        *self.lock() = Waiting { closed: true, ..Waiting::default() };
    }

    fn pop(&self) -> Option<Handed> {
        let mut waiting = self.lock();
        let handed = waiting.frames.pop_front()?;
        waiting.bytes -= handed.bytes.len();
        Some(handed)
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        let mut waiting = self.lock();
        if waiting.spare.len() < SPARE && buffer.capacity() <= SPARE_BYTES && !waiting.closed {
            buffer.clear();
            waiting.spare.push(buffer);
        }
    }

    /// A thread that panicked while it held the lock left nothing half-done that matters.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
