//! `wharf nslookup` against servers with zones of their own below a root of their own: recursion, DNSSEC, TLS, HTTPS,
//! and servers that lie.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use wharf::Net;
use wharf::dns::{Kind, Resolver, RootHints};
use wharf_interop::dns::{Question, Scripted, Tree, Unbound};
use wharf_interop::{Finished, Tap, World, in_namespace};

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

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
            (&["any.wild.hashed.test", "A"], &[chain, "192.0.2.7"]),
            (&["www.unsigned.test", "A"], &["insecure: the zone unsigned.test is proven to be unsigned", "192.0.2.2"]),
            (&["www.deep.wide.test", "A"], &["insecure: the zone deep.wide.test is proven", "192.0.2.2"]),
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
            (&["any.wild.good.test", "MX"], "has no MX"),
            (&["any.wild.hashed.test", "MX"], "has no MX"),
            // Nothing is there, but something below.
            (&["wild.good.test", "A"], "has no A"),
            (&["wild.hashed.test", "A"], "has no A"),
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

#[test]
fn unbound_answers_in_the_clear_over_tls_and_over_https() {
    in_namespace(|world| {
        let tap = world.tap();
        let tree = Tree::start(world, &tap);
        let address = tap.host(5);
        tap.further_address(world, address);
        let unbound = Unbound::start(
            world,
            address,
            Tree::top_address(&tap),
            Some(&tree.root),
            &["dns.test", &address.to_string()],
        );
        let plain = format!("@{address}");
        let named = format!("@{address}#dns.test");
        let ca = words(&["--ca", &world.ca_file().to_string_lossy()]);
        let (tls, https) = (words(&["--tls"]), words(&["--https"]));
        for (server, options) in [
            (&plain, vec![]),
            (&plain, vec![tls.clone(), ca.clone()]),
            (&named, vec![tls.clone(), ca.clone()]),
            (&plain, vec![https.clone(), ca.clone()]),
            (&named, vec![https.clone(), ca.clone(), tree.dnssec()]),
            (&plain, vec![tree.dnssec()]),
        ] {
            let run = nslookup(world, &tap, &["many.good.test", "TXT", server], &options).succeeded();
            assert!(run.stdout.contains("record number 59 of"), "{run}");
            let is_proven = run.stdout.contains("DNSSEC:  secure: . (key");
            assert_eq!(is_proven, options.contains(&tree.dnssec()), "{run}");
        }
        // unbound keeps what is bogus to itself; whoever validates himself hears it, and says what is wrong.
        let _ = nslookup(world, &tap, &["www.altered.test", "A", &plain], &[]).failed_saying(&["SERVFAIL"]);
        let _ = nslookup(world, &tap, &["www.altered.test", "A", &plain], &[tree.dnssec()])
            .failed_saying(&["the A record of www.altered.test does not fit its signature"]);
        let run = nslookup(world, &tap, &["www.unsigned.test", "A", &plain], &[tree.dnssec()]).succeeded();
        assert!(run.stdout.contains("insecure: the zone unsigned.test"), "{run}");
        // Servers that are not who they should be.
        for (server, options, said) in [
            (&plain, vec![tls.clone()], "authority that is not trusted"),
            (&plain, vec![https.clone()], "authority that is not trusted"),
            (&format!("@{address}#other.test"), vec![tls.clone(), ca.clone()], "certificate is for another name"),
            (&format!("@{address}#other.test"), vec![https, ca], "certificate is for another name"),
        ] {
            let run = nslookup(world, &tap, &["www.good.test", "A", server], &options).failed_saying(&["TLS:", said]);
            assert_eq!(run.status.code(), Some(5), "{run}");
        }
        // A server by its name, which the network's own server knows.
        let dns = words(&["--dns", &address.to_string()]);
        let run = nslookup(world, &tap, &["www.good.test", "A", "@ns.good.test"], &[dns]).succeeded();
        assert!(run.stdout.contains(&format!("Server:  {}", Tree::below_address(&tap))), "{run}");
        assert!(unbound.log().contains("many.good.test. TXT IN"), "{}", unbound.log());
    });
}

