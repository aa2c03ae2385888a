//! The lower half of the engine: interfaces, addresses, routes, neighbours, and the packets that pass through them.
//!
//! The transports hold no reference to it; each call is handed `&mut Network`. What it learns that the upper half must
//! know (an address came or went, a next hop was found) waits as a [`Notice`] until `Stack` passes it on.
//!
//! The methods stand with their mechanism: `link/input`, `link/output`, `link/arp`, `link/acd`, `ip/input`,
//! `ip/output`, `ip/forward`, `ip/icmp`.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;

use ring::Span;
use wire::cidr::Cidr;
use wire::protocol::Protocol;

use crate::Instant;
use crate::config::Config;
use crate::discard::{Discard, Discards};
use crate::entropy::Entropy;
use crate::handle::Table;
use crate::ip::addresses::Addresses;
use crate::ip::icmp::limit::TokenBucket;
use crate::ip::identification::Identifications;
use crate::ip::input::Judged;
use crate::ip::path_mtu::PathMtus;
use crate::ip::reassembly::{Reassembler, ReassemblyId};
use crate::ip::route::KnownPath;
use crate::ip::routes::Routes;
use crate::link::flow_headers::FlowHeaderCache;
use crate::link::hot_path::HotPaths;
use crate::link::neighbors::{Forwarder, NeighborId, Neighbors};
use crate::link::queue::BufferPool;
use crate::link::traffic::Traffic;
use crate::link::{Interface, InterfaceId, InterfaceKind};
use crate::timers::{TimerId, Wheel};

/// Where packets to a destination go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// The interface they leave by.
    pub interface: InterfaceId,
    /// The address they carry as source.
    pub source: IpAddr,
    /// The next hop, which is the destination itself where it is on the link.
    pub next_hop: IpAddr,
    /// The largest IP packet that gets there, as far as is known: the route's MTU, or less if ICMP said so.
    pub mtu: u32,
    /// What the route takes, whatever ICMP said.
    pub route_mtu: u32,
}

/// Why there is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unroutable {
    /// No route leads there (ENETUNREACH).
    NoRoute,
    /// The destination is a broadcast address (EACCES for TCP and for sockets that did not ask for it).
    Broadcast,
    /// The destination is a multicast group.
    Multicast,
    /// The destination can name nobody: unspecified or reserved.
    BadDestination,
    /// The source that was asked for is not an address of ours, or of the other family (EADDRNOTAVAIL).
    BadSource,
}

/// A TCP segment (or a train of them) on its way down: a header and slices of the send ring.
pub(crate) struct Segment<'a> {
    pub interface: InterfaceId,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub hop_limit: u8,
    /// DSCP and ECN bits.
    pub tos: u8,
    /// The TCP header with a checksum field of zero.
    pub header: &'a [u8],
    pub payload: &'a [Span<'a>],
    pub payload_len: usize,
    /// Payload bytes a segment when `payload` is more than one segment's.
    pub segment_size: Option<u16>,
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transmitted {
    /// The device has it, or it was lost on the way down and counted: either way it counts as sent.
    Sent,
    /// A train was cut, and the device became full within it: so many bytes of payload, a multiple of the segment
    /// size, are sent. Offer the rest again when the device can take more.
    Partly(usize),
    /// The device's queue is full: nothing was sent, offer it again when the device can take more.
    DeviceFull,
    /// The next hop's MAC is not known yet. Nothing was sent; `Tcp::resolved` will name this next hop.
    Resolving(IpAddr),
    /// No route any more, or the neighbour does not answer.
    Unreachable,
    /// The path has shrunk since the segment was cut and takes IP packets of so many bytes: nothing was sent.
    TooBig(u32),
}

/// A small packet of the control kind: resets, acknowledgements for nobody, ICMP.
pub(crate) struct Packet<'a> {
    /// The interface it must leave by, when the route may not choose.
    pub interface: Option<InterfaceId>,
    /// `None`: the route chooses.
    pub source: Option<IpAddr>,
    pub destination: IpAddr,
    pub protocol: Protocol,
    /// `None`: the default.
    pub hop_limit: Option<u8>,
    pub tos: u8,
    pub dont_fragment: bool,
    /// Transport header and payload, complete with checksum.
    pub payload: &'a [u8],
}

/// What a timer of the lower half is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A neighbour's state must be looked at.
    Neighbor(NeighborId),
    /// A datagram's fragments have waited long enough.
    Reassembly(ReassemblyId),
    /// What is known of the path MTU to here is to be forgotten.
    PathMtu(IpAddr),
    /// The next probe or announcement of an address.
    Address(InterfaceId, IpAddr),
    /// The DHCP client of an interface has something to do.
    Dhcp(InterfaceId),
    /// Held datagrams of any-address mode that nobody took.
    Held(crate::udp::held::HeldId),
}

