//! TLS over any stream: rustls 0.23 with the aws-lc-rs provider, which offers the post-quantum hybrid key
//! exchange first. TLS 1.3 (RFC 8446) and 1.2 (RFC 5246), certificates checked by RFC 5280 and names by
//! RFC 6125 against the Mozilla roots or a file of the caller's.
//!
//! `http` calls this for https URLs; a program may call it with a stream of its own.

mod date;
mod error;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};

pub use error::Error;
pub use tokio_rustls::client::TlsStream;
pub use trust::Trust;

/// Makes TLS sessions over streams that are already connected.
///
/// Cloning is cheap and shares the store of session tickets, so that a second session with the same server
/// resumes the first.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    trust: Arc<Trust>,
}

/// What a handshake agreed on, for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The protocol's version: `TLS 1.3` or `TLS 1.2`.
    pub version: &'static str,
    /// The cipher suite, by its IANA name.
    pub cipher_suite: String,
    /// The key exchange, such as `X25519MLKEM768`; `None` for a session that was resumed without one.
    pub key_exchange: Option<String>,
    /// The application protocol that ALPN chose (RFC 7301), if both sides named one.
    pub application: Option<String>,
}

impl Connector {
    /// A connector that trusts `trust` and offers the application protocols of `alpn`, the preferred one first.
    ///
    /// # Errors
    /// [`Error::Authorities`] when the file of certificate authorities cannot be read or holds no certificate.
    pub fn new(trust: Trust, alpn: &[&str]) -> Result<Self, Error> {
        let roots = trust.roots()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Unavailable(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Self { config: Arc::new(config), trust: Arc::new(trust) })
    }

    /// The handshake with the server that calls itself `name` (a DNS name or an address) over `stream`, within
    /// `timeout`.
    ///
    /// # Errors
    /// [`Error`] says which side is at fault and why; the stream is closed then.
    pub async fn connect<IO>(&self, name: &str, stream: IO, timeout: Duration) -> Result<TlsStream<IO>, Error>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let server_name = ServerName::try_from(name.trim_end_matches('.').to_owned())
            .map_err(|_| Error::InvalidName(name.to_owned()))?;
        let connector = tokio_rustls::TlsConnector::from(self.config.clone());
        match tokio::time::timeout(timeout, connector.connect(server_name, stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Error::from_handshake(name, &self.trust, error)),
            Err(_) => Err(Error::TimedOut { name: name.to_owned(), after: timeout }),
        }
    }
}

impl Agreed {
    /// What the handshake of `stream` agreed on.
    pub fn of<IO>(stream: &TlsStream<IO>) -> Self {
        let session = stream.get_ref().1;
        Self {
            version: match session.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
                _ => "TLS 1.3",
            },
            cipher_suite: session
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or("unknown")
                .to_owned(),
            key_exchange: session
                .negotiated_key_exchange_group()
                .and_then(|group| group.name().as_str())
                .map(str::to_owned),
            application: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
