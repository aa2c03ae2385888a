//! The short way of a handshake's segments: no peer and no application can tell it from the whole way.

#![expect(clippy::print_stdout, reason = "a failing conversation is told to whoever replays it")]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use sim::puppet::{ENGINE, PUPPET, Seg, seg};
use sim::{Chance, Puppet, chance};
use stack::tcp::{
    Algorithm, ApplicationRings, ConnectOptions, ConnectionId, Ecn, KeepAlive, ListenOptions, ListenerId,
    SocketOptions, SynCookies, UserTimeoutOption, heap_rings,
};
use stack::{Config, Instant};
use wire::ipv4::Ipv4Header;
use wire::tcp::{SeqNum, TcpFlags, TcpHeader};

use crate::tcp_script::millis;

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const NONE: TcpFlags = TcpFlags(0);

/// What the puppet knows of one flow: the engine's port and its own.
#[derive(Clone, Copy, Default)]
struct Known {
    /// The engine's last SYN or SYN-ACK.
    isn: Option<SeqNum>,
    /// The number of the puppet's last SYN, relative to its ISN.
    said: u32,
}

/// One engine of two that are told the same, and what it did.
struct Told {
    puppet: Puppet,
    listener: Option<ListenerId>,
    listen: ListenSettings,
    flows: BTreeMap<(u16, u16), Known>,
    connections: Vec<(ConnectionId, ApplicationRings)>,
    full: bool,
    sent: Vec<(Instant, Vec<u8>)>,
}

/// What a listener is made with.
#[derive(Clone)]
struct ListenSettings {
    backlog: usize,
    handshakes: usize,
    fast_open: Option<usize>,
    wildcard: bool,
    socket: SocketOptions,
}

fn socket_options(chance: &mut Chance) -> SocketOptions {
    let mut socket = SocketOptions::default();
    if chance.below(4) == 0 {
        socket.keep_alive = Some(KeepAlive { idle: millis(90), interval: millis(30), probes: 3 });
    }
    if chance.below(6) == 0 {
        socket.user_timeout = Some(millis(700));
    }
    if chance.below(6) == 0 {
        socket.user_timeout_option = Some(UserTimeoutOption::default());
    }
    if chance.below(4) == 0 {
        socket.receive_buffer = Some([1, 3_000, 200_000][chance.below(3) as usize]);
    }
    if chance.below(4) == 0 {
        socket.send_buffer = Some(3_000);
    }
    if chance.below(4) == 0 {
        socket.max_segment = Some([1, 500, 9_000][chance.below(3) as usize]);
    }
    if chance.below(4) == 0 {
        socket.ecn = Some([Ecn::Active, Ecn::Off][chance.below(2) as usize]);
    }
    socket.pacing = chance.below(6) == 0;
    socket.congestion = [None, None, Some(Algorithm::NewReno), Some(Algorithm::Bbr)][chance.below(4) as usize];
    socket
}

impl Told {
    fn new(fast_path: bool, seed: u64) -> Self {
        let mut chance = Chance::new(!seed);
        let mut config = Config::default();
        config.tcp.fast_path = fast_path;
        config.tcp.timestamps = chance.below(3) > 0;
        config.tcp.sack = chance.below(4) > 0;
        config.tcp.window_scaling = chance.below(4) > 0;
        config.tcp.time_wait = millis(500);
        let cookies = [SynCookies::WhenFull, SynCookies::WhenFull, SynCookies::Never, SynCookies::Always];
        config.tcp.syn_cookies = cookies[chance.below(4) as usize];
        if chance.below(4) == 0 {
            config.tcp.half_open_limit = 2;
        }
        if chance.below(4) == 0 {
            // Room for a few connections.
            config.tcp.memory_budget = 24_000;
        }
        let listen = ListenSettings {
            backlog: [1, 2, 100][chance.below(3) as usize],
            handshakes: [1, 2, 100][chance.below(3) as usize],
            fast_open: (chance.below(6) == 0).then_some(2),
            wildcard: chance.below(2) > 0,
            socket: socket_options(&mut chance),
        };
        let puppet = Puppet::new(config);
        let (flows, connections, sent) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut told = Self { puppet, listener: None, listen, flows, connections, full: false, sent };
        told.listen();
        told
    }

    fn listen(&mut self) {
        let mut options = ListenOptions::default();
        options.backlog = self.listen.backlog;
        options.handshakes = self.listen.handshakes;
        options.fast_open = self.listen.fast_open;
        options.socket = self.listen.socket.clone();
        let address = if self.listen.wildcard { IpAddr::from([0; 4]) } else { IpAddr::V4(ENGINE) };
        self.listener = self.puppet.stack.tcp_listen(SocketAddr::new(address, 80), options).ok();
    }

