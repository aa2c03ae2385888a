//! Buffers that size themselves (RFC 9293 section 3.8.6.2.2 leaves the window to the receiver; SO_RCVBUF, SO_SNDBUF).

use std::time::Duration;

use sim::puppet::seg;
use sim::world::{A, B, Setup};
use sim::{LinkModel, Puppet, Stream, World};
use stack::Config;
use stack::tcp::{ConnectOptions, ListenOptions, SocketOption, TcpInfo};
use wire::tcp::{TcpFlags, TcpHeader};

const START: usize = 64 << 10;

/// A connection between engines with default settings, with rings as the engine makes them by default.
fn pair(world: &mut World) -> (Stream, Stream) {
    world.autotuned = true;
    let config = Config::default().tcp;
    let listener = world.listen(B, 7).expect("a free port");
    let remote = world.socket(B, 7);
    let (send, receive) = (config.send_buffer as usize, config.receive_buffer as usize);
    let client = world.connect_with(A, remote, &ConnectOptions::default(), send, receive).expect("a route");
    world.run_for(Duration::from_millis(500));
    (client, world.accept(B, listener).expect("complete"))
}

/// Sends for `span`, the receiver reading all there is at once; returns bits a second, and the most memory that either ring
/// had.
fn stream(world: &mut World, client: &mut Stream, server: &mut Stream, span: Duration) -> (f64, usize) {
    let chunk = vec![7; 1 << 18];
    let start = world.now();
    let (mut received, mut memory) = (0, 0);
    world.run_until(span, |world| {
        while client.write(world, &chunk) > 0 {}
        received += server.read_all(world).len();
        memory = memory.max(info(world, server).receive_memory).max(client.rings.send.capacity_allocated());
        false
    });
    (received as f64 * 8.0 / world.now().since(start).as_secs_f64(), memory)
}

fn info(world: &World, stream: &Stream) -> TcpInfo {
    world.host(stream.host).stack.tcp_info(stream.id).expect("a connection")
}

fn long_fat() -> LinkModel {
    LinkModel { rate: Some(100_000_000), queue: Some(1_250_000), ..LinkModel::delay(Duration::from_millis(50)) }
}

#[test]
fn default_settings_fill_100_mbit_over_100_ms() {
    let mut world = World::new(Setup::new(1).link(long_fat()));
    let (mut client, mut server) = pair(&mut world);
    assert_eq!((info(&world, &server).receive_buffer, info(&world, &client).send_buffer), (START, START));
    stream(&mut world, &mut client, &mut server, Duration::from_secs(4));
    let (rate, _) = stream(&mut world, &mut client, &mut server, Duration::from_secs(4));
    // 1,448 bytes of text in frames of 1,514.
    assert!(rate > 94_000_000.0, "{rate} bit/s");
    let (receive, send) = (info(&world, &server).receive_buffer, info(&world, &client).send_buffer);
    assert!(receive >= 2_500_000 && send >= 2_500_000, "twice the bandwidth-delay product: {receive}, {send}");
}

#[test]
fn without_timestamps_the_time_of_a_window_serves_as_round_trip() {
    let mut setup = Setup::new(2).link(long_fat());
    setup.config[1].tcp.timestamps = false;
    let mut world = World::new(setup);
    let (mut client, mut server) = pair(&mut world);
    stream(&mut world, &mut client, &mut server, Duration::from_secs(4));
    let (rate, _) = stream(&mut world, &mut client, &mut server, Duration::from_secs(4));
    assert!(rate > 94_000_000.0, "{rate} bit/s");
}

#[test]
fn on_a_lan_buffers_stay_small() {
    let model =
        LinkModel { rate: Some(1_000_000_000), queue: Some(100_000), ..LinkModel::delay(Duration::from_micros(100)) };
    let mut world = World::new(Setup::new(3).link(model));
    let (mut client, mut server) = pair(&mut world);
    let (rate, memory) = stream(&mut world, &mut client, &mut server, Duration::from_millis(300));
    assert!(rate > 900_000_000.0, "{rate} bit/s");
    let (receive, send) = (info(&world, &server).receive_buffer, info(&world, &client).send_buffer);
    assert!(receive <= 512 << 10 && send <= 512 << 10 && memory <= 512 << 10, "{receive}, {send}, {memory}");
}

