//! Header prediction changes what a segment costs and nothing else: the short way and the whole way, run against each other.

use std::time::Duration;

use sim::world::{A, B, Setup};
use sim::{Chance, Stream, World};
use stack::link::neighbors::NeighborState;

use crate::random_changes::play_changing;
use crate::random_networks::{play, random_link, random_settings};

const NETWORKS: u64 = 200;

/// Everything that can be seen of a run from outside: each frame with its time, what was discarded, and how often. Which of two
/// connections goes first whose timers ring at the same instant is the wheel's affair: their frames are put in an order.
fn seen(world: &mut World) -> (Vec<String>, Vec<String>) {
    let mut trace = world.take_trace();
    // TCP's ports, behind headers without options.
    trace.sort_by_cached_key(|frame| {
        (frame.at, format!("{:?}", frame.from), frame.bytes.get(34..38).map(<[u8]>::to_vec))
    });
    let frames = trace.iter().map(|frame| format!("{} {:?} {:02x?}", frame.at, frame.from, frame.bytes)).collect();
    let counts = [A, B].map(|host| {
        let stack = &world.host(host).stack;
        let discards: Vec<_> = stack.discards().iter().collect();
        let interfaces = stack.interfaces();
        let traffic: Vec<_> = interfaces.iter().map(|interface| interface.stats).collect();
        format!("{discards:?} {traffic:?}")
    });
    (frames, counts.to_vec())
}

/// One end of a connection, in the hands of an application that cannot make up its mind.
struct End {
    stream: Stream,
    finished: bool,
}

impl End {
    const fn new(stream: Stream) -> Self {
        Self { stream, finished: false }
    }

    /// Reads, and perhaps does one more thing; `None` once it has let go.
    fn turn(mut self, world: &mut World, chance: &mut Chance) -> Option<Self> {
        self.stream.read_all(world);
        let done = self.finished && self.stream.is_finished();
        match chance.below(8) {
            0 | 1 if !self.finished => {
                let len = [1, 50, 3_000][chance.below(3) as usize];
                self.stream.write(world, &vec![7; len]);
            }
            2..=4 if !self.finished => {
                self.stream.finish(world);
                self.finished = true;
            }
            5 if done || chance.below(8) == 0 => {
                self.stream.close(world);
                return None;
            }
            6 if chance.below(16) == 0 => {
                self.stream.abort(world);
                return None;
            }
            _ => {}
        }
        Some(self)
    }
}

/// Short lives over a random link: connections come, say little or nothing, finish, close or are reset at any moment.
fn short_lives(seed: u64, fast_path: bool) -> World {
    let mut chance = Chance::new(seed);
    let mut setup = Setup::new(seed);
    setup.forth = random_link(&mut chance);
    setup.back = random_link(&mut chance);
    for link in [&mut setup.forth, &mut setup.back] {
        link.queue = link.queue.map(|bytes| bytes.max(4_096));
    }
    for config in &mut setup.config {
        random_settings(&mut chance, &mut config.tcp);
        config.tcp.fast_path = fast_path;
    }
    let mut world = World::new(setup);
    world.trace();
    let listener = world.listen(B, 7).expect("a free port");
    let mut ends: Vec<End> = Vec::new();
    for turn in 0..200 {
        // Seldom more than one at a time, so that what comes is mostly of the flow that came last.
        if turn < 150 && (ends.is_empty() || chance.below(16) == 0) {
            let remote = world.socket(B, 7);
            ends.push(End::new(world.connect(A, remote).expect("a route")));
        }
        while let Some(stream) = world.accept(B, listener) {
            ends.push(End::new(stream));
        }
        ends = ends.into_iter().filter_map(|end| end.turn(&mut world, &mut chance)).collect();
        let pause = [100, 3_000, 300_000][chance.below(3) as usize];
        world.run_for(Duration::from_micros(chance.below(pause)));
    }
    for end in ends {
        end.stream.close(&mut world);
    }
    let gone = world.run_until(Duration::from_secs(3600), |world| {
        while let Some(stream) = world.accept(B, listener) {
            stream.close(world);
        }
        [A, B].iter().all(|&host| world.host(host).stack.tcp_counts() == (0, 0))
    });
    assert!(gone, "seed {seed}: connections are left behind");
    world
}

fn assert_same(seed: u64, short: &mut World, whole: &mut World) {
    let (short, short_counts) = seen(short);
    let (whole, whole_counts) = seen(whole);
    let differing = short.iter().zip(&whole).position(|(short, whole)| short != whole);
    if let Some(at) = differing {
        panic!("seed {seed}: frame {at} differs:\nshort {}\nwhole {}", short[at], whole[at]);
    }
    assert_eq!(short.len(), whole.len(), "seed {seed}: the number of frames");
    assert_eq!(short_counts, whole_counts, "seed {seed}");
}

#[test]
fn the_short_way_sends_the_same_frames_at_the_same_times_as_the_whole_way() {
    for seed in 0..NETWORKS {
        assert_same(seed, &mut play(seed, true, true), &mut play(seed, false, true));
    }
}

#[test]
fn so_it_does_where_settings_routes_and_links_change() {
    for seed in 0..NETWORKS {
        let play = |short| play_changing(seed, true, |tcp| tcp.fast_path = short);
        assert_same(seed, &mut play(true), &mut play(false));
    }
}

#[test]
fn connections_that_come_and_go_send_the_same_frames_by_the_short_ways_as_by_the_whole_ones() {
    for seed in 0..NETWORKS {
        assert_same(seed, &mut short_lives(seed, true), &mut short_lives(seed, false));
    }
}

#[test]
fn segments_that_take_the_short_way_keep_the_neighbour_known() {
    // RFC 4861 section 7.3.1, for ARP's entries as well: who answers all the time is not doubted.
    let mut world = World::new(Setup::new(1));
    let listener = world.listen(B, 7).expect("a free port");
    let remote = world.socket(B, 7);
    for host in [A, B] {
        // Those of a world are set by hand.
        let now = world.now();
        let host = world.host_mut(host);
        host.stack.clear_neighbors(now, host.interface);
    }
    for turn in 0..120 {
        let client = world.connect(A, remote).expect("a route");
        world.run_for(Duration::from_millis(500));
        let server = world.accept(B, listener).expect("complete");
        client.close(&mut world);
        world.run_for(Duration::from_millis(500));
        server.close(&mut world);
        world.run_for(Duration::from_millis(500));
        for host in [A, B] {
            let host = world.host(host);
            let states: Vec<_> = host.stack.neighbors(host.interface).iter().map(|known| known.state).collect();
            // Who made itself known unasked is watched for five seconds first.
            assert!(turn < 4 || states == [NeighborState::Reachable], "turn {turn}: {states:?}");
        }
    }
}
