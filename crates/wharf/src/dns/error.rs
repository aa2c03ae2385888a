//! Why a look-up gave nothing, each as a sentence: the layer, the thing, the next step.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;

use super::Kind;
use super::dnssec::Bogus;
use super::upstream::Upstream;
use crate::words::seconds;

/// A look-up that gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a domain name.
    #[error("DNS: {name:?} is not a domain name: {reason}")]
    InvalidName {
        /// The text.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The name does not exist (NXDOMAIN, RFC 8020).
    #[error("DNS: the name {name} does not exist, says {}; check the spelling", list(servers))]
    NoSuchName {
        /// The name.
        name: String,
        /// The servers asked.
        servers: Vec<SocketAddr>,
    },
    /// The name exists and has no record of the kind asked for (NODATA, RFC 2308 section 2.2).
    #[error("DNS: the name {name} exists but has no {kind} record{}", more(hint))]
    NoSuchRecord {
        /// The name.
        name: String,
        /// The kind asked for.
        kind: Kind,
        /// What else is known.
        hint: String,
    },
    /// No server answered.
    #[error(
        "DNS: no answer from {} in {}; is the server up and reachable? (--dns names another)",
        list(servers), seconds(*after)
    )]
    NoAnswer {
        /// The name.
        name: String,
        /// The servers asked.
        servers: Vec<SocketAddr>,
        /// The time allowed.
        after: Duration,
    },
    /// The servers could not be reached at all.
    #[error(
        "DNS: {} cannot be asked for {name}: {reason}; check the server's address (--dns names another)",
        list(servers)
    )]
    Unreachable {
        /// The name.
        name: String,
        /// The servers asked.
        servers: Vec<SocketAddr>,
        /// What happened.
        reason: String,
    },
    /// A server answered that it cannot or will not say.
    #[error("DNS: {} failed to look up {name}: {code}; try again, or another server with --dns", list(servers))]
    ServerFailed {
        /// The name.
        name: String,
        /// The servers asked.
        servers: Vec<SocketAddr>,
        /// The response code in words.
        code: String,
    },
    /// Aliases that lead round in a circle, or on and on (RFC 1034 section 3.6.2).
    #[error("DNS: the aliases (CNAME) of {name} lead nowhere: {reason}; the zone's owner has to mend them")]
    AliasLoop {
        /// The name.
        name: String,
        /// Where they lead.
        reason: String,
    },
    /// The way down from the root came to no answer.
    #[error("DNS: {name} cannot be looked up from the root: {reason}; try again, or a server that does it (@SERVER)")]
    Recursion {
        /// The name.
        name: String,
        /// Where the way ended.
        reason: String,
    },
    /// A server of DNS over TLS or HTTPS could not prove who it is, or speaks no TLS.
    #[error("TLS: {server} is not trusted: {reason}")]
    Tls {
        /// The server.
        server: String,
        /// What failed.
        reason: String,
    },
    /// DNSSEC was asked for, and the answer is not what the zone's owner signed (RFC 4033 section 5, "bogus").
    #[error("{0}")]
    Bogus(Box<Bogus>),
    /// An answer that makes no sense.
    #[error("DNS: the answer of {} for {name} cannot be used: {reason}", list(servers))]
    BadAnswer {
        /// The name.
        name: String,
        /// The servers asked.
        servers: Vec<SocketAddr>,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// Whether the same question may well be answered a little later: nobody answered, or a server could not.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::NoAnswer { .. } | Self::Unreachable { .. } | Self::ServerFailed { .. })
    }

    /// Whether a server said with authority that there is nothing.
    pub fn is_negative_answer(&self) -> bool {
        matches!(self, Self::NoSuchName { .. } | Self::NoSuchRecord { .. })
    }

    /// What `server` said to the question for `name`, if it said nothing of use.
    pub(super) fn from_hickory(name: &str, server: &Upstream, after: Duration, error: &NetError) -> Self {
        let name = name.to_owned();
        let servers = vec![server.address];
        match error {
            NetError::Dns(DnsError::ResponseCode(code)) => {
                Self::ServerFailed { name, servers, code: code_as_words(*code) }
            }
            NetError::Timeout | NetError::NoConnections | NetError::Busy => Self::NoAnswer { name, servers, after },
            NetError::Io(source) if source.kind() == std::io::ErrorKind::ConnectionRefused => Self::Unreachable {
                name,
                servers,
                reason: format!("nothing listens on its port {}", server.address.port()),
            },
            NetError::Io(source) if let Some(tls) = tls_failure(source) => {
                Self::Tls { server: server.to_string(), reason: tls }
            }
            NetError::RustlsError(tls) => Self::Tls { server: server.to_string(), reason: tls_as_words(tls) },
            NetError::Io(source) => Self::Unreachable { name, servers, reason: source.to_string() },
            other => Self::BadAnswer { name, servers, reason: other.to_string() },
        }
    }
}

fn list(servers: &[SocketAddr]) -> String {
    let told: Vec<_> = servers
        .iter()
        .map(|server| if server.port() == 53 { server.ip().to_string() } else { server.to_string() })
        .collect();
    match told.len() {
        0 => "no DNS server (none is known)".to_owned(),
        1 => format!("the DNS server {}", told[0]),
        _ => format!("the DNS servers {}", told.join(" and ")),
    }
}

fn more(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("; {hint}") }
}

fn tls_failure(error: &std::io::Error) -> Option<String> {
    let inner = error.get_ref()?;
    inner.downcast_ref::<rustls::Error>().map(tls_as_words)
}

fn tls_as_words(error: &rustls::Error) -> String {
    use rustls::{CertificateError as Certificate, Error as Tls};
    match error {
        Tls::InvalidCertificate(Certificate::UnknownIssuer) => {
            "its certificate is by an authority that is not trusted (--ca FILE names another)".to_owned()
        }
        Tls::InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }) => {
            "its certificate is for another name; say which it has with @ADDRESS#NAME".to_owned()
        }
        Tls::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            "its certificate has expired".to_owned()
        }
        Tls::InvalidMessage(_) => "it does not speak TLS on this port".to_owned(),
        other => other.to_string(),
    }
}

fn code_as_words(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "it could not find out (SERVFAIL)".to_owned(),
        ResponseCode::Refused => "it refuses to answer us (REFUSED)".to_owned(),
        ResponseCode::FormErr => "it did not understand the question (FORMERR)".to_owned(),
        ResponseCode::NotImp => "it does not know this kind of question (NOTIMP)".to_owned(),
        other => format!("{other}"),
    }
}
