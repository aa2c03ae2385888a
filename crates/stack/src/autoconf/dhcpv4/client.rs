//! The client's state machine (RFC 2131 section 4.4, figure 5).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use wire::cidr::Cidr;
use wire::dhcpv4::{CLIENT_PORT, DhcpMessage, MessageType, Operation, SERVER_PORT};
use wire::ethernet::MacAddr;
use wire::protocol::Protocol;
use wire::udp::{HEADER_LEN, UdpHeader};

use super::timing::{self, LeaseClock};
use super::{DhcpConfig, DhcpError, Lease, message};
use crate::Instant;
use crate::discard::Discard;
use crate::event::Event;
use crate::ip::output::IpFields;
use crate::ip::route::Way;
use crate::ip::routes::Route;
use crate::link::InterfaceId;
use crate::link::acd::Origin;
use crate::link::neighbors::NeighborState;
use crate::link::output::Hop;
use crate::link::queue::Class;
use crate::network::{Network, Timer};
use crate::stack::{AddressError, Stack};
use crate::timers::TimerId;

/// REQUESTs for an offer before the search begins anew: about a minute.
const REQUESTS: u32 = 4;
/// REQUESTs for a lease that we still hold before it is used unverified: about half a minute.
const REBOOTS: u32 = 3;

/// What was offered or granted.
#[derive(Clone)]
struct Grant {
    lease: Lease,
    clock: LeaseClock,
}

/// Where the client stands.
#[derive(Clone)]
enum State {
    /// Waits before the search begins (anew).
    Init,
    /// A DISCOVER is out.
    Selecting,
    /// A REQUEST for this address of this server is out.
    Requesting { address: Ipv4Addr, server: Ipv4Addr },
    /// Granted; the address is being checked for conflicts.
    Checking,
    /// In use.
    Bound,
    /// In use; its server is asked to prolong it.
    Renewing,
    /// In use; any server is asked to prolong it.
    Rebinding,
    /// In use; the link was away, and any server is asked whether it still holds.
    Rebooting,
}

/// The client of one interface.
pub(crate) struct Client {
    config: DhcpConfig,
    mac: MacAddr,
    state: State,
    /// Ties answers to questions; a new one for each exchange.
    xid: u32,
    /// When the search began, for the `secs` field.
    began: Instant,
    /// When the first message of this exchange was sent: leases count from there.
    asked: Instant,
    /// Messages of this exchange that were sent.
    attempts: u32,
    /// Refusals since an address was last in use.
    refusals: u32,
    grant: Option<Grant>,
    /// Routes that the lease brought.
    routes: Vec<Route>,
    timer: TimerId,
    link_up: bool,
}

impl Client {
    /// The address that it holds.
    fn address(&self) -> Option<Cidr> {
        self.grant.as_ref().map(|grant| grant.lease.address)
    }

    fn is_ours(&self, interface_address: Cidr) -> bool {
        self.address().is_some_and(|own| own.addr() == interface_address.addr())
    }

    /// Whether the lease is in use now.
    fn holds(&self) -> bool {
        matches!(self.state, State::Bound | State::Renewing | State::Rebinding | State::Rebooting)
    }
}

impl Stack {
    /// Starts a DHCP client on an interface. [`Event::DhcpBound`] tells of each lease that is got or renewed,
    /// [`Event::DhcpLost`] of its end.
    ///
    /// # Errors
    /// [`DhcpError`].
    pub fn start_dhcp(&mut self, now: Instant, interface: InterfaceId, config: DhcpConfig) -> Result<(), DhcpError> {
        let link = self.net.interfaces.get_mut(interface).filter(|link| !link.loopback);
        let link = link.ok_or(DhcpError::NoInterface)?;
        if self.dhcp.contains_key(&interface) {
            return Err(DhcpError::Running);
        }
        if config.hostname.as_ref().is_some_and(|name| !(1..=255).contains(&name.len())) {
            return Err(DhcpError::Hostname);
        }
        if config.client_id.as_ref().is_some_and(|id| !(2..=255).contains(&id.len())) {
            return Err(DhcpError::ClientId);
        }
        link.dhcp_client = true;
        let client = Client {
            config,
            mac: link.capabilities.mac,
            state: State::Init,
            xid: 0,
            began: now,
            asked: now,
            attempts: 0,
            refusals: 0,
            grant: None,
            routes: Vec::new(),
            timer: TimerId::NONE,
            link_up: link.up,
        };
        self.dhcp.insert(interface, client);
        // RFC 2131 section 4.4.1 would have us wait one to ten seconds, lest a whole building ask at once after a power
        // cut. Switches and servers have outgrown that; a person who waits has not.
        self.dhcp_search(now, interface, Duration::ZERO);
        self.settle(now);
        Ok(())
    }

