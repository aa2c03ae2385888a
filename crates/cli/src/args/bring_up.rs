//! The options of `wharf bring-up`.

use std::path::PathBuf;

use clap::Args;

use super::Network;

/// Brings the network up from the link to a page over HTTPS, and says so line by line
#[derive(Debug, Args)]
pub(crate) struct BringUp {
    /// The page to fetch (https); without it, over the user link, one from an origin inside this process
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Believe only the certificate authorities of this PEM file, not the Mozilla roots
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) network: Network,
}

pub(super) const HELP: &str = "\
Examples:
  wharf bring-up
      Over the user-mode link, without the Internet: an HTTPS origin inside this process
      listens on the host's loopback, and the name example.com leads to it.
  wharf bring-up --url https://www.example.org/
      The same with a real site, through the host's network.
  wharf bring-up --link tap:tap0 --capture up.pcapng
      Over a TAP device, recording every frame.

Exit status:
  0  every line holds
  1  one does not; the line says which and why
  2  the command line makes no sense
  4  the link could not be opened";
