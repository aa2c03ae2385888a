//! UDP headers and checksums, over both versions of IP.

#![no_main]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use libfuzzer_sys::fuzz_target;
use wire::udp::UdpHeader;

fuzz_target!(|datagram: &[u8]| {
    let Ok((header, payload)) = UdpHeader::parse(datagram) else { return };
    let mut again = vec![0; 8];
    header.emit(&mut again);
    again.extend(payload);
    assert_eq!(again, datagram[..usize::from(header.len)]);
    let v4 = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    for address in [v4, v6] {
        let _ = UdpHeader::verify(datagram, address, address);
        UdpHeader::fill_checksum(&mut again, address, address);
        assert_eq!(UdpHeader::verify(&again, address, address), Ok(()));
    }
});
