//! TLS over any stream: rustls 0.23 with the aws-lc-rs provider, which offers the post-quantum hybrid key
//! exchange first. TLS 1.3 (RFC 8446) and 1.2 (RFC 5246), certificates checked by RFC 5280 and names by
//! RFC 6125 against the Mozilla roots, the system's, or a file of the caller's.
//!
//! `http` and `ws` call [`Connector`] for https and wss; a program may call it with a stream of its own, or have
//! [`Connector::dial`] make the connection too. [`Acceptor`] is the server's side.
//!
//! ```
//! use std::time::Duration;
//! use wharf::tls::{Connector, Trust, Versions};
//!
//! # fn main() -> Result<(), wharf::tls::Error> {
//! let connector = Connector::builder(Trust::Mozilla).alpn(&["h2", "http/1.1"]).versions(Versions::Tls13).build()?;
//! // let stream = connector.connect("example.com", tcp, Duration::from_secs(10)).await?;
//! # let _ = (connector, Duration::ZERO);
//! # Ok(())
//! # }
//! ```

mod acceptor;
mod agreed;
mod certificate;
mod connector;
#[cfg(feature = "http")]
mod dial;
mod error;
mod identity;
mod idle;
mod key_log;
mod settle;
mod trust;
mod verify;

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;

pub use crate::date::Date;
pub use acceptor::{Accepted, Acceptor, AcceptorBuilder, Clients};
pub use agreed::Agreed;
pub use certificate::Certificate;
pub use connector::{Connector, ConnectorBuilder, EarlyData, Examined};
#[cfg(feature = "http")]
pub use dial::Dialed;
pub use error::Error;
pub use identity::Identity;
pub use idle::IdleLimit;
pub use key_log::KeyLog;
pub use settle::{Settled, settle};
pub use tokio_rustls::client::TlsStream;
pub use tokio_rustls::server::TlsStream as ServerStream;
pub use trust::Trust;

/// Which versions of the protocol are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.3, and 1.2 with those who know no better.
    #[default]
    Both,
    /// TLS 1.3 alone.
    Tls13,
    /// TLS 1.2 alone.
    Tls12,
}

impl Versions {
    fn supported(self) -> &'static [&'static SupportedProtocolVersion] {
        static TLS13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
        static TLS12: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
        match self {
            Self::Both => rustls::ALL_VERSIONS,
            Self::Tls13 => &TLS13,
            Self::Tls12 => &TLS12,
        }
    }
}

/// The cryptography of every session. It is chosen here and not by the process, which may have a default of its own.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests;
