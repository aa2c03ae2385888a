//! BBR (draft-ietf-ccwg-bbr-05) over emulated networks: what it keeps that CUBIC loses, and what it leaves to others.

use std::time::Duration;

use sim::world::{A, B, Setup};
use sim::{LinkModel, Loss, Stream, World};
use stack::tcp::{Algorithm, ConnectOptions, Ecn, SocketOption, SocketOptions, TcpInfo};

/// A flow from A to B that never runs out of data.
struct Bulk {
    client: Stream,
    server: Stream,
    received: usize,
}

impl Bulk {
    fn open(world: &mut World, port: u16, algorithm: Algorithm) -> Self {
        let listener = world.listen(B, port).expect("a free port");
        let remote = world.socket(B, port);
        let mut socket = SocketOptions::default();
        socket.congestion = Some(algorithm);
        let options = ConnectOptions { socket, ..ConnectOptions::default() };
        let client = world.connect_with(A, remote, &options, 8 << 20, 8 << 20).expect("a route");
        world.run_for(Duration::from_millis(300));
        let server = world.accept(B, listener).expect("complete");
        Self { client, server, received: 0 }
    }

    fn turn(&mut self, world: &mut World) {
        if self.client.rings.send.len() < 2 << 20 {
            self.client.write(world, &[7; 1 << 18]);
        }
        while !self.server.rings.receive.is_empty() {
            let mut bytes = vec![0; self.server.rings.receive.len()];
            self.received += self.server.read(world, &mut bytes);
        }
    }

    fn info(&self, world: &World) -> TcpInfo {
        world.host(A).stack.tcp_info(self.client.id).expect("a connection")
    }
}

/// Runs flows of these algorithms over `link` for `seconds`; returns what each of them got in Mbit/s.
fn share(link: LinkModel, back: Duration, algorithms: &[Algorithm], seconds: u64) -> (Vec<f64>, World, Vec<Bulk>) {
    let mut setup = Setup::new(42);
    setup.forth = link;
    setup.back = LinkModel::delay(back);
    for config in &mut setup.config {
        config.tcp.receive_buffer = 8 << 20;
        config.tcp.send_buffer = 8 << 20;
    }
    let mut world = World::new(setup);
    let mut flows: Vec<Bulk> = algorithms
        .iter()
        .enumerate()
        .map(|(n, &algorithm)| Bulk::open(&mut world, 100 + n as u16, algorithm))
        .collect();
    world.run_until(Duration::from_secs(seconds), |world| {
        for flow in &mut flows {
            flow.turn(world);
        }
        false
    });
    let rates = flows.iter().map(|flow| flow.received as f64 * 8.0 / seconds as f64 / 1e6).collect();
    (rates, world, flows)
}

fn link(mbit: u64, rtt: u64, queue: usize) -> LinkModel {
    LinkModel { rate: Some(mbit * 1_000_000), queue: Some(queue), ..LinkModel::delay(Duration::from_millis(rtt / 2)) }
}

const HALF_OF_40: Duration = Duration::from_millis(20);

#[test]
fn at_one_percent_of_random_loss_it_keeps_the_goodput_that_cubic_loses() {
    // BBR section 1: a loss is not taken for congestion as long as fewer than BBR.LossThresh are lost.
    let lossy = LinkModel { loss: Loss::Random(0.01), ..link(20, 50, 125_000) };
    let (bbr, ..) = share(lossy, Duration::from_millis(25), &[Algorithm::Bbr], 15);
    let (cubic, ..) = share(lossy, Duration::from_millis(25), &[Algorithm::Cubic], 15);
    assert!(bbr[0] > 16.0, "{bbr:?} of 20 Mbit/s");
    assert!(cubic[0] < 6.0, "{cubic:?}");
}

#[test]
fn it_does_so_also_where_a_flight_is_a_few_dozen_segments() {
    // One lost segment of 33 is three in a hundred.
    let rates = (0..4).map(|seed| {
        let mut setup = Setup::new(seed);
        setup.forth = LinkModel { loss: Loss::Random(0.01), ..link(8, 50, 50_000) };
        setup.back = LinkModel::delay(Duration::from_millis(25));
        let mut world = World::new(setup);
        let mut flow = Bulk::open(&mut world, 100, Algorithm::Bbr);
        world.run_for(Duration::from_secs(3));
        world.run_until(Duration::from_secs(20), |world| {
            flow.turn(world);
            false
        });
        flow.received as f64 * 8.0 / 20.0 / 1e6
    });
    let mean = rates.sum::<f64>() / 4.0;
    assert!(mean > 6.8, "{mean} of 8 Mbit/s");
}

