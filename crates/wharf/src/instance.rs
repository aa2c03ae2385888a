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
use crate::engine::{self, Addressing, Plan};
use crate::error::Error;
use crate::interface::Interface;
use crate::socket::block;
use crate::socket::client::Client;
use crate::{AddressCheck, Cidr, SocketError};

/// A network stack of one's own: an engine with a link, running on a thread of its own.
///
/// Sockets are made on it, see [`net`](crate::net) and [`aio`](crate::aio). Clones are handles on the same engine.
/// When the last handle and the last socket are gone, the engine sends what is still to be sent, for at most the
/// time that [`NetBuilder::linger`] allows, and stops; dropping that last one waits for it.
#[derive(Clone)]
pub struct Net {
    client: Arc<Client>,
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
        NetBuilder { link: None, ..NetBuilder::default() }.build()
    }

    /// Waits until there is an address, for at most `timeout`.
    ///
    /// # Errors
    /// [`Error::NoLease`] or [`Error::AddressUnchecked`] when the time is over, [`Error::AddressConflict`] when another station has the address that
    /// was set by hand.
    pub fn wait_configured(&self, timeout: Duration) -> Result<Configuration, Error> {
        let progress = &self.client.progress;
        block::until(block::deadline(Some(timeout)), |context| progress.poll(context))
            .unwrap_or_else(|| Err(progress.timed_out(timeout)))
    }

    /// As [`wait_configured`](Self::wait_configured), asynchronous and without a limit of time.
    ///
    /// # Errors
    /// [`Error::AddressConflict`] when another station has the address that was set by hand.
    pub async fn configured(&self) -> Result<Configuration, Error> {
        poll_fn(|context| self.client.progress.poll(context)).await
    }

    /// The configuration as it is now; `None` while there is none, or none any more.
    #[must_use]
    pub fn configuration(&self) -> Option<Configuration> {
        self.client.progress.current()
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
        let (reply, answerer) = Reply::new();
        let id = self.client.channel.name_socket();
        let asked = self.client.channel.submit(id, Command::Interfaces, Attachment::Interfaces(answerer));
        asked
            .and_then(|()| block::forever(|context| reply.poll(context)))
            .map_err(|_: SocketError| Error::EngineStopped)
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
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
    link: Option<Box<dyn Link>>,
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
            link: None,
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
        self.link = Some(Box::new(link));
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
        let Self { link, capture, address, gateway, dns, hostname, linger, address_check, seed } = self;
        if address.is_none() && gateway.is_some() {
            return Err(Error::Configuration("a gateway without an address: DHCP tells its own".into()));
        }
        if link.is_none() && (address.is_some() || capture.is_some()) {
            return Err(Error::Configuration("an address or a capture without a link to have it on".into()));
        }
        let link = match (link, capture) {
            (Some(link), Some(path)) => {
                let failed = |source| Error::Capture { path: path.display().to_string(), source };
                Some(Box::new(Capture::create(link, &path).map_err(failed)?) as Box<dyn Link>)
            }
            (link, _) => link,
        };
        let addressing = match address {
            None => Addressing::Dhcp { hostname },
            Some(address) => Addressing::Static { address, gateway },
        };
        let client = engine::start(Plan { link, addressing, dns, linger, address_check, seed })?;
        Ok(Net { client })
    }
}

impl fmt::Debug for NetBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetBuilder")
            .field("link", &self.link.as_ref().map(|link| link.name().to_owned()))
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
