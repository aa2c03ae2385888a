//! What was wrong with servers lately, to be told when a look-up fails: hickory's pools keep it to themselves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::Name;

use crate::lock;

/// Most that are remembered.
const CAPACITY: usize = 64;

/// What one server did to one question.
#[derive(Clone)]
pub(super) struct Complaint {
    at: Instant,
    /// The name asked for; the root for a connection that was not made.
    name: Name,
    /// The server and what it did, as a clause.
    pub(super) text: String,
    /// hickory's error.
    pub(super) error: NetError,
}

/// The latest complaints. Cloning shares them.
#[derive(Clone, Default)]
pub(super) struct Complaints {
    latest: Arc<Mutex<VecDeque<Complaint>>>,
}

impl Complaints {
    /// Notes what a server did to the question for `name`.
    pub(super) fn note(&self, name: Name, text: String, error: NetError) {
        let mut latest = lock(&self.latest);
        if latest.len() == CAPACITY {
            latest.pop_front();
        }
        latest.push_back(Complaint { at: Instant::now(), name, text, error });
    }

    /// The latest since `start`, of the way down to `name` if there is one.
    pub(super) fn since(&self, start: Instant, name: &Name) -> Option<Complaint> {
        let latest = lock(&self.latest);
        let recent = || latest.iter().rev().take_while(|complaint| complaint.at >= start);
        recent().find(|complaint| complaint.name.zone_of(name)).or_else(|| recent().next()).cloned()
    }
}
