//! What `wharf-bench micro` measures alone and nobody else may call: the look-up of a connection and the timing wheel.
//! Only with the feature `measure`.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::stack::Stack;
use crate::time::Instant;
use crate::timers::{TimerId, Wheel};

impl Stack {
    /// Whether there is a connection between these ends, found as for a segment that arrives.
    pub fn measure_look_up(&mut self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.tcp.measure_look_up(local, remote)
    }
}

/// Timers, numbered from zero, in a wheel as the engine's.
pub struct Timers {
    wheel: Wheel<u32>,
    ids: Vec<TimerId>,
}

impl Timers {
    /// `count` timers, spread evenly over `span` from `now` on.
    #[must_use]
    pub fn new(count: u32, now: Instant, span: Duration) -> Self {
        let mut wheel = Wheel::new();
        let step = span / count.max(1);
        let ids = (0..count).map(|number| wheel.insert(now + step * number, number)).collect();
        Self { wheel, ids }
    }

    /// Arms timer `number`, or moves it.
    pub fn restart(&mut self, number: u32, deadline: Instant) {
        let Some(id) = self.ids.get_mut(number as usize) else { return };
        if id.is_none() {
            *id = self.wheel.insert(deadline, number);
        } else {
            self.wheel.reschedule(*id, deadline);
        }
    }

    /// As `Stack::poll_timeout`.
    #[must_use]
    pub fn next_deadline(&self) -> Instant {
        self.wheel.next_deadline()
    }

    /// One of those that are due.
    pub fn expire(&mut self, now: Instant) -> Option<u32> {
        let number = self.wheel.pop_expired(now)?;
        if let Some(id) = self.ids.get_mut(number as usize) {
            *id = TimerId::NONE;
        }
        Some(number)
    }
}
