//! `wharf bring-up`: nine lines, each from what truly took place, in a world of which only loopback exists.

#![allow(clippy::print_stdout, reason = "how long it took is told, not asserted")]

use wharf_interop::{Program, in_namespace};

/// What the lines are, in their order; the first names the link.
const LINES: [&str; 9] = [
    "",
    "MAC: ",
    "DHCP: acquired 10.0.2.15/24 gw 10.0.2.2",
    "PING 10.0.2.2: 1 reply, ",
    "DNS: resolved example.com -> 93.184.216.34",
    "TCP connect to 93.184.216.34:80: OK",
    "TLS handshake: OK",
    "HTTPS GET /: 200 OK (received ",
    "Socket test suite: PASS",
];

fn assert_nine_lines(stdout: &str) {
    let mut lines = stdout.lines();
    for expected in LINES {
        assert!(
            lines.any(|line| line.starts_with(expected)),
            "no line begins with \"{expected}\" in its place:\n{stdout}"
        );
    }
}

#[test]
fn bring_up_prints_its_nine_lines_where_only_loopback_exists() {
    in_namespace(|world| {
        let run = world.wharf(&["bring-up"]).run().succeeded();
        println!("bring-up took {:?}", run.elapsed);
        assert_nine_lines(&run.stdout);
    });
}

#[test]
fn bring_up_captures_what_tshark_finds_no_fault_in() {
    in_namespace(|world| {
        let file = world.path("bring-up.pcapng");
        let file = file.to_string_lossy();
        world.wharf(&["bring-up", "--capture", &file]).run().expect_success();
        let count = |options: &[&str], filter: &str| {
            let tshark = Program::new(world, "tshark").arguments(&["-r", &file, "-Y", filter]).arguments(options);
            tshark.run().succeeded().stdout.lines().count()
        };
        assert!(count(&[], "dhcp.option.dhcp == 5") >= 1, "the DHCP ACK is in the capture");
        assert!(count(&[], "arp") >= 2 && count(&[], "icmp.type == 0") >= 1);
        assert!(count(&[], "tls.handshake.type == 1") >= 1, "the ClientHello is in the capture");
        assert_eq!(count(&[], "ip.checksum.status == 0 || dhcp && udp.checksum.status == 0"), 0);
        // The socket tests' ports are drawn from the whole range: sooner or later one is some protocol's own, by whose
        // rules the test's bytes make no sense. So what has a protocol is judged by it, and of the rest the headers.
        assert_eq!(count(&[], "_ws.malformed && (udp.port in {53, 67, 68} || tcp.port in {53, 80, 443})"), 0);
        let data = ["-d", "tcp.port==1024-65535,data", "-d", "udp.port==1024-65535,data"];
        assert_eq!(count(&data, "_ws.malformed"), 0);
    });
}
