//! Engines joined by a hub in virtual time: every frame that one sends reaches all others at once.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use device::{Capabilities, Device, RxFrame, TransmitError, TxFrame};
use ring::datagram::{self, Record};
use ring::{Consumer, Producer};
use stack::link::{AddressCheck, InterfaceConfig, InterfaceId};
use stack::udp::{DatagramRings, UdpId, UdpOptions};
use stack::{Config, Event, Instant, Stack};
use wire::arp::ArpPacket;
use wire::cidr::Cidr;
use wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use wire::icmpv4::Icmpv4Message;
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;
use wire::udp::UdpHeader;

/// A device that keeps what it is given.
pub struct Port {
    pub capabilities: Capabilities,
    pub sent: VecDeque<Vec<u8>>,
    /// Frames it takes before it is full.
    pub room: usize,
}

impl Port {
    pub fn new(capabilities: Capabilities) -> Self {
        Self { capabilities, sent: VecDeque::new(), room: usize::MAX }
    }
}

impl Device for Port {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        if self.room == 0 {
            return Err(TransmitError::Full);
        }
        self.room -= 1;
        let mut bytes = vec![0; frame.len()];
        frame.copy_to(&mut bytes);
        self.sent.push_back(bytes);
        Ok(())
    }

    fn receive(&mut self, _budget: usize, _input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        0
    }
}

/// An engine with one interface.
pub struct Host {
    pub stack: Stack,
    pub interface: InterfaceId,
    pub port: Port,
    pub events: Vec<Event>,
}

pub fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

pub fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

pub fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn seed(n: u8) -> [u8; 32] {
    [n; 32]
}

impl Host {
    /// An engine numbered `n` whose addresses need no check, with the address `address` (none if empty).
    pub fn new(n: u8, address: &str) -> Self {
        Self::with(n, address, |_| {})
    }

    pub fn with(n: u8, address: &str, configure: impl FnOnce(&mut InterfaceConfig)) -> Self {
        Self::with_config(Config::default(), n, address, configure)
    }

    pub fn with_config(config: Config, n: u8, address: &str, configure: impl FnOnce(&mut InterfaceConfig)) -> Self {
        let mut stack = Stack::new(config, seed(n));
        let mut settings = InterfaceConfig::new("eth0", Capabilities::plain(mac(n), 1500));
        settings.address_check = AddressCheck::OFF;
        configure(&mut settings);
        let port = Port::new(settings.capabilities);
        let interface = stack.add_interface(settings).unwrap();
        if !address.is_empty() {
            stack.add_address(Instant::ZERO, interface, cidr(address)).unwrap();
        }
        let mut host = Self { stack, interface, port, events: Vec::new() };
        host.drain(Instant::ZERO);
        host.events.clear();
        host
    }

    pub fn drain(&mut self, now: Instant) {
        self.stack.poll_transmit(now, self.interface, &mut self.port);
        while let Some(event) = self.stack.poll_event() {
            self.events.push(event);
        }
    }

    pub fn receive(&mut self, now: Instant, frame: &[u8]) {
        self.stack.handle_frame(now, self.interface, &RxFrame::plain(frame));
        self.drain(now);
    }

    /// What it has sent since the last look.
    pub fn sent(&mut self) -> Vec<Vec<u8>> {
        self.port.sent.drain(..).collect()
    }

    pub fn discarded(&self, reason: stack::Discard) -> u64 {
        self.stack.discards().of(reason)
    }

    /// Tells it a neighbour, so that nothing waits for ARP.
    pub fn knows(&mut self, address: &str, n: u8) {
        self.stack.add_static_neighbor(Instant::ZERO, self.interface, ip(address), mac(n));
    }

    pub fn udp(&mut self, local: &str) -> Udp {
        self.udp_with(local, UdpOptions::default())
    }

    pub fn udp_with(&mut self, local: &str, options: UdpOptions) -> Udp {
        let (rings, application) = udp_rings();
        let id = self.stack.udp_bind(at(local), options, rings).unwrap();
        Udp { id, receive: application.1, send: application.0 }
    }
}

/// The application's halves of a UDP socket.
pub struct Udp {
    pub id: UdpId,
    pub receive: Consumer,
    pub send: Producer,
}

pub fn udp_rings() -> (DatagramRings, (Producer, Consumer)) {
    let (receive, application_receive) = ring::heap(1 << 18);
    let (application_send, send) = ring::heap(1 << 18);
    (DatagramRings { receive, send }, (application_send, application_receive))
}

impl Udp {
    pub fn pop(&mut self) -> Option<(Record, Vec<u8>)> {
        let mut buffer = vec![0; 65_536];
        let (record, len) = datagram::pop(&mut self.receive, &mut buffer)?;
        buffer.truncate(len);
        Some((record, buffer))
    }
}

pub fn to(remote: &str) -> Record {
    Record { remote: at(remote), local: None, interface: 0, tos: 0, ttl: 0 }
}

