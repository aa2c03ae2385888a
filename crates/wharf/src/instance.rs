//! [`Net`]: an engine on a link, and the making of it.

use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use links::Link;
use links::capture::Capture;
use links::user::{UserConfig, UserLink};

use crate::configuration::Configuration;
use crate::control::{Attachment, Command, Reply};
use crate::engine::{self, Addressing, Ground, Plan};
use crate::error::Error;
use crate::interface::{Interface, InterfaceStats};
use crate::socket::block;
use crate::socket::client::{Client, Engines};
use crate::{AddressCheck, Cidr, SocketError};

/// A network stack of one's own: an engine with a link, running on a thread of its own.
///
/// Where one thread is not enough, [`NetBuilder::queues`] makes it several engines on the queues of one link. To whoever
/// uses it it remains one station: TCP connections are spread over the engines, and a listener listens in all.
///
/// Sockets are made on it, see [`net`](crate::net) and [`aio`](crate::aio). Clones are handles on the same engine.
/// When the last handle and the last socket are gone, the engine sends what is still to be sent, for at most the
/// time that [`NetBuilder::linger`] allows, and stops; dropping that last one waits for it.
#[derive(Clone)]
pub struct Net {
    engines: Arc<Engines>,
}

impl Net {
    /// Begins the making of a `Net`.
    pub fn builder() -> NetBuilder {
        NetBuilder::default()
    }

    /// A `Net` on `link`, configured by DHCP.
    ///
    /// # Errors
    /// If the link cannot be attached, or the system refuses a thread.
    pub fn from_link(link: impl Link + 'static) -> Result<Self, Error> {
        Self::builder().link(link).build()
    }

    /// A `Net` behind a user-mode gateway of its own, which reaches the world through the host's sockets: no right, no
    /// device and no set-up is needed.
    ///
    /// # Errors
    /// If the gateway cannot be had, or the system refuses a thread.
    pub fn user() -> Result<Self, Error> {
        let link = UserLink::open(&UserConfig::default())
            .map_err(|error| Error::Link { link: "user".into(), reason: error.to_string() })?;
        Self::from_link(link)
    }

    /// A `Net` without a link: its sockets reach each other at 127.0.0.1.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn loopback() -> Result<Self, Error> {
        NetBuilder { ground: Ground::Nothing, ..NetBuilder::default() }.build()
    }

    /// Waits until there is an address, for at most `timeout`.
    ///
    /// # Errors
    /// [`Error::NoLease`] or [`Error::AddressUnchecked`] when the time is over, [`Error::AddressConflict`] when another station has the address that
    /// was set by hand.
    pub fn wait_configured(&self, timeout: Duration) -> Result<Configuration, Error> {
        block::until(block::deadline(Some(timeout)), |context| self.engines.poll_configured(context))
            .unwrap_or_else(|| Err(self.client().progress.timed_out(timeout)))
    }

    /// As [`wait_configured`](Self::wait_configured), asynchronous and without a limit of time.
    ///
    /// # Errors
    /// [`Error::AddressConflict`] when another station has the address that was set by hand.
    pub async fn configured(&self) -> Result<Configuration, Error> {
        poll_fn(|context| self.engines.poll_configured(context)).await
    }

    /// The configuration as it is now; `None` while there is none, or none any more.
    #[must_use]
    pub fn configuration(&self) -> Option<Configuration> {
        self.client().progress.current()
    }

    /// The name servers that DHCP told, or that were set; empty while there are none.
    #[must_use]
    pub fn dns_servers(&self) -> Vec<IpAddr> {
        self.configuration().map(|configuration| configuration.dns).unwrap_or_default()
    }

    /// All interfaces, the loopback interface among them, as they are now.
    ///
    /// # Errors
    /// [`Error::EngineStopped`].
    pub fn interfaces(&self) -> Result<Vec<Interface>, Error> {
        let mut all: Vec<Interface> = Vec::new();
        for client in self.engines.all() {
            for interface in interfaces_of(client).map_err(|_: SocketError| Error::EngineStopped)? {
                // The queues of one link are one interface.
                match all.iter_mut().find(|known| known.name == interface.name) {
                    Some(known) => known.stats = sum(known.stats, interface.stats),
                    None => all.push(interface),
                }
            }
        }
        Ok(all)
    }

    /// The engine in which everything lives that is no TCP connection.
    pub(crate) fn client(&self) -> &Arc<Client> {
        self.engines.first()
    }

    pub(crate) fn engines(&self) -> &Engines {
        &self.engines
    }
}

fn interfaces_of(client: &Client) -> Result<Vec<Interface>, SocketError> {
    let (reply, answerer) = Reply::new();
    let id = client.channel.name_socket();
    client.channel.submit(id, Command::Interfaces, Attachment::Interfaces(answerer))?;
    block::forever(|context| reply.poll(context))
}

