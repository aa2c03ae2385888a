//! OpenSSH's sftp on the kernel's stack.

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::kernel::{Kernel, Path};
use super::sshd::{PORT, Sshd, USER, Way};

/// Moves the server's file, with the defaults of sftp.
///
/// # Errors
/// What sftp complains about.
pub(super) fn sftp(kernel: &Kernel<'_>, path: Path, server: &Sshd, way: Way) -> Result<()> {
    let options = [
        "StrictHostKeyChecking=yes".to_owned(),
        format!("UserKnownHostsFile={}", server.known_hosts().display()),
        "GlobalKnownHostsFile=none".to_owned(),
        format!("IdentityFile={}", server.key().display()),
        "IdentitiesOnly=yes".to_owned(),
    ];
    let mut words = vec!["sftp", "-q", "-F", "none", "-b", "-"];
    for option in &options {
        words.extend(["-o", option.as_str()]);
    }
    let port = PORT.to_string();
    let target = format!("{USER}@{}", path.server());
    words.extend(["-P", &port, &target]);
    let mut sftp = kernel.inside(&words);
    let sftp = sftp.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut sftp = sftp.spawn().context("starting nsenter(1) of util-linux")?;
    let command = match way {
        Way::Get => "get",
        Way::Put => "put",
    };
    let command = format!("{command} {} {}\n", server.from().display(), server.to().display());
    sftp.stdin.take().context("sftp has an input")?.write_all(command.as_bytes())?;
    let output = sftp.wait_with_output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "sftp (Debian: apt install openssh-client): {}", complaint.trim());
    Ok(())
}
