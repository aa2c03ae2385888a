//! Who waits on one side of a socket.

use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use crate::lock;

/// Wakers beyond which all are woken rather than one more kept: a task that keeps coming with new wakers cannot make
/// the set grow.
const MOST: usize = 32;

/// The tasks and threads that wait for one thing. Mostly none or one, which takes no memory of its own.
#[derive(Default)]
pub(crate) struct WakerSet(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl WakerSet {
    /// Ready with what `look` finds. Where it finds nothing, who asks waits here from now on, and it looks once more: a change
    /// before that woke nobody, a change after it finds the waker.
    pub(crate) fn poll<T>(&self, context: &Context<'_>, mut look: impl FnMut() -> Option<T>) -> Poll<T> {
        if let Some(found) = look() {
            return Poll::Ready(found);
        }
        self.register(context.waker());
        look().map_or(Poll::Pending, Poll::Ready)
    }

    /// Adds a waker, unless it is there already. Who calls this must look again afterwards at what it waits for, as
    /// [`poll`](Self::poll) does: this is for those who wait in several places.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut waiting = lock(&self.0);
        if waiting.more.len() >= MOST {
            let evicted = std::mem::take(&mut *waiting);
            waiting.first = Some(waker.clone());
            drop(waiting);
            evicted.wake();
            return;
        }
        let Waiting { first, more } = &mut *waiting;
        match first {
            None => *first = Some(waker.clone()),
            Some(present) if present.will_wake(waker) => {}
            Some(_) if more.iter().any(|present| present.will_wake(waker)) => {}
            Some(_) => more.push(waker.clone()),
        }
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).first.is_none()
    }

    /// Wakes everybody who waits. Must be called with no lock held: a waker may run code of the task.
    pub(crate) fn wake(&self) {
        let waiting = {
            let mut waiting = lock(&self.0);
            if waiting.first.is_none() {
                return;
            }
            std::mem::take(&mut *waiting)
        };
        waiting.wake();
    }
}

impl Waiting {
    fn wake(self) {
        if let Some(waker) = self.first {
            waker.wake();
        }
        for waker in self.more {
            waker.wake();
        }
    }
}
