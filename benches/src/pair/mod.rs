//! Family `pair`: two hosts in one thread, joined by a queue of Ethernet frames at MTU 1500, under a virtual clock and
//! a fixed seed. Wharf and smoltcp do the same work over the same queue.
//!
//! Both applications copy: the sender from its own memory into the socket's buffer, the receiver out of it. NewReno
//! (RFC 5681, 6582) is the congestion control on both sides, and neither uses timestamps unless asked, so that a full
//! segment carries 1,460 bytes.

pub(crate) mod frames;
pub(crate) mod smoltcp;
#[cfg(test)]
mod tests;
pub(crate) mod wharf;

use anyhow::Result;

use crate::case::{self, Amounts, Case, Contender, Speed, Work};
use crate::report::Report;

/// Payload of a full segment at MTU 1500 without options.
pub(crate) const SEGMENT: u64 = 1_460;
/// Payload of one write, and of one super-segment at most, in units of which TSO's instructions are counted.
const CHUNK: u64 = 65_536;

/// What the devices at both ends of the queue take off the hosts' hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offload {
    /// Nothing: the hosts sum what they send and verify what they get.
    Nothing,
    /// Checksums.
    Checksums,
    /// Checksums and segmentation: frames of up to 64 KiB cross the queue uncut.
    Segmentation,
}

/// How the hosts are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub offload: Offload,
    /// Bytes of each send and each receive buffer.
    pub buffer: usize,
    /// Wharf's timestamps (RFC 7323); smoltcp offers none of its own accord.
    pub timestamps: bool,
}

/// How the hosts of `pair_bulk_csum_64k` are made.
pub(crate) const BULK: Setup = Setup { offload: Offload::Nothing, buffer: 65_536, timestamps: false };

/// Two hosts that can be put to work.
pub(crate) trait Pair {
    /// Carries `bytes` from one host to the other over a connection that stands already.
    fn bulk(&mut self, bytes: u64);
    /// Carries `count` requests of 64 bytes and as many responses, one after the other.
    fn round_trips(&mut self, count: u64);
    /// Opens, accepts and closes from both ends `count` connections, one after the other.
    fn connections(&mut self, count: u64);
}

/// What a case has its hosts do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Bulk,
    RoundTrips,
    Connections,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
struct Errand {
    name: &'static str,
    task: Task,
    offload: Offload,
    buffer: usize,
}

/// All measurements of the family.
const ERRANDS: [Errand; 5] = [
    Errand { name: "pair_bulk_csum_64k", task: Task::Bulk, offload: Offload::Nothing, buffer: 65_536 },
    Errand { name: "pair_bulk_nocsum_64k", task: Task::Bulk, offload: Offload::Checksums, buffer: 65_536 },
    // Several super-segments have to find room, or the pair stops and goes.
    Errand { name: "pair_bulk_tso", task: Task::Bulk, offload: Offload::Segmentation, buffer: 4 * 65_536 },
    Errand { name: "pair_rr64", task: Task::RoundTrips, offload: Offload::Nothing, buffer: 4_096 },
    Errand { name: "pair_conn", task: Task::Connections, offload: Offload::Nothing, buffer: 4_096 },
];

impl Errand {
    fn case(self, timestamps: bool) -> Case {
        let unit_bytes = if self.offload == Offload::Segmentation { CHUNK } else { SEGMENT };
        let (unit, speed, amounts) = match (self.task, self.offload) {
            (Task::Bulk, Offload::Segmentation) => {
                ("Ir/64KiB", Speed::Bits(CHUNK), Amounts { sample: 32_768, small: 200, large: 1_000 })
            }
            (Task::Bulk, _) => {
                ("Ir/segment", Speed::Bits(SEGMENT), Amounts { sample: 262_144, small: 4_000, large: 12_000 })
            }
            (Task::RoundTrips, _) => {
                let amounts = Amounts { sample: 200_000, small: 2_000, large: 6_000 };
                ("Ir/round trip", Speed::Rate("round trips/s"), amounts)
            }
            (Task::Connections, _) => {
                let amounts = Amounts { sample: 50_000, small: 1_000, large: 3_000 };
                ("Ir/connection", Speed::Rate("connections/s"), amounts)
            }
        };
        Case {
            name: self.name,
            unit,
            speed,
            own: amounts,
            peer: Some(amounts),
            make: Box::new(move |contender| {
                Box::new(Errands { hosts: self.hosts(contender, timestamps), task: self.task, unit_bytes })
            }),
        }
    }

    fn hosts(&self, contender: Contender, timestamps: bool) -> Box<dyn Pair> {
        let setup = Setup { offload: self.offload, buffer: self.buffer, timestamps };
        match contender {
            Contender::Wharf => Box::new(wharf::Hosts::new(setup)),
            Contender::Smoltcp => Box::new(smoltcp::Hosts::new(setup)),
        }
    }
}

/// Hosts with something to do for each other.
struct Errands {
    hosts: Box<dyn Pair>,
    task: Task,
    unit_bytes: u64,
}

impl Work for Errands {
    fn run(&mut self, count: u64) {
        match self.task {
            Task::Bulk => self.hosts.bulk(count * self.unit_bytes),
            Task::RoundTrips => self.hosts.round_trips(count),
            Task::Connections => self.hosts.connections(count),
        }
    }
}

/// How the family is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    case: case::Options,
    /// Let Wharf use timestamps (RFC 7323); a segment then carries 1,448 bytes
    #[arg(long)]
    timestamps: bool,
}

/// The names of the family's measurements.
pub(crate) fn names() -> Vec<&'static str> {
    ERRANDS.iter().map(|errand| errand.name).collect()
}

/// All cases of the family.
pub(crate) fn cases(timestamps: bool) -> Vec<Case> {
    ERRANDS.iter().map(|errand| errand.case(timestamps)).collect()
}

/// Runs every case that `chosen` chooses.
///
/// # Errors
/// When a measurement fails.
pub(crate) fn run(options: &Options, pairs: usize, chosen: impl Fn(&str) -> bool, report: &mut Report) -> Result<()> {
    let mut cases = cases(options.timestamps);
    cases.retain(|case| chosen(case.name));
    let arguments: &[&str] = if options.timestamps { &["--timestamps"] } else { &[] };
    case::run(&cases, &options.case, arguments, pairs, report)
}

/// What the sending application sends: the same bytes over and over, so that a byte's position tells its value. Twice
/// over, so that a chunk can be taken from any position.
fn source() -> Vec<u8> {
    (0..2 * CHUNK).map(value_at).collect()
}

const fn value_at(position: u64) -> u8 {
    let position = position % CHUNK;
    (position ^ (position >> 8)) as u8
}

/// Whether what was read begins and ends as what stands at this position of the stream: too little to cost anything,
/// and enough to see that the right bytes came.
fn is_of_stream(position: u64, read: &[u8]) -> bool {
    match read {
        [] => true,
        [first, .., last] => *first == value_at(position) && *last == value_at(position + read.len() as u64 - 1),
        [only] => *only == value_at(position),
    }
}
