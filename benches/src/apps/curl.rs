//! curl on the kernel's stack, in a namespace of its own at the other end of a veth pair.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::servers::{SMALL, Servers};
use super::{AT_ONCE, Load, Version, url};
use crate::namespace::ip;

/// The servers' end of the pair.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 12, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 12, 2);

/// The most connections that curl makes for HTTP/1.1, as many as Wharf.
const CONNECTIONS: usize = 6;

/// The second namespace, which ends with this value.
pub(super) struct Kernel {
    keeper: Child,
    authority: String,
    /// Whether this curl speaks HTTP/3.
    http_3: bool,
}

impl Kernel {
    /// Makes the namespace and the cable to it.
    ///
    /// # Errors
    /// When the system allows none, or curl is missing.
    pub(super) fn new(servers: &Servers) -> Result<Self> {
        let version = Command::new("curl").arg("--version").output().context("starting curl (apt install curl)")?;
        let http_3 = String::from_utf8_lossy(&version.stdout).contains("HTTP3");
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
        let mut kernel = Self { keeper, authority: servers.authority().to_string_lossy().into_owned(), http_3 };
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

    /// A command in the second namespace.
    fn inside(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.keeper.id())).arg("--").args(words);
        command
    }

    /// What the peer is called.
    pub(super) fn peer(&self, version: Version) -> &'static str {
        match version {
            Version::Three if !self.http_3 => "curl, by HTTP/2",
            Version::One | Version::Two | Version::Three => "curl",
        }
    }

    /// Fetches, and gives the bytes that came.
    pub(super) fn fetch(&self, _: &Servers, version: Version, load: Load, requests: u64) -> Result<u64> {
        let how = match version {
            Version::One => "--http1.1",
            Version::Three if self.http_3 => "--http3-only",
            Version::Two | Version::Three => "--http2",
        };
        let (at_once, url) = (
            if version == Version::One { CONNECTIONS } else { AT_ONCE }.to_string(),
            match load {
                Load::Bulk => url(SERVER, version, load),
                Load::Small => format!("{}?[1-{requests}]", url(SERVER, version, load)),
            },
        );
        let mut words = vec!["curl", "-sS", "-f", "--cacert", &self.authority, how, "-o", "/dev/null"];
        words.extend(["-w", "%{size_download}\\n"]);
        if load == Load::Small {
            words.extend(["--parallel", "--parallel-max", &at_once]);
        }
        words.push(&url);
        let output = self.inside(&words).stdin(Stdio::null()).output().context("running curl")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "curl: {}", complaint.trim());
        let sizes = String::from_utf8_lossy(&output.stdout);
        let bytes = sizes.lines().map(|size| size.trim().parse::<u64>().context("a size")).sum::<Result<u64>>()?;
        // Some versions say only what the last of many parallel transfers had.
        let said_once = load == Load::Small && sizes.lines().count() == 1;
        Ok(if said_once { requests * SMALL } else { bytes })
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // The namespace and its cable go with him; an error means that he has ended already.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