    /// Whether the message by which [`stop_dhcp`](Self::stop_dhcp) gives the lease back cannot leave yet, because the
    /// hardware address of its next hop is being looked for. The first call begins the search. False where there is
    /// nothing to give back, and where nobody answered.
    pub fn dhcp_release_waits(&mut self, now: Instant, interface: InterfaceId) -> bool {
        let Some(client) = self.dhcp.get(&interface).filter(|client| client.holds() && client.link_up) else {
            return false;
        };
        let Some(lease) = client.grant.as_ref().map(|grant| &grant.lease) else { return false };
        let (server, source) = (IpAddr::V4(lease.server), lease.address.addr());
        let Ok(Way { hop: Hop::Neighbor(next_hop), .. }) = self.net.way(server, Some(source), Some(interface)) else {
            return false;
        };
        match self.net.neighbors.find(interface, next_hop).and_then(|id| self.net.neighbors.get(id)) {
            Some(neighbor) if neighbor.state != NeighborState::Incomplete => false,
            _ => {
                let searched = self.net.resolve(now, interface, next_hop).is_some();
                self.settle(now);
                searched
            }
        }
    }

    /// Stops the client: the lease is released, its address and routes go. False if none runs.
    pub fn stop_dhcp(&mut self, now: Instant, interface: InterfaceId) -> bool {
        let Some(client) = self.dhcp.get(&interface) else { return false };
        if client.holds() {
            // Its address goes with it, so that a message which has to wait for its next hop never leaves:
            // `dhcp_release_waits` sees to that.
            self.dhcp_send(now, interface, MessageType::Release);
        }
        self.dhcp_lose(interface);
        self.dhcp_forget(interface);
        self.settle(now);
        true
    }

    /// The lease in use on an interface.
    #[must_use]
    pub fn dhcp_lease(&self, interface: InterfaceId) -> Option<&Lease> {
        let client = self.dhcp.get(&interface).filter(|client| client.holds())?;
        client.grant.as_ref().map(|grant| &grant.lease)
    }

    /// Removes the client with its timer; what the lease brought is somebody else's business.
    pub(crate) fn dhcp_forget(&mut self, interface: InterfaceId) {
        if let Some(client) = self.dhcp.remove(&interface) {
            self.net.timers.cancel(client.timer);
        }
        if let Some(link) = self.net.interfaces.get_mut(interface) {
            link.dhcp_client = false;
        }
    }

    fn dhcp_arm(&mut self, interface: InterfaceId, deadline: Instant) {
        if let Some(client) = self.dhcp.get_mut(&interface) {
            Network::arm(&mut self.net.timers, &mut client.timer, deadline, Timer::Dhcp(interface));
        }
    }

    /// Begins the search for a server in a while.
    fn dhcp_search(&mut self, now: Instant, interface: InterfaceId, wait: Duration) {
        let Some(client) = self.dhcp.get_mut(&interface) else { return };
        client.state = State::Init;
        client.grant = None;
        client.began = now + wait;
        if wait.is_zero() {
            self.dhcp_discover(now, interface);
        } else {
            self.dhcp_arm(interface, now + wait);
        }
    }

    fn dhcp_discover(&mut self, now: Instant, interface: InterfaceId) {
        self.dhcp_begin(now, interface, State::Selecting, true);
        self.dhcp_repeat(now, interface);
    }