/// Hosts on one hub.
pub struct Lan {
    pub now: Instant,
    pub hosts: Vec<Host>,
    /// Every frame that crossed the hub, and who sent it.
    pub log: Vec<(usize, Vec<u8>)>,
    /// Hosts that hear nothing.
    pub deaf: Vec<usize>,
}

impl Lan {
    pub fn new(hosts: Vec<Host>) -> Self {
        Self { now: Instant::ZERO, hosts, log: Vec::new(), deaf: Vec::new() }
    }

    /// Carries frames until nothing more is sent.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            for host in &mut self.hosts {
                host.drain(self.now);
            }
            let Some((from, frame)) =
                self.hosts.iter_mut().enumerate().find_map(|(n, host)| Some((n, host.port.sent.pop_front()?)))
            else {
                return;
            };
            for n in (0..self.hosts.len()).filter(|&n| n != from && !self.deaf.contains(&n)) {
                self.hosts[n].receive(self.now, &frame);
            }
            self.log.push((from, frame));
        }
        panic!("the hub never falls silent");
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.settle();
            let next = self.hosts.iter().map(|host| host.stack.poll_timeout()).min().unwrap();
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            for host in &mut self.hosts {
                if host.stack.poll_timeout() <= self.now {
                    host.stack.handle_timeout(self.now);
                }
            }
        }
        self.now = end;
    }

    pub fn run_secs(&mut self, secs: u64) {
        self.run(Duration::from_secs(secs));
    }

    /// The ARP packets that crossed the hub.
    pub fn arps(&self) -> Vec<(usize, ArpPacket)> {
        self.log.iter().filter_map(|(from, frame)| Some((*from, arp_of(frame)?))).collect()
    }
}

pub fn arp_of(frame: &[u8]) -> Option<ArpPacket> {
    let (header, payload) = EthernetHeader::parse(frame).ok()?;
    (header.ethertype == EtherType::ARP).then(|| ArpPacket::parse(payload).unwrap())
}

/// The IPv4 header and payload of a frame.
pub fn ipv4_of(frame: &[u8]) -> Option<(Ipv4Header<'_>, &[u8])> {
    let (header, payload) = EthernetHeader::parse(frame).ok()?;
    (header.ethertype == EtherType::IPV4).then(|| Ipv4Header::parse(payload).unwrap())
}

pub fn icmp_of(frame: &[u8]) -> Option<(Ipv4Header<'_>, Icmpv4Message<'_>)> {
    let (header, payload) = ipv4_of(frame)?;
    (header.protocol == Protocol::ICMP).then(|| (header, Icmpv4Message::parse(payload).unwrap()))
}

/// A frame around a packet.
pub fn ethernet(dst: MacAddr, src: MacAddr, ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let header = EthernetHeader { dst, src, vlan: None, ethertype };
    let mut frame = vec![0; header.len() + payload.len()];
    let len = header.emit(&mut frame);
    frame[len..].copy_from_slice(payload);
    frame
}

pub fn arp_frame(dst: MacAddr, packet: &ArpPacket) -> Vec<u8> {
    let mut bytes = [0; 28];
    packet.emit(&mut bytes);
    ethernet(dst, packet.sender_mac, EtherType::ARP, &bytes)
}

/// An IPv4 packet with the given header (its length is filled in).
pub fn packet(header: Ipv4Header<'_>, payload: &[u8]) -> Vec<u8> {
    let mut header = header;
    header.total_len = (header.len() + payload.len()) as u16;
    let mut bytes = vec![0; header.len() + payload.len()];
    let len = header.emit(&mut bytes);
    bytes[len..].copy_from_slice(payload);
    bytes
}

pub fn ip_header(src: &str, dst: &str, protocol: Protocol) -> Ipv4Header<'static> {
    let mut header = Ipv4Header::new(v4(src), v4(dst), protocol, 64, 0);
    header.dont_fragment = false;
    header
}

pub fn udp_datagram(src: &str, dst: &str, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = (at(src), at(dst));
    let len = 8 + payload.len();
    let mut bytes = vec![0; len];
    UdpHeader { src_port: src.port(), dst_port: dst.port(), len: len as u16, checksum: 0 }.emit(&mut bytes);
    bytes[8..].copy_from_slice(payload);
    UdpHeader::fill_checksum(&mut bytes, src.ip(), dst.ip());
    bytes
}

/// A frame with a whole UDP datagram from station `from` to station `to`.
pub fn udp_frame(from: u8, to: u8, src: &str, dst: &str, payload: &[u8]) -> Vec<u8> {
    let datagram = udp_datagram(src, dst, payload);
    let header = ip_header(&at(src).ip().to_string(), &at(dst).ip().to_string(), Protocol::UDP);
    ethernet(mac(to), mac(from), EtherType::IPV4, &packet(header, &datagram))
}

pub fn icmp_frame(from: u8, to: MacAddr, src: &str, dst: &str, message: &Icmpv4Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.len()];
    message.emit(&mut bytes);
    ethernet(to, mac(from), EtherType::IPV4, &packet(ip_header(src, dst, Protocol::ICMP), &bytes))
}
