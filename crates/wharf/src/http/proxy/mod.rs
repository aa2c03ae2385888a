//! Proxies: HTTP ones, asked with CONNECT for https (RFC 9110 section 9.3.6) and with whole URLs for http
//! (RFC 9112 section 3.2.2), and SOCKS 5 (RFC 1928, RFC 1929).
//!
//! `connect` has [`lead`] make a dialled stream lead on to a request's place; which requests go by a proxy
//! [`Proxies`] says, set by hand or read from the environment.

mod environment;
mod socks;
mod tunnel;

use std::fmt;

use ::http::HeaderValue;
use url::Url;

pub use environment::Proxies;

use super::connect::Stream;
use super::dial::{self, Dial};
use super::error::Error;
use super::pool::Place;
use super::request::{percent_decoded, take_credentials};

/// A proxy, as a URL names it: `http://`, `socks5://` (names are resolved here) or `socks5h://` (by the proxy), with
/// user name and password where it wants them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    /// For HTTP: the whole field. It is never shown.
    authorization: Option<HeaderValue>,
    /// For SOCKS: name and password.
    login: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Http,
    /// The client resolves names.
    Socks,
    /// The proxy does.
    SocksNames,
}

impl Proxy {
    /// The proxy that `text` names. Without a scheme it is an HTTP proxy; without a port, 3128 or 1080 is taken.
    ///
    /// # Errors
    /// [`Error::ProxyUrl`] when it cannot be read or is of another kind.
    pub fn new(text: &str) -> Result<Self, Error> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let shown = without_login(text);
        let refuse = |reason: &dyn fmt::Display| Error::ProxyUrl { text: shown.clone(), reason: reason.to_string() };
        let mut url = Url::parse(&whole).map_err(|error| refuse(&error))?;
        let (kind, port) = match url.scheme() {
            "http" => (Kind::Http, 3128),
            "socks5" => (Kind::Socks, 1080),
            "socks5h" => (Kind::SocksNames, 1080),
            other => return Err(refuse(&format!("proxies of the scheme {other} are not spoken to here"))),
        };
        // A URL of http keeps quiet about its own port; a proxy on 80 is written with it.
        let explicit = url.port().or_else(|| (kind == Kind::Http && whole_has_port(&whole, 80)).then_some(80));
        let port = explicit.unwrap_or(port);
        if port == 0 {
            return Err(refuse(&"port 0 cannot be connected to"));
        }
        let host = dial::host(&url).filter(|host| !host.is_empty()).ok_or_else(|| refuse(&"it names no host"))?;
        let mut login = None;
        if kind != Kind::Http && !url.username().is_empty() {
            let (name, password) = (percent_decoded(url.username()), percent_decoded(url.password().unwrap_or("")));
            // RFC 1929 section 2: each is of 1 to 255 bytes.
            if name.len() > 255 || !(1..=255).contains(&password.len()) {
                return Err(refuse(&"SOCKS takes a user name and a password of 1 to 255 bytes each"));
            }
            login = Some((name, password));
        }
        let authorization = if kind == Kind::Http { take_credentials(&mut url) } else { None };
        Ok(Self { kind, host, port, authorization, login })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Whether plain http requests are handed to it whole, instead of through a connection that it makes.
    pub(super) fn takes_requests(&self) -> bool {
        self.kind == Kind::Http
    }

    /// What a request that is handed to it carries.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    pub(super) fn refuses(&self, place: &Place, reason: String) -> Error {
        Error::Proxy { proxy: self.to_string(), host: format!("{}:{}", place.host, place.port), reason }
    }
}

/// Whether the authority of `url` ends with `:port`.
fn whole_has_port(url: &str, port: u16) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or(authority);
    authority.ends_with(&format!(":{port}"))
}

/// `text` without a user name and a password, for messages.
fn without_login(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, host)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://...@{host}"),
            None => format!("...@{host}"),
        },
        None => text.to_owned(),
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            Kind::Http => "http",
            Kind::Socks => "socks5",
            Kind::SocksNames => "socks5h",
        };
        let brackets = self.host.contains(':');
        let (open, close) = if brackets { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Makes `stream`, which leads to `proxy`, lead on to `place`.
pub(super) async fn lead<D: Dial>(
    proxy: &Proxy,
    stream: &mut Box<dyn Stream>,
    place: &Place,
    dial: &D,
) -> Result<(), Error> {
    match proxy.kind {
        Kind::Http if place.secure => tunnel::open(proxy, stream, place).await,
        // Each request names its place itself.
        Kind::Http => Ok(()),
        Kind::SocksNames => socks::open(proxy, stream, place, None).await,
        Kind::Socks => {
            let addresses = dial.resolve(&place.host).await?;
            let Some(address) = addresses.first() else {
                return Err(proxy.refuses(place, "the name has no address".to_owned()));
            };
            socks::open(proxy, stream, place, Some(*address)).await
        }
    }
}

#[cfg(test)]
mod tests;
