//! From the command line's options to a network that is up: the link, the address, the resolver.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use wharf::dns::{self, Resolver};
use wharf::links::capture::Capture;
use wharf::links::spec::LinkSpec;
use wharf::links::tap::Tap;
use wharf::links::user::{UserConfig, UserError, UserLink};
use wharf::links::{Link, OpenError};
use wharf::{AddressCheck, Cidr, Configuration, Interface, Net, PingFailure, Pinger, SocketError, http};

use crate::args;
use crate::exit::{Failure, Status};

/// How long an address may take. --timeout can only allow more: probing for another holder of the address takes
/// seconds by itself (RFC 5227 section 2.1.1).
const ADDRESS_PATIENCE: Duration = Duration::from_secs(10);

/// How much longer it may take when the server's first choice was another station's.
// RFC 2131 section 3.1, step 5: the client SHOULD wait ten seconds before it asks again.
const AFTER_A_DECLINE: Duration = ADDRESS_PATIENCE.saturating_add(Duration::from_secs(10));

/// How long the gateway is given to prove that it is there, once something failed: longer than ARP asks for it.
const GATEWAY_PATIENCE: Duration = Duration::from_secs(4);

/// What a command adds to the user link beyond its options.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    pub(crate) hosts: Vec<(String, IpAddr)>,
    pub(crate) redirects: Vec<(SocketAddr, SocketAddr)>,
    pub(crate) host_loopback: bool,
}

/// A link with an engine on it, without an address yet.
pub(crate) struct Opened {
    net: Net,
    options: args::Network,
    host_loopback: bool,
}

/// A network that is up.
pub(crate) struct Network {
    pub(crate) net: Net,
    pub(crate) resolver: Resolver,
    pub(crate) configuration: Configuration,
    /// It is the user-mode gateway's.
    is_user: bool,
    host_loopback: bool,
}

impl args::Network {
    /// Whether the link is the user-mode gateway.
    pub(crate) fn is_user_link(&self) -> bool {
        matches!(self.link, LinkSpec::User)
    }

    /// The options that mean nothing on this link are refused, never ignored.
    fn check(&self) -> Result<(), Failure> {
        if self.queues.is_some() && !matches!(self.link, LinkSpec::Tap(_)) {
            return Err(Failure::usage(format!("--queues is for TAP devices, and the link is {}", self.link)));
        }
        if self.queues.is_some() && self.mtu.is_some() {
            return Err(link_failure(&OpenError::TapMtu(self.link.to_string())));
        }
        if self.is_user_link() {
            return Ok(());
        }
        let given = [
            ("--host", !self.host.is_empty()),
            ("--forward", !self.forward.is_empty()),
            ("--host-loopback", self.host_loopback),
        ];
        if let Some((option, _)) = given.into_iter().find(|&(_, given)| given) {
            return Err(Failure::usage(format!("{option} is for the user link, and the link is {}", self.link)));
        }
        Ok(())
    }
}

/// Opens the link that `options` name and starts an engine on it.
pub(crate) fn open(options: &args::Network, extra: Extra) -> Result<Opened, Failure> {
    options.check()?;
    let host_loopback = options.host_loopback || extra.host_loopback;
    // A command that lives for seconds does not spend five of them on asking who else has the address.
    let mut builder = Net::builder().address_check(AddressCheck::BRIEF);
    builder = match (&options.link, options.queues, &options.capture) {
        (LinkSpec::Tap(name), Some(count), _) => {
            builder.queues(Tap::open_queues(name, count.into()).map_err(|error| link_failure(&error))?)
        }
        (_, _, None) => builder.link(open_link(options, extra)?),
        (_, _, Some(path)) => builder.link(Capture::create(open_link(options, extra)?, path).map_err(|error| {
            Failure::new(Status::File, format!("file: the capture {} cannot be written: {error}", path.display()))
        })?),
    };
    if let Some(address) = options.address {
        builder = builder.address(address);
    }
    if let Some(gateway) = options.gateway {
        builder = builder.gateway(gateway);
    }
    for server in &options.dns {
        builder = builder.dns(server.ip());
    }
    let net = builder.build().map_err(|error| failure(error, options.address))?;
    Ok(Opened { net, options: options.clone(), host_loopback })
}

