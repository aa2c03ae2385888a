//! The links of the matrix. Seeds are fixed; a cell's name is its seed's source, so that adding one changes no other.

use std::time::Duration;

use sim::link::{LinkModel, Loss};

use super::network::Run;
use super::wharf::{MOST_BUFFER, buffer};

/// Bytes that a single flow carries at most.
const BYTES: u64 = 1 << 26;
/// The time that it has, in round trips, ...
const ROUNDS: u32 = 2_000;
/// ... and at least.
const SPAN: Duration = Duration::from_secs(200);
/// The time that competing flows have.
const SHARED_SPAN: Duration = Duration::from_secs(60);

const MICROSECOND: Duration = Duration::from_micros(1);

const fn ms(span: u64) -> Duration {
    Duration::from_millis(span)
}

/// What a cell is an example of; each is a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Rate, round trip and loss.
    Loss,
    /// Frames that overtake each other, come late, twice or not at all.
    Disorder,
    /// Queues from tiny to bloated.
    Queue,
    /// Several flows on one link.
    Competition,
}

/// Which algorithms a cell's flows use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flows {
    /// So many, all with the algorithm of the column.
    Alike(usize),
    /// One with the algorithm of the column, against one of Wharf's with CUBIC. Not for the peer, whose host has only its
    /// own stack.
    AgainstCubic,
}

/// One link, and what is sent over it.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub kind: Kind,
    /// In words: `10 Mbit/s, 50 ms, 1 % loss`.
    pub name: String,
    pub flows: Flows,
    pub run: Run,
    /// Seeds that it is run with, one after the other, so that where chance has a hand no single throw decides.
    pub throws: u64,
    /// Bytes of each send and each receive buffer.
    pub buffer: usize,
}

/// Loss that strikes each frame by itself, with its name.
const LOSSES: [(Loss, &str); 5] = [
    (Loss::Never, "no loss"),
    (Loss::Random(0.001), "0.1 % loss"),
    (Loss::Random(0.01), "1 % loss"),
    (Loss::Random(0.05), "5 % loss"),
    (Loss::Random(0.1), "10 % loss"),
];

/// Outages of the time that ten frames take, on average, in which a thousand others get through.
fn bursts(rate: u64) -> Loss {
    let frame = Duration::from_nanos(1_514 * 8_000_000_000 / rate);
    Loss::Outages { every: 1_000 * frame, lasts: 10 * frame }
}

const RATES: [u64; 5] = [1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000];
const ROUND_TRIPS: [Duration; 5] = [MICROSECOND, ms(1), ms(20), ms(100), ms(600)];

/// Every cell, in the order of the tables.
pub(super) fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (loss, words) in LOSSES {
        for rate in RATES {
            for round_trip in ROUND_TRIPS {
                cells.push(Link::new(rate, round_trip).loss(loss).cell(Kind::Loss, words));
            }
        }
    }
    for rate in RATES {
        for round_trip in ROUND_TRIPS {
            cells.push(Link::new(rate, round_trip).loss(bursts(rate)).cell(Kind::Loss, "bursts of loss"));
        }
    }
    for round_trip in [ms(1), ms(50)] {
        let link = Link::new(100_000_000, round_trip);
        cells.push(
            link.reorder(0.01, round_trip / 4).cell(Kind::Disorder, "1 % held back for a quarter of a round trip"),
        );
        cells.push(link.reorder(0.01, round_trip * 2).cell(Kind::Disorder, "1 % held back for two round trips"));
        cells.push(
            link.reorder(0.3, round_trip / 8).cell(Kind::Disorder, "30 % held back for an eighth of a round trip"),
        );
        cells.push(link.jitter(round_trip).cell(Kind::Disorder, "up to a round trip of jitter"));
        cells.push(link.duplicate(0.05).cell(Kind::Disorder, "5 % twice"));
        cells.push(link.corrupt(0.01).cell(Kind::Disorder, "1 % with a bit turned over"));
        cells.push(link.back_loss(Loss::Random(0.1)).cell(Kind::Disorder, "10 % loss of acknowledgements"));
    }
    for (rate, round_trip) in [(10_000_000, ms(50)), (1_000_000_000, ms(10)), (100_000_000, ms(200))] {
        let link = Link::new(rate, round_trip);
        let product = product(rate, round_trip);
        cells.push(link.queue(4 * 1_514).cell(Kind::Queue, "room for 4 frames"));
        cells.push(link.queue(product / 10).cell(Kind::Queue, "a tenth of the product"));
        cells.push(link.queue(product).cell(Kind::Queue, "the product"));
        cells.push(link.queue(product * 10).cell(Kind::Queue, "ten times the product"));
    }
    for (rate, round_trip) in [(10_000_000, ms(40)), (50_000_000, ms(10)), (50_000_000, ms(100))] {
        let link = Link::new(rate, round_trip);
        for flows in [2, 4, 8] {
            cells.push(link.shared(Flows::Alike(flows), &format!("{flows} flows")));
        }
        cells.push(link.shared(Flows::AgainstCubic, "against one with CUBIC"));
        cells.push(link.loss(Loss::Random(0.01)).shared(Flows::Alike(4), "4 flows, 1 % loss"));
        cells.push(link.queue(product(rate, round_trip) * 8).shared(Flows::Alike(4), "4 flows, a bloated queue"));
    }
    cells
}

