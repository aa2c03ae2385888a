//! One budget for all connections: what is refused, what goes on, and that it is never exceeded.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use device::RxFrame;
use ring::Budget;
use sim::puppet::{ENGINE, PUPPET, PUPPET_PORT, seg};
use sim::world::{A, B, HostId, Setup};
use sim::{LinkModel, Puppet, Stream, World};
use stack::tcp::{ConnectError, ConnectOptions, ListenOptions, ListenerId, MemoryState, Phase, heap_rings};
use stack::{Config, Discard, Event};
use wire::tcp::TcpFlags;

use crate::heap;

/// What a connection reserves for itself and the first 2 KiB of its rings.
const CONNECTION: usize = 5 << 10;

fn states(world: &mut World, host: HostId) -> Vec<MemoryState> {
    let events = world.host_mut(host).events.drain(..);
    events.filter_map(|event| if let Event::TcpMemory(state) = event { Some(state) } else { None }).collect()
}

fn connect(world: &mut World, remote: SocketAddr) -> Stream {
    let tcp = Config::default().tcp;
    world.autotuned = true;
    let (send, receive) = (tcp.send_buffer as usize, tcp.receive_buffer as usize);
    world.connect_with(A, remote, &ConnectOptions::default(), send, receive).expect("a port")
}

fn accept_all(world: &mut World, listener: ListenerId, into: &mut Vec<Stream>) {
    while let Some(stream) = world.accept(B, listener) {
        into.push(stream);
    }
}

#[test]
fn beyond_the_budget_connections_are_refused_and_when_others_close_there_is_room_again() {
    let mut setup = Setup::new(1);
    setup.config[1].tcp.memory_budget = 20 * CONNECTION + 100;
    setup.config[1].tcp.time_wait = Duration::from_secs(1);
    let mut world = World::new(setup);
    let listener = world.listen(B, 7).expect("a free port");
    let remote = world.socket(B, 7);
    let mut clients: Vec<Stream> = (0..30).map(|_| connect(&mut world, remote)).collect();
    world.run_for(Duration::from_millis(500));
    let mut servers = Vec::new();
    accept_all(&mut world, listener, &mut servers);
    assert_eq!(servers.len(), 20);
    let stack = &mut world.host_mut(B).stack;
    assert_eq!(stack.discards().of(Discard::TcpMemory), 10, "the SYNs that found no room, dropped without an answer");
    let memory = stack.tcp_memory();
    assert_eq!((memory.state, memory.refused_connections), (MemoryState::Limit, 10));
    assert!(memory.used <= memory.limit);
    let client = world.socket(A, 9);
    let refused = world.connect(B, client).err();
    assert_eq!(refused, Some(ConnectError::NoMemory));
    assert_eq!(states(&mut world, B).last(), Some(&MemoryState::Limit));

    // Their SYNs come again, and the places of those that close are theirs.
    for server in servers.drain(..15) {
        server.close(&mut world);
    }
    world.run_for(Duration::from_millis(10));
    for client in &mut clients {
        if client.phase(&world) == Phase::CloseWait {
            client.finish(&mut world);
        }
    }
    world.run_for(Duration::from_secs(10));
    accept_all(&mut world, listener, &mut servers);
    assert_eq!(servers.len(), 15, "five that stayed and ten that came");
    assert_eq!(states(&mut world, B).last(), Some(&MemoryState::Pressure));
    drop((servers, clients));
}

#[test]
fn what_closed_connections_leave_in_their_rings_counts_until_it_is_read_or_dropped() {
    let mut setup = Setup::new(2);
    setup.config[1].tcp.memory_budget = 1 << 20;
    let mut world = World::new(setup);
    let (mut client, mut server) = world.connected(A, B, 7);
    client.write(&mut world, &[1; 50_000]);
    client.finish(&mut world);
    world.run_for(Duration::from_secs(1));
    let used = |world: &mut World| world.host_mut(B).stack.tcp_memory().used;
    assert_eq!(used(&mut world), CONNECTION + (64 << 10) - 2_048);
    server.finish(&mut world);
    world.run_for(Duration::from_secs(1));
    assert_eq!(server.phase(&world), Phase::Closed);
    let id = server.id;
    assert_eq!(server.read_all(&mut world).len(), 50_000);
    let now = world.now();
    world.host_mut(B).stack.tcp_close(now, id);
    assert!(used(&mut world) >= 64 << 10, "the application still has its half");
    drop(server);
    assert_eq!(used(&mut world), 0);
}

