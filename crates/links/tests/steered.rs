//! Frames that come by one queue and concern the engine of another.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use device::{Capabilities, Device, RxChecksum, RxFrame, TransmitError, TxFrame};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use stack::steering::Steering;
use wharf_links::steered::{self, Steered};
use wharf_links::{Link, user};
use wire::arp::ArpPacket;
use wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;

const PEER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const ENGINES: usize = 4;

/// A queue that brings what the test puts there.
struct Queue {
    frames: Frames,
    silent: OwnedFd,
}

type Frames = Arc<Mutex<VecDeque<Vec<u8>>>>;

impl Device for Queue {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(MAC, 1500)
    }

    fn transmit(&mut self, _: &TxFrame<'_>) -> Result<(), TransmitError> {
        Ok(())
    }

    fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        for taken in 0..budget {
            let Some(bytes) = self.frames.lock().unwrap().pop_front() else { return taken };
            input(&RxFrame { bytes: &bytes, checksum: RxChecksum::Verified, segment_size: Some(1000) });
        }
        budget
    }
}

impl Link for Queue {
    fn fd(&self) -> BorrowedFd<'_> {
        self.silent.as_fd()
    }

    fn name(&self) -> &str {
        "queue"
    }
}

struct Station {
    links: Vec<Steered<Queue>>,
    queues: Vec<Frames>,
    steering: Arc<Steering>,
}

impl Station {
    fn new() -> Self {
        let steering = Arc::new(Steering::new([7; 32], ENGINES as u16));
        let queues: Vec<Frames> = (0..ENGINES).map(|_| Frames::default()).collect();
        let link =
            |frames: &Frames| Queue { frames: Arc::clone(frames), silent: eventfd(0, EventfdFlags::NONBLOCK).unwrap() };
        let links = steered::join(queues.iter().map(link).collect(), &steering).unwrap();
        Self { links, queues, steering }
    }

    /// A frame comes by a queue.
    fn arrives(&self, queue: usize, frame: &[u8]) {
        self.queues[queue].lock().unwrap().push_back(frame.to_vec());
    }

