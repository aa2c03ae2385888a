//! An interface: what its owner says of it, its addresses, and what waits to leave by it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use device::Capabilities;
use wire::cidr::Cidr;
use wire::ethernet::{EtherType, EthernetHeader, HEADER_LEN, MacAddr, VLAN_TAG_LEN, VlanTag};

use super::acd::{Address, AddressCheck};
use super::pending::Pending;
use super::queue::{Class, Queues};
use crate::link::InterfaceId;
use crate::stats::InterfaceStats;

/// Longest name of an interface, as in every Unix.
pub(crate) const MAX_NAME_LEN: usize = 15;
/// RFC 791: every link carries 68 octets.
pub(crate) const MIN_MTU: u32 = 68;
/// RFC 8200 section 5: every link of IPv6 takes so much.
pub(crate) const IPV6_MIN_MTU: u32 = 1_280;
/// The largest IP packet there is.
pub(crate) const MAX_MTU: u32 = 65_535;

/// What the owner of an engine says of a link that it attaches.
#[derive(Clone, Debug)]
pub struct InterfaceConfig {
    /// 1 to 15 bytes, unique within the engine.
    pub name: String,
    /// What the device can do.
    pub capabilities: Capabilities,
    /// The 802.1Q VLAN (1 to 4094) whose frames are this interface's; `None` takes untagged frames. Several interfaces
    /// may share a device: each is then offered every frame, or the owner looks at the tag.
    pub vlan: Option<u16>,
    /// Take packets to every address, and let the owner decide about each flow: what a gateway does.
    pub any_address: bool,
    /// Take frames that are addressed to other stations.
    pub promiscuous: bool,
    /// How an address is checked for conflicts before use.
    pub address_check: AddressCheck,
}

impl InterfaceConfig {
    /// An interface with the usual settings.
    #[must_use]
    pub fn new(name: impl Into<String>, capabilities: Capabilities) -> Self {
        Self {
            name: name.into(),
            capabilities,
            vlan: None,
            any_address: false,
            promiscuous: false,
            address_check: AddressCheck::RFC5227,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), InterfaceError> {
        if self.name.is_empty() || self.name.len() > MAX_NAME_LEN {
            return Err(InterfaceError::NameLength);
        }
        if !(MIN_MTU..=MAX_MTU).contains(&self.capabilities.mtu) {
            return Err(InterfaceError::Mtu(self.capabilities.mtu));
        }
        if !self.capabilities.mac.is_unicast() {
            return Err(InterfaceError::Mac(self.capabilities.mac));
        }
        match self.vlan {
            Some(id) if !(1..=4094).contains(&id) => Err(InterfaceError::Vlan(id)),
            _ => Ok(()),
        }
    }
}

/// Why an interface was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceError {
    /// The name is empty or longer than 15 bytes.
    NameLength,
    /// Another interface has this name.
    NameInUse,
    /// The MTU is below 68 or above 65,535.
    Mtu(u32),
    /// Not the address of one station.
    Mac(MacAddr),
    /// Not a VLAN of 1 to 4094.
    Vlan(u16),
}

impl fmt::Display for InterfaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameLength => write!(f, "an interface's name has 1 to {MAX_NAME_LEN} bytes"),
            Self::NameInUse => f.write_str("there is an interface of that name"),
            Self::Mtu(mtu) => write!(f, "an MTU of {mtu}: it must be {MIN_MTU} to {MAX_MTU}"),
            Self::Mac(mac) => write!(f, "{mac} is not the address of one station"),
            Self::Vlan(id) => write!(f, "VLAN {id}: it must be 1 to 4094"),
        }
    }
}

impl core::error::Error for InterfaceError {}

/// What an interface is like at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// Its handle.
    pub id: InterfaceId,
    /// Its number, as [`ring::datagram::Record::interface`] carries it.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address; all zero for the loopback.
    pub mac: MacAddr,
    /// Its MTU in bytes of IP packet.
    pub mtu: u32,
    /// Whether there is a carrier.
    pub up: bool,
    /// Whether this is the engine's own loopback.
    pub loopback: bool,
    /// Its addresses in use, in the order in which they were added.
    pub addresses: Vec<Cidr>,
    /// Its traffic.
    pub stats: InterfaceStats,
}

