//! Datagrams of any-address mode that wait until the owner of the engine has decided about their flow.
//!
//! Bounded by flows, by datagrams and bytes a flow, and by bytes in all; what nobody decides about goes after a while.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use hashbrown::HashTable;
use ring::datagram::Record;

use super::sockets::Udp;
use crate::Instant;
use crate::discard::Discard;
use crate::entropy::Key;
use crate::event::Event;
use crate::handle::{Handle, Table};
use crate::ip::Delivery;
use crate::link::InterfaceId;
use crate::network::{Network, Timer};
use crate::stack::Stack;
use crate::timers::TimerId;

/// Marks handles of held flows.
pub(crate) enum HeldKind {}

/// Names a held flow.
pub(crate) type HeldId = Handle<HeldKind>;

/// Flows at most.
const FLOWS: usize = 1_024;
/// Datagrams of one flow at most.
const DATAGRAMS: usize = 16;
/// Bytes of one flow at most: one datagram of the largest size, and then some.
const FLOW_BYTES: usize = 128 * 1024;
/// How long the owner may take.
const LIFETIME: Duration = Duration::from_secs(30);
/// Of the first packet, what an ICMP error would quote.
const QUOTED: usize = 576;

/// A flow that nobody has decided about.
pub(super) struct HeldFlow {
    pub interface: InterfaceId,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub datagrams: Vec<(Record, Vec<u8>)>,
    /// The start of the first packet, from its IP header.
    pub first: Vec<u8>,
    bytes: usize,
    timer: TimerId,
}

/// All of them.
pub(crate) struct Held {
    limit: usize,
    key: Key,
    flows: Table<HeldKind, HeldFlow>,
    index: HashTable<HeldId>,
    bytes: usize,
}

impl Held {
    pub(super) fn new(limit: usize, key: Key) -> Self {
        Self { limit, key, flows: Table::new(), index: HashTable::new(), bytes: 0 }
    }

    fn hash(key: Key, local: SocketAddr, remote: SocketAddr) -> u64 {
        key.flow(local.ip(), local.port(), remote.ip(), remote.port())
    }

    fn find(&self, local: SocketAddr, remote: SocketAddr) -> Option<HeldId> {
        let same = |id: &HeldId| self.flows.get(*id).is_some_and(|flow| flow.local == local && flow.remote == remote);
        self.index.find(Self::hash(self.key, local, remote), same).copied()
    }

    fn insert(&mut self, flow: HeldFlow) -> HeldId {
        let hash = Self::hash(self.key, flow.local, flow.remote);
        let id = self.flows.insert(flow);
        let Self { index, flows, key, .. } = self;
        index.insert_unique(hash, id, |&id| flows.get(id).map_or(0, |flow| Self::hash(*key, flow.local, flow.remote)));
        id
    }

    fn remove(&mut self, id: HeldId) -> Option<HeldFlow> {
        let flow = self.flows.remove(id)?;
        self.bytes -= flow.bytes;
        let hash = Self::hash(self.key, flow.local, flow.remote);
        if let Ok(found) = self.index.find_entry(hash, |&other| other == id) {
            found.remove();
        }
        Some(flow)
    }

    /// Adds a datagram to a flow; false if there is no room.
    fn add(&mut self, id: HeldId, record: Record, payload: &[u8]) -> bool {
        let Some(flow) = self.flows.get_mut(id) else { return false };
        let cost = payload.len() + size_of::<(Record, Vec<u8>)>();
        let full = flow.datagrams.len() >= DATAGRAMS || flow.bytes + cost > FLOW_BYTES;
        if full || self.bytes + cost > self.limit {
            return false;
        }
        flow.bytes += cost;
        self.bytes += cost;
        flow.datagrams.push((record, payload.to_vec()));
        true
    }

    /// Takes a flow out.
    pub(super) fn take(&mut self, net: &mut Network, local: SocketAddr, remote: SocketAddr) -> Option<HeldFlow> {
        let id = self.find(local, remote)?;
        let flow = self.remove(id)?;
        net.timers.cancel(flow.timer);
        Some(flow)
    }
}

impl Udp {
    /// Forgets the held flows of an interface.
    pub(crate) fn forget_interface(&mut self, net: &mut Network, interface: InterfaceId) {
        let flows = self.held.flows.iter().filter(|(_, flow)| flow.interface == interface);
        let gone: Vec<HeldId> = flows.map(|(id, _)| id).collect();
        for id in gone {
            if let Some(flow) = self.held.remove(id) {
                net.timers.cancel(flow.timer);
                flow.datagrams.iter().for_each(|_| net.discard(Discard::NoInterface));
            }
        }
    }
}

impl Stack {
    /// Keeps a datagram for an address that is not ours; the first of its flow raises an event.
    pub(super) fn hold(
        &mut self,
        now: Instant,
        delivery: &Delivery<'_>,
        local: SocketAddr,
        remote: SocketAddr,
        payload: &[u8],
    ) {
        let interface = delivery.interface;
        let known = self.udp.held.find(local, remote);
        if known.is_none() && self.udp.held.flows.len() >= FLOWS {
            return self.net.discard(Discard::UdpHeld);
        }
        let id = known.unwrap_or_else(|| {
            let first = delivery.packet[..delivery.packet.len().min(QUOTED)].to_vec();
            let datagrams = Vec::new();
            let timer = TimerId::NONE;
            self.udp.held.insert(HeldFlow { interface, local, remote, datagrams, first, bytes: 0, timer })
        });
        let record = Record {
            remote,
            local: Some(local.ip()),
            interface: interface.index() + 1,
            tos: delivery.tos,
            ttl: delivery.hop_limit,
        };
        if !self.udp.held.add(id, record, payload) {
            if known.is_none() {
                self.udp.held.remove(id);
            }
            return self.net.discard(Discard::UdpHeld);
        }
        if known.is_none() {
            let timer = self.net.timers.insert(now + LIFETIME, Timer::Held(id));
            if let Some(flow) = self.udp.held.flows.get_mut(id) {
                flow.timer = timer;
            }
            self.events.push(Event::UdpIncoming { interface, local, remote });
        }
    }

    /// Nobody decided about a flow.
    pub(crate) fn held_timeout(&mut self, id: HeldId) {
        let Some(flow) = self.udp.held.remove(id) else { return };
        flow.datagrams.iter().for_each(|_| self.net.discard(Discard::UdpHeld));
    }
}
