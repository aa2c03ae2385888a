//! The options of `wharf wget`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Network, seconds};

/// Fetches a page or a file over http or https
#[derive(Debug, Args)]
pub(crate) struct Wget {
    /// What to fetch; http:// is added where no scheme is given
    pub(crate) url: String,
    /// Where to save it: - is standard output. Without it, the last part of the URL, numbered if taken
    #[arg(short = 'O', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Believe only the certificate authorities of this PEM file, not the Mozilla roots
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Send this header field, written 'Name: value'; may be given several times
    #[arg(long, value_name = "FIELD")]
    pub(crate) header: Vec<String>,
    /// Give up when the whole takes longer
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) max_time: Option<Duration>,
    /// Say nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) network: Network,
}

pub(super) const HELP: &str = "\
Examples:
  wharf wget https://example.com/
      Saves index.html.
  wharf wget -O - http://10.0.2.2:8000/list.json --host-loopback | jq .
      From a server on this machine's loopback to standard output.
  wharf wget --link tap:tap0 --ca test-ca.pem https://192.168.7.1/big.iso
      Over a TAP device, believing one certificate authority.

The file appears under its name only when it is whole; what came before an error is thrown away.

Exit status:
  0  the whole body of a 2xx response
  2  the command line makes no sense
  3  the file could not be written, or the one of --ca not read
  4  the network: no link, no address, no such name, refused, unreachable, no answer in time
  5  TLS: the certificate or the handshake was refused
  6  the server wants a user name and password (401, 407)
  7  the protocol: no HTTP, a body cut short, too many redirects
  8  the server answered with another error (4xx, 5xx)";
