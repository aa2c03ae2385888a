//! The peer with idle connections.

use smoltcp::iface::{Interface, PollIngressSingleResult, PollResult, SocketSet};
use smoltcp::socket::Socket as Any;
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr};

use crate::case::Work;
use crate::crowd::{self, Crowd};
use crate::pair::BULK;
use crate::pair::Setup;
use crate::pair::frames::Port;
use crate::pair::smoltcp::{Ethernet, Host, Hosts, host};

/// Opens connections until there are `count`, on sockets that `make` makes, and hands each to `with`.
///
/// Each is opened with a set of sockets of its own: smoltcp looks at every socket for every frame, and what is measured
/// is what they cost once they are there.
pub(crate) fn open(
    interface: &mut Interface,
    device: &mut Ethernet,
    now: &mut Instant,
    crowd: &Crowd,
    count: u32,
    mut make: impl FnMut() -> Socket<'static>,
    mut with: impl FnMut(Socket<'static>),
) {
    let mut alone = SocketSet::new(Vec::with_capacity(1));
    for address in crowd::addresses(count) {
        introduce(&mut device.port, crowd, address);
        exchange(interface, device, *now, crowd, &mut alone);
    }
    for peer in 0..count {
        *now += Duration::from_micros(1);
        let mut socket = make();
        socket.listen(crowd.port).expect("a closed socket listens");
        let handle = alone.add(socket);
        crowd.connect(&mut device.port, peer, milliseconds(*now));
        exchange(interface, device, *now, crowd, &mut alone);
        // As it is built here, it knows no other kind.
        let Any::Tcp(socket) = alone.remove(handle);
        assert_eq!(socket.state(), State::Established, "smoltcp opens a connection");
        with(socket);
    }
}

/// Carries segments between the host and the crowd until neither has more to say.
pub(crate) fn exchange(
    interface: &mut Interface,
    device: &mut Ethernet,
    now: Instant,
    crowd: &Crowd,
    sockets: &mut SocketSet<'static>,
) {
    loop {
        while interface.poll_ingress_single(now, device, sockets) != PollIngressSingleResult::None {}
        while interface.poll(now, device, sockets) == PollResult::SocketStateChanged {}
        if !crowd.answer(&mut device.port, milliseconds(now)) {
            return;
        }
    }
}

/// smoltcp learns where an address is from a request that asks for its own.
fn introduce(port: &mut Port, crowd: &Crowd, address: std::net::Ipv4Addr) {
    let arp = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(crowd::STATION.0),
        source_protocol_addr: address,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: crowd.address,
    };
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(crowd::STATION.0),
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Arp,
    };
    port.other_sender().send(ethernet.buffer_len() + arp.buffer_len(), None, false, |bytes| {
        let mut frame = EthernetFrame::new_unchecked(bytes);
        ethernet.emit(&mut frame);
        arp.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    });
}

fn milliseconds(now: Instant) -> u32 {
    now.total_millis() as u32
}

/// A socket with buffers for an idle connection's handful of bytes.
fn small() -> Socket<'static> {
    Socket::new(SocketBuffer::new(vec![0; 64]), SocketBuffer::new(vec![0; 64]))
}

/// One host that has nothing to do.
pub(crate) struct Polled {
    now: Instant,
    host: Host,
}

impl Polled {
    pub(crate) fn new(idle: u32) -> Self {
        let mut now = Instant::from_secs(1);
        let mut host = host(now, 1, BULK);
        host.sockets.remove(host.socket);
        populate(&mut host, 1, &mut now, idle, Some(Duration::from_secs(7_200)));
        Self { now, host }
    }
}

impl Work for Polled {
    fn run(&mut self, count: u64) {
        for _ in 0..count {
            self.now += Duration::from_micros(1);
            let Host { interface, sockets, device, .. } = &mut self.host;
            // As its documentation has it: the deadline, and what is to be done by then.
            std::hint::black_box(interface.poll_at(self.now, sockets));
            interface.poll(self.now, device, sockets);
        }
    }
}

/// Two hosts, both with idle connections, and a connection between them.
pub(crate) fn busy(setup: Setup, idle: u32) -> Hosts {
    let mut hosts = Hosts::new(setup);
    for number in [1, 2] {
        let Hosts { hosts, now, .. } = &mut hosts;
        populate(&mut hosts[usize::from(number) - 1], number, now, idle, None);
    }
    hosts
}

fn populate(host: &mut Host, number: u8, now: &mut Instant, idle: u32, keep_alive: Option<Duration>) {
    let Host { interface, sockets, device, .. } = host;
    let mut opened = Vec::with_capacity(idle as usize);
    open(interface, device, now, &super::wharf::crowd(number, false), idle, small, |socket| opened.push(socket));
    for mut socket in opened {
        socket.set_keep_alive(keep_alive);
        sockets.add(socket);
    }
}
