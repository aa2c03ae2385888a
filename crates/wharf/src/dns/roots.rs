//! Where recursion begins: the addresses of the root's servers.

use std::net::{IpAddr, Ipv4Addr};

use hickory_resolver::proto::rr::RData;

use super::zone_text;

/// The addresses of the root servers a to m (<https://www.iana.org/domains/root/servers>).
const IANA: [Ipv4Addr; 13] = [
    Ipv4Addr::new(198, 41, 0, 4),
    Ipv4Addr::new(170, 247, 170, 2),
    Ipv4Addr::new(192, 33, 4, 12),
    Ipv4Addr::new(199, 7, 91, 13),
    Ipv4Addr::new(192, 203, 230, 10),
    Ipv4Addr::new(192, 5, 5, 241),
    Ipv4Addr::new(192, 112, 36, 4),
    Ipv4Addr::new(198, 97, 190, 53),
    Ipv4Addr::new(192, 36, 148, 17),
    Ipv4Addr::new(192, 58, 128, 30),
    Ipv4Addr::new(193, 0, 14, 129),
    Ipv4Addr::new(199, 7, 83, 42),
    Ipv4Addr::new(202, 12, 27, 33),
];

/// The servers of the root zone, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootHints {
    addresses: Vec<IpAddr>,
}

impl RootHints {
    /// The Internet's root.
    pub fn iana() -> Self {
        Self { addresses: IANA.into_iter().map(IpAddr::V4).collect() }
    }

    /// A root at these addresses; `None` without any.
    pub fn at(addresses: Vec<IpAddr>) -> Option<Self> {
        (!addresses.is_empty()).then_some(Self { addresses })
    }

    /// The root whose servers' addresses stand in `text`, a zone file like InterNIC's `named.root`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let records = zone_text::parse(text)?;
        let addresses = records.iter().filter_map(|record| match &record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            _ => None,
        });
        Self::at(addresses.collect()).ok_or_else(|| "it holds no A record of a root server".to_owned())
    }

    /// The addresses.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Whether this is a root in a private network.
    pub(super) fn are_private(&self) -> bool {
        self.addresses.iter().copied().any(Self::is_private)
    }

    /// Whether an address is one of those that anybody may use for a network of his own: RFC 1918, RFC 6598, and
    /// RFC 5737's for examples.
    pub(super) fn is_private(address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else { return false };
        let [a, b, ..] = address.octets();
        address.is_private() || address.is_documentation() || (a == 100 && b & 0xc0 == 64)
    }
}
