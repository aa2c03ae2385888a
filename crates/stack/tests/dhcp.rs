//! The DHCP client through its whole life, against a server of a few lines. D1's clauses are named at their tests.

extern crate wharf_stack as stack;

mod common;

use std::net::Ipv4Addr;
use std::time::Duration;

use common::*;
use stack::autoconf::dhcpv4::{DhcpConfig, DhcpError};
use stack::link::AddressCheck;
use stack::{Discard, Event, Instant};
use wire::arp::{ArpOperation, ArpPacket};
use wire::dhcpv4::{Addresses, DhcpMessage, MessageType, Operation, OptionBytes};
use wire::ethernet::MacAddr;
use wire::protocol::Protocol;
use wire::udp::UdpHeader;

const SERVER: &str = "10.0.0.1";

/// What the client said, and when.
#[derive(Debug)]
struct Said {
    at: Instant,
    kind: MessageType,
    message: DhcpMessage,
    /// The destination address of the packet.
    to: Ipv4Addr,
    /// Bytes of the whole UDP payload.
    len: usize,
}

type Server = dyn FnMut(&DhcpMessage, MessageType) -> Option<DhcpMessage>;

/// A client and a scripted server.
struct Scene {
    host: Host,
    now: Instant,
    said: Vec<Said>,
    /// What the server does with a message; nothing if it returns none.
    answer: Box<Server>,
    /// Answers go to every station.
    broadcast: bool,
    /// Another station that has these addresses.
    squatter: Vec<Ipv4Addr>,
    arps: Vec<ArpPacket>,
    server_is_known: bool,
}

/// An answer with the usual contents.
fn answer(question: &DhcpMessage, kind: MessageType, address: &str, lease: u32) -> DhcpMessage {
    let mut message = DhcpMessage::new(Operation::Reply, question.xid, question.chaddr);
    message.yiaddr = v4(address);
    message.options.message_type = Some(kind);
    message.options.server_id = Some(v4(SERVER));
    message.options.lease_time = Some(lease);
    message.options.subnet_mask = Some(v4("255.255.255.0"));
    message.options.routers = [v4(SERVER)].into_iter().collect::<Addresses>();
    message.options.dns_servers = [v4("10.0.0.3")].into_iter().collect::<Addresses>();
    message.options.domain_name = OptionBytes::new(b"example.org").unwrap();
    message.options.domain_search = OptionBytes::new(b"\x03lab\x07example\x03org\x00\xc0\x04").unwrap();
    message
}

fn nak(question: &DhcpMessage) -> DhcpMessage {
    let mut message = DhcpMessage::new(Operation::Reply, question.xid, question.chaddr);
    message.options.message_type = Some(MessageType::Nak);
    message.options.server_id = Some(v4(SERVER));
    message
}

/// A server that grants `address` for `lease` seconds.
fn grants(address: &'static str, lease: u32) -> impl FnMut(&DhcpMessage, MessageType) -> Option<DhcpMessage> {
    move |question, kind| match kind {
        MessageType::Discover => Some(answer(question, MessageType::Offer, address, lease)),
        MessageType::Request => Some(answer(question, MessageType::Ack, address, lease)),
        _ => None,
    }
}

impl Scene {
    fn new(server: impl FnMut(&DhcpMessage, MessageType) -> Option<DhcpMessage> + 'static) -> Self {
        Self::with(AddressCheck::OFF, server)
    }

    fn with(
        check: AddressCheck,
        server: impl FnMut(&DhcpMessage, MessageType) -> Option<DhcpMessage> + 'static,
    ) -> Self {
        Self {
            host: Host::with(5, "", |config| config.address_check = check),
            now: Instant::ZERO,
            said: Vec::new(),
            answer: Box::new(server),
            broadcast: false,
            squatter: Vec::new(),
            arps: Vec::new(),
            server_is_known: true,
        }
    }

    fn start(&mut self) -> &mut Self {
        self.start_as(DhcpConfig::default())
    }

