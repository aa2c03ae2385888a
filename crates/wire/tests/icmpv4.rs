//! ICMP for IPv4, and the packets that its errors quote.

mod common;

use common::with_noise;
use core::net::Ipv4Addr;
use wharf_wire::Malformed;
use wharf_wire::checksum;
use wharf_wire::icmpv4::{Icmpv4Message, Quoted, TimeExceededCode, UnreachableCode};
use wharf_wire::protocol::Protocol;
use wharf_wire::tcp::SeqNum;

// 0800 + 1234 + 0007 + 6162 + 6300 = de9d, inverted 2162: the odd last byte counts as the upper half of a word.
const ECHO: [u8; 11] = [8, 0, 0x21, 0x62, 0x12, 0x34, 0x00, 0x07, b'a', b'b', b'c'];

/// A quoted packet: from 10.0.0.1 to 10.0.0.2, 40 bytes long, of which 8 after the header are there.
#[rustfmt::skip]
const QUOTED: [u8; 28] = [
    0x45, 0, 0, 40, 0x12, 0x34, 0x40, 0, 1, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    0xc0, 0x00, 0x00, 0x50, 0x01, 0x02, 0x03, 0x04,
];

fn emitted(message: &Icmpv4Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0xee; message.len()];
    assert_eq!(message.emit(&mut bytes), bytes.len());
    bytes
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() >= 4 {
        bytes[2..4].fill(0);
        let checksum = checksum::sum(&bytes).finish();
        bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    bytes
}

#[test]
fn an_echo_request_has_its_golden_bytes() {
    let echo = Icmpv4Message::EchoRequest { ident: 0x1234, seq: 7, data: b"abc" };
    assert_eq!(emitted(&echo), ECHO);
    assert_eq!(Icmpv4Message::parse(&ECHO), Ok(echo));
}

#[test]
fn every_kind_of_message_has_its_golden_header() {
    let quoted = &QUOTED[..];
    let code = UnreachableCode::FRAGMENTATION_NEEDED;
    let gateway = Ipv4Addr::new(10, 0, 2, 2);
    let messages = [
        (Icmpv4Message::EchoReply { ident: 0x1234, seq: 7, data: quoted }, [0, 0, 0x12, 0x34, 0, 7]),
        (Icmpv4Message::DestinationUnreachable { code, next_hop_mtu: 1280, quoted }, [3, 4, 0, 0, 5, 0]),
        (
            Icmpv4Message::DestinationUnreachable { code: UnreachableCode::PORT, next_hop_mtu: 0, quoted },
            [3, 3, 0, 0, 0, 0],
        ),
        (Icmpv4Message::SourceQuench { quoted }, [4, 0, 0, 0, 0, 0]),
        (Icmpv4Message::Redirect { code: 1, gateway, quoted }, [5, 1, 10, 0, 2, 2]),
        (Icmpv4Message::TimeExceeded { code: TimeExceededCode::TTL, quoted }, [11, 0, 0, 0, 0, 0]),
        (Icmpv4Message::ParameterProblem { code: 0, pointer: 20, quoted }, [12, 0, 20, 0, 0, 0]),
        (Icmpv4Message::Other { kind: 13, code: 0, rest_of_header: [1, 2, 3, 4], data: quoted }, [13, 0, 1, 2, 3, 4]),
    ];
    for (message, golden) in messages {
        let bytes = emitted(&message);
        assert_eq!([bytes[0], bytes[1], bytes[4], bytes[5], bytes[6], bytes[7]], golden);
        assert_eq!(&bytes[8..], quoted);
        assert_eq!(Icmpv4Message::parse(&bytes), Ok(message));
    }
}

#[test]
fn errors_are_told_from_queries() {
    assert!(Icmpv4Message::SourceQuench { quoted: &[] }.is_error());
    assert!(!Icmpv4Message::EchoRequest { ident: 0, seq: 0, data: &[] }.is_error());
    assert!(!Icmpv4Message::Other { kind: 13, code: 0, rest_of_header: [0; 4], data: &[] }.is_error());
}

#[test]
fn an_unused_mtu_field_means_nothing() {
    let bytes = with_checksum([&[3, 1, 0, 0, 0, 0, 5, 0][..], &QUOTED].concat());
    let Ok(Icmpv4Message::DestinationUnreachable { next_hop_mtu, .. }) = Icmpv4Message::parse(&bytes) else {
        panic!("not unreachable")
    };
    assert_eq!(next_hop_mtu, 0);
}

#[test]
fn every_truncation_is_an_error() {
    for len in 0..ECHO.len() {
        let reason = if len < 8 { Malformed::Truncated } else { Malformed::Checksum };
        assert_eq!(Icmpv4Message::parse(&ECHO[..len]), Err(reason), "length {len}");
    }
}

#[test]
fn any_flipped_bit_is_noticed() {
    for bit in 0..ECHO.len() * 8 {
        let mut bytes = ECHO;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Icmpv4Message::parse(&bytes), Err(Malformed::Checksum), "bit {bit}");
    }
}

#[test]
fn a_quoted_segment_names_its_connection() {
    let quoted = Quoted::parse(&QUOTED).unwrap();
    assert_eq!((quoted.header.src, quoted.header.dst), (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)));
    assert_eq!(quoted.header.protocol, Protocol::TCP);
    assert_eq!(quoted.ports(), Some((49_152, 80)));
    assert_eq!(quoted.tcp_seq(), Some(SeqNum(0x0102_0304)));
    assert_eq!(quoted.echo(), None);
}

#[test]
fn a_quote_cut_anywhere_gives_what_is_there() {
    for len in 0..QUOTED.len() {
        match Quoted::parse(&QUOTED[..len]) {
            Err(reason) => assert!(len < 20 && reason == Malformed::Truncated),
            Ok(quoted) => {
                assert_eq!(quoted.ports().is_some(), len >= 24, "length {len}");
                assert_eq!(quoted.tcp_seq(), None);
            }
        }
    }
}

#[test]
fn a_quoted_later_fragment_has_no_ports() {
    let mut bytes = QUOTED;
    bytes[7] = 1;
    let quoted = Quoted::parse(&bytes).unwrap();
    assert_eq!((quoted.ports(), quoted.tcp_seq()), (None, None));
}

#[test]
fn a_quoted_echo_request_names_its_ping() {
    let mut bytes = QUOTED;
    bytes[9] = 1;
    bytes[20..].copy_from_slice(&ECHO[..8]);
    let quoted = Quoted::parse(&bytes).unwrap();
    assert_eq!((quoted.echo(), quoted.ports()), (Some((0x1234, 7)), None));
    bytes[20] = 0;
    assert_eq!(Quoted::parse(&bytes).unwrap().echo(), None);
}

#[test]
fn noise_does_not_panic_and_what_parses_survives_a_round_trip() {
    let error = emitted(&Icmpv4Message::TimeExceeded { code: TimeExceededCode::TTL, quoted: &QUOTED });
    for golden in [&ECHO[..], &error] {
        with_noise(golden, 60, |bytes| {
            let _ = Icmpv4Message::parse(bytes);
            let bytes = with_checksum(bytes.to_vec());
            let Ok(message) = Icmpv4Message::parse(&bytes) else { return };
            let again = emitted(&message);
            assert_eq!(Icmpv4Message::parse(&again), Ok(message));
        });
    }
    with_noise(&QUOTED, 60, |bytes| {
        let Ok(quoted) = Quoted::parse(bytes) else { return };
        let _ = (quoted.ports(), quoted.tcp_seq(), quoted.echo());
    });
}
