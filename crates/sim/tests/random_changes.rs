//! Random networks on which nothing stays as it was: applications change their settings while they send, routes change what
//! they take, links swallow what is too large, mark, lose and recover. Every byte arrives all the same, in order, once.
//!
//! A failure names its seed; `WHARF_SEED=<seed> cargo test -p wharf-sim random_changes` runs that one alone, and with
//! `WHARF_TRACE=1` besides it prints every segment.

#![expect(clippy::print_stdout, reason = "a failing network's changes are told to whoever replays it")]

use std::time::Duration;

use sim::world::{Host, HostId};
use sim::{Chance, Loss, Stream, World};
use stack::Instant;
use stack::config::TcpConfig;
use stack::ip::routes::Route;
use stack::tcp::{Algorithm, KeepAlive, SocketOption, UserTimeoutOption};
use wire::cidr::Cidr;

use crate::random_networks::{failing_seeds, play_meddled};

/// Networks in a run.
const NETWORKS: u64 = 500;

/// Then all stays as it is.
const MOST_CHANGES: u32 = 300;

/// Longer than any transfer stands still.
const AN_HOUR: Duration = Duration::from_secs(3_600);

/// Any setting of a connection, to a value with which it still gets on.
pub(crate) fn random_option(chance: &mut Chance) -> SocketOption {
    let on = chance.below(2) > 0;
    let size = 1 << chance.between(10, 18);
    match chance.below(13) {
        0 => SocketOption::NoDelay(on),
        1..=3 => SocketOption::Cork(on),
        4 => SocketOption::QuickAck(on),
        5 => {
            let often = KeepAlive { idle: Duration::from_secs(1), interval: Duration::from_secs(5), probes: 200 };
            SocketOption::KeepAlive(on.then_some(often))
        }
        6 => SocketOption::UserTimeoutOption(on.then(|| UserTimeoutOption::default().advertising(AN_HOUR))),
        7 => SocketOption::UserTimeout(on.then_some(AN_HOUR)),
        8 => SocketOption::Congestion([Algorithm::Cubic, Algorithm::NewReno, Algorithm::Bbr][chance.below(3) as usize]),
        9 => SocketOption::Pacing(on),
        10 => SocketOption::MaxPacingRate(on.then(|| 1 << chance.between(14, 24))),
        11 => SocketOption::ReceiveBuffer(size),
        _ => SocketOption::SendBuffer(size),
    }
}

/// The route from one host to the other takes `mtu` bytes from now on.
fn reroute(world: &mut World, from: &Stream, to: &Stream, mtu: Option<u32>) {
    let destination = Cidr::host(world.host(to.host).address);
    let host = world.host_mut(from.host);
    for route in host.stack.routes().into_iter().filter(|route| route.destination == destination) {
        host.stack.remove_route(route);
    }
    let route = Route { destination, via: None, interface: host.interface, metric: 0, mtu };
    host.stack.add_route(route).expect("a route on the link");
}

/// Who changes things, and what he has to put right again.
struct Meddler {
    chance: Chance,
    /// Most microseconds between two changes.
    pause: u64,
    next: Instant,
    /// Changes to come.
    left: u32,
    /// Hosts whose links are down, and until when.
    down: Vec<(HostId, Instant)>,
    /// And those whose devices are full, or soon will be.
    full: Vec<(HostId, Instant)>,
}

