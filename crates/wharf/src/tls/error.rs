//! Why a TLS session did not come about, each as a sentence that names the reason and the next step.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertificateError, InvalidMessage};

use super::{Certificate, Trust};
use crate::date::Date;

/// A TLS session that did not come about. Shown as a sentence: the layer, the thing, the next step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name to connect to is neither a DNS name nor an address.
    #[error("TLS: {0:?} is neither a DNS name nor an address, so no certificate can be for it")]
    InvalidName(String),
    /// The file of certificate authorities is of no use.
    #[error("TLS: the certificate authorities in {} cannot be used: {reason}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has no authorities.
    #[error(
        "TLS: this system's certificate authorities cannot be used: {0}; install its ca-certificates, or name a file with --ca"
    )]
    SystemAuthorities(String),
    /// The certificate or the key of this side is of no use.
    #[error("TLS: the identity in {} cannot be used: {reason}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file for session secrets cannot be written.
    #[error("TLS: the key log {} cannot be written: {source}", path.display())]
    KeyLog {
        /// The file.
        path: PathBuf,
        /// The failure.
        source: io::Error,
    },
    /// The certificate is for other names.
    #[error(
        "TLS: the certificate is not valid for the name {name}: {}; use a name that it is for, or check that this \
         is the right server",
        presented_as_words(presented)
    )]
    WrongName {
        /// The name asked for.
        name: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// The certificate's time has passed.
    #[error("TLS: the certificate of {name} expired{}; its owner must renew it (or check this machine's clock)", on_date(*not_after))]
    Expired {
        /// The server's name.
        name: String,
        /// The last day on which the certificate was valid, where it is known.
        not_after: Option<Date>,
    },
    /// The certificate's time is yet to come.
    #[error("TLS: the certificate of {name} is not valid yet{}; check this machine's clock", from_date(*not_before))]
    NotValidYet {
        /// The server's name.
        name: String,
        /// The first day on which the certificate is valid, where it is known.
        not_before: Option<Date>,
    },
    /// The certificate does not lead to an authority that is trusted.
    #[error("TLS: the certificate of {name} comes from an unknown issuer: no trusted authority signed it; {hint}")]
    UnknownIssuer {
        /// The server's name.
        name: String,
        /// What to try.
        hint: String,
    },
    /// The certificate was taken back by its issuer.
    #[error("TLS: the certificate of {name} was revoked by its issuer; do not use this server")]
    Revoked {
        /// The server's name.
        name: String,
    },
    /// The certificate is wrong in another way.
    #[error("TLS: the certificate of {name} is refused: {reason}")]
    Certificate {
        /// The server's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What answers is not a TLS server.
    #[error("TLS: what answers for {name} does not speak TLS on this port; try http:// or another port")]
    NotTls {
        /// The server's name.
        name: String,
    },
    /// The server refused the handshake with an alert.
    #[error("TLS: {name} refused the handshake: {alert}")]
    Alert {
        /// The server's name.
        name: String,
        /// The alert in words.
        alert: String,
    },
    /// The two sides have no version, cipher suite or the like in common, or the server broke the protocol.
    #[error("TLS: the handshake with {name} failed: {reason}")]
    Handshake {
        /// The server's name.
        name: String,
        /// What failed.
        reason: String,
    },
    /// The connection ended in the middle of the handshake.
    #[error("TLS: {name} closed the connection in the middle of the handshake; is this port the right one?")]
    Closed {
        /// The server's name.
        name: String,
    },
    /// The handshake was not done in time.
    #[error("TLS: the handshake with {name} was not done in {after:?}; try again, or allow more with --timeout")]
    TimedOut {
        /// The server's name.
        name: String,
        /// The time allowed.
        after: Duration,
    },
    /// The connection below failed.
    #[error("TLS: the connection failed in the handshake with {name}: {source}")]
    Connection {
        /// The server's name.
        name: String,
        /// The failure.
        source: io::Error,
    },
    /// The cryptographic provider cannot do what is needed.
    #[error("TLS: not available here: {0}")]
    Unavailable(String),
}

impl Error {
    /// Whether it is the server's certificate that is refused.
    pub fn is_certificate(&self) -> bool {
        matches!(
            self,
            Self::WrongName { .. }
                | Self::Expired { .. }
                | Self::NotValidYet { .. }
                | Self::UnknownIssuer { .. }
                | Self::Revoked { .. }
                | Self::Certificate { .. }
        )
    }

    /// Whether it is a file of ours that is at fault.
    pub fn is_file(&self) -> bool {
        matches!(
            self,
            Self::Authorities { .. } | Self::SystemAuthorities(_) | Self::Identity { .. } | Self::KeyLog { .. }
        )
    }

    /// The error of a handshake with a client whose certificate `trust` was to judge.
    pub(super) fn from_client(trust: &Trust, error: io::Error) -> Self {
        Self::from_handshake("the client", trust, &[], error)
    }

    /// The error of a handshake with `name` that `trust` was to judge, and that showed the certificates of `chain`
    /// if it was refused for them.
    pub(super) fn from_handshake(name: &str, trust: &Trust, chain: &[CertificateDer<'_>], error: io::Error) -> Self {
        let name = name.to_owned();
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::InvalidCertificate(reason)) => Self::from_certificate(name, trust, chain, reason),
            Some(rustls::Error::NoCertificatesPresented) => {
                Self::Certificate { name, reason: "none was shown".to_owned() }
            }
            Some(rustls::Error::AlertReceived(alert)) => Self::Alert { name, alert: alert_as_words(*alert) },
            Some(rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            )) => Self::NotTls { name },
            Some(other) => Self::Handshake { name, reason: other.to_string() },
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed { name },
            None => Self::Connection { name, source: error },
        }
    }

    fn from_certificate(name: String, trust: &Trust, chain: &[CertificateDer<'_>], reason: &CertificateError) -> Self {
        use CertificateError as C;
        match reason {
            C::NotValidForNameContext { presented, .. } => {
                Self::WrongName { name, presented: presented.iter().map(|entry| plain_name(entry)).collect() }
            }
            C::NotValidForName => Self::WrongName { name, presented: Vec::new() },
            C::ExpiredContext { not_after, .. } => {
                Self::Expired { name, not_after: Some(Date::of_unix_time(not_after.as_secs())) }
            }
            C::Expired => Self::Expired { name, not_after: None },
            C::NotValidYetContext { not_before, .. } => {
                Self::NotValidYet { name, not_before: Some(Date::of_unix_time(not_before.as_secs())) }
            }
            C::NotValidYet => Self::NotValidYet { name, not_before: None },
            C::UnknownIssuer => Self::UnknownIssuer { name, hint: issuer_hint(trust, chain) },
            C::Revoked => Self::Revoked { name },
            C::BadSignature => Self::UnknownIssuer {
                name,
                hint: "a trusted authority has the issuer's name, but this was not signed with its key".to_owned(),
            },
            C::InvalidPurposeContext { .. } | C::InvalidPurpose => {
                Self::Certificate { name, reason: "it is not meant for a server".to_owned() }
            }
            other => Self::Certificate { name, reason: other_as_words(other) },
        }
    }
}

