//! Header prediction changes what a segment costs and nothing else: the short way and the whole way, run against each other.

use sim::World;
use sim::world::{A, B};

use crate::random_networks::play;

const NETWORKS: u64 = 200;

/// Everything that can be seen of a run from outside: each frame with its time, what was discarded, and how often.
fn seen(world: &mut World) -> (Vec<String>, Vec<String>) {
    let trace = world.take_trace();
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

#[test]
fn the_short_way_sends_the_same_frames_at_the_same_times_as_the_whole_way() {
    for seed in 0..NETWORKS {
        let (short, short_counts) = seen(&mut play(seed, true, true));
        let (whole, whole_counts) = seen(&mut play(seed, false, true));
        let differing = short.iter().zip(&whole).position(|(short, whole)| short != whole);
        if let Some(at) = differing {
            panic!("seed {seed}: frame {at} differs:\nshort {}\nwhole {}", short[at], whole[at]);
        }
        assert_eq!(short.len(), whole.len(), "seed {seed}: the number of frames");
        assert_eq!(short_counts, whole_counts, "seed {seed}");
    }
}