impl Meddler {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x6368_616e_6765);
        let pause = 1 << chance.between(8, 23);
        Self { chance, pause, next: Instant::ZERO, left: MOST_CHANGES, down: Vec::new(), full: Vec::new() }
    }

    /// Perhaps changes one thing; says which.
    fn turn(&mut self, world: &mut World, streams: &[Stream; 2]) -> Option<String> {
        let now = world.now();
        for (host, until) in std::mem::take(&mut self.down) {
            if until <= now {
                set_link_state(world, host, true);
            } else {
                self.down.push((host, until));
                world.wake_after(until.since(now));
            }
        }
        for (host, until) in std::mem::take(&mut self.full) {
            if until <= now {
                world.set_device_room(host, None);
            } else {
                self.full.push((host, until));
                world.wake_after(until.since(now));
            }
        }
        if self.left == 0 {
            return None;
        }
        if now < self.next {
            world.wake_after(self.next.since(now));
            return None;
        }
        // By the clock: how often an engine wakes up is its own affair.
        let pause = Duration::from_micros(1 + self.chance.below(self.pause));
        (self.next, self.left) = (now + pause, self.left - 1);
        world.wake_after(pause);
        let [a, b] = streams;
        let (one, other) = if self.chance.below(2) > 0 { (a, b) } else { (b, a) };
        let what = self.change(world, one, other);
        world.settle();
        Some(format!("{:?} at {now:?}: {what}", one.host))
    }

    fn change(&mut self, world: &mut World, one: &Stream, other: &Stream) -> String {
        let (now, chance) = (world.now(), &mut self.chance);
        let Host { stack, interface, .. } = world.host_mut(one.host);
        match chance.below(19) {
            0..=10 => {
                let option = random_option(chance);
                stack.tcp_set_option(now, one.id, option);
                format!("{option:?}")
            }
            11 => {
                let position = one.rings.send.position();
                stack.tcp_wrote_urgent(now, one.id, position);
                format!("urgent up to {position}")
            }
            12 => {
                let mtu = chance.between(576, 9_000) as u32;
                format!("a link that takes {mtu}: {:?}", stack.set_mtu(*interface, mtu))
            }
            13 => {
                let until = now + Duration::from_micros(1 << chance.between(8, 22));
                self.down.push((one.host, until));
                world.wake_after(until.since(now));
                set_link_state(world, one.host, false);
                format!("a link that is down until {until:?}")
            }
            14 => {
                let mtu = (chance.below(4) > 0).then(|| chance.between(200, 1_500) as u32);
                reroute(world, one, other, mtu);
                format!("a route of {mtu:?}")
            }
            15 => {
                let swallow_above = (chance.below(4) > 0).then(|| chance.between(576, 1_500) as usize);
                world.link_mut(one.host).swallow_above = swallow_above;
                format!("a link that swallows above {swallow_above:?}")
            }
            16 => {
                let until = now + Duration::from_micros(1 << chance.between(4, 20));
                self.full.push((one.host, until));
                world.wake_after(until.since(now));
                let room = chance.below(20) as u32;
                world.set_device_room(one.host, Some(room));
                format!("a device that takes {room} frames until {until:?}")
            }
            17 => {
                let delay = Duration::from_micros(1 << chance.between(0, 19));
                world.link_mut(one.host).delay = delay;
                format!("a link of {delay:?}")
            }
            _ => {
                // Up for four fifths of the time: what comes through in fewer tries than a connection makes.
                let every = Duration::from_millis(1 << chance.between(5, 16));
                let lasts = every / 4;
                let loss = if chance.below(2) > 0 { Loss::Never } else { Loss::Outages { every, lasts } };
                world.link_mut(one.host).loss = loss;
                format!("a link that loses {loss:?}")
            }
        }
    }
}

fn set_link_state(world: &mut World, host: HostId, up: bool) {
    let now = world.now();
    let Host { stack, interface, .. } = world.host_mut(host);
    stack.set_link_state(now, *interface, up);
    world.settle();
}

/// Plays the network of `seed` with engines that are set so to its end and returns it. With `traced` every frame is kept.
pub(crate) fn play_changing(seed: u64, traced: bool, set: impl Fn(&mut TcpConfig)) -> World {
    let told = std::env::var_os("WHARF_TRACE").is_some();
    let mut meddler = Meddler::new(seed);
    play_meddled(seed, traced, set, |world, streams| {
        let what = meddler.turn(world, streams);
        if let Some(what) = what.filter(|_| told) {
            println!("{what}");
        }
    })
}

fn run(seed: u64) {
    play_changing(seed, std::env::var_os("WHARF_TRACE").is_some(), |_| {});
}

#[test]
fn every_byte_arrives_in_order_whatever_changes_meanwhile() {
    let failed = failing_seeds(NETWORKS, run);
    assert!(
        failed.is_empty(),
        "{} networks failed; replay one with: WHARF_SEED={} cargo test -p wharf-sim random_changes",
        failed.len(),
        failed[0]
    );
}