    /// Sends a segment of a flow, now and then a damaged one.
    fn say(&mut self, flow: (u16, u16), segment: &Seg, damaged: bool) {
        let isn = self.flows.entry(flow).or_default().isn.unwrap_or(SeqNum(0));
        self.puppet.count_from(isn);
        let (from, to) = (SocketAddrV4::new(PUPPET, flow.1), SocketAddrV4::new(ENGINE, flow.0));
        let mut frame = self.puppet.frame_between(from, to, segment);
        if damaged && let Some(last) = frame.last_mut() {
            *last ^= 1;
        }
        self.puppet.send_frame(&frame);
    }

    fn clock(&self) -> u32 {
        1_000 + self.puppet.now().as_millis() as u32
    }

    /// The options of a SYN, most often the usual ones.
    fn syn(&self, seq: u32, chance: &mut Chance) -> Seg {
        let mut segment = seg(seq).window([65_535, 1_000, 0][chance.below(3) as usize]).flags(SYN);
        if chance.below(8) > 0 {
            segment = segment.mss([1_460, 536, 20, 9_000][chance.below(4) as usize]);
        }
        if chance.below(8) > 0 {
            segment = segment.sack_permitted();
        }
        if chance.below(8) > 0 {
            segment = segment.scale([7, 0, 15][chance.below(3) as usize]);
        }
        if chance.below(2) > 0 {
            segment = segment.timestamps(self.clock(), 0);
        }
        if chance.below(12) == 0 {
            segment = segment.text(b"early");
        }
        if chance.below(12) == 0 {
            segment = segment.user_timeout(1_000);
        }
        segment
    }

    /// One thing that happens, which chance decides.
    fn step(&mut self, chance: &mut Chance) {
        let port = 1_000 + chance.below(3) as u16;
        let damaged = chance.below(24) == 0;
        match chance.below(20) {
            0..=4 => {
                let flow = (80, port);
                let seq = [0, 0, 0, 100_000, 3_000_000_000][chance.below(5) as usize];
                let ecn = [NONE, NONE, NONE, TcpFlags::ECE | TcpFlags::CWR, TcpFlags::FIN][chance.below(5) as usize];
                let segment = self.syn(seq, chance).flags(SYN | ecn);
                self.flows.entry(flow).or_default().said = seq;
                self.say(flow, &segment, damaged);
            }
            // The third segment, or what might be taken for it.
            5..=9 => {
                let flow = (80, port);
                let Known { said, .. } = self.flows.get(&flow).copied().unwrap_or_default();
                let seq = said.wrapping_add(1).wrapping_add([0, 0, 0, 0, 1, u32::MAX][chance.below(6) as usize]);
                let ack = [1, 1, 1, 1, 0, 2][chance.below(6) as usize];
                let flags =
                    [NONE, NONE, NONE, TcpFlags::PSH, TcpFlags::FIN, TcpFlags::ECE, TcpFlags::RST, TcpFlags::URG]
                        [chance.below(8) as usize];
                let mut segment = seg(seq).ack(ack).flags(ACK | flags).window([500, 0][chance.below(2) as usize]);
                if chance.below(2) > 0 {
                    let late = [0, 0, 0, 10_000][chance.below(4) as usize];
                    segment = segment.timestamps(self.clock() - late.min(self.clock()), 77);
                }
                if chance.below(6) == 0 {
                    segment = segment.text(b"request").tos(3);
                }
                if chance.below(12) == 0 {
                    segment = segment.user_timeout(2_000);
                }
                self.say(flow, &segment, damaged);
            }
            10 | 11 => {
                let accepted = self.listener.and_then(|listener| {
                    let now = self.puppet.instant();
                    self.puppet.stack.tcp_accept(now, listener)
                });
                if let Some(accepted) = accepted {
                    self.connections.push((accepted.connection, accepted.rings));
                }
                self.puppet.drain();
            }
            12 | 13 => self.connect(port, chance),
            // The answer to a SYN, or what might be taken for it.
            14..=16 => {
                let clients: Vec<(u16, u16)> = self.flows.keys().filter(|flow| flow.0 != 80).copied().collect();
                if let Some(&flow) = clients.get(chance.below(clients.len().max(1) as u64) as usize) {
                    let ack = [1, 1, 1, 1, 0, 2][chance.below(6) as usize];
                    let flags = [NONE, NONE, NONE, NONE, TcpFlags::ECE, TcpFlags::RST][chance.below(6) as usize];
                    let segment = self.syn(5, chance).ack(ack).flags(SYN | ACK | flags);
                    self.say(flow, &segment, damaged);
                }
            }
            17 => {
                let now = self.puppet.instant();
                let at = chance.below(self.connections.len().max(1) as u64) as usize;
                match chance.below(4) {
                    0 if at < self.connections.len() => {
                        let (id, _) = self.connections.remove(at);
                        self.puppet.stack.tcp_close(now, id);
                    }
                    1 if at < self.connections.len() => {
                        let (id, rings) = &mut self.connections[at];
                        // More than a small window takes, at times: what it was at most decides then.
                        rings.send.write(&[7; 2_000][..[5, 2_000][chance.below(2) as usize]]);
                        self.puppet.stack.tcp_wrote(now, *id);
                    }
                    2 if at < self.connections.len() => {
                        let (id, rings) = &mut self.connections[at];
                        rings.send.finish();
                        self.puppet.stack.tcp_wrote(now, *id);
                    }
                    _ => {
                        self.full = !self.full;
                        self.puppet.set_device_full(self.full);
                    }
                }
                self.puppet.drain();
            }
            18 if chance.below(4) == 0 => {
                let now = self.puppet.instant();
                if let Some(listener) = self.listener.take() {
                    self.puppet.stack.tcp_unlisten(now, listener);
                    self.puppet.drain();
                }
                self.listen();
            }
            18 => {
                let options = socket_options(chance);
                if let Some(listener) = self.listener {
                    self.puppet.stack.tcp_listener_set_options(listener, options);
                }
            }
            _ => self.puppet.run_for(millis([0, 1, 3, 50, 250, 1_500][chance.below(6) as usize])),
        }
        self.note_frames();
    }

