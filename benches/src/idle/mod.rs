//! Family `idle`: what connections cost that have nothing to say.
//!
//! `idle_poll_N` is a look at an engine that has nothing to do: its next deadline, its frames, its events. `idle_bulk_N` is
//! the family `pair`'s `pair_bulk_csum_64k` where both hosts hold N idle connections besides the one that carries the data.
//! Every idle connection of `idle_poll_N` has a keep-alive timer, so that the next deadline has to be found among N.

pub(crate) mod smoltcp;
#[cfg(test)]
mod tests;
pub(crate) mod wharf;

use anyhow::Result;

use crate::case::{self, Amounts, Case, Contender, Speed, Work};
use crate::pair::{self, Pair};
use crate::report::Report;

/// Idle connections and the cases with so many.
const SIZES: [(u32, &str, &str); 3] = [
    (10, "idle_poll_10", "idle_bulk_10"),
    (1_000, "idle_poll_1000", "idle_bulk_1000"),
    (100_000, "idle_poll_100000", "idle_bulk_100000"),
];

/// How the family is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    case: case::Options,
}

/// The names of the family's measurements.
pub(crate) fn names() -> Vec<&'static str> {
    SIZES.iter().map(|size| size.1).chain(SIZES.iter().map(|size| size.2)).collect()
}

/// All cases of the family.
pub(crate) fn cases() -> Vec<Case> {
    SIZES
        .iter()
        .map(|&(idle, name, _)| poll(name, idle))
        .chain(SIZES.iter().map(|&(idle, _, name)| bulk(name, idle)))
        .collect()
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

fn poll(name: &'static str, idle: u32) -> Case {
    // The peer looks at every connection each time.
    let each = u64::from(idle);
    let peer = Amounts {
        sample: (20_000_000 / each).max(100),
        small: (100_000 / each).max(2),
        large: (400_000 / each).max(6),
    };
    Case {
        name,
        unit: "Ir/poll",
        speed: Speed::Span("ns/poll"),
        own: Amounts { sample: 2_000_000, small: 10_000, large: 40_000 },
        peer: Some(peer),
        make: Box::new(move |contender| match contender {
            Contender::Wharf => Box::new(wharf::Polled::new(idle)),
            Contender::Smoltcp => Box::new(smoltcp::Polled::new(idle)),
        }),
    }
}

fn bulk(name: &'static str, idle: u32) -> Case {
    // The peer looks at every connection for every segment.
    let each = u64::from(idle);
    let peer = Amounts {
        sample: (20_000_000 / each).clamp(200, 262_144),
        small: (2_000_000 / each).clamp(50, 4_000),
        large: (6_000_000 / each).clamp(150, 12_000),
    };
    Case {
        name,
        unit: "Ir/segment",
        speed: Speed::Bits(pair::SEGMENT),
        own: Amounts { sample: 262_144, small: 4_000, large: 12_000 },
        peer: Some(peer),
        make: Box::new(move |contender| {
            let hosts: Box<dyn Pair> = match contender {
                Contender::Wharf => Box::new(wharf::Busy::new(pair::BULK, idle)),
                Contender::Smoltcp => Box::new(smoltcp::busy(pair::BULK, idle)),
            };
            Box::new(Bulk(hosts))
        }),
    }
}

/// Two hosts, one of which sends to the other.
struct Bulk(Box<dyn Pair>);

impl Work for Bulk {
    fn run(&mut self, count: u64) {
        self.0.bulk(count * pair::SEGMENT);
    }
}