fn open_link(options: &args::Network, extra: Extra) -> Result<Box<dyn Link>, Failure> {
    match &options.link {
        LinkSpec::User => {
            let mut config = UserConfig {
                hosts: extra.hosts,
                forwards: options.forward.clone(),
                host_loopback: options.host_loopback || extra.host_loopback,
                redirect: extra.redirects,
                ..UserConfig::default()
            };
            // The command line's names come first: the first match answers.
            config.hosts.splice(0..0, options.host.iter().cloned());
            if let Some(mtu) = options.mtu {
                config.mtu = mtu.into();
            }
            let link = UserLink::open(&config).map_err(|error| {
                let status = match error {
                    UserError::Host(_) | UserError::Mtu(_) => Status::Usage,
                    _ => Status::Network,
                };
                Failure::new(status, error.to_string())
            })?;
            Ok(Box::new(link))
        }
        other => other.open_with_mtu(options.mtu.map(u32::from)).map_err(|error| link_failure(&error)),
    }
}

fn link_failure(error: &OpenError) -> Failure {
    let status = match error {
        OpenError::Name(_) | OpenError::NotOpen(_) | OpenError::Mtu(_) | OpenError::TapMtu(_) => Status::Usage,
        _ => Status::Network,
    };
    Failure::new(status, format!("link: {error}"))
}

/// Opens the link and waits for its address.
pub(crate) async fn bring_up(options: &args::Network) -> Result<Network, Failure> {
    open(options, Extra::default())?.configure().await
}

/// A user-mode link whose gateway leads to the host's loopback.
pub(crate) async fn user_link_to_host_loopback() -> Result<Network, Failure> {
    let config = UserConfig { host_loopback: true, ..UserConfig::default() };
    let link = UserLink::open(&config).map_err(|error| Failure::new(Status::Network, error.to_string()))?;
    let net = Net::from_link(link).map_err(|error| failure(error, None))?;
    let mut network =
        configured(net, Vec::new(), true, ADDRESS_PATIENCE).await.map_err(|error| failure(error, None))?;
    network.is_user = true;
    Ok(network)
}

async fn configured(
    net: Net,
    servers: Vec<SocketAddr>,
    host_loopback: bool,
    patience: Duration,
) -> Result<Network, wharf::Error> {
    let waiting = net.clone();
    // The blocking wait has a limit of its own and tells how far the exchange with the DHCP server came.
    let configuration = tokio::task::spawn_blocking(move || match waiting.wait_configured(patience) {
        Err(wharf::Error::NoLease { declined: Some(_), .. }) if patience < AFTER_A_DECLINE => {
            waiting.wait_configured(AFTER_A_DECLINE).map_err(|error| with_patience(error, patience + AFTER_A_DECLINE))
        }
        outcome => outcome,
    })
    .await
    .map_err(|_| wharf::Error::EngineStopped)??;
    let mut resolver = Resolver::new(&net);
    if !servers.is_empty() {
        resolver = resolver.with_servers(servers);
    }
    Ok(Network { net, resolver, configuration, is_user: false, host_loopback })
}

/// The same error after a wait of so long.
fn with_patience(error: wharf::Error, waited: Duration) -> wharf::Error {
    match error {
        wharf::Error::NoLease { interface, stage, declined, .. } => {
            wharf::Error::NoLease { interface, waited, stage, declined }
        }
        other => other,
    }
}

impl Opened {
    /// The first line of a bring-up: what the link truly is.
    pub(crate) fn description(&self) -> String {
        match &self.options.link {
            LinkSpec::User => "user-mode link: virtual Ethernet inside this process, gateway 10.0.2.2".to_owned(),
            other => {
                let mtu = self.mtu().map(|mtu| format!(", MTU {mtu}")).unwrap_or_default();
                format!("{other} opened: Ethernet through the host's kernel{mtu}")
            }
        }
    }

    /// The largest packet, in bytes.
    pub(crate) fn mtu(&self) -> Option<u32> {
        self.interface().map(|interface| interface.mtu)
    }

