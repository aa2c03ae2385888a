//! The client: dial, handshake, exchange, and the chain of redirects.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Response as ResponseHead, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use url::Url;

use super::body::{Body, Limits};
use super::cache::{Cache, CacheUse};
use super::coding::DecodingBounds;
use super::cookies::Cookies;
use super::dial::{Dial, OverNet};
use super::error::Error;
use super::exchange::announced;
use super::h1;
use super::h3::Quic;
use super::head::{Reader, authority, expects_continue};
use super::keeping::{Kept, Sending, Sent};
use super::pool::Pool;
use super::proxy::Proxies;
use super::redirect::{self, MAX_REDIRECTS};
use super::request::Request;
use super::timing::Timing;
use crate::Net;
use crate::dns::Resolver;
use crate::tls::{self, Agreed, Trust};

/// How long a request may take, part by part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to one address, and for the TLS handshake on it.
    pub connect: Duration,
    /// From the request sent to the head of the response.
    pub first_byte: Duration,
    /// Between two pieces of the body.
    pub idle: Duration,
    /// For everything, redirects and body included; `None` for no limit.
    pub whole: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let patience = Duration::from_secs(30);
        Self { connect: patience, first_byte: patience, idle: patience, whole: None }
    }
}

impl Timeouts {
    /// The same patience for every step, and none for the whole.
    pub fn each(patience: Duration) -> Self {
        Self { connect: patience, first_byte: patience, idle: patience, whole: None }
    }
}

/// A response whose body is still to be read.
pub struct Response {
    /// Where it came from in the end, after redirects.
    pub url: Url,
    /// The status.
    pub status: StatusCode,
    /// The version of the protocol that the server answered in.
    pub version: Version,
    /// The header fields.
    pub headers: HeaderMap,
    /// The address that answered; `None` over a stream of the caller's ([`send_over`]).
    pub remote: Option<SocketAddr>,
    /// What TLS agreed on; `None` for http, over a stream of the caller's, and for HTTP/3, where it is always TLS 1.3.
    pub tls: Option<Agreed>,
    /// The URLs that redirected here, in order.
    pub redirects: Vec<Url>,
    /// How long its steps took.
    pub timing: Timing,
    /// How it came out of the client's cache; `None` when it came from the server.
    pub from_cache: Option<CacheUse>,
    /// The body.
    pub body: Body,
}

/// Which versions of HTTP a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// For https what ALPN agrees on, HTTP/2 before HTTP/1.1, and HTTP/3 where an origin has said that it speaks it
    /// (RFC 7838) and UDP gets through; for http HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone: for https by ALPN, for http by prior knowledge (RFC 9113 section 3.3).
    Http2,
    /// HTTP/3 alone, and so https alone.
    Http3,
}

/// An HTTP client. Cloning is cheap; clones share their connections. It must run inside a tokio runtime with its
/// timers on (the reactor is not needed).
///
/// To one origin it keeps at most [`MAX_CONNECTIONS`](super::MAX_CONNECTIONS) connections of HTTP/1.1, or one of
/// HTTP/2 or HTTP/3; requests beyond what these carry wait in line.
pub struct Client<D = OverNet> {
    pub(super) dial: Arc<D>,
    pub(super) tls: tls::Connector,
    pub(super) timeouts: Timeouts,
    pub(super) versions: Versions,
    /// Requests may go out before the handshake is done.
    pub(super) early: bool,
    pub(super) proxies: Arc<Proxies>,
    pub(super) pool: Arc<Pool>,
    pub(super) quic: Arc<Quic>,
    kept: Kept,
}

impl<D> Clone for Client<D> {
    fn clone(&self) -> Self {
        Self {
            dial: Arc::clone(&self.dial),
            tls: self.tls.clone(),
            timeouts: self.timeouts,
            versions: self.versions,
            early: self.early,
            proxies: Arc::clone(&self.proxies),
            pool: Arc::clone(&self.pool),
            quic: Arc::clone(&self.quic),
            kept: self.kept.clone(),
        }
    }
}

/// When everything must be done, and how long that was from the beginning.
pub(super) type Whole = Option<(Instant, Duration)>;

impl Client<OverNet> {
    /// A client on `net` that believes `trust`, with the resolver that the net's configuration names.
    ///
    /// # Errors
    /// [`Error::Tls`] when the authorities to trust cannot be read.
    pub fn new(net: Net, trust: Trust) -> Result<Self, Error> {
        let resolver = Resolver::new(&net);
        Self::over(OverNet::new(net, resolver), trust)
    }
}

impl<D: Dial> Client<D> {
    /// A client over the connections that `dial` makes.
    ///
    /// # Errors
    /// [`Error::Tls`] when the authorities to trust cannot be read.
    pub fn over(dial: D, trust: Trust) -> Result<Self, Error> {
        Ok(Self::with_tls(dial, tls::Connector::new(trust, &[])?))
    }

    /// A client over the connections that `dial` makes, whose sessions `tls` makes: with a certificate of the client's,
    /// say, or a store of sessions. What it offers by ALPN is the client's to choose.
    pub fn with_tls(dial: D, tls: tls::Connector) -> Self {
        let versions = Versions::default();
        Self {
            dial: Arc::new(dial),
            quic: Arc::new(Quic::new(&tls)),
            tls: tls.with_alpn(versions.offered()),
            timeouts: Timeouts::default(),
            versions,
            early: false,
            proxies: Arc::default(),
            pool: Arc::default(),
            kept: Kept::default(),
        }
    }

