//! The options of `wharf ping`.

use std::time::Duration;

use clap::Args;

use super::{Network, seconds};

/// Sends echo requests and shows the replies
#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// A name or an address
    #[arg(value_name = "HOST")]
    pub(crate) target: String,
    /// Stop after so many requests; without it, at Ctrl-C
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// From one request to the next
    #[arg(short = 'i', long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub(crate) interval: Duration,
    /// Bytes of data in a request
    #[arg(short = 's', long, value_name = "BYTES", default_value_t = 56, value_parser = clap::value_parser!(u16).range(..=65_507))]
    pub(crate) size: u16,
    #[command(flatten)]
    pub(crate) network: Network,
}

pub(super) const HELP: &str = "\
Examples:
  wharf ping -c 3 10.0.2.2
  wharf ping -c 1 --json example.com

Exit status:
  0  at least one reply came
  1  none came
  2  the command line makes no sense
  4  the network: no link, no address, no such name";
