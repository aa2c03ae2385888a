//! The cable between the servers and whoever reaches them: one TAP device in the servers' namespace, opened once with
//! offload. Wharf's engine holds its other end for a sample, and a relay to the peers' kernel for the next: the device
//! is the same, with the same offloads, and its carrier never goes.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use links::Link as _;
use links::fd::FdLink;
use links::tap::Tap;

use crate::namespace;

/// The servers' end.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 11, 1);
/// Of the network that the cable is.
pub(super) const PREFIX: u8 = 24;
const DEVICE: &str = "apps0";

/// The device.
pub(super) struct Cable(Tap);

impl Cable {
    /// Makes it.
    ///
    /// # Errors
    /// When it cannot be made or opened.
    pub(super) fn new() -> Result<Self> {
        namespace::add_tap(DEVICE, SERVER, PREFIX)?;
        let tap = Tap::open(DEVICE)?;
        namespace::wait_for_carrier(DEVICE)?;
        Ok(Self(tap))
    }

    /// Its other end as a link, for one who has it alone as long as the link lasts.
    ///
    /// # Errors
    /// When the system refuses another descriptor.
    pub(super) fn link(&self) -> Result<FdLink> {
        let end = self.0.fd().try_clone_to_owned().context("one more descriptor of the cable")?;
        Ok(FdLink::from_fd(end, None)?)
    }
}

impl AsFd for Cable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd()
    }
}
