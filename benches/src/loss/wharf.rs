//! Wharf at one end of an emulated link.

use std::net::SocketAddr;
use std::time::Duration;

use device::{Capabilities, Device, RxFrame, TransmitError, TxFrame};
use sim::link::Frame;
use stack::link::{AddressCheck, InterfaceConfig, InterfaceId};
use stack::tcp::{Algorithm, ApplicationRings, ConnectOptions, ConnectionId, ListenOptions, ListenerId, heap_rings};
use stack::{Config, Instant, Stack};
use wire::cidr::Cidr;

use super::network::{BEGINNING, FIRST_PORT, Host};
use crate::pair::wharf::{ip, mac};

/// What the application reads or writes at once.
const CHUNK: usize = 65_536;

/// One end of a flow.
struct End {
    id: ConnectionId,
    rings: ApplicationRings,
}

/// A host that sends, or one that receives.
pub(super) struct Wharf {
    stack: Stack,
    interface: InterfaceId,
    capabilities: Capabilities,
    /// Of the receiver; its flows are there once they are accepted.
    listeners: Vec<ListenerId>,
    flows: Vec<Option<End>>,
    received: Vec<u64>,
    chunk: Vec<u8>,
}

impl Wharf {
    /// A sender, with a flow for each of `algorithms`; it connects at once. Its ports and numbers follow from `seed`.
    pub(super) fn sender(algorithms: &[Algorithm], buffer: usize, seed: u8) -> Self {
        let mut host = Self::new(1, 2, algorithms.len(), seed);
        for (flow, &algorithm) in algorithms.iter().enumerate() {
            let (engine, rings) = heap_rings(buffer, CHUNK);
            let mut options = ConnectOptions::default();
            options.socket.congestion = Some(algorithm);
            let remote = SocketAddr::new(ip(2), FIRST_PORT + flow as u16);
            let id = host.stack.tcp_connect(BEGINNING, remote, &options, engine).expect("a route");
            host.flows[flow] = Some(End { id, rings });
        }
        host
    }

    /// A receiver of so many flows.
    pub(super) fn receiver(flows: usize, buffer: usize) -> Self {
        let mut host = Self::new(2, 1, flows, 2);
        for flow in 0..flows {
            let mut options = ListenOptions::default();
            options.rings = Some(Box::new(move || heap_rings(CHUNK, buffer)));
            options.receive_buffer = Some(buffer);
            let local = SocketAddr::new(ip(2), FIRST_PORT + flow as u16);
            host.listeners.push(host.stack.tcp_listen(local, options).expect("a free port"));
        }
        host
    }

    fn new(number: u8, peer: u8, flows: usize, seed: u8) -> Self {
        let capabilities = Capabilities::plain(mac(number), 1_500);
        let mut stack = Stack::new(Config::default(), [seed; 32]);
        let mut interface = InterfaceConfig::new("loss0", capabilities);
        interface.address_check = AddressCheck::OFF;
        let interface = stack.add_interface(interface).expect("a name, an address and an MTU as they should be");
        let cidr = Cidr::new(ip(number), 24).expect("24 bits of 32");
        stack.add_address(BEGINNING, interface, cidr).expect("an address for a host");
        stack.add_static_neighbor(BEGINNING, interface, ip(peer), mac(peer));
        Self {
            stack,
            interface,
            capabilities,
            listeners: Vec::new(),
            flows: std::iter::repeat_with(|| None).take(flows).collect(),
            received: vec![0; flows],
            chunk: vec![7; CHUNK],
        }
    }

    /// The application: it accepts, reads everything, and writes as much as it can.
    fn serve(&mut self, now: Instant) {
        for (flow, listener) in self.listeners.iter().enumerate() {
            if self.flows[flow].is_none()
                && let Some(accepted) = self.stack.tcp_accept(now, *listener)
            {
                self.flows[flow] = Some(End { id: accepted.connection, rings: accepted.rings });
            }
        }
        let sends = self.listeners.is_empty();
        for (flow, end) in self.flows.iter_mut().enumerate() {
            let Some(End { id, rings }) = end else { continue };
            if sends {
                let mut wrote = false;
                while rings.send.write(&self.chunk) > 0 {
                    wrote = true;
                }
                if wrote {
                    self.stack.tcp_wrote(now, *id);
                }
            } else {
                let mut moved = false;
                while let read @ 1.. = rings.receive.read(&mut self.chunk) {
                    self.received[flow] += read as u64;
                    moved = true;
                }
                if moved {
                    self.stack.tcp_read(now, *id);
                }
            }
        }
    }
}

impl Host for Wharf {
    fn take(&mut self, now: Instant, frame: &Frame) {
        self.stack.handle_frame(now, self.interface, &RxFrame::plain(&frame.bytes));
    }

    fn turn(&mut self, now: Instant, send: &mut dyn FnMut(Vec<u8>)) {
        if self.stack.poll_timeout() <= now {
            self.stack.handle_timeout(now);
        }
        self.serve(now);
        let mut device = Wire { capabilities: self.capabilities, send };
        while !self.stack.poll_transmit(now, self.interface, &mut device) {}
        while self.stack.poll_event().is_some() {}
        if self.listeners.is_empty() {
            return;
        }
        // A flow may have been completed by what has just been sent or taken in.
        self.serve(now);
        let mut device = Wire { capabilities: self.capabilities, send };
        while !self.stack.poll_transmit(now, self.interface, &mut device) {}
    }

    fn due(&mut self, _now: Instant) -> Instant {
        self.stack.poll_timeout()
    }

    fn received(&self) -> &[u64] {
        &self.received
    }

    fn window(&self, flow: usize) -> Option<u32> {
        let End { id, .. } = self.flows.get(flow)?.as_ref()?;
        Some(self.stack.tcp_info(*id)?.congestion_window)
    }
}

/// What the engine sends to.
struct Wire<'a> {
    capabilities: Capabilities,
    send: &'a mut dyn FnMut(Vec<u8>),
}

impl Device for Wire<'_> {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        let mut bytes = vec![0; frame.len()];
        frame.copy_to(&mut bytes);
        (self.send)(bytes);
        Ok(())
    }

    fn receive(&mut self, _budget: usize, _input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        // Frames come by `Host::take`, when the clock says so.
        0
    }
}

/// Never less than this, so that a window may grow into what the link takes.
pub(super) const LEAST_BUFFER: usize = 1 << 18;

/// Never more than this.
pub(super) const MOST_BUFFER: usize = 1 << 25;

/// A buffer that keeps a link of this rate and round trip busy, with its queue full.
pub(super) fn buffer(rate: u64, round_trip: Duration, queue: usize) -> usize {
    let product = (u128::from(rate) * round_trip.as_nanos() / 8_000_000_000) as usize;
    (2 * (product + queue)).clamp(LEAST_BUFFER, MOST_BUFFER)
}
