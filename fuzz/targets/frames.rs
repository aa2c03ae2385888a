//! A WebSocket's frames on their way to tungstenite, cut in two anywhere: the same comes out. And a DHCP server's list of
//! domains. The modules are taken in by themselves, as in `cache_file`.

#![no_main]

extern crate alloc;

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/wharf/src/ws/marks.rs"]
mod marks;
#[path = "../../crates/stack/src/autoconf/dhcpv4/search.rs"]
mod search;

use marks::Marks;

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, bytes)) = bytes.split_first() else { return };
    let stream = [b"\r\n\r\n", bytes].concat();
    let followed = |cut: usize| {
        let mut stream = stream.clone();
        let mut marks = Marks::new();
        let (first, second) = stream.split_at_mut(cut.min(bytes.len()));
        marks.take_off(first);
        marks.take_off(second);
        (stream, std::iter::from_fn(move || marks.next()).collect::<Vec<_>>())
    };
    let (whole, noted) = followed(0);
    assert_eq!(followed(cut.into()), (whole, noted));

    let domains = search::domains(bytes);
    assert!(domains.len() <= 16 && domains.iter().all(|domain| !domain.is_empty() && domain.len() <= 253));
});
