//! The engine's thread: it owns the `Stack` and the link, and nobody else touches them.
//!
//! `turn` is the loop (commands, frames, timers, output, events, sleep); `commands` does what sockets ask, `events`
//! tells them what the stack says, `sockets` knows who is who, `configuration` follows the address, `adoption`
//! passes it on to further engines on the same link, `failures` translates reasons, `sleep` is poll(2).

mod adoption;
mod commands;
mod configuration;
mod events;
mod failures;
mod sleep;
mod sockets;
mod turn;

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use links::Link;
use stack::Stack;
use stack::link::{AddressCheck, InterfaceId};
use stack::steering::{Share, Steering};

use self::adoption::Adopted;
use self::commands::WaitingSend;
use self::sockets::Sockets;
use crate::Cidr;
use crate::configuration::{Progress, Stage};
use crate::control::Channel;
use crate::error::Error;
use crate::socket::client::{Engines, Ready};

/// What an engine is made of.
#[derive(Clone)]
pub(crate) struct Plan {
    pub addressing: Addressing,
    /// Name servers that come instead of DHCP's.
    pub dns: Vec<IpAddr>,
    /// How long to go on sending when everybody has let go.
    pub linger: Duration,
    /// How the address is checked for another holder, on a link that is not private.
    pub address_check: AddressCheck,
    pub seed: Option<[u8; 32]>,
}

/// What engines stand on.
pub(crate) enum Ground {
    /// Only the loopback interface.
    Nothing,
    /// A link.
    Link(Box<dyn Link>),
    /// The queues of one link, an engine on each.
    Queues(Vec<Box<dyn Link>>),
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Link(link) => f.write_str(link.name()),
            Self::Queues(queues) => f.debug_list().entries(queues.iter().map(|queue| queue.name())).finish(),
        }
    }
}

/// Where the address comes from.
#[derive(Clone, Debug)]
pub(crate) enum Addressing {
    Dhcp {
        hostname: Option<String>,
    },
    Static {
        address: Cidr,
        gateway: Option<IpAddr>,
    },
    /// From the first of several engines.
    Adopted,
}

impl Addressing {
    fn by_hand(&self) -> Option<IpAddr> {
        match self {
            Self::Dhcp { .. } | Self::Adopted => None,
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
    /// The engines that adopt what this one comes to: all others, if this is the first of several.
    followers: Vec<Arc<Channel>>,
    /// What this one adopted, if it is one of them.
    adopted: Adopted,
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

/// Starts engines, each on a thread of its own.
pub(crate) fn start(plan: &Plan, ground: Ground) -> Result<Engines, Error> {
    let (mut first, steering, others) = match ground {
        Ground::Nothing => (Engine::new(plan, None, None)?, None, Vec::new()),
        Ground::Link(link) => (Engine::new(plan, Some(link), None)?, None, Vec::new()),
        Ground::Queues(queues) => {
            let engines = u16::try_from(queues.len()).unwrap_or(u16::MAX);
            let steering = Arc::new(Steering::new(plan.seed.map_or_else(entropy, Ok).map_err(Error::Start)?, engines));
            let share = |engine| Some(Share { steering: Arc::clone(&steering), engine });
            let mut queues = links::steered::join(queues, &steering).map_err(Error::Start)?.into_iter();
            let first = queues.next().map(|queue| Box::new(queue) as Box<dyn Link>);
            let first = Engine::new(plan, first, share(0))?;
            let adopting = |(queue, engine)| {
                let mut plan = Plan { addressing: Addressing::Adopted, ..plan.clone() };
                // With one seed for all they would draw the same numbers.
                plan.seed = plan
                    .seed
                    .map(|[byte, rest @ ..]| [&[byte ^ engine as u8][..], &rest].concat())
                    .and_then(|seed| seed.try_into().ok());
                Engine::new(&plan, Some(Box::new(queue)), share(engine))
            };
            let others: Vec<Engine> = queues.zip(1..).map(adopting).collect::<Result<_, _>>()?;
            (first, Some(steering), others)
        }
    };
    first.followers = others.iter().map(|engine| Arc::clone(&engine.channel)).collect();
    let ready = |engine: Engine| Ready {
        channel: Arc::clone(&engine.channel),
        progress: Arc::clone(&engine.progress),
        run: move || engine.run(),
    };
    Engines::start(ready(first), others.into_iter().map(ready).collect(), steering).map_err(Error::Start)
}

impl Engine {
    fn new(plan: &Plan, link: Option<Box<dyn Link>>, share: Option<Share>) -> Result<Self, Error> {
        let Plan { addressing, dns, linger, address_check, seed } = plan.clone();
        let seed = match seed {
            Some(seed) => seed,
            None => entropy().map_err(Error::Start)?,
        };
        let name = link.as_ref().map_or("lo", |link| link.name()).to_owned();
        let mut config = stack::Config::default();
        config.tcp.share = share;
        let mut engine = Self {
            stack: Stack::new(config, seed),
            link: None,
            channel: Arc::new(Channel::new().map_err(Error::Start)?),
            progress: Arc::new(Progress::new(&name, addressing.by_hand())),
            sockets: Sockets::default(),
            waiting_sends: VecDeque::new(),
            addressing,
            dns,
            linger,
            followers: Vec::new(),
            adopted: Adopted::default(),
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
