//! The server's side: who it is, whom it lets in, and its handshakes.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connector::wire_names;
use super::{Error, Identity, KeyLog, ServerStream, Trust, Versions, provider};

/// Sessions that a server without tickets remembers.
const SESSIONS: usize = 1024;

/// Who may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Clients {
    /// Anyone; no certificate is asked for.
    #[default]
    Anyone,
    /// Anyone; but who shows a certificate has one that these authorities signed.
    Asked(Trust),
    /// Those with a certificate that these authorities signed.
    Known(Trust),
}

/// Makes the server's end of TLS sessions over streams that are already connected. Cloning is cheap.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    trust: Arc<Trust>,
}

/// Makes an [`Acceptor`].
#[must_use]
#[derive(Debug)]
pub struct AcceptorBuilder {
    identity: Identity,
    alpn: Vec<Vec<u8>>,
    clients: Clients,
    versions: Versions,
    key_log: Option<KeyLog>,
    resumption: bool,
    early_data: u32,
}

/// A session that a client began.
pub struct Accepted<IO> {
    /// The session.
    pub stream: ServerStream<IO>,
    /// What came before the handshake was done, where [`AcceptorBuilder::early_data`] allows it; it comes before what
    /// the stream brings. It may be a copy of an earlier request: act on it only if acting twice does no harm.
    pub early: Vec<u8>,
}

impl AcceptorBuilder {
    /// Speaks these application protocols (RFC 7301), the preferred one first.
    pub fn alpn(mut self, names: &[&str]) -> Self {
        self.alpn = wire_names(names);
        self
    }

    /// Lets these clients in, instead of anyone.
    pub fn clients(mut self, clients: Clients) -> Self {
        self.clients = clients;
        self
    }

    /// Speaks these versions alone.
    pub fn versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    /// Writes every session's secrets to this log.
    pub fn key_log(mut self, log: KeyLog) -> Self {
        self.key_log = Some(log);
        self
    }

    /// Whether sessions can be resumed, which they can unless this says otherwise: by tickets whose keys change
    /// every six hours.
    pub fn resumption(mut self, allowed: bool) -> Self {
        self.resumption = allowed;
        self
    }

    /// Takes up to so many bytes before the handshake is done, from clients that resume a session. The sessions are
    /// then remembered here and resumed once each, which is what keeps a copied packet from counting twice.
    pub fn early_data(mut self, bytes: u32) -> Self {
        self.early_data = bytes;
        self
    }

    /// The acceptor.
    ///
    /// # Errors
    /// [`Error::Authorities`] when the authorities of the clients cannot be had.
    pub fn build(self) -> Result<Acceptor, Error> {
        let Self { identity, alpn, clients, versions, key_log, resumption, early_data } = self;
        let unavailable = |error: &dyn fmt::Display| Error::Unavailable(error.to_string());
        let (trust, required) = match clients {
            Clients::Anyone => (None, false),
            Clients::Asked(trust) => (Some(trust), false),
            Clients::Known(trust) => (Some(trust), true),
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions.supported())
            .map_err(|error| unavailable(&error))?;
        let builder = match &trust {
            None => builder.with_no_client_auth(),
            Some(trust) => {
                let roots = trust.roots()?.ok_or_else(|| {
                    Error::Unavailable("clients cannot be told apart by a certificate that may be anyone's".to_owned())
                })?;
                let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                if !required {
                    verifier = verifier.allow_unauthenticated();
                }
                builder.with_client_cert_verifier(verifier.build().map_err(|error| unavailable(&error))?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
        config.alpn_protocols = alpn;
        config.max_early_data_size = early_data;
        match (resumption, early_data) {
            (false, _) => {
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            }
            (true, 0) => config.ticketer = Ticketer::new().map_err(|error| unavailable(&error))?,
            // A ticket that holds the session itself could be used twice.
            (true, _) => config.session_storage = ServerSessionMemoryCache::new(SESSIONS),
        }
        if let Some(log) = key_log {
            config.key_log = Arc::new(log);
        }
        Ok(Acceptor { config: Arc::new(config), trust: Arc::new(trust.unwrap_or_default()) })
    }
}

impl Acceptor {
    /// An acceptor that shows `identity` to anyone and speaks the application protocols of `alpn`.
    ///
    /// # Errors
    /// As [`AcceptorBuilder::build`].
    pub fn new(identity: Identity, alpn: &[&str]) -> Result<Self, Error> {
        Self::builder(identity).alpn(alpn).build()
    }

    /// Begins the making of an acceptor that shows `identity`.
    pub fn builder(identity: Identity) -> AcceptorBuilder {
        AcceptorBuilder {
            identity,
            alpn: Vec::new(),
            clients: Clients::default(),
            versions: Versions::default(),
            key_log: None,
            resumption: true,
            early_data: 0,
        }
    }

    /// The handshake with the client at the other end of `stream`, within `timeout`.
    ///
    /// # Errors
    /// [`Error`] says which side is at fault and why; the stream is closed then.
    pub async fn accept<IO>(&self, stream: IO, timeout: Duration) -> Result<Accepted<IO>, Error>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = tokio_rustls::TlsAcceptor::from(self.config.clone()).accept(stream);
        let mut stream = match tokio::time::timeout(timeout, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Error::from_client(&self.trust, error)),
            Err(_) => return Err(Error::TimedOut { name: "the client".to_owned(), after: timeout }),
        };
        let mut early = Vec::new();
        if let Some(mut data) = stream.get_mut().1.early_data() {
            // No more than the session's limit was taken in.
            data.read_to_end(&mut early).map_err(|error| Error::from_client(&self.trust, error))?;
        }
        Ok(Accepted { stream, early })
    }

    /// The same as rustls has it, for protocols that make their own handshakes, as QUIC does.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}
