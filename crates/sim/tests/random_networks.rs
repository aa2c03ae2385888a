//! A thousand random networks: on each, two hosts send each other random amounts over a random link, and every byte
//! arrives, in order, once; then both close, and nothing is left.
//!
//! A failure names its seed; `WHARF_SEED=<seed> cargo test -p wharf-sim random_networks` runs that one alone, and with
//! `WHARF_TRACE=1` besides it prints every segment.

#![expect(clippy::print_stdout, reason = "a failing network is told to whoever replays it")]

use std::panic::RefUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sim::world::{A, B, Setup};
use sim::{Chance, LinkModel, Loss, Stream, World};
use stack::Instant;
use stack::config::TcpConfig;
use stack::tcp::{Algorithm, Ecn};

/// Networks in a run.
const NETWORKS: u64 = 1000;

/// The longest that a transfer may take, in virtual time. The worst network loses a tenth of its frames in bursts and has
/// a round trip of more than a second.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);

pub(crate) fn random_link(chance: &mut Chance) -> LinkModel {
    let up_to = |chance: &mut Chance, millis: [u64; 3]| {
        let most = millis[chance.below(3) as usize];
        Duration::from_micros(chance.below(most * 1000))
    };
    LinkModel {
        rate: (chance.below(3) > 0).then(|| 1 << chance.between(18, 30)),
        queue: (chance.below(2) > 0).then(|| 1 << chance.between(13, 20)),
        delay: up_to(chance, [1, 20, 300]),
        jitter: up_to(chance, [1, 5, 50]),
        loss: match chance.below(4) {
            0 => Loss::Never,
            1 => Loss::Random(0.01),
            2 => Loss::Random(chance.below(100) as f64 / 1000.0),
            _ => Loss::Bursts { start: 0.01, end: 0.5 },
        },
        reorder: [0.0, 0.01, 0.1][chance.below(3) as usize],
        reorder_delay: up_to(chance, [30; 3]),
        duplicate: [0.0, 0.01, 0.1][chance.below(3) as usize],
        corrupt: [0.0, 0.005, 0.05][chance.below(3) as usize],
        swallow_above: None,
        mark: Some(5_000),
    }
}

/// What an engine's owner may set, each side by itself: whatever they agree on has to work. (With SYN cookies a lost third
/// ACK is the client's to repair, who may have nothing to say.)
pub(crate) fn random_settings(chance: &mut Chance, tcp: &mut TcpConfig) {
    let one_in = |chance: &mut Chance, n: u64| chance.below(n) == 0;
    tcp.congestion = [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Bbr][chance.below(3) as usize];
    tcp.ecn = [Ecn::Off, Ecn::Passive, Ecn::Active][chance.below(3) as usize];
    tcp.sack = !one_in(chance, 4);
    tcp.timestamps = !one_in(chance, 4);
    tcp.window_scaling = !one_in(chance, 8);
    if one_in(chance, 8) {
        // Less than a segment.
        tcp.receive_buffer = 1 << chance.between(6, 10);
    }
    if one_in(chance, 4) {
        tcp.quick_acks = [1, 16][chance.below(2) as usize];
    }
}

/// What one side sends, and how it goes about it.
struct Script {
    text: Vec<u8>,
    written: usize,
    /// Most bytes a write.
    gulp: usize,
    received: Vec<u8>,
    /// Most bytes a read.
    sip: usize,
    /// Between two reads.
    pause: Duration,
    next_read: Instant,
    finished: bool,
}

