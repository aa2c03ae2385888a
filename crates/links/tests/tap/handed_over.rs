//! A TAP descriptor that somebody else opened, as `fd:N` takes it.

use std::ffi::{c_int, c_short};
use std::fs::OpenOptions;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};

use device::{Device, RxChecksum};
use rustix::event::PollFlags;
use wharf_links::fd::FdLink;
use wharf_links::{Link, OpenError};
use wire::protocol::Protocol;

use crate::namespace::{in_namespace, ip, make_tap};
use crate::packets::{KERNEL, OURS, events, meet_kernel, wait_for};

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETVNETHDRSZ: libc::c_ulong = 0x4004_54d8;

/// Opens `name` as another program would, blocking.
fn open_elsewhere(name: &str, flags: c_int) -> OwnedFd {
    let fd = OwnedFd::from(OpenOptions::new().read(true).write(true).open("/dev/net/tun").unwrap());
    // SAFETY: an ifreq of zeros is valid, and TUNSETIFF reads and writes one.
    let result = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = byte as _;
        }
        request.ifr_ifru.ifru_flags = flags as c_short;
        libc::ioctl(fd.as_raw_fd(), TUNSETIFF, &raw mut request)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    fd
}

#[test]
fn plain_device_offers_no_offload() {
    in_namespace(|| {
        make_tap("tap0", 1400);
        let fd = open_elsewhere("tap0", libc::IFF_TAP | libc::IFF_NO_PI);
        let name = format!("fd:{}", fd.as_raw_fd());
        let mut link = FdLink::from_fd(fd, None).unwrap();
        assert_eq!(link.name(), name);
        assert_eq!(link.capabilities().mtu, 1400);
        assert!(!link.capabilities().tx_checksum);
        meet_kernel(&mut link);
        // It was blocking, and is not any more.
        link.receive(64, &mut |_| ());
        assert_eq!(events(link.fd(), PollFlags::IN), PollFlags::empty());
    });
}

#[test]
fn offload_header_is_found_out_whatever_its_length() {
    in_namespace(|| {
        for len in [10 as c_int, 12, 20] {
            make_tap("tap0", 1500);
            let fd = open_elsewhere("tap0", libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR);
            // SAFETY: TUNSETVNETHDRSZ reads one int.
            let result = unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETVNETHDRSZ, &raw const len) };
            assert_eq!(result, 0);
            let mut link = FdLink::from_fd(fd, Some(1300)).unwrap();
            assert_eq!(link.capabilities().mtu, 1300);
            assert_eq!(link.capabilities().tx_segmentation, Some(65_535));
            meet_kernel(&mut link);
            let socket = UdpSocket::bind((KERNEL, 5000)).unwrap();
            socket.send_to(b"x", (OURS, 7000)).unwrap();
            let checksum = wait_for(&mut link, |frame| frame.transport(Protocol::UDP).map(|_| frame.checksum));
            assert_eq!(checksum, RxChecksum::Partial { start: 34, offset: 6 });
            drop(link);
            ip("link delete tap0");
        }
    });
}

#[test]
fn descriptors_that_carry_no_frames_are_refused() {
    in_namespace(|| {
        ip("tuntap add dev tun0 mode tun");
        let refused = |fd: OwnedFd| match FdLink::from_fd(fd, None) {
            Err(OpenError::NotALink { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        let unattached = OpenOptions::new().read(true).write(true).open("/dev/net/tun").unwrap();
        assert!(refused(unattached.into()).contains("neither"));
        assert!(refused(open_elsewhere("tun0", libc::IFF_TUN | libc::IFF_NO_PI)).contains("TUN"));
        assert!(refused(OpenOptions::new().read(true).open("/dev/null").unwrap().into()).contains("neither"));
    });
}
