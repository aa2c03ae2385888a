//! How long each step of a request took.

use std::time::Duration;

use tokio::time::Instant;

/// How long each step of a request took, up to the head of its response. Steps that were not needed, because a kept
/// connection carried the request, are `None`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Timing {
    /// When the request began: a redirect begins anew.
    pub began: Instant,
    /// From there until there was a connection, or the leave to open one.
    pub waited: Duration,
    /// For the name's addresses.
    pub name: Option<Duration>,
    /// For the connection: TCP, and what a proxy wants; or all of QUIC's handshake.
    pub connect: Option<Duration>,
    /// For the TLS handshake on it.
    pub tls: Option<Duration>,
    /// From the request handed to the connection to the head of the response.
    pub first_byte: Duration,
    /// Whether the connection had carried a request before.
    pub reused: bool,
}

impl Timing {
    /// A request that begins now.
    pub(crate) fn begin() -> Self {
        Self {
            began: Instant::now(),
            waited: Duration::ZERO,
            name: None,
            connect: None,
            tls: None,
            first_byte: Duration::ZERO,
            reused: false,
        }
    }

    /// Since the request began: once the body is read, the total.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}
