//! What can go wrong when a device is opened, and that it costs no descriptor.

use std::net::Ipv4Addr;

use wharf_links::OpenError;
use wharf_links::tap::Tap;

use crate::namespace::{in_namespace, ip, make_tap};
use crate::packets::meet_kernel;

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn refusals_name_their_reason_and_leak_no_descriptor() {
    in_namespace(|| {
        make_tap("tap0", 1500);
        ip("tuntap add dev tun0 mode tun");
        let first = Tap::open("tap0").unwrap();
        let before = open_descriptors();
        for _ in 0..100 {
            for name in ["", "sixteen-letters-", "tap%d", "tap 0", "tap/0", "tap:0", ".", "..", "tap\n"] {
                assert!(matches!(Tap::open(name), Err(OpenError::Name(_))), "{name:?}");
            }
            assert!(matches!(Tap::open("fifteen-letters"), Err(OpenError::NoInterface(_))));
            assert!(matches!(Tap::open("lo"), Err(OpenError::NotTap(_))));
            assert!(matches!(Tap::open("tun0"), Err(OpenError::NotTap(_))));
            assert!(matches!(Tap::open("tap0"), Err(OpenError::Busy(_))));
        }
        assert_eq!(open_descriptors(), before);
        drop(first);
        assert_eq!(open_descriptors(), before - 1);
    });
}

#[test]
fn name_of_fifteen_bytes_is_opened() {
    in_namespace(|| {
        make_tap("fifteen-letters", 1500);
        let mut tap = Tap::open("fifteen-letters").unwrap();
        meet_kernel(&mut tap);
    });
}

#[test]
fn device_made_for_several_queues_is_opened() {
    in_namespace(|| {
        ip("tuntap add dev tap0 mode tap multi_queue");
        ip("link set tap0 up");
        ip(&format!("address add {}/24 dev tap0", Ipv4Addr::new(10, 9, 0, 1)));
        let mut tap = Tap::open("tap0").unwrap();
        meet_kernel(&mut tap);
    });
}

#[test]
fn messages_say_what_to_do() {
    let message = OpenError::NoInterface("tap7".to_owned()).to_string();
    assert!(message.contains("ip tuntap add dev tap7 mode tap"), "{message}");
    let message = OpenError::Name("sixteen-letters-".to_owned()).to_string();
    assert!(message.contains("15 bytes"), "{message}");
}
