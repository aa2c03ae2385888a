//! Peers that complete a handshake and then misbehave, beside one that does not: what each of them can make us keep is
//! bounded, and the one keeps its goodput.

use std::net::SocketAddrV4;
use std::time::Duration;

use sim::world::A;
use sim::{Chance, Stream, World};
use stack::Config;
use stack::tcp::Phase;
use wire::ethernet::EthernetHeader;
use wire::ipv4::Ipv4Header;
use wire::tcp::{SackBlocks, SeqNum, TcpFlags, TcpHeader, TcpOptions};

use crate::hostile::{PORT, Siege, VICTIM, header, inject, stranger};

const TO: SocketAddrV4 = SocketAddrV4::new(VICTIM, PORT);
const SYN_OPTIONS: TcpOptions = TcpOptions { mss: Some(1_460), sack_permitted: true, ..TcpOptions::NONE };

/// A connection whose other end is the test's.
struct Intruder {
    from: SocketAddrV4,
    /// The number of the victim's first byte.
    theirs: u32,
    /// The number of ours.
    ours: u32,
    stream: Stream,
}

impl Intruder {
    fn new(siege: &mut Siege) -> Self {
        let Siege { world, chance, .. } = siege;
        let from = stranger(chance);
        let isn = chance.draw() as u32;
        world.trace();
        inject(world, from, TO, TcpHeader { options: SYN_OPTIONS, ..header(isn, 0, TcpFlags::SYN) }, b"");
        world.settle();
        let theirs = world
            .take_trace()
            .iter()
            .filter_map(|traced| {
                let (_, packet) = EthernetHeader::parse(&traced.bytes).ok()?;
                let (ip, segment) = Ipv4Header::parse(packet).ok()?;
                let (tcp, _) = TcpHeader::parse(segment).ok()?;
                (ip.dst == *from.ip() && tcp.dst_port == from.port()).then_some((tcp.seq + 1).0)
            })
            .next()
            .expect("a SYN-ACK");
        let ours = isn.wrapping_add(1);
        inject(world, from, TO, header(ours, theirs, TcpFlags::ACK), b"");
        let stream = world.accept(A, siege.listener).expect("a connection");
        Self { from, theirs, ours, stream }
    }

    fn several(siege: &mut Siege, count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::new(siege)).collect()
    }

    /// Text at `offset` of our stream.
    fn text(&self, world: &mut World, offset: u32, text: &[u8]) {
        inject(world, self.from, TO, header(self.ours.wrapping_add(offset), self.theirs, TcpFlags::ACK), text);
    }

    /// An acknowledgement up to `offset` of the victim's stream.
    fn ack(&self, world: &mut World, offset: u32, window: u16, sack: SackBlocks) {
        let plain = header(self.ours, self.theirs.wrapping_add(offset), TcpFlags::ACK);
        let options = TcpOptions { sack, ..TcpOptions::NONE };
        inject(world, self.from, TO, TcpHeader { window, options, ..plain }, b"");
    }
}

fn pick<'a>(chance: &mut Chance, all: &'a [Intruder]) -> &'a Intruder {
    &all[chance.below(all.len() as u64) as usize]
}

#[test]
fn bytes_out_of_order_that_never_close_the_hole_are_bounded_by_the_window() {
    let mut siege = Siege::new(Config::default());
    let intruders = Intruder::several(&mut siege, 20);
    // 64 KiB of window each, rounded up to what the ring takes, and the list of what lies beyond the hole.
    siege.withstands(20 * 160 * 1024, |world, chance| {
        for _ in 0..40 {
            let offset = 1 + 2 * chance.below(40_000) as u32;
            pick(chance, &intruders).text(world, offset, b"x");
        }
        world.take_trace();
    });
    for intruder in &intruders {
        assert_eq!(intruder.stream.rings.receive.len(), 0, "nothing of it is readable");
    }
    // The holes close, and everything that fits is there.
    let Siege { world, .. } = &mut siege;
    let first = &intruders[0];
    for offset in (0..65_535).step_by(1_000) {
        first.text(world, offset, &[7; 1_000]);
    }
    assert!(first.stream.rings.receive.len() >= 65_000);
}