/// One interface.
pub(crate) struct Interface {
    pub name: String,
    pub capabilities: Capabilities,
    /// At most what the device carries; DHCP may lower it.
    pub mtu: u32,
    pub vlan: Option<u16>,
    pub any_address: bool,
    pub promiscuous: bool,
    pub check: AddressCheck,
    pub loopback: bool,
    pub up: bool,
    pub addresses: Vec<Address>,
    pub queues: Queues,
    /// Packets that wait for neighbours.
    pub pending: Pending,
    /// Datagrams to the DHCP client's port are taken whatever their destination.
    pub dhcp_client: bool,
    /// Which half of the output goes first on the next call: whoever was cut off by a full device.
    pub transports_first: bool,
}

impl Interface {
    pub(crate) fn new(config: InterfaceConfig) -> Self {
        let InterfaceConfig { name, capabilities, vlan, any_address, promiscuous, address_check } = config;
        Self {
            name,
            capabilities,
            mtu: capabilities.mtu,
            vlan,
            any_address,
            promiscuous,
            check: address_check,
            loopback: false,
            up: true,
            addresses: Vec::new(),
            queues: Queues::new(),
            pending: Pending::new(),
            dhcp_client: false,
            transports_first: false,
        }
    }

    pub(crate) fn loopback() -> Self {
        let capabilities =
            Capabilities { mac: MacAddr::UNSPECIFIED, mtu: MAX_MTU, tx_checksum: true, tx_segmentation: Some(MAX_MTU) };
        let mut config = InterfaceConfig::new("lo", capabilities);
        config.address_check = AddressCheck::OFF;
        let own = [Cidr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8), Cidr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 128)];
        let addresses = own.into_iter().flatten().map(Address::settled).collect();
        Self { loopback: true, addresses, ..Self::new(config) }
    }

    /// Bytes of the Ethernet header of its frames.
    pub(crate) fn link_header_len(&self) -> usize {
        if self.vlan.is_some() { HEADER_LEN + VLAN_TAG_LEN } else { HEADER_LEN }
    }

    /// Writes the Ethernet header of a frame to `dst`; returns its length.
    pub(crate) fn write_link_header(&self, dst: MacAddr, ethertype: EtherType, frame: &mut [u8]) -> usize {
        let vlan = self.vlan.map(|id| VlanTag { id, priority: 0, drop_eligible: false });
        EthernetHeader { dst, src: self.capabilities.mac, vlan, ethertype }.emit(frame)
    }

    /// Its addresses that may be used.
    pub(crate) fn usable(&self) -> impl Iterator<Item = Cidr> + '_ {
        self.addresses.iter().filter(|address| address.is_usable()).map(|address| address.cidr)
    }

    /// Whether `address` is in use on it.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.usable().any(|cidr| cidr.addr() == address)
    }

    /// Whether `address` is the directed broadcast address of one of its subnets.
    pub(crate) fn is_directed_broadcast(&self, address: Ipv4Addr) -> bool {
        self.addresses.iter().any(|own| own.cidr.broadcast() == Some(address))
    }

    /// The address of ours that a packet to `target` on this link carries.
    ///
    /// Nothing is offered from another interface: the other side would answer to where we are not.
    pub(crate) fn source_for(&self, target: IpAddr) -> Option<IpAddr> {
        let mut best: Option<(Cidr, u32)> = None;
        for cidr in self.usable().filter(|cidr| cidr.addr().is_ipv4() == target.is_ipv4()) {
            // An address in the target's own subnet first, then the longest common prefix, then the oldest.
            let rank = if cidr.contains(target) { 1_000 } else { 0 } + common_prefix(cidr.addr(), target);
            if best.is_none_or(|(_, other)| rank > other) {
                best = Some((cidr, rank));
            }
        }
        best.map(|(cidr, _)| cidr.addr())
    }

    /// Whether nothing waits to leave by it.
    pub(crate) fn is_idle(&self) -> bool {
        self.queues.is_empty()
    }

    /// Puts a frame in one of the queues; gives it back when that is full. `everywhere` counts what waits on all interfaces.
    pub(crate) fn enqueue(&mut self, class: Class, frame: Vec<u8>, everywhere: &mut usize) -> Result<(), Vec<u8>> {
        self.queues.push(class, frame, everywhere)
    }
}

fn common_prefix(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    }
}
