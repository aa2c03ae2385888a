//! The gateway: an engine in any-address mode, and the host's sockets behind it.
//!
//! [`Gateway::turn`] does everything that is due and never blocks; what it does is bounded, and whatever is left over
//! makes [`Gateway::deadline`] say "at once". With nothing left it says when the next timer falls due, and until then
//! only [`Gateway::fd`] or a frame can bring work: a gateway without traffic does nothing (PITFALLS P2).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use device::{Capabilities, Device, RxFrame};
use ring::Consumer;
use ring::datagram::{self, Record};
use stack::event::Event;
use stack::ip::icmp::ErrorKind;
use stack::link::{AddressCheck, InterfaceConfig, InterfaceId};
use stack::tcp::{ConnectionId, Refusal};
use stack::udp::{UdpId, UdpOptions};
use stack::{Config, Stack};
use wire::cidr::Cidr;
use wire::dhcpv4::{self, DhcpMessage};

use super::context::Context;
use super::destinations::{DNS_PORT, Destinations, FIRST_GUEST, GATEWAY, LAST_GUEST, Lead, PREFIX_LEN, RESOLVER};
use super::dhcp_server::{DhcpServer, DhcpServerConfig};
use super::dns_forwarder::{DnsForwarder, Knowledge};
use super::dns_stream::DnsStreams;
use super::echo::EchoFlows;
use super::fixed_names::FixedNames;
use super::forward::Transport;
use super::host::{HostEvent, Owner, Poller};
use super::resolvers::Resolvers;
use super::tcp_flows::TcpFlows;
use super::tcp_forwards::TcpForwards;
use super::udp_flows::{UdpFlows, datagram_ring};
use super::udp_forwards::UdpForwards;
use super::{GatewayStats, UserConfig, UserError};

/// How long an address is leased. The gateway does not outlive its only segment.
const LEASE_TIME: Duration = Duration::from_secs(86_400);
/// Room for any datagram, and for any reply of an echo socket.
const BUFFER: usize = 1 << 16;

/// The far side of a virtual segment: router, DHCP server and resolver, whose outside is the host's sockets.
///
/// It stands behind any link: frames of the guest's go into [`handle_frame`](Self::handle_frame), frames to it come
/// out of [`poll_transmit`](Self::poll_transmit), and in between the owner calls [`turn`](Self::turn) whenever
/// [`fd`](Self::fd) is readable, [`deadline`](Self::deadline) has passed or a frame was handled.
pub struct Gateway {
    stack: Stack,
    interface: InterfaceId,
    poller: Poller,
    destinations: Destinations,
    stats: GatewayStats,
    /// The origin of the engine's clock.
    epoch: Instant,
    parts: Parts,
    forwards: Vec<(Transport, SocketAddr)>,
    host_events: Vec<HostEvent>,
    buffer: Box<[u8]>,
    /// Something happened that the next turn has to look at.
    awake: bool,
}

/// Everything that owns sockets.
struct Parts {
    tcp: TcpFlows,
    udp: UdpFlows,
    echo: EchoFlows,
    dhcp: DhcpService,
    dns: DnsForwarder,
    dns_streams: DnsStreams,
    knowledge: Knowledge,
    tcp_forwards: TcpForwards,
    udp_forwards: UdpForwards,
}

/// The DHCP server and its socket.
struct DhcpService {
    server: DhcpServer,
    id: UdpId,
    from_guest: Consumer,
}

impl Gateway {
    /// A gateway on a link with these `capabilities`.
    ///
    /// # Errors
    /// [`UserError`] says which part of the configuration, or which call of the host's, stands in the way.
    pub fn new(config: &UserConfig, capabilities: Capabilities) -> Result<Self, UserError> {
        let names = FixedNames::new(&config.hosts).map_err(UserError::Host)?;
        let poller = Poller::new().map_err(UserError::System)?;
        let mut seed = [0; 32];
        rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| UserError::System(error.into()))?;

        let now = stack::Instant::ZERO;
        let mut stack = Stack::new(Config::default(), seed);
        let interface = stack
            .add_interface(InterfaceConfig {
                any_address: true,
                // Nobody else can have the gateway's addresses.
                address_check: AddressCheck::OFF,
                ..InterfaceConfig::new("gateway", capabilities)
            })
            .map_err(|error| UserError::Link(error.to_string()))?;
        for address in [GATEWAY, RESOLVER] {
            stack
                .add_address(now, interface, on_segment(address))
                .map_err(|error| UserError::Link(error.to_string()))?;
        }

