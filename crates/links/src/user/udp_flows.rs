//! UDP: each pair of a guest's port and a destination joined to one connected socket of the host's.
//!
//! The kernel then does what a gateway must: it passes on what comes from that destination alone, and says which
//! destination an ICMP error is about. A flow ends when it was idle for a while, or when there are too many and it is
//! the one that would end first. Datagrams for which a socket or a ring has no room are dropped and counted: UDP has
//! no back-pressure.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ring::datagram::{self, Record};
use stack::ip::icmp::ErrorKind;
use stack::udp::{DatagramRings, UdpId, UdpOptions};

use super::context::Context;
use super::deadlines::Deadlines;
use super::destinations::DNS_PORT;
use super::host::{self, Attempt, HostEvent, Owner, Token, Watch};
use super::table::{Key, Table};

/// Flows at most.
const LIMIT: usize = 1_024;
/// RFC 4787 section 4.3 asks for two minutes or more for ports in general; most flows here are short-lived clients',
/// and 60 s is what Linux's own connection tracking allows an assured one at least.
const IDLE: Duration = Duration::from_secs(60);
/// RFC 4787 section 4.3: well-known ports may have shorter timers. A DNS client has given up by then.
const IDLE_DNS: Duration = Duration::from_secs(10);
/// Datagrams that one flow may pass in each direction before the next one has its turn.
const SHARE: usize = 64;
/// Most bytes that wait in one flow's ring.
const QUEUE: usize = 256 << 10;

/// All UDP flows from the guest to the outside.
pub(super) struct UdpFlows {
    flows: Table<Flow>,
    by_socket: HashMap<UdpId, Key>,
    deadlines: Deadlines,
    ready: VecDeque<Key>,
}

struct Flow {
    id: UdpId,
    socket: UdpSocket,
    from_guest: ring::Consumer,
    guest: SocketAddr,
    /// When the flow last carried anything, and how long it may rest.
    active: Instant,
    idle: Duration,
    readable: bool,
    queued: bool,
}

impl Flow {
    fn deadline(&self) -> Instant {
        self.active + self.idle
    }
}

