//! The client's side: what it offers and believes, and its handshakes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncRead, AsyncWrite};

use super::verify::{Verifier, watched};
use super::{Error, Identity, KeyLog, TlsStream, Trust, Versions, provider};

/// Sessions remembered for resumption unless the caller says otherwise. Each is a few hundred bytes and the server's
/// certificates.
const SESSIONS: usize = 256;

/// Makes TLS sessions over streams that are already connected.
///
/// Cloning is cheap and shares the store of session tickets, so that a second session with the same server
/// resumes the first.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    trust: Arc<Trust>,
}

/// Makes a [`Connector`].
#[must_use]
#[derive(Debug)]
pub struct ConnectorBuilder {
    trust: Trust,
    alpn: Vec<Vec<u8>>,
    identity: Option<Identity>,
    versions: Versions,
    key_log: Option<KeyLog>,
    sessions: usize,
}

/// What became of data sent before the handshake was done (RFC 8446 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyData {
    /// There was no session to resume, or its server takes no early data or not so much: nothing was sent.
    NotOffered,
    /// The server has it.
    Accepted,
    /// The server threw it away: it has to be sent again.
    Rejected,
}

/// A handshake looked at: its outcome, and the certificates that were shown, believed or not.
pub struct Examined<IO> {
    /// The session, or why there is none.
    pub outcome: Result<TlsStream<IO>, Error>,
    /// The certificates that the server showed, each in DER, its own first. Empty when it showed none.
    pub chain: Vec<Vec<u8>>,
}

impl ConnectorBuilder {
    /// Offers these application protocols (RFC 7301), the preferred one first.
    pub fn alpn(mut self, names: &[&str]) -> Self {
        self.alpn = wire_names(names);
        self
    }

    /// Shows this certificate to a server that asks for one.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Speaks these versions alone.
    pub fn versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    /// Writes every session's secrets to this log, for those who look at captures. Whoever has the log reads along.
    pub fn key_log(mut self, log: KeyLog) -> Self {
        self.key_log = Some(log);
        self
    }

    /// Remembers at most so many sessions for resumption, 0 for none. Each server counts as eight.
    pub fn sessions(mut self, count: usize) -> Self {
        self.sessions = count;
        self
    }

    /// The connector.
    ///
    /// # Errors
    /// [`Error::Authorities`] when the certificate authorities cannot be had.
    pub fn build(self) -> Result<Connector, Error> {
        let Self { trust, alpn, identity, versions, key_log, sessions } = self;
        let verifier = Verifier::new(&trust)?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions.supported())
            .map_err(|error| Error::Unavailable(error.to_string()))?
            .dangerous()
            // `Verifier` believes nothing that `trust` does not.
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certified = identity.certified();
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        config.alpn_protocols = alpn;
        config.resumption = match sessions {
            0 => Resumption::disabled(),
            count => Resumption::in_memory_sessions(count),
        };
        if let Some(log) = key_log {
            config.key_log = Arc::new(log);
        }
        Ok(Connector { config: Arc::new(config), trust: Arc::new(trust) })
    }
}

impl Connector {
    /// A connector that trusts `trust` and offers the application protocols of `alpn`, the preferred one first.
    ///
    /// # Errors
    /// [`Error::Authorities`] when the file of certificate authorities cannot be read or holds no certificate.
    pub fn new(trust: Trust, alpn: &[&str]) -> Result<Self, Error> {
        Self::builder(trust).alpn(alpn).build()
    }

    /// Begins the making of a connector that trusts `trust`.
    pub fn builder(trust: Trust) -> ConnectorBuilder {
        ConnectorBuilder {
            trust,
            alpn: Vec::new(),
            identity: None,
            versions: Versions::default(),
            key_log: None,
            sessions: SESSIONS,
        }
    }

    /// The same connector, offering other application protocols. Both share what they remember of sessions.
    #[must_use]
    pub fn with_alpn(&self, alpn: &[&str]) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = wire_names(alpn);
        Self { config: Arc::new(config), trust: self.trust.clone() }
    }

    /// Whom it believes.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The same as rustls has it, for protocols that make their own handshakes, as QUIC does.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
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
        self.examine(name, stream, timeout).await.outcome
    }

    /// As [`connect`](Self::connect), with what the server showed: also where that is why there is no session.
    pub async fn examine<IO>(&self, name: &str, stream: IO, timeout: Duration) -> Examined<IO>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        self.handshake(&self.config, name, stream, timeout, |_| {}).await
    }

    /// As [`connect`](Self::connect); where a session is resumed whose server allows it, `early` travels with the
    /// first packet, before the server has answered (0-RTT).
    ///
    /// Whoever copies that packet can send it again, and the server may act twice: `early` must be a request that
    /// changes nothing, such as a GET (RFC 8446 section 8, RFC 8470). Unless the answer is
    /// [`EarlyData::Accepted`], the caller sends it over the stream as usual.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_early<IO>(
        &self,
        name: &str,
        stream: IO,
        early: &[u8],
        timeout: Duration,
    ) -> Result<(TlsStream<IO>, EarlyData), Error>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = ClientConfig::clone(&self.config);
        config.enable_early_data = true;
        let mut offered = false;
        let write = |session: &mut ClientConnection| {
            if let Some(mut channel) = session.early_data()
                && channel.bytes_left() >= early.len()
            {
                // It takes what it has room for, and it has.
                offered = std::io::Write::write_all(&mut channel, early).is_ok();
            }
        };
        let stream = self.handshake(&Arc::new(config), name, stream, timeout, write).await.outcome?;
        let fate = match offered {
            false => EarlyData::NotOffered,
            true if stream.get_ref().1.is_early_data_accepted() => EarlyData::Accepted,
            true => EarlyData::Rejected,
        };
        Ok((stream, fate))
    }

    async fn handshake<IO>(
        &self,
        config: &Arc<ClientConfig>,
        name: &str,
        stream: IO,
        timeout: Duration,
        prepare: impl FnOnce(&mut ClientConnection),
    ) -> Examined<IO>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let Ok(server_name) = ServerName::try_from(name.trim_end_matches('.').to_owned()) else {
            return Examined { outcome: Err(Error::InvalidName(name.to_owned())), chain: Vec::new() };
        };
        let connector = tokio_rustls::TlsConnector::from(config.clone());
        let handshake = connector.connect_with(server_name, stream, prepare);
        let (outcome, refused) = watched(tokio::time::timeout(timeout, handshake)).await;
        let outcome = match outcome {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Error::from_handshake(name, &self.trust, &refused, error)),
            Err(_) => Err(Error::TimedOut { name: name.to_owned(), after: timeout }),
        };
        let chain = match &outcome {
            Ok(stream) => in_der(stream.get_ref().1.peer_certificates().unwrap_or_default()),
            Err(_) => in_der(&refused),
        };
        Examined { outcome, chain }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("trust", &self.trust).finish_non_exhaustive()
    }
}

fn in_der(chain: &[CertificateDer<'_>]) -> Vec<Vec<u8>> {
    chain.iter().map(|certificate| certificate.to_vec()).collect()
}

pub(super) fn wire_names(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}
