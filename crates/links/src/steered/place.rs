//! Which engine a frame concerns, by its headers alone.

use std::net::{IpAddr, SocketAddr};

use stack::steering::Steering;
use wire::arp::{ArpOperation, ArpPacket};
use wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use wire::icmpv4::{self, Quoted};
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;

use super::FIRST;

// Types of ICMP messages (RFC 792).
const UNREACHABLE: u8 = 3;
const SOURCE_QUENCH: u8 = 4;
const REDIRECT: u8 = 5;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

/// Whom a frame concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Whoever has it: an echo request, which any engine answers, or what none will take.
    Anywhere,
    /// This engine.
    Engine(usize),
    /// All of them: news of a neighbour.
    Everywhere,
    /// The engine of a segment of which this is a fragment: the first engine knows how to find it.
    SegmentFragment,
}

/// Where `frame` belongs, that came to a station of address `mac`.
pub(super) fn of(frame: &[u8], mac: MacAddr, steering: &Steering) -> Place {
    let Ok((ethernet, payload)) = EthernetHeader::parse(frame) else { return Place::Anywhere };
    // Dropped and counted where it is.
    if ethernet.dst.is_unicast() && ethernet.dst != mac {
        return Place::Anywhere;
    }
    match ethernet.ethertype {
        EtherType::IPV4 => of_ipv4(payload, steering),
        EtherType::ARP => of_arp(payload),
        _ => Place::Engine(FIRST),
    }
}

/// Answers concern whoever asked, and announcements whoever knows the neighbour. Questions concern one engine, so that
/// there is one answer; probes are for the one that gets and defends the address.
fn of_arp(packet: &[u8]) -> Place {
    match ArpPacket::parse(packet) {
        Ok(arp) if arp.operation == ArpOperation::Reply || arp.sender_ip == arp.target_ip => Place::Everywhere,
        Ok(_) => Place::Engine(FIRST),
        Err(_) => Place::Anywhere,
    }
}

fn of_ipv4(packet: &[u8], steering: &Steering) -> Place {
    let Ok((header, payload)) = Ipv4Header::parse_without_checksum(packet) else { return Place::Anywhere };
    match header.protocol {
        Protocol::TCP if header.is_fragment() => Place::SegmentFragment,
        Protocol::TCP => match engine_of_segment(&header, payload, steering) {
            Some(engine) => Place::Engine(engine),
            None => Place::Anywhere,
        },
        Protocol::ICMP if !header.is_fragment() => of_icmpv4(payload, steering),
        _ => Place::Engine(FIRST),
    }
}

/// By type and quotation alone: the engine verifies the checksum, and a damaged message goes astray, no more.
fn of_icmpv4(message: &[u8], steering: &Steering) -> Place {
    let Some((&[kind, ..], quoted)) = message.split_first_chunk::<{ icmpv4::HEADER_LEN }>() else {
        return Place::Anywhere;
    };
    match kind {
        ECHO_REQUEST => Place::Anywhere,
        // An error is for the engine whose segment it quotes.
        UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM => {
            let quote = Quoted::parse(quoted).ok().filter(|quote| quote.header.protocol == Protocol::TCP);
            let engine = quote.and_then(|quote| {
                let (source, destination) = quote.ports()?;
                let (source, destination) = ((quote.header.src, source), (quote.header.dst, destination));
                Some(steering.engine_of(source.into(), destination.into()))
            });
            Place::Engine(engine.unwrap_or(FIRST))
        }
        _ => Place::Engine(FIRST),
    }
}

/// The engine of a segment that begins with `transport`; `None` when its ports are cut off.
pub(super) fn engine_of_segment(header: &Ipv4Header<'_>, transport: &[u8], steering: &Steering) -> Option<usize> {
    let &[s0, s1, d0, d1] = transport.first_chunk()?;
    let source = SocketAddr::new(IpAddr::V4(header.src), u16::from_be_bytes([s0, s1]));
    let destination = SocketAddr::new(IpAddr::V4(header.dst), u16::from_be_bytes([d0, d1]));
    Some(steering.engine_of(source, destination))
}