#[test]
fn trust_may_begin_at_a_digest_or_in_the_middle() {
    in_namespace(|world| {
        let tap = world.tap();
        let tree = Tree::start(world, &tap);
        let digest = world.path("root.ds");
        fs::write(&digest, tree.root.ds()).unwrap();
        let anchor = |file: &Path| words(&["--dnssec", "--anchor", &file.to_string_lossy()]);
        let run = nslookup(world, &tap, &["www.good.test", "A"], &[tree.recursive(), anchor(&digest)]).succeeded();
        assert!(run.stdout.contains("secure: . (key"), "{run}");
        let island = anchor(tree.good.anchor());
        let run = nslookup(world, &tap, &["www.good.test", "A"], &[tree.recursive(), island.clone()]).succeeded();
        assert!(run.stdout.contains("secure: good.test (key"), "{run}");
        let _ = nslookup(world, &tap, &["www.hashed.test", "A"], &[tree.recursive(), island])
            .failed_saying(&["www.hashed.test is below no trust anchor"]);
        let _ = nslookup(world, &tap, &["www.good.test", "A"], &[tree.recursive(), anchor(tree.hints())])
            .failed_saying(&["hints cannot be read as trust anchors"]);
    });
}

#[test]
fn no_socket_of_the_kernels_is_opened_for_a_name() {
    in_namespace(|world| {
        let tap = world.tap();
        let tree = Tree::start(world, &tap);
        let address = tap.host(5);
        tap.further_address(world, address);
        let _unbound = Unbound::start(world, address, Tree::top_address(&tap), None, &[&address.to_string()]);
        let server = format!("@{address}");
        let ca = world.ca_file();
        let recursive = [tree.recursive(), tree.dnssec()].concat();
        for options in [recursive, words(&[&server, "--https", "--ca", &ca.to_string_lossy()])] {
            let arguments = [words(&["nslookup", "many.good.test", "TXT"]), options, by_hand(&tap)].concat();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let (command, trace) = world.wharf_traced("socket", &arguments);
            let run = command.run().succeeded();
            assert!(run.stdout.contains("record number 59 of"), "{run}");
            let trace = fs::read_to_string(trace).unwrap();
            assert!(!trace.contains("AF_INET"), "wharf opened a socket of the kernel's:\n{trace}");
        }
    });
}

#[test]
fn a_failing_and_a_silent_server_are_passed_over_and_the_trace_shows_it() {
    in_namespace(|world| {
        let tap = world.tap();
        let [failing, silent, good] = [6, 7, 8].map(|host| tap.host(host));
        for address in [failing, silent, good] {
            tap.further_address(world, address);
        }
        let failures = Scripted::start(failing, |question| vec![(question.code(2), None)]);
        let _silent = Scripted::start(silent, |_| Vec::new());
        let _good =
            Scripted::start(good, |question| vec![(question.addresses(&[&question.name], [192, 0, 2, 9]), None)]);
        let hosts = world.path("hosts");
        fs::write(&hosts, "192.0.2.77 printer\n").unwrap();
        let servers = words(&["--dns", &format!("{failing},{silent},{good}"), "--trace", "--search", "corp.example"]);
        let run = nslookup(world, &tap, &["h", "A"], std::slice::from_ref(&servers)).succeeded();
        assert!(run.stdout.contains("h.corp.example  A      192.0.2.9"), "{run}");
        assert!(run.stderr.contains(&format!("{failing}:53 UDP  h.corp.example A: SERVFAIL, nothing")), "{run}");
        assert!(run.stderr.contains(&format!("{good}:53 UDP  h.corp.example A: NOERROR, 1 record")), "{run}");
        assert_eq!(failures.asked("h.corp.example"), 1);
        let table = words(&["--hosts", &hosts.to_string_lossy(), "--json"]);
        let run = nslookup(world, &tap, &["printer", "A"], &[servers, table]).succeeded();
        assert!(run.stdout.contains("192.0.2.77") && run.stdout.contains("the table of hosts"), "{run}");
        assert_eq!(failures.asked("printer"), 0);
        // A server that knows nothing of signatures does not pass where they are asked for.
        let bare = words(&[&format!("@{good}"), "--dnssec"]);
        let _ = nslookup(world, &tap, &["h.example", "A"], &[bare])
            .failed_saying(&["the DNSKEY record of . is missing", "does the server know of DNSSEC"]);
    });
}