    /// Begins an exchange.
    fn dhcp_begin(&mut self, now: Instant, interface: InterfaceId, state: State, new_xid: bool) {
        let xid = self.entropy.next_u32();
        let Some(client) = self.dhcp.get_mut(&interface) else { return };
        client.state = state;
        client.attempts = 0;
        client.asked = now;
        if new_xid {
            client.xid = xid;
        }
    }

    /// Sends the message of the state that the client is in, and arms its repetition.
    fn dhcp_repeat(&mut self, now: Instant, interface: InterfaceId) {
        let Some(client) = self.dhcp.get_mut(&interface) else { return };
        if !client.link_up {
            return;
        }
        let attempt = client.attempts;
        client.attempts += 1;
        let kind = match client.state {
            State::Init | State::Checking | State::Bound => return,
            State::Selecting => MessageType::Discover,
            _ => MessageType::Request,
        };
        let clock = client.grant.as_ref().map(|grant| grant.clock);
        let next = match (&client.state, clock) {
            (State::Renewing, Some(clock)) => {
                (now + timing::renewal(now, clock.rebind, clock.duration)).min(clock.rebind)
            }
            (State::Rebinding, Some(clock)) => {
                (now + timing::renewal(now, clock.expire, clock.duration)).min(clock.expire)
            }
            (State::Rebooting, Some(clock)) => {
                (now + timing::retransmission(&mut self.entropy, attempt)).min(clock.expire)
            }
            _ => now + timing::retransmission(&mut self.entropy, attempt),
        };
        self.dhcp_send(now, interface, kind);
        self.dhcp_arm(interface, next);
    }

    /// The client's timer rang.
    pub(crate) fn dhcp_timeout(&mut self, now: Instant, interface: InterfaceId) {
        let Some(client) = self.dhcp.get_mut(&interface) else { return };
        client.timer = TimerId::NONE;
        if let Some(grant) = client.grant.as_ref().filter(|_| client.holds())
            && now >= grant.clock.expire
        {
            self.dhcp_lose(interface);
            return self.dhcp_search(now, interface, Duration::ZERO);
        }
        if !client.link_up {
            // Only the lease's end matters while nothing can be said.
            let expire = client.grant.as_ref().map(|grant| grant.clock.expire);
            return expire.into_iter().for_each(|expire| self.dhcp_arm(interface, expire));
        }
        let clock = client.grant.as_ref().map(|grant| grant.clock);
        match (&client.state, clock) {
            (State::Init, _) => self.dhcp_discover(now, interface),
            (State::Requesting { .. }, _) if client.attempts >= REQUESTS => self.dhcp_discover(now, interface),
            (State::Rebooting, Some(_)) if client.attempts >= REBOOTS => {
                // RFC 2131 section 3.2 step 3: nobody answered, and the lease has not run out: it may be used.
                client.state = State::Bound;
                self.dhcp_arm_bound(now, interface);
            }
            (State::Bound, Some(clock)) if now >= clock.renew => {
                let next = if now >= clock.rebind { State::Rebinding } else { State::Renewing };
                self.dhcp_begin(now, interface, next, true);
                self.dhcp_repeat(now, interface);
            }
            (State::Renewing, Some(clock)) if now >= clock.rebind => {
                self.dhcp_begin(now, interface, State::Rebinding, true);
                self.dhcp_repeat(now, interface);
            }
            (State::Bound, Some(_)) => self.dhcp_arm_bound(now, interface),
            _ => self.dhcp_repeat(now, interface),
        }
    }

    /// Arms the timer for T1, or at once if that has passed.
    fn dhcp_arm_bound(&mut self, now: Instant, interface: InterfaceId) {
        let clock = self.dhcp.get(&interface).and_then(|client| client.grant.as_ref()).map(|grant| grant.clock);
        if let Some(clock) = clock
            && !clock.renew.is_never()
        {
            self.dhcp_arm(interface, clock.renew.max(now + Duration::from_millis(1)));
        }
    }

