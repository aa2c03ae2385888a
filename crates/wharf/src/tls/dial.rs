//! Connect and handshake in one call.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Connector, TlsStream};
use crate::Net;
use crate::aio::TcpStream;
use crate::dns::Resolver;
use crate::http::{self, Dial, OverNet};

/// A session over a connection of its own.
pub struct Dialed {
    /// The session.
    pub stream: TlsStream<TcpStream>,
    /// The address that answered.
    pub remote: SocketAddr,
}

impl Connector {
    /// A session with `port` of `host` (a name, or an address without brackets): the name looked up by `resolver`,
    /// the connection made on `net`, and the handshake, each within `timeout`.
    ///
    /// # Errors
    /// Those of a connection made for HTTP, each naming the layer that failed.
    pub async fn dial(
        &self,
        net: &Net,
        resolver: &Resolver,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<Dialed, http::Error> {
        let dial = OverNet::new(net.clone(), resolver.clone());
        let http::Dialed { stream, remote, .. } = dial.dial(host, port, timeout).await?;
        let stream = self.connect(host, stream, timeout).await?;
        Ok(Dialed { stream, remote })
    }
}
