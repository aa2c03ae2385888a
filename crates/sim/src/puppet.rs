//! A peer made by hand: the test says which segments it sends, and sees what the engine answers and when.
//!
//! Sequence numbers are relative: both sides' SYN has the number 0, the first byte 1, whatever the engine's initial
//! sequence number was. So a script reads like a trace.

mod segment;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use device::{Capabilities, Device, RxFrame, TransmitError, TxFrame};
use stack::event::Readiness;
use stack::link::{AddressCheck, InterfaceConfig, InterfaceId};
use stack::tcp::{
    Accepted, ApplicationRings, ConnectOptions, ConnectionId, ListenOptions, ListenerId, Phase, SocketOption, TcpError,
    TcpInfo, heap_rings,
};
use stack::{Config, Event, Instant, Stack};
use wire::cidr::Cidr;
use wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;
use wire::tcp::{SeqNum, TcpFlags, TcpHeader, TcpOptions};

pub use segment::{Seg, seg};

/// The engine's address.
pub const ENGINE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The puppet's address.
pub const PUPPET: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The engine's port in [`Puppet::accept`]'s connections.
pub const ENGINE_PORT: u16 = 80;
/// The puppet's port.
pub const PUPPET_PORT: u16 = 40_000;
/// The puppet's initial sequence number on the wire: near the wrap, so that every script crosses it.
const PUPPET_ISN: SeqNum = SeqNum(u32::MAX - 700);

const ENGINE_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PUPPET_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// A segment that the engine sent, in relative numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When, from the puppet's beginning.
    pub at: Duration,
    /// Sequence number, relative to the engine's ISN.
    pub seq: u32,
    /// Acknowledgement number, relative to the puppet's ISN; 0 without the ACK bit.
    pub ack: u32,
    /// The control bits.
    pub flags: TcpFlags,
    /// The window field, not scaled.
    pub window: u16,
    /// The options.
    pub options: TcpOptions,
    /// The SACK blocks in their order, relative to the puppet's ISN.
    pub sack: Vec<(u32, u32)>,
    /// The text.
    pub text: Vec<u8>,
    /// The IP header's TOS byte: DSCP and ECN.
    pub tos: u8,
    /// The urgent pointer.
    pub urgent: u16,
}

impl Seen {
    /// A line like "0.200 P. 1:1461 ack 1", to compare a whole exchange with; with SACK blocks " sack 1461:2921" follows,
    /// with the URG bit " urg 1", with a user timeout of three minutes " uto 180".
    #[must_use]
    pub fn line(&self) -> String {
        let mut flags = String::new();
        for (bit, name) in [
            (TcpFlags::SYN, "S"),
            (TcpFlags::FIN, "F"),
            (TcpFlags::RST, "R"),
            (TcpFlags::PSH, "P"),
            (TcpFlags::URG, "U"),
            (TcpFlags::ECE, "E"),
            (TcpFlags::CWR, "W"),
        ] {
            if self.flags.contains(bit) {
                flags.push_str(name);
            }
        }
        if self.flags.contains(TcpFlags::ACK) {
            flags.push('.');
        }
        let end = self.seq.wrapping_add(self.text.len() as u32);
        let (seconds, millis) = (self.at.as_secs(), self.at.subsec_millis());
        let mut line = format!("{seconds}.{millis:03} {flags} {}:{end} ack {}", self.seq, self.ack);
        for (index, (start, end)) in self.sack.iter().enumerate() {
            line.push_str(if index == 0 { " sack " } else { " " });
            line.push_str(&format!("{start}:{end}"));
        }
        if self.flags.contains(TcpFlags::URG) || self.urgent > 0 {
            line.push_str(&format!(" urg {}", self.urgent));
        }
        if let Some(user_timeout) = self.options.user_timeout {
            line.push_str(&format!(" uto {}", user_timeout.duration().as_secs()));
        }
        line
    }
}

/// An engine, and the hand that plays its peer.
pub struct Puppet {
    /// The engine.
    pub stack: Stack,
    /// Its interface.
    pub interface: InterfaceId,
    /// Its connection, once there is one.
    pub connection: Option<ConnectionId>,
    /// The application's halves of the connection's rings.
    pub rings: Option<ApplicationRings>,
    /// Events that were not read yet.
    pub events: VecDeque<Event>,
    /// The port on the engine's side.
    pub port: u16,
    /// Whether connections size their buffers by themselves; otherwise they are as large as the script says.
    pub autotuned: bool,
    start: Instant,
    now: Instant,
    engine_isn: SeqNum,
    device: Tape,
}

