//! Receive coalescing changes what a segment costs and nothing else: with and without it, run against each other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use device::{Capabilities, Device, RxChecksum, RxFrame, TransmitError, TxFrame};
use sim::chance::Chance;
use sim::puppet::seg;
use sim::world::{A, B};
use sim::{Puppet, World};
use stack::link::{AddressCheck, InterfaceConfig, InterfaceId};
use stack::tcp::{ApplicationRings, ConnectOptions, ConnectionId, ListenOptions, heap_rings};
use stack::{Config, Instant, Stack};
use wire::ethernet::MacAddr;
use wire::ipv4::Ipv4Header;
use wire::tcp::TcpHeader;

use crate::random_changes::play_changing;
use crate::random_networks::play_with;

const NETWORKS: u64 = 60;

/// Plays random networks with and without coalescing, which no frame may show.
fn assert_unseen(play: impl Fn(u64, bool) -> World) {
    for seed in 0..NETWORKS {
        let run = |on| {
            let mut world = play(seed, on);
            let frames: Vec<_> =
                world.take_trace().into_iter().map(|frame| (frame.at, frame.from, frame.bytes)).collect();
            let counts = [A, B].map(|host| {
                let stack = &world.host(host).stack;
                let discards: Vec<_> = stack.discards().iter().collect();
                let traffic: Vec<_> = stack.interfaces().iter().map(|interface| interface.stats).collect();
                (format!("{discards:?} {traffic:?}"), stack.tcp_counters().coalesced)
            });
            (frames, counts)
        };
        let ((with, counts_with), (without, counts_without)) = (run(true), run(false));
        assert!(with == without, "seed {seed}: other frames, or at other times");
        for (with, without) in counts_with.iter().zip(&counts_without) {
            assert_eq!(with.0, without.0, "seed {seed}");
            assert_eq!(without.1, 0, "seed {seed}: it is off");
        }
    }
}

#[test]
fn random_networks_carry_the_same_frames_at_the_same_times_with_and_without_coalescing() {
    // Most of these links bring a frame at a time; batches are what the other tests are about.
    assert_unseen(|seed, on| play_with(seed, true, |tcp| tcp.receive_coalescing = on));
}

#[test]
fn so_they_do_where_settings_routes_and_links_change() {
    assert_unseen(|seed, on| play_changing(seed, true, |tcp| tcp.receive_coalescing = on));
}

#[test]
fn what_was_taken_in_and_not_acted_on_yet_asks_for_the_next_call_at_once() {
    // The owner may ask for the time before it drains the engine; whichever call comes next finds everything done.
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    let mut seq = 1;
    for batch in 0..6 {
        let before = puppet.stack.tcp_counters().coalesced;
        for _ in 0..4 {
            let frame = puppet.frame(&seg(seq).ack(1).text(&[7; 1_460]));
            puppet.stack.handle_frame(puppet.instant(), puppet.interface, &RxFrame::plain(&frame));
            seq += 1_460;
        }
        let waits = puppet.stack.poll_timeout() == Instant::ZERO;
        puppet.stack.handle_timeout(puppet.instant());
        assert_ne!(puppet.stack.poll_timeout(), Instant::ZERO, "batch {batch}");
        assert_eq!(puppet.stack.tcp_counters().coalesced > before, waits, "batch {batch}");
        assert!(waits || batch < 2, "batch {batch}: a train was expected");
        puppet.drain();
        assert_eq!(puppet.take().last().map(|ack| ack.ack), Some(seq));
        assert_eq!(puppet.read(1 << 16).len(), 4 * 1_460);
    }
}

/// A device that keeps what it is given.
struct Tray {
    capabilities: Capabilities,
    frames: Vec<Vec<u8>>,
}

impl Device for Tray {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        let mut bytes = vec![0; frame.len()];
        frame.copy_to(&mut bytes);
        self.frames.push(bytes);
        Ok(())
    }

    fn receive(&mut self, _: usize, _: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        0
    }
}

struct Host {
    stack: Stack,
    interface: InterfaceId,
    tray: Tray,
    /// Its connections.
    ends: Vec<(ConnectionId, ApplicationRings)>,
}

const fn mac(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, number])
}

const fn ip(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))
}

impl Host {
    fn new(number: u8, config: Config) -> Self {
        let capabilities = Capabilities::plain(mac(number), 1500);
        let mut stack = Stack::new(config, [number; 32]);
        let mut interface = InterfaceConfig::new("sim0", capabilities);
        interface.address_check = AddressCheck::OFF;
        let interface = stack.add_interface(interface).unwrap();
        let now = Instant::from_secs(1);
        stack.add_address(now, interface, wire::cidr::Cidr::new(ip(number), 24).unwrap()).unwrap();
        let peer = 3 - number;
        stack.add_static_neighbor(now, interface, ip(peer), mac(peer));
        Self { stack, interface, tray: Tray { capabilities, frames: Vec::new() }, ends: Vec::new() }
    }

