//! Wharf with idle connections.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use stack::tcp::{KeepAlive, ListenOptions, ListenerId, heap_rings};
use stack::{Config, Instant, Stack};

use crate::case::Work;
use crate::crowd::{self, Crowd};
use crate::pair::wharf::{Host, Hosts, Socket, host_with, ip, mac};
use crate::pair::{Offload, Pair, Setup};

/// Where the idle connections' listener listens.
pub(crate) const PORT: u16 = 80;

/// A crowd that connects to host `number`.
pub(crate) fn crowd(number: u8, timestamps: bool) -> Crowd {
    let IpAddr::V4(address) = ip(number) else { unreachable!("hosts have IPv4 addresses") };
    Crowd { station: mac(number), address, port: PORT, echo: true, timestamps }
}

/// Tells the host where the peers of so many connections are.
pub(crate) fn introduce(host: &mut Host, now: Instant, connections: u32) {
    for address in crowd::addresses(connections) {
        host.stack.add_static_neighbor(now, host.interface, IpAddr::V4(address), crowd::STATION);
    }
}

/// Opens and accepts peer number `peer`'s connection.
pub(crate) fn open(host: &mut Host, now: &mut Instant, crowd: &Crowd, listener: ListenerId, peer: u32) -> Socket {
    *now += Duration::from_micros(1);
    crowd.connect(&mut host.device.port, peer, milliseconds(*now));
    exchange(host, *now, crowd);
    let accepted = host.stack.tcp_accept(*now, listener).expect("a complete connection");
    host.drain(*now);
    Socket { id: accepted.connection, rings: accepted.rings }
}

/// Host `number` accepts `count` connections.
fn populate(
    host: &mut Host,
    number: u8,
    now: &mut Instant,
    count: u32,
    timestamps: bool,
    keep_alive: Option<KeepAlive>,
) -> Vec<Socket> {
    introduce(host, *now, count);
    let mut options = ListenOptions::default();
    options.socket.keep_alive = keep_alive;
    // An idle connection's handful of bytes.
    options.rings = Some(Box::new(|| heap_rings(4_096, 4_096)));
    let listener = host.stack.tcp_listen(SocketAddr::new(ip(number), PORT), options).expect("a free port");
    let crowd = crowd(number, timestamps);
    (0..count).map(|peer| open(host, now, &crowd, listener, peer)).collect()
}

/// Carries segments between the host and the crowd until neither has more to say.
pub(crate) fn exchange(host: &mut Host, now: Instant, crowd: &Crowd) {
    loop {
        host.take_in(now);
        host.drain(now);
        if !crowd.answer(&mut host.device.port, milliseconds(now)) {
            return;
        }
    }
}

fn milliseconds(now: Instant) -> u32 {
    (now.as_nanos() / 1_000_000) as u32
}

/// One host that has nothing to do.
pub(crate) struct Polled {
    now: Instant,
    host: Host,
    _idle: Vec<Socket>,
}

impl Polled {
    pub(crate) fn new(idle: u32) -> Self {
        let mut now = Instant::from_secs(1);
        let mut host = host_with(now, 1, Offload::Nothing, Config::default());
        let idle = populate(&mut host, 1, &mut now, idle, true, Some(KeepAlive::default()));
        Self { now, host, _idle: idle }
    }

    pub(crate) fn stack(&mut self) -> &mut Stack {
        &mut self.host.stack
    }
}

impl Work for Polled {
    fn run(&mut self, count: u64) {
        for _ in 0..count {
            self.now += Duration::from_nanos(100);
            self.host.drain(self.now);
        }
    }
}

/// Two hosts, both with idle connections, and a connection between them.
pub(crate) struct Busy {
    hosts: Hosts,
    _idle: Vec<Socket>,
}

impl Busy {
    pub(crate) fn new(setup: Setup, idle: u32) -> Self {
        let mut hosts = Hosts::new(setup);
        let mut sockets = Vec::with_capacity(2 * idle as usize);
        for number in [1, 2] {
            let Hosts { hosts, now, .. } = &mut hosts;
            let host = &mut hosts[usize::from(number) - 1];
            sockets.extend(populate(host, number, now, idle, setup.timestamps, None));
        }
        Self { hosts, _idle: sockets }
    }
}

impl Pair for Busy {
    fn bulk(&mut self, bytes: u64) {
        self.hosts.bulk(bytes);
    }

    fn round_trips(&mut self, count: u64) {
        self.hosts.round_trips(count);
    }

    fn connections(&mut self, count: u64) {
        self.hosts.connections(count);
    }
}
