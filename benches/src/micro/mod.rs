//! Family `micro`: single steps of a segment's way, each alone: sums, copies, rings, headers, the look-up of a connection,
//! the timing wheel. smoltcp stands beside those that it has too; it looks a connection up by asking every socket,
//! and finds the next deadline the same way (family `idle`).

mod engine;
mod headers;
mod memory;
#[cfg(test)]
mod tests;

use anyhow::Result;

use crate::case::{self, Amounts, Case, Contender, Speed, Work};
use crate::report::Report;

/// Payload of a full segment.
const SEGMENT: usize = 1_460;

/// How the family is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    case: case::Options,
}

/// The names of the family's measurements.
pub(crate) fn names() -> Vec<&'static str> {
    cases().iter().map(|case| case.name).collect()
}

/// All cases of the family.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        beside("micro_checksum_1460", memory::checksum, memory::peer_checksum),
        beside("micro_copy_sum_1460", memory::copy_and_sum, memory::peer_copy_and_sum),
        beside("micro_ring_1460", memory::ring, memory::peer_ring),
        beside("micro_parse_segment", headers::parse, headers::peer_parse),
        beside("micro_emit_segment", headers::emit, headers::peer_emit),
        alone("micro_lookup_10000", engine::look_up),
        alone("micro_timer_10000", engine::timers),
    ]
}

/// Runs every case that `chosen` chooses.
///
/// # Errors
/// When a measurement fails.
pub(crate) fn run(options: &Options, pairs: usize, chosen: impl Fn(&str) -> bool, report: &mut Report) -> Result<()> {
    let mut cases = cases();
    cases.retain(|case| chosen(case.name));
    case::run(&cases, &options.case, &[], pairs, report)
}

/// A step, over and over.
struct Step<F>(F);

impl<F: FnMut()> Work for Step<F> {
    fn run(&mut self, count: u64) {
        for _ in 0..count {
            (self.0)();
        }
    }
}

fn step(step: impl FnMut() + 'static) -> Box<dyn Work> {
    Box::new(Step(step))
}

fn beside(name: &'static str, own: fn() -> Box<dyn Work>, peer: fn() -> Box<dyn Work>) -> Case {
    let make = move |contender| match contender {
        Contender::Wharf => own(),
        Contender::Smoltcp => peer(),
    };
    Case { peer: Some(AMOUNTS), make: Box::new(make), ..alone(name, own) }
}

fn alone(name: &'static str, own: fn() -> Box<dyn Work>) -> Case {
    Case { name, unit: "Ir", speed: Speed::Span("ns"), own: AMOUNTS, peer: None, make: Box::new(move |_| own()) }
}

const AMOUNTS: Amounts = Amounts { sample: 2_000_000, small: 5_000, large: 25_000 };
