//! IP in: what may come from a wire, whether it is for us, and its reassembly.
//!
//! `link/input` calls [`Network::ipv4_input`] or [`Network::ipv6_input`]; before that, `Stack` asks
//! [`Network::input_judged`], which most often has an answer already.

use alloc::borrow::Cow;
use core::net::{IpAddr, Ipv4Addr};

use device::{RxChecksum, RxFrame};
use wire::Malformed;
use wire::checksum::{Sum, pseudo_header, sum_array};
use wire::dhcpv4::CLIENT_PORT;
use wire::ethernet::{EtherType, HEADER_LEN as ETHERNET_LEN, MacAddr};
use wire::ipv4::{HEADER_LEN, Ipv4Header, Ipv4Option};
use wire::ipv6::{self, Ipv6Header};
use wire::protocol::Protocol;

use super::icmp::output::Report;
use super::{Arrival, Cast, Delivery};
use crate::Instant;
use crate::discard::Discard;
use crate::link::InterfaceId;
use crate::link::input::LinkReceived;
use crate::link::plain::link_of;
use crate::network::Network;

/// Addresses of a TCP segment that was taken: the next one between them need not be judged again, as long as nothing
/// changes that the judgement depends on.
#[derive(Clone, Copy)]
pub(crate) struct Judged {
    pub generation: u64,
    pub interface: InterfaceId,
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    /// What [`LINK`](crate::link::plain::LINK) leaves of a frame to the interface's station; zero, which no frame has, where
    /// frames have tags.
    pub link: u128,
    /// The sum of the pseudo-header between them without the length, which follows from them.
    pub address_sum: Sum,
    /// Until when nobody need be told that the sender is reachable: it has just been.
    pub confirmed_until: Instant,
}

impl Judged {
    fn is(&self, generation: u64, interface: InterfaceId, source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        self.generation == generation
            && self.interface == interface
            && self.source == source
            && self.destination == destination
    }
}

/// Whose a packet is.
enum Whose {
    Ours(Cast),
    /// To be passed on.
    Others,
    Nobodys(Discard),
}

