//! The options of `wharf nslookup`.

use clap::Args;

use super::Network;

/// Asks the DNS for a name's records, or for the name of an address
#[derive(Debug, Args)]
pub(crate) struct Nslookup {
    /// A name or an address
    pub(crate) name: String,
    /// A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT; without it A and AAAA, or PTR for an address
    #[arg(value_name = "TYPE")]
    pub(crate) kind: Option<wharf::dns::Kind>,
    #[command(flatten)]
    pub(crate) network: Network,
}

pub(super) const HELP: &str = "\
Examples:
  wharf nslookup example.com
      The addresses, IPv4 and IPv6.
  wharf nslookup example.com MX
  wharf nslookup 93.184.216.34
      The name of an address.
  wharf nslookup --dns 9.9.9.9 example.com SOA

Exit status:
  0  there is an answer
  1  the name, or the record, does not exist
  2  the command line makes no sense
  4  the network: no link, no address, no answer";
