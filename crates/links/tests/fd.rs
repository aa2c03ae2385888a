//! Sockets as links: messages that are frames, and streams in QEMU's framing.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Instant;

use device::{Capabilities, Device, RxChecksum, TransmitError, TxChecksum, TxFrame};
use ring::Span;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use wharf_links::fd::FdLink;
use wharf_links::{Link, OpenError};
use wire::ethernet::MacAddr;

/// The longest frame of a stream.
const LONGEST: usize = 65_536 + 4_096;

fn seqpacket() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

fn stream() -> (FdLink, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (FdLink::from_fd(ours.into(), None).unwrap(), theirs)
}

fn frame(bytes: &[u8]) -> TxFrame<'_> {
    TxFrame { header: bytes, payload: &[], checksum: TxChecksum::Complete, segment_size: None }
}

fn received(link: &mut FdLink, budget: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let count = link.receive(budget, &mut |frame| {
        assert_eq!((frame.checksum, frame.segment_size), (RxChecksum::Unverified, None));
        frames.push(frame.bytes.to_vec());
    });
    assert_eq!(count, frames.len());
    frames
}

fn events(link: &FdLink, wanted: PollFlags) -> PollFlags {
    let mut fds = [PollFd::from_borrowed_fd(link.fd(), wanted)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
    fds[0].revents()
}

fn framed(frame: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(frame);
    bytes
}

#[test]
fn datagrams_are_frames_both_ways() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let name = format!("fd:{}", ours.as_raw_fd());
    let mut link = FdLink::from_fd(ours.into(), Some(9000)).unwrap();
    assert_eq!(link.name(), name);
    let Capabilities { mac, mtu, tx_checksum, tx_segmentation } = link.capabilities();
    assert_eq!((mtu, tx_checksum, tx_segmentation), (9000, false, None));
    assert!(mac.is_unicast() && mac.0[0] & 2 != 0);

    let pieces = [Span::from_slice(b"fr"), Span::from_slice(b"ame")];
    link.transmit(&TxFrame { payload: &pieces, ..frame(b"a whole ") }).unwrap();
    let mut bytes = [0; 64];
    let len = theirs.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..len], b"a whole frame");

    for text in ["one", "", "three"] {
        theirs.send(text.as_bytes()).unwrap();
    }
    assert_eq!(received(&mut link, 2), [b"one".to_vec(), b"".to_vec()]);
    assert_eq!(received(&mut link, 2), [b"three".to_vec()]);
    assert_eq!((link.counters().received, link.counters().transmitted), (3, 1));
}

#[test]
fn frame_of_64_kib_fits_a_message_and_a_longer_one_is_counted_oversized() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut link = FdLink::from_fd(ours.into(), None).unwrap();
    let longest = vec![7; 65_536];
    theirs.send(&longest).unwrap();
    theirs.send(&vec![8; 65_601]).unwrap();
    theirs.send(b"next").unwrap();
    let mut lengths = Vec::new();
    link.receive(64, &mut |frame| lengths.push(frame.bytes.len()));
    assert_eq!(lengths, [65_536, 4]);
    assert_eq!((link.counters().received, link.counters().received_oversized), (2, 1));
}

#[test]
fn full_message_queue_keeps_the_frame_and_waits_for_room() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut link = FdLink::from_fd(ours.into(), None).unwrap();
    let mut taken = 0;
    while link.transmit(&frame(&[1; 1000])).is_ok() {
        taken += 1;
        assert!(taken < 100_000, "the queue has no end");
    }
    assert_eq!(link.transmit(&frame(b"kept")), Err(TransmitError::Full));
    assert_eq!((link.counters().transmit_full, link.counters().transmit_lost), (2, 0));
    link.flush();
    assert!(link.wants_write());
    assert_eq!(events(&link, PollFlags::OUT), PollFlags::empty());

    for _ in 0..taken {
        theirs.recv(&mut [0; 1000]).unwrap();
    }
    assert_eq!(events(&link, PollFlags::OUT), PollFlags::OUT);
    link.transmit(&frame(b"kept")).unwrap();
    link.flush();
    link.flush();
    assert!(!link.wants_write());
}

#[test]
fn caller_who_gives_the_frame_up_does_not_wait_for_room() {
    let (ours, _theirs) = UnixDatagram::pair().unwrap();
    let mut link = FdLink::from_fd(ours.into(), None).unwrap();
    while link.transmit(&frame(&[1; 1000])).is_ok() {}
    link.flush();
    assert!(link.wants_write());
    // A turn without a frame.
    link.flush();
    assert!(!link.wants_write());
}

#[test]
fn absent_datagram_peer_loses_frames_and_nobody_spins() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut link = FdLink::from_fd(ours.into(), None).unwrap();
    assert!(link.link_up());
    drop(theirs);
    assert_eq!(link.transmit(&frame(b"lost")), Err(TransmitError::Lost));
    assert!(!link.link_up());
    assert_eq!(link.counters().transmit_lost, 1);
    for _ in 0..100 {
        link.receive(64, &mut |_| panic!("nobody sends"));
    }
    assert_eq!(events(&link, PollFlags::IN), PollFlags::empty());
}

