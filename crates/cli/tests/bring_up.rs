//! `wharf bring-up` over the user link: nine lines in their order, from a machine with nothing but its loopback.

mod common;

use common::{closed_port, wharf};

#[test]
fn nine_lines_are_printed_and_all_hold() {
    let ran = wharf(&["bring-up"]);
    ran.expect_success();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let beginnings = [
        "user-mode link: virtual Ethernet inside this process, gateway 10.0.2.2",
        "MAC: ",
        "DHCP: acquired 10.0.2.15/24 gw 10.0.2.2",
        "PING 10.0.2.2: 1 reply, ",
        "DNS: resolved example.com -> 93.184.216.34",
        "TCP connect to 93.184.216.34:80: OK",
        "TLS handshake: OK",
        "HTTPS GET /: 200 OK (received ",
        "Socket test suite: PASS",
    ];
    assert_eq!(lines.len(), beginnings.len(), "{}", ran.stdout);
    for (line, beginning) in lines.iter().zip(beginnings) {
        assert!(line.starts_with(beginning), "{line:?} does not begin with {beginning:?}");
    }
    assert!(lines[4].contains("inside this process"), "the page's true source is not told: {}", lines[4]);
}

#[test]
fn json_has_an_object_a_line_and_every_case_of_the_suite() {
    let ran = wharf(&["bring-up", "--json"]);
    ran.expect_success();
    let objects: Vec<serde_json::Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<&str> = objects.iter().map(|object| object["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["link", "mac", "dhcp", "ping", "dns", "tcp", "tls", "https", "sockets"]);
    assert!(objects.iter().all(|object| object["ok"] == true));
    assert!(objects[8]["cases"].as_array().unwrap().len() >= 12);
}

#[test]
fn a_step_that_fails_is_told_with_its_reason_and_ends_it() {
    let url = format!("https://10.0.2.2:{}/", closed_port());
    let ran = wharf(&["bring-up", "--host-loopback", "--url", &url]);
    ran.expect_failure(1, &["refused the connection"]);
    assert!(ran.stdout.lines().last().unwrap().ends_with(": FAILED"), "{}", ran.stdout);
    assert_eq!(ran.stdout.lines().count(), 6, "{}", ran.stdout);
}

#[test]
fn a_url_without_tls_is_refused() {
    wharf(&["bring-up", "--url", "http://example.com/"]).expect_failure(2, &["https"]);
}

#[test]
fn small_and_large_packets_hold_too() {
    for mtu in ["576", "9000", "65520"] {
        wharf(&["bring-up", "--mtu", mtu]).expect_success();
    }
}