        let mut bind = |address, port| {
            let (rings, from_guest) = datagram_ring();
            let mut options = UdpOptions::default();
            options.broadcast = true;
            let id = stack
                .udp_bind(SocketAddr::new(IpAddr::V4(address), port), options, rings)
                .map_err(|error| UserError::Link(error.to_string()))?;
            Ok((id, from_guest))
        };
        let (dhcp_id, dhcp_from_guest) = bind(Ipv4Addr::UNSPECIFIED, dhcpv4::SERVER_PORT)?;
        let (dns_id, dns_from_guest) = bind(RESOLVER, DNS_PORT)?;
        let dhcp = DhcpService {
            server: DhcpServer::new(DhcpServerConfig {
                server: GATEWAY,
                subnet: on_segment(GATEWAY),
                pool: (FIRST_GUEST, LAST_GUEST),
                dns: RESOLVER,
                mtu: u16::try_from(capabilities.mtu).unwrap_or(u16::MAX),
                lease_time: LEASE_TIME,
            }),
            id: dhcp_id,
            from_guest: dhcp_from_guest,
        };

        let mut tcp_forwards = TcpForwards::new();
        let mut udp_forwards = UdpForwards::new();
        let mut forwards = Vec::new();
        for forward in &config.forwards {
            let guest = IpAddr::V4(FIRST_GUEST);
            let opened = match forward.transport {
                Transport::Tcp => tcp_forwards.open(&poller, forward, guest),
                Transport::Udp => udp_forwards.open(&poller, forward, guest),
            };
            let local = opened.map_err(|error| UserError::Forward(*forward, error))?;
            forwards.push((forward.transport, local));
        }

        Ok(Self {
            stack,
            interface,
            poller,
            destinations: Destinations::new(&config.redirect, config.host_loopback),
            stats: GatewayStats::default(),
            epoch: Instant::now(),
            parts: Parts {
                tcp: TcpFlows::new(),
                udp: UdpFlows::new(),
                echo: EchoFlows::new(),
                dhcp,
                dns: DnsForwarder::new(dns_id, dns_from_guest),
                dns_streams: DnsStreams::new(),
                knowledge: Knowledge { names, resolvers: Resolvers::new(config.resolvers.clone()) },
                tcp_forwards,
                udp_forwards,
            },
            forwards,
            host_events: Vec::new(),
            buffer: vec![0; BUFFER].into(),
            awake: true,
        })
    }

    /// Readable when something has happened at a host socket.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.poller.fd()
    }

    /// When [`turn`](Self::turn) has to be called even if [`fd`](Self::fd) stays silent; an instant in the past means
    /// at once.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.awake {
            return Some(self.epoch);
        }
        let stack = self.stack.poll_timeout();
        let stack = (stack != stack::Instant::NEVER).then(|| self.epoch + Duration::from_nanos(stack.as_nanos()));
        self.parts.deadline().into_iter().chain(stack).min()
    }

    /// What has been done so far.
    #[must_use]
    pub fn stats(&self) -> GatewayStats {
        GatewayStats { tcp_flows: self.parts.tcp.len() as u64, udp_flows: self.parts.udp.len() as u64, ..self.stats }
    }

    /// Where the ways in listen, in the order of the configuration.
    #[must_use]
    pub fn forwards(&self) -> &[(Transport, SocketAddr)] {
        &self.forwards
    }

    /// The engine, for its counters.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// A frame came from the guest.
    pub fn handle_frame(&mut self, frame: &RxFrame<'_>) {
        self.awake = true;
        self.stack.handle_frame(instant(self.epoch, Instant::now()), self.interface, frame);
    }

    /// Sends what waits to the guest; true if `device` has taken everything.
    pub fn poll_transmit(&mut self, device: &mut dyn Device) -> bool {
        let Self { stack, interface, poller, destinations, stats, epoch, parts, awake, .. } = self;
        let wall = Instant::now();
        let now = instant(*epoch, wall);
        let everything = stack.poll_transmit(now, *interface, device);
        // Sending may end something too: the search for a station that is not there.
        parts.drain_stack_events(&mut Context { stack, poller, destinations, stats, now, wall });
        *awake |= !everything || parts.has_work();
        everything
    }

    /// Does what is due: timers, host sockets, the engine's events, the flows' shares.
    pub fn turn(&mut self) {
        self.stats.turns += 1;
        let Self { stack, poller, destinations, stats, epoch, parts, host_events, buffer, awake, .. } = self;
        let wall = Instant::now();
        let now = instant(*epoch, wall);
        stack.handle_timeout(now);
        let more = poller.poll(|event| host_events.push(event));
        let mut cx = Context { stack, poller, destinations, stats, now, wall };
        for event in host_events.drain(..) {
            parts.on_host_event(&mut cx, event, buffer);
        }
        parts.drain_stack_events(&mut cx);
        parts.expire(&mut cx);
        parts.run(&mut cx, buffer);
        // What the flows have done may have raised events in turn.
        parts.drain_stack_events(&mut cx);
        *awake = more || parts.has_work();
    }
}

impl Parts {
    fn on_host_event(&mut self, cx: &mut Context<'_>, event: HostEvent, buffer: &mut [u8]) {
        match event.token.owner {
            Owner::Tcp => self.tcp.on_host_event(cx, event),
            Owner::Udp => self.udp.on_host_event(event),
            Owner::Echo => self.echo.on_host_event(event),
            Owner::DnsQuery => self.dns.on_host_event(cx, &mut self.knowledge, event, buffer),
            Owner::DnsStream => self.dns_streams.on_host_event(cx, &mut self.knowledge, event),
            Owner::TcpForward => self.tcp_forwards.on_host_event(event),
            Owner::UdpForward => self.udp_forwards.on_host_event(event),
        }
    }

