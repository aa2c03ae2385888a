//! A channel of a session: a remote program with its three streams, or a plain stream of bytes.
//!
//! Whoever opens one reads it until its end: what is not read fills the session's buffers and in the end holds up its
//! other channels.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Error, printable};

/// How a remote program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With a status.
    Status(u32),
    /// Of a signal, by its name without `SIG` (RFC 4254 section 6.10).
    Signal {
        /// The name.
        name: String,
        /// What the server adds.
        message: String,
    },
}

/// What comes from a remote program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// From its standard output.
    Output(Bytes),
    /// From its standard error.
    Errors(Bytes),
    /// Nothing more will come from either.
    Eof,
    /// It has ended.
    Exit(Exit),
}

/// The terminal that a remote program finds.
#[derive(Clone, Debug)]
pub struct Terminal {
    /// Its kind, as in `$TERM`.
    pub kind: String,
    /// Its width and height in characters.
    pub size: (u32, u32),
    /// The modes, as encoded in RFC 4254 section 8, each an opcode and a value.
    pub modes: Vec<(u8, u32)>,
}

/// A remote program: what it says is read here, what it hears is written through [`Input`].
pub struct Program {
    read: ChannelReadHalf,
}

/// The other half of a remote program: its standard input, its signals, its terminal's size.
pub struct Input {
    write: ChannelWriteHalf<Msg>,
}

impl Program {
    pub(super) fn new(channel: russh::Channel<Msg>) -> (Self, Input) {
        let (read, write) = channel.split();
        (Self { read }, Input { write })
    }

    /// The next thing it says; `None` when the channel is closed.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            return Some(match self.read.wait().await? {
                ChannelMsg::Data { data } => Event::Output(data),
                // RFC 4254 section 5.2: only standard error is defined.
                ChannelMsg::ExtendedData { data, ext: 1 } => Event::Errors(data),
                ChannelMsg::Eof => Event::Eof,
                ChannelMsg::ExitStatus { exit_status } => Event::Exit(Exit::Status(exit_status)),
                ChannelMsg::ExitSignal { signal_name, error_message, .. } => {
                    let name = printable(&signal_text(&signal_name));
                    Event::Exit(Exit::Signal { name, message: printable(&error_message) })
                }
                ChannelMsg::Close => return None,
                _ => continue,
            });
        }
    }

    /// Whether what was asked for last was granted.
    pub(super) async fn granted(&mut self) -> bool {
        loop {
            match self.read.wait().await {
                Some(ChannelMsg::Success) => return true,
                Some(ChannelMsg::Failure | ChannelMsg::Close) | None => return false,
                // Nothing else that comes before the program runs means anything.
                Some(_) => {}
            }
        }
    }
}

impl Input {
    /// Writes to its standard input, and waits while its window is closed.
    ///
    /// # Errors
    /// When the session is gone.
    pub async fn write(&self, bytes: Bytes) -> Result<(), Error> {
        Ok(self.write.data_bytes(bytes).await?)
    }

    /// Ends its standard input.
    ///
    /// # Errors
    /// When the session is gone.
    pub async fn end(&self) -> Result<(), Error> {
        Ok(self.write.eof().await?)
    }

    /// Sends it a signal, by its name without `SIG`. Servers may ignore it.
    ///
    /// # Errors
    /// When the session is gone.
    pub async fn signal(&self, name: &str) -> Result<(), Error> {
        Ok(self.write.signal(signal_of(name)).await?)
    }

    /// Tells it the new size of its terminal, in characters.
    ///
    /// # Errors
    /// When the session is gone.
    pub async fn resize(&self, (width, height): (u32, u32)) -> Result<(), Error> {
        Ok(self.write.window_change(width, height, 0, 0).await?)
    }

    pub(super) fn channel(&self) -> &ChannelWriteHalf<Msg> {
        &self.write
    }
}

fn signal_of(name: &str) -> Sig {
    match name {
        "ABRT" => Sig::ABRT,
        "ALRM" => Sig::ALRM,
        "FPE" => Sig::FPE,
        "HUP" => Sig::HUP,
        "ILL" => Sig::ILL,
        "INT" => Sig::INT,
        "KILL" => Sig::KILL,
        "PIPE" => Sig::PIPE,
        "QUIT" => Sig::QUIT,
        "SEGV" => Sig::SEGV,
        "TERM" => Sig::TERM,
        "USR1" => Sig::USR1,
        other => Sig::Custom(other.to_owned()),
    }
}

fn signal_text(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.clone(),
        known => format!("{known:?}"),
    }
}

/// A channel as a stream of bytes. Dropping it closes the channel; [`shutdown`](tokio::io::AsyncWriteExt::shutdown)
/// ends our direction alone.
pub struct Stream {
    reader: StreamReader,
    writer: StreamWriter,
}

/// What comes from a [`Stream`].
pub(super) struct StreamReader {
    read: ChannelReadHalf,
    /// Of what came last, what has not been read.
    rest: Bytes,
    ended: bool,
}

/// What goes into a [`Stream`]; the channel closes when it goes.
pub(super) struct StreamWriter {
    write: Pin<Box<dyn AsyncWrite + Send>>,
    channel: Option<ChannelWriteHalf<Msg>>,
}

impl Stream {
    pub(super) fn new(channel: russh::Channel<Msg>) -> Self {
        let (read, write) = channel.split();
        Self {
            reader: StreamReader { read, rest: Bytes::new(), ended: false },
            writer: StreamWriter { write: Box::pin(write.make_writer()), channel: Some(write) },
        }
    }

    pub(super) fn split(self) -> (StreamReader, StreamWriter) {
        (self.reader, self.writer)
    }
}

impl StreamReader {
    /// The next bytes as they came, without a copy; empty at the end.
    pub(super) async fn next_bytes(&mut self) -> Bytes {
        std::future::poll_fn(|context| {
            ready!(self.poll_fill(context));
            Poll::Ready(std::mem::take(&mut self.rest))
        })
        .await
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.rest.is_empty() && !self.ended {
            // `wait` is safe to drop between messages: it only receives.
            let message = {
                let wait = std::pin::pin!(self.read.wait());
                ready!(wait.poll(context))
            };
            match message {
                Some(ChannelMsg::Data { data }) => self.rest = data,
                Some(ChannelMsg::Eof | ChannelMsg::Close) | None => self.ended = true,
                Some(_) => {}
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.reader.poll_fill(context));
        let length = buffer.remaining().min(self.reader.rest.len());
        buffer.put_slice(&self.reader.rest.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(context)
    }
}

impl AsyncWrite for StreamWriter {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.write.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.as_mut().poll_shutdown(context)
    }
}

impl StreamWriter {
    /// Writes all of `bytes` without a copy, and waits while the window is closed.
    pub(super) async fn write_bytes(&mut self, bytes: Bytes) -> Result<(), Error> {
        match &self.channel {
            Some(channel) => Ok(channel.data_bytes(bytes).await?),
            None => Ok(()),
        }
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        let Some(channel) = self.channel.take() else { return };
        // Outside a runtime the session is gone, and its channels with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = channel.close().await;
            });
        }
    }
}