#[test]
fn a_slow_reader_has_a_small_window_however_fast_the_sender() {
    let mut world = World::new(Setup::new(4).link(long_fat()));
    let (mut client, mut server) = pair(&mut world);
    let chunk = vec![7; 1 << 18];
    let mut bytes = [0; 2_000];
    let end = world.now() + Duration::from_secs(20);
    while world.now() < end {
        while client.write(&mut world, &chunk) > 0 {}
        server.read(&mut world, &mut bytes);
        world.run_for(Duration::from_millis(20));
    }
    let slow = info(&world, &server);
    assert_eq!(slow.receive_buffer, START);
    assert!(slow.receive_memory <= 2 * START, "{}", slow.receive_memory);
    let written = client.rings.send.capacity_allocated();
    assert!(written <= 512 << 10, "{written}: the application is held back as well");
}

#[test]
fn what_has_grown_is_small_again_after_an_idle_second_and_grows_again() {
    let mut world = World::new(Setup::new(5).link(long_fat()));
    let (mut client, mut server) = pair(&mut world);
    for round in 0..3 {
        stream(&mut world, &mut client, &mut server, Duration::from_secs(2));
        assert!(info(&world, &server).receive_buffer > 4 * START, "round {round}");
        world.run_until(Duration::from_secs(5), |world| {
            server.read_all(world);
            false
        });
        let (receive, send) = (info(&world, &server), info(&world, &client).send_buffer);
        assert_eq!((receive.receive_buffer, receive.receive_memory, send), (START, 0, START), "round {round}");
        assert!(client.rings.send.release(), "all was acknowledged");
    }
}

#[test]
fn the_right_edge_of_the_window_never_moves_back() {
    // RFC 9293 section 3.8.6: "a receiver SHOULD NOT shrink the window"; RFC 7323 section 2.4 allows for a rounded unit.
    let mut world = World::new(Setup::new(6).link(long_fat()));
    world.trace();
    let (mut client, mut server) = pair(&mut world);
    let scale = info(&world, &server).window_scale.expect("agreed").1;
    let mut edge: Option<u32> = None;
    let mut look = |world: &mut World| {
        for frame in world.take_trace().iter().filter(|frame| frame.from == B) {
            let (header, _) = TcpHeader::parse(&frame.bytes[34..]).expect("a segment");
            if header.flags.contains(TcpFlags::SYN) {
                continue;
            }
            let now = (header.ack + (u32::from(header.window) << scale)).0;
            let before = *edge.get_or_insert(now);
            let moved = now.wrapping_sub(before) as i32;
            assert!(moved > -(1 << scale), "back by {} at {}", -moved, frame.at);
            if moved > 0 {
                edge = Some(now);
            }
        }
    };
    for round in 0..4 {
        stream(&mut world, &mut client, &mut server, Duration::from_millis(1_500));
        look(&mut world);
        // Hanging for a while, then reading, then resting; and once a buffer that is set smaller.
        while client.write(&mut world, &[1; 4_000]) > 0 {}
        world.run_for(Duration::from_secs(2));
        if round == 2 {
            let (now, id) = (world.now(), server.id);
            world.host_mut(B).stack.tcp_set_option(now, id, SocketOption::ReceiveBuffer(10_000));
        }
        look(&mut world);
        for _ in 0..100 {
            server.read_all(&mut world);
            world.run_for(Duration::from_millis(50));
        }
        look(&mut world);
    }
}

