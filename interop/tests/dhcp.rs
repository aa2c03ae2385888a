//! The DHCP client against dnsmasq and udhcpd.

use std::thread;
use std::time::{Duration, Instant};

use wharf_interop::{Names, Program, in_namespace};

use crate::origin::{Origin, say};

#[test]
fn a_lease_of_seconds_is_renewed_while_it_is_used() {
    in_namespace(|world| {
        let tap = world.tap();
        let server = Names::udhcpd(world, &tap, 8);
        // A ping a second outlives the first lease; every one of them needs the address. It is renewed at half time: a busy
        // machine may sleep through as long again.
        let run = world.wharf(&["ping", "10.9.0.1", "-c", "12", "--link", &tap.link()]).run().succeeded();
        assert!(run.stdout.contains("12 received"), "{run}");
        let renewals = server.log().matches("sending ACK").count();
        // The lease and one renewal of it; a busy machine may be too late for the next within so many pings.
        assert!(renewals >= 2, "{renewals} acknowledgements only:\n{}", server.log());
    });
}

#[test]
fn a_renewal_goes_by_unicast_to_the_server_that_gave_the_lease() {
    in_namespace(|world| {
        let tap = world.tap();
        // dnsmasq's leases last two minutes at least, but it lets us say when to renew.
        let server = Names::dhcp_and_dns(world, &tap, &["--dhcp-option=option:T1,3", "--dhcp-option=option:T2,60"]);
        let capture = world.path("dhcp.pcapng");
        let capture = capture.to_string_lossy();
        world
            .wharf(&["ping", "10.9.0.1", "-c", "8", "--link", &tap.link(), "--capture", &capture])
            .run()
            .expect_success();
        let filter = "dhcp.option.dhcp == 3 && ip.dst == 10.9.0.1 && dhcp.ip.client != 0.0.0.0";
        let renewals =
            Program::new(world, "tshark").arguments(&["-r", &capture, "-Y", filter]).run().succeeded().stdout;
        assert!(renewals.lines().count() >= 1, "{renewals}\n{}", server.log());
    });
}

#[test]
fn the_address_is_probed_for_and_announced() {
    in_namespace(|world| {
        let tap = world.tap();
        let _server = Names::dhcp_and_dns(world, &tap, &[]);
        let capture = world.path("dhcp.pcapng");
        let capture = capture.to_string_lossy();
        world
            .wharf(&["ping", "10.9.0.1", "-c", "3", "-i", "0.1", "--link", &tap.link(), "--capture", &capture])
            .run()
            .expect_success();
        let count = |filter: &str| {
            let run = Program::new(world, "tshark").arguments(&["-r", &capture, "-Y", filter]).run().succeeded();
            run.stdout.lines().count()
        };
        // RFC 5227 section 1.1: a probe asks from the unspecified address; an announcement tells its own.
        assert!(count("arp.isprobe == 1") >= 1, "no probe before use");
        assert!(count("arp.isannouncement == 1") >= 1, "no announcement");
    });
}

#[test]
fn an_address_in_use_by_another_is_declined() {
    in_namespace(|world| {
        let tap = world.tap();
        // The server gives .100 to anybody; the kernel already has it. By unicast the offer would go to the kernel.
        world.ip(&["address", "add", "10.9.0.100/32", "dev", tap.name]);
        let options = ["--dhcp-host=*:*:*:*:*:*,10.9.0.100", "--dhcp-broadcast"];
        let server = Names::dhcp_and_dns(world, &tap, &options);
        // We decline, and ask again ten seconds later (RFC 2131 section 3.1, step 5): a command waits for that.
        let run = world.wharf(&["ping", "10.9.0.1", "-c", "1", "--link", &tap.link()]).run().succeeded();
        let log = server.log();
        assert!(log.contains("DHCPDECLINE(tap0) 10.9.0.100"), "{run}\n{log}");
        assert!(log.matches("DHCPOFFER(tap0)").count() >= 2, "{run}\n{log}");
    });
}

#[test]
fn a_command_that_had_nothing_to_send_gives_its_address_back_all_the_same() {
    in_namespace(|world| {
        let tap = world.tap();
        let server = Names::dhcp_and_dns(world, &tap, &[]);
        let origin =
            Origin::start(&tap, |heard, stream| say(stream, heard, 200, "Cache-Control: max-age=1000\r\n", b""));
        let (cache, got) = (world.path("cache"), world.path("got"));
        let (cache, got) = (cache.to_string_lossy(), got.to_string_lossy());
        let wget = ["wget", &origin.url("/page"), "-O", &got, "--cache", &cache, "--link", &tap.link()];
        for run in 1..=3 {
            let said = world.wharf(&wget).run().succeeded();
            // The command may have ended before the server wrote it down.
            let deadline = Instant::now() + Duration::from_secs(20);
            while server.log().matches("DHCPRELEASE(tap0)").count() < run {
                assert!(Instant::now() < deadline, "no release after run {run}: {said}\n{}", server.log());
                thread::sleep(Duration::from_millis(5));
            }
        }
        assert_eq!(origin.asked("/page"), 1);
    });
}

#[test]
fn an_expired_lease_takes_the_address_along() {
    in_namespace(|world| {
        let tap = world.tap();
        let server = Names::udhcpd(world, &tap, 6);
        let ping = world.wharf(&["ping", "10.9.0.1", "-c", "14", "--link", &tap.link()]).start();
        while !ping.stdout().contains("ttl") {
            thread::sleep(Duration::from_millis(10));
        }
        server.kill();
        let run = ping.wait();
        assert!(!run.stdout.contains("14 received") && !run.stdout.contains("14 replies"), "{run}");
    });
}
