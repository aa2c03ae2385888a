//! A device whose frames the kernel takes in on a thread of its own.

use std::fs;

use device::Device;
use wharf_links::tap::{Tap, TapOptions};
use wharf_links::{Link, OpenError};

use crate::namespace::{in_namespace, make_queued_tap, make_tap, succeed};
use crate::packets::{KERNEL, OURS, meet_kernel, send_complete, udp_headers, wait_for, wait_readable};

const THREADED: TapOptions = TapOptions { mac: None, offload: false, threaded: true };

/// Mounts the namespace's own /sys, which alone shows its interfaces.
fn show_interfaces() {
    succeed("mount", "-t sysfs sysfs /sys");
}

fn setting(interface: &str) -> String {
    fs::read_to_string(format!("/sys/class/net/{interface}/threaded")).unwrap().trim().to_owned()
}

/// Whether the descriptor that is attached asked for a NAPI instance.
fn has_napi(interface: &str) -> bool {
    let flags = fs::read_to_string(format!("/sys/class/net/{interface}/tun_flags")).unwrap();
    i32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap() & libc::IFF_NAPI != 0
}

#[test]
fn frames_cross_both_ways_when_the_kernel_takes_them_in_on_a_thread() {
    in_namespace(|| {
        make_tap("tap0", 1500);
        show_interfaces();
        for offload in [false, true] {
            let mut tap = Tap::open_with("tap0", TapOptions { offload, ..THREADED }).unwrap();
            assert_eq!(setting("tap0"), "1");
            assert!(has_napi("tap0"));
            let kernel = meet_kernel(&mut tap);
            let socket = std::net::UdpSocket::bind((KERNEL, 5000)).unwrap();
            for _ in 0..1_000 {
                let mut frame = udp_headers(tap.capabilities().mac, kernel, 5000, 5);
                frame.extend(b"quay!");
                frame[40..42].fill(0);
                wire::udp::UdpHeader::fill_checksum(&mut frame[34..], OURS.into(), KERNEL.into());
                send_complete(&mut tap, &frame).unwrap();
                let mut bytes = [0; 16];
                assert_eq!(wait_readable(&socket).recv(&mut bytes).unwrap(), 5);
            }
            socket.send_to(b"berth", (OURS, 7000)).unwrap();
            let datagram =
                wait_for(&mut tap, |frame| frame.transport(wire::protocol::Protocol::UDP).map(<[u8]>::to_vec));
            assert_eq!(&datagram[8..], b"berth");
        }
    });
}

#[test]
fn device_without_a_thread_has_no_napi_instance() {
    in_namespace(|| {
        make_tap("tap0", 1500);
        show_interfaces();
        let _tap = Tap::open_with("tap0", TapOptions { threaded: false, ..THREADED }).unwrap();
        assert_eq!(setting("tap0"), "0");
        assert!(!has_napi("tap0"));
    });
}

#[test]
fn every_queue_can_have_a_thread() {
    in_namespace(|| {
        make_queued_tap("tap0");
        show_interfaces();
        let mut queues = Tap::open_queues_with("tap0", 2, THREADED).unwrap();
        assert_eq!(setting("tap0"), "1");
        drop(queues.remove(0));
        meet_kernel(&mut queues[0]);
    });
}

#[test]
fn the_device_keeps_its_thread_for_who_may_not_set_it() {
    in_namespace(|| {
        make_tap("tap0", 1500);
        make_tap("tap1", 1500);
        show_interfaces();
        drop(Tap::open_with("tap0", THREADED).unwrap());
        succeed("mount", "-o remount,bind,ro /sys");
        let mut tap = Tap::open_with("tap0", THREADED).unwrap();
        meet_kernel(&mut tap);
        let before = fs::read_dir("/proc/self/fd").unwrap().count();
        let error = Tap::open_with("tap1", THREADED).unwrap_err();
        assert!(matches!(&error, OpenError::NotThreaded { name, .. } if name == "tap1"), "{error}");
        assert!(error.to_string().contains("/sys/class/net/tap1/threaded"), "{error}");
        assert_eq!(fs::read_dir("/proc/self/fd").unwrap().count(), before);
        assert_eq!(tap.name(), "tap0");
    });
}

#[test]
fn a_thread_is_refused_where_sys_is_of_another_namespace() {
    in_namespace(|| {
        make_tap("tap-elsewhere", 1500);
        assert!(matches!(Tap::open_with("tap-elsewhere", THREADED), Err(OpenError::NotThreaded { .. })));
    });
}
