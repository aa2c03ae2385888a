//! `wharf wget` against nginx over TAP.

#![allow(clippy::print_stdout, reason = "what was seen is told")]

use std::fs;
use std::net::IpAddr;

use wharf_interop::{Finished, Names, Payload, Tap, Web, World, in_namespace, sha256_of_file};

const GIB: u64 = 1 << 30;

/// A TAP device with a DHCP and DNS server and a web server on it.
fn site(world: &World) -> (Tap, Names<'_>, Web) {
    let tap = world.tap();
    let names = Names::dhcp_and_dns(world, &tap, &[]);
    let web = Web::start(world, IpAddr::V4(tap.address), &["files.test", &tap.address.to_string()]);
    (tap, names, web)
}

fn report(what: &str, run: &Finished, bytes: u64) {
    println!("{what}: {:.2} Gbit/s", bytes as f64 * 8.0 / run.elapsed.as_nanos() as f64);
}

#[test]
fn a_gibibyte_over_http_and_no_inet_socket() {
    in_namespace(|world| {
        let (tap, _names, web) = site(world);
        let hash = Payload::new(10).write_file(&web.file("big.bin"), GIB);
        let got = world.path("got.bin");
        let (wget, trace) = world.wharf_traced(
            "socket",
            &["wget", "http://files.test/big.bin", "-O", &got.to_string_lossy(), "--link", &tap.link()],
        );
        let run = wget.run().succeeded();
        report("http over TAP", &run, GIB);
        assert_eq!(sha256_of_file(&got), hash);
        let trace = fs::read_to_string(trace).unwrap();
        assert!(!trace.contains("AF_INET"), "wharf opened a socket of the kernel's:\n{trace}");
    });
}

#[test]
fn a_gibibyte_over_https_by_the_test_authority_and_no_inet_socket() {
    in_namespace(|world| {
        let (tap, _names, web) = site(world);
        let hash = Payload::new(11).write_file(&web.file("big.bin"), GIB);
        let (got, ca) = (world.path("got.bin"), world.ca_file());
        let (wget, trace) = world.wharf_traced(
            "socket",
            &[
                "wget",
                "https://files.test/big.bin",
                "-O",
                &got.to_string_lossy(),
                "--ca",
                &ca.to_string_lossy(),
                "--link",
                &tap.link(),
            ],
        );
        let run = wget.run().succeeded();
        report("https over TAP", &run, GIB);
        assert_eq!(sha256_of_file(&got), hash);
        let trace = fs::read_to_string(trace).unwrap();
        assert!(!trace.contains("AF_INET"), "wharf opened a socket of the kernel's:\n{trace}");
    });
}

#[test]
fn an_unknown_authority_is_refused_by_name_and_leaves_no_file() {
    in_namespace(|world| {
        let (tap, _names, _web) = site(world);
        let into = world.make_directory("into");
        let got = into.join("small.txt");
        let _ = world
            .wharf(&["wget", "https://files.test/small.txt", "-O", &got.to_string_lossy(), "--link", &tap.link()])
            .run()
            .failed_saying(&["certificate", "files.test", "issuer|authority|--ca"]);
        assert_eq!(fs::read_dir(into).unwrap().count(), 0, "something was left behind");
    });
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    in_namespace(|world| {
        let tap = world.tap();
        let _names = Names::dhcp_and_dns(world, &tap, &[]);
        let _web = Web::start(world, IpAddr::V4(tap.address), &["other.test"]);
        let ca = world.ca_file();
        let _ = world
            .wharf(&["wget", "https://files.test/small.txt", "--ca", &ca.to_string_lossy(), "--link", &tap.link()])
            .run()
            .failed_saying(&["certificate", "files.test", "name"]);
    });
}

#[test]
fn redirects_are_followed_ten_times_and_from_http_to_https() {
    in_namespace(|world| {
        let (tap, _names, _web) = site(world);
        let (got, ca) = (world.path("got"), world.ca_file());
        let wget = |url: &str| {
            let (got, ca) = (got.to_string_lossy(), ca.to_string_lossy());
            world.wharf(&["wget", url, "-O", &got, "--ca", &ca, "--link", &tap.link()]).run()
        };
        for url in ["http://files.test/redirect/9", "http://files.test/moved"] {
            wget(url).expect_success();
            assert_eq!(fs::read_to_string(&got).unwrap(), "small\n");
            fs::remove_file(&got).unwrap();
        }
        let _ = wget("http://files.test/redirect/10").failed_saying(&["redirect"]);
        assert!(!got.exists());
    });
}

#[test]
fn an_address_by_hand_needs_no_dhcp() {
    in_namespace(|world| {
        let tap = world.tap();
        let _names = Names::dns(world, tap.address);
        let _web = Web::start(world, IpAddr::V4(tap.address), &["files.test"]);
        let got = world.path("got");
        let by_hand = tap.by_hand();
        let mut arguments = vec!["wget", "http://alias.test/small.txt", "-O"];
        let into = got.to_string_lossy();
        arguments.push(&into);
        arguments.extend(by_hand.iter().map(String::as_str));
        world.wharf(&arguments).run().expect_success();
        assert_eq!(fs::read_to_string(&got).unwrap(), "small\n");
    });
}

#[test]
fn every_mtu_from_576_to_9000_carries_a_file() {
    in_namespace(|world| {
        for (number, mtu) in [576, 1280, 1492, 1500, 4000, 9000].into_iter().enumerate() {
            let names = ["tap0", "tap1", "tap2", "tap3", "tap4", "tap5"];
            let address = std::net::Ipv4Addr::new(10, 10, number as u8, 1);
            let tap = world.tap_with(Tap { name: names[number], address, mtu });
            let web = Web::start(world, IpAddr::V4(address), &["files.test"]);
            let hash = Payload::new(u64::from(mtu)).write_file(&web.file("file.bin"), 16 << 20);
            let got = world.path("got.bin");
            let (url, into, by_hand) = (format!("http://{address}/file.bin"), got.to_string_lossy(), tap.by_hand());
            let mut arguments = vec!["wget", url.as_str(), "-O", &into];
            arguments.extend(by_hand.iter().map(String::as_str));
            let run = world.wharf(&arguments).run().succeeded();
            report(&format!("MTU {mtu}"), &run, 16 << 20);
            assert_eq!(sha256_of_file(&got), hash, "MTU {mtu}");
            fs::remove_file(&got).unwrap();
        }
    });
}