/// What the upper half must hear about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The search for a next hop has ended.
    Resolved { interface: InterfaceId, next_hop: IpAddr, reachable: bool },
    /// An address may be used from now on.
    AddressAdded(InterfaceId, Cidr),
    /// An address may no longer be used.
    AddressRemoved(InterfaceId, Cidr),
    /// Another station uses this address; it was given up.
    AddressConflict(InterfaceId, Cidr),
    /// These IP packets of ours, or that we forward, waited for a next hop that does not answer.
    Undeliverable(InterfaceId, Vec<u8>),
}

/// The lower half of the engine.
pub(crate) struct Network {
    pub interfaces: Table<InterfaceKind, Interface>,
    pub loopback: InterfaceId,
    pub traffic: Traffic,
    /// Every address that is in use, apart from 127.0.0.0/8, and the interface it is on.
    pub addresses: Addresses,
    pub routes: Routes,
    pub neighbors: Neighbors,
    pub path_mtus: PathMtus,
    pub reassembler: Reassembler,
    pub identifications: Identifications,
    pub icmp_limit: TokenBucket,
    pub timers: Wheel<Timer>,
    pub notices: VecDeque<Notice>,
    /// Frames in the queues of all interfaces.
    pub queued: usize,
    /// Frames may wait in the loopback's queue.
    pub inside: bool,
    pub discards: Discards,
    pub entropy: Entropy,
    pub forwarding: bool,
    pub default_hop_limit: u8,
    /// Grows with every change of an interface, address, route, neighbour or path MTU: what was derived from them is stale.
    pub generation: u64,
    pub hot_paths: HotPaths,
    pub flow_headers: FlowHeaderCache,
    pub known_paths: [Option<KnownPath>; 2],
    /// The addresses of the last TCP segment that was taken.
    pub judged: Option<Judged>,
    /// Who passed it on.
    pub forwarder: Option<Forwarder>,
    pub buffers: BufferPool,
    /// Where frames are put together for devices that cannot gather and sum.
    pub scratch: Box<[u8]>,
}

impl Network {
    pub(crate) fn new(config: &Config, mut entropy: Entropy) -> Self {
        let mut interfaces = Table::new();
        let loopback = interfaces.insert(Interface::loopback());
        let mut traffic = Traffic::new();
        traffic.begin(loopback);
        Self {
            interfaces,
            loopback,
            traffic,
            addresses: Addresses::default(),
            routes: Routes::new(),
            neighbors: Neighbors::new(config.neighbors.clone(), entropy.key()),
            path_mtus: PathMtus::new(),
            reassembler: Reassembler::new(config.reassembly_bytes, entropy.key()),
            identifications: Identifications::new(&mut entropy),
            icmp_limit: TokenBucket::new(config.icmp_errors_per_second),
            timers: Wheel::new(),
            notices: VecDeque::new(),
            queued: 0,
            inside: false,
            discards: Discards::new(),
            entropy,
            forwarding: false,
            default_hop_limit: config.default_hop_limit,
            generation: 1,
            hot_paths: HotPaths::new(),
            flow_headers: FlowHeaderCache::default(),
            known_paths: [None; 2],
            judged: None,
            forwarder: None,
            buffers: BufferPool::new(),
            scratch: Box::default(),
        }
    }

    /// Counts a packet that went no further.
    pub(crate) fn discard(&mut self, reason: Discard) {
        self.discards.count(reason);
    }

    /// Whether there is something that the upper half has not heard yet.
    #[inline]
    pub(crate) fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// What the upper half has not heard yet.
    pub(crate) fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// The interface's MTU in bytes of IP packet; zero if it is gone.
    pub(crate) fn mtu(&self, interface: InterfaceId) -> u32 {
        self.interfaces.get(interface).map_or(0, |interface| interface.mtu)
    }

    /// Whether packets to `address` stay inside: it is one of ours, on whatever interface.
    pub(crate) fn is_local_address(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses.contains_key(&address)
    }

    /// Whether `interface` takes packets to every address.
    pub(crate) fn is_any_address(&self, interface: InterfaceId) -> bool {
        self.interfaces.get(interface).is_some_and(|interface| interface.any_address)
    }

    /// Marks everything derived from interfaces, addresses, routes and neighbours as stale.
    pub(crate) fn changed(&mut self) {
        self.generation += 1;
    }

    /// Arms or moves the timer in `slot`.
    pub(crate) fn arm(timers: &mut Wheel<Timer>, slot: &mut TimerId, deadline: Instant, key: Timer) {
        if slot.is_none() {
            *slot = timers.insert(deadline, key);
        } else {
            timers.reschedule(*slot, deadline);
        }
    }
}
