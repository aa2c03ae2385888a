//! The link and what is configured on it: options that every command takes.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use wharf::Cidr;
use wharf::links::spec::LinkSpec;
use wharf::links::user::Forward;

use super::seconds;

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

fn dns_server(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(SocketAddr::new(address, 53)),
        Err(_) => text.parse().map_err(|_| "neither an address nor ADDRESS:PORT".to_owned()),
    }
}
