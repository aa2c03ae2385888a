//! Why a request did not give a whole response, each as a sentence: the layer, the thing, the next step.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

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
    /// The protocol above: no response, or not a whole one.
    Protocol,
}

impl Error {
    /// The layer that failed.
    pub fn layer(&self) -> Layer {
        match self {
            Self::Url { .. } | Self::Scheme { .. } | Self::Header(_) => Layer::Usage,
            Self::Tls(tls::Error::Authorities { .. }) => Layer::File,
            Self::Name(_)
            | Self::Connect { .. }
            | Self::ConnectTimedOut { .. }
            | Self::NoResponse { .. }
            | Self::Lost { .. }
            | Self::Stalled { .. }
            | Self::TookTooLong { .. } => Layer::Network,
            Self::Tls(_) => Layer::Tls,
            Self::Closed { .. }
            | Self::NotHttp { .. }
            | Self::TooManyRedirects { .. }
            | Self::Redirect { .. }
            | Self::CutShort { .. } => Layer::Protocol,
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

/// A duration as people say it.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}