    fn take(&mut self, now: Instant, frames: &[Vec<u8>], checksum: RxChecksum) {
        for bytes in frames {
            self.stack.handle_frame(now, self.interface, &RxFrame { bytes, checksum, segment_size: None });
        }
    }

    /// Everything that can be seen after a batch: what is sent and told, when there is more to do.
    fn drain(&mut self, now: Instant) -> (Vec<Vec<u8>>, String) {
        if self.stack.poll_timeout() <= now {
            self.stack.handle_timeout(now);
        }
        while !self.stack.poll_transmit(now, self.interface, &mut self.tray) {}
        let events: Vec<_> = std::iter::from_fn(|| self.stack.poll_event()).collect();
        let discards: Vec<_> = self.stack.discards().iter().collect();
        let traffic: Vec<_> = self.stack.interfaces().iter().map(|interface| interface.stats).collect();
        let seen = format!("{events:?} {discards:?} {traffic:?} {:?}", self.stack.poll_timeout());
        (std::mem::take(&mut self.tray.frames), seen)
    }
}

/// One of the things that happen to frames on their way, and to headers that a peer is free to send.
fn disturb(chance: &mut Chance, frames: &mut Vec<Vec<u8>>) {
    if frames.is_empty() {
        return;
    }
    let at = chance.below(frames.len() as u64) as usize;
    match chance.below(14) {
        0 => drop(frames.remove(at)),
        1 => frames.insert(at, frames[at].clone()),
        2 => {
            let other = chance.below(frames.len() as u64) as usize;
            frames.swap(at, other);
        }
        // A bit anywhere.
        3 => {
            let bit = chance.below(8 * frames[at].len() as u64) as usize;
            frames[at][bit / 8] ^= 1 << (bit % 8);
        }
        // A trailer, as short frames have it.
        4 => frames[at].extend([0xee; 9]),
        5 => {
            let len = chance.below(frames[at].len() as u64) as usize;
            frames[at].truncate(len);
        }
        // What a header may say as well: acknowledgement, flags, window, urgent pointer, timestamps.
        6 => change(&mut frames[at], 8 + 3, chance),
        7 => change(&mut frames[at], 13, chance),
        8 => change(&mut frames[at], 15, chance),
        9 => change(&mut frames[at], 19, chance),
        10 => change(&mut frames[at], 27, chance),
        // IPv4: the type of service with ECN's bits, TTL.
        11 => change_ip(&mut frames[at], 1, chance),
        12 => change_ip(&mut frames[at], 8, chance),
        // A bit that IPv4's checksum alone tells: TCP's covers neither identification nor TTL.
        _ if frames[at].len() >= 34 => frames[at][[18, 19, 22][chance.below(3) as usize]] ^= 1 << chance.below(8),
        _ => {}
    }
}

/// Changes a byte of TCP's header and makes the checksum right again.
fn change(frame: &mut [u8], at: usize, chance: &mut Chance) {
    if frame.len() > 34 + at && frame.len() >= 54 {
        frame[34 + at] ^= 1 << chance.below(8);
        TcpHeader::fill_checksum(&mut frame[34..], ip(1), ip(2));
    }
}

fn change_ip(frame: &mut [u8], at: usize, chance: &mut Chance) {
    if frame.len() < 54 {
        return;
    }
    let mut header = [0; 20];
    header.copy_from_slice(&frame[14..34]);
    header[at] ^= 1 << chance.below(8);
    let Ok((parsed, _)) = Ipv4Header::parse_without_checksum(&header) else { return };
    parsed.emit(&mut frame[14..34]);
}

