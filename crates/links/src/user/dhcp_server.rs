//! The gateway's DHCP server (RFC 2131): a table of leases, a message in, a message out. Called by
//! [`gateway`](super::gateway), which owns the socket.
//!
//! It is the segment's only server and remembers nothing from one run to the next, so it is authoritative: a client
//! that asks for an address of an earlier run gets it if it is free, and is refused at once if it is not.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use wire::cidr::Cidr;
use wire::dhcpv4::{Addresses, DhcpMessage, DhcpOptions, MessageType, Operation};

/// How long an offer is kept for its client.
const OFFER_TIME: Duration = Duration::from_secs(30);
/// How long an address that a client found in use is left alone.
const DECLINE_TIME: Duration = Duration::from_secs(600);

/// What the server tells its clients.
#[derive(Clone, Debug)]
pub(super) struct DhcpServerConfig {
    /// The server itself, and the clients' default gateway.
    pub(super) server: Ipv4Addr,
    pub(super) subnet: Cidr,
    /// The first and the last address that is given out.
    pub(super) pool: (Ipv4Addr, Ipv4Addr),
    pub(super) dns: Ipv4Addr,
    pub(super) mtu: u16,
    pub(super) lease_time: Duration,
}

/// An answer, and where it goes: to port 68 of this address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DhcpReply {
    pub(super) message: DhcpMessage,
    pub(super) destination: Ipv4Addr,
}

/// A client's name for itself (RFC 2131 section 4.2): its identifier, or its MAC address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Client {
    Identifier(Box<[u8]>),
    Mac([u8; 6]),
    /// Nobody's: the address was declined.
    Nobody,
}

struct Lease {
    client: Client,
    until: Instant,
}

/// The leases of one segment. Bounded by the pool.
pub(super) struct DhcpServer {
    config: DhcpServerConfig,
    leases: HashMap<Ipv4Addr, Lease>,
    addresses: HashMap<Client, Ipv4Addr>,
}

impl DhcpServer {
    pub(super) fn new(config: DhcpServerConfig) -> Self {
        Self { config, leases: HashMap::new(), addresses: HashMap::new() }
    }

