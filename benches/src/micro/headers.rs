//! Headers: those of a full segment with timestamps, read and written. The segment's own sum is left out: it is
//! `micro_checksum_1460`.

use std::hint::black_box;
use std::net::Ipv4Addr;

use smoltcp::phy::{Checksum, ChecksumCapabilities};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr,
    TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, TcpTimestampRepr,
};
use wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;
use wire::tcp::{SeqNum, TcpFlags, TcpHeader, TcpOptions, Timestamps};

use super::step;
use crate::case::Work;

const TEXT: usize = 1_448;
const HEADERS: usize = 14 + 20 + 32;
const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const DESTINATION: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const STATIONS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

fn headers() -> (EthernetHeader, Ipv4Header<'static>, TcpHeader) {
    let [src, dst] = STATIONS.map(MacAddr);
    let ethernet = EthernetHeader { dst, src, vlan: None, ethertype: EtherType::IPV4 };
    let options = TcpOptions { timestamps: Some(Timestamps { value: 1, echo: 2 }), ..TcpOptions::NONE };
    let tcp = TcpHeader {
        src_port: 7,
        dst_port: 32_768,
        seq: SeqNum(1_000_000),
        ack: SeqNum(2_000_000),
        flags: TcpFlags::ACK,
        window: 1_000,
        urgent: 0,
        options,
    };
    let ip = Ipv4Header::new(SOURCE, DESTINATION, Protocol::TCP, 64, tcp.len() + TEXT);
    (ethernet, ip, tcp)
}

fn write((ethernet, ip, tcp): &(EthernetHeader, Ipv4Header<'static>, TcpHeader), frame: &mut [u8]) {
    let mut at = ethernet.emit(frame);
    at += ip.emit(&mut frame[at..]);
    tcp.emit(&mut frame[at..]);
}

fn frame() -> Vec<u8> {
    let mut frame = vec![0; HEADERS + TEXT];
    write(&headers(), &mut frame);
    frame
}

pub(super) fn parse() -> Box<dyn Work> {
    let frame = frame();
    step(move || {
        let (_, packet) = EthernetHeader::parse(black_box(&frame)).expect("a frame");
        let (_, segment) = Ipv4Header::parse(packet).expect("a packet");
        let (tcp, text) = TcpHeader::parse(segment).expect("a segment");
        black_box((tcp, text));
    })
}

/// smoltcp leaves the segment's sum to the device, as here nobody computes it.
fn capabilities() -> ChecksumCapabilities {
    let mut capabilities = ChecksumCapabilities::default();
    capabilities.tcp = Checksum::None;
    capabilities
}

pub(super) fn peer_parse() -> Box<dyn Work> {
    let (frame, capabilities) = (frame(), capabilities());
    step(move || {
        let ethernet = EthernetFrame::new_checked(black_box(&frame[..])).expect("a frame");
        black_box(ethernet.ethertype());
        let packet = Ipv4Packet::new_checked(ethernet.payload()).expect("a packet");
        let ip = Ipv4Repr::parse(&packet, &capabilities).expect("a packet");
        let segment = TcpPacket::new_checked(packet.payload()).expect("a segment");
        let (from, to) = (IpAddress::Ipv4(ip.src_addr), IpAddress::Ipv4(ip.dst_addr));
        black_box(TcpRepr::parse(&segment, &from, &to, &capabilities).expect("a segment"));
    })
}

pub(super) fn emit() -> Box<dyn Work> {
    let (headers, mut frame) = (headers(), frame());
    step(move || {
        write(black_box(&headers), &mut frame);
        black_box(&mut frame);
    })
}

pub(super) fn peer_emit() -> Box<dyn Work> {
    static PAYLOAD: [u8; TEXT] = [0; TEXT];
    let [src_addr, dst_addr] = STATIONS.map(EthernetAddress);
    let ethernet = EthernetRepr { src_addr, dst_addr, ethertype: EthernetProtocol::Ipv4 };
    let ip = Ipv4Repr {
        src_addr: SOURCE,
        dst_addr: DESTINATION,
        next_header: IpProtocol::Tcp,
        payload_len: HEADERS - 34 + TEXT,
        hop_limit: 64,
    };
    // Without text: smoltcp copies it where it writes the header, and copying is another figure.
    let tcp = TcpRepr {
        src_port: 7,
        dst_port: 32_768,
        control: TcpControl::None,
        seq_number: TcpSeqNumber(1_000_000),
        ack_number: Some(TcpSeqNumber(2_000_000)),
        window_len: 1_000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: Some(TcpTimestampRepr::new(1, 2)),
        payload: &PAYLOAD[..0],
    };
    let (mut frame, capabilities) = (frame(), capabilities());
    step(move || {
        let mut outer = EthernetFrame::new_unchecked(&mut frame[..]);
        black_box(&ethernet).emit(&mut outer);
        let mut packet = Ipv4Packet::new_unchecked(outer.payload_mut());
        black_box(&ip).emit(&mut packet, &capabilities);
        let mut segment = TcpPacket::new_unchecked(packet.payload_mut());
        let (from, to) = (IpAddress::Ipv4(ip.src_addr), IpAddress::Ipv4(ip.dst_addr));
        black_box(&tcp).emit(&mut segment, &from, &to, &capabilities);
        black_box(&mut frame);
    })
}