#[test]
fn seqpacket_frames_end_with_the_peer_and_the_link_falls_silent() {
    let (ours, theirs) = seqpacket();
    let mut link = FdLink::from_fd(ours, None).unwrap();
    rustix::io::write(&theirs, b"last").unwrap();
    drop(theirs);
    assert_eq!(received(&mut link, 64), [b"last".to_vec()]);
    assert!(!link.link_up());
    assert_eq!(events(&link, PollFlags::IN), PollFlags::empty());
    assert_eq!(link.transmit(&frame(b"lost")), Err(TransmitError::Lost));
    assert_eq!(link.counters().transmit_lost, 1);
}

#[test]
fn stream_frames_carry_their_length_before_them() {
    let (mut link, mut theirs) = stream();
    let pieces = [Span::from_slice(b"quay")];
    link.transmit(&TxFrame { payload: &pieces, ..frame(b"at the ") }).unwrap();
    link.flush();
    let mut bytes = [0; 15];
    theirs.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"\0\0\0\x0bat the quay");

    theirs.write_all(b"\0\0\0\x03one\0\0\0\0\0\0\0\x05th").unwrap();
    assert_eq!(received(&mut link, 64), [b"one".to_vec(), b"".to_vec()]);
    theirs.write_all(b"ree").unwrap();
    assert_eq!(received(&mut link, 64), [b"three".to_vec()]);
    assert_eq!(received(&mut link, 64), Vec::<Vec<u8>>::new());
}

#[test]
fn stream_cut_anywhere_brings_the_same_frames() {
    let frames: Vec<Vec<u8>> = [1, 60, 0, 300].iter().map(|len| vec![*len as u8; *len]).collect();
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| framed(frame)).collect();
    for cut in 1..bytes.len() {
        let (mut link, mut theirs) = stream();
        let mut got = Vec::new();
        for piece in bytes.chunks(cut) {
            theirs.write_all(piece).unwrap();
            got.extend(received(&mut link, 64));
        }
        assert_eq!(got, frames, "in pieces of {cut}");
    }
}

#[test]
fn frames_left_by_the_budget_have_a_deadline_for_the_descriptor_is_silent() {
    let (mut link, mut theirs) = stream();
    let bytes: Vec<u8> = (0..10).flat_map(|at| framed(&[at; 60])).collect();
    theirs.write_all(&bytes).unwrap();
    assert_eq!(received(&mut link, 4).len(), 4);
    assert_eq!(events(&link, PollFlags::IN), PollFlags::empty());
    assert!(link.deadline().unwrap() <= Instant::now());
    assert_eq!(received(&mut link, 4).len(), 4);
    assert_eq!(received(&mut link, 4).len(), 2);
    assert_eq!(link.deadline(), None);
}

#[test]
fn long_stream_of_frames_of_all_lengths_arrives_whole() {
    let (mut link, mut theirs) = stream();
    let lengths = [0, 1, 59, 1514, 9014, 65_535, LONGEST, 14, LONGEST, LONGEST, 60];
    let sent: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(at, len)| vec![at as u8; *len]).collect();
    let bytes: Vec<u8> = sent.iter().flat_map(|frame| framed(frame)).collect();
    let writer = std::thread::spawn(move || theirs.write_all(&bytes).map(|()| theirs));
    let mut got = Vec::new();
    while got.len() < sent.len() {
        let mut fds = [PollFd::from_borrowed_fd(link.fd(), PollFlags::IN)];
        let hung = Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(poll(&mut fds, Some(&hung)), Ok(1), "only {} came", got.len());
        loop {
            let frames = received(&mut link, 3);
            let more = frames.len() == 3;
            got.extend(frames);
            if !more {
                break;
            }
        }
    }
    assert!(got == sent);
    writer.join().unwrap().unwrap();
}

#[test]
fn half_taken_frame_is_finished_before_the_next() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    // A send buffer smaller than the frame: the kernel takes the frame in pieces, and not all of them.
    rustix::net::sockopt::set_socket_send_buffer_size(&ours, 20_000).unwrap();
    let mut link = FdLink::from_fd(ours.into(), None).unwrap();
    let mut sent = Vec::new();
    loop {
        let next: Vec<u8> = (0..60_000_u32).map(|at| (at % 251) as u8).collect();
        match link.transmit(&frame(&next)) {
            Ok(()) => sent.push(next),
            Err(TransmitError::Full) => break,
            Err(TransmitError::Lost) => panic!("lost"),
        }
        assert!(sent.len() < 1000, "the stream has no end");
    }
    link.flush();
    assert!(link.wants_write());
    assert_eq!(link.transmit(&frame(b"not yet")), Err(TransmitError::Full));

    let expected: Vec<u8> = sent.iter().flat_map(|frame| framed(frame)).collect();
    let mut got = vec![0; expected.len()];
    let mut at = 0;
    theirs.set_nonblocking(true).unwrap();
    for turn in 0.. {
        if at == got.len() {
            break;
        }
        assert!(turn < 1000, "the rest does not come: {at} bytes of {}", got.len());
        match theirs.read(&mut got[at..]) {
            Ok(len) => at += len,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                // As its poller does when there is room: no frame, only the rest.
                assert_eq!(events(&link, PollFlags::OUT), PollFlags::OUT);
                link.flush();
            }
        }
    }
    assert!(got == expected);
    link.flush();
    assert!(!link.wants_write());
}

