//! What a look-up gives: records in plain types, independent of the crate that fetched them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use hickory_resolver::proto::rr::{self, RData, RecordType};

use super::dnssec::{Link, Security};

/// The kinds of records that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// IPv4 addresses (RFC 1035).
    A,
    /// IPv6 addresses (RFC 3596).
    Aaaa,
    /// Who may issue certificates for this name (RFC 8659).
    Caa,
    /// The name that this one is an alias of (RFC 1035).
    Cname,
    /// How this name's web server is reached (RFC 9460).
    Https,
    /// Where mail for this domain goes (RFC 1035).
    Mx,
    /// The servers of this zone (RFC 1035).
    Ns,
    /// The name of an address (RFC 1035).
    Ptr,
    /// The zone's own record (RFC 1035).
    Soa,
    /// Where a service is (RFC 2782).
    Srv,
    /// Text (RFC 1035).
    Txt,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::A,
        Self::Aaaa,
        Self::Caa,
        Self::Cname,
        Self::Https,
        Self::Mx,
        Self::Ns,
        Self::Ptr,
        Self::Soa,
        Self::Srv,
        Self::Txt,
    ];

    pub(super) fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Caa => RecordType::CAA,
            Self::Cname => RecordType::CNAME,
            Self::Https => RecordType::HTTPS,
            Self::Mx => RecordType::MX,
            Self::Ns => RecordType::NS,
            Self::Ptr => RecordType::PTR,
            Self::Soa => RecordType::SOA,
            Self::Srv => RecordType::SRV,
            Self::Txt => RecordType::TXT,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Caa => "CAA",
            Self::Cname => "CNAME",
            Self::Https => "HTTPS",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Ptr => "PTR",
            Self::Soa => "SOA",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.to_string().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(Self::to_string).collect();
            format!("no record type {text:?}; known are {}", known.join(", "))
        })
    }
}

/// The answer to a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The name that was asked for, completed as far as it was.
    pub name: String,
    /// Who answered.
    pub origin: Origin,
    /// How far it may be believed.
    pub security: Security,
    /// The zones through which trust came to it, from the anchor on; empty when nobody checked.
    pub chain: Vec<Link>,
    /// The records, aliases first in the order in which they lead to the others.
    pub records: Vec<Record>,
}

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This server, now or when its answer was remembered.
    Server(SocketAddr),
    /// The servers of the zones, asked from the root down.
    Recursion,
    /// The table of hosts.
    Hosts,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The name that has it, without the final dot.
    pub name: String,
    /// Seconds for which it may be remembered.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says. Names are without their final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Who may issue certificates.
    Caa {
        /// Whether an authority that does not know the tag must issue none.
        critical: bool,
        /// What is said: `issue`, `issuewild`, `iodef` and others.
        tag: String,
        /// Of whom.
        value: String,
    },
    /// The name behind an alias.
    Cname(String),
    /// How a web server is reached.
    Https {
        /// Lower is preferred; 0 makes an alias of it.
        priority: u16,
        /// The host; empty for the record's own name.
        target: String,
        /// Parameters such as `alpn` with their values.
        parameters: Vec<(String, String)>,
    },
    /// A host that takes mail.
    Mx {
        /// Lower is preferred.
        preference: u16,
        /// The host.
        exchange: String,
    },
    /// A server of the zone.
    Ns(String),
    /// The name of an address.
    Ptr(String),
    /// The zone's own record.
    Soa {
        /// The primary server.
        primary: String,
        /// The mailbox of the one in charge, with a dot for the at sign.
        mailbox: String,
        /// The zone's version.
        serial: u32,
        /// Seconds until a secondary server looks for a new version.
        refresh: i32,
        /// Seconds until it tries again after a failure.
        retry: i32,
        /// Seconds until it gives up.
        expire: i32,
        /// Seconds for which "there is none" may be remembered.
        minimum: u32,
    },
    /// Where a service is.
    Srv {
        /// Lower is preferred.
        priority: u16,
        /// The share among equals.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        target: String,
    },
    /// Text: the strings of the record joined, bytes that are no UTF-8 replaced.
    Txt(String),
    /// A record of a kind that was not asked for.
    Other {
        /// Its type, such as `RRSIG`.
        kind: String,
        /// Its content as hickory writes it.
        text: String,
    },
}

