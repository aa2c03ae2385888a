//! Family `apps`: what people do with a network, by Wharf and by the usual programs on the kernel, in one run.
//!
//! A namespace holds the servers, nginx, for HTTP/3 caddy, and sshd, with ordinary sockets of the kernel's, and a TAP
//! device with offload. Wharf, its engine and its clients in this process, and the usual programs, curl and OpenSSH's
//! sftp, take turns at the other end of that device: the programs on the kernel's own stack in a second namespace, to
//! which a relay carries the frames as they are. With `--veth` they are measured a second time over a veth pair, the
//! kindest cable that the kernel has. Both sides verify the same certificate or host key, and make their connections
//! anew for each sample. What comes by https they throw away; what goes by sftp they write to files, which are compared
//! with what was sent.

mod cable;
mod curl;
mod directory;
mod kernel;
mod openssh;
mod quic;
mod relay;
mod servers;
mod sshd;
mod wharf;

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use self::cable::Cable;
use self::curl::Curl;
use self::directory::Directory;
use self::kernel::{Kernel, Path};
use self::servers::Servers;
use self::sshd::{Sshd, Way};
use self::wharf::Guest;
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
    /// What the peer's second row, over a veth pair, is called.
    over_veth: &'static str,
    work: Work,
}

impl Case {
    const fn https(name: &'static str, over_veth: &'static str, version: Version, load: Load) -> Self {
        Self { name, over_veth, work: Work::Https(version, load) }
    }
}

/// All measurements of the family.
pub(crate) const CASES: [Case; 8] = [
    Case::https("apps_https_1", "apps_https_1_veth", Version::One, Load::Bulk),
    Case::https("apps_https_2", "apps_https_2_veth", Version::Two, Load::Bulk),
    Case::https("apps_https_3", "apps_https_3_veth", Version::Three, Load::Bulk),
    Case::https("apps_small_1", "apps_small_1_veth", Version::One, Load::Small),
    Case::https("apps_small_2", "apps_small_2_veth", Version::Two, Load::Small),
    Case::https("apps_small_3", "apps_small_3_veth", Version::Three, Load::Small),
    Case { name: "apps_sftp_get", over_veth: "apps_sftp_get_veth", work: Work::Sftp(Way::Get) },
    Case { name: "apps_sftp_put", over_veth: "apps_sftp_put_veth", work: Work::Sftp(Way::Put) },
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
    /// Measure the peers over a veth pair too, where no program carries their frames
    #[arg(long)]
    veth: bool,
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
    // The servers listen on its end.
    let cable = Cable::new()?;
    let kernel = Kernel::new(&cable, options.veth)?;
    let directory = Directory::new()?;
    if chosen.iter().any(|case| matches!(case.work, Work::Https(..))) {
        let http_3 = chosen.iter().any(|case| matches!(case.work, Work::Https(Version::Three, _)));
        let servers = Servers::start(&directory, options.bytes, http_3)?;
        let curl = Curl::new(&kernel)?;
        let contest = Https { options, cable: &cable, kernel: &kernel, servers: &servers, curl: &curl };
        for case in &chosen {
            if let Work::Https(version, load) = case.work {
                contest.run(case, version, load, pairs, report)?;
            }
        }
    }
    if chosen.iter().any(|case| matches!(case.work, Work::Sftp(_))) {
        let server = Sshd::start(&directory, options.bytes)?;
        for case in &chosen {
            if let Work::Sftp(way) = case.work {
                sftp(case, way, options.veth, pairs, (&cable, &kernel, &server), report)?;
            }
        }
    }
    Ok(())
}

/// One whom Wharf is compared with, in a row of its own.
struct Contender<'a> {
    row: &'static str,
    name: &'static str,
    sample: Box<dyn Fn() -> Result<f64> + 'a>,
}

impl<'a> Contender<'a> {
    fn new(row: &'static str, name: &'static str, sample: impl Fn() -> Result<f64> + 'a) -> Self {
        Self { row, name, sample: Box::new(sample) }
    }
}

