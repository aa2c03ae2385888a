//! The options of `wharf nslookup`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use wharf::dns::Kind;

use super::Network;

/// Asks the DNS for a name's records, or for the name of an address
#[derive(Debug, Args)]
pub(crate) struct Nslookup {
    /// A name or an address
    pub(crate) name: String,
    /// A, AAAA, CAA, CNAME, HTTPS, MX, NS, PTR, SOA, SRV or TXT, without it A and AAAA, or PTR for an address; and
    /// @SERVER to ask this one: @ADDRESS, @ADDRESS:PORT, @NAME, or @ADDRESS#NAME where TLS needs to know its name
    #[arg(value_name = "TYPE] [@SERVER", num_args = 0..=2)]
    pub(crate) words: Vec<Word>,
    /// Ask the servers of each zone, from the root down, instead of one that does it for us
    #[arg(long, conflicts_with_all = ["tls", "https"])]
    pub(crate) recursive: bool,
    /// Begin at the root servers in this zone file, with --recursive
    #[arg(long, value_name = "FILE", requires = "recursive")]
    pub(crate) root_hints: Option<PathBuf>,
    /// Accept only an answer that is signed, or proven to be unsigned
    #[arg(long)]
    pub(crate) dnssec: bool,
    /// Trust the keys in this file (DNSKEY or DS records) instead of the root's, with --dnssec
    #[arg(long, value_name = "FILE", requires = "dnssec")]
    pub(crate) anchor: Option<PathBuf>,
    /// Show each question and its answer as they happen, on standard error
    #[arg(long)]
    pub(crate) trace: bool,
    /// Ask over TLS (port 853)
    #[arg(long, conflicts_with = "https")]
    pub(crate) tls: bool,
    /// Ask over HTTPS (port 443, /dns-query)
    #[arg(long)]
    pub(crate) https: bool,
    /// Believe servers whose certificate leads to one in this file, with --tls or --https
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Complete a name of one label with this domain instead of the network's; may be given several times
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) search: Vec<String>,
    /// Look in this table first, in the form of /etc/hosts
    #[arg(long, value_name = "FILE")]
    pub(crate) hosts: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) network: Network,
}

/// What stands behind the name, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Kind(Kind),
    Server(Server),
}

/// A server as it is written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// An address, or a name to look up.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// What its certificate is for.
    pub(crate) name: Option<String>,
}

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix('@') {
            Some(server) => server.parse().map(Self::Server),
            None => text.parse().map(Self::Kind),
        }
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (place, name) = match text.split_once('#') {
            Some((place, name)) if !name.is_empty() => (place, Some(name.to_owned())),
            Some(_) => return Err("@ADDRESS#NAME lacks the name".to_owned()),
            None => (text, None),
        };
        let at = |host: String, port| Ok(Self { host, port, name: name.clone() });
        if let Ok(address) = place.parse::<IpAddr>() {
            return at(address.to_string(), None);
        }
        if let Ok(address) = place.parse::<SocketAddr>() {
            return at(address.ip().to_string(), Some(address.port()));
        }
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| format!("{port:?} is not a port"))?)),
            None => (place, None),
        };
        match host.is_empty() || host.contains([':', '[', ']', '/']) {
            true => Err(format!("{place:?} is neither an address nor a name")),
            false => at(host.to_owned(), port),
        }
    }
}

pub(super) const HELP: &str = "\
Examples:
  wharf nslookup example.com
      The addresses, IPv4 and IPv6.
  wharf nslookup example.com MX
  wharf nslookup 93.184.216.34
      The name of an address.
  wharf nslookup example.com SOA @9.9.9.9
  wharf nslookup example.com @9.9.9.9#dns.quad9.net --tls
      Over TLS, from a server whose certificate is for dns.quad9.net.
  wharf nslookup example.com HTTPS --recursive --dnssec --trace
      From the root down, every step shown and every signature checked.

Exit status:
  0  there is an answer
  1  the name, or the record, does not exist
  2  the command line makes no sense
  3  a file could not be read
  4  the network: no link, no address, no answer
  5  the server's certificate was refused, or the answer is not what the zone's owner signed";

#[cfg(test)]
mod tests {
    use super::{Server, Word};

    #[test]
    fn a_server_is_an_address_or_a_name_with_a_port_and_a_name_for_tls() {
        let server = |host: &str, port, name: Option<&str>| {
            Word::Server(Server { host: host.to_owned(), port, name: name.map(str::to_owned) })
        };
        for (text, expected) in [
            ("@9.9.9.9", server("9.9.9.9", None, None)),
            ("@9.9.9.9:5353", server("9.9.9.9", Some(5353), None)),
            ("@2620:fe::fe", server("2620:fe::fe", None, None)),
            ("@[2620:fe::fe]:853#dns.quad9.net", server("2620:fe::fe", Some(853), Some("dns.quad9.net"))),
            ("@dns.quad9.net:853", server("dns.quad9.net", Some(853), None)),
        ] {
            assert_eq!(text.parse::<Word>(), Ok(expected), "{text}");
        }
        for wrong in ["@", "@9.9.9.9#", "@host:port", "@[::1", "@http://x/", "ANY"] {
            assert!(wrong.parse::<Word>().is_err(), "{wrong}");
        }
    }
}
