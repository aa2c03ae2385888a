//! The TCP header, its options, and sequence numbers.

mod common;

use std::time::Duration;

use common::with_noise;
use wharf_wire::Malformed;
use wharf_wire::tcp::{SackBlocks, SeqNum, SynOptions, TcpFlags, TcpHeader, TcpOptions, Timestamps, UserTimeout};

fn header(flags: TcpFlags, options: TcpOptions) -> TcpHeader {
    TcpHeader {
        src_port: 49_152,
        dst_port: 80,
        seq: SeqNum(0x0102_0304),
        ack: SeqNum(0xfffe_fdfc),
        flags,
        window: 0x7210,
        urgent: 0,
        options,
    }
}

fn sack(blocks: &[(u32, u32)]) -> SackBlocks {
    let mut sack = SackBlocks::EMPTY;
    for (start, end) in blocks {
        assert!(sack.push(SeqNum(*start), SeqNum(*end)));
    }
    sack
}

#[rustfmt::skip]
const SYN: [u8; 40] = [
    0xc0, 0x00, 0x00, 0x50, 0x01, 0x02, 0x03, 0x04, 0xff, 0xfe, 0xfd, 0xfc, 0xa0, 0x02, 0x72, 0x10, 0, 0, 0, 0,
    2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0, 1, 3, 3, 7,
];

fn syn() -> TcpHeader {
    let timestamps = Some(Timestamps { value: 0x1122_3344, echo: 0 });
    let options =
        TcpOptions { mss: Some(1460), window_scale: Some(7), sack_permitted: true, timestamps, ..TcpOptions::NONE };
    header(TcpFlags::SYN, options)
}

#[rustfmt::skip]
const DATA: [u8; 32] = [
    0xc0, 0x00, 0x00, 0x50, 0x01, 0x02, 0x03, 0x04, 0xff, 0xfe, 0xfd, 0xfc, 0x80, 0x18, 0x72, 0x10, 0, 0, 0, 0,
    1, 1, 8, 10, 0xa1, 0xa2, 0xa3, 0xa4, 0xb1, 0xb2, 0xb3, 0xb4,
];

fn data() -> TcpHeader {
    let timestamps = Some(Timestamps { value: 0xa1a2_a3a4, echo: 0xb1b2_b3b4 });
    header(TcpFlags::PSH | TcpFlags::ACK, TcpOptions { timestamps, ..TcpOptions::NONE })
}

#[rustfmt::skip]
const SACK: [u8; 60] = [
    0xc0, 0x00, 0x00, 0x50, 0x01, 0x02, 0x03, 0x04, 0xff, 0xfe, 0xfd, 0xfc, 0xf0, 0x10, 0x72, 0x10, 0, 0, 0, 0,
    1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2,
    1, 1, 5, 26, 0, 0, 0, 10, 0, 0, 0, 20, 0, 0, 0, 30, 0, 0, 0, 40, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 5,
];

fn sacks() -> TcpHeader {
    let timestamps = Some(Timestamps { value: 1, echo: 2 });
    let sack = sack(&[(10, 20), (30, 40), (0xffff_fff0, 5)]);
    header(TcpFlags::ACK, TcpOptions { timestamps, sack, ..TcpOptions::NONE })
}

/// A user timeout of three minutes, told in seconds (RFC 5482 section 3.3).
#[rustfmt::skip]
const USER_TIMEOUT: [u8; 36] = [
    0xc0, 0x00, 0x00, 0x50, 0x01, 0x02, 0x03, 0x04, 0xff, 0xfe, 0xfd, 0xfc, 0x90, 0x10, 0x72, 0x10, 0, 0, 0, 0,
    1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 28, 4, 0x00, 0xb4,
];

fn user_timeout() -> TcpHeader {
    let timestamps = Some(Timestamps { value: 1, echo: 2 });
    let user_timeout = Some(UserTimeout::of(Duration::from_secs(180)));
    header(TcpFlags::ACK, TcpOptions { timestamps, user_timeout, ..TcpOptions::NONE })
}

fn emitted(header: &TcpHeader) -> Vec<u8> {
    let mut bytes = vec![0xee; header.len()];
    assert_eq!(header.emit(&mut bytes), bytes.len());
    bytes
}

