//! Several queues of one TAP device: one station, whose frames the kernel spreads.

use std::net::UdpSocket;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wharf_links::tap::{MAX_QUEUES, Tap, TapOptions};
use wharf_links::{Link, OpenError};
use wire::ethernet::MacAddr;
use wire::protocol::Protocol;
use wire::udp::UdpHeader;

use crate::namespace::{in_namespace, ip, make_queued_tap, make_tap};
use crate::packets::{
    KERNEL, OURS, arp_request, events, meet_kernel, send_complete, udp_headers, wait_for, wait_for_arp_reply,
};
use device::Device;

#[test]
fn queues_are_one_station_and_a_flow_comes_back_by_the_queue_on_which_we_wrote() {
    in_namespace(|| {
        make_queued_tap("tap0");
        for offload in [true, false] {
            let options = TapOptions { offload, ..TapOptions::default() };
            let mut queues = Tap::open_queues_with("tap0", 4, options).unwrap();
            let mac = queues[0].capabilities().mac;
            assert!(queues.iter().all(|queue| queue.capabilities().mac == mac && queue.name() == "tap0"));
            assert!(queues.iter().all(|queue| queue.capabilities().tx_checksum == offload));

            // ARP has no ports: its answers may come by any queue.
            send_complete(&mut queues[0], &arp_request(mac)).unwrap();
            let kernel = wait_for_arp(&mut queues);

            // Eight flows, each begun by us on a queue of its own choice.
            for flow in 0..8_u16 {
                let queue = usize::from(flow) % 4;
                let socket = UdpSocket::bind((KERNEL, 5_000 + flow)).unwrap();
                socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
                let mut frame = udp_headers(mac, kernel, 5_000 + flow, 5);
                frame.extend(b"quay!");
                frame[40..42].fill(0);
                UdpHeader::fill_checksum(&mut frame[34..], OURS.into(), KERNEL.into());
                send_complete(&mut queues[queue], &frame).unwrap();
                let (_, from) = socket.recv_from(&mut [0; 16]).unwrap();
                socket.send_to(b"berth", from).unwrap();
                let answer = wait_for(&mut queues[queue], |frame| frame.transport(Protocol::UDP).map(<[u8]>::to_vec));
                assert_eq!(&answer[8..], b"berth");
                for other in queues.iter().filter(|other| other.counters().received == 0) {
                    assert_eq!(events(other.fd(), PollFlags::IN), PollFlags::empty());
                }
            }
        }
    });
}

/// The kernel's address, from whichever queue its answer comes by.
fn wait_for_arp(queues: &mut [Tap]) -> MacAddr {
    let mut fds: Vec<PollFd<'_>> =
        queues.iter().map(|queue| PollFd::from_borrowed_fd(queue.fd(), PollFlags::IN)).collect();
    let hung = Timespec { tv_sec: 10, tv_nsec: 0 };
    assert!(poll(&mut fds, Some(&hung)).unwrap() > 0, "no answer");
    let at = fds.iter().position(|fd| fd.revents().contains(PollFlags::IN)).unwrap();
    wait_for_arp_reply(&mut queues[at])
}

#[test]
fn a_queue_that_is_closed_leaves_its_flows_to_the_others() {
    in_namespace(|| {
        make_queued_tap("tap0");
        let mut queues = Tap::open_queues("tap0", 2).unwrap();
        drop(queues.remove(0));
        meet_kernel(&mut queues[0]);
    });
}

#[test]
fn refusals_of_queues_say_what_to_do_and_leak_no_descriptor() {
    in_namespace(|| {
        make_tap("single", 1500);
        make_queued_tap("queued");
        ip("tuntap add dev tun0 mode tun multi_queue");
        let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let refused = |name, count| Tap::open_queues(name, count).unwrap_err();
        assert!(matches!(refused("single", 2), OpenError::OneQueue(_)));
        let in_use = Tap::open("single").unwrap();
        assert!(matches!(refused("single", 2), OpenError::OneQueue(_)));
        drop(in_use);
        let message = refused("single", 2).to_string();
        assert!(message.contains("ip tuntap add dev single mode tap multi_queue"), "{message}");
        assert!(matches!(refused("tun0", 2), OpenError::NotTap(_)));
        assert!(matches!(refused("none", 2), OpenError::NoInterface(_)));
        assert!(matches!(refused("queued", 0), OpenError::QueueCount(0)));
        assert!(matches!(refused("queued", MAX_QUEUES + 1), OpenError::QueueCount(_)));
        let all = Tap::open_queues("queued", MAX_QUEUES).unwrap();
        assert!(matches!(refused("queued", 1), OpenError::NoQueueLeft(_)));
        drop(all);
        assert_eq!(std::fs::read_dir("/proc/self/fd").unwrap().count(), before);
        // What was said to do helps.
        ip("tuntap del dev single mode tap");
        make_queued_tap("single");
        assert_eq!(Tap::open_queues("single", 2).unwrap().len(), 2);
    });
}
