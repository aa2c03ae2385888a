//! ARP for IPv4 over Ethernet (RFC 826), with the probes and announcements of RFC 5227. Called by the stack's neighbour
//! table and by links that answer for a gateway.

use core::net::Ipv4Addr;

use crate::Malformed;
use crate::ethernet::{EtherType, MacAddr};

/// Length of every ARP packet for IPv4 over Ethernet.
pub const PACKET_LEN: usize = 28;

const HARDWARE_ETHERNET: u16 = 1;

/// What an ARP packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArpOperation {
    /// Who has the target address?
    Request,
    /// The sender has the sender address.
    Reply,
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpPacket {
    /// Request or reply.
    pub operation: ArpOperation,
    /// Hardware address of the sender.
    pub sender_mac: MacAddr,
    /// Protocol address of the sender; unspecified in a probe.
    pub sender_ip: Ipv4Addr,
    /// Hardware address of the target; zero in a request.
    pub target_mac: MacAddr,
    /// Protocol address that is asked for, or that asked.
    pub target_ip: Ipv4Addr,
}

impl ArpPacket {
    /// Asks for the hardware address of `target_ip`.
    pub const fn request(sender_mac: MacAddr, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> ArpPacket {
        let target_mac = MacAddr::UNSPECIFIED;
        ArpPacket { operation: ArpOperation::Request, sender_mac, sender_ip, target_mac, target_ip }
    }

    /// Answers `request` for its target address, which `mac` has.
    pub const fn reply(request: &ArpPacket, mac: MacAddr) -> ArpPacket {
        ArpPacket {
            operation: ArpOperation::Reply,
            sender_mac: mac,
            sender_ip: request.target_ip,
            target_mac: request.sender_mac,
            target_ip: request.sender_ip,
        }
    }

    /// Asks whether anybody has `ip`, without claiming it.
    pub const fn probe(mac: MacAddr, ip: Ipv4Addr) -> ArpPacket {
        // RFC 5227 section 2.1.1: the sender IP address MUST be all zeroes, so that no cache is polluted.
        ArpPacket::request(mac, Ipv4Addr::UNSPECIFIED, ip)
    }

    /// Tells everybody that `mac` has `ip`.
    pub const fn announcement(mac: MacAddr, ip: Ipv4Addr) -> ArpPacket {
        // RFC 5227 section 2.3: an announcement is a request with sender and target address both its own.
        ArpPacket::request(mac, ip, ip)
    }

    /// Whether this is a probe (RFC 5227 section 1.1).
    pub const fn is_probe(&self) -> bool {
        matches!(self.operation, ArpOperation::Request) && self.sender_ip.is_unspecified()
    }

    /// Bytes that `emit` writes.
    #[inline]
    pub const fn len(&self) -> usize {
        PACKET_LEN
    }

    /// A packet is never empty; here for the convention that goes with `len`.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Reads an ARP packet; what follows its 28 bytes is Ethernet's padding.
    ///
    /// # Errors
    /// [`Malformed::Truncated`]; [`Malformed::Value`] for other hardware, protocols, address lengths and operations.
    pub fn parse(packet: &[u8]) -> Result<ArpPacket, Malformed> {
        let packet = packet.first_chunk::<PACKET_LEN>().ok_or(Malformed::Truncated)?;
        let fixed: [u8; 6] = [packet[0], packet[1], packet[2], packet[3], packet[4], packet[5]];
        // RFC 826 "Packet Reception": the hardware type, then the protocol type, then optionally both lengths.
        if fixed != FIXED {
            return Err(Malformed::Value);
        }
        let operation = match u16::from_be_bytes([packet[6], packet[7]]) {
            1 => ArpOperation::Request,
            2 => ArpOperation::Reply,
            _ => return Err(Malformed::Value),
        };
        let mac = |at: usize| core::array::from_fn(|i| packet[at + i]);
        let ip = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
        Ok(ArpPacket {
            operation,
            sender_mac: MacAddr(mac(8)),
            sender_ip: ip(14),
            target_mac: MacAddr(mac(18)),
            target_ip: ip(24),
        })
    }

    /// Writes the packet and returns its length.
    ///
    /// # Panics
    /// When `buffer` is shorter than [`len`](Self::len).
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        let packet = &mut buffer[..PACKET_LEN];
        let operation: u16 = match self.operation {
            ArpOperation::Request => 1,
            ArpOperation::Reply => 2,
        };
        packet[..6].copy_from_slice(&FIXED);
        packet[6..8].copy_from_slice(&operation.to_be_bytes());
        packet[8..14].copy_from_slice(&self.sender_mac.0);
        packet[14..18].copy_from_slice(&self.sender_ip.octets());
        packet[18..24].copy_from_slice(&self.target_mac.0);
        packet[24..28].copy_from_slice(&self.target_ip.octets());
        PACKET_LEN
    }
}

/// Hardware type, protocol type and the two address lengths, as every packet here has them.
const FIXED: [u8; 6] = {
    let [h0, h1] = HARDWARE_ETHERNET.to_be_bytes();
    let [p0, p1] = EtherType::IPV4.0.to_be_bytes();
    [h0, h1, p0, p1, 6, 4]
};
