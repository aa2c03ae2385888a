//! Requests that go out with the first packet of a resumed TLS session (0-RTT, RFC 8446 section 2.3), by the rules of
//! RFC 8470: only those that change nothing, since whoever copies the packet can send it again.
//!
//! `attempt` asks [`may_go_early`], has [`head_of`] write the request down, and `connect` sends it with the handshake. To
//! hyper, which then sends the same bytes, [`Sent`] says that it has them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::connect::Stream;
use super::head::{Reader, head_1};
use super::pool::Place;
use super::request::Request;
use super::upload::Outgoing;

/// The longest head that goes early; servers take 16 KiB as a rule.
const MOST: usize = 14 << 10;

/// Whether `request` may be sent before the server has shown that it is listening now.
pub(super) fn may_go_early(request: &Request, place: &Place) -> bool {
    // RFC 8470 section 4: safe methods; and one of them that its caller says does more is none.
    place.secure && request.method.is_safe() && request.is_idempotent() && !request.has_body()
}

/// The bytes by which HTTP/1.1 asks for `request`; `None` if there are too many.
pub(super) async fn head_of(request: &Request) -> Option<Vec<u8>> {
    let (body, _) = request.body.outgoing(false).ok()?;
    let head = head_1(request, Reader::Origin, body).ok()?;
    // hyper writes it, as it will write it again.
    let (near, mut far) = tokio::io::duplex(MOST);
    let (mut sender, connection) = http1::Builder::new().handshake::<_, Outgoing>(TokioIo::new(near)).await.ok()?;
    let mut written = Vec::new();
    let whole = async {
        while !written.ends_with(b"\r\n\r\n") {
            if written.len() >= MOST || far.read_buf(&mut written).await.ok()? == 0 {
                return None;
            }
        }
        Some(())
    };
    let asked = async {
        let _ = tokio::join!(sender.send_request(head), connection);
    };
    tokio::select! {
        whole = whole => whole?,
        () = asked => return None,
    }
    Some(written)
}

/// A stream that has taken the first bytes already.
pub(super) struct Sent {
    stream: Box<dyn Stream>,
    sent: Vec<u8>,
    /// How many of them have been written again.
    again: usize,
    /// Who wants to read before that: the answer may be here, and hyper takes none to a request that it has not sent.
    reader: Option<Waker>,
}

impl Sent {
    pub(super) fn new(stream: Box<dyn Stream>, sent: Vec<u8>) -> Self {
        Self { stream, sent, again: 0, reader: None }
    }
}

impl AsyncRead for Sent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.sent.is_empty() {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Sent {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let rest = &this.sent[this.again..];
        if rest.is_empty() {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        }
        let count = rest.len().min(bytes.len());
        if rest[..count] != bytes[..count] {
            // The server has another request than the one that is being sent.
            return Poll::Ready(Err(io::Error::other("the request is not the one that was sent early")));
        }
        this.again += count;
        if this.again == this.sent.len() {
            (this.sent, this.again) = (Vec::new(), 0);
            if let Some(reader) = this.reader.take() {
                reader.wake();
            }
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