    fn drain_stack_events(&mut self, cx: &mut Context<'_>) {
        while let Some(event) = cx.stack.poll_event() {
            self.on_stack_event(cx, event);
        }
    }

    fn on_stack_event(&mut self, cx: &mut Context<'_>, event: Event) {
        match event {
            Event::TcpIncoming { connection, local, .. } => self.on_connection(cx, connection, local),
            Event::Tcp(connection, readiness) => {
                let _ = self.tcp.on_stack_event(cx, connection, readiness)
                    || self.dns_streams.on_stack_event(cx, &mut self.knowledge, connection, readiness);
            }
            Event::UdpIncoming { local, remote, .. } => match cx.destinations.lead(local) {
                Lead::Host(target) => self.udp.open(cx, remote, local, target),
                Lead::Resolver => {
                    cx.stack.udp_refuse(cx.now, local, remote, Some(ErrorKind::PortUnreachable));
                }
                Lead::Nowhere(kind) => {
                    cx.stats.udp_refused += 1;
                    cx.stack.udp_refuse(cx.now, local, remote, Some(kind));
                }
            },
            Event::Udp(id, _) => {
                let _ = self.dhcp.on_stack_event(cx, id)
                    || self.dns.on_stack_event(id)
                    || self.udp.on_stack_event(id)
                    || self.udp_forwards.on_stack_event(id);
            }
            Event::EchoIncoming(request) => self.echo.request(cx, request),
            _ => {}
        }
    }

    fn on_connection(&mut self, cx: &mut Context<'_>, connection: ConnectionId, local: SocketAddr) {
        cx.stats.tcp_attempts += 1;
        match cx.destinations.lead(local) {
            Lead::Host(target) => self.tcp.dial(cx, connection, target),
            Lead::Resolver => self.dns_streams.accept(cx, connection),
            Lead::Nowhere(kind) => {
                cx.stats.tcp_refused += 1;
                let refusal = match kind {
                    ErrorKind::PortUnreachable => Refusal::Reset,
                    kind => Refusal::Unreachable(kind),
                };
                cx.stack.tcp_refuse(cx.now, connection, refusal);
            }
        }
    }

    fn run(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) {
        self.tcp_forwards.run(cx, &mut self.tcp);
        self.tcp.run(cx);
        self.dns.run(cx, &mut self.knowledge, buffer);
        self.udp.run(cx, buffer);
        self.udp_forwards.run(cx, buffer);
        self.echo.run(cx, buffer);
    }

    fn has_work(&self) -> bool {
        self.tcp.has_work()
            || self.tcp_forwards.has_work()
            || self.dns.has_work()
            || self.udp.has_work()
            || self.udp_forwards.has_work()
            || self.echo.has_work()
    }

    fn expire(&mut self, cx: &mut Context<'_>) {
        self.udp.expire(cx);
        self.udp_forwards.expire(cx);
        self.echo.expire(cx);
        self.dns.expire(cx, &mut self.knowledge);
        self.dns_streams.expire(cx, &mut self.knowledge);
    }

    fn deadline(&self) -> Option<Instant> {
        [
            self.udp.deadline(),
            self.udp_forwards.deadline(),
            self.echo.deadline(),
            self.dns.deadline(),
            self.dns_streams.deadline(),
            self.tcp_forwards.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl DhcpService {
    /// Answers what came in; false if `id` is not the server's socket.
    fn on_stack_event(&mut self, cx: &mut Context<'_>, id: UdpId) -> bool {
        if id != self.id {
            return false;
        }
        // RFC 2131 section 2: messages have at most what fits a datagram of 576 bytes unless more was agreed.
        let mut message = [0; 1_500];
        let mut reply = [0; 1_500];
        while let Some((_, len)) = datagram::pop(&mut self.from_guest, &mut message) {
            let Ok(request) = DhcpMessage::parse(&message[..len.min(message.len())]) else { continue };
            let Some(answer) = self.server.handle(cx.wall, &request) else { continue };
            let Ok(len) = answer.message.emit(&mut reply) else { continue };
            let record = Record {
                remote: SocketAddr::new(IpAddr::V4(answer.destination), dhcpv4::CLIENT_PORT),
                local: Some(IpAddr::V4(GATEWAY)),
                interface: 0,
                tos: 0,
                ttl: 0,
            };
            if cx.stack.udp_send(cx.now, self.id, &record, &reply[..len]).is_err() {
                cx.stats.datagrams_dropped += 1;
            }
        }
        true
    }
}

fn on_segment(address: Ipv4Addr) -> Cidr {
    Cidr::new(IpAddr::V4(address), PREFIX_LEN).unwrap_or(Cidr::host(IpAddr::V4(address)))
}

fn instant(epoch: Instant, wall: Instant) -> stack::Instant {
    let nanos = wall.saturating_duration_since(epoch).as_nanos();
    stack::Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