#[test]
fn golden_bytes_both_ways() {
    let plain = header(TcpFlags::ACK, TcpOptions::NONE);
    let mut plain_bytes = DATA[..20].to_vec();
    plain_bytes[12..14].copy_from_slice(&[0x50, 0x10]);
    for (header, golden) in
        [(plain, &plain_bytes[..]), (syn(), &SYN), (data(), &DATA), (sacks(), &SACK), (user_timeout(), &USER_TIMEOUT)]
    {
        assert_eq!(emitted(&header), golden);
        assert_eq!(TcpHeader::parse(golden), Ok((header, &[][..])));
        let mut segment = golden.to_vec();
        segment.extend(b"payload");
        assert_eq!(TcpHeader::parse(&segment), Ok((header, &b"payload"[..])));
    }
}

#[test]
fn every_truncation_is_an_error() {
    for golden in [&SYN[..], &DATA, &SACK, &USER_TIMEOUT] {
        for len in 0..golden.len() {
            assert_eq!(TcpHeader::parse(&golden[..len]), Err(Malformed::Truncated), "length {len}");
        }
    }
}

#[test]
fn a_header_length_below_five_words_is_refused() {
    let mut bytes = SYN;
    for words in 0..5 {
        bytes[12] = words << 4;
        assert_eq!(TcpHeader::parse(&bytes), Err(Malformed::HeaderLength));
    }
}

fn parse_options(options: &[u8]) -> Result<TcpOptions, Malformed> {
    TcpOptions::parse(options)
}

#[test]
fn unknown_options_are_skipped() {
    let options = parse_options(&[254, 4, 0xab, 0xcd, 30, 2, 2, 4, 2, 0x18]).unwrap();
    assert_eq!(options, TcpOptions { mss: Some(536), ..TcpOptions::NONE });
}

#[test]
fn nothing_after_the_end_of_options_is_read() {
    assert_eq!(parse_options(&[1, 0, 2, 0]), Ok(TcpOptions::NONE));
}

#[test]
fn an_illegal_option_length_is_reported() {
    let illegal: [&[u8]; 17] = [
        &[2],
        &[1, 1, 1, 2],
        &[2, 0],
        &[2, 1],
        &[2, 4, 5],
        &[2, 3, 5, 1],
        &[2, 5, 5, 1, 1],
        &[3, 2],
        &[4, 3, 0],
        &[8, 9, 0, 0, 0, 0, 0, 0, 0],
        &[5, 2],
        &[5, 9, 0, 0, 0, 0, 0, 0, 0],
        &[254, 0, 0, 0],
        &[254, 200, 0, 0],
        &[28],
        &[28, 4, 0],
        &[28, 1, 0, 1],
    ];
    for options in illegal {
        assert_eq!(parse_options(options), Err(Malformed::OptionLength), "{options:?}");
    }
}

#[test]
fn a_window_scale_over_fourteen_is_never_read_nor_offered() {
    assert_eq!(parse_options(&[3, 3, 15, 0]).unwrap().window_scale, Some(14));
    assert_eq!(parse_options(&[3, 3, 255, 0]).unwrap().window_scale, Some(14));
    let options = TcpOptions { window_scale: Some(200), ..TcpOptions::NONE };
    let mut bytes = [0; 4];
    options.emit(&mut bytes);
    assert_eq!(bytes, [1, 3, 3, 14]);
}

#[test]
fn a_user_timeout_is_in_seconds_or_in_minutes() {
    // RFC 5482 section 3.3.
    for (value, seconds) in [
        ([0x00, 0x01], 1),
        ([0x7f, 0xff], 32_767),
        ([0x80, 0x01], 60),
        ([0x82, 0x23], 547 * 60),
        ([0xff, 0xff], 32_767 * 60),
    ] {
        let bytes = [28, 4, value[0], value[1]];
        let options = parse_options(&bytes).unwrap();
        assert_eq!(options.user_timeout.unwrap().duration(), Duration::from_secs(seconds));
        let mut again = [0; 4];
        assert_eq!((options.emit(&mut again), again), (4, bytes));
    }
}

#[test]
fn a_user_timeout_is_told_in_the_next_unit_that_holds_it() {
    for (time, told) in [
        // RFC 5482 section 3.4: zero MUST NOT be sent.
        (Duration::ZERO, Duration::from_secs(1)),
        (Duration::from_millis(1_001), Duration::from_secs(2)),
        (Duration::from_secs(32_767), Duration::from_secs(32_767)),
        (Duration::from_secs(32_768), Duration::from_secs(547 * 60)),
        (Duration::from_secs(32_767 * 60 + 1), Duration::from_secs(32_767 * 60)),
        (Duration::MAX, Duration::from_secs(32_767 * 60)),
    ] {
        assert_eq!(UserTimeout::of(time).duration(), told, "{time:?}");
    }
}

