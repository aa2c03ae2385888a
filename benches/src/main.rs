//! Measurements, each beside its peer in the same run.
//!
//! `wharf-bench FAMILY` runs a family; `docs/performance.md` says what each of its names means and what came out.

mod allocator;
mod apps;
mod baseline;
mod callgrind;
mod case;
mod chart;
mod crowd;
mod idle;
mod loss;
mod machine;
mod mem;
mod micro;
mod namespace;
mod pair;
mod report;
mod sampling;
mod tap;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use case::Case;
use report::Report;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// Measures Wharf beside its peers, in the same run.
///
/// A speed is the median of samples taken in turn with the peer's; the ratio is Wharf's over the peer's, and is left out
/// where the samples lie too far apart to say. A count of instructions repeats, and is the difference of two runs of
/// different length.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Print one JSON object a line instead of a table
    #[arg(long, global = true)]
    json: bool,
    /// Print every sample on standard error
    #[arg(long, global = true)]
    samples: bool,
    /// Pairs of samples
    #[arg(long, global = true, default_value_t = sampling::FEWEST_PAIRS, value_parser = enough_pairs)]
    pairs: usize,
    /// Only this measurement; may be given several times
    #[arg(long, global = true, value_name = "NAME")]
    only: Vec<String>,
    #[command(subcommand)]
    family: Family,
}

#[derive(Subcommand)]
enum Family {
    /// Two hosts in one thread, joined by a queue: Wharf and smoltcp
    Pair(pair::Options),
    /// What idle connections cost: a poll and the next deadline, and bulk beside them, with 10, 1,000 and 100,000 of them
    Idle(idle::Options),
    /// Bytes of an idle connection, a listener, a connection in TIME-WAIT; or a million connections in one engine
    Mem(mem::Options),
    /// Single steps: sums, copies, rings, headers, look-up, timers
    Micro(micro::Options),
    /// Goodput, resent segments and fairness over emulated networks, in virtual time; or beside the kernel's TCP
    Loss(loss::Options),
    /// One TCP stream to and from the kernel over TAP: Wharf and smoltcp
    Tap(tap::Options),
    /// A gibibyte over https and by sftp, ten thousand small files: Wharf, and curl and sftp on the kernel; needs nginx,
    /// caddy, curl, sshd, sftp
    Apps(apps::Options),
    /// Draw docs/plots: window, queue and goodput over time; goodput over loss and over the round trip
    Plots,
    /// Compare instructions and bytes with the committed figures, or commit new ones; needs valgrind
    Baseline(baseline::Options),
    /// Only work, without a measurement: what --ir runs under callgrind
    #[command(hide = true)]
    Work(case::WorkOptions),
}

fn enough_pairs(argument: &str) -> Result<usize, String> {
    match argument.parse() {
        Ok(pairs) if pairs >= sampling::FEWEST_PAIRS => Ok(pairs),
        Ok(_) => Err(format!("fewer than {} pairs allow no verdict", sampling::FEWEST_PAIRS)),
        Err(error) => Err(error.to_string()),
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone too, the status says it alone.
            let _ = writeln!(io::stderr(), "wharf-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let mut report = Report::new(arguments.json, arguments.samples);
    let known: Vec<&str> = match &arguments.family {
        Family::Pair(_) => pair::names(),
        Family::Idle(_) => idle::names(),
        Family::Tap(_) => tap::CASES.iter().map(|case| case.name).collect(),
        Family::Apps(_) => apps::CASES.iter().map(|case| case.name).collect(),
        Family::Mem(_) => mem::names(),
        Family::Micro(_) => micro::names(),
        Family::Baseline(_) | Family::Loss(_) | Family::Plots | Family::Work(_) => Vec::new(),
    };
    if let Some(unknown) = arguments.only.iter().find(|only| !known.contains(&only.as_str())) {
        bail!("the family has no measurement {unknown}, only {}", known.join(", "));
    }
    let chosen = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let pairs = arguments.pairs;
    match &arguments.family {
        Family::Pair(options) => pair::run(options, pairs, chosen, &mut report),
        Family::Idle(options) => idle::run(options, pairs, chosen, &mut report),
        Family::Tap(options) => tap::run(options, pairs, chosen, &mut report),
        Family::Apps(options) => apps::run(options, pairs, chosen, &mut report),
        Family::Mem(options) => mem::run(options, chosen, &mut report),
        Family::Micro(options) => micro::run(options, pairs, chosen, &mut report),
        Family::Loss(options) => loss::run(options, &mut report),
        Family::Plots => loss::plots::write(),
        Family::Baseline(options) => baseline::run(&counted(false), options),
        Family::Work(options) => case::work(&counted(options.timestamps), options),
    }
}

/// Everything whose instructions are counted.
fn counted(timestamps: bool) -> Vec<Case> {
    let mut cases = pair::cases(timestamps);
    cases.extend(idle::cases());
    cases.extend(micro::cases());
    cases
}
