//! What has passed each interface. It is counted for every frame, and so stands apart, where no interface has to be looked
//! up for it.

use alloc::vec::Vec;

use super::InterfaceId;
use crate::stats::InterfaceStats;

/// The counts of all interfaces, each at its interface's place.
pub(crate) struct Traffic(Vec<InterfaceStats>);

impl Traffic {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// A new interface begins with nothing.
    pub(crate) fn begin(&mut self, interface: InterfaceId) {
        let at = interface.index() as usize;
        if at >= self.0.len() {
            self.0.resize_with(at + 1, InterfaceStats::default);
        }
        self.0[at] = InterfaceStats::default();
    }

    /// What `interface`, which must still be there, has seen.
    pub(crate) fn of(&self, interface: InterfaceId) -> InterfaceStats {
        self.0.get(interface.index() as usize).copied().unwrap_or_default()
    }

    #[inline(always)]
    pub(crate) fn received(&mut self, interface: InterfaceId, frames: u64, bytes: u64) {
        if let Some(stats) = self.0.get_mut(interface.index() as usize) {
            stats.rx_packets += frames;
            stats.rx_bytes += bytes;
        }
    }

    #[inline(always)]
    pub(crate) fn sent(&mut self, interface: InterfaceId, frames: u64, bytes: u64) {
        if let Some(stats) = self.0.get_mut(interface.index() as usize) {
            stats.tx_packets += frames;
            stats.tx_bytes += bytes;
        }
    }
}