impl Puppet {
    /// An engine with `config` on a link of MTU 1500, and a silent peer.
    ///
    /// # Panics
    /// Never, as long as the engine takes a plain interface.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::on_link(config, 1500, false)
    }

    /// An engine whose owner decides about every connection request, whatever address it is for.
    #[must_use]
    pub fn any_address(config: Config) -> Self {
        Self::on_link(config, 1500, true)
    }

    /// An engine on a link of another MTU.
    #[must_use]
    pub fn with_mtu(config: Config, mtu: u32) -> Self {
        Self::on_link(config, mtu, false)
    }

    fn on_link(config: Config, mtu: u32, any_address: bool) -> Self {
        let start = Instant::from_secs(100);
        let capabilities = Capabilities::plain(ENGINE_MAC, mtu);
        let mut stack = Stack::new(config, [7; 32]);
        let mut settings = InterfaceConfig::new("sim0", capabilities);
        settings.address_check = AddressCheck::OFF;
        settings.any_address = any_address;
        let interface = stack.add_interface(settings).expect("a plain interface");
        let cidr = Cidr::new(IpAddr::V4(ENGINE), 24).expect("24 bits of 32");
        stack.add_address(start, interface, cidr).expect("an address for a host");
        stack.add_static_neighbor(start, interface, IpAddr::V4(PUPPET), PUPPET_MAC);
        let mut puppet = Self {
            stack,
            interface,
            connection: None,
            rings: None,
            events: VecDeque::new(),
            port: ENGINE_PORT,
            autotuned: false,
            start,
            now: start,
            engine_isn: SeqNum(0),
            device: Tape { capabilities, frames: VecDeque::new(), full: false },
        };
        // The announcement of the address is not what scripts are about.
        puppet.drain();
        puppet.device.frames.clear();
        puppet
    }

    /// The time since the beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now.since(self.start)
    }

    /// The time as the engine is told it.
    #[must_use]
    pub fn instant(&self) -> Instant {
        self.now
    }

    /// Lets the engine connect to the puppet.
    ///
    /// # Panics
    /// If the engine refuses.
    pub fn connect(&mut self, options: &ConnectOptions) {
        self.connect_with(options, 1 << 20, 65_535);
    }

    /// [`connect`](Self::connect) with these sizes of the send and receive ring.
    ///
    /// # Panics
    /// If the engine refuses.
    pub fn connect_with(&mut self, options: &ConnectOptions, send: usize, receive: usize) {
        let (engine, rings) = heap_rings(send, receive);
        let mut options = options.clone();
        if !self.autotuned {
            // Scripts count on the sizes that they name.
            options.socket.send_buffer.get_or_insert(send as u32);
            options.socket.receive_buffer.get_or_insert(receive as u32);
        }
        let remote = SocketAddr::new(IpAddr::V4(PUPPET), PUPPET_PORT);
        let id = self.stack.tcp_connect(self.now, remote, &options, engine).expect("a route to the puppet");
        self.port = self.stack.tcp_addresses(id).expect("a new connection").0.port();
        self.connection = Some(id);
        self.rings = Some(rings);
        self.drain();
    }

    /// Lets the engine listen on port 80.
    ///
    /// # Panics
    /// If the engine refuses.
    pub fn listen(&mut self, options: ListenOptions) -> ListenerId {
        let local = SocketAddr::new(IpAddr::V4(ENGINE), ENGINE_PORT);
        self.stack.tcp_listen(local, options).expect("a free port")
    }

    /// Takes the connection that waits at `listener`.
    ///
    /// # Panics
    /// If there is none.
    pub fn accept(&mut self, listener: ListenerId) {
        let Accepted { connection, rings, .. } =
            self.stack.tcp_accept(self.now, listener).expect("a connection that waits");
        self.connection = Some(connection);
        self.rings = Some(rings);
        self.drain();
    }

    /// An established connection that the engine opened, on which nothing was sent yet: the puppet's SYN had `syn`'s
    /// options and window.
    ///
    /// # Panics
    /// If the handshake does not go as it should.
    #[must_use]
    pub fn established(config: Config, syn: Seg) -> Self {
        let mut puppet = Self::new(config);
        puppet.connect(&ConnectOptions::default());
        let seen = puppet.take();
        assert_eq!(seen.len(), 1, "one SYN: {seen:?}");
        puppet.send(&syn.ack(1).flags(TcpFlags::SYN));
        let seen = puppet.take();
        assert_eq!(seen.len(), 1, "one ACK of the SYN-ACK: {seen:?}");
        puppet
    }

    /// [`established`](Self::established) with these sizes of the send and receive ring, and these settings.
    ///
    /// # Panics
    /// If the handshake does not go as it should.
    #[must_use]
    pub fn established_with(config: Config, syn: Seg, options: &ConnectOptions, send: usize, receive: usize) -> Self {
        let mut puppet = Self::new(config);
        puppet.connect_with(options, send, receive);
        puppet.send(&syn.ack(1).flags(TcpFlags::SYN));
        assert_eq!(puppet.take().len(), 2, "a SYN, and the ACK of the SYN-ACK");
        puppet
    }

    /// An established connection that the puppet opened and the application accepted: the puppet's SYN is `syn`, its ACK
    /// `ack`.
    ///
    /// # Panics
    /// If the handshake does not go as it should.
    #[must_use]
    pub fn accepted(config: Config, syn: Seg, ack: &Seg) -> (Self, ListenerId) {
        let mut puppet = Self::new(config);
        let listener = puppet.listen(ListenOptions::default());
        puppet.send(&syn.flags(TcpFlags::SYN));
        puppet.send(ack);
        puppet.accept(listener);
        assert_eq!(puppet.take().len(), 1, "one SYN-ACK");
        (puppet, listener)
    }

    /// The number on the wire that the engine's sequence numbers are relative to: its last SYN's.
    #[must_use]
    pub fn engine_isn(&self) -> SeqNum {
        self.engine_isn
    }

    /// Takes the engine's sequence numbers relative to `isn` from now on: those of a connection that is not the last one.
    pub fn count_from(&mut self, isn: SeqNum) {
        self.engine_isn = isn;
    }

    /// The connection's state.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.stack.tcp_phase(self.id())
    }

    /// The connection's inner figures.
    ///
    /// # Panics
    /// If there is no connection.
    #[must_use]
    pub fn info(&self) -> TcpInfo {
        self.stack.tcp_info(self.id()).expect("a connection")
    }

    /// Takes the connection's error.
    pub fn error(&mut self) -> Option<TcpError> {
        self.stack.tcp_error(self.id())
    }

    /// Everything that the events not read yet say of the connection; they are read now.
    pub fn news(&mut self) -> Readiness {
        let id = self.connection;
        self.events.drain(..).fold(Readiness::NONE, |all, event| match event {
            Event::Tcp(of, news) if Some(of) == id => all | news,
            _ => all,
        })
    }

    /// The connection's handle.
    ///
    /// # Panics
    /// If there is no connection.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.connection.expect("a connection")
    }

    /// The application writes; all of it must fit.
    ///
    /// # Panics
    /// If it does not.
    pub fn write(&mut self, bytes: &[u8]) {
        let rings = self.rings.as_mut().expect("a connection");
        assert_eq!(rings.send.write(bytes), bytes.len(), "room in the send ring");
        self.stack.tcp_wrote(self.now, self.id());
        self.drain();
    }

    /// The application has more to write, or no longer.
    ///
    /// # Panics
    /// If there is no connection.
    pub fn cork(&mut self, on: bool) {
        self.stack.tcp_set_option(self.now, self.id(), SocketOption::Cork(on));
        self.drain();
    }

    /// As [`write`](Self::write), where the engine is told and drained in one call. Returns whether the device took all.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let (id, rings) = (self.id(), self.rings.as_mut().expect("a connection"));
        assert_eq!(rings.send.write(bytes), bytes.len(), "room in the send ring");
        self.drain_by(|stack, now, interface, device| stack.tcp_push(now, id, interface, device))
    }

    /// The application writes urgent data; all of it must fit.
    ///
    /// # Panics
    /// If it does not.
    pub fn write_urgent(&mut self, bytes: &[u8]) {
        let id = self.id();
        let rings = self.rings.as_mut().expect("a connection");
        assert_eq!(rings.send.write(bytes), bytes.len(), "room in the send ring");
        self.stack.tcp_wrote_urgent(self.now, id, rings.send.position());
        self.drain();
    }

    /// The application reads at most `most` bytes.
    ///
    /// # Panics
    /// If there is no connection.
    pub fn read(&mut self, most: usize) -> Vec<u8> {
        let rings = self.rings.as_mut().expect("a connection");
        let mut bytes = vec![0; most.min(rings.receive.len())];
        rings.receive.read(&mut bytes);
        self.stack.tcp_read(self.now, self.id());
        self.drain();
        bytes
    }

    /// The application ends its stream.
    ///
    /// # Panics
    /// If there is no connection.
    pub fn finish(&mut self) {
        self.rings.as_mut().expect("a connection").send.finish();
        self.stack.tcp_wrote(self.now, self.id());
        self.drain();
    }

    /// The application lets go.
    pub fn close(&mut self) {
        self.stack.tcp_close(self.now, self.id());
        self.drain();
    }

    /// The puppet sends a segment.
    pub fn send(&mut self, segment: &Seg) {
        let frame = self.frame(segment);
        self.send_frame(&frame);
    }

    /// The puppet sends several in one batch: the engine answers after the last.
    pub fn send_batch(&mut self, segments: &[Seg]) {
        for segment in segments {
            let frame = self.frame(segment);
            self.stack.handle_frame(self.now, self.interface, &RxFrame::plain(&frame));
        }
        self.drain();
    }

    /// A frame of the test's own making arrives.
    pub fn send_frame(&mut self, frame: &[u8]) {
        self.stack.handle_frame(self.now, self.interface, &RxFrame::plain(frame));
        self.drain();
    }

    /// The whole frame of a segment, complete with checksums.
    ///
    /// # Panics
    /// If the segment has more SACK blocks than an option holds.
    #[must_use]
    pub fn frame(&self, segment: &Seg) -> Vec<u8> {
        let from = SocketAddrV4::new(PUPPET, PUPPET_PORT);
        self.frame_between(from, SocketAddrV4::new(ENGINE, self.port), segment)
    }

    /// [`frame`](Self::frame) from and to others than the puppet and its connection.
    ///
    /// # Panics
    /// If the segment has more SACK blocks than an option holds.
    #[must_use]
    pub fn frame_between(&self, from: SocketAddrV4, to: SocketAddrV4, segment: &Seg) -> Vec<u8> {
        let mut flags = segment.flags;
        if segment.ack.is_some() {
            flags |= TcpFlags::ACK;
        }
        let mut options = segment.options;
        for &(start, end) in &segment.sack {
            assert!(options.sack.push(self.engine_isn + start, self.engine_isn + end), "at most four blocks");
        }
        let header = TcpHeader {
            src_port: from.port(),
            dst_port: to.port(),
            seq: PUPPET_ISN + segment.seq,
            ack: segment.ack.map_or(SeqNum(0), |ack| self.engine_isn + ack),
            flags,
            window: segment.window,
            urgent: segment.urgent,
            options,
        };
        let mut tcp = vec![0; header.len()];
        header.emit(&mut tcp);
        tcp.extend_from_slice(&segment.text);
        TcpHeader::fill_checksum(&mut tcp, IpAddr::V4(*from.ip()), IpAddr::V4(*to.ip()));
        frame_with_tos(*from.ip(), *to.ip(), Protocol::TCP, segment.tos, &tcp)
    }

    /// What the engine has sent since the last call.
    pub fn take(&mut self) -> Vec<Seen> {
        self.take_with_frames(|_| {})
    }

    /// [`take`](Self::take), showing every frame to `look` as well, of whatever protocol.
    pub fn take_with_frames(&mut self, mut look: impl FnMut(&[u8])) -> Vec<Seen> {
        let frames: Vec<(Instant, Vec<u8>)> = self.device.frames.drain(..).collect();
        frames.iter().for_each(|(_, frame)| look(frame));
        frames.iter().filter_map(|(at, frame)| self.see(*at, frame)).collect()
    }

    /// [`take`](Self::take) as lines.
    pub fn lines(&mut self) -> Vec<String> {
        self.take().iter().map(Seen::line).collect()
    }

    /// Every frame that the engine has sent since the last call, of whatever protocol.
    pub fn take_frames(&mut self) -> Vec<Vec<u8>> {
        self.device.frames.drain(..).map(|(_, frame)| frame).collect()
    }

    /// Lets `span` pass; every deadline of the engine is kept to the nanosecond.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let due = self.stack.poll_timeout().max(self.now);
            if due > end {
                self.now = end;
                return;
            }
            self.now = due;
            self.stack.handle_timeout(self.now);
            self.drain();
        }
    }

    /// Moves the clock to any time after or before the beginning, and tells the engine.
    pub fn jump_to(&mut self, at: Duration) {
        self.now = self.start + at;
        self.stack.handle_timeout(self.now);
        self.drain();
    }

    /// Whether the device takes frames; one that is full refuses all.
    pub fn set_device_full(&mut self, full: bool) {
        self.device.full = full;
        self.drain();
    }

    /// Lets the engine send what it has to send.
    pub fn drain(&mut self) {
        self.drain_by(Stack::poll_transmit);
    }

    fn drain_by(&mut self, transmit: impl FnOnce(&mut Stack, Instant, InterfaceId, &mut dyn Device) -> bool) -> bool {
        let before = self.device.frames.len();
        let all = transmit(&mut self.stack, self.now, self.interface, &mut self.device);
        while let Some(event) = self.stack.poll_event() {
            self.events.push_back(event);
        }
        for index in before..self.device.frames.len() {
            self.device.frames[index].0 = self.now;
            // The engine's SYN tells its initial sequence number.
            if let Some((header, ..)) = parse(&self.device.frames[index].1)
                && header.flags.contains(TcpFlags::SYN)
            {
                self.engine_isn = header.seq;
            }
        }
        all
    }

    fn see(&self, at: Instant, frame: &[u8]) -> Option<Seen> {
        let (header, text, tos) = parse(frame)?;
        let ack = if header.flags.contains(TcpFlags::ACK) { header.ack - PUPPET_ISN } else { 0 };
        Some(Seen {
            at: at.since(self.start),
            seq: header.seq - self.engine_isn,
            ack,
            flags: header.flags,
            window: header.window,
            options: header.options,
            sack: header.options.sack.iter().map(|(start, end)| (start - PUPPET_ISN, end - PUPPET_ISN)).collect(),
            text,
            tos,
            urgent: header.urgent,
        })
    }
}

