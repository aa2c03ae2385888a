//! The lock, the clock, and whoever waits.
//!
//! packetdrill has two threads. The *driver* walks through the script: it injects packets, asks for those that left,
//! sleeps, looks at the clock. The other makes the calls that block. Time is virtual and moves only by what the driver
//! does; before it moves, everybody who waits has seen what happened last, and whoever stopped waiting has looked at the
//! clock, as packetdrill does first of all after a call. So it does not matter how fast the threads are.
//!
//! One thing remains that only the system knows: the driver may itself wait for the other thread, by a lock of its own,
//! and then nobody moves the clock. A thread that waits here takes it over when the driver has been asleep for a while.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stack::Instant;

use crate::errno::{Errno, Sys};
use crate::machine::Packet;
use crate::settings::Settings;
use crate::state::State;

/// Where the clock starts: any time but the beginning, from which nothing could be subtracted.
const BEGINNING: Instant = Instant::from_secs(1_000_000);
/// How often a thread that waits looks whether the driver does too.
const GLANCE: Duration = Duration::from_millis(10);
/// So many glances in a row without a call, and the driver is held to wait.
const PATIENCE: u32 = 3;
/// For how long a thread is awaited at most that should only have to be scheduled.
const SCHEDULING: Duration = Duration::from_secs(2);

/// For how long a call may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// Not at all.
    No,
    /// For so long, or for ever.
    For(Option<Duration>),
}

impl Wait {
    /// What a socket's mode and its time limit say.
    pub(crate) fn unless(nonblocking: bool, limit: Option<Duration>) -> Self {
        if nonblocking { Self::No } else { Self::For(limit) }
    }
}

/// A thread that waits.
struct Waiter {
    thread: libc::pid_t,
    /// The change that it has seen last.
    seen: u64,
    until: Instant,
}

struct Inner {
    state: State,
    /// Counts changes.
    change: u64,
    /// Counts calls.
    calls: u64,
    waiters: Vec<Waiter>,
    /// Threads that have stopped waiting and have not looked at the clock yet.
    returning: Vec<libc::pid_t>,
}

/// What `userdata` points to.
pub(crate) struct World {
    inner: Mutex<Inner>,
    changed: Condvar,
    driver: libc::pid_t,
}