    /// The station address, as it is written.
    pub(crate) fn mac(&self) -> String {
        self.interface().map(|interface| interface.mac.to_string()).unwrap_or_default()
    }

    fn interface(&self) -> Option<Interface> {
        self.net.interfaces().ok()?.into_iter().find(|interface| interface.name != "lo")
    }

    /// Waits for the address.
    pub(crate) async fn configure(self) -> Result<Network, Failure> {
        let Self { net, options, host_loopback } = self;
        let patience = options.timeout.map_or(ADDRESS_PATIENCE, |timeout| timeout.max(ADDRESS_PATIENCE));
        let mut network = configured(net, options.dns, host_loopback, patience)
            .await
            .map_err(|error| failure(error, options.address))?;
        network.is_user = matches!(options.link, LinkSpec::User);
        if let Some(patience) = options.timeout {
            network.resolver = network.resolver.with_timeout(patience);
        }
        Ok(network)
    }
}

impl Network {
    /// The line that says where the address is from.
    pub(crate) fn acquired(&self) -> String {
        let Configuration { address, gateway, lease, .. } = &self.configuration;
        let gateway = gateway.map_or("none".to_owned(), |gateway| gateway.to_string());
        match lease {
            Some(_) => format!("DHCP: acquired {address} gw {gateway}"),
            None => format!("DHCP: not asked, {address} gw {gateway} set by hand"),
        }
    }

    pub(crate) fn as_json(&self) -> Value {
        let Configuration { address, gateway, dns, domain, search, lease, took, .. } = &self.configuration;
        json!({
            "address": address.to_string(),
            "gateway": gateway.map(|gateway| gateway.to_string()),
            "dns": dns.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
            "domain": domain,
            "search": search,
            "lease_seconds": lease.map(|lease| lease.duration.as_secs()),
            "milliseconds": took.as_secs_f64() * 1000.0,
        })
    }

    /// Whether the gateway leads to the host's loopback.
    pub(crate) fn reaches_host_loopback(&self) -> bool {
        self.host_loopback
    }

    /// One echo request to `address`: how long the reply took, or why there was none.
    pub(crate) async fn ping_once(&self, address: IpAddr, patience: Duration) -> Result<Duration, String> {
        let pinger = Pinger::new(&self.net, address).map_err(|error| error.to_string())?;
        match tokio::time::timeout(patience, pinger.ping_async(&[0x5a; 56])).await {
            Ok(Ok(reply)) => Ok(reply.round_trip),
            Ok(Err(wharf::Error::Ping { reason, .. })) if self.is_silence(reason) => Err(self.no_arp_answer(address)),
            Ok(Err(error)) => Err(format!("ICMP: {error}")),
            Err(_) => {
                Err(format!("ICMP: no reply from {address} in {} s; it may not answer pings", patience.as_secs_f64()))
            }
        }
    }

    /// `error`, told with what the layers below know of it.
    pub(crate) async fn explain(&self, error: http::Error) -> Failure {
        let text = match &error {
            http::Error::Connect { address, source, .. }
                if SocketError::of(source) == Some(SocketError::HostUnreachable) =>
            {
                self.unreachable(address.ip()).await
            }
            http::Error::Connect { address, source, .. } if source.kind() == ErrorKind::ConnectionRefused => {
                return self.with_hint(self.refused_hint(address.ip()), error.into());
            }
            http::Error::Name(name) if self.name_hint(name).is_some() => {
                return self.with_hint(self.name_hint(name), error.into());
            }
            http::Error::ConnectTimedOut { address, .. } => self.gateway_fault(address.ip()).await,
            http::Error::Name(dns::Error::NoAnswer { servers, .. } | dns::Error::Unreachable { servers, .. }) => {
                match servers.first() {
                    Some(server) => self.gateway_fault(server.ip()).await,
                    None => None,
                }
            }
            _ => None,
        };
        let told = Failure::from(error);
        match text {
            Some(text) => Failure::new(told.status, format!("{text} ({told})")).passing(told.passing),
            None => told,
        }
    }

