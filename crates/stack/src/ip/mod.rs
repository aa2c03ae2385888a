//! IPv4 and IPv6: `input` validates and reassembles, `output` addresses and fragments, `icmp` answers and reports.
//!
//! `addresses` are our own, `routes` is the table and `route` the choice of path and source; `forward` passes on what is
//! not for us; `path_mtu` remembers what ICMP said of paths; `identification` numbers datagrams; `echo` holds the
//! sockets behind ping.
//!
//! IPv6 is carried everywhere; its protocols (NDP, ICMPv6, extension headers) are not spoken yet, so that it works
//! inside the engine (::1 and own addresses) and is refused, counted, on links.

pub(crate) mod addresses;
pub mod echo;
pub(crate) mod forward;
pub(crate) mod fragment;
pub mod icmp;
pub(crate) mod identification;
pub(crate) mod input;
pub(crate) mod output;
pub(crate) mod path_mtu;
pub(crate) mod reassembly;
pub(crate) mod route;
pub mod routes;

use alloc::borrow::Cow;
use core::net::IpAddr;

use wire::checksum::{Sum, pseudo_header};
use wire::protocol::Protocol;

use crate::link::InterfaceId;

/// To how many a packet was addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cast {
    /// To one address, which is ours, or any in any-address mode.
    Unicast,
    /// To everybody on a link.
    Broadcast,
    /// To a group.
    Multicast,
}

/// A whole IP packet on its way up to a transport protocol.
#[derive(Debug)]
pub(crate) struct Delivery<'f> {
    /// The interface it came in by.
    pub interface: InterfaceId,
    pub source: IpAddr,
    pub destination: IpAddr,
    /// What kind of address `destination` is.
    pub cast: Cast,
    /// The frame was addressed to more than one station: no ICMP error may answer it.
    pub link_multicast: bool,
    pub protocol: Protocol,
    pub hop_limit: u8,
    /// DSCP and ECN bits.
    pub tos: u8,
    /// The transport checksum needs no check: a device vouched for it, or the bytes crossed no wire. Never set for a
    /// reassembled packet.
    pub checksum_verified: bool,
    /// The packet stands for several TCP segments of this size that a device put together.
    pub segment_size: Option<u16>,
    /// Where the payload begins in `packet`.
    pub header_len: usize,
    /// The packet from its IP header on, cut to its total length.
    pub packet: Cow<'f, [u8]>,
}

impl Delivery<'_> {
    /// What follows the IP header.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.packet[self.header_len..]
    }

    /// What TCP has to know of it.
    pub(crate) fn arrival(&self) -> Arrival<'_> {
        Arrival {
            interface: self.interface,
            source: self.source,
            destination: self.destination,
            unicast: self.cast == Cast::Unicast && !self.source.is_multicast(),
            tos: self.tos,
            checksum_verified: self.checksum_verified,
            segment_size: self.segment_size,
            address_sum: pseudo_header(self.source, self.destination, Protocol::TCP, 0),
            segment: self.payload(),
        }
    }
}

/// A TCP segment on its way up: as much of a [`Delivery`] as matters to it. The fields are a delivery's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'f> {
    pub interface: InterfaceId,
    pub source: IpAddr,
    pub destination: IpAddr,
    /// From one host, for one.
    pub unicast: bool,
    pub tos: u8,
    pub checksum_verified: bool,
    pub segment_size: Option<u16>,
    /// The sum of the pseudo-header without the length.
    pub address_sum: Sum,
    /// What follows the IP header.
    pub segment: &'f [u8],
}