    /// What `engine` takes in.
    fn take(&mut self, engine: usize) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        while self.links[engine].receive(8, &mut |frame| taken.push(frame.bytes.to_vec())) == 8 {}
        taken
    }

    /// What each engine takes in, when all look until nothing is left.
    fn take_all(&mut self) -> Vec<Vec<Vec<u8>>> {
        let mut all = vec![Vec::new(); ENGINES];
        for _ in 0..4 {
            for (engine, taken) in all.iter_mut().enumerate() {
                taken.extend(self.take(engine));
            }
        }
        all
    }

    /// A port of the peer's by which a connection to our port 80 lives in `engine`.
    fn port_of(&self, engine: usize) -> u16 {
        let ours = SocketAddr::from((OURS, 80));
        (1_024..).find(|&port| self.steering.engine_of((PEER, port).into(), ours) == engine).unwrap()
    }

    fn rung(&self, engine: usize) -> bool {
        let bell = self.links[engine].handed_over_fd().unwrap();
        let mut fds = [PollFd::from_borrowed_fd(bell, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }
}

fn ethernet(ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let header = EthernetHeader { dst: MAC, src: PEER_MAC, vlan: None, ethertype };
    let mut frame = vec![0; header.len()];
    header.emit(&mut frame);
    frame.extend(payload);
    frame
}

fn ipv4_packet(protocol: Protocol, payload: &[u8], change: impl FnOnce(&mut Ipv4Header<'_>)) -> Vec<u8> {
    let mut header = Ipv4Header::new(PEER, OURS, protocol, 64, payload.len());
    change(&mut header);
    let mut packet = vec![0; header.len()];
    header.emit(&mut packet);
    packet.extend(payload);
    packet
}

fn ipv4(protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    ethernet(EtherType::IPV4, &ipv4_packet(protocol, payload, |_| ()))
}

/// The peer's segment from `port` to our port 80.
fn segment(port: u16) -> Vec<u8> {
    ipv4(Protocol::TCP, &transport(port, 80))
}

fn transport(source: u16, destination: u16) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    bytes[..2].copy_from_slice(&source.to_be_bytes());
    bytes[2..4].copy_from_slice(&destination.to_be_bytes());
    bytes
}

fn fragment(identification: u16, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let packet = ipv4_packet(Protocol::TCP, payload, |header| {
        header.dont_fragment = false;
        header.identification = identification;
        header.fragment_offset = offset;
        header.more_fragments = more;
    });
    ethernet(EtherType::IPV4, &packet)
}

fn arp(packet: &ArpPacket) -> Vec<u8> {
    let mut bytes = vec![0; packet.len()];
    packet.emit(&mut bytes);
    ethernet(EtherType::ARP, &bytes)
}

#[test]
fn a_segment_reaches_the_engine_of_its_connection_by_whichever_queue_it_comes() {
    let mut station = Station::new();
    for engine in 0..ENGINES {
        let frame = segment(station.port_of(engine));
        for queue in 0..ENGINES {
            station.arrives(queue, &frame);
        }
        let taken = station.take_all();
        for (other, frames) in taken.iter().enumerate() {
            let expected = if other == engine { vec![frame.clone(); ENGINES] } else { Vec::new() };
            assert_eq!(*frames, expected, "engine {other}, connection of engine {engine}");
        }
    }
    for link in &station.links {
        assert_eq!((link.counters().handed_over, link.counters().handed_over_lost), (ENGINES as u64 - 1, 0));
    }
}

#[test]
fn marks_cross_over_with_the_frame() {
    let mut station = Station::new();
    station.arrives(1, &segment(station.port_of(2)));
    station.take(1);
    let mut marks = None;
    station.links[2].receive(1, &mut |frame| marks = Some((frame.checksum, frame.segment_size)));
    assert_eq!(marks, Some((RxChecksum::Verified, Some(1000))));
}

#[test]
fn the_bell_rings_until_what_was_handed_over_is_taken() {
    let mut station = Station::new();
    assert!(!station.rung(2));
    for _ in 0..3 {
        station.arrives(0, &segment(station.port_of(2)));
    }
    station.take(0);
    assert!(station.rung(2) && !station.rung(1) && !station.rung(3));
    assert_eq!(station.take(2).len(), 3);
    assert!(!station.rung(2));
    station.arrives(0, &segment(station.port_of(2)));
    station.take(0);
    assert!(station.rung(2), "it rings again");
}

#[test]
fn neighbour_news_reach_every_engine_and_questions_one() {
    let mut station = Station::new();
    let question = ArpPacket::request(PEER_MAC, PEER, OURS);
    let ours = ArpPacket::request(MAC, OURS, PEER);
    let cases = [
        ("reply", arp(&ArpPacket::reply(&ours, PEER_MAC)), [1; ENGINES]),
        ("announcement", arp(&ArpPacket::announcement(PEER_MAC, PEER)), [1; ENGINES]),
        ("question", arp(&question), [1, 0, 0, 0]),
        ("probe", arp(&ArpPacket::probe(PEER_MAC, OURS)), [1, 0, 0, 0]),
    ];
    for (name, frame, expected) in cases {
        for queue in 0..ENGINES {
            station.arrives(queue, &frame);
            let taken = station.take_all();
            assert_eq!(taken.iter().map(Vec::len).collect::<Vec<_>>(), expected, "{name} by queue {queue}");
        }
    }
}

#[test]
fn an_icmp_error_reaches_the_engine_whose_segment_it_quotes() {
    let mut station = Station::new();
    for engine in 0..ENGINES {
        // Our segment to the peer, as it comes back.
        let port = station.port_of(engine);
        let quoted = {
            let header = Ipv4Header::new(OURS, PEER, Protocol::TCP, 64, 20);
            let mut packet = vec![0; header.len()];
            header.emit(&mut packet);
            packet.extend(&transport(80, port)[..8]);
            packet
        };
        for kind in [3, 11, 12] {
            let error = [&[kind, 0, 0, 0, 0, 0, 0, 0], &quoted[..]].concat();
            station.arrives((engine + 1) % ENGINES, &ipv4(Protocol::ICMP, &error));
            let taken = station.take_all();
            assert_eq!(taken[engine].len(), 1, "type {kind}");
            assert_eq!(taken.iter().map(Vec::len).sum::<usize>(), 1);
        }
    }
}

#[test]
fn echo_requests_stay_and_what_is_no_tcp_goes_to_the_first_engine() {
    let mut station = Station::new();
    let echo = |kind| ipv4(Protocol::ICMP, &[kind, 0, 0, 0, 0, 1, 0, 1]);
    let unreachable_port = [&[3, 3, 0, 0, 0, 0, 0, 0], &ipv4_packet(Protocol::UDP, &[0; 8], |_| ())[..]].concat();
    let cases = [
        ("echo request", echo(8), 3),
        ("echo reply", echo(0), 0),
        ("UDP", ipv4(Protocol::UDP, &[0, 53, 4, 0, 0, 8, 0, 0]), 0),
        ("error about UDP", ipv4(Protocol::ICMP, &unreachable_port), 0),
        ("another protocol", ipv4(Protocol(200), &[0; 8]), 0),
        ("no IP", ethernet(EtherType(0x88cc), &[0; 46]), 0),
    ];
    for (name, frame, expected) in cases {
        station.arrives(3, &frame);
        let taken = station.take_all();
        let engines: Vec<usize> = (0..ENGINES).filter(|&engine| !taken[engine].is_empty()).collect();
        assert_eq!(engines, [expected], "{name}");
    }
}

#[test]
fn a_frame_for_another_station_is_not_handed_on() {
    let mut station = Station::new();
    let mut frame = segment(station.port_of(0));
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 99]);
    station.arrives(3, &frame);
    assert_eq!(station.take(3).len(), 1);
    assert_eq!(station.links[3].counters().handed_over, 0);
}

