//! How much gets through: buffers, fairness between connections, and links of every kind. Figures are of the virtual
//! clock, so they are the same on every machine.

use std::time::Duration;

use sim::world::{A, B, Setup};
use sim::{LinkModel, Stream, World};
use stack::tcp::ConnectOptions;

/// Ten megabits a second, 40 ms there and back, and a queue of one bandwidth-delay product.
fn link() -> LinkModel {
    LinkModel { rate: Some(10_000_000), queue: Some(50_000), ..LinkModel::delay(Duration::from_millis(20)) }
}

/// Seconds that `len` bytes take with buffers of `buffer` bytes on both sides.
fn seconds(model: LinkModel, buffer: usize, len: usize) -> f64 {
    let mut setup = Setup::new(7).link(model);
    for config in &mut setup.config {
        config.tcp.receive_buffer = buffer as u32;
        config.tcp.send_buffer = buffer as u32;
    }
    let mut world = World::new(setup);
    let listener = world.listen(B, 7).expect("a free port");
    let remote = world.socket(B, 7);
    let mut client = world.connect_with(A, remote, &ConnectOptions::default(), buffer, buffer).expect("a route");
    world.run_for(Duration::from_secs(1));
    let mut server = world.accept(B, listener).expect("complete");
    let start = world.now();
    let (mut written, mut received) = (0, 0);
    let done = world.run_until(Duration::from_secs(600), |world| {
        written += client.write(world, &vec![7; len - written]);
        received += server.read_all(world).len();
        received == len
    });
    assert!(done, "{received} of {len} with buffers of {buffer}");
    world.now().since(start).as_secs_f64()
}

const BUFFERS: [usize; 6] = [8 << 10, 32 << 10, 128 << 10, 512 << 10, 2 << 20, 8 << 20];

#[test]
fn a_larger_buffer_never_means_less_throughput() {
    // 4 MB at 10 Mbit/s take 3.2 s at least.
    let model = LinkModel { queue: None, ..link() };
    let times: Vec<f64> = BUFFERS.iter().map(|&buffer| seconds(model, buffer, 4_000_000)).collect();
    assert!(times.windows(2).all(|pair| pair[1] <= pair[0] * 1.02), "{times:?}");
    assert!(times[5] < 3.6, "{times:?}");
}

#[test]
fn a_buffer_far_larger_than_the_links_queue_costs_no_more_than_the_repair_of_one_overshoot() {
    // Slow start fills a queue that drops, where a smaller buffer would have held it back; SACK repairs that in a few
    // round trips.
    let times: Vec<f64> = BUFFERS.iter().map(|&buffer| seconds(link(), buffer, 4_000_000)).collect();
    let mut best = f64::MAX;
    for &time in &times {
        assert!(time < best * 1.1, "{times:?}");
        best = best.min(time);
    }
    assert!(times[5] < 4.0, "{times:?}");
}

fn pair(world: &mut World, port: u16, buffer: usize) -> (Stream, Stream) {
    let listener = world.listen(B, port).expect("a free port");
    let remote = world.socket(B, port);
    let client = world.connect_with(A, remote, &ConnectOptions::default(), buffer, buffer).expect("a route");
    world.run_for(Duration::from_millis(200));
    (client, world.accept(B, listener).expect("complete"))
}

#[test]
fn a_peer_that_does_not_read_slows_nobody_else() {
    let time = |slow: usize| {
        let mut setup = Setup::new(3).link(link());
        setup.config[1].tcp.receive_buffer = 1 << 17;
        let mut world = World::new(setup);
        let mut stuck: Vec<(Stream, Stream)> = (0..slow).map(|n| pair(&mut world, 100 + n as u16, 1 << 18)).collect();
        for (client, _) in &mut stuck {
            client.write(&mut world, &vec![1; 1 << 18]);
        }
        // Their receivers' buffers fill up; then they hang.
        world.run_for(Duration::from_secs(60));
        let (mut client, mut server) = pair(&mut world, 7, 1 << 18);
        let start = world.now();
        let (mut written, mut received) = (0, 0);
        assert!(world.run_until(Duration::from_secs(60), |world| {
            for (client, _) in &mut stuck {
                client.write(world, &[1; 1_000]);
            }
            written += client.write(world, &vec![7; 2_000_000 - written]);
            received += server.read_all(world).len();
            received == 2_000_000
        }));
        world.now().since(start).as_secs_f64()
    };
    let (alone, among) = (time(0), time(20));
    assert!(among < alone * 1.1, "{among} s among twenty that hang, {alone} s alone");
}

#[test]
fn several_senders_share_a_link_fairly() {
    // A queue of four bandwidth-delay products, so that nobody starves by chance alone.
    let mut model = link();
    model.queue = Some(200_000);
    let mut world = World::new(Setup::new(5).link(model));
    let mut streams: Vec<(Stream, Stream)> = (0..4).map(|n| pair(&mut world, 100 + n, 1 << 18)).collect();
    let mut received = [0_usize; 4];
    world.run_until(Duration::from_secs(60), |world| {
        for (n, (client, server)) in streams.iter_mut().enumerate() {
            client.write(world, &[7; 1 << 14]);
            received[n] += server.read_all(world).len();
        }
        false
    });
    let total: usize = received.iter().sum();
    assert!(total > 60_000_000, "the link is used: {total}");
    let square: f64 = received.iter().map(|&bytes| (bytes as f64).powi(2)).sum();
    let fairness = (total as f64).powi(2) / (4.0 * square);
    assert!(fairness > 0.8, "Jain's index {fairness}: {received:?}");
}

#[test]
fn a_lossy_link_is_used() {
    // One frame in a hundred lost: NewReno's mean window is about 1.2 / sqrt (p) segments.
    let mut model = LinkModel::delay(Duration::from_millis(5));
    model.loss = sim::Loss::Random(0.01);
    let mut world = World::new(Setup::new(9).link(model));
    let (mut client, mut server) = pair(&mut world, 7, 1 << 20);
    let start = world.now();
    let (mut written, mut received) = (0, 0);
    assert!(world.run_until(Duration::from_secs(120), |world| {
        written += client.write(world, &vec![7; 5_000_000 - written]);
        received += server.read_all(world).len();
        received == 5_000_000
    }));
    let took = world.now().since(start).as_secs_f64();
    assert!(took < 10.0, "{took} s for 5 MB");
}
