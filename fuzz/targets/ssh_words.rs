//! What is read line by line: ssh_config's words and forwards, its patterns, a table of hosts, the text of a zone. The
//! modules are taken in by themselves, as in `cache_file`.

#![no_main]
#![allow(dead_code, reason = "a part of each module is looked at")]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/wharf/src/ssh/config/forward.rs"]
mod forward;
#[path = "../../crates/wharf/src/dns/hosts.rs"]
mod hosts;
#[path = "../../crates/wharf/src/ssh/pattern.rs"]
mod pattern;
#[path = "../../crates/wharf/src/ssh/config/words.rs"]
mod words;
#[path = "../../crates/wharf/src/dns/zone_text.rs"]
mod zone_text;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines() {
        let Ok(Some((word, values))) = words::split(line) else { continue };
        assert!(!word.bytes().any(|byte| byte.is_ascii_uppercase()));
        for value in &values {
            let _ = forward::Listen::parse(value);
            let _ = value.parse::<forward::Forward>();
            // A text is matched by itself unless it holds what stands for others.
            if !value.contains(['*', '?', '!', ',']) {
                assert!(pattern::matches(value, value));
            }
        }
        let _ = pattern::list_matches(values.iter().map(String::as_str), "host.example");
    }
    let hosts = hosts::Hosts::parse(&text);
    let _ = hosts.addresses("localhost");
    let _ = zone_text::lines(&text);
});
