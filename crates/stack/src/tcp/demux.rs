//! From a segment's addresses to its connection, in constant time under a secret key.

use core::cell::Cell;
use core::net::{IpAddr, SocketAddr};

use hashbrown::HashTable;

use crate::entropy::Key;
use crate::handle::Table;
use crate::tcp::ConnectionKind;
use crate::tcp::connection::Connection;
use crate::tcp::fast_path::Predictions;

/// Room that is kept although there is no connection.
const KEPT: usize = 1_024;

/// The four-tuple, from this side's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Flow {
    pub local: IpAddr,
    pub remote: IpAddr,
    pub local_port: u16,
    pub remote_port: u16,
}

impl Flow {
    pub(crate) fn local_socket(&self) -> SocketAddr {
        SocketAddr::new(self.local, self.local_port)
    }

    pub(crate) fn remote_socket(&self) -> SocketAddr {
        SocketAddr::new(self.remote, self.remote_port)
    }

    pub(crate) fn hash(&self, key: Key) -> u64 {
        key.flow(self.local, self.local_port, self.remote, self.remote_port)
    }

    pub(crate) fn prf(&self, key: Key) -> u64 {
        key.prf(self.local, self.local_port, self.remote, self.remote_port)
    }

    /// [`prf`](Self::prf) of the flow and a number.
    pub(crate) fn prf_with(&self, key: Key, number: u64) -> u64 {
        key.prf_with(self.local, self.local_port, self.remote, self.remote_port, number)
    }
}

/// The hash by which all of TCP's tables know a flow.
///
/// One segment most often asks several of them for the same flow, and is followed by others of it. So there is one key, and
/// the flow that was hashed last is remembered.
pub(crate) struct FlowHasher {
    key: Key,
    last: Cell<Option<(Flow, u64)>>,
}

impl FlowHasher {
    pub(crate) const fn new(key: Key) -> Self {
        Self { key, last: Cell::new(None) }
    }

    /// The hash of `flow`, remembered.
    #[inline]
    pub(crate) fn of(&self, flow: &Flow) -> u64 {
        match self.last.get() {
            Some((last, hash)) if last == *flow => hash,
            _ => {
                let hash = self.of_other(flow);
                self.last.set(Some((*flow, hash)));
                hash
            }
        }
    }

    /// The same for a flow that is not the one at hand, as when a table grows.
    pub(crate) fn of_other(&self, flow: &Flow) -> u64 {
        flow.hash(self.key)
    }
}

/// Finds connections by four-tuple. Holds indices only; the four-tuples stand in the connections.
#[derive(Default)]
pub(crate) struct Demux {
    table: HashTable<u32>,
    /// The connection of the last segment: in bulk it is nearly always the next one's too.
    last: Option<(Flow, u32)>,
    /// Flows whose next frame is known by its headers.
    pub(super) predictions: Predictions,
}

type Connections = Table<ConnectionKind, Connection>;

impl Demux {
    pub(crate) fn find(&mut self, hasher: &FlowHasher, connections: &Connections, flow: &Flow) -> Option<u32> {
        if let Some((last, index)) = self.last
            && last == *flow
        {
            return Some(index);
        }
        let index = self.peek(hasher, connections, flow)?;
        self.last = Some((*flow, index));
        Some(index)
    }

    /// The connection of the last segment, if it is of `flow`.
    #[inline]
    pub(crate) fn heard_last(&self, flow: &Flow) -> Option<u32> {
        self.last.as_ref().and_then(|(last, index)| (last == flow).then_some(*index))
    }

    /// As [`find`](Self::find), for those who ask about many flows that will not come again.
    pub(crate) fn peek(&self, hasher: &FlowHasher, connections: &Connections, flow: &Flow) -> Option<u32> {
        if self.table.is_empty() {
            // Spares the hash.
            return None;
        }
        self.table.find(hasher.of(flow), |&index| connections.at(index).is_some_and(|c| c.flow == *flow)).copied()
    }

    /// Adds a connection, whose flow must not be there yet.
    pub(crate) fn insert(&mut self, hasher: &FlowHasher, connections: &Connections, index: u32, flow: &Flow) {
        self.table.insert_unique(hasher.of(flow), index, |&other| {
            connections.at(other).map_or(0, |connection| hasher.of_other(&connection.flow))
        });
        // Its handshake goes on, so it is the next segment's most likely.
        self.last = Some((*flow, index));
    }

    pub(crate) fn remove(&mut self, hasher: &FlowHasher, index: u32, flow: &Flow) {
        self.predictions.remove(index, flow);
        if let Ok(entry) = self.table.find_entry(hasher.of(flow), |&other| other == index) {
            entry.remove();
        }
        if self.table.is_empty() && self.table.capacity() > KEPT {
            // What a burst took goes back.
            self.table = HashTable::new();
            self.predictions = Predictions::default();
        }
        if self.last.is_some_and(|(_, last)| last == index) {
            self.last = None;
        }
    }
}

#[cfg(feature = "measure")]
impl super::Tcp {
    pub(crate) fn measure_look_up(&mut self, local: SocketAddr, remote: SocketAddr) -> bool {
        let (local_port, remote_port) = (local.port(), remote.port());
        let flow = Flow { local: local.ip(), remote: remote.ip(), local_port, remote_port };
        self.demux.find(&self.hasher, &self.connections, &flow).is_some()
    }
}
