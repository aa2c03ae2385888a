//! Paths that swallow large packets without a word, and what they carry found out (RFC 8899, RFC 4821, RFC 1191).

use std::time::Duration;

use sim::puppet::seg;
use sim::world::{A, B, Setup};
use sim::{LinkModel, Puppet, Stream, World};
use stack::Config;
use stack::tcp::TcpInfo;

fn world(swallow_above: Option<usize>) -> World {
    let model = LinkModel {
        swallow_above,
        rate: Some(50_000_000),
        queue: Some(500_000),
        ..LinkModel::delay(Duration::from_millis(10))
    };
    World::new(Setup::new(1).link(model))
}

fn info(world: &World, stream: &Stream) -> TcpInfo {
    world.host(stream.host).stack.tcp_info(stream.id).expect("a connection")
}

/// Sends `len` bytes; returns the seconds that it took.
fn send(world: &mut World, client: &mut Stream, server: &mut Stream, len: usize) -> f64 {
    let start = world.now();
    let (mut written, mut received) = (0, 0);
    let text = vec![3; 1 << 16];
    assert!(
        world.run_until(Duration::from_secs(60), |world| {
            written += client.write(world, &text[..text.len().min(len - written)]);
            received += server.read_all(world).len();
            received == len
        }),
        "{received} of {len}"
    );
    world.now().since(start).as_secs_f64()
}

/// The largest MSS that packets of `mtu` bytes have room for.
fn mss_of(mtu: u32) -> u32 {
    mtu - 40 - 12
}

#[test]
fn a_black_hole_is_survived_and_its_edge_found() {
    for mtu in [600, 1_100, 1_280, 1_400, 1_492] {
        let mut world = world(Some(mtu as usize));
        let (mut client, mut server) = world.connected(A, B, 7);
        let took = send(&mut world, &mut client, &mut server, 8_000_000);
        // RFC 4821 section 7.7: three time-outs, and three more where the first base is too large as well.
        let stall = if mtu < 1_024 { 20.0 } else { 5.0 };
        assert!(took < stall, "{took} s at {mtu}");
        let mss = info(&world, &client).mss;
        assert!(mss <= mss_of(mtu) && mss + 16 >= mss_of(mtu).min(1_448), "{mss} at {mtu}");
    }
}

#[test]
fn a_black_hole_is_survived_where_the_peers_window_is_smaller_than_a_segment() {
    let model = LinkModel { swallow_above: Some(1_100), ..LinkModel::delay(Duration::from_millis(10)) };
    let mut setup = Setup::new(1).link(model);
    setup.mtu = 9_000;
    setup.config[1].tcp.receive_buffer = 2_000;
    let mut world = World::new(setup);
    let (mut client, mut server) = world.connected(A, B, 7);
    let took = send(&mut world, &mut client, &mut server, 100_000);
    assert!(took < 10.0, "{took} s");
}

#[test]
fn a_device_that_cuts_segments_hands_a_black_hole_no_more_than_they_are() {
    let model = LinkModel { swallow_above: Some(1_500), ..LinkModel::delay(Duration::from_millis(10)) };
    let mut setup = Setup::new(1).link(model);
    setup.offload = true;
    let mut world = World::new(setup);
    let (mut client, mut server) = world.connected(A, B, 7);
    send(&mut world, &mut client, &mut server, 1_000_000);
    assert_eq!(world.link_stats(A).swallowed, 0);
}

#[test]
fn who_comes_after_begins_with_what_was_found() {
    let mut world = world(Some(1_300));
    let (mut client, mut server) = world.connected(A, B, 7);
    send(&mut world, &mut client, &mut server, 2_000_000);
    let swallowed = world.link_stats(A).swallowed;
    let (mut client, mut server) = world.connected(A, B, 8);
    send(&mut world, &mut client, &mut server, 2_000_000);
    assert_eq!(world.link_stats(A).swallowed, swallowed, "nothing was too large");
    assert_eq!(info(&world, &client).retransmissions, 0);
}

