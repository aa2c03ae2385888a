//! The body of a request: what a caller gives to be sent, and what a connection takes from it.
//!
//! [`Payload`] is the caller's: nothing, bytes, a reader, a channel. [`Outgoing`] is one sending of it, the same over
//! every version of HTTP. It holds the caller to the length that he promised, waits for a server's "100 Continue"
//! where that was asked for, and keeps account ([`Sending`]) of whether anything has left, which decides about a
//! second attempt.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use ::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use super::error::Error;
use crate::lock;

/// How long a body waits for the server's word that it wants it. RFC 9110 section 10.1.1 leaves the time to the
/// client, who must not wait for ever: many servers never say it.
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// Bytes that are read from a caller's reader at once.
const PIECE: usize = 64 << 10;

/// Pieces that a [`BodySender`] may be ahead of the connection.
const AHEAD: usize = 4;

/// What a reader of a request's body is to the client.
pub type BodyReader = Pin<Box<dyn AsyncRead + Send>>;

/// The body of a request, as the caller gave it.
#[derive(Clone)]
pub(super) enum Payload {
    Empty,
    Bytes(Bytes),
    /// It can be read once; clones share the one.
    Once {
        stream: Arc<Mutex<Option<Stream>>>,
        length: Option<u64>,
    },
    /// It can be opened again for every attempt.
    Again {
        open: Arc<dyn Fn() -> io::Result<BodyReader> + Send + Sync>,
        length: Option<u64>,
    },
}

/// Where the bytes of a stream come from.
pub(super) enum Stream {
    Reader(BodyReader),
    Channel(mpsc::Receiver<Frame<Bytes>>),
}

impl Payload {
    pub(super) fn reader(reader: impl AsyncRead + Send + 'static, length: Option<u64>) -> Self {
        Self::Once { stream: Arc::new(Mutex::new(Some(Stream::Reader(Box::pin(reader))))), length }
    }

    pub(super) fn channel(length: Option<u64>) -> (Self, BodySender) {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let stream = Arc::new(Mutex::new(Some(Stream::Channel(receiver))));
        (Self::Once { stream, length }, BodySender { sender })
    }

    /// Whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Once { .. } | Self::Again { .. } => false,
        }
    }

    /// Whether another attempt finds it whole.
    pub(super) fn is_there(&self) -> bool {
        match self {
            Self::Empty | Self::Bytes(_) | Self::Again { .. } => true,
            Self::Once { stream, .. } => lock(stream).is_some(),
        }
    }

    /// Its length in bytes, where it is known before it is sent.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Once { length, .. } | Self::Again { length, .. } => *length,
        }
    }

    /// A sending of it. With `gated` it begins when [`Sending::go_on`] is called, or after a second.
    ///
    /// # Errors
    /// [`Error::BodySpent`] when it could be read once only and was, [`Error::RequestBody`] when it cannot be opened.
    pub(super) fn outgoing(&self, gated: bool) -> Result<(Outgoing, Arc<Sending>), Error> {
        let mut home = None;
        let from = match self {
            Self::Empty => From::Bytes(None),
            Self::Bytes(bytes) => From::Bytes((!bytes.is_empty()).then(|| bytes.clone())),
            Self::Once { stream, .. } => {
                home = Some(Arc::clone(stream));
                From::Stream(lock(stream).take().ok_or(Error::BodySpent)?)
            }
            Self::Again { open, .. } => {
                let reader = open().map_err(|error| Error::RequestBody { reason: error.to_string() })?;
                From::Stream(Stream::Reader(reader))
            }
        };
        let gated = gated && !self.is_empty();
        let sending = Arc::new(Sending(Mutex::new(Account {
            at: Instant::now(),
            done: self.is_empty(),
            starved: false,
            gated,
            gate: None,
            failure: None,
        })));
        let outgoing = Outgoing {
            from,
            home,
            buffer: BytesMut::new(),
            promised: self.length(),
            sent: 0,
            gate: None,
            sending: Arc::clone(&sending),
        };
        Ok((outgoing, sending))
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Once { length, .. } => write!(f, "Once({length:?})"),
            Self::Again { length, .. } => write!(f, "Again({length:?})"),
        }
    }
}

/// Feeds the body of a request piece by piece ([`Request::body_channel`](super::Request::body_channel)). Dropping it
/// ends the body.
pub struct BodySender {
    sender: mpsc::Sender<Frame<Bytes>>,
}

impl BodySender {
    /// Hands over a piece; waits while the connection has not taken those before it.
    ///
    /// # Errors
    /// [`Error::Unwanted`] when the request has ended without wanting more.
    pub async fn send(&self, piece: impl Into<Bytes>) -> Result<(), Error> {
        self.sender.send(Frame::data(piece.into())).await.map_err(|_| Error::Unwanted)
    }

    /// Ends the body with trailer fields (RFC 9110 section 6.5). HTTP/1.1 sends those that a `Trailer` field of the
    /// request names.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn finish(self, trailers: HeaderMap) -> Result<(), Error> {
        self.sender.send(Frame::trailers(trailers)).await.map_err(|_| Error::Unwanted)
    }
}