#[test]
fn stream_out_of_step_is_closed_and_counted() {
    let (mut link, mut theirs) = stream();
    theirs.write_all(&framed(b"good")).unwrap();
    theirs.write_all(&u32::try_from(LONGEST + 1).unwrap().to_be_bytes()).unwrap();
    theirs.write_all(&framed(b"never")).unwrap();
    assert_eq!(received(&mut link, 64), [b"good".to_vec()]);
    assert_eq!(link.counters().received_malformed, 1);
    assert!(!link.link_up());
    assert_eq!(events(&link, PollFlags::IN), PollFlags::empty());
    assert_eq!(link.deadline(), None);
    // The peer is told.
    assert_eq!(theirs.read(&mut [0; 1]).unwrap_or(0), 0);
}

#[test]
fn frame_longer_than_the_framing_allows_is_lost_and_the_stream_stays_in_step() {
    let (mut link, mut theirs) = stream();
    assert_eq!(link.transmit(&frame(&vec![0; LONGEST + 1])), Err(TransmitError::Lost));
    assert_eq!(link.counters().transmit_lost, 1);
    link.transmit(&frame(b"next")).unwrap();
    let mut bytes = [0; 8];
    theirs.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"\0\0\0\x04next");
}

#[test]
fn stream_that_ends_falls_silent_after_its_last_frame() {
    let (mut link, mut theirs) = stream();
    theirs.write_all(&framed(b"last")).unwrap();
    theirs.write_all(b"\0\0\0\x09cut").unwrap();
    drop(theirs);
    assert_eq!(received(&mut link, 64), [b"last".to_vec()]);
    assert!(!link.link_up());
    assert_eq!(events(&link, PollFlags::IN | PollFlags::OUT) & !PollFlags::OUT, PollFlags::empty());
    assert_eq!(link.transmit(&frame(b"lost")), Err(TransmitError::Lost));
    assert!(!link.wants_write());
}

#[test]
fn writing_to_a_stream_without_reader_is_no_signal() {
    let (mut link, theirs) = stream();
    drop(theirs);
    // SAFETY: the default action of SIGPIPE, which would end this process, in place of the runtime's.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    assert_eq!(link.transmit(&frame(b"lost")), Err(TransmitError::Lost));
    assert!(!link.link_up());
}

#[test]
fn descriptor_beyond_1024_works() {
    // SAFETY: both calls read or write one rlimit.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max.min(4096);
        assert!(limit.rlim_cur > 2100, "the hard limit of descriptors is too low for this test");
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let high = rustix::io::fcntl_dupfd_cloexec(&ours, 2000).unwrap();
    drop(ours);
    assert!(high.as_raw_fd() >= 2000);
    let mut link = FdLink::from_fd(high, None).unwrap();
    theirs.send(b"high").unwrap();
    assert_eq!(events(&link, PollFlags::IN), PollFlags::IN);
    assert_eq!(received(&mut link, 64), [b"high".to_vec()]);
    link.transmit(&frame(b"tide")).unwrap();
}

#[test]
fn what_carries_no_frames_is_refused_with_what_it_is() {
    let (pipe, _writer) = std::io::pipe().unwrap();
    let error = FdLink::from_fd(pipe.into(), None).unwrap_err();
    assert!(matches!(error, OpenError::NotALink { .. }), "{error}");
    assert!(error.to_string().contains("neither a TAP device nor a socket"), "{error}");
    for mtu in [0, 67, 65_536, u32::MAX] {
        let (ours, _theirs) = seqpacket();
        assert!(matches!(FdLink::from_fd(ours, Some(mtu)), Err(OpenError::Mtu(found)) if found == mtu));
    }
}

#[test]
fn hardware_address_can_be_given() {
    let (ours, _theirs) = seqpacket();
    let mac = MacAddr([2, 0, 0, 0, 0, 1]);
    assert_eq!(FdLink::from_fd(ours, None).unwrap().with_mac(mac).capabilities().mac, mac);
}

#[test]
fn derived_addresses_are_stable_and_differ() {
    let derived = wharf_links::mac::derived;
    assert_eq!(derived(b"tap0"), derived(b"tap0"));
    let mut all: Vec<MacAddr> = (0..1000_u32).map(|seed| derived(&seed.to_be_bytes())).collect();
    assert!(all.iter().all(|mac| mac.is_unicast() && mac.0[0] & 2 != 0));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 1000);
}
