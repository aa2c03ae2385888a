//! Look-ups with one set of settings, over any runtime that hickory can be given: which names are asked for, where
//! aliases lead, and what of an answer belongs to the question.

use std::net::IpAddr;

use hickory_resolver::net::runtime::RuntimeProvider;
use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record as HickoryRecord, RecordType};

use super::dnssec::{Link, Security, Validator};
use super::record::{Answer, Data, Kind, Origin, Record, plain};
use super::recursion::Recursion;
use super::settings::{Plan, Settings};
use super::source::{Source, Upper};
use super::stub::Stub;
use super::{Error, Hosts};

/// Most aliases in a row. Real ones are three or four; resolvers stop between 8 and 16.
const ALIASES: usize = 16;

/// Names of one label are completed with no more domains than this.
const SEARCH: usize = 6;

/// One set of settings, and what has been answered with them.
pub(super) struct Lookups<P: RuntimeProvider> {
    source: Source<P>,
    validator: Option<Validator<P>>,
    settings: Settings,
    plan: Plan,
    search: Vec<Name>,
}

impl<P: RuntimeProvider> Lookups<P> {
    /// Look-ups by `plan`, which the settings led to at this moment.
    pub(super) fn new(runtime: P, settings: Settings, plan: Plan) -> Result<Self, Error> {
        let signed = settings.anchors.is_some();
        let (patience, observer) = (plan.patience, settings.observer.clone());
        let unusable = |reason: String| Error::BadAnswer {
            name: String::new(),
            servers: plan.servers.iter().map(|server| server.address).collect(),
            reason,
        };
        let upper = match &settings.roots {
            Some(roots) => Upper::Recursion(
                Recursion::new(runtime, roots.clone(), signed, patience, observer)
                    .map_err(|error| unusable(error.to_string()))?,
            ),
            None => Upper::Stub(
                Stub::new(&runtime, &plan.servers, settings.tls()?, patience, observer)
                    .map_err(|error| unusable(error.to_string()))?,
            ),
        };
        let source = Source::new(upper, signed);
        let validator = settings.anchors.clone().map(|anchors| Validator::new(source.clone(), anchors));
        // A domain that is no name is the DHCP server's fault; names are then used as they are given.
        let search = plan.search.iter().filter_map(|domain| absolute(domain).ok()).take(SEARCH).collect();
        Ok(Self { source, validator, settings, plan, search })
    }

    /// Whether these are the look-ups for `plan`.
    pub(super) fn is_for(&self, plan: &Plan) -> bool {
        self.plan == *plan
    }

    fn hosts(&self) -> Option<&Hosts> {
        self.settings.hosts.as_ref()
    }

    /// The records of `kind` that `name` has.
    pub(super) async fn lookup(&self, name: &str, kind: Kind) -> Result<Answer, Error> {
        let refuse = |reason: String| Error::InvalidName { name: name.to_owned(), reason };
        let query = absolute(name).map_err(refuse)?;
        if query.is_root() && !matches!(kind, Kind::Ns | Kind::Soa) {
            return Err(refuse("it is empty".to_owned()));
        }
        if let Some(answer) = self.known(name, kind) {
            return Ok(answer);
        }
        tokio::time::timeout(self.plan.patience, self.try_each(name, query, kind))
            .await
            .unwrap_or_else(|_| Err(self.source.no_answer(&plain(&absolute(name).unwrap_or_default()))))
    }

    /// The names that `name` may stand for, in order: a single label is first completed with each domain. One with a
    /// dot stands for itself (RFC 1535 section 6), as does one that ends in one.
    async fn try_each(&self, name: &str, query: Name, kind: Kind) -> Result<Answer, Error> {
        let is_single = query.num_labels() == 1 && !name.ends_with('.');
        let completed =
            self.search.iter().filter(|_| is_single).filter_map(|domain| query.clone().append_domain(domain).ok());
        let mut missing = None;
        for candidate in completed.chain([query.clone()]) {
            match self.chase(candidate, kind).await {
                Err(error @ Error::NoSuchName { .. }) => missing = Some(error),
                other => return other,
            }
        }
        let servers = match missing {
            Some(Error::NoSuchName { servers, .. }) => servers,
            _ => Vec::new(),
        };
        Err(Error::NoSuchName { name: plain(&query), servers })
    }

    /// Follows the aliases from `name` to records of `kind`.
    async fn chase(&self, name: Name, kind: Kind) -> Result<Answer, Error> {
        let mut path = Path { names: vec![name], records: Vec::new() };
        let mut security: Option<Security> = None;
        loop {
            let at = path.here().clone();
            let found = self.ask(&Query::query(at.clone(), kind.record_type())).await?;
            let Found { message, origin, security: this, links } = found;
            security = Some(weaker(security, this));
            match path.walk(&message, kind.record_type(), self.validator.is_some())? {
                Walk::Arrived => {
                    return Ok(Answer {
                        name: plain(&path.names[0]),
                        origin,
                        security: security.unwrap_or(Security::Unchecked),
                        chain: links,
                        records: path.records,
                    });
                }
                Walk::Moved if self.validator.is_some() || message.metadata.response_code == ResponseCode::NoError => {}
                Walk::Moved | Walk::Stayed => {
                    let name = plain(path.here());
                    return Err(match message.metadata.response_code {
                        ResponseCode::NXDomain => Error::NoSuchName { name, servers: servers_of(origin) },
                        _ => Error::NoSuchRecord { name, kind, hint: String::new() },
                    });
                }
            }
        }
    }

