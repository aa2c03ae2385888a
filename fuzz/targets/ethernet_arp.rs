//! Ethernet headers, and ARP behind them: what parses is emitted as the bytes that it came from.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::arp::{ArpPacket, PACKET_LEN};
use wire::ethernet::{EtherType, EthernetHeader};

fuzz_target!(|frame: &[u8]| {
    let Ok((header, payload)) = EthernetHeader::parse(frame) else { return };
    let mut bytes = [0; 18];
    let len = header.emit(&mut bytes);
    assert_eq!(bytes[..len], frame[..len]);
    if header.ethertype != EtherType::ARP {
        return;
    }
    let Ok(packet) = ArpPacket::parse(payload) else { return };
    let mut bytes = [0; PACKET_LEN];
    packet.emit(&mut bytes);
    assert_eq!(bytes, payload[..PACKET_LEN]);
});