    fn start_as(&mut self, config: DhcpConfig) -> &mut Self {
        self.host.stack.start_dhcp(self.now, self.host.interface, config).unwrap();
        self
    }

    fn run(&mut self, secs: f64) -> &mut Self {
        let end = self.now + Duration::from_secs_f64(secs);
        let mut steps = 0;
        loop {
            self.exchange();
            let next = self.host.stack.poll_timeout();
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.host.stack.handle_timeout(self.now);
            steps += 1;
            assert!(steps < 20_000, "the client spins");
        }
        self.now = end;
        self
    }

    fn exchange(&mut self) {
        self.host.drain(self.now);
        while let Some(frame) = self.host.port.sent.pop_front() {
            if let Some(arp) = arp_of(&frame) {
                self.arps.push(arp);
                let asked = arp.target_ip;
                let squatted = self.squatter.contains(&asked);
                let server = self.server_is_known && asked == v4(SERVER);
                if arp.operation == ArpOperation::Request && arp.sender_ip != asked && (squatted || server) {
                    let reply = ArpPacket::reply(&arp, mac(if squatted { 9 } else { 1 }));
                    self.host.receive(self.now, &arp_frame(arp.sender_mac, &reply));
                }
                continue;
            }
            let (header, datagram) = ipv4_of(&frame).unwrap();
            assert_eq!(header.protocol, Protocol::UDP);
            UdpHeader::verify(datagram, header.src.into(), header.dst.into()).unwrap();
            let (udp, payload) = UdpHeader::parse(datagram).unwrap();
            assert_eq!((udp.src_port, udp.dst_port), (68, 67));
            let message = DhcpMessage::parse(payload).unwrap();
            let kind = message.options.message_type.unwrap();
            assert!(self.said.len() < 10_000, "the client spins");
            self.said.push(Said { at: self.now, kind, message, to: header.dst, len: payload.len() });
            if let Some(reply) = (self.answer)(&message, kind) {
                self.deliver(&reply);
            }
        }
    }

    fn deliver(&mut self, reply: &DhcpMessage) {
        let mut payload = vec![0; reply.len()];
        reply.emit(&mut payload).unwrap();
        let to = if reply.yiaddr.is_unspecified() { "255.255.255.255".into() } else { reply.yiaddr.to_string() };
        let (ip_to, station) = if self.broadcast { ("255.255.255.255".to_string(), 0xff) } else { (to, 5) };
        let mut frame = udp_frame(1, 5, &format!("{SERVER}:67"), &format!("{ip_to}:68"), &payload);
        if station == 0xff || ip_to == "255.255.255.255" {
            frame[..6].copy_from_slice(&MacAddr::BROADCAST.0);
        }
        self.host.receive(self.now, &frame);
    }

    fn kinds(&self) -> Vec<MessageType> {
        self.said.iter().map(|said| said.kind).collect()
    }

    fn times(&self, kind: MessageType) -> Vec<f64> {
        self.said.iter().filter(|s| s.kind == kind).map(|s| s.at.as_nanos() as f64 / 1e9).collect()
    }

    fn addresses(&self) -> Vec<String> {
        self.host.stack.addresses(self.host.interface).iter().map(ToString::to_string).collect()
    }

    fn bound(&self) -> usize {
        self.host.events.iter().filter(|event| matches!(event, Event::DhcpBound(..))).count()
    }

    fn lost(&self) -> usize {
        self.host.events.iter().filter(|event| matches!(event, Event::DhcpLost(_))).count()
    }
}

use MessageType::{Decline, Discover, Release, Request};