    /// A datagram came to the client's port.
    pub(crate) fn dhcp_input(&mut self, now: Instant, interface: InterfaceId, from: SocketAddr, payload: &[u8]) {
        let Some(client) = self.dhcp.get(&interface) else { return };
        let answer = DhcpMessage::parse(payload).ok().filter(|message| {
            from.port() == SERVER_PORT
                && message.operation == Operation::Reply
                && message.xid == client.xid
                && message.chaddr == client.mac
                && client.link_up
        });
        let Some(answer) = answer else { return self.net.discard(Discard::DhcpIgnored) };
        let server = answer.options.server_id.filter(|server| !server.is_unspecified());
        let taken = match (answer.options.message_type, &client.state, server) {
            (Some(MessageType::Offer), State::Selecting, Some(server)) => {
                self.dhcp_offered(now, interface, &answer, server)
            }
            (Some(MessageType::Ack), State::Requesting { server: chosen, .. }, _) => {
                let chosen = *chosen;
                server.is_none_or(|server| server == chosen) && self.dhcp_granted(now, interface, &answer, chosen)
            }
            // RFC 2131 section 4.4.5: whoever answers a rebinding client is its server from now on.
            (Some(MessageType::Ack), State::Renewing | State::Rebinding | State::Rebooting, _) => {
                let known = client.grant.as_ref().map(|grant| grant.lease.server);
                let server = server.or(known);
                server.is_some_and(|server| self.dhcp_granted(now, interface, &answer, server))
            }
            (Some(MessageType::Nak), State::Requesting { server: chosen, .. }, _) => {
                server.is_none_or(|server| server == *chosen) && self.dhcp_refused(now, interface)
            }
            (Some(MessageType::Nak), State::Renewing, _) => {
                let known = client.grant.as_ref().map(|grant| grant.lease.server);
                (server.is_none() || server == known) && self.dhcp_refused(now, interface)
            }
            (Some(MessageType::Nak), State::Rebinding | State::Rebooting, _) => self.dhcp_refused(now, interface),
            _ => false,
        };
        if !taken {
            self.net.discard(Discard::DhcpIgnored);
        }
    }

    /// The first offer that is any use is taken.
    fn dhcp_offered(&mut self, now: Instant, interface: InterfaceId, offer: &DhcpMessage, server: Ipv4Addr) -> bool {
        if message::lease(offer, server).is_none() || offer.options.lease_time == Some(0) {
            return false;
        }
        // RFC 2131 section 4.4.1: the REQUEST carries the xid of the offer.
        self.dhcp_begin(now, interface, State::Requesting { address: offer.yiaddr, server }, false);
        self.dhcp_repeat(now, interface);
        true
    }

    fn dhcp_granted(&mut self, now: Instant, interface: InterfaceId, ack: &DhcpMessage, server: Ipv4Addr) -> bool {
        let Some(client) = self.dhcp.get_mut(&interface) else { return false };
        // RFC 2131 section 4.4.1: the lease counts from when the REQUEST was sent.
        let Some(clock) = LeaseClock::new(client.asked, &ack.options).filter(|clock| clock.expire > now) else {
            return false;
        };
        let Some(mut lease) = message::lease(ack, server) else { return false };
        lease.duration = clock.duration;
        let held = client.holds().then(|| client.address()).flatten();
        let address = lease.address;
        client.grant = Some(Grant { lease, clock });
        let in_use = self.net.interfaces.get(interface).is_some_and(|link| link.has(address.addr()));
        if held == Some(address) && in_use {
            self.dhcp_bound(now, interface);
            return true;
        }
        if let Some(other) = held {
            // The server moved us (or a person took the address away): the old one goes with its routes.
            self.dhcp_withdraw(interface, other.addr());
        }
        if let Some(client) = self.dhcp.get_mut(&interface) {
            client.state = State::Checking;
            self.net.timers.cancel(client.timer);
            client.timer = TimerId::NONE;
        }
        match self.add_address_from(now, interface, address, Origin::Dhcp) {
            Ok(()) => {}
            Err(AddressError::Exists) if in_use => {
                // Somebody has set it by hand: it is in use, and stays when the lease goes.
                self.dhcp_bound(now, interface);
            }
            Err(_) => self.dhcp_decline(now, interface),
        }
        true
    }

