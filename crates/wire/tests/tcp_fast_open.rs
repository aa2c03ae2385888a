//! The Fast Open cookie option (RFC 7413 section 4.1.1): golden bytes both ways, and every broken length.

extern crate wharf_wire as wire;

use wire::tcp::{FastOpen, FastOpenCookie, MAX_HEADER_LEN, SeqNum, TcpFlags, TcpHeader, TcpOptions, Timestamps};

fn cookie(bytes: &[u8]) -> FastOpen {
    FastOpen::Cookie(FastOpenCookie::new(bytes).expect("a possible length"))
}

fn syn() -> TcpHeader {
    TcpHeader {
        src_port: 1,
        dst_port: 2,
        seq: SeqNum(3),
        ack: SeqNum(0),
        flags: TcpFlags::SYN,
        window: 4,
        urgent: 0,
        options: TcpOptions {
            mss: Some(1_460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: 1, echo: 0 }),
            ..TcpOptions::NONE
        },
    }
}

#[test]
fn the_option_has_its_golden_bytes() {
    for (option, golden) in [
        (FastOpen::Request, &[34, 2, 1, 1][..]),
        (cookie(&[1, 2, 3, 4]), &[34, 6, 1, 2, 3, 4, 1, 1]),
        (cookie(&[9; 8]), &[34, 10, 9, 9, 9, 9, 9, 9, 9, 9, 1, 1]),
    ] {
        let mut bytes = [0; MAX_HEADER_LEN];
        let len = syn().emit(&mut bytes);
        let end = option.append(&mut bytes, len).expect("room");
        assert_eq!(&bytes[len..end], golden);
        assert_eq!(FastOpen::find(&bytes[20..end]), Some(option));
        let (parsed, payload) = TcpHeader::parse(&bytes[..end]).expect("a header");
        assert_eq!((parsed, payload.len()), (syn(), 0), "everything else is as it was");
    }
}

#[test]
fn the_longest_cookie_fits_beside_the_usual_options_and_no_further_one_does() {
    let mut bytes = [0; MAX_HEADER_LEN];
    let len = syn().emit(&mut bytes);
    let end = cookie(&[5; 16]).append(&mut bytes, len).expect("room");
    assert_eq!(end, 60);
    let before = bytes;
    assert_eq!(FastOpen::Request.append(&mut bytes, end), None);
    assert_eq!(bytes, before);
}

#[test]
fn cookies_of_impossible_lengths_are_none() {
    for len in 0..40 {
        let possible = (4..=16).contains(&len) && len % 2 == 0;
        assert_eq!(FastOpenCookie::new(&vec![1; len]).is_some(), possible, "{len}");
        let mut option = vec![34, 2 + len as u8];
        option.extend(vec![1; len]);
        assert_eq!(FastOpen::find(&option).is_some(), possible || len == 0, "{len}");
        for cut in 0..option.len() {
            assert_eq!(FastOpen::find(&option[..cut]), None);
        }
    }
    assert_eq!(FastOpen::find(&[34]), None);
    assert_eq!(FastOpen::find(&[34, 0]), None);
    assert_eq!(FastOpen::find(&[34, 1]), None);
    assert_eq!(FastOpen::find(&[0, 34, 2]), None, "nothing stands after the end");
    assert_eq!(FastOpen::find(&[1, 99, 3, 7, 34, 2]), Some(FastOpen::Request), "after one that is not known");
}
