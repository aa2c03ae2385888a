//! A train cut in software against the same segments built one by one.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;
use wire::tcp::{SeqNum, TcpHeader, TcpOptions, Timestamps};

use super::*;

const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const DESTINATION: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// A device with room for so many frames.
struct Device {
    room: usize,
    lose: bool,
    frames: Vec<(Vec<u8>, TxChecksum, Option<u16>)>,
}

impl Sink for Device {
    fn take(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        if self.frames.len() >= self.room {
            return Err(TransmitError::Full);
        }
        let mut bytes = vec![0; frame.len()];
        frame.copy_to(&mut bytes);
        self.frames.push((bytes, frame.checksum, frame.segment_size));
        if self.lose { Err(TransmitError::Lost) } else { Ok(()) }
    }
}

fn flags() -> TcpFlags {
    TcpFlags::ACK | TcpFlags::PSH | TcpFlags::FIN | TcpFlags::CWR
}

fn headers() -> (Vec<u8>, usize) {
    let options = TcpOptions { timestamps: Some(Timestamps { value: 1, echo: 2 }), ..TcpOptions::NONE };
    let tcp = TcpHeader {
        src_port: 80,
        dst_port: 4000,
        seq: SeqNum(0xffff_ff00),
        ack: SeqNum(5),
        flags: flags(),
        window: 1000,
        urgent: 0,
        options,
    };
    let mut bytes = vec![0xee; 14];
    let at = bytes.len();
    bytes.resize(at + 20 + tcp.len(), 0);
    let ip = Ipv4Header::new(SOURCE, DESTINATION, Protocol::TCP, 64, 0);
    ip.emit(&mut bytes[at..]);
    bytes[at + 2..at + 4].fill(0);
    bytes[at + 10..at + 12].fill(0);
    tcp.emit(&mut bytes[at + 20..]);
    (bytes, at)
}

fn send(payload: &[u8], size: usize, offloads: Offloads, room: usize, split: usize) -> (Device, Progress) {
    let (mut headers, ip_at) = headers();
    let mut device = Device { room, lose: false, frames: Vec::new() };
    let ip_sum = checksum::sum(&headers[ip_at..ip_at + 20]);
    let pieces = [Span::from_slice(&payload[..split]), Span::from_slice(&payload[split..])];
    let mut scratch = vec![0; 70_000];
    let mut train = Train {
        headers: &mut headers,
        ip_at,
        tcp_at: ip_at + 20,
        ipv4: true,
        ip_sum,
        pseudo_sum: checksum::pseudo_header(SOURCE.into(), DESTINATION.into(), Protocol::TCP, 0),
        payload: &pieces,
        payload_len: payload.len(),
        segment_size: size,
    };
    let progress = train.transmit(&mut device, offloads, &mut scratch);
    (device, progress)
}

const NONE: Offloads = Offloads { tx_checksum: false, tx_segmentation: 0 };
const SUMS: Offloads = Offloads { tx_checksum: true, tx_segmentation: 0 };
const CUTS: Offloads = Offloads { tx_checksum: true, tx_segmentation: 65_535 };

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 % 253) as u8).collect()
}

#[test]
fn software_segments_have_right_lengths_numbers_flags_and_checksums() {
    for (len, split) in [(5_000, 0), (5_000, 1), (5_000, 777), (4_000, 1_000), (1, 1), (10, 3)] {
        let data = payload(len);
        let (device, progress) = send(&data, 1_000, NONE, usize::MAX, split);
        assert_eq!(progress.payload, len);
        assert!(!progress.full);
        let mut seen = Vec::new();
        let last = device.frames.len() - 1;
        for (n, (frame, complete, size)) in device.frames.iter().enumerate() {
            assert_eq!((*complete, *size), (TxChecksum::Complete, None));
            assert!(frame.len() >= MIN_FRAME_LEN);
            assert_eq!(frame[..14], [0xee; 14]);
            let (ip, segment) = Ipv4Header::parse(&frame[14..]).unwrap();
            assert!(ip.dont_fragment);
            TcpHeader::verify(segment, IpAddr::V4(SOURCE), IpAddr::V4(DESTINATION)).unwrap();
            let (tcp, bytes) = TcpHeader::parse(segment).unwrap();
            assert_eq!(tcp.seq, SeqNum(0xffff_ff00) + (n * 1_000) as u32);
            assert_eq!(tcp.flags.contains(TcpFlags::FIN), n == last);
            assert_eq!(tcp.flags.contains(TcpFlags::PSH), n == last);
            assert_eq!(tcp.flags.contains(TcpFlags::CWR), n == 0);
            assert!(tcp.flags.contains(TcpFlags::ACK));
            assert_eq!(tcp.options.timestamps, Some(Timestamps { value: 1, echo: 2 }));
            seen.extend_from_slice(bytes);
        }
        assert_eq!(seen, data);
    }
}

