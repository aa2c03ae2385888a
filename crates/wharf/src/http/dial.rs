//! From the host of a URL to a connected stream: names, addresses, TCP. TLS is put on top by `client`.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Error;
use crate::Net;
use crate::aio::TcpStream;
use crate::dns::Resolver;

/// A stream that is connected, and to what.
pub struct Dialed<S> {
    /// The stream.
    pub stream: S,
    /// The address that answered.
    pub remote: SocketAddr,
}

/// A connection that is being made.
pub type Dialing<'a, S> = Pin<Box<dyn Future<Output = Result<Dialed<S>, Error>> + Send + 'a>>;

/// Makes the connections of a client: over a [`Net`] in ordinary use, over anything in a program that has streams
/// of its own.
pub trait Dial: Send + Sync + 'static {
    /// What a connection reads and writes.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// A connection to `port` of `host` (a name, or an address without brackets), each step within `timeout`.
    fn dial<'a>(&'a self, host: &'a str, port: u16, timeout: Duration) -> Dialing<'a, Self::Stream>;
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
            let addresses = self.resolver.addresses(host).await?;
            let mut last = None;
            for address in addresses {
                let address = SocketAddr::new(address, port);
                let failed = |source| Error::Connect { host: host.to_owned(), address, source };
                match tokio::time::timeout(timeout, TcpStream::connect(&self.net, address)).await {
                    Ok(Ok(stream)) => {
                        // Requests are written whole, so that Nagle's algorithm could only delay them.
                        stream.set_nodelay(true).map_err(failed)?;
                        return Ok(Dialed { stream, remote: address });
                    }
                    Ok(Err(source)) => last = Some(failed(source)),
                    Err(_) => {
                        last = Some(Error::ConnectTimedOut { host: host.to_owned(), address, after: timeout });
                    }
                }
            }
            Err(last.unwrap_or_else(|| Error::Connect {
                host: host.to_owned(),
                address: SocketAddr::from(([0, 0, 0, 0], port)),
                source: io::Error::other("the name has no address"),
            }))
        })
    }
}
