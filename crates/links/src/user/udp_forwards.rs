//! Ways in over UDP: the host's bound sockets. Each peer that speaks to one is a port of the gateway's towards the
//! guest, so that the guest's answers find their way back.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ring::datagram::{self, Record};
use stack::udp::{UdpId, UdpOptions};

use super::context::Context;
use super::deadlines::Deadlines;
use super::destinations::GATEWAY;
use super::forward::Forward;
use super::host::{self, Attempt, HostEvent, Owner, Poller, Token, Watch};
use super::table::{Key, Table};
use super::udp_flows::datagram_ring;

/// Sockets of the host's at most.
const LIMIT: usize = 1_024;
/// Peers at most, at all sockets together.
const PEER_LIMIT: usize = 1_024;
/// RFC 4787 section 4.3: two minutes for a mapping that was made from the outside.
const IDLE: Duration = Duration::from_secs(120);
/// Datagrams passed on in one turn, for each socket and peer.
const SHARE: usize = 64;

/// All bound sockets and their peers.
pub(super) struct UdpForwards {
    sockets: Table<Bound>,
    peers: Table<Peer>,
    by_address: HashMap<(Key, SocketAddr), Key>,
    by_socket: HashMap<UdpId, Key>,
    deadlines: Deadlines,
    /// Sockets that may have datagrams from outside, and peers that may have some from the guest.
    ready_sockets: Vec<Key>,
    ready_peers: VecDeque<Key>,
}

struct Bound {
    socket: UdpSocket,
    guest: SocketAddr,
}

struct Peer {
    bound: Key,
    address: SocketAddr,
    id: UdpId,
    from_guest: ring::Consumer,
    active: Instant,
    /// Stands in `ready_peers`.
    queued: bool,
}

impl Peer {
    fn deadline(&self) -> Instant {
        self.active + IDLE
    }
}

impl UdpForwards {
    pub(super) fn new() -> Self {
        Self {
            sockets: Table::new(LIMIT),
            peers: Table::new(PEER_LIMIT),
            by_address: HashMap::new(),
            by_socket: HashMap::new(),
            deadlines: Deadlines::default(),
            ready_sockets: Vec::new(),
            ready_peers: VecDeque::new(),
        }
    }

    /// Binds a socket; returns its address.
    pub(super) fn open(&mut self, poller: &Poller, forward: &Forward, guest: IpAddr) -> io::Result<SocketAddr> {
        let socket = host::bind_datagram(forward.host)?;
        let local = socket.local_addr()?;
        let guest = SocketAddr::new(guest, forward.guest_port);
        let key = self
            .sockets
            .insert(Bound { socket, guest })
            .map_err(|_| io::Error::other(format!("more than {LIMIT} forwards")))?;
        if let Some(bound) = self.sockets.get(key) {
            poller.watch(&bound.socket, Token { owner: Owner::UdpForward, key }, Watch::Input)?;
        }
        Ok(local)
    }

    pub(super) fn on_host_event(&mut self, event: HostEvent) {
        let key = event.token.key;
        if !self.ready_sockets.contains(&key) {
            self.ready_sockets.push(key);
        }
    }

    /// Something happened at a socket towards the guest; false if it is none of these.
    pub(super) fn on_stack_event(&mut self, id: UdpId) -> bool {
        let Some(&key) = self.by_socket.get(&id) else { return false };
        self.enqueue(key);
        true
    }

    fn enqueue(&mut self, key: Key) {
        if let Some(peer) = self.peers.get_mut(key)
            && !peer.queued
        {
            peer.queued = true;
            self.ready_peers.push_back(key);
        }
    }

    pub(super) fn has_work(&self) -> bool {
        !self.ready_sockets.is_empty() || !self.ready_peers.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Passes datagrams on, both ways.
    pub(super) fn run(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) {
        let mut sockets = std::mem::take(&mut self.ready_sockets);
        sockets.retain(|&key| self.inward(cx, key, buffer));
        self.ready_sockets = sockets;
        for _ in 0..self.ready_peers.len() {
            let Some(key) = self.ready_peers.pop_front() else { break };
            if self.outward(cx, key, buffer) {
                self.enqueue(key);
            }
        }
    }

    /// Host to guest; true if there is more.
    fn inward(&mut self, cx: &mut Context<'_>, key: Key, buffer: &mut [u8]) -> bool {
        for _ in 0..SHARE {
            let Some(bound) = self.sockets.get(key) else { return false };
            let (len, address) = match bound.socket.recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // An ICMP error about an earlier answer; the peer will do without.
                Err(_) => continue,
            };
            let guest = bound.guest;
            let Some(peer) = self.peer(cx, key, address, guest) else {
                cx.stats.datagrams_dropped += 1;
                continue;
            };
            let record = Record { remote: guest, local: None, interface: 0, tos: 0, ttl: 0 };
            match cx.stack.udp_send(cx.now, peer, &record, &buffer[..len]) {
                Ok(()) => cx.stats.datagrams_to_guest += 1,
                Err(_) => cx.stats.datagrams_dropped += 1,
            }
        }
        true
    }

    /// Guest to host; true if there is more.
    fn outward(&mut self, cx: &mut Context<'_>, key: Key, buffer: &mut [u8]) -> bool {
        let Some(peer) = self.peers.get_mut(key) else { return false };
        peer.queued = false;
        let Some(bound) = self.sockets.get(peer.bound) else { return false };
        for _ in 0..SHARE {
            let Some((_, len)) = datagram::pop(&mut peer.from_guest, buffer) else { return false };
            peer.active = cx.wall;
            match Attempt::from(bound.socket.send_to(&buffer[..len.min(buffer.len())], peer.address)) {
                Attempt::Done(_) => cx.stats.datagrams_from_guest += 1,
                Attempt::WouldBlock | Attempt::Failed(_) => cx.stats.datagrams_dropped += 1,
            }
        }
        true
    }

    /// The gateway's socket that stands for the peer at `address`.
    fn peer(&mut self, cx: &mut Context<'_>, bound: Key, address: SocketAddr, guest: SocketAddr) -> Option<UdpId> {
        if let Some(&key) = self.by_address.get(&(bound, address)) {
            let peer = self.peers.get_mut(key)?;
            peer.active = cx.wall;
            return Some(peer.id);
        }
        if self.peers.is_full()
            && let Some(key) = self.deadlines.earliest(|key| self.peers.get(key).map(Peer::deadline))
        {
            self.end(cx, key);
        }
        let (rings, from_guest) = datagram_ring();
        let local = SocketAddr::new(IpAddr::V4(GATEWAY), 0);
        let id = cx.stack.udp_bind(local, UdpOptions::default(), rings).ok()?;
        if cx.stack.udp_connect(id, guest).is_err() {
            cx.stack.udp_close(cx.now, id);
            return None;
        }
        let key = self.peers.insert(Peer { bound, address, id, from_guest, active: cx.wall, queued: false }).ok()?;
        self.by_address.insert((bound, address), key);
        self.by_socket.insert(id, key);
        self.deadlines.insert(key, cx.wall + IDLE);
        Some(id)
    }

    /// Ends the peers that were silent for too long.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) {
        while let Some(key) = self.deadlines.expired(cx.wall, |key| self.peers.get(key).map(Peer::deadline)) {
            self.end(cx, key);
        }
    }

    fn end(&mut self, cx: &mut Context<'_>, key: Key) {
        if let Some(peer) = self.peers.remove(key) {
            self.by_address.remove(&(peer.bound, peer.address));
            self.by_socket.remove(&peer.id);
            cx.stack.udp_close(cx.now, peer.id);
        }
    }
}
