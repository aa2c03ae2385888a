//! Head and trailer of a file of the HTTP cache. The module is taken in by itself: the library around it would make the
//! build many times as long.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/wharf/src/http/cache/format.rs"]
mod format;

use format::{Head, LONGEST_HEAD, TRAILER, Trailer};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(head) = Head::decode(bytes) {
        assert_eq!(head.encode(), bytes);
    }
    let Some((trailer, rest)) = bytes.split_first_chunk::<TRAILER>() else { return };
    // Nearly no input has the right checksum: it is put in, so that what lies behind it is reached too.
    let mut trailer = *trailer;
    trailer[..8].copy_from_slice(b"WHARFHC1");
    let checksum = crc32fast::hash(&trailer[..TRAILER - 4]);
    trailer[TRAILER - 4..].copy_from_slice(&checksum.to_le_bytes());
    let file_length = rest.first_chunk().map_or(bytes.len() as u64, |length| u64::from_le_bytes(*length));
    if let Ok(decoded) = Trailer::decode(&trailer, file_length) {
        assert_eq!(decoded.encode(), trailer);
        assert!(decoded.head_length as usize <= LONGEST_HEAD && decoded.body_length < file_length);
    }
});
