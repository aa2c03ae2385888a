//! The whole engine under a stream of frames and time: a listener, an established connection, a UDP socket, a DHCP client.
//!
//! The input says what is agreed on, and then is a list of steps. Some are frames of any bytes; others have their lengths and checksums set right and their
//! numbers near those that matter, so that they get past the first checks. Nothing may panic, every frame that comes out
//! must be well formed, and what the engine holds must stay bounded.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sim::Puppet;
use sim::puppet::{ENGINE, ENGINE_PORT, PUPPET, PUPPET_PORT, frame_between, seg};
use stack::Config;
use stack::autoconf::dhcpv4::DhcpConfig;
use stack::tcp::{Algorithm, ConnectOptions, KeepAlive, ListenOptions, SocketOption, UserTimeoutOption};
use stack::udp::{DatagramRings, UdpOptions};
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;
use wire::tcp::TcpFlags;

const ALGORITHMS: [Algorithm; 4] = [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Bbr, Algorithm::Cubic];
const UDP_PORT: u16 = 7;
const RECEIVE: usize = 20_000;
/// Frames that one step may draw, at most: a train of the whole send window, and answers.
const MOST_ANSWERS: usize = 1_000;

/// The input, read from the front; zero once it has ended.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        self.0.split_off(..len).unwrap_or_default()
    }

    /// A number near `near`, or far from it.
    fn number(&mut self, near: u32) -> u32 {
        let (kind, step) = (self.byte(), self.byte());
        match kind & 3 {
            0 => near,
            1 => near.wrapping_add(u32::from(step)),
            2 => near.wrapping_sub(u32::from(step)),
            _ => near.wrapping_add(1 << (step & 31)),
        }
    }
}

struct Run {
    puppet: Puppet,
    /// What the engine's last segment said: the numbers that a peer would know.
    expected: u32,
    sent: u32,
    clock: u32,
    transaction: [u8; 4],
    /// The most that may wait to be read.
    receive: usize,
    _udp: (ring::Producer, ring::Consumer),
}

