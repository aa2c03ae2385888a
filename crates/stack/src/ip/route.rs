//! Where a packet goes: the choice of route, gateway and source address.

use core::net::{IpAddr, Ipv4Addr};

use crate::ip::Cast;
use crate::ip::routes::Route;
use crate::link::InterfaceId;
use crate::link::output::Hop;
use crate::network::{Network, Path, Unroutable};

/// Where a packet that may be a broadcast goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub interface: InterfaceId,
    pub source: IpAddr,
    pub hop: Hop,
    pub mtu: u32,
}

/// A path that was found, and what for. It holds as long as [`Network::generation`] stands still. One is kept for those
/// who name their source and one for those who do not.
#[derive(Clone, Copy)]
pub(crate) struct KnownPath {
    generation: u64,
    destination: IpAddr,
    wanted: Option<IpAddr>,
    path: Path,
}

impl Network {
    /// The path of unicast packets to `destination`, from `source` if that is given.
    #[inline(always)]
    pub(crate) fn route(&mut self, destination: IpAddr, source: Option<IpAddr>) -> Result<Path, Unroutable> {
        if let Some(path) = self.known_path(&destination, source.as_ref()) {
            return Ok(*path);
        }
        self.route_anew(destination, source)
    }

    fn route_anew(&mut self, destination: IpAddr, source: Option<IpAddr>) -> Result<Path, Unroutable> {
        match self.cast_of(destination)? {
            Cast::Unicast => self.find_path(destination, source),
            Cast::Broadcast => Err(Unroutable::Broadcast),
            Cast::Multicast => Err(Unroutable::Multicast),
        }
    }

    /// The MTU of the path of unicast packets between two addresses, if there is one.
    #[inline(always)]
    pub(crate) fn mtu_between(&mut self, destination: &IpAddr, source: &IpAddr) -> Option<u32> {
        if let Some(path) = self.known_path(destination, Some(source)) {
            return Some(path.mtu);
        }
        self.route_anew(*destination, Some(*source)).ok().map(|path| path.mtu)
    }

    /// As [`route`](Self::route), for senders that may send to many; `interface` restricts the choice.
    pub(crate) fn way(
        &mut self,
        destination: IpAddr,
        source: Option<IpAddr>,
        interface: Option<InterfaceId>,
    ) -> Result<Way, Unroutable> {
        let unicast = |path| {
            let Path { interface, source, next_hop, mtu, .. } = path;
            Ok(Way { interface, source, hop: Hop::Neighbor(next_hop), mtu })
        };
        if interface.is_none()
            && let Some(path) = self.known_path(&destination, source.as_ref())
        {
            return unicast(*path);
        }
        let hop = match self.cast_of(destination)? {
            Cast::Unicast if interface.is_none() => return unicast(self.find_path(destination, source)?),
            Cast::Unicast => return unicast(self.unicast_path(destination, source, interface)?),
            Cast::Broadcast => Hop::Broadcast,
            Cast::Multicast => Hop::Group(destination),
        };
        let interface = interface
            .or_else(|| self.addresses.get(&source?).copied())
            .or_else(|| self.interface_of_broadcast(destination))
            .or_else(|| self.default_interface(destination))
            .ok_or(Unroutable::NoRoute)?;
        let link = self.interfaces.get(interface).filter(|link| link.up).ok_or(Unroutable::NoRoute)?;
        let source = match source {
            Some(source) if self.may_use(source, destination, interface) => source,
            Some(_) => return Err(Unroutable::BadSource),
            None => link.source_for(destination).ok_or(Unroutable::NoRoute)?,
        };
        Ok(Way { interface, source, hop, mtu: link.mtu })
    }

    /// To how many `destination` speaks, seen from here.
    pub(crate) fn cast_of(&self, destination: IpAddr) -> Result<Cast, Unroutable> {
        match destination {
            IpAddr::V4(v4) if v4.is_broadcast() => Ok(Cast::Broadcast),
            IpAddr::V4(v4) if v4.is_multicast() => Ok(Cast::Multicast),
            IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.octets()[0] >= 240 => Err(Unroutable::BadDestination),
            IpAddr::V4(v4) if self.interfaces.iter().any(|(_, link)| link.is_directed_broadcast(v4)) => {
                Ok(Cast::Broadcast)
            }
            IpAddr::V6(v6) if v6.is_unspecified() => Err(Unroutable::BadDestination),
            IpAddr::V6(v6) if v6.is_multicast() => Ok(Cast::Multicast),
            _ => Ok(Cast::Unicast),
        }
    }

    fn interface_of_broadcast(&self, destination: IpAddr) -> Option<InterfaceId> {
        let IpAddr::V4(v4) = destination else { return None };
        self.interfaces.iter().find(|(_, link)| link.is_directed_broadcast(v4)).map(|(id, _)| id)
    }

    /// Where broadcasts and groups go when nobody says: where a route leads, else the first link that is up.
    fn default_interface(&self, destination: IpAddr) -> Option<InterfaceId> {
        let towards = match destination {
            IpAddr::V4(v4) if v4.is_broadcast() => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            other => other,
        };
        let usable = |id: InterfaceId| {
            self.interfaces.get(id).is_some_and(|link| link.up && link.source_for(destination).is_some())
        };
        self.routes
            .matching(towards)
            .map(|route| route.interface)
            .chain(self.interfaces.iter().map(|(id, _)| id))
            .find(|&id| id != self.loopback && usable(id))
    }