#[test]
fn a_reserved_or_malformed_user_timeout_is_ignored() {
    // RFC 5482 section 3.4: zero of either granularity; section 3.3: the length MUST be 4.
    for bytes in [&[28, 4, 0, 0][..], &[28, 4, 0x80, 0], &[28, 3, 1, 0], &[28, 2, 0, 0], &[28, 6, 0, 1, 0, 1, 0, 0]] {
        assert_eq!(parse_options(bytes), Ok(TcpOptions::NONE), "{bytes:?}");
    }
}

#[test]
fn sack_blocks_that_do_not_fit_are_left_out() {
    let four = sack(&[(1, 2), (3, 4), (5, 6), (7, 8)]);
    let timestamps = Some(Timestamps { value: 1, echo: 2 });
    for (options, fit) in [
        (TcpOptions { sack: four, ..TcpOptions::NONE }, 4),
        (TcpOptions { sack: four, timestamps, ..TcpOptions::NONE }, 3),
        (TcpOptions { sack: four, timestamps, mss: Some(1), window_scale: Some(1), ..TcpOptions::NONE }, 2),
    ] {
        let bytes = emitted(&header(TcpFlags::ACK, options));
        let (parsed, _) = TcpHeader::parse(&bytes).unwrap();
        assert_eq!(parsed.options.sack.len(), fit);
        assert!(parsed.options.sack.iter().eq(four.iter().take(fit)));
    }
}

#[test]
fn a_fifth_sack_block_is_refused() {
    let mut four = sack(&[(1, 2), (3, 4), (5, 6), (7, 8)]);
    assert!(!four.push(SeqNum(9), SeqNum(10)));
    assert_eq!(four.len(), 4);
}

#[test]
fn every_combination_of_options_survives_emit_and_parse() {
    for bits in 0..32 {
        for blocks in 0..=4 {
            let sack = sack(&[(1, 2), (3, 4), (5, 6), (7, 8)][..blocks]);
            let options = TcpOptions {
                mss: (bits & 1 != 0).then_some(1460),
                window_scale: (bits & 2 != 0).then_some(9),
                sack_permitted: bits & 4 != 0,
                timestamps: (bits & 8 != 0).then_some(Timestamps { value: 3, echo: 4 }),
                user_timeout: (bits & 16 != 0).then_some(UserTimeout::of(Duration::from_secs(100))),
                sack,
            };
            let bytes = emitted(&header(TcpFlags::ACK, options));
            if let Some(usual) = options.usual() {
                assert_eq!(bytes[20..], usual.map_or(Vec::new(), Vec::from), "{options:?}");
            }
            if let (true, Some(mss), Some(shift), true) =
                (sack.is_empty() && bits < 16, options.mss, options.window_scale, options.sack_permitted)
            {
                match options.timestamps {
                    None => assert_eq!(bytes[20..], TcpOptions::of_syn(mss, shift)),
                    Some(times) => assert_eq!(bytes[20..], TcpOptions::of_syn_with_timestamps(mss, times, shift)),
                }
            }
            let is_usual = blocks == 0 && matches!(bits, 0 | 7 | 8);
            assert_eq!(options.usual().is_some(), is_usual, "{options:?}");
            assert!(bytes.len().is_multiple_of(4) && bytes.len() <= 60);
            let (parsed, rest) = TcpHeader::parse(&bytes).unwrap();
            assert!(rest.is_empty());
            assert_eq!(
                TcpOptions { sack: SackBlocks::EMPTY, ..parsed.options },
                TcpOptions { sack: SackBlocks::EMPTY, ..options }
            );
            assert!(parsed.options.sack.iter().eq(sack.iter().take(parsed.options.sack.len())));
        }
    }
}

#[test]
fn noise_does_not_panic_and_what_parses_survives_a_round_trip() {
    for golden in [&SYN[..], &DATA, &SACK, &USER_TIMEOUT] {
        with_noise(golden, 80, |bytes| {
            let Ok((header, _)) = TcpHeader::parse(bytes) else {
                return;
            };
            let again = emitted(&header);
            let (parsed, _) = TcpHeader::parse(&again).unwrap();
            assert_eq!(
                TcpOptions { sack: SackBlocks::EMPTY, ..parsed.options },
                TcpOptions { sack: SackBlocks::EMPTY, ..header.options }
            );
        });
    }
}

