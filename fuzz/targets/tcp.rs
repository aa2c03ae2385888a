//! TCP headers and options from bytes: what parses survives emission, except for SACK blocks that do not fit.

#![no_main]

use core::net::{IpAddr, Ipv4Addr};
use libfuzzer_sys::fuzz_target;
use wire::tcp::{SackBlocks, TcpHeader, TcpOptions};

fn without_sack(header: TcpHeader) -> TcpHeader {
    TcpHeader { options: TcpOptions { sack: SackBlocks::EMPTY, ..header.options }, ..header }
}

fuzz_target!(|segment: &[u8]| {
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let _ = TcpHeader::verify(segment, address, address);
    let Ok((header, payload)) = TcpHeader::parse(segment) else { return };
    let mut again = vec![0; header.len()];
    assert_eq!(header.emit(&mut again), again.len());
    again.extend(payload);
    let (parsed, rest) = TcpHeader::parse(&again).unwrap();
    assert_eq!((without_sack(parsed), rest), (without_sack(header), payload));
    let (kept, had) = (parsed.options.sack, header.options.sack);
    assert!(kept.iter().eq(had.iter().take(kept.len())));
    assert!(kept.len() == had.len() || header.len() + 8 > 60);
    TcpHeader::fill_checksum(&mut again, address, address);
    assert_eq!(TcpHeader::verify(&again, address, address), Ok(()));
});