fn sum(one: InterfaceStats, other: InterfaceStats) -> InterfaceStats {
    InterfaceStats {
        tx_packets: one.tx_packets + other.tx_packets,
        tx_bytes: one.tx_bytes + other.tx_bytes,
        rx_packets: one.rx_packets + other.rx_packets,
        rx_bytes: one.rx_bytes + other.rx_bytes,
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("configuration", &self.configuration()).finish_non_exhaustive()
    }
}

/// Makes a [`Net`].
#[must_use]
pub struct NetBuilder {
    ground: Ground,
    capture: Option<PathBuf>,
    address: Option<Cidr>,
    gateway: Option<IpAddr>,
    dns: Vec<IpAddr>,
    hostname: Option<String>,
    linger: Duration,
    address_check: AddressCheck,
    seed: Option<[u8; 32]>,
}

impl Default for NetBuilder {
    fn default() -> Self {
        Self {
            ground: Ground::Nothing,
            capture: None,
            address: None,
            gateway: None,
            dns: Vec::new(),
            hostname: None,
            linger: Duration::from_secs(3),
            address_check: AddressCheck::RFC5227,
            seed: None,
        }
    }
}

impl NetBuilder {
    /// Uses this link.
    pub fn link(mut self, link: impl Link + 'static) -> Self {
        self.ground = Ground::Link(Box::new(link));
        self
    }

    /// Uses the queues of one link, as [`Tap::open_queues`](links::tap::Tap::open_queues) makes them, with an engine on
    /// a thread of its own for each.
    ///
    /// They are one station with one address, which the first engine gets and the others adopt. TCP connections are
    /// spread over the engines by a keyed hash: those that are made go to each in turn, those that come in to
    /// whichever the hash says, and `accept` takes them from all. UDP, pings and DNS live in the first engine.
    pub fn queues<L: Link + 'static>(mut self, queues: impl IntoIterator<Item = L>) -> Self {
        self.ground = Ground::Queues(queues.into_iter().map(|queue| Box::new(queue) as Box<dyn Link>).collect());
        self
    }

    /// Writes every frame that crosses the link to a pcapng file.
    pub fn capture(mut self, path: impl Into<PathBuf>) -> Self {
        self.capture = Some(path.into());
        self
    }

    /// Uses this address instead of DHCP's. It is probed first (RFC 5227) unless the link is private.
    pub fn address(mut self, address: Cidr) -> Self {
        self.address = Some(address);
        self
    }

    /// The default gateway beside an address set by hand.
    pub fn gateway(mut self, gateway: IpAddr) -> Self {
        self.gateway = Some(gateway);
        self
    }

    /// Adds a name server; those set here come instead of DHCP's.
    pub fn dns(mut self, server: IpAddr) -> Self {
        self.dns.push(server);
        self
    }

    /// The name that the DHCP server is told.
    pub fn hostname(mut self, name: impl Into<String>) -> Self {
        self.hostname = Some(name.into());
        self
    }

    /// How long the engine goes on at most, when everybody has let go, to send what is still to be sent. Default 3 s.
    pub fn linger(mut self, longest: Duration) -> Self {
        self.linger = longest;
        self
    }

    /// How an address is checked for another holder before it is used (RFC 5227), on a link that is not private.
    /// Default [`AddressCheck::RFC5227`], which takes four to seven seconds; [`AddressCheck::BRIEF`] takes 300 ms.
    pub fn address_check(mut self, check: AddressCheck) -> Self {
        self.address_check = check;
        self
    }

    /// The seed of all that is random in the engine, instead of the system's entropy: for tests that must repeat.
    pub fn seed(mut self, seed: [u8; 32]) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts the engine.
    ///
    /// # Errors
    /// If the settings contradict each other, the link cannot be attached, or the system refuses a thread.
    pub fn build(self) -> Result<Net, Error> {
        let Self { ground, capture, address, gateway, dns, hostname, linger, address_check, seed } = self;
        let senseless = |what: &str| Err(Error::Configuration(what.into()));
        if address.is_none() && gateway.is_some() {
            return senseless("a gateway without an address: DHCP tells its own");
        }
        if matches!(ground, Ground::Nothing) && (address.is_some() || capture.is_some()) {
            return senseless("an address or a capture without a link to have it on");
        }
        let ground = match (ground, capture) {
            (Ground::Link(link), Some(path)) => {
                let failed = |source| Error::Capture { path: path.display().to_string(), source };
                Ground::Link(Box::new(Capture::create(link, &path).map_err(failed)?))
            }
            (Ground::Queues(_), Some(_)) => {
                return senseless("a capture of several queues: it records the frames of one");
            }
            (Ground::Queues(queues), None) if queues.is_empty() => return senseless("a link without any queue"),
            (ground, _) => ground,
        };
        let addressing = match address {
            None => Addressing::Dhcp { hostname },
            Some(address) => Addressing::Static { address, gateway },
        };
        let plan = Plan { addressing, dns, linger, address_check, seed };
        Ok(Net { engines: Arc::new(engine::start(&plan, ground)?) })
    }
}

impl fmt::Debug for NetBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetBuilder")
            .field("ground", &self.ground)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
