//! IPv4 headers and options. The checksum is corrected first, so that the fuzzer gets past it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::ipv4::{Ipv4Header, MAX_OPTIONS_LEN};

fuzz_target!(|packet: &[u8]| {
    let _ = Ipv4Header::parse(packet);
    let _ = Ipv4Header::parse_without_checksum(packet);
    let mut packet = packet.to_vec();
    let Some(first) = packet.first() else { return };
    let header_len = usize::from(first & 15) * 4;
    if header_len < 20 || packet.len() < header_len {
        return;
    }
    packet[10..12].fill(0);
    let checksum = wire::checksum::sum(&packet[..header_len]).finish();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    let Ok((header, payload)) = Ipv4Header::parse(&packet) else { return };
    assert!(header.options().count() <= MAX_OPTIONS_LEN);
    assert!(header.copied_options(&mut [0; MAX_OPTIONS_LEN]) <= header.options.len());
    let mut again = vec![0; header.len()];
    header.emit(&mut again);
    again.extend(payload);
    assert_eq!(Ipv4Header::parse(&again), Ok((header, payload)));
});
