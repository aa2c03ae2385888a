//! `wharf ping` and `wharf nslookup` against the kernel and dnsmasq over TAP.

use wharf_interop::{Names, in_namespace};

#[test]
fn the_kernel_answers_ping() {
    in_namespace(|world| {
        let tap = world.tap();
        let _names = Names::dhcp_and_dns(world, &tap, &[]);
        let run = world.wharf(&["ping", "files.test", "-c", "3", "--link", &tap.link()]).run().succeeded();
        assert!(run.stdout.contains("10.9.0.1"), "{run}");
        assert!(run.stdout.contains("ttl=64") || run.stdout.contains("ttl 64"), "{run}");
    });
}

#[test]
fn ping_of_nobody_fails() {
    in_namespace(|world| {
        let tap = world.tap();
        let _names = Names::dhcp_and_dns(world, &tap, &[]);
        let run = world.wharf(&["ping", "silent.test", "-c", "1", "--link", &tap.link()]).run();
        assert!(!run.success(), "{run}");
    });
}

#[test]
fn nslookup_knows_the_record_types() {
    in_namespace(|world| {
        let tap = world.tap();
        let _names = Names::dhcp_and_dns(world, &tap, &[]);
        for (arguments, expected) in [
            (&["files.test"][..], &["10.9.0.1"][..]),
            (&["files.test", "A"], &["10.9.0.1"]),
            (&["files.test", "AAAA"], &["2001:db8::1"]),
            (&["files.test", "TXT"], &["wharf was here"]),
            (&["files.test", "MX"], &["10", "mail.test"]),
            (&["_http._tcp.test", "SRV"], &["files.test", "80"]),
            (&["alias.test", "CNAME"], &["files.test"]),
            (&["10.9.0.1"], &["files.test"]),
        ] {
            let mut command = vec!["nslookup"];
            command.extend(arguments);
            let link = tap.link();
            command.extend(["--link", &link]);
            let run = world.wharf(&command).run().succeeded();
            for expected in expected {
                assert!(run.stdout.contains(expected), "{expected} is missing: {run}");
            }
        }
    });
}

#[test]
fn an_answer_too_large_for_a_datagram_comes_over_tcp() {
    in_namespace(|world| {
        let tap = world.tap();
        // The server is held to datagrams of 512 bytes, so that EDNS does not hide the fallback.
        let names = Names::dhcp_and_dns(world, &tap, &["--edns-packet-max=512"]);
        let run = world.wharf(&["nslookup", "many.test", "TXT", "--link", &tap.link()]).run().succeeded();
        for n in 0..40 {
            assert!(run.stdout.contains(&format!("record number {n} of")), "{n}: {run}\n{}", names.log());
        }
    });
}

#[test]
fn nslookup_of_a_missing_name_says_so() {
    in_namespace(|world| {
        let tap = world.tap();
        let _names = Names::dhcp_and_dns(world, &tap, &[]);
        let _ = world
            .wharf(&["nslookup", "missing.test", "--link", &tap.link()])
            .run()
            .failed_saying(&["missing.test", "not exist|NXDOMAIN"]);
    });
}
