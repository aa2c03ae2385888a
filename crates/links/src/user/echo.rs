//! Pings of the guest's to the outside, through the host's unprivileged echo sockets (icmp(7)). Where the host does
//! not allow those, the guest hears that it is forbidden. The gateway's own addresses are answered by the engine.
//!
//! A flow is one identifier of the guest's towards one address. The kernel gives its socket another identifier; the
//! sequence number and the data go through as they are.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use stack::ip::echo::IncomingEcho;
use stack::ip::icmp::ErrorKind;
use stack::link::InterfaceId;

use super::context::Context;
use super::deadlines::Deadlines;
use super::destinations::Lead;
use super::host::{self, Attempt, HostEvent, Owner, Token, Watch};
use super::table::{Key, Table};

/// Flows at most.
const LIMIT: usize = 128;
/// How long a reply is waited for.
const IDLE: Duration = Duration::from_secs(30);
/// Replies of one flow passed on in one turn.
const SHARE: usize = 64;
/// Bytes before an echo message's data (RFC 792).
const HEADER_LEN: usize = 8;
/// The types of echo requests and replies (RFC 792, RFC 4443 sections 4.1 and 4.2).
const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// All echo flows.
pub(super) struct EchoFlows {
    flows: Table<Flow>,
    by_name: HashMap<Name, Key>,
    deadlines: Deadlines,
    ready: Vec<Key>,
}

/// Which of the guest's identifiers asks whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Name {
    guest: IpAddr,
    destination: IpAddr,
    ident: u16,
}

struct Flow {
    name: Name,
    /// Where the guest is.
    interface: InterfaceId,
    socket: UdpSocket,
    active: Instant,
}

impl Flow {
    fn deadline(&self) -> Instant {
        self.active + IDLE
    }
}

impl EchoFlows {
    pub(super) fn new() -> Self {
        Self { flows: Table::new(LIMIT), by_name: HashMap::new(), deadlines: Deadlines::default(), ready: Vec::new() }
    }

    pub(super) fn has_work(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Passes a request of the guest's on, or tells why it cannot be.
    pub(super) fn request(&mut self, cx: &mut Context<'_>, request: IncomingEcho) {
        let sent = match cx.destinations.lead(SocketAddr::new(request.local, 0)) {
            Lead::Host(target) => self.send(cx, &request, target.ip()),
            Lead::Resolver => Err(ErrorKind::HostUnreachable),
            Lead::Nowhere(kind) => Err(kind),
        };
        if let Err(kind) = sent {
            cx.stats.echo_refused += 1;
            cx.stack.echo_refuse(cx.now, &request, kind);
        }
    }

    fn send(&mut self, cx: &mut Context<'_>, request: &IncomingEcho, target: IpAddr) -> Result<(), ErrorKind> {
        let name = Name { guest: request.remote, destination: request.local, ident: request.ident };
        let key = match self.by_name.get(&name) {
            Some(&key) => key,
            None => self.open(cx, name, request.interface, target).map_err(|error| told(&error))?,
        };
        let Some(flow) = self.flows.get_mut(key) else { return Err(ErrorKind::HostUnreachable) };
        flow.active = cx.wall;
        let mut message = Vec::with_capacity(HEADER_LEN + request.data.len());
        message.extend([if target.is_ipv4() { REQUEST_V4 } else { REQUEST_V6 }, 0, 0, 0, 0, 0]);
        message.extend(request.seq.to_be_bytes());
        message.extend_from_slice(&request.data);
        match Attempt::from(flow.socket.send(&message)) {
            Attempt::Done(_) => Ok(()),
            Attempt::WouldBlock => {
                cx.stats.datagrams_dropped += 1;
                Ok(())
            }
            Attempt::Failed(error) => {
                host::drain_error_queue(&flow.socket);
                Err(told(&error))
            }
        }
    }

    fn open(&mut self, cx: &mut Context<'_>, name: Name, interface: InterfaceId, target: IpAddr) -> io::Result<Key> {
        if self.flows.is_full()
            && let Some(key) = self.deadlines.earliest(|key| self.flows.get(key).map(Flow::deadline))
        {
            self.end(key);
        }
        let socket = host::connect_echo(target)?;
        let flow = Flow { name, interface, socket, active: cx.wall };
        let key = self.flows.insert(flow).map_err(|_| io::Error::other("too many flows"))?;
        self.by_name.insert(name, key);
        if let Some(flow) = self.flows.get(key)
            && let Err(error) = cx.poller.watch(&flow.socket, Token { owner: Owner::Echo, key }, Watch::Input)
        {
            self.end(key);
            return Err(error);
        }
        self.deadlines.insert(key, cx.wall + IDLE);
        Ok(key)
    }

    pub(super) fn on_host_event(&mut self, event: HostEvent) {
        let key = event.token.key;
        if !self.ready.contains(&key) {
            self.ready.push(key);
        }
    }

    /// Passes replies on.
    pub(super) fn run(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) {
        let mut ready = std::mem::take(&mut self.ready);
        ready.retain(|&key| self.flows.get(key).is_some_and(|flow| flow.replies(cx, buffer)));
        self.ready = ready;
    }

    /// Ends the flows that nobody answers any more.
    pub(super) fn expire(&mut self, cx: &Context<'_>) {
        while let Some(key) = self.deadlines.expired(cx.wall, |key| self.flows.get(key).map(Flow::deadline)) {
            self.end(key);
        }
    }

    fn end(&mut self, key: Key) {
        if let Some(flow) = self.flows.remove(key) {
            self.by_name.remove(&flow.name);
        }
    }
}

impl Flow {
    /// Passes this flow's replies on; true if there are more.
    fn replies(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> bool {
        let Name { guest, destination, ident } = self.name;
        for _ in 0..SHARE {
            let len = match Attempt::from(self.socket.recv(buffer)) {
                Attempt::Done(len) => len,
                Attempt::WouldBlock => return false,
                // The host's echo sockets tell errors without saying about which request; the guest's ping goes on.
                Attempt::Failed(_) => {
                    host::drain_error_queue(&self.socket);
                    continue;
                }
            };
            let reply = &buffer[..len];
            if len < HEADER_LEN || !matches!(reply[0], REPLY_V4 | REPLY_V6) {
                continue;
            }
            let answered = IncomingEcho {
                interface: self.interface,
                local: destination,
                remote: guest,
                ident,
                seq: u16::from_be_bytes([reply[6], reply[7]]),
                ttl: 0,
                tos: 0,
                data: reply[HEADER_LEN..].to_vec(),
            };
            cx.stack.echo_reply(cx.now, &answered);
        }
        true
    }
}

/// What the guest is told when the host cannot send its request.
fn told(error: &io::Error) -> ErrorKind {
    host::icmp_kind(error).unwrap_or(ErrorKind::HostUnreachable)
}
