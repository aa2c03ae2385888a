//! The user-mode gateway: a network without root and without set-up.
//!
//! A virtual Ethernet segment inside the process. At its near end is whoever owns the [`UserLink`]; at its far end a
//! second engine, the [`Gateway`], whose outside is the host's ordinary sockets:
//!
//! ```text
//!   guest's engine                          gateway's engine (any address)             the host
//!   10.0.2.15   --transmit--> UserLink --> handle_frame -- tcp_flows, udp_flows, echo --> sockets
//!               <--receive---          <-- poll_transmit -- forwards <------------------- sockets
//!                                          10.0.2.2: router, dhcp_server
//!                                          10.0.2.3: dns_forwarder, dns_stream, fixed_names
//! ```
//!
//! `gateway` is the loop, `destinations` the rules, `host` the only file that opens sockets; each kind of flow has a
//! file. A frame crosses the segment by a call, with its checksum vouched for and up to 64 KiB long: nothing is
//! segmented or summed on a way that has no wire.

mod context;
mod deadlines;
mod destinations;
mod dhcp_server;
mod dns_forwarder;
mod dns_message;
mod dns_stream;
mod echo;
mod fixed_names;
mod forward;
mod gateway;
mod host;
mod link;
mod resolvers;
mod table;
mod tcp_flows;
mod tcp_forwards;
#[cfg(test)]
mod tests;
mod udp_flows;
mod udp_forwards;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

pub use fixed_names::{HostError, parse_host};
pub use forward::{Forward, ForwardError, Transport};
pub use gateway::Gateway;
pub use host::raise_descriptor_limit;
pub use link::UserLink;

/// What a gateway offers, besides DHCP, DNS and the way out.
#[derive(Clone, Debug)]
pub struct UserConfig {
    /// Names that the resolver answers by itself, forwards and backwards; see [`parse_host`]. Default none.
    pub hosts: Vec<(String, IpAddr)>,
    /// Ways in. Default none.
    pub forwards: Vec<Forward>,
    /// Whether 10.0.2.2 leads to the host's 127.0.0.1. Default no: a port there is refused.
    pub host_loopback: bool,
    /// Resolvers to ask for what no fixed name answers. Default those of /etc/resolv.conf, followed when it changes.
    pub resolvers: Option<Vec<SocketAddr>>,
    /// The largest IP packet on the segment, in bytes, 576 to 65520. Default 1500.
    pub mtu: u32,
    /// Destinations of the guest's world (left) that lead to another address of the host's (right), loopback
    /// included. Default none.
    pub redirect: Vec<(SocketAddr, SocketAddr)>,
}

impl Default for UserConfig {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            forwards: Vec::new(),
            host_loopback: false,
            resolvers: None,
            mtu: 1_500,
            redirect: Vec::new(),
        }
    }
}

/// Why a gateway cannot be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum UserError {
    /// A fixed name is none.
    Host(HostError),
    /// A way in cannot be opened.
    Forward(Forward, io::Error),
    /// The MTU is out of range.
    Mtu(u32),
    /// The engine does not take the link.
    Link(String),
    /// The host does not give what every gateway needs: an epoll descriptor and random numbers.
    System(io::Error),
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(error) => write!(f, "user-mode gateway: {error}"),
            Self::Forward(forward, error) => {
                write!(f, "user-mode gateway: cannot open the forward {forward}: {error}")?;
                match error.kind() {
                    io::ErrorKind::AddrInUse => f.write_str("; choose another port, or 0 for any"),
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("; ports below 1024 need rights, choose a higher one")
                    }
                    _ => Ok(()),
                }
            }
            Self::Mtu(mtu) => write!(f, "user-mode gateway: an MTU of {mtu} is not between 576 and 65520"),
            Self::Link(error) => write!(f, "user-mode gateway: {error}"),
            Self::System(error) => write!(f, "user-mode gateway: the system refuses a poll descriptor: {error}"),
        }
    }
}

impl std::error::Error for UserError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Host(error) => Some(error),
            Self::Forward(_, error) | Self::System(error) => Some(error),
            Self::Mtu(_) | Self::Link(_) => None,
        }
    }
}

/// What a gateway has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatewayStats {
    /// Turns of the loop. An idle gateway makes none.
    pub turns: u64,
    /// TCP connections through the gateway now.
    pub tcp_flows: u64,
    /// Connections that the guest has asked for.
    pub tcp_attempts: u64,
    /// Of these, refused: by the rules, or as the host was.
    pub tcp_refused: u64,
    /// Connections that came to their end.
    pub tcp_flows_ended: u64,
    /// Connections refused because a table was full or the host had no descriptor left.
    pub refused_for_want_of_room: u64,
    /// Bytes of TCP streams to the guest.
    pub bytes_to_guest: u64,
    /// Bytes of TCP streams from the guest.
    pub bytes_from_guest: u64,
    /// UDP flows now.
    pub udp_flows: u64,
    /// First datagrams that led nowhere.
    pub udp_refused: u64,
    /// UDP flows that made room for others before their time.
    pub udp_flows_evicted: u64,
    /// Datagrams passed on to the guest.
    pub datagrams_to_guest: u64,
    /// Datagrams passed on from the guest.
    pub datagrams_from_guest: u64,
    /// Datagrams for which there was no room on their way.
    pub datagrams_dropped: u64,
    /// Pings that were not passed on: by the rules, or because the host does not allow it.
    pub echo_refused: u64,
    /// Queries that came to the resolver.
    pub dns_queries: u64,
    /// Of these, answered with SERVFAIL because no resolver of the host's answered.
    pub dns_failures: u64,
}
