//! Routes, source selection, interfaces that come and go: I8, I9, I10, I12, L4; VLANs; the loopback's bound (I13).

extern crate wharf_stack as stack;

mod common;

use common::*;
use device::Capabilities;
use ring::datagram::Record;
use stack::ip::routes::{Route, RouteError};
use stack::link::{AddressCheck, InterfaceConfig, InterfaceError, InterfaceId};
use stack::udp::SendError;
use stack::{AddressError, Config, Discard, Event, Instant, Stack};
use wire::ethernet::{EtherType, EthernetHeader, MacAddr, VlanTag};

/// An engine with several links, each with its port.
struct Multi {
    stack: Stack,
    links: Vec<(InterfaceId, Port)>,
}

impl Multi {
    fn new(addresses: &[&str]) -> Self {
        let mut stack = Stack::new(Config::default(), seed(1));
        let links = addresses
            .iter()
            .enumerate()
            .map(|(n, address)| {
                let capabilities = Capabilities::plain(mac(n as u8 + 1), 1500);
                let mut config = InterfaceConfig::new(format!("eth{n}"), capabilities);
                config.address_check = AddressCheck::OFF;
                let id = stack.add_interface(config).unwrap();
                if !address.is_empty() {
                    stack.add_address(Instant::ZERO, id, cidr(address)).unwrap();
                }
                (id, Port::new(capabilities))
            })
            .collect();
        Self { stack, links }
    }

    fn route(&mut self, destination: &str, via: Option<&str>, link: usize, metric: u32) -> Result<(), RouteError> {
        let interface = self.links[link].0;
        self.stack.add_route(Route { destination: cidr(destination), via: via.map(ip), interface, metric, mtu: None })
    }

    /// Sends a datagram; which link asked for whom by ARP, and as whom.
    fn ask(&mut self, destination: &str, local: Option<&str>) -> Result<(usize, String, String), SendError> {
        let (rings, _application) = udp_rings();
        let socket = self.stack.udp_bind(at("0.0.0.0:0"), Default::default(), rings).unwrap();
        let record = Record { local: local.map(ip), ..to(&format!("{destination}:7")) };
        self.stack.udp_send(Instant::ZERO, socket, &record, b"x")?;
        let mut asked = None;
        for (n, (id, port)) in self.links.iter_mut().enumerate() {
            self.stack.poll_transmit(Instant::ZERO, *id, port);
            if let Some(arp) = port.sent.drain(..).rev().find_map(|frame| arp_of(&frame)) {
                asked = Some((n, arp.target_ip.to_string(), arp.sender_ip.to_string()));
            }
        }
        self.stack.clear_neighbors(Instant::ZERO, self.links[0].0);
        Ok(asked.expect("somebody is asked for"))
    }
}

fn asked(link: usize, target: &str, source: &str) -> Result<(usize, String, String), SendError> {
    Ok((link, target.into(), source.into()))
}

#[test]
fn the_longest_prefix_wins_and_then_the_lowest_metric() {
    let mut multi = Multi::new(&["10.0.0.1/24", "10.1.0.1/24", "10.2.0.1/24"]);
    multi.route("0.0.0.0/0", Some("10.0.0.254"), 0, 10).unwrap();
    multi.route("172.16.0.0/12", Some("10.1.0.254"), 1, 10).unwrap();
    multi.route("172.16.5.0/24", Some("10.2.0.254"), 2, 50).unwrap();
    multi.route("172.16.5.0/24", Some("10.1.0.253"), 1, 20).unwrap();
    multi.route("172.16.5.9/32", None, 0, 0).unwrap();
    assert_eq!(multi.ask("8.8.8.8", None), asked(0, "10.0.0.254", "10.0.0.1"));
    assert_eq!(multi.ask("172.20.1.1", None), asked(1, "10.1.0.254", "10.1.0.1"));
    assert_eq!(multi.ask("172.16.5.1", None), asked(1, "10.1.0.253", "10.1.0.1"));
    assert_eq!(multi.ask("172.16.5.9", None), asked(0, "172.16.5.9", "10.0.0.1"));
    assert_eq!(multi.ask("10.2.0.9", None), asked(2, "10.2.0.9", "10.2.0.1"));
    let route = Route {
        destination: cidr("172.16.5.0/24"),
        via: Some(ip("10.1.0.253")),
        interface: multi.links[1].0,
        metric: 20,
        mtu: None,
    };
    assert_eq!(multi.stack.add_route(route), Err(RouteError::Exists));
    assert_eq!(multi.stack.add_route(Route { mtu: Some(1_400), ..route }), Err(RouteError::Exists), "but for its MTU");
    assert!(multi.stack.remove_route(route));
    assert!(!multi.stack.remove_route(route));
    assert_eq!(multi.ask("172.16.5.1", None), asked(2, "10.2.0.254", "10.2.0.1"));
}

