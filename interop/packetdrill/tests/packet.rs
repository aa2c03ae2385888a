//! Packets: as a script describes them, and as bytes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use wire::checksum;
use wire::protocol::Protocol;

use crate::tcp_options::Options;

pub(crate) const FIN: u16 = 0x01;
pub(crate) const SYN: u16 = 0x02;
pub(crate) const RST: u16 = 0x04;
pub(crate) const PSH: u16 = 0x08;
pub(crate) const ACK: u16 = 0x10;
pub(crate) const URG: u16 = 0x20;
pub(crate) const ECE: u16 = 0x40;
pub(crate) const CWR: u16 = 0x80;
/// RFC 9768.
pub(crate) const AE: u16 = 0x100;

const LETTERS: [(u16, char); 9] =
    [(SYN, 'S'), (FIN, 'F'), (RST, 'R'), (PSH, 'P'), (URG, 'U'), (ECE, 'E'), (CWR, 'W'), (AE, 'A'), (ACK, '.')];

/// What a script says of a packet.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// The whole type-of-service byte, or only its two ECN bits.
    pub tos: Option<Tos>,
    pub ttl: Option<u8>,
    pub body: Body,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Tos {
    Whole(u8),
    Ecn(u8),
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Tcp(Segment),
    Icmp(Error),
}

/// A TCP segment; the payload's bytes do not matter.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Source and destination, where the script names them.
    pub ports: Option<(u16, u16)>,
    pub flags: u16,
    pub seq: u32,
    pub len: u16,
    pub ack: u32,
    pub window: Option<u16>,
    pub urgent: u16,
    /// `None`: whatever they are.
    pub options: Option<Options>,
}

/// An ICMP error about a segment.
#[derive(Clone, Debug)]
pub(crate) struct Error {
    pub kind: u8,
    pub code: u8,
    pub mtu: u16,
    /// The segment that it quotes: its number, and how long it was.
    pub seq: u32,
    pub len: u16,
}

/// The flags that letters name; `None` for a letter that names none.
pub(crate) fn flags(letters: &str) -> Option<u16> {
    letters
        .chars()
        .try_fold(0, |flags, letter| LETTERS.iter().find(|(_, other)| *other == letter).map(|(flag, _)| flags | flag))
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters: String =
            LETTERS.iter().filter(|(flag, _)| self.flags & flag != 0).map(|(_, letter)| letter).collect();
        let end = self.seq.wrapping_add(u32::from(self.len));
        write!(f, "{} {}:{end}({})", if letters.is_empty() { "-" } else { &letters }, self.seq, self.len)?;
        if self.flags & ACK != 0 {
            write!(f, " ack {}", self.ack)?;
        }
        if let Some(window) = self.window {
            write!(f, " win {window}")?;
        }
        if self.urgent != 0 {
            write!(f, " urg {}", self.urgent)?;
        }
        match &self.options {
            Some(options) if !options.bytes.is_empty() => write!(f, " <{}>", options.show()),
            _ => Ok(()),
        }
    }
}

/// The two ends of a connection, as the peer sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub ours: (Ipv4Addr, u16),
    pub theirs: (Ipv4Addr, u16),
}

/// The bytes of a segment from us to them.
pub(crate) fn segment(ends: &Ends, expected: &Expected, segment: &Segment) -> Vec<u8> {
    let options = segment.options.as_ref().map_or(&[][..], |options| &options.bytes);
    let header_len = 20 + options.len();
    let (from, to) = segment.ports.unwrap_or((0, 0));
    let pick = |named: u16, known: u16| if named == 0 { known } else { named };
    let mut tcp = Vec::with_capacity(header_len + usize::from(segment.len));
    tcp.extend_from_slice(&pick(from, ends.ours.1).to_be_bytes());
    tcp.extend_from_slice(&pick(to, ends.theirs.1).to_be_bytes());
    tcp.extend_from_slice(&segment.seq.to_be_bytes());
    tcp.extend_from_slice(&segment.ack.to_be_bytes());
    let offset_and_flags = ((header_len / 4) as u16) << 12 | segment.flags;
    tcp.extend_from_slice(&offset_and_flags.to_be_bytes());
    tcp.extend_from_slice(&segment.window.unwrap_or(0).to_be_bytes());
    tcp.extend_from_slice(&[0, 0]);
    tcp.extend_from_slice(&segment.urgent.to_be_bytes());
    tcp.extend_from_slice(options);
    tcp.resize(header_len + usize::from(segment.len), 0);
    let (ours, theirs) = (IpAddr::V4(ends.ours.0), IpAddr::V4(ends.theirs.0));
    let sum = checksum::pseudo_header(ours, theirs, Protocol::TCP, tcp.len() as u32);
    let sum = (sum + checksum::sum(&tcp)).finish();
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    ipv4(ends.ours.0, ends.theirs.0, Protocol::TCP, expected, &tcp)
}

