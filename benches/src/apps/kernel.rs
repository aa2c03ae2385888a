//! The peers' place: the kernel's stack in a namespace of its own, at the other end of the cable that Wharf has, or of a
//! veth pair.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow};
use links::Link as _;
use links::tap::Tap;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::cable::{self, Cable};
use super::relay;
use crate::namespace::{self, ip};

/// The kernel's address on the cable; Wharf's is another.
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 11, 3);
const DEVICE: &str = "apps1";

/// The servers' end of the veth pair, and the kernel's.
pub(super) const SERVER_OVER_VETH: Ipv4Addr = Ipv4Addr::new(10, 0, 12, 1);
const CLIENT_OVER_VETH: Ipv4Addr = Ipv4Addr::new(10, 0, 12, 2);

/// By which way the peers reach the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// The same TAP device as Wharf; a relay carries the frames to another, which is the kernel's.
    Tap,
    /// A veth pair, where the kernel carries them by itself.
    Veth,
}

impl Path {
    /// The servers' address on it.
    pub(super) const fn server(self) -> Ipv4Addr {
        match self {
            Self::Tap => cable::SERVER,
            Self::Veth => SERVER_OVER_VETH,
        }
    }
}

/// The second namespace, which ends with this value.
pub(super) struct Kernel<'a> {
    keeper: Keeper,
    /// The servers' device and the kernel's own, which the relay joins.
    cable: &'a Cable,
    device: Tap,
}

impl<'a> Kernel<'a> {
    /// Makes the namespace and the way to it; with `veth`, both ways.
    ///
    /// # Errors
    /// When the system allows none.
    pub(super) fn new(cable: &'a Cable, veth: bool) -> Result<Self> {
        // Somebody has to live in a namespace for it to last; he reads until this program ends.
        let keeper = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", "echo; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting unshare(1) of util-linux")?;
        let mut keeper = Keeper(keeper);
        // The first line says that he has moved.
        let mut line = [0];
        let said = keeper.0.stdout.as_mut().context("the keeper has an output")?;
        std::io::Read::read_exact(said, &mut line).context("making a second namespace")?;
        let device = keeper.within(|| {
            namespace::add_tap(DEVICE, CLIENT, cable::PREFIX)?;
            let tap = Tap::open(DEVICE)?;
            namespace::wait_for_carrier(DEVICE)?;
            Ok(tap)
        })?;
        if veth {
            ip(&["link", "add", "kernel0", "type", "veth", "peer", "name", "kernel1"])?;
            ip(&["address", "add", &format!("{SERVER_OVER_VETH}/24"), "dev", "kernel0"])?;
            ip(&["link", "set", "kernel0", "up"])?;
            ip(&["link", "set", "kernel1", "netns", &keeper.0.id().to_string()])?;
            keeper.within(|| {
                ip(&["address", "add", &format!("{CLIENT_OVER_VETH}/24"), "dev", "kernel1"])?;
                ip(&["link", "set", "kernel1", "up"])
            })?;
        }
        Ok(Self { keeper, cable, device })
    }

    /// Does `work`, of which the kernel's part goes by `path`.
    ///
    /// # Errors
    /// What `work` says, or what is wrong with the path.
    pub(super) fn joined<T>(&self, path: Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
        match path {
            Path::Tap => relay::during(self.cable, self.device.fd(), work),
            Path::Veth => work(),
        }
    }

    /// A command in the namespace.
    pub(super) fn inside(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.keeper.namespace())).arg("--").args(words);
        command
    }

    /// Does `work` on a thread in the namespace. A socket that was made there stays there, whoever uses it.
    ///
    /// # Errors
    /// What `work` says, or when the namespace cannot be entered.
    pub(super) fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.keeper.within(work)
    }
}

/// Who lives in the namespace. It and its devices go with him.
struct Keeper(Child);

impl Keeper {
    /// The namespace, as a file to enter it by.
    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let namespace = File::open(self.namespace())?;
        thread::scope(|scope| {
            // Only this thread moves, and ends there.
            let moved = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                work()
            });
            moved.join().map_err(|_| anyhow!("work in the peers' namespace panicked"))?
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // An error means that he has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
