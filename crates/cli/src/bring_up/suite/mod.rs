//! The socket test suite of `bring-up`: what Wharf's sockets do against real sockets of the host, one behaviour
//! at a time. The servers stand on the host; every byte crosses Wharf's engine, its link and the host's kernel.

mod datagrams;
mod servers;
mod streams;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use wharf::Net;

/// Where the suite's two sides meet.
#[derive(Clone)]
pub(super) struct Ground {
    /// Wharf's side.
    pub(super) net: Net,
    /// The address of the host that its servers bind to.
    pub(super) host: IpAddr,
    /// The address under which Wharf's side reaches it.
    pub(super) reach: IpAddr,
}

impl Ground {
    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.reach, port)
    }
}

/// One behaviour: its name, and the check, which gives the reason where it does not hold.
struct Case {
    name: &'static str,
    check: fn(&Ground) -> Result<(), String>,
}

const CASES: &[Case] = &[
    Case { name: "connect, and both ends name the same addresses", check: streams::connect },
    Case { name: "a closed port refuses", check: streams::refuse },
    Case { name: "a reset by the host arrives as a reset", check: streams::reset },
    Case { name: "half-close by us: the host still answers", check: streams::half_close_by_us },
    Case { name: "half-close by the host: we still send", check: streams::half_close_by_host },
    Case { name: "what was written before close arrives", check: streams::close_delivers },
    Case { name: "16 MiB both ways at once, equal hashes", check: streams::both_ways },
    Case { name: "200 connections at once", check: streams::many },
    Case { name: "a read that gets nothing times out", check: streams::read_timeout },
    Case { name: "a write to one that does not read times out", check: streams::write_timeout },
    Case { name: "a connect that gets no answer times out", check: streams::connect_timeout },
    Case { name: "UDP echo of every size class, fragmented ones too", check: datagrams::echo },
    Case { name: "UDP to a closed port is refused", check: datagrams::refuse },
    Case { name: "a UDP receive that gets nothing times out", check: datagrams::receive_timeout },
];

/// What came of one behaviour.
pub(super) struct Verdict {
    pub(super) name: &'static str,
    /// Why it does not hold; `None` where it does.
    pub(super) failure: Option<String>,
    pub(super) took: Duration,
}

/// Runs every case on `ground`, one after the other.
pub(super) fn run(ground: &Ground) -> Vec<Verdict> {
    CASES
        .iter()
        .map(|case| {
            let begun = Instant::now();
            let failure = (case.check)(ground).err();
            Verdict { name: case.name, failure, took: begun.elapsed() }
        })
        .collect()
}

/// `result` with what was being done, for a failure's text.
fn during<T>(what: &str, result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

/// Bytes that look random and differ from seed to seed, so that neither order nor origin can be confused.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
