//! One engine, its wire and its clock.
//!
//! The wire carries bare IP packets, the engine's device Ethernet frames: everything leaves through one gateway whose
//! hardware address is known, and the header is cut off on the way out and put on on the way in. Every address that
//! packetdrill uses for this side becomes the engine's own: it chooses them by chance and tells nobody.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use device::{Capabilities, Device, RxFrame, TransmitError, TxFrame};
use stack::ip::routes::Route;
use stack::link::{AddressCheck, InterfaceConfig, InterfaceId};
use stack::{Config, Event, Instant, Stack};
use wire::cidr::Cidr;
use wire::ethernet::{EtherType, EthernetHeader, HEADER_LEN, MacAddr};

const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const GATEWAY: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
/// From the block for measurements (RFC 2544), which no script uses.
const GATEWAY_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
const GATEWAY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));

/// Packets that wait for packetdrill at most. It reads them only when the script expects one.
const MOST_WAITING: usize = 65_536;

/// A packet that has left.
pub(crate) struct Packet {
    /// When.
    pub at: Instant,
    /// From the IP header on.
    pub bytes: Vec<u8>,
}

/// The device: takes frames, keeps their packets.
struct Wire {
    capabilities: Capabilities,
    now: Instant,
    sent: VecDeque<Packet>,
}

impl Device for Wire {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        let mut bytes = vec![0; frame.len()];
        frame.copy_to(&mut bytes);
        let Ok((header, _)) = EthernetHeader::parse(&bytes) else { return Err(TransmitError::Lost) };
        // Who has which address is nobody's question on a wire without Ethernet.
        if !matches!(header.ethertype, EtherType::IPV4 | EtherType::IPV6) {
            return Ok(());
        }
        if self.sent.len() >= MOST_WAITING {
            return Err(TransmitError::Lost);
        }
        bytes.drain(..HEADER_LEN);
        bytes.truncate(packet_len(&bytes));
        self.sent.push_back(Packet { at: self.now, bytes });
        Ok(())
    }

    fn receive(&mut self, _budget: usize, _input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        0
    }
}

/// The length of a packet by its own header: what follows is Ethernet's padding.
fn packet_len(packet: &[u8]) -> usize {
    let word = |at: usize| packet.get(at..at + 2).map_or(0, |two| usize::from(two[0]) << 8 | usize::from(two[1]));
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => word(2),
        Some(6) => 40 + word(4),
        _ => packet.len(),
    }
}

/// The address that a packet is for.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(16..20)?).ok()?))),
        6 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(24..40)?).ok()?))),
        _ => None,
    }
}

/// The engine and its surroundings.
pub(crate) struct Machine {
    pub stack: Stack,
    /// The time.
    pub now: Instant,
    interface: InterfaceId,
    wire: Wire,
    addresses: BTreeSet<IpAddr>,
}

impl Machine {
    /// An engine at the time `now`, on a link of `mtu` bytes. `local` is the address that connections come from when the
    /// script does not bind.
    pub(crate) fn new(now: Instant, config: Config, seed: [u8; 32], mtu: u32, local: IpAddr) -> Self {
        let capabilities = Capabilities::plain(OURS, mtu);
        let mut stack = Stack::new(config, seed);
        let mut settings = InterfaceConfig::new("wire", capabilities);
        settings.address_check = AddressCheck::OFF;
        let interface = stack.add_interface(settings).expect("a plain interface with a name of its own");
        for (gateway, anywhere) in
            [(GATEWAY_V4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)), (GATEWAY_V6, IpAddr::V6(Ipv6Addr::UNSPECIFIED))]
        {
            let destination = Cidr::new(anywhere, 0).expect("no bits are few enough");
            let route = Route { destination, via: Some(gateway), interface, metric: 0, mtu: None };
            stack.add_route(route).expect("the first route");
            stack.add_static_neighbor(now, interface, gateway, GATEWAY);
        }
        let wire = Wire { capabilities, now, sent: VecDeque::new() };
        let mut machine = Self { stack, now, interface, wire, addresses: BTreeSet::new() };
        machine.adopt(local);
        machine
    }

    /// Makes an address the engine's own, if a host can have it.
    pub(crate) fn adopt(&mut self, address: IpAddr) {
        if !self.addresses.contains(&address)
            && self.stack.add_address(self.now, self.interface, Cidr::host(address)).is_ok()
        {
            self.addresses.insert(address);
        }
    }

    /// A packet arrives.
    pub(crate) fn receive(&mut self, packet: &[u8]) {
        let Some(destination) = destination(packet) else { return };
        self.adopt(destination);
        let ethertype = if destination.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
        let mut frame = vec![0; HEADER_LEN];
        EthernetHeader { dst: OURS, src: GATEWAY, vlan: None, ethertype }.emit(&mut frame);
        frame.extend_from_slice(packet);
        self.stack.handle_frame(self.now, self.interface, &RxFrame::plain(&frame));
    }

    /// The oldest packet that has left and was not looked at.
    pub(crate) fn take_packet(&mut self) -> Option<Packet> {
        self.wire.sent.pop_front()
    }

    /// When the engine wants to be called next.
    pub(crate) fn deadline(&self) -> Instant {
        self.stack.poll_timeout()
    }

    /// Moves the clock, never backwards, and lets the engine do what is due.
    pub(crate) fn move_to(&mut self, time: Instant) {
        self.now = self.now.max(time);
        if self.deadline() <= self.now {
            self.stack.handle_timeout(self.now);
        }
    }

    /// Sends what is to be sent, and hands `each` what happened.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(&mut Stack, Event)) {
        self.wire.now = self.now;
        while !self.stack.poll_transmit(self.now, self.interface, &mut self.wire) {}
        while let Some(event) = self.stack.poll_event() {
            each(&mut self.stack, event);
        }
    }
}
