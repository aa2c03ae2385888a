//! Checksums and segmentation left to the other side, both ways.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use device::{Device, RxChecksum, TxChecksum, TxFrame};
use ring::Span;
use wharf_links::tap::Tap;
use wire::ethernet::MacAddr;
use wire::protocol::Protocol;
use wire::tcp::{SeqNum, TcpFlags, TcpHeader, TcpOptions};
use wire::udp::UdpHeader;

use crate::namespace::{in_namespace, make_tap};
use crate::packets::{
    KERNEL, OURS, TRANSPORT, UDP_PARTIAL, meet_kernel, send_tcp, udp_headers, wait_for, wait_for_tcp, wait_readable,
};

/// How long the kernel's sockets are waited for before a test fails.
const HUNG: Duration = Duration::from_secs(10);

/// The largest segment over an MTU of 1500 without TCP options.
const MSS: u16 = 1460;

fn open() -> (Tap, MacAddr) {
    make_tap("tap0", 1500);
    let mut tap = Tap::open("tap0").unwrap();
    assert!(tap.capabilities().tx_checksum);
    assert_eq!(tap.capabilities().tx_segmentation, Some(65_535));
    let kernel = meet_kernel(&mut tap);
    (tap, kernel)
}

/// Bytes that differ wherever one would be lost, doubled or moved.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

#[test]
fn checksum_marked_partial_is_completed_by_the_kernel_and_a_wrong_complete_one_refused() {
    in_namespace(|| {
        let (mut tap, kernel) = open();
        let socket = UdpSocket::bind((KERNEL, 5000)).unwrap();
        let header = udp_headers(tap.capabilities().mac, kernel, 5000, 4);
        let send = |tap: &mut Tap, payload: &[u8; 4], checksum| {
            let payload = [Span::from_slice(payload)];
            tap.transmit(&TxFrame { header: &header, payload: &payload, checksum, segment_size: None }).unwrap();
        };
        // The same bytes, first as if they were complete: their sum is the pseudo-header's only, and wrong.
        send(&mut tap, b"lost", TxChecksum::Complete);
        send(&mut tap, b"come", UDP_PARTIAL);
        let mut bytes = [0; 16];
        assert_eq!(wait_readable(&socket).recv(&mut bytes).unwrap(), 4);
        assert_eq!(&bytes[..4], b"come");
    });
}

#[test]
fn kernel_leaves_its_checksums_to_us_and_says_where() {
    in_namespace(|| {
        let (mut tap, _) = open();
        let socket = UdpSocket::bind((KERNEL, 5000)).unwrap();
        socket.send_to(b"unsummed", (OURS, 7000)).unwrap();
        let (mut datagram, checksum) =
            wait_for(&mut tap, |frame| Some((frame.transport(Protocol::UDP)?.to_vec(), frame.checksum)));
        assert_eq!(checksum, RxChecksum::Partial { start: TRANSPORT as u16, offset: 6 });
        // What the field holds is not the checksum; the bytes are right all the same.
        assert!(UdpHeader::verify(&datagram, KERNEL.into(), OURS.into()).is_err());
        UdpHeader::fill_checksum(&mut datagram, KERNEL.into(), OURS.into());
        assert_eq!(UdpHeader::verify(&datagram, KERNEL.into(), OURS.into()), Ok(()));
        assert_eq!(&datagram[8..], b"unsummed");
    });
}

#[test]
fn frame_in_more_pieces_than_one_call_takes_arrives_whole() {
    in_namespace(|| {
        let (mut tap, kernel) = open();
        let socket = UdpSocket::bind((KERNEL, 5000)).unwrap();
        let data = pattern(1200);
        let mut bytes = [0; 2000];
        for pieces in [1, 8, 16, 18, 19, 300] {
            let payload: Vec<Span<'_>> = data.chunks(data.len() / pieces).map(Span::from_slice).collect();
            let header = udp_headers(tap.capabilities().mac, kernel, 5000, data.len());
            let frame = TxFrame { header: &header, payload: &payload, checksum: UDP_PARTIAL, segment_size: None };
            tap.transmit(&frame).unwrap();
            assert_eq!(wait_readable(&socket).recv(&mut bytes).unwrap(), data.len());
            assert_eq!(bytes[..data.len()], data, "in {} pieces", payload.len());
        }
    });
}

/// A connection with the kernel, made by hand: our port 7000, its `port`.
struct Hand {
    port: u16,
    seq: SeqNum,
    ack: SeqNum,
}

impl Hand {
    fn connect(tap: &mut Tap, kernel: MacAddr, port: u16) -> Self {
        let mut hand = Self { port, seq: SeqNum(1000), ack: SeqNum(0) };
        let options = TcpOptions { mss: Some(MSS), window_scale: Some(4), ..TcpOptions::default() };
        let syn = TcpHeader { ack: SeqNum(0), options, ..hand.header(TcpFlags::SYN) };
        send_tcp(tap, kernel, &syn, &[], None).unwrap();
        let (answer, _, _) = wait_for_tcp(tap, TcpFlags::SYN | TcpFlags::ACK);
        hand.seq += 1;
        hand.ack = answer.seq + 1;
        send_tcp(tap, kernel, &hand.header(TcpFlags::ACK), &[], None).unwrap();
        hand
    }

