//! The table of the matrix, for people (`docs/matrix.md`) and for programs (`benches/matrix.json`).

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::cells::{Flows, Kind};
use super::network::Outcome;
use super::{CONTENDERS, Contender, Row};
use crate::case::PEER;
use crate::report::{Figure, Peer, Report, rounded};

const WRITE: &str = "cargo run --release -p wharf-bench -- loss --write";

/// By how much smoltcp may be ahead before it counts: a transfer that ends one segment later.
const TOLERANCE: f64 = 0.01;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Prints goodput, cell by cell: Wharf's of each congestion control, beside the better of smoltcp's.
pub(super) fn report(rows: &[Row], report: &mut Report) -> Result<()> {
    for row in rows {
        for (contender, outcome) in CONTENDERS.iter().zip(&row.outcomes) {
            let (Contender::Wharf(algorithm), Some(outcome)) = (contender, outcome) else { continue };
            let name = format!("{}, {}", row.cell.name, algorithm.name());
            let peer = best(row, "smoltcp ").map(|value| Peer { name: PEER, value: value / 1e6 });
            report.add(&Figure::counted(name, "Mbit/s", outcome.goodput() / 1e6, peer))?;
        }
    }
    Ok(())
}

/// Where smoltcp is ahead: with its best congestion control of Wharf's best, or with one of Wharf's of the same name.
///
/// # Errors
/// When there is such a cell.
pub(super) fn verdict(rows: &[Row]) -> Result<()> {
    let mut behind = Vec::new();
    for row in rows {
        let mut compare = |what: &str, own: Option<f64>, peer: Option<f64>| {
            if let (Some(own), Some(peer)) = (own, peer)
                && own < peer * (1.0 - TOLERANCE)
            {
                behind.push(format!("{}, {what}: {:.3} against {:.3} Mbit/s", row.cell.name, own / 1e6, peer / 1e6));
            }
        };
        compare("the best of each", best(row, "wharf "), best(row, "smoltcp "));
        for name in ["cubic", "reno"] {
            compare(name, best(row, &format!("wharf {name}")), best(row, &format!("smoltcp {name}")));
        }
    }
    ensure!(behind.is_empty(), "smoltcp is ahead in {} cells:\n{}", behind.len(), behind.join("\n"));
    Ok(())
}

/// The most goodput of the contenders whose names begin so.
fn best(row: &Row, prefix: &str) -> Option<f64> {
    CONTENDERS
        .iter()
        .zip(&row.outcomes)
        .filter(|(contender, _)| contender.name().starts_with(prefix))
        .filter_map(|(_, outcome)| outcome.as_ref().map(Outcome::goodput))
        .reduce(f64::max)
}

/// Puts the new tables in place of the old.
pub(super) fn write(rows: &[Row]) -> Result<()> {
    for (file, text) in files(rows) {
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// Compares with the committed tables.
///
/// # Errors
/// When they differ in anything.
pub(super) fn check(rows: &[Row]) -> Result<()> {
    for (file, text) in files(rows) {
        let committed = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        if committed == text {
            continue;
        }
        let changed: Vec<String> = text
            .lines()
            .filter(|line| !committed.lines().any(|before| before == *line))
            .take(12)
            .map(|line| format!("  {line}"))
            .collect();
        bail!(
            "{} is not what this build does. Its new lines begin with\n{}\nIf the change is meant, commit the new table with \
             it: {WRITE}",
            file.display(),
            changed.join("\n")
        );
    }
    Ok(())
}

fn files(rows: &[Row]) -> [(PathBuf, String); 2] {
    [(folder().join("docs/matrix.md"), document(rows)), (folder().join("benches/matrix.json"), lines(rows))]
}

/// One object a line.
fn lines(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        for (contender, outcome) in CONTENDERS.iter().zip(&row.outcomes) {
            let Some(outcome) = outcome else { continue };
            let line = json!({
                "link": row.cell.name,
                "contender": contender.name(),
                "goodput_mbit": rounded(outcome.goodput() / 1e6),
                "segments": outcome.segments,
                "resent": outcome.resent,
                "lost": outcome.lost,
                "fairness": (row.cell.run.flows > 1).then(|| rounded(outcome.fairness())),
            });
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

const TITLE: &str = "\
# Emulated networks

One host sends as much as it can to another over an emulated link, in virtual time: goodput in Mbit/s, and in brackets the
percentage of segments that had been sent before. Every figure follows from a fixed seed and is the same on every machine;
`./test.sh matrix` compares them to the digit. Made by `cargo run --release -p wharf-bench -- loss --write`;
[performance.md](performance.md) says what to make of it, `benches/matrix.json` has the same for programs.

A single flow carries 64 MiB, or as much as 200 s or 2,000 round trips allow, from its SYN on. Buffers on both sides hold twice what link and queue hold,
between 256 KiB and 32 MiB. Unless the cell says otherwise the queue holds the bandwidth-delay product, or 64 frames if that
is more, and drops what comes beyond it. Loss strikes data alone where the cell does not say otherwise, and its cells are the sum of two seeds or, where losses are few, of six, or of two dozen. smoltcp 0.14 runs with its default of four gaps in the receiver's
reassembly; it has CUBIC and Reno, no SACK for its sender, no RACK.
";

fn document(rows: &[Row]) -> String {
    let mut text = TITLE.to_owned();
    let sections = [
        (Kind::Loss, "Rate, round trip and loss"),
        (Kind::Disorder, "Disorder"),
        (Kind::Queue, "Queues"),
        (Kind::Competition, "Competition"),
    ];
    for (kind, title) in sections {
        let _ = write!(text, "\n## {title}\n\n{}", explanation(kind));
        text.push_str("| link |");
        for contender in CONTENDERS {
            let _ = write!(text, " {} |", contender.name());
        }
        text.push_str("\n|---|");
        text.push_str(&"---:|".repeat(CONTENDERS.len()));
        text.push('\n');
        for row in rows.iter().filter(|row| row.cell.kind == kind) {
            let _ = write!(text, "| {} |", row.cell.name);
            for outcome in &row.outcomes {
                let _ = write!(
                    text,
                    " {} |",
                    outcome.as_ref().map_or_else(|| "-".to_owned(), |outcome| entry(row, outcome))
                );
            }
            text.push('\n');
        }
    }
    text
}

const fn explanation(kind: Kind) -> &'static str {
    match kind {
        Kind::Loss => {
            "\"Bursts\" are outages: on average they last as long as ten frames take, and come after the time of a thousand. At a \
             rate times round trip beyond 32 MiB the buffers are the limit.\n\n"
        }
        Kind::Disorder => "",
        Kind::Queue => "\"The product\" is that of rate and round trip.\n\n",
        Kind::Competition => {
            "All flows begin at once and run for 60 s. Goodput is that of all together; behind it stands Jain's index of \
             fairness, 1.00 where all have the same. \"Against one with CUBIC\": a flow of the column's congestion control and one with \
             CUBIC, both Wharf's; the share of the first stands behind it.\n\n"
        }
    }
}

fn entry(row: &Row, outcome: &Outcome) -> String {
    let mut entry = format!("{} ({:.1})", significant(outcome.goodput() / 1e6), outcome.resent_share() * 100.0);
    if row.cell.flows == Flows::AgainstCubic {
        let share = outcome.received[0] as f64 / outcome.received.iter().sum::<u64>().max(1) as f64;
        let _ = write!(entry, " {:.0} %", share * 100.0);
    } else if row.cell.run.flows > 1 {
        let _ = write!(entry, " {:.2}", outcome.fairness());
    }
    entry
}

/// Three digits or so.
fn significant(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.3}"),
    }
}
