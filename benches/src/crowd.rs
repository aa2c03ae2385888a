//! Peers without number and without memory: the other ends of as many connections as a host can hold.
//!
//! Everything that a peer has to say follows from the segment that it answers, so nothing is kept about it. It takes what it
//! gets, acknowledges it at once, says it again if the crowd is one of echoes, and ends its side when the host ends its own.
//! `idle` and `mem` open connections to hosts through it, whichever stack they run.

use std::net::{IpAddr, Ipv4Addr};

use wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;
use wire::tcp::{SeqNum, TcpFlags, TcpHeader, TcpOptions, Timestamps};

use crate::pair::frames::{Port, Sender};

/// Connections from each of the crowd's addresses.
const PER_ADDRESS: u32 = 50_000;
/// The first port that connections come from.
const FIRST_PORT: u16 = 10_000;
/// The first of the crowd's addresses: 192.0.2.10.
const FIRST_ADDRESS: u8 = 10;

/// The crowd's station on the link: all its addresses are behind it.
pub(crate) const STATION: MacAddr = MacAddr([0x02, 0, 0, 0, 1, 0]);

/// The most connections that a crowd opens.
pub(crate) const MOST: u32 = PER_ADDRESS * (254 - FIRST_ADDRESS) as u32;

/// The crowd, as one host sees it.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// The host: its station, its address and the port that it listens on.
    pub station: MacAddr,
    pub address: Ipv4Addr,
    pub port: u16,
    /// Whether what comes is sent back.
    pub echo: bool,
    /// Whether the peers offer timestamps.
    pub timestamps: bool,
}

/// The addresses from which `connections` connections come.
pub(crate) fn addresses(connections: u32) -> impl Iterator<Item = Ipv4Addr> {
    (0..connections.div_ceil(PER_ADDRESS)).map(|number| address_of(number * PER_ADDRESS))
}

/// The address and port of connection `number`'s peer.
pub(crate) fn peer(number: u32) -> (Ipv4Addr, u16) {
    (address_of(number), FIRST_PORT + (number % PER_ADDRESS) as u16)
}

fn address_of(number: u32) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, FIRST_ADDRESS + (number / PER_ADDRESS) as u8)
}

impl Crowd {
    /// Peer `number` asks for a connection.
    pub(crate) fn connect(&self, port: &mut Port, number: u32, now_ms: u32) {
        let (address, from) = peer(number);
        let header = TcpHeader {
            src_port: from,
            dst_port: self.port,
            seq: SeqNum(number.wrapping_mul(0x9e37_79b9)),
            ack: SeqNum(0),
            flags: TcpFlags::SYN,
            window: u16::MAX,
            urgent: 0,
            options: TcpOptions {
                mss: Some(1_460),
                window_scale: Some(7),
                sack_permitted: true,
                timestamps: self.timestamps.then_some(Timestamps { value: now_ms, echo: 0 }),
                ..TcpOptions::NONE
            },
        };
        self.send(port.other_sender(), address, &header, &[]);
    }

    /// Answers everything that the host has sent; returns whether there was anything to answer.
    pub(crate) fn answer(&self, port: &mut Port, now_ms: u32) -> bool {
        let mut answered = false;
        while let Some((frame, sender)) = port.take_sent() {
            answered |= self.answer_frame(sender, frame.bytes(), now_ms);
        }
        answered
    }

    fn answer_frame(&self, sender: Sender<'_>, frame: &[u8], now_ms: u32) -> bool {
        let Ok((ethernet, packet)) = EthernetHeader::parse(frame) else { return false };
        if ethernet.ethertype != EtherType::IPV4 {
            return false;
        }
        let Ok((ip, segment)) = Ipv4Header::parse(packet) else { return false };
        let Ok((theirs, text)) = TcpHeader::parse(segment) else { return false };
        let (syn, fin) = (theirs.flags.contains(TcpFlags::SYN), theirs.flags.contains(TcpFlags::FIN));
        if ip.protocol != Protocol::TCP || theirs.flags.contains(TcpFlags::RST) || !(syn || fin || !text.is_empty()) {
            return false;
        }
        let mut flags = TcpFlags::ACK;
        if fin {
            flags |= TcpFlags::FIN;
        }
        let ours = TcpHeader {
            src_port: theirs.dst_port,
            dst_port: theirs.src_port,
            seq: theirs.ack,
            ack: theirs.seq + (text.len() as u32 + u32::from(syn) + u32::from(fin)),
            flags,
            window: u16::MAX,
            urgent: 0,
            options: TcpOptions {
                timestamps: theirs.options.timestamps.map(|ts| Timestamps { value: now_ms, echo: ts.value }),
                ..TcpOptions::NONE
            },
        };
        self.send(sender, ip.dst, &ours, if self.echo { text } else { &[] });
        true
    }

    fn send(&self, sender: Sender<'_>, from: Ipv4Addr, tcp: &TcpHeader, text: &[u8]) {
        let ethernet = EthernetHeader { dst: self.station, src: STATION, vlan: None, ethertype: EtherType::IPV4 };
        let ip = Ipv4Header::new(from, self.address, Protocol::TCP, 64, tcp.len() + text.len());
        let len = ethernet.len() + usize::from(ip.total_len);
        sender.send(len, None, false, |frame| {
            let mut at = ethernet.emit(frame);
            at += ip.emit(&mut frame[at..]);
            let segment = &mut frame[at..];
            let header = tcp.emit(segment);
            segment[header..].copy_from_slice(text);
            TcpHeader::fill_checksum(segment, IpAddr::V4(from), IpAddr::V4(self.address));
        });
    }
}
