//! Path MTUs that ICMP told us of (RFC 1191), forgotten after ten minutes.
//!
//! A transport calls [`Network::lower_path_mtu`] after it has made sure that the quoted packet was one of its own.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::ops::Bound;
use core::time::Duration;

use crate::Instant;
use crate::network::{Network, Timer};
use crate::timers::TimerId;

/// RFC 1191 section 6.3: how long before a larger size is tried again.
const LIFETIME: Duration = Duration::from_secs(600);
/// No report makes a path smaller than this: 512 bytes of data and the largest headers fit, and a forged report cannot
/// cut a flow into crumbs.
pub(crate) const MIN_PATH_MTU_V4: u32 = 552;
/// RFC 8200 section 5: every IPv6 link carries as much.
pub(crate) const MIN_PATH_MTU_V6: u32 = 1_280;
/// Destinations remembered at most.
const LIMIT: usize = 4_096;

struct PathMtu {
    mtu: u32,
    timer: TimerId,
}

/// What is known of paths.
pub(crate) struct PathMtus {
    paths: BTreeMap<IpAddr, PathMtu>,
    /// The last destination that was pushed out: the next after it goes next.
    hand: Option<IpAddr>,
}

impl PathMtus {
    pub(crate) const fn new() -> Self {
        Self { paths: BTreeMap::new(), hand: None }
    }

    /// What the path to `destination` carries, if anybody said.
    pub(crate) fn get(&self, destination: IpAddr) -> Option<u32> {
        self.paths.get(&destination).map(|path| path.mtu)
    }

    fn make_room(&mut self) -> Option<TimerId> {
        if self.paths.len() < LIMIT {
            return None;
        }
        let after = self.hand.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.paths.range((after, Bound::Unbounded)).next().or_else(|| self.paths.iter().next());
        let victim = next.map(|(&destination, _)| destination)?;
        self.hand = Some(victim);
        self.paths.remove(&victim).map(|path| path.timer)
    }
}

impl Network {
    /// A router said that packets to `destination` must be no larger than `mtu`. Returns the path's MTU from now on.
    pub(crate) fn lower_path_mtu(&mut self, now: Instant, destination: IpAddr, mtu: u32) -> u32 {
        let floor = if destination.is_ipv4() { MIN_PATH_MTU_V4 } else { MIN_PATH_MTU_V6 };
        let mtu = mtu.max(floor);
        if let Some(known) = self.path_mtus.get(destination)
            && known <= mtu
        {
            return known;
        }
        if let Some(timer) = self.path_mtus.make_room() {
            self.timers.cancel(timer);
        }
        let path = self.path_mtus.paths.entry(destination).or_insert(PathMtu { mtu, timer: TimerId::NONE });
        path.mtu = mtu;
        self.generation += 1;
        Self::arm(&mut self.timers, &mut path.timer, now + LIFETIME, Timer::PathMtu(destination));
        mtu
    }

    /// Packets of `mtu` bytes were seen to arrive at `destination`, larger ones perhaps not.
    pub(crate) fn learn_path_mtu(&mut self, now: Instant, destination: IpAddr, mtu: u32) {
        match self.path_mtus.paths.get_mut(&destination) {
            Some(path) if path.mtu < mtu => {
                path.mtu = mtu;
                self.generation += 1;
            }
            _ => {
                self.lower_path_mtu(now, destination, mtu);
            }
        }
    }

    /// What is known of the path to `destination` is too old.
    pub(crate) fn path_mtu_timeout(&mut self, destination: IpAddr) {
        self.path_mtus.paths.remove(&destination);
        self.changed();
    }
}