impl Record {
    /// The record that hickory read.
    pub(super) fn from_hickory(record: &rr::Record) -> Self {
        Self { name: plain(&record.name), ttl: record.ttl, data: Data::from_hickory(&record.data) }
    }

    /// The record's type as it is written in zone files.
    pub fn kind(&self) -> String {
        let kind = match &self.data {
            Data::A(_) => Kind::A,
            Data::Aaaa(_) => Kind::Aaaa,
            Data::Caa { .. } => Kind::Caa,
            Data::Cname(_) => Kind::Cname,
            Data::Https { .. } => Kind::Https,
            Data::Mx { .. } => Kind::Mx,
            Data::Ns(_) => Kind::Ns,
            Data::Ptr(_) => Kind::Ptr,
            Data::Soa { .. } => Kind::Soa,
            Data::Srv { .. } => Kind::Srv,
            Data::Txt(_) => Kind::Txt,
            Data::Other { kind, .. } => return kind.clone(),
        };
        kind.to_string()
    }
}

impl Data {
    fn from_hickory(data: &RData) -> Self {
        match data {
            RData::A(address) => Self::A(address.0),
            RData::AAAA(address) => Self::Aaaa(address.0),
            RData::CAA(caa) => Self::Caa {
                critical: caa.issuer_critical,
                tag: caa.tag.clone(),
                value: String::from_utf8_lossy(&caa.value).into_owned(),
            },
            RData::CNAME(name) => Self::Cname(plain(name)),
            RData::HTTPS(https) => Self::Https {
                priority: https.svc_priority,
                target: plain(&https.target_name),
                parameters: https
                    .svc_params
                    .iter()
                    .map(|(key, value)| (key.to_string(), value.to_string().trim_end_matches(',').to_owned()))
                    .collect(),
            },
            RData::MX(mx) => Self::Mx { preference: mx.preference, exchange: plain(&mx.exchange) },
            RData::NS(name) => Self::Ns(plain(name)),
            RData::PTR(name) => Self::Ptr(plain(name)),
            RData::SOA(soa) => Self::Soa {
                primary: plain(&soa.mname),
                mailbox: plain(&soa.rname),
                serial: soa.serial,
                refresh: soa.refresh,
                retry: soa.retry,
                expire: soa.expire,
                minimum: soa.minimum,
            },
            RData::SRV(srv) => {
                Self::Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: plain(&srv.target) }
            }
            RData::TXT(txt) => {
                let bytes: Vec<u8> = txt.txt_data.iter().flat_map(|part| part.iter().copied()).collect();
                Self::Txt(String::from_utf8_lossy(&bytes).into_owned())
            }
            other => Self::Other { kind: other.record_type().to_string(), text: other.to_string() },
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => write!(f, "{address}"),
            Self::Aaaa(address) => write!(f, "{address}"),
            Self::Cname(name) | Self::Ns(name) | Self::Ptr(name) => write!(f, "{name}"),
            Self::Caa { critical, tag, value } => {
                write!(f, "{} {} \"{}\"", u8::from(*critical) << 7, tag.escape_debug(), value.escape_debug())
            }
            Self::Https { priority, target, parameters } => {
                write!(f, "{priority} {}", if target.is_empty() { "." } else { target })?;
                parameters.iter().try_for_each(|(key, value)| match value.is_empty() {
                    true => write!(f, " {}", key.escape_debug()),
                    false => write!(f, " {}={}", key.escape_debug(), value.escape_debug()),
                })
            }
            Self::Mx { preference, exchange } => write!(f, "{preference} {exchange}"),
            Self::Soa { primary, mailbox, serial, refresh, retry, expire, minimum } => {
                write!(f, "{primary} {mailbox} {serial} {refresh} {retry} {expire} {minimum}")
            }
            Self::Srv { priority, weight, port, target } => write!(f, "{priority} {weight} {port} {target}"),
            // A record's text is the other side's: control characters must not reach a terminal.
            Self::Txt(text) => write!(f, "\"{}\"", text.escape_debug()),
            Self::Other { text, .. } => write!(f, "{}", text.escape_debug()),
        }
    }
}

/// A name as people write it: without the final dot, escapes kept.
pub(super) fn plain(name: &rr::Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some("") | None => text,
        Some(bare) => bare.to_owned(),
    }
}
