//! The body of a response, as it comes.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use super::error::Error;
use super::exchange::{Driver, innermost};

/// The body of a response, piece by piece. Dropping it closes the connection.
pub struct Body {
    incoming: Incoming,
    /// Keeps the connection running while the body is read.
    _driver: Driver,
    expected: Option<u64>,
    received: u64,
    idle: Duration,
    whole: Option<(Instant, Duration)>,
}

impl Body {
    pub(super) fn new(incoming: Incoming, driver: Driver, idle: Duration, whole: Option<(Instant, Duration)>) -> Self {
        let expected = incoming.size_hint().exact();
        Self { incoming, _driver: driver, expected, received: 0, idle, whole }
    }

    /// The length that the server announced, in bytes; `None` for a chunked body or one that ends with the
    /// connection.
    pub fn expected(&self) -> Option<u64> {
        self.expected
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The next piece, or `None` after the last. Cancelling it loses nothing.
    ///
    /// # Errors
    /// [`Error::CutShort`] when the connection ends before the body is whole, [`Error::Stalled`] and
    /// [`Error::TookTooLong`] by the client's time limits.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let idle_ends = Instant::now() + self.idle;
            let (deadline, whole) = match self.whole {
                Some((ends, after)) if ends < idle_ends => (ends, Some(after)),
                _ => (idle_ends, None),
            };
            let frame = match tokio::time::timeout_at(deadline, self.incoming.frame()).await {
                Ok(frame) => frame,
                Err(_) => return Err(self.out_of_time(whole)),
            };
            match frame {
                None => return Ok(None),
                Some(Err(error)) => {
                    return Err(Error::CutShort {
                        received: self.received,
                        expected: self.expected,
                        reason: how_it_ended(&error),
                    });
                }
                Some(Ok(frame)) => {
                    // Trailer fields (RFC 9110 section 6.5) carry nothing that a caller here asks for.
                    let Ok(bytes) = frame.into_data() else { continue };
                    if bytes.is_empty() {
                        continue;
                    }
                    self.received += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
            }
        }
    }

    /// The rest of the body in one piece, if it is at most `limit` bytes; `None` if it is longer.
    ///
    /// # Errors
    /// As [`Body::chunk`].
    pub async fn bytes(mut self, limit: usize) -> Result<Option<Bytes>, Error> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > limit {
                return Ok(None);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(Some(whole.into()))
    }

    fn out_of_time(&self, whole: Option<Duration>) -> Error {
        match whole {
            Some(after) => Error::TookTooLong { after },
            None => Error::Stalled { received: self.received, expected: self.expected, after: self.idle },
        }
    }
}

fn how_it_ended(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        return "closed before the end".to_owned();
    }
    innermost(error)
}