impl Network {
    /// A TCP segment between the addresses that were judged last, whole, without IP options, in a frame without a tag to
    /// `interface`'s station. `None`, with nothing done, for every other frame: the usual way says of it
    /// what is to be said, and of these the same.
    #[inline(always)]
    pub(crate) fn input_judged<'f>(&mut self, interface: InterfaceId, frame: &RxFrame<'f>) -> Option<Arrival<'f>> {
        const DONT_FRAGMENT: u16 = 0x4000;
        let judged = self.judged.as_ref()?;
        let (link, packet) = frame.bytes.split_first_chunk::<ETHERNET_LEN>()?;
        let header = packet.first_chunk::<HEADER_LEN>()?;
        let [m0, m1, m2, m3, m4, m5, sender, _, _, _, _, _, type_high, type_low] = *link;
        let [version, tos, len_high, len_low, _, _, fragment_high, fragment_low, _, protocol, _, _, ends @ ..] =
            *header;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = ends;
        let (source, destination) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3));
        let as_judged = source == judged.source
            && destination == judged.destination
            && judged.generation == self.generation
            && judged.interface == interface
            && sender & 1 == 0
            && u16::from_be_bytes([type_high, type_low]) == EtherType::IPV4.0
            && version == 0x45
            && u16::from_be_bytes([fragment_high, fragment_low]) & !DONT_FRAGMENT == 0
            && protocol == Protocol::TCP.0
            && sum_array(header).is_valid();
        if !as_judged {
            return None;
        }
        let total_len = usize::from(u16::from_be_bytes([len_high, len_low]));
        let segment = packet.get(HEADER_LEN..total_len)?;
        let link = self.interfaces.get_mut(interface)?;
        if link.vlan.is_some() || link.capabilities.mac != MacAddr([m0, m1, m2, m3, m4, m5]) {
            return None;
        }
        self.traffic.received(interface, 1, frame.bytes.len() as u64);
        Some(Arrival {
            interface,
            source: IpAddr::V4(source),
            destination: IpAddr::V4(destination),
            unicast: true,
            tos,
            checksum_verified: frame.checksum != RxChecksum::Unverified,
            segment_size: frame.segment_size,
            address_sum: judged.address_sum,
            segment,
        })
    }

    pub(crate) fn ipv4_input<'f>(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        frame: &RxFrame<'f>,
        received: LinkReceived,
    ) -> Option<Delivery<'f>> {
        let packet = frame.bytes.get(received.header_len..).unwrap_or_default();
        let (header, payload) = match Ipv4Header::parse(packet) {
            Ok(parsed) => parsed,
            Err(Malformed::Checksum) => return self.refuse(Discard::IpChecksum),
            Err(_) => return self.refuse(Discard::IpMalformed),
        };
        let header_len = packet.len().min(usize::from(header.total_len)) - payload.len();
        let packet = &packet[..usize::from(header.total_len)];
        let generation = self.generation;
        let may_be_judged = header.protocol == Protocol::TCP && !received.multicast;
        let (source, destination) = (header.src, header.dst);
        let is_pair = |judged: &Judged| judged.is(generation, interface, source, destination);
        let is_judged = may_be_judged && self.judged.as_ref().is_some_and(is_pair);
        if !is_judged && !self.is_source_allowed(interface, &header) {
            return self.refuse(Discard::IpSource);
        }
        if !header.options.is_empty()
            && let Err(reason) = self.check_options(now, interface, &header, packet, received)
        {
            return self.refuse(reason);
        }
        let whose = match is_judged {
            true => Whose::Ours(Cast::Unicast),
            false => self.whose(interface, &header, payload, received.multicast),
        };
        let cast = match whose {
            Whose::Ours(cast) => cast,
            Whose::Others => {
                self.forward(now, interface, frame, received, &header, packet);
                return None;
            }
            Whose::Nobodys(reason) => return self.refuse(reason),
        };
        if may_be_judged && cast == Cast::Unicast && !is_judged {
            let address_sum = pseudo_header(source.into(), destination.into(), Protocol::TCP, 0);
            let link = self.interfaces.get(interface).filter(|link| link.vlan.is_none());
            let link = link.map_or(0, |link| link_of(link.capabilities.mac));
            let confirmed_until = Instant::ZERO;
            self.judged =
                Some(Judged { generation, interface, source, destination, link, address_sum, confirmed_until });
        }
        let whole = Delivery {
            interface,
            source: IpAddr::V4(header.src),
            destination: IpAddr::V4(header.dst),
            cast,
            link_multicast: received.multicast,
            protocol: header.protocol,
            hop_limit: header.ttl,
            tos: header.tos,
            checksum_verified: frame.checksum != RxChecksum::Unverified,
            segment_size: frame.segment_size,
            header_len,
            packet: Cow::Borrowed(packet),
        };
        if header.is_fragment() { self.reassemble(now, &header, payload, whole) } else { Some(whole) }
    }

    fn refuse<T>(&mut self, reason: Discard) -> Option<T> {
        self.discard(reason);
        None
    }

    /// RFC 1122 section 3.2.1.3: which addresses may stand as a source.
    fn is_source_allowed(&self, interface: InterfaceId, header: &Ipv4Header<'_>) -> bool {
        if interface == self.loopback {
            return true;
        }
        match header.src.octets()[0] {
            // "This host on this network": only a host that asks for its address by a broadcast.
            0 => header.src.is_unspecified() && header.dst.is_broadcast() && header.protocol == Protocol::UDP,
            127 | 224.. => false,
            _ => {
                let directed =
                    self.interfaces.get(interface).is_some_and(|link| link.is_directed_broadcast(header.src));
                !directed && !self.addresses.contains_key(&IpAddr::V4(header.src))
            }
        }
    }

    fn check_options(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        header: &Ipv4Header<'_>,
        packet: &[u8],
        received: LinkReceived,
    ) -> Result<(), Discard> {
        for option in header.options() {
            match option {
                // RFC 1122 section 3.2.1.8 (c) lets a host take them; RFC 7126 section 4.3 advises every host not to.
                Ok(Ipv4Option { kind: Ipv4Option::LOOSE_SOURCE_ROUTE | Ipv4Option::STRICT_SOURCE_ROUTE, .. }) => {
                    return Err(Discard::SourceRouted);
                }
                Ok(_) => {}
                Err(_) => {
                    if self.is_local_address(IpAddr::V4(header.dst)) {
                        let pointer = first_bad_option(header.options);
                        self.report(now, interface, packet, received.multicast, Report::ParameterProblem(pointer));
                    }
                    return Err(Discard::IpMalformed);
                }
            }
        }
        Ok(())
    }

    fn whose(&self, interface: InterfaceId, header: &Ipv4Header<'_>, payload: &[u8], multicast: bool) -> Whose {
        let dst = header.dst;
        let Some(link) = self.interfaces.get(interface) else { return Whose::Nobodys(Discard::NoInterface) };
        if link.dhcp_client && is_to_dhcp_client(header, payload) {
            // RFC 2131 section 4.1: an answer may come to the address that the client is only about to get.
            let cast = if dst.is_broadcast() { Cast::Broadcast } else { Cast::Unicast };
            return Whose::Ours(cast);
        }
        if dst.is_broadcast() || link.is_directed_broadcast(dst) {
            return Whose::Ours(Cast::Broadcast);
        }
        if dst.is_multicast() {
            // RFC 1112 section 4: every host belongs to the all-hosts group.
            let ours = dst == Ipv4Addr::new(224, 0, 0, 1);
            return if ours { Whose::Ours(Cast::Multicast) } else { Whose::Nobodys(Discard::NotOurAddress) };
        }
        // RFC 1122 section 3.3.6: a link-layer broadcast of a packet for one host is discarded.
        if multicast {
            return Whose::Nobodys(Discard::NotOurAddress);
        }
        if dst.is_loopback() {
            // RFC 1122 section 3.2.1.3 (g): such an address never appears outside a host.
            let inside = interface == self.loopback;
            return if inside { Whose::Ours(Cast::Unicast) } else { Whose::Nobodys(Discard::NotOurAddress) };
        }
        if self.addresses.contains_key(&IpAddr::V4(dst)) {
            return Whose::Ours(Cast::Unicast);
        }
        let reserved = matches!(dst.octets()[0], 0 | 240..);
        match reserved {
            false if link.any_address => Whose::Ours(Cast::Unicast),
            false if self.forwarding && interface != self.loopback => Whose::Others,
            _ => Whose::Nobodys(Discard::NotOurAddress),
        }
    }

    /// IPv6 inside the engine; on links its protocols are not spoken.
    pub(crate) fn ipv6_input<'f>(
        &mut self,
        interface: InterfaceId,
        frame: &RxFrame<'f>,
        received: LinkReceived,
    ) -> Option<Delivery<'f>> {
        if interface != self.loopback {
            return self.refuse(Discard::Ipv6);
        }
        let packet = frame.bytes.get(received.header_len..).unwrap_or_default();
        let Ok((header, payload)) = Ipv6Header::parse(packet) else { return self.refuse(Discard::IpMalformed) };
        if !self.is_local_address(IpAddr::V6(header.dst)) {
            return self.refuse(Discard::NotOurAddress);
        }
        Some(Delivery {
            interface,
            source: IpAddr::V6(header.src),
            destination: IpAddr::V6(header.dst),
            cast: Cast::Unicast,
            link_multicast: false,
            protocol: header.next_header,
            hop_limit: header.hop_limit,
            tos: header.traffic_class,
            checksum_verified: frame.checksum != RxChecksum::Unverified,
            segment_size: frame.segment_size,
            header_len: ipv6::HEADER_LEN,
            packet: Cow::Borrowed(&packet[..ipv6::HEADER_LEN + payload.len()]),
        })
    }
}

fn is_to_dhcp_client(header: &Ipv4Header<'_>, payload: &[u8]) -> bool {
    header.protocol == Protocol::UDP && !header.is_fragment() && payload.get(2..4) == Some(&CLIENT_PORT.to_be_bytes())
}

/// Where in the packet the option begins that cannot be read.
fn first_bad_option(options: &[u8]) -> u8 {
    let mut at = 0;
    while let Some(&kind) = options.get(at) {
        let len = match kind {
            Ipv4Option::END => break,
            Ipv4Option::NOP => 1,
            _ => match options.get(at + 1) {
                Some(&len) if len >= 2 && at + usize::from(len) <= options.len() => usize::from(len),
                _ => break,
            },
        };
        at += len;
    }
    (HEADER_LEN + at) as u8
}