#[test]
fn it_shares_a_link_with_cubic_whatever_the_buffer() {
    // BBR section 5.3.3.5.1: it probes no oftener than Reno would, and leaves headroom.
    for queue in [50_000, 200_000] {
        let (rates, world, _) = share(link(20, 40, queue), HALF_OF_40, &[Algorithm::Cubic, Algorithm::Bbr], 30);
        assert!(rates.iter().all(|&rate| rate > 5.0), "a queue of {queue}: {rates:?}");
        assert!(rates.iter().sum::<f64>() > 17.0, "{rates:?} {:?}", world.link_stats(A));
    }
}

#[test]
fn two_of_its_kind_share_a_link_fairly() {
    let (rates, ..) = share(link(20, 40, 100_000), HALF_OF_40, &[Algorithm::Bbr, Algorithm::Bbr], 30);
    let jain = (rates[0] + rates[1]).powi(2) / (2.0 * (rates[0].powi(2) + rates[1].powi(2)));
    assert!(jain > 0.95, "{rates:?}");
}

#[test]
fn it_fills_a_link_whose_buffer_holds_six_frames() {
    // A tenth of the bandwidth-delay product.
    let (rates, world, _) = share(link(20, 40, 10_000), HALF_OF_40, &[Algorithm::Bbr], 15);
    assert!(rates[0] > 15.5, "{rates:?} {:?}", world.link_stats(A));
    let stats = world.link_stats(A);
    assert!(stats.overflowed * 50 < stats.sent, "less than two in a hundred lost: {stats:?}");
}

#[test]
fn it_does_not_bloat_a_bloated_buffer() {
    // BBR section 5.6.4: the flight is bounded by twice the bandwidth-delay product; the buffer holds twenty.
    let model = link(20, 40, 2_000_000);
    let (rates, world, flows) = share(model, HALF_OF_40, &[Algorithm::Bbr], 15);
    let bbr = flows[0].info(&world);
    assert!(bbr.srtt < Some(Duration::from_millis(60)), "{bbr:?}");
    assert!(rates[0] > 17.0, "{rates:?}");
    assert_eq!(world.link_stats(A).overflowed, 0);
    let (_, world, flows) = share(model, HALF_OF_40, &[Algorithm::Cubic], 15);
    assert!(flows[0].info(&world).srtt > Some(Duration::from_millis(300)), "in contrast to CUBIC");
}

fn single(link: LinkModel, seconds: u64) -> (World, Bulk) {
    let (_, world, mut flows) = share(link, HALF_OF_40, &[Algorithm::Bbr], seconds);
    (world, flows.remove(0))
}

/// The link's rate in bytes of payload a second.
const FULL: u64 = 20_000_000 / 8 * 1_448 / 1_514;

#[test]
fn it_lets_the_queue_run_dry_once_in_five_seconds_and_no_oftener() {
    // BBR section 5.3.4.3: half of the bandwidth-delay product for 200 ms.
    let (mut world, mut flow) = single(link(20, 40, 400_000), 3);
    let mut dips = Vec::new();
    let end = world.now() + Duration::from_secs(12);
    let mut low = false;
    world.run_until(Duration::from_secs(12), |world| {
        flow.turn(world);
        let now_low = flow.info(world).congestion_window < 55_000;
        if now_low && !low {
            dips.push(world.now());
        }
        low = now_low;
        world.now() >= end
    });
    assert!((2..=3).contains(&dips.len()), "{dips:?}");
    let pause = dips[1].since(dips[0]);
    assert!((Duration::from_secs(5)..Duration::from_millis(5_500)).contains(&pause), "{pause:?}");
}

#[test]
fn an_application_that_says_little_does_not_teach_it_that_the_path_is_slow() {
    // BBR section 4.1.2.4: samples of an application that does not fill the pipe count only if they are larger.
    let (mut world, mut flow) = single(link(20, 40, 100_000), 3);
    let before = flow.info(&world).pacing_rate.expect("a rate");
    assert!(before > FULL * 8 / 10, "{before}");
    let drained = world.run_until(Duration::from_secs(5), |world| {
        while !flow.server.rings.receive.is_empty() {
            flow.server.read_all(world);
        }
        flow.client.rings.send.is_empty()
    });
    assert!(drained);
    for _ in 0..100 {
        flow.client.write(&mut world, &[7; 1_000]);
        world.run_for(Duration::from_millis(50));
        flow.server.read_all(&mut world);
    }
    let info = flow.info(&world);
    assert!(info.delivery_rate_app_limited && info.delivery_rate < Some(FULL / 10), "{info:?}");
    assert!(info.pacing_rate > Some(FULL * 8 / 10), "{info:?}");
}

