//! The lower half of the engine: interfaces, addresses, routes, neighbours, and the packets that pass through them.
//!
//! The transports hold no reference to it; each call is handed `&mut Network`.

use core::net::IpAddr;

use device::Device;
use ring::Span;
use wire::protocol::Protocol;

use crate::Instant;
use crate::link::InterfaceId;

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
    /// The device's queue is full: nothing was sent, offer it again when the device can take more.
    DeviceFull,
    /// The next hop's MAC is not known yet. Nothing was sent; `Network::poll_resolution` will name this
    /// next hop.
    Resolving(IpAddr),
    /// No route any more, or the neighbour does not answer.
    Unreachable,
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

/// The lower half of the engine.
pub(crate) struct Network {}

impl Network {
    pub(crate) fn route(&self, _destination: IpAddr, _source: Option<IpAddr>) -> Result<Path, Unroutable> {
        Err(Unroutable::NoRoute)
    }

    pub(crate) fn is_local_address(&self, _address: IpAddr) -> bool {
        false
    }

    pub(crate) fn is_any_address(&self, _interface: InterfaceId) -> bool {
        false
    }

    pub(crate) fn transmit_segment(
        &mut self,
        _now: Instant,
        _device: &mut dyn Device,
        _segment: &Segment<'_>,
    ) -> Transmitted {
        Transmitted::Unreachable
    }

    pub(crate) fn send_packet(&mut self, _now: Instant, _packet: &Packet<'_>) -> Result<(), Unroutable> {
        Err(Unroutable::NoRoute)
    }

    pub(crate) fn confirm_reachable(&mut self, _now: Instant, _interface: InterfaceId, _remote: IpAddr) {}
}
