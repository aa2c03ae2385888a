//! Initial sequence numbers that nobody can guess (RFC 6528), and timestamps that tell nobody our uptime.

use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr};

use wire::tcp::SeqNum;

use crate::entropy::{Absorbed, Entropy, Key};
use crate::tcp::demux::Flow;
use crate::time::Instant;

/// The keys of one engine.
pub(crate) struct IsnGenerator {
    key: Key,
    /// What the last flows' addresses have come to: the next one most likely has the same.
    absorbed: Cell<(Ipv4Addr, Ipv4Addr, Absorbed)>,
}

impl IsnGenerator {
    pub(crate) fn new(entropy: &mut Entropy) -> Self {
        let key = entropy.key();
        let (local, remote) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED);
        Self { key, absorbed: Cell::new((local, remote, key.absorb(local, remote))) }
    }

    /// F of RFC 6528 section 3. In place of a call, which would have the flow written to memory.
    #[inline(always)]
    fn secret(&self, flow: &Flow) -> u64 {
        match (flow.local, flow.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                self.secret_between(local, flow.local_port, remote, flow.remote_port)
            }
            _ => flow.prf(self.key),
        }
    }

    #[inline(never)]
    fn secret_between(&self, local: Ipv4Addr, local_port: u16, remote: Ipv4Addr, remote_port: u16) -> u64 {
        let (last_local, last_remote, mut absorbed) = self.absorbed.get();
        if (last_local, last_remote) != (local, remote) {
            absorbed = self.key.absorb(local, remote);
            self.absorbed.set((local, remote, absorbed));
        }
        absorbed.prf(local_port, remote_port)
    }

    /// RFC 6528 section 3: ISN = M + F(localip, localport, remoteip, remoteport, secretkey), where M counts every 4
    /// microseconds, so that a new incarnation of a connection starts above the old one.
    #[inline(always)]
    pub(crate) fn isn(&self, now: Instant, flow: &Flow) -> SeqNum {
        self.numbers(now, flow).0
    }

    /// RFC 7323 section 5.4: the timestamp clock of a flow starts at a point of its own, the same for each of its
    /// incarnations, so that PAWS holds across them.
    pub(crate) fn timestamp_offset(&self, flow: &Flow) -> u32 {
        (self.secret(flow) >> 32) as u32
    }

    /// The initial sequence number and the timestamp clock's start. The two halves of F's value tell nothing of each
    /// other.
    #[inline(always)]
    pub(crate) fn numbers(&self, now: Instant, flow: &Flow) -> (SeqNum, u32) {
        let secret = self.secret(flow);
        let clock = (now.as_nanos() / 4_000) as u32;
        (SeqNum(clock.wrapping_add(secret as u32)), (secret >> 32) as u32)
    }
}
