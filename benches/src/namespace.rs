//! A network namespace for the measurement: this program starts itself again under unshare(1), as root directly and
//! otherwise through a user namespace in which it is root. The devices it makes vanish with it.

use std::env;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long the kernel may take to see that a device has a carrier.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells the second run that it has arrived.
const INSIDE: &str = "WHARF_BENCH_INSIDE";

/// Whether this process is the one that measures.
pub(crate) fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs this program with the same arguments inside a namespace, to its end.
///
/// # Errors
/// When the system allows no namespace, or the run fails.
pub(crate) fn run_inside() -> Result<()> {
    let program = env::current_exe().context("finding this program")?;
    let status = Command::new("unshare")
        .args(flags()?)
        .arg("--")
        .arg(program)
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()
        .context("starting unshare(1) of util-linux")?;
    // What went wrong it has said itself.
    std::process::exit(status.code().unwrap_or(1));
}

fn flags() -> Result<&'static [&'static str]> {
    const AS_ROOT: &[&str] = &["--net", "--mount"];
    const AS_USER: &[&str] = &["--user", "--map-root-user", "--net", "--mount"];
    let mut refusals = String::new();
    for flags in [AS_ROOT, AS_USER] {
        let output = Command::new("unshare").args(flags).arg("true").output();
        let output = output.context("starting unshare(1) of util-linux")?;
        if output.status.success() {
            return Ok(flags);
        }
        refusals += String::from_utf8_lossy(&output.stderr).trim();
        refusals += "\n";
    }
    bail!(
        "no network namespace can be made here, neither as root nor through a user namespace:\n{refusals}Run as root, or \
         allow user namespaces: sysctl kernel.unprivileged_userns_clone=1 (older Debian), \
         sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)"
    )
}

/// Makes a TAP device that stays, with the kernel's address on it.
///
/// # Errors
/// What ip(8) complains about.
pub(crate) fn add_tap(name: &str, kernel: Ipv4Addr, prefix: u8) -> Result<()> {
    ip(&["tuntap", "add", "dev", name, "mode", "tap"])
        .context("making a TAP device (needs /dev/net/tun, and the right to open it)")?;
    // Nothing but the stream is to cross it: no router solicitations.
    ip(&["link", "set", "dev", name, "addrgenmode", "none"])?;
    ip(&["address", "add", &format!("{kernel}/{prefix}"), "dev", name])?;
    ip(&["link", "set", "dev", name, "up"])?;
    Ok(())
}

/// Removes what [`add_tap`] made, when nobody holds its other end any more.
///
/// # Errors
/// What ip(8) complains about.
pub(crate) fn remove_tap(name: &str) -> Result<()> {
    ip(&["tuntap", "del", "dev", name, "mode", "tap"]).map(drop)
}

/// Mounts the namespace's own /sys, which has the settings of its interfaces, for this program alone.
///
/// # Errors
/// What mount(8) complains about.
pub(crate) fn show_interfaces() -> Result<()> {
    let output = Command::new("mount").args(["-t", "sysfs", "sysfs", "/sys"]).stdin(Stdio::null()).output();
    let output = output.context("starting mount(8)")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "mounting the namespace's own /sys: {}", complaint.trim());
    Ok(())
}

/// Waits until the kernel has taken note that somebody holds the other end of the device.
///
/// # Errors
/// When it does not within a few seconds.
pub(crate) fn wait_for_carrier(name: &str) -> Result<()> {
    let start = Instant::now();
    while !ip(&["link", "show", "dev", name])?.contains("state UP") {
        ensure!(start.elapsed() < PATIENCE, "{name} has no carrier after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Runs ip(8).
///
/// # Errors
/// What it complains about.
pub(crate) fn ip(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    let output = output.context("starting ip(8) (Debian: apt install iproute2)")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
