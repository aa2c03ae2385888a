//! Datagrams in a ring: what a UDP socket's two rings carry.
//!
//! A record is a fixed header of [`HEADER_LEN`] bytes and the payload, published together or not at all, so the
//! reader finds whole records or nothing. Little-endian:
//!
//! ```text
//!  0 mark (0xd6)   1 families: bits 0-1 remote, bits 2-3 local (0 none, 1 IPv4, 2 IPv6)
//!  2 payload len   4 TOS or traffic class   5 TTL or hop limit   6 remote port
//!  8 interface    12 scope id of an IPv6 remote   16 remote address   32 local address
//! ```
//!
//! The same code reads records that another process wrote: a header that makes no sense poisons the consumer.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::{Consumer, Producer, Span, total_len};

/// Bytes before the payload of each record.
pub const HEADER_LEN: usize = 48;
/// The longest payload.
pub const MAX_PAYLOAD: usize = 65535;

const MARK: u8 = 0xd6;
const IPV4: u8 = 1;
const IPV6: u8 = 2;

/// What goes with a datagram's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it came from or goes to. An IPv6 flow label is not kept.
    pub remote: SocketAddr,
    /// Our address it came to, or that it is to go out from; None lets the routes choose.
    pub local: Option<IpAddr>,
    /// The interface it came in by or is to go out by; 0 for any.
    pub interface: u32,
    /// IPv4 TOS or IPv6 traffic class: DSCP and ECN.
    pub tos: u8,
    /// IPv4 TTL or IPv6 hop limit; 0 asks for the default.
    pub ttl: u8,
}

/// The record was not written: the ring has no room for it now, or the payload is longer than [`MAX_PAYLOAD`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room for the datagram")
    }
}

impl core::error::Error for Full {}

/// Writes a record, whole or not at all.
///
/// # Errors
/// [`Full`], the ring being as it was.
pub fn push(producer: &mut Producer, record: &Record, payload: &[u8]) -> Result<(), Full> {
    push_spans(producer, record, &[Span::from_slice(payload)])
}

/// [`push`] for a payload in pieces.
///
/// # Errors
/// [`Full`], the ring being as it was.
pub fn push_spans(producer: &mut Producer, record: &Record, payload: &[Span<'_>]) -> Result<(), Full> {
    let len = total_len(payload);
    if len > MAX_PAYLOAD {
        return Err(Full);
    }
    // From the end: once the farthest byte has found room and memory, the others have as well.
    let mut offset = HEADER_LEN + len;
    for span in payload.iter().rev() {
        offset -= span.len();
        if !producer.write_span_at(offset, *span) {
            return Err(Full);
        }
    }
    if !producer.write_at(0, &record.emit(len as u16)) {
        return Err(Full);
    }
    producer.publish(HEADER_LEN + len);
    Ok(())
}

/// The next record and the length of its payload, which stays in the ring. None if there is none.
pub fn peek(consumer: &Consumer) -> Option<(Record, usize)> {
    let mut header = [0; HEADER_LEN];
    if consumer.copy_at(0, &mut header) < HEADER_LEN {
        // Records are published whole: a part of one is a lie.
        if !consumer.is_empty() && consumer.len() < HEADER_LEN {
            consumer.poison();
        }
        return None;
    }
    let parsed = Record::parse(&header).filter(|&(_, len)| HEADER_LEN + len <= consumer.len());
    if parsed.is_none() {
        consumer.poison();
    }
    parsed
}

/// Reads the next record, its payload into `to` as far as it fits; the rest is lost, as in recvfrom(2). Returns the
/// record and the full length of the payload. None if there is no record.
pub fn pop(consumer: &mut Consumer, to: &mut [u8]) -> Option<(Record, usize)> {
    let (record, len) = peek(consumer)?;
    let fitting = len.min(to.len());
    if consumer.copy_at(HEADER_LEN, &mut to[..fitting]) < fitting {
        return None;
    }
    consumer.consume(HEADER_LEN + len);
    Some((record, len))
}

/// Consumes the next record unread; says whether there was one.
pub fn skip(consumer: &mut Consumer) -> bool {
    let Some((_, len)) = peek(consumer) else {
        return false;
    };
    consumer.consume(HEADER_LEN + len);
    true
}

impl Record {
    fn emit(&self, payload_len: u16) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        let remote = emit_address(Some(self.remote.ip()), &mut header[16..32]);
        let local = emit_address(self.local, &mut header[32..48]);
        let scope_id = match self.remote {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(address) => address.scope_id(),
        };
        header[0] = MARK;
        header[1] = remote | local << 2;
        header[2..4].copy_from_slice(&payload_len.to_le_bytes());
        header[4] = self.tos;
        header[5] = self.ttl;
        header[6..8].copy_from_slice(&self.remote.port().to_le_bytes());
        header[8..12].copy_from_slice(&self.interface.to_le_bytes());
        header[12..16].copy_from_slice(&scope_id.to_le_bytes());
        header
    }

    fn parse(header: &[u8; HEADER_LEN]) -> Option<(Self, usize)> {
        let (fields, addresses) = header.split_at(16);
        let (remote, local) = addresses.split_at(16);
        let word = |at: usize| u32::from_le_bytes([fields[at], fields[at + 1], fields[at + 2], fields[at + 3]]);
        if fields[0] != MARK || fields[1] >> 4 != 0 {
            return None;
        }
        let port = u16::from_le_bytes([fields[6], fields[7]]);
        let remote = match parse_address(fields[1] & 3, remote)?? {
            IpAddr::V4(address) => SocketAddr::new(address.into(), port),
            IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, word(12)).into(),
        };
        let local = parse_address(fields[1] >> 2, local)?;
        let len = u16::from_le_bytes([fields[2], fields[3]]);
        let record = Self { remote, local, interface: word(8), tos: fields[4], ttl: fields[5] };
        Some((record, usize::from(len)))
    }
}

/// Writes an address and returns its family.
fn emit_address(address: Option<IpAddr>, to: &mut [u8]) -> u8 {
    match address {
        None => 0,
        Some(IpAddr::V4(address)) => {
            to[..4].copy_from_slice(&address.octets());
            IPV4
        }
        Some(IpAddr::V6(address)) => {
            to.copy_from_slice(&address.octets());
            IPV6
        }
    }
}

/// Reads an address; the outer None is for a family that does not exist, the inner for no address.
fn parse_address(family: u8, bytes: &[u8]) -> Option<Option<IpAddr>> {
    match family {
        0 => Some(None),
        IPV4 => Some(Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into())),
        IPV6 => Some(Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into())),
        _ => None,
    }
}
