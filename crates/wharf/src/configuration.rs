//! How a [`Net`](crate::Net) got its address, and the waiting for it.

use std::net::IpAddr;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::lock;
use crate::socket::wakers::WakerSet;
use crate::{Cidr, MacAddr};

/// What a `Net` is configured with, by DHCP or by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Configuration {
    /// The interface that has the address: the link's name.
    pub interface: String,
    /// The interface's station address.
    pub mac: MacAddr,
    /// The largest IP packet the interface carries, in bytes.
    pub mtu: u32,
    /// The address with its subnet.
    pub address: Cidr,
    /// The default gateway.
    pub gateway: Option<IpAddr>,
    /// Name servers, the preferred one first.
    pub dns: Vec<IpAddr>,
    /// The domain that short names are completed with.
    pub domain: Option<String>,
    /// The domains that short names are completed with instead, the first of them first; empty where only `domain` is
    /// known.
    pub search: Vec<String>,
    /// The DHCP lease; `None` for an address set by hand.
    pub lease: Option<LeaseTerms>,
    /// How long it took from the engine's start.
    pub took: Duration,
}

/// Who granted an address, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseTerms {
    /// The DHCP server.
    pub server: IpAddr,
    /// How long the lease holds, from the request on.
    pub duration: Duration,
}

/// How far the configuration is: written by the engine, waited for by whoever wants to use the network.
pub(crate) struct Progress {
    started: Instant,
    /// The interface's name, for messages.
    interface: String,
    /// The address that was set by hand; `None` where DHCP is asked.
    by_hand: Option<IpAddr>,
    stage: Mutex<Stage>,
    waiting: WakerSet,
}

/// What the first of several engines has come to, for the others to do the same.
#[derive(Clone, Debug)]
pub(crate) struct Adoption {
    pub stage: Stage,
    /// The interface's routes.
    pub routes: Vec<AdoptedRoute>,
}

/// A route of the first engine's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdoptedRoute {
    pub destination: Cidr,
    pub via: Option<IpAddr>,
    pub metric: u32,
    pub mtu: Option<u32>,
}

/// How far it is.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// Not yet, and what is waited for.
    Waiting(String),
    /// Another station has the address that the server gave, and it will be asked again.
    Declined(IpAddr),
    /// The address is in use.
    Configured(Configuration),
    /// Another station has the address that was set by hand.
    Conflict(IpAddr),
    /// The engine has stopped.
    Stopped,
}

impl Progress {
    pub(crate) fn new(interface: &str, by_hand: Option<IpAddr>) -> Self {
        Self {
            started: Instant::now(),
            interface: interface.to_owned(),
            by_hand,
            stage: Mutex::new(Stage::Waiting("no server answered".to_owned())),
            waiting: WakerSet::default(),
        }
    }

    /// The engine: `stage` has been reached.
    pub(crate) fn reach(&self, stage: Stage) {
        *lock(&self.stage) = stage;
        self.waiting.wake();
    }

    /// The interface's name.
    pub(crate) fn interface(&self) -> &str {
        &self.interface
    }

    /// Time since the engine's start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The configuration, if there is one now.
    pub(crate) fn current(&self) -> Option<Configuration> {
        match &*lock(&self.stage) {
            Stage::Configured(configuration) => Some(configuration.clone()),
            Stage::Waiting(_) | Stage::Declined(_) | Stage::Conflict(_) | Stage::Stopped => None,
        }
    }

    /// Ready with the configuration, or with the reason why there will be none.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<Configuration, Error>> {
        self.waiting.poll(context, || match &*lock(&self.stage) {
            Stage::Waiting(_) | Stage::Declined(_) => None,
            Stage::Configured(configuration) => Some(Ok(configuration.clone())),
            Stage::Conflict(address) => {
                Some(Err(Error::AddressConflict { interface: self.interface.clone(), address: *address }))
            }
            Stage::Stopped => Some(Err(Error::EngineStopped)),
        })
    }

    /// What to say when nothing came of it in `waited`.
    pub(crate) fn timed_out(&self, waited: Duration) -> Error {
        let interface = self.interface.clone();
        if let Some(address) = self.by_hand {
            return Error::AddressUnchecked { interface, address, waited };
        }
        let (stage, declined) = match &*lock(&self.stage) {
            Stage::Waiting(what) => (what.clone(), None),
            Stage::Declined(address) => {
                (format!("the server gave {address}, which another station uses"), Some(*address))
            }
            Stage::Configured(_) | Stage::Conflict(_) | Stage::Stopped => (String::new(), None),
        };
        Error::NoLease { interface, waited, stage, declined }
    }
}
