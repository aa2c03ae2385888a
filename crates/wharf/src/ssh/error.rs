//! What can go wrong between a TCP connection and a remote program.

use std::path::PathBuf;

use super::known_hosts::Place;

/// Why there is no SSH session, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host's name has no address.
    #[error(transparent)]
    Name(#[from] crate::dns::Error),
    /// No TCP connection came about.
    #[error("{host} port {port} cannot be reached: {source}")]
    Connect {
        /// The host, as it was named.
        host: String,
        /// The port.
        port: u16,
        /// What the socket said.
        source: std::io::Error,
    },
    /// Nothing happened for as long as was allowed.
    #[error("{host} port {port} did not answer in {seconds} s")]
    TimedOut {
        /// The host, as it was named.
        host: String,
        /// The port.
        port: u16,
        /// The limit.
        seconds: u64,
    },
    /// The two ends share no algorithm of a kind.
    #[error(
        "no common {kind}: the server knows {theirs}{}",
        if *legacy_would_do { "; that is broken cryptography, which --legacy would allow" } else { "" }
    )]
    NoCommonAlgorithm {
        /// What the algorithms are for.
        kind: &'static str,
        /// The server's list.
        theirs: String,
        /// Whether one of them is what legacy mode adds.
        legacy_would_do: bool,
    },
    /// A known_hosts file exists and cannot be read.
    #[error("{} cannot be read: {reason}", file.display())]
    KnownHosts {
        /// The file.
        file: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Nobody has ever vouched for the host, and nobody could be asked.
    #[error(
        "the host key of {host} is not known ({kind}, {fingerprint}){}: compare the fingerprint and add the host with \
         --accept-new, or from a terminal",
        listed(others)
    )]
    HostKeyUnknown {
        /// The host, with its port if that is not 22.
        host: String,
        /// The kind of key.
        kind: String,
        /// The SHA-256 fingerprint of the key shown.
        fingerprint: String,
        /// Where keys of other kinds are written for the host.
        others: Vec<Place>,
    },
    /// The question whether to trust the host was answered with no.
    #[error("the host key of {host} was not accepted")]
    HostKeyDeclined {
        /// The host.
        host: String,
    },
    /// The host has another key than it had: a new installation, or somebody in between.
    #[error(
        "THE HOST KEY OF {host} HAS CHANGED: somebody may be listening in, or the host was installed anew. It shows \
         {kind} {shown}; {place} says {known}. If the new key is right, remove that line"
    )]
    HostKeyChanged {
        /// The host.
        host: String,
        /// The kind of key.
        kind: String,
        /// The fingerprint of the key shown.
        shown: String,
        /// The fingerprint that is written down.
        known: String,
        /// Where.
        place: Place,
    },
    /// The key is marked as one that must never be believed.
    #[error("the host key of {host} ({fingerprint}) is revoked: {place}")]
    HostKeyRevoked {
        /// The host.
        host: String,
        /// The fingerprint of the key shown.
        fingerprint: String,
        /// Where that is written.
        place: Place,
    },
    /// The authority is known; its certificate is not good for this host now.
    #[error("the host certificate of {host} is not good: {reason} (its authority stands in {place})")]
    HostCertificate {
        /// The host.
        host: String,
        /// What is wrong.
        reason: String,
        /// Where the authority is written.
        place: Place,
    },
    /// The server took none of what was offered.
    #[error(
        "{user} was not let in: the server takes {}; tried: {}{}",
        list(offered),
        times(tried),
        key_hint(offered, tried)
    )]
    Authentication {
        /// The user's name there.
        user: String,
        /// The ways in that the server named last.
        offered: Vec<String>,
        /// What was tried, in order.
        tried: Vec<String>,
    },
    /// A key file or the agent is of no use.
    #[error("{0}")]
    Identity(String),
    /// The server refused what was asked of it.
    #[error("the server refused {what}{}", reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Refused {
        /// What was asked.
        what: String,
        /// The server's reason, if it gave one.
        reason: Option<String>,
    },
    /// The session ended while it was needed.
    #[error("the connection is gone: {0}")]
    Closed(String),
    /// The server broke the protocol, or is none.
    #[error("the protocol was broken: {0}")]
    Protocol(String),
}

/// What was tried, each once with how often.
fn times(tried: &[String]) -> String {
    let mut told: Vec<(&str, usize)> = Vec::new();
    for one in tried {
        match told.iter_mut().find(|(other, _)| *other == one) {
            Some((_, times)) => *times += 1,
            None => told.push((one, 1)),
        }
    }
    list(
        &told
            .iter()
            .map(|(one, times)| if *times == 1 { (*one).to_owned() } else { format!("{one} ({times} times)") })
            .collect::<Vec<_>>(),
    )
}

/// What to do where the server takes keys, and there was none.
fn key_hint(offered: &[String], tried: &[String]) -> &'static str {
    let had_key = tried.iter().any(|one| one.contains("SHA256:"));
    let takes_keys = offered.iter().any(|one| one == "publickey");
    if takes_keys && !had_key { "; no key was found: name one with -i, or load it into the agent" } else { "" }
}

fn list(words: &[String]) -> String {
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

fn listed(others: &[Place]) -> String {
    match others.first() {
        None => String::new(),
        Some(place) => format!(", though one of another kind is, in {place}"),
    }
}

impl Error {
    /// An error of the library below, told in our words.
    pub(super) fn from_russh(error: russh::Error) -> Self {
        use russh::{AlgorithmKind, Error as Below};
        match error {
            Below::NoCommonAlgo { kind, theirs, .. } => {
                let kind = match kind {
                    AlgorithmKind::Kex => "key exchange",
                    AlgorithmKind::Key => "kind of host key",
                    AlgorithmKind::Cipher => "cipher",
                    AlgorithmKind::Compression => "compression",
                    AlgorithmKind::Mac => "message authentication",
                };
                let legacy_would_do = theirs.iter().any(|name| super::algorithms::is_legacy(name));
                Self::NoCommonAlgorithm { kind, theirs: printable(&theirs.join(", ")), legacy_would_do }
            }
            Below::IO(error) => Self::Closed(error.to_string()),
            Below::HUP | Below::Disconnect | Below::SendError | Below::RecvError => {
                Self::Closed("the server closed it".to_owned())
            }
            Below::KeepaliveTimeout => Self::Closed("the server no longer answers".to_owned()),
            Below::InactivityTimeout | Below::ConnectionTimeout => Self::Closed("it was silent too long".to_owned()),
            Below::NoAuthMethod => Self::Closed("the server leaves no way to log in".to_owned()),
            Below::Version => Self::Protocol("what answers is no SSH server".to_owned()),
            other => Self::Protocol(printable(&other.to_string())),
        }
    }
}

impl From<russh::Error> for Error {
    fn from(error: russh::Error) -> Self {
        Self::from_russh(error)
    }
}

/// Text from a server, fit for a terminal: no control characters, and no endless lines.
#[must_use]
pub fn printable(text: &str) -> String {
    const LONGEST: usize = 4096;
    text.chars()
        .take(LONGEST)
        .map(|letter| if letter.is_control() && letter != '\n' && letter != '\t' { '\u{fffd}' } else { letter })
        .collect()
}
