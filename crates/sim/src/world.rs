//! Hosts, the links between them, and the one clock.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use device::{Capabilities, Device, RxChecksum, RxFrame, TransmitError, TxFrame};
use stack::link::{AddressCheck, InterfaceConfig, InterfaceId};
use stack::{Config, Event, Instant, Stack};
use wire::cidr::Cidr;
use wire::ethernet::MacAddr;

use crate::chance::Chance;
use crate::link::{Frame, Link, LinkModel, LinkStats};

/// Frames that an engine may have to send at one time: a window of 64 MiB in small ones.
const MOST_FRAMES: u32 = 1_000_000;

/// The room of a device that is never full.
const ENDLESS: u32 = u32::MAX;

/// Names a host of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostId(usize);

/// A host: an engine, its interface, and what it told its owner.
pub struct Host {
    /// The engine; tests drive it as any owner would, and call [`World::settle`] afterwards.
    pub stack: Stack,
    /// Its interface.
    pub interface: InterfaceId,
    /// Its address on the link.
    pub address: IpAddr,
    /// Events that no test has read yet, oldest first.
    pub events: VecDeque<Event>,
    /// How its interface is attached.
    settings: InterfaceConfig,
}

/// A frame that was put on a link, for a test to look at.
#[derive(Clone, Debug)]
pub struct Traced {
    /// When it was sent.
    pub at: Instant,
    /// By whom.
    pub from: HostId,
    /// The frame.
    pub bytes: Vec<u8>,
}

/// Two hosts and the link between them.
pub struct World {
    now: Instant,
    chance: Chance,
    hosts: [Host; 2],
    /// The link away from each host.
    links: [Link; 2],
    /// Every frame sent, if [`World::trace`] was called.
    trace: Option<Vec<Traced>>,
    /// Whether what applications may write ahead follows the congestion window; otherwise it is as large as the ring.
    pub autotuned: bool,
    /// When a test wants to be asked again although nothing happens on the network.
    alarm: Instant,
    /// How many frames more the device of each host takes.
    room: [u32; 2],
}

/// How to make a world.
#[derive(Clone, Debug)]
pub struct Setup {
    /// From it follows everything.
    pub seed: u64,
    /// The link from the first host to the second.
    pub forth: LinkModel,
    /// And back.
    pub back: LinkModel,
    /// The link's MTU, in bytes of IP packet.
    pub mtu: u32,
    /// Whether the devices cut trains of segments by themselves, and vouch for checksums.
    pub offload: bool,
    /// Hosts whose owners decide about every flow, whatever address it is for.
    pub any_address: [bool; 2],
    /// The engines' settings.
    pub config: [Config; 2],
}

impl Setup {
    /// A perfect link of MTU 1500 between two engines with default settings.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            forth: LinkModel::default(),
            back: LinkModel::default(),
            mtu: 1500,
            offload: false,
            any_address: [false; 2],
            config: [Config::default(), Config::default()],
        }
    }

    /// The same link both ways.
    #[must_use]
    pub fn link(mut self, model: LinkModel) -> Self {
        self.forth = model;
        self.back = model;
        self
    }
}

/// The first host: 192.0.2.1.
pub const A: HostId = HostId(0);
/// The second host: 192.0.2.2.
pub const B: HostId = HostId(1);

