//! A cookies.txt: what is read is written and read alike. The module is taken in by itself, as in `cache_file`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/wharf/src/http/cookies/file.rs"]
mod file;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(lines) = file::parse(bytes) {
        assert_eq!(file::parse(file::print(&lines).as_bytes()), Ok(lines));
    }
});