#[test]
fn tiny_segments_that_nobody_reads_fill_one_ring_each() {
    let mut siege = Siege::new(Config::default());
    let intruders = Intruder::several(&mut siege, 10);
    let mut sent = 0;
    siege.withstands(10 * 160 * 1024, |world, _| {
        for _ in 0..10 {
            for intruder in &intruders {
                intruder.text(world, sent, b"x");
            }
            sent += 1;
        }
        world.take_trace();
    });
    assert!(intruders.iter().all(|intruder| intruder.stream.rings.receive.len() == sent as usize));
}

#[test]
fn sack_blocks_that_lie_free_nothing_and_cost_nothing() {
    // RFC 2018 section 8: what was SACKed may be reneged on, so nothing is freed by it; RFC 6675 section 3.
    let mut config = Config::default();
    config.tcp.send_start = 200_000;
    let mut siege = Siege::new(config);
    let mut intruders = Intruder::several(&mut siege, 10);
    for intruder in &mut intruders {
        assert_eq!(intruder.stream.write(&mut siege.world, &[1; 200_000]), 200_000);
    }
    let queued = |siege: &Siege, intruder: &Intruder| {
        siege.world.host(A).stack.tcp_info(intruder.stream.id).expect("a connection").send_queue
    };
    siege.withstands(1 << 20, |world, chance| {
        for _ in 0..20 {
            let intruder = pick(chance, &intruders);
            let mut sack = SackBlocks::default();
            for _ in 0..4 {
                let start = intruder.theirs.wrapping_add(chance.below(20_000) as u32);
                let len = match chance.below(4) {
                    0 => chance.draw() as u32,
                    1 => 0,
                    _ => chance.below(3_000) as u32,
                };
                let start = if chance.below(4) == 0 { chance.draw() as u32 } else { start };
                let _fits = sack.push(SeqNum(start), SeqNum(start.wrapping_add(len)));
            }
            intruder.ack(world, 0, 65_535, sack);
        }
        world.take_trace();
    });
    for intruder in &intruders {
        assert_eq!(queued(&siege, intruder), 200_000, "nothing was acknowledged");
        assert_eq!(intruder.stream.phase(&siege.world), Phase::Established);
    }
}

#[test]
fn windows_that_stay_at_zero_for_ever_cost_a_probe_a_minute_and_the_ring() {
    // RFC 1122 section 4.2.2.17.
    let mut siege = Siege::new(Config::default());
    let mut intruders = Intruder::several(&mut siege, 50);
    for intruder in &mut intruders {
        intruder.ack(&mut siege.world, 0, 0, SackBlocks::default());
        assert_eq!(intruder.stream.write(&mut siege.world, &[1; 10_000]), 10_000);
    }
    siege.withstands(1 << 20, |world, chance| {
        for _ in 0..20 {
            // Opened by a byte and closed again, again and again.
            let window = u16::from(chance.below(2) == 0);
            pick(chance, &intruders).ack(world, 0, window, SackBlocks::default());
        }
        world.take_trace();
    });
    // An hour later they are where they were, and no more was sent than probes.
    let Siege { world, .. } = &mut siege;
    for intruder in &intruders {
        intruder.ack(world, 0, 0, SackBlocks::default());
    }
    world.run_for(Duration::from_secs(120));
    world.take_trace();
    let mut probes = 0;
    for _ in 0..60 {
        world.run_for(Duration::from_secs(60));
        probes += world.take_trace().iter().filter(|traced| traced.from == A).count();
        for intruder in &intruders {
            intruder.ack(world, 0, 0, SackBlocks::default());
        }
        world.take_trace();
    }
    assert!(intruders.iter().all(|intruder| intruder.stream.phase(world) == Phase::Established));
    assert!(probes <= 50 * 65, "{probes} frames in an hour");
    // The application gives them up, and they are gone in bounded time.
    for intruder in intruders {
        intruder.stream.close(world);
    }
    world.run_for(Duration::from_secs(3_600));
    assert_eq!(world.host(A).stack.tcp_counts().0, 1);
}
