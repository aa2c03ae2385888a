//! Pings to a peer that is silent, and the end of the patience with it (RFC 6455 section 5.5.2).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// When to ping, and when to give up.
pub(super) struct KeepAlive {
    pub(super) interval: Duration,
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
        Self { interval, timer: Box::pin(tokio::time::sleep(interval)), seen: 0, pinged: false }
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
        self.timer.as_mut().reset(Instant::now() + self.interval);
        // Polled so that it wakes us.
        let _ = self.timer.as_mut().poll(context);
        Due::Ping
    }
}
