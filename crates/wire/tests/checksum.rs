//! The Internet checksum against a reference that adds one word at a time.

mod common;

use common::Random;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wharf_wire::checksum::{Sum, copy_and_sum, incremental_update, pseudo_header, sum, sum_array};
use wharf_wire::protocol::Protocol;

/// RFC 1071 section 4.1, in the simplest form that can be right.
fn reference(bytes: &[u8]) -> u16 {
    let mut total: u64 = 0;
    for pair in bytes.chunks(2) {
        total += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    }
    while total >> 16 != 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

fn patterns(len: usize) -> [Vec<u8>; 4] {
    let mut random = Random::new(len as u64);
    let mut mixed = vec![0; len];
    random.fill(&mut mixed);
    [mixed, vec![0; len], vec![0xff; len], (0..len).map(|i| if i % 2 == 0 { 0xff } else { 0xfe }).collect()]
}

#[test]
fn sum_equals_the_reference_at_every_length_and_alignment() {
    for bytes in patterns(200 + 16) {
        for start in 0..16 {
            for len in 0..=200 {
                let span = &bytes[start..start + len];
                assert_eq!(sum(span).finish(), reference(span), "start {start} length {len}");
            }
        }
    }
}

#[test]
fn sum_equals_the_reference_for_large_spans() {
    for len in [1459, 1460, 1461, 8999, 9000, 65_535, 1 << 20] {
        for bytes in patterns(len) {
            assert_eq!(sum(&bytes).finish(), reference(&bytes), "length {len}");
        }
    }
}

#[test]
fn a_span_of_fixed_size_sums_the_same() {
    for bytes in patterns(40) {
        assert_eq!(sum_array(bytes.first_chunk::<20>().unwrap()).finish(), reference(&bytes[..20]));
        assert_eq!(sum_array(bytes.first_chunk::<32>().unwrap()).finish(), reference(&bytes[..32]));
        assert_eq!(sum_array(bytes.first_chunk::<39>().unwrap()).finish(), reference(&bytes[..39]));
    }
}

#[test]
fn copy_and_sum_copies_exactly_and_sums_the_same() {
    for len in (0..=200).chain([1460, 1461, 65_535]) {
        for bytes in patterns(len) {
            let mut copy = vec![0xaa; len + 2];
            let total = copy_and_sum(&bytes, &mut copy[1..=len]);
            assert_eq!(&copy[1..=len], &bytes[..]);
            assert_eq!((copy[0], copy[len + 1]), (0xaa, 0xaa), "bytes around the destination changed");
            assert_eq!(total.finish(), reference(&bytes), "length {len}");
        }
    }
}

#[test]
fn spans_add_up_to_the_whole_wherever_it_is_cut() {
    for bytes in patterns(300) {
        for cut in 0..=bytes.len() {
            let (front, back) = bytes.split_at(cut);
            let back = if cut.is_multiple_of(2) { sum(back) } else { sum(back).shifted() };
            assert_eq!((sum(front) + back).finish(), reference(&bytes), "cut at {cut}");
        }
    }
}

#[test]
fn fields_count_as_their_big_endian_bytes() {
    for (short, long) in [(0, 0), (0x1234, 0x89ab_cdef), (0xffff, 0xffff_ffff), (1, 0x0001_0000)] {
        let mut bytes = u16::to_be_bytes(short).to_vec();
        bytes.extend(u32::to_be_bytes(long));
        assert_eq!(Sum::ZERO.add_u16(short).add_u32(long).finish(), reference(&bytes));
    }
}

#[test]
fn a_stored_checksum_is_valid_and_any_flipped_bit_is_not() {
    let mut random = Random::new(7);
    let mut bytes = [0; 64];
    random.fill(&mut bytes);
    bytes[10..12].fill(0);
    let checksum = sum(&bytes).finish();
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    assert!(sum(&bytes).is_valid());
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!sum(&bytes).is_valid(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn nothing_but_zeroes_is_not_valid() {
    assert!(!Sum::ZERO.is_valid());
    assert!(!sum(&[0; 20]).is_valid());
}

#[test]
fn the_pseudo_header_is_the_one_of_the_rfcs() {
    let v4 = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 7));
    let bytes = [192, 0, 2, 1, 198, 51, 100, 7, 0, 6, 0x05, 0xb4];
    let total = pseudo_header(IpAddr::V4(v4.0), IpAddr::V4(v4.1), Protocol::TCP, 0x05b4);
    assert_eq!(total.finish(), reference(&bytes));

    let v6 = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xfe80, 1, 2, 3, 4, 5, 6, 7));
    let mut bytes = v6.0.octets().to_vec();
    bytes.extend(v6.1.octets());
    // RFC 8200 section 8.1: 32 bits of length, three zero octets, the next header.
    bytes.extend([0x00, 0x01, 0x02, 0x03, 0, 0, 0, 17]);
    let total = pseudo_header(IpAddr::V6(v6.0), IpAddr::V6(v6.1), Protocol::UDP, 0x0001_0203);
    assert_eq!(total.finish(), reference(&bytes));
}

#[test]
fn an_incremental_update_equals_a_new_checksum() {
    // RFC 1624 section 4: the example where RFC 1141's formula fails.
    assert_eq!(incremental_update(0xdd2f, 0x5555, 0x3285), 0x0000);
    let mut random = Random::new(11);
    for _ in 0..20_000 {
        let mut bytes = [0; 20];
        random.fill(&mut bytes);
        let before = reference(&bytes);
        let old = u16::from_be_bytes([bytes[8], bytes[9]]);
        let new = random.next() as u16;
        bytes[8..10].copy_from_slice(&new.to_be_bytes());
        assert_eq!(incremental_update(before, old, new), reference(&bytes));
    }
}

#[test]
#[should_panic(expected = "different lengths")]
fn copying_between_different_lengths_is_refused() {
    let _ = copy_and_sum(&[1, 2, 3], &mut [0; 2]);
}
