//! The connections to one origin, and the requests that wait for one.
//!
//! What a request is given ([`Turn`]) goes back by itself when it is dropped: a place in the count of connections is
//! never lost with a request that was cancelled.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{MAX_CONNECTIONS, MAX_WAITING, Speaks};
use crate::http::connect::Facts;
use crate::http::error::Error;
use crate::http::{h1, h2};
use crate::lock;

/// The connections to one place.
pub(in crate::http) struct Origin {
    state: Mutex<State>,
}

struct State {
    speaks: Speaks,
    /// Slots that are taken: connections of HTTP/1.1 in use or idle, and connections under way.
    taken: usize,
    /// The last attempt to connect failed before it was known what is spoken: nobody waits for the next to tell.
    failed: bool,
    /// The one that was idle for the shortest time is at the end, and taken first.
    idle: Vec<Idle>,
    shared: Option<h2::Connection>,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

struct Idle {
    connection: h1::Connection,
    facts: Arc<Facts>,
    since: Instant,
}

/// What a request may do next.
pub(in crate::http) enum Turn {
    /// Use this connection, which has carried requests before.
    Kept(Kept),
    /// Share this one.
    Shared(h2::Connection),
    /// Open one.
    Open(Slot),
}

/// A connection of HTTP/1.1 out of the pool, and its slot.
pub(in crate::http) struct Kept {
    pub connection: h1::Connection,
    pub facts: Arc<Facts>,
    pub slot: Slot,
}

/// The right to have one connection. Dropping it gives the right to the next who waits.
pub(in crate::http) struct Slot {
    origin: Option<Arc<Origin>>,
}

impl Origin {
    pub(super) fn new(speaks: Speaks) -> Arc<Self> {
        let state = State { speaks, taken: 0, failed: false, idle: Vec::new(), shared: None, waiting: VecDeque::new() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Waits for a connection, or for the right to open one. `host` is for the error.
    ///
    /// # Errors
    /// [`Error::TooManyWaiting`] when the line is full.
    pub(in crate::http) async fn turn(self: &Arc<Self>, host: &str) -> Result<Turn, Error> {
        let full = || Error::TooManyWaiting { host: host.to_owned(), limit: MAX_WAITING };
        let turn = {
            let mut state = lock(&self.state);
            if state.waiting.is_empty()
                && let Some(turn) = state.next(self)
            {
                return Ok(turn);
            }
            if state.waiting.len() >= MAX_WAITING {
                // Those who gave up are still in it.
                state.waiting.retain(|waiting| !waiting.is_closed());
                if state.waiting.len() >= MAX_WAITING {
                    return Err(full());
                }
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push_back(sender);
            receiver
        };
        // The line is let go of only by being served.
        turn.await.map_err(|_| full())
    }

    /// It speaks HTTP/2, over `connection`, which took `slot` to make. Gives the one to use: another may have been
    /// first.
    pub(in crate::http) fn share(&self, mut slot: Slot, connection: h2::Connection) -> h2::Connection {
        let own = slot.origin.take();
        let mut state = lock(&self.state);
        let shared = match &state.shared {
            Some(shared) if shared.is_open() => shared.clone(),
            _ => {
                state.shared = Some(connection.clone());
                connection
            }
        };
        state.learn(Speaks::Two);
        if let Some(origin) = &own {
            state.taken -= 1;
            state.serve(origin);
        }
        shared
    }

    /// It speaks HTTP/1.1: the others need not wait for ALPN any more.
    pub(in crate::http) fn learn_one(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.learn(Speaks::One);
        state.serve(self);
    }

    /// Whether it is known to speak HTTP/1.1.
    pub(in crate::http) fn speaks_one(&self) -> bool {
        lock(&self.state).speaks == Speaks::One
    }

    /// The attempt to connect failed.
    pub(in crate::http) fn failed(&self) {
        lock(&self.state).failed = true;
    }

    fn give_back(self: &Arc<Self>, idle: Idle) {
        let mut state = lock(&self.state);
        state.idle.push(idle);
        state.serve(self);
    }

    /// Whether it holds nothing worth keeping.
    pub(super) fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        state.taken == 0 && state.waiting.is_empty() && state.shared.is_none()
    }

    /// Closes what has been idle since before `before`.
    pub(super) fn sweep(self: &Arc<Self>, before: Instant) {
        let mut state = lock(&self.state);
        let held = state.idle.len();
        let (keep, close): (Vec<_>, Vec<_>) =
            state.idle.drain(..).partition(|idle| idle.since > before && !idle.connection.is_closed());
        state.idle = keep;
        state.taken -= held - state.idle.len();
        if state.shared.as_ref().is_some_and(|shared| !shared.is_open() || shared.is_idle_since(before)) {
            state.shared = None;
        }
        state.serve(self);
        drop(state);
        close.into_iter().for_each(|idle| idle.connection.close());
    }
}

impl State {
    fn learn(&mut self, speaks: Speaks) {
        self.speaks = speaks;
        self.failed = false;
    }

    /// What the next request may do, if it may do anything.
    fn next(&mut self, origin: &Arc<Origin>) -> Option<Turn> {
        if let Some(shared) = &self.shared {
            if shared.is_open() {
                return Some(Turn::Shared(shared.clone()));
            }
            self.shared = None;
        }
        while let Some(Idle { connection, facts, .. }) = self.idle.pop() {
            if connection.is_closed() {
                self.taken -= 1;
                continue;
            }
            return Some(Turn::Kept(Kept { connection, facts, slot: Slot { origin: Some(Arc::clone(origin)) } }));
        }
        if self.taken < self.most() {
            self.taken += 1;
            return Some(Turn::Open(Slot { origin: Some(Arc::clone(origin)) }));
        }
        None
    }

    /// The most connections at once.
    fn most(&self) -> usize {
        match self.speaks {
            Speaks::One => MAX_CONNECTIONS,
            Speaks::Unknown if self.failed => MAX_CONNECTIONS,
            Speaks::Unknown | Speaks::Two => 1,
        }
    }

    /// Gives those who wait what there is.
    fn serve(&mut self, origin: &Arc<Origin>) {
        while let Some(waiting) = self.waiting.pop_front() {
            if waiting.is_closed() {
                continue;
            }
            let Some(turn) = self.next(origin) else {
                self.waiting.push_front(waiting);
                return;
            };
            if let Err(turn) = waiting.send(turn) {
                self.take_back(turn);
            }
        }
    }

    /// What nobody took. A slot must not be dropped here, where the lock is held.
    fn take_back(&mut self, turn: Turn) {
        match turn {
            Turn::Shared(_) => {}
            Turn::Open(mut slot) => {
                slot.origin = None;
                self.taken -= 1;
            }
            Turn::Kept(Kept { connection, facts, mut slot }) => {
                slot.origin = None;
                self.idle.push(Idle { connection, facts, since: Instant::now() });
            }
        }
    }
}

impl Slot {
    /// The way back for the connection that has this slot.
    pub(in crate::http) fn into_return(mut self, facts: Arc<Facts>) -> h1::Return {
        Box::new(move |connection| {
            if let Some(origin) = self.origin.take() {
                origin.give_back(Idle { connection, facts, since: Instant::now() });
            }
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(origin) = self.origin.take() {
            let mut state = lock(&origin.state);
            state.taken -= 1;
            state.serve(&origin);
        }
    }
}