    async fn ask(&self, query: &Query) -> Result<Found, Error> {
        let (sourced, security, links) = match &self.validator {
            Some(validator) => {
                let checked = validator.ask(query).await?;
                (checked.sourced, checked.security, checked.links)
            }
            None => (self.source.ask(query).await?, Security::Unchecked, Vec::new()),
        };
        let origin = match sourced.server {
            Some(server) => Origin::Server(server),
            None => Origin::Recursion,
        };
        Ok(Found { message: sourced.message.clone(), origin, security, links })
    }

    /// The names of `address`.
    pub(super) async fn reverse(&self, address: IpAddr) -> Result<Answer, Error> {
        let name = Name::from(address).to_ascii();
        let known = self.hosts().map(|hosts| hosts.names(address)).unwrap_or_default();
        if !known.is_empty() {
            return Ok(hosts_answer(&name, known.iter().map(|known| Data::Ptr(known.clone()))));
        }
        self.lookup(&name, Kind::Ptr).await
    }

    /// What the table of hosts says: of a name in it, all that there is to know (RFC 952's successors in `hosts(5)`).
    fn known(&self, name: &str, kind: Kind) -> Option<Answer> {
        let addresses = self.hosts()?.addresses(name)?;
        let data: Vec<Data> = addresses
            .iter()
            .filter_map(|address| match (address, kind) {
                (IpAddr::V4(address), Kind::A) => Some(Data::A(*address)),
                (IpAddr::V6(address), Kind::Aaaa) => Some(Data::Aaaa(*address)),
                _ => None,
            })
            .collect();
        (!data.is_empty()).then(|| hosts_answer(name, data.into_iter()))
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

/// An answer as it came.
struct Found {
    message: Message,
    origin: Origin,
    security: Security,
    links: Vec<Link>,
}

/// The aliases followed so far, and the records that belong to them.
struct Path {
    names: Vec<Name>,
    records: Vec<Record>,
}

enum Walk {
    /// The records asked for are there.
    Arrived,
    /// An alias leads on to a name of which this answer says nothing more.
    Moved,
    /// Nothing.
    Stayed,
}

impl Path {
    fn here(&self) -> &Name {
        // There is always the name that it began with.
        &self.names[self.names.len() - 1]
    }

    /// Follows the aliases within one answer. Records of names that no alias leads to are not looked at: nobody asked
    /// for them. A validated answer vouches for its own name only: whatever else is in it is asked for again.
    fn walk(&mut self, message: &Message, kind: RecordType, is_validated: bool) -> Result<Walk, Error> {
        let mut moved = Walk::Stayed;
        loop {
            let here = self.here().clone();
            let of = |kind: RecordType| message.answers.iter().filter(move |record| record.record_type() == kind);
            let mut wanted = of(kind).filter(|record| record.name == here).peekable();
            if wanted.peek().is_some() {
                self.records.extend(wanted.map(Record::from_hickory));
                return Ok(Walk::Arrived);
            }
            let Some(alias) = of(RecordType::CNAME).find(|record| record.name == here) else { return Ok(moved) };
            self.go(alias)?;
            moved = Walk::Moved;
            if is_validated {
                return Ok(moved);
            }
        }
    }

    fn go(&mut self, alias: &HickoryRecord) -> Result<(), Error> {
        let RData::CNAME(target) = &alias.data else { return Ok(()) };
        let target = &target.0;
        let stop = |reason: String| Err(Error::AliasLoop { name: plain(&self.names[0]), reason });
        if self.names.contains(target) {
            return stop(format!("{} leads back to {}", plain(&alias.name), plain(target)));
        }
        if self.names.len() > ALIASES {
            return stop(format!("after {ALIASES} of them there is another, to {}", plain(target)));
        }
        self.records.push(Record::from_hickory(alias));
        self.names.push(target.clone());
        Ok(())
    }
}

/// A chain of aliases is as secure as its weakest link.
fn weaker(before: Option<Security>, this: Security) -> Security {
    match (before, this) {
        (Some(insecure @ Security::Insecure { .. }), _) => insecure,
        (_, this) => this,
    }
}

fn servers_of(origin: Origin) -> Vec<std::net::SocketAddr> {
    match origin {
        Origin::Server(server) => vec![server],
        Origin::Recursion | Origin::Hosts => Vec::new(),
    }
}

fn hosts_answer(name: &str, data: impl Iterator<Item = Data>) -> Answer {
    let name = name.trim_end_matches('.').to_owned();
    let records = data.map(|data| Record { name: name.clone(), ttl: 0, data }).collect();
    Answer { name, origin: Origin::Hosts, security: Security::Unchecked, chain: Vec::new(), records }
}

/// The name that `text` is, from the root on.
fn absolute(text: &str) -> Result<Name, String> {
    let mut name = Name::from_utf8(text).map_err(|error| error.to_string())?;
    name.set_fqdn(true);
    Ok(name)
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
