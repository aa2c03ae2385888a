//! TCP (RFC 9293): the map of this folder.

use crate::handle::Handle;

/// Marks handles of connections.
pub enum ConnectionKind {}

/// Names a connection of one engine.
pub type ConnectionId = Handle<ConnectionKind>;

/// Marks handles of listeners.
pub enum ListenerKind {}

/// Names a listener of one engine.
pub type ListenerId = Handle<ListenerKind>;

use device::Device;

use crate::config::TcpConfig;
use crate::entropy::Entropy;
use crate::event::{Event, Events};
use crate::ip::{Delivery, icmp::TransportError};
use crate::link::InterfaceId;
use crate::network::Network;
use crate::time::Instant;
use core::net::IpAddr;

/// What TCP may use of the rest of the engine while it works.
pub(crate) struct Context<'a> {
    pub net: &'a mut Network,
    pub events: &'a mut Events,
    pub entropy: &'a mut Entropy,
}

/// All of TCP.
pub(crate) struct Tcp {}

impl Tcp {
    pub(crate) fn new(_config: TcpConfig, _entropy: &mut Entropy) -> Self {
        Self {}
    }

    /// A segment arrived.
    pub(crate) fn input(&mut self, _now: Instant, _context: &mut Context<'_>, _delivery: &Delivery<'_>) {}

    /// Sends what connections on `interface` have to send; false when the device became full before the end.
    pub(crate) fn transmit(
        &mut self,
        _now: Instant,
        _context: &mut Context<'_>,
        _interface: InterfaceId,
        _device: &mut dyn Device,
    ) -> bool {
        true
    }

    /// Whether `transmit` would have something to do.
    pub(crate) fn has_output(&self, _interface: InterfaceId) -> bool {
        false
    }

    pub(crate) fn next_deadline(&self) -> Instant {
        Instant::NEVER
    }

    pub(crate) fn handle_timeout(&mut self, _now: Instant, _context: &mut Context<'_>) {}

    /// An ICMP error quoted a segment of ours.
    pub(crate) fn icmp_error(&mut self, _now: Instant, _context: &mut Context<'_>, _error: &TransportError) {}

    /// The search for a next hop's MAC has ended, well or not.
    pub(crate) fn resolved(
        &mut self,
        _now: Instant,
        _context: &mut Context<'_>,
        _interface: InterfaceId,
        _next_hop: IpAddr,
        _reachable: bool,
    ) {
    }

    /// `interface` is gone, or `address` on it.
    pub(crate) fn address_removed(&mut self, _now: Instant, _context: &mut Context<'_>, _address: IpAddr) {}

    /// Fills in what happened to the connection that `event` names, when it was queued.
    pub(crate) fn complete_event(&mut self, event: Event) -> Option<Event> {
        Some(event)
    }
}
