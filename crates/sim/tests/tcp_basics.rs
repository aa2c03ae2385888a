//! Two engines over a perfect link.

use std::time::Duration;

use sim::puppet::seg;
use sim::world::{A, B, Setup};
use sim::{Puppet, World};
use stack::Config;
use stack::tcp::Phase;

#[test]
fn a_connection_opens_carries_bytes_both_ways_and_closes() {
    let mut world = World::new(Setup::new(1));
    let (mut client, mut server) = world.connected(A, B, 7);
    client.write(&mut world, b"ping");
    world.run_for(Duration::from_millis(1));
    assert_eq!(server.read_all(&mut world), b"ping");
    server.write(&mut world, b"pong");
    world.run_for(Duration::from_millis(1));
    assert_eq!(client.read_all(&mut world), b"pong");
    client.finish(&mut world);
    world.run_for(Duration::from_millis(1));
    assert_eq!(server.phase(&world), Phase::CloseWait);
    assert!(server.is_finished());
    // RFC 1122 section 4.2.3.2: its acknowledgement waits a while for what the server may have to say.
    assert_eq!(client.phase(&world), Phase::FinWait1);
    world.run_for(Duration::from_millis(40));
    assert_eq!(client.phase(&world), Phase::FinWait2);
    server.finish(&mut world);
    world.run_for(Duration::from_millis(1));
    assert_eq!(server.phase(&world), Phase::Closed);
    assert_eq!(client.phase(&world), Phase::TimeWait);
    client.close(&mut world);
    server.close(&mut world);
    assert_eq!(world.host(A).stack.tcp_counts(), (0, 1));
    world.run_for(Duration::from_secs(61));
    assert_eq!(world.host(A).stack.tcp_counts(), (0, 0));
}

#[test]
fn one_drain_sends_all_that_the_windows_let_go_however_many_trains_that_is() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460).scale(7));
    let mut written = 0;
    while puppet.info().congestion_window < 300_000 {
        puppet.write(&vec![1; 500_000]);
        written += 500_000;
        for _ in 0..100 {
            let sent: usize = puppet.take().iter().map(|segment| segment.text.len()).sum();
            if sent == 0 {
                break;
            }
            let info = puppet.info();
            let end = 1 + info.bytes_acked as u32 + info.in_flight;
            puppet.run_for(Duration::from_millis(1));
            puppet.send(&seg(1).ack(end).window(60_000));
        }
        assert!(written < 100 << 20, "{:?}", puppet.info());
    }
    puppet.write(&vec![2; 250_000]);
    let sent: usize = puppet.take().iter().map(|segment| segment.text.len()).sum();
    assert_eq!(sent, 250_000);
}