/// Bytes on a link of this rate and round trip.
fn product(rate: u64, round_trip: Duration) -> usize {
    (u128::from(rate) * round_trip.as_nanos() / 8_000_000_000) as usize
}

/// A link in the making.
#[derive(Clone, Copy)]
pub(super) struct Link {
    round_trip: Duration,
    rate: u64,
    forth: LinkModel,
    back: LinkModel,
}

impl Link {
    /// A link whose queue holds the bandwidth-delay product, and at least 64 frames.
    pub(super) fn new(rate: u64, round_trip: Duration) -> Self {
        let queue = product(rate, round_trip).max(64 * 1_514);
        let model = LinkModel { rate: Some(rate), queue: Some(queue), ..LinkModel::delay(round_trip / 2) };
        Self { round_trip, rate, forth: model, back: model }
    }

    pub(super) fn loss(mut self, loss: Loss) -> Self {
        self.forth.loss = loss;
        self
    }

    fn back_loss(mut self, loss: Loss) -> Self {
        self.back.loss = loss;
        self
    }

    fn reorder(mut self, reorder: f64, reorder_delay: Duration) -> Self {
        self.forth = LinkModel { reorder, reorder_delay, ..self.forth };
        self
    }

    fn jitter(mut self, jitter: Duration) -> Self {
        self.forth.jitter = jitter;
        self
    }

    fn duplicate(mut self, duplicate: f64) -> Self {
        self.forth.duplicate = duplicate;
        self
    }

    fn corrupt(mut self, corrupt: f64) -> Self {
        self.forth.corrupt = corrupt;
        self
    }

    pub(super) fn queue(mut self, bytes: usize) -> Self {
        self.forth.queue = Some(bytes.max(2 * 1_514));
        self
    }

    /// One flow.
    pub(super) fn cell(self, kind: Kind, words: &str) -> Cell {
        self.finish(kind, words, Flows::Alike(1), SPAN.max(self.round_trip * ROUNDS), BYTES)
    }

    /// Flows that share it.
    fn shared(self, flows: Flows, words: &str) -> Cell {
        self.finish(Kind::Competition, words, flows, SHARED_SPAN, u64::MAX)
    }

    fn finish(self, kind: Kind, words: &str, flows: Flows, span: Duration, bytes: u64) -> Cell {
        let name = format!("{}, {}, {words}", rate_in_words(self.rate), span_in_words(self.round_trip));
        let count = match flows {
            Flows::Alike(count) => count,
            Flows::AgainstCubic => 2,
        };
        let queue = self.forth.queue.unwrap_or(MOST_BUFFER);
        Cell {
            kind,
            flows,
            buffer: buffer(self.rate, self.round_trip, queue),
            // Whether it is data or acknowledgements that are lost: a SYN-ACK is one of these, and costs a second.
            throws: match if self.forth.loss == Loss::Never { self.back.loss } else { self.forth.loss } {
                Loss::Never => 1,
                // The fewer losses, the more one of them decides: the slowest link sees a dozen in a run.
                Loss::Random(p) if p < 0.01 && self.round_trip >= ms(100) && self.rate <= 1_000_000 => 24,
                Loss::Random(p) if p < 0.01 && self.round_trip >= ms(100) => 6,
                _ => 2,
            },
            run: Run { seed: seed(&name), forth: self.forth, back: self.back, flows: count, span, bytes },
            name,
        }
    }
}

/// FNV-1a of the name.
fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// `10 Mbit/s`.
pub(super) fn rate_in_words(rate: u64) -> String {
    if rate >= 1_000_000_000 {
        format!("{} Gbit/s", rate / 1_000_000_000)
    } else {
        format!("{} Mbit/s", rate / 1_000_000)
    }
}

fn span_in_words(span: Duration) -> String {
    if span >= ms(1) { format!("{} ms", span.as_millis()) } else { format!("{} µs", span.as_micros()) }
}