#[test]
fn options_that_contradict_each_other_or_name_no_file_are_refused() {
    in_namespace(|world| {
        let hints = world.path("hints");
        fs::write(&hints, "nothing of use\n").unwrap();
        let hints = hints.to_string_lossy();
        for (options, status, said) in [
            (&["--recursive", "@192.0.2.1"][..], 2, "leave out @SERVER"),
            (&["--recursive", "--tls"], 2, "cannot be used with"),
            (&["--root-hints", &hints], 2, "--recursive"),
            (&["--anchor", &hints], 2, "--dnssec"),
            (&["--ca", &hints], 2, "--ca is for --tls and --https"),
            (&["@192.0.2.1#name"], 2, "is for --tls and --https"),
            (&["@192.0.2.1", "@192.0.2.2"], 2, "at most"),
            (&["--recursive", "--root-hints", &hints], 3, "cannot be read as root hints"),
            (&["--dnssec", "--anchor", "/nowhere"], 3, "/nowhere cannot be read as trust anchors"),
            (&["--tls", "--ca", "/nowhere"], 3, "/nowhere"),
        ] {
            let arguments = [&["nslookup", "example.com"], options].concat();
            let run = world.wharf(&arguments).run().failed_saying(&[said]);
            assert_eq!(run.status.code(), Some(status), "{run}");
        }
    });
}

/// Runs the library's resolver on the device.
fn with_library(tap: &Tap, body: impl AsyncFnOnce(Net)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(body(tap.guest()));
}

#[test]
fn a_poisoned_answer_changes_nothing() {
    in_namespace(|world| {
        let tap = world.tap();
        let liar = tap.host(6);
        tap.further_address(world, liar);
        let evil = format!("evil.test. NS ns.evil.test.\nns.evil.test. A {liar}\n");
        let tree = Tree::start_with(world, &tap, &evil);
        let _liar = Scripted::start(liar, |question| {
            let forged = question.addresses(&[&question.name], [6, 6, 6, 6]);
            let mut other_id = forged.clone();
            other_id[0] ^= 1;
            let mut other_question = forged.clone();
            // Its first letter: another name of the same length.
            other_question[13] ^= 1;
            // The right answer comes with records of a zone that is none of this server's business.
            let right = question.addresses(&[&question.name, "www.good.test", "ns.good.test"], [192, 0, 2, 5]);
            let right = Question::with_additional(right, "ns.good.test", [6, 6, 6, 6]);
            let right = match question.kind {
                1 => right,
                _ => question.code(0),
            };
            vec![(other_id, None), (forged, Some(5353)), (other_question, None), (right, None)]
        });
        let hints = RootHints::parse(&fs::read_to_string(tree.hints()).unwrap()).unwrap();
        with_library(&tap, async |net| {
            let resolver = Resolver::new(&net).with_recursion(hints);
            for name in ["www.evil.test", "www.good.test"] {
                let answer = resolver.lookup(name, Kind::A).await.unwrap();
                let expected = if name == "www.evil.test" { [192, 0, 2, 5] } else { [192, 0, 2, 1] };
                assert_eq!(answer.addresses().collect::<Vec<_>>(), [IpAddr::from(expected)], "{answer:?}");
            }
            assert_eq!(resolver.addresses("ns.good.test").await.unwrap(), [IpAddr::from(Tree::below_address(&tap))]);
        });
    });
}

#[test]
fn fifty_equal_questions_at_once_reach_the_server_once_and_the_cache_answers_later_ones() {
    in_namespace(|world| {
        let tap = world.tap();
        let server = Scripted::start(tap.address, |question| {
            vec![(question.addresses(&[&question.name], [192, 0, 2, 1]), None)]
        });
        with_library(&tap, async |net| {
            let resolver = Resolver::new(&net).with_servers(vec![(tap.address, 53).into()]);
            let mut asking = tokio::task::JoinSet::new();
            for _ in 0..50 {
                let resolver = resolver.clone();
                asking.spawn(async move { resolver.lookup("h.example", Kind::A).await });
            }
            while let Some(answer) = asking.join_next().await {
                answer.unwrap().unwrap();
            }
            resolver.lookup("H.EXAMPLE", Kind::A).await.unwrap();
            assert_eq!(server.asked("h.example"), 1);
            resolver.lookup("g.example", Kind::A).await.unwrap();
            assert_eq!(server.asked("g.example"), 1);
        });
    });
}