#[test]
fn a_lease_brings_address_route_and_name_servers() {
    let mut scene = Scene::new(grants("10.0.0.15", 3600));
    scene.start().run(1.0);
    assert_eq!(scene.kinds(), [Discover, Request]);
    assert_eq!(scene.addresses(), ["10.0.0.15/24"]);
    let lease = scene.host.stack.dhcp_lease(scene.host.interface).unwrap().clone();
    assert_eq!(lease.routers, [v4(SERVER)]);
    assert_eq!(lease.dns_servers, [v4("10.0.0.3")]);
    assert_eq!(lease.domain.as_deref(), Some("example.org"));
    assert_eq!(lease.search, ["lab.example.org", "example.org"]);
    assert_eq!(lease.server, v4(SERVER));
    assert_eq!(lease.duration, Duration::from_secs(3600));
    assert_eq!(scene.bound(), 1);
    let routes = scene.host.stack.routes();
    assert!(routes.iter().any(|route| route.destination == cidr("0.0.0.0/0") && route.via == Some(ip(SERVER))));
    let request = &scene.said[1].message;
    assert_eq!(request.options.requested_ip, Some(v4("10.0.0.15")));
    assert_eq!(request.options.server_id, Some(v4(SERVER)));
    assert_eq!(request.xid, scene.said[0].message.xid);
    assert_eq!(request.ciaddr, Ipv4Addr::UNSPECIFIED);
}

#[test]
fn answers_by_broadcast_are_taken_like_those_by_unicast() {
    let mut scene = Scene::new(grants("10.0.0.15", 3600));
    scene.broadcast = true;
    scene.start_as(DhcpConfig { broadcast: true, ..DhcpConfig::default() }).run(1.0);
    assert!(scene.said[0].message.broadcast);
    assert_eq!(scene.addresses(), ["10.0.0.15/24"]);
}

#[test]
fn every_message_has_at_least_300_bytes() {
    // D1: 300-byte minimum.
    let mut scene = Scene::new(|_, _| None);
    scene.start().run(10.0);
    assert!(scene.said.iter().all(|said| said.len >= 300));
}

#[test]
fn silence_is_met_by_exponential_backoff_with_jitter() {
    // D1: exponential backoff with jitter.
    let mut scene = Scene::new(|_, _| None);
    scene.start().run(400.0);
    let times = scene.times(Discover);
    let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (gap, expected) in gaps.iter().zip([4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0]) {
        assert!((gap - expected).abs() <= 1.0, "{gap} is not about {expected}");
    }
    assert!(gaps.iter().any(|gap| gap.fract() > 0.001), "no jitter: {gaps:?}");
    assert!(gaps.len() >= 6);
}

#[test]
fn an_offer_whose_server_falls_silent_leads_back_to_the_search() {
    let mut scene =
        Scene::new(|question, kind| (kind == Discover).then(|| answer(question, MessageType::Offer, "10.0.0.15", 60)));
    scene.start().run(80.0);
    let kinds = scene.kinds();
    assert_eq!(kinds[..6], [Discover, Request, Request, Request, Request, Discover]);
}

#[test]
fn a_lease_of_hours_is_renewed_by_unicast_at_half_time() {
    let mut scene = Scene::new(grants("10.0.0.15", 7200));
    scene.start().run(3700.0);
    assert_eq!(scene.kinds(), [Discover, Request, Request]);
    let renewal = &scene.said[2];
    assert!((renewal.at.as_millis() as f64 / 1e3 - 3600.0).abs() < 1.0);
    assert_eq!(renewal.to, v4(SERVER));
    assert_eq!(renewal.message.ciaddr, v4("10.0.0.15"));
    // RFC 2131 table 5: neither of these in a renewal.
    assert_eq!(renewal.message.options.server_id, None);
    assert_eq!(renewal.message.options.requested_ip, None);
    assert_eq!(scene.bound(), 2);
    assert_eq!(scene.lost(), 0);
}

#[test]
fn a_lease_of_four_seconds_is_kept_for_minutes() {
    let mut scene = Scene::new(grants("10.0.0.15", 4));
    scene.start().run(120.0);
    assert_eq!(scene.addresses(), ["10.0.0.15/24"]);
    assert_eq!(scene.lost(), 0);
    let requests = scene.times(Request).len();
    assert!((55..=65).contains(&requests), "{requests} requests in 120 s");
    assert!(!scene.host.events.iter().any(|event| matches!(event, Event::AddressRemoved(..))));
}

