//! What becomes of the network during a random life.

use std::net::{IpAddr, Ipv4Addr};

use sim::world::HostId;
use sim::{LinkModel, World};
use stack::ip::routes::Route;
use wire::cidr::Cidr;

use super::owner::Owner;
use crate::random_networks::random_link;

impl Owner {
    /// Puts a host's network right again.
    pub(super) fn mend(&mut self, world: &mut World, host: HostId) {
        let (now, address, interface) = (world.now(), world.host(host).address, world.host(host).interface);
        let stack = &mut world.host_mut(host).stack;
        stack.set_link_state(now, interface, true);
        // Where it is there already, so much the better.
        let _ = stack.add_address(now, interface, Cidr::new(address, 24).expect("24 bits of 32"));
        *world.link_mut(host) =
            if self.chance.below(2) > 0 { LinkModel::default() } else { random_link(&mut self.chance) };
        world.set_device_room(host, None);
    }

    /// Changes something of a host's network; says what.
    pub(super) fn network(&mut self, world: &mut World, host: HostId) -> &'static str {
        let (now, address) = (world.now(), world.host(host).address);
        let cidr = Cidr::new(address, 24).expect("24 bits of 32");
        let chance = &mut self.chance;
        let kind = chance.below(13);
        if kind == 0 {
            world.replace_interface(host);
            return "another card";
        }
        if kind == 1 {
            world.set_device_room(host, Some(chance.below(8) as u32));
            return "a device that is soon full";
        }
        let interface = world.host(host).interface;
        let stack = &mut world.host_mut(host).stack;
        match kind {
            2 => {
                stack.set_link_state(now, interface, chance.below(3) > 0);
                "a link that is up or down"
            }
            3 => {
                stack.remove_address(now, interface, address);
                "no address"
            }
            4..=6 => {
                let _ = stack.add_address(now, interface, cidr);
                "an address"
            }
            7 => {
                stack.clear_neighbors(now, interface);
                "no neighbours"
            }
            8 => {
                let _ = stack.set_mtu(interface, chance.between(68, 1_500) as u32);
                "another MTU"
            }
            9 => {
                let via = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, chance.between(1, 3) as u8)));
                let destination = Cidr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0).expect("no bits");
                let mtu = (chance.below(2) > 0).then(|| chance.between(68, 1_500) as u32);
                let _ = stack.add_route(Route { destination, via, interface, metric: chance.below(3) as u32, mtu });
                "a gateway"
            }
            10 => {
                let routes = stack.routes();
                if let Some(&route) = routes.get(chance.below(routes.len() as u64) as usize) {
                    stack.remove_route(route);
                }
                "a route less"
            }
            11 => {
                stack.set_forwarding(chance.below(2) > 0);
                "forwarding or not"
            }
            _ => {
                *world.link_mut(host) = random_link(chance);
                "another link"
            }
        }
    }
}