#[test]
fn without_a_route_nothing_is_sent() {
    let mut multi = Multi::new(&["10.0.0.1/24"]);
    assert_eq!(multi.ask("8.8.8.8", None), Err(SendError::NoRoute));
}

#[test]
fn gateways_that_cannot_be_are_refused_and_one_outside_the_subnet_is_asked_for() {
    // I8
    let mut multi = Multi::new(&["10.0.0.1/24"]);
    assert_eq!(multi.route("0.0.0.0/0", Some("fe80::1"), 0, 0), Err(RouteError::GatewayFamily));
    assert_eq!(multi.route("::/0", Some("10.0.0.2"), 0, 0), Err(RouteError::GatewayFamily));
    for gateway in ["10.0.0.1", "127.0.0.1", "0.0.0.0", "255.255.255.255", "10.0.0.255", "224.0.0.1"] {
        assert_eq!(multi.route("0.0.0.0/0", Some(gateway), 0, 0), Err(RouteError::Gateway(ip(gateway))));
    }
    assert!(matches!(multi.route("127.0.0.0/8", None, 0, 0), Err(RouteError::Destination(_))));
    multi.route("0.0.0.0/0", Some("192.168.77.1"), 0, 0).unwrap();
    assert_eq!(multi.ask("8.8.8.8", None), asked(0, "192.168.77.1", "10.0.0.1"));
}

#[test]
fn when_a_default_router_dies_the_next_takes_over_and_it_is_tried_again_later() {
    // I8: several default routers fail over.
    let mut lan = Lan::new(vec![Host::new(1, "10.0.0.1/24"), Host::new(3, "10.0.0.253/24")]);
    let interface = lan.hosts[0].interface;
    for (gateway, metric) in [("10.0.0.254", 1), ("10.0.0.253", 2)] {
        let route = Route { destination: cidr("0.0.0.0/0"), via: Some(ip(gateway)), interface, metric, mtu: None };
        lan.hosts[0].stack.add_route(route).unwrap();
    }
    let socket = lan.hosts[0].udp("0.0.0.0:0");
    let send = |lan: &mut Lan| {
        let now = lan.now;
        let _ = lan.hosts[0].stack.udp_send(now, socket.id, &to("8.8.8.8:53"), b"x");
        lan.run_secs(1);
    };
    for _ in 0..10 {
        send(&mut lan);
    }
    let last = lan.log.iter().rev().find(|(_, frame)| ipv4_of(frame).is_some()).unwrap();
    assert_eq!(last.1[..6], mac(3).0, "the second router carries the traffic");
    let questions = |lan: &Lan| lan.arps().iter().filter(|(_, arp)| arp.target_ip == v4("10.0.0.254")).count();
    assert_eq!(questions(&lan), 3);
    lan.run_secs(60);
    send(&mut lan);
    assert!(questions(&lan) > 3, "after a minute the first is given another chance");
}

#[test]
fn the_source_belongs_to_the_interface_unless_it_is_bound() {
    // I10
    let mut multi = Multi::new(&["10.0.0.1/24", "10.1.0.1/24", ""]);
    let first = multi.links[0].0;
    multi.stack.add_address(Instant::ZERO, first, cidr("192.168.0.1/24")).unwrap();
    multi.route("0.0.0.0/0", Some("10.0.0.254"), 0, 1).unwrap();
    multi.route("0.0.0.0/0", Some("10.1.0.254"), 1, 2).unwrap();
    assert_eq!(multi.ask("192.168.0.9", None), asked(0, "192.168.0.9", "192.168.0.1"), "the subnet's own");
    assert_eq!(multi.ask("8.8.8.8", None), asked(0, "10.0.0.254", "10.0.0.1"));
    // A bound source keeps to its interface's route even where another has the lower metric.
    assert_eq!(multi.ask("8.8.8.8", Some("10.1.0.1")), asked(1, "10.1.0.254", "10.1.0.1"));
    // An interface without an address lends from none.
    multi.route("203.0.113.0/24", None, 2, 0).unwrap();
    assert_eq!(multi.ask("203.0.113.5", None), Err(SendError::NoRoute));
    assert_eq!(multi.ask("8.8.8.8", Some("127.0.0.1")), Err(SendError::BadSource));
    assert_eq!(multi.ask("8.8.8.8", Some("10.0.0.255")), Err(SendError::BadSource));
}