impl Run {
    /// Zero is what most connections are like, without SACK.
    fn new(kind: u8) -> Self {
        let has = |bit: u8| kind & 1 << bit > 0;
        let mut config = Config::default();
        config.tcp.congestion = ALGORITHMS[usize::from(kind & 3)];
        config.tcp.fast_path = !has(2);
        config.tcp.timestamps = !has(3);
        let mtu = if has(7) { 65_535 } else { 1_500 };
        let mut syn = seg(0).mss(mtu - 40).scale(3);
        if config.tcp.timestamps {
            syn = syn.timestamps(1, 0);
        }
        if has(4) {
            syn = syn.sack_permitted();
        }
        let mut options = ConnectOptions::default();
        options.socket.user_timeout_option = has(5).then(UserTimeoutOption::default);
        let mut puppet = Puppet::with_mtu(config, mtu.into());
        puppet.connect_with(&options, 1 << 16, RECEIVE);
        puppet.send(&syn.ack(1).flags(TcpFlags::SYN));
        assert_eq!(puppet.take().len(), 2, "a SYN, and the ACK of the SYN-ACK");
        let mut listen = ListenOptions::default();
        listen.fast_open = has(6).then_some(8);
        puppet.listen(listen);
        let (receive, application) = ring::heap(4_096);
        let (writer, send) = ring::heap(4_096);
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), UDP_PORT);
        let rings = DatagramRings { receive, send };
        puppet.stack.udp_bind(any, UdpOptions::default(), rings).expect("a free port");
        let (now, interface) = (puppet.instant(), puppet.interface);
        puppet.stack.start_dhcp(now, interface, DhcpConfig::default()).expect("an interface without a client");
        puppet.drain();
        Self {
            puppet,
            expected: 1,
            sent: 1,
            clock: 1,
            transaction: [0; 4],
            receive: RECEIVE,
            _udp: (writer, application),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 14 {
            0 => self.puppet.send_frame(input.bytes()),
            1 => self.puppet.run_for(Duration::from_millis(1 << (input.byte() % 22))),
            2..=4 => self.segment(input),
            5 => self.request(input),
            6 => {
                let protocol = Protocol(input.byte());
                self.puppet.send_frame(&frame_between(PUPPET, ENGINE, protocol, input.bytes()));
            }
            7 => self.packet(input),
            8 => {
                let source = [PUPPET_PORT, 67][usize::from(input.byte() & 1)];
                let port = [UDP_PORT, 68, 9][usize::from(input.byte() % 3)];
                self.datagram(source, port, input.bytes());
            }
            9 => self.dhcp(input),
            10 => self.quote(input),
            11 => self.application(input),
            12 => self.report(input),
            _ => self.setting(input),
        }
        self.check();
    }

    /// A segment of the connection.
    fn segment(&mut self, input: &mut Input<'_>) {
        let mut segment = seg(input.number(self.expected)).ack(input.number(self.sent));
        segment = segment.flags(TcpFlags(input.byte())).window(input.word());
        if input.byte() & 7 > 0 {
            self.clock = input.number(self.clock);
            segment = segment.timestamps(self.clock, 0);
        }
        let len = usize::from(input.word()) % 1_461;
        self.puppet.send(&segment.text(&vec![input.byte(); len]));
    }

    /// What the peer says it has received, and whatever else an acknowledgement may carry.
    fn report(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        let mut segment = seg(self.expected).ack(input.number(self.sent)).window(input.word());
        let blocks: Vec<_> = (0..kind & 3)
            .map(|_| (input.number(self.sent), u32::from(input.word())))
            .map(|(at, len)| (at, at.wrapping_add(len)))
            .collect();
        segment = segment.sack(&blocks).tos(kind >> 2 & 3);
        if kind & 16 > 0 {
            segment = segment.flags(TcpFlags::ACK.with(TcpFlags(input.byte() & 0xc0)));
        }
        if kind & 32 > 0 {
            segment = segment.urgent(input.word());
        }
        if kind & 64 > 0 {
            segment = segment.user_timeout(u64::from(input.word()));
        }
        if kind & 128 == 0 {
            segment = segment.timestamps(self.clock, 0);
        }
        self.puppet.send(&segment);
    }

    fn setting(&mut self, input: &mut Input<'_>) {
        let (kind, value) = (input.byte(), input.byte());
        let on = value & 1 > 0;
        let span = Duration::from_secs(1 << (value % 16));
        let option = match kind % 12 {
            0 => SocketOption::NoDelay(on),
            1 => SocketOption::Cork(on),
            2 => SocketOption::QuickAck(on),
            3 => SocketOption::KeepAlive(on.then_some(KeepAlive { idle: span, interval: span, probes: 3 })),
            4 => SocketOption::UserTimeout(on.then_some(span)),
            5 => SocketOption::UserTimeoutOption(on.then(|| UserTimeoutOption::default().advertising(span))),
            6 => SocketOption::Congestion(ALGORITHMS[usize::from(value & 3)]),
            7 => SocketOption::Pacing(on),
            8 => SocketOption::MaxPacingRate(on.then_some(1 << (value % 32))),
            9 => {
                // Room that was offered stays.
                self.receive = self.receive.max(1 << (value % 20));
                SocketOption::ReceiveBuffer(1 << (value % 20))
            }
            10 => SocketOption::SendBuffer(1 << (value % 20)),
            _ => {
                let interface = self.puppet.interface;
                let _ = self.puppet.stack.set_mtu(interface, 576 + 4 * u32::from(value));
                return self.puppet.drain();
            }
        };
        let (now, id) = (self.puppet.instant(), self.puppet.id());
        self.puppet.stack.tcp_set_option(now, id, option);
        self.puppet.drain();
    }

    /// A segment of somebody else, mostly to the listener.
    fn request(&mut self, input: &mut Input<'_>) {
        let from = SocketAddrV4::new(PUPPET, input.word());
        let port = if input.byte() & 7 == 0 { input.word() } else { ENGINE_PORT };
        let mut segment = seg(input.number(0)).flags(TcpFlags(input.byte())).window(input.word());
        if input.byte() & 1 > 0 {
            segment = segment.mss(input.word()).scale(input.byte() & 15);
        }
        if input.byte() & 1 > 0 {
            segment = segment.ack(input.number(1));
        }
        let frame = self.puppet.frame_between(from, SocketAddrV4::new(ENGINE, port), &segment);
        self.puppet.send_frame(&frame);
    }

    /// An IPv4 packet with options, or a fragment.
    fn packet(&mut self, input: &mut Input<'_>) {
        let options = input.bytes();
        let options = &options[..options.len().min(40)];
        let fragment = input.byte();
        let protocol = [Protocol::TCP, Protocol::UDP, Protocol::ICMP][usize::from(input.byte() % 3)];
        let identification = u16::from(input.byte() & 3);
        let offset = u16::from(input.byte()) * 8;
        let payload = input.bytes();
        let header = Ipv4Header {
            total_len: (20 + options.len().next_multiple_of(4) + payload.len()) as u16,
            identification,
            dont_fragment: false,
            more_fragments: fragment & 1 > 0,
            fragment_offset: if fragment & 2 > 0 { offset } else { 0 },
            options,
            ..Ipv4Header::new(PUPPET, ENGINE, protocol, 64, payload.len())
        };
        let mut packet = vec![0; usize::from(header.total_len) - payload.len()];
        header.emit(&mut packet);
        packet.extend_from_slice(payload);
        let mut frame = frame_between(PUPPET, ENGINE, protocol, &[])[..14].to_vec();
        frame.extend_from_slice(&packet);
        self.puppet.send_frame(&frame);
    }

    /// A datagram without checksum, which UDP over IPv4 allows.
    fn datagram(&mut self, source: u16, port: u16, payload: &[u8]) {
        let mut datagram = Vec::with_capacity(8 + payload.len());
        for field in [source, port, 8 + payload.len() as u16, 0] {
            datagram.extend_from_slice(&field.to_be_bytes());
        }
        datagram.extend_from_slice(payload);
        let to = if port == 68 { Ipv4Addr::BROADCAST } else { ENGINE };
        let mut frame = frame_between(PUPPET, to, Protocol::UDP, &datagram);
        if port == 68 {
            frame[..6].fill(0xff);
        }
        self.puppet.send_frame(&frame);
    }

    /// A DHCP server's answer to the client's last message.
    fn dhcp(&mut self, input: &mut Input<'_>) {
        let mut message = vec![0; 240];
        message[..4].copy_from_slice(&[2, 1, 6, 0]);
        message[4..8].copy_from_slice(&self.transaction);
        message[16..20].copy_from_slice(&[192, 0, 2, input.byte()]);
        message[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        message[236..240].copy_from_slice(&[99, 130, 83, 99]);
        message.extend_from_slice(&[53, 1, [2, 5, 6][usize::from(input.byte() % 3)]]);
        message.extend_from_slice(&[54, 4, 192, 0, 2, 2, 51, 4, 0, 0, input.byte(), input.byte()]);
        message.extend_from_slice(&[1, 4, 255, 255, 255, 0]);
        message.extend_from_slice(input.bytes());
        message.push(255);
        self.datagram(67, 68, &message);
    }

    /// An ICMP error about a segment of the connection.
    fn quote(&mut self, input: &mut Input<'_>) {
        let mut quoted = vec![0; 28];
        Ipv4Header::new(ENGINE, PUPPET, Protocol::TCP, 64, 20).emit(&mut quoted);
        quoted[20..22].copy_from_slice(&self.puppet.port.to_be_bytes());
        quoted[22..24].copy_from_slice(&PUPPET_PORT.to_be_bytes());
        let seq = self.puppet.engine_isn() + input.number(self.sent);
        quoted[24..28].copy_from_slice(&seq.0.to_be_bytes());
        let mut message = vec![[3, 11, 12, 4, 5][usize::from(input.byte() % 5)], input.byte() & 15, 0, 0, 0, 0];
        message.extend_from_slice(&input.word().to_be_bytes());
        message.extend_from_slice(&quoted);
        let sum = wire::checksum::sum(&message).finish();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        self.puppet.send_frame(&frame_between(PUPPET, ENGINE, Protocol::ICMP, &message));
    }

    fn application(&mut self, input: &mut Input<'_>) {
        match input.byte() % 5 {
            0 => drop(self.puppet.read(usize::from(input.word()))),
            1 => {
                let len = usize::from(input.word());
                if self.puppet.rings.as_ref().is_some_and(|rings| !rings.send.is_finished() && rings.send.free() >= len)
                {
                    self.puppet.write(&vec![1; len]);
                }
            }
            2 => self.puppet.finish(),
            3 => {
                let (now, id) = (self.puppet.instant(), self.puppet.id());
                self.puppet.stack.tcp_shutdown_read(now, id);
                self.puppet.drain();
            }
            _ => self.puppet.set_device_full(input.byte() & 1 > 0),
        }
    }

    /// Looks at what came out: `take` checks headers and checksums of every segment.
    fn check(&mut self) {
        let seen = self.puppet.take_with_frames(|frame| {
            // UDP from the client's port: the transaction of the message, for the server's answer.
            if frame.len() > 50 && frame[23] == 17 && frame[34..36] == [0, 68] {
                self.transaction.copy_from_slice(&frame[46..50]);
            }
        });
        assert!(seen.len() <= MOST_ANSWERS, "{} segments for one step", seen.len());
        if let Some(last) = seen.last() {
            self.expected = if last.ack > 0 { last.ack } else { self.expected };
            self.sent = last.seq.wrapping_add(last.text.len() as u32);
        }
        let readable = self.puppet.rings.as_ref().map_or(0, |rings| rings.receive.len());
        assert!(readable <= self.receive, "{readable} bytes wait");
        assert!(self.puppet.stack.tcp_counts().0 <= 1 + 1_024 + 128);
        assert!(self.puppet.events.len() <= 4_096, "{} events", self.puppet.events.len());
        self.puppet.events.clear();
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let mut run = Run::new(input.byte());
    while !input.0.is_empty() {
        run.step(&mut input);
    }
    run.puppet.set_device_full(false);
    run.puppet.close();
    run.puppet.run_for(Duration::from_secs(3_600));
});
