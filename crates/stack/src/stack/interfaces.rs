//! Commands and getters about interfaces, addresses, routes and neighbours.

use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use wire::cidr::Cidr;
use wire::ethernet::MacAddr;

use super::Stack;
use crate::ip::routes::{Route, RouteError};
use crate::link::acd::Origin;
use crate::link::interface::{IPV6_MIN_MTU, Interface, MIN_MTU};
use crate::link::neighbors::NeighborInfo;
use crate::link::{InterfaceConfig, InterfaceError, InterfaceId, InterfaceInfo};
use crate::stats::InterfaceStats;
use crate::time::Instant;

/// Why an address was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// There is no such interface.
    NoInterface,
    /// The address is ours already, on this interface or another.
    Exists,
    /// No host can have it: it is unspecified, a loopback, a group, a broadcast, reserved, or names its whole network.
    NotAHost(Cidr),
    /// IPv6 is not spoken on links yet.
    Ipv6,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface => f.write_str("there is no such interface"),
            Self::Exists => f.write_str("the address is in use here already"),
            Self::NotAHost(cidr) => write!(f, "{cidr} is no address of a host"),
            Self::Ipv6 => f.write_str("IPv6 is not spoken on links yet"),
        }
    }
}

impl core::error::Error for AddressError {}

impl Stack {
    /// Attaches a link. It counts as up until [`set_link_state`](Self::set_link_state) says otherwise.
    ///
    /// # Errors
    /// [`InterfaceError`] says what is wrong with the configuration.
    pub fn add_interface(&mut self, config: InterfaceConfig) -> Result<InterfaceId, InterfaceError> {
        config.validate()?;
        if self.net.interfaces.iter().any(|(_, link)| link.name == config.name) {
            return Err(InterfaceError::NameInUse);
        }
        self.net.changed();
        let interface = self.net.interfaces.insert(Interface::new(config));
        self.net.traffic.begin(interface);
        Ok(interface)
    }

    /// Detaches a link, with its addresses, routes, neighbours, lease and everything that waits there. Connections from
    /// its addresses end. The loopback stays.
    pub fn remove_interface(&mut self, now: Instant, interface: InterfaceId) {
        if interface == self.net.loopback || self.net.interfaces.get(interface).is_none() {
            return;
        }
        self.dhcp_forget(interface);
        for address in self.every_address(interface) {
            self.net.drop_address(interface, address);
        }
        self.net.routes.remove_interface(interface);
        self.net.clear_neighbors(interface, true);
        self.net.forget_fragments(interface);
        self.udp.forget_interface(&mut self.net, interface);
        self.net.drop_queued(interface);
        self.net.interfaces.remove(interface);
        self.net.changed();
        let (tcp, mut context) = self.tcp_context();
        tcp.interface_removed(now, &mut context, interface);
        self.settle(now);
    }

    /// The carrier came or went. A link that comes back has its addresses checked or announced anew, and a lease is
    /// verified: the network behind it may be another.
    pub fn set_link_state(&mut self, now: Instant, interface: InterfaceId, up: bool) {
        let Some(link) = self.net.interfaces.get_mut(interface) else { return };
        if link.up == up || link.loopback {
            return;
        }
        link.up = up;
        self.net.changed();
        if up {
            self.net.recheck_addresses(now, interface);
        } else {
            self.net.clear_neighbors(interface, false);
            self.net.drop_queued(interface);
        }
        self.dhcp_link_state(now, interface, up);
        self.settle(now);
    }

    /// Sets the MTU of an interface, at most to what its device carries.
    ///
    /// # Errors
    /// [`InterfaceError::Mtu`] for a value below 68 or above the device's.
    pub fn set_mtu(&mut self, interface: InterfaceId, mtu: u32) -> Result<(), InterfaceError> {
        let Some(link) = self.net.interfaces.get_mut(interface) else { return Ok(()) };
        if !(MIN_MTU..=link.capabilities.mtu).contains(&mtu) {
            return Err(InterfaceError::Mtu(mtu));
        }
        link.mtu = mtu;
        self.net.changed();
        Ok(())
    }