#[test]
fn a_removed_interface_takes_everything_along_and_its_slot_answers_for_nobody_else() {
    // I9, L4
    let mut multi = Multi::new(&["10.0.0.1/24", "10.1.0.1/24"]);
    multi.route("0.0.0.0/0", Some("10.0.0.254"), 0, 1).unwrap();
    let gone = multi.links[0].0;
    multi.ask("8.8.8.8", None).unwrap();
    multi.stack.start_dhcp(Instant::ZERO, gone, Default::default()).unwrap();
    multi.stack.remove_interface(Instant::ZERO, gone);
    let events: Vec<Event> = std::iter::from_fn(|| multi.stack.poll_event()).collect();
    assert!(events.contains(&Event::AddressRemoved(gone, cidr("10.0.0.1/24"))));
    assert_eq!(multi.stack.routes().len(), 1);
    assert!(multi.stack.neighbors(gone).is_empty());
    assert!(multi.stack.addresses(gone).is_empty());
    assert!(multi.stack.poll_timeout().is_never(), "no timer is left");
    // The next interface sits in the same slot under another name.
    let config = InterfaceConfig::new("eth9", Capabilities::plain(mac(9), 1500));
    let next = multi.stack.add_interface(config).unwrap();
    assert_ne!(next, gone);
    let frame = udp_frame(2, 1, "10.0.0.2:9", "10.0.0.1:7", b"x");
    multi.stack.handle_frame(Instant::ZERO, gone, &device::RxFrame::plain(&frame));
    assert_eq!(multi.stack.discards().of(Discard::NoInterface), 1);
    assert_eq!(multi.stack.add_address(Instant::ZERO, gone, cidr("10.0.0.1/24")), Err(AddressError::NoInterface));
    let route = Route { destination: cidr("0.0.0.0/0"), via: None, interface: gone, metric: 0, mtu: None };
    assert_eq!(multi.stack.add_route(route), Err(RouteError::NoInterface));
    assert_eq!(multi.stack.interfaces().len(), 3);
    let lo = multi.stack.interfaces()[0].id;
    multi.stack.remove_interface(Instant::ZERO, lo);
    assert_eq!(multi.stack.interfaces().len(), 3, "the loopback stays");
}

#[test]
fn no_route_takes_less_than_its_protocol_allows() {
    // RFC 791 section 3.2; RFC 8200 section 5.
    let mut multi = Multi::new(&["10.0.0.1/24"]);
    let interface = multi.links[0].0;
    let mut add = |destination, mtu| {
        let route = Route { destination: cidr(destination), via: None, interface, metric: 0, mtu: Some(mtu) };
        multi.stack.add_route(route)
    };
    assert_eq!(add("10.1.0.0/24", 67), Err(RouteError::Mtu(67)));
    assert_eq!(add("10.1.0.0/24", 68), Ok(()));
    assert_eq!(add("2001:db8::/32", 1_279), Err(RouteError::Mtu(1_279)));
    assert_eq!(add("2001:db8::/32", 1_280), Ok(()));
}

#[test]
fn frames_that_wait_for_an_interface_that_goes_are_counted_and_the_next_in_its_slot_begins_at_nothing() {
    // I9
    let mut multi = Multi::new(&["10.0.0.1/24", "10.1.0.1/24"]);
    multi.ask("10.0.0.9", None).unwrap();
    let gone = multi.links[0].0;
    assert_eq!(multi.stack.interface_stats(gone).unwrap().tx_packets, 1, "what `ask` has sent");
    let (rings, _application) = udp_rings();
    let socket = multi.stack.udp_bind(at("0.0.0.0:0"), Default::default(), rings).unwrap();
    multi.stack.udp_send(Instant::ZERO, socket, &to("10.0.0.8:7"), b"x").unwrap();
    multi.stack.remove_interface(Instant::ZERO, gone);
    assert_eq!(multi.stack.discards().of(Discard::LinkLost), 1, "the question for 10.0.0.8");
    assert_eq!(multi.stack.interface_stats(gone), None);
    let next = multi.stack.add_interface(InterfaceConfig::new("eth9", Capabilities::plain(mac(9), 1500))).unwrap();
    assert_eq!(multi.stack.interface_stats(next), Some(Default::default()));
    let (other, port) = &mut multi.links[1];
    assert!(multi.stack.poll_transmit(Instant::ZERO, *other, port) && port.sent.is_empty());
}

