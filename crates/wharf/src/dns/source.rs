//! Where answers come from: the cache, a question that is already under way, or the servers. To hickory's validator
//! this is a handle to send queries by.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::future::{BoxFuture, FutureExt, Shared, WeakShared};
use futures_util::{Stream, stream};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::RuntimeProvider;
use hickory_resolver::net::xfer::DnsHandle;
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Message, Query};

use super::Error;
use super::cache::{CAPACITY, Cache};
use super::recursion::Recursion;
use super::stub::Stub;
use crate::lock;

/// Who is asked.
pub(super) enum Upper<P: RuntimeProvider> {
    Stub(Stub<P>),
    Recursion(Recursion<P>),
}

/// An answer, and the server it is from; recursion has many.
#[derive(Clone, Debug)]
pub(super) struct Sourced {
    pub(super) server: Option<SocketAddr>,
    pub(super) message: Message,
}

type Asking = BoxFuture<'static, Result<Arc<Sourced>, Error>>;

/// Cloning shares all.
pub(super) struct Source<P: RuntimeProvider> {
    inner: Arc<Inner<P>>,
}

struct Inner<P: RuntimeProvider> {
    upper: Upper<P>,
    /// Whether signatures are asked for.
    signed: bool,
    cache: Cache,
    /// Who answered last, for answers from the cache.
    last: Mutex<Option<SocketAddr>>,
    /// Questions under way: whoever asks the same meanwhile waits for the same answer.
    asking: Mutex<HashMap<Query, WeakShared<Asking>>>,
}

impl<P: RuntimeProvider> Clone for Source<P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<P: RuntimeProvider> Source<P> {
    pub(super) fn new(upper: Upper<P>, signed: bool) -> Self {
        let inner =
            Inner { upper, signed, cache: Cache::new(CAPACITY), last: Mutex::default(), asking: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The answer to `query`.
    pub(super) async fn ask(&self, query: &Query) -> Result<Arc<Sourced>, Error> {
        if let Some(message) = self.inner.cache.find(query, Instant::now()) {
            return Ok(Arc::new(Sourced { server: *lock(&self.inner.last), message }));
        }
        let asking = {
            let mut under_way = lock(&self.inner.asking);
            match under_way.get(query).and_then(WeakShared::upgrade) {
                Some(asking) => asking,
                None => {
                    // It may have been answered since the cache was asked.
                    if let Some(message) = self.inner.cache.find(query, Instant::now()) {
                        return Ok(Arc::new(Sourced { server: *lock(&self.inner.last), message }));
                    }
                    // Those whose askers have all gone are no longer of use.
                    under_way.retain(|_, asking| asking.upgrade().is_some());
                    let asking = self.start(query.clone());
                    if let Some(weak) = asking.downgrade() {
                        under_way.insert(query.clone(), weak);
                    }
                    asking
                }
            }
        };
        asking.await
    }

    fn start(&self, query: Query) -> Shared<Asking> {
        let inner = self.inner.clone();
        let asking: Asking = Box::pin(async move {
            let answer = inner.ask_servers(&query).await;
            if let Ok(sourced) = &answer {
                *lock(&inner.last) = sourced.server;
                inner.cache.store(query.clone(), &sourced.message, Instant::now());
            }
            lock(&inner.asking).remove(&query);
            answer.map(Arc::new)
        });
        asking.shared()
    }

    /// Forgets what was answered to `queries`, which proved wrong.
    pub(super) fn forget(&self, queries: &[Query]) {
        for query in queries {
            self.inner.cache.forget(query);
        }
        if let Upper::Recursion(recursion) = &self.inner.upper {
            recursion.forget();
        }
    }

    /// What is said when the time for a look-up is over.
    pub(super) fn no_answer(&self, name: &str) -> Error {
        match &self.inner.upper {
            Upper::Stub(stub) => stub.no_answer(name),
            Upper::Recursion(recursion) => recursion.no_answer(name),
        }
    }
}

impl<P: RuntimeProvider> Inner<P> {
    async fn ask_servers(&self, query: &Query) -> Result<Sourced, Error> {
        match &self.upper {
            Upper::Recursion(recursion) => {
                recursion.ask(query.clone()).await.map(|message| Sourced { server: None, message })
            }
            Upper::Stub(stub) => {
                let mut options = DnsRequestOptions::default();
                options.edns_set_dnssec_ok = self.signed;
                let mut request = DnsRequest::from_query(query.clone(), options);
                // RFC 4035 section 4.9.2: who validates says so, and is given what another would have withheld.
                request.metadata.checking_disabled = self.signed;
                stub.ask(request).await.map(|(server, message)| Sourced { server: Some(server), message })
            }
        }
    }
}

impl<P: RuntimeProvider> DnsHandle for Source<P> {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = P;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let source = self.clone();
        Box::pin(stream::once(async move {
            let Some(query) = request.queries.first() else {
                return Err(NetError::from("a request without a question"));
            };
            let sourced = source.ask(query).await.map_err(|error| NetError::from(io::Error::other(error)))?;
            Ok(DnsResponse::from_message(sourced.message.clone())?)
        }))
    }
}
