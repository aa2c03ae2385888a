//! `wharf-bench plots`: how the congestion controls behave, drawn. Virtual time and fixed seeds, as the matrix.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use sim::link::Loss;

use super::cells::{Cell, Kind, Link};
use super::network::Glance;
use super::{CONTENDERS, Contender, rows};
use crate::chart::{Chart, Line, Panel, Scale};

const TALL: f64 = 320.0;
const LOW: f64 = 170.0;
/// Points of a line over time.
const LOOK: Duration = Duration::from_millis(100);

/// Draws everything into `docs/plots`.
///
/// # Errors
/// When a run fails or a file cannot be written.
pub(crate) fn write() -> Result<()> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/plots");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for (name, chart) in [
        ("over-time.svg", over_time("Alone on 10 Mbit/s, 50 ms, a queue of 100 ms", 100_000)),
        ("over-time-bloated.svg", over_time("Alone on 10 Mbit/s, 50 ms, a queue of 1 s", 1_250_000)),
        ("over-loss.svg", over_loss()?),
        ("over-round-trip.svg", over_round_trip()?),
    ] {
        let file = folder.join(name);
        fs::write(&file, chart.svg()).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// Window, queue and goodput of each of Wharf's congestion controls.
fn over_time(title: &str, queue: usize) -> Chart {
    let mut cell = Link::new(10_000_000, Duration::from_millis(50)).queue(queue).cell(Kind::Queue, title);
    cell.run.span = Duration::from_secs(30);
    cell.run.bytes = u64::MAX;
    let (mut windows, mut queues, mut goodputs) = (Vec::new(), Vec::new(), Vec::new());
    for (colour, contender) in CONTENDERS.iter().enumerate() {
        let Contender::Wharf(algorithm) = contender else { continue };
        let mut glances: Vec<Glance> = Vec::new();
        contender.run(&cell, Some((LOOK, &mut |glance| glances.push(glance))));
        let line = |points| Line { name: algorithm.name().to_owned(), points, colour, dashed: false };
        let at = |glance: &Glance| glance.at.as_secs_f64();
        windows.push(line(
            glances.iter().filter_map(|glance| Some((at(glance), f64::from(glance.window?) / 1e3))).collect(),
        ));
        queues.push(line(glances.iter().map(|glance| (at(glance), glance.queued as f64 / 1e3)).collect()));
        goodputs.push(line(
            // Over half a second, since single frames would only make the line thick.
            glances
                .windows(6)
                .step_by(5)
                .map(|span| {
                    let bits = (span[5].received - span[0].received) as f64 * 8.0;
                    (at(&span[5]), bits / (LOOK.as_secs_f64() * 5.0) / 1e6)
                })
                .collect(),
        ));
    }
    let panel = |label: &str, lines| Panel { label: label.to_owned(), scale: Scale::Linear, height: LOW, lines };
    Chart {
        title: title.to_owned(),
        x_label: "time in s".to_owned(),
        x_scale: Scale::Linear,
        panels: vec![
            panel("congestion window in kB", windows),
            panel("queue in kB", queues),
            panel("goodput in Mbit/s", goodputs),
        ],
    }
}

/// Goodput over the probability of loss.
fn over_loss() -> Result<Chart> {
    let percents = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
    let points = percents
        .map(|percent| {
            let link = Link::new(100_000_000, Duration::from_millis(50)).loss(Loss::Random(percent / 100.0));
            (percent, link.cell(Kind::Loss, &format!("{percent} % loss")))
        })
        .to_vec();
    goodput("Goodput over loss: 100 Mbit/s, 50 ms", "lost frames in %", points)
}

/// Goodput over the round trip.
fn over_round_trip() -> Result<Chart> {
    let spans = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000];
    let points = spans
        .map(|ms| {
            let link = Link::new(100_000_000, Duration::from_millis(ms)).loss(Loss::Random(0.001));
            (ms as f64, link.cell(Kind::Loss, "0.1 % loss"))
        })
        .to_vec();
    goodput("Goodput over the round trip: 100 Mbit/s, 0.1 % loss", "round trip in ms", points)
}

/// Every contender's goodput over the cells at their places on the x axis.
fn goodput(title: &str, x_label: &str, points: Vec<(f64, Cell)>) -> Result<Chart> {
    let (places, cells): (Vec<f64>, Vec<Cell>) = points.into_iter().unzip();
    let rows = rows(cells)?;
    let lines = CONTENDERS
        .iter()
        .enumerate()
        .map(|(colour, contender)| Line {
            name: contender.name(),
            points: places
                .iter()
                .zip(&rows)
                .filter_map(|(&place, row)| Some((place, row.outcomes[colour].as_ref()?.goodput() / 1e6)))
                .collect(),
            colour,
            dashed: matches!(contender, Contender::Smoltcp(_)),
        })
        .collect();
    Ok(Chart {
        title: title.to_owned(),
        x_label: x_label.to_owned(),
        x_scale: Scale::Logarithmic,
        panels: vec![Panel { label: "goodput in Mbit/s".to_owned(), scale: Scale::Logarithmic, height: TALL, lines }],
    })
}
