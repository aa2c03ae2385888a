//! The link's interface and its address: attached, configured by DHCP or by hand, followed while it lasts, given back.

use std::net::{IpAddr, Ipv4Addr};

use links::Link;
use stack::Event;
use stack::autoconf::dhcpv4::{DhcpConfig, Lease};
use stack::ip::routes::Route;
use stack::link::{AddressCheck, InterfaceConfig, InterfaceId};

use super::{Addressing, Attached, Engine};
use crate::Cidr;
use crate::configuration::{Configuration, LeaseTerms, Stage};
use crate::error::Error;

/// The longest name that the stack takes; a longer one is cut there and stands in full in messages.
const MAX_NAME_LEN: usize = 15;

const EVERYWHERE: Option<Cidr> = Cidr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Engine {
    /// Makes the link an interface of the stack, and begins what gives it an address. Errors that a person can make
    /// are told here, before there is a thread.
    pub(super) fn attach(&mut self, link: Box<dyn Link>, check: AddressCheck) -> Result<(), Error> {
        let name = link.name().to_owned();
        let refused = |reason: String| Error::Link { link: name.clone(), reason };
        let short: String = name.chars().filter(char::is_ascii_graphic).take(MAX_NAME_LEN).collect();
        let mut config = InterfaceConfig::new(short, link.capabilities());
        // On a private link nobody else is there who could have the address; what is adopted has been checked.
        let adopts = matches!(self.addressing, Addressing::Adopted);
        config.address_check = if link.is_private() || adopts { AddressCheck::OFF } else { check };
        let interface = self.stack.add_interface(config).map_err(|error| refused(error.to_string()))?;
        let now = self.now();
        let up = link.link_up();
        if !up {
            self.stack.set_link_state(now, interface, false);
        }
        self.link =
            Some(Attached { link, interface, blocked: false, readable: true, up, suspect: false, broken_until: None });
        match self.addressing.clone() {
            Addressing::Static { address, gateway } => self.set_address(now, interface, address, gateway),
            Addressing::Dhcp { hostname } => {
                let config = DhcpConfig { hostname, ..DhcpConfig::default() };
                self.stack.start_dhcp(now, interface, config).map_err(|error| refused(error.to_string()))
            }
            Addressing::Adopted => Ok(()),
        }
    }

    fn set_address(
        &mut self,
        now: stack::Instant,
        interface: InterfaceId,
        address: Cidr,
        gateway: Option<IpAddr>,
    ) -> Result<(), Error> {
        self.stack
            .add_address(now, interface, address)
            .map_err(|error| Error::Configuration(format!("address {address}: {error}")))?;
        let (Some(via), Some(destination)) = (gateway, EVERYWHERE) else {
            return Ok(());
        };
        self.stack
            .add_route(Route { destination, via: Some(via), interface, metric: 0, mtu: None })
            .map_err(|error| Error::Configuration(format!("gateway {via}: {error}")))
    }

    /// Takes in what happened to the address.
    pub(super) fn follow(&mut self, event: &Event) {
        let Some(interface) = self.link.as_ref().map(|attached| attached.interface) else {
            return;
        };
        let stage = match (event, &self.addressing) {
            (Event::DhcpBound(on, lease), _) if *on == interface => self.configured_by(lease),
            (Event::DhcpLost(on), _) if *on == interface => {
                Stage::Waiting("the lease is lost and no server gave another".to_owned())
            }
            (Event::AddressAdded(on, cidr), Addressing::Static { address, .. })
                if *on == interface && cidr == address =>
            {
                self.configured_by_hand()
            }
            (Event::AddressConflict(on, cidr), Addressing::Static { address, .. })
                if *on == interface && cidr == address =>
            {
                Stage::Conflict(cidr.addr())
            }
            (Event::AddressConflict(on, cidr), Addressing::Dhcp { .. }) if *on == interface => {
                Stage::Declined(cidr.addr())
            }
            _ => return,
        };
        self.pass_on(&stage);
        self.progress.reach(stage);
    }

    fn configured_by_hand(&self) -> Stage {
        match &self.addressing {
            Addressing::Static { address, gateway } => {
                self.configured(*address, *gateway, Vec::new(), (None, Vec::new()), None)
            }
            Addressing::Dhcp { .. } | Addressing::Adopted => Stage::Waiting(String::new()),
        }
    }

    fn configured_by(&self, lease: &Lease) -> Stage {
        let terms = LeaseTerms { server: lease.server.into(), duration: lease.duration };
        let gateway = lease.routers.first().map(|&router| router.into());
        let dns = lease.dns_servers.iter().map(|&server| server.into()).collect();
        self.configured(lease.address, gateway, dns, (lease.domain.clone(), lease.search.clone()), Some(terms))
    }

    fn configured(
        &self,
        address: Cidr,
        gateway: Option<IpAddr>,
        dns: Vec<IpAddr>,
        (domain, search): (Option<String>, Vec<String>),
        lease: Option<LeaseTerms>,
    ) -> Stage {
        let interface = self.link.as_ref().map(|attached| attached.interface);
        let Some(info) = self.stack.interfaces().into_iter().find(|info| Some(info.id) == interface) else {
            return Stage::Waiting("the link is gone".to_owned());
        };
        Stage::Configured(Configuration {
            interface: self.progress.interface().to_owned(),
            mac: info.mac,
            mtu: info.mtu,
            address,
            gateway,
            dns: if self.dns.is_empty() { dns } else { self.dns.clone() },
            domain,
            search,
            lease,
            took: self.progress.elapsed(),
        })
    }

    /// Whether the address cannot be given back yet: where nothing has gone the server's way so far, its hardware address
    /// is still to be found, and that takes an address.
    pub(super) fn release_waits(&mut self, now: stack::Instant) -> bool {
        let Some(interface) = self.link.as_ref().map(|attached| attached.interface) else { return false };
        let waits = self.stack.dhcp_release_waits(now, interface);
        if waits {
            self.transmit(now);
        }
        waits
    }

    /// Gives the address back to its server.
    pub(super) fn deconfigure(&mut self) {
        let now = self.now();
        if let Some(interface) = self.link.as_ref().map(|attached| attached.interface)
            && self.stack.stop_dhcp(now, interface)
        {
            self.transmit(now);
        }
    }
}
