//! The zones that most tests share, well and badly signed, with their servers running.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::servers::Server;
use super::zones::Zone;
use crate::world::{Tap, World};

/// A root of its own with `test` below it, both on named, and the zones below `test` on knotd:
///
/// | zone | what it is |
/// | --- | --- |
/// | `good.test` | signed; `www` A 192.0.2.1, `alias` CNAME `www`, `away` CNAME `www.unsigned.test`, `*.wild` A 192.0.2.7, `many` TXT more than a datagram holds, `one` and `two` CNAME of each other, and a record of each kind |
/// | `hashed.test` | signed with NSEC3; `www` A 192.0.2.3 |
/// | `unsigned.test` | not signed, and `test` proves it; `www` A 192.0.2.2 |
/// | `wide.test` | signed with NSEC3 and opt-out; `deep.wide.test` below it is not signed, with `www` A 192.0.2.2 |
/// | `stripped.test` | `test` says it is signed, and it is not |
/// | `expired.test` | signed until 2020 |
/// | `early.test` | signed from 2090 on |
/// | `altered.test` | signed, and then the address of `www` was changed |
/// | `rekeyed.test` | the DS in `test` is of another key |
/// | `keyless.test` | signed, and then its DNSKEY was taken away |
/// | `half.test` | `www` has two servers, of which the first is lame |
/// | `lame.test` | its only server does not know it |
/// | `dead.test` | its first server is a host that is not there |
pub struct Tree<'a> {
    /// The server of the root and `test`.
    pub top: Server<'a>,
    /// The server of what is below `test`.
    pub below: Server<'a>,
    /// The root zone, whose key is the trust anchor.
    pub root: Zone,
    /// The zone `good.test`.
    pub good: Zone,
    hints: PathBuf,
}

impl<'a> Tree<'a> {
    /// Signs the zones and starts the servers, on addresses 3 and 4 of the device's network.
    ///
    /// # Panics
    ///
    /// When a server does not start.
    #[must_use]
    pub fn start(world: &'a World, tap: &Tap) -> Self {
        Self::start_with(world, tap, "")
    }

    /// The same with further records in `test`.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(world: &'a World, tap: &Tap, records: &str) -> Self {
        let (top, below) = (Self::top_address(tap), Self::below_address(tap));
        for address in [top, below] {
            tap.further_address(world, address);
        }
        let many: String = (0..60).map(|n| format!("many TXT \"this is record number {n} of sixty\"\n")).collect();
        let good = Zone::signed(
            world,
            "good.test.",
            below,
            &format!(
                "www A 192.0.2.1\nwww AAAA 2001:db8::1\nalias CNAME www\naway CNAME www.unsigned.test.\n\
                 *.wild A 192.0.2.7\none CNAME two\ntwo CNAME one\n@ MX 10 mail\n@ TXT \"wharf was here\"\n\
                 @ CAA 0 issue \"ca.test\"\n_http._tcp SRV 1 2 80 www\n@ HTTPS 1 . alpn=h2,h3 port=8443\n\
                 ptr PTR www\n{many}"
            ),
            &[],
        );
        let www = |address: &str| format!("www A {address}\n*.wild A 192.0.2.7\n");
        let signed = |name: &str, options: &[&str]| Zone::signed(world, name, below, &www("192.0.2.3"), options);
        let unsigned = |name: &str| Zone::unsigned(world, name, below, &www("192.0.2.2"));
        let hashed = signed("hashed.test.", &["-3", "-", "-H", "0"]);
        let expired = signed("expired.test.", &["-s", "20200101000000", "-e", "20200201000000"]);
        let early = signed("early.test.", &["-s", "20900101000000", "-e", "20900201000000"]);
        let altered = signed("altered.test.", &[]).edited(|text| text.replace("192.0.2.3", "192.0.2.66"));
        let rekeyed = signed("rekeyed.test.", &[]);
        let keyless = signed("keyless.test.", &[]).edited(without_keys);
        let stripped = unsigned("stripped.test.");
        let plain = unsigned("unsigned.test.");
        let deep = unsigned("deep.wide.test.");
        let wide = Zone::signed(
            world,
            "wide.test.",
            below,
            &format!("deep NS ns.deep\nns.deep A {below}\n"),
            &["-3", "-", "-H", "0", "-A"],
        );
        let (half, dead) = (unsigned("half.test."), unsigned("dead.test."));
        let mut delegations = String::new();
        let zones =
            [&good, &hashed, &wide, &expired, &early, &altered, &rekeyed, &keyless, &stripped, &plain, &half, &dead];
        for zone in zones {
            delegations += &format!("{0} NS ns.{0}\nns.{0} A {below}\n", zone.name());
            if zone.name() != rekeyed.name() {
                delegations += zone.ds();
            }
        }
        // Keys that sign nothing here.
        for (zone, key) in [("stripped.test.", &good), ("rekeyed.test.", &hashed)] {
            delegations += &key.ds().replace(key.name(), zone);
        }
        // The root's server knows nothing of these, and nobody is at 66.
        delegations += &format!("half.test. NS ns.lame.test.\nlame.test. NS ns.lame.test.\nns.lame.test. A {top}\n");
        delegations += &format!("dead.test. NS gone.dead.test.\ngone.dead.test. A {}\n", tap.host(66));
        delegations += records;
        let test = Zone::signed(world, "test.", top, &delegations, &[]);
        let root = Zone::signed(world, ".", top, &format!("test. NS ns.test.\nns.test. A {top}\n{}", test.ds()), &[]);
        let hints = world.path("hints");
        fs::write(&hints, format!(". 3600 NS ns.\nns. 3600 A {top}\n")).expect("the test's directory takes files");
        let all: Vec<&Zone> = zones.into_iter().chain([&deep]).collect();
        let below = Server::knot(world, below, &all);
        let top = Server::named(world, top, &[&root, &test]);
        Self { top, below, root, good, hints }
    }

    /// Where the root and `test` are served.
    #[must_use]
    pub fn top_address(tap: &Tap) -> Ipv4Addr {
        tap.host(3)
    }

    /// Where the zones below `test` are served.
    #[must_use]
    pub fn below_address(tap: &Tap) -> Ipv4Addr {
        tap.host(4)
    }

    /// The file of root hints.
    #[must_use]
    pub fn hints(&self) -> &Path {
        &self.hints
    }

    /// The options by which `wharf nslookup` begins at this root.
    #[must_use]
    pub fn recursive(&self) -> Vec<String> {
        ["--recursive".to_owned(), "--root-hints".to_owned(), self.hints.to_string_lossy().into_owned()].to_vec()
    }

    /// The options by which it trusts this root.
    #[must_use]
    pub fn dnssec(&self) -> Vec<String> {
        ["--dnssec".to_owned(), "--anchor".to_owned(), self.root.anchor().to_string_lossy().into_owned()].to_vec()
    }
}

/// A signed zone file without its DNSKEY records and their signatures: records are several lines long in parentheses.
fn without_keys(text: &str) -> String {
    let mut kept = String::new();
    let mut skipping = false;
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_key = words.contains(&"DNSKEY") && !words.contains(&"NSEC");
        if !skipping && is_key {
            skipping = line.contains('(') && !line.contains(')');
            continue;
        }
        if skipping {
            skipping = !line.contains(')');
            continue;
        }
        kept += line;
        kept.push('\n');
    }
    kept
}
