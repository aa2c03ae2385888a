//! Asking servers that look names up for us: which of them, in what order, and when the next one.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::config::ResolverOpts;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::RuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::proto::op::{DnsRequest, Message};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};

use super::Error;
use super::complaints::Complaints;
use super::exchange::Observer;
use super::record::plain;
use super::upstream::Upstream;
use super::watched::{Role, Watched, negative};

/// The next server is asked when the one before has been silent for this long. (It is asked at once when the one
/// before says that it cannot tell.)
const HEDGE: Duration = Duration::from_secs(1);

/// Servers in order of preference.
pub(super) struct Stub<P: RuntimeProvider> {
    /// hickory's pool gives up at the first SERVFAIL, so each server has a pool of its own and the order is kept here.
    servers: Vec<Server<P>>,
    /// The server that answered last; it is asked first.
    preferred: AtomicUsize,
    patience: Duration,
}

struct Server<P: RuntimeProvider> {
    upstream: Upstream,
    pool: NameServerPool<Watched<P>>,
    complaints: Complaints,
}

impl<P: RuntimeProvider> Stub<P> {
    pub(super) fn new(
        runtime: &P,
        servers: &[Upstream],
        tls: Option<rustls::ClientConfig>,
        patience: Duration,
        observer: Option<Observer>,
    ) -> Result<Self, NetError> {
        let mut options = ResolverOpts::default();
        options.timeout = patience;
        // A server's certificate is checked by the configuration given; without secure servers it is never used.
        let tls = tls.map_or_else(TlsConfig::new, |config| Ok(TlsConfig { config }))?;
        let context = Arc::new(PoolContext::new(options, tls));
        let servers = servers.iter().map(|upstream| {
            let complaints = Complaints::default();
            let provider =
                Watched::new(runtime.clone(), Role::Resolvers, patience, observer.clone(), complaints.clone());
            let pool = NameServerPool::from_config([upstream.as_config()], context.clone(), provider);
            Server { upstream: upstream.clone(), pool, complaints }
        });
        Ok(Self { servers: servers.collect(), preferred: AtomicUsize::new(0), patience })
    }

    /// Asks the servers, the preferred one first, until one knows.
    pub(super) async fn ask(&self, request: DnsRequest) -> Result<(SocketAddr, Message), Error> {
        let wanted = request.queries.first().map(|query| query.name().clone()).unwrap_or_default();
        let (name, start) = (plain(&wanted), Instant::now());
        let count = self.servers.len();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut order = (0..count).map(|offset| (first + offset) % count);
        let mut asked: FuturesUnordered<Pin<Box<dyn Future<Output = _> + Send>>> = FuturesUnordered::new();
        let mut failure: Option<Error> = None;
        loop {
            // Every way back here is a reason to ask one more.
            if let Some(index) = order.next() {
                let answer = self.servers[index].pool.send(request.clone()).first_answer();
                asked.push(Box::pin(async move { (index, answer.await) }));
            }
            let outcome = tokio::select! {
                outcome = asked.next() => outcome,
                () = tokio::time::sleep(HEDGE), if order.len() > 0 => continue,
            };
            let Some((index, result)) = outcome else {
                return Err(failure.unwrap_or_else(|| self.no_answer(&name)));
            };
            let server = &self.servers[index];
            match result.map(|answer| answer.into_message()).or_else(negative) {
                Ok(message) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok((server.upstream.address, message));
                }
                Err(error) => {
                    // "No connection" is all that the pool says of one that failed.
                    let error = match error {
                        NetError::NoConnections => {
                            server.complaints.since(start, &wanted).map_or(error, |complaint| complaint.error)
                        }
                        other => other,
                    };
                    let error = Error::from_hickory(&name, &server.upstream, self.patience, &error);
                    // What a server said tells more than another's silence.
                    if failure.is_none() && !matches!(error, Error::NoAnswer { .. }) {
                        failure = Some(error);
                    }
                }
            }
        }
    }

    pub(super) fn no_answer(&self, name: &str) -> Error {
        let servers = self.servers.iter().map(|server| server.upstream.address).collect();
        Error::NoAnswer { name: name.to_owned(), servers, after: self.patience }
    }
}