/// What is known of a sending.
pub(super) struct Sending(Mutex<Account>);

struct Account {
    /// When it last moved.
    at: Instant,
    /// All of the body has been handed to the connection.
    done: bool,
    /// It is the caller that is waited for, not the server.
    starved: bool,
    /// It waits for the server's word.
    gated: bool,
    gate: Option<Waker>,
    failure: Option<String>,
}

impl Sending {
    /// The server wants the body.
    pub(super) fn go_on(&self) {
        let waker = {
            let mut account = lock(&self.0);
            account.gated = false;
            account.at = Instant::now();
            account.gate.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether all of it has.
    pub(super) fn is_done(&self) -> bool {
        lock(&self.0).done
    }

    /// The moment since which it is the server that does nothing; `None` while it is the caller that is waited for.
    pub(super) fn servers_turn_since(&self) -> Option<Instant> {
        let account = lock(&self.0);
        (!account.starved).then_some(account.at)
    }

    /// Why the body could not be given, if that is what failed.
    pub(super) fn failure(&self) -> Option<Error> {
        lock(&self.0).failure.clone().map(|reason| Error::RequestBody { reason })
    }

    fn move_on(&self, change: impl FnOnce(&mut Account)) {
        let mut account = lock(&self.0);
        account.at = Instant::now();
        account.starved = false;
        change(&mut account);
    }
}

/// One sending of a request's body, as hyper and h3 take it.
pub(super) struct Outgoing {
    from: From,
    /// Where a stream that nothing was taken from goes back to, for another attempt.
    home: Option<Home>,
    buffer: BytesMut,
    promised: Option<u64>,
    sent: u64,
    gate: Option<Pin<Box<Sleep>>>,
    sending: Arc<Sending>,
}

enum From {
    Bytes(Option<Bytes>),
    Stream(Stream),
    Ended,
}

type Home = Arc<Mutex<Option<Stream>>>;

impl Outgoing {
    /// Waits for the server's word, but not for ever.
    fn poll_gate(&mut self, context: &mut Context<'_>) -> Poll<()> {
        {
            let mut account = lock(&self.sending.0);
            if !account.gated {
                return Poll::Ready(());
            }
            account.gate = Some(context.waker().clone());
        }
        let sleep = self.gate.get_or_insert_with(|| Box::pin(tokio::time::sleep(CONTINUE_PATIENCE)));
        ready!(sleep.as_mut().poll(context));
        self.sending.go_on();
        Poll::Ready(())
    }

    fn poll_from(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.from {
            From::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            From::Stream(Stream::Reader(reader)) => {
                let read = ready!(poll_read(reader, &mut self.buffer, context));
                Poll::Ready(read.map(|bytes| bytes.map(Frame::data)).transpose())
            }
            From::Stream(Stream::Channel(receiver)) => receiver.poll_recv(context).map(|frame| frame.map(Ok)),
            From::Ended => Poll::Ready(None),
        }
    }

    fn fail(&mut self, reason: String) -> io::Error {
        self.from = From::Ended;
        self.sending.move_on(|account| account.failure = Some(reason.clone()));
        io::Error::other(reason)
    }
}

fn poll_read(
    reader: &mut BodyReader,
    buffer: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<io::Result<Option<Bytes>>> {
    if buffer.len() < PIECE {
        buffer.resize(PIECE, 0);
    }
    let mut into = ReadBuf::new(buffer);
    ready!(reader.as_mut().poll_read(context, &mut into))?;
    let filled = into.filled().len();
    Poll::Ready(Ok((filled > 0).then(|| buffer.split_to(filled).freeze())))
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        ready!(this.poll_gate(context));
        let Poll::Ready(next) = this.poll_from(context) else {
            lock(&this.sending.0).starved = true;
            return Poll::Pending;
        };
        this.home = None;
        match next {
            Some(Ok(frame)) => {
                this.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                if let Some(promised) = this.promised
                    && this.sent > promised
                {
                    let reason = format!("it is longer than the {promised} bytes that were promised");
                    return Poll::Ready(Some(Err(this.fail(reason))));
                }
                let last = this.promised == Some(this.sent);
                this.sending.move_on(|account| account.done = last);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(this.fail(error.to_string())))),
            None => {
                if let Some(promised) = this.promised
                    && this.sent < promised
                    && !matches!(this.from, From::Ended)
                {
                    let reason = format!("it ended after {} of {promised} bytes", this.sent);
                    return Poll::Ready(Some(Err(this.fail(reason))));
                }
                this.from = From::Ended;
                this.sending.move_on(|account| account.done = true);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.from, From::Bytes(None) | From::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        self.promised.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let (Some(home), From::Stream(stream)) = (self.home.take(), std::mem::replace(&mut self.from, From::Ended)) {
            *lock(&home) = Some(stream);
        }
    }
}
