//! IPv4 address conflict detection (RFC 5227): probe, announce, defend.
//!
//! An address goes through `Probing` (nobody may use it, not even we), `Announcing` and `Settled`. `link/arp` reports
//! every packet that claims an address of ours; timers send the next probe or announcement.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use wire::arp::ArpPacket;
use wire::cidr::Cidr;
use wire::ethernet::MacAddr;

use super::InterfaceId;
use crate::Instant;
use crate::discard::Discard;
use crate::network::{Network, Notice, Timer};
use crate::timers::TimerId;

/// How an IPv4 address is checked before use, and defended afterwards (RFC 5227 section 1.1 names the constants).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressCheck {
    /// Longest wait before the first probe, drawn at random.
    pub probe_wait: Duration,
    /// Probes; with none the address is used at once.
    pub probes: u8,
    /// Shortest time between probes.
    pub probe_min: Duration,
    /// Longest time between probes.
    pub probe_max: Duration,
    /// Silence after the last probe after which the address is ours.
    pub announce_wait: Duration,
    /// Announcements.
    pub announcements: u8,
    /// Time between announcements.
    pub announce_interval: Duration,
    /// A second conflict within this time of a defence is not defended against.
    pub defend_interval: Duration,
    /// Go on defending, at most once in `defend_interval`, and never give the address up (RFC 5227 section 2.4 (c)).
    pub never_give_up: bool,
}

impl AddressCheck {
    /// As the RFC has it: four to seven seconds before an address is used.
    pub const RFC5227: Self = Self {
        probe_wait: Duration::from_secs(1),
        probes: 3,
        probe_min: Duration::from_secs(1),
        probe_max: Duration::from_secs(2),
        announce_wait: Duration::from_secs(2),
        announcements: 2,
        announce_interval: Duration::from_secs(2),
        defend_interval: Duration::from_secs(10),
        never_give_up: false,
    };

    /// For links of today, on which an answer takes milliseconds: two probes in 300 ms.
    pub const BRIEF: Self = Self {
        probe_wait: Duration::ZERO,
        probes: 2,
        probe_min: Duration::from_millis(100),
        probe_max: Duration::from_millis(100),
        announce_wait: Duration::from_millis(200),
        ..Self::RFC5227
    };

    /// No probes and no announcements: for links on which nobody else can be. Conflicts are defended against.
    pub const OFF: Self = Self {
        probe_wait: Duration::ZERO,
        probes: 0,
        probe_min: Duration::ZERO,
        probe_max: Duration::ZERO,
        announce_wait: Duration::ZERO,
        announcements: 0,
        never_give_up: true,
        ..Self::RFC5227
    };
}

impl Default for AddressCheck {
    fn default() -> Self {
        Self::RFC5227
    }
}

/// Who gave an interface its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Manual,
    Dhcp,
}

/// How far an address has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressState {
    Probing { sent: u8 },
    Announcing { sent: u8 },
    Settled,
}

/// An address of an interface.
pub(crate) struct Address {
    pub cidr: Cidr,
    pub origin: Origin,
    pub state: AddressState,
    pub timer: TimerId,
    pub defended: Option<Instant>,
}

impl Address {
    /// An address that needs no check.
    pub(crate) const fn settled(cidr: Cidr) -> Self {
        let state = AddressState::Settled;
        Self { cidr, origin: Origin::Manual, state, timer: TimerId::NONE, defended: None }
    }

    pub(crate) fn is_usable(&self) -> bool {
        !matches!(self.state, AddressState::Probing { .. })
    }
}

impl Network {
    /// Begins to check a new address, or to use it at once. It must not be there yet.
    pub(crate) fn start_address(&mut self, now: Instant, interface: InterfaceId, cidr: Cidr, origin: Origin) {
        let Some(link) = self.interfaces.get_mut(interface) else { return };
        let state = AddressState::Probing { sent: 0 };
        link.addresses.push(Address { cidr, origin, state, timer: TimerId::NONE, defended: None });
        self.check_address(now, interface, cidr.addr());
    }

    /// Starts the check of an address from its beginning.
    fn check_address(&mut self, now: Instant, interface: InterfaceId, address: IpAddr) {
        let Some(link) = self.interfaces.get(interface) else { return };
        let (check, loopback) = (link.check, link.loopback);
        if check.probes == 0 || loopback || !address.is_ipv4() {
            return self.address_is_ours(now, interface, address);
        }
        let wait = self.entropy.jitter(check.probe_wait);
        self.arm_address(interface, address, now + wait);
    }

    fn arm_address(&mut self, interface: InterfaceId, address: IpAddr, deadline: Instant) {
        let Some(own) = self.address_mut(interface, address) else { return };
        let mut timer = own.timer;
        Self::arm(&mut self.timers, &mut timer, deadline, Timer::Address(interface, address));
        if let Some(own) = self.address_mut(interface, address) {
            own.timer = timer;
        }
    }

    fn address_mut(&mut self, interface: InterfaceId, address: IpAddr) -> Option<&mut Address> {
        let link = self.interfaces.get_mut(interface)?;
        link.addresses.iter_mut().find(|own| own.cidr.addr() == address)
    }

