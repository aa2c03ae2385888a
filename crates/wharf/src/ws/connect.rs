//! The opening handshakes (RFC 6455 section 4): a client's, over a connection of its own or one that stands, and a
//! server's.

use std::net::SocketAddr;

use ::http::header::{AUTHORIZATION, HOST, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use ::http::{HeaderMap, HeaderValue, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::handshake::server;
use url::Url;

use super::deflate;
use super::error::Error;
use super::options::{Options, ServerOptions};
use super::socket::WebSocket;
use super::stream::{Counted, Stream};
use crate::Net;
use crate::dns::Resolver;
use crate::http::{Dial, OverNet, destination};
use crate::tls::{Agreed, Connector, Trust};

/// A client's end that stands.
#[derive(Debug)]
pub struct Connected<S = Stream> {
    /// The WebSocket.
    pub socket: WebSocket<S>,
    /// The header fields of the server's answer.
    pub headers: HeaderMap,
    /// The subprotocol that it chose, if any were offered.
    pub subprotocol: Option<String>,
    /// Messages are compressed.
    pub deflate: bool,
    /// The address that answered; `None` over a stream of the caller's.
    pub remote: Option<SocketAddr>,
    /// What TLS agreed on; `None` for `ws`, and over a stream of the caller's.
    pub tls: Option<Agreed>,
}

/// A server's end that stands.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The WebSocket.
    pub socket: WebSocket<S>,
    /// The path and query that the client asked for.
    pub target: String,
    /// The header fields of the client's request.
    pub headers: HeaderMap,
    /// The subprotocol that was agreed on.
    pub subprotocol: Option<String>,
    /// Messages are compressed.
    pub deflate: bool,
}

/// Connects to a `ws` or `wss` URL on `net`, asking the servers of its configuration for the name.
///
/// # Errors
/// [`Error`] says which step failed and why.
pub async fn connect(net: &Net, url: &str, options: &Options) -> Result<Connected, Error> {
    connect_with(net, &Resolver::new(net), url, options).await
}

/// As [`connect()`], with names from `resolver`.
///
/// # Errors
/// [`Error`] says which step failed and why.
pub async fn connect_with(net: &Net, resolver: &Resolver, url: &str, options: &Options) -> Result<Connected, Error> {
    let (url, request) = request(url, options)?;
    let missing = || Error::Url { url: url.to_string(), reason: "it names no host".to_owned() };
    let (host, port) = destination(&url).ok_or_else(missing)?;
    // Everything that can be refused was refused before a packet is sent.
    let connector = match (url.scheme(), &options.tls) {
        ("wss", Some(connector)) => Some(connector.with_alpn(&["http/1.1"])),
        ("wss", None) => Some(Connector::new(Trust::Mozilla, &["http/1.1"])?),
        _ => None,
    };
    let timeout = options.limits.handshake;
    let dialed = OverNet::new(net.clone(), resolver.clone()).dial(&host, port, timeout).await?;
    let (stream, tls) = match connector {
        None => (Stream::Plain(dialed.stream), None),
        Some(connector) => {
            let stream = connector.connect(&host, dialed.stream, timeout).await?;
            let agreed = Agreed::of(&stream);
            (Stream::Tls(Box::new(stream)), Some(agreed))
        }
    };
    let mut connected = handshake(&place(&url), request, stream, options).await?;
    connected.remote = Some(dialed.remote);
    connected.tls = tls;
    Ok(connected)
}

/// The handshake for `url` over a stream that is connected (and encrypted, if it is to be) already.
///
/// # Errors
/// [`Error`] says what the server did.
pub async fn connect_over<S>(stream: S, url: &str, options: &Options) -> Result<Connected<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (url, request) = request(url, options)?;
    handshake(&place(&url), request, stream, options).await
}

