//! Looking names up ourselves, from the root down (RFC 1034 section 5.3.3), by hickory's recursor. Each server is asked
//! for no more than the next zone cut (query-name minimisation, RFC 9156), answers for other zones than the server's own
//! are dropped, and a lame server leads to the next one.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::RuntimeProvider;
use hickory_resolver::proto::op::{Message, Query};
use hickory_resolver::recursor::{DnssecPolicy, Recursor, RecursorError, RecursorOptions};

use super::Error;
use super::complaints::Complaints;
use super::exchange::Observer;
use super::record::plain;
use super::roots::RootHints;
use super::watched::{Role, Watched, negative};
use crate::lock;

/// What one server of several may take to answer: short enough that a dead one leaves time for the others, since
/// hickory's pool has five seconds for all.
const ONE_SERVER: Duration = Duration::from_millis(1500);

/// Answers that the recursor itself remembers: mostly where there is no zone cut. The resolver's own cache holds more.
const RESPONSES: u64 = 1024;

/// A recursor that can be made anew.
pub(super) struct Recursion<P: RuntimeProvider> {
    runtime: P,
    roots: RootHints,
    /// Whether signatures are asked for.
    signed: bool,
    patience: Duration,
    observer: Option<Observer>,
    complaints: Complaints,
    recursor: Mutex<Arc<Recursor<Watched<P>>>>,
}

impl<P: RuntimeProvider> Recursion<P> {
    pub(super) fn new(
        runtime: P,
        roots: RootHints,
        signed: bool,
        patience: Duration,
        observer: Option<Observer>,
    ) -> Result<Self, RecursorError> {
        let complaints = Complaints::default();
        let recursor = build(&runtime, &roots, signed, observer.clone(), complaints.clone())?;
        let recursor = Mutex::new(Arc::new(recursor));
        Ok(Self { runtime, roots, signed, patience, observer, complaints, recursor })
    }

    pub(super) async fn ask(&self, query: Query) -> Result<Message, Error> {
        let (name, start) = (query.name().clone(), Instant::now());
        let recursor = lock(&self.recursor).clone();
        loop {
            let error = match recursor.resolve(query.clone(), Instant::now(), self.signed).await {
                Ok(message) => return Ok(message),
                Err(error) => NetError::from(error),
            };
            let error = match negative(error) {
                Ok(message) => return Ok(message),
                Err(error) => error,
            };
            let complaint = self.complaints.since(start, &name);
            // Silence may be loss or haste: what has been learnt of the way stays, so that another try is quick.
            let was_silence = complaint.as_ref().is_some_and(|complaint| matches!(complaint.error, NetError::Timeout));
            if was_silence && start.elapsed() < self.patience / 2 {
                continue;
            }
            let reason = complaint.map_or_else(|| error.to_string(), |complaint| complaint.text);
            return Err(Error::Recursion { name: plain(&name), reason });
        }
    }

    /// Forgets all answers: one of them proved wrong, and the recursor does not let go of single ones.
    pub(super) fn forget(&self) {
        if let Ok(fresh) =
            build(&self.runtime, &self.roots, self.signed, self.observer.clone(), self.complaints.clone())
        {
            *lock(&self.recursor) = Arc::new(fresh);
        }
    }

    pub(super) fn no_answer(&self, name: &str) -> Error {
        let reason = format!("the servers did not answer in {}", crate::words::seconds(self.patience));
        Error::Recursion { name: name.to_owned(), reason }
    }
}

fn build<P: RuntimeProvider>(
    runtime: &P,
    roots: &RootHints,
    signed: bool,
    observer: Option<Observer>,
    complaints: Complaints,
) -> Result<Recursor<Watched<P>>, RecursorError> {
    let mut options = RecursorOptions { response_cache_size: RESPONSES, ..RecursorOptions::default() };
    // hickory refuses servers in private networks, so that no public zone can send us to a neighbour's. Whoever has a
    // root of his own in such a network has his zones there too.
    if roots.are_private() {
        options.deny_server.retain(|network| !network.addr().is_ipv4() || !RootHints::is_private(network.addr()));
    }
    // The engine carries no IPv6 yet: to try those servers would only take time.
    if let Ok(all) = "::/0".parse() {
        options.deny_server.push(all);
    }
    let policy = if signed { DnssecPolicy::ValidationDisabled } else { DnssecPolicy::SecurityUnaware };
    let addresses: Vec<IpAddr> = roots.addresses().to_vec();
    let provider = Watched::new(runtime.clone(), Role::Authorities, ONE_SERVER, observer, complaints);
    Recursor::new(&addresses, policy, None, options, provider)
}
