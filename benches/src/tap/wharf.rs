//! Wharf on one thread: an engine and a TAP device, and an application that holds the other halves of the rings.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use device::Device;
use links::Link as _;
use links::tap::{Tap, TapOptions};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use stack::link::{AddressCheck, InterfaceConfig, InterfaceId};
use stack::tcp::{ApplicationRings, ConnectionId, ListenOptions, ListenerId};
use stack::{Config, Event, Instant, Stack};
use wire::cidr::Cidr;

use super::{DeviceKind, Direction, Link, NAP, PREFIX, Run};

/// Frames taken in before the engine is drained.
const BATCH: usize = 64;
/// What the application reads or writes at once.
const CHUNK: usize = 65_536;

/// Attaches to the device.
///
/// # Errors
/// When the system refuses.
pub(super) fn open(link: &Link, kind: DeviceKind) -> Result<Tap> {
    let offload = kind == DeviceKind::Offload;
    let options = TapOptions { offload, threaded: kind == DeviceKind::Threaded, ..TapOptions::default() };
    Tap::open_with(link.name, options).with_context(|| format!("Wharf's opening of {}", link.name))
}

/// The engine, its device, and the application's connection.
struct Server<'a> {
    origin: std::time::Instant,
    stack: Stack,
    tap: &'a mut Tap,
    interface: InterfaceId,
    listener: ListenerId,
    connection: Option<(ConnectionId, ApplicationRings)>,
    buffer: Vec<u8>,
}

/// Serves one connection until it is told to stop.
///
/// # Errors
/// When the device fails.
pub(super) fn run(tap: &mut Tap, link: &Link, run: &Run) -> Result<()> {
    let mut server = Server::new(tap, link)?;
    while !run.must_stack_stop() {
        let is_batch_full = server.receive() == BATCH;
        let has_moved = server.serve(run);
        let is_device_full = !server.drain()?;
        if !is_batch_full && !has_moved {
            server.sleep(is_device_full)?;
        }
    }
    Ok(())
}

impl<'a> Server<'a> {
    fn new(tap: &'a mut Tap, link: &Link) -> Result<Self> {
        let origin = std::time::Instant::now();
        let mut stack = Stack::new(Config::default(), [1; 32]);
        let mut settings = InterfaceConfig::new(link.name, tap.capabilities());
        settings.address_check = AddressCheck::OFF;
        let interface = stack.add_interface(settings).map_err(|error| anyhow!("Wharf's interface: {error}"))?;
        let cidr = Cidr::new(IpAddr::V4(link.stack), PREFIX).context("a prefix of an IPv4 address")?;
        stack.add_address(Instant::ZERO, interface, cidr).map_err(|error| anyhow!("Wharf's address: {error}"))?;
        let listener = stack
            .tcp_listen(link.server(), ListenOptions::default())
            .map_err(|error| anyhow!("Wharf's listening: {error}"))?;
        Ok(Self { origin, stack, tap, interface, listener, connection: None, buffer: vec![0; CHUNK] })
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// Takes in a batch of frames at one look at the clock.
    fn receive(&mut self) -> usize {
        let now = self.now();
        let Self { stack, tap, interface, .. } = self;
        tap.receive(BATCH, &mut |frame| stack.handle_frame(now, *interface, frame))
    }

    /// The application's turn; whether it moved any byte.
    fn serve(&mut self, run: &Run) -> bool {
        let now = self.now();
        let Some((id, rings)) = &mut self.connection else { return false };
        match run.direction {
            Direction::Transmit => {
                let written = rings.send.write(&self.buffer);
                if written > 0 {
                    self.stack.tcp_wrote(now, *id);
                }
                written > 0
            }
            Direction::Receive => {
                let mut moved = false;
                while let read @ 1.. = rings.receive.read(&mut self.buffer) {
                    run.count(read);
                    moved = true;
                }
                if moved {
                    self.stack.tcp_read(now, *id);
                }
                moved
            }
        }
    }

    /// Drains the engine: timers that are due, frames, events. False if the device takes no more.
    fn drain(&mut self) -> Result<bool> {
        let now = self.now();
        if self.stack.poll_timeout() <= now {
            self.stack.handle_timeout(now);
        }
        let taken = self.stack.poll_transmit(now, self.interface, self.tap);
        while let Some(event) = self.stack.poll_event() {
            match event {
                Event::Accept(listener) if listener == self.listener && self.connection.is_none() => {
                    let accepted = self.stack.tcp_accept(now, listener);
                    self.connection = accepted.map(|accepted| (accepted.connection, accepted.rings));
                }
                Event::AddressConflict(_, cidr) => bail!("another station uses {cidr}"),
                _ => {}
            }
        }
        Ok(taken)
    }

    /// Sleeps until there is something to do.
    fn sleep(&self, is_device_full: bool) -> Result<()> {
        let due = self.stack.poll_timeout().since(self.now()).min(NAP);
        if due == Duration::ZERO {
            return Ok(());
        }
        let mut events = PollFlags::IN;
        if is_device_full || self.tap.wants_write() {
            events |= PollFlags::OUT;
        }
        let timeout = Timespec::try_from(due).context("a time to sleep")?;
        poll(&mut [PollFd::from_borrowed_fd(self.tap.fd(), events)], Some(&timeout)).context("Wharf's waiting")?;
        Ok(())
    }
}
