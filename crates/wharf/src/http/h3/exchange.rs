//! One exchange on a stream of a QUIC connection (RFC 9114 section 4.1).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::Response as ResponseHead;
use ::http::header::CONTENT_LENGTH;
use bytes::{Buf, Bytes};
use h3::client::RequestStream;
use h3::error::{Code, StreamError};
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::task::JoinHandle;

use super::{Connection, UnderWay};
use crate::http::body::Source;
use crate::http::error::Error;
use crate::http::exchange::{Again, Failed, Interim, announced, await_head};
use crate::http::head::{authority, head_2};
use crate::http::pool::MAX_WAITING;
use crate::http::request::Request;
use crate::http::upload::{Outgoing, Sending};

type Sender = RequestStream<h3_quinn::SendStream<Bytes>, Bytes>;
type Receiver = RequestStream<h3_quinn::RecvStream, Bytes>;

/// Sends `request` with `body` and waits for the head of the response.
pub(in crate::http) async fn exchange(
    connection: &mut Connection,
    request: &Request,
    (body, sending): (Outgoing, Arc<Sending>),
    first_byte: Duration,
) -> Result<(ResponseHead<()>, Source), Failed> {
    let host = authority(&request.url);
    let mut head = head_2(request, ())?;
    // RFC 9114 section 4.1.2: a length that is known is announced, as hyper does for the other versions.
    if let Some(length) = request.body.length()
        && request.has_body()
    {
        head.headers_mut().entry(CONTENT_LENGTH).or_insert(length.into());
    }
    if connection.use_.under_way.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
        drop(UnderWay(Arc::clone(&connection.use_)));
        return Err(Error::TooManyWaiting { host, limit: MAX_WAITING }.into());
    }
    let under_way = UnderWay(Arc::clone(&connection.use_));
    let interim = Interim::new(sending);
    let counted = Arc::clone(&interim);
    let sender = &mut connection.sender;
    let answer = async {
        // The server's limit on streams is waited for here.
        let (send, mut receive) = sender.send_request(head).await?.split();
        let upload = Upload::begin(send, body).await?;
        loop {
            let response = receive.recv_response().await?;
            if !response.status().is_informational() {
                return Ok((response, receive, upload));
            }
            counted.came(response.status().as_u16());
        }
    };
    let answered = await_head(answer, &interim, first_byte, &host, |error| explain(&host, &error)).await;
    let (response, receive, upload) = answered.inspect_err(|failed| {
        if failed.again != Again::Never {
            connection.use_.gone.store(true, Ordering::Relaxed);
        }
    })?;
    connection.use_.served.fetch_add(1, Ordering::Relaxed);
    let expected = announced(response.headers());
    let whole = Whole { connection: connection.clone(), _under_way: under_way, _upload: upload };
    // RFC 9110 section 6.4.1: some responses have no body, whatever their fields say.
    let bodiless = request.method == ::http::Method::HEAD || matches!(response.status().as_u16(), 204 | 304);
    let expected = if bodiless { None } else { expected };
    let source = Reading { receive, expected, received: 0, part: Part::Data, whole: Some(whole) };
    Ok((response, Box::pin(source)))
}

/// The sending of a request's body, which goes on while the response is read.
struct Upload(Option<JoinHandle<()>>);

