//! The body of a response, as it comes: from a connection of any version, out of a decoder or out of the cache.
//!
//! Whatever gives the bytes is a [`Source`]; what stands here counts them, watches the clock and keeps the trailer
//! fields. A [`Body`] is a `hyper::body::Body` itself, so that a decoder can stand over it and be a source again.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use hyper::body::Frame;
use tokio::time::{Instant, Sleep};

use super::error::Error;

/// What a body is read from: its data, and after them perhaps its trailer fields. Nothing follows an error or an end.
pub(crate) type Source = Pin<Box<dyn hyper::body::Body<Data = Bytes, Error = Error> + Send>>;

/// The time that a body may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Between two pieces, while somebody waits for one.
    pub idle: Duration,
    /// When the whole must be there, and how long that was.
    pub whole: Option<(Instant, Duration)>,
}

/// The body of a response, piece by piece. Dropping it before its end gives the rest up; the connection closes then,
/// or only the stream where the connection carries several.
pub struct Body {
    source: Source,
    expected: Option<u64>,
    received: u64,
    trailers: Option<HeaderMap>,
    ended: bool,
    clock: Option<Clock>,
}

impl Body {
    /// A body from `source`, which watches its own time: a decoder over another `Body`, or what lies in memory or in
    /// a file.
    pub(crate) fn from_source(source: Source) -> Self {
        let expected = source.size_hint().exact();
        Self { source, expected, received: 0, trailers: None, ended: false, clock: None }
    }

    /// A body that comes over the network, within `limits`; `expected` is the length that the server announced.
    pub(crate) fn from_network(source: Source, expected: Option<u64>, limits: Limits) -> Self {
        let clock = Some(Clock { limits, waiting: None });
        Self { expected, clock, ..Self::from_source(source) }
    }

    /// A body that is there already.
    pub(crate) fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let whole = http_body_util::Full::new(bytes.into());
        Self::from_source(Box::pin(http_body_util::BodyExt::map_err(whole, |never| match never {})))
    }

    /// No body.
    pub(crate) fn empty() -> Self {
        Self::from_bytes(Bytes::new())
    }

    /// The length that was announced, in bytes; `None` for a body whose end only shows when it comes.
    pub fn expected(&self) -> Option<u64> {
        self.expected
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The trailer fields (RFC 9110 section 6.5), once the body has ended and if it has some.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// The next piece, or `None` after the last. Cancelling it loses nothing.
    ///
    /// # Errors
    /// [`Error::CutShort`] when the connection ends before the body is whole, [`Error::TooMuch`] when there is more
    /// than was announced, [`Error::Stalled`] and [`Error::TookTooLong`] by the client's time limits.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        std::future::poll_fn(|context| self.poll_chunk(context)).await
    }

    /// As [`chunk`](Self::chunk), to be polled.
    pub(crate) fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            match ready!(self.poll_next(context)) {
                None => return Poll::Ready(Ok(None)),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => return Poll::Ready(Ok(Some(bytes))),
                    Err(frame) => self.trailers = frame.into_trailers().ok().or(self.trailers.take()),
                },
            }
        }
    }

    /// The rest of the body in one piece, if it is at most `limit` bytes; `None` if it is longer.
    ///
    /// # Errors
    /// As [`Body::chunk`].
    pub async fn bytes(mut self, limit: usize) -> Result<Option<Bytes>, Error> {
        let Some(first) = self.chunk().await? else { return Ok(Some(Bytes::new())) };
        if first.len() > limit {
            return Ok(None);
        }
        let mut whole = BytesMut::from(first);
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > limit {
                return Ok(None);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(Some(whole.freeze()))
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = match self.source.as_mut().poll_frame(context) {
            Poll::Ready(next) => next,
            Poll::Pending => match self.clock.as_mut().map(|clock| clock.poll(context)) {
                Some(Poll::Ready(whole)) => Some(Err(self.out_of_time(whole))),
                _ => return Poll::Pending,
            },
        };
        if let Some(clock) = &mut self.clock {
            clock.stop();
        }
        match &next {
            Some(Ok(frame)) => self.received += frame.data_ref().map_or(0, |data| data.len() as u64),
            _ => self.ended = true,
        }
        Poll::Ready(next)
    }

    fn out_of_time(&self, whole: Option<Duration>) -> Error {
        match (whole, &self.clock) {
            (Some(after), _) => Error::TookTooLong { after },
            (None, clock) => Error::Stalled {
                received: self.received,
                expected: self.expected,
                after: clock.as_ref().map_or(Duration::ZERO, |clock| clock.limits.idle),
            },
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.poll_next(context)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.source.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.source.size_hint()
    }
}

/// The waiting for one piece, timed.
struct Clock {
    limits: Limits,
    /// When it ends, and whether the limit of the whole is what ends it. The timer is kept from piece to piece.
    waiting: Option<(Pin<Box<Sleep>>, Waiting)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// Nobody waits.
    No,
    Piece,
    Whole(Duration),
}

impl Clock {
    /// Ready when the time is over: with the length of the whole if it is that which is.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Duration>> {
        let Limits { idle, whole } = self.limits;
        let idle_ends = Instant::now() + idle;
        let (ends, why) = match whole {
            Some((ends, after)) if ends < idle_ends => (ends, Waiting::Whole(after)),
            _ => (idle_ends, Waiting::Piece),
        };
        let (sleep, waiting) = self.waiting.get_or_insert_with(|| (Box::pin(tokio::time::sleep_until(ends)), why));
        if *waiting == Waiting::No {
            sleep.as_mut().reset(ends);
            *waiting = why;
        }
        let why = *waiting;
        ready!(pin!(sleep.as_mut()).poll(context));
        Poll::Ready(match why {
            Waiting::Whole(after) => Some(after),
            Waiting::No | Waiting::Piece => None,
        })
    }

    /// A piece has come.
    fn stop(&mut self) {
        if let Some((_, waiting)) = &mut self.waiting {
            *waiting = Waiting::No;
        }
    }
}