#[test]
fn names_sizes_and_addresses_at_their_limits_are_refused_clearly() {
    // I12, L1
    let mut stack = Stack::new(Config::default(), seed(1));
    let mut add = |change: &dyn Fn(&mut InterfaceConfig)| {
        let mut config = InterfaceConfig::new("eth0", Capabilities::plain(mac(1), 1500));
        config.address_check = AddressCheck::OFF;
        change(&mut config);
        stack.add_interface(config)
    };
    assert_eq!(add(&|c| c.name = String::new()), Err(InterfaceError::NameLength));
    assert_eq!(add(&|c| c.name = "a".repeat(16)), Err(InterfaceError::NameLength));
    assert_eq!(add(&|c| c.name = "lo".into()), Err(InterfaceError::NameInUse));
    assert_eq!(add(&|c| c.capabilities.mtu = 67), Err(InterfaceError::Mtu(67)));
    assert_eq!(add(&|c| c.capabilities.mtu = 65_536), Err(InterfaceError::Mtu(65_536)));
    assert_eq!(add(&|c| c.vlan = Some(0)), Err(InterfaceError::Vlan(0)));
    assert_eq!(add(&|c| c.vlan = Some(4_095)), Err(InterfaceError::Vlan(4_095)));
    assert!(matches!(add(&|c| c.capabilities.mac = MacAddr::BROADCAST), Err(InterfaceError::Mac(_))));
    let interface = add(&|c| c.name = "a".repeat(15)).unwrap();
    assert_eq!(stack.set_mtu(interface, 1501), Err(InterfaceError::Mtu(1501)));
    assert_eq!(stack.set_mtu(interface, 68), Ok(()));
    let refused = [
        "0.0.0.0/8",
        "127.0.0.1/8",
        "224.0.0.1/4",
        "255.255.255.255/32",
        "240.0.0.1/24",
        "10.0.0.0/24",
        "10.0.0.255/24",
        "10.0.0.1/0",
    ];
    for address in refused {
        let result = stack.add_address(Instant::ZERO, interface, cidr(address));
        assert_eq!(result, Err(AddressError::NotAHost(cidr(address))), "{address}");
    }
    for address in ["10.0.0.0/31", "10.0.0.1/31", "10.0.9.9/32"] {
        assert_eq!(stack.add_address(Instant::ZERO, interface, cidr(address)), Ok(()), "{address}");
    }
    assert_eq!(stack.add_address(Instant::ZERO, interface, cidr("10.0.0.1/24")), Err(AddressError::Exists));
    assert_eq!(stack.add_address(Instant::ZERO, interface, cidr("fd00::1/64")), Err(AddressError::Ipv6));
    assert!(!InterfaceError::Mtu(67).to_string().is_empty());
}

#[test]
fn two_addresses_in_a_subnet_keep_its_route_until_the_last_is_gone() {
    let mut multi = Multi::new(&["10.0.0.1/24"]);
    let interface = multi.links[0].0;
    multi.stack.add_address(Instant::ZERO, interface, cidr("10.0.0.2/24")).unwrap();
    assert!(multi.stack.remove_address(Instant::ZERO, interface, ip("10.0.0.1")));
    assert_eq!(multi.stack.routes().len(), 1);
    assert!(multi.stack.remove_address(Instant::ZERO, interface, ip("10.0.0.2")));
    assert!(multi.stack.routes().is_empty());
    assert!(!multi.stack.remove_address(Instant::ZERO, interface, ip("10.0.0.2")));
}

#[test]
fn a_link_that_is_down_is_no_way_and_another_is_taken() {
    let mut multi = Multi::new(&["10.0.0.1/24", "10.1.0.1/24"]);
    multi.route("0.0.0.0/0", Some("10.0.0.254"), 0, 1).unwrap();
    multi.route("0.0.0.0/0", Some("10.1.0.254"), 1, 2).unwrap();
    multi.stack.set_link_state(Instant::ZERO, multi.links[0].0, false);
    assert_eq!(multi.ask("8.8.8.8", None), asked(1, "10.1.0.254", "10.1.0.1"));
    multi.stack.set_link_state(Instant::ZERO, multi.links[0].0, true);
    assert_eq!(multi.ask("8.8.8.8", None), asked(0, "10.0.0.254", "10.0.0.1"));
}

