//! Wharf: two engines, driven as any owner drives them, with applications that hold the other halves of the rings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use device::{Capabilities, Device, RxChecksum, RxFrame, TransmitError, TxChecksum, TxFrame};
use stack::link::{AddressCheck, InterfaceConfig, InterfaceId};
use stack::tcp::{ApplicationRings, ConnectOptions, ConnectionId, ListenOptions, ListenerId, heap_rings};
use stack::{Config, Event, Instant, Stack};
use wire::cidr::Cidr;
use wire::ethernet::MacAddr;

use super::frames::Port;
use super::{Offload, Pair, Setup, is_of_stream, source};

const PORT: u16 = 7;

/// One host.
pub(crate) struct Host {
    pub stack: Stack,
    pub interface: InterfaceId,
    pub device: Ethernet,
    /// When the engine wants to be told that time has passed.
    deadline: Instant,
    /// What happened that the applications have not looked at yet.
    happened: Happened,
}

/// The events that the applications here wait for.
#[derive(Default)]
pub(crate) struct Happened {
    accept: bool,
    stream: bool,
}

/// An application's end of a connection.
pub(crate) struct Socket {
    pub id: ConnectionId,
    pub rings: ApplicationRings,
}

impl Host {
    /// Takes in what has arrived at the device; returns how many frames.
    pub(crate) fn take_in(&mut self, now: Instant) -> usize {
        let Self { stack, interface, device, .. } = self;
        device.receive(usize::MAX, &mut |frame| stack.handle_frame(now, *interface, frame))
    }

    /// Drains the engine: timers that are due, frames, events, the next deadline.
    pub(crate) fn drain(&mut self, now: Instant) {
        self.drain_by(now, Stack::poll_transmit);
    }

    /// The application has written to a connection: drains the engine as well.
    fn push(&mut self, now: Instant, id: ConnectionId) {
        self.drain_by(now, |stack, now, interface, device| stack.tcp_push(now, id, interface, device));
    }

    /// [`drain`](Self::drain) where `transmit` hands the device what there is to send; true if it took everything.
    #[inline(always)]
    fn drain_by(
        &mut self,
        now: Instant,
        transmit: impl FnOnce(&mut Stack, Instant, InterfaceId, &mut dyn Device) -> bool,
    ) {
        let Self { stack, interface, device, deadline, happened } = self;
        if *deadline <= now {
            stack.handle_timeout(now);
        }
        let all = transmit(stack, now, *interface, device);
        debug_assert!(all, "the queue has no end");
        while let Some(event) = stack.poll_event() {
            if matches!(event, Event::Tcp(..)) {
                happened.stream = true;
            } else if matches!(event, Event::Accept(_)) {
                happened.accept = true;
            }
        }
        *deadline = stack.poll_timeout();
    }
}

/// Two hosts: the first is the client and the sender.
pub(crate) struct Hosts {
    pub now: Instant,
    setup: Setup,
    pub hosts: [Host; 2],
    listener: ListenerId,
    /// The connection for bulk and messages: each host's end.
    sockets: Option<[Socket; 2]>,
    /// Bytes sent and received over the bulk connection.
    sent: u64,
    received: u64,
    /// Bytes that each host's application has read since it last told the engine.
    untold: [usize; 2],
    source: Vec<u8>,
    sink: Vec<u8>,
}

impl Hosts {
    pub(crate) fn new(setup: Setup) -> Self {
        let now = Instant::from_secs(1);
        let mut hosts = [host(now, 1, setup), host(now, 2, setup)];
        let mut options = ListenOptions::default();
        let buffer = setup.buffer;
        options.rings = Some(Box::new(move || heap_rings(buffer, buffer)));
        let listener = hosts[1].stack.tcp_listen(address(2), options).expect("a free port");
        Self {
            now,
            setup,
            hosts,
            listener,
            sockets: None,
            sent: 0,
            received: 0,
            untold: [0; 2],
            source: source(),
            sink: vec![0; super::CHUNK as usize],
        }
    }

