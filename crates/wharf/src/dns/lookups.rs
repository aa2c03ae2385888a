//! Look-ups with a fixed set of servers, over any runtime that hickory can be given.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::RuntimeProvider;
use hickory_resolver::proto::rr::Name;
use tokio::task::JoinSet;

use super::Error;
use super::record::{Answer, Data, Kind, Record, plain};

/// A server that fails to answer is asked this many times in the time allowed.
const ATTEMPTS: u32 = 3;

/// The next server is asked when the one before has been silent for this long. (It is asked at once when the one
/// before says that it cannot tell.)
const HEDGE: Duration = Duration::from_secs(1);

/// One set of servers and what they have answered.
pub(super) struct Lookups<P: RuntimeProvider> {
    /// hickory gives up at the first SERVFAIL, so each server has a resolver of its own and the order is kept here.
    resolvers: Vec<(SocketAddr, hickory_resolver::Resolver<P>)>,
    /// The server that answered last; it is asked first, and remembers most.
    preferred: AtomicUsize,
    servers: Vec<SocketAddr>,
    domain: Option<String>,
    patience: Duration,
}

impl<P: RuntimeProvider> Lookups<P> {
    /// Look-ups that ask `servers`, complete names with `domain`, and take at most `patience`.
    pub(super) fn new(
        runtime: P,
        servers: Vec<SocketAddr>,
        domain: Option<String>,
        patience: Duration,
    ) -> Result<Self, Error> {
        // A domain that is no name is the DHCP server's fault; names are then used as they are given.
        let search = domain.as_deref().and_then(|domain| Name::from_utf8(domain).ok()).map(|mut name| {
            name.set_fqdn(true);
            name
        });
        let mut resolvers = Vec::with_capacity(servers.len());
        for &server in &servers {
            let on_port = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let connections = vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())];
            let config = ResolverConfig::from_parts(
                None,
                search.clone().into_iter().collect(),
                vec![NameServerConfig::new(server.ip(), true, connections)],
            );
            let mut builder = hickory_resolver::Resolver::builder_with_config(config, runtime.clone());
            let options = builder.options_mut();
            options.timeout = patience / ATTEMPTS;
            options.attempts = ATTEMPTS as usize - 1;
            // The host's /etc/hosts is not Wharf's world.
            options.use_hosts_file = ResolveHosts::Never;
            let resolver = builder.build().map_err(|error| Error::BadAnswer {
                name: String::new(),
                servers: vec![server],
                reason: error.to_string(),
            })?;
            resolvers.push((server, resolver));
        }
        Ok(Self { resolvers, preferred: AtomicUsize::new(0), servers, domain, patience })
    }

    /// Whether these are the look-ups for `servers` and `domain`.
    pub(super) fn is_for(&self, servers: &[SocketAddr], domain: Option<&str>) -> bool {
        self.servers == servers && self.domain.as_deref() == domain
    }

    /// The records of `kind` that `name` has.
    pub(super) async fn lookup(&self, name: &str, kind: Kind) -> Result<Answer, Error> {
        let refuse = |reason: String| Error::InvalidName { name: name.to_owned(), reason };
        let query = Name::from_utf8(name).map_err(|error| refuse(error.to_string()))?;
        if query.num_labels() == 0 && !matches!(kind, Kind::Ns | Kind::Soa) {
            return Err(refuse("it is empty".to_owned()));
        }
        let (server, lookup) = match tokio::time::timeout(self.patience, self.ask(name, &query, kind)).await {
            Ok(result) => result?,
            Err(_) => return Err(self.no_answer(name)),
        };
        let records: Vec<_> = lookup.answers().iter().map(Record::from_hickory).collect();
        if !records.iter().any(|record| record.kind() == kind.to_string()) {
            return Err(Error::NoSuchRecord { name: name.to_owned(), kind, hint: String::new() });
        }
        Ok(Answer { name: plain(lookup.query().name()), server, records })
    }

    /// Asks the servers, the preferred one first, until one knows.
    async fn ask(&self, name: &str, query: &Name, kind: Kind) -> Result<(SocketAddr, Lookup), Error> {
        let count = self.resolvers.len();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut order = (0..count).map(|offset| (first + offset) % count);
        let mut asked = JoinSet::new();
        let mut failure: Option<Error> = None;
        loop {
            // Every way back here is a reason to ask one more.
            if let Some(index) = order.next() {
                let (resolver, query) = (self.resolvers[index].1.clone(), query.clone());
                asked.spawn(async move { (index, resolver.lookup(query, kind.record_type()).await) });
            }
            let outcome = tokio::select! {
                outcome = asked.join_next() => outcome,
                () = tokio::time::sleep(HEDGE), if order.len() > 0 => continue,
            };
            let (index, result) = match outcome {
                Some(Ok(done)) => done,
                // A task that was cancelled with the runtime, or one that panicked in hickory: no answer from it.
                Some(Err(_)) => continue,
                None => return Err(failure.unwrap_or_else(|| self.no_answer(name))),
            };
            let server = self.servers[index];
            match result {
                Ok(lookup) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok((server, lookup));
                }
                Err(error) => {
                    let error = Error::from_hickory(name, kind, server, self.patience, &error);
                    if error.is_negative_answer() {
                        self.preferred.store(index, Ordering::Relaxed);
                        return Err(error);
                    }
                    // What a server said tells more than another's silence.
                    if failure.is_none() && !matches!(error, Error::NoAnswer { .. }) {
                        failure = Some(error);
                    }
                }
            }
        }
    }

    fn no_answer(&self, name: &str) -> Error {
        Error::NoAnswer { name: name.to_owned(), servers: self.servers.clone(), after: self.patience }
    }

    /// The names of `address`.
    pub(super) async fn reverse(&self, address: IpAddr) -> Result<Answer, Error> {
        self.lookup(&Name::from(address).to_ascii(), Kind::Ptr).await
    }

    /// The addresses of `host`.
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        let error = match self.lookup(host, Kind::A).await {
            Ok(answer) => return Ok(answer.addresses().collect()),
            Err(error) => error,
        };
        if !matches!(error, Error::NoSuchRecord { .. }) {
            return Err(error);
        }
        // The name exists without an IPv4 address: with IPv6 ones the reader should know.
        match self.lookup(host, Kind::Aaaa).await {
            Ok(_) => Err(Error::NoSuchRecord {
                name: host.to_owned(),
                kind: Kind::A,
                hint: "only IPv6 addresses, which this network does not carry yet".to_owned(),
            }),
            Err(_) => Err(error),
        }
    }
}

impl Answer {
    /// The addresses among the records.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.records.iter().filter_map(|record| match record.data {
            Data::A(address) => Some(IpAddr::V4(address)),
            Data::Aaaa(address) => Some(IpAddr::V6(address)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
