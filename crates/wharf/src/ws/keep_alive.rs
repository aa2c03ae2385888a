//! Pings to a peer that is silent, and the end of the patience with it (RFC 6455 section 5.5.2).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The least that a peer is given to answer: over a link that loses now and then, TCP needs a second or two to bring a Ping
/// there and its answer back, however often one is wanted.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// When to ping, and when to give up.
pub(super) struct KeepAlive {
    interval: Duration,
    /// How long nothing may come after a Ping.
    pub(super) patience: Duration,
    timer: Pin<Box<Sleep>>,
    /// Bytes that had come from the peer when the timer was set.
    seen: u64,
    /// A Ping went out, and nothing came since.
    pinged: bool,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    GiveUp,
}

impl KeepAlive {
    pub(super) fn new(interval: Duration) -> Self {
        let patience = interval.max(LEAST_PATIENCE);
        Self { interval, patience, timer: Box::pin(tokio::time::sleep(interval)), seen: 0, pinged: false }
    }

    /// What is due when `read` bytes have come so far; wakes `context` when that may have changed.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, read: u64) -> Due {
        if read != self.seen {
            // Any byte is a sign of life, also one of a message that takes long.
            self.seen = read;
            self.pinged = false;
            self.timer.as_mut().reset(Instant::now() + self.interval);
        }
        if self.timer.as_mut().poll(context) == Poll::Pending {
            return Due::Nothing;
        }
        if self.pinged {
            return Due::GiveUp;
        }
        self.pinged = true;
        self.timer.as_mut().reset(Instant::now() + self.patience);
        // Polled so that it wakes us.
        let _ = self.timer.as_mut().poll(context);
        Due::Ping
    }
}
