//! ICMP messages and what they quote. The checksum is corrected first, so that the fuzzer gets past it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::icmpv4::{Icmpv4Message, Quoted};

fuzz_target!(|message: &[u8]| {
    let _ = Icmpv4Message::parse(message);
    let mut bytes = message.to_vec();
    if bytes.len() < 8 {
        return;
    }
    bytes[2..4].fill(0);
    let checksum = wire::checksum::sum(&bytes).finish();
    bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
    // Nothing but zeroes has no valid checksum; everything else is a message of some kind.
    let Ok(message) = Icmpv4Message::parse(&bytes) else {
        assert!(bytes.iter().all(|byte| matches!(byte, 0 | 0xff)));
        return;
    };
    let mut again = vec![0; message.len()];
    message.emit(&mut again);
    assert_eq!(Icmpv4Message::parse(&again), Ok(message));
    if let Ok(quoted) = Quoted::parse(&bytes[8..]) {
        assert!(quoted.tcp_seq().is_none() || quoted.ports().is_some());
        let _ = quoted.echo();
    }
});