/// webpki has reasons that rustls passes on only by name.
fn other_as_words(reason: &CertificateError) -> String {
    let text = reason.to_string();
    if text.contains("CaUsedAsEndEntity") {
        return "it is an authority's own certificate, used as a server's; it was probably made by hand".to_owned();
    }
    text
}

/// What is missing between the certificates of `chain` and those of `trust`, and what to do about it.
fn issuer_hint(trust: &Trust, chain: &[CertificateDer<'_>]) -> String {
    let option = match trust {
        Trust::File(path) => format!("{} does not hold it", path.display()),
        Trust::Certificates(_) => "it is not among the authorities given".to_owned(),
        _ => "if it is to be trusted, name its certificate with --ca FILE".to_owned(),
    };
    let parsed = |certificate: Option<&CertificateDer<'_>>| Certificate::parse(certificate?).ok();
    let (Some(own), Some(last)) = (parsed(chain.first()), parsed(chain.last())) else {
        return option;
    };
    if own.is_self_issued() {
        format!("it is self-signed, by {}; {option}", own.subject)
    } else if last.is_self_issued() {
        format!("the chain ends at the authority {}; {option}", last.subject)
    } else {
        format!(
            "the chain ends at {}, whose certificate the server did not send: either the server leaves out an \
             intermediate certificate, which its owner must add, or that is a private authority; {option}",
            last.issuer
        )
    }
}

/// A subject name as rustls writes it, `DnsName("example.com")`, without the dressing.
fn plain_name(entry: &str) -> String {
    let inner = entry.split_once('(').map_or(entry, |(_, rest)| rest.trim_end_matches(')'));
    inner.trim_matches('"').to_owned()
}

/// At most this many of a certificate's names are told: some have hundreds.
const NAMES_TOLD: usize = 6;

fn presented_as_words(presented: &[String]) -> String {
    match presented {
        [] => "it names nobody".to_owned(),
        names if names.len() <= NAMES_TOLD => format!("it is for {}", names.join(", ")),
        names => format!("it is for {} and {} more", names[..NAMES_TOLD].join(", "), names.len() - NAMES_TOLD),
    }
}

fn on_date(date: Option<Date>) -> String {
    date.map(|date| format!(" on {date}")).unwrap_or_default()
}

fn from_date(date: Option<Date>) -> String {
    date.map(|date| format!(", only from {date}")).unwrap_or_default()
}

fn alert_as_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::HandshakeFailure => "no version, cipher suite or key in common".to_owned(),
        AlertDescription::ProtocolVersion => "it speaks only versions older than TLS 1.2".to_owned(),
        AlertDescription::UnrecognisedName => "it serves no site of this name".to_owned(),
        AlertDescription::NoApplicationProtocol => "no application protocol in common".to_owned(),
        AlertDescription::CertificateRequired => {
            "it wants a certificate from the client; give one with --cert and --key".to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => {
            format!("it does not accept the client's certificate ({alert:?}); ask its owner for one that it knows")
        }
        AlertDescription::InternalError => "an error inside the server".to_owned(),
        other => format!("alert {other:?}"),
    }
}