#[test]
fn a_lease_that_nobody_prolongs_passes_through_rebinding_and_ends() {
    let mut discovers = 0;
    let mut scene = Scene::new(move |question, kind| match kind {
        Discover => {
            discovers += 1;
            (discovers == 1).then(|| answer(question, MessageType::Offer, "10.0.0.15", 1000))
        }
        Request if question.ciaddr.is_unspecified() => Some(answer(question, MessageType::Ack, "10.0.0.15", 1000)),
        _ => None,
    });
    scene.start().run(999.0);
    assert_eq!(scene.addresses(), ["10.0.0.15/24"], "the address is used to the end");
    let requests: Vec<(u64, bool)> =
        scene.said.iter().skip(2).map(|s| (s.at.as_millis() / 1000, s.to.is_broadcast())).collect();
    assert_eq!(requests[0], (500, false), "T1: its own server");
    assert!(requests.iter().any(|&(at, all)| at == 875 && all), "T2: any server; {requests:?}");
    assert!(requests.iter().all(|&(at, all)| all == (at >= 875)), "{requests:?}");
    assert!(requests.len() < 12, "no more than the RFC's repetitions: {requests:?}");
    scene.run(2.0);
    assert!(scene.addresses().is_empty());
    assert!(scene.host.stack.routes().is_empty(), "its routes went too");
    assert_eq!(scene.lost(), 1);
    assert_eq!(scene.said.last().unwrap().kind, Discover);
}

#[test]
fn the_lease_counts_from_the_request_and_not_from_the_answer() {
    // D1: the lease counts from the REQUEST.
    let mut scene =
        Scene::new(|question, kind| (kind == Discover).then(|| answer(question, MessageType::Offer, "10.0.0.15", 100)));
    scene.start().run(3.0);
    // The server thinks it over for three seconds.
    let question = scene.said[1].message;
    scene.deliver(&answer(&question, MessageType::Ack, "10.0.0.15", 100));
    scene.answer = Box::new(|_, _| None);
    scene.run(96.9);
    assert_eq!(scene.addresses(), ["10.0.0.15/24"]);
    scene.run(0.2);
    assert!(scene.addresses().is_empty());
}

#[test]
fn absurd_renewal_times_become_sane_ones() {
    // D1: T1 and T2 sane from any input.
    for (t1, t2) in [(0, 0), (5000, 6000), (900, 100), (u32::MAX, u32::MAX), (1000, 1000)] {
        let mut scene = Scene::new(move |question, kind| {
            let kind = if kind == Discover { MessageType::Offer } else { MessageType::Ack };
            let mut reply = answer(question, kind, "10.0.0.15", 1000);
            reply.options.renewal_time = Some(t1);
            reply.options.rebinding_time = Some(t2);
            Some(reply)
        });
        scene.start().run(3000.0);
        assert_eq!(scene.lost(), 0, "T1 {t1}, T2 {t2}");
        let requests = scene.times(Request).len();
        assert!((3..=40).contains(&requests), "T1 {t1}, T2 {t2}: {requests} requests");
    }
}

#[test]
fn an_endless_lease_is_never_renewed() {
    let mut scene = Scene::new(grants("10.0.0.15", u32::MAX));
    scene.start().run(1e7);
    assert_eq!(scene.kinds(), [Discover, Request]);
    assert_eq!(scene.addresses(), ["10.0.0.15/24"]);
}