#[test]
fn under_pressure_what_finds_no_memory_is_dropped_and_counted_and_not_acknowledged() {
    let mut config = Config::default();
    // Growth ends at three quarters: the first page of a ring does not fit any more.
    config.tcp.memory_budget = CONNECTION * 4 / 3 + 1_000;
    let (mut puppet, _) = Puppet::accepted(config, seg(0).mss(1_460), &seg(1).ack(1));
    let text = [7; 1_000];
    // Within the window that was offered, and out of order: there is no memory for so far ahead.
    puppet.send(&seg(20_001).ack(1).text(&text));
    assert_eq!(puppet.stack.discards().of(Discard::TcpMemory), 1);
    let answer = puppet.take().pop().expect("an ACK");
    assert_eq!((answer.ack, answer.options.sack.iter().count()), (1, 0), "nothing is claimed to be there");
    // In order there is room for what was reserved, and what was acknowledged stays.
    puppet.send_batch(&[seg(1).ack(1).text(&text), seg(1_001).ack(1).text(&text), seg(2_001).ack(1).text(&text)]);
    assert_eq!(puppet.stack.discards().of(Discard::TcpMemory), 2);
    let answer = puppet.take().pop().expect("an ACK");
    assert_eq!(answer.ack, 2_001);
    assert_eq!(puppet.read(10_000), [7; 2_000]);
    puppet.send(&seg(2_001).ack(1).text(&text));
    assert_eq!(puppet.read(10_000), text);
}

#[test]
fn windows_to_come_promise_no_more_than_there_is_memory_for() {
    let mut config = Config::default();
    config.tcp.memory_budget = CONNECTION * 4 / 3 + 1_000;
    let mut puppet = Puppet::new(config);
    let listener = puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).mss(1_460).flags(TcpFlags::SYN));
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    puppet.take();
    // RFC 9293 section 3.8.6: the edge that was promised stays where it is until it is reached.
    let mut seq = 1;
    for _ in 0..200 {
        puppet.send(&seg(seq).ack(1).text(&[1; 500]));
        seq += 500;
        puppet.read(500);
    }
    puppet.run_for(Duration::from_secs(1));
    let window = puppet.take().pop().expect("an ACK").window;
    assert!(window <= 2_048, "{window}");
    let memory = puppet.stack.tcp_memory();
    assert!(memory.used <= memory.limit);
}

#[test]
fn ten_thousand_connections_with_full_buffers_stay_within_the_budget_and_all_go_on() {
    const CONNECTIONS: usize = 10_000;
    const EACH: usize = 12_000;
    let budget = CONNECTIONS * CONNECTION * 3 / 2;
    let mut setup = Setup::new(3).link(LinkModel::delay(Duration::from_millis(1)));
    for config in &mut setup.config {
        config.tcp.memory_budget = budget;
    }
    let mut world = World::new(setup);
    let listener = world.listen(B, 7).expect("a free port");
    let remote = world.socket(B, 7);
    let (mut clients, mut servers) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS / 100 {
        clients.extend((0..100).map(|_| connect(&mut world, remote)));
        world.run_for(Duration::from_millis(5));
        accept_all(&mut world, listener, &mut servers);
    }
    assert_eq!(servers.len(), CONNECTIONS);
    let check = |world: &mut World| {
        for host in [A, B] {
            let memory = world.host_mut(host).stack.tcp_memory();
            assert!(memory.used <= memory.limit, "{memory:?}");
        }
    };
    // Everyone writes all it may, and nobody reads.
    let text = vec![5; EACH];
    let mut written = vec![0; CONNECTIONS];
    for round in 0..3 {
        for (client, written) in clients.iter_mut().zip(&mut written) {
            *written += client.write(&mut world, &text[*written..]);
        }
        world.run_for(Duration::from_millis(500));
        check(&mut world);
        let held: usize = clients.iter().map(|client| client.rings.send.capacity_allocated()).sum();
        assert!(held <= budget, "round {round}: {held}");
    }
    let memory = world.host_mut(A).stack.tcp_memory();
    assert!(memory.state != MemoryState::Normal && memory.refused_growth > 0, "{memory:?}");
    assert!(written.iter().all(|&bytes| bytes > 0), "everyone could write something");
    // Now they read; every stream arrives whole.
    let mut read = 0;
    for _ in 0..1_200 {
        for (n, client) in clients.iter_mut().enumerate() {
            if written[n] < EACH {
                written[n] += client.write(&mut world, &text[written[n]..]);
            }
        }
        for server in &mut servers {
            read += server.read_all(&mut world).len();
        }
        check(&mut world);
        if read == CONNECTIONS * EACH {
            break;
        }
        world.run_for(Duration::from_millis(100));
    }
    assert_eq!(read, CONNECTIONS * EACH);
}

fn told(puppet: &mut Puppet) -> Vec<MemoryState> {
    let events = puppet.events.drain(..);
    events.filter_map(|event| if let Event::TcpMemory(state) = event { Some(state) } else { None }).collect()
}

