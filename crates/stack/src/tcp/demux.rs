//! From a segment's addresses to its connection, or to the handshake that will be one, in constant time under a secret key.

use core::hint::cold_path;
use core::net::{IpAddr, SocketAddr};

use crate::entropy::{FlowKey, Key};
use crate::handle::Table;
use crate::tcp::ConnectionKind;
use crate::tcp::connection::Connection;
use crate::tcp::fast_path::Predictions;
use crate::tcp::flow_table::FlowTable;
use crate::tcp::syn_queue::SynQueue;

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
pub(crate) struct FlowHasher {
    key: FlowKey,
}

impl FlowHasher {
    pub(crate) const fn new(key: FlowKey) -> Self {
        Self { key }
    }

    /// The hash of `flow`: as much of it as the tables keep.
    #[inline]
    pub(crate) fn of(&self, flow: &Flow) -> u32 {
        (self.key.hash(&flow.local, flow.local_port, &flow.remote, flow.remote_port) >> 32) as u32
    }
}

/// Whose a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The connection's in this slot.
    Connection(u32),
    /// The handshake's in this slot of the SYN queue.
    HalfOpen(u32),
}

/// Tells handshakes from connections in the table.
const HALF_OPEN: u32 = 1 << 31;

impl Holder {
    #[inline]
    const fn name(self) -> u32 {
        match self {
            Self::Connection(index) => index,
            Self::HalfOpen(index) => index | HALF_OPEN,
        }
    }

    #[inline]
    const fn of(name: u32) -> Self {
        if name & HALF_OPEN == 0 { Self::Connection(name) } else { Self::HalfOpen(name & !HALF_OPEN) }
    }
}

/// Finds connections and handshakes by four-tuple. Holds indices only; the four-tuples stand in what they name.
///
/// A connection that was opened by Fast Open and its handshake have one flow: the flow is the connection's then.
#[derive(Default)]
pub(crate) struct Demux {
    table: FlowTable,
    /// Whose the last segment was: in bulk the next one is nearly always its too.
    last: Option<Heard>,
    /// Flows whose next frame is known by its headers.
    pub(super) predictions: Predictions,
}

/// Of whom a segment came.
struct Heard {
    flow: Flow,
    /// The same as [`Wire`] has it, or zeros, which no frame has: IPv6.
    wire: Wire,
    holder: Holder,
}

/// Addresses and ports as they stand in a frame from the peer over IPv4 without options: the peer's address, ours, its port,
/// ours. They are compared in two words, where a [`Flow`] takes six comparisons.
pub(crate) type Wire = [u8; 12];

impl Heard {
    #[inline(always)]
    fn new(flow: &Flow, holder: Holder) -> Self {
        let mut wire = [0; 12];
        if let (IpAddr::V4(local), IpAddr::V4(remote)) = (flow.local, flow.remote) {
            wire[..4].copy_from_slice(&remote.octets());
            wire[4..8].copy_from_slice(&local.octets());
            wire[8..10].copy_from_slice(&flow.remote_port.to_be_bytes());
            wire[10..].copy_from_slice(&flow.local_port.to_be_bytes());
        }
        Self { flow: *flow, wire, holder }
    }
}

type Connections = Table<ConnectionKind, Connection>;

impl Demux {
    pub(crate) fn find(
        &mut self,
        hasher: &FlowHasher,
        connections: &Connections,
        handshakes: &SynQueue,
        flow: &Flow,
    ) -> Option<Holder> {
        if let Some(last) = &self.last
            && last.flow == *flow
        {
            return Some(last.holder);
        }
        let holder = self.peek(hasher, connections, handshakes, flow)?;
        self.last = Some(Heard::new(flow, holder));
        Some(holder)
    }

    /// Whose the last segment was, if it had these addresses and ports.
    #[inline]
    pub(crate) fn heard_last(&self, wire: &Wire) -> Option<Holder> {
        self.last.as_ref().and_then(|last| (last.wire == *wire).then_some(last.holder))
    }

