//! Random lives: connections, listeners and sockets that come and go as an owner may have them, in any order, over a network
//! whose cards, addresses, routes and devices come and go as well. What an application reads is the beginning of what the
//! other wrote, whatever becomes of the rest; no engine wants to be called again and again; and once everything was let go,
//! nothing is left of it: no connection, no byte of the budget, no timer.
//!
//! A failure names its seed; `WHARF_SEED=<seed> cargo test -p wharf-sim random_lives` runs that one alone, and with
//! `WHARF_TRACE=1` besides it prints every command and every segment.

#![expect(clippy::print_stdout, reason = "a failing life is told to whoever replays it")]

mod datagrams;
mod network;
mod owner;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use owner::Owner;
use sim::world::{A, B, Host, Setup};
use sim::{Chance, LinkModel, World};
use stack::Instant;
use stack::ip::routes::Route;
use stack::tcp::SynCookies;
use wire::cidr::Cidr;

use crate::random_networks::{failing_seeds, random_settings};

/// Lives in a run.
const LIVES: u64 = 1_000;
/// Commands in a life.
const COMMANDS: u32 = 400;
/// Longer than any connection lives that nobody wants.
const LONG: Duration = Duration::from_secs(3 * 3_600);
/// Frames that are kept.
const MOST_RECENT: usize = 300;
/// Steps that may be due at the same time.
const MOST_AT_ONCE: u32 = 10_000;

/// Lets time pass. No engine may ask for the same time for ever.
fn pass(world: &mut World, span: Duration) {
    let end = world.now() + span;
    let (mut last, mut steps) = (Instant::ZERO, 0);
    while world.step(end) {
        steps = if world.now() == last { steps + 1 } else { 0 };
        last = world.now();
        assert!(steps < MOST_AT_ONCE, "an engine asks for {last:?} again and again");
    }
}

/// Everything is well again: then a connection comes about, whatever was before, and carries something both ways.
fn begin_anew(world: &mut World, chance: &mut Chance) {
    for host in [A, B] {
        if chance.below(2) > 0 {
            world.replace_interface(host);
        }
        let Host { stack, interface, address, .. } = world.host_mut(host);
        let interface = *interface;
        let subnet = Cidr::new(*address, 24).expect("24 bits of 32").network();
        stack.set_mtu(interface, 1_500).expect("the device's");
        stack.routes().into_iter().filter(|route| route.interface == interface).for_each(|route| {
            stack.remove_route(route);
        });
        stack
            .add_route(Route { destination: subnet, via: None, interface, metric: 0, mtu: None })
            .expect("none is there");
        *world.link_mut(host) = LinkModel::default();
    }
    let (mut client, mut server) = world.connected(A, B, 9);
    let texts = [vec![1; 5_000], vec![2; 7_000]];
    let (mut written, mut read) = ([0; 2], [0; 2]);
    let all = world.run_until(Duration::from_secs(600), |world| {
        for (at, end) in [&mut client, &mut server].into_iter().enumerate() {
            written[at] += end.write(world, &texts[at][written[at]..]);
            read[at] += end.read_all(world).len();
        }
        read == [texts[1].len(), texts[0].len()]
    });
    assert!(all, "written {written:?}, read {read:?}");
    client.close(world);
    server.close(world);
}

fn run(seed: u64) {
    let told = std::env::var_os("WHARF_TRACE").is_some();
    let mut chance = Chance::new(seed ^ 0x006c_6976_6573);
    let mut setup = Setup::new(seed).link(LinkModel::default());
    setup.offload = chance.below(4) == 0;
    setup.any_address = [chance.below(4) == 0, chance.below(4) == 0];
    for config in &mut setup.config {
        random_settings(&mut chance, &mut config.tcp);
        config.tcp.memory_budget = 1 << chance.between(14, 24);
        config.tcp.time_wait_limit = 1 << chance.below(8);
        config.tcp.half_open_limit = 1 << chance.below(8);
        config.tcp.syn_cookies =
            [SynCookies::Never, SynCookies::WhenFull, SynCookies::Always][chance.below(3) as usize];
        config.neighbors.limit = 1 + chance.below(4) as usize;
    }
    let mut world = World::new(setup);
    world.trace();
    for (host, gateway) in [(A, B), (B, A)] {
        let via = Some(world.host(gateway).address);
        let destination = Cidr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0).expect("no bits");
        let Host { stack, interface, .. } = world.host_mut(host);
        let route = Route { destination, via, interface: *interface, metric: 0, mtu: None };
        stack.add_route(route).expect("a route by the link");
    }
    let mut owner = Owner {
        chance,
        told,
        ends: Vec::new(),
        listeners: Vec::new(),
        sockets: Vec::new(),
        echoes: Vec::new(),
        asked: VecDeque::new(),
        recent: VecDeque::new(),
    };
    for _ in 0..COMMANDS {
        let said = owner.turn(&mut world);
        tell(&mut world, &mut owner, &said);
        for host in [A, B] {
            let memory = world.host_mut(host).stack.tcp_memory();
            assert!(memory.used <= memory.limit, "{memory:?}");
        }
        owner.hear(&mut world);
    }

    let Owner { ends, listeners, sockets, echoes, .. } = &mut owner;
    let (ends, listeners) = (std::mem::take(ends), std::mem::take(listeners));
    let (sockets, echoes) = (std::mem::take(sockets), std::mem::take(echoes));
    for end in ends {
        owner.let_go(&mut world, end);
    }
    let now = world.now();
    for (host, id) in listeners {
        world.host_mut(host).stack.tcp_unlisten(now, id);
    }
    for (host, id, ..) in sockets {
        world.host_mut(host).stack.udp_close(now, id);
    }
    for (host, id, _) in echoes {
        world.host_mut(host).stack.echo_close(id);
    }
    for host in [A, B] {
        owner.mend(&mut world, host);
    }
    for _ in 0..LONG.as_secs() / 60 {
        pass(&mut world, Duration::from_secs(60));
        owner.hear(&mut world);
        owner.decide(&mut world, 0);
    }
    tell(&mut world, &mut owner, "the end");
    check_nothing_is_left(&mut world);
    begin_anew(&mut world, &mut owner.chance);
    pass(&mut world, LONG);
    check_nothing_is_left(&mut world);
}

fn check_nothing_is_left(world: &mut World) {
    for host in [A, B] {
        let stack = &mut world.host_mut(host).stack;
        assert_eq!(stack.tcp_counts(), (0, 0), "{:?}", stack.tcp_connections().collect::<Vec<_>>());
        assert_eq!(stack.tcp_memory().used, 0);
        assert_eq!(stack.udp_sockets(), 0);
        assert!(stack.poll_timeout().is_never(), "{:?}", stack.poll_timeout());
    }
}

/// Looks at what has passed by, and tells of it.
fn tell(world: &mut World, owner: &mut Owner, said: &str) {
    for frame in world.take_trace() {
        if owner.told {
            println!("{}", sim::trace::describe(&frame));
        }
        owner.recent.push_back((if frame.from == A { B } else { A }, frame.bytes));
    }
    owner.recent.drain(..owner.recent.len().saturating_sub(MOST_RECENT));
    if owner.told {
        println!("{:?}: {said}", world.now());
    }
}

#[test]
fn of_lives_that_were_let_go_nothing_is_left() {
    let failed = failing_seeds(LIVES, run);
    assert!(
        failed.is_empty(),
        "{} lives failed; replay one with: WHARF_SEED={} cargo test -p wharf-sim random_lives",
        failed.len(),
        failed[0]
    );
}
