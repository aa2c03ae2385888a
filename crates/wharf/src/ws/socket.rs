//! An open WebSocket: messages in and out, what waits to be written, the closing and the failing.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream as _};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::{self, Message as Raw};

use super::deflate::{Agreed, Deflate, Fault};
use super::error::Error;
use super::keep_alive::{Due, KeepAlive};
use super::options::Limits;
use super::stream::Counted;

/// Most bytes of a control frame (RFC 6455 section 5.5).
const CONTROL: usize = 125;

/// How long a peer whose connection has failed may take to hear why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Most bytes of such a peer that are thrown away, so that it hears.
const THROWN_AWAY: usize = 1 << 20;

/// What ended a connection, and the code by which the peer is to be told, if it is (RFC 6455 section 7.4.1).
type Ended = (Error, Option<u16>);

/// A message, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
    /// A Ping. One that came in has been answered already.
    Ping(Bytes),
    /// A Pong, to a Ping of ours or unasked.
    Pong(Bytes),
}

impl Message {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => bytes.len(),
        }
    }
}

/// What [`WebSocket::recv_or_flushed`] waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message came.
    Message(Message),
    /// The stream has taken all that was queued.
    Flushed,
    /// The connection was closed in an orderly way.
    Closed,
}

/// How the peer closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Its code (RFC 6455 section 7.4); 1005 when it gave none.
    pub code: u16,
    /// Its reason, often empty.
    pub reason: String,
    /// Messages that came after [`WebSocket::close`] was called, and that nobody has seen.
    pub unseen: u64,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self.code {
            1000 => "normal",
            1001 => "going away",
            1002 => "protocol error",
            1003 => "unsupported data",
            1005 => "no code",
            1007 => "invalid data",
            1008 => "against the policy",
            1009 => "message too big",
            1010 => "extension missing",
            1011 => "server error",
            1012 => "service restart",
            1013 => "try again later",
            _ => "a code of the application",
        };
        write!(f, "{} ({meaning})", self.code)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " {:?}", self.reason) }
    }
}

/// An open WebSocket over `S`.
///
/// Somebody has to be in [`recv`](Self::recv) most of the time: it also writes what is queued, answers Pings, and
/// keeps the connection alive. Both it and the waiting in [`send`](Self::send) may be cancelled; a message that was
/// being sent then is still sent.
pub struct WebSocket<S> {
    inner: WebSocketStream<Counted<S>>,
    limits: Limits,
    /// A client masks its frames (RFC 6455 section 5.3).
    is_client: bool,
    /// Bytes of frames handed to `inner`, counted like `Counted::written`.
    queued: u64,
    /// Something was handed to `inner` since it was last flushed: TLS keeps what it has taken until then.
    unflushed: bool,
    /// What compresses messages, where that was agreed on.
    deflate: Option<Box<Deflate>>,
    keep_alive: Option<KeepAlive>,
    /// Set once a Close frame was sent or came.
    close_deadline: Option<Pin<Box<Sleep>>>,
    closed: Option<Closed>,
    /// Nothing more comes or goes.
    over: bool,
    /// The peer broke a rule, and is being told which.
    failure: Option<Failure>,
}

/// A rule that the peer broke.
struct Failure {
    error: Error,
    code: u16,
    /// When the patience with telling it ends.
    deadline: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// After the opening handshake.
    pub(super) fn new(
        inner: WebSocketStream<Counted<S>>,
        limits: Limits,
        is_client: bool,
        deflate: Option<Agreed>,
    ) -> Self {
        let queued = inner.get_ref().written;
        let keep_alive = limits.keep_alive.map(KeepAlive::new);
        Self {
            inner,
            limits,
            is_client,
            queued,
            unflushed: false,
            deflate: deflate.map(|agreed| Box::new(Deflate::new(agreed, is_client))),
            keep_alive,
            close_deadline: None,
            closed: None,
            over: false,
            failure: None,
        }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.inner.get_ref().stream
    }

    /// Bytes, framing included, that were sent or queued and that the stream has not taken yet.
    pub fn buffered_amount(&self) -> u64 {
        self.queued.saturating_sub(self.inner.get_ref().written)
    }