#[test]
fn a_filled_checksum_verifies_and_a_wrong_one_does_not() {
    let (src, dst) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    for payload in [&b""[..], b"x", b"even", b"a longer odd payload, over sixty-four bytes so that the blocks are used"]
    {
        let mut segment = emitted(&data());
        segment.extend(payload);
        TcpHeader::fill_checksum(&mut segment, src, dst);
        assert_eq!(TcpHeader::verify(&segment, src, dst), Ok(()));
        segment[5] ^= 0x10;
        assert_eq!(TcpHeader::verify(&segment, src, dst), Err(Malformed::Checksum));
    }
}

#[test]
fn a_checksum_worked_out_by_hand_verifies() {
    // 7f00 + 0001 + 7f00 + 0001 + 0006 + 0014 + 0001 + 0002 + 0003 + 5002 + 0004 = 14e28, folded 4e29, inverted b1d6.
    let segment = [0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0x50, 0x02, 0, 4, 0xb1, 0xd6, 0, 0];
    let localhost = "127.0.0.1".parse().unwrap();
    assert_eq!(TcpHeader::verify(&segment, localhost, localhost), Ok(()));
}

#[test]
fn sequence_numbers_compare_across_the_wrap() {
    let near_end = SeqNum(u32::MAX - 5);
    assert!(near_end.before(near_end + 10));
    assert!((near_end + 10).after(near_end));
    assert!(!near_end.after(near_end + 10));
    assert_eq!((near_end + 10) - near_end, 10);
    assert_eq!((near_end + 10) - 10, near_end);
    assert!(near_end.at_or_before(near_end) && near_end.at_or_after(near_end));
    assert!(!near_end.before(near_end) && !near_end.after(near_end));
}

#[test]
fn sequence_numbers_half_the_space_apart_have_no_order() {
    for start in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let (a, b) = (SeqNum(start), SeqNum(start) + 0x8000_0000);
        assert!(!a.before(b) && !a.after(b) && !a.at_or_before(b) && !a.at_or_after(b));
        assert!(a.before(b - 1) && (b - 1).after(a));
        assert!(a.after(b + 1) && (b + 1).before(a));
    }
}

#[test]
fn a_window_of_a_gibibyte_contains_exactly_its_numbers() {
    let start = SeqNum(0xe000_0000);
    let len = 1 << 30;
    assert!(start.in_window(start, len));
    assert!((start + (len - 1)).in_window(start, len));
    assert!(!(start + len).in_window(start, len));
    assert!(!(start - 1).in_window(start, len));
    assert!(!start.in_window(start, 0));
}

#[test]
fn flags_print_by_name() {
    assert_eq!(format!("{:?}", TcpFlags::SYN | TcpFlags::ACK), "SYN|ACK");
    assert_eq!(format!("{}", TcpFlags::NONE), "-");
}

#[test]
fn the_usual_options_of_a_syn_are_read_as_any_options_are() {
    for timestamps in [None, Some(Timestamps { value: 0x0102_0304, echo: 5 })] {
        for window_scale in [0, 7, 14, 15, 255] {
            let options = TcpOptions {
                mss: Some(1_460),
                window_scale: Some(window_scale),
                sack_permitted: true,
                timestamps,
                ..TcpOptions::NONE
            };
            let mut bytes = [0; 40];
            let len = options.emit(&mut bytes);
            // As they may come from others, who do not know of the limit.
            bytes[len - 1] = window_scale;
            let read = SynOptions::read(&bytes[..len]).expect("the usual ones");
            let whole = TcpOptions::parse(&bytes[..len]).expect("options");
            assert_eq!(
                (Some(read.mss), Some(read.window_scale), read.timestamps),
                (whole.mss, whole.window_scale, timestamps)
            );
            assert_eq!(whole.timestamps, timestamps);
            for other in 0..len {
                // Any other layout is none of its affair, but for the values themselves.
                let mut changed = bytes;
                changed[other] ^= 1;
                let read = SynOptions::read(&changed[..len]);
                let whole = TcpOptions::parse(&changed[..len]).ok().filter(|whole| whole.sack_permitted);
                if let Some(read) = read {
                    let whole = whole.expect("what is read is well formed");
                    assert_eq!((Some(read.mss), Some(read.window_scale)), (whole.mss, whole.window_scale));
                    assert_eq!(read.timestamps, whole.timestamps);
                }
                assert_eq!(SynOptions::read(&bytes[..other]), None);
            }
        }
    }
}
