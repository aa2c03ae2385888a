//! A request as the caller states it: method, URL, header fields and a body.

use std::io;

use ::http::header::{AUTHORIZATION, HeaderName, HeaderValue, RANGE};
use ::http::{HeaderMap, Method};
use base64::Engine;
use bytes::Bytes;
use tokio::io::AsyncRead;
use url::Url;

use super::Error;
use super::upload::{BodyReader, BodySender, Payload};

/// A request. A body of bytes, or one that can be opened again, is sent again when a redirect keeps the method or a
/// connection turns out to be stale; one that can be read once only is not.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Payload,
    pub(super) expects_continue: bool,
    /// The caller's word, where the method does not say it.
    pub(super) idempotent: Option<bool>,
}

impl Request {
    /// A request of `method` for `url`. User name and password in the URL become an `Authorization` field
    /// (RFC 7617) and are not sent otherwise. A URL without a scheme is taken as http.
    ///
    /// # Errors
    /// [`Error::Url`] when `url` cannot be read, [`Error::Scheme`] when it is neither http nor https.
    pub fn new(method: Method, url: &str) -> Result<Self, Error> {
        let mut url = parse_url(url)?;
        let mut headers = HeaderMap::new();
        if let Some(authorization) = take_credentials(&mut url) {
            headers.insert(AUTHORIZATION, authorization);
        }
        Ok(Self { method, url, headers, body: Payload::Empty, expects_continue: false, idempotent: None })
    }

    /// A GET of `url`.
    ///
    /// # Errors
    /// As [`Request::new`].
    pub fn get(url: &str) -> Result<Self, Error> {
        Self::new(Method::GET, url)
    }

    /// Sets a header field, in place of the one the client would send or of an earlier one of this name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds a header field written as `Name: value`, beside others of the same name.
    ///
    /// # Errors
    /// [`Error::Header`] when it has no colon or holds a character that no field may hold.
    pub fn header_line(mut self, line: &str) -> Result<Self, Error> {
        let refuse = || Error::Header(line.to_owned());
        let (name, value) = line.split_once(':').ok_or_else(refuse)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| refuse())?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| refuse())?;
        self.headers.append(name, value);
        Ok(self)
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        self.body = if body.is_empty() { Payload::Empty } else { Payload::Bytes(body) };
        self
    }

    /// Sets a body that is read from `reader` as the connection takes it. `length`, if it is known, is announced and
    /// held to: a reader that gives more or less is an error. It can be read once, so that a redirect that wants it
    /// again ends with [`Error::BodySpent`].
    #[must_use]
    pub fn body_from(mut self, reader: impl AsyncRead + Send + 'static, length: Option<u64>) -> Self {
        self.body = Payload::reader(reader, length);
        self
    }

    /// As [`body_from`](Self::body_from) with a reader that `open` makes anew for every attempt, a file for example.
    #[must_use]
    pub fn body_opened(
        mut self,
        open: impl Fn() -> io::Result<BodyReader> + Send + Sync + 'static,
        length: Option<u64>,
    ) -> Self {
        self.body = Payload::Again { open: std::sync::Arc::new(open), length };
        self
    }

    /// As [`body_from`](Self::body_from) with pieces that the returned sender is given while the request is under way.
    #[must_use]
    pub fn body_channel(mut self, length: Option<u64>) -> (Self, BodySender) {
        let (body, sender) = Payload::channel(length);
        self.body = body;
        (self, sender)
    }

    /// Asks the server whether it wants the body before it is sent (RFC 9110 section 10.1.1), and waits at most a
    /// second for the answer.
    #[must_use]
    pub fn expect_continue(mut self) -> Self {
        self.expects_continue = true;
        self
    }

    /// Asks for the bytes from `first` to `last`, both included, or to the end (RFC 9110 section 14.2). The answer is
    /// 206 with them, 200 with everything, or 416.
    ///
    /// # Errors
    /// [`Error::Header`] when `last` lies before `first`.
    pub fn range(self, first: u64, last: Option<u64>) -> Result<Self, Error> {
        let range = match last {
            Some(last) if last < first => return Err(Error::Header(format!("Range: bytes={first}-{last}"))),
            Some(last) => format!("bytes={first}-{last}"),
            None => format!("bytes={first}-"),
        };
        let value = HeaderValue::from_str(&range).map_err(|_| Error::Header(range))?;
        Ok(self.header(RANGE, value))
    }

    /// Says whether sending it twice does no more than sending it once. Without this word the method says it
    /// (RFC 9110 section 9.2.2). Such a request is sent again when a kept connection turns out to be stale.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = Some(idempotent);
        self
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Where the request goes.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The header fields that were set.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Whether sending it again does no more than sending it once.
    pub fn is_idempotent(&self) -> bool {
        // RFC 9110 section 9.2.2: PUT, DELETE and the safe methods are idempotent.
        self.idempotent.unwrap_or_else(|| self.method.is_idempotent())
    }

    /// Whether it has a body.
    pub fn has_body(&self) -> bool {
        !self.body.is_empty()
    }
}

/// `text` as an http or https URL.
fn parse_url(text: &str) -> Result<Url, Error> {
    let refuse = |reason: &dyn std::fmt::Display| Error::Url { url: text.to_owned(), reason: reason.to_string() };
    let url = match Url::parse(text) {
        // `example.com:8080/x` reads as a scheme of the name `example.com`.
        Ok(url) if url.cannot_be_a_base() && !text.contains("://") => Url::parse(&format!("http://{text}")),
        Err(url::ParseError::RelativeUrlWithoutBase) => Url::parse(&format!("http://{text}")),
        other => other,
    }
    .map_err(|error| refuse(&error))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::Scheme { url: text.to_owned(), scheme: url.scheme().to_owned() });
    }
    // Port 0 is no destination.
    if url.port() == Some(0) {
        return Err(refuse(&"port 0 cannot be connected to"));
    }
    Ok(url)
}

/// The user name and password of `url`, as a field; `url` is left without them.
pub(super) fn take_credentials(url: &mut Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let plain = format!("{}:{}", percent_decoded(url.username()), percent_decoded(url.password().unwrap_or("")));
    // Both fail only for URLs without a host, and http has none of those.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let mut value =
        HeaderValue::from_str(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

pub(super) fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}
