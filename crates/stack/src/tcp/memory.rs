//! The engine's memory for TCP: one budget for connections and their rings, and what happens when it runs short.
//!
//! Each connection reserves a fixed amount for itself and for the first bytes of both rings when it is made; where that is
//! not to be had, there is no connection. Rings grow by asking the budget at the moment they grow, in whatever thread
//! (`ring::Budget`). So the sum never exceeds the limit, and every connection there is can go on, if slowly:
//!
//! | state | from | what |
//! |---|---|---|
//! | normal | | rings grow with need, windows are sized by measurement |
//! | pressure | five eighths | windows and send rings grow no more; a ring that was emptied gives its memory back at once; beyond three quarters no ring takes more memory: what arrives and finds none is dropped, counted, and not acknowledged |
//! | limit | no room for a connection | SYNs are dropped and counted, `connect` fails |

use alloc::sync::Arc;
use core::fmt;
use core::hint::cold_path;

use ring::Budget;

use crate::event::{Event, Events};
use crate::tcp::Tcp;
use crate::tcp::options::StreamRings;

/// What a connection takes besides its rings: its entry in the tables, and while it is busy its scoreboard and the rest.
const CONNECTION: usize = 1_024;
/// What must be left for one more.
const NEW_CONNECTION: usize = CONNECTION + 2 * Budget::RESERVED;

/// How short memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemoryState {
    /// There is enough.
    Normal,
    /// Nothing grows.
    Pressure,
    /// There is no room for another connection.
    Limit,
}

impl fmt::Display for MemoryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Pressure => "under pressure",
            Self::Limit => "at its limit",
        })
    }
}

/// TCP's memory at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpMemory {
    /// Bytes in use or reserved: connections, and what their rings hold in memory.
    pub used: usize,
    /// The most that will ever be: [`TcpConfig::memory_budget`](crate::config::TcpConfig::memory_budget).
    pub limit: usize,
    /// How short it is.
    pub state: MemoryState,
    /// How often a ring was refused more memory.
    pub refused_growth: usize,
    /// How many connections were refused for want of memory.
    pub refused_connections: u64,
}

/// The most of a budget of `limit` bytes that may be used before nothing should grow.
const fn plenty(limit: usize) -> usize {
    limit / 8 * 5
}

/// Whether nothing should grow.
pub(crate) fn is_short(budget: &Budget) -> bool {
    budget.used() > plenty(budget.limit())
}

/// The budget, and what of it is connections.
pub(crate) struct Memory {
    pub budget: Arc<Budget>,
    /// Connections that are paid for.
    connections: usize,
    /// Below so many bytes nothing is short: where [`state`](Self::state) has nothing else to say than before.
    ample: usize,
    /// What the owner was told last.
    told: MemoryState,
    /// An event about it waits to be read.
    queued: bool,
    refused: u64,
}

impl Memory {
    pub(crate) fn new(limit: usize) -> Self {
        let ample = limit.saturating_add(1).saturating_sub(NEW_CONNECTION).min(plenty(limit) + 1);
        Self { budget: Budget::new(limit), connections: 0, ample, told: MemoryState::Normal, queued: false, refused: 0 }
    }

    /// Whether nothing is short, and nothing was when the owner was told last.
    #[inline]
    fn is_ample(&self) -> bool {
        self.told == MemoryState::Normal && self.budget.used() < self.ample
    }

    /// Takes the memory of one more connection besides those that live; false if there is none.
    #[inline]
    pub(super) fn try_reserve(&mut self, living: usize) -> bool {
        self.settle(living);
        let reserved = self.budget.reserve(NEW_CONNECTION);
        self.connections += usize::from(reserved);
        reserved
    }

    /// Whether it could be taken now.
    #[inline]
    pub(super) fn could_reserve(&mut self, living: usize) -> bool {
        self.settle(living);
        self.budget.used().saturating_add(NEW_CONNECTION) <= self.budget.limit()
    }

    /// Gives back what was taken for connections that are gone, wherever they went, where so many live.
    #[inline]
    fn settle(&mut self, living: usize) {
        let gone = self.connections.saturating_sub(living);
        if gone == 0 {
            return;
        }
        self.budget.give_back(gone * CONNECTION);
        self.connections -= gone;
    }

    /// Puts the rings of a connection that was reserved onto the budget.
    #[inline]
    pub(super) fn adopt(&self, rings: &StreamRings) {
        for adopted in [rings.send.set_budget(&self.budget), rings.receive.set_budget(&self.budget)] {
            if !adopted {
                cold_path();
                // Its memory is somebody else's affair.
                self.budget.give_back(Budget::RESERVED);
            }
        }
    }

    /// Lets the owner know when the state is another one.
    #[inline]
    pub(super) fn watch(&mut self, events: &mut Events) {
        if !self.is_ample() {
            cold_path();
            self.watch_scarce(events);
        }
    }

    #[inline(never)]
    fn watch_scarce(&mut self, events: &mut Events) {
        let state = self.state();
        if state != self.told && !self.queued {
            self.queued = true;
            events.push(Event::TcpMemory(state));
        }
    }

    fn state(&self) -> MemoryState {
        if self.budget.used().saturating_add(NEW_CONNECTION) > self.budget.limit() {
            MemoryState::Limit
        } else if is_short(&self.budget)
            // It takes a good deal less for things to be well again, lest the state flutter.
            || (self.told != MemoryState::Normal && self.budget.used() > self.budget.limit() / 2)
        {
            MemoryState::Pressure
        } else {
            MemoryState::Normal
        }
    }
}

impl Tcp {
    /// Takes the memory of one more connection; false, and counted, if there is none.
    pub(crate) fn reserve_connection(&mut self, events: &mut Events) -> bool {
        let reserved = self.memory.try_reserve(self.connections.len());
        self.memory.refused += u64::from(!reserved);
        self.memory.watch(events);
        reserved
    }

    /// Whether one more connection could be made now; counted if not.
    pub(crate) fn has_memory(&mut self, events: &mut Events) -> bool {
        let fits = self.memory.could_reserve(self.connections.len());
        self.memory.refused += u64::from(!fits);
        self.memory.watch(events);
        fits
    }

    /// There will be no such connection after all.
    pub(crate) fn unreserve_connection(&mut self) {
        self.memory.connections -= 1;
        self.memory.budget.give_back(NEW_CONNECTION);
    }

    pub(crate) fn memory(&mut self) -> TcpMemory {
        self.memory.settle(self.connections.len());
        let Memory { budget, refused, .. } = &self.memory;
        TcpMemory {
            used: budget.used(),
            limit: budget.limit(),
            state: self.memory.state(),
            refused_growth: budget.refusals(),
            refused_connections: *refused,
        }
    }

    /// The state as it is when the owner reads of it; `None` if it is what it was.
    pub(crate) fn complete_memory_event(&mut self) -> Option<Event> {
        self.memory.settle(self.connections.len());
        self.memory.queued = false;
        let state = self.memory.state();
        (core::mem::replace(&mut self.memory.told, state) != state).then_some(Event::TcpMemory(state))
    }
}
