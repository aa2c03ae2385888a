//! What a lease changes in the network, and how that is undone. Nothing of IPv6, and nothing that was set by hand, is
//! touched.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use wire::cidr::Cidr;

use super::Lease;
use crate::ip::routes::Route;
use crate::link::InterfaceId;
use crate::link::acd::Origin;
use crate::stack::Stack;

/// Metric of default routes that DHCP set: one set by hand goes before.
const METRIC: u32 = 100;
/// An MTU below this is not believed: no IPv4 host need take larger packets than 576 bytes, and a smaller MTU would
/// only slow us down.
const LEAST_MTU: u16 = 576;

impl Stack {
    /// Puts the routes and the MTU of a lease in place; returns the routes.
    pub(super) fn apply_lease(&mut self, interface: InterfaceId, lease: &Lease) -> Vec<Route> {
        let mut routes = Vec::new();
        for (rank, router) in lease.routers.iter().enumerate() {
            let via = IpAddr::V4(*router);
            if !lease.address.contains(via) {
                // A gateway outside of the subnet (as clouds hand out with /32 addresses) is on the link all the same.
                routes.push(Route { destination: Cidr::host(via), via: None, interface, metric: METRIC, mtu: None });
            }
            let everything = Cidr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
            routes.extend(everything.map(|destination| Route {
                destination,
                via: Some(via),
                interface,
                metric: METRIC + rank as u32,
                mtu: None,
            }));
        }
        routes.retain(|route| self.add_route(*route).is_ok());
        if let Some(link) = self.net.interfaces.get_mut(interface) {
            let told = lease.mtu.filter(|&mtu| mtu >= LEAST_MTU).map(u32::from);
            link.mtu = told.unwrap_or(link.capabilities.mtu).min(link.capabilities.mtu);
            self.net.changed();
        }
        routes
    }

    /// Takes routes and MTU of a lease away again.
    pub(super) fn unapply_lease(&mut self, interface: InterfaceId, routes: &[Route]) {
        for route in routes {
            self.remove_route(*route);
        }
        if let Some(link) = self.net.interfaces.get_mut(interface) {
            link.mtu = link.capabilities.mtu;
            self.net.changed();
        }
    }

    /// Takes the lease's address away, if DHCP gave it.
    pub(super) fn drop_leased_address(&mut self, interface: InterfaceId, address: IpAddr) {
        let leased = self.net.interfaces.get(interface).is_some_and(|link| {
            link.addresses.iter().any(|own| own.cidr.addr() == address && own.origin == Origin::Dhcp)
        });
        if leased {
            self.net.drop_address(interface, address);
        }
    }
}