    /// Whether packets to `destination` by `interface` may carry `source`.
    fn may_use(&self, source: IpAddr, destination: IpAddr, interface: InterfaceId) -> bool {
        if source.is_ipv4() != destination.is_ipv4() || source.is_loopback() {
            return false;
        }
        self.addresses.contains_key(&source) || self.is_any_address(interface)
    }

    /// The path that was found last, if it was between the same addresses and nothing has changed since.
    #[inline(always)]
    fn known_path(&self, destination: &IpAddr, source: Option<&IpAddr>) -> Option<&Path> {
        let known = self.known_paths[usize::from(source.is_some())].as_ref()?;
        let holds =
            known.generation == self.generation && known.destination == *destination && known.wanted.as_ref() == source;
        holds.then_some(&known.path)
    }

    /// The path between addresses of single hosts, remembered.
    fn find_path(&mut self, destination: IpAddr, source: Option<IpAddr>) -> Result<Path, Unroutable> {
        let path = self.unicast_path(destination, source, None)?;
        let known = KnownPath { generation: self.generation, destination, wanted: source, path };
        self.known_paths[usize::from(source.is_some())] = Some(known);
        Ok(path)
    }

    fn unicast_path(
        &self,
        destination: IpAddr,
        source: Option<IpAddr>,
        interface: Option<InterfaceId>,
    ) -> Result<Path, Unroutable> {
        if let Some(source) = source
            && (source.is_ipv4() != destination.is_ipv4() || source.is_unspecified())
        {
            return Err(Unroutable::BadSource);
        }
        if self.is_local_address(destination) {
            return self.inside_path(destination, source);
        }
        // RFC 1122 section 3.3.4.2: a bound source keeps its traffic on the interface it belongs to, where a route
        // there exists at all.
        let home = source.and_then(|source| self.addresses.get(&source).copied());
        let route = match (interface, home) {
            (Some(interface), _) => self.best_route(destination, Some(interface)),
            (None, Some(home)) => {
                self.best_route(destination, Some(home)).or_else(|| self.best_route(destination, None))
            }
            (None, None) => self.best_route(destination, None),
        }
        .ok_or(Unroutable::NoRoute)?;
        let link = self.interfaces.get(route.interface).ok_or(Unroutable::NoRoute)?;
        let next_hop = route.via.unwrap_or(destination);
        let source = match source {
            Some(source) if self.may_use(source, destination, route.interface) => source,
            Some(_) => return Err(Unroutable::BadSource),
            None => link.source_for(next_hop).ok_or(Unroutable::NoRoute)?,
        };
        let route_mtu = route.mtu_over(link.mtu);
        let mtu = self.path_mtus.get(destination).map_or(route_mtu, |mtu| mtu.min(route_mtu));
        Ok(Path { interface: route.interface, source, next_hop, mtu, route_mtu })
    }

    /// The path to an address of our own.
    fn inside_path(&self, destination: IpAddr, source: Option<IpAddr>) -> Result<Path, Unroutable> {
        let source = match source {
            Some(source) if self.is_local_address(source) => source,
            Some(_) => return Err(Unroutable::BadSource),
            // The loopback network answers from one address, as hosts expect it: 127.0.0.2 is reached from 127.0.0.1.
            None => match destination {
                IpAddr::V4(v4) if v4.is_loopback() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                other => other,
            },
        };
        let mtu = self.mtu(self.loopback);
        Ok(Path { interface: self.loopback, source, next_hop: destination, mtu, route_mtu: mtu })
    }

    /// The best route whose interface is up, by `only` if that is given. Gateways that do not answer are passed over
    /// as long as there is another way.
    fn best_route(&self, destination: IpAddr, only: Option<InterfaceId>) -> Option<&Route> {
        let mut fallback = None;
        for route in self.routes.matching(destination) {
            if only.is_some_and(|only| only != route.interface)
                || !self.interfaces.get(route.interface).is_some_and(|link| link.up)
            {
                continue;
            }
            let Some(via) = route.via else { return fallback.or(Some(route)) };
            if !self.is_dead(route.interface, via) {
                return Some(route);
            }
            fallback = fallback.or(Some(route));
        }
        fallback
    }

    fn is_dead(&self, interface: InterfaceId, gateway: IpAddr) -> bool {
        let found = self.neighbors.find(interface, gateway);
        found.and_then(|id| self.neighbors.get(id)).is_some_and(|entry| entry.failed)
    }

    /// The largest IP packet that the route to `destination` by `interface` takes, whatever ICMP has said since: what a peer
    /// there may send (RFC 9293 section 3.7.1).
    pub(crate) fn route_mtu(&self, interface: InterfaceId, destination: IpAddr) -> u32 {
        let link_mtu = self.mtu(interface);
        self.best_route(destination, Some(interface)).map_or(link_mtu, |route| route.mtu_over(link_mtu))
    }

    /// The next hop of packets to `destination` that leave by `interface`.
    pub(crate) fn next_hop_on(&self, interface: InterfaceId, destination: IpAddr) -> Option<IpAddr> {
        if interface == self.loopback {
            return self.is_local_address(destination).then_some(destination);
        }
        if self.is_local_address(destination) {
            return None;
        }
        let route = self.best_route(destination, Some(interface))?;
        Some(route.via.unwrap_or(destination))
    }
}
