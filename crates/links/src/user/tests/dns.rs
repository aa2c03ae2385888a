use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::dns_message::{
    self, HEADER_LEN, NotAQuery, Query, ResponseCode, TYPE_A, TYPE_AAAA, TYPE_ANY, TYPE_PTR,
};
use super::super::fixed_names::{FixedNames, HostError, parse_host};

/// A query as every stub resolver sends it.
fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    out
}

fn with_edns(mut message: Vec<u8>, limit: u16) -> Vec<u8> {
    message[11] += 1;
    message.extend([0, 0, 41]);
    message.extend(limit.to_be_bytes());
    message.extend([0; 6]);
    message
}

fn names(hosts: &[(&str, &str)]) -> FixedNames {
    let hosts: Vec<_> = hosts.iter().map(|(name, address)| ((*name).to_owned(), address.parse().unwrap())).collect();
    FixedNames::new(&hosts).unwrap()
}

fn answer(names: &FixedNames, message: &[u8]) -> Option<Vec<u8>> {
    let query = Query::parse(message).unwrap();
    names.answer(&query, query.udp_limit())
}

#[test]
fn a_fixed_name_is_answered_byte_for_byte() {
    let names = names(&[("example.com", "93.184.216.34")]);
    let reply = answer(&names, &query("Example.COM", TYPE_A)).unwrap();
    let mut expected = vec![0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    expected.extend(b"\x07Example\x03COM\0\0\x01\0\x01");
    expected.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x0a\0\x04\x5d\xb8\xd8\x22");
    assert_eq!(reply, expected);
}

#[test]
fn a_fixed_name_without_the_wanted_type_has_an_empty_answer() {
    let names = names(&[("example.com", "93.184.216.34")]);
    for kind in [TYPE_AAAA, TYPE_PTR, 65] {
        let reply = answer(&names, &query("example.com", kind)).unwrap();
        assert_eq!(reply[3] & 0xf, ResponseCode::NoError as u8);
        assert_eq!(reply[6..8], [0, 0]);
    }
    assert_eq!(answer(&names, &query("www.example.com", TYPE_A)), None);
    assert_eq!(answer(&names, &query("", TYPE_A)), None);
}

#[test]
fn a_name_may_have_many_addresses_of_both_families() {
    let names = names(&[("h", "10.0.0.1"), ("h.", "10.0.0.2"), ("H", "2001:db8::1")]);
    let count = |kind| answer(&names, &query("h", kind)).unwrap()[7];
    assert_eq!((count(TYPE_A), count(TYPE_AAAA), count(TYPE_ANY)), (2, 1, 3));
    let reply = answer(&names, &query("h", TYPE_AAAA)).unwrap();
    assert!(reply.ends_with(&Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets()));
}

#[test]
fn addresses_lead_back_to_their_names() {
    let names =
        names(&[("first.test", "192.0.2.10"), ("second.test", "192.0.2.10"), ("six.test", "2001:db8::567:89ab")]);
    let reply = answer(&names, &query("10.2.0.192.in-addr.arpa", TYPE_PTR)).unwrap();
    assert!(reply.ends_with(b"\x05first\x04test\0"));
    // RFC 3596 section 2.5 has this form, though another address.
    let reverse = "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
    let reply = answer(&names, &query(reverse, TYPE_PTR)).unwrap();
    assert!(reply.ends_with(b"\x03six\x04test\0"));
}

#[test]
fn an_answer_too_long_for_udp_is_marked_truncated() {
    let hosts: Vec<_> = (0..60).map(|n| ("many.test".to_owned(), IpAddr::V4(Ipv4Addr::new(192, 0, 2, n)))).collect();
    let names = FixedNames::new(&hosts).unwrap();
    let plain = answer(&names, &query("many.test", TYPE_A)).unwrap();
    assert_eq!((plain[2] & 2, plain[7]), (2, 0));
    let edns = answer(&names, &with_edns(query("many.test", TYPE_A), 1400)).unwrap();
    assert_eq!((edns[2] & 2, edns[7], edns[11]), (0, 60, 1));
    assert!(edns.ends_with(&[0, 0, 41, 1232_u16.to_be_bytes()[0], 1232_u16.to_be_bytes()[1], 0, 0, 0, 0, 0, 0]));
}

#[test]
fn edns_limits_below_512_mean_512() {
    let bytes = with_edns(query("a.test", TYPE_A), 100);
    assert_eq!(Query::parse(&bytes).unwrap().udp_limit(), 512);
    let bytes = query("a.test", TYPE_A);
    assert_eq!(Query::parse(&bytes).unwrap().udp_limit(), 512);
    let bytes = with_edns(query("a.test", TYPE_A), 4096);
    assert_eq!(Query::parse(&bytes).unwrap().udp_limit(), 4096);
}

#[test]
fn answers_are_never_answered_and_odd_queries_are_rejected() {
    let good = query("a.test", TYPE_A);
    let changed = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        Query::parse(&bytes).map(|_| ())
    };
    assert_eq!(changed(2, 0x81), Err(NotAQuery::Ignore));
    assert_eq!(changed(2, 0x29), Err(NotAQuery::Reject(ResponseCode::NotImplemented)));
    assert_eq!(changed(5, 2), Err(NotAQuery::Reject(ResponseCode::FormatError)));
    assert_eq!(changed(5, 0), Err(NotAQuery::Reject(ResponseCode::FormatError)));
    assert_eq!(changed(HEADER_LEN, 0xc0), Err(NotAQuery::Reject(ResponseCode::FormatError)));
    let mut notify = good;
    notify[2] = 0x21;
    let reply = dns_message::reject(&notify, ResponseCode::NotImplemented);
    assert_eq!(reply, [0x12, 0x34, 0xa1, 0x84, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn every_truncation_and_any_bytes_are_survived() {
    let whole = with_edns(query("some.name.test", TYPE_A), 1400);
    let question_end = whole.len() - 11;
    for len in 0..whole.len() {
        let parsed = Query::parse(&whole[..len]);
        assert_eq!(parsed.is_ok(), len >= question_end, "cut to {len}");
    }
    let mut state = 7_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    for _ in 0..100_000 {
        let len = usize::from(random()) % 64;
        let mut bytes: Vec<u8> = (0..len).map(|_| random()).collect();
        if bytes.len() > 6 {
            bytes[2] &= 0x07;
            bytes[4..6].copy_from_slice(&[0, 1]);
        }
        if let Ok(query) = Query::parse(&bytes) {
            assert!(query.failure(ResponseCode::ServerFailure).len() >= HEADER_LEN);
        }
    }
}

#[test]
fn only_the_answer_to_the_question_is_taken_for_it() {
    let bytes = query("a.test", TYPE_A);
    let asked = Query::parse(&bytes).unwrap();
    let reply = asked.failure(ResponseCode::NoError);
    assert!(dns_message::is_answer(&reply, 0x1234, asked.question));
    assert!(!dns_message::is_answer(&reply, 0x1235, asked.question));
    assert!(!dns_message::is_answer(&bytes, 0x1234, asked.question));
    let other = query("b.test", TYPE_A);
    assert!(!dns_message::is_answer(&reply, 0x1234, Query::parse(&other).unwrap().question));
    let bare = dns_message::reject(&bytes, ResponseCode::FormatError);
    assert!(dns_message::is_answer(&bare, 0x1234, asked.question));
    for len in 0..reply.len() {
        assert!(!dns_message::is_answer(&reply[..len], 0x1234, asked.question));
    }
}

#[test]
fn hosts_are_read_from_the_command_line() {
    let address = IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34));
    assert_eq!(parse_host("example.com=93.184.216.34"), Ok(("example.com".to_owned(), address)));
    assert!(matches!(parse_host("example.com"), Err(HostError::NoEquals(_))));
    assert!(matches!(parse_host("=1.2.3.4"), Err(HostError::Name(_))));
    assert!(matches!(parse_host("a..b=1.2.3.4"), Err(HostError::Name(_))));
    assert!(matches!(parse_host(&format!("{}=1.2.3.4", "a".repeat(64))), Err(HostError::Name(_))));
    assert!(matches!(parse_host(&format!("{}=1.2.3.4", "a.".repeat(130))), Err(HostError::Name(_))));
    assert!(matches!(parse_host("example.com=1.2.3"), Err(HostError::Address(_))));
}
