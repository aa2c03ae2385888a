//! What a [`Net`](crate::Net) tells of its interfaces.

use crate::{Cidr, MacAddr};

/// One interface, as it was when asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// Its name: the link's, or "lo".
    pub name: String,
    /// Its station address; all zero for the loopback interface.
    pub mac: MacAddr,
    /// The largest IP packet it carries, in bytes.
    pub mtu: u32,
    /// Whether it has a carrier.
    pub up: bool,
    /// Its addresses with their subnets.
    pub addresses: Vec<Cidr>,
    /// Frames and bytes so far.
    pub stats: InterfaceStats,
}

pub use stack::stats::InterfaceStats;
