//! Names: hickory's resolver (RFC 1034, RFC 1035, EDNS by RFC 6891) over Wharf's own sockets. Query ids and source ports
//! are unpredictable, answers are matched by both and by their question, and a truncated answer is asked again over TCP
//! (RFC 7766). Servers are asked in the clear, over TLS (RFC 7858) or over HTTPS (RFC 8484); without any the way is taken
//! from the root down. DNSSEC is enforced where it is asked for.
//!
//! `http` calls [`Resolver::addresses`]; the commands `nslookup` and `ping` call it too.
//!
//! Inside: `lookups` knows names, aliases and domains to search; `dnssec` proves an answer; `source` is the cache and what
//! is under way; below it `stub` asks servers that look names up, and `recursion` those of the zones. `watched` is each
//! connection to a server, `runtime` Wharf's sockets in hickory's shape.
//!
//! ```no_run
//! use wharf::dns::{Anchors, Kind, Resolver, RootHints, Security};
//!
//! # async fn example(net: &wharf::Net) -> Result<(), wharf::dns::Error> {
//! // By the servers that DHCP named.
//! let answer = Resolver::new(net).lookup("example.com", Kind::A).await?;
//! assert_eq!(answer.security, Security::Unchecked);
//!
//! // From the root down, and nothing that is not proven.
//! let resolver = Resolver::new(net).with_recursion(RootHints::iana()).with_dnssec(Anchors::iana());
//! for record in resolver.lookup("example.com", Kind::Https).await?.records {
//!     println!("{} {} {}", record.name, record.kind(), record.data);
//! }
//! # Ok(())
//! # }
//! ```

mod cache;
mod complaints;
mod dnssec;
mod error;
mod exchange;
mod hosts;
mod lookups;
mod record;
mod recursion;
mod roots;
mod runtime;
mod settings;
mod source;
mod stub;
mod upstream;
mod watched;
mod zone_text;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use dnssec::{Anchors, Bogus, Fault, Link, Security, Voucher};
pub use error::Error;
pub use exchange::{Exchange, Observer};
pub use hosts::Hosts;
use lookups::Lookups;
pub use record::{Answer, Data, Kind, Origin, Record};
pub use roots::RootHints;
use runtime::NetRuntime;
use settings::{Plan, Settings};
pub use upstream::{DOH_PATH, Transport, Upstream};

use crate::tls::Trust;
use crate::{Net, lock};

/// Asked when the network names no server of its own.
pub const FALLBACK_SERVERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)), IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8))];

/// How long a look-up may take unless the caller says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(6);

/// The same from the root down, or where a chain of signatures has to be followed: many servers take part.
pub const LONG_PATIENCE: Duration = Duration::from_secs(20);

/// Asks the network's DNS servers, and remembers their answers for as long as these allow.
///
/// Cloning is cheap and shares what is remembered. The servers are those of the net's present configuration: a
/// lease that brings others is followed from the next look-up on. Each method that changes a setting gives a resolver
/// that remembers nothing yet.
#[derive(Clone)]
pub struct Resolver {
    net: Net,
    settings: Settings,
    current: Arc<Mutex<Option<Arc<Lookups<NetRuntime>>>>>,
}

impl Resolver {
    /// A resolver on `net` that asks the servers of its configuration.
    pub fn new(net: &Net) -> Self {
        Self { net: net.clone(), settings: Settings::default(), current: Arc::default() }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self.current = Arc::default();
        self
    }

    /// The same resolver, asking `servers` instead, in this order of preference.
    #[must_use]
    pub fn with_servers(self, servers: Vec<SocketAddr>) -> Self {
        self.with_upstreams(servers.into_iter().map(Upstream::plain).collect())
    }

    /// The same resolver, asking `servers` instead, each in its own way, in this order of preference.
    #[must_use]
    pub fn with_upstreams(self, servers: Vec<Upstream>) -> Self {
        self.with(|settings| settings.servers = Some(servers))
    }

