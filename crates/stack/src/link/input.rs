//! Frames in: Ethernet's header, whose frame it is, and which protocol takes it.
//!
//! `Stack::handle_frame` calls [`Network::input`]; what comes back is a whole IP packet for a transport.

use device::RxFrame;
use wire::ethernet::{EtherType, EthernetHeader};

use super::InterfaceId;
use crate::Instant;
use crate::discard::Discard;
use crate::ip::Delivery;
use crate::network::Network;

/// What Ethernet's header said of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkReceived {
    /// Where the packet begins.
    pub header_len: usize,
    /// The frame was addressed to more than one station.
    pub multicast: bool,
}

impl Network {
    /// A frame arrived on `interface`.
    pub(crate) fn input<'f>(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        frame: &RxFrame<'f>,
    ) -> Option<Delivery<'f>> {
        let Some(link) = self.interfaces.get_mut(interface) else {
            self.discards.count(Discard::NoInterface);
            return None;
        };
        self.traffic.received(interface, 1, frame.bytes.len() as u64);
        let (station, vlan, promiscuous) = (link.capabilities.mac, link.vlan, link.promiscuous);
        let Ok((header, _)) = EthernetHeader::parse(frame.bytes) else {
            self.discards.count(Discard::EthernetMalformed);
            return None;
        };
        let for_us = header.dst == station || header.dst.is_multicast() || promiscuous;
        if !for_us {
            self.discards.count(Discard::NotOurMac);
            return None;
        }
        // IEEE 802.1Q: a tag with identifier zero gives a priority only; the frame belongs to no VLAN.
        if header.vlan.map(|tag| tag.id).filter(|&id| id != 0) != vlan {
            self.discards.count(Discard::WrongVlan);
            return None;
        }
        if header.src.is_multicast() {
            self.discards.count(Discard::EthernetMalformed);
            return None;
        }
        let multicast = header.dst.is_multicast();
        let received = LinkReceived { header_len: header.len(), multicast };
        match header.ethertype {
            EtherType::IPV4 => self.ipv4_input(now, interface, frame, received),
            EtherType::IPV6 => self.ipv6_input(interface, frame, received),
            EtherType::ARP => {
                if interface == self.loopback {
                    self.discards.count(Discard::ArpIgnored);
                } else {
                    self.arp_input(now, interface, &frame.bytes[received.header_len..], !multicast);
                }
                None
            }
            _ => {
                self.discards.count(Discard::EthernetProtocol);
                None
            }
        }
    }
}
