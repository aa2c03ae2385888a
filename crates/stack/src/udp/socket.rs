//! A UDP socket: its addresses, its two rings, and the errors that wait to be told.

use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};

use ring::{Consumer, Producer};

use crate::event::Readiness;
use crate::ip::icmp::ErrorKind;
use crate::link::InterfaceId;

/// The engine's halves of a socket's two rings; both carry records of [`ring::datagram`].
pub struct DatagramRings {
    /// Datagrams that arrived. One that does not fit is dropped and counted: the ring's limit is SO_RCVBUF.
    pub receive: Producer,
    /// Datagrams to send, drained by [`udp_flush`](crate::Stack::udp_flush).
    pub send: Consumer,
}

/// Settings of a UDP socket.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UdpOptions {
    /// Share address and port with other sockets that set it too (SO_REUSEADDR). The last bound gets what is for one;
    /// all get broadcasts.
    pub reuse_address: bool,
    /// SO_REUSEPORT: share address and port with other sockets that set it too. What is for one goes to one of them,
    /// chosen by a keyed hash of the datagram's addresses and ports; all get broadcasts.
    pub reuse_port: bool,
    /// Allow sending to broadcast addresses (SO_BROADCAST). A socket that has it and is bound to one address hears the
    /// broadcasts on that address's link.
    pub broadcast: bool,
    /// Never fragment; a datagram larger than the path is refused with its size.
    pub dont_fragment: bool,
    /// TTL of datagrams for one host; `None` for the engine's default.
    pub ttl: Option<u8>,
    /// TTL of datagrams for a group. Default 1 (RFC 1112 section 6.1).
    pub multicast_ttl: u8,
    /// DSCP and ECN bits of what is sent.
    pub tos: u8,
    /// Send and receive by this interface only (SO_BINDTODEVICE).
    pub interface: Option<InterfaceId>,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self {
            reuse_address: false,
            reuse_port: false,
            broadcast: false,
            dont_fragment: false,
            ttl: None,
            multicast_ttl: 1,
            tos: 0,
            interface: None,
        }
    }
}

/// An error that came for a socket, after what it is about was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpError {
    /// Where the datagram was sent to.
    pub remote: SocketAddr,
    /// Who reported it: a router, or the destination itself.
    pub from: IpAddr,
    /// What it says.
    pub kind: ErrorKind,
}

/// Traffic of one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpStats {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams received.
    pub received: u64,
    /// Datagrams that found the receive ring full.
    pub dropped: u64,
}

/// Errors that wait at most; beyond it the oldest goes.
const ERRORS: usize = 8;
/// Destinations that errors are believed about, for a socket that is not connected.
const RECENT: usize = 8;

pub(super) struct Socket {
    pub local: SocketAddr,
    pub remote: Option<SocketAddr>,
    pub options: UdpOptions,
    pub rings: DatagramRings,
    pub stats: UdpStats,
    /// It was bound with `reuse_address`.
    pub shares: bool,
    /// It was bound with `reuse_port`.
    pub in_group: bool,
    /// The order of binding: the last of those that share an address gets what is for one.
    pub sequence: u64,
    /// The send ring was not drained for want of room in the interface's queue; the socket stands in the list of those.
    pub blocked: bool,
    /// An event with these changes is on its way to the owner.
    pending: Readiness,
    errors: VecDeque<UdpError>,
    recent: [Option<SocketAddr>; RECENT],
    next_recent: usize,
}

impl Socket {
    pub(super) fn new(local: SocketAddr, options: UdpOptions, rings: DatagramRings, sequence: u64) -> Self {
        Self {
            local,
            remote: None,
            shares: options.reuse_address,
            in_group: options.reuse_port,
            options,
            rings,
            stats: UdpStats::default(),
            sequence,
            blocked: false,
            pending: Readiness::NONE,
            errors: VecDeque::new(),
            recent: [None; RECENT],
            next_recent: 0,
        }
    }

    /// Notes a change; true if an event must be queued for it.
    pub(super) fn mark(&mut self, change: Readiness) -> bool {
        let first = self.pending.is_empty();
        self.pending |= change;
        first
    }

    /// What has changed since the last event.
    pub(super) fn take_pending(&mut self) -> Readiness {
        core::mem::take(&mut self.pending)
    }

    pub(super) fn push_error(&mut self, error: UdpError) {
        if self.errors.len() >= ERRORS {
            self.errors.pop_front();
        }
        self.errors.push_back(error);
    }

    pub(super) fn take_error(&mut self) -> Option<UdpError> {
        self.errors.pop_front()
    }

    /// Remembers that something was sent to `remote`.
    pub(super) fn sent_to(&mut self, remote: SocketAddr) {
        if self.recent.contains(&Some(remote)) {
            return;
        }
        self.recent[self.next_recent] = Some(remote);
        self.next_recent = (self.next_recent + 1) % RECENT;
    }

    /// Whether an error about a datagram to `remote` may be true.
    pub(super) fn has_sent_to(&self, remote: SocketAddr) -> bool {
        self.remote == Some(remote) || self.recent.contains(&Some(remote))
    }
}