    /// The lease is in use.
    fn dhcp_bound(&mut self, now: Instant, interface: InterfaceId) {
        let Some(client) = self.dhcp.get_mut(&interface) else { return };
        client.state = State::Bound;
        client.refusals = 0;
        let old = core::mem::take(&mut client.routes);
        let Some(lease) = client.grant.as_ref().map(|grant| grant.lease.clone()) else { return };
        for route in &old {
            self.remove_route(*route);
        }
        let routes = self.apply_lease(interface, &lease);
        if let Some(client) = self.dhcp.get_mut(&interface) {
            client.routes = routes;
            self.net.timers.cancel(client.timer);
            client.timer = TimerId::NONE;
        }
        self.dhcp_arm_bound(now, interface);
        self.events.push(Event::DhcpBound(interface, lease));
    }

    /// The server will not have it.
    fn dhcp_refused(&mut self, now: Instant, interface: InterfaceId) -> bool {
        self.dhcp_lose(interface);
        let Some(client) = self.dhcp.get_mut(&interface) else { return false };
        client.refusals = client.refusals.saturating_add(1);
        let wait = timing::after_refusal(&mut self.entropy, client.refusals);
        self.dhcp_search(now, interface, wait);
        true
    }

    /// Another station has the address: the server must know, and give us another.
    fn dhcp_decline(&mut self, now: Instant, interface: InterfaceId) {
        self.dhcp_send(now, interface, MessageType::Decline);
        self.dhcp_lose(interface);
        self.dhcp_search(now, interface, timing::AFTER_DECLINE);
    }

    /// Takes address, routes and MTU of the lease away.
    fn dhcp_withdraw(&mut self, interface: InterfaceId, address: IpAddr) {
        if let Some(client) = self.dhcp.get_mut(&interface) {
            let routes = core::mem::take(&mut client.routes);
            self.unapply_lease(interface, &routes);
        }
        self.drop_leased_address(interface, address);
    }

    /// The lease is over: what it brought goes, and the owner is told if it was in use.
    fn dhcp_lose(&mut self, interface: InterfaceId) {
        let Some(client) = self.dhcp.get_mut(&interface) else { return };
        let held = client.holds();
        client.state = State::Init;
        let Some(grant) = client.grant.take() else { return };
        self.dhcp_withdraw(interface, grant.lease.address.addr());
        if held {
            self.events.push(Event::DhcpLost(interface));
        }
    }

    /// An address came into use.
    pub(crate) fn dhcp_address_added(&mut self, now: Instant, interface: InterfaceId, cidr: Cidr) {
        let checked = self
            .dhcp
            .get(&interface)
            .is_some_and(|client| matches!(client.state, State::Checking) && client.is_ours(cidr));
        if checked {
            self.dhcp_bound(now, interface);
        }
    }

    /// Another station has an address, which is gone already.
    pub(crate) fn dhcp_address_conflict(&mut self, now: Instant, interface: InterfaceId, cidr: Cidr) {
        let ours = self.dhcp.get(&interface).is_some_and(|client| client.is_ours(cidr));
        if ours {
            // RFC 2131 section 3.1.5, and RFC 5227 section 2.4 for a conflict that comes later.
            self.dhcp_decline(now, interface);
        }
    }

