//! The peer: two of smoltcp's interfaces, each with the sockets that the work needs.

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, SocketHandle, SocketSet};
use smoltcp::phy::{self, ChecksumCapabilities, Device, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use super::frames::{Frame, Port, Sender};
use super::{Offload, Pair, Setup, is_of_stream, source};

const PORT: u16 = 7;

/// One host.
pub(crate) struct Host {
    pub interface: Interface,
    pub sockets: SocketSet<'static>,
    /// The socket of the work.
    pub socket: SocketHandle,
    pub device: Ethernet,
}

/// Two hosts: the first is the client and the sender.
pub(crate) struct Hosts {
    pub now: Instant,
    setup: Setup,
    pub hosts: [Host; 2],
    next_port: u16,
    /// Bytes sent and received over the bulk connection.
    sent: u64,
    received: u64,
    source: Vec<u8>,
    sink: Vec<u8>,
}

impl Hosts {
    pub(crate) fn new(setup: Setup) -> Self {
        let now = Instant::from_secs(1);
        Self {
            now,
            setup,
            hosts: [host(now, 1, setup), host(now, 2, setup)],
            next_port: 32_768,
            sent: 0,
            received: 0,
            source: source(),
            sink: vec![0; super::CHUNK as usize],
        }
    }

    fn socket(&mut self, host: usize) -> &mut Socket<'static> {
        let Host { sockets, socket, .. } = &mut self.hosts[host];
        sockets.get_mut(*socket)
    }

    /// Hands a host what the other has sent it; returns whether that was anything.
    fn ingress(&mut self, host: usize) -> bool {
        let (first, second) = self.hosts.split_at_mut(1);
        let (own, peer) = if host == 0 { (&mut first[0], &mut second[0]) } else { (&mut second[0], &mut first[0]) };
        if !own.device.port.exchange(&mut peer.device.port) {
            return false;
        }
        let Host { interface, sockets, device, .. } = own;
        let mut any = false;
        while interface.poll_ingress_single(self.now, device, sockets) != PollIngressSingleResult::None {
            any = true;
        }
        any
    }

    fn egress(&mut self, host: usize) {
        let Host { interface, sockets, device, .. } = &mut self.hosts[host];
        // `poll_egress` alone sends one packet of each socket.
        interface.poll(self.now, device, sockets);
    }

    /// Passes what the hosts have to say to and fro until `done`; the clock moves on where nothing else does. Whoever heard
    /// nothing is left alone, unless nobody heard anything: then it may be a timer that something waits for.
    fn pass_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let mut turns = 0;
        while !done(self) {
            self.now += Duration::from_micros(1);
            let mut any = false;
            for host in [0, 1] {
                if self.ingress(host) {
                    any = true;
                    self.egress(host);
                }
            }
            if !any {
                [0, 1].into_iter().for_each(|host| self.egress(host));
            }
            turns += 1;
            assert!(turns < 1_000_000, "smoltcp's hosts have nothing to say to each other");
        }
    }

    /// Opens a connection from the first host to the second.
    fn connect(&mut self) {
        self.socket(1).listen(PORT).expect("a closed socket listens");
        let port = self.next_port;
        self.next_port = self.next_port.checked_add(1).unwrap_or(32_768);
        let Host { interface, sockets, socket, .. } = &mut self.hosts[0];
        let remote = (address(2), PORT);
        sockets.get_mut::<Socket<'_>>(*socket).connect(interface.context(), remote, port).expect("a free port");
        self.egress(0);
        self.pass_until(|hosts| {
            hosts.socket(0).state() == State::Established && hosts.socket(1).state() == State::Established
        });
    }

    fn connect_once(&mut self) {
        if self.socket(0).state() == State::Closed {
            self.connect();
        }
    }

    /// Moves `len` bytes of the stream at its start from `from` to the other host, in one message.
    fn message(&mut self, from: usize, len: usize) {
        let to = 1 - from;
        let Host { sockets, socket, .. } = &mut self.hosts[from];
        let sent = sockets.get_mut::<Socket<'_>>(*socket).send_slice(&self.source[..len]).expect("an open connection");
        assert_eq!(sent, len, "an idle connection takes a whole message");
        self.egress(from);
        let mut read = 0;
        while read < len {
            self.ingress(to);
            let Host { sockets, socket, .. } = &mut self.hosts[to];
            let socket = sockets.get_mut::<Socket<'_>>(*socket);
            let more = socket.recv_slice(&mut self.sink[read..len]).expect("an open connection");
            if more == 0 {
                self.stalled();
            }
            read += more;
        }
        assert!(is_of_stream(0, &self.sink[..len]), "smoltcp delivered other bytes");
    }

    /// Nothing moves: the clock does, to the next deadline.
    fn stalled(&mut self) {
        let now = self.now;
        let deadlines = self.hosts.iter_mut().filter_map(|host| host.interface.poll_at(now, &host.sockets));
        let next = deadlines.min().expect("smoltcp's hosts wait for each other");
        self.now = next.max(self.now + Duration::from_micros(1));
        for host in [0, 1] {
            self.ingress(host);
            self.egress(host);
        }
    }
}

