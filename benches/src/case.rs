//! A measurement that repeats one unit of work: timed in turns with the peer's, or counted in instructions. Families `pair`,
//! `idle` and `micro` are lists of these.

use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, anyhow};

use crate::callgrind::{self, Job};
use crate::report::{Figure, Peer, Report};
use crate::{machine, sampling};

/// The peer of every case that has one.
pub(crate) const PEER: &str = "smoltcp 0.14";

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Contender {
    Wharf,
    Smoltcp,
}

impl Contender {
    const fn name(self) -> &'static str {
        match self {
            Self::Wharf => "wharf",
            Self::Smoltcp => "smoltcp",
        }
    }
}

/// Work that was prepared and can now be done, over and over.
pub(crate) trait Work {
    /// Does `count` units of it.
    fn run(&mut self, count: u64);
}

/// What a second of processor time is turned into.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Speed {
    /// Gbit/s, at so many bytes a unit.
    Bits(u64),
    /// Units a second; the unit's name for the report.
    Rate(&'static str),
    /// Nanoseconds a unit; the unit's name for the report.
    Span(&'static str),
}

impl Speed {
    const fn unit(self) -> &'static str {
        match self {
            Self::Bits(_) => "Gbit/s",
            Self::Rate(unit) | Self::Span(unit) => unit,
        }
    }

    fn of(self, count: u64, seconds: f64) -> f64 {
        let count = count as f64;
        match self {
            Self::Bits(bytes) => count * bytes as f64 * 8.0 / seconds / 1e9,
            Self::Rate(_) => count / seconds,
            Self::Span(_) => seconds * 1e9 / count,
        }
    }
}

/// Units of work for a sample of some 200 ms, and for the two runs whose instructions are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amounts {
    pub sample: u64,
    pub small: u64,
    pub large: u64,
}

/// One measurement.
pub(crate) struct Case {
    pub name: &'static str,
    /// What instructions are counted by: `Ir/segment`.
    pub unit: &'static str,
    pub speed: Speed,
    pub own: Amounts,
    /// The peer's amounts, where there is a peer.
    pub peer: Option<Amounts>,
    /// Prepares the work.
    pub make: Box<dyn Fn(Contender) -> Box<dyn Work>>,
}

/// How cases are measured.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Count instructions under callgrind instead of measuring time; needs valgrind
    #[arg(long)]
    pub ir: bool,
    /// With --ir: keep callgrind's profiles in this directory, one a case and contender
    #[arg(long, value_name = "DIRECTORY", requires = "ir")]
    pub profiles: Option<PathBuf>,
}

/// Measures `cases`. `arguments` are what a second process needs to know to build the same cases.
///
/// # Errors
/// When a measurement fails.
pub(crate) fn run(
    cases: &[Case],
    options: &Options,
    arguments: &[&str],
    pairs: usize,
    report: &mut Report,
) -> Result<()> {
    if options.ir {
        return count(cases, options, arguments, report);
    }
    machine::pin(machine::processors()?[0])?;
    for case in cases {
        let unit = case.speed.unit();
        if let Some(peer) = case.peer {
            let samples = sampling::alternate(
                pairs,
                || Ok(sample(case, Contender::Wharf, case.own)),
                || Ok(sample(case, Contender::Smoltcp, peer)),
            )?;
            report.add_sampled(case.name, unit, PEER, &samples)?;
        } else {
            let samples: sampling::Series = (0..pairs).map(|_| sample(case, Contender::Wharf, case.own)).collect();
            report.add_alone(case.name, unit, &samples)?;
        }
    }
    Ok(())
}

/// One sample of speed, of processor time.
fn sample(case: &Case, contender: Contender, amounts: Amounts) -> f64 {
    let mut work = (case.make)(contender);
    // Slow start, the first allocations and the cold caches are not what is measured.
    work.run((amounts.sample / 16).max(1));
    let start = machine::thread_time();
    work.run(amounts.sample);
    case.speed.of(amounts.sample, (machine::thread_time() - start).as_secs_f64())
}

fn count(cases: &[Case], options: &Options, arguments: &[&str], report: &mut Report) -> Result<()> {
    if let Some(directory) = &options.profiles {
        std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    let mut jobs = Vec::new();
    for case in cases {
        jobs.push(job(case, Contender::Wharf, case.own, options, arguments));
        if let Some(amounts) = case.peer {
            jobs.push(job(case, Contender::Smoltcp, amounts, options, arguments));
        }
    }
    let mut counts = marginals(&jobs)?.into_iter();
    let mut next = || counts.next().context("a count for each job");
    for case in cases {
        let value = next()?;
        let peer = match case.peer {
            Some(_) => Some(Peer { name: PEER, value: next()? }),
            None => None,
        };
        report.add(&Figure::counted(case.name, case.unit, value, peer))?;
    }
    Ok(())
}

/// Wharf's instructions a unit of work, for each case; without the peer's.
///
/// # Errors
/// When a measurement fails.
pub(crate) fn instructions(cases: &[Case]) -> Result<Vec<f64>> {
    let options = Options::default();
    let jobs: Vec<Job> = cases.iter().map(|case| job(case, Contender::Wharf, case.own, &options, &[])).collect();
    marginals(&jobs)
}

fn job(case: &Case, contender: Contender, amounts: Amounts, options: &Options, arguments: &[&str]) -> Job {
    let mut all = vec!["work".to_owned()];
    all.extend(arguments.iter().map(|&argument| argument.to_owned()));
    all.extend([case.name.to_owned(), contender.name().to_owned()]);
    let keep = options.profiles.as_ref().map(|to| to.join(format!("{}.{}.callgrind", case.name, contender.name())));
    Job { arguments: all, small: amounts.small, large: amounts.large, keep }
}

/// Runs the jobs, as many at a time as there are processors: a count of instructions does not mind company.
fn marginals(jobs: &[Job]) -> Result<Vec<f64>> {
    let queue = Mutex::new(jobs.iter().enumerate());
    let mut results: Vec<Option<f64>> = vec![None; jobs.len()];
    let found = Mutex::new(&mut results);
    let work = || -> Result<()> {
        loop {
            let next = queue.lock().map_err(|_| anyhow!("another measurement panicked"))?.next();
            let Some((number, job)) = next else { return Ok(()) };
            let value = callgrind::marginal(job)
                .with_context(|| format!("counting the instructions of {}", job.arguments[1..].join(" ")))?;
            found.lock().map_err(|_| anyhow!("another measurement panicked"))?[number] = Some(value);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..machine::processors()?.len()).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a measurement panicked")))?;
        }
        anyhow::Ok(())
    })?;
    results.into_iter().collect::<Option<Vec<f64>>>().context("a count for each job")
}

/// What callgrind runs: work for one contender and nothing else.
#[derive(Debug, clap::Args)]
pub(crate) struct WorkOptions {
    /// A case of `pair`, `idle` or `micro`
    case: String,
    contender: Contender,
    /// Units of work: segments of 1,460 bytes (or 64 KiB with segmentation offload), round trips, connections, polls
    count: u64,
    /// Let Wharf use timestamps in the cases of `pair`
    #[arg(long)]
    pub timestamps: bool,
}

/// Does the work of one of `cases`.
///
/// # Errors
/// When there is no such case.
pub(crate) fn work(cases: &[Case], options: &WorkOptions) -> Result<()> {
    let case = cases.iter().find(|case| case.name == options.case);
    let case = case.with_context(|| format!("there is no case {}", options.case))?;
    let mut work = (case.make)(options.contender);
    callgrind::start();
    work.run(options.count);
    Ok(())
}
