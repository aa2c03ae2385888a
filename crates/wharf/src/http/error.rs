//! Why a request did not give a whole response, each as a sentence: the layer, the thing, the next step.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::coding::CodingError;
use super::head::{MAX_FIELDS, MAX_HEAD};
use crate::words::seconds;
use crate::{dns, tls};

/// A request that did not give a whole response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL cannot be read.
    #[error("URL: {url:?} cannot be read: {reason}; write it like http://example.com/page")]
    Url {
        /// The text given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The URL is of another protocol.
    #[error("URL: {url:?} is of the scheme {scheme}, and only http and https are spoken here")]
    Scheme {
        /// The text given.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// A header field that cannot be sent.
    #[error("HTTP: {0:?} is not a header field; write it like 'Accept: text/html'")]
    Header(String),
    /// The host's name did not lead to an address.
    #[error(transparent)]
    Name(#[from] dns::Error),
    /// No connection came about.
    #[error("{}", connect_as_words(host, *address, source))]
    Connect {
        /// The host of the URL.
        host: String,
        /// The address tried last.
        address: SocketAddr,
        /// What happened.
        source: io::Error,
    },
    /// No connection came about in time.
    #[error(
        "TCP: no answer from {} in {}; is the host up, and does a firewall drop the packets? (--timeout allows more)",
        place(host, *address), seconds(*after)
    )]
    ConnectTimedOut {
        /// The host of the URL.
        host: String,
        /// The address tried last.
        address: SocketAddr,
        /// The time allowed.
        after: Duration,
    },
    /// The body is coded, and the coding cannot be undone.
    #[error("HTTP: {0}")]
    Coding(#[from] CodingError),
    /// The TLS session did not come about.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The server took the request and sent nothing in time.
    #[error(
        "HTTP: {host} accepted the connection and did not answer the request in {}; try again, or allow more with \
         --timeout", seconds(*after)
    )]
    NoResponse {
        /// Host and port.
        host: String,
        /// The time allowed.
        after: Duration,
    },
    /// The server closed the connection without a response.
    #[error(
        "HTTP: {host} closed the connection without answering the request; is it an HTTP server, and is http or https right?"
    )]
    Closed {
        /// Host and port.
        host: String,
    },
    /// The connection failed before the response had begun.
    #[error("HTTP: the connection to {host} was lost before an answer came: {reason}; try again")]
    Lost {
        /// Host and port.
        host: String,
        /// What happened.
        reason: String,
    },
    /// What came back is not HTTP.
    #[error("HTTP: what {host} sent is not an HTTP response: {reason}; is http or https right for this port?")]
    NotHttp {
        /// Host and port.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The head of the response is larger than a client takes.
    #[error(
        "HTTP: the head of {host}'s response is larger than is taken ({} KiB, {MAX_FIELDS} fields in HTTP/1.1): {reason}; \
         it is not read further", MAX_HEAD >> 10
    )]
    TooLarge {
        /// Host and port.
        host: String,
        /// What overran.
        reason: String,
    },
    /// The server does not speak the version that was asked for.
    #[error("HTTP: {host} cannot be asked in {wanted}: {reason}; leave the version open, or ask for another")]
    Version {
        /// Host and port.
        host: String,
        /// The version.
        wanted: &'static str,
        /// Why not.
        reason: String,
    },
    /// No QUIC connection came about.
    #[error("QUIC: no connection to {host}: {reason}; does the server speak HTTP/3, and does a firewall drop UDP?")]
    Quic {
        /// Host and port.
        host: String,
        /// What happened.
        reason: String,
    },
    /// The proxy did not lead on.
    #[error("proxy: {proxy} gives no connection to {host}: {reason}")]
    Proxy {
        /// The proxy, without its password.
        proxy: String,
        /// The host asked for.
        host: String,
        /// What it said.
        reason: String,
    },
    /// The proxy wants a user name and a password, or others.
    #[error(
        "proxy: {proxy} wants a user name and password{reason}; give them in its URL: http://USER:PASSWORD@PROXY:PORT"
    )]
    ProxyAuthentication {
        /// The proxy, without its password.
        proxy: String,
        /// What it said about those that were given.
        reason: String,
    },
    /// What names a proxy cannot be read.
    #[error(
        "proxy: {text:?} is not a proxy: {reason}; write it like http://proxy.example:3128 or socks5://proxy.example:1080"
    )]
    ProxyUrl {
        /// The text, without a password.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Too many requests wait for a connection to one origin.
    #[error("HTTP: {limit} requests to {host} wait for a connection already; send fewer at once")]
    TooManyWaiting {
        /// Host and port.
        host: String,
        /// The most that may wait.
        limit: usize,
    },
    /// The body to be sent could not be had.
    #[error("HTTP: the body of the request cannot be sent: {reason}")]
    RequestBody {
        /// What failed.
        reason: String,
    },
    /// The body to be sent could be read once only, and was.
    #[error(
        "HTTP: the request must be sent again, and its body could be read once only; give a body that can be opened \
         again, or send it to where the redirect leads"
    )]
    BodySpent,
    /// The request has ended without wanting more of its body.
    #[error("HTTP: the request has ended without taking the rest of its body; its response says why")]
    Unwanted,
    /// More redirects than are followed.
    #[error("HTTP: more than {limit} redirects, the last to {url}; the site sends its visitors in circles")]
    TooManyRedirects {
        /// The most that are followed.
        limit: usize,
        /// Where the last one leads.
        url: String,
    },
    /// A redirect that leads nowhere.
    #[error("HTTP: {host} redirects to {location:?}, which {reason}")]
    Redirect {
        /// Host and port of the server that sent it.
        host: String,
        /// The `Location` field.
        location: String,
        /// Why it cannot be followed.
        reason: String,
    },
    /// The body ended before it was whole.
    #[error("HTTP: the body was cut short: {} and the connection ended ({reason}); try again", amount(*received, *expected))]
    CutShort {
        /// Bytes that came.
        received: u64,
        /// Bytes announced, where the server said.
        expected: Option<u64>,
        /// How it ended.
        reason: String,
    },
    /// There is more than was announced.
    #[error(
        "HTTP: the server sent more than the {expected} bytes of body that it announced; what it means cannot be known, \
         try again"
    )]
    TooMuch {
        /// Bytes announced.
        expected: u64,
    },
    /// The body stopped coming.
    #[error("HTTP: the body stopped coming: {}, then nothing for {}; try again, or allow more with --timeout",
        amount(*received, *expected), seconds(*after))]
    Stalled {
        /// Bytes that came.
        received: u64,
        /// Bytes announced, where the server said.
        expected: Option<u64>,
        /// The time allowed.
        after: Duration,
    },
    /// The whole was not done in time.
    #[error("HTTP: not done in the {} allowed for the whole; allow more with --max-time", seconds(*after))]
    TookTooLong {
        /// The time allowed.
        after: Duration,
    },
}

