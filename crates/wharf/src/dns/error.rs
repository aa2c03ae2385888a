//! Why a look-up gave nothing, each as a sentence: the layer, the thing, the next step.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;

use super::Kind;
use crate::http::seconds;

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
    /// Whether a server said with authority that there is nothing.
    pub fn is_negative_answer(&self) -> bool {
        matches!(self, Self::NoSuchName { .. } | Self::NoSuchRecord { .. })
    }

    pub(super) fn from_hickory(name: &str, kind: Kind, server: SocketAddr, after: Duration, error: &NetError) -> Self {
        let name = name.trim_end_matches('.').to_owned();
        let servers = vec![server];
        match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
                ResponseCode::NXDomain => Self::NoSuchName { name, servers },
                ResponseCode::NoError => Self::NoSuchRecord { name, kind, hint: String::new() },
                code => Self::ServerFailed { name, servers, code: code_as_words(code) },
            },
            NetError::Dns(DnsError::ResponseCode(code)) => {
                Self::ServerFailed { name, servers, code: code_as_words(*code) }
            }
            NetError::Timeout | NetError::NoConnections | NetError::Busy => Self::NoAnswer { name, servers, after },
            NetError::Io(source) if source.kind() == std::io::ErrorKind::ConnectionRefused => {
                Self::Unreachable { name, servers, reason: "nothing listens on its DNS port".to_owned() }
            }
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

fn code_as_words(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "it could not find out (SERVFAIL)".to_owned(),
        ResponseCode::Refused => "it refuses to answer us (REFUSED)".to_owned(),
        ResponseCode::FormErr => "it did not understand the question (FORMERR)".to_owned(),
        ResponseCode::NotImp => "it does not know this kind of question (NOTIMP)".to_owned(),
        other => format!("{other}"),
    }
}