    /// The time for the next probe or announcement of an address.
    pub(crate) fn address_timeout(&mut self, now: Instant, interface: InterfaceId, address: IpAddr) {
        let IpAddr::V4(v4) = address else { return };
        let Some(link) = self.interfaces.get(interface) else { return };
        let (check, mac, up) = (link.check, link.capabilities.mac, link.up);
        let Some(own) = self.address_mut(interface, address) else { return };
        own.timer = TimerId::NONE;
        if !up {
            // Silence proves nothing now; `recheck_addresses` begins anew.
            return;
        }
        match own.state {
            AddressState::Probing { sent } if sent < check.probes => {
                own.state = AddressState::Probing { sent: sent + 1 };
                // RFC 5227 section 2.1.1: PROBE_NUM probes, PROBE_MIN to PROBE_MAX seconds apart.
                self.send_arp(interface, MacAddr::BROADCAST, &ArpPacket::probe(mac, v4));
                let wait = if sent + 1 < check.probes {
                    check.probe_min + self.entropy.jitter(check.probe_max.saturating_sub(check.probe_min))
                } else {
                    check.announce_wait
                };
                self.arm_address(interface, address, now + wait);
            }
            AddressState::Probing { .. } => self.address_is_ours(now, interface, address),
            AddressState::Announcing { .. } => self.announce_next(now, interface, v4),
            AddressState::Settled => {}
        }
    }

    /// Nobody objected: the address can be used.
    fn address_is_ours(&mut self, now: Instant, interface: InterfaceId, address: IpAddr) {
        let Some(own) = self.address_mut(interface, address) else { return };
        own.state = AddressState::Announcing { sent: 0 };
        let cidr = own.cidr;
        self.addresses.insert(address, interface);
        self.routes.add_connected(cidr, interface);
        self.changed();
        self.notices.push_back(Notice::AddressAdded(interface, cidr));
        match address {
            IpAddr::V4(v4) => self.announce_next(now, interface, v4),
            IpAddr::V6(_) => {
                if let Some(own) = self.address_mut(interface, address) {
                    own.state = AddressState::Settled;
                }
            }
        }
    }

    fn announce_next(&mut self, now: Instant, interface: InterfaceId, address: Ipv4Addr) {
        let Some(link) = self.interfaces.get(interface) else { return };
        let check = link.check;
        let Some(own) = self.address_mut(interface, IpAddr::V4(address)) else { return };
        let AddressState::Announcing { sent } = own.state else { return };
        if sent >= check.announcements {
            own.state = AddressState::Settled;
            return;
        }
        own.state = AddressState::Announcing { sent: sent + 1 };
        self.announce(interface, address);
        self.arm_address(interface, IpAddr::V4(address), now + check.announce_interval);
    }

    /// Whether an ARP packet from another station ended the use of an address of ours, so that there is nothing more
    /// to do about the packet. Its sender is not ourselves.
    pub(crate) fn address_conflict(&mut self, now: Instant, interface: InterfaceId, packet: &ArpPacket) -> bool {
        let Some(link) = self.interfaces.get_mut(interface) else { return false };
        let check = link.check;
        let claimed = IpAddr::V4(packet.sender_ip);
        let Some(own) = link.addresses.iter_mut().find(|own| {
            let address = own.cidr.addr();
            // RFC 5227 section 2.1.1: during probing, a probe by another for the same address is a conflict too.
            address == claimed || !own.is_usable() && packet.is_probe() && address == IpAddr::V4(packet.target_ip)
        }) else {
            return false;
        };
        let cidr = own.cidr;
        if own.is_usable() {
            let recent = own.defended.is_some_and(|at| now.since(at) < check.defend_interval);
            if !recent {
                // RFC 5227 section 2.4 (b): defend once, by one announcement.
                own.defended = Some(now);
                if let IpAddr::V4(address) = cidr.addr() {
                    self.announce(interface, address);
                }
            }
            if !recent || check.never_give_up {
                self.discard(Discard::ArpIgnored);
                return true;
            }
        }
        self.discard(Discard::ArpIgnored);
        self.drop_address(interface, cidr.addr());
        self.notices.push_back(Notice::AddressConflict(interface, cidr));
        true
    }

    /// Ends the use of an address; false if there is none such.
    pub(crate) fn drop_address(&mut self, interface: InterfaceId, address: IpAddr) -> bool {
        let Some(link) = self.interfaces.get_mut(interface) else { return false };
        let Some(at) = link.addresses.iter().position(|own| own.cidr.addr() == address) else { return false };
        let own = link.addresses.remove(at);
        self.timers.cancel(own.timer);
        if own.is_usable() {
            self.addresses.remove(&address);
            // Another address in the same subnet keeps the subnet's route.
            let shared = self
                .interfaces
                .get(interface)
                .is_some_and(|link| link.usable().any(|other| other.network() == own.cidr.network()));
            if !shared {
                self.routes.remove_connected(own.cidr, interface);
            }
            self.notices.push_back(Notice::AddressRemoved(interface, own.cidr));
        }
        self.changed();
        true
    }

    /// The link came back: somebody may have taken our addresses meanwhile. Those in use are announced again, those
    /// under check begin anew.
    pub(crate) fn recheck_addresses(&mut self, now: Instant, interface: InterfaceId) {
        let Some(link) = self.interfaces.get_mut(interface) else { return };
        let mut known = alloc::vec::Vec::new();
        for own in &mut link.addresses {
            own.state = match own.state {
                AddressState::Probing { .. } => AddressState::Probing { sent: 0 },
                _ => AddressState::Announcing { sent: 0 },
            };
            known.push((own.cidr.addr(), own.is_usable()));
        }
        for (address, usable) in known {
            match (usable, address) {
                (true, IpAddr::V4(v4)) => self.announce_next(now, interface, v4),
                (true, IpAddr::V6(_)) => {}
                (false, _) => self.check_address(now, interface, address),
            }
        }
    }
}
