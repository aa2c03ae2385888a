//! DHCP client for IPv4 (RFC 2131).
//!
//! ```text
//!  INIT -> SELECTING -> REQUESTING -> checking (RFC 5227) -> BOUND <-> RENEWING -> REBINDING -> (lease ends) INIT
//!                                         | conflict           | link came back
//!                                         v                    v
//!                                 DECLINE, 10 s, INIT       REBOOTING -> BOUND, or INIT after a NAK
//! ```
//!
//! `client` is the state machine, `message` what it says, `timing` its clocks, `apply` what a lease changes in the
//! network. [`Stack`](crate::Stack) passes on datagrams to port 68, its timer, and what becomes of the address.

mod apply;
mod client;
mod message;
mod search;
mod timing;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv4Addr;
use core::time::Duration;

use wire::cidr::Cidr;

pub(crate) use client::Client;

/// What a DHCP server granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address with its subnet.
    pub address: Cidr,
    /// Default gateways, the preferred one first.
    pub routers: Vec<Ipv4Addr>,
    /// Name servers, the preferred one first.
    pub dns_servers: Vec<Ipv4Addr>,
    /// The domain that short names are completed with.
    pub domain: Option<String>,
    /// The domains that short names are completed with, the first of them first (RFC 3397); where there are any, they
    /// stand in place of `domain`.
    pub search: Vec<String>,
    /// The link's MTU, where the server tells one.
    pub mtu: Option<u16>,
    /// The server that granted it.
    pub server: Ipv4Addr,
    /// How long it holds, counted from the request; `Duration::MAX` for ever.
    pub duration: Duration,
}

/// How the client introduces itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DhcpConfig {
    /// The name that the server may register (option 12).
    pub hostname: Option<String>,
    /// Who we are (option 61); `None` for the hardware address.
    pub client_id: Option<Vec<u8>>,
    /// Ask the server to answer by broadcast: only for links that lose unicast frames to an address not yet in use.
    pub broadcast: bool,
}

/// Why the client did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhcpError {
    /// There is no such interface, or it is the loopback.
    NoInterface,
    /// It runs already.
    Running,
    /// The host's name is empty or longer than 255 bytes.
    Hostname,
    /// The client's identifier is shorter than 2 bytes or longer than 255.
    ClientId,
}

impl fmt::Display for DhcpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoInterface => "there is no such interface",
            Self::Running => "the DHCP client runs already",
            Self::Hostname => "a host name has 1 to 255 bytes",
            Self::ClientId => "a client identifier has 2 to 255 bytes",
        })
    }
}

impl core::error::Error for DhcpError {}