#[test]
fn a_lease_without_time_is_no_lease_and_does_not_spin() {
    // D1: lease time 0.
    let mut scene = Scene::new(|question, kind| {
        let kind = if kind == Discover { MessageType::Offer } else { MessageType::Ack };
        let mut reply = answer(question, kind, "10.0.0.15", 0);
        reply.options.lease_time = (kind == MessageType::Ack).then_some(0);
        Some(reply)
    });
    scene.start().run(300.0);
    assert!(scene.addresses().is_empty());
    assert!(scene.said.len() < 40, "{} messages", scene.said.len());
}

#[test]
fn a_server_that_refuses_everything_is_asked_ever_more_seldom() {
    // D1: a server that always NAKs.
    let mut scene = Scene::new(|question, kind| match kind {
        Discover => Some(answer(question, MessageType::Offer, "10.0.0.15", 60)),
        _ => Some(nak(question)),
    });
    scene.start().run(600.0);
    assert!(scene.said.len() < 50, "{} messages in ten minutes", scene.said.len());
    assert!(scene.said.len() > 10);
}

#[test]
fn a_refused_renewal_ends_the_lease_at_once() {
    let mut refuse = false;
    let mut scene = Scene::new(move |question, kind| match kind {
        Discover => Some(answer(question, MessageType::Offer, if refuse { "10.0.0.16" } else { "10.0.0.15" }, 100)),
        Request if question.ciaddr.is_unspecified() => {
            let address = question.options.requested_ip.unwrap().to_string();
            Some(answer(question, MessageType::Ack, &address, 100))
        }
        Request => {
            refuse = true;
            Some(nak(question))
        }
        _ => None,
    });
    scene.start().run(51.0);
    assert_eq!(scene.lost(), 1);
    assert_eq!(scene.addresses(), ["10.0.0.16/24"]);
}

#[test]
fn a_nak_is_ignored_where_no_request_is_out() {
    // D1: NAK only in the states that take it.
    let mut scene = Scene::new(grants("10.0.0.15", 3600));
    scene.start().run(1.0);
    let question = scene.said[1].message;
    scene.deliver(&nak(&question));
    assert_eq!(scene.addresses(), ["10.0.0.15/24"]);
    assert_eq!(scene.host.discarded(Discard::DhcpIgnored), 1);

    let mut scene = Scene::new(|_, _| None);
    scene.start().run(1.0);
    let question = scene.said[0].message;
    scene.deliver(&nak(&question));
    scene.run(2.0);
    assert_eq!(scene.kinds(), [Discover], "a NAK to a DISCOVER does not restart it");
}

#[test]
fn answers_to_another_or_from_elsewhere_are_ignored() {
    let mut scene = Scene::new(|_, _| None);
    scene.start().run(0.5);
    let question = scene.said[0].message;
    let good = answer(&question, MessageType::Offer, "10.0.0.15", 60);
    let mut other_xid = good;
    other_xid.xid ^= 1;
    let mut other_station = good;
    other_station.chaddr = mac(77);
    let mut no_server = good;
    no_server.options.server_id = None;
    let mut bad_address = good;
    bad_address.yiaddr = v4("127.0.0.1");
    for message in [other_xid, other_station, no_server, bad_address] {
        scene.deliver(&message);
    }
    scene.exchange();
    assert_eq!(scene.kinds(), [Discover]);
    assert_eq!(scene.host.discarded(Discard::DhcpIgnored), 4);
    scene.deliver(&good);
    scene.exchange();
    assert_eq!(scene.kinds(), [Discover, Request]);
}

