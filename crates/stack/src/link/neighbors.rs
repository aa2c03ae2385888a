//! The neighbour cache: which MAC a next hop has, and how sure of it we are.
//!
//! The states are RFC 4861 section 7.3.2's, for both families; ARP has no others that are as good.
//!
//! ```text
//!            use                answer                 time              use           5 s           answer
//! (nothing) -----> INCOMPLETE ---------> REACHABLE ----------> STALE ----------> DELAY -----> PROBE --------> REACHABLE
//!                      | 3 s of silence                          | 5 min idle                   | 3 s of silence
//!                      v                                         v                              v
//!                    FAILED --use--> INCOMPLETE               (nothing)                       FAILED
//! ```
//!
//! Packets flow in every state that knows a MAC. `link/arp` calls this for what arrives and what its timers demand;
//! `link/output` for what leaves.

use alloc::boxed::Box;
use core::net::IpAddr;
use core::time::Duration;

use hashbrown::HashTable;
use wire::ethernet::MacAddr;

use crate::Instant;
use crate::entropy::Key;
use crate::handle::{Handle, Table};
use crate::link::InterfaceId;
use crate::link::pending::Waiting;
use crate::timers::TimerId;

/// Settings of the neighbour cache.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NeighborConfig {
    /// How long a confirmed neighbour counts as reachable. Default 30 s (RFC 4861 section 10).
    pub reachable_time: Duration,
    /// How long an unused entry is kept after its last confirmation. Default 5 minutes.
    pub lifetime: Duration,
    /// Between two solicitations. Default 1 s.
    pub retry: Duration,
    /// Solicitations without an answer before the neighbour counts as dead. Default 3.
    pub tries: u8,
    /// How long an entry in use may stay unconfirmed before it is probed. Default 5 s.
    pub delay_first_probe: Duration,
    /// Entries at most, in the whole engine. Default 65,536.
    pub limit: usize,
}

impl Default for NeighborConfig {
    fn default() -> Self {
        Self {
            reachable_time: Duration::from_secs(30),
            lifetime: Duration::from_secs(300),
            retry: Duration::from_secs(1),
            tries: 3,
            delay_first_probe: Duration::from_secs(5),
            limit: 65_536,
        }
    }
}

/// How much is known of a neighbour (RFC 4861 section 7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighborState {
    /// Asked for, no answer yet.
    Incomplete,
    /// Confirmed not long ago.
    Reachable,
    /// Confirmed long ago, or heard of unasked.
    Stale,
    /// In use while stale: soon to be probed.
    Delay,
    /// Being probed.
    Probe,
    /// Did not answer. Kept for a while so that other routes are preferred; the next use asks again.
    Failed,
    /// Set by hand: never asked for, never changed by what arrives.
    Static,
}

impl NeighborState {
    /// Whether packets can be sent.
    #[must_use]
    pub const fn has_mac(self) -> bool {
        !matches!(self, Self::Incomplete | Self::Failed)
    }
}

/// A neighbour, as it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborInfo {
    /// Its address.
    pub address: IpAddr,
    /// Its MAC, if it is known.
    pub mac: Option<MacAddr>,
    /// How sure we are.
    pub state: NeighborState,
}

/// Marks handles of neighbours.
pub(crate) enum NeighborKind {}

/// Names an entry.
pub(crate) type NeighborId = Handle<NeighborKind>;

/// How long a dead neighbour is remembered.
pub(crate) const FAILED_LIFETIME: Duration = Duration::from_secs(60);
/// A MAC that was confirmed less than this ago is not overwritten by an unasked claim.
const LOCK_TIME: Duration = Duration::from_secs(1);

/// The neighbour that passes on what comes from `remote`, if there is one. It holds as long as
/// [`Network::generation`](crate::network::Network) stands still.
#[derive(Clone, Copy)]
pub(crate) struct Forwarder {
    pub generation: u64,
    pub interface: InterfaceId,
    pub remote: IpAddr,
    pub neighbor: Option<NeighborId>,
    /// When it was last confirmed.
    pub confirmed: Instant,
}

/// For so many nanoseconds a neighbour that was confirmed need not be again (RFC 4861 section 7.3.1 asks for hints of
/// progress, and counts reachability in seconds).
pub(crate) const CONFIRMED_FOR: u64 = 1_000_000;

/// An entry.
pub(crate) struct Neighbor {
    pub interface: InterfaceId,
    pub address: IpAddr,
    pub mac: MacAddr,
    pub state: NeighborState,
    pub timer: TimerId,
    pub confirmed: Instant,
    /// Solicitations sent since the state was entered.
    pub tries: u8,
    /// It failed since it was last confirmed, though it may be asked for again.
    pub failed: bool,
    /// A transport waits to hear how the search ends.
    pub awaited: bool,
    /// Looked up since the eviction hand passed.
    used: bool,
    /// Frames that wait for the MAC, with room for the link header; see [`Pending`](super::pending::Pending).
    pub pending: Waiting,
}

