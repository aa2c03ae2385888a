//! Family `mem`: bytes of memory, counted by the allocator.
//!
//! Everything that a connection needs is counted, the application's halves of the rings included. Wharf runs with its
//! defaults (buffers of up to 1 MiB, timestamps, SACK); its connections have carried data both ways before they fall idle.
//! smoltcp's buffers, which its sockets are given when they are made, are 64 KiB each, as in the family `pair`.

mod smoltcp;
#[cfg(test)]
mod tests;
mod wharf;

use anyhow::{Context, Result, ensure};

use crate::allocator;
use crate::case::PEER;
use crate::crowd;
use crate::report::{Figure, Peer, Report};

/// The limit of `--connections 1000000`: a gibibyte.
const MOST_BYTES: i64 = 1 << 30;

/// One measurement: the bytes of one thing, measured with so many of them.
struct Case {
    name: &'static str,
    unit: &'static str,
    own: (u32, fn(u32) -> i64),
    peer: (u32, fn(u32) -> i64),
}

const CASES: [Case; 3] = [
    Case {
        name: "mem_established",
        unit: "bytes/connection",
        own: (100_000, wharf::established),
        peer: (1_000, smoltcp::established),
    },
    Case {
        name: "mem_listen",
        unit: "bytes/listener",
        own: (10_000, wharf::listening),
        peer: (1_000, smoltcp::listening),
    },
    Case {
        name: "mem_timewait",
        unit: "bytes/connection",
        own: (100_000, wharf::time_wait),
        peer: (1_000, smoltcp::time_wait),
    },
];

/// How the family is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Instead of the figures: open so many connections to one engine, speak to each, let them fall idle, close them. Fails
    /// when that takes more than 1 GiB at any time
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(crowd::MOST)))]
    connections: Option<u32>,
}

/// The names of the family's measurements.
pub(crate) fn names() -> Vec<&'static str> {
    CASES.iter().map(|case| case.name).collect()
}

/// Runs every case that `chosen` chooses, or the many connections.
///
/// # Errors
/// When they take too much memory.
pub(crate) fn run(options: &Options, chosen: impl Fn(&str) -> bool, report: &mut Report) -> Result<()> {
    allocator::start();
    if let Some(connections) = options.connections {
        return many(connections, report);
    }
    for case in CASES.iter().filter(|case| chosen(case.name)) {
        let peer = Peer { name: PEER, value: each(case.peer) };
        report.add(&Figure::counted(case.name, case.unit, each(case.own), Some(peer)))?;
    }
    Ok(())
}

/// Wharf's bytes of each case.
pub(crate) fn bytes() -> Vec<(&'static str, f64)> {
    allocator::start();
    CASES.iter().map(|case| (case.name, each(case.own))).collect()
}

fn each((number, measure): (u32, fn(u32) -> i64)) -> f64 {
    measure(number) as f64 / f64::from(number)
}

fn many(connections: u32, report: &mut Report) -> Result<()> {
    let found = wharf::many(connections)?;
    let resident = resident_peak().context("asking for this process's resident memory")?;
    for (name, value) in [
        ("mem_connections_idle", found.idle),
        ("mem_connections_peak", found.peak),
        ("mem_connections_resident", resident),
    ] {
        report.add(&Figure::counted(name, "bytes", value as f64, None))?;
    }
    let most = found.peak.max(resident);
    ensure!(most <= MOST_BYTES, "{connections} connections took {most} bytes, more than 1 GiB ({MOST_BYTES})");
    Ok(())
}

/// The most memory that this process has had resident, by the kernel's count.
fn resident_peak() -> Result<i64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    let kibibytes: i64 = line.trim().trim_end_matches(" kB").parse().context("VmHWM in /proc/self/status")?;
    Ok(kibibytes * 1_024)
}
