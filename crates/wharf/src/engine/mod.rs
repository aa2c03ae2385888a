//! The engine's thread: it owns the `Stack` and the link, and nobody else touches them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use links::Link;

use crate::Cidr;
use crate::configuration::Progress;
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
    pub seed: Option<[u8; 32]>,
}

/// Where the address comes from.
pub(crate) enum Addressing {
    Dhcp { hostname: Option<String> },
    Static { address: Cidr, gateway: Option<IpAddr> },
}

/// Starts an engine on a thread of its own.
pub(crate) fn start(plan: Plan) -> Result<Arc<Client>, Error> {
    let channel = Arc::new(Channel::new().map_err(Error::Start)?);
    let name = plan.link.as_ref().map_or("lo", |link| link.name()).to_owned();
    let progress = Arc::new(Progress::new(&name, "no DHCP offer"));
    let engine = Arc::clone(&channel);
    Client::start(channel, progress, move || engine.close()).map_err(Error::Start)
}
