//! Family `loss`: emulated networks in virtual time.
//!
//! One host sends as much as it can to another over an emulated link: goodput, the share of segments sent more than once and,
//! between competing flows, fairness, for each congestion control. smoltcp, with each of its own, runs over the same links
//! beside it. Everything follows from fixed seeds, so the table in `docs/matrix.md` is the same on every machine and compared
//! to the digit.

mod cells;
mod kernel;
mod matrix;
mod network;
pub(crate) mod plots;
mod smoltcp;
#[cfg(test)]
mod tests;
mod wharf;

use std::io::{self, Write};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use ::smoltcp::socket::tcp::CongestionControl;
use anyhow::{Result, anyhow};
use serde_json::json;
use stack::tcp::Algorithm;

use self::cells::{Cell, Flows};
use self::network::{Glance, Outcome};
use crate::machine;
use crate::report::{Report, rounded};

/// A column of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    Wharf(Algorithm),
    Smoltcp(CongestionControl),
}

/// Wharf's congestion controls, the default first; then the peer's.
const CONTENDERS: [Contender; 5] = [
    Contender::Wharf(Algorithm::Cubic),
    Contender::Wharf(Algorithm::NewReno),
    Contender::Wharf(Algorithm::Bbr),
    Contender::Smoltcp(CongestionControl::Cubic),
    Contender::Smoltcp(CongestionControl::Reno),
];

impl Contender {
    /// `wharf cubic`.
    fn name(self) -> String {
        match self {
            Self::Wharf(algorithm) => format!("wharf {}", algorithm.name()),
            Self::Smoltcp(CongestionControl::Cubic) => "smoltcp cubic".to_owned(),
            Self::Smoltcp(_) => "smoltcp reno".to_owned(),
        }
    }

    /// Runs over a cell's link; `None` where that makes no sense. With `glance`, that is called every so often.
    fn run(self, cell: &Cell, glance: Option<(Duration, &mut dyn FnMut(Glance))>) -> Option<Outcome> {
        let flows = cell.run.flows;
        Some(match self {
            Self::Wharf(algorithm) => {
                let algorithms = match cell.flows {
                    Flows::Alike(count) => vec![algorithm; count],
                    Flows::AgainstCubic => vec![algorithm, Algorithm::Cubic],
                };
                let mut sender = wharf::Wharf::sender(&algorithms, cell.buffer, 1);
                let mut receiver = wharf::Wharf::receiver(flows, cell.buffer);
                network::run(&cell.run, &mut sender, &mut receiver, glance)
            }
            Self::Smoltcp(algorithm) => {
                let Flows::Alike(count) = cell.flows else { return None };
                let mut sender = smoltcp::Peer::sender(&vec![algorithm; count], cell.buffer);
                let mut receiver = smoltcp::Peer::receiver(flows, cell.buffer);
                network::run(&cell.run, &mut sender, &mut receiver, glance)
            }
        })
    }
}

/// How the family is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Compare with the committed table to the digit, and fail where it differs or smoltcp is ahead
    #[arg(long, conflicts_with = "write")]
    check: bool,
    /// Put the new table in place of the committed one
    #[arg(long)]
    write: bool,
    /// Only cells whose name contains this: `50 ms`
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["check", "write"])]
    cell: Option<String>,
    /// Instead of the matrix: every so many milliseconds of virtual time, one object a line with what has arrived, what waits for
    /// the link, and the first flow's congestion window, in bytes
    #[arg(long, value_name = "MILLISECONDS", requires = "cell", value_parser = clap::value_parser!(u64).range(1..))]
    trace: Option<u64>,
    /// Instead of the matrix: over one emulated link of 50 ms and 1 % loss, in real time, the kernel's TCP and Wharf send to the
    /// kernel in turns, with the same congestion control. Fails where Wharf is more than 10 % behind. Takes some nine minutes
    #[arg(long, conflicts_with_all = ["check", "write", "cell"])]
    kernel: bool,
}

/// What all contenders made of one cell's link.
struct Row {
    cell: Cell,
    /// In the order of [`CONTENDERS`].
    outcomes: Vec<Option<Outcome>>,
}

/// Runs the matrix.
///
/// # Errors
/// When the table differs from the committed one and should not, or smoltcp is ahead anywhere.
pub(crate) fn run(options: &Options, report: &mut Report) -> Result<()> {
    if options.kernel {
        return kernel::run(report);
    }
    let mut cells = cells::all();
    if let Some(text) = &options.cell {
        cells.retain(|cell| cell.name.contains(text.as_str()));
    }
    if let Some(every) = options.trace {
        return trace(&cells, Duration::from_millis(every));
    }
    let rows = rows(cells)?;
    matrix::report(&rows, report)?;
    if options.write {
        matrix::write(&rows)?;
    }
    if options.check {
        matrix::check(&rows)?;
    }
    matrix::verdict(&rows)
}

/// Prints how the runs over `cells` go.
fn trace(cells: &[Cell], every: Duration) -> Result<()> {
    let mut out = io::stdout().lock();
    for cell in cells {
        for contender in CONTENDERS {
            let mut glances = Vec::new();
            if contender.run(cell, Some((every, &mut |glance| glances.push(glance)))).is_none() {
                continue;
            }
            for glance in glances {
                let line = json!({
                    "link": cell.name,
                    "contender": contender.name(),
                    "at": rounded(glance.at.as_secs_f64()),
                    "received": glance.received,
                    "queued": glance.queued,
                    "window": glance.window,
                });
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}

/// Runs every contender over every cell, as many at a time as there are processors.
fn rows(cells: Vec<Cell>) -> Result<Vec<Row>> {
    let jobs: Vec<(usize, usize)> =
        (0..cells.len()).flat_map(|cell| (0..CONTENDERS.len()).map(move |contender| (cell, contender))).collect();
    let queue = Mutex::new(jobs.into_iter());
    let mut rows: Vec<Row> =
        cells.iter().map(|cell| Row { cell: cell.clone(), outcomes: vec![None; CONTENDERS.len()] }).collect();
    let found = Mutex::new(&mut rows);
    let work = || -> Result<()> {
        loop {
            let next = queue.lock().map_err(|_| anyhow!("another run panicked"))?.next();
            let Some((cell, contender)) = next else { return Ok(()) };
            let mut cell_now = cells[cell].clone();
            let mut outcome: Option<Outcome> = None;
            for _ in 0..cell_now.throws {
                let Some(more) = CONTENDERS[contender].run(&cell_now, None) else { break };
                outcome = Some(outcome.map_or_else(|| more.clone(), |sum| sum.with(&more)));
                cell_now.run.seed = cell_now.run.seed.wrapping_add(1);
            }
            found.lock().map_err(|_| anyhow!("another run panicked"))?[cell].outcomes[contender] = outcome;
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..machine::processors()?.len()).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a run panicked")))?;
        }
        anyhow::Ok(())
    })?;
    Ok(rows)
}
