//! Family `apps`: what people do with a network, by Wharf and by the usual programs on the kernel, in one run.
//!
//! A namespace holds the servers, nginx and, for HTTP/3, caddy, with ordinary sockets of the kernel's. Wharf reaches
//! them over a TAP device with offload, its engine and its HTTP client in this process. curl reaches the same servers on
//! the kernel's own stack out of a second namespace, over a veth pair, which is the kindest cable that the kernel
//! has. Both verify the same certificate, open their connections anew for each sample, and throw away what they get.

mod curl;
mod servers;
mod wharf;

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use self::servers::Servers;
use crate::report::Report;
use crate::{namespace, sampling};

/// Requests that are under way at once where there are many.
const AT_ONCE: usize = 64;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
    Three,
}

/// What is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// One large file.
    Bulk,
    /// Many small ones.
    Small,
}

#[derive(Debug)]
pub(crate) struct Case {
    pub name: &'static str,
    version: Version,
    load: Load,
}

/// All measurements of the family.
pub(crate) const CASES: [Case; 6] = [
    Case { name: "apps_https_1", version: Version::One, load: Load::Bulk },
    Case { name: "apps_https_2", version: Version::Two, load: Load::Bulk },
    Case { name: "apps_https_3", version: Version::Three, load: Load::Bulk },
    Case { name: "apps_small_1", version: Version::One, load: Load::Small },
    Case { name: "apps_small_2", version: Version::Two, load: Load::Small },
    Case { name: "apps_small_3", version: Version::Three, load: Load::Small },
];

/// How the family is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Bytes of the large file
    #[arg(long, default_value_t = 1 << 30, value_parser = clap::value_parser!(u64).range(1..))]
    bytes: u64,
    /// Small requests of a sample
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
}

/// Runs every case that `chosen` chooses.
///
/// # Errors
/// When no namespace can be made, a program is missing, or a measurement fails.
pub(crate) fn run(options: &Options, pairs: usize, chosen: impl Fn(&str) -> bool, report: &mut Report) -> Result<()> {
    if !namespace::is_inside() {
        return namespace::run_inside();
    }
    let chosen: Vec<&Case> = CASES.iter().filter(|case| chosen(case.name)).collect();
    let http_3 = chosen.iter().any(|case| case.version == Version::Three);
    // Over the loopback interface the servers are asked whether they serve yet.
    namespace::ip(&["link", "set", "lo", "up"])?;
    // Wharf takes the cable before the servers listen on its end.
    let guest = wharf::Guest::new()?;
    let servers = Servers::start(options.bytes, http_3)?;
    let kernel = curl::Kernel::new(&servers)?;
    for case in chosen {
        let (unit, amount) = match case.load {
            Load::Bulk => ("Gbit/s", options.bytes as f64 * 8.0 / 1e9),
            Load::Small => ("requests/s", options.requests as f64),
        };
        let speed = |fetch: &dyn Fn() -> Result<u64>| {
            let begun = Instant::now();
            let fetched = fetch()?;
            let elapsed = begun.elapsed().as_secs_f64();
            let expected = match case.load {
                Load::Bulk => options.bytes,
                Load::Small => options.requests * servers::SMALL,
            };
            ensure!(fetched == expected, "{fetched} of {expected} bytes came");
            Ok(amount / elapsed)
        };
        let samples = sampling::alternate(
            pairs,
            || speed(&|| guest.fetch(&servers, case.version, case.load, options.requests)).context("Wharf"),
            || speed(&|| kernel.fetch(&servers, case.version, case.load, options.requests)).context("curl"),
        )
        .with_context(|| format!("measuring {}", case.name))?;
        report.add_sampled(case.name, unit, kernel.peer(case.version), &samples)?;
    }
    Ok(())
}

/// Where `version` and `load` are served on `host`.
fn url(host: std::net::Ipv4Addr, version: Version, load: Load) -> String {
    let port = match version {
        Version::One => servers::PORT_1,
        Version::Two => servers::PORT_2,
        Version::Three => servers::PORT_3,
    };
    let file = match load {
        Load::Bulk => servers::LARGE_FILE,
        Load::Small => servers::SMALL_FILE,
    };
    format!("https://{host}:{port}/{file}")
}