    /// The carrier came or went.
    pub(crate) fn dhcp_link_state(&mut self, now: Instant, interface: InterfaceId, up: bool) {
        let Some(client) = self.dhcp.get_mut(&interface) else { return };
        client.link_up = up;
        let expire = client.grant.as_ref().filter(|_| client.holds()).map(|grant| grant.clock.expire);
        match (up, expire) {
            (true, Some(expire)) if now < expire => {
                // RFC 2131 section 4.4.2 and 3.7: the network may be another; whether the lease holds there is asked,
                // and it is used until somebody says no.
                self.dhcp_begin(now, interface, State::Rebooting, true);
                self.dhcp_repeat(now, interface);
            }
            (true, _) => {
                if let Some(address) = self.dhcp.get(&interface).and_then(Client::address) {
                    // It was being checked when the link went.
                    self.drop_leased_address(interface, address.addr());
                }
                self.dhcp_lose(interface);
                self.dhcp_search(now, interface, Duration::ZERO);
            }
            (false, Some(expire)) if !expire.is_never() => self.dhcp_arm(interface, expire),
            (false, _) => {
                self.net.timers.cancel(client.timer);
                client.timer = TimerId::NONE;
            }
        }
    }

    /// Composes and sends a message as the client's state demands (RFC 2131 tables 4 and 5).
    fn dhcp_send(&mut self, now: Instant, interface: InterfaceId, kind: MessageType) {
        let Some(client) = self.dhcp.get(&interface) else { return };
        let mtu = self.net.mtu(interface);
        let xid = match kind {
            MessageType::Release | MessageType::Decline => self.entropy.next_u32(),
            _ => client.xid,
        };
        let mut message = message::compose(&client.config, client.mac, kind, xid, mtu);
        message.secs = u16::try_from(now.since(client.began).as_secs()).unwrap_or(u16::MAX);
        let lease = client.grant.as_ref().map(|grant| &grant.lease);
        let leased = lease.and_then(|lease| match lease.address.addr() {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        });
        let mut to = Ipv4Addr::BROADCAST;
        match (kind, &client.state) {
            (MessageType::Request, State::Requesting { address, server }) => {
                message.options.requested_ip = Some(*address);
                message.options.server_id = Some(*server);
            }
            (MessageType::Request, State::Rebooting) => message.options.requested_ip = leased,
            (MessageType::Request, state) => {
                message.ciaddr = leased.unwrap_or(Ipv4Addr::UNSPECIFIED);
                if let (State::Renewing, Some(lease)) = (state, lease) {
                    to = lease.server;
                }
            }
            (MessageType::Decline, _) => {
                message.secs = 0;
                message.options.requested_ip = leased;
                message.options.server_id = lease.map(|lease| lease.server);
            }
            (MessageType::Release, _) => {
                message.secs = 0;
                message.ciaddr = leased.unwrap_or(Ipv4Addr::UNSPECIFIED);
                message.options.server_id = lease.map(|lease| lease.server);
                to = lease.map_or(Ipv4Addr::BROADCAST, |lease| lease.server);
            }
            _ => {}
        }
        let from = message.ciaddr;
        self.dhcp_emit(now, interface, &message, from, to);
    }

    fn dhcp_emit(&mut self, now: Instant, interface: InterfaceId, message: &DhcpMessage, from: Ipv4Addr, to: Ipv4Addr) {
        let (source, destination) = (IpAddr::V4(from), IpAddr::V4(to));
        let way = if to.is_broadcast() {
            Way { interface, source, hop: Hop::Broadcast, mtu: self.net.mtu(interface) }
        } else {
            match self.net.way(destination, Some(source), Some(interface)) {
                Ok(way) => way,
                Err(_) => return self.net.discard(Discard::NoRoute),
            }
        };
        let len = HEADER_LEN + message.len();
        let mut buffer = self.net.packet_buffer(interface, true, len);
        let datagram = buffer.payload();
        let header = UdpHeader { src_port: CLIENT_PORT, dst_port: SERVER_PORT, len: len as u16, checksum: 0 };
        header.emit(datagram);
        if message.emit(&mut datagram[HEADER_LEN..]).is_err() {
            return self.net.discard(Discard::DhcpIgnored);
        }
        UdpHeader::fill_checksum(datagram, source, destination);
        let fields = IpFields {
            source,
            destination,
            protocol: Protocol::UDP,
            hop_limit: self.net.default_hop_limit,
            tos: 0,
            dont_fragment: false,
        };
        // A full queue has counted it; the message is repeated anyway.
        let _ = self.net.ip_output(now, &way, &fields, Class::Control, buffer);
    }
}
