//! What the engine tells its owner: read with [`Stack::poll_event`](crate::Stack::poll_event) after every batch.

use alloc::collections::VecDeque;
use core::net::SocketAddr;
use core::ops::{BitOr, BitOrAssign};

use wire::cidr::Cidr;

use crate::autoconf::dhcpv4::Lease;
use crate::ip::echo::{EchoId, IncomingEcho};
use crate::link::InterfaceId;
use crate::tcp::{ConnectionId, ListenerId, MemoryState};
use crate::udp::UdpId;

/// Something happened that the owner may act upon.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A TCP connection changed. Successive changes are merged until they are read.
    Tcp(ConnectionId, Readiness),
    /// A connection waits to be accepted: call `tcp_accept` until it returns `None`.
    Accept(ListenerId),
    /// Any-address mode: a SYN asks for `local`, which nobody here listens on. Answer with `tcp_admit` or
    /// `tcp_refuse`.
    TcpIncoming {
        /// The connection that would come of it.
        connection: ConnectionId,
        /// The address and port that were asked for.
        local: SocketAddr,
        /// Who asks.
        remote: SocketAddr,
    },
    /// TCP's memory has become short, or there is enough again.
    TcpMemory(MemoryState),
    /// A UDP socket can be read, or has an error to tell.
    Udp(UdpId, Readiness),
    /// Any-address mode: a datagram came for `local`, which nobody here has bound. It is held until `udp_admit` or
    /// `udp_refuse`.
    UdpIncoming {
        /// Where it came in.
        interface: InterfaceId,
        /// The address and port that it was sent to.
        local: SocketAddr,
        /// Who sent it.
        remote: SocketAddr,
    },
    /// An echo socket can be read, or has an error to tell.
    Echo(EchoId, Readiness),
    /// Any-address mode: an echo request came to an address that is not ours. Answer with `echo_reply` or `echo_refuse`,
    /// or not at all.
    EchoIncoming(IncomingEcho),
    /// An address is in use from now on.
    AddressAdded(InterfaceId, Cidr),
    /// An address is no longer in use.
    AddressRemoved(InterfaceId, Cidr),
    /// Another station uses this address (RFC 5227); it was given up.
    AddressConflict(InterfaceId, Cidr),
    /// DHCP got or renewed a lease; its address and routes are in place.
    DhcpBound(InterfaceId, Lease),
    /// The lease ran out or was refused; the address is gone and the search begins anew.
    DhcpLost(InterfaceId),
}

/// What a socket is ready for, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// There is something to read.
    pub const READABLE: Self = Self(1);
    /// There is room to write again.
    pub const WRITABLE: Self = Self(2);
    /// The handshake is complete.
    pub const CONNECTED: Self = Self(4);
    /// The peer has ended its stream; what it sent before can still be read.
    pub const PEER_FINISHED: Self = Self(8);
    /// The connection is over; `tcp_error` says whether well.
    pub const CLOSED: Self = Self(16);
    /// An error waits to be taken.
    pub const ERROR: Self = Self(32);
    /// Everything that was written has been acknowledged.
    pub const DRAINED: Self = Self(64);
    /// The peer has urgent data, or more of it (RFC 9293 section 3.8.5): `tcp_urgent_mark` says how far it reaches.
    pub const URGENT: Self = Self(128);

    /// Whether everything in `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Readiness {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The events that the owner has not read yet.
///
/// Bounded by construction: a socket or listener stands in the queue at most once (its owner module merges its
/// changes), interface events come from timers and commands.
#[derive(Default)]
pub struct Events {
    /// Ahead of the queue: most often the only one, and no queue is touched.
    first: Option<Entry>,
    queue: VecDeque<Entry>,
    /// How many there are.
    waiting: usize,
    /// Those that are more than a name, in their order.
    others: VecDeque<Event>,
}

/// A place in the queue. What happened to a socket is found with it, so its name is all that waits: by far the most events
/// are of this kind, and the largest kind is many times as large.
enum Entry {
    Tcp(ConnectionId),
    Udp(UdpId),
    Accept(ListenerId),
    /// The first of `others`.
    Other,
}

/// An event that is a name and nothing else, until what happened is looked up.
pub(crate) enum Named {
    /// A connection changed.
    Tcp(ConnectionId),
    /// A connection waits at a listener.
    Accept(ListenerId),
}

/// Room that is kept when the queue is empty.
const KEPT: usize = 1_024;

impl Events {
    #[inline]
    pub(crate) fn push(&mut self, event: Event) {
        match event {
            Event::Tcp(id, _) => self.push_tcp(id),
            Event::Udp(id, _) => self.enter(Entry::Udp(id)),
            Event::Accept(id) => self.push_accept(id),
            other => {
                self.others.push_back(other);
                self.enter(Entry::Other);
            }
        }
    }

    /// Something has happened to a connection.
    #[inline]
    pub(crate) fn push_tcp(&mut self, id: ConnectionId) {
        self.enter(Entry::Tcp(id));
    }

    /// A connection waits at a listener.
    #[inline]
    pub(crate) fn push_accept(&mut self, id: ListenerId) {
        self.enter(Entry::Accept(id));
    }

    #[inline(always)]
    fn enter(&mut self, entry: Entry) {
        self.waiting += 1;
        if self.waiting == 1 {
            self.first = Some(entry);
        } else {
            self.enter_behind(entry);
        }
    }

    #[cold]
    #[inline(never)]
    fn enter_behind(&mut self, entry: Entry) {
        self.queue.push_back(entry);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Takes the next event if it is one of a connection or a listener.
    #[inline]
    pub(crate) fn take_named(&mut self) -> Option<Named> {
        if self.first.is_none() {
            self.move_up();
        }
        // One comparison finds by far the most.
        let named = if let Some(Entry::Tcp(id)) = self.first {
            Named::Tcp(id)
        } else if let Some(Entry::Accept(id)) = self.first {
            Named::Accept(id)
        } else {
            return None;
        };
        self.first = None;
        self.waiting -= 1;
        Some(named)
    }

    /// The first of the queue comes to stand ahead of it.
    #[cold]
    #[inline(never)]
    fn move_up(&mut self) {
        self.first = self.queue.pop_front();
        if self.queue.is_empty() && self.queue.capacity() > KEPT {
            // A burst's room is not needed until the next one.
            self.queue = VecDeque::new();
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        if self.first.is_none() {
            self.move_up();
        }
        let entry = self.first.take()?;
        self.waiting -= 1;
        let event = match entry {
            Entry::Tcp(id) => return Some(Event::Tcp(id, Readiness::NONE)),
            Entry::Udp(id) => return Some(Event::Udp(id, Readiness::NONE)),
            Entry::Accept(id) => return Some(Event::Accept(id)),
            Entry::Other => self.others.pop_front(),
        };
        if self.others.is_empty() && self.others.capacity() > KEPT {
            self.others = VecDeque::new();
        }
        event
    }
}

#[cfg(test)]
mod tests;