impl World {
    /// Two hosts that know each other's MAC address, so that traces begin with what the test is about.
    ///
    /// # Panics
    /// If the setup names an MTU that no interface can have.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let mut chance = Chance::new(setup.seed);
        let Setup { config: [config_a, config_b], any_address, .. } = setup;
        let mut world = Self {
            now: Instant::from_secs(1),
            hosts: [
                host(&mut chance, config_a, settings(1, setup.mtu, setup.offload, any_address[0]), 1),
                host(&mut chance, config_b, settings(2, setup.mtu, setup.offload, any_address[1]), 2),
            ],
            links: [Link::new(setup.forth), Link::new(setup.back)],
            chance,
            trace: None,
            autotuned: false,
            alarm: Instant::NEVER,
            room: [ENDLESS; 2],
        };
        for (own, peer) in [(0, 1), (1, 0)] {
            let IpAddr::V4(address) = world.hosts[peer].address else { continue };
            let mac = world.hosts[peer].settings.capabilities.mac;
            let Host { stack, interface, .. } = &mut world.hosts[own];
            stack.add_static_neighbor(world.now, *interface, IpAddr::V4(address), mac);
        }
        world.settle();
        world
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The world's chance, for what a test leaves to it.
    pub fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    /// A host.
    #[must_use]
    pub fn host(&self, host: HostId) -> &Host {
        &self.hosts[host.0]
    }

    /// A host, to give commands to.
    pub fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0]
    }

    /// An address and port of a host.
    #[must_use]
    pub fn socket(&self, host: HostId, port: u16) -> SocketAddr {
        SocketAddr::new(self.hosts[host.0].address, port)
    }

    /// The model of the link away from `host`, to change it under way.
    pub fn link_mut(&mut self, host: HostId) -> &mut LinkModel {
        &mut self.links[host.0].model
    }

    /// How many frames more the device of `host` takes before it is full; `None` is without end.
    pub fn set_device_room(&mut self, host: HostId, frames: Option<u32>) {
        self.room[host.0] = frames.unwrap_or(ENDLESS);
        self.settle();
    }

    /// Takes the interface of `host` away, and gives it another with the same address on the same link.
    pub fn replace_interface(&mut self, host: HostId) {
        let Host { stack, interface, address, settings, .. } = &mut self.hosts[host.0];
        stack.remove_interface(self.now, *interface);
        *interface = attach(stack, self.now, settings, *address);
        self.settle();
    }

    /// What happened on the link away from `host`.
    #[must_use]
    pub fn link_stats(&self, host: HostId) -> LinkStats {
        self.links[host.0].stats()
    }

    /// Keeps every frame from now on.
    pub fn trace(&mut self) {
        self.trace.get_or_insert_default();
    }

    /// Keeps frames no longer, and forgets those it has.
    pub fn stop_tracing(&mut self) {
        self.trace = None;
    }

    /// The frames kept so far; keeps on.
    pub fn take_trace(&mut self) -> Vec<Traced> {
        self.trace.replace(Vec::new()).unwrap_or_default()
    }

    /// The next event of a host that `wanted` takes something from; the others stay where they are.
    pub fn find_event<T>(&mut self, host: HostId, mut wanted: impl FnMut(&Event) -> Option<T>) -> Option<T> {
        let events = &mut self.hosts[host.0].events;
        let at = events.iter().position(|event| wanted(event).is_some())?;
        events.remove(at).and_then(|event| wanted(&event))
    }

    /// Lets the engines send what they have to send now.
    pub fn settle(&mut self) {
        for own in 0..2 {
            let Host { stack, interface, events, settings, .. } = &mut self.hosts[own];
            let mut device = LinkDevice {
                now: self.now,
                link: &mut self.links[own],
                chance: &mut self.chance,
                trace: self.trace.as_mut(),
                capabilities: settings.capabilities,
                from: HostId(own),
                room: &mut self.room[own],
                left: MOST_FRAMES,
            };
            while !stack.poll_transmit(self.now, *interface, &mut device) && *device.room > 0 {}
            while let Some(event) = stack.poll_event() {
                events.push_back(event);
            }
        }
    }

    /// Makes `span` from now a time at which [`step`](Self::step) stops, for an application that wants to do something then.
    pub fn wake_after(&mut self, span: Duration) {
        self.alarm = self.alarm.min(self.now + span);
    }

    /// When the next thing is due; `NEVER` if nothing ever is.
    #[must_use]
    pub fn next_due(&self) -> Instant {
        let frames = self.links.iter().map(Link::next_arrival);
        let timers = self.hosts.iter().map(|host| host.stack.poll_timeout());
        frames.chain(timers).min().unwrap_or(Instant::NEVER).min(self.alarm)
    }

    /// Moves the clock to the next thing that is due and does it; false if nothing ever is, or not before `end`, to which
    /// the clock then moves.
    pub fn step(&mut self, end: Instant) -> bool {
        let due = self.next_due().max(self.now);
        if due > end {
            self.now = self.now.max(end);
            return false;
        }
        self.now = due;
        if self.alarm <= due {
            self.alarm = Instant::NEVER;
        }
        for own in 0..2 {
            let peer = 1 - own;
            while let Some(frame) = self.links[peer].receive(self.now) {
                let Host { stack, interface, .. } = &mut self.hosts[own];
                let checksum = if frame.verified { RxChecksum::Verified } else { RxChecksum::Unverified };
                let received = RxFrame { bytes: &frame.bytes, checksum, segment_size: frame.segment_size };
                stack.handle_frame(self.now, *interface, &received);
            }
            let stack = &mut self.hosts[own].stack;
            if stack.poll_timeout() <= self.now {
                stack.handle_timeout(self.now);
            }
        }
        self.settle();
        true
    }

    /// Lets `span` pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
    }

    /// Steps until `done` says so; false if that is not before `span` has passed.
    pub fn run_until(&mut self, span: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + span;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(end) {
                return done(self);
            }
        }
    }
}

