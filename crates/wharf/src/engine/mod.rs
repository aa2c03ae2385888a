//! The engine's thread: it owns the `Stack` and the link, and nobody else touches them.
//!
//! `turn` is the loop (commands, frames, timers, output, events, sleep); `commands` does what sockets ask, `events`
//! tells them what the stack says, `sockets` knows who is who, `configuration` follows the address, `failures`
//! translates reasons, `sleep` is poll(2).

mod commands;
mod configuration;
mod events;
mod failures;
mod sleep;
mod sockets;
mod turn;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use links::Link;
use stack::Stack;
use stack::link::{AddressCheck, InterfaceId};

use self::commands::WaitingSend;
use self::sockets::Sockets;
use crate::Cidr;
use crate::configuration::{Progress, Stage};
use crate::control::Channel;
use crate::error::Error;
use crate::socket::client::Client;

/// What an engine is made of.
pub(crate) struct Plan {
    /// `None`: only the loopback interface.
    pub link: Option<Box<dyn Link>>,
    pub addressing: Addressing,
    /// Name servers that come instead of DHCP's.
    pub dns: Vec<IpAddr>,
    /// How long to go on sending when everybody has let go.
    pub linger: Duration,
    /// How the address is checked for another holder, on a link that is not private.
    pub address_check: AddressCheck,
    pub seed: Option<[u8; 32]>,
}

/// Where the address comes from.
#[derive(Clone, Debug)]
pub(crate) enum Addressing {
    Dhcp { hostname: Option<String> },
    Static { address: Cidr, gateway: Option<IpAddr> },
}

impl Addressing {
    fn by_hand(&self) -> Option<IpAddr> {
        match self {
            Self::Dhcp { .. } => None,
            Self::Static { address, .. } => Some(address.addr()),
        }
    }
}

/// An engine, before and while its thread runs.
struct Engine {
    stack: Stack,
    link: Option<Attached>,
    channel: Arc<Channel>,
    progress: Arc<Progress>,
    sockets: Sockets,
    /// Datagrams that found the interface's queue full, in order.
    waiting_sends: VecDeque<WaitingSend>,
    addressing: Addressing,
    dns: Vec<IpAddr>,
    linger: Duration,
    /// The origin of the stack's clock.
    origin: std::time::Instant,
}

/// A link and its interface.
struct Attached {
    link: Box<dyn Link>,
    interface: InterfaceId,
    /// The link's queue was full: it must become writable first.
    blocked: bool,
    /// There may be frames to receive.
    readable: bool,
    /// What the stack was last told of the carrier.
    up: bool,
    /// The descriptor reported an error or a hang-up: if there are no frames either, it is left alone for a while.
    suspect: bool,
    /// The descriptor reports nothing but errors: it is not polled until then.
    broken_until: Option<stack::Instant>,
}

/// Starts an engine on a thread of its own.
pub(crate) fn start(plan: Plan) -> Result<Arc<Client>, Error> {
    let channel = Arc::new(Channel::new().map_err(Error::Start)?);
    let engine = Engine::new(plan, &channel)?;
    let progress = Arc::clone(&engine.progress);
    Client::start(channel, progress, move || engine.run()).map_err(Error::Start)
}

impl Engine {
    fn new(plan: Plan, channel: &Arc<Channel>) -> Result<Self, Error> {
        let Plan { link, addressing, dns, linger, address_check, seed } = plan;
        let seed = match seed {
            Some(seed) => seed,
            None => entropy().map_err(Error::Start)?,
        };
        let name = link.as_ref().map_or("lo", |link| link.name()).to_owned();
        let mut engine = Self {
            stack: Stack::new(stack::Config::default(), seed),
            link: None,
            channel: Arc::clone(channel),
            progress: Arc::new(Progress::new(&name, addressing.by_hand())),
            sockets: Sockets::default(),
            waiting_sends: VecDeque::new(),
            addressing,
            dns,
            linger,
            origin: std::time::Instant::now(),
        };
        if let Some(link) = link {
            engine.attach(link, address_check)?;
        }
        Ok(engine)
    }

    /// The stack's clock.
    fn now(&self) -> stack::Instant {
        self.instant(std::time::Instant::now())
    }

    /// A time on the stack's clock.
    fn instant(&self, time: std::time::Instant) -> stack::Instant {
        let since = time.saturating_duration_since(self.origin);
        stack::Instant::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Drop for Engine {
    /// Also when the thread panics: nobody waits for an engine that is gone (L4). What was queued is answered here,
    /// what the stack had by the drop of `sockets`.
    fn drop(&mut self) {
        self.channel.close();
        self.progress.reach(Stage::Stopped);
    }
}

/// A seed from the system.
fn entropy() -> std::io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let mut filled = 0;
    while filled < seed.len() {
        match rustix::rand::getrandom(&mut seed[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => filled += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(seed)
}