impl Neighbor {
    /// Whether an unasked claim of another MAC is to be believed at `now`.
    pub(crate) fn accepts_change(&self, now: Instant) -> bool {
        match self.state {
            NeighborState::Static => false,
            NeighborState::Reachable => now.since(self.confirmed) >= LOCK_TIME,
            _ => true,
        }
    }
}

/// All neighbours.
pub(crate) struct Neighbors {
    pub config: NeighborConfig,
    key: Key,
    entries: Table<NeighborKind, Neighbor>,
    index: HashTable<NeighborId>,
    /// Where the search for an entry to evict goes on.
    hand: u32,
    slots: u32,
    /// When an address was last solicited, by hash, so that the rate limit outlives an evicted entry.
    solicited: Box<[(u32, Instant)]>,
}

const SOLICITED: usize = 1024;
/// Entries that one eviction looks at.
const EVICTION_STEPS: u32 = 64;

impl Neighbors {
    pub(crate) fn new(config: NeighborConfig, key: Key) -> Self {
        Self {
            config,
            key,
            entries: Table::new(),
            index: HashTable::new(),
            hand: 0,
            slots: 0,
            solicited: Box::default(),
        }
    }

    fn hash(&self, interface: InterfaceId, address: IpAddr) -> u64 {
        self.key.flow(address, 0, address, interface.index() as u16)
    }

    pub(crate) fn find(&self, interface: InterfaceId, address: IpAddr) -> Option<NeighborId> {
        self.index
            .find(self.hash(interface, address), |&id| {
                self.entries.get(id).is_some_and(|entry| entry.address == address && entry.interface == interface)
            })
            .copied()
    }

    pub(crate) fn get(&self, id: NeighborId) -> Option<&Neighbor> {
        self.entries.get(id)
    }

    /// The entry, which thereby counts as used.
    pub(crate) fn get_mut(&mut self, id: NeighborId) -> Option<&mut Neighbor> {
        let entry = self.entries.get_mut(id)?;
        entry.used = true;
        Some(entry)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NeighborId, &Neighbor)> {
        self.entries.iter()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= self.config.limit
    }

    /// Adds an entry, which must not exist; there must be room.
    pub(crate) fn insert(&mut self, now: Instant, interface: InterfaceId, address: IpAddr) -> NeighborId {
        let id = self.entries.insert(Neighbor {
            interface,
            address,
            mac: MacAddr::UNSPECIFIED,
            state: NeighborState::Incomplete,
            timer: TimerId::NONE,
            confirmed: now,
            tries: 0,
            failed: false,
            awaited: false,
            used: true,
            pending: Waiting::default(),
        });
        self.slots = self.slots.max(id.index() + 1);
        let Self { index, entries, key, .. } = self;
        index.insert_unique(key.flow(address, 0, address, interface.index() as u16), id, |&id| {
            entries.get(id).map_or(0, |entry| key.flow(entry.address, 0, entry.address, entry.interface.index() as u16))
        });
        id
    }

    pub(crate) fn remove(&mut self, id: NeighborId) -> Option<Neighbor> {
        let entry = self.entries.remove(id)?;
        if let Ok(found) = self.index.find_entry(self.hash(entry.interface, entry.address), |&other| other == id) {
            found.remove();
        }
        Some(entry)
    }

    /// An entry that may go to make room: dead, or stale and not used since the hand last passed. Never one that is
    /// confirmed, being confirmed or set by hand, so that no flood of new names drives out those we work with.
    pub(crate) fn victim(&mut self) -> Option<NeighborId> {
        for _ in 0..EVICTION_STEPS.min(self.slots) {
            self.hand = (self.hand + 1) % self.slots;
            let Some(id) = self.entries.handle_at(self.hand) else { continue };
            let Some(entry) = self.entries.get_mut(id) else { continue };
            let used = core::mem::replace(&mut entry.used, false);
            match entry.state {
                NeighborState::Failed | NeighborState::Incomplete => return Some(id),
                NeighborState::Stale if !used => return Some(id),
                _ => {}
            }
        }
        None
    }

    /// Whether `address` may be solicited at `now`; if so, it counts as solicited. Otherwise when it may.
    pub(crate) fn may_solicit(&mut self, now: Instant, interface: InterfaceId, address: IpAddr) -> Result<(), Instant> {
        if self.solicited.is_empty() {
            self.solicited = alloc::vec![(0, Instant::ZERO); SOLICITED].into_boxed_slice();
        }
        let hash = self.hash(interface, address);
        let tag = (hash >> 32) as u32 | 1;
        let slot = &mut self.solicited[hash as usize % SOLICITED];
        let allowed = slot.1 + self.config.retry;
        if slot.0 == tag && now < allowed {
            return Err(allowed);
        }
        *slot = (tag, now);
        Ok(())
    }
}