#[test]
fn an_address_that_another_station_has_is_declined_and_the_next_one_announced() {
    // D1: decline and announce. N3: our probes are sent before use.
    let mut granted = 14;
    let mut scene = Scene::with(AddressCheck::BRIEF, move |question, kind| {
        if kind == Discover {
            granted += 1;
        }
        let address = format!("10.0.0.{granted}");
        match kind {
            Discover => Some(answer(question, MessageType::Offer, &address, 3600)),
            Request => Some(answer(question, MessageType::Ack, &address, 3600)),
            _ => None,
        }
    });
    scene.squatter = vec![v4("10.0.0.15")];
    scene.start().run(9.0);
    assert_eq!(scene.kinds(), [Discover, Request, Decline]);
    let decline = &scene.said[2].message;
    assert_eq!(decline.options.requested_ip, Some(v4("10.0.0.15")));
    assert_eq!(decline.options.server_id, Some(v4(SERVER)));
    assert!(scene.addresses().is_empty());
    assert_eq!(scene.bound(), 0);
    scene.run(5.0);
    assert!(scene.times(Discover)[1] - scene.times(Decline)[0] >= 10.0, "ten seconds after the DECLINE");
    assert_eq!(scene.addresses(), ["10.0.0.16/24"]);
    assert_eq!(scene.bound(), 1);
    assert!(scene.arps.iter().any(|arp| arp.is_probe() && arp.target_ip == v4("10.0.0.16")));
    assert!(scene.arps.iter().any(|arp| arp.sender_ip == v4("10.0.0.16") && arp.target_ip == v4("10.0.0.16")));
}

#[test]
fn rebinding_adopts_the_server_that_answers() {
    // D1: rebinding adopts the new server.
    let mut scene = Scene::new(|question, kind| match kind {
        Discover => Some(answer(question, MessageType::Offer, "10.0.0.15", 1000)),
        Request if question.ciaddr.is_unspecified() => Some(answer(question, MessageType::Ack, "10.0.0.15", 1000)),
        _ => None,
    });
    scene.start().run(870.0);
    scene.answer = Box::new(|question, _| {
        let mut ack = answer(question, MessageType::Ack, "10.0.0.15", 1000);
        ack.options.server_id = Some(v4("10.0.0.2"));
        Some(ack)
    });
    scene.run(10.0);
    assert_eq!(scene.host.stack.dhcp_lease(scene.host.interface).unwrap().server, v4("10.0.0.2"));
    scene.squatter = vec![v4("10.0.0.2")];
    scene.run(520.0);
    assert_eq!(scene.said.last().unwrap().to, v4("10.0.0.2"), "the next renewal goes to the new server");
}

#[test]
fn a_link_flap_verifies_the_lease_and_keeps_the_address_meanwhile() {
    // N8: a still-valid lease is verified, not thrown away.
    let mut scene = Scene::new(grants("10.0.0.15", 3600));
    scene.start().run(10.0);
    let interface = scene.host.interface;
    let now = scene.now;
    scene.host.stack.set_link_state(now, interface, false);
    scene.run(5.0);
    let now = scene.now;
    scene.host.stack.set_link_state(now, interface, true);
    assert_eq!(scene.addresses(), ["10.0.0.15/24"]);
    scene.run(1.0);
    let reboot = &scene.said[2];
    assert_eq!((reboot.kind, reboot.to), (Request, Ipv4Addr::BROADCAST));
    assert_eq!(reboot.message.options.requested_ip, Some(v4("10.0.0.15")));
    assert_eq!(reboot.message.options.server_id, None);
    assert_eq!(reboot.message.ciaddr, Ipv4Addr::UNSPECIFIED);
    assert_eq!(scene.bound(), 2);
    assert_eq!(scene.lost(), 0);
    assert_eq!(scene.addresses(), ["10.0.0.15/24"]);
}

#[test]
fn a_flap_and_recovery_between_two_polls_is_noticed() {
    // N8: a link flap between two polls is noticed.
    let mut scene = Scene::new(grants("10.0.0.15", 3600));
    scene.start().run(10.0);
    let (interface, now) = (scene.host.interface, scene.now);
    scene.host.stack.set_link_state(now, interface, false);
    scene.host.stack.set_link_state(now, interface, true);
    scene.run(1.0);
    assert_eq!(scene.kinds(), [Discover, Request, Request]);
}

