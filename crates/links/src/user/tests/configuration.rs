use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use stack::ip::icmp::ErrorKind;

use super::super::destinations::{Destinations, Lead};
use super::super::forward::{Forward, Transport};
use super::super::resolvers::{self, Resolvers};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn no_spelling_of_the_hosts_loopback_leads_there_unless_asked_for() {
    let closed = Destinations::new(&[], false);
    for inside in [
        "127.0.0.1:80",
        "127.255.0.9:80",
        "0.0.0.0:80",
        "0.1.2.3:80",
        "[::1]:80",
        "[::]:80",
        "[::ffff:127.0.0.1]:80",
        "[::127.0.0.1]:80",
        "[::ffff:0.0.0.0]:80",
        "255.255.255.255:80",
        "224.0.0.1:80",
        "[ff02::1]:80",
        "10.0.2.9:80",
        "[::ffff:10.0.2.9]:80",
        "10.0.2.2:80",
        "[::ffff:10.0.2.2]:80",
        "10.0.2.3:80",
    ] {
        assert!(matches!(closed.lead(address(inside)), Lead::Nowhere(_)), "{inside}");
    }
    assert_eq!(closed.lead(address("10.0.2.2:80")), Lead::Nowhere(ErrorKind::PortUnreachable));
    assert_eq!(closed.lead(address("10.0.2.3:53")), Lead::Resolver);
    assert_eq!(closed.lead(address("192.0.2.1:80")), Lead::Host(address("192.0.2.1:80")));
    assert_eq!(closed.lead(address("[2001:db8::1]:80")), Lead::Host(address("[2001:db8::1]:80")));
    let open = Destinations::new(&[], true);
    assert_eq!(open.lead(address("10.0.2.2:80")), Lead::Host(address("127.0.0.1:80")));
    assert_eq!(open.lead(address("127.0.0.1:80")), Lead::Nowhere(ErrorKind::NetworkUnreachable));
}

#[test]
fn a_redirect_goes_where_its_owner_says_port_by_port() {
    let redirect = [(address("93.184.216.34:443"), address("127.0.0.1:4433"))];
    let destinations = Destinations::new(&redirect, false);
    assert_eq!(destinations.lead(redirect[0].0), Lead::Host(redirect[0].1));
    assert_eq!(destinations.lead(address("93.184.216.34:80")), Lead::Host(address("93.184.216.34:80")));
}

#[test]
fn forwards_are_read_from_the_command_line() {
    let forward = |transport, host, guest_port| Ok(Forward { transport, host: address(host), guest_port });
    assert_eq!("tcp:8080:80".parse(), forward(Transport::Tcp, "127.0.0.1:8080", 80));
    assert_eq!("udp:0.0.0.0:5353:53".parse(), forward(Transport::Udp, "0.0.0.0:5353", 53));
    assert_eq!("tcp:[::1]:0:22".parse(), forward(Transport::Tcp, "[::1]:0", 22));
    for (wrong, reason) in [
        ("8080", "no colon"),
        ("sctp:1:2", "neither"),
        ("tcp:80", "missing"),
        ("tcp:80:", "guest's port"),
        ("tcp:80:0", "is 0"),
        ("tcp:80:65536", "65535"),
        ("tcp:x:80", "host's port"),
        ("tcp:::1:80:80", "address"),
        ("tcp:localhost:80:80", "address"),
    ] {
        let error = wrong.parse::<Forward>().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let written = "udp:[::1]:53:5353";
    assert_eq!(written.parse::<Forward>().unwrap().to_string(), written);
}

#[test]
fn resolv_conf_is_read_as_the_c_library_reads_it() {
    let text = "# comment\n; another\nsearch example.com\nnameserver\nnameserver 192.0.2.1\n\
                nameserver\t2001:db8::1 \nnameserver nonsense\n nameserver 192.0.2.2 # two\nnameserver 192.0.2.3\n";
    let expected = ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.2:53"].map(address);
    assert_eq!(resolvers::parse(text), expected);
    assert_eq!(resolvers::parse(""), [address("127.0.0.1:53")]);
    assert_eq!(resolvers::parse("nameserver fe80::1%7"), [address("[fe80::1%7]:53")]);
    assert_eq!(resolvers::parse("nameserver fe80::1%lo").len(), 1);
}

#[test]
fn each_resolver_is_tried_once_and_a_single_one_twice() {
    let now = std::time::Instant::now();
    let tries = |count: u8| -> Vec<_> {
        let given = (0..count).map(|n| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, n)), 53)).collect();
        let mut resolvers = Resolvers::new(Some(given));
        (0..9).map_while(|attempt| resolvers.server(now, attempt)).map(|server| server.ip().to_string()).collect()
    };
    assert_eq!(tries(0), Vec::<String>::new());
    assert_eq!(tries(1), ["192.0.2.0", "192.0.2.0"]);
    assert_eq!(tries(3), ["192.0.2.0", "192.0.2.1", "192.0.2.2"]);
}
