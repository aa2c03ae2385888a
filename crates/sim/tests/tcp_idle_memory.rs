//! What an idle connection keeps: its receive ring's memory goes when it has been read and nothing follows.

use std::time::Duration;

use sim::World;
use sim::world::{A, B, Setup};
use stack::tcp::TcpError;

#[test]
fn a_receive_ring_that_was_read_gives_its_memory_back_and_serves_again() {
    let mut world = World::new(Setup::new(3));
    let (mut client, mut server) = world.connected(A, B, 7);
    for round in 0..3u8 {
        let text = vec![round; 50_000];
        let mut received = Vec::new();
        let mut written = 0;
        let done = world.run_until(Duration::from_secs(10), |world| {
            written += client.write(world, &text[written..]);
            received.extend(server.read_all(world));
            received.len() == text.len()
        });
        assert!(done && received == text);
        world.run_for(Duration::from_secs(5));
        let info = world.host(B).stack.tcp_info(server.id).expect("a connection");
        assert_eq!(info.receive_memory, 0, "round {round}");
    }
}

#[test]
fn a_stream_that_was_reset_does_not_look_finished() {
    let mut world = World::new(Setup::new(4));
    let (mut client, mut server) = world.connected(A, B, 7);
    client.write(&mut world, b"half of it");
    world.run_for(Duration::from_millis(1));
    client.abort(&mut world);
    world.run_for(Duration::from_millis(1));
    assert_eq!(server.read_all(&mut world), b"half of it");
    assert!(!server.is_finished());
    assert_eq!(server.error(&mut world), Some(TcpError::Reset));
}
