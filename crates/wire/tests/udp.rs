//! The UDP header.

mod common;

use common::with_noise;
use core::net::IpAddr;
use wharf_wire::Malformed;
use wharf_wire::udp::UdpHeader;

const GOLDEN: [u8; 12] = [0x30, 0x39, 0x00, 0x35, 0x00, 0x0c, 0xab, 0xcd, b'd', b'a', b't', b'a'];

fn golden() -> UdpHeader {
    UdpHeader { src_port: 12_345, dst_port: 53, len: 12, checksum: 0xabcd }
}

fn v4() -> (IpAddr, IpAddr) {
    ("192.0.2.1".parse().unwrap(), "198.51.100.2".parse().unwrap())
}

fn v6() -> (IpAddr, IpAddr) {
    ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap())
}

#[test]
fn golden_bytes_both_ways() {
    let mut bytes = [0xee; 8];
    assert_eq!(golden().emit(&mut bytes), 8);
    assert_eq!(bytes, GOLDEN[..8]);
    assert_eq!(UdpHeader::parse(&GOLDEN), Ok((golden(), &b"data"[..])));
}

#[test]
fn every_truncation_is_an_error() {
    for len in 0..GOLDEN.len() {
        assert_eq!(UdpHeader::parse(&GOLDEN[..len]), Err(Malformed::Truncated), "length {len}");
    }
}

#[test]
fn a_length_below_the_header_is_refused() {
    for len in 0..8 {
        let mut datagram = GOLDEN;
        datagram[5] = len;
        assert_eq!(UdpHeader::parse(&datagram), Err(Malformed::TotalLength));
    }
}

#[test]
fn bytes_after_the_length_are_no_payload_and_not_summed() {
    let (src, dst) = v4();
    let mut datagram = GOLDEN.to_vec();
    UdpHeader::fill_checksum(&mut datagram, src, dst);
    datagram.extend(b"padding");
    assert_eq!(UdpHeader::parse(&datagram).unwrap().1, b"data");
    assert_eq!(UdpHeader::verify(&datagram, src, dst), Ok(()));
}

#[test]
fn a_filled_checksum_verifies_and_a_flipped_bit_does_not() {
    for (src, dst) in [v4(), v6()] {
        let mut datagram = GOLDEN;
        UdpHeader::fill_checksum(&mut datagram, src, dst);
        assert_eq!(UdpHeader::verify(&datagram, src, dst), Ok(()));
        datagram[9] ^= 4;
        assert_eq!(UdpHeader::verify(&datagram, src, dst), Err(Malformed::Checksum));
    }
}

#[test]
fn an_absent_checksum_is_accepted_over_ipv4_only() {
    let mut datagram = GOLDEN;
    datagram[6..8].fill(0);
    assert_eq!(UdpHeader::verify(&datagram, v4().0, v4().1), Ok(()));
    assert_eq!(UdpHeader::verify(&datagram, v6().0, v6().1), Err(Malformed::Checksum));
}

#[test]
fn a_computed_zero_is_sent_as_all_ones() {
    let (src, dst) = v4();
    let mut found = 0;
    for value in 0..=u16::MAX {
        let mut datagram = GOLDEN;
        datagram[8..10].copy_from_slice(&value.to_be_bytes());
        UdpHeader::fill_checksum(&mut datagram, src, dst);
        assert_ne!(datagram[6..8], [0, 0]);
        if datagram[6..8] == [0xff, 0xff] {
            found += 1;
            assert_eq!(UdpHeader::verify(&datagram, src, dst), Ok(()));
        }
    }
    assert!(found > 0, "no payload summed to zero");
}

#[test]
fn noise_does_not_panic_and_what_parses_survives_a_round_trip() {
    with_noise(&GOLDEN, 40, |bytes| {
        let _ = UdpHeader::verify(bytes, v4().0, v4().1);
        let Ok((header, payload)) = UdpHeader::parse(bytes) else { return };
        let mut again = [0; 8];
        header.emit(&mut again);
        assert_eq!([&again, payload].concat(), bytes[..usize::from(header.len)]);
    });
}
