//! The IPv6 header and its extension headers.

mod common;

use common::with_noise;
use wharf_wire::Malformed;
use wharf_wire::ipv6::{ExtensionHeader, ExtensionHeaders, HEADER_LEN, Ipv6Header};
use wharf_wire::protocol::Protocol;

#[rustfmt::skip]
const GOLDEN: [u8; 48] = [
    0x6b, 0x81, 0x23, 0x45, 0x00, 0x08, 0x11, 0x40,
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3, 0, 4,
    1, 2, 3, 4, 5, 6, 7, 8,
];

fn golden() -> Ipv6Header {
    Ipv6Header {
        traffic_class: 0xb8,
        flow_label: 0x1_2345,
        payload_len: 8,
        next_header: Protocol::UDP,
        hop_limit: 64,
        src: "2001:db8::1".parse().unwrap(),
        dst: "fe80::1:2:3:4".parse().unwrap(),
    }
}

#[test]
fn golden_bytes_both_ways() {
    let mut bytes = [0xee; HEADER_LEN];
    assert_eq!(golden().emit(&mut bytes), golden().len());
    assert_eq!(bytes, GOLDEN[..40]);
    assert_eq!(Ipv6Header::parse(&GOLDEN), Ok((golden(), &[1, 2, 3, 4, 5, 6, 7, 8][..])));
}

#[test]
fn padding_after_the_payload_is_cut_off() {
    let mut packet = GOLDEN.to_vec();
    packet.extend([0; 12]);
    assert_eq!(Ipv6Header::parse(&packet).unwrap().1.len(), 8);
}

#[test]
fn every_truncation_is_an_error() {
    for len in 0..GOLDEN.len() {
        assert_eq!(Ipv6Header::parse(&GOLDEN[..len]), Err(Malformed::Truncated), "length {len}");
    }
}

#[test]
fn another_version_is_refused() {
    let mut packet = GOLDEN;
    packet[0] = 0x4b;
    assert_eq!(Ipv6Header::parse(&packet), Err(Malformed::Version));
}

#[rustfmt::skip]
const CHAIN: [u8; 44] = [
    43, 0, 5, 2, 0, 0, 1, 0,
    60, 1, 4, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
    44, 0, 1, 4, 0, 0, 0, 0,
    17, 0xee, 0, 1, 0xab, 0xcd, 0xef, 0x01,
    1, 2, 3, 4,
];

#[test]
fn the_walk_reads_every_kind_of_extension_header() {
    let mut walk = ExtensionHeaders::new(Protocol::HOPOPT, &CHAIN);
    let headers: Vec<_> = walk.by_ref().map(Result::unwrap).collect();
    assert_eq!(
        headers,
        [
            ExtensionHeader::HopByHop(&[5, 2, 0, 0, 1, 0]),
            ExtensionHeader::Routing { kind: 4, segments_left: 0, data: &[9; 12] },
            ExtensionHeader::DestinationOptions(&[1, 4, 0, 0, 0, 0]),
            ExtensionHeader::Fragment { offset: 0, more_fragments: true, identification: 0xabcd_ef01 },
        ]
    );
    assert_eq!(walk.upper_layer(), (Protocol::UDP, &[1, 2, 3, 4][..]));
}

#[test]
fn every_truncation_of_a_chain_is_an_error() {
    for len in 0..40 {
        let last = ExtensionHeaders::new(Protocol::HOPOPT, &CHAIN[..len]).last();
        assert_eq!(last, Some(Err(Malformed::Truncated)), "length {len}");
    }
}

#[test]
fn nothing_is_read_behind_a_later_fragment_header() {
    let bytes = [60, 0, 0x12, 0x38, 0, 0, 0, 1, 17, 200, 0, 0];
    let mut walk = ExtensionHeaders::new(Protocol::IPV6_FRAG, &bytes);
    let fragment = ExtensionHeader::Fragment { offset: 0x1238, more_fragments: false, identification: 1 };
    assert_eq!(walk.next(), Some(Ok(fragment)));
    assert_eq!(walk.next(), None);
    assert_eq!(walk.upper_layer(), (Protocol::IPV6_DEST_OPTS, &bytes[8..]));
}

#[test]
fn hop_by_hop_options_are_taken_in_the_first_place_only() {
    let bytes = [0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0];
    let last = ExtensionHeaders::new(Protocol::IPV6_DEST_OPTS, &bytes).last();
    assert_eq!(last, Some(Err(Malformed::Value)));
}

#[test]
fn an_endless_chain_is_cut() {
    let bytes = [60, 0, 1, 4, 0, 0, 0, 0].repeat(200);
    let mut walk = ExtensionHeaders::new(Protocol::IPV6_DEST_OPTS, &bytes);
    assert_eq!(walk.by_ref().filter(Result::is_ok).count(), usize::from(ExtensionHeaders::MAX));
    let last = ExtensionHeaders::new(Protocol::IPV6_DEST_OPTS, &bytes).last();
    assert_eq!(last, Some(Err(Malformed::HeaderChain)));
}

#[test]
fn no_next_header_ends_the_walk() {
    let mut walk = ExtensionHeaders::new(Protocol::IPV6_NO_NEXT, &[]);
    assert_eq!(walk.next(), None);
}

#[test]
fn noise_does_not_panic_and_what_parses_survives_a_round_trip() {
    with_noise(&GOLDEN, 100, |bytes| {
        let Ok((header, payload)) = Ipv6Header::parse(bytes) else { return };
        let mut again = [0; HEADER_LEN];
        header.emit(&mut again);
        assert_eq!([&again, payload].concat(), bytes[..HEADER_LEN + payload.len()]);
    });
    with_noise(&CHAIN, 100, |bytes| {
        for first in [Protocol::HOPOPT, Protocol::IPV6_ROUTE, Protocol::IPV6_FRAG, Protocol::IPV6_DEST_OPTS] {
            assert!(ExtensionHeaders::new(first, bytes).count() <= usize::from(ExtensionHeaders::MAX) + 1);
        }
    });
}