    /// Hands a host what the other has sent it; returns whether that was anything.
    fn ingress(&mut self, host: usize) -> bool {
        let (first, second) = self.hosts.split_at_mut(1);
        let (own, peer) = if host == 0 { (&mut first[0], &mut second[0]) } else { (&mut second[0], &mut first[0]) };
        own.device.port.exchange(&mut peer.device.port) && own.take_in(self.now) > 0
    }

    /// Drains a host.
    fn egress(&mut self, host: usize) {
        self.hosts[host].drain(self.now);
    }

    /// Passes what the hosts have to say to and fro until `done` returns something. Whoever heard nothing and waits for no time
    /// that has come is left alone.
    fn pass_until<T>(&mut self, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        for _ in 0..1_000_000 {
            if let Some(result) = done(self) {
                return result;
            }
            self.now += Duration::from_micros(1);
            for host in [0, 1] {
                if self.ingress(host) || self.hosts[host].deadline <= self.now {
                    self.egress(host);
                }
            }
        }
        panic!("Wharf's hosts have nothing to say to each other");
    }

    /// Opens a connection from the first host to the second.
    fn connect(&mut self) -> [Socket; 2] {
        let (engine, rings) = heap_rings(self.setup.buffer, self.setup.buffer);
        let client = &mut self.hosts[0].stack;
        let id = client.tcp_connect(self.now, address(2), &ConnectOptions::default(), engine).expect("a route");
        self.egress(0);
        let accepted = self.pass_until(|hosts| {
            if !std::mem::take(&mut hosts.hosts[1].happened.accept) {
                return None;
            }
            hosts.hosts[1].stack.tcp_accept(hosts.now, hosts.listener)
        });
        [Socket { id, rings }, Socket { id: accepted.connection, rings: accepted.rings }]
    }

    fn connected(&mut self) -> [Socket; 2] {
        match self.sockets.take() {
            Some(sockets) => sockets,
            None => self.connect(),
        }
    }

    /// Moves `len` bytes of the stream at its start from `from` to the other host, in one message.
    fn message(&mut self, sockets: &mut [Socket; 2], from: usize, len: usize) {
        let to = 1 - from;
        let sent = sockets[from].rings.send.write(&self.source[..len]);
        assert_eq!(sent, len, "an idle connection takes a whole message");
        self.hosts[from].push(self.now, sockets[from].id);
        let mut read = 0;
        while read < len {
            self.ingress(to);
            let more = sockets[to].rings.receive.read(&mut self.sink[read..len]);
            if more == 0 {
                self.stalled();
            }
            read += more;
        }
        self.tell(to, &sockets[to], len);
        assert!(is_of_stream(0, &self.sink[..len]), "Wharf delivered other bytes");
    }

    /// A host's application has read, and tells its engine once that can matter to the window, as `wharf`'s sockets do.
    #[inline(never)]
    fn tell(&mut self, host: usize, socket: &Socket, read: usize) {
        self.untold[host] += read;
        if self.untold[host] >= self.setup.buffer / 8 {
            self.untold[host] = 0;
            self.hosts[host].stack.tcp_read(self.now, socket.id);
        }
    }

    /// Nothing moves: the clock does, to the next deadline.
    fn stalled(&mut self) {
        let next = self.hosts.iter().map(|host| host.stack.poll_timeout()).min().unwrap_or(Instant::NEVER);
        assert!(!next.is_never(), "Wharf's hosts wait for each other");
        self.now = next.max(self.now + Duration::from_micros(1));
        for host in [0, 1] {
            self.ingress(host);
            self.egress(host);
        }
    }

    /// An application lets go of its end.
    fn close(&mut self, host: usize, socket: Socket) {
        self.hosts[host].stack.tcp_close(self.now, socket.id);
        drop(socket);
        self.egress(host);
    }
}