#[test]
fn fragments_of_a_segment_meet_in_the_engine_of_its_connection_in_whatever_order_they_come() {
    let mut station = Station::new();
    for engine in 0..ENGINES {
        let first = [transport(station.port_of(engine), 80), vec![1; 4]].concat();
        let fragments =
            [fragment(7, 0, true, &first), fragment(7, 24, true, &[2; 24]), fragment(7, 48, false, &[3; 8])];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
            for (queue, index) in order.into_iter().enumerate() {
                // Each by another queue, as can be while the kernel changes its mind.
                station.arrives(queue + 1, &fragments[index]);
            }
            let mut taken = station.take_all();
            let mut met = std::mem::take(&mut taken[engine]);
            met.sort_by_key(|frame| (frame.len(), frame[20], frame[21]));
            assert_eq!(met.len(), 3, "{order:?}");
            assert!(taken.iter().all(Vec::is_empty), "{order:?}: {taken:?}");
        }
    }
}

#[test]
fn fragments_that_wait_for_their_first_are_bounded_and_counted() {
    let mut station = Station::new();
    let count = 2_000_u16;
    for identification in 0..count {
        station.arrives(0, &fragment(identification, 1_000, false, &[0; 1_000]));
        assert!(station.take(0).is_empty());
    }
    // 64 segments are remembered.
    assert_eq!(station.links[0].counters().handed_over_lost, u64::from(count) - 64);
    // And 256 KiB of one.
    for offset in 1..500_u16 {
        station.arrives(0, &fragment(count, offset * 8, true, &[0; 1_000]));
    }
    assert!(station.take(0).is_empty());
    station.arrives(0, &fragment(count, 0, true, &transport(station.port_of(0), 80)));
    let taken = station.take(0).len();
    assert!((200..=256).contains(&taken), "{taken}");
    // One that follows a known one needs no room.
    station.arrives(0, &fragment(count, 8_000, false, &[0; 1_000]));
    assert_eq!(station.take(0).len(), 1);
}