impl World {
    /// A world whose driver is the calling thread.
    pub(crate) fn new(settings: Settings) -> Self {
        let state = State::new(settings, BEGINNING);
        let inner = Inner { state, change: 0, calls: 0, waiters: Vec::new(), returning: Vec::new() };
        Self { inner: Mutex::new(inner), changed: Condvar::new(), driver: this_thread() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.calls += 1;
        inner
    }

    /// A call that does not wait.
    pub(crate) fn call<T>(&self, call: impl FnOnce(&mut State) -> T) -> T {
        let mut inner = self.lock();
        let result = call(&mut inner.state);
        self.publish(&mut inner);
        result
    }

    /// A call that waits for as long as `attempt` says EAGAIN and `wait`, which is asked once, allows.
    pub(crate) fn call_blocking<T>(
        &self,
        wait: impl FnOnce(&mut State) -> Sys<Wait>,
        mut attempt: impl FnMut(&mut State) -> Sys<T>,
    ) -> Sys<T> {
        let mut inner = self.lock();
        let wait = wait(&mut inner.state)?;
        let first = attempt(&mut inner.state);
        self.publish(&mut inner);
        let limit = match (wait, &first) {
            (Wait::For(limit), Err(Errno(libc::EAGAIN))) => limit,
            _ => return first,
        };
        let until = limit.map_or(Instant::NEVER, |limit| inner.state.machine.now + limit);
        let thread = this_thread();
        let seen = inner.change;
        inner.waiters.push(Waiter { thread, seen, until });
        let result = loop {
            inner = match self.wait_for_change(inner, thread) {
                Ok(inner) => inner,
                Err((unlocked, error)) => {
                    inner = unlocked;
                    break Err(error);
                }
            };
            let result = attempt(&mut inner.state);
            let expired = until <= inner.state.machine.now;
            if expired || !matches!(result, Err(Errno(libc::EAGAIN))) {
                break result;
            }
            // What the attempt has done counts as seen by whoever did it.
            self.publish(&mut inner);
            let change = inner.change;
            inner.waiters.iter_mut().filter(|waiter| waiter.thread == thread).for_each(|waiter| waiter.seen = change);
            self.changed.notify_all();
        };
        inner.waiters.retain(|waiter| waiter.thread != thread);
        if thread != self.driver {
            inner.returning.push(thread);
        }
        self.publish(&mut inner);
        result
    }

    /// Carries out what a call has set off and lets everybody look, if anybody is there to.
    fn publish(&self, inner: &mut Inner) {
        inner.state.settle();
        inner.change += 1;
        self.changed.notify_all();
    }

    /// Waits until something has happened that `thread` has not seen.
    fn wait_for_change<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        thread: libc::pid_t,
    ) -> Result<MutexGuard<'a, Inner>, (MutexGuard<'a, Inner>, Errno)> {
        let mut glances = 0;
        loop {
            let seen = inner.waiters.iter().find(|waiter| waiter.thread == thread).map_or(0, |waiter| waiter.seen);
            if inner.change > seen {
                return Ok(inner);
            }
            if thread == self.driver {
                // Nobody else can make anything happen: only time is left to wait for.
                let next = inner.next_time();
                if next.is_never() {
                    return Err((inner, Errno(libc::EDEADLK)));
                }
                inner.state.machine.move_to(next);
                self.publish(&mut inner);
                continue;
            }
            let calls = inner.calls;
            let (guard, timeout) = self.changed.wait_timeout(inner, GLANCE).unwrap_or_else(PoisonError::into_inner);
            inner = guard;
            if !timeout.timed_out() || inner.calls != calls || !is_asleep(self.driver) {
                glances = 0;
                continue;
            }
            glances += 1;
            if glances >= PATIENCE {
                let next = inner.next_time();
                if !next.is_never() {
                    inner.state.machine.move_to(next);
                    self.publish(&mut inner);
                }
            }
        }
    }

    /// Waits until everybody who waits has seen what happened, and whoever has stopped waiting has looked at the clock.
    fn let_others_see<'a>(&'a self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        let busy = |inner: &mut Inner| {
            !inner.returning.is_empty() || inner.waiters.iter().any(|waiter| waiter.seen < inner.change)
        };
        let (mut inner, timeout) =
            self.changed.wait_timeout_while(inner, SCHEDULING, busy).unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            // Whoever it is does something else than packetdrill does.
            inner.returning.clear();
        }
        inner
    }

    /// The driver lets time pass until `end`.
    fn pass_until<'a>(&'a self, mut inner: MutexGuard<'a, Inner>, end: Instant) -> MutexGuard<'a, Inner> {
        loop {
            inner = self.let_others_see(inner);
            let next = inner.next_time();
            if next > end {
                inner.state.machine.move_to(end);
                return inner;
            }
            inner.state.machine.move_to(next);
            self.publish(&mut inner);
        }
    }

    /// `usleep`.
    pub(crate) fn sleep(&self, span: Duration) {
        let inner = self.lock();
        let end = inner.state.machine.now + span;
        drop(self.pass_until(inner, end));
    }

    /// `gettimeofday`. packetdrill spins on it to wait for the last microseconds before an event, so each look takes one;
    /// but what a call looks at when it has returned is the time at which it did.
    pub(crate) fn look_at_clock(&self) -> Instant {
        let thread = this_thread();
        let mut inner = self.lock();
        if inner.returning.contains(&thread) {
            inner.returning.retain(|other| *other != thread);
            self.changed.notify_all();
        } else {
            let end = inner.state.machine.now + Duration::from_micros(1);
            inner = self.pass_until(inner, end);
        }
        inner.state.machine.now
    }

    /// The next packet that leaves, after as much time as it takes; `None` if none ever will.
    pub(crate) fn next_packet(&self) -> Option<Packet> {
        let mut inner = self.lock();
        loop {
            if let Some(packet) = inner.state.machine.take_packet() {
                return Some(packet);
            }
            inner = self.let_others_see(inner);
            // One of them may have made the engine send.
            if let Some(packet) = inner.state.machine.take_packet() {
                return Some(packet);
            }
            let next = inner.next_time();
            if next.is_never() {
                return None;
            }
            inner.state.machine.move_to(next);
            self.publish(&mut inner);
        }
    }

    /// Ends everything.
    pub(crate) fn end(&self) {
        let mut inner = self.lock();
        inner.state.close_all();
        self.publish(&mut inner);
    }
}

impl Inner {
    /// When something happens by itself next: not before now.
    fn next_time(&self) -> Instant {
        let machine = &self.state.machine;
        let waiters = self.waiters.iter().map(|waiter| waiter.until).filter(|until| *until > machine.now);
        waiters.fold(machine.deadline(), Instant::min).max(machine.now)
    }
}

fn this_thread() -> libc::pid_t {
    // SAFETY: it has no arguments and cannot fail.
    unsafe { libc::gettid() }
}

/// Whether a thread of this process sleeps, as the system sees it.
fn is_asleep(thread: libc::pid_t) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")) else { return false };
    // The name in parentheses may hold anything; the state follows the last of them.
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
}