/// An Ethernet frame with an IPv4 packet from the puppet to the engine.
#[must_use]
pub fn frame_of(protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    frame_between(PUPPET, ENGINE, protocol, payload)
}

/// An Ethernet frame from the puppet's station to the engine's, with an IPv4 packet between any two addresses.
#[must_use]
pub fn frame_between(from: Ipv4Addr, to: Ipv4Addr, protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    frame_with_tos(from, to, protocol, 0, payload)
}

fn frame_with_tos(from: Ipv4Addr, to: Ipv4Addr, protocol: Protocol, tos: u8, payload: &[u8]) -> Vec<u8> {
    let ip = Ipv4Header { tos, ..Ipv4Header::new(from, to, protocol, 64, payload.len()) };
    let ethernet = EthernetHeader { dst: ENGINE_MAC, src: PUPPET_MAC, vlan: None, ethertype: EtherType::IPV4 };
    let mut frame = vec![0; ethernet.len() + ip.len()];
    let at = ethernet.emit(&mut frame);
    ip.emit(&mut frame[at..]);
    frame.extend_from_slice(payload);
    frame
}

/// The TCP segment in a frame of the engine, its checksum verified, and the TOS byte that it came with.
fn parse(frame: &[u8]) -> Option<(TcpHeader, Vec<u8>, u8)> {
    let (ethernet, packet) = EthernetHeader::parse(frame).ok()?;
    if ethernet.ethertype != EtherType::IPV4 {
        return None;
    }
    let (ip, payload) = Ipv4Header::parse(packet).expect("the engine sends valid IPv4 headers");
    if ip.protocol != Protocol::TCP {
        return None;
    }
    TcpHeader::verify(payload, IpAddr::V4(ip.src), IpAddr::V4(ip.dst)).expect("the engine sends valid checksums");
    let (header, text) = TcpHeader::parse(payload).expect("the engine sends valid TCP headers");
    Some((header, text.to_vec(), ip.tos))
}

/// A device that keeps what it is given.
struct Tape {
    capabilities: Capabilities,
    frames: VecDeque<(Instant, Vec<u8>)>,
    full: bool,
}

impl Device for Tape {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        if self.full {
            return Err(TransmitError::Full);
        }
        let mut bytes = vec![0; frame.len()];
        frame.copy_to(&mut bytes);
        self.frames.push_back((Instant::ZERO, bytes));
        Ok(())
    }

    fn receive(&mut self, _budget: usize, _input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        0
    }
}
