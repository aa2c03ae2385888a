//! Where recursion begins: the addresses of the root's servers.

use std::net::{IpAddr, Ipv4Addr};

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
        let lines = zone_text::lines(text)?;
        let addresses = lines.iter().filter_map(|line| address(line));
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

/// The address in a line that is an A record, whatever its owner: root servers have names of their own.
fn address(line: &str) -> Option<IpAddr> {
    let mut words = line.split_ascii_whitespace().skip_while(|word| !word.eq_ignore_ascii_case("A"));
    words.nth(1)?.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::RootHints;
    use crate::dns::{Anchors, Hosts};

    const NAMED_ROOT: &str = ";  This file holds the information on root name servers\n.    3600000      NS    \
        A.ROOT-SERVERS.NET.\nA.ROOT-SERVERS.NET.      3600000      A     198.41.0.4\nA.ROOT-SERVERS.NET. 3600000 AAAA \
        2001:503:ba3e::2:30\n.  3600000      NS    B.ROOT-SERVERS.NET.\nB.ROOT-SERVERS.NET. 3600000 IN A 170.247.170.2\n";

    #[test]
    fn hints_are_read_as_internic_writes_them() {
        let hints = RootHints::parse(NAMED_ROOT).unwrap();
        assert_eq!(hints.addresses(), &RootHints::iana().addresses()[..2]);
        assert!(!hints.are_private() && RootHints::parse("x A 10.9.0.3").unwrap().are_private());
        for wrong in ["", "; nothing", ". NS a.", "a. A 1.2.3", "a. A", "$TTL 5"] {
            assert!(RootHints::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn no_mutation_of_a_file_panics() {
        let texts = [
            NAMED_ROOT,
            ". 3600 IN DNSKEY 257 3 13 ( AAECAwQF ; id = 1\n BgcICQ== )\nsub.example. IN DS 1 13 2 00ff10\n",
            "192.0.2.1 one one.example # first\n::1 six\n",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        for round in 0..20_000 {
            let mut bytes = texts[round % texts.len()].as_bytes().to_vec();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                match random(4) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes.truncate(at + 1),
                    2 => bytes.insert(at, b"();$#. \n\\"[random(9)]),
                    _ => drop(bytes.remove(at)),
                }
                if bytes.is_empty() {
                    bytes.push(b'.');
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            let _ = RootHints::parse(&text);
            let _ = Anchors::parse(&text);
            let _ = Hosts::parse(&text);
        }
    }
}