impl Pair for Hosts {
    fn bulk(&mut self, bytes: u64) {
        self.connect_once();
        let end = self.sent + bytes;
        while self.received < end {
            self.now += Duration::from_micros(1);
            let (sent, received) = (self.sent, self.received);
            let from = (self.sent % super::CHUNK) as usize;
            let len = (end - self.sent).min(super::CHUNK) as usize;
            let Host { sockets, socket, .. } = &mut self.hosts[0];
            let chunk = &self.source[from..from + len];
            let sent_now = sockets.get_mut::<Socket<'_>>(*socket).send_slice(chunk).expect("an open connection");
            self.sent += sent_now as u64;
            self.egress(0);
            self.ingress(1);
            let Host { sockets, socket, .. } = &mut self.hosts[1];
            let read =
                sockets.get_mut::<Socket<'_>>(*socket).recv_slice(&mut self.sink[..]).expect("an open connection");
            assert!(is_of_stream(self.received, &self.sink[..read]), "smoltcp delivered other bytes");
            self.received += read as u64;
            self.egress(1);
            self.ingress(0);
            if (self.sent, self.received) == (sent, received) {
                self.stalled();
            }
        }
    }

    fn round_trips(&mut self, count: u64) {
        self.connect_once();
        for _ in 0..count {
            self.now += Duration::from_micros(1);
            self.message(0, 64);
            self.message(1, 64);
        }
    }

    fn connections(&mut self, count: u64) {
        for _ in 0..count {
            self.connect();
            self.socket(0).close();
            self.egress(0);
            self.pass_until(|hosts| hosts.socket(1).state() == State::CloseWait);
            self.socket(1).close();
            self.egress(1);
            self.pass_until(|hosts| {
                hosts.socket(1).state() == State::Closed && hosts.socket(0).state() == State::TimeWait
            });
            // A socket in TIME-WAIT is of no use for ten seconds; an application takes another.
            let fresh = socket(self.setup);
            let Host { sockets, socket, .. } = &mut self.hosts[0];
            sockets.remove(*socket);
            *socket = sockets.add(fresh);
        }
    }
}

const fn address(number: u8) -> IpAddress {
    IpAddress::v4(192, 0, 2, number)
}

/// A host: number 1 is 192.0.2.1.
pub(crate) fn host(now: Instant, number: u8, setup: Setup) -> Host {
    let mut device = Ethernet { port: Port::new(setup.offload == Offload::Segmentation), offload: setup.offload };
    let mut config = Config::new(EthernetAddress([0x02, 0, 0, 0, 0, number]).into());
    config.random_seed = u64::from(number);
    let mut interface = Interface::new(config, &mut device, now);
    interface.update_ip_addrs(|addresses| {
        addresses.push(IpCidr::new(address(number), 24)).expect("room for one address");
    });
    let mut sockets = SocketSet::new(Vec::with_capacity(1));
    let socket = sockets.add(socket(setup));
    Host { interface, sockets, socket, device }
}

fn socket(setup: Setup) -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; setup.buffer]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_congestion_control(CongestionControl::Reno);
    socket
}

/// One end of the queue as smoltcp sees it.
pub(crate) struct Ethernet {
    pub port: Port,
    offload: Offload,
}

impl Device for Ethernet {
    type RxToken<'a> = Incoming<'a>;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Incoming<'_>, Outgoing<'_>)> {
        let (frame, sender) = self.port.receive()?;
        Some((Incoming(frame), Outgoing { sender, segment_size: None }))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing { sender: self.port.sender(), segment_size: None })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1_514;
        if self.offload != Offload::Nothing {
            capabilities.checksum = ChecksumCapabilities::ignored();
        }
        if self.offload == Offload::Segmentation {
            // Ethernet's header and the largest IPv4 packet.
            capabilities.segmentation.tcpv4 = std::num::NonZeroUsize::new(14 + 65_535);
        }
        capabilities
    }
}

/// A frame that arrived.
pub(crate) struct Incoming<'a>(&'a Frame);

impl phy::RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0.bytes())
    }
}

/// Room for a frame to send.
pub(crate) struct Outgoing<'a> {
    sender: Sender<'a>,
    segment_size: Option<u16>,
}

impl phy::TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        self.sender.send(len, self.segment_size, true, write)
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment_size = meta.segmentation_offload_size.map(std::num::NonZeroU16::get);
    }
}