#[test]
fn a_device_that_sums_gets_slices_and_the_pseudo_headers_sum() {
    let data = payload(2_500);
    let (device, _) = send(&data, 1_000, SUMS, usize::MAX, 1_234);
    assert_eq!(device.frames.len(), 3);
    for (frame, checksum, size) in &device.frames {
        assert_eq!(*checksum, TxChecksum::Partial { start: 34, offset: 16 });
        assert_eq!(*size, None);
        let mut frame = frame.clone();
        let sum = wire::checksum::sum(&frame[34..]).finish();
        frame[50..52].copy_from_slice(&sum.to_be_bytes());
        let (_, segment) = Ipv4Header::parse(&frame[14..]).unwrap();
        TcpHeader::verify(segment, IpAddr::V4(SOURCE), IpAddr::V4(DESTINATION)).unwrap();
    }
}

#[test]
fn a_device_that_cuts_gets_the_train_whole() {
    let data = payload(30_000);
    let (device, progress) = send(&data, 1_448, CUTS, usize::MAX, 17);
    assert_eq!((device.frames.len(), progress.frames), (1, 1));
    let (frame, _, size) = &device.frames[0];
    assert_eq!(*size, Some(1_448));
    let (ip, segment) = Ipv4Header::parse(&frame[14..]).unwrap();
    assert_eq!(usize::from(ip.total_len), 20 + 32 + 30_000);
    let (tcp, bytes) = TcpHeader::parse(segment).unwrap();
    assert_eq!((tcp.flags, bytes), (flags(), data.as_slice()));
    // What fits one segment is not marked for cutting.
    let (device, _) = send(&payload(1_448), 1_448, CUTS, usize::MAX, 17);
    assert_eq!(device.frames[0].2, None);
}

#[test]
fn a_train_longer_than_the_device_cuts_goes_in_whole_segments() {
    let limited = Offloads { tx_checksum: true, tx_segmentation: 10_000 };
    let data = payload(30_000);
    let (device, _) = send(&data, 1_448, limited, usize::MAX, 17);
    let lens: Vec<usize> = device.frames.iter().map(|(frame, ..)| frame.len() - 66).collect();
    assert!(lens[..lens.len() - 1].iter().all(|len| len % 1_448 == 0 && len + 52 <= 10_000), "{lens:?}");
    assert_eq!(lens.iter().sum::<usize>(), 30_000);
}

#[test]
fn a_device_that_fills_up_says_how_far_the_train_got() {
    let data = payload(5_000);
    let (device, progress) = send(&data, 1_000, NONE, 3, 0);
    assert!(progress.full);
    assert_eq!((progress.payload, device.frames.len()), (3_000, 3));
    let (_, segment) = Ipv4Header::parse(&device.frames[2].0[14..]).unwrap();
    assert!(!TcpHeader::parse(segment).unwrap().0.flags.contains(TcpFlags::FIN), "the end has not left yet");
    let (_, progress) = send(&data, 1_000, NONE, 0, 0);
    assert_eq!((progress.payload, progress.full), (0, true));
}

#[test]
fn a_small_frame_is_padded_with_its_checksum_complete_even_for_a_device_that_sums() {
    let (mut bytes, ip_at) = headers();
    // Without options the frame is shorter than Ethernet's minimum.
    bytes.truncate(ip_at + 40);
    bytes[ip_at + 20 + 12] = 0x50;
    let ip_sum = checksum::sum(&bytes[ip_at..ip_at + 20]);
    let mut device = Device { room: 9, lose: false, frames: Vec::new() };
    let mut train = Train {
        headers: &mut bytes,
        ip_at,
        tcp_at: ip_at + 20,
        ipv4: true,
        ip_sum,
        pseudo_sum: checksum::pseudo_header(SOURCE.into(), DESTINATION.into(), Protocol::TCP, 0),
        payload: &[],
        payload_len: 0,
        segment_size: 1_000,
    };
    train.transmit(&mut device, CUTS, &mut [0xaa; 128]);
    let (frame, checksum, _) = &device.frames[0];
    assert_eq!((frame.len(), *checksum), (60, TxChecksum::Complete));
    assert_eq!(frame[54..], [0; 6]);
    let (_, segment) = Ipv4Header::parse(&frame[14..]).unwrap();
    TcpHeader::verify(segment, IpAddr::V4(SOURCE), IpAddr::V4(DESTINATION)).unwrap();
    assert!(TcpHeader::parse(segment).unwrap().0.flags.contains(TcpFlags::FIN));
}

#[test]
fn frames_that_a_device_loses_count_as_gone() {
    let (mut headers, ip_at) = headers();
    let data = payload(3_000);
    let pieces = [Span::from_slice(&data)];
    let ip_sum = checksum::sum(&headers[ip_at..ip_at + 20]);
    let mut device = Device { room: 9, lose: true, frames: Vec::new() };
    let mut train = Train {
        headers: &mut headers,
        ip_at,
        tcp_at: ip_at + 20,
        ipv4: true,
        ip_sum,
        pseudo_sum: Sum::ZERO,
        payload: &pieces,
        payload_len: data.len(),
        segment_size: 1_000,
    };
    let progress = train.transmit(&mut device, NONE, &mut [0; 2_048]);
    assert_eq!(progress, Progress { payload: 3_000, lost: 3, ..Progress::default() });
}
