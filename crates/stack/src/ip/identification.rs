//! IPv4 identifications: unique within a datagram's lifetime, and no use to an onlooker.
//!
//! RFC 7739 section 5.3 describes the scheme: a counter per bucket of destinations, moved by a secret function of the
//! flow, so that what one destination sees says nothing of what another will see.

use core::net::{IpAddr, Ipv4Addr};

use alloc::boxed::Box;
use wire::protocol::Protocol;

use crate::entropy::{Entropy, Key};

const BUCKETS: usize = 256;

pub(crate) struct Identifications {
    key: Key,
    counters: Box<[u16; BUCKETS]>,
}

impl Identifications {
    pub(crate) fn new(entropy: &mut Entropy) -> Self {
        let mut counters = Box::new([0; BUCKETS]);
        for counter in counters.iter_mut() {
            *counter = entropy.next_u16();
        }
        Self { key: entropy.key(), counters }
    }

    pub(crate) fn next(&mut self, src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol) -> u16 {
        let secret = self.key.prf(IpAddr::V4(src), u16::from(protocol.0), IpAddr::V4(dst), 0);
        let counter = &mut self.counters[(secret >> 32) as usize % BUCKETS];
        *counter = counter.wrapping_add(1);
        counter.wrapping_add(secret as u16)
    }
}
