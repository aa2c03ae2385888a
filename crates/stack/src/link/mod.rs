//! Ethernet and what is bound to it: interfaces, neighbours, VLANs, and the one place where offload is done in
//! software.
//!
//! `input` takes frames apart, `output` addresses them, `neighbors` and `arp` find the next hop's MAC, `acd` makes sure
//! that an address is ours alone, `offload` cuts and sums what the device cannot, `queue` holds what waits for the
//! device and `pending` what waits for a neighbour, `loopback` is the device that leads back, `hot_path`
//! remembers the headers of busy paths and `template` writes the usual segment over them, `textless` those without text,
//! `flow_headers` messages over those of their flow, and `plain` tells frames that are as usual from others. `traffic` counts
//! what has passed.

pub(crate) mod acd;
mod arp;
pub(crate) mod flow_headers;
pub(crate) mod hot_path;
pub(crate) mod input;
pub(crate) mod interface;
pub(crate) mod loopback;
pub mod neighbors;
pub(crate) mod offload;
pub(crate) mod output;
pub(crate) mod pending;
pub(crate) mod plain;
pub(crate) mod queue;
pub(crate) mod template;
pub(crate) mod textless;
pub(crate) mod traffic;

pub use acd::AddressCheck;
pub use interface::{InterfaceConfig, InterfaceError, InterfaceInfo};

pub(crate) use interface::Interface;

use crate::handle::Handle;

/// Marks handles of interfaces.
pub enum InterfaceKind {}

/// Names an interface of one engine.
pub type InterfaceId = Handle<InterfaceKind>;
