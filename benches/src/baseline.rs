//! The committed figures: instructions of every counted case and bytes of every case of `mem`, Wharf's alone.
//!
//! `baseline check` measures them anew and fails where one has grown by more than 1 %; `baseline write` takes the new
//! ones over, to be committed with the change that explains them. Compiler, seed and clock are the same for everybody, so
//! the figures repeat; the C library's `memcpy` is the part that another machine may bring along.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::case::Case;
use crate::report::rounded;
use crate::{case, mem};

/// By how much a figure may grow before it counts as grown.
const TOLERANCE: f64 = 0.01;

/// What must not depend on how many connections are idle: the figure with few, the one with many, and the most that the
/// second may be above the first.
const FLAT: [(&str, &str, f64); 4] = [
    ("idle_poll_10", "idle_poll_1000", 0.02),
    ("idle_poll_10", "idle_poll_100000", 0.02),
    ("idle_bulk_10", "idle_bulk_1000", 0.02),
    ("idle_bulk_10", "idle_bulk_100000", 0.02),
];

type Figures = BTreeMap<String, f64>;

/// What to do with the committed figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Action {
    /// Measure, compare, and fail if a figure has grown by more than 1 %
    Check,
    /// Measure, and put the new figures in place of the old
    Write,
}

/// How the figures are compared.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    action: Action,
    /// Where they are
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.json"))]
    file: PathBuf,
}

/// Measures `cases` and the family `mem`, and compares or writes.
///
/// # Errors
/// When a measurement fails, or a figure has grown.
pub(crate) fn run(cases: &[Case], options: &Options) -> Result<()> {
    let mut found: Figures = mem::bytes().into_iter().map(|(name, bytes)| (name.to_owned(), rounded(bytes))).collect();
    for (case, value) in cases.iter().zip(case::instructions(cases)?) {
        found.insert(case.name.to_owned(), rounded(value));
    }
    let committed = read(&options.file);
    let mut out = io::stdout().lock();
    for line in table(committed.as_ref().unwrap_or(&Figures::new()), &found) {
        writeln!(out, "{line}")?;
    }
    let mut faults = uneven(&found);
    match options.action {
        Action::Write => write(&options.file, &found)?,
        Action::Check => faults.extend(differences(&committed?, &found)),
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

fn read(file: &Path) -> Result<Figures> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a table of figures", file.display()))
}

fn write(file: &Path, figures: &Figures) -> Result<()> {
    ensure!(!figures.is_empty(), "there is nothing to write");
    let text = serde_json::to_string_pretty(figures).context("writing figures as JSON")?;
    fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))
}

fn table(committed: &Figures, found: &Figures) -> Vec<String> {
    let mut lines = vec![format!("{:<24}{:>14}{:>14}{:>10}", "figure", "committed", "now", "change")];
    for (name, &now) in found {
        lines.push(match committed.get(name) {
            Some(&before) => format!("{name:<24}{before:>14.1}{now:>14.1}{:>+9.2}%", change(before, now) * 100.0),
            None => format!("{name:<24}{:>14}{now:>14.1}{:>10}", "-", "new"),
        });
    }
    lines
}

fn change(before: f64, now: f64) -> f64 {
    now / before - 1.0
}

/// Why the figures may not stay as they are.
fn differences(committed: &Figures, found: &Figures) -> Vec<String> {
    const WRITE: &str = "cargo run --release -p wharf-bench -- baseline write";
    let mut faults = Vec::new();
    for (name, &now) in found {
        match committed.get(name) {
            None => faults.push(format!("{name} has no committed figure: {WRITE}")),
            Some(&before) if change(before, now) > TOLERANCE => faults.push(format!(
                "{name} has grown from {before:.1} to {now:.1}, by {:.2} %. If that is worth it, say why in the commit and \
                 commit the new figures with it: {WRITE}",
                change(before, now) * 100.0
            )),
            Some(_) => {}
        }
    }
    let gone = committed.keys().filter(|name| !found.contains_key(*name));
    faults.extend(gone.map(|name| format!("{name} is committed, but nothing measures it: {WRITE}")));
    faults
}

/// Where idle connections cost something.
fn uneven(found: &Figures) -> Vec<String> {
    let mut faults = Vec::new();
    for (few, many, most) in FLAT {
        let (Some(&low), Some(&high)) = (found.get(few), found.get(many)) else { continue };
        if change(low, high) > most {
            faults.push(format!(
                "{many} ({high:.1}) is more than {:.0} % above {few} ({low:.1}): idle connections are not free",
                most * 100.0
            ));
        }
    }
    faults
}
