//! Our addresses, and the interface that each is on. Every packet that arrives is looked up here twice, so the table is a
//! sorted vector: a host's two or three addresses are compared one after the other, a gateway's hundreds by halves.
//!
//! `link/acd` enters an address when it may be used; `Network` and `ip` look up.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::link::InterfaceId;

/// Up to so many addresses a look-up compares one after the other.
const FEW: usize = 8;

/// Addresses in use, each on one interface.
#[derive(Default)]
pub(crate) struct Addresses {
    sorted: Vec<(IpAddr, InterfaceId)>,
}

impl Addresses {
    /// The interface that has `address`.
    #[inline]
    pub(crate) fn get(&self, address: &IpAddr) -> Option<&InterfaceId> {
        if self.sorted.len() <= FEW {
            return self.sorted.iter().find(|(own, _)| own == address).map(|(_, interface)| interface);
        }
        self.place(address).ok().map(|at| &self.sorted[at].1)
    }

    /// Whether `address` is one of ours.
    #[inline]
    pub(crate) fn contains_key(&self, address: &IpAddr) -> bool {
        self.get(address).is_some()
    }

    /// Enters an address, or moves it to another interface.
    pub(crate) fn insert(&mut self, address: IpAddr, interface: InterfaceId) {
        match self.place(&address) {
            Ok(at) => self.sorted[at].1 = interface,
            Err(at) => self.sorted.insert(at, (address, interface)),
        }
    }

    /// Takes an address out.
    pub(crate) fn remove(&mut self, address: &IpAddr) {
        if let Ok(at) = self.place(address) {
            self.sorted.remove(at);
        }
    }

    fn place(&self, address: &IpAddr) -> Result<usize, usize> {
        self.sorted.binary_search_by(|(own, _)| own.cmp(address))
    }
}

#[cfg(test)]
mod tests;
