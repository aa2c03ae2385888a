//! HTTP/2 (RFC 9113) on one connection, by hyper: as many exchanges at once as the server allows, the others waiting.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::h2::Reason;
use ::http::Response as ResponseHead;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::body::Source;
use super::connect::Facts;
use super::error::Error;
use super::exchange::{Again, Failed, Interim, announced, await_head};
use super::h1::cut_short;
use super::head::{MAX_HEAD, authority, head_2, innermost};
use super::pool::MAX_WAITING;
use super::request::Request;
use super::upload::{Outgoing, Sending};
use crate::lock;

/// What a server may send of one body before it is read, in bytes.
const STREAM_WINDOW: u32 = 4 << 20;

/// What a server may send of all bodies together before they are read.
const CONNECTION_WINDOW: u32 = 8 << 20;

/// The longest frame taken. RFC 9113 section 4.2 has 16 KiB as the least; larger ones cost less each.
const FRAME: u32 = 64 << 10;

/// A connection with requests on it is asked for a sign of life after so long a silence, and given up after as long
/// again without one.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// A connection, shared by its clones.
#[derive(Clone)]
pub(super) struct Connection {
    sender: SendRequest<Outgoing>,
    shared: Arc<Shared>,
}

struct Shared {
    facts: Arc<Facts>,
    /// Requests whose response is not done.
    under_way: AtomicUsize,
    served: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    /// The server takes no more requests.
    gone: bool,
    idle_since: Instant,
}

/// A request under way, for the count.
struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::Relaxed) == 1 {
            lock(&self.0.state).idle_since = Instant::now();
        }
    }
}

impl Connection {
    /// A connection over `stream`, which both sides know to carry HTTP/2.
    pub(super) async fn over<S>(stream: S, facts: Arc<Facts>, host: &str) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .max_header_list_size(MAX_HEAD as u32)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .handshake::<_, Outgoing>(TokioIo::new(stream))
            .await
            .map_err(|error| explain(host, &error))?;
        tokio::spawn(async move {
            // Its error reaches the requests and bodies that it concerns.
            let _ = connection.await;
        });
        let state = Mutex::new(State { gone: false, idle_since: Instant::now() });
        let counts = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok(Self { sender, shared: Arc::new(Shared { facts, under_way: counts.0, served: counts.1, state }) })
    }

    /// Whether it takes requests, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed() && !lock(&self.shared.state).gone
    }

    /// Whether nothing has used it since before `before`.
    pub(super) fn is_idle_since(&self, before: Instant) -> bool {
        self.shared.under_way.load(Ordering::Relaxed) == 0 && lock(&self.shared.state).idle_since <= before
    }

    /// What is known of it.
    pub(super) fn facts(&self) -> &Arc<Facts> {
        &self.shared.facts
    }

    /// Whether it has carried a request before.
    pub(super) fn has_served(&self) -> bool {
        self.shared.served.load(Ordering::Relaxed) > 0
    }

    /// Takes it out of use for what comes.
    pub(super) fn leave(&self) {
        lock(&self.shared.state).gone = true;
    }
}

/// Sends `request` with `body` and waits for the head of the response.
pub(super) async fn exchange(
    connection: &mut Connection,
    request: &Request,
    (body, sending): (Outgoing, Arc<Sending>),
    first_byte: Duration,
) -> Result<(ResponseHead<()>, Source), Failed> {
    let host = authority(&request.url);
    let head = head_2(request, body)?;
    let shared = Arc::clone(&connection.shared);
    if shared.under_way.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
        drop(UnderWay(shared));
        return Err(Error::TooManyWaiting { host, limit: MAX_WAITING }.into());
    }
    let under_way = UnderWay(shared);
    let interim = Interim::new(sending);
    let explain = |failure: hyper::client::conn::TrySendError<_>| {
        let error = failure.error();
        let again = match reset(error) {
            _ if failure.message().is_some() => Again::Harmless,
            // RFC 9113 section 8.7: a refused stream has not been looked at.
            Some(Reason::REFUSED_STREAM) => Again::Harmless,
            // RFC 9113 section 8.1.1: HTTP/1.1 is wanted for this.
            Some(_) if !is_end(error) => Again::Never,
            _ if error.is_user() => Again::Never,
            _ => Again::IfIdempotent,
        };
        Failed { error: explain(&host, error), again }
    };
    let answer = connection.sender.try_send_request(head);
    let answered = await_head(answer, &interim, first_byte, &host, explain).await;
    let response = answered.inspect_err(|failed| {
        if failed.again != Again::Never {
            connection.leave();
        }
    })?;
    connection.shared.served.fetch_add(1, Ordering::Relaxed);
    let (head, incoming) = response.into_parts();
    let expected = announced(&head.headers);
    let source = Reading { incoming, expected, received: 0, under_way: Some(under_way) };
    Ok((ResponseHead::from_parts(head, ()), Box::pin(source)))
}

/// The body of a response on one stream.
struct Reading {
    incoming: Incoming,
    expected: Option<u64>,
    received: u64,
    under_way: Option<UnderWay>,
}

impl hyper::body::Body for Reading {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
            Some(Ok(frame)) => {
                self.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.under_way = None;
                Poll::Ready(Some(Err(cut_short(&error, self.received, self.expected))))
            }
            None => {
                self.under_way = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

fn explain(host: &str, error: &hyper::Error) -> Error {
    let host = host.to_owned();
    match cause(error) {
        Some(cause) if cause.is_io() => Error::Lost { host, reason: innermost(error) },
        Some(cause) if cause.is_reset() || cause.is_go_away() => {
            Error::Lost { host, reason: format!("the server ended it: {}", innermost(error)) }
        }
        Some(_) => Error::NotHttp { host, reason: innermost(error) },
        None if error.is_canceled() || error.is_closed() => Error::Closed { host },
        None => Error::Lost { host, reason: innermost(error) },
    }
}

fn cause(error: &hyper::Error) -> Option<&::h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// The reason that a stream was reset for, if it was.
fn reset(error: &hyper::Error) -> Option<Reason> {
    cause(error).filter(|cause| cause.is_reset()).and_then(::h2::Error::reason)
}

/// Whether it is the connection that ended.
fn is_end(error: &hyper::Error) -> bool {
    cause(error).is_none_or(|cause| cause.is_go_away() || cause.is_io())
}
