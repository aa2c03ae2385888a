//! Family `apps`: what people do with a network, by Wharf and by the usual programs on the kernel, in one run.
//!
//! A namespace holds the servers, nginx, for HTTP/3 caddy, and sshd, with ordinary sockets of the kernel's. Wharf reaches
//! them over a TAP device with offload, its engine and its clients in this process. curl and OpenSSH's sftp reach the
//! same servers on the kernel's own stack out of a second namespace, over a veth pair, which is the kindest cable that
//! the kernel has. Both sides verify the same certificate or host key, and make their connections anew for each sample.
//! What comes by https they throw away; what goes by sftp they write to files, which are compared with what was sent.

mod curl;
mod directory;
mod kernel;
mod openssh;
mod quic;
mod servers;
mod sshd;
mod wharf;

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use self::curl::Curl;
use self::directory::Directory;
use self::servers::Servers;
use self::sshd::{Sshd, Way};
use crate::report::Report;
use crate::sampling::{Compared, Series};
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

/// How much is fetched over https.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// One large file.
    Bulk,
    /// Many small ones.
    Small,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Https(Version, Load),
    Sftp(Way),
}

#[derive(Debug)]
pub(crate) struct Case {
    pub name: &'static str,
    work: Work,
}

/// All measurements of the family.
pub(crate) const CASES: [Case; 8] = [
    Case { name: "apps_https_1", work: Work::Https(Version::One, Load::Bulk) },
    Case { name: "apps_https_2", work: Work::Https(Version::Two, Load::Bulk) },
    Case { name: "apps_https_3", work: Work::Https(Version::Three, Load::Bulk) },
    Case { name: "apps_small_1", work: Work::Https(Version::One, Load::Small) },
    Case { name: "apps_small_2", work: Work::Https(Version::Two, Load::Small) },
    Case { name: "apps_small_3", work: Work::Https(Version::Three, Load::Small) },
    Case { name: "apps_sftp_get", work: Work::Sftp(Way::Get) },
    Case { name: "apps_sftp_put", work: Work::Sftp(Way::Put) },
];

/// How the family is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Bytes of the large files
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
    // Over the loopback interface the servers are asked whether they serve yet.
    namespace::ip(&["link", "set", "lo", "up"])?;
    // Wharf takes the cable before the servers listen on its end.
    let guest = wharf::Guest::new()?;
    let directory = Directory::new()?;
    let kernel = kernel::Kernel::new()?;
    if chosen.iter().any(|case| matches!(case.work, Work::Https(..))) {
        let http_3 = chosen.iter().any(|case| matches!(case.work, Work::Https(Version::Three, _)));
        let servers = Servers::start(&directory, options.bytes, http_3)?;
        let curl = Curl::new(&kernel)?;
        for case in &chosen {
            if let Work::Https(version, load) = case.work {
                https(case.name, (version, load), options, pairs, (&guest, &curl), &servers, report)?;
            }
        }
    }
    if chosen.iter().any(|case| matches!(case.work, Work::Sftp(_))) {
        let server = Sshd::start(&directory, options.bytes)?;
        for case in &chosen {
            if let Work::Sftp(way) = case.work {
                let samples = sampling::alternate(
                    pairs,
                    || server.measured(way, || guest.sftp(&server, way)).context("Wharf"),
                    || server.measured(way, || openssh::sftp(&kernel, &server, way)).context("OpenSSH"),
                )
                .with_context(|| format!("measuring {}", case.name))?;
                report.add_sampled(case.name, "Gbit/s", "OpenSSH", &samples)?;
            }
        }
    }
    Ok(())
}

/// Measures one case of https.
fn https(
    name: &'static str,
    (version, load): (Version, Load),
    options: &Options,
    pairs: usize,
    (guest, curl): (&wharf::Guest, &Curl<'_>),
    servers: &Servers,
    report: &mut Report,
) -> Result<()> {
    let (unit, amount, expected) = match load {
        Load::Bulk => ("Gbit/s", options.bytes as f64 * 8.0 / 1e9, options.bytes),
        Load::Small => ("requests/s", options.requests as f64, options.requests * servers::SMALL),
    };
    let speed = |who: &'static str, fetch: &dyn Fn() -> Result<u64>| -> Result<f64> {
        let begun = Instant::now();
        let fetched = fetch().context(who)?;
        let elapsed = begun.elapsed().as_secs_f64();
        ensure!(fetched == expected, "{who}: {fetched} of {expected} bytes came");
        Ok(amount / elapsed)
    };
    let requests = options.requests;
    let by_wharf = || speed("Wharf", &|| guest.fetch(servers, version, load, requests));
    let by_curl = || speed("curl", &|| curl.fetch(servers, version, load, requests));
    let by_quinn = || speed("quinn", &|| quic::fetch(curl.kernel(), servers, load, requests));
    let measuring = || format!("measuring {name}");
    if curl.speaks(version) {
        let samples = sampling::alternate(pairs, by_wharf, by_curl).with_context(measuring)?;
        return Ok(report.add_sampled(name, unit, "curl", &samples)?);
    }
    // Without HTTP/3 in curl the like is compared with the like by another peer, and curl's HTTP/2 is shown beside it.
    let mut beside = Series::default();
    let by_others = || {
        beside.extend([by_curl()?]);
        by_quinn()
    };
    let samples = sampling::alternate(pairs, by_wharf, by_others).with_context(measuring)?;
    report.add_sampled(name, unit, "quinn, on the kernel", &samples)?;
    let samples = Compared { own: samples.own, peer: beside };
    let name = if load == Load::Bulk { "apps_https_3_curl" } else { "apps_small_3_curl" };
    Ok(report.add_sampled(name, unit, "curl, by HTTP/2", &samples)?)
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
