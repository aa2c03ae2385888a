//! The headers of busy paths, kept ready: a train of segments costs no look-up of route and neighbour.
//!
//! An entry holds for as long as [`Network::generation`](crate::network::Network) stands still, which moves with every
//! change of an interface, an address, a route or a neighbour.

use core::net::{IpAddr, Ipv4Addr};

use wire::checksum::Sum;
use wire::ipv4;

use super::InterfaceId;
use super::neighbors::NeighborId;
use super::template::Headers;

/// Longest Ethernet header: with one VLAN tag.
pub(crate) const MAX_LINK_HEADER: usize = 18;

/// What a path's frames have in common.
#[derive(Clone, Copy)]
pub(crate) struct HotPath {
    pub generation: u64,
    pub interface: InterfaceId,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub neighbor: Option<NeighborId>,
    pub link_header: [u8; MAX_LINK_HEADER],
    pub link_header_len: u8,
    pub tx_checksum: bool,
    /// The largest IP packet the device cuts; zero when it cuts none.
    pub tx_segmentation: u32,
    pub mtu: u32,
    /// For segments that need nothing else.
    pub template: Option<Headers>,
    /// The sum of the addresses, which IPv4's header and every pseudo-header need.
    pub address_sum: Sum,
}

impl HotPath {
    /// Length of the IP header of its packets.
    pub(crate) fn ip_header_len(&self) -> usize {
        if self.destination.is_ipv4() { ipv4::HEADER_LEN } else { wire::ipv6::HEADER_LEN }
    }
}

const ENTRIES: usize = 16;

/// A small direct-mapped cache.
pub(crate) struct HotPaths {
    entries: [Option<HotPath>; ENTRIES],
}

fn slot(destination: IpAddr) -> usize {
    let bits = match destination {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => v6.to_bits() as u32,
    };
    (bits.wrapping_mul(0x9e37_79b9) >> 28) as usize
}

impl HotPaths {
    pub(crate) const fn new() -> Self {
        Self { entries: [None; ENTRIES] }
    }

    #[inline]
    pub(crate) fn find(
        &self,
        generation: u64,
        interface: InterfaceId,
        source: IpAddr,
        destination: IpAddr,
    ) -> Option<&HotPath> {
        self.entries[slot(destination)].as_ref().filter(|path| {
            path.generation == generation
                && path.destination == destination
                && path.source == source
                && path.interface == interface
        })
    }

    /// The path between two IPv4 addresses with a template, and that.
    #[inline(always)]
    pub(crate) fn find_template(
        &self,
        generation: u64,
        interface: InterfaceId,
        source: Ipv4Addr,
        destination: Ipv4Addr,
    ) -> Option<(&HotPath, &Headers)> {
        let path = self.entries[slot(IpAddr::V4(destination))].as_ref()?;
        let template = path.template.as_ref()?;
        let is_it =
            path.generation == generation && path.interface == interface && template.is_between(source, destination);
        is_it.then_some((path, template))
    }

    pub(crate) fn insert(&mut self, path: HotPath) {
        self.entries[slot(path.destination)] = Some(path);
    }

    /// The neighbour that forwards to `destination`, if that is known here.
    pub(crate) fn neighbor(&self, generation: u64, interface: InterfaceId, destination: IpAddr) -> Option<NeighborId> {
        let path = self.entries[slot(destination)].as_ref()?;
        let matches = path.generation == generation && path.destination == destination && path.interface == interface;
        if matches { path.neighbor } else { None }
    }
}