fn settings(number: u8, mtu: u32, offload: bool, any_address: bool) -> InterfaceConfig {
    let mac = MacAddr([0x02, 0, 0, 0, 0, number]);
    let capabilities = Capabilities {
        tx_checksum: offload,
        tx_segmentation: offload.then_some(65_535),
        ..Capabilities::plain(mac, mtu)
    };
    InterfaceConfig { address_check: AddressCheck::OFF, any_address, ..InterfaceConfig::new("sim0", capabilities) }
}

fn host(chance: &mut Chance, config: Config, settings: InterfaceConfig, number: u8) -> Host {
    let mut stack = Stack::new(config, chance.seed());
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, number));
    let interface = attach(&mut stack, Instant::from_secs(1), &settings, address);
    Host { stack, interface, address, events: VecDeque::new(), settings }
}

fn attach(stack: &mut Stack, now: Instant, settings: &InterfaceConfig, address: IpAddr) -> InterfaceId {
    let interface = stack.add_interface(settings.clone()).expect("an MTU that an interface can have");
    let cidr = Cidr::new(address, 24).expect("24 bits of 32");
    stack.add_address(now, interface, cidr).expect("an address for a host");
    interface
}

/// A host's end of the link.
struct LinkDevice<'a> {
    now: Instant,
    link: &'a mut Link,
    chance: &'a mut Chance,
    trace: Option<&'a mut Vec<Traced>>,
    capabilities: Capabilities,
    from: HostId,
    room: &'a mut u32,
    /// Frames that it still believes to have an end.
    left: u32,
}

impl Device for LinkDevice<'_> {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        match *self.room {
            0 => return Err(TransmitError::Full),
            ENDLESS => {}
            _ => *self.room -= 1,
        }
        self.left = self.left.checked_sub(1).expect("an engine sends without end");
        let mut bytes = vec![0; frame.len()];
        frame.copy_to(&mut bytes);
        if let Some(trace) = &mut self.trace {
            trace.push(Traced { at: self.now, from: self.from, bytes: bytes.clone() });
        }
        let verified = matches!(frame.checksum, device::TxChecksum::Partial { .. });
        let frame = Frame { bytes, verified, segment_size: frame.segment_size };
        self.link.send(self.now, frame, self.chance);
        Ok(())
    }

    fn receive(&mut self, _budget: usize, _input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        // Frames come by `World::step`, when the clock says so.
        0
    }
}
