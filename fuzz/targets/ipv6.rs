//! IPv6 headers and the walk along their extension headers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::ipv6::{ExtensionHeaders, HEADER_LEN, Ipv6Header};

fuzz_target!(|packet: &[u8]| {
    let Ok((header, payload)) = Ipv6Header::parse(packet) else { return };
    let mut again = [0; HEADER_LEN];
    header.emit(&mut again);
    assert_eq!(again, packet[..HEADER_LEN]);
    let mut walk = ExtensionHeaders::new(header.next_header, payload);
    assert!(walk.by_ref().count() <= usize::from(ExtensionHeaders::MAX) + 1);
    assert!(payload.ends_with(walk.upper_layer().1));
});