    /// The same client with other time limits.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The same client speaking other versions, over connections of its own.
    #[must_use]
    pub fn with_versions(mut self, versions: Versions) -> Self {
        self.tls = self.tls.with_alpn(versions.offered());
        self.versions = versions;
        self.pool = Arc::default();
        self
    }

    /// The same client, sending what changes nothing (GET, HEAD and OPTIONS without a body) with the first packet of a TLS
    /// session that is resumed, where the server takes it (0-RTT, RFC 8470): a round trip less for each further
    /// connection of HTTP/1.1 to an origin.
    ///
    /// Whoever copies that packet can send it again. It is not for requests of which a server might not like to see two;
    /// single ones are kept back by [`Request::idempotent`].
    #[must_use]
    pub fn with_early_data(mut self, allowed: bool) -> Self {
        self.early = allowed;
        self
    }

    /// The same client by way of proxies.
    #[must_use]
    pub fn with_proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = Arc::new(proxies);
        self
    }

    /// The same client with cookies (RFC 6265bis): it sends those that belong to a request, those of its own `Cookie`
    /// field first, and takes those that responses set. Without this there are none.
    #[must_use]
    pub fn with_cookies(mut self, cookies: Cookies) -> Self {
        self.kept.cookies = Some(cookies);
        self
    }

    /// The same client with a cache (RFC 9111, RFC 5861). Without this there is none.
    #[must_use]
    pub fn with_cache(mut self, cache: Cache) -> Self {
        self.kept.cache = Some(cache);
        self
    }

    /// The same client asking for coded bodies (gzip, deflate, br, zstd) and undoing the codings, within `bounds`. The
    /// header fields stay as they came: they describe what was received. Without this bodies come as they are sent.
    #[must_use]
    pub fn with_decoding(mut self, bounds: DecodingBounds) -> Self {
        self.kept.decoding = Some(bounds);
        self
    }

    /// Sends `request` and follows redirects. Any status is a response, not an error.
    ///
    /// # Errors
    /// [`Error`] when there is no response to give.
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        let whole = self.timeouts.whole.map(|after| (Instant::now() + after, after));
        match whole {
            None => self.follow(request, None).await,
            Some((deadline, after)) => match tokio::time::timeout_at(deadline, self.follow(request, whole)).await {
                Ok(result) => result,
                Err(_) => Err(Error::TookTooLong { after }),
            },
        }
    }

    async fn follow(&self, mut request: Request, whole: Whole) -> Result<Response, Error> {
        let mut redirects = Vec::new();
        loop {
            let mut response = self.kept.send(&request, &redirects, self.once(whole)).await?;
            let Some(next) = redirect::next(&request, response.status, &response.headers)? else {
                response.redirects = redirects;
                return Ok(response);
            };
            if redirects.len() == MAX_REDIRECTS {
                return Err(Error::TooManyRedirects { limit: MAX_REDIRECTS, url: next.url.to_string() });
            }
            redirects.push(std::mem::replace(&mut request, next).url);
        }
    }

    /// What sends one request, now or, once this call is over, without its limit.
    fn once(&self, whole: Whole) -> impl Fn(Request, Sent) -> Sending + Clone + Send + Sync + 'static + use<D> {
        let client = self.clone();
        move |request, sent| {
            let (client, whole) = (client.clone(), if sent == Sent::Waited { whole } else { None });
            Box::pin(async move { client.send_once(&request, whole).await })
        }
    }
}

impl Versions {
    /// What ALPN offers over TCP, the preferred one first.
    fn offered(self) -> &'static [&'static str] {
        match self {
            Self::Auto => &["h2", "http/1.1"],
            Self::Http2 => &["h2"],
            Self::Http1 | Self::Http3 => &["http/1.1"],
        }
    }
}

/// Sends `request` over a `stream` that is connected (and encrypted, if it is to be) already, and waits for the
/// head of the response. Redirects are not followed.
///
/// # Errors
/// [`Error`] when there is no response to give.
pub async fn send_over<S>(request: &Request, stream: S, timeouts: &Timeouts) -> Result<Response, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let whole = timeouts.whole.map(|after| (Instant::now() + after, after));
    let mut timing = Timing::begin();
    let connection = h1::Connection::over(stream, &authority(&request.url)).await?;
    let outgoing = request.body.outgoing(expects_continue(request))?;
    let sent = Instant::now();
    let back: h1::Return = Box::new(h1::Connection::close);
    let exchange = h1::exchange(connection, back, request, Reader::Origin, outgoing, timeouts.first_byte);
    let (head, source) = exchange.await.map_err(|failed| failed.error)?;
    timing.first_byte = sent.elapsed();
    let limits = Limits { idle: timeouts.idle, whole };
    Ok(Response::new(request, head, |headers| Body::from_network(source, announced(headers), limits), timing))
}

impl Response {
    /// A response to `request` of which only the head has come.
    pub(super) fn new(
        request: &Request,
        head: ResponseHead<()>,
        body: impl FnOnce(&HeaderMap) -> Body,
        timing: Timing,
    ) -> Self {
        let (head, ()) = head.into_parts();
        Self {
            url: request.url.clone(),
            status: head.status,
            version: head.version,
            body: body(&head.headers),
            headers: head.headers,
            remote: None,
            tls: None,
            redirects: Vec::new(),
            from_cache: None,
            timing,
        }
    }
}
