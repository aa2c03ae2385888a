//! `wharf nslookup` against servers with zones of their own below a root of their own: recursion, DNSSEC, TLS, HTTPS,
//! and servers that lie.

use wharf_interop::dns::Tree;
use wharf_interop::{Finished, Tap, World, in_namespace};

/// The options by which Wharf is host 2 of the network; nobody is asked for names.
fn by_hand(tap: &Tap) -> Vec<String> {
    let options =
        ["--link", &tap.link(), "--address", &format!("{}/24", tap.host(2)), "--gateway", &tap.address.to_string()];
    options.map(str::to_owned).to_vec()
}

fn nslookup(world: &World, tap: &Tap, words: &[&str], options: &[Vec<String>]) -> Finished {
    let mut arguments = vec!["nslookup"];
    arguments.extend(words);
    let options: Vec<String> = options.iter().flatten().cloned().chain(by_hand(tap)).collect();
    arguments.extend(options.iter().map(String::as_str));
    world.wharf(&arguments).run()
}

#[test]
fn the_zones_are_asked_from_the_root_down() {
    in_namespace(|world| {
        let tap = world.tap();
        let tree = Tree::start(world, &tap);
        for (words, expected) in [
            (&["www.good.test"][..], &["192.0.2.1", "2001:db8::1"][..]),
            (&["alias.good.test", "A"], &["alias.good.test  CNAME  www.good.test", "192.0.2.1"]),
            (&["away.good.test", "A"], &["192.0.2.2"]),
            (&["any.wild.good.test", "A"], &["192.0.2.7"]),
            (&["many.good.test", "TXT"], &["record number 0 of", "record number 59 of"]),
            (&["good.test", "MX"], &["10 mail.good.test"]),
            (&["good.test", "NS"], &["ns.good.test"]),
            (&["good.test", "SOA"], &["ns.good.test hostmaster.good.test 1 3600"]),
            (&["good.test", "TXT"], &["wharf was here"]),
            (&["good.test", "CAA"], &["0 issue \"ca.test\""]),
            (&["good.test", "HTTPS"], &["1 . alpn=h2,h3 port=8443"]),
            (&["_http._tcp.good.test", "SRV"], &["1 2 80 www.good.test"]),
            (&["ptr.good.test", "PTR"], &["www.good.test"]),
            // One server of two is lame; one of two is not there.
            (&["www.half.test", "A"], &["192.0.2.2"]),
            (&["www.dead.test", "A"], &["192.0.2.2"]),
        ] {
            let run = nslookup(world, &tap, words, &[tree.recursive(), vec!["--trace".to_owned()]]).succeeded();
            for expected in expected {
                assert!(run.stdout.contains(expected), "{expected} is missing: {run}");
            }
        }
    });
}

#[test]
fn names_that_lead_nowhere_are_told_each_in_its_way() {
    in_namespace(|world| {
        let tap = world.tap();
        let tree = Tree::start(world, &tap);
        for (words, said) in [
            (&["nobody.good.test", "A"][..], &["nobody.good.test does not exist"][..]),
            (&["www.good.test", "MX"], &["www.good.test exists but has no MX"]),
            (&["one.good.test", "A"], &["one.good.test lead nowhere", "leads back to one.good.test"]),
            (&["www.lame.test", "A"], &["www.lame.test cannot be looked up from the root", "10.9.0.3:53 is lame"]),
        ] {
            let _ = nslookup(world, &tap, words, &[tree.recursive()]).failed_saying(said);
        }
        // Each server is asked for the next label and no more: the root never hears the whole name.
        assert!(tree.top.log().contains("query: test IN NS"), "{}", tree.top.log());
        assert!(!tree.top.log().contains("query: nobody.good.test"), "{}", tree.top.log());
    });
}

#[test]
fn dnssec_proves_what_is_signed_and_what_need_not_be() {
    in_namespace(|world| {
        let tap = world.tap();
        let tree = Tree::start(world, &tap);
        let chain = "secure: . (key";
        for (words, expected) in [
            (&["www.good.test"][..], &[chain, "good.test (key", "192.0.2.1", "2001:db8::1"][..]),
            (&["alias.good.test", "A"], &[chain, "192.0.2.1"]),
            (&["any.wild.good.test", "A"], &[chain, "192.0.2.7"]),
            (&["many.good.test", "TXT"], &[chain, "record number 59 of"]),
            (&["www.hashed.test", "A"], &[chain, "192.0.2.3"]),
            (&["www.unsigned.test", "A"], &["insecure: the zone unsigned.test is proven to be unsigned", "192.0.2.2"]),
            // The alias is signed, and what it leads to is not.
            (&["away.good.test", "A"], &["insecure: the zone unsigned.test", "192.0.2.2"]),
        ] {
            let run = nslookup(world, &tap, words, &[tree.recursive(), tree.dnssec()]).succeeded();
            for expected in expected {
                assert!(run.stdout.contains(expected), "{expected} is missing: {run}");
            }
        }
        for (words, said) in [
            (&["nobody.good.test", "A"][..], "nobody.good.test does not exist"),
            (&["www.good.test", "MX"], "has no MX"),
            (&["nobody.hashed.test", "A"], "nobody.hashed.test does not exist"),
            (&["www.hashed.test", "MX"], "has no MX"),
            (&["nobody.unsigned.test", "A"], "nobody.unsigned.test does not exist"),
            (&["nobody.test", "A"], "nobody.test does not exist"),
        ] {
            let run = nslookup(world, &tap, words, &[tree.recursive(), tree.dnssec()]).failed_saying(&[said]);
            assert_eq!(run.status.code(), Some(1), "{run}");
        }
    });
}

#[test]
fn dnssec_refuses_each_broken_zone_with_its_reason() {
    in_namespace(|world| {
        let tap = world.tap();
        let tree = Tree::start(world, &tap);
        for (name, said) in [
            ("www.stripped.test", &["in the zone stripped.test", "DNSKEY record of stripped.test", "missing"][..]),
            ("www.expired.test", &["in the zone expired.test", "expired on 2020-02-01 00:00 UTC"]),
            ("www.early.test", &["in the zone early.test", "valid only from 2090-01-01"]),
            (
                "www.altered.test",
                &["in the zone altered.test, the A record of www.altered.test", "does not fit its signature"],
            ),
            ("www.rekeyed.test", &["the DNSKEY record of rekeyed.test", "the parent zone's DS record names key"]),
            ("www.keyless.test", &["the DNSKEY record of keyless.test", "missing"]),
        ] {
            let run = nslookup(world, &tap, &[name, "A"], &[tree.recursive(), tree.dnssec()]).failed_saying(said);
            assert_eq!(run.status.code(), Some(5), "{run}");
            assert!(!run.stdout.contains("192.0.2"), "{run}");
            // Who does not ask for proof gets the answer.
            nslookup(world, &tap, &[name, "A"], &[tree.recursive()]).expect_success();
        }
        let wrong = ["--dnssec".to_owned()].to_vec();
        let _ = nslookup(world, &tap, &["www.good.test", "A"], &[tree.recursive(), wrong])
            .failed_saying(&["the DNSKEY record of .", "the trust anchor is keys 20326, 38696"]);
    });
}
