//! The offload header, byte for byte in both directions.

use device::{RxChecksum, TxChecksum, TxFrame};
use wharf_links::vnet::{HEADER_LEN, Malformed, NotSegmentable, VnetHeader};

/// Ethernet, `ip_len` bytes of IP and a TCP header of 32 bytes with `flags`.
fn tcp_headers(ethernet: &[u8], ip_len: usize, flags: u8) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    bytes.extend(ethernet);
    let tcp = bytes.len() + ip_len;
    bytes.resize(tcp + 32, 0);
    bytes[tcp + 12] = 8 << 4;
    bytes[tcp + 13] = flags;
    bytes
}

fn emitted(frame: &TxFrame<'_>) -> [u8; 12] {
    let mut bytes = [0xff; 12];
    VnetHeader::for_frame(frame).unwrap().emit(&mut bytes);
    bytes
}

#[test]
fn complete_frame_has_a_header_of_zeros() {
    let frame = TxFrame { header: &[1; 60], payload: &[], checksum: TxChecksum::Complete, segment_size: None };
    assert_eq!(emitted(&frame), [0; 12]);
}

#[test]
fn partial_checksum_says_where() {
    let checksum = TxChecksum::Partial { start: 34, offset: 6 };
    let frame = TxFrame { header: &[1; 60], payload: &[], checksum, segment_size: None };
    assert_eq!(emitted(&frame), [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0]);
}

/// Ethertype with its tags, the IP header's length, where TCP begins, its flags, and the header.
type Case<'a> = (&'a [u8], usize, u16, u8, [u8; 12]);

#[test]
fn segments_are_of_their_kind_of_ip_and_headers_stay_whole() {
    let partial = |start| TxChecksum::Partial { start, offset: 16 };
    let cases: [Case<'_>; 5] = [
        (&[0x08, 0x00], 20, 34, 0x10, [1, 1, 66, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0]),
        (&[0x86, 0xdd], 40, 54, 0x10, [1, 4, 86, 0, 0xb4, 5, 54, 0, 16, 0, 0, 0]),
        // Behind a VLAN tag.
        (&[0x81, 0x00, 0, 7, 0x08, 0x00], 20, 38, 0x10, [1, 1, 70, 0, 0xb4, 5, 38, 0, 16, 0, 0, 0]),
        // With CWR, which belongs to the first segment alone.
        (&[0x08, 0x00], 20, 34, 0x90, [1, 0x81, 66, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0]),
        (&[0x86, 0xdd], 40, 54, 0x80, [1, 0x84, 86, 0, 0xb4, 5, 54, 0, 16, 0, 0, 0]),
    ];
    for (ethernet, ip_len, start, flags, golden) in cases {
        let header = tcp_headers(ethernet, ip_len, flags);
        let frame = TxFrame { header: &header, payload: &[], checksum: partial(start), segment_size: Some(1460) };
        assert_eq!(emitted(&frame), golden, "{ethernet:x?}");
    }
}

#[test]
fn what_is_no_ip_packet_is_not_cut() {
    for header in [&[0; 60][..], &[0; 13], &[0; 12], &[]] {
        let frame = TxFrame { header, payload: &[], checksum: TxChecksum::Complete, segment_size: Some(1460) };
        assert_eq!(VnetHeader::for_frame(&frame), Err(NotSegmentable));
    }
}

#[test]
fn marks_that_lie_outside_of_the_headers_do_no_harm() {
    let header = tcp_headers(&[0x08, 0x00], 20, 0x10);
    for len in 14..header.len() {
        for start in [0, 33, 34, 65_535] {
            let checksum = TxChecksum::Partial { start, offset: u16::MAX };
            let frame = TxFrame { header: &header[..len], payload: &[], checksum, segment_size: Some(1) };
            let vnet = VnetHeader::for_frame(&frame).unwrap();
            assert!(usize::from(vnet.header_len) <= len);
        }
    }
}

#[test]
fn received_marks_mean_what_they_say() {
    let cases: [([u8; 10], RxChecksum, Option<u16>); 6] = [
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0], RxChecksum::Unverified, None),
        ([2, 0, 0, 0, 0, 0, 0, 0, 0, 0], RxChecksum::Verified, None),
        ([1, 0, 0, 0, 0, 0, 34, 0, 6, 0], RxChecksum::Partial { start: 34, offset: 6 }, None),
        ([1, 1, 66, 0, 0xb4, 5, 34, 0, 16, 0], RxChecksum::Partial { start: 34, offset: 16 }, Some(1460)),
        ([1, 4, 86, 0, 0xa0, 5, 54, 0, 16, 0], RxChecksum::Partial { start: 54, offset: 16 }, Some(1440)),
        ([2, 0x81, 66, 0, 1, 0, 0, 0, 0, 0], RxChecksum::Verified, Some(1)),
    ];
    for (bytes, checksum, segment_size) in cases {
        let header = VnetHeader::parse(&bytes).unwrap();
        assert_eq!(header.received(1514), Ok((checksum, segment_size)), "{bytes:?}");
    }
}

#[test]
fn impossible_marks_are_refused() {
    let received = |bytes: [u8; 10], len| VnetHeader::parse(&bytes).unwrap().received(len);
    assert_eq!(received([1, 0, 0, 0, 0, 0, 34, 0, 6, 0], 41), Err(Malformed::ChecksumOutside));
    assert!(received([1, 0, 0, 0, 0, 0, 34, 0, 6, 0], 42).is_ok());
    assert_eq!(received([1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], 65_600), Err(Malformed::ChecksumOutside));
    assert_eq!(received([0, 1, 0, 0, 0, 0, 0, 0, 0, 0], 1514), Err(Malformed::SegmentSize));
    // UDP in fragments and in segments, and what is not invented yet.
    for kind in [2, 3, 5, 6, 0x7f] {
        assert_eq!(received([0, kind, 0, 0, 1, 0, 0, 0, 0, 0], 1514), Err(Malformed::Segmentation));
    }
}

#[test]
fn header_cut_short_is_truncated() {
    for len in 0..HEADER_LEN {
        assert_eq!(VnetHeader::parse(&[0; HEADER_LEN][..len]), Err(Malformed::Truncated));
    }
}

#[test]
fn emitting_and_parsing_are_inverse() {
    let bytes = [1, 0x84, 2, 3, 4, 5, 6, 7, 8, 9];
    let mut again = [0; 10];
    VnetHeader::parse(&bytes).unwrap().emit(&mut again);
    assert_eq!(again, bytes);
}