    /// The same resolver, believing `trust` who a server of DNS over TLS or HTTPS is; else the Mozilla roots.
    #[must_use]
    pub fn with_trust(self, trust: Trust) -> Self {
        self.with(|settings| settings.trust = trust)
    }

    /// The same resolver, asking the servers of each zone itself, from those of `roots` down. A root in a private
    /// network may lead to servers in private networks, the Internet's may not.
    #[must_use]
    pub fn with_recursion(self, roots: RootHints) -> Self {
        self.with(|settings| settings.roots = Some(roots))
    }

    /// The same resolver, giving only answers that a chain of signatures from `anchors` proves, or that are proven to
    /// need none ([`Security::Insecure`]). Any other is [`Error::Bogus`].
    #[must_use]
    pub fn with_dnssec(self, anchors: Anchors) -> Self {
        self.with(|settings| settings.anchors = Some(anchors))
    }

    /// The same resolver with other domains by which a name of one label is completed, the first of them first; else
    /// those of the network's configuration.
    #[must_use]
    pub fn with_search(self, domains: Vec<String>) -> Self {
        self.with(|settings| settings.search = Some(domains))
    }

    /// The same resolver with a table of names that are not asked for. Without one there is none: the host's
    /// `/etc/hosts` describes the kernel's network, and its 127.0.0.1 is not Wharf's.
    #[must_use]
    pub fn with_hosts(self, hosts: Hosts) -> Self {
        self.with(|settings| settings.hosts = Some(hosts))
    }

    /// The same resolver with another limit for one look-up, all servers and repetitions included.
    #[must_use]
    pub fn with_timeout(self, patience: Duration) -> Self {
        self.with(|settings| settings.patience = Some(patience))
    }

    /// The same resolver, telling `observer` of each question to each server.
    #[must_use]
    pub fn with_observer(self, observer: Observer) -> Self {
        self.with(|settings| settings.observer = Some(observer))
    }

    /// The servers that the next look-up asks; for recursion, those of the root.
    pub fn servers(&self) -> Vec<SocketAddr> {
        match &self.settings.roots {
            Some(roots) => roots.addresses().iter().map(|&address| SocketAddr::new(address, 53)).collect(),
            None => self.plan().servers.iter().map(|server| server.address).collect(),
        }
    }

    /// The records of `kind` that `name` has, with the aliases (CNAME) that led to them. A name without a dot is
    /// completed with the network's domains.
    ///
    /// # Errors
    /// [`Error`] tells a name that does not exist from one without such records, from a server that fails, from
    /// one that does not answer, and from an answer that is not proven.
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

    /// What the settings come to at this moment.
    fn plan(&self) -> Plan {
        let configuration = self.net.configuration();
        // RFC 3397 section 1: a list of domains says more than the one domain.
        let told = || match &configuration {
            Some(configuration) if !configuration.search.is_empty() => configuration.search.clone(),
            Some(configuration) => configuration.domain.clone().into_iter().collect(),
            None => Vec::new(),
        };
        let servers = self.settings.servers.clone().unwrap_or_else(|| {
            let given = configuration.as_ref().map(|configuration| configuration.dns.clone()).unwrap_or_default();
            let servers = if given.is_empty() { FALLBACK_SERVERS.to_vec() } else { given };
            servers.into_iter().map(|server| Upstream::plain(SocketAddr::new(server, 53))).collect()
        });
        let search = self.settings.search.clone().unwrap_or_else(told);
        let is_long = self.settings.roots.is_some() || self.settings.anchors.is_some();
        let patience = self.settings.patience.unwrap_or(if is_long { LONG_PATIENCE } else { PATIENCE });
        Plan { servers, search, patience }
    }

    /// The look-ups of this moment.
    fn lookups(&self) -> Result<Arc<Lookups<NetRuntime>>, Error> {
        let plan = self.plan();
        let mut current = lock(&self.current);
        match &*current {
            Some(lookups) if lookups.is_for(&plan) => Ok(lookups.clone()),
            _ => {
                let runtime = NetRuntime::new(self.net.clone());
                let lookups = Arc::new(Lookups::new(runtime, self.settings.clone(), plan)?);
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