    /// Addresses that are not free.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert!(self.addresses.len() <= self.leases.len());
        self.leases.len()
    }

    /// A message came to port 67.
    pub(super) fn handle(&mut self, now: Instant, request: &DhcpMessage) -> Option<DhcpReply> {
        // There are no relays on a virtual segment.
        if request.operation != Operation::Request || !request.giaddr.is_unspecified() {
            return None;
        }
        let client = if request.options.client_id.is_empty() {
            Client::Mac(request.chaddr.0)
        } else {
            Client::Identifier((*request.options.client_id).into())
        };
        match request.options.message_type? {
            MessageType::Discover => {
                let address = self.choose(now, &client, request.options.requested_ip)?;
                self.bind(&client, address, now + OFFER_TIME);
                Some(self.reply(request, MessageType::Offer, address))
            }
            MessageType::Request => self.request(now, &client, request),
            MessageType::Decline => {
                // RFC 2131 section 4.3.3: mark the network address as not available.
                let address = self.for_us(request).then_some(request.options.requested_ip?)?;
                if self.addresses.get(&client) == Some(&address) {
                    self.addresses.remove(&client);
                    self.leases.insert(address, Lease { client: Client::Nobody, until: now + DECLINE_TIME });
                }
                None
            }
            MessageType::Release => {
                if self.addresses.get(&client) == Some(&request.ciaddr) {
                    self.forget(&client);
                }
                None
            }
            // RFC 2131 section 4.3.5: no lease, no address, no binding.
            MessageType::Inform => Some(self.reply(request, MessageType::Ack, Ipv4Addr::UNSPECIFIED)),
            MessageType::Offer | MessageType::Ack | MessageType::Nak => None,
        }
    }

    /// RFC 2131 section 4.3.2: what a DHCPREQUEST means follows from which fields it fills in.
    fn request(&mut self, now: Instant, client: &Client, request: &DhcpMessage) -> Option<DhcpReply> {
        if !self.for_us(request) {
            // The client took another server's offer.
            self.forget(client);
            return None;
        }
        let wanted = match request.options.requested_ip {
            // SELECTING and INIT-REBOOT.
            Some(address) => address,
            // RENEWING and REBINDING.
            None if !request.ciaddr.is_unspecified() => request.ciaddr,
            None => return None,
        };
        if !self.is_free_for(now, client, wanted) {
            let mut nak = self.reply(request, MessageType::Nak, Ipv4Addr::UNSPECIFIED);
            nak.destination = Ipv4Addr::BROADCAST;
            return Some(nak);
        }
        self.bind(client, wanted, now + self.config.lease_time);
        Some(self.reply(request, MessageType::Ack, wanted))
    }

    /// Whether the message names this server, or none.
    fn for_us(&self, request: &DhcpMessage) -> bool {
        request.options.server_id.is_none_or(|server| server == self.config.server)
    }

    /// RFC 2131 section 4.3.1: the client's own address, or the one it asks for, or a free one.
    fn choose(&self, now: Instant, client: &Client, requested: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let own = self.addresses.get(client).copied();
        let (first, last) = self.config.pool;
        own.into_iter()
            .chain(requested)
            .chain((first.to_bits()..=last.to_bits()).map(Ipv4Addr::from_bits))
            .find(|&address| self.is_free_for(now, client, address))
    }

    fn is_free_for(&self, now: Instant, client: &Client, address: Ipv4Addr) -> bool {
        let (first, last) = self.config.pool;
        (first..=last).contains(&address)
            && self.leases.get(&address).is_none_or(|lease| lease.client == *client || lease.until <= now)
    }

    fn bind(&mut self, client: &Client, address: Ipv4Addr, until: Instant) {
        if self.addresses.get(client) != Some(&address) {
            self.forget(client);
        }
        if let Some(previous) = self.leases.insert(address, Lease { client: client.clone(), until })
            && previous.client != *client
        {
            self.addresses.remove(&previous.client);
        }
        self.addresses.insert(client.clone(), address);
    }

    fn forget(&mut self, client: &Client) {
        if let Some(address) = self.addresses.remove(client) {
            self.leases.remove(&address);
        }
    }

    fn reply(&self, request: &DhcpMessage, kind: MessageType, address: Ipv4Addr) -> DhcpReply {
        let DhcpServerConfig { server, subnet, pool: _, dns, mtu, lease_time } = &self.config;
        let mut message = DhcpMessage::new(Operation::Reply, request.xid, request.chaddr);
        message.broadcast = request.broadcast;
        message.options = DhcpOptions { message_type: Some(kind), server_id: Some(*server), ..DhcpOptions::NONE };
        if kind != MessageType::Nak {
            message.yiaddr = address;
            message.ciaddr = if kind == MessageType::Ack { request.ciaddr } else { Ipv4Addr::UNSPECIFIED };
            let options = &mut message.options;
            options.subnet_mask = match subnet.netmask() {
                std::net::IpAddr::V4(mask) => Some(mask),
                std::net::IpAddr::V6(_) => None,
            };
            options.broadcast_address = subnet.broadcast();
            options.routers = Addresses::from_iter([*server]);
            options.dns_servers = Addresses::from_iter([*dns]);
            options.mtu = Some(*mtu);
            if !address.is_unspecified() {
                options.lease_time = Some(u32::try_from(lease_time.as_secs()).unwrap_or(u32::MAX));
            }
        }
        // RFC 2131 section 4.1: to the client's address if it has one; a client without one is reached by broadcast,
        // which "MAY be sent" where a unicast to an address that nobody answers ARP for is not possible.
        let destination = if request.ciaddr.is_unspecified() { Ipv4Addr::BROADCAST } else { request.ciaddr };
        DhcpReply { message, destination }
    }
}
