//! Whom a frame is of, as far as it can be told from its addresses and ports alone.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::*;

#[test]
fn a_frame_is_of_whom_was_heard_last_only_by_both_addresses_and_both_ports() {
    let address = |last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
    let flow = Flow { local: address(1), remote: address(2), local_port: 0x0102, remote_port: 0x0304 };
    let mut demux = Demux::default();
    demux.insert_hashed(5, &flow, Holder::Connection(7));
    // RFC 791 section 3.1 and RFC 9293 section 3.1: source before destination, by the peer who sends it.
    let wire = [192, 0, 2, 2, 192, 0, 2, 1, 3, 4, 1, 2];
    assert_eq!(demux.heard_last(&wire), Some(Holder::Connection(7)));
    for at in 0..wire.len() {
        let mut other = wire;
        other[at] ^= 1;
        assert_eq!(demux.heard_last(&other), None, "byte {at}");
    }
    demux.remove(5, 7, &flow);
    assert_eq!(demux.heard_last(&wire), None);
}

#[test]
fn no_frame_over_ipv4_is_of_a_flow_over_ipv6() {
    let flow = Flow {
        local: IpAddr::V6(Ipv6Addr::LOCALHOST),
        remote: Ipv4Addr::new(192, 0, 2, 2).to_ipv6_mapped().into(),
        local_port: 1,
        remote_port: 2,
    };
    let mut demux = Demux::default();
    demux.insert_hashed(5, &flow, Holder::Connection(7));
    assert_eq!(demux.heard_last(&[0, 0, 0, 0, 192, 0, 2, 2, 0, 2, 0, 1]), None);
    assert_eq!(demux.heard_last(&[192, 0, 2, 2, 0, 0, 0, 1, 0, 2, 0, 1]), None);
}
