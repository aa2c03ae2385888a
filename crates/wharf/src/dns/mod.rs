//! Names: hickory's resolver (RFC 1034, RFC 1035, EDNS by RFC 6891, negative caching by RFC 2308) over Wharf's own
//! sockets. Query ids and source ports are unpredictable, answers are matched by both and by their question, and a
//! truncated answer is asked again over TCP (RFC 7766).
//!
//! `http` calls [`Resolver::addresses`]; the commands `nslookup` and `ping` call it too.

mod error;
mod lookups;
mod record;
mod runtime;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use error::Error;
use lookups::Lookups;
pub use record::{Answer, Data, Kind, Record};
use runtime::NetRuntime;

use crate::Net;

/// Asked when the network names no server of its own.
pub const FALLBACK_SERVERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)), IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8))];

/// How long a look-up may take unless the caller says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(6);

/// Asks the network's DNS servers, and remembers their answers for as long as these allow.
///
/// Cloning is cheap and shares what is remembered. The servers are those of the net's present configuration: a
/// lease that brings others is followed from the next look-up on.
#[derive(Clone)]
pub struct Resolver {
    net: Net,
    /// Servers given by hand, in place of the configuration's.
    fixed: Option<Vec<SocketAddr>>,
    patience: Duration,
    current: Arc<Mutex<Option<Arc<Lookups<NetRuntime>>>>>,
}

impl Resolver {
    /// A resolver on `net` that asks the servers of its configuration.
    pub fn new(net: &Net) -> Self {
        Self { net: net.clone(), fixed: None, patience: PATIENCE, current: Arc::default() }
    }

    /// The same resolver, asking `servers` instead, in this order of preference.
    #[must_use]
    pub fn with_servers(mut self, servers: Vec<SocketAddr>) -> Self {
        self.fixed = Some(servers);
        self.current = Arc::default();
        self
    }

    /// The same resolver with another limit for one look-up, all servers and repetitions included.
    #[must_use]
    pub fn with_timeout(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self.current = Arc::default();
        self
    }

    /// The servers that the next look-up asks.
    pub fn servers(&self) -> Vec<SocketAddr> {
        if let Some(fixed) = &self.fixed {
            return fixed.clone();
        }
        let given = self.net.configuration().map(|configuration| configuration.dns).unwrap_or_default();
        let servers = if given.is_empty() { FALLBACK_SERVERS.to_vec() } else { given };
        servers.into_iter().map(|server| SocketAddr::new(server, 53)).collect()
    }

    /// The records of `kind` that `name` has, with the aliases (CNAME) that led to them. A name without a dot is
    /// completed with the network's domain.
    ///
    /// # Errors
    /// [`Error`] tells a name that does not exist from one without such records, from a server that fails, and
    /// from one that does not answer.
    pub async fn lookup(&self, name: &str, kind: Kind) -> Result<Answer, Error> {
        self.lookups()?.lookup(name, kind).await
    }

    /// The names of an address: the PTR records of its name in `in-addr.arpa` or `ip6.arpa`.
    ///
    /// # Errors
    /// As [`Resolver::lookup`].
    pub async fn reverse(&self, address: IpAddr) -> Result<Answer, Error> {
        self.lookups()?.reverse(address).await
    }

    /// The addresses of `host`, at least one, the preferred first. An address stands for itself, and `localhost`
    /// for the loopback interface inside the engine (RFC 6761 section 6.3).
    ///
    /// # Errors
    /// As [`Resolver::lookup`].
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        if let Some(address) = literal(host) {
            return Ok(vec![address]);
        }
        self.lookups()?.addresses(host).await
    }

    /// The look-ups over the servers of this moment.
    fn lookups(&self) -> Result<Arc<Lookups<NetRuntime>>, Error> {
        let servers = self.servers();
        let domain = self.net.configuration().and_then(|configuration| configuration.domain);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some(lookups) if lookups.is_for(&servers, domain.as_deref()) => Ok(lookups.clone()),
            _ => {
                let runtime = NetRuntime::new(self.net.clone());
                let lookups = Arc::new(Lookups::new(runtime, servers, domain, self.patience)?);
                *current = Some(lookups.clone());
                Ok(lookups)
            }
        }
    }
}

/// The address that `host` is, if it needs no server.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<Ipv6Addr>() {
        return Some(address.into());
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Some(address.into());
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    (name == "localhost" || name.ends_with(".localhost")).then_some(Ipv4Addr::LOCALHOST.into())
}
