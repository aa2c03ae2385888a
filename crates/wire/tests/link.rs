//! Ethernet, ARP, and CIDR text.

mod common;

use common::with_noise;
use core::net::{IpAddr, Ipv4Addr};
use wharf_wire::Malformed;
use wharf_wire::arp::{ArpOperation, ArpPacket, PACKET_LEN};
use wharf_wire::cidr::Cidr;
use wharf_wire::ethernet::{EtherType, EthernetHeader, MacAddr, VlanTag};

const US: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 1]);
const THEM: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 2]);
const OUR_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const THEIR_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

#[rustfmt::skip]
const TAGGED: [u8; 20] = [
    0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x81, 0x00, 0xb1, 0x23, 0x08, 0x00, 0x45, 0x00,
];

fn tagged() -> EthernetHeader {
    let vlan = Some(VlanTag { id: 0x123, priority: 5, drop_eligible: true });
    EthernetHeader { dst: US, src: THEM, vlan, ethertype: EtherType::IPV4 }
}

#[rustfmt::skip]
const ARP_REQUEST: [u8; 28] = [
    0, 1, 8, 0, 6, 4, 0, 1, 0x02, 0, 0, 0, 0, 2, 10, 0, 2, 2, 0, 0, 0, 0, 0, 0, 10, 0, 2, 15,
];

#[test]
fn a_plain_ethernet_header_has_its_golden_bytes() {
    let header = EthernetHeader { vlan: None, ethertype: EtherType::ARP, ..tagged() };
    let golden = [0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x08, 0x06];
    let mut bytes = [0xee; 14];
    assert_eq!((header.len(), header.emit(&mut bytes)), (14, 14));
    assert_eq!(bytes, golden);
    assert_eq!(EthernetHeader::parse(&golden), Ok((header, &[][..])));
}

#[test]
fn a_tagged_ethernet_header_has_its_golden_bytes() {
    let mut bytes = [0xee; 18];
    assert_eq!((tagged().len(), tagged().emit(&mut bytes)), (18, 18));
    assert_eq!(bytes, TAGGED[..18]);
    assert_eq!(EthernetHeader::parse(&TAGGED), Ok((tagged(), &[0x45, 0][..])));
}

#[test]
fn every_truncated_ethernet_header_is_an_error() {
    for len in 0..18 {
        assert_eq!(EthernetHeader::parse(&TAGGED[..len]), Err(Malformed::Truncated), "length {len}");
    }
}

#[test]
fn a_length_in_place_of_the_type_is_left_to_the_caller() {
    let mut frame = [0; 60];
    frame[12..14].copy_from_slice(&[0x05, 0xff]);
    let (header, payload) = EthernetHeader::parse(&frame).unwrap();
    assert!(header.ethertype.is_length());
    assert_eq!(payload.len(), 46);
    assert!(!EtherType(0x600).is_length());
}

#[test]
fn a_second_tag_is_left_to_the_caller() {
    let mut frame = TAGGED;
    frame[16..18].copy_from_slice(&[0x81, 0x00]);
    assert_eq!(EthernetHeader::parse(&frame).unwrap().0.ethertype, EtherType::VLAN);
}

#[test]
fn hardware_addresses_know_their_kind() {
    assert!(MacAddr::BROADCAST.is_broadcast() && MacAddr::BROADCAST.is_multicast());
    let group = MacAddr([0x01, 0, 0x5e, 0, 0, 1]);
    assert!(group.is_multicast() && !group.is_unicast() && !group.is_broadcast());
    assert!(US.is_unicast() && !MacAddr::UNSPECIFIED.is_unicast());
}

#[test]
fn hardware_addresses_are_read_and_written_as_text() {
    let mac = MacAddr([0x0a, 0x1b, 0x2c, 0x3d, 0x4e, 0xff]);
    assert_eq!(mac.to_string(), "0a:1b:2c:3d:4e:ff");
    assert_eq!("0A-1b-2C-3d-4e-ff".parse(), Ok(mac));
    for wrong in ["", "0a:1b:2c:3d:4e", "0a:1b:2c:3d:4e:ff:00", "0a:1b:2c:3d:4e:f", "0a:1b:2c:3d:4e:+f", "0a1b2c3d4eff"]
    {
        assert!(wrong.parse::<MacAddr>().is_err(), "{wrong:?}");
    }
}

#[test]
fn an_arp_request_has_its_golden_bytes() {
    let request = ArpPacket::request(THEM, THEIR_IP, OUR_IP);
    let mut bytes = [0xee; PACKET_LEN];
    assert_eq!(request.emit(&mut bytes), request.len());
    assert_eq!(bytes, ARP_REQUEST);
    let mut padded = [0; 46];
    padded[..28].copy_from_slice(&ARP_REQUEST);
    assert_eq!(ArpPacket::parse(&padded), Ok(request));
}

#[test]
fn an_arp_reply_goes_back_to_the_one_who_asked() {
    let reply = ArpPacket::reply(&ArpPacket::request(THEM, THEIR_IP, OUR_IP), US);
    let mut bytes = [0; PACKET_LEN];
    reply.emit(&mut bytes);
    assert_eq!(bytes[6..], [0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 2, 15, 2, 0, 0, 0, 0, 2, 10, 0, 2, 2]);
    assert_eq!(ArpPacket::parse(&bytes), Ok(reply));
}

