//! The command line: what can be asked, and the help that says so.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use wharf::Cidr;
use wharf::links::spec::LinkSpec;
use wharf::links::user::Forward;

use crate::exit;

/// A network stack in your process: an address, a name and a page, without the kernel's.
///
/// Every command brings up a network of its own: Ethernet, ARP, IPv4, DHCP, DNS, TCP and TLS are Wharf's, from
/// the link to the page. The default link needs no privilege and no set-up.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, after_help = format!("{TOP_HELP}\n\n{}", exit::HELP), propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(after_help = BRING_UP_HELP)]
    BringUp(BringUp),
    #[command(after_help = WGET_HELP)]
    Wget(Wget),
    #[command(after_help = PING_HELP)]
    Ping(Ping),
    #[command(after_help = NSLOOKUP_HELP)]
    Nslookup(Nslookup),
}

const TOP_HELP: &str = "\
Examples:
  wharf bring-up
  wharf wget https://example.com/
  wharf ping -c 3 example.com
  wharf nslookup example.com MX
  wharf help wget";

const BRING_UP_HELP: &str = "\
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

const WGET_HELP: &str = "\
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

const PING_HELP: &str = "\
Examples:
  wharf ping -c 3 10.0.2.2
  wharf ping -c 1 --json example.com

Exit status:
  0  at least one reply came
  1  none came
  2  the command line makes no sense
  4  the network: no link, no address, no such name";

const NSLOOKUP_HELP: &str = "\
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

/// The link and what is configured on it, the same for every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Network options")]
pub(crate) struct Network {
    /// user (a network inside this process, over the host's sockets), tap:NAME (a TAP device), or fd:N (an open
    /// TAP device or datagram socket)
    #[arg(long, value_name = "LINK", default_value = "user")]
    pub(crate) link: LinkSpec,
    /// On tap:NAME, use so many of its queues, with an engine and a thread for each (ip tuntap add ... multi_queue)
    #[arg(long, value_name = "N", conflicts_with = "capture", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) queues: Option<u16>,
    /// This address, such as 192.168.7.2/24, instead of DHCP
    #[arg(long, value_name = "A/L")]
    pub(crate) address: Option<Cidr>,
    /// The way out of the subnet, with --address
    #[arg(long, value_name = "G", requires = "address")]
    pub(crate) gateway: Option<IpAddr>,
    /// Ask this DNS server, ADDRESS or ADDRESS:PORT, instead of the network's; may be given several times
    #[arg(long, value_name = "D", value_delimiter = ',', value_parser = dns_server)]
    pub(crate) dns: Vec<SocketAddr>,
    /// Record every frame in this pcapng file
    #[arg(long, value_name = "FILE")]
    pub(crate) capture: Option<PathBuf>,
    /// On the user link, this name leads to this address; may be given several times
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = wharf::links::user::parse_host)]
    pub(crate) host: Vec<(String, IpAddr)>,
    /// On the user link, let the host in: a port of its loopback leads to one of ours
    #[arg(long, value_name = "tcp:HOSTPORT:GUESTPORT")]
    pub(crate) forward: Vec<Forward>,
    /// On the user link, 10.0.2.2 leads to the host's loopback
    #[arg(long)]
    pub(crate) host_loopback: bool,
    /// Largest packet on the user link or on fd:N, in bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) mtu: Option<u16>,
    /// Report in JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Patience for each step: a name, a connection, the next bytes (10 s or more for an address)
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(seconds > 0.0 && seconds <= 1e9) {
        return Err("it must be more than 0 and at most 1000000000 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn dns_server(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(SocketAddr::new(address, 53)),
        Err(_) => text.parse().map_err(|_| "neither an address nor ADDRESS:PORT".to_owned()),
    }
}

#[cfg(test)]
mod tests;