#[test]
fn a_probe_that_is_lost_is_no_sign_of_congestion() {
    // RFC 4821 section 7.5, RFC 8899 section 3 item 7.
    let mut world = world(Some(1_300));
    let (mut client, mut server) = world.connected(A, B, 7);
    // Until the smaller size is confirmed.
    send(&mut world, &mut client, &mut server, 30_000);
    let (threshold, swallowed) = (info(&world, &client).slow_start_threshold, world.link_stats(A).swallowed);
    let mut window = info(&world, &client).congestion_window;
    for _ in 0..20 {
        send(&mut world, &mut client, &mut server, 100_000);
        let after = info(&world, &client);
        assert_eq!((after.slow_start_threshold, after.recovering), (threshold, false));
        assert!(after.congestion_window >= window, "{} after {window}", after.congestion_window);
        window = after.congestion_window;
    }
    let probes = world.link_stats(A).swallowed - swallowed;
    assert!((3..=30).contains(&probes), "{probes} probes were lost: RFC 8899 section 5.1.2, three of a size");
}

#[test]
fn ten_minutes_later_more_is_tried() {
    // RFC 8899 section 5.1.1, PMTU_RAISE_TIMER.
    let mut world = world(Some(1_300));
    let (mut client, mut server) = world.connected(A, B, 7);
    send(&mut world, &mut client, &mut server, 8_000_000);
    world.link_mut(A).swallow_above = None;
    world.run_for(Duration::from_secs(500));
    send(&mut world, &mut client, &mut server, 500_000);
    assert!(info(&world, &client).mss < 1_300, "not before its time");
    world.run_for(Duration::from_secs(110));
    send(&mut world, &mut client, &mut server, 500_000);
    assert_eq!(info(&world, &client).mss, 1_448);
}

#[test]
fn three_time_outs_of_a_full_segment_make_it_smaller_and_three_more_smaller_still() {
    // RFC 6298 section 5.5 for the times, RFC 4821 section 7.7 for the sizes.
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1_460));
    puppet.write(&[1; 1_460]);
    puppet.run_for(Duration::from_secs(30));
    let sent: Vec<(u128, usize)> = puppet.take().iter().map(|seen| (seen.at.as_millis(), seen.text.len())).collect();
    assert_eq!(
        sent[..7],
        [(0, 1_460), (200, 1_460), (600, 1_460), (1_400, 984), (3_000, 984), (6_200, 984), (12_600, 536)]
    );
    // What is acknowledged then goes on in segments of that size.
    puppet.send(&seg(1).ack(1_461));
    puppet.write(&[1; 1_072]);
    assert_eq!(puppet.take().iter().map(|seen| seen.text.len()).collect::<Vec<_>>(), [536, 536]);
}

#[test]
fn small_segments_that_are_lost_say_nothing_of_the_size() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1_460));
    puppet.write(&[1; 500]);
    puppet.run_for(Duration::from_secs(30));
    assert_eq!(puppet.info().mss, 1_460);
}

#[test]
fn without_sack_the_size_falls_and_is_not_searched_for() {
    let mut setup =
        Setup::new(3).link(LinkModel { swallow_above: Some(1_300), ..LinkModel::delay(Duration::from_millis(10)) });
    setup.config[0].tcp.sack = false;
    let mut world = World::new(setup);
    let (mut client, mut server) = world.connected(A, B, 7);
    send(&mut world, &mut client, &mut server, 1_000_000);
    assert_eq!(info(&world, &client).mss, 984 - 12);
}

#[test]
fn who_does_not_want_probing_has_none() {
    let mut config = Config::default();
    config.tcp.path_probing = false;
    let mut puppet = Puppet::established(config, seg(0).mss(1_460));
    puppet.write(&[1; 1_460]);
    puppet.run_for(Duration::from_secs(30));
    assert!(puppet.take().iter().all(|seen| seen.text.len() == 1_460));
}
