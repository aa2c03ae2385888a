//! From the host of a URL to a connected stream: names, addresses, TCP. TLS is put on top by `client`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use url::{Host, Url};

use super::{Error, h3};
use crate::Net;
use crate::aio::{TcpStream, UdpSocket};
use crate::connect::{self, Connected, Failed, connect};
use crate::dns::Resolver;

/// The host and port that `url` leads to, the host as [`Dial::dial`] takes it; `None` where it names none.
pub(crate) fn destination(url: &Url) -> Option<(String, u16)> {
    Some((host(url)?, url.port_or_known_default()?))
}

/// The host of `url`, a name or an address without brackets.
pub(super) fn host(url: &Url) -> Option<String> {
    Some(match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    })
}

/// A stream that is connected, and to what.
pub struct Dialed<S> {
    /// The stream.
    pub stream: S,
    /// The address that answered.
    pub remote: SocketAddr,
    /// How much of the time went to finding the name's addresses.
    pub name: Duration,
}

/// A connection that is being made.
pub type Dialing<'a, S> = Pin<Box<dyn Future<Output = Result<Dialed<S>, Error>> + Send + 'a>>;

/// Addresses that are being looked up.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, Error>> + Send + 'a>>;

/// A datagram socket that is being bound.
pub type Binding<'a> = Pin<Box<dyn Future<Output = io::Result<UdpSocket>> + Send + 'a>>;

/// Makes the connections of a client: over a [`Net`] in ordinary use, over anything in a program that has streams
/// of its own.
pub trait Dial: Send + Sync + 'static {
    /// What a connection reads and writes.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// A connection to `port` of `host` (a name, or an address without brackets), to whichever of its addresses
    /// answers first, within `timeout`.
    fn dial<'a>(&'a self, host: &'a str, port: u16, timeout: Duration) -> Dialing<'a, Self::Stream>;

    /// The addresses of `host`, at least one. As it stands it knows none but those that are written as such.
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        Box::pin(async move { host.parse().map(|address| vec![address]).map_err(|_| no_address(host, 0)) })
    }

    /// A datagram socket on a port of its own from which `remote` can be reached, for HTTP/3. As it stands there is
    /// none, and HTTP/3 is not spoken.
    fn bind(&self, remote: SocketAddr) -> Binding<'_> {
        let _ = remote;
        Box::pin(async { Err(io::Error::new(io::ErrorKind::Unsupported, "this client has no datagram sockets")) })
    }
}

/// Dials over Wharf's own sockets, asking Wharf's resolver for names.
#[derive(Clone)]
pub struct OverNet {
    net: Net,
    resolver: Resolver,
}

impl OverNet {
    /// Dials on `net`, with names from `resolver`.
    pub fn new(net: Net, resolver: Resolver) -> Self {
        Self { net, resolver }
    }
}

impl Dial for OverNet {
    type Stream = TcpStream;

    fn dial<'a>(&'a self, host: &'a str, port: u16, timeout: Duration) -> Dialing<'a, TcpStream> {
        Box::pin(async move {
            match connect(&self.net, &self.resolver, host, port, timeout).await {
                Ok(Connected { stream, remote, name }) => Ok(Dialed { stream, remote, name }),
                Err(connect::Error::Name(error)) => Err(error.into()),
                Err(connect::Error::Failed { host, failed }) => Err(match failed {
                    Failed::Refused { address, source } => Error::Connect { host, address, source },
                    Failed::TimedOut { address } => Error::ConnectTimedOut { host, address, after: timeout },
                    Failed::NoAddress => no_address(&host, port),
                }),
            }
        })
    }

    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        Box::pin(async move { Ok(self.resolver.addresses(host).await?) })
    }

    fn bind(&self, remote: SocketAddr) -> Binding<'_> {
        Box::pin(async move {
            let any: IpAddr = if remote.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            UdpSocket::bind_with(&self.net, (any, 0), &h3::socket_options()).await
        })
    }
}

fn no_address(host: &str, port: u16) -> Error {
    Error::Connect {
        host: host.to_owned(),
        address: SocketAddr::from(([0, 0, 0, 0], port)),
        source: io::Error::other("the name has no address"),
    }
}