/// The server's handshake over `stream`. `admit` sees the client's request and may refuse it with a status: by its
/// path, its Origin (RFC 6455 section 10.2), or what it is authorised for.
///
/// # Errors
/// [`Error::Refused`] when `admit` refused, else what the client did.
pub async fn accept<S>(
    stream: S,
    options: &ServerOptions,
    admit: impl FnOnce(&::http::Request<()>) -> Result<(), StatusCode> + Unpin,
) -> Result<Accepted<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let client = "the client";
    let mut seen = None;
    #[expect(clippy::result_large_err, reason = "tungstenite's callback returns a whole response")]
    let callback = |request: &server::Request, mut response: server::Response| {
        if let Err(status) = admit(request) {
            let mut refusal = server::ErrorResponse::new(None);
            *refusal.status_mut() = status;
            return Err(refusal);
        }
        let subprotocol = choose(request.headers(), &options.subprotocols);
        if let Some(value) = subprotocol.as_deref().and_then(|name| HeaderValue::from_str(name).ok()) {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, value);
        }
        let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let agreed = deflate::agreed_by_client(request.headers()).filter(|_| options.deflate);
        let agreed = agreed.map(|(agreed, answer)| {
            response.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, answer);
            agreed
        });
        seen = Some((target, request.headers().clone(), subprotocol, agreed));
        Ok(response)
    };
    let limits = &options.limits;
    let handshake = tokio_tungstenite::accept_hdr_async_with_config(
        Counted::new(stream, options.deflate),
        callback,
        Some(limits.config()),
    );
    let inner = match tokio::time::timeout(limits.handshake, handshake).await {
        Ok(Ok(inner)) => inner,
        Ok(Err(error)) => return Err(Error::from_handshake(client, error)),
        Err(_) => return Err(Error::HandshakeTimedOut { host: client.to_owned(), after: limits.handshake }),
    };
    // A handshake that succeeded has called back.
    let (target, headers, subprotocol, agreed) = seen.unwrap_or_default();
    let socket = WebSocket::new(inner, limits.clone(), false, agreed);
    Ok(Accepted { socket, target, headers, subprotocol, deflate: agreed.is_some() })
}

/// The first of ours that the client offers (RFC 6455 section 4.2.2).
fn choose(headers: &HeaderMap, ours: &[String]) -> Option<String> {
    let offered: Vec<&str> = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    ours.iter().find(|name| offered.contains(&name.as_str())).cloned()
}

async fn handshake<S>(host: &str, request: Request, stream: S, options: &Options) -> Result<Connected<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits = &options.limits;
    let handshake = tokio_tungstenite::client_async_with_config(
        request,
        Counted::new(stream, options.deflate),
        Some(limits.config()),
    );
    let (inner, response) = match tokio::time::timeout(limits.handshake, handshake).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => return Err(Error::from_handshake(host, error)),
        Err(_) => return Err(Error::HandshakeTimedOut { host: host.to_owned(), after: limits.handshake }),
    };
    let headers = response.into_parts().0.headers;
    let agreed = deflate::agreed_by_server(&headers, options.deflate)
        .map_err(|reason| Error::Handshake { host: host.to_owned(), reason })?;
    let subprotocol = headers.get(SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let socket = WebSocket::new(inner, limits.clone(), true, agreed);
    Ok(Connected { socket, headers, subprotocol, deflate: agreed.is_some(), remote: None, tls: None })
}

/// The URL, and the request of the handshake for it.
fn request(text: &str, options: &Options) -> Result<(Url, Request), Error> {
    let refused = |reason: String| Error::Url { url: text.to_owned(), reason };
    let mut url = Url::parse(text).map_err(|error| refused(error.to_string()))?;
    if !matches!(url.scheme(), "ws" | "wss") {
        return Err(refused(format!("its scheme is {}, not ws or wss", url.scheme())));
    }
    // RFC 6455 section 3.
    if url.fragment().is_some() {
        return Err(refused("it has a fragment (#)".to_owned()));
    }
    let authorization = match (url.username(), url.password()) {
        ("", None) => None,
        (user, password) => {
            let plain = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
            let pair = [plain(user), b":".to_vec(), plain(password.unwrap_or_default())].concat();
            Some(format!("Basic {}", BASE64_STANDARD.encode(pair)))
        }
    };
    // Neither can fail for a URL that has a host, which both schemes have.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let mut request = url.as_str().into_client_request().map_err(|error| refused(error.to_string()))?;
    let headers = request.headers_mut();
    if let Some(value) = authorization.and_then(|value| HeaderValue::from_str(&value).ok()) {
        headers.insert(AUTHORIZATION, value);
    }
    for (name, value) in &options.headers {
        let of_the_handshake = name.as_str().starts_with("sec-websocket-")
            || matches!(name.as_str(), "connection" | "upgrade" | "content-length" | "transfer-encoding");
        if of_the_handshake {
            return Err(Error::Header(format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))));
        }
        if name == HOST || name == AUTHORIZATION {
            headers.insert(name.clone(), value.clone());
        } else {
            headers.append(name.clone(), value.clone());
        }
    }
    if options.deflate {
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, deflate::OFFER);
    }
    let names = &options.subprotocols;
    for (index, name) in names.iter().enumerate() {
        // RFC 6455 section 4.1: each is a token, and none comes twice.
        if !is_token(name) || names[..index].contains(name) {
            return Err(Error::Subprotocol(name.clone()));
        }
    }
    if !names.is_empty() {
        let joined = names.join(", ");
        let value = HeaderValue::from_str(&joined).map_err(|_| Error::Subprotocol(joined))?;
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    Ok((url, request))
}

/// A token of RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or("the server");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
