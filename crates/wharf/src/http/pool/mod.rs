//! The connections of a client, kept and shared: one [`Origin`] for each place that requests go to.
//!
//! An origin that speaks HTTP/1.1 has at most six connections, one that speaks HTTP/2 has one; until it is known
//! which, one connection is made and the other requests wait for what ALPN says on it. Requests that find no
//! connection free wait in a line, bounded, first come first served. A connection that has been idle for a while is
//! closed.
//!
//! `attempt` takes a [`Turn`] here for each attempt at a request.

mod origin;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::time::Instant;

pub(super) use origin::{Kept, Origin, Slot, Turn};

use super::proxy::Proxy;
use crate::lock;

/// The most HTTP/1.1 connections to one origin, as browsers have it.
pub const MAX_CONNECTIONS: usize = 6;

/// The most requests that wait for a connection to one origin, or are under way on one that is shared.
pub const MAX_WAITING: usize = 4096;

/// How long a connection is kept without use. Servers give up after 5 to 75 seconds; it is theirs that counts, and
/// this only bounds what is kept in vain.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(10);

/// Origins that are remembered beyond those in use.
const MAX_ORIGINS: usize = 1024;

/// Where a request goes, and by which way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// Whether TLS is spoken there.
    pub secure: bool,
    /// The host: a name, or an address without brackets.
    pub host: String,
    pub port: u16,
    pub proxy: Option<Arc<Proxy>>,
}

/// What is known of the versions that an origin speaks over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// ALPN will tell.
    Unknown,
    /// HTTP/1.1.
    One,
    /// HTTP/2.
    Two,
}

/// The connections of a client and its clones.
#[derive(Default)]
pub(super) struct Pool {
    origins: Mutex<HashMap<Place, Arc<Origin>>>,
    sweeping: AtomicBool,
}

impl Pool {
    /// The connections to `place`, of which `speaks` is known beforehand.
    pub(super) fn origin(self: &Arc<Self>, place: &Place, speaks: Speaks) -> Arc<Origin> {
        let origin = {
            let mut origins = lock(&self.origins);
            if let Some(origin) = origins.get(place) {
                return Arc::clone(origin);
            }
            if origins.len() >= MAX_ORIGINS {
                origins.retain(|_, origin| Arc::strong_count(origin) > 1 || !origin.is_empty());
            }
            Arc::clone(origins.entry(place.clone()).or_insert_with(|| Origin::new(speaks)))
        };
        if !self.sweeping.swap(true, Ordering::Relaxed) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        origin
    }

    /// Closes what has been idle since before `before`.
    fn sweep(&self, before: Instant) {
        let origins: Vec<_> = lock(&self.origins).values().cloned().collect();
        for origin in origins {
            origin.sweep(before);
        }
    }
}

/// Looks through the pool from time to time, for as long as there is one, and a runtime to do it on.
async fn sweep(pool: Weak<Pool>) {
    let sweeping = Sweeping(pool);
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pool) = sweeping.0.upgrade() else { return };
        let now = Instant::now();
        pool.sweep(now.checked_sub(IDLE).unwrap_or(now));
    }
}

/// Lets another runtime take over when the one that swept has ended.
struct Sweeping(Weak<Pool>);

impl Drop for Sweeping {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.sweeping.store(false, Ordering::Relaxed);
        }
    }
}
