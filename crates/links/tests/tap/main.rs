//! TAP devices with the kernel as the peer, each test in a network namespace of its own.

mod handed_over;
mod namespace;
mod offload;
mod opening;
mod packets;
mod queues;
mod spec;
mod threaded;
mod trouble;

use std::net::UdpSocket;
use wharf_links::Link;
use wharf_links::tap::{Tap, TapOptions};
use wire::protocol::Protocol;
use wire::udp::UdpHeader;

use crate::namespace::{in_namespace, make_tap};
use crate::packets::{KERNEL, OURS, meet_kernel, send_complete, udp_headers, wait_for, wait_readable};
use device::{Device, RxChecksum};

#[test]
fn frames_cross_both_ways_without_offload() {
    in_namespace(|| {
        make_tap("tap0", 1500);
        let mut tap = Tap::open_with("tap0", TapOptions { offload: false, ..TapOptions::default() }).unwrap();
        assert_eq!(tap.name(), "tap0");
        assert!(!tap.capabilities().tx_checksum);
        assert_eq!(tap.capabilities().tx_segmentation, None);
        let kernel = meet_kernel(&mut tap);

        let socket = UdpSocket::bind((KERNEL, 5000)).unwrap();
        let mut frame = udp_headers(tap.capabilities().mac, kernel, 5000, 5);
        frame.extend(b"quay!");
        UdpHeader::fill_checksum(&mut frame[34..], OURS.into(), KERNEL.into());
        send_complete(&mut tap, &frame).unwrap();
        let mut bytes = [0; 16];
        assert_eq!(wait_readable(&socket).recv(&mut bytes).unwrap(), 5);
        assert_eq!(&bytes[..5], b"quay!");

        socket.send_to(b"berth", (OURS, 7000)).unwrap();
        let datagram = wait_for(&mut tap, |frame| {
            assert_eq!((frame.checksum, frame.segment_size), (RxChecksum::Unverified, None));
            frame.transport(Protocol::UDP).map(<[u8]>::to_vec)
        });
        assert_eq!(UdpHeader::verify(&datagram, KERNEL.into(), OURS.into()), Ok(()));
        assert_eq!(&datagram[8..], b"berth");
        assert_eq!(tap.counters().transmitted, 2);
        assert!(tap.counters().received >= 2);
    });
}

#[test]
fn mtu_is_the_interfaces_own() {
    in_namespace(|| {
        make_tap("tap0", 9000);
        assert_eq!(Tap::open("tap0").unwrap().capabilities().mtu, 9000);
    });
}

#[test]
fn hardware_address_is_ours_alone_and_the_same_at_every_opening() {
    in_namespace(|| {
        make_tap("tap0", 1500);
        let first = Tap::open("tap0").unwrap().capabilities().mac;
        let mut again = Tap::open("tap0").unwrap();
        assert_eq!(again.capabilities().mac, first);
        assert!(first.is_unicast() && first.0[0] & 0x02 != 0, "{first} is not locally administered");
        assert_ne!(meet_kernel(&mut again), first);

        drop(again);
        let given = wire::ethernet::MacAddr([2, 0, 0, 0, 0, 7]);
        let tap = Tap::open_with("tap0", TapOptions { mac: Some(given), ..TapOptions::default() }).unwrap();
        assert_eq!(tap.capabilities().mac, given);
    });
}
