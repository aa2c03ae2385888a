//! Address conflict detection (RFC 5227): N3.

extern crate wharf_stack as stack;

mod common;

use std::time::Duration;

use common::*;
use stack::link::AddressCheck;
use stack::{Event, Instant};
use wire::arp::ArpPacket;
use wire::ethernet::MacAddr;

fn checking(n: u8, check: AddressCheck) -> Host {
    Host::with(n, "", |config| config.address_check = check)
}

fn add(lan: &mut Lan, n: usize, address: &str) {
    let now = lan.now;
    let host = &mut lan.hosts[n];
    host.stack.add_address(now, host.interface, cidr(address)).unwrap();
}

fn conflicts(host: &Host) -> usize {
    host.events.iter().filter(|event| matches!(event, Event::AddressConflict(..))).count()
}

fn announcement(n: u8) -> Vec<u8> {
    arp_frame(MacAddr::BROADCAST, &ArpPacket::announcement(mac(n), v4("10.0.0.1")))
}

#[test]
fn an_address_is_probed_three_times_before_use_and_announced_twice() {
    // N3: probes are sent before use.
    let mut lan = Lan::new(vec![checking(1, AddressCheck::RFC5227)]);
    add(&mut lan, 0, "10.0.0.1/24");
    lan.run(Duration::from_millis(3_900));
    assert!(lan.hosts[0].stack.addresses(lan.hosts[0].interface).is_empty());
    lan.run_secs(6);
    let arps: Vec<ArpPacket> = lan.arps().into_iter().map(|(_, arp)| arp).collect();
    assert_eq!(arps.iter().filter(|arp| arp.is_probe()).count(), 3);
    let announced = arps.iter().filter(|a| a.sender_ip == v4("10.0.0.1") && a.target_ip == v4("10.0.0.1")).count();
    assert_eq!(announced, 2);
    assert!(matches!(lan.hosts[0].events[..], [Event::AddressAdded(..)]));
    assert!(lan.hosts[0].stack.poll_timeout().is_never());
}

#[test]
fn a_tentative_address_is_neither_answered_for_nor_used() {
    let mut host = checking(1, AddressCheck::RFC5227);
    host.stack.add_address(Instant::ZERO, host.interface, cidr("10.0.0.1/24")).unwrap();
    let request = ArpPacket::request(mac(2), v4("10.0.0.2"), v4("10.0.0.1"));
    host.receive(Instant::ZERO, &arp_frame(MacAddr::BROADCAST, &request));
    assert!(host.sent().is_empty());
    let (rings, _application) = udp_rings();
    assert!(host.stack.udp_bind(at("10.0.0.1:5"), Default::default(), rings).is_err());
}

#[test]
fn an_address_that_somebody_answers_for_is_given_up() {
    let mut lan = Lan::new(vec![checking(1, AddressCheck::RFC5227), Host::new(2, "10.0.0.1/24")]);
    add(&mut lan, 0, "10.0.0.1/24");
    lan.run_secs(10);
    assert!(lan.hosts[0].stack.addresses(lan.hosts[0].interface).is_empty());
    assert_eq!(conflicts(&lan.hosts[0]), 1);
    assert_eq!(lan.hosts[1].stack.addresses(lan.hosts[1].interface).len(), 1);
    assert_eq!(conflicts(&lan.hosts[1]), 0, "a probe is no conflict for the owner");
}

#[test]
fn of_two_that_probe_at_once_none_uses_the_address_unaware() {
    let mut lan = Lan::new(vec![checking(1, AddressCheck::RFC5227), checking(2, AddressCheck::RFC5227)]);
    add(&mut lan, 0, "10.0.0.1/24");
    add(&mut lan, 1, "10.0.0.1/24");
    lan.run_secs(20);
    let users = lan.hosts.iter().filter(|host| !host.stack.addresses(host.interface).is_empty()).count();
    assert!(users <= 1);
    assert!(conflicts(&lan.hosts[0]) + conflicts(&lan.hosts[1]) >= 1);
}

#[test]
fn one_conflict_is_defended_against_and_the_second_within_ten_seconds_ends_the_use() {
    let mut lan = Lan::new(vec![checking(1, AddressCheck::BRIEF)]);
    add(&mut lan, 0, "10.0.0.1/24");
    lan.run_secs(10);
    lan.log.clear();
    let now = lan.now;
    lan.hosts[0].receive(now, &announcement(9));
    lan.settle();
    assert_eq!(lan.arps().len(), 1, "one announcement in defence");
    assert_eq!(lan.hosts[0].stack.addresses(lan.hosts[0].interface).len(), 1);
    // A second one after eleven seconds is defended against again.
    lan.run_secs(11);
    let now = lan.now;
    lan.hosts[0].receive(now, &announcement(9));
    lan.run_secs(1);
    assert_eq!(lan.arps().len(), 2);
    let now = lan.now;
    lan.hosts[0].receive(now, &announcement(9));
    lan.settle();
    assert!(lan.hosts[0].stack.addresses(lan.hosts[0].interface).is_empty());
    assert_eq!(conflicts(&lan.hosts[0]), 1);
    assert!(lan.hosts[0].stack.routes().is_empty(), "the subnet's route went along");
}

#[test]
fn a_link_without_checks_uses_the_address_at_once_and_never_gives_it_up() {
    let mut host = Host::new(1, "10.0.0.1/24");
    assert!(host.sent().is_empty(), "neither probe nor announcement");
    for second in 0..20 {
        host.receive(Instant::from_secs(second), &announcement(9));
    }
    assert_eq!(host.stack.addresses(host.interface).len(), 1);
    assert_eq!(host.sent().len(), 2, "one defence in ten seconds");
}

#[test]
fn a_check_interrupted_by_the_link_begins_anew_when_it_is_back() {
    let mut lan = Lan::new(vec![checking(1, AddressCheck::RFC5227)]);
    add(&mut lan, 0, "10.0.0.1/24");
    lan.run_secs(2);
    let (now, interface) = (lan.now, lan.hosts[0].interface);
    lan.hosts[0].stack.set_link_state(now, interface, false);
    lan.run_secs(60);
    lan.log.clear();
    let now = lan.now;
    lan.hosts[0].stack.set_link_state(now, interface, true);
    lan.run_secs(12);
    assert_eq!(lan.arps().iter().filter(|(_, arp)| arp.is_probe()).count(), 3);
    assert_eq!(lan.hosts[0].stack.addresses(interface).len(), 1);
}

#[test]
fn addresses_in_use_are_announced_when_the_link_comes_back() {
    let mut lan = Lan::new(vec![checking(1, AddressCheck::BRIEF)]);
    add(&mut lan, 0, "10.0.0.1/24");
    lan.run_secs(10);
    lan.log.clear();
    let (now, interface) = (lan.now, lan.hosts[0].interface);
    lan.hosts[0].stack.set_link_state(now, interface, false);
    lan.hosts[0].stack.set_link_state(now, interface, true);
    lan.run_secs(10);
    assert_eq!(lan.arps().len(), 2);
}