#[test]
fn a_lease_that_the_new_network_refuses_goes() {
    let mut scene = Scene::new(grants("10.0.0.15", 3600));
    scene.start().run(10.0);
    let (interface, now) = (scene.host.interface, scene.now);
    scene.host.stack.set_link_state(now, interface, false);
    scene.host.stack.set_link_state(now, interface, true);
    scene.answer = Box::new(|question, kind| match (kind, question.options.server_id) {
        (Request, None) => Some(nak(question)),
        (Discover, _) => Some(answer(question, MessageType::Offer, "10.0.0.99", 60)),
        _ => Some(answer(question, MessageType::Ack, "10.0.0.99", 60)),
    });
    scene.run(2.0);
    assert_eq!(scene.addresses(), ["10.0.0.99/24"]);
    assert_eq!(scene.lost(), 1);
}

#[test]
fn without_an_answer_after_a_flap_the_valid_lease_is_used() {
    let mut scene = Scene::new(grants("10.0.0.15", 3600));
    scene.start().run(10.0);
    let (interface, now) = (scene.host.interface, scene.now);
    scene.host.stack.set_link_state(now, interface, false);
    scene.host.stack.set_link_state(now, interface, true);
    scene.answer = Box::new(|_, _| None);
    scene.run(60.0);
    assert_eq!(scene.times(Request).len(), 4, "three tries");
    assert_eq!(scene.addresses(), ["10.0.0.15/24"]);
    assert_eq!(scene.lost(), 0);
}

#[test]
fn stopping_releases_the_lease_and_leaves_nothing_behind() {
    let mut scene = Scene::new(grants("10.0.0.15", 3600));
    scene.start().run(1.0);
    let (interface, now) = (scene.host.interface, scene.now);
    assert!(scene.host.stack.stop_dhcp(now, interface));
    scene.run(1.0);
    let release = scene.said.last().unwrap();
    assert_eq!((release.kind, release.to), (Release, v4(SERVER)));
    assert_eq!(release.message.ciaddr, v4("10.0.0.15"));
    assert!(scene.addresses().is_empty());
    assert!(scene.host.stack.routes().is_empty());
    assert!(!scene.host.stack.stop_dhcp(now, interface));
    let said = scene.said.len();
    scene.run(10_000.0);
    assert_eq!(scene.said.len(), said, "no timer is left");
}

#[test]
fn a_release_waits_until_the_way_to_its_server_is_known() {
    let mut scene = Scene::new(grants("10.0.0.15", 3600));
    assert!(!scene.host.stack.dhcp_release_waits(scene.now, scene.host.interface), "there is no client");
    scene.server_is_known = false;
    scene.start().run(1.0);
    let interface = scene.host.interface;
    // Nobody has sent anything to the server since the lease came, which was by broadcast.
    assert!(scene.host.stack.dhcp_release_waits(scene.now, interface));
    assert!(scene.host.stack.dhcp_release_waits(scene.now, interface), "nobody has answered");
    scene.run(0.0);
    let asked = scene.arps.pop().unwrap();
    assert_eq!((asked.sender_ip, asked.target_ip), (v4("10.0.0.15"), v4(SERVER)));
    scene.server_is_known = true;
    scene.run(2.0);
    assert!(!scene.host.stack.dhcp_release_waits(scene.now, interface));
    assert!(scene.host.stack.stop_dhcp(scene.now, interface));
    scene.run(0.0);
    assert_eq!(scene.kinds().last(), Some(&Release));
}

#[test]
fn a_release_waits_for_no_server_that_is_gone() {
    let mut scene = Scene::new(grants("10.0.0.15", 3600));
    scene.server_is_known = false;
    scene.start().run(1.0);
    let interface = scene.host.interface;
    assert!(scene.host.stack.dhcp_release_waits(scene.now, interface));
    scene.run(5.0);
    assert!(!scene.host.stack.dhcp_release_waits(scene.now, interface));
    assert!(scene.host.stack.stop_dhcp(scene.now, interface));
    let now = scene.now;
    assert!(!scene.host.stack.dhcp_release_waits(now, interface), "it is given back");
}

