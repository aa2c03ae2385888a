//! `--limit-rate`: all downloads of the command together receive so many bytes a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Who was idle may receive so much at once, and no more.
const BURST: Duration = Duration::from_millis(100);

/// The pace of all downloads; clones share it.
#[derive(Clone)]
pub(super) struct Pace(Option<Arc<Shared>>);

struct Shared {
    /// Bytes a second.
    rate: u64,
    /// Until when what has come was allowed.
    paid_until: Mutex<Instant>,
}

impl Pace {
    /// So many bytes a second; `None` for no limit.
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self(rate.map(|rate| Arc::new(Shared { rate, paid_until: Mutex::new(Instant::now()) })))
    }

    /// Waits until `bytes` that have come are paid for. What is not read meanwhile fills the receive window, and so
    /// slows the server down.
    pub(super) async fn pay(&self, bytes: usize) {
        let Some(shared) = &self.0 else { return };
        let until = {
            let mut paid_until = shared.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
            let earliest = Instant::now().checked_sub(BURST).unwrap_or_else(Instant::now);
            *paid_until = (*paid_until).max(earliest) + Duration::from_secs_f64(bytes as f64 / shared.rate as f64);
            *paid_until
        };
        sleep_until(until).await;
    }
}
