//! The user-mode gateway: what the guest sees of the host, and what it must not see.

#![allow(clippy::print_stdout, reason = "what was seen is told")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use wharf_interop::{Names, Payload, Web, in_namespace, sha256_of_file};

/// The host's address on what stands for the outside.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

#[test]
fn a_page_over_https_with_names_from_the_hosts_resolvers() {
    in_namespace(|world| {
        world.outside_address(OUTSIDE);
        world.resolv_conf(&format!("nameserver {OUTSIDE}\n"));
        let names = Names::dns(world, OUTSIDE);
        let web = Web::start(world, IpAddr::V4(OUTSIDE), &["files.test"]);
        let hash = Payload::new(20).write_file(&web.file("big.bin"), 256 << 20);
        let (got, ca) = (world.path("got.bin"), world.ca_file());
        let run = world
            .wharf(&["wget", "https://files.test/big.bin", "-O", &got.to_string_lossy(), "--ca", &ca.to_string_lossy()])
            .run()
            .succeeded();
        println!("https through the gateway: {:.2} Gbit/s", 2.147_483_648 / run.elapsed.as_secs_f64());
        assert_eq!(sha256_of_file(&got), hash);
        assert!(names.log().contains("files.test"), "the host's resolver was not asked");
    });
}

#[test]
fn a_fixed_name_needs_no_resolver() {
    in_namespace(|world| {
        world.outside_address(OUTSIDE);
        let _web = Web::start(world, IpAddr::V4(OUTSIDE), &["files.test"]);
        let got = world.path("got");
        let host = format!("pinned.example={OUTSIDE}");
        world
            .wharf(&["wget", "http://pinned.example/small.txt", "-O", &got.to_string_lossy(), "--host", &host])
            .run()
            .expect_success();
        assert_eq!(fs::read_to_string(got).unwrap(), "small\n");
    });
}

#[test]
fn a_connection_that_the_host_is_refused_is_refused_to_the_guest() {
    in_namespace(|world| {
        world.outside_address(OUTSIDE);
        let _ = world.wharf(&["wget", &format!("http://{OUTSIDE}:81/")]).run().failed_saying(&["refused"]);
        // No route leads there from this world.
        let _ = world.wharf(&["wget", "http://203.0.113.1/"]).run().failed_saying(&["unreachable|no route"]);
    });
}

#[test]
fn the_hosts_loopback_is_reachable_only_where_allowed() {
    in_namespace(|world| {
        let _web = Web::start(world, IpAddr::V4(Ipv4Addr::LOCALHOST), &["files.test"]);
        let got = world.path("got");
        let got = got.to_string_lossy();
        let _ = world.wharf(&["wget", "http://10.0.2.2/small.txt", "-O", &got]).run().failed_saying(&["refused"]);
        let allowed = ["wget", "http://10.0.2.2/small.txt", "-O", &got, "--host-loopback"];
        world.wharf(&allowed).run().expect_success();
        assert_eq!(fs::read_to_string(&*got).unwrap(), "small\n");
        // Its own name for loopback never leaves the guest's engine.
        let _ =
            world.wharf(&["wget", "http://127.0.0.1/small.txt", "--host-loopback"]).run().failed_saying(&["refused"]);
    });
}

#[test]
fn the_gateway_answers_ping_and_names_do_not_exist() {
    in_namespace(|world| {
        world.outside_address(OUTSIDE);
        world.resolv_conf(&format!("nameserver {OUTSIDE}\n"));
        let _names = Names::dns(world, OUTSIDE);
        world.wharf(&["ping", "10.0.2.2", "-c", "2"]).run().expect_success();
        let _ = world.wharf(&["nslookup", "missing.test"]).run().failed_saying(&["missing.test", "not exist|NXDOMAIN"]);
    });
}
