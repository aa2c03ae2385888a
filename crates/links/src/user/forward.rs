//! How a way in is written: `tcp:HOSTPORT:GUESTPORT`, `udp:HOSTADDRESS:HOSTPORT:GUESTPORT`. The ways themselves are
//! opened by [`tcp_forwards`](super::tcp_forwards) and [`udp_forwards`](super::udp_forwards).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// What a forward carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A way from the host to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// What it carries.
    pub transport: Transport,
    /// Where the host listens; port 0 lets the host choose.
    pub host: SocketAddr,
    /// The guest's port that it leads to.
    pub guest_port: u16,
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        write!(f, "{transport}:{}:{}", self.host, self.guest_port)
    }
}

/// Why a forward was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardError {
    text: String,
    reason: &'static str,
}

impl fmt::Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, reason } = self;
        write!(f, "forward `{text}`: {reason}; it is written tcp:HOSTPORT:GUESTPORT or udp:ADDRESS:HOSTPORT:GUESTPORT")
    }
}

impl std::error::Error for ForwardError {}

impl FromStr for Forward {
    type Err = ForwardError;

    fn from_str(text: &str) -> Result<Self, ForwardError> {
        let fail = |reason| ForwardError { text: text.to_owned(), reason };
        let (transport, rest) = text.split_once(':').ok_or_else(|| fail("there is no colon in it"))?;
        let transport = match transport {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            _ => return Err(fail("it begins neither with tcp: nor with udp:")),
        };
        let (host, guest) = rest.rsplit_once(':').ok_or_else(|| fail("the guest's port is missing"))?;
        let guest_port = guest.parse().map_err(|_| fail("the guest's port is no number up to 65535"))?;
        if guest_port == 0 {
            return Err(fail("the guest's port is 0"));
        }
        let host = if host.contains(':') {
            host.parse().map_err(|_| fail("the host's address and port cannot be read"))?
        } else {
            let port = host.parse().map_err(|_| fail("the host's port is no number up to 65535"))?;
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
        };
        Ok(Self { transport, host, guest_port })
    }
}
