//! A request as the caller states it: method, URL, header fields and a body that can be sent again.

use ::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use ::http::{HeaderMap, Method};
use base64::Engine;
use bytes::Bytes;
use url::Url;

use super::Error;

/// A request. The body is held whole so that a redirect that keeps the method can send it again.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
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
        Ok(Self { method, url, headers, body: Bytes::new() })
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
        self.body = body.into();
        self
    }

    /// Where the request goes.
    pub fn url(&self) -> &Url {
        &self.url
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

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}
