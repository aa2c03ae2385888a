//! DHCP messages. The fixed fields that lead to an early refusal are corrected first.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::dhcpv4::DhcpMessage;

fuzz_target!(|message: &[u8]| {
    let _ = DhcpMessage::parse(message);
    let mut bytes = message.to_vec();
    if bytes.len() < 240 {
        return;
    }
    bytes[0] = 1 + (bytes[0] & 1);
    bytes[1..3].copy_from_slice(&[1, 6]);
    bytes[236..240].copy_from_slice(&[99, 130, 83, 99]);
    let Ok(message) = DhcpMessage::parse(&bytes) else { return };
    let mut again = vec![0; message.len()];
    assert_eq!(message.emit(&mut again), Ok(again.len()));
    assert_eq!(DhcpMessage::parse(&again), Ok(message));
    assert!(message.emit(&mut vec![0; message.len() - 1]).is_err());
});
