//! The wire format both ways, and what a hostile server may send.

use bytes::Bytes;

use tokio::time::{Duration, Instant};

use super::pace::Pace;
use super::packet::{self, Limits, Reply, Request, Writing};
use super::*;

#[test]
fn requests_have_their_golden_bytes() {
    let read = Request::Read { handle: b"h", offset: 1 << 33, length: 32768 };
    assert_eq!(read.encode(7)[..], b"\0\0\0\x16\x05\0\0\0\x07\0\0\0\x01h\0\0\0\x02\0\0\0\0\0\0\x80\0"[..]);
    let mut write = Writing::new(b"h", 1 << 33, 5);
    write.room()[..3].copy_from_slice(b"abc");
    write.cut(3);
    assert_eq!(write.encode(7)[..], b"\0\0\0\x19\x06\0\0\0\x07\0\0\0\x01h\0\0\0\x02\0\0\0\0\0\0\0\x03abc"[..]);
    let open = Request::Open {
        path: b"/\xff",
        flags: 26,
        attributes: Attributes { permissions: Some(0o644), ..Attributes::default() },
    };
    assert_eq!(open.encode(1)[..], b"\0\0\0\x17\x03\0\0\0\x01\0\0\0\x02/\xff\0\0\0\x1a\0\0\0\x04\0\0\x01\xa4"[..]);
    assert_eq!(packet::init()[..], b"\0\0\0\x05\x01\0\0\0\x03"[..]);
    let link = Request::Extended { name: "x", words: &[b"a", b""] };
    assert_eq!(link.encode(0)[..], b"\0\0\0\x13\xc8\0\0\0\0\0\0\0\x01x\0\0\0\x01a\0\0\0\0"[..]);
}

const NAMES: &[u8] = b"\x68\0\0\0\x09\0\0\0\x01\0\0\0\x02\xe9x\0\0\0\x01l\x80\0\0\x0f\0\0\0\0\0\0\0\x05\0\0\0\x01\
    \0\0\0\x02\0\0\x81\xa4\0\0\0\x0a\0\0\0\x0b\0\0\0\x01\0\0\0\x01a\0\0\0\x01b";

#[test]
fn replies_are_read_to_the_byte_and_every_cut_is_noticed() {
    let (id, reply) = packet::reply(Bytes::from_static(NAMES)).unwrap();
    let Reply::Names(names) = reply else { panic!() };
    assert_eq!((id, names[0].name.as_slice()), (9, &b"\xe9x"[..]));
    let attributes = names[0].attributes;
    assert_eq!((attributes.size, attributes.owner, attributes.times), (Some(5), Some((1, 2)), Some((10, 11))));
    assert_eq!((attributes.kind(), attributes.mode()), (Kind::File, Some(0o644)));
    for length in 0..NAMES.len() {
        assert!(packet::reply(Bytes::from_static(&NAMES[..length])).is_err(), "{length}");
    }
    assert!(packet::reply(Bytes::from_static(b"\x68\0\0\0\x09\xff\xff\xff\xff")).is_err());
    assert!(packet::reply(Bytes::from_static(b"\x63\0\0\0\x09")).is_err());
    let status = packet::reply(Bytes::from_static(b"\x65\0\0\0\x01\0\0\0\x02")).unwrap();
    assert_eq!(status, (1, Reply::Status { code: 2, message: String::new() }));
    let version = packet::version(Bytes::from_static(b"\x02\0\0\0\x03\0\0\0\x01e\0\0\0\x011")).unwrap();
    assert_eq!(version, (3, vec![("e".to_owned(), Bytes::from_static(b"1"))]));
}

#[test]
fn no_reply_however_mutated_panics() {
    for seed in 0..20_000_u64 {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        let mut bytes = NAMES.to_vec();
        bytes[0] = [101, 102, 103, 104, 105, 201, 2][next() % 7];
        for _ in 0..next() % 6 {
            let at = next() % bytes.len();
            bytes[at] = next() as u8;
        }
        bytes.truncate(1 + next() % bytes.len());
        let bytes = Bytes::from(bytes);
        let _ = packet::reply(bytes.clone());
        let _ = packet::version(bytes);
    }
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    for name in [&b""[..], b".", b"..", b"/etc/passwd", b"../x", b"a/b", b"a\0b", b"a/", b"/"] {
        assert_eq!(local_name(name), None, "{name:?}");
    }
    for name in [&b"a"[..], b"...", b"..a", b"-rf", b"\xff\xfe", b"a b"] {
        assert!(local_name(name).is_some(), "{name:?}");
    }
}

#[test]
fn pieces_grow_to_what_the_server_states_while_answers_come_quickly() {
    let begin = Instant::now();
    let grown = |limits: Limits| {
        let mut pace = Pace::reading(&limits, begin);
        let mut pieces = vec![pace.piece()];
        for _ in 0..8 {
            pace.answered(begin);
            if pieces.last() != Some(&pace.piece()) {
                pieces.push(pace.piece());
            }
        }
        pieces
    };
    let openssh = Limits { packet: 262_144, read: 261_120, write: 261_120 };
    assert_eq!(grown(openssh), [32_768, 65_536, 131_072, 261_120]);
    // It states nothing, or more than is taken here, or less than every server takes.
    assert_eq!(grown(Limits::default()), [32_768]);
    assert_eq!(grown(Limits { packet: u64::MAX, read: u64::MAX, write: 0 }).last(), Some(&261_120));
    assert_eq!(grown(Limits { packet: 10_000, read: 261_120, write: 0 }), [8_976]);
    assert_eq!(grown(Limits { packet: 1, read: 1, write: 1 }), [1]);
}

#[test]
fn pieces_are_small_again_once_answers_are_slow() {
    let begin = Instant::now();
    let mut pace = Pace::writing(&Limits { packet: 0, read: 0, write: 261_120 }, begin);
    for _ in 0..3 {
        pace.answered(begin);
    }
    assert_eq!(pace.piece(), 261_120);
    pace.answered(begin + Duration::from_secs(2));
    assert_eq!(pace.piece(), 32_768);
}

#[test]
fn limits_are_read_to_the_byte_and_every_cut_is_noticed() {
    const LIMITS: &[u8] = b"\0\0\0\0\0\x04\0\0\0\0\0\0\0\x03\xfc\0\0\0\0\0\0\x03\xf0\0\0\0\0\0\0\0\x03\xfb";
    let limits = Limits { packet: 262_144, read: 261_120, write: 258_048 };
    assert_eq!(Limits::decode(Bytes::from_static(LIMITS)), Ok(limits));
    for length in 0..24 {
        assert!(Limits::decode(Bytes::from_static(&LIMITS[..length])).is_err(), "{length}");
    }
}