/// Where in the layers a failure belongs, for exit statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layer {
    /// What the caller asked for makes no sense.
    Usage,
    /// A file that was named cannot be used.
    File,
    /// A name, a connection or the time allowed for it.
    Network,
    /// TLS and certificates.
    Tls,
    /// A user name and password are wanted.
    Authentication,
    /// The protocol above: no response, or not a whole one.
    Protocol,
}

impl Error {
    /// The layer that failed.
    pub fn layer(&self) -> Layer {
        match self {
            Self::Url { .. } | Self::Scheme { .. } | Self::Header(_) | Self::ProxyUrl { .. } | Self::BodySpent => {
                Layer::Usage
            }
            Self::Tls(error) if error.is_file() => Layer::File,
            Self::RequestBody { .. } => Layer::File,
            Self::ProxyAuthentication { .. } => Layer::Authentication,
            Self::Name(_)
            | Self::Connect { .. }
            | Self::ConnectTimedOut { .. }
            | Self::NoResponse { .. }
            | Self::Lost { .. }
            | Self::Quic { .. }
            | Self::Proxy { .. }
            | Self::TooManyWaiting { .. }
            | Self::Stalled { .. }
            | Self::TookTooLong { .. } => Layer::Network,
            Self::Tls(_) => Layer::Tls,
            Self::Closed { .. }
            | Self::NotHttp { .. }
            | Self::TooManyRedirects { .. }
            | Self::Redirect { .. }
            | Self::CutShort { .. }
            | Self::Coding(_)
            | Self::TooMuch { .. }
            | Self::TooLarge { .. }
            | Self::Version { .. }
            | Self::Unwanted => Layer::Protocol,
        }
    }
}

impl Error {
    /// Whether the same request may well succeed a little later: the network or the server failed, and neither said
    /// that it always will.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Name(error) => error.is_transient(),
            // Nobody listens there, which is an answer; what else keeps a connection from coming about may pass.
            Self::Connect { source, .. } => source.kind() != io::ErrorKind::ConnectionRefused,
            Self::Tls(error) => matches!(error, tls::Error::TimedOut { .. }),
            Self::ConnectTimedOut { .. }
            | Self::NoResponse { .. }
            | Self::Closed { .. }
            | Self::Lost { .. }
            | Self::Quic { .. }
            | Self::CutShort { .. }
            | Self::Stalled { .. } => true,
            Self::Url { .. }
            | Self::Scheme { .. }
            | Self::Header(_)
            | Self::Coding(_)
            | Self::NotHttp { .. }
            | Self::TooLarge { .. }
            | Self::Version { .. }
            | Self::Proxy { .. }
            | Self::ProxyAuthentication { .. }
            | Self::ProxyUrl { .. }
            | Self::TooManyWaiting { .. }
            | Self::RequestBody { .. }
            | Self::BodySpent
            | Self::Unwanted
            | Self::TooManyRedirects { .. }
            | Self::Redirect { .. }
            | Self::TooMuch { .. }
            | Self::TookTooLong { .. } => false,
        }
    }
}

fn place(host: &str, address: SocketAddr) -> String {
    if host == address.ip().to_string() { address.to_string() } else { format!("{host} ({address})") }
}

fn connect_as_words(host: &str, address: SocketAddr, source: &io::Error) -> String {
    let place = place(host, address);
    match source.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "TCP: {place} refused the connection: nothing listens on port {}; check the port, or whether the server runs",
            address.port()
        ),
        io::ErrorKind::TimedOut => {
            format!("TCP: no answer from {place}: {source}; is the host up, and does a firewall drop the packets?")
        }
        io::ErrorKind::ConnectionReset => format!("TCP: {place} reset the connection as it was made; try again"),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            format!("TCP: no connection to {place}: {source}; is the address right, and does a route lead there?")
        }
        _ => format!("TCP: no connection to {place}: {source}"),
    }
}

fn amount(received: u64, expected: Option<u64>) -> String {
    match expected {
        Some(expected) => format!("{received} of {expected} bytes came"),
        None => format!("{received} bytes came, of a length that was not announced,"),
    }
}
