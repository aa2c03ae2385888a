//! The peer at one end of an emulated link.

use std::collections::VecDeque;

use sim::link::Frame;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::time::Instant as PeerInstant;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpCidr,
};
use stack::Instant;
use std::net::Ipv4Addr;

use super::network::{BEGINNING, FIRST_PORT, Host};

/// What the application reads or writes at once.
const CHUNK: usize = 65_536;

/// A host that sends, or one that receives.
pub(super) struct Peer {
    interface: Interface,
    sockets: SocketSet<'static>,
    flows: Vec<SocketHandle>,
    received: Vec<u64>,
    sends: bool,
    device: Queues,
    chunk: Vec<u8>,
}

impl Peer {
    /// A sender, with a flow for each of `algorithms`; it connects at once.
    pub(super) fn sender(algorithms: &[CongestionControl], buffer: usize) -> Self {
        let mut host = Self::new(1, 2);
        for (flow, &algorithm) in algorithms.iter().enumerate() {
            let mut socket = socket(CHUNK, buffer);
            socket.set_congestion_control(algorithm);
            let remote = (IpAddress::v4(192, 0, 2, 2), FIRST_PORT + flow as u16);
            socket.connect(host.interface.context(), remote, 40_000 + flow as u16).expect("a free port");
            host.flows.push(host.sockets.add(socket));
        }
        host.sends = true;
        host.received = vec![0; algorithms.len()];
        host
    }

    /// A receiver of so many flows.
    pub(super) fn receiver(flows: usize, buffer: usize) -> Self {
        let mut host = Self::new(2, 1);
        for flow in 0..flows {
            let mut socket = socket(buffer, CHUNK);
            socket.listen(FIRST_PORT + flow as u16).expect("a closed socket listens");
            host.flows.push(host.sockets.add(socket));
        }
        host.received = vec![0; flows];
        host
    }

    fn new(number: u8, peer: u8) -> Self {
        let mut device = Queues::default();
        let mut config = Config::new(station(number).into());
        config.random_seed = u64::from(number);
        let now = at(BEGINNING);
        let mut interface = Interface::new(config, &mut device, now);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::v4(192, 0, 2, number), 24)).expect("room for one address");
        });
        // Both hosts know each other, as Wharf's do: what is measured begins with the first SYN.
        device.arrived.push_back(introduction(number, peer));
        let mut sockets = SocketSet::new(Vec::new());
        interface.poll(now, &mut device, &mut sockets);
        device.out.clear();
        Self {
            interface,
            sockets,
            flows: Vec::new(),
            received: Vec::new(),
            sends: false,
            device,
            chunk: vec![7; CHUNK],
        }
    }

    fn serve(&mut self) {
        for (flow, &handle) in self.flows.iter().enumerate() {
            let socket = self.sockets.get_mut::<Socket<'_>>(handle);
            if self.sends {
                while socket.can_send() && socket.send_slice(&self.chunk).is_ok_and(|sent| sent > 0) {}
            } else {
                while socket.can_recv()
                    && let Ok(read @ 1..) = socket.recv_slice(&mut self.chunk)
                {
                    self.received[flow] += read as u64;
                }
            }
        }
    }
}

impl Host for Peer {
    fn take(&mut self, _now: Instant, frame: &Frame) {
        self.device.arrived.push_back(frame.bytes.clone());
    }

    fn turn(&mut self, now: Instant, send: &mut dyn FnMut(Vec<u8>)) {
        // What arrives must not wait for the application, nor the application for the next turn.
        for _ in 0..2 {
            self.interface.poll(at(now), &mut self.device, &mut self.sockets);
            self.serve();
        }
        self.interface.poll(at(now), &mut self.device, &mut self.sockets);
        while let Some(frame) = self.device.out.pop_front() {
            send(frame);
        }
    }

    fn due(&mut self, now: Instant) -> Instant {
        // Its clock has microseconds, so "now" means the next one.
        let next = Instant::from_micros(now.as_nanos() / 1_000 + 1);
        self.interface.poll_at(at(now), &self.sockets).map_or(Instant::NEVER, |due| {
            Instant::from_micros(u64::try_from(due.total_micros()).unwrap_or(0)).max(next)
        })
    }

    fn received(&self) -> &[u64] {
        &self.received
    }

    fn window(&self, _flow: usize) -> Option<u32> {
        None
    }
}

fn at(now: Instant) -> PeerInstant {
    PeerInstant::from_micros((now.as_nanos() / 1_000) as i64)
}

fn station(number: u8) -> EthernetAddress {
    EthernetAddress([0x02, 0, 0, 0, 0, number])
}

fn socket(receive: usize, send: usize) -> Socket<'static> {
    Socket::new(SocketBuffer::new(vec![0; receive]), SocketBuffer::new(vec![0; send]))
}

/// A request by which host `peer` tells host `number` where it is.
fn introduction(number: u8, peer: u8) -> Vec<u8> {
    let arp = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: station(peer),
        source_protocol_addr: Ipv4Addr::new(192, 0, 2, peer),
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: Ipv4Addr::new(192, 0, 2, number),
    };
    let ethernet = EthernetRepr {
        src_addr: station(peer),
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Arp,
    };
    let mut bytes = vec![0; ethernet.buffer_len() + arp.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    ethernet.emit(&mut frame);
    arp.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    bytes
}

/// Frames that arrived and frames that are to go.
#[derive(Default)]
struct Queues {
    arrived: VecDeque<Vec<u8>>,
    out: VecDeque<Vec<u8>>,
}

impl Device for Queues {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _now: PeerInstant) -> Option<(Incoming, Outgoing<'_>)> {
        let frame = self.arrived.pop_front()?;
        Some((Incoming(frame), Outgoing(&mut self.out)))
    }

    fn transmit(&mut self, _now: PeerInstant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.out))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1_514;
        capabilities.checksum = ChecksumCapabilities::default();
        capabilities
    }
}

struct Incoming(Vec<u8>);

impl phy::RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct Outgoing<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.0.push_back(frame);
        result
    }
}
