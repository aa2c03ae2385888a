//! Family `pair`: two hosts in one thread, joined by a queue of Ethernet frames at MTU 1500, under a virtual clock and
//! a fixed seed. Wharf and smoltcp do the same work over the same queue.
//!
//! Both applications copy: the sender from its own memory into the socket's buffer, the receiver out of it. NewReno
//! (RFC 5681, 6582) is the congestion control on both sides, and neither uses timestamps unless asked, so that a full
//! segment carries 1,460 bytes.

mod frames;
mod smoltcp;
#[cfg(test)]
mod tests;
mod wharf;

use std::path::Path;

use anyhow::{Context, Result};

use crate::report::{Figure, Report};
use crate::{callgrind, machine, sampling};

const PEER: &str = "smoltcp 0.14";
/// Payload of a full segment at MTU 1500 without options.
const SEGMENT: u64 = 1_460;
/// Payload of one write, and of one super-segment at most, in units of which TSO's instructions are counted.
const CHUNK: u64 = 65_536;

/// What the devices at both ends of the queue take off the hosts' hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offload {
    /// Nothing: the hosts sum what they send and verify what they get.
    Nothing,
    /// Checksums.
    Checksums,
    /// Checksums and segmentation: frames of up to 64 KiB cross the queue uncut.
    Segmentation,
}

/// How the hosts are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub offload: Offload,
    /// Bytes of each send and each receive buffer.
    pub buffer: usize,
    /// Wharf's timestamps (RFC 7323); smoltcp offers none of its own accord.
    pub timestamps: bool,
}

/// Two hosts that can be put to work.
pub(crate) trait Pair {
    /// Carries `bytes` from one host to the other over a connection that stands already.
    fn bulk(&mut self, bytes: u64);
    /// Carries `count` requests of 64 bytes and as many responses, one after the other.
    fn round_trips(&mut self, count: u64);
    /// Opens, accepts and closes from both ends `count` connections, one after the other.
    fn connections(&mut self, count: u64);
}

/// What a case has its hosts do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Bulk,
    RoundTrips,
    Connections,
}

/// One measurement.
#[derive(Debug)]
pub(crate) struct Case {
    pub name: &'static str,
    work: Work,
    offload: Offload,
    buffer: usize,
}

/// All measurements of the family.
pub(crate) const CASES: [Case; 5] = [
    Case { name: "pair_bulk_csum_64k", work: Work::Bulk, offload: Offload::Nothing, buffer: 65_536 },
    Case { name: "pair_bulk_nocsum_64k", work: Work::Bulk, offload: Offload::Checksums, buffer: 65_536 },
    // Several super-segments have to find room, or the pair stops and goes.
    Case { name: "pair_bulk_tso", work: Work::Bulk, offload: Offload::Segmentation, buffer: 4 * 65_536 },
    Case { name: "pair_rr64", work: Work::RoundTrips, offload: Offload::Nothing, buffer: 4_096 },
    Case { name: "pair_conn", work: Work::Connections, offload: Offload::Nothing, buffer: 4_096 },
];

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Contender {
    Wharf,
    Smoltcp,
}

impl Case {
    fn hosts(&self, contender: Contender, timestamps: bool) -> Box<dyn Pair> {
        let setup = Setup { offload: self.offload, buffer: self.buffer, timestamps };
        match contender {
            Contender::Wharf => Box::new(wharf::Hosts::new(setup)),
            Contender::Smoltcp => Box::new(smoltcp::Hosts::new(setup)),
        }
    }

    /// Does `count` units of the work that instructions are counted by.
    fn run(&self, hosts: &mut dyn Pair, count: u64) {
        match self.work {
            Work::Bulk => hosts.bulk(count * self.unit_bytes()),
            Work::RoundTrips => hosts.round_trips(count),
            Work::Connections => hosts.connections(count),
        }
    }

    fn unit_bytes(&self) -> u64 {
        if self.offload == Offload::Segmentation { CHUNK } else { SEGMENT }
    }

    /// Units of work for a sample of some 200 ms, and for the two runs whose instructions are compared.
    fn amounts(&self) -> Amounts {
        match (self.work, self.offload) {
            (Work::Bulk, Offload::Segmentation) => Amounts { sample: 32_768, small: 200, large: 1_000 },
            (Work::Bulk, _) => Amounts { sample: 262_144, small: 4_000, large: 12_000 },
            (Work::RoundTrips, _) => Amounts { sample: 200_000, small: 2_000, large: 6_000 },
            (Work::Connections, _) => Amounts { sample: 50_000, small: 1_000, large: 3_000 },
        }
    }

