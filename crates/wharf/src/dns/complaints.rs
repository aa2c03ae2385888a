//! What was wrong with servers lately, to be told when a look-up from the root fails: hickory's own errors do not say.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use hickory_resolver::proto::rr::Name;

use crate::lock;

/// Most that are remembered.
const CAPACITY: usize = 64;

/// The latest complaints of one recursor. Cloning shares them.
#[derive(Clone, Default)]
pub(super) struct Complaints {
    latest: Arc<Mutex<VecDeque<(Instant, Name, String)>>>,
}

impl Complaints {
    /// Notes what a server did to the question for `name`.
    pub(super) fn note(&self, name: &Name, what: String) {
        let mut latest = lock(&self.latest);
        if latest.len() == CAPACITY {
            latest.pop_front();
        }
        latest.push_back((Instant::now(), name.clone(), what));
    }

    /// The latest since `start`, of the way down to `name` if there is one.
    pub(super) fn since(&self, start: Instant, name: &Name) -> Option<String> {
        let latest = lock(&self.latest);
        let recent = || latest.iter().rev().take_while(|(at, ..)| *at >= start);
        let on_the_way = recent().find(|(_, zone, _)| zone.zone_of(name));
        on_the_way.or_else(|| recent().next()).map(|(.., what)| what.clone())
    }
}