#[test]
fn what_was_set_by_hand_survives_the_end_of_a_lease() {
    // D2: DHCP takes away only what it brought.
    let mut scene = Scene::new(grants("10.0.0.15", 3600));
    let interface = scene.host.interface;
    scene.host.stack.add_address(Instant::ZERO, interface, cidr("192.168.9.1/24")).unwrap();
    scene.start().run(1.0);
    let now = scene.now;
    scene.host.stack.stop_dhcp(now, interface);
    assert_eq!(scene.addresses(), ["192.168.9.1/24"]);
    assert_eq!(scene.host.stack.routes().len(), 1);
}

#[test]
fn a_gateway_outside_of_the_subnet_gets_a_route_of_its_own() {
    // I8: a gateway outside the subnets is resolved.
    let mut scene = Scene::new(|question, kind| {
        let kind = if kind == Discover { MessageType::Offer } else { MessageType::Ack };
        let mut reply = answer(question, kind, "172.16.5.5", 3600);
        reply.options.subnet_mask = Some(v4("255.255.255.255"));
        Some(reply)
    });
    scene.start().run(1.0);
    assert_eq!(scene.addresses(), ["172.16.5.5/32"]);
    let socket = scene.host.udp("0.0.0.0:0");
    let now = scene.now;
    scene.host.stack.udp_send(now, socket.id, &to("8.8.8.8:53"), b"x").unwrap();
    scene.host.drain(now);
    let asked = scene.host.sent().iter().rev().find_map(|frame| arp_of(frame)).unwrap();
    assert_eq!(asked.target_ip, v4(SERVER));
}

#[test]
fn the_servers_mtu_is_obeyed_within_reason() {
    for (told, expected) in [(1400, 1400), (9000, 1500), (100, 1500)] {
        let mut scene = Scene::new(move |question, kind| {
            let kind = if kind == Discover { MessageType::Offer } else { MessageType::Ack };
            let mut reply = answer(question, kind, "10.0.0.15", 3600);
            reply.options.mtu = Some(told);
            Some(reply)
        });
        scene.start().run(1.0);
        assert_eq!(scene.host.stack.interfaces()[1].mtu, expected);
    }
}

#[test]
fn names_that_do_not_fit_are_refused_before_anything_is_sent() {
    // D1: options that do not fit are refused, not a panic.
    let mut scene = Scene::new(|_, _| None);
    let interface = scene.host.interface;
    let long = DhcpConfig { hostname: Some("x".repeat(256)), ..DhcpConfig::default() };
    assert_eq!(scene.host.stack.start_dhcp(Instant::ZERO, interface, long), Err(DhcpError::Hostname));
    let long = DhcpConfig { client_id: Some(vec![0; 256]), ..DhcpConfig::default() };
    assert_eq!(scene.host.stack.start_dhcp(Instant::ZERO, interface, long), Err(DhcpError::ClientId));
    scene.start_as(DhcpConfig { hostname: Some("x".repeat(255)), client_id: Some(vec![7; 255]), broadcast: false });
    scene.run(1.0);
    assert_eq!(scene.said[0].message.options.hostname.len(), 255);
    assert_eq!(scene.host.stack.start_dhcp(Instant::ZERO, interface, DhcpConfig::default()), Err(DhcpError::Running));
}

#[test]
fn noise_on_the_clients_port_is_counted_and_changes_nothing() {
    let mut scene = Scene::new(|_, _| None);
    scene.start().run(0.5);
    let mut bytes = vec![0x5a; 400];
    for len in 0..400 {
        bytes[len] = (len * 7) as u8;
        let frame = udp_frame(1, 5, "10.0.0.1:67", "255.255.255.255:68", &bytes[..len]);
        scene.host.receive(scene.now, &frame);
    }
    assert_eq!(scene.host.discarded(Discard::DhcpIgnored), 400);
    assert_eq!(scene.kinds(), [Discover]);
}