#[test]
fn what_waits_for_a_slow_engine_is_bounded_and_the_rest_counted() {
    let mut station = Station::new();
    let frame = segment(station.port_of(2));
    for _ in 0..1_500 {
        station.arrives(0, &frame);
    }
    assert!(station.take(0).is_empty());
    let counters = station.links[0].counters();
    assert_eq!((counters.handed_over, counters.handed_over_lost), (1_024, 476));
    assert_eq!(station.take(2).len(), 1_024);
    let large = [frame, vec![0; 60_000]].concat();
    for _ in 0..200 {
        station.arrives(0, &large);
    }
    station.take(0);
    assert_eq!(station.take(2).len(), (4 << 20) / large.len());
}

#[test]
fn frames_for_an_engine_that_is_gone_are_lost_and_counted() {
    let mut station = Station::new();
    let frame = segment(station.port_of(3));
    station.links.pop();
    station.arrives(0, &frame);
    assert!(station.take(0).is_empty());
    assert_eq!(station.links[0].counters().handed_over_lost, 1);
}

#[test]
fn neither_the_queue_nor_what_is_handed_over_starves_the_other() {
    let mut station = Station::new();
    let (mine, others) = (segment(station.port_of(1)), segment(station.port_of(0)));
    for _ in 0..1_000 {
        station.arrives(0, &others);
        station.arrives(1, &mine);
        station.arrives(2, &mine);
    }
    // The other queues' floods wait at engine 1, and its own queue is full too.
    station.take(2);
    let by_queue = station.queues[1].lock().unwrap().len();
    let taken = Rc::new(RefCell::new(0));
    for _ in 0..10 {
        station.links[1].receive(64, &mut |_| *taken.borrow_mut() += 1);
    }
    let from_queue = by_queue - station.queues[1].lock().unwrap().len();
    assert_eq!((*taken.borrow(), from_queue), (640, 320));
}

#[test]
fn every_cut_and_noise_are_placed_without_a_panic() {
    let mut station = Station::new();
    let quote = ipv4_packet(Protocol::TCP, &transport(1, 2), |_| ());
    let frames = [
        segment(5),
        fragment(1, 0, true, &transport(1, 2)),
        fragment(1, 8, true, &[0; 8]),
        ipv4(Protocol::ICMP, &[&[3, 0, 0, 0, 0, 0, 0, 0], &quote[..]].concat()),
        arp(&ArpPacket::announcement(PEER_MAC, PEER)),
    ];
    let mut noise = 1_u32;
    for frame in frames {
        for len in 0..=frame.len() {
            station.arrives(1, &frame[..len]);
            for at in 12..len {
                let mut damaged = frame[..len].to_vec();
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                damaged[at] ^= (noise >> 24) as u8;
                station.arrives(1, &damaged);
            }
            station.take_all();
        }
    }
}

#[test]
fn connections_spread_evenly_and_both_ends_agree() {
    let steering = Steering::new([3; 32], ENGINES as u16);
    let mut counts = [0; ENGINES];
    for port in 1_024..11_024 {
        let (peer, ours) = (SocketAddr::from((PEER, port)), SocketAddr::from((OURS, 80)));
        let engine = steering.engine_of(peer, ours);
        assert_eq!(engine, steering.engine_of(ours, peer));
        counts[engine] += 1;
    }
    assert!(counts.iter().all(|&count| (2_300..2_700).contains(&count)), "{counts:?}");
    let other = Steering::new([4; 32], ENGINES as u16);
    let moved = (1_024..11_024).filter(|&port| {
        let (peer, ours) = (SocketAddr::from((PEER, port)), SocketAddr::from((OURS, 80)));
        steering.engine_of(peer, ours) != other.engine_of(peer, ours)
    });
    assert!(moved.count() > 7_000, "another seed, another place");
}

#[test]
fn as_many_queues_as_engines_or_none() {
    let steering = Arc::new(Steering::new([7; 32], 3));
    let link = || user::UserLink::open(&user::UserConfig::default()).unwrap();
    assert!(steered::join(vec![link(), link()], &steering).is_err());
}
