//! A queue that is full, an interface that goes down and comes up, a device that is deleted.

use device::{Device, TransmitError};
use rustix::event::PollFlags;
use wharf_links::Link;
use wharf_links::tap::Tap;

use wire::ethernet::{EtherType, EthernetHeader, MacAddr};

use crate::namespace::{in_namespace, ip, make_tap, succeed};
use crate::packets::{arp_request, events, meet_kernel, send_complete};

#[test]
fn frames_are_lost_and_counted_while_the_interface_is_down() {
    in_namespace(|| {
        make_tap("tap0", 1500);
        let mut tap = Tap::open("tap0").unwrap();
        meet_kernel(&mut tap);
        assert!(tap.link_up());
        let request = arp_request(tap.capabilities().mac);
        let before = tap.counters();

        ip("link set tap0 down");
        for _ in 0..3 {
            assert_eq!(send_complete(&mut tap, &request), Err(TransmitError::Lost));
        }
        assert!(!tap.link_up());
        assert_eq!(tap.counters().transmit_lost, before.transmit_lost + 3);
        assert_eq!(tap.counters().transmitted, before.transmitted);
        // Nobody who waits for it spins.
        tap.receive(64, &mut |_| ());
        assert!(!tap.wants_write());
        assert_eq!(events(tap.fd(), PollFlags::IN), PollFlags::empty());

        ip("link set tap0 up");
        assert!(tap.link_up());
        meet_kernel(&mut tap);
    });
}

#[test]
fn interface_that_is_down_from_the_beginning_says_so() {
    in_namespace(|| {
        make_tap("tap0", 1500);
        ip("link set tap0 down");
        let mut tap = Tap::open("tap0").unwrap();
        assert!(!tap.link_up());
        ip("link set tap0 up");
        assert!(tap.link_up());
        meet_kernel(&mut tap);
    });
}

#[test]
fn deleted_device_loses_frames_and_falls_silent() {
    in_namespace(|| {
        make_tap("tap0", 1500);
        let mut tap = Tap::open("tap0").unwrap();
        let request = arp_request(tap.capabilities().mac);
        ip("link delete tap0");
        // The kernel reports an error on it from now on, for ever, until it is noticed.
        assert!(events(tap.fd(), PollFlags::IN).contains(PollFlags::ERR));
        assert_eq!(tap.receive(64, &mut |_| ()), 0);
        assert_eq!(events(tap.fd(), PollFlags::IN), PollFlags::empty());
        assert!(!tap.link_up());
        assert_eq!(send_complete(&mut tap, &request), Err(TransmitError::Lost));
        assert_eq!(tap.counters().transmit_lost, 1);
    });
}

#[test]
fn device_deleted_before_a_frame_is_sent_falls_silent() {
    in_namespace(|| {
        make_tap("tap0", 1500);
        let mut tap = Tap::open("tap0").unwrap();
        let request = arp_request(tap.capabilities().mac);
        ip("link delete tap0");
        assert_eq!(send_complete(&mut tap, &request), Err(TransmitError::Lost));
        assert!(!tap.link_up());
        assert_eq!(events(tap.fd(), PollFlags::IN), PollFlags::empty());
    });
}

/// IEEE 802 gives this type to nobody: firewalls of the bridge do not look into it.
const LOCAL_EXPERIMENTAL: EtherType = EtherType(0x88b5);

/// Behind the device a bridge, and behind that a wire so slow that what is sent stays queued.
#[test]
fn full_queue_keeps_the_frame_and_waits_for_room() {
    in_namespace(|| {
        make_tap("tap0", 1500);
        ip("link add bridge0 type bridge");
        ip("link add wire0 type veth peer name wire1");
        for name in ["bridge0", "wire0", "wire1"] {
            ip(&format!("link set {name} up"));
        }
        ip("link set tap0 master bridge0");
        ip("link set wire0 master bridge0");
        succeed("tc", "qdisc add dev wire0 root tbf rate 8kbit burst 2000 limit 10000000");
        let mut tap = Tap::open("tap0").unwrap();
        tap.set_queue_limit(20_000).unwrap();

        // To one station that nobody knows: a broadcast would be cloned, and clones are on nobody's account.
        let mut frame = vec![0; 1500];
        EthernetHeader {
            dst: MacAddr([2, 0, 0, 0, 0, 9]),
            src: tap.capabilities().mac,
            vlan: None,
            ethertype: LOCAL_EXPERIMENTAL,
        }
        .emit(&mut frame);
        let mut refused = 0;
        for _ in 0..1000 {
            match send_complete(&mut tap, &frame) {
                Ok(()) => {}
                Err(TransmitError::Full) => {
                    refused += 1;
                    break;
                }
                Err(TransmitError::Lost) => panic!("lost, not full: {:?}", tap.counters()),
            }
        }
        assert_eq!(refused, 1, "a thousand frames found room");
        let taken = tap.counters().transmitted;
        assert_eq!(tap.counters().transmit_full, 1);
        assert_eq!(tap.counters().transmit_lost, 0);
        tap.flush();
        assert!(tap.wants_write());
        assert_eq!(events(tap.fd(), PollFlags::OUT), PollFlags::empty());

        // The wire is fast again: there is room, the poll says so, and the frame goes.
        succeed("tc", "qdisc del dev wire0 root");
        assert_eq!(events(tap.fd(), PollFlags::OUT), PollFlags::OUT);
        send_complete(&mut tap, &frame).unwrap();
        assert_eq!(tap.counters().transmitted, taken + 1);
        tap.flush();
        tap.flush();
        assert!(!tap.wants_write());
    });
}