    /// Gives an interface an address. It is used once the interface's
    /// [`AddressCheck`](crate::link::AddressCheck) has found nobody else who has it;
    /// [`Event::AddressAdded`](crate::Event) or [`Event::AddressConflict`](crate::Event) tells.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn add_address(&mut self, now: Instant, interface: InterfaceId, cidr: Cidr) -> Result<(), AddressError> {
        self.add_address_from(now, interface, cidr, Origin::Manual)?;
        self.settle(now);
        Ok(())
    }

    pub(crate) fn add_address_from(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        cidr: Cidr,
        origin: Origin,
    ) -> Result<(), AddressError> {
        let link = self.net.interfaces.get(interface).ok_or(AddressError::NoInterface)?;
        if !link.loopback && cidr.addr().is_ipv6() {
            return Err(AddressError::Ipv6);
        }
        if !can_be_a_host(cidr) {
            return Err(AddressError::NotAHost(cidr));
        }
        let taken =
            self.net.interfaces.iter().any(|(_, link)| link.addresses.iter().any(|own| own.cidr.addr() == cidr.addr()));
        if taken {
            return Err(AddressError::Exists);
        }
        self.net.start_address(now, interface, cidr, origin);
        Ok(())
    }

    /// Takes an address away; false if the interface does not have it. Connections from it end.
    pub fn remove_address(&mut self, now: Instant, interface: InterfaceId, address: IpAddr) -> bool {
        let removed = !address.is_loopback() && self.net.drop_address(interface, address);
        self.settle(now);
        removed
    }

    /// The addresses of an interface that are in use.
    #[must_use]
    pub fn addresses(&self, interface: InterfaceId) -> Vec<Cidr> {
        self.net.interfaces.get(interface).map(|link| link.usable().collect()).unwrap_or_default()
    }

    /// Adds a route. Routes to the subnets of addresses come and go with these; one of them gets an MTU by being removed and
    /// added anew ([`Route::mtu`]).
    ///
    /// # Errors
    /// [`RouteError`].
    pub fn add_route(&mut self, route: Route) -> Result<(), RouteError> {
        if self.net.interfaces.get(route.interface).is_none() {
            return Err(RouteError::NoInterface);
        }
        let network = route.destination.network().addr();
        if network.is_loopback() {
            return Err(RouteError::Destination(route.destination));
        }
        if let Some(via) = route.via {
            if via.is_ipv4() != network.is_ipv4() {
                return Err(RouteError::GatewayFamily);
            }
            let usable = matches!(self.net.cast_of(via), Ok(crate::ip::Cast::Unicast));
            if !usable || self.net.is_local_address(via) {
                return Err(RouteError::Gateway(via));
            }
        }
        let least = if network.is_ipv4() { MIN_MTU } else { IPV6_MIN_MTU };
        if let Some(mtu) = route.mtu
            && mtu < least
        {
            return Err(RouteError::Mtu(mtu));
        }
        if !self.net.routes.add(route) {
            return Err(RouteError::Exists);
        }
        self.net.changed();
        Ok(())
    }

    /// Removes a route; false if it is not there.
    pub fn remove_route(&mut self, route: Route) -> bool {
        let removed = self.net.routes.remove(route);
        self.net.changed();
        removed
    }

    /// Every route.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        self.net.routes.iter().copied().collect()
    }

    /// Every interface, the loopback first.
    #[must_use]
    pub fn interfaces(&self) -> Vec<InterfaceInfo> {
        let info = |(id, link): (InterfaceId, &Interface)| InterfaceInfo {
            id,
            number: id.index() + 1,
            name: link.name.clone(),
            mac: link.capabilities.mac,
            mtu: link.mtu,
            up: link.up,
            loopback: link.loopback,
            addresses: link.usable().collect(),
            stats: self.net.traffic.of(id),
        };
        self.net.interfaces.iter().map(info).collect()
    }

    /// The interface that has a number, as records of datagrams carry it.
    #[must_use]
    pub fn interface_by_number(&self, number: u32) -> Option<InterfaceId> {
        self.net.interfaces.handle_at(number.checked_sub(1)?)
    }

    /// The traffic of an interface.
    #[must_use]
    pub fn interface_stats(&self, interface: InterfaceId) -> Option<InterfaceStats> {
        self.net.interfaces.get(interface).map(|_| self.net.traffic.of(interface))
    }

    /// The neighbours of an interface.
    #[must_use]
    pub fn neighbors(&self, interface: InterfaceId) -> Vec<NeighborInfo> {
        let entries = self.net.neighbors.iter().filter(|(_, entry)| entry.interface == interface);
        entries
            .map(|(_, entry)| NeighborInfo {
                address: entry.address,
                mac: entry.state.has_mac().then_some(entry.mac),
                state: entry.state,
            })
            .collect()
    }

    /// Sets a neighbour by hand: it is never asked for, and nothing that arrives changes it.
    pub fn add_static_neighbor(&mut self, now: Instant, interface: InterfaceId, address: IpAddr, mac: MacAddr) {
        if self.net.interfaces.get(interface).is_some_and(|link| !link.loopback) && mac.is_unicast() {
            self.net.set_static_neighbor(now, interface, address, mac);
            self.settle(now);
        }
    }

    /// Forgets the neighbours of an interface, those set by hand too.
    pub fn clear_neighbors(&mut self, now: Instant, interface: InterfaceId) {
        self.net.clear_neighbors(interface, true);
        self.settle(now);
    }

    /// Whether packets for others are passed on. Off at first.
    pub fn set_forwarding(&mut self, forwarding: bool) {
        self.net.forwarding = forwarding;
    }

    fn every_address(&self, interface: InterfaceId) -> Vec<IpAddr> {
        let link = self.net.interfaces.get(interface);
        link.map(|link| link.addresses.iter().map(|own| own.cidr.addr()).collect()).unwrap_or_default()
    }
}

fn can_be_a_host(cidr: Cidr) -> bool {
    match cidr.addr() {
        IpAddr::V4(v4) => {
            let reserved = v4.octets()[0] == 0 || v4.octets()[0] >= 224 || v4.is_loopback();
            let names_network = cidr.prefix_len() < 31 && cidr.network().addr() == cidr.addr();
            !reserved && !names_network && cidr.broadcast() != Some(v4) && cidr.prefix_len() > 0
        }
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast() && !v6.is_loopback() && cidr.prefix_len() > 0,
    }
}
