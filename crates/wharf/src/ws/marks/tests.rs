//! Frames cut in every way.

use super::{Mark, Marks};

const HEAD: &[u8] = b"HTTP/1.1 101 Switching\r\nA: \xc1\r\n\r\n";

/// A compressed text in two frames with a Ping between, a plain text of 200 bytes, a masked compressed message of 70,000.
fn stream() -> Vec<u8> {
    let mut bytes = HEAD.to_vec();
    bytes.extend(b"\x41\x02\xc1\xc1\x89\x01\xc1\x80\x01\xc2");
    bytes.extend([&[0x81, 126, 0, 200][..], &[0xc1; 200]].concat());
    bytes.extend([&[0xc2, 0xff, 0, 0, 0, 0, 0, 1, 0x11, 0x70, 0xc1, 0xc2, 0xc1, 0xc2][..], &[0xc2; 70_000]].concat());
    bytes.extend(b"\xc1\x80\xc1\xc1\xc1\xc1\x81\x00");
    bytes
}

#[test]
fn marks_are_taken_off_first_frames_and_nothing_else_is_touched_however_it_is_cut() {
    let original = stream();
    let mut expected = original.clone();
    let first = HEAD.len();
    let third = first + 10 + 204;
    let fourth = third + 14 + 70_000;
    for (at, byte) in [(first, 0x02), (third, 0x82), (fourth, 0x82)] {
        expected[at] = byte;
    }
    let marks: Vec<Mark> = [(true, true), (false, true), (true, false), (true, true), (false, true)]
        .map(|(is_compressed, is_text)| Mark { is_compressed, is_text })
        .to_vec();
    for size in [1, 2, 3, 7, 64, 4096, original.len()] {
        let mut follower = Marks::new();
        let mut bytes = original.clone();
        for piece in bytes.chunks_mut(size) {
            follower.take_off(piece);
        }
        assert!(bytes == expected, "pieces of {size}");
        assert_eq!(std::iter::from_fn(|| follower.next()).collect::<Vec<_>>(), marks, "pieces of {size}");
    }
}

#[test]
fn the_bit_stays_on_continuations_and_control_frames() {
    let mut follower = Marks::new();
    let mut bytes = [HEAD, b"\xc0\x00\xc9\x00\xc8\x00"].concat();
    let before = bytes.clone();
    follower.take_off(&mut bytes);
    assert_eq!((bytes, follower.next()), (before, None));
}
