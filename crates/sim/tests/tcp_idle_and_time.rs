//! What idle connections cost, clocks that misbehave, and handles that outlive their connections.

use std::net::SocketAddr;
use std::time::Duration;

use sim::puppet::{PUPPET, PUPPET_PORT, seg};
use sim::world::{A, B, Setup};
use sim::{Chance, Puppet, World};
use stack::tcp::{ConnectOptions, ListenOptions, Phase, SocketOption, heap_rings};
use stack::{Config, Event};
use wire::tcp::TcpFlags;

#[test]
fn idle_connections_have_no_deadline_and_nothing_to_send() {
    let mut world = World::new(Setup::new(1));
    let mut streams = Vec::new();
    for port in 0..2_000 {
        streams.push(world.connected(A, B, 1_000 + port));
    }
    // Timers that were set for the handshakes fire once, in vain; after that there are none.
    world.run_for(Duration::from_secs(10));
    for host in [A, B] {
        assert!(world.host(host).stack.poll_timeout().is_never());
    }
    world.trace();
    let (client, server) = &mut streams[777];
    client.write(&mut world, b"ping");
    world.run_for(Duration::from_secs(10));
    assert_eq!(server.read_all(&mut world), b"ping");
    for host in [A, B] {
        assert!(world.host(host).stack.poll_timeout().is_never());
        let told = world.host(host).events.iter().filter(|event| matches!(event, Event::Tcp(..))).count();
        assert!(told <= 4_002, "only the one that had news: {told}");
    }
    assert_eq!(world.take_trace().len(), 2, "the text and its ACK, nothing of the others");
}

#[test]
fn a_clock_that_steps_back_breaks_nothing() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460).timestamps(1, 0));
    puppet.run_for(Duration::from_secs(50));
    puppet.jump_to(Duration::from_secs(10));
    puppet.send(&seg(1).ack(1).text(b"hello").timestamps(2, 0));
    assert_eq!(puppet.read(10), b"hello");
    puppet.write(b"world");
    assert_eq!(puppet.take().iter().map(|seen| seen.text.len()).sum::<usize>(), 5);
    puppet.run_for(Duration::from_secs(2));
    assert!(puppet.take().iter().any(|seen| seen.text == b"world"), "the retransmission timer runs");
    for n in 0..5_000 {
        puppet.send(&seg(20 + n).flags(TcpFlags::RST));
    }
    assert_eq!(puppet.phase(), Phase::Established);
}

#[test]
fn a_clock_that_leaps_ahead_and_returns_breaks_nothing() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.jump_to(Duration::from_secs(100 * 365 * 86_400));
    for n in 0..5_000 {
        puppet.send(&seg(2 + n).flags(TcpFlags::RST));
    }
    puppet.take();
    puppet.jump_to(Duration::from_secs(5));
    assert_eq!(puppet.phase(), Phase::Established);
    puppet.write(b"still here");
    // The deadline is kept, and the owner does not spin on one that has passed.
    puppet.run_for(Duration::from_millis(700));
    assert_eq!(puppet.lines(), ["5.000 P. 1:11 ack 1", "5.200 P. 1:11 ack 1", "5.600 P. 1:11 ack 1"]);
    puppet.send(&seg(9).flags(TcpFlags::RST));
    assert_eq!(puppet.lines(), ["5.700 . 11:11 ack 1"], "challenges are counted by the second that it is now");
}

#[test]
fn the_last_instant_there_is_breaks_nothing() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.write(b"x");
    puppet.jump_to(Duration::from_secs(580 * 365 * 86_400));
    puppet.jump_to(Duration::from_nanos(u64::MAX - 200_000_000_000));
    puppet.send(&seg(1).ack(2));
    puppet.close();
}

