//! curl on the kernel's stack.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::kernel::{Kernel, Path};
use super::servers::{SMALL, Servers};
use super::{AT_ONCE, Load, Version, url};

/// The most connections that curl makes for HTTP/1.1, as many as Wharf.
const CONNECTIONS: usize = 6;

/// curl in its namespace.
pub(super) struct Curl<'a> {
    kernel: &'a Kernel<'a>,
    /// Whether this curl speaks HTTP/3.
    http_3: bool,
}

impl<'a> Curl<'a> {
    /// Finds curl.
    ///
    /// # Errors
    /// When it is missing.
    pub(super) fn new(kernel: &'a Kernel<'a>) -> Result<Self> {
        let version = Command::new("curl").arg("--version").output().context("starting curl (apt install curl)")?;
        let http_3 = String::from_utf8_lossy(&version.stdout).contains("HTTP3");
        Ok(Self { kernel, http_3 })
    }

    /// Whether it speaks `version`. Where it does not, it fetches by HTTP/2.
    pub(super) fn speaks(&self, version: Version) -> bool {
        version != Version::Three || self.http_3
    }

    /// Fetches, and gives the bytes that came.
    pub(super) fn fetch(
        &self,
        servers: &Servers,
        path: Path,
        (version, load): (Version, Load),
        requests: u64,
    ) -> Result<u64> {
        let authority = servers.authority().to_string_lossy().into_owned();
        let how = match version {
            Version::One => "--http1.1",
            Version::Three if self.http_3 => "--http3-only",
            Version::Two | Version::Three => "--http2",
        };
        let (at_once, url) = (
            if version == Version::One { CONNECTIONS } else { AT_ONCE }.to_string(),
            match load {
                Load::Bulk => url(path.server(), version, load),
                Load::Small => format!("{}?[1-{requests}]", url(path.server(), version, load)),
            },
        );
        let mut words = vec!["curl", "-sS", "-f", "--cacert", &authority, how, "-o", "/dev/null"];
        words.extend(["-w", "%{size_download}\\n"]);
        if load == Load::Small {
            words.extend(["--parallel", "--parallel-max", &at_once]);
        }
        words.push(&url);
        let output = self.kernel.inside(&words).stdin(Stdio::null()).output().context("running curl")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "curl: {}", complaint.trim());
        let sizes = String::from_utf8_lossy(&output.stdout);
        let bytes = sizes.lines().map(|size| size.trim().parse::<u64>().context("a size")).sum::<Result<u64>>()?;
        // Some versions say only what the last of many parallel transfers had.
        let said_once = load == Load::Small && sizes.lines().count() == 1;
        Ok(if said_once { requests * SMALL } else { bytes })
    }
}
