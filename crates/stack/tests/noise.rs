//! Arbitrary and mutated frames: nothing panics, grows without bound, or is dropped uncounted (L5).

extern crate wharf_stack as stack;

mod common;

use common::*;
use device::{RxChecksum, RxFrame};
use stack::{Instant, Stack};
use wire::arp::ArpPacket;
use wire::dhcpv4::{DhcpMessage, Operation};
use wire::ethernet::{EtherType, MacAddr};
use wire::icmpv4::{Icmpv4Message, UnreachableCode};
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;

/// A generator of its own, so that a failure is replayed by its seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn templates() -> Vec<Vec<u8>> {
    let quoted = udp_frame(1, 2, "10.0.0.1:7", "10.0.0.2:9", &[0; 64])[14..].to_vec();
    let message = DhcpMessage::new(Operation::Reply, 7, mac(1));
    let mut dhcp = vec![0; message.len()];
    message.emit(&mut dhcp).unwrap();
    let fragment = Ipv4Header {
        more_fragments: true,
        identification: 9,
        fragment_offset: 64,
        options: &[7, 7, 4, 0, 0, 0, 0, 0],
        ..ip_header("10.0.0.2", "10.0.0.1", Protocol::UDP)
    };
    vec![
        arp_frame(MacAddr::BROADCAST, &ArpPacket::request(mac(2), v4("10.0.0.2"), v4("10.0.0.1"))),
        arp_frame(mac(1), &ArpPacket::announcement(mac(3), v4("10.0.0.1"))),
        udp_frame(2, 1, "10.0.0.2:9", "10.0.0.1:7", &[1; 100]),
        udp_frame(2, 1, "10.0.0.2:9", "8.8.8.8:53", &[1; 100]),
        udp_frame(2, 1, "10.0.0.2:67", "255.255.255.255:68", &dhcp),
        icmp_frame(2, mac(1), "10.0.0.2", "10.0.0.1", &Icmpv4Message::EchoRequest { ident: 1, seq: 2, data: &[3; 40] }),
        icmp_frame(
            2,
            mac(1),
            "10.0.0.2",
            "10.0.0.1",
            &Icmpv4Message::DestinationUnreachable { code: UnreachableCode::PORT, next_hop_mtu: 0, quoted: &quoted },
        ),
        ethernet(mac(1), mac(2), EtherType::IPV4, &packet(fragment, &[9; 64])),
        ethernet(
            mac(1),
            mac(2),
            EtherType::IPV4,
            &packet(ip_header("10.0.0.2", "10.0.0.1", Protocol::TCP), &[0x50; 40]),
        ),
        ethernet(mac(1), mac(2), EtherType::IPV6, &[0x60; 80]),
    ]
}

/// Makes the IPv4 header's checksum right again, so that damage behind it is reached.
fn repair(frame: &mut [u8]) {
    let Some(header) = frame.get_mut(14..) else { return };
    let len = header.first().map_or(0, |byte| usize::from(byte & 15) * 4);
    if len < 20 || header.len() < len {
        return;
    }
    header[10..12].fill(0);
    let sum = wire::checksum::sum(&header[..len]).finish();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn churn(seed_value: u64, any_address: bool, forwarding: bool) -> Stack {
    let mut chance = Chance(seed_value | 1);
    let mut host = Host::with(1, "10.0.0.1/24", |config| config.any_address = any_address);
    host.stack.set_forwarding(forwarding);
    let _socket = host.udp("0.0.0.0:7");
    host.stack.start_dhcp(Instant::ZERO, host.interface, Default::default()).unwrap();
    let templates = templates();
    let mut now = Instant::ZERO;
    for _ in 0..4_000 {
        let mut frame = templates[chance.below(templates.len())].clone();
        for _ in 0..chance.below(4) {
            let at = chance.below(frame.len());
            frame[at] = chance.next() as u8;
        }
        if chance.below(8) == 0 {
            frame.truncate(chance.below(frame.len() + 1));
        }
        if chance.below(16) == 0 {
            frame = (0..chance.below(200)).map(|_| chance.next() as u8).collect();
        }
        if chance.below(2) == 0 {
            repair(&mut frame);
        }
        let checksum = match chance.below(3) {
            0 => RxChecksum::Unverified,
            1 => RxChecksum::Verified,
            _ => RxChecksum::Partial { start: chance.next() as u16, offset: chance.next() as u16 },
        };
        let segment_size = (chance.below(4) == 0).then(|| chance.next() as u16);
        host.stack.handle_frame(now, host.interface, &RxFrame { bytes: &frame, checksum, segment_size });
        if chance.below(4) == 0 {
            host.drain(now);
            host.port.sent.clear();
            host.events.clear();
        }
        if chance.below(16) == 0 {
            now += std::time::Duration::from_millis(chance.next() % 3_000);
            host.stack.handle_timeout(now);
        }
    }
    host.stack
}

#[test]
fn no_frame_however_mutated_panics_or_goes_uncounted() {
    for seed_value in 1..=24 {
        let stack = churn(seed_value * 0x9e37_79b9, seed_value % 3 == 0, seed_value % 2 == 0);
        let counted = stack.discards().total();
        assert!(counted > 200, "seed {seed_value}: only {counted} of 4000 frames counted as discarded");
        assert!(stack.interfaces()[1].stats.rx_packets == 4_000);
    }
}

#[test]
fn the_same_seed_and_frames_give_the_same_run() {
    let counts = |stack: &Stack| stack.discards().iter().collect::<Vec<_>>();
    assert_eq!(counts(&churn(77, true, true)), counts(&churn(77, true, true)));
}

#[test]
fn every_truncation_of_every_kind_of_frame_is_survived() {
    let mut host = Host::with(1, "10.0.0.1/24", |config| config.any_address = true);
    host.stack.start_dhcp(Instant::ZERO, host.interface, Default::default()).unwrap();
    for template in templates() {
        for len in 0..=template.len() {
            let mut frame = template[..len].to_vec();
            host.receive(Instant::ZERO, &frame);
            repair(&mut frame);
            host.receive(Instant::ZERO, &frame);
        }
    }
}
