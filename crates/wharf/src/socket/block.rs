//! Blocking on what is polled: the thread parks until its waker is called. This is how `net`'s sockets are made of
//! the same parts as `aio`'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Wakes one thread.
struct Parker {
    thread: Thread,
    notified: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: what happened before the wake-up is seen by the thread that takes the flag.
        if !self.notified.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}

thread_local! {
    /// One parker a thread, made when it first blocks. A wake-up that comes late costs the thread's next wait one
    /// look too many, and nothing else.
    static PARKER: Arc<Parker> =
        Arc::new(Parker { thread: thread::current(), notified: AtomicBool::new(false) });
}

/// Calls `poll` until it is ready, with the thread asleep in between. `None` when `deadline` passed first.
pub(crate) fn until<T>(deadline: Option<Instant>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    // A thread that is being torn down has no locals any more: it blocks with a parker of its own.
    let parker = PARKER
        .try_with(Arc::clone)
        .unwrap_or_else(|_| Arc::new(Parker { thread: thread::current(), notified: AtomicBool::new(false) }));
    let waker = Waker::from(Arc::clone(&parker));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = poll(&mut context) {
            return Some(value);
        }
        while !parker.notified.swap(false, Ordering::Acquire) {
            match deadline {
                None => thread::park(),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    thread::park_timeout(left);
                }
            }
        }
    }
}

/// As [`until`], without a deadline.
pub(crate) fn forever<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    loop {
        if let Some(value) = until(None, &mut poll) {
            return value;
        }
    }
}

/// The deadline `timeout` from now; none if it lies beyond what the clock can tell.
pub(crate) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}
