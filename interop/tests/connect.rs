//! From a name to a connection: addresses that are dead, and domains that DHCP says are to be searched.

use std::fs;
use std::net::IpAddr;

use wharf_interop::dns::Scripted;
use wharf_interop::{Names, Web, World, in_namespace};

/// Where nobody is: the kernel forwards to it, and throws what comes away without a word.
const HOLE: [u8; 4] = [10, 66, 0, 9];

/// Has the kernel lead to [`HOLE`].
fn dig(world: &World) {
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    world.ip(&["route", "add", "blackhole", "10.66.0.0/24"]);
}

#[test]
fn a_dead_address_in_front_of_a_living_one_does_not_stop_any_command() {
    in_namespace(|world| {
        let tap = world.tap();
        dig(world);
        let alive = tap.address.octets();
        let _names = Scripted::start(tap.address, move |question| match question.kind {
            1 => vec![(question.each_of(&[HOLE, alive]), None)],
            _ => vec![(question.code(0), None)],
        });
        let _web = Web::start(world, IpAddr::V4(tap.address), &["two.test"]);
        let by_hand = tap.by_hand();
        let common: Vec<&str> = by_hand.iter().map(String::as_str).collect();
        let (got, ca) = (world.path("got"), world.ca_file());
        // Ten minutes for one address, so that only the second can be why it succeeds.
        let patient = ["--timeout", "600"];
        world
            .wharf(&["wget", "https://two.test/small.txt", "--ca", ca.to_str().unwrap(), "-O", got.to_str().unwrap()])
            .arguments(&patient)
            .arguments(&common)
            .run()
            .expect_success();
        assert_eq!(fs::read_to_string(&got).unwrap(), "small\n");
        let run = world.wharf(&["tls", "two.test", "--ca", ca.to_str().unwrap()]).arguments(&patient);
        let run = run.arguments(&common).run().succeeded();
        assert!(run.stdout.contains(&format!("({}:443)", tap.address)), "{run}");
    });
}

#[test]
fn a_name_whose_addresses_are_all_dead_is_told_with_the_time_it_had() {
    in_namespace(|world| {
        let tap = world.tap();
        dig(world);
        let _names = Scripted::start(tap.address, |question| match question.kind {
            1 => vec![(question.each_of(&[HOLE, [10, 66, 0, 10]]), None)],
            _ => vec![(question.code(0), None)],
        });
        let run = world.wharf(&["wget", "http://dead.test/", "--timeout", "2"]);
        let run = run.arguments(&tap.by_hand().iter().map(String::as_str).collect::<Vec<_>>()).run();
        let run = run.failed_saying(&["no answer from dead.test (10.66.0.10:80) in 2 s"]);
        assert_eq!(run.status.code(), Some(4), "{run}");
        let run = world.wharf(&["wget", "http://dead.test/", "--timeout", "600", "--connect-timeout", "1"]);
        let run = run.arguments(&tap.by_hand().iter().map(String::as_str).collect::<Vec<_>>()).run();
        let _ = run.failed_saying(&["(10.66.0.10:80) in 1 s"]);
    });
}

#[test]
fn on_the_user_link_the_gateway_is_told_from_this_host_and_its_name_server_from_those_of_this_host() {
    in_namespace(|world| {
        let _web = Web::start(world, IpAddr::from([127, 0, 0, 1]), &["127.0.0.1"]);
        let run = world.wharf(&["wget", "http://10.0.2.2/", "-O", "-"]).run();
        assert_eq!(run.failed_saying(&["refused", "--host-loopback"]).status.code(), Some(4));
        let _ = world.wharf(&["ssh", "-F", "none", "10.0.2.2"]).run().failed_saying(&["refused", "--host-loopback"]);
        world.wharf(&["wget", "http://10.0.2.2/small.txt", "-O", "-", "--host-loopback"]).run().expect_success();
        // Nobody answers at this host's resolver.
        world.resolv_conf("nameserver 127.0.0.1\n");
        for command in [
            &["wget", "http://a.test/"][..],
            &["nslookup", "a.test"],
            &["ping", "a.test"],
            &["ssh", "-F", "none", "a.test"],
        ] {
            let _ = world.wharf(command).run().failed_saying(&["is this host online"]);
        }
    });
}

#[test]
fn short_names_are_completed_with_the_domains_that_dhcp_lists() {
    in_namespace(|world| {
        let tap = world.tap();
        let record = format!("--host-record=printer.office.test,{}", tap.host(77));
        let list = "--dhcp-option=option:domain-search,lab.test,office.test";
        let _server = Names::dhcp_and_dns(world, &tap, &[&record, list]);
        let run = world.wharf(&["nslookup", "printer", "--link", &tap.link()]).run().succeeded();
        assert!(run.stdout.contains("printer.office.test") && run.stdout.contains("10.9.0.77"), "{run}");
        // `test`, the one domain that the server tells beside them, is not tried when there is a list.
        let run = world.wharf(&["nslookup", "files", "--link", &tap.link()]).run();
        assert!(!run.success(), "{run}");
    });
}