    /// As [`find`](Self::find), for those who ask about many flows that will not come again.
    pub(crate) fn peek(
        &self,
        hasher: &FlowHasher,
        connections: &Connections,
        handshakes: &SynQueue,
        flow: &Flow,
    ) -> Option<Holder> {
        if self.table.is_empty() {
            // Spares the hash.
            return None;
        }
        self.peek_hashed(hasher.of(flow), connections, handshakes, flow)
    }

    /// The same where the hash is known.
    #[inline]
    pub(crate) fn peek_hashed(
        &self,
        hash: u32,
        connections: &Connections,
        handshakes: &SynQueue,
        flow: &Flow,
    ) -> Option<Holder> {
        let is_meant = |name: u32| match Holder::of(name) {
            Holder::Connection(index) => connections.at(index).is_some_and(|connection| connection.flow == *flow),
            Holder::HalfOpen(index) => {
                let half = handshakes.at(index);
                half.flow == *flow && !half.pending
            }
        };
        self.table.find(hash, is_meant).map(Holder::of)
    }

    /// The handshake of `flow`, also where the connection exists already.
    pub(crate) fn half_open(&self, hasher: &FlowHasher, handshakes: &SynQueue, flow: &Flow) -> Option<u32> {
        let found = self.table.find(
            hasher.of(flow),
            |name| matches!(Holder::of(name), Holder::HalfOpen(index) if handshakes.at(index).flow == *flow),
        )?;
        Some(found & !HALF_OPEN)
    }

    /// Adds whose a flow with this hash is that was nobody's.
    #[inline]
    pub(crate) fn insert_hashed(&mut self, hash: u32, flow: &Flow, holder: Holder) {
        self.table.insert(hash, holder.name());
        // Its handshake goes on, so it is the next segment's most likely.
        self.last = Some(Heard::new(flow, holder));
    }

    /// Adds the handshake of a connection that has the flow already.
    pub(crate) fn insert_beside(&mut self, hash: u32, handshake: u32) {
        self.table.insert(hash, Holder::HalfOpen(handshake).name());
    }

    /// The handshake of a flow that has this hash has become a connection.
    #[inline]
    pub(crate) fn promote(&mut self, hash: u32, flow: &Flow, handshake: u32, connection: u32) {
        let (old, new) = (Holder::HalfOpen(handshake), Holder::Connection(connection));
        if !self.table.replace(hash, old.name(), new.name()) {
            cold_path();
            self.table.insert(hash, new.name());
        }
        match &mut self.last {
            // It is the same flow.
            Some(last) if last.holder == old => last.holder = new,
            last => *last = Some(Heard::new(flow, new)),
        }
    }

    /// A handshake is over, and nothing came of it.
    pub(crate) fn remove_half_open(&mut self, hasher: &FlowHasher, flow: &Flow, handshake: u32) {
        self.remove_name(hasher.of(flow), Holder::HalfOpen(handshake));
    }

    /// A connection is over, whose flow has this hash.
    pub(crate) fn remove(&mut self, hash: u32, index: u32, flow: &Flow) {
        self.predictions.remove(index, flow);
        self.remove_name(hash, Holder::Connection(index));
        if self.table.is_empty() && !self.table.has_memory() {
            self.predictions = Predictions::default();
        }
    }

    #[inline(always)]
    fn remove_name(&mut self, hash: u32, holder: Holder) {
        self.table.remove(hash, holder.name());
        if self.last.as_ref().is_some_and(|last| last.holder == holder) {
            self.last = None;
        }
    }
}

#[cfg(feature = "measure")]
impl super::Tcp {
    pub(crate) fn measure_look_up(&mut self, local: SocketAddr, remote: SocketAddr) -> bool {
        let (local_port, remote_port) = (local.port(), remote.port());
        let flow = Flow { local: local.ip(), remote: remote.ip(), local_port, remote_port };
        self.demux.find(&self.hasher, &self.connections, &self.syn_queue, &flow).is_some()
    }
}

#[cfg(test)]
mod tests;