#[test]
fn a_size_that_was_asked_for_stays() {
    let mut world = World::new(Setup::new(7).link(long_fat()));
    let mut options = ConnectOptions::default();
    (options.socket.send_buffer, options.socket.receive_buffer) = (Some(30_000), Some(20_000));
    let mut listen = ListenOptions::default();
    listen.socket.receive_buffer = Some(100_000);
    let local = world.socket(B, 7);
    let listener = world.host_mut(B).stack.tcp_listen(local, listen).expect("a free port");
    let mut client = world.connect_with(A, local, &options, 1 << 20, 1 << 20).expect("a route");
    world.run_for(Duration::from_millis(500));
    let mut server = world.accept(B, listener).expect("complete");
    let (rate, _) = stream(&mut world, &mut client, &mut server, Duration::from_secs(5));
    assert!(rate < 30_000.0 * 8.0 / 0.1 * 1.1, "{rate} bit/s: one send buffer a round trip");
    assert_eq!((info(&world, &client).send_buffer, info(&world, &client).receive_buffer), (30_000, 20_000));
    assert_eq!(info(&world, &server).receive_buffer, 100_000);
    // Set under way, it counts at once.
    let (now, id) = (world.now(), client.id);
    world.host_mut(A).stack.tcp_set_option(now, id, SocketOption::SendBuffer(90_000));
    let (faster, _) = stream(&mut world, &mut client, &mut server, Duration::from_secs(5));
    assert!(faster > 2.0 * rate, "{faster} bit/s, {rate} before");
    let set = world.host(A).stack.tcp_options(id).expect("a connection");
    assert_eq!((set.send_buffer, set.receive_buffer), (Some(90_000), Some(20_000)));
}

#[test]
fn an_application_writes_ahead_by_twice_the_congestion_window() {
    let mut config = Config::default();
    config.tcp.send_start = 20_000;
    let mut puppet = Puppet::new(config);
    puppet.autotuned = true;
    puppet.connect(&ConnectOptions::default());
    puppet.send(&seg(0).ack(1).flags(TcpFlags::SYN).mss(1_460).scale(7));
    puppet.take();
    let write = |puppet: &mut Puppet| {
        let (now, id) = (puppet.instant(), puppet.id());
        let written = puppet.rings.as_mut().expect("rings").send.write(&[1; 200_000]);
        puppet.stack.tcp_wrote(now, id);
        written
    };
    assert_eq!(write(&mut puppet), 20_000, "as configured");
    puppet.send(&seg(1).ack(1));
    let sent: usize = puppet.take().iter().map(|seen| seen.text.len()).sum();
    assert_eq!(sent, 14_600, "RFC 6928 section 2: the initial window");
    puppet.send(&seg(1).ack(14_601).window(60_000));
    let window = puppet.info().congestion_window as usize;
    assert_eq!(window, 29_200, "RFC 5681 section 3.1: slow start");
    assert_eq!(write(&mut puppet), 2 * window - 5_400);
}

#[test]
fn the_window_of_a_bulk_sender_doubles_while_it_starts_slowly_and_then_follows_what_is_read() {
    // Segments of 1,000 bytes, a round trip of 100 ms, twice as many in each round.
    let mut puppet = Puppet::new(Config::default());
    puppet.autotuned = true;
    puppet.connect_with(&ConnectOptions::default(), 1 << 16, 4 << 20);
    puppet.run_for(Duration::from_millis(100));
    puppet.send(&seg(0).ack(1).flags(TcpFlags::SYN).mss(1_460).scale(7));
    puppet.take();
    let mut seq = 1;
    let mut sizes = Vec::new();
    for round in 0..7_u32 {
        puppet.run_for(Duration::from_millis(100));
        for _ in 0..10_u32 << round.min(5) {
            puppet.send(&seg(seq).ack(1).text(&[1; 1_000]));
            seq += 1_000;
            puppet.read(1_000);
        }
        sizes.push(puppet.info().receive_buffer);
    }
    assert_eq!(sizes[0], START);
    for (round, &size) in sizes.iter().enumerate() {
        let next = 10_000 << (round + 1).min(5);
        assert!(size >= next, "round {round} left room for {size}, and {next} come next");
    }
    assert!(sizes[6] < 8 * 320_000, "{sizes:?}");
}