    /// How the peer closed, once it did.
    pub fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// Sends a message, and waits until the stream has taken it: a peer that does not read makes us wait.
    ///
    /// # Errors
    /// [`Error`], with nothing sent when the message is too large or the connection is closing.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        // Room first, so that waiting senders do not fill the memory.
        while self.buffered_amount() > self.limits.max_buffered as u64 {
            self.flush().await?;
        }
        self.put(message)?;
        self.flush().await
    }

    /// Queues a message without waiting; [`recv`](Self::recv), [`flush`](Self::flush) and [`send`](Self::send) write
    /// what is queued. A message is always taken when nothing waits.
    ///
    /// # Errors
    /// [`Error::Full`] when more than [`Limits::max_buffered`] would wait: call one of those first.
    pub fn queue(&mut self, message: Message) -> Result<(), Error> {
        let buffered = self.buffered_amount();
        if buffered > 0 && buffered.saturating_add(message.len() as u64) > self.limits.max_buffered as u64 {
            return Err(Error::Full { buffered });
        }
        self.put(message)
    }

    /// Waits until the stream has taken all that is queued.
    ///
    /// # Errors
    /// [`Error::Lost`] when it does not any more.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_write_out(context).map_err(|error| self.ended(error).0)
    }

    fn poll_write_out(&mut self, context: &mut Context<'_>) -> Poll<Result<(), tungstenite::Error>> {
        let poll = Pin::new(&mut self.inner).poll_flush(context);
        if let Poll::Ready(Ok(())) = poll {
            self.unflushed = false;
            // A Pong that gave way to a later one was counted and never written.
            self.queued = self.inner.get_ref().written;
        }
        poll
    }

    fn put(&mut self, message: Message) -> Result<(), Error> {
        if self.over || self.close_deadline.is_some() {
            return Err(Error::Closed(self.closed.clone()));
        }
        let size = message.len();
        let (payload, kind) = match message {
            Message::Ping(bytes) | Message::Pong(bytes) if bytes.len() > CONTROL => {
                return Err(Error::ControlTooLong(size));
            }
            Message::Ping(bytes) => return self.frame(Raw::Ping(bytes), size),
            Message::Pong(bytes) => return self.frame(Raw::Pong(bytes), size),
            _ if size > self.limits.max_message => {
                return Err(Error::TooLargeToSend { size, limit: self.limits.max_message });
            }
            Message::Text(text) => (Bytes::from(text), Data::Text),
            Message::Binary(bytes) => (bytes, Data::Binary),
        };
        let mut compressed = self.deflate.is_some();
        let payload = match &mut self.deflate {
            Some(deflate) => deflate.compress(&payload),
            None => payload,
        };
        // RFC 6455 section 5.4: the first frame names the kind, the others continue it, and the last one is final.
        let most = self.limits.fragment.unwrap_or(usize::MAX).max(1);
        let mut rest = payload;
        let mut kind = kind;
        loop {
            let piece = rest.split_to(rest.len().min(most));
            let (last, size) = (rest.is_empty(), piece.len());
            let mut frame = Frame::message(piece, OpCode::Data(kind), last);
            // RFC 7692 section 6.1: the first frame says it for the message.
            frame.header_mut().rsv1 = compressed;
            self.frame(Raw::Frame(frame), size)?;
            if last {
                return Ok(());
            }
            (kind, compressed) = (Data::Continue, false);
        }
    }

    fn frame(&mut self, frame: Raw, size: usize) -> Result<(), Error> {
        self.queued += self.frame_len(size);
        self.unflushed = true;
        Pin::new(&mut self.inner).start_send(frame).map_err(|error| self.ended(error).0)
    }

    /// A frame's length on the wire (RFC 6455 section 5.2).
    fn frame_len(&self, payload: usize) -> u64 {
        let length = match payload {
            0..=125 => 0,
            126..=65_535 => 2,
            _ => 8,
        };
        payload as u64 + 2 + length + if self.is_client { 4 } else { 0 }
    }

    /// The next message; `None` when the connection was closed in an orderly way, see [`closed`](Self::closed).
    ///
    /// # Errors
    /// [`Error`]; a peer that broke a rule has been told which by a Close frame.
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        if self.failure.is_none() {
            let outcome = poll_fn(|context| self.poll_recv(context)).await;
            if let Some(message) = self.unless_failed(outcome)? {
                return Ok(message);
            }
        }
        Err(self.last_words().await)
    }

    /// The next message, or the news that all that was queued has been written, whichever comes first: for those who
    /// send much and must not stop reading meanwhile.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn recv_or_flushed(&mut self) -> Result<Event, Error> {
        if self.failure.is_none() {
            let outcome = poll_fn(|context| match self.poll_recv(context) {
                Poll::Ready(outcome) => {
                    Poll::Ready(outcome.map(|message| message.map_or(Event::Closed, Event::Message)))
                }
                Poll::Pending if !self.unflushed => Poll::Ready(Ok(Event::Flushed)),
                Poll::Pending => Poll::Pending,
            })
            .await;
            if let Some(event) = self.unless_failed(outcome)? {
                return Ok(event);
            }
        }
        Err(self.last_words().await)
    }

    /// `outcome`, or `None` when the peer broke a rule and is yet to be told which.
    fn unless_failed<T>(&mut self, outcome: Result<T, Ended>) -> Result<Option<T>, Error> {
        match outcome {
            Ok(done) => Ok(Some(done)),
            Err((error, None)) => Err(error),
            Err((error, Some(code))) => {
                let deadline = Instant::now() + LAST_WORDS.min(self.limits.close);
                self.failure = Some(Failure { error, code, deadline });
                Ok(None)
            }
        }
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Message>, Ended>> {
        loop {
            if self.over {
                return Poll::Ready(if self.closed.is_some() { Ok(None) } else { Err((Error::Closed(None), None)) });
            }
            // When nothing can be written any more, what came before is still to be read.
            let stuck = match self.unflushed.then(|| self.poll_write_out(context)) {
                Some(Poll::Ready(Err(error))) => Some(error),
                _ => None,
            };
            match Pin::new(&mut self.inner).poll_next(context) {
                Poll::Ready(Some(Ok(Raw::Close(frame)))) => self.was_closed(frame),
                Poll::Ready(Some(Ok(message))) => return Poll::Ready(self.received(message)),
                Poll::Ready(Some(Err(error))) => {
                    let ended = self.ended(error);
                    // After the peer's Close frame the connection may end as it likes.
                    return Poll::Ready(if self.closed.is_some() { Ok(None) } else { Err(ended) });
                }
                Poll::Ready(None) => self.over = true,
                Poll::Pending => match (stuck, self.due(context)) {
                    (Some(error), _) => return Poll::Ready(Err(self.ended(error))),
                    (None, None) => return Poll::Pending,
                    (None, Some(Ok(()))) => {}
                    (None, Some(Err(error))) => return Poll::Ready(Err((error, None))),
                },
            }
        }
    }

    /// What time asks for while the peer is silent: nothing, a Ping that was queued, or an end.
    fn due(&mut self, context: &mut Context<'_>) -> Option<Result<(), Error>> {
        if let Some(deadline) = &mut self.close_deadline {
            if deadline.as_mut().poll(context).is_pending() {
                return None;
            }
            self.over = true;
            return Some(match self.closed {
                Some(_) => Ok(()),
                None => Err(Error::CloseTimedOut { after: self.limits.close }),
            });
        }
        let read = self.inner.get_ref().read;
        let keep_alive = self.keep_alive.as_mut()?;
        match keep_alive.poll(context, read) {
            Due::Nothing => None,
            Due::Ping => Some(self.put(Message::Ping(Bytes::new()))),
            Due::GiveUp => {
                self.over = true;
                Some(Err(Error::Silent { after: keep_alive.patience }))
            }
        }
    }

    fn received(&mut self, message: Raw) -> Result<Option<Message>, Ended> {
        if matches!(message, Raw::Text(_) | Raw::Binary(_))
            && let Some(marks) = &mut self.inner.get_mut().marks
            && let Some(mark) = marks.next()
            && mark.is_compressed
            && let Raw::Binary(payload) = &message
        {
            return self.expanded(payload, mark.is_text).map(Some).map_err(|(error, code)| {
                self.over = true;
                (error, Some(code))
            });
        }
        Ok(Some(match message {
            Raw::Text(text) => Message::Text(text.as_str().to_owned()),
            Raw::Binary(bytes) => Message::Binary(bytes),
            Raw::Ping(bytes) => {
                // Its Pong has been queued below.
                self.queued += self.frame_len(bytes.len());
                Message::Ping(bytes)
            }
            Raw::Pong(bytes) => Message::Pong(bytes),
            // tungstenite gives whole messages, and Close frames are taken before.
            Raw::Frame(frame) => Message::Binary(frame.into_payload()),
            Raw::Close(_) => return Ok(None),
        }))
    }

    /// The message that was compressed into `payload`, or what is wrong and the code that says so.
    fn expanded(&mut self, payload: &[u8], is_text: bool) -> Result<Message, (Error, u16)> {
        let Some(deflate) = &mut self.deflate else {
            return Err((Error::Protocol("it compresses, which was not agreed on".to_owned()), 1002));
        };
        let limit = self.limits.max_message;
        let message = deflate.expand(payload, limit).map_err(|fault| match fault {
            Fault::TooLarge => (Error::TooLarge { size: limit.saturating_add(1), limit }, 1009),
            Fault::Broken => (Error::Protocol("a compressed message cannot be expanded".to_owned()), 1007),
        })?;
        if !is_text {
            return Ok(Message::Binary(message.into()));
        }
        String::from_utf8(message).map(Message::Text).map_err(|_| (Error::NotUtf8, 1007))
    }

    fn was_closed(&mut self, frame: Option<CloseFrame>) {
        let (code, reason) = match frame {
            Some(frame) => (frame.code.into(), frame.reason.as_str().to_owned()),
            None => (1005, String::new()),
        };
        self.closed = Some(Closed { code, reason, unseen: 0 });
        if self.close_deadline.is_none() {
            self.close_deadline = Some(Box::pin(tokio::time::sleep(self.limits.close)));
        }
    }

    fn ended(&mut self, error: tungstenite::Error) -> Ended {
        match Error::from_open(error) {
            (Error::Closed(_), code) => (Error::Closed(self.closed.clone()), code),
            (error, code) => {
                // Whoever is to be told is told by `tell`, and nothing else goes out.
                self.over = true;
                (error, code)
            }
        }
    }

    /// Begins the closing handshake with `code` (1000, or 3000 to 4999 for codes of the application's own) and
    /// `reason`. What the peer still sends comes from [`recv`](Self::recv), and then `None`.
    ///
    /// # Errors
    /// [`Error::CloseFrame`] for a code or a reason that may not be sent.
    pub fn start_close(&mut self, code: u16, reason: &str) -> Result<(), Error> {
        let refused = |why| Error::CloseFrame { code, reason: reason.to_owned(), why };
        // RFC 6455 section 7.4: the others are not ours to send.
        if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
            return Err(refused("the code is reserved"));
        }
        if reason.len() > CONTROL - 2 {
            return Err(refused("the reason is longer than 123 bytes"));
        }
        if self.over || self.close_deadline.is_some() {
            return Ok(());
        }
        self.close_deadline = Some(Box::pin(tokio::time::sleep(self.limits.close)));
        self.frame(Raw::Close(Some(close_frame(code, reason))), reason.len() + 2)
    }

    /// The closing handshake, to its end. Messages that come meanwhile are counted and not seen.
    ///
    /// # Errors
    /// As [`start_close`](Self::start_close), and [`Error::CloseTimedOut`] when the peer does not answer.
    pub async fn close(&mut self, code: u16, reason: &str) -> Result<Closed, Error> {
        self.start_close(code, reason)?;
        let mut unseen = 0;
        while let Some(message) = self.recv().await? {
            unseen += u64::from(matches!(message, Message::Text(_) | Message::Binary(_)));
        }
        match &mut self.closed {
            Some(closed) => {
                closed.unseen += unseen;
                Ok(closed.clone())
            }
            None => Err(Error::Closed(None)),
        }
    }

    /// Tells a peer that broke a rule (RFC 6455 section 7.1.7), and gives the error. What the peer still sends is
    /// thrown away for a while: a connection that is dropped with bytes unread is reset, and it would not hear why.
    /// Whoever cancels this comes back to it with the next call.
    async fn last_words(&mut self) -> Error {
        if let Some(Failure { code, deadline, .. }) = self.failure {
            // It was told or it was not; the failure is the same.
            let _ = tokio::time::timeout_at(deadline, self.tell(code)).await;
        }
        self.failure.take().map_or(Error::Closed(None), |failure| failure.error)
    }

    async fn tell(&mut self, code: u16) {
        // The second time this only writes what the first has left.
        if self.inner.send(Raw::Close(Some(close_frame(code, "")))).await.is_err() {
            return;
        }
        let stream = &mut self.inner.get_mut().stream;
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut sink = vec![0; 16 << 10];
        let mut left = THROWN_AWAY;
        while let Ok(count @ 1..) = stream.read(&mut sink).await {
            left = left.saturating_sub(count);
            if left == 0 {
                return;
            }
        }
    }
}

fn close_frame(code: u16, reason: &str) -> CloseFrame {
    CloseFrame { code: CloseCode::from(code), reason: reason.into() }
}

impl<S> fmt::Debug for WebSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("closed", &self.closed).field("over", &self.over).finish_non_exhaustive()
    }
}
