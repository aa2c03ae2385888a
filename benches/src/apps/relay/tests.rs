use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionread;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

use super::during;

/// Sockets that keep messages apart stand for the devices: each as its user's end, and the relay's.
fn device() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

fn next(at: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
    if poll(&mut [PollFd::from_borrowed_fd(at, PollFlags::IN)], Some(&patience))? == 0 {
        bail!("nothing came");
    }
    let mut frame = vec![0; 1 << 17];
    let (len, _) = recv(at, &mut frame[..], RecvFlags::empty())?;
    frame.truncate(len);
    Ok(frame)
}

#[test]
fn frames_of_every_length_cross_both_ways_whole_and_in_order() {
    let (here, one) = device();
    let (there, other) = device();
    let frames: Vec<Vec<u8>> = [70, 1_524, 65_559, 1].into_iter().map(|len| vec![len as u8; len]).collect();
    during(one, other, || {
        for (from, to) in [(here.as_fd(), there.as_fd()), (there.as_fd(), here.as_fd())] {
            for frame in &frames {
                send(from, frame, SendFlags::empty())?;
            }
            for frame in &frames {
                assert!(*frame == next(to)?, "a frame of {} bytes came otherwise", frame.len());
            }
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_the_work_says_is_passed_on_and_the_relay_ends_with_it() {
    let ((_here, one), (_there, other)) = (device(), device());
    assert_eq!(during(&one, &other, || Ok(7)).unwrap(), 7);
    let failed = during(&one, &other, || -> Result<()> { bail!("no such file") });
    assert_eq!(failed.unwrap_err().to_string(), "no such file");
}

#[test]
fn a_frame_that_was_not_taken_spoils_the_measurement() {
    let (here, one) = device();
    let (_there, other) = device();
    // To write there is an error, and to read there is none: a device that is down.
    rustix::net::shutdown(&other, rustix::net::Shutdown::Write).unwrap();
    let failed = during(&one, &other, || {
        send(&here, b"to nobody", SendFlags::empty())?;
        while ioctl_fionread(&one)? > 0 {
            std::thread::yield_now();
        }
        Ok(())
    });
    assert_eq!(failed.unwrap_err().to_string(), "the relay could not hand on 1 frames");
}