#[test]
fn a_probe_claims_nothing_and_an_announcement_claims_the_address() {
    let probe = ArpPacket::probe(US, OUR_IP);
    assert!(probe.is_probe());
    assert_eq!((probe.sender_ip, probe.target_ip), (Ipv4Addr::UNSPECIFIED, OUR_IP));
    let announcement = ArpPacket::announcement(US, OUR_IP);
    assert!(!announcement.is_probe());
    assert_eq!(announcement.operation, ArpOperation::Request);
    assert_eq!((announcement.sender_ip, announcement.target_ip), (OUR_IP, OUR_IP));
}

#[test]
fn every_truncated_arp_packet_is_an_error() {
    for len in 0..PACKET_LEN {
        assert_eq!(ArpPacket::parse(&ARP_REQUEST[..len]), Err(Malformed::Truncated));
    }
}

#[test]
fn arp_for_anything_but_ipv4_over_ethernet_is_refused() {
    for (at, value) in [(0, 1), (1, 6), (2, 0x86), (3, 0xdd), (4, 8), (5, 16), (6, 1), (7, 0), (7, 3)] {
        let mut packet = ARP_REQUEST;
        packet[at] = value;
        assert_eq!(ArpPacket::parse(&packet), Err(Malformed::Value), "byte {at}");
    }
}

#[test]
fn noise_does_not_panic_and_what_parses_survives_a_round_trip() {
    with_noise(&TAGGED, 40, |bytes| {
        let Ok((header, payload)) = EthernetHeader::parse(bytes) else { return };
        let mut again = vec![0; header.len()];
        header.emit(&mut again);
        assert_eq!([&again, payload].concat(), bytes);
    });
    with_noise(&ARP_REQUEST, 40, |bytes| {
        let Ok(packet) = ArpPacket::parse(bytes) else { return };
        let mut again = [0; PACKET_LEN];
        packet.emit(&mut again);
        assert_eq!(again, bytes[..PACKET_LEN]);
    });
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_network_contains_its_addresses_and_no_others() {
    assert!(cidr("10.0.2.15/24").contains(ip("10.0.2.255")));
    assert!(!cidr("10.0.2.15/24").contains(ip("10.0.3.0")));
    assert!(!cidr("10.0.2.15/24").contains(ip("::10.0.2.15")));
    assert!(cidr("0.0.0.0/0").contains(ip("255.255.255.255")));
    assert!(cidr("10.0.2.15/32").contains(ip("10.0.2.15")));
    assert!(!cidr("10.0.2.15/32").contains(ip("10.0.2.14")));
    assert!(cidr("2001:db8::/33").contains(ip("2001:db8:7fff::1")));
    assert!(!cidr("2001:db8::/33").contains(ip("2001:db8:8000::1")));
    assert!(cidr("::/0").contains(ip("ffff::")));
    assert!(!cidr("::1/128").contains(ip("::2")));
}

#[test]
fn network_mask_and_broadcast_follow_the_prefix() {
    let subnet = cidr("10.0.2.15/20");
    assert_eq!(subnet.network(), cidr("10.0.0.0/20"));
    assert_eq!(subnet.netmask(), ip("255.255.240.0"));
    assert_eq!(subnet.broadcast(), Some(Ipv4Addr::new(10, 0, 15, 255)));
    assert_eq!(cidr("10.0.2.15/30").broadcast(), Some(Ipv4Addr::new(10, 0, 2, 15)));
    assert_eq!(cidr("10.0.2.15/0").netmask(), ip("0.0.0.0"));
    assert_eq!(cidr("2001:db8::1/64").network(), cidr("2001:db8::/64"));
}

#[test]
fn point_to_point_and_host_networks_have_no_broadcast() {
    for text in ["10.0.2.15/31", "10.0.2.15/32", "2001:db8::/64"] {
        assert_eq!(cidr(text).broadcast(), None, "{text}");
    }
}

#[test]
fn a_mask_with_holes_is_refused() {
    let address = Ipv4Addr::new(10, 0, 2, 15);
    let from = |mask: [u8; 4]| Cidr::from_netmask(address, Ipv4Addr::from(mask));
    assert_eq!(from([255, 255, 255, 0]), Some(cidr("10.0.2.15/24")));
    assert_eq!(from([0, 0, 0, 0]), Some(cidr("10.0.2.15/0")));
    assert_eq!(from([255; 4]), Some(cidr("10.0.2.15/32")));
    assert_eq!(from([255, 0, 255, 0]), None);
    assert_eq!(from([0, 0, 0, 255]), None);
}

#[test]
fn a_prefix_too_long_for_its_family_is_refused() {
    assert_eq!(Cidr::new(ip("10.0.0.1"), 33), None);
    assert_eq!(Cidr::new(ip("::1"), 129), None);
    assert!(Cidr::new(ip("::1"), 128).is_some());
    for wrong in [
        "10.0.0.1",
        "10.0.0.1/",
        "10.0.0.1/33",
        "10.0.0.1/+8",
        "10.0.0.1/-1",
        "10.0.0/8",
        "::/129",
        "/8",
        "10.0.0.1/8/8",
    ] {
        assert!(wrong.parse::<Cidr>().is_err(), "{wrong:?}");
    }
    assert_eq!(cidr("10.0.2.15/24").to_string(), "10.0.2.15/24");
}
