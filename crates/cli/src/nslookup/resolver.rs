//! From the options of `wharf nslookup` to the resolver that answers.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use wharf::dns::{Anchors, Hosts, Kind, Resolver, RootHints, Transport, Upstream};
use wharf::tls::Trust;

use crate::args::{Nslookup, Server, Word};
use crate::exit::{Failure, Status};
use crate::output;

/// What the options say, their files read: no link is opened for a file that is not there.
pub(super) struct Asked {
    pub(super) kind: Option<Kind>,
    server: Option<Server>,
    roots: Option<RootHints>,
    anchors: Option<Anchors>,
    trust: Trust,
    hosts: Option<Hosts>,
}

/// Reads the options and the files that they name.
pub(super) fn read(args: &Nslookup) -> Result<Asked, Failure> {
    let (mut kind, mut server) = (None, None);
    for word in args.words.clone() {
        let again = match word {
            Word::Kind(given) => kind.replace(given).is_some(),
            Word::Server(given) => server.replace(given).is_some(),
        };
        if again {
            return Err(Failure::usage("one TYPE and one @SERVER at most"));
        }
    }
    let is_secure = args.tls || args.https;
    if args.recursive && (server.is_some() || !args.network.dns.is_empty()) {
        return Err(Failure::usage(
            "--recursive asks the servers of the zones themselves: leave out @SERVER and --dns (--config none, where a file names them)",
        ));
    }
    if args.ca.is_some() && !is_secure {
        return Err(Failure::usage("--ca is for --tls and --https"));
    }
    if server.as_ref().is_some_and(|server| server.name.is_some()) && !is_secure {
        return Err(Failure::usage("the name in @ADDRESS#NAME is for --tls and --https"));
    }
    let trust = match &args.ca {
        None => Trust::default(),
        Some(file) => Trust::File(file.clone()).loaded().map_err(Failure::from)?,
    };
    let roots = match (&args.root_hints, args.recursive) {
        (Some(file), _) => Some(parse(file, "root hints", RootHints::parse)?),
        (None, true) => Some(RootHints::iana()),
        (None, false) => None,
    };
    let anchors = match (&args.anchor, args.dnssec) {
        (Some(file), _) => Some(parse(file, "trust anchors", Anchors::parse)?),
        (None, true) => Some(Anchors::iana()),
        (None, false) => None,
    };
    let hosts =
        args.hosts.as_ref().map(|file| parse(file, "a table of hosts", |text| Ok(Hosts::parse(text)))).transpose()?;
    Ok(Asked { kind, server, roots, anchors, trust, hosts })
}

fn parse<T>(file: &Path, what: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T, Failure> {
    let refuse = |reason: String| {
        Failure::new(Status::File, format!("file: {} cannot be read as {what}: {reason}", file.display()))
    };
    let text = fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
    read(&text).map_err(refuse)
}

impl Asked {
    /// The resolver of the network, changed as the options say.
    pub(super) async fn resolver(self, network: Resolver, args: &Nslookup) -> Result<Resolver, Failure> {
        let secure = args.tls || args.https;
        let mut resolver = network.clone();
        let upstreams = match self.server {
            Some(server) => vec![locate(&network, server, args).await?],
            None if secure => {
                network.servers().into_iter().map(|server| upstream(server.ip(), None, None, args)).collect()
            }
            None => Vec::new(),
        };
        if !upstreams.is_empty() {
            resolver = resolver.with_upstreams(upstreams).with_trust(self.trust);
        }
        if let Some(roots) = self.roots {
            resolver = resolver.with_recursion(roots);
        }
        if let Some(anchors) = self.anchors {
            resolver = resolver.with_dnssec(anchors);
        }
        if let Some(hosts) = self.hosts {
            resolver = resolver.with_hosts(hosts);
        }
        if !args.search.is_empty() {
            resolver = resolver.with_search(args.search.clone());
        }
        if args.trace {
            resolver = resolver.with_observer(Arc::new(|exchange| output::note(exchange.to_string())));
        }
        Ok(resolver)
    }
}

/// The server's address, by the network's own servers where it is a name.
async fn locate(network: &Resolver, server: Server, args: &Nslookup) -> Result<Upstream, Failure> {
    let Server { host, port, name } = server;
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(upstream(address, port, name.as_deref(), args));
    }
    let addresses = network.addresses(&host).await?;
    let Some(address) = addresses.first() else {
        return Err(Failure::new(Status::Network, format!("DNS: the server {host} has no address")));
    };
    Ok(upstream(*address, port, Some(name.as_deref().unwrap_or(&host)), args))
}

fn upstream(address: IpAddr, port: Option<u16>, name: Option<&str>, args: &Nslookup) -> Upstream {
    let at = SocketAddr::new(address, 0);
    let mut upstream = match (args.tls, args.https) {
        (true, _) => Upstream::tls(at, name),
        (_, true) => Upstream::https(at, name),
        _ => Upstream { address: at, transport: Transport::Plain },
    };
    upstream.address.set_port(port.unwrap_or_else(|| upstream.transport.default_port()));
    upstream
}
