//! A table of names in the form of hosts(5), where one is asked for.

use std::collections::HashMap;
use std::net::IpAddr;

/// Names with the addresses that stand for them, before any server is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    addresses: HashMap<String, Vec<IpAddr>>,
    names: HashMap<IpAddr, Vec<String>>,
}

impl Hosts {
    /// Reads lines of an address and its names; `#` begins a comment. What is no such line is passed over, as the
    /// system's own resolver does.
    pub fn parse(text: &str) -> Self {
        let mut hosts = Self::default();
        for line in text.lines() {
            let content = line.split('#').next().unwrap_or_default();
            let mut words = content.split_ascii_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
            for name in words {
                let name = key(name);
                hosts.names.entry(address).or_default().push(name.clone());
                hosts.addresses.entry(name).or_default().push(address);
            }
        }
        hosts
    }

    /// The addresses of `name`, in the file's order; `None` when the table does not know it.
    pub fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.addresses.get(&key(name)).map(Vec::as_slice)
    }

    /// The names of `address`, the first of them its own.
    pub fn names(&self, address: IpAddr) -> &[String] {
        self.names.get(&address).map_or(&[], Vec::as_slice)
    }
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::Hosts;

    #[test]
    fn names_and_addresses_are_found_both_ways_and_nonsense_is_passed_over() {
        let hosts =
            Hosts::parse("# table\n192.0.2.1 One one.example # first\n\nnonsense here\n192.0.2.2\tone\n::1 six\n");
        let both = ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        assert_eq!(hosts.addresses("ONE."), Some(&both[..]));
        assert_eq!(hosts.names(both[0]), ["one", "one.example"]);
        assert_eq!(hosts.addresses("here"), None);
        assert_eq!(hosts.addresses("six").map(<[_]>::len), Some(1));
    }
}