impl Pair for Hosts {
    fn bulk(&mut self, bytes: u64) {
        let mut sockets = self.connected();
        let end = self.sent + bytes;
        while self.received < end {
            self.now += Duration::from_micros(1);
            let (sent, received) = (self.sent, self.received);
            let from = (self.sent % super::CHUNK) as usize;
            let len = (end - self.sent).min(super::CHUNK) as usize;
            let written = sockets[0].rings.send.write(&self.source[from..from + len]);
            self.sent += written as u64;
            self.hosts[0].stack.tcp_wrote(self.now, sockets[0].id);
            self.egress(0);
            self.ingress(1);
            let read = sockets[1].rings.receive.read(&mut self.sink);
            assert!(is_of_stream(self.received, &self.sink[..read]), "Wharf delivered other bytes");
            self.received += read as u64;
            self.tell(1, &sockets[1], read);
            self.egress(1);
            self.ingress(0);
            if (self.sent, self.received) == (sent, received) {
                self.stalled();
            }
        }
        self.sockets = Some(sockets);
    }

    fn round_trips(&mut self, count: u64) {
        let mut sockets = self.connected();
        for _ in 0..count {
            self.now += Duration::from_micros(1);
            self.message(&mut sockets, 0, 64);
            self.message(&mut sockets, 1, 64);
        }
        self.sockets = Some(sockets);
    }

    fn connections(&mut self, count: u64) {
        for _ in 0..count {
            let [client, server] = self.connect();
            self.close(0, client);
            self.pass_until(|_| server.rings.receive.is_finished().then_some(()));
            // Who has read the end, and has nothing more to say, lets go: that ends the other direction.
            self.close(1, server);
            self.pass_until(|hosts| (hosts.hosts[1].stack.tcp_counts().0 == 0).then_some(()));
        }
    }
}

pub(crate) const fn ip(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))
}

const fn address(number: u8) -> SocketAddr {
    SocketAddr::new(ip(number), PORT)
}

/// A host: number 1 is 192.0.2.1.
fn host(now: Instant, number: u8, setup: Setup) -> Host {
    let mut config = Config::default();
    config.tcp.timestamps = setup.timestamps;
    // So short that a connection's whole life falls into the measurement, its end included.
    config.tcp.time_wait = Duration::from_millis(1);
    host_with(now, number, setup.offload, config)
}

/// A host with an engine of these settings.
pub(crate) fn host_with(now: Instant, number: u8, offload: Offload, config: Config) -> Host {
    let segmentation = offload == Offload::Segmentation;
    let mut capabilities = Capabilities::plain(mac(number), 1_500);
    capabilities.tx_checksum = offload != Offload::Nothing;
    capabilities.tx_segmentation = segmentation.then_some(65_535);
    let device = Ethernet { port: Port::new(segmentation), capabilities };
    let mut stack = Stack::new(config, [number; 32]);
    let mut interface = InterfaceConfig::new("pair0", capabilities);
    interface.address_check = AddressCheck::OFF;
    let interface = stack.add_interface(interface).expect("a name, an address and an MTU as they should be");
    let cidr = Cidr::new(ip(number), 24).expect("24 bits of 32");
    stack.add_address(now, interface, cidr).expect("an address for a host");
    Host { stack, interface, device, deadline: Instant::ZERO, happened: Happened::default() }
}

/// The address on the link of host `number`.
pub(crate) const fn mac(number: u8) -> MacAddr {
    MacAddr([0x02, 0, 0, 0, 0, number])
}

/// One end of the queue as Wharf sees it.
pub(crate) struct Ethernet {
    pub port: Port,
    capabilities: Capabilities,
}

impl Device for Ethernet {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        // Whose checksum is left to the device crosses no wire on which it could be damaged.
        let verified = frame.checksum != TxChecksum::Complete;
        self.port.sender().send_filled(frame.segment_size, verified, |buffer| frame.copy_to(buffer));
        Ok(())
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        let frames = self.port.take(budget);
        for frame in frames {
            let checksum = if frame.verified { RxChecksum::Verified } else { RxChecksum::Unverified };
            input(&RxFrame { bytes: frame.bytes(), checksum, segment_size: frame.segment_size });
        }
        frames.len()
    }
}
