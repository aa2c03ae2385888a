//! The peers' place: a namespace of its own, at the other end of a veth pair.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::namespace::ip;

/// The servers' end of the pair.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 12, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 12, 2);

/// The second namespace, which ends with this value.
pub(super) struct Kernel {
    keeper: Child,
}

impl Kernel {
    /// Makes the namespace and the cable to it.
    ///
    /// # Errors
    /// When the system allows none.
    pub(super) fn new() -> Result<Self> {
        ip(&["link", "add", "kernel0", "type", "veth", "peer", "name", "kernel1"])?;
        ip(&["address", "add", &format!("{SERVER}/24"), "dev", "kernel0"])?;
        ip(&["link", "set", "kernel0", "up"])?;
        // Somebody has to live in a namespace for it to last; he reads until this program ends.
        let keeper = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", "echo; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting unshare(1) of util-linux")?;
        let mut kernel = Self { keeper };
        // The first line says that he has moved.
        let mut line = [0];
        let said = kernel.keeper.stdout.as_mut().context("the keeper has an output")?;
        std::io::Read::read_exact(said, &mut line).context("making a second namespace")?;
        ip(&["link", "set", "kernel1", "netns", &kernel.keeper.id().to_string()])?;
        for arguments in [
            vec!["ip", "address", "add", &format!("{CLIENT}/24"), "dev", "kernel1"],
            vec!["ip", "link", "set", "kernel1", "up"],
        ] {
            ensure!(kernel.inside(&arguments).status()?.success(), "{} failed", arguments.join(" "));
        }
        Ok(kernel)
    }

    /// The namespace, as a file to enter it by.
    pub(super) fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.keeper.id())
    }

    /// A command in the namespace.
    pub(super) fn inside(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace())).arg("--").args(words);
        command
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // The namespace and its cable go with him; an error means that he has ended already.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