#[test]
fn after_a_short_silence_it_goes_on_at_its_rate_and_after_a_long_one_it_begins_anew() {
    // BBR section 5.4.2; the model is as old as its round trips may be, ten seconds, and is then forgotten.
    for (silence, fresh) in [(3, false), (3_600, true)] {
        let (mut world, mut flow) = single(link(20, 40, 100_000), 3);
        world.run_until(Duration::from_secs(5), |world| {
            while !flow.server.rings.receive.is_empty() {
                flow.server.read_all(world);
            }
            flow.client.rings.send.is_empty()
        });
        world.run_for(Duration::from_secs(silence));
        let overflowed = world.link_stats(A).overflowed;
        let sent = world.link_stats(A).sent;
        flow.client.write(&mut world, &[7; 200_000]);
        let burst = world.link_stats(A).sent - sent;
        if fresh {
            assert_eq!(burst, 10, "the restart window of RFC 5681 section 4.1");
        } else {
            assert!(burst <= 4, "a train and the one that was owed, not a window: {burst}");
            world.run_for(Duration::from_millis(60));
            let rate = flow.info(&world).pacing_rate.expect("a rate");
            assert!(rate > FULL * 8 / 10, "{rate}");
        }
        world.run_for(Duration::from_secs(2));
        assert_eq!(flow.server.read_all(&mut world).len(), 200_000);
        assert_eq!(world.link_stats(A).overflowed, overflowed);
    }
}

#[test]
fn a_blackout_of_seconds_is_survived_at_the_rate_of_before() {
    // BBR section 5.6.4.4: the window of before the time-out is restored.
    let (mut world, mut flow) = single(link(20, 40, 100_000), 3);
    world.link_mut(A).loss = Loss::Random(1.0);
    world.run_for(Duration::from_secs(2));
    world.link_mut(A).loss = Loss::Never;
    assert!(flow.info(&world).timeouts > 0);
    let before = flow.received;
    world.run_until(Duration::from_secs(5), |world| {
        flow.turn(world);
        false
    });
    let rate = (flow.received - before) as u64 / 5;
    assert!(rate > FULL / 2, "{rate} of {FULL}");
}

#[test]
fn marks_are_answered_and_spare_the_losses() {
    // RFC 3168 section 5: as a loss would be; in startup they end it, and in a probe they end that.
    let mut setup = Setup::new(42).link(LinkModel { mark: Some(30_000), ..link(20, 40, 200_000) });
    for config in &mut setup.config {
        config.tcp.ecn = Ecn::Active;
        config.tcp.receive_buffer = 8 << 20;
    }
    let mut world = World::new(setup);
    let mut flow = Bulk::open(&mut world, 100, Algorithm::Bbr);
    world.run_until(Duration::from_secs(15), |world| {
        flow.turn(world);
        false
    });
    let info = flow.info(&world);
    assert!(info.ecn && info.echoes_received > 0, "{info:?}");
    assert_eq!((world.link_stats(A).overflowed, info.retransmissions), (0, 0));
    assert!(flow.received as u64 > 15 * FULL * 7 / 10, "{}", flow.received);
    assert!(info.srtt < Some(Duration::from_millis(60)), "{info:?}");
}

#[test]
fn a_living_connection_changes_its_algorithm_both_ways() {
    let mut world = World::new(Setup::new(42).link(link(20, 40, 100_000)));
    let mut flow = Bulk::open(&mut world, 100, Algorithm::Cubic);
    for (algorithm, paced) in [(Algorithm::Bbr, true), (Algorithm::NewReno, false), (Algorithm::Bbr, true)] {
        let (now, id) = (world.now(), flow.client.id);
        world.host_mut(A).stack.tcp_set_option(now, id, SocketOption::Congestion(algorithm));
        world.settle();
        let before = flow.received;
        world.run_until(Duration::from_secs(3), |world| {
            flow.turn(world);
            false
        });
        let info = flow.info(&world);
        assert_eq!((info.congestion, info.pacing_rate.is_some()), (algorithm, paced));
        let rate = (flow.received - before) as u64 / 3;
        assert!(rate > FULL * 6 / 10, "{algorithm:?}: {rate} of {FULL}");
    }
}

#[test]
fn over_the_loopback_whose_segments_are_as_large_as_trains_it_gets_on() {
    let mut setup = Setup::new(43);
    setup.config[0].tcp.congestion = Algorithm::Bbr;
    let mut world = World::new(setup);
    let (mut client, mut server) = world.connected(A, A, 100);
    let mut received = 0;
    let all = world.run_until(Duration::from_secs(10), |world| {
        client.write(world, &[7; 1 << 18]);
        received += server.read_all(world).len();
        received > 10 << 20
    });
    let info = world.host(A).stack.tcp_info(client.id).expect("a connection");
    assert!(all, "{received} bytes, {info:?}");
    assert!(info.mss > 1 << 15, "two segments are more than BBRSetSendQuantum's 64 KiB: {info:?}");
}

#[test]
fn every_algorithm_is_known_by_its_name() {
    for (algorithm, name) in [(Algorithm::Cubic, "cubic"), (Algorithm::NewReno, "reno"), (Algorithm::Bbr, "bbr")] {
        assert_eq!((algorithm.name(), Algorithm::from_name(name)), (name, Some(algorithm)));
    }
    assert_eq!(Algorithm::from_name("vegas"), None);
}
