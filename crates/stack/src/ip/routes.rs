//! The routing table: longest prefix, then lowest metric.
//!
//! Routes of one prefix stand together under their prefix; the lengths in use are a bit set, so a look-up tries each
//! length there is, from the longest down.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use wire::cidr::Cidr;

use crate::link::InterfaceId;

/// A way to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network; its host bits do not count.
    pub destination: Cidr,
    /// The gateway; `None` when the network is on the link. A gateway outside of the interface's subnets is looked
    /// for on the link all the same.
    pub via: Option<IpAddr>,
    /// The interface that packets leave by.
    pub interface: InterfaceId,
    /// Among routes to the same network, the lowest wins; if its gateway is known to be dead, the next.
    pub metric: u32,
    /// The largest IP packet that gets there, where that is less than what the interface takes: behind a tunnel, say. What
    /// TCP sends there fits it, and the segment size that it announces there (RFC 9293 section 3.7.1), so that what comes
    /// back fits, too.
    ///
    /// It makes no other route of it: of two that differ in nothing else there is one, and for another MTU it is removed and
    /// added anew. So is the route to an address's subnet, which has none when it comes, and goes with the address whatever it
    /// has. Or a longer prefix than the subnet's takes its place for a part of it.
    pub mtu: Option<u32>,
}

impl Route {
    /// Whether it differs from `other` in its MTU at most.
    fn leads_as(&self, other: &Self) -> bool {
        *self == Self { mtu: self.mtu, ..*other }
    }

    /// The largest IP packet that gets there, over a link of this MTU.
    pub(crate) fn mtu_over(&self, link_mtu: u32) -> u32 {
        self.mtu.map_or(link_mtu, |mtu| mtu.min(link_mtu))
    }
}

/// Why a route was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// There is no such interface.
    NoInterface,
    /// The gateway is of another family than the network.
    GatewayFamily,
    /// The gateway cannot be a neighbour: our own address, a broadcast, a group, a loopback or unspecified address.
    Gateway(IpAddr),
    /// The network lies in 127.0.0.0/8 or is ::1, which never leave the host, or is a multicast one through a gateway.
    Destination(Cidr),
    /// No packet of IPv4 (IPv6) may be that small: below 68 (1280) bytes.
    Mtu(u32),
    /// The same route is there already, perhaps with another MTU.
    Exists,
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface => f.write_str("there is no such interface"),
            Self::GatewayFamily => f.write_str("the gateway is of another address family than the network"),
            Self::Gateway(address) => write!(f, "{address} cannot be a gateway"),
            Self::Destination(network) => write!(f, "{network} cannot be routed"),
            Self::Mtu(mtu) => write!(f, "an MTU of {mtu} is too small for a route"),
            Self::Exists => f.write_str("the route is there already"),
        }
    }
}

impl core::error::Error for RouteError {}

/// Metric of the routes that come with an address.
const CONNECTED_METRIC: u32 = 0;

/// All routes.
pub(crate) struct Routes {
    /// By prefix length (reversed, so that iteration is longest first) and network.
    by_network: BTreeMap<(IpAddr, u8), Vec<Route>>,
    v4: LengthSet,
    v6: LengthSet,
}

/// Prefix lengths in use, with how many networks have each.
struct LengthSet {
    counts: [u32; 129],
    used: [u64; 3],
}

impl LengthSet {
    const fn new() -> Self {
        Self { counts: [0; 129], used: [0; 3] }
    }

    fn add(&mut self, len: u8) {
        self.counts[usize::from(len)] += 1;
        self.used[usize::from(len) / 64] |= 1 << (len % 64);
    }

    fn remove(&mut self, len: u8) {
        let count = &mut self.counts[usize::from(len)];
        *count -= 1;
        if *count == 0 {
            self.used[usize::from(len) / 64] &= !(1 << (len % 64));
        }
    }

    /// From the longest to the shortest.
    fn descending(&self) -> impl Iterator<Item = u8> + '_ {
        self.used.iter().enumerate().rev().flat_map(|(word, &bits)| {
            let mut left = bits;
            core::iter::from_fn(move || {
                let top = left.checked_ilog2()?;
                left &= !(1 << top);
                Some((word * 64) as u8 + top as u8)
            })
        })
    }
}

impl Routes {
    pub(crate) const fn new() -> Self {
        Self { by_network: BTreeMap::new(), v4: LengthSet::new(), v6: LengthSet::new() }
    }

    fn lengths(&mut self, address: IpAddr) -> &mut LengthSet {
        if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }

    /// Adds a route; false if the same is there.
    pub(crate) fn add(&mut self, mut route: Route) -> bool {
        route.destination = route.destination.network();
        let key = (route.destination.addr(), route.destination.prefix_len());
        let routes = self.by_network.entry(key).or_default();
        let first = routes.is_empty();
        if routes.iter().any(|other| other.leads_as(&route)) {
            return false;
        }
        let at = routes.partition_point(|other| other.metric <= route.metric);
        routes.insert(at, route);
        if first {
            self.lengths(key.0).add(key.1);
        }
        true
    }

    /// Removes a route; false if it is not there.
    pub(crate) fn remove(&mut self, mut route: Route) -> bool {
        route.destination = route.destination.network();
        self.remove_first(route.destination, |other| *other == route)
    }

    fn remove_first(&mut self, network: Cidr, wanted: impl Fn(&Route) -> bool) -> bool {
        let key = (network.addr(), network.prefix_len());
        let Some(routes) = self.by_network.get_mut(&key) else { return false };
        let Some(at) = routes.iter().position(wanted) else { return false };
        routes.remove(at);
        if routes.is_empty() {
            self.by_network.remove(&key);
            self.lengths(key.0).remove(key.1);
        }
        true
    }

    /// The route that comes with an address.
    pub(crate) fn add_connected(&mut self, address: Cidr, interface: InterfaceId) {
        self.add(connected(address, interface));
    }

    pub(crate) fn remove_connected(&mut self, address: Cidr, interface: InterfaceId) {
        let route = connected(address, interface);
        self.remove_first(route.destination, |other| other.leads_as(&route));
    }

    /// Removes every route of an interface.
    pub(crate) fn remove_interface(&mut self, interface: InterfaceId) {
        let gone: Vec<Route> = self.iter().filter(|route| route.interface == interface).copied().collect();
        for route in gone {
            self.remove(route);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.by_network.values().flatten()
    }

    /// Every route to `destination`, best first.
    pub(crate) fn matching(&self, destination: IpAddr) -> impl Iterator<Item = &Route> {
        let lengths = if destination.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.descending().flat_map(move |len| {
            let network = Cidr::new(destination, len).map(|cidr| cidr.network().addr());
            network.and_then(|network| self.by_network.get(&(network, len))).into_iter().flatten()
        })
    }
}

fn connected(address: Cidr, interface: InterfaceId) -> Route {
    Route { destination: address.network(), via: None, interface, metric: CONNECTED_METRIC, mtu: None }
}