    fn instruction_unit(&self) -> &'static str {
        match (self.work, self.offload) {
            (Work::Bulk, Offload::Segmentation) => "Ir/64KiB",
            (Work::Bulk, _) => "Ir/segment",
            (Work::RoundTrips, _) => "Ir/round trip",
            (Work::Connections, _) => "Ir/connection",
        }
    }

    fn speed_unit(&self) -> &'static str {
        match self.work {
            Work::Bulk => "Gbit/s",
            Work::RoundTrips => "round trips/s",
            Work::Connections => "connections/s",
        }
    }

    /// One sample of speed: what is done in a second of processor time.
    fn sample(&self, contender: Contender, timestamps: bool) -> f64 {
        let count = self.amounts().sample;
        let mut hosts = self.hosts(contender, timestamps);
        // Slow start, the first allocations and the cold caches are not what is measured.
        self.run(&mut *hosts, count / 16);
        let start = machine::thread_time();
        self.run(&mut *hosts, count);
        let seconds = (machine::thread_time() - start).as_secs_f64();
        match self.work {
            Work::Bulk => (count * self.unit_bytes()) as f64 * 8.0 / seconds / 1e9,
            Work::RoundTrips | Work::Connections => count as f64 / seconds,
        }
    }
}

struct Amounts {
    sample: u64,
    small: u64,
    large: u64,
}

/// How the family is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Count instructions under callgrind instead of measuring time
    #[arg(long)]
    ir: bool,
    /// With --ir: keep callgrind's profiles in this directory, one a case and contender
    #[arg(long, value_name = "DIRECTORY", requires = "ir")]
    profiles: Option<std::path::PathBuf>,
    /// Let Wharf use timestamps (RFC 7323); a segment then carries 1,448 bytes
    #[arg(long)]
    timestamps: bool,
}

/// What callgrind runs: work for one contender and nothing else.
#[derive(Debug, clap::Args)]
pub(crate) struct WorkOptions {
    /// A case of the family `pair`
    case: String,
    contender: Contender,
    /// Units of work: segments of 1,460 bytes (or 64 KiB with segmentation offload), round trips, connections
    count: u64,
    #[arg(long)]
    timestamps: bool,
}

/// Runs every case that `chosen` chooses.
///
/// # Errors
/// When a measurement fails.
pub(crate) fn run(options: &Options, pairs: usize, chosen: impl Fn(&str) -> bool, report: &mut Report) -> Result<()> {
    if !options.ir {
        machine::pin(machine::processors()?[0])?;
    }
    for case in CASES.iter().filter(|case| chosen(case.name)) {
        if options.ir {
            let own = count(case, "wharf", options)?;
            let peer = count(case, "smoltcp", options)?;
            report.add(&Figure::counted(case.name, case.instruction_unit(), PEER, own, peer))?;
        } else {
            let samples = sampling::alternate(
                pairs,
                || Ok(case.sample(Contender::Wharf, options.timestamps)),
                || Ok(case.sample(Contender::Smoltcp, options.timestamps)),
            )?;
            report.add_sampled(case.name, case.speed_unit(), PEER, &samples)?;
        }
    }
    Ok(())
}

fn count(case: &Case, contender: &str, options: &Options) -> Result<f64> {
    let Amounts { small, large, .. } = case.amounts();
    let mut arguments = vec!["work"];
    if options.timestamps {
        arguments.push("--timestamps");
    }
    arguments.extend([case.name, contender]);
    if let Some(directory) = &options.profiles {
        std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    let profile = options.profiles.as_ref().map(|to| to.join(format!("{}.{contender}.callgrind", case.name)));
    callgrind::marginal(&arguments, small, large, profile.as_deref().map(Path::new))
        .with_context(|| format!("counting the instructions of {} by {contender}", case.name))
}

/// Does the work of one case.
///
/// # Errors
/// When there is no such case.
pub(crate) fn work(options: &WorkOptions) -> Result<()> {
    let case = CASES.iter().find(|case| case.name == options.case);
    let case = case.with_context(|| format!("there is no case {}", options.case))?;
    case.run(&mut *case.hosts(options.contender, options.timestamps), options.count);
    Ok(())
}

/// What the sending application sends: the same bytes over and over, so that a byte's position tells its value. Twice
/// over, so that a chunk can be taken from any position.
fn source() -> Vec<u8> {
    (0..2 * CHUNK).map(value_at).collect()
}

const fn value_at(position: u64) -> u8 {
    let position = position % CHUNK;
    (position ^ (position >> 8)) as u8
}

/// Whether what was read begins and ends as what stands at this position of the stream: too little to cost anything,
/// and enough to see that the right bytes came.
fn is_of_stream(position: u64, read: &[u8]) -> bool {
    match read {
        [] => true,
        [first, .., last] => *first == value_at(position) && *last == value_at(position + read.len() as u64 - 1),
        [only] => *only == value_at(position),
    }
}