impl Script {
    fn random(chance: &mut Chance) -> Self {
        let len = [0, 1, 1_000, 100_000, 400_000][chance.below(5) as usize];
        let len = chance.below(len + 1) as usize;
        let mut text = vec![0; len];
        for chunk in text.chunks_mut(8) {
            let bytes = chance.draw().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        let gulp = 1 << chance.between(4, 17);
        let sip = 1 << chance.between(6, 17);
        let pause = Duration::from_micros([0, 100, 10_000][chance.below(3) as usize]);
        Self { text, written: 0, gulp, received: Vec::new(), sip, pause, next_read: Instant::ZERO, finished: false }
    }

    /// Writes and reads a little; true once this side has finished and heard the other's end.
    fn turn(&mut self, world: &mut World, stream: &mut Stream) -> bool {
        while self.written < self.text.len() {
            let end = (self.written + self.gulp).min(self.text.len());
            let written = stream.write(world, &self.text[self.written..end]);
            self.written += written;
            if written == 0 {
                break;
            }
        }
        if self.written == self.text.len() && !self.finished {
            stream.finish(world);
            self.finished = true;
        }
        if world.now() >= self.next_read {
            let mut sip = vec![0; self.sip];
            let read = stream.read(world, &mut sip);
            self.received.extend_from_slice(&sip[..read]);
            self.next_read = world.now() + self.pause;
        }
        if !stream.rings.receive.is_empty() {
            world.wake_after(self.next_read.since(world.now()));
        }
        self.finished && stream.is_finished()
    }
}

fn run(seed: u64) {
    let traced = std::env::var_os("WHARF_TRACE").is_some();
    play(seed, true, traced);
}

/// Plays the network of `seed` to its end and returns it. With `traced` every frame is kept.
pub(crate) fn play(seed: u64, fast_path: bool, traced: bool) -> World {
    play_with(seed, traced, |tcp| tcp.fast_path = fast_path)
}

/// The same with engines set otherwise.
pub(crate) fn play_with(seed: u64, traced: bool, set: impl Fn(&mut TcpConfig)) -> World {
    play_meddled(seed, traced, set, |_, _| {})
}

/// The same while `meddle` changes what it likes between what the applications do.
pub(crate) fn play_meddled(
    seed: u64,
    traced: bool,
    set: impl Fn(&mut TcpConfig),
    mut meddle: impl FnMut(&mut World, &[Stream; 2]),
) -> World {
    let mut chance = Chance::new(seed);
    let mut setup = Setup::new(seed);
    setup.forth = random_link(&mut chance);
    setup.back = random_link(&mut chance);
    setup.mtu = [576, 1500, 1500, 9000, 65_535][chance.below(5) as usize];
    setup.offload = chance.below(4) == 0;
    for config in &mut setup.config {
        set(&mut config.tcp);
    }
    // A queue that no frame fits is a broken link, not a slow one.
    let largest = if setup.offload { 1 << 16 } else { setup.mtu as usize + 18 };
    for link in [&mut setup.forth, &mut setup.back] {
        link.queue = link.queue.map(|bytes| bytes.max(2 * largest));
    }
    setup.config[0].tcp.receive_buffer = 1 << chance.between(11, 20);
    setup.config[1].tcp.receive_buffer = 1 << chance.between(11, 20);
    let mut settings = Chance::new(!seed);
    for config in &mut setup.config {
        random_settings(&mut settings, &mut config.tcp);
    }
    for link in [&mut setup.forth, &mut setup.back] {
        link.mark = (settings.below(2) > 0).then(|| 1 << settings.between(12, 16));
    }
    let mut world = World::new(setup);
    if traced {
        world.trace();
    }
    let mut scripts = [Script::random(&mut chance), Script::random(&mut chance)];

    // Now and then with oneself, over the loopback.
    let server = if settings.below(16) == 0 { A } else { B };
    let (client, server) = world.connected(A, server, 7);
    let mut streams = [client, server];
    let done = world.run_until(PATIENCE, |world| {
        let mut done = true;
        for (stream, script) in streams.iter_mut().zip(&mut scripts) {
            done &= script.turn(world, stream);
        }
        meddle(world, &streams);
        done
    });
    if std::env::var_os("WHARF_TRACE").is_some() {
        for frame in world.take_trace() {
            println!("{}", sim::trace::describe(&frame));
        }
    }
    if !done {
        for host in [A, B] {
            let discards: Vec<_> = world.host(host).stack.discards().iter().collect();
            println!("{host:?} discarded {discards:?}; its link: {:?}", world.link_stats(host));
        }
    }
    let errors: Vec<_> = streams.iter().map(|stream| (stream.phase(&world), stream.error(&mut world))).collect();
    assert!(
        done,
        "not done in {PATIENCE:?}: {errors:?}, received {} and {}",
        scripts[0].received.len(),
        scripts[1].received.len()
    );
    assert!(scripts[0].received == scripts[1].text, "what B sent is not what A received");
    assert!(scripts[1].received == scripts[0].text, "what A sent is not what B received");

    for host in [A, B] {
        world.set_device_room(host, None);
    }
    let [client, server] = streams;
    client.close(&mut world);
    server.close(&mut world);
    let gone = world.run_until(Duration::from_secs(3600), |world| {
        [A, B].iter().all(|&host| world.host(host).stack.tcp_counts() == (0, 0))
    });
    assert!(gone, "connections are left behind");
    world
}

/// The seeds below `count` whose `game` panics; only WHARF_SEED's where there is one, whose panic is not caught.
pub(crate) fn failing_seeds(count: u64, game: impl Fn(u64) + Sync + RefUnwindSafe) -> Vec<u64> {
    if let Ok(seed) = std::env::var("WHARF_SEED") {
        game(seed.parse().expect("WHARF_SEED is a number"));
        return Vec::new();
    }
    let next = AtomicU64::new(0);
    let worker = || {
        let seeds = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|&seed| seed < count);
        seeds.filter(|&seed| std::panic::catch_unwind(|| game(seed)).is_err()).collect::<Vec<u64>>()
    };
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let mut failed: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("panics are caught")).collect()
    });
    failed.sort_unstable();
    failed
}

#[test]
fn every_byte_arrives_in_order_over_a_thousand_random_networks() {
    let failed = failing_seeds(NETWORKS, run);
    assert!(
        failed.is_empty(),
        "{} networks failed; replay one with: WHARF_SEED={} cargo test -p wharf-sim random_networks",
        failed.len(),
        failed[0]
    );
}