#[test]
fn any_order_of_times_breaks_nothing() {
    for seed in 0..200 {
        let mut chance = Chance::new(seed);
        let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
        let mut next = 1;
        for _ in 0..200 {
            puppet.jump_to(Duration::from_millis(1 << chance.below(40)));
            match chance.below(4) {
                0 if puppet.phase() == Phase::Established => puppet.write(b"some text"),
                1 => {
                    puppet.send(&seg(next).ack(1).text(b"abc"));
                    next += 3;
                }
                2 => puppet.send(&seg(chance.draw() as u32).flags(TcpFlags(chance.draw() as u8 & 0xfb))),
                _ => {}
            }
        }
    }
}

#[test]
fn a_stale_handle_names_nothing_that_came_after() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    let old = puppet.id();
    let now = puppet.instant();
    puppet.stack.tcp_abort(now, old);
    puppet.drain();
    puppet.connect(&ConnectOptions::default());
    let new = puppet.id();
    assert_ne!(old, new);
    assert_eq!(puppet.stack.tcp_phase(old), Phase::Closed);
    assert_eq!(puppet.stack.tcp_addresses(old), None);
    assert!(puppet.stack.tcp_info(old).is_none());
    assert!(puppet.stack.tcp_options(old).is_none());
    puppet.stack.tcp_close(now, old);
    puppet.stack.tcp_abort(now, old);
    puppet.stack.tcp_wrote(now, old);
    puppet.stack.tcp_read(now, old);
    puppet.stack.tcp_shutdown_read(now, old);
    puppet.stack.tcp_set_option(now, old, SocketOption::NoDelay(true));
    assert!(puppet.stack.tcp_admit(now, old).is_none());
    puppet.stack.tcp_refuse(now, old, stack::tcp::Refusal::Reset);
    assert_eq!(puppet.stack.tcp_phase(new), Phase::SynSent);
    assert_eq!(puppet.stack.tcp_options(new).map(|options| options.no_delay), Some(false));
}

#[test]
fn a_stale_listener_names_nothing_that_came_after() {
    let mut puppet = Puppet::new(Config::default());
    let old = puppet.listen(ListenOptions::default());
    let now = puppet.instant();
    puppet.stack.tcp_unlisten(now, old);
    let new = puppet.listen(ListenOptions::default());
    assert_ne!(old, new);
    puppet.stack.tcp_unlisten(now, old);
    assert!(puppet.stack.tcp_listener_address(new).is_some());
    puppet.send(&seg(0).flags(TcpFlags::SYN).mss(1460));
    puppet.send(&seg(1).ack(1));
    assert!(puppet.stack.tcp_accept(now, old).is_none());
    assert!(puppet.stack.tcp_accept(now, new).is_some());
}

#[test]
fn no_event_names_a_connection_that_is_gone() {
    let mut puppet = Puppet::new(Config::default());
    let remote = SocketAddr::new(PUPPET.into(), PUPPET_PORT);
    for _ in 0..100 {
        let now = puppet.instant();
        let id = puppet.stack.tcp_connect(now, remote, &ConnectOptions::default(), heap_rings(10, 10).0);
        puppet.stack.tcp_abort(now, id.expect("a port"));
    }
    puppet.drain();
    assert!(puppet.events.iter().all(|event| !matches!(event, Event::Tcp(..))), "{:?}", puppet.events);
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
}

#[test]
fn everybody_who_waits_is_told_when_the_connection_ends() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.news();
    let (now, interface) = (puppet.instant(), puppet.interface);
    puppet.stack.remove_interface(now, interface);
    while let Some(event) = puppet.stack.poll_event() {
        puppet.events.push_back(event);
    }
    assert!(puppet.news().contains(stack::event::Readiness::CLOSED | stack::event::Readiness::ERROR));
    // It is told of an error, not of an end: what was cut off must not look whole.
    assert!(puppet.rings.as_ref().is_some_and(|rings| !rings.receive.is_finished()));
    assert_eq!(puppet.error(), Some(stack::tcp::TcpError::AddressRemoved));
}