    fn header(&self, flags: TcpFlags) -> TcpHeader {
        TcpHeader {
            src_port: 7000,
            dst_port: self.port,
            seq: self.seq,
            ack: self.ack,
            flags,
            window: u16::MAX,
            urgent: 0,
            options: TcpOptions::default(),
        }
    }
}

#[test]
fn one_frame_of_forty_segments_from_a_ring_reaches_a_kernel_socket() {
    in_namespace(|| {
        let (mut tap, kernel) = open();
        let listener = TcpListener::bind((KERNEL, 5000)).unwrap();
        let data = pattern(40 * usize::from(MSS));
        // A ring that is stingy with memory: what it holds lies in many pieces.
        let (mut producer, consumer) = ring::heap_with_first_chunk(1 << 16, 512);
        for chunk in data.chunks(700) {
            assert_eq!(producer.write(chunk), chunk.len());
        }
        let hand = Hand::connect(&mut tap, kernel, 5000);
        let (mut accepted, _) = wait_readable(&listener).accept().unwrap();
        let spans = consumer.spans(0, data.len());
        assert_eq!(spans.len(), data.len());
        assert!(spans.as_slice().len() > 1);
        let before = tap_frames_received_by_kernel();
        send_tcp(&mut tap, kernel, &hand.header(TcpFlags::ACK | TcpFlags::PSH), spans.as_slice(), Some(MSS)).unwrap();
        let mut bytes = vec![0; data.len()];
        accepted.set_read_timeout(Some(HUNG)).unwrap();
        accepted.read_exact(&mut bytes).unwrap();
        assert!(bytes == data, "the bytes are not the same");
        assert_eq!(tap_frames_received_by_kernel() - before, 1, "it was to cross in one frame");
    });
}

/// The kernel's own count of frames that came out of the device.
fn tap_frames_received_by_kernel() -> u64 {
    // A namespace of its own has no mount of /sys of its own; /proc/net is the process's.
    let table = std::fs::read_to_string("/proc/net/dev").unwrap();
    let line = table.lines().find(|line| line.trim_start().starts_with("tap0:")).unwrap();
    line.split_whitespace().nth(2).unwrap().parse().unwrap()
}

#[test]
fn longest_possible_frame_reaches_a_kernel_socket() {
    in_namespace(|| {
        let (mut tap, kernel) = open();
        let listener = TcpListener::bind((KERNEL, 5000)).unwrap();
        let hand = Hand::connect(&mut tap, kernel, 5000);
        let (mut accepted, _) = wait_readable(&listener).accept().unwrap();
        // An IP packet of 65,535 bytes. The kernel takes no more than its window, from the front.
        let data = pattern(65_535 - 40);
        let payload = [Span::from_slice(&data)];
        send_tcp(&mut tap, kernel, &hand.header(TcpFlags::ACK), &payload, Some(MSS)).unwrap();
        let (answer, _, _) = wait_for_tcp(&mut tap, TcpFlags::ACK);
        let taken = answer.ack - hand.seq;
        assert!(taken > 40 * u32::from(MSS), "the kernel took {taken} bytes");
        let mut bytes = vec![0; taken as usize];
        accepted.set_read_timeout(Some(HUNG)).unwrap();
        accepted.read_exact(&mut bytes).unwrap();
        assert!(bytes == data[..bytes.len()], "the bytes are not the same");
    });
}

#[test]
fn kernel_hands_us_many_segments_as_one_frame_with_their_size() {
    in_namespace(|| {
        let (mut tap, kernel) = open();
        let listener = TcpListener::bind((KERNEL, 5000)).unwrap();
        let hand = Hand::connect(&mut tap, kernel, 5000);
        let (mut accepted, _) = wait_readable(&listener).accept().unwrap();
        let data = pattern(10 * usize::from(MSS));
        let sent = data.clone();
        let writer = thread::spawn(move || accepted.write_all(&sent).map(|()| accepted));
        let mut got = Vec::new();
        let mut largest = 0;
        let mut next = hand.ack;
        while got.len() < data.len() {
            let (tcp, payload, frame) = wait_for_tcp(&mut tap, TcpFlags::ACK);
            if payload.is_empty() || tcp.seq != next {
                continue;
            }
            assert_eq!(frame.checksum, RxChecksum::Partial { start: TRANSPORT as u16, offset: 16 });
            if payload.len() > usize::from(MSS) {
                assert_eq!(frame.segment_size, Some(MSS));
            }
            largest = largest.max(payload.len());
            next += payload.len() as u32;
            got.extend(payload);
        }
        assert!(got == data, "the bytes are not the same");
        assert!(largest > usize::from(MSS), "no frame held more than one segment");
        let _: TcpStream = writer.join().unwrap().unwrap();
    });
}