impl UdpFlows {
    pub(super) fn new() -> Self {
        Self {
            flows: Table::new(LIMIT),
            by_socket: HashMap::new(),
            deadlines: Deadlines::default(),
            ready: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    pub(super) fn has_work(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The guest's first datagram to `destination`, which leads to `target`.
    pub(super) fn open(
        &mut self,
        cx: &mut Context<'_>,
        guest: SocketAddr,
        destination: SocketAddr,
        target: SocketAddr,
    ) {
        if self.flows.is_full() {
            self.evict(cx);
        }
        let socket = match host::connect_datagram(target) {
            Err(error) if host::is_exhausted(&error) && self.evict(cx) => host::connect_datagram(target),
            result => result,
        };
        let result = socket.and_then(|socket| self.join(cx, guest, destination, socket));
        if let Err(error) = result {
            let kind = host::icmp_kind(&error).unwrap_or(ErrorKind::HostUnreachable);
            cx.stats.udp_refused += 1;
            cx.stack.udp_refuse(cx.now, destination, guest, Some(kind));
        }
    }

    fn join(
        &mut self,
        cx: &mut Context<'_>,
        guest: SocketAddr,
        destination: SocketAddr,
        socket: UdpSocket,
    ) -> io::Result<()> {
        let (rings, from_guest) = datagram_ring();
        let id = cx.stack.udp_admit(destination, guest, UdpOptions::default(), rings).map_err(io::Error::other)?;
        let idle = if destination.port() == DNS_PORT { IDLE_DNS } else { IDLE };
        let flow = Flow { id, socket, from_guest, guest, active: cx.wall, idle, readable: false, queued: false };
        let Ok(key) = self.flows.insert(flow) else {
            cx.stack.udp_close(cx.now, id);
            return Err(io::Error::other("too many flows"));
        };
        self.by_socket.insert(id, key);
        if let Some(flow) = self.flows.get(key)
            && let Err(error) = cx.poller.watch(&flow.socket, Token { owner: Owner::Udp, key }, Watch::Input)
        {
            self.end(cx, key);
            return Err(error);
        }
        self.deadlines.insert(key, cx.wall + idle);
        self.enqueue(key);
        Ok(())
    }

    pub(super) fn on_host_event(&mut self, event: HostEvent) {
        if let Some(flow) = self.flows.get_mut(event.token.key) {
            flow.readable |= event.readable;
            self.enqueue(event.token.key);
        }
    }

    /// Something happened at a socket towards the guest; false if it is none of these flows.
    pub(super) fn on_stack_event(&mut self, id: UdpId) -> bool {
        let Some(&key) = self.by_socket.get(&id) else { return false };
        self.enqueue(key);
        true
    }

    fn enqueue(&mut self, key: Key) {
        if let Some(flow) = self.flows.get_mut(key)
            && !flow.queued
        {
            flow.queued = true;
            self.ready.push_back(key);
        }
    }

    /// Passes datagrams on, a share for each flow that has any.
    pub(super) fn run(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) {
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else { break };
            let Some(flow) = self.flows.get_mut(key) else { continue };
            flow.queued = false;
            let again = flow.up(cx, buffer) | flow.down(cx, buffer);
            if again {
                self.enqueue(key);
            }
        }
    }

    /// Ends the flows that were idle for too long.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) {
        while let Some(key) = self.deadlines.expired(cx.wall, |key| self.flows.get(key).map(Flow::deadline)) {
            self.end(cx, key);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Ends the flow that would end first; false if there is none.
    pub(super) fn evict(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(key) = self.deadlines.earliest(|key| self.flows.get(key).map(Flow::deadline)) else { return false };
        cx.stats.udp_flows_evicted += 1;
        self.end(cx, key);
        true
    }

    fn end(&mut self, cx: &mut Context<'_>, key: Key) {
        if let Some(flow) = self.flows.remove(key) {
            self.by_socket.remove(&flow.id);
            cx.stack.udp_close(cx.now, flow.id);
        }
    }
}

impl Flow {
    /// Guest to host; true if there is more.
    fn up(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> bool {
        for _ in 0..SHARE {
            let Some((_, len)) = datagram::pop(&mut self.from_guest, buffer) else { return false };
            self.active = cx.wall;
            match Attempt::from(self.socket.send(&buffer[..len.min(buffer.len())])) {
                Attempt::Done(_) => cx.stats.datagrams_from_guest += 1,
                Attempt::WouldBlock => cx.stats.datagrams_dropped += 1,
                Attempt::Failed(error) => {
                    cx.stats.datagrams_dropped += 1;
                    self.report(cx, &error);
                }
            }
        }
        true
    }

    /// Host to guest; true if there is more.
    fn down(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> bool {
        if !self.readable {
            return false;
        }
        for _ in 0..SHARE {
            match Attempt::from(self.socket.recv(buffer)) {
                Attempt::Done(len) => {
                    self.active = cx.wall;
                    let record = Record { remote: self.guest, local: None, interface: 0, tos: 0, ttl: 0 };
                    match cx.stack.udp_send(cx.now, self.id, &record, &buffer[..len]) {
                        Ok(()) => cx.stats.datagrams_to_guest += 1,
                        Err(_) => cx.stats.datagrams_dropped += 1,
                    }
                }
                Attempt::WouldBlock => {
                    self.readable = false;
                    return false;
                }
                Attempt::Failed(error) => self.report(cx, &error),
            }
        }
        true
    }

    /// Passes on to the guest what an ICMP error told the host.
    fn report(&mut self, cx: &mut Context<'_>, error: &io::Error) {
        host::drain_error_queue(&self.socket);
        if let Some(kind) = host::icmp_kind(error) {
            cx.stack.udp_report(cx.now, self.id, kind);
        }
    }
}

/// The ring in which a socket's datagrams wait for the gateway.
pub(super) fn datagram_ring() -> (DatagramRings, ring::Consumer) {
    let (receive, from_guest) = ring::heap(QUEUE);
    // What goes to the guest is handed over directly: nothing waits in a send ring.
    let (_, send) = ring::heap(0);
    (DatagramRings { receive, send }, from_guest)
}