/// A SYN from a port of the puppet's.
fn request(puppet: &Puppet, port: u16) -> Vec<u8> {
    let from = SocketAddrV4::new(PUPPET, port);
    puppet.frame_between(from, SocketAddrV4::new(ENGINE, 80), &seg(0).flags(TcpFlags::SYN).mss(1_460))
}

/// An engine with memory for one connection, which waits to be accepted, and whose owner has not looked.
fn full() -> (Puppet, ListenerId) {
    let mut config = Config::default();
    config.tcp.memory_budget = CONNECTION + 1_000;
    let mut puppet = Puppet::new(config);
    let listener = puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).mss(1_460).flags(TcpFlags::SYN));
    puppet.take();
    assert_eq!(told(&mut puppet), []);
    let ack = puppet.frame(&seg(1).ack(1));
    puppet.stack.handle_frame(puppet.instant(), puppet.interface, &RxFrame::plain(&ack));
    (puppet, listener)
}

#[test]
fn a_syn_that_there_is_no_memory_for_is_not_answered() {
    let (mut puppet, listener) = full();
    puppet.accept(listener);
    let syn = request(&puppet, 9);
    puppet.send_frame(&syn);
    assert_eq!(puppet.lines(), [""; 0]);
    assert_eq!(puppet.stack.tcp_counts().0, 1);
    assert_eq!(puppet.stack.discards().of(Discard::TcpMemory), 1);
    assert_eq!(puppet.stack.tcp_memory().refused_connections, 1);
}

#[test]
fn an_owner_that_does_not_look_is_told_once_and_costs_nothing() {
    let (mut puppet, listener) = full();
    let syn = request(&puppet, 9);
    let before = heap::held();
    for _ in 0..20_000 {
        puppet.stack.handle_frame(puppet.instant(), puppet.interface, &RxFrame::plain(&syn));
    }
    let more = heap::held() - before;
    assert!(more < 4_096, "{more} bytes");
    puppet.drain();
    assert_eq!(told(&mut puppet), [MemoryState::Limit]);
    // It has looked: it is told when that changes, and not again while it does not.
    for _ in 0..10 {
        puppet.send_frame(&syn);
    }
    assert_eq!(told(&mut puppet), []);
    puppet.accept(listener);
    puppet.stack.tcp_abort(puppet.instant(), puppet.id());
    puppet.rings = None;
    puppet.send_frame(&syn);
    puppet.run_for(Duration::from_secs(1));
    assert_eq!(told(&mut puppet), [MemoryState::Normal]);
}

#[test]
fn pressure_ends_only_when_a_good_deal_less_is_in_use() {
    // From five eighths to a half: what comes and goes in between tells nobody anything.
    let mut config = Config::default();
    config.tcp.memory_budget = 10 * CONNECTION;
    let mut puppet = Puppet::new(config);
    let mut open = Vec::new();
    let mut states = Vec::new();
    for wanted in [6, 7, 6, 7, 6, 5, 6, 7] {
        while open.len() < wanted {
            puppet.connect(&ConnectOptions::default());
            open.push((puppet.id(), puppet.rings.take()));
        }
        while open.len() > wanted {
            let now = puppet.instant();
            open.pop().into_iter().for_each(|(id, _)| puppet.stack.tcp_abort(now, id));
        }
        assert_eq!(puppet.stack.tcp_memory().used, wanted * CONNECTION);
        puppet.jump_to(puppet.now());
        states.push((wanted, told(&mut puppet).pop()));
    }
    let (pressure, normal) = (Some(MemoryState::Pressure), Some(MemoryState::Normal));
    let expected = [(6, None), (7, pressure), (6, None), (7, None), (6, None), (5, normal), (6, None), (7, pressure)];
    assert_eq!(states, expected);
}

#[test]
fn rings_that_are_paid_for_elsewhere_cost_the_connection_nothing() {
    let budget = Budget::new(1 << 20);
    let mut puppet = Puppet::new(Config::default());
    let (engine, rings) = heap_rings(65_535, 65_535);
    assert!(budget.reserve(2 * Budget::RESERVED));
    assert!(engine.send.set_budget(&budget) && engine.receive.set_budget(&budget));
    let remote = SocketAddr::new(IpAddr::V4(PUPPET), PUPPET_PORT);
    let now = puppet.instant();
    let id = puppet.stack.tcp_connect(now, remote, &ConnectOptions::default(), engine).expect("a route");
    assert_eq!(puppet.stack.tcp_memory().used, CONNECTION - 2 * Budget::RESERVED);
    assert_eq!(budget.used(), 2 * Budget::RESERVED);
    puppet.stack.tcp_abort(now, id);
    drop(rings);
    assert_eq!((puppet.stack.tcp_memory().used, budget.used()), (0, 0));
}