impl Upload {
    async fn begin(send: Sender, mut body: Outgoing) -> Result<Self, StreamError> {
        let mut send = Unfinished(Some(send));
        if hyper::body::Body::is_end_stream(&body) {
            send.finish().await?;
            return Ok(Self(None));
        }
        Ok(Self(Some(tokio::spawn(async move {
            while let Some(frame) = body.frame().await {
                // What is wrong with the body its own account tells; the stream is reset.
                let Ok(frame) = frame else { return };
                let Some(stream) = &mut send.0 else { return };
                let sent = match frame.into_data() {
                    Ok(data) => stream.send_data(data).await,
                    Err(frame) => match frame.into_trailers() {
                        Ok(trailers) => stream.send_trailers(trailers).await,
                        Err(_) => Ok(()),
                    },
                };
                // RFC 9114 section 4.1: a server may answer without wanting the rest.
                if sent.is_err() {
                    return;
                }
            }
            // An error means that the server wants no more of it; the response says why.
            let _ = send.finish().await;
        }))))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// The sending half of a stream. Dropped before its end it is reset: an end would make a whole of a part.
struct Unfinished(Option<Sender>);

impl Unfinished {
    async fn finish(&mut self) -> Result<(), StreamError> {
        match &mut self.0 {
            Some(stream) => stream.finish().await?,
            None => return Ok(()),
        }
        self.0 = None;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.0 {
            stream.stop_stream(Code::H3_REQUEST_CANCELLED);
        }
    }
}

/// What lasts as long as a body is read.
struct Whole {
    /// The last clone of its sender would close the connection.
    connection: Connection,
    _under_way: UnderWay,
    _upload: Upload,
}

/// The body of a response.
struct Reading {
    receive: Receiver,
    expected: Option<u64>,
    received: u64,
    part: Part,
    whole: Option<Whole>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Data,
    Trailers,
    Over,
}

impl hyper::body::Body for Reading {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.part == Part::Data {
            match ready!(self.receive.poll_recv_data(context)) {
                Ok(Some(mut data)) => {
                    let bytes = data.copy_to_bytes(data.remaining());
                    drop(data);
                    self.received += bytes.len() as u64;
                    if let Some(expected) = self.expected
                        && self.received > expected
                    {
                        return self.fail(Error::TooMuch { expected });
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Ok(None) => self.part = Part::Trailers,
                Err(error) => return self.cut_short(error.to_string()),
            }
        }
        if self.part == Part::Trailers {
            let trailers = ready!(self.receive.poll_recv_trailers(context));
            // RFC 9114 section 4.1.2: a length that is not kept makes the message malformed.
            if self.expected.is_some_and(|expected| self.received < expected) {
                return self.cut_short("the stream ended before the end".to_owned());
            }
            match trailers {
                Ok(trailers) => {
                    self.part = Part::Over;
                    self.whole = None;
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Err(error) => return self.cut_short(error.to_string()),
            }
        }
        Poll::Ready(None)
    }
}

impl Reading {
    fn cut_short(&mut self, reason: String) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let (received, expected) = (self.received, self.expected);
        self.fail(Error::CutShort { received, expected, reason })
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.stop();
        Poll::Ready(Some(Err(error)))
    }

    /// Tells the server that nobody reads on.
    fn stop(&mut self) {
        if self.part != Part::Over {
            self.part = Part::Over;
            if self.whole.take().is_some_and(|whole| whole.connection.is_open()) {
                self.receive.stop_sending(Code::H3_REQUEST_CANCELLED);
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stop();
    }
}

fn explain(host: &str, error: &StreamError) -> Failed {
    let host = host.to_owned();
    let reason = error.to_string();
    match error {
        // RFC 9114 section 4.1.1: the server has not looked at a request that it rejects.
        StreamError::RemoteTerminate { code, .. } if *code == Code::H3_REQUEST_REJECTED => {
            Failed { error: Error::Lost { host, reason }, again: Again::Harmless }
        }
        // RFC 9114 section 5.2: none is begun after the server's goodbye.
        StreamError::RemoteClosing { .. } => Failed { error: Error::Closed { host }, again: Again::Harmless },
        StreamError::HeaderTooBig { .. } => Error::TooLarge { host, reason }.into(),
        StreamError::RemoteTerminate { .. } => Error::Lost { host, reason }.into(),
        StreamError::StreamError { .. } => Error::NotHttp { host, reason }.into(),
        _ => Failed { error: Error::Lost { host, reason }, again: Again::IfIdempotent },
    }
}
