//! HTTP/1.1 (RFC 9112) on one connection, by hyper: one exchange at a time, and the way back for a connection that
//! can carry another.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::Response as ResponseHead;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use super::body::Source;
use super::error::Error;
use super::exchange::{Again, Failed, Interim, await_head};
use super::head::{MAX_HEAD, Reader, authority, head_1, innermost};
use super::request::Request;
use super::upload::{Outgoing, Sending};

/// How long the end of a body waits to see whether its connection is fit for another request, and how long a connection
/// that has ended waits to see whether the server has.
const SETTLE: Duration = Duration::from_millis(100);

/// A connection that carries nothing at the moment.
pub(super) struct Connection {
    sender: SendRequest<Outgoing>,
    driver: Driver,
}

/// Where a connection goes that can carry another request. Dropped uncalled, it learns that it cannot.
pub(super) type Return = Box<dyn FnOnce(Connection) + Send>;

/// Drives a connection, and tells once it has ended whether the server had sent something that was not asked for.
/// Dropping it ends the connection in the middle of whatever it does.
struct Driver(Option<JoinHandle<bool>>);

impl Driver {
    /// What it tells.
    fn poll_excess(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let Some(task) = &mut self.0 else { return Poll::Ready(false) };
        let excess = ready!(Pin::new(task).poll(context)).unwrap_or(false);
        self.0 = None;
        Poll::Ready(excess)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

impl Connection {
    /// A connection over `stream`.
    pub(super) async fn over<S>(stream: S, host: &str) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = Builder::new()
            .max_header_size(MAX_HEAD)
            .handshake::<_, Outgoing>(TokioIo::new(stream))
            .await
            .map_err(|error| explain(host, &error))?;
        Ok(Self { sender, driver: Driver(Some(tokio::spawn(drive(connection)))) })
    }

    /// Whether it has ended, as far as is known.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until it takes a request; `false` if it has ended instead.
    pub(super) async fn is_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Ends it when what it is about is done, which is at once: nothing is.
    pub(super) fn close(mut self) {
        self.driver.0 = None;
    }
}

/// Drives `connection` to its end; true if the server sent more than it was asked for.
async fn drive<S>(connection: http1::Connection<TokioIo<S>, Outgoing>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut stream, unread) = match connection.without_shutdown().await {
        Ok(parts) => (parts.io.into_inner(), parts.read_buf),
        // Every other error reaches the request or the body that it concerns.
        Err(error) => return error.is_parse() || error.to_string().contains("unexpected"),
    };
    // Of a connection that carries no further request nobody reads what follows the last response.
    let more = async { matches!(stream.read(&mut [0]).await, Ok(1..)) };
    let excess = !unread.is_empty() || tokio::time::timeout(SETTLE, more).await.unwrap_or(false);
    let _ = stream.shutdown().await;
    excess
}

/// Sends `request` with `body` and waits for the head of the response. The connection goes to `back` once the body of
/// the response has been read.
pub(super) async fn exchange(
    mut connection: Connection,
    back: Return,
    request: &Request,
    reader: Reader<'_>,
    (body, sending): (Outgoing, Arc<Sending>),
    first_byte: Duration,
) -> Result<(ResponseHead<()>, Source), Failed> {
    let host = authority(&request.url);
    let mut head = head_1(request, reader, body)?;
    let interim = Interim::new(Arc::clone(&sending));
    let counted = Arc::clone(&interim);
    hyper::ext::on_informational(&mut head, move |response| counted.came(response.status().as_u16()));

    let answer = connection.sender.try_send_request(head);
    let explain = |failure: hyper::client::conn::TrySendError<_>| {
        let error = failure.error();
        let again = if failure.message().is_some() {
            Again::Harmless
        } else if error.is_parse() || error.is_user() {
            Again::Never
        } else {
            Again::IfIdempotent
        };
        Failed { error: explain(&host, error), again }
    };
    let response = await_head(answer, &interim, first_byte, &host, explain).await?;
    let (head, incoming) = response.into_parts();
    let mut source = Reading {
        expected: incoming.size_hint().exact(),
        received: 0,
        incoming,
        rest: Some((connection, back)),
        sending,
        settling: None,
    };
    source.let_go_if_over();
    Ok((ResponseHead::from_parts(head, ()), Box::pin(source)))
}

/// The body of a response, and the connection that it comes over.
struct Reading {
    incoming: Incoming,
    expected: Option<u64>,
    received: u64,
    rest: Option<(Connection, Return)>,
    sending: Arc<Sending>,
    /// Set once the body has ended.
    settling: Option<Option<Pin<Box<Sleep>>>>,
}

impl Reading {
    /// Gives the connection back if nothing more is to come over it for this request.
    fn let_go_if_over(&mut self) {
        if self.incoming.is_end_stream()
            && self.sending.is_done()
            && let Some((connection, back)) = self.rest.take()
        {
            back(connection);
        }
    }

    /// The body has ended. What its connection does next tells whether it really had.
    fn poll_settled(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some((connection, _)) = &mut self.rest else { return Poll::Ready(Ok(())) };
        if !self.sending.is_done() {
            // The server answered without waiting for all of the request: the rest would come in between.
            self.rest = None;
            return Poll::Ready(Ok(()));
        }
        match connection.sender.poll_ready(context) {
            Poll::Ready(Ok(())) => {
                if let Some((connection, back)) = self.rest.take() {
                    back(connection);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => {
                let excess = ready!(connection.driver.poll_excess(context));
                self.rest = None;
                // RFC 9112 section 6.3: what follows the announced length is no part of any response.
                match self.expected {
                    Some(expected) if excess => Poll::Ready(Err(Error::TooMuch { expected })),
                    _ => Poll::Ready(Ok(())),
                }
            }
            Poll::Pending => {
                let sleep = self.settling.get_or_insert_default();
                let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(SETTLE)));
                ready!(sleep.as_mut().poll(context));
                self.rest = None;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl hyper::body::Body for Reading {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.settling.is_none() {
            match ready!(Pin::new(&mut self.incoming).poll_frame(context)) {
                Some(Ok(frame)) => {
                    self.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Err(error)) => {
                    self.rest = None;
                    return Poll::Ready(Some(Err(cut_short(&error, self.received, self.expected))));
                }
                None => self.settling = Some(None),
            }
        }
        ready!(self.poll_settled(context)).err().map_or(Poll::Ready(None), |error| Poll::Ready(Some(Err(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.let_go_if_over();
    }
}

/// A body of HTTP/1.1 or HTTP/2 that ended before its end.
pub(super) fn cut_short(error: &hyper::Error, received: u64, expected: Option<u64>) -> Error {
    let reason = if error.is_incomplete_message() { "closed before the end".to_owned() } else { innermost(error) };
    Error::CutShort { received, expected, reason }
}

fn explain(host: &str, error: &hyper::Error) -> Error {
    let host = host.to_owned();
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Error::Closed { host };
    }
    // hyper has a method for this, but only where it is built with its server.
    if error.is_parse() && error.to_string().contains("too large") {
        return Error::TooLarge { host, reason: innermost(error) };
    }
    if error.is_parse() {
        return Error::NotHttp { host, reason: innermost(error) };
    }
    Error::Lost { host, reason: innermost(error) }
}