#[test]
fn ten_thousand_routes_are_searched_by_prefix() {
    let mut multi = Multi::new(&["10.0.0.1/24"]);
    for n in 0..10_000u32 {
        let network = format!("{}.{}.{}.0/24", 20 + (n >> 16), (n >> 8) & 255, n & 255);
        multi.route(&network, Some("10.0.0.254"), 0, n).unwrap();
    }
    multi.route("20.0.5.128/25", Some("10.0.0.253"), 0, 0).unwrap();
    assert_eq!(multi.ask("20.0.5.1", None), asked(0, "10.0.0.254", "10.0.0.1"));
    assert_eq!(multi.ask("20.0.5.200", None), asked(0, "10.0.0.253", "10.0.0.1"));
}

#[test]
fn a_tagged_interface_takes_its_own_vlan_only_and_answers_tagged() {
    let mut host = Host::with(1, "10.0.0.1/24", |config| config.vlan = Some(100));
    let mut plain = Host::new(1, "10.0.0.1/24");
    let tagged = |id: u16| {
        let untagged =
            arp_frame(MacAddr::BROADCAST, &wire::arp::ArpPacket::request(mac(2), v4("10.0.0.2"), v4("10.0.0.1")));
        let vlan = Some(VlanTag { id, priority: 5, drop_eligible: false });
        let header = EthernetHeader { dst: MacAddr::BROADCAST, src: mac(2), vlan, ethertype: EtherType::ARP };
        let mut frame = vec![0; 18 + 28];
        header.emit(&mut frame);
        frame[18..].copy_from_slice(&untagged[14..]);
        (frame, untagged)
    };
    host.receive(Instant::ZERO, &tagged(101).0);
    host.receive(Instant::ZERO, &tagged(100).1);
    assert_eq!(host.discarded(Discard::WrongVlan), 2);
    assert!(host.sent().is_empty());
    host.receive(Instant::ZERO, &tagged(100).0);
    let frames = host.sent();
    let (header, _) = EthernetHeader::parse(&frames[0]).unwrap();
    assert_eq!(header.vlan, Some(VlanTag { id: 100, priority: 0, drop_eligible: false }));
    // A tag that gives a priority only belongs to the untagged interface.
    plain.receive(Instant::ZERO, &tagged(0).0);
    assert_eq!(plain.sent().len(), 1);
    plain.receive(Instant::ZERO, &tagged(100).0);
    assert_eq!(plain.discarded(Discard::WrongVlan), 1);
}

#[test]
fn traffic_inside_cannot_keep_a_call_from_returning() {
    // I13
    let mut stack = Stack::new(Config::default(), seed(1));
    let (rings, (mut send, _receive)) = udp_rings();
    let client = stack.udp_bind(at("127.0.0.1:0"), Default::default(), rings).unwrap();
    let (rings, (_send, receive)) = udp_rings();
    let server = stack.udp_bind(at("127.0.0.1:7"), Default::default(), rings).unwrap();
    let mut written = 0;
    while ring::datagram::push(&mut send, &to("127.0.0.1:7"), b"x").is_ok() {
        written += 1;
    }
    assert!(written > 2_000);
    stack.udp_flush(Instant::ZERO, client);
    let mut calls = 0;
    while stack.poll_timeout() == Instant::ZERO {
        stack.handle_timeout(Instant::ZERO);
        calls += 1;
        assert!(calls < 1_000);
    }
    assert!(calls >= 2, "it took {calls} calls");
    let mut server = Udp { id: server, receive, send: ring::heap(0).0 };
    assert_eq!(std::iter::from_fn(|| server.pop()).count(), written);
}

#[test]
fn time_that_stands_still_jumps_or_runs_backwards_breaks_nothing() {
    // L3
    let mut host = Host::new(1, "10.0.0.1/24");
    let socket = host.udp("0.0.0.0:0");
    host.stack.start_dhcp(Instant::from_secs(1_000), host.interface, Default::default()).unwrap();
    for now in [1_000, 10, 0, 1_000_000_000, 5, u64::MAX / 1_000_000_000, 3] {
        let now = Instant::from_secs(now);
        let _ = host.stack.udp_send(now, socket.id, &to("10.0.0.9:7"), b"x");
        host.receive(now, &udp_frame(2, 1, "10.0.0.2:9", "10.0.0.1:7", b"x"));
        for _ in 0..100 {
            host.stack.handle_timeout(now);
        }
        host.drain(now);
    }
}