    fn connect(&mut self, port: u16, chance: &mut Chance) {
        let options = ConnectOptions {
            socket: socket_options(chance),
            local: (chance.below(2) > 0).then_some(SocketAddr::new(IpAddr::V4(ENGINE), 2_000)),
            fast_open: chance.below(8) == 0,
        };
        let (engine, mut rings) = heap_rings(10_000, [1 << 16, 1 << 20, 700][chance.below(3) as usize]);
        if chance.below(4) == 0 {
            rings.send.write(b"early words");
        }
        if chance.below(8) == 0 {
            rings.send.finish();
        }
        let now = self.puppet.instant();
        let remote = SocketAddr::new(IpAddr::V4(PUPPET), port);
        if let Ok(id) = self.puppet.stack.tcp_connect(now, remote, &options, engine) {
            let local = self.puppet.stack.tcp_addresses(id).expect("a new connection").0.port();
            self.flows.insert((local, port), Known::default());
            self.connections.push((id, rings));
        }
        self.puppet.drain();
    }

    /// Takes note of what was sent, and of the engine's initial numbers.
    fn note_frames(&mut self) {
        let now = self.puppet.instant();
        for frame in self.puppet.take_frames() {
            if let Ok((_, segment)) = Ipv4Header::parse(&frame[14..])
                && let Ok((header, _)) = TcpHeader::parse(segment)
                && header.flags.contains(SYN)
            {
                self.flows.entry((header.src_port, header.dst_port)).or_default().isn = Some(header.seq);
            }
            self.sent.push((now, frame));
        }
    }

    /// All that peer and owner can see.
    fn seen(&mut self) -> (Vec<(Instant, Vec<u8>)>, Vec<String>) {
        let stack = &mut self.puppet.stack;
        let mut facts: Vec<String> = self.puppet.events.drain(..).map(|event| format!("{event:?}")).collect();
        for (id, rings) in &self.connections {
            let waits = (rings.receive.len(), rings.send.free(), rings.receive.is_finished());
            let mut info = stack.tcp_info(*id);
            if let Some(info) = &mut info {
                // A FIN that is alone in flight needs no scoreboard, and nothing is measured by it but the round trip.
                info.reordering_window = Duration::ZERO;
                (info.min_rtt, info.delivery_rate, info.delivery_rate_app_limited) = (None, None, false);
            }
            facts.push(format!("{id:?} {waits:?} {:?} {info:?}", stack.tcp_addresses(*id)));
        }
        facts.extend(stack.discards().iter().filter(|(_, count)| *count > 0).map(|each| format!("{each:?}")));
        facts.push(format!("{:?} {:?} {:?}", stack.tcp_counts(), stack.tcp_memory(), stack.tcp_counters()));
        facts.push(format!("{:?}", self.listener.map(|listener| stack.tcp_waiting(listener))));
        (std::mem::take(&mut self.sent), facts)
    }
}

/// Conversations in the comparison.
const CONVERSATIONS: u64 = 1_500;
/// Things that happen in each.
const STEPS: u32 = 60;

#[test]
fn no_handshake_shows_whether_it_went_the_short_way_or_the_whole_one() {
    for seed in chance::seeds(CONVERSATIONS) {
        let mut told = [true, false].map(|fast_path| Told::new(fast_path, seed));
        let mut chances = [Chance::new(seed), Chance::new(seed)];
        for step in 0..STEPS {
            let [short, whole] = [0, 1].map(|at| {
                told[at].step(&mut chances[at]);
                told[at].seen()
            });
            if short != whole {
                for (which, (sent, facts)) in [("short", &short), ("whole", &whole)] {
                    println!("{which}:");
                    sent.iter().for_each(|(at, frame)| println!("  {at} {}", sim::trace::packet(frame)));
                    facts.iter().for_each(|fact| println!("  {fact}"));
                }
                println!("replay: WHARF_SEED={seed} cargo test -p wharf-sim tcp_opening");
                panic!("seed {seed}, step {step}: the short way and the whole way differ");
            }
        }
    }
}
