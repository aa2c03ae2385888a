//! `wharf nslookup` and `wharf ping` over the user link.

mod common;

use common::{dns_server, record, wharf, wire_name};

/// `nslookup` of `args` against a server that knows a few names.
fn nslookup(args: &[&str]) -> common::Run {
    let port = dns_server(|name, kind| match (name, kind) {
        ("h.example", 1) => Some((0, vec![record(1, &[192, 0, 2, 7]), record(1, &[192, 0, 2, 8])])),
        ("h.example", 28) => Some((0, vec![record(28, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9])])),
        ("h.example", 15) => {
            let mut data = vec![0, 10];
            data.extend(wire_name("mail.example"));
            Some((0, vec![record(15, &data)]))
        }
        ("7.2.0.192.in-addr.arpa", 12) => Some((0, vec![record(12, &wire_name("h.example"))])),
        ("h.example", _) => Some((0, Vec::new())),
        ("broken.example", _) => Some((2, Vec::new())),
        _ => Some((3, Vec::new())),
    });
    let server = format!("10.0.2.2:{port}");
    let mut all = vec!["nslookup", "--host-loopback", "--dns", &server];
    all.extend(args);
    wharf(&all)
}

#[test]
fn a_name_gives_its_addresses_of_both_kinds() {
    let ran = nslookup(&["h.example"]);
    ran.expect_success();
    for part in ["Server:  10.0.2.2", "192.0.2.7", "192.0.2.8", "2001:db8::9", "h.example"] {
        assert!(ran.stdout.contains(part), "{part:?} is missing in {}", ran.stdout);
    }
}

#[test]
fn a_type_can_be_asked_for_and_an_address_turned_into_its_name() {
    let ran = nslookup(&["h.example", "mx"]);
    ran.expect_success();
    assert!(ran.stdout.contains("10 mail.example"), "{}", ran.stdout);
    let ran = nslookup(&["192.0.2.7"]);
    ran.expect_success();
    assert!(ran.stdout.contains("h.example"), "{}", ran.stdout);
}

#[test]
fn json_has_the_records() {
    let ran = nslookup(&["h.example", "MX", "--json"]);
    ran.expect_success();
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let expected = serde_json::json!({
        "name": "h.example", "type": "MX", "ttl": 300,
        "data": { "preference": 10, "exchange": "mail.example" },
    });
    assert_eq!(told["records"][0], expected);
}

#[test]
fn what_there_is_not_is_told_apart() {
    nslookup(&["nope.example"]).expect_failure(1, &["DNS: the name nope.example does not exist"]);
    nslookup(&["h.example", "TXT"]).expect_failure(1, &["exists but has no TXT record"]);
    nslookup(&["broken.example"]).expect_failure(4, &["SERVFAIL"]);
    nslookup(&["h.example", "HINFO"]).expect_failure(2, &["HINFO"]);
}

#[test]
fn a_fixed_name_is_answered_by_the_gateway_both_ways() {
    let ran = wharf(&["nslookup", "--host", "my.site=192.0.2.9", "my.site"]);
    ran.expect_success();
    assert!(ran.stdout.contains("Server:  10.0.2.3") && ran.stdout.contains("192.0.2.9"), "{}", ran.stdout);
    let ran = wharf(&["nslookup", "--host", "my.site=192.0.2.9", "192.0.2.9"]);
    ran.expect_success();
    assert!(ran.stdout.contains("my.site"), "{}", ran.stdout);
}

#[test]
fn ping_shows_replies_and_their_statistics() {
    let ran = wharf(&["ping", "-c", "3", "-i", "0.05", "10.0.2.2"]);
    ran.expect_success();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "PING 10.0.2.2 (10.0.2.2) 56(84) bytes of data.");
    for (number, line) in lines[1..4].iter().enumerate() {
        let beginning = format!("64 bytes from 10.0.2.2: icmp_seq={} ttl=64 time=", number + 1);
        assert!(line.starts_with(&beginning) && line.ends_with(" ms"), "{line}");
    }
    assert_eq!(lines[5], "--- 10.0.2.2 ping statistics ---");
    assert!(lines[6].starts_with("3 packets transmitted, 3 received, 0% packet loss, time "), "{}", lines[6]);
    assert!(lines[7].starts_with("rtt min/avg/max/mdev = "), "{}", lines[7]);
}

#[test]
fn ping_carries_every_size_fragmented_ones_too() {
    for size in ["0", "1472", "1473", "65507"] {
        wharf(&["ping", "-c", "2", "-i", "0.1", "--timeout", "5", "-s", size, "10.0.2.2"]).expect_success();
    }
}

#[test]
fn ping_of_nobody_ends_with_status_1() {
    let ran = wharf(&["ping", "-c", "1", "--timeout", "0.3", "10.0.2.77"]);
    ran.expect_failure(1, &[]);
    assert!(ran.stdout.contains("1 packets transmitted, 0 received, 100% packet loss"), "{}", ran.stdout);
}

#[test]
fn ping_in_json_has_an_object_for_each_reply_and_one_for_all() {
    let ran = wharf(&["ping", "-c", "2", "-i", "0.05", "--json", "10.0.2.2"]);
    ran.expect_success();
    let objects: Vec<serde_json::Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 3);
    assert_eq!(
        (&objects[0]["sequence"], &objects[1]["ttl"], &objects[2]["received"]),
        (&1.into(), &64.into(), &2.into())
    );
    let time = objects[0]["milliseconds"].to_string();
    let digits = time.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    assert!(digits <= 3, "microseconds and no noise of the arithmetic: {time}");
}
