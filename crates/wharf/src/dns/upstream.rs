//! The servers that look names up for us, and how they are spoken to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig};

/// How a server is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP, and TCP for what does not fit (RFC 7766).
    Plain,
    /// DNS over TLS (RFC 7858), with a server whose certificate is for this name or address.
    Tls {
        /// The name.
        name: String,
    },
    /// DNS over HTTPS (RFC 8484), over HTTP/2.
    Https {
        /// The name that the certificate is for, and that the request is addressed to.
        name: String,
        /// The path of the URL, such as `/dns-query`.
        path: String,
    },
}

/// The path of RFC 8484's own examples, which nearly all servers have.
pub const DOH_PATH: &str = "/dns-query";

impl Transport {
    /// The port of servers that name no other.
    pub fn default_port(&self) -> u16 {
        match self {
            Self::Plain => 53,
            Self::Tls { .. } => 853,
            Self::Https { .. } => 443,
        }
    }
}

/// A server that looks names up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Where it is.
    pub address: SocketAddr,
    /// How it is spoken to.
    pub transport: Transport,
}

impl Upstream {
    /// A server asked in the clear.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, transport: Transport::Plain }
    }

    /// A server asked over TLS that calls itself `name`, or by its address.
    pub fn tls(address: SocketAddr, name: Option<&str>) -> Self {
        Self { address, transport: Transport::Tls { name: name_or_address(name, address.ip()) } }
    }

    /// A server asked over HTTPS at [`DOH_PATH`] that calls itself `name`, or by its address.
    pub fn https(address: SocketAddr, name: Option<&str>) -> Self {
        let name = name_or_address(name, address.ip());
        Self { address, transport: Transport::Https { name, path: DOH_PATH.to_owned() } }
    }

    /// As hickory wants to know it.
    pub(super) fn as_config(&self) -> NameServerConfig {
        let protocols = match &self.transport {
            Transport::Plain => vec![ProtocolConfig::Udp, ProtocolConfig::Tcp],
            Transport::Tls { name } => vec![ProtocolConfig::Tls { server_name: Arc::from(name.as_str()) }],
            Transport::Https { name, path } => {
                vec![ProtocolConfig::Https { server_name: Arc::from(name.as_str()), path: Arc::from(path.as_str()) }]
            }
        };
        let connections = protocols.into_iter().map(|protocol| {
            let mut connection = ConnectionConfig::new(protocol);
            connection.port = self.address.port();
            connection
        });
        NameServerConfig::new(self.address.ip(), true, connections.collect())
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address.port() == self.transport.default_port() {
            true => write!(f, "{}", self.address.ip()),
            false => write!(f, "{}", self.address),
        }?;
        match &self.transport {
            Transport::Plain => Ok(()),
            Transport::Tls { name } => write!(f, " ({name} over TLS)"),
            Transport::Https { name, path } => write!(f, " (https://{name}{path})"),
        }
    }
}

fn name_or_address(name: Option<&str>, address: IpAddr) -> String {
    name.map_or_else(|| address.to_string(), |name| name.trim_end_matches('.').to_owned())
}
