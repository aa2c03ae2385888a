//! What one attempt at a request shares over all versions: the waiting for the head, and what a failure allows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::http::HeaderMap;
use ::http::header::CONTENT_LENGTH;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::Error;
use super::head::MAX_INTERIM;
use super::upload::Sending;

/// An attempt that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub error: Error,
    pub again: Again,
}

/// Whether another attempt may do harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// The server has not looked at the request: it never left, or the server said so.
    Harmless,
    /// The connection ended without a word about it: harmless for an idempotent request.
    IfIdempotent,
    /// It would end the same way, or the server has begun to answer.
    Never,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, again: Again::Never }
    }
}

/// Counts the interim responses (1xx) to one request, which a server could send without end, and opens the gate of a
/// body that waits for one.
pub(super) struct Interim {
    sending: Arc<Sending>,
    count: AtomicUsize,
    too_many: Notify,
}

impl Interim {
    pub(super) fn new(sending: Arc<Sending>) -> Arc<Self> {
        Arc::new(Self { sending, count: AtomicUsize::new(0), too_many: Notify::new() })
    }

    /// One of `status` has come.
    pub(super) fn came(&self, status: u16) {
        if status == 100 {
            self.sending.go_on();
        }
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == MAX_INTERIM {
            self.too_many.notify_one();
        }
    }
}

/// Waits for the head of a response that `answer` gives, for `patience` after the request, or the last piece of its
/// body, was handed to the connection. While the caller owes the body, the time stands still.
pub(super) async fn await_head<T, E>(
    answer: impl Future<Output = Result<T, E>>,
    interim: &Interim,
    patience: Duration,
    host: &str,
    explain: impl FnOnce(E) -> Failed,
) -> Result<T, Failed> {
    let mut answer = std::pin::pin!(answer);
    let sending = &interim.sending;
    loop {
        let turn = sending.servers_turn_since();
        let deadline = turn.unwrap_or_else(Instant::now) + patience;
        tokio::select! {
            biased;
            answered = &mut answer => {
                return answered.map_err(|error| match sending.failure() {
                    Some(error) => error.into(),
                    None => explain(error),
                });
            }
            () = interim.too_many.notified() => {
                let reason = format!("{MAX_INTERIM} interim responses (1xx) and none that counts");
                return Err(Error::TooLarge { host: host.to_owned(), reason }.into());
            }
            () = tokio::time::sleep_until(deadline) => {
                if sending.servers_turn_since().is_some_and(|turn| turn + patience <= Instant::now()) {
                    return Err(Error::NoResponse { host: host.to_owned(), after: patience }.into());
                }
            }
        }
    }
}

/// The length that the head of a response announces for its body.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}
