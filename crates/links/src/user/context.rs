//! What every part of the gateway works with during one turn.

use std::time::Instant;

use stack::Stack;

use super::GatewayStats;
use super::destinations::Destinations;
use super::host::Poller;

/// The engine, the host, the rules and the time.
pub(super) struct Context<'a> {
    pub(super) stack: &'a mut Stack,
    pub(super) poller: &'a Poller,
    pub(super) destinations: &'a Destinations,
    pub(super) stats: &'a mut GatewayStats,
    /// Now, on the engine's clock.
    pub(super) now: stack::Instant,
    /// Now, on the host's.
    pub(super) wall: Instant,
}
