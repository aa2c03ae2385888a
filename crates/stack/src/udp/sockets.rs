//! All UDP sockets, and the tables that find one in constant time.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hashbrown::HashTable;

use super::held::Held;
use super::socket::Socket;
use super::{UdpId, UdpKind};
use crate::entropy::{Entropy, Key};
use crate::event::{Event, Events, Readiness};
use crate::handle::{Handle, Table};
use crate::ports;

/// All of UDP.
pub(crate) struct Udp {
    key: Key,
    pub(super) sockets: Table<UdpKind, Socket>,
    /// Connected sockets, by both addresses.
    flows: HashTable<UdpId>,
    /// The others, by local address (maybe unspecified) and port.
    bound: HashTable<UdpId>,
    /// All of them by port: for broadcasts, and to see what is free.
    by_port: BTreeSet<(u16, UdpId)>,
    /// How many sockets of a port do not share it; ports where all do are absent.
    exclusive: BTreeMap<u16, u32>,
    next_sequence: u64,
    /// Sockets whose send rings wait for room in a queue.
    pub(super) blocked: VecDeque<UdpId>,
    pub(super) held: Held,
}

pub(crate) fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

fn hash(key: Key, local: SocketAddr, remote: Option<SocketAddr>) -> u64 {
    let remote = remote.unwrap_or(SocketAddr::new(unspecified(local.ip()), 0));
    key.flow(local.ip(), local.port(), remote.ip(), remote.port())
}

impl Udp {
    pub(crate) fn new(held_bytes: usize, entropy: &mut Entropy) -> Self {
        Self {
            key: entropy.key(),
            sockets: Table::new(),
            flows: HashTable::new(),
            bound: HashTable::new(),
            by_port: BTreeSet::new(),
            exclusive: BTreeMap::new(),
            next_sequence: 0,
            blocked: VecDeque::new(),
            held: Held::new(held_bytes, entropy.key()),
        }
    }

    /// Whether a socket waits for a queue that was full.
    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// How many do.
    #[inline]
    pub(crate) fn blocked_len(&self) -> usize {
        self.blocked.len()
    }

    pub(super) fn next_sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence
    }

    /// Adds a socket to the tables.
    pub(super) fn insert(&mut self, socket: Socket) -> UdpId {
        let port = socket.local.port();
        if !socket.shares {
            *self.exclusive.entry(port).or_insert(0) += 1;
        }
        let id = self.sockets.insert(socket);
        self.by_port.insert((port, id));
        self.index(id);
        id
    }

    pub(super) fn remove(&mut self, id: UdpId) -> Option<Socket> {
        self.unindex(id);
        let socket = self.sockets.remove(id)?;
        let port = socket.local.port();
        self.by_port.remove(&(port, id));
        if !socket.shares
            && let Some(count) = self.exclusive.get_mut(&port)
        {
            *count -= 1;
            if *count == 0 {
                self.exclusive.remove(&port);
            }
        }
        Some(socket)
    }

    fn index(&mut self, id: UdpId) {
        let Self { key, sockets, flows, bound, .. } = self;
        let Some(socket) = sockets.get(id) else { return };
        let table = if socket.remote.is_some() { flows } else { bound };
        table.insert_unique(hash(*key, socket.local, socket.remote), id, |&id| {
            sockets.get(id).map_or(0, |socket| hash(*key, socket.local, socket.remote))
        });
    }

    fn unindex(&mut self, id: UdpId) {
        let Some(socket) = self.sockets.get(id) else { return };
        let table = if socket.remote.is_some() { &mut self.flows } else { &mut self.bound };
        if let Ok(found) = table.find_entry(hash(self.key, socket.local, socket.remote), |&other| other == id) {
            found.remove();
        }
    }

    /// Gives a socket other addresses; its port stays.
    pub(super) fn readdress(&mut self, id: UdpId, local: IpAddr, remote: Option<SocketAddr>) {
        self.unindex(id);
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.local.set_ip(local);
            socket.remote = remote;
        }
        self.index(id);
    }

    /// The connected socket of a flow.
    pub(super) fn flow(&self, local: SocketAddr, remote: SocketAddr) -> Option<UdpId> {
        let same = |id: &UdpId| {
            self.sockets.get(*id).is_some_and(|socket| socket.local == local && socket.remote == Some(remote))
        };
        self.flows.find(hash(self.key, local, Some(remote)), same).copied()
    }

    /// The socket bound to exactly this address and port; the last, if several share it, or one chosen by `remote` if
    /// they share it as a group.
    fn bound_to(&self, local: SocketAddr, remote: SocketAddr) -> Option<UdpId> {
        let candidates = || {
            let same = self.bound.iter_hash(hash(self.key, local, None)).copied();
            let sockets = same.filter_map(|id| Some((self.sockets.get(id)?, id)));
            sockets.filter(|(socket, _)| socket.local == local)
        };
        let (last, id) = candidates().max_by_key(|(socket, _)| socket.sequence)?;
        if !last.in_group {
            return Some(id);
        }
        let flow = hash(self.key, local, Some(remote));
        let group = candidates().filter(|(socket, _)| socket.in_group);
        group.max_by_key(|(socket, _)| ports::suits(flow, socket.sequence)).map(|(_, id)| id)
    }

    /// The socket that a datagram from `remote` to `local` is for.
    pub(super) fn find(&self, local: SocketAddr, remote: SocketAddr) -> Option<UdpId> {
        self.flow(local, remote)
            .or_else(|| self.bound_to(local, remote))
            .or_else(|| self.bound_to(SocketAddr::new(unspecified(local.ip()), local.port()), remote))
    }

    /// Every socket with a local port.
    pub(super) fn on_port(&self, port: u16) -> impl Iterator<Item = UdpId> + '_ {
        let (first, last) = (Handle::from_bits(0), Handle::from_bits(u64::MAX));
        self.by_port.range((port, first)..=(port, last)).map(|&(_, id)| id)
    }

    /// Whether every socket of `port` shares it with others that do.
    pub(super) fn all_share(&self, port: u16) -> bool {
        !self.exclusive.contains_key(&port)
    }

    /// Whether no socket that could overlap with another stands on `port`.
    pub(crate) fn is_port_free(&self, port: u16) -> bool {
        self.on_port(port).next().is_none()
    }

    /// Notes a change of a socket for its owner.
    pub(super) fn notify(&mut self, events: &mut Events, id: UdpId, change: Readiness) {
        if let Some(socket) = self.sockets.get_mut(id)
            && socket.mark(change)
        {
            events.push(Event::Udp(id, Readiness::NONE));
        }
    }

    /// The event with what has changed until now; `None` if the socket is gone.
    pub(crate) fn complete_event(&mut self, id: UdpId) -> Option<Event> {
        let pending = self.sockets.get_mut(id)?.take_pending();
        (!pending.is_empty()).then_some(Event::Udp(id, pending))
    }

    /// `address` is no longer ours: sockets bound to it can neither send nor receive, and their owners must know.
    pub(crate) fn address_removed(&mut self, events: &mut Events, address: IpAddr) {
        let bound = self.sockets.iter().filter(|(_, socket)| socket.local.ip() == address);
        let ids: alloc::vec::Vec<UdpId> = bound.map(|(id, _)| id).collect();
        for id in ids {
            self.notify(events, id, Readiness::CLOSED | Readiness::ERROR);
        }
    }
}
