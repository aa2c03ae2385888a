//! Names that the gateway's resolver answers by itself: `--host NAME=ADDRESS`. Called by
//! [`dns_forwarder`](super::dns_forwarder).

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use super::dns_message::{
    CLASS_ANY, CLASS_IN, Name, Query, Record, ResponseCode, TYPE_A, TYPE_AAAA, TYPE_ANY, TYPE_PTR,
};

/// Why `NAME=ADDRESS` was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostError {
    /// There is no `=` in it.
    NoEquals(String),
    /// What stands before the `=` is no domain name.
    Name(String),
    /// What stands behind the `=` is no address.
    Address(String),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEquals(text) => write!(f, "`{text}` is not NAME=ADDRESS, as in example.com=93.184.216.34"),
            Self::Name(name) => {
                write!(f, "`{name}` is no domain name: labels of 1 to 63 ASCII characters, joined by dots")
            }
            Self::Address(address) => write!(f, "`{address}` is no IPv4 or IPv6 address"),
        }
    }
}

impl std::error::Error for HostError {}

/// Reads `NAME=ADDRESS`.
///
/// # Errors
/// [`HostError`] says which half is wrong.
pub fn parse_host(text: &str) -> Result<(String, IpAddr), HostError> {
    let (name, address) = text.split_once('=').ok_or_else(|| HostError::NoEquals(text.to_owned()))?;
    if Name::from_text(name).is_none() {
        return Err(HostError::Name(name.to_owned()));
    }
    let address = address.parse().map_err(|_| HostError::Address(address.to_owned()))?;
    Ok((name.to_owned(), address))
}

/// The names and what they lead to, both ways.
pub(super) struct FixedNames {
    addresses: HashMap<Name, Vec<IpAddr>>,
    names: HashMap<Name, Name>,
}

impl FixedNames {
    pub(super) fn new(hosts: &[(String, IpAddr)]) -> Result<Self, HostError> {
        let mut fixed = Self { addresses: HashMap::new(), names: HashMap::new() };
        for (text, address) in hosts {
            let name = Name::from_text(text).ok_or_else(|| HostError::Name(text.clone()))?;
            fixed.names.entry(Name::reverse_of(*address)).or_insert_with(|| name.clone());
            fixed.addresses.entry(name).or_default().push(*address);
        }
        Ok(fixed)
    }

    /// The answer to `query` if its name is one of these, at most `limit` bytes long. A name that is here but has no
    /// record of the wanted type gets an empty answer: its owner has spoken, nobody else is asked.
    pub(super) fn answer(&self, query: &Query<'_>, limit: usize) -> Option<Vec<u8>> {
        if query.class != CLASS_IN && query.class != CLASS_ANY {
            return None;
        }
        let wants = |kind| query.kind == kind || query.kind == TYPE_ANY;
        let records = if let Some(addresses) = self.addresses.get(&query.name) {
            addresses
                .iter()
                .filter_map(|address| match *address {
                    IpAddr::V4(v4) if wants(TYPE_A) => Some(Record::A(v4)),
                    IpAddr::V6(v6) if wants(TYPE_AAAA) => Some(Record::Aaaa(v6)),
                    _ => None,
                })
                .collect()
        } else {
            let name = self.names.get(&query.name)?;
            if wants(TYPE_PTR) { vec![Record::Ptr(name.clone())] } else { Vec::new() }
        };
        Some(query.answer(ResponseCode::NoError, &records, limit))
    }
}
