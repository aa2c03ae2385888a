//! What a measurement found, as a line of JSON or as a line of a table. Every family reports here, figure by figure as
//! they come.

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use crate::sampling::{Compared, Series};

/// One figure, and the peer's beside it.
pub(crate) struct Figure {
    /// What was measured: `pair_rr64`.
    pub name: String,
    /// What both values count: `Gbit/s`.
    pub unit: &'static str,
    /// Wharf's.
    pub value: f64,
    /// The peer's, where there is a peer.
    pub peer: Option<Peer>,
    /// The largest sample over the smallest, of whichever side it is more; exactly 1 for a count that repeats.
    pub spread: f64,
    /// Wharf's over the peer's; `None` where there is no peer or the samples lie too far apart to say.
    pub ratio: Option<f64>,
}

/// The peer of a figure.
pub(crate) struct Peer {
    /// Who it is: `smoltcp 0.14`.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
}

impl Figure {
    /// The medians of a series of samples.
    fn sampled(name: &'static str, unit: &'static str, peer: &'static str, samples: &Compared) -> Self {
        Self {
            name: name.to_owned(),
            unit,
            value: samples.own.median(),
            peer: Some(Peer { name: peer, value: samples.peer.median() }),
            spread: samples.spread(),
            ratio: samples.ratio(),
        }
    }

    /// Counts that are the same every time.
    pub(crate) fn counted(name: impl Into<String>, unit: &'static str, value: f64, peer: Option<Peer>) -> Self {
        let ratio = peer.as_ref().map(|peer| value / peer.value);
        Self { name: name.into(), unit, value, peer, spread: 1.0, ratio }
    }
}

/// Where figures are printed.
pub(crate) struct Report {
    json: bool,
    samples: bool,
    heading_due: bool,
}

impl Report {
    /// A report for people, or with `json` one object a line for programs; with `samples`, every sample goes to standard
    /// error beside it.
    pub(crate) const fn new(json: bool, samples: bool) -> Self {
        Self { json, samples, heading_due: true }
    }

    /// Prints a figure and, if they were asked for, the samples that it comes from.
    ///
    /// # Errors
    /// When standard output or standard error takes no more.
    pub(crate) fn add_sampled(
        &mut self,
        name: &'static str,
        unit: &'static str,
        peer: &'static str,
        samples: &Compared,
    ) -> io::Result<()> {
        if self.samples {
            let mut out = io::stderr().lock();
            writeln!(out, "{name} wharf:{}", samples.own)?;
            writeln!(out, "{name} {peer}:{}", samples.peer)?;
        }
        self.add(&Figure::sampled(name, unit, peer, samples))
    }

    /// Prints a figure that has no peer. Where the samples lie too far apart, the spread says so.
    ///
    /// # Errors
    /// When standard output or standard error takes no more.
    pub(crate) fn add_alone(&mut self, name: &'static str, unit: &'static str, samples: &Series) -> io::Result<()> {
        if self.samples {
            writeln!(io::stderr().lock(), "{name} wharf:{samples}")?;
        }
        let name = name.to_owned();
        self.add(&Figure { name, unit, value: samples.median(), peer: None, spread: samples.spread(), ratio: None })
    }

    /// Prints a figure.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn add(&mut self, figure: &Figure) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            return writeln!(out, "{}", json_line(figure));
        }
        if std::mem::take(&mut self.heading_due) {
            writeln!(
                out,
                "{:<24}{:>14}  {:<14}{:>14}  {:<20}{:>8}{:>9}",
                "measurement", "wharf", "unit", "peer", "", "ratio", "max/min"
            )?;
        }
        let none = if figure.peer.is_some() { "none" } else { "-" };
        let ratio = figure.ratio.map_or_else(|| none.to_owned(), |ratio| format!("{ratio:.3}"));
        writeln!(
            out,
            "{:<24}{:>14}  {:<14}{:>14}  {:<20}{:>8}{:>9.2}",
            figure.name,
            readable(figure.value),
            figure.unit,
            figure.peer.as_ref().map_or_else(|| "-".to_owned(), |peer| readable(peer.value)),
            figure.peer.as_ref().map_or("", |peer| peer.name),
            ratio,
            figure.spread
        )
    }
}

/// The figure as one JSON object.
pub(crate) fn json_line(figure: &Figure) -> String {
    serde_json::json!({
        "name": figure.name,
        "value": rounded(figure.value),
        "unit": figure.unit,
        "peer": figure.peer.as_ref().map(|peer| peer.name),
        "peer_value": figure.peer.as_ref().map(|peer| rounded(peer.value)),
        "ratio": figure.ratio.map(rounded),
    })
    .to_string()
}

/// Digits that no measurement here can vouch for make figures harder to compare.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn readable(value: f64) -> String {
    if value >= 1_000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
