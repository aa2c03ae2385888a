//! The head of a request as each version wants it, and how large the head of a response may be.

use ::http::header::{ACCEPT, EXPECT, HOST, HeaderValue, PROXY_AUTHORIZATION, TE, USER_AGENT};
use ::http::{HeaderMap, Request as Head, Uri};
use url::Url;

use super::error::Error;
use super::request::Request;
use super::upload::Outgoing;

/// The most that the head of a response may have, in bytes; trailers the same.
pub(super) const MAX_HEAD: usize = 128 << 10;

/// The most fields that the head of an HTTP/1.1 response may have. The other versions bound their bytes alone, each
/// field counting 32 more than it is long (RFC 9113 section 6.5.2, RFC 9114 section 4.2.2).
pub(super) const MAX_FIELDS: usize = 100;

/// The most interim responses (1xx) that may come before the one that counts.
pub(super) const MAX_INTERIM: usize = 32;

/// How a request names its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Path and query (RFC 9112 section 3.2.1).
    Origin,
    /// The whole URL: to a proxy (RFC 9112 section 3.2.2), and in HTTP/2 and HTTP/3, where its parts are
    /// pseudo-header fields.
    Absolute,
}

/// Who reads a request of HTTP/1.1.
#[derive(Clone, Copy)]
pub(super) enum Reader<'a> {
    /// The server that the URL names.
    Origin,
    /// A proxy that is to fetch it, and what it wants to see of us.
    Proxy(Option<&'a HeaderValue>),
}

/// The head of `request`, with `body` to follow.
fn head<B>(request: &Request, form: Form, body: B) -> Result<Head<B>, Error> {
    let mut head = Head::new(body);
    *head.method_mut() = request.method.clone();
    *head.uri_mut() = target(&request.url, form)?;
    *head.headers_mut() = fields(request)?;
    Ok(head)
}

/// The head of `request` for HTTP/1.1.
pub(super) fn head_1(request: &Request, reader: Reader<'_>, body: Outgoing) -> Result<Head<Outgoing>, Error> {
    let form = match reader {
        Reader::Origin => Form::Origin,
        Reader::Proxy(_) => Form::Absolute,
    };
    let mut head = head(request, form, body)?;
    let headers = head.headers_mut();
    if let Reader::Proxy(Some(authorization)) = reader {
        headers.insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    if !headers.contains_key(HOST) {
        let host = authority(&request.url);
        headers.insert(HOST, HeaderValue::from_str(&host).map_err(|_| Error::Header(format!("Host: {host}")))?);
    }
    Ok(head)
}

/// The head of `request` for HTTP/2 and HTTP/3: the authority is part of the target, and what belongs to a connection
/// of HTTP/1.1 has no place.
pub(super) fn head_2<B>(request: &Request, body: B) -> Result<Head<B>, Error> {
    let mut head = head(request, Form::Absolute, body)?;
    // RFC 9113 section 8.3.1: a Host field given by hand is what :authority says.
    if let Some(host) = head.headers_mut().remove(HOST) {
        let refuse = || Error::Header(format!("Host: {}", String::from_utf8_lossy(host.as_bytes())));
        let mut parts = head.uri().clone().into_parts();
        parts.authority = Some(host.as_bytes().try_into().map_err(|_| refuse())?);
        *head.uri_mut() = Uri::from_parts(parts).map_err(|_| refuse())?;
    }
    // RFC 9113 section 8.2.2: fields of the connection make a request malformed; TE may say "trailers" only.
    let headers = head.headers_mut();
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        headers.remove(name);
    }
    if headers.get(TE).is_some_and(|te| te != "trailers") {
        headers.remove(TE);
    }
    Ok(head)
}

fn fields(request: &Request) -> Result<HeaderMap, Error> {
    let mut headers = request.headers.clone();
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("wharf/", env!("CARGO_PKG_VERSION"))));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    if expects_continue(request) {
        headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
    } else {
        headers.remove(EXPECT);
    }
    Ok(headers)
}

/// Whether the body waits for the server's word. RFC 9110 section 10.1.1: never without a body.
pub(super) fn expects_continue(request: &Request) -> bool {
    request.expects_continue && request.has_body()
}

fn target(url: &Url, form: Form) -> Result<Uri, Error> {
    let refuse = |error: ::http::uri::InvalidUri| Error::Url { url: url.to_string(), reason: error.to_string() };
    let text = match form {
        Form::Origin => &url[url::Position::BeforePath..url::Position::AfterQuery],
        Form::Absolute => &url[url::Position::BeforeScheme..url::Position::AfterQuery],
    };
    text.parse().map_err(refuse)
}

/// Host and port as the `Host` field and messages carry them: the port only where it is not the scheme's own.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The words of the error at the bottom of the chain.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