    /// A look-up's `error`, told with what is known of the link.
    pub(crate) fn explain_name(&self, error: dns::Error) -> Failure {
        self.with_hint(self.name_hint(&error), error.into())
    }

    fn with_hint(&self, hint: Option<&str>, told: Failure) -> Failure {
        match hint {
            Some(hint) => Failure::new(told.status, format!("{told}; {hint}")).passing(told.passing),
            None => told,
        }
    }

    /// The user link's gateway is not this host: who means his own server has to say so.
    pub(crate) fn refused_hint(&self, address: IpAddr) -> Option<&'static str> {
        let is_gateway = self.is_user && !self.host_loopback && self.configuration.gateway == Some(address);
        is_gateway.then_some("for a server on this machine's loopback give --host-loopback")
    }

    /// The user link's name server asks those of this host.
    pub(crate) fn name_hint(&self, error: &dns::Error) -> Option<&'static str> {
        let dns::Error::ServerFailed { servers, .. } = error else { return None };
        let is_ours = |server: &SocketAddr| self.configuration.dns.contains(&server.ip());
        (self.is_user && servers.iter().all(is_ours))
            .then_some("it asks the servers of this host (/etc/resolv.conf): is this host online?")
    }

    /// Why nothing gets through to `address`.
    pub(crate) async fn unreachable(&self, address: IpAddr) -> Option<String> {
        if self.configuration.address.contains(address) {
            return Some(self.no_arp_answer(address));
        }
        self.gateway_fault(address).await
    }

    /// Whether it is the gateway on the way to `address` that does not answer, in words.
    async fn gateway_fault(&self, address: IpAddr) -> Option<String> {
        let gateway = self.configuration.gateway?;
        if self.configuration.address.contains(address) {
            return None;
        }
        let pinger = Pinger::new(&self.net, gateway).ok()?;
        match tokio::time::timeout(GATEWAY_PATIENCE, pinger.ping_async(&[0x5a; 56])).await {
            Ok(Err(wharf::Error::Ping { reason, .. })) if self.is_silence(reason) => Some(self.no_arp_answer(gateway)),
            _ => None,
        }
    }

    /// Whether an echo request did not leave because nobody answered ARP: our own engine says so then.
    fn is_silence(&self, reason: PingFailure) -> bool {
        match reason {
            PingFailure::Failed(reason) => reason == SocketError::HostUnreachable,
            PingFailure::Reported { from, reason } => {
                from == self.configuration.address.addr() && reason == SocketError::HostUnreachable
            }
            _ => false,
        }
    }

    fn no_arp_answer(&self, address: IpAddr) -> String {
        let Configuration { interface, gateway, .. } = &self.configuration;
        if *gateway == Some(address) {
            format!("ARP: no answer from the gateway {address} on {interface}; is it up, and is --gateway right?")
        } else {
            format!("ARP: no answer from {address} on {interface}; is a host of this address up on this network?")
        }
    }
}

/// A library's error as a command's end; `by_hand` is the address that was given instead of DHCP.
fn failure(error: wharf::Error, by_hand: Option<Cidr>) -> Failure {
    match (error, by_hand) {
        (wharf::Error::NoLease { interface, waited, .. }, Some(address)) => Failure::new(
            Status::Network,
            format!(
                "ARP: {} was still being checked for another holder on {interface} after {} s; is the link up? \
                 (--timeout allows more)",
                address.addr(),
                waited.as_secs_f32()
            ),
        ),
        (wharf::Error::NoLease { interface, waited, stage, .. }, None) => Failure::new(
            Status::Network,
            format!(
                "DHCP: no lease on {interface} in {} s: {stage}; is a DHCP server on this network? (--address A/L sets \
                 an address by hand)",
                waited.as_secs_f32()
            ),
        ),
        (wharf::Error::AddressConflict { interface, address }, _) => Failure::new(
            Status::Network,
            format!("ARP: another station on {interface} has {address}; choose another with --address"),
        ),
        (error @ wharf::Error::Configuration(_), _) => Failure::usage(error.to_string()),
        (other, _) => Failure::new(Status::Network, other.to_string()),
    }
}