/// The bytes of an ICMP error from us to them.
pub(crate) fn icmp(ends: &Ends, expected: &Expected, error: &Error) -> Vec<u8> {
    let mut message = vec![error.kind, error.code, 0, 0, 0, 0];
    message.extend_from_slice(&error.mtu.to_be_bytes());
    let mut quoted = ends.theirs.1.to_be_bytes().to_vec();
    quoted.extend_from_slice(&ends.ours.1.to_be_bytes());
    quoted.extend_from_slice(&error.seq.to_be_bytes());
    let plain = Expected { tos: None, ttl: None, body: expected.body.clone() };
    let mut packet = ipv4(ends.theirs.0, ends.ours.0, Protocol::TCP, &plain, &quoted);
    // The quoted packet was longer than what is quoted of it.
    packet[2..4].copy_from_slice(&(40 + error.len).to_be_bytes());
    fill_header_checksum(&mut packet);
    message.extend_from_slice(&packet);
    let sum = checksum::sum(&message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4(ends.ours.0, ends.theirs.0, Protocol::ICMP, expected, &message)
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: Protocol, expected: &Expected, payload: &[u8]) -> Vec<u8> {
    let tos = match expected.tos {
        Some(Tos::Whole(tos) | Tos::Ecn(tos)) => tos,
        None => 0,
    };
    let mut packet = vec![0x45, tos];
    packet.extend_from_slice(&((20 + payload.len()) as u16).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 0, expected.ttl.unwrap_or(255), protocol.0, 0, 0]);
    packet.extend_from_slice(&from.octets());
    packet.extend_from_slice(&to.octets());
    fill_header_checksum(&mut packet);
    packet.extend_from_slice(payload);
    packet
}

fn fill_header_checksum(packet: &mut [u8]) {
    packet[10..12].copy_from_slice(&[0, 0]);
    let sum = checksum::sum(&packet[..20]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// A packet that left.
#[derive(Debug)]
pub(crate) struct Seen {
    pub tos: u8,
    pub ttl: u8,
    pub ends: Ends,
    pub segment: Segment,
}

/// Reads a TCP segment from them to us, all its checks included; `None` for another protocol.
pub(crate) fn parse(packet: &[u8]) -> Result<Option<Seen>, String> {
    let short = || "a packet left that is cut short".to_string();
    if packet.first() != Some(&0x45) {
        return Ok(None);
    }
    let header = packet.get(..20).ok_or_else(short)?;
    if checksum::sum(header).finish() != 0 {
        return Err("a packet left whose IP checksum is wrong".into());
    }
    let word = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let long = |bytes: &[u8], at: usize| u32::from(word(bytes, at)) << 16 | u32::from(word(bytes, at + 2));
    let tcp = packet.get(20..usize::from(word(header, 2))).ok_or_else(short)?;
    if header[9] != Protocol::TCP.0 {
        return Ok(None);
    }
    let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    let (from, to) = (address(12), address(16));
    let sum = checksum::pseudo_header(IpAddr::V4(from), IpAddr::V4(to), Protocol::TCP, tcp.len() as u32);
    if (sum + checksum::sum(tcp)).finish() != 0 {
        return Err("a segment left whose checksum is wrong".into());
    }
    if tcp.len() < 20 {
        return Err(short());
    }
    let header_len = usize::from(tcp[12] >> 4) * 4;
    let options = tcp.get(20..header_len).ok_or_else(short)?;
    let segment = Segment {
        ports: None,
        flags: word(tcp, 12) & 0xfff,
        seq: long(tcp, 4),
        len: (tcp.len() - header_len) as u16,
        ack: long(tcp, 8),
        window: Some(word(tcp, 14)),
        urgent: word(tcp, 18),
        options: Some(Options { bytes: options.to_vec() }),
    };
    let ends = Ends { ours: (to, word(tcp, 2)), theirs: (from, word(tcp, 0)) };
    Ok(Some(Seen { tos: header[1], ttl: header[8], ends, segment }))
}