fn rounds(seed: u64) -> u64 {
    let mut chance = Chance::new(seed);
    let mut now = Instant::from_secs(1);
    let mut config = Config::default();
    config.tcp.timestamps = chance.below(2) == 0;
    config.tcp.receive_buffer = 1 << chance.between(14, 20);
    let buffer = config.tcp.receive_buffer as usize;
    // Two receivers that are given the same batches, and differ in nothing but that one coalesces.
    let mut listeners = Vec::new();
    let mut twins = [true, false].map(|on| {
        let mut config = config.clone();
        config.tcp.receive_coalescing = on;
        let mut host = Host::new(2, config);
        let mut options = ListenOptions::default();
        options.rings = Some(Box::new(move || heap_rings(buffer, buffer)));
        listeners.push(host.stack.tcp_listen(SocketAddr::new(ip(2), 7), options).unwrap());
        host
    });
    let mut sender = Host::new(1, config.clone());
    // Two connections, whose segments may come in turn.
    for _ in 0..2 {
        let (engine, rings) = heap_rings(1 << 18, 1 << 18);
        let to = SocketAddr::new(ip(2), 7);
        let id = sender.stack.tcp_connect(now, to, &ConnectOptions::default(), engine).unwrap();
        sender.ends.push((id, rings));
    }
    for round in 0..120_u64 {
        now += Duration::from_micros(chance.below(60_000) * chance.below(2) + 1);
        for (id, rings) in &mut sender.ends {
            if round > 3 && chance.below(2) == 0 {
                rings.send.write(&vec![round as u8; chance.below(60_000) as usize]);
                sender.stack.tcp_wrote(now, *id);
            }
        }
        let (mut frames, _) = sender.drain(now);
        if round > 3 {
            for _ in 0..chance.below(4) {
                disturb(&mut chance, &mut frames);
            }
        }
        let checksum = if chance.below(4) == 0 { RxChecksum::Verified } else { RxChecksum::Unverified };
        let [one, other] = twins.each_mut().map(|host| {
            host.take(now, &frames, checksum);
            host.drain(now)
        });
        assert!(one == other, "seed {seed}, round {round}: they answer otherwise:\n{}\n{}", one.1, other.1);
        // Both applications read as much, which may open the window.
        let sip = chance.below(100_000) as usize;
        let [read, other] = twins.each_mut().map(|host| {
            for listener in &listeners {
                while let Some(accepted) = host.stack.tcp_accept(now, *listener) {
                    host.ends.push((accepted.connection, accepted.rings));
                }
            }
            let mut texts = Vec::new();
            for (id, rings) in &mut host.ends {
                let mut bytes = vec![0; sip];
                let read = rings.receive.read(&mut bytes);
                bytes.truncate(read);
                texts.push(bytes);
                host.stack.tcp_read(now, *id);
            }
            (texts, host.drain(now))
        });
        assert!(read.0 == other.0, "seed {seed}, round {round}: the text");
        assert!(read.1 == other.1, "seed {seed}, round {round}: after reading");
        sender.take(now, &one.0, RxChecksum::Unverified);
        sender.take(now, &read.1.0, RxChecksum::Unverified);
    }
    twins[0].stack.tcp_counters().coalesced
}

#[test]
fn disturbed_batches_are_answered_byte_for_byte_as_without_coalescing() {
    let coalesced: u64 = (0..100).map(rounds).sum();
    assert!(coalesced > 3_000, "only {coalesced} segments joined a train: nothing was tested");
}

#[test]
fn what_was_taken_in_can_be_read_at_the_end_of_the_batch_and_is_acknowledged_once() {
    let now = Instant::from_secs(1);
    let mut sender = Host::new(1, Config::default());
    let mut config = Config::default();
    config.tcp.receive_coalescing = true;
    let mut receiver = Host::new(2, config);
    let listener = receiver.stack.tcp_listen(SocketAddr::new(ip(2), 7), ListenOptions::default()).unwrap();
    let (engine, rings) = heap_rings(1 << 18, 1 << 18);
    let id = sender.stack.tcp_connect(now, SocketAddr::new(ip(2), 7), &ConnectOptions::default(), engine).unwrap();
    sender.ends.push((id, rings));
    let pass = |from: &mut Host, to: &mut Host| {
        let (frames, _) = from.drain(now);
        to.take(now, &frames, RxChecksum::Unverified);
        frames.len()
    };
    for _ in 0..2 {
        pass(&mut sender, &mut receiver);
        pass(&mut receiver, &mut sender);
    }
    let mut accepted = receiver.stack.tcp_accept(now, listener).unwrap();
    let text: Vec<u8> = (0..200_000_u32).map(|at| ((at * 7) >> 3) as u8).collect();
    let mut written = 0;
    let mut heard = Vec::new();
    while heard.len() < text.len() {
        written += sender.ends[0].1.send.write(&text[written..]);
        sender.stack.tcp_wrote(now, id);
        let segments = pass(&mut sender, &mut receiver);
        let answers = pass(&mut receiver, &mut sender);
        assert!(segments < 2 || answers == 1, "{answers} acknowledgements for {segments} segments");
        let mut bytes = vec![0; text.len()];
        let read = accepted.rings.receive.read(&mut bytes);
        heard.extend_from_slice(&bytes[..read]);
        receiver.stack.tcp_read(now, accepted.connection);
    }
    assert!(heard == text);
    let counters = receiver.stack.tcp_counters();
    assert!(counters.coalesced > 100, "{counters:?}");
}
