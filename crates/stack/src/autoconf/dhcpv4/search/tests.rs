//! Golden bytes of RFC 3397, and what is broken.

use alloc::vec::Vec;

use super::domains;

/// The example of RFC 3397 section 3: "eng.apple.com." and "marketing.apple.com.", the second by a pointer.
const RFC: &[u8] = b"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04";

#[test]
fn the_rfcs_own_example_is_read() {
    assert_eq!(domains(RFC), ["eng.apple.com", "marketing.apple.com"]);
}

#[test]
fn a_list_cut_anywhere_gives_the_whole_names_before_the_cut() {
    for length in 0..RFC.len() {
        let expected: &[&str] = if length < 15 { &[] } else { &["eng.apple.com"] };
        assert_eq!(domains(&RFC[..length]), expected, "{length} bytes");
    }
}

#[test]
fn pointers_that_lead_nowhere_or_round_end_the_list() {
    // To itself, forward, beyond the end, and two at each other.
    for broken in [&b"\x01a\xc0\x02"[..], b"\xc0\x00", b"\xc0\x02\x01a\x00", b"\x01a\xc0\xff", b"\xc0\x02\xc0\x00"] {
        assert_eq!(domains(broken), [""; 0], "{broken:?}");
    }
}

#[test]
fn names_that_nobody_would_ask_for_are_left_out() {
    assert_eq!(domains(b"\x00\x03a b\x00\x01c\x00"), ["c"]);
}

#[test]
fn a_name_longer_than_a_name_can_be_and_a_list_longer_than_is_used_have_an_end() {
    let mut long = Vec::new();
    for _ in 0..4 {
        long.push(63);
        long.extend([b'a'; 63]);
    }
    long.push(0);
    assert_eq!(domains(&long), [""; 0]);
    let many: Vec<u8> = [1, b'a', 0].repeat(80);
    assert_eq!(domains(&many).len(), 16);
}