/// Takes samples of Wharf and of each contender in turn, and reports each contender beside Wharf.
fn compare(
    pairs: usize,
    unit: &'static str,
    own: impl Fn() -> Result<f64>,
    contenders: &[Contender<'_>],
    report: &mut Report,
) -> Result<()> {
    let [first, others @ ..] = contenders else { return Ok(()) };
    let measuring = || format!("measuring {}", first.row);
    let mut beside = vec![Series::default(); others.len()];
    let in_turn = || {
        let sample = (first.sample)()?;
        for (contender, series) in others.iter().zip(&mut beside) {
            series.extend([(contender.sample)()?]);
        }
        Ok(sample)
    };
    let samples = sampling::alternate(pairs, own, in_turn).with_context(measuring)?;
    report.add_sampled(first.row, unit, first.name, &samples)?;
    for (contender, series) in others.iter().zip(beside) {
        let samples = Compared { own: samples.own.clone(), peer: series };
        report.add_sampled(contender.row, unit, contender.name, &samples)?;
    }
    Ok(())
}

/// What is measured over https, and by whom.
struct Https<'a> {
    options: &'a Options,
    cable: &'a Cable,
    kernel: &'a Kernel<'a>,
    servers: &'a Servers,
    curl: &'a Curl<'a>,
}

impl Https<'_> {
    fn run(&self, case: &Case, version: Version, load: Load, pairs: usize, report: &mut Report) -> Result<()> {
        let unit = match load {
            Load::Bulk => "Gbit/s",
            Load::Small => "requests/s",
        };
        let requests = self.options.requests;
        let by_wharf = || {
            let guest = Guest::new(self.cable)?;
            self.speed("Wharf", load, || guest.fetch(self.servers, (version, load), requests))
        };
        let by_curl = |path| {
            let fetch = || self.curl.fetch(self.servers, path, (version, load), requests);
            self.kernel.joined(path, || self.speed("curl", load, fetch))
        };
        let by_quinn = |path| {
            let fetch = || quic::fetch(self.kernel, self.servers, path, load, requests);
            self.kernel.joined(path, || self.speed("quinn", load, fetch))
        };
        let mut contenders = Vec::new();
        if self.curl.speaks(version) {
            contenders.push(Contender::new(case.name, "curl", || by_curl(Path::Tap)));
            if self.options.veth {
                contenders.push(Contender::new(case.over_veth, "curl, over veth", || by_curl(Path::Veth)));
            }
        } else {
            // Without HTTP/3 in curl the like is compared with the like by another peer, and curl's HTTP/2 is shown beside it.
            contenders.push(Contender::new(case.name, "quinn, on the kernel", || by_quinn(Path::Tap)));
            if self.options.veth {
                contenders.push(Contender::new(case.over_veth, "quinn, over veth", || by_quinn(Path::Veth)));
            }
            let row = if load == Load::Bulk { "apps_https_3_curl" } else { "apps_small_3_curl" };
            contenders.push(Contender::new(row, "curl, by HTTP/2", || by_curl(Path::Tap)));
        }
        compare(pairs, unit, by_wharf, &contenders, report)
    }

    /// The speed of `fetch`, which gives the bytes that came, in the unit of `load`.
    fn speed(&self, who: &'static str, load: Load, fetch: impl FnOnce() -> Result<u64>) -> Result<f64> {
        let Options { bytes, requests, .. } = *self.options;
        let (amount, expected) = match load {
            Load::Bulk => (bytes as f64 * 8.0 / 1e9, bytes),
            Load::Small => (requests as f64, requests * servers::SMALL),
        };
        let begun = Instant::now();
        let fetched = fetch().context(who)?;
        let elapsed = begun.elapsed().as_secs_f64();
        ensure!(fetched == expected, "{who}: {fetched} of {expected} bytes came");
        Ok(amount / elapsed)
    }
}

/// Measures one way of sftp.
fn sftp(
    case: &Case,
    way: Way,
    veth: bool,
    pairs: usize,
    (cable, kernel, server): (&Cable, &Kernel<'_>, &Sshd),
    report: &mut Report,
) -> Result<()> {
    let by_wharf = || {
        let guest = Guest::new(cable)?;
        server.measured(way, || guest.sftp(server, way)).context("Wharf")
    };
    let by_openssh = move |path| {
        let moving = || openssh::sftp(kernel, path, server, way);
        kernel.joined(path, || server.measured(way, moving)).context("OpenSSH")
    };
    let mut contenders = vec![Contender::new(case.name, "OpenSSH", move || by_openssh(Path::Tap))];
    if veth {
        contenders.push(Contender::new(case.over_veth, "OpenSSH, over veth", move || by_openssh(Path::Veth)));
    }
    compare(pairs, "Gbit/s", by_wharf, &contenders, report)
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
