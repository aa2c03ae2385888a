//! The queue of commands and marks, and the doorbell that wakes the engine.
//!
//! The engine's thread sleeps in poll(2) on its link and on an eventfd. Who queues something writes to the eventfd
//! only if the engine is asleep, and of several only the first: the flag `asleep` is taken with the ring of the bell.
//!
//! No wake-up is lost: the engine raises `asleep` and then looks at the queue once more; who queues does so first and
//! looks at `asleep` afterwards. Both in one total order (SeqCst, and the queue's lock), so at least one sees the
//! other.
//!
//! A socket that is written to many times before the engine looks stands in the queue once: its [`Marks`] say what
//! happened, and whether it is queued.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use rustix::event::{EventfdFlags, eventfd};

use crate::control::{Attachment, Command, SocketId, Submission};
use crate::error::SocketError;
use crate::lock;

/// The application's way to the engine.
pub(crate) struct Channel {
    queue: Mutex<Queue>,
    asleep: AtomicBool,
    doorbell: OwnedFd,
    next_socket: AtomicU64,
}

#[derive(Default)]
struct Queue {
    submissions: Vec<Submission>,
    marked: Vec<SocketId>,
    /// The last application handle is gone.
    stop: bool,
    /// The engine reads no more.
    closed: bool,
}

/// What the engine takes from the queue at once.
#[derive(Default)]
pub(crate) struct Turn {
    /// Commands in the order in which they were given.
    pub submissions: Vec<Submission>,
    /// Sockets whose marks are to be looked at.
    pub marked: Vec<SocketId>,
    /// The last application handle is gone.
    pub stop: bool,
}

/// What the application did with a socket's rings since the engine last looked.
#[derive(Default)]
pub(crate) struct Marks(AtomicU8);

impl Marks {
    /// It wrote to the send ring, or finished it.
    pub(crate) const WROTE: u8 = 1;
    /// It took enough from the receive ring that the window should be looked at.
    pub(crate) const READ: u8 = 2;
    /// It emptied the receive ring: there is memory to give back, when the engine wakes for another reason.
    pub(crate) const EMPTIED: u8 = 4;
    /// It took a connection from a full queue of accepted ones.
    pub(crate) const ACCEPTED: u8 = 8;
    /// The socket stands in the channel's queue.
    const QUEUED: u8 = 128;
    /// Those for which the engine is not woken.
    const LAZY: u8 = Self::EMPTIED;

    /// What happened since this was last called. The socket is out of the queue from then on, so this comes before
    /// the look at the rings.
    pub(crate) fn take(&self) -> u8 {
        self.0.swap(0, Ordering::SeqCst) & !Self::QUEUED
    }
}

impl Channel {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            queue: Mutex::default(),
            asleep: AtomicBool::new(false),
            doorbell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            next_socket: AtomicU64::new(1),
        })
    }

    /// A name that no other socket of this engine has or had.
    pub(crate) fn name_socket(&self) -> SocketId {
        SocketId(self.next_socket.fetch_add(1, Ordering::Relaxed))
    }

    /// Queues a command.
    ///
    /// # Errors
    /// If the engine has stopped; what was attached is dropped and tells its waiters so.
    pub(crate) fn submit(&self, socket: SocketId, command: Command, attachment: Attachment) -> Result<(), SocketError> {
        let submission = Submission { socket, command, attachment };
        {
            let mut queue = lock(&self.queue);
            if queue.closed {
                // The attachment's waiters are woken when it is dropped, which must not happen under the lock.
                drop(queue);
                drop(submission);
                return Err(SocketError::EngineStopped);
            }
            queue.submissions.push(submission);
        }
        self.ring();
        Ok(())
    }

    /// Adds to a socket's marks, and sees to it that the engine looks at them: soon, or when it next wakes if they
    /// can wait.
    pub(crate) fn mark(&self, socket: SocketId, marks: &Marks, what: u8) {
        let before = marks.0.fetch_or(what | Marks::QUEUED, Ordering::SeqCst);
        if before & Marks::QUEUED == 0 {
            let mut queue = lock(&self.queue);
            if !queue.closed {
                queue.marked.push(socket);
            }
            drop(queue);
            // Another thread may have added an urgent mark while this one had not queued the socket yet, and then
            // found an engine that was still awake.
            if marks.0.load(Ordering::SeqCst) & !(Marks::LAZY | Marks::QUEUED) == 0 {
                return;
            }
        } else if what & !Marks::LAZY == 0 {
            return;
        }
        self.ring();
    }

    /// Says that the last application handle is gone.
    pub(crate) fn stop(&self) {
        lock(&self.queue).stop = true;
        self.ring();
    }

    /// Wakes the engine if it sleeps.
    fn ring(&self) {
        // The load first: the flag's cache line stays shared while the engine is busy.
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            // Only a counter at its maximum could refuse, and then the engine is awake.
            let _ = rustix::io::write(&self.doorbell, &1u64.to_ne_bytes());
        }
    }

    /// What the engine's thread polls beside its link.
    pub(crate) fn doorbell(&self) -> BorrowedFd<'_> {
        self.doorbell.as_fd()
    }

    /// The engine takes what is queued; the vectors in `turn` are exchanged for it, and must be empty.
    pub(crate) fn take(&self, turn: &mut Turn) {
        let mut queue = lock(&self.queue);
        std::mem::swap(&mut queue.submissions, &mut turn.submissions);
        std::mem::swap(&mut queue.marked, &mut turn.marked);
        turn.stop = queue.stop;
    }

    /// The engine is about to sleep; false if there is something to do first. [`awake`](Self::awake) must follow.
    pub(crate) fn fall_asleep(&self, stop_is_known: bool) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let queue = lock(&self.queue);
        queue.submissions.is_empty() && queue.marked.is_empty() && queue.stop == stop_is_known
    }

    /// The engine woke up; `rung` if the doorbell was readable.
    pub(crate) fn awake(&self, rung: bool) {
        self.asleep.store(false, Ordering::SeqCst);
        if rung {
            // Resets the counter; it can only fail when it is zero already.
            let _ = rustix::io::read(&self.doorbell, &mut [0u8; 8]);
        }
    }

    /// The engine reads no more: whatever is queued, and all that comes later, is answered so.
    pub(crate) fn close(&self) {
        let mut turn = Turn::default();
        {
            let mut queue = lock(&self.queue);
            queue.closed = true;
            std::mem::swap(&mut queue.submissions, &mut turn.submissions);
            std::mem::swap(&mut queue.marked, &mut turn.marked);
        }
        drop(turn);
    }
}
