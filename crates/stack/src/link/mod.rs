//! Ethernet and what is bound to it: interfaces, neighbours, VLANs, and the one place where offload is done in
//! software.
//!
//! `input` takes frames apart, `output` addresses them, `neighbors` and `arp` find the next hop's MAC,
//! `offload` cuts and sums what the device cannot.

use crate::handle::Handle;

/// Marks handles of interfaces.
pub enum InterfaceKind {}

/// Names an interface of one engine.
pub type InterfaceId = Handle<InterfaceKind>;
