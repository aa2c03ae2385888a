//! What connections cost, as the allocator counts it: structs, tables, timers, rings' headers and all.
//!
//! The figures are an average over both ends of thousands of connections between two engines. What is the application's
//! (its halves of the rings, its list of streams) is made before the count begins or is not on the heap.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use sim::world::{A, B, Setup};
use sim::{LinkModel, Stream, World};
use stack::tcp::Phase;

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // No count is kept of a thread that ends.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const CONNECTIONS: usize = 10_000;
/// Bytes an idle established connection may cost.
const IDLE: isize = 512;
/// What it counts once it has spoken.
const COUNTERS: isize = 120;

fn quiet(world: &mut World) {
    world.run_for(Duration::from_secs(10));
    for host in [A, B] {
        world.host_mut(host).events = Default::default();
    }
}

/// Connections, in lists that were made before the count, and what each end of them costs.
struct Connections {
    world: World,
    clients: Vec<Stream>,
    servers: Vec<Stream>,
    before: isize,
}

impl Connections {
    fn new() -> Self {
        // Some way, so that text is under way for some time: no whole number of microseconds.
        let mut world = World::new(Setup::new(1).link(LinkModel::delay(Duration::from_nanos(10_300))));
        let (clients, servers) = (Vec::with_capacity(CONNECTIONS), Vec::with_capacity(CONNECTIONS));
        let listener = world.listen(B, 7).expect("a free port");
        let remote = world.socket(B, 7);
        quiet(&mut world);
        let before = LIVE.get();
        let mut all = Self { world, clients, servers, before };
        for _ in 0..CONNECTIONS {
            all.clients.push(all.world.connect(A, remote).expect("a free port"));
            let world = &mut all.world;
            let mut server = None;
            assert!(world.run_until(Duration::from_secs(1), |world| {
                server = world.accept(B, listener);
                server.is_some()
            }));
            all.servers.extend(server);
            for host in [A, B] {
                all.world.host_mut(host).events.clear();
            }
        }
        all
    }

    fn cost(&mut self) -> isize {
        quiet(&mut self.world);
        assert!(self.clients.iter().chain(&self.servers).all(|stream| stream.phase(&self.world) == Phase::Established));
        (LIVE.get() - self.before) / (2 * CONNECTIONS as isize)
    }
}

#[test]
fn a_connection_that_never_carried_data_costs_at_most_512_bytes() {
    let mut all = Connections::new();
    let cost = all.cost();
    assert!(cost <= IDLE, "{cost} bytes");
}

fn busy_of(all: &Connections) -> Duration {
    let id = all.clients[0].id;
    all.world.host(A).stack.tcp_info(id).expect("it stands").busy
}

#[test]
fn a_connection_that_has_asked_and_answered_costs_what_one_does_that_never_spoke() {
    let mut all = Connections::new();
    let fresh = all.cost();
    let Connections { world, clients, servers, .. } = &mut all;
    for (client, server) in clients.iter_mut().zip(servers) {
        client.write(world, &[1; 64]);
        assert!(world.run_until(Duration::from_secs(1), |world| server.read_all(world).len() == 64));
        server.write(world, &[2; 64]);
        assert!(world.run_until(Duration::from_secs(1), |world| client.read_all(world).len() == 64));
        world.run_for(Duration::from_millis(100));
        assert!(client.rings.send.release() && server.rings.send.release());
    }
    let busy = busy_of(&all);
    let cost = all.cost();
    // The tables that they share have grown a little.
    assert!(cost <= fresh + 8, "{cost} bytes, {fresh} before");
    let kept = busy_of(&all);
    assert!(busy > Duration::ZERO && busy - kept < Duration::from_micros(1), "{kept:?} of {busy:?} are remembered");
}

#[test]
fn a_connection_that_carried_data_and_went_idle_keeps_its_counters_and_nothing_more() {
    let mut all = Connections::new();
    let fresh = all.cost();
    PEAK.set(LIVE.get());
    let Connections { world, clients, servers, .. } = &mut all;
    for (client, server) in clients.iter_mut().zip(servers) {
        let mut received = (0, 0);
        client.write(world, &[1; 20_000]);
        server.write(world, &[2; 5_000]);
        assert!(world.run_until(Duration::from_secs(1), |world| {
            received.0 += server.read_all(world).len();
            received.1 += client.read_all(world).len();
            received == (20_000, 5_000)
        }));
        world.run_for(Duration::from_millis(100));
        // As an application does when it hears that all was acknowledged.
        assert!(client.rings.send.release() && server.rings.send.release());
    }
    let peak = (PEAK.get() - all.before) / (2 * CONNECTIONS as isize);
    let cost = all.cost();
    assert!(cost <= fresh + COUNTERS && peak < 4 * fresh, "{cost} bytes, {peak} at most, {fresh} before");
}

#[test]
fn closed_connections_leave_nothing_behind_but_a_few_dozen_bytes_in_time_wait() {
    let mut all = Connections::new();
    all.cost();
    let Connections { world, clients, servers, before } = &mut all;
    let before = *before;
    for (client, server) in clients.drain(..).zip(servers.drain(..)) {
        client.close(world);
        world.run_for(Duration::from_millis(1));
        server.close(world);
    }
    quiet(world);
    let waiting: usize = [A, B].map(|host| world.host(host).stack.tcp_counts().1).iter().sum();
    assert_eq!(waiting, CONNECTIONS);
    let cost = (LIVE.get() - before) / waiting as isize;
    assert!(cost <= 64, "{cost} bytes");
    world.run_for(Duration::from_secs(100));
    quiet(world);
    let left = LIVE.get() - before;
    assert!(left < 8 * CONNECTIONS as isize, "{left} bytes of {CONNECTIONS} connections");
}
