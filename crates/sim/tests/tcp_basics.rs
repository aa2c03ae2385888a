//! Two engines over a perfect link.

use std::time::Duration;

use sim::World;
use sim::world::{A, B, Setup};
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
    assert_eq!(client.phase(&world), Phase::FinWait2);
    assert_eq!(server.phase(&world), Phase::CloseWait);
    assert!(server.is_finished());
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
