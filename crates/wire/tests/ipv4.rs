//! The IPv4 header and its options.

mod common;

use common::with_noise;
use core::net::Ipv4Addr;
use wharf_wire::Malformed;
use wharf_wire::ipv4::{Ipv4Header, Ipv4Option, MAX_OPTIONS_LEN};
use wharf_wire::protocol::Protocol;

// The header that is the usual worked example of RFC 1071: its checksum is 0xb861.
#[rustfmt::skip]
const GOLDEN: [u8; 20] = [
    0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
];

fn golden() -> Ipv4Header<'static> {
    Ipv4Header::new(Ipv4Addr::new(192, 168, 0, 1), Ipv4Addr::new(192, 168, 0, 199), Protocol::UDP, 64, 95)
}

fn packet() -> Vec<u8> {
    let mut packet = GOLDEN.to_vec();
    packet.extend(0..95);
    packet
}

fn emitted(header: &Ipv4Header<'_>) -> Vec<u8> {
    let mut bytes = vec![0xee; header.len()];
    assert_eq!(header.emit(&mut bytes), bytes.len());
    bytes
}

/// `packet` after the change, with its checksum corrected.
fn changed(packet: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut packet = packet.to_vec();
    change(&mut packet);
    let header_len = usize::from(packet[0] & 15) * 4;
    packet[10..12].fill(0);
    let checksum = wharf_wire::checksum::sum(&packet[..header_len.clamp(20, packet.len())]).finish();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

#[test]
fn golden_bytes_both_ways() {
    assert_eq!(emitted(&golden()), GOLDEN);
    let packet = packet();
    assert_eq!(Ipv4Header::parse(&packet), Ok((golden(), &packet[20..])));
}

#[test]
fn every_field_survives_emit_and_parse() {
    let header = Ipv4Header {
        tos: 0xb9,
        total_len: 24 + 8,
        identification: 0x1234,
        dont_fragment: false,
        more_fragments: true,
        fragment_offset: 65_528,
        ttl: 1,
        protocol: Protocol(200),
        src: Ipv4Addr::new(1, 2, 3, 4),
        dst: Ipv4Addr::new(255, 255, 255, 255),
        options: &[Ipv4Option::ROUTER_ALERT, 4, 0, 0],
    };
    let mut packet = emitted(&header);
    assert_eq!(&packet[..12], &[0x46, 0xb9, 0, 32, 0x12, 0x34, 0x3f, 0xff, 1, 200, packet[10], packet[11]]);
    packet.extend([7; 8]);
    assert_eq!(Ipv4Header::parse(&packet), Ok((header, &[7; 8][..])));
    assert!(header.is_fragment());
    assert_eq!(header.payload_len(), 8);
}

#[test]
fn every_truncation_is_an_error() {
    let packet = packet();
    for len in 0..packet.len() {
        assert_eq!(Ipv4Header::parse(&packet[..len]), Err(Malformed::Truncated), "length {len}");
    }
}

#[test]
fn ethernet_padding_is_cut_off() {
    let mut packet = packet();
    packet.extend([0; 30]);
    let (_, payload) = Ipv4Header::parse(&packet).unwrap();
    assert_eq!(payload.len(), 95);
}

#[test]
fn each_broken_field_has_its_reason() {
    let packet = packet();
    let reason = |change: fn(&mut Vec<u8>)| Ipv4Header::parse(&changed(&packet, change)).unwrap_err();
    assert_eq!(reason(|packet| packet[0] = 0x65), Malformed::Version);
    assert_eq!(reason(|packet| packet[0] = 0x44), Malformed::HeaderLength);
    assert_eq!(reason(|packet| packet[0] = 0x40), Malformed::HeaderLength);
    assert_eq!(reason(|packet| packet[3] = 19), Malformed::TotalLength);
    assert_eq!(reason(|packet| packet[2] = 0x01), Malformed::Truncated);
    let mut wrong = packet.clone();
    for byte in 0..20 {
        wrong[byte] ^= 0x08;
        assert!(Ipv4Header::parse(&wrong).is_err(), "byte {byte}");
        wrong[byte] ^= 0x08;
    }
    wrong[8] ^= 1;
    assert_eq!(Ipv4Header::parse(&wrong), Err(Malformed::Checksum));
}

#[test]
fn a_quoted_header_is_read_whatever_its_checksum_and_however_short_its_payload() {
    let mut packet = packet();
    packet[8] = 1;
    for len in 20..packet.len() {
        let (header, payload) = Ipv4Header::parse_without_checksum(&packet[..len]).unwrap();
        assert_eq!((header.ttl, payload.len()), (1, len - 20));
    }
    for len in 0..20 {
        assert_eq!(Ipv4Header::parse_without_checksum(&packet[..len]), Err(Malformed::Truncated));
    }
}

#[test]
fn options_are_listed_without_padding() {
    let options = &[1, 7, 3, 4, 1, 148, 4, 0, 0, 0, 7, 7];
    let header = Ipv4Header { options, ..golden() };
    let listed: Vec<_> = header.options().map(Result::unwrap).collect();
    assert_eq!(
        listed,
        [
            Ipv4Option { kind: Ipv4Option::RECORD_ROUTE, data: &[4] },
            Ipv4Option { kind: Ipv4Option::ROUTER_ALERT, data: &[0, 0] }
        ]
    );
    assert!(!listed[0].is_copied() && listed[1].is_copied());
}

#[test]
fn a_malformed_option_is_reported_once() {
    for options in [&[7][..], &[7, 0, 0, 0], &[7, 1, 0, 0], &[7, 5, 0, 0], &[1, 1, 1, 7]] {
        let header = Ipv4Header { options, ..golden() };
        let listed: Vec<_> = header.options().collect();
        assert_eq!(listed, [Err(Malformed::OptionLength)], "{options:?}");
    }
}

#[test]
fn only_options_with_the_copy_flag_go_into_later_fragments() {
    let header = Ipv4Header { options: &[7, 3, 4, 148, 4, 0, 9, 0x82, 3, 1, 0], ..golden() };
    let mut buffer = [0xee; MAX_OPTIONS_LEN];
    let len = header.copied_options(&mut buffer);
    assert_eq!(buffer[..len], [148, 4, 0, 9, 0x82, 3, 1, 0]);
    let none = Ipv4Header { options: &[7, 3, 4, 0], ..golden() };
    assert_eq!(none.copied_options(&mut buffer), 0);
}

#[test]
fn options_are_padded_to_whole_words() {
    let header = Ipv4Header { options: &[7, 3, 4], total_len: 24, ..golden() };
    let bytes = emitted(&header);
    assert_eq!((bytes[0], &bytes[20..]), (0x46, &[7, 3, 4, 0][..]));
    assert_eq!(Ipv4Header::parse(&bytes).unwrap().0.options, [7, 3, 4, 0]);
}

#[test]
fn noise_does_not_panic_and_what_parses_survives_a_round_trip() {
    let with_options = changed(&packet(), |packet| packet[0] = 0x48);
    for golden in [packet(), with_options] {
        with_noise(&golden, 80, |bytes| {
            let fixed;
            let bytes = if bytes.len() >= 20 {
                fixed = changed(bytes, |_| ());
                &fixed[..]
            } else {
                bytes
            };
            if let Ok((header, payload)) = Ipv4Header::parse(bytes) {
                let mut again = emitted(&header);
                again.extend(payload);
                assert_eq!(Ipv4Header::parse(&again), Ok((header, payload)));
                let _ = header.options().count();
                let _ = header.copied_options(&mut [0; MAX_OPTIONS_LEN]);
            }
            let _ = Ipv4Header::parse_without_checksum(bytes);
        });
    }
}
