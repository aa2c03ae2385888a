//! `wharf ws`: lines in, messages out.

mod input;

use std::io::Write;
use std::pin::Pin;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, BufReader};
use tokio::time::{Instant, Sleep};
use wharf::http::{Layer, StatusCode, Url};
use wharf::ws::{self, Closed, Connected, Event, Limits, Message, Options, WebSocket};

use self::input::{Line, Lines};
use crate::args::Ws;
use crate::exit::{Failure, Status};
use crate::network::{self, Network};
use crate::output::{self, Output};

/// Runs the command.
pub(crate) async fn run(args: Ws, output: Output) -> Result<(), Failure> {
    // Everything that can be refused is refused before a packet is sent.
    let mut limits = Limits { keep_alive: args.ping, ..Limits::default() };
    limits.max_message = args.max_message as usize;
    limits.max_frame = limits.max_message;
    limits.fragment = args.fragment.map(|bytes| bytes as usize);
    if let Some(patience) = args.network.timeout {
        limits.handshake = patience;
        limits.close = patience;
    }
    let most = limits.max_message;
    let deflate = args.compressed;
    let mut options = Options { subprotocols: args.subprotocol.clone(), deflate, limits, ..Options::default() };
    for field in &args.header {
        options.header_line(field).map_err(failure)?;
    }
    if Url::parse(&args.url).is_ok_and(|url| url.scheme() == "wss") {
        options.tls = Some(args.session.connector()?.build()?);
    }
    let network = network::bring_up(&args.network).await?;
    let connected = match ws::connect_with(&network.net, &network.resolver, &args.url, &options).await {
        Ok(connected) => connected,
        Err(error) => return Err(explained(error, &network).await),
    };
    tell_open(&args.url, &connected, output);
    let conversation = Conversation {
        socket: connected.socket,
        lines: Lines::new(BufReader::new(tokio::io::stdin()), most),
        waiting: None,
        ended: false,
        received: 0,
        quiet: None,
        interrupted: false,
        binary: args.binary,
        messages: args.messages,
        wait: args.wait,
        output,
    };
    conversation.hold().await
}

/// A connection, and standard input and output at its other end.
struct Conversation<S, R> {
    socket: WebSocket<S>,
    lines: Lines<R>,
    /// A line that found no room: too much waits to be written.
    waiting: Option<Message>,
    /// Whether the input has ended.
    ended: bool,
    /// Messages that came.
    received: u64,
    /// Once the input has ended: when it has been quiet for long enough.
    quiet: Option<Pin<Box<Sleep>>>,
    interrupted: bool,
    binary: bool,
    messages: Option<u64>,
    wait: Duration,
    output: Output,
}

impl<S, R> Conversation<S, R>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    R: AsyncBufRead + Unpin,
{
    async fn hold(mut self) -> Result<(), Failure> {
        let mut spoiled = None;
        loop {
            let listening = !self.ended && self.waiting.is_none();
            let has_waiting = self.waiting.is_some();
            tokio::select! {
                event = next(&mut self.socket, has_waiting) => match event.map_err(failure)? {
                    Event::Message(message) => self.received(message)?,
                    Event::Flushed => self.try_again()?,
                    Event::Closed => break,
                },
                line = self.lines.next(), if listening => {
                    // The conversation is ended in good order; then the fault is told.
                    if let Err(fault) = self.spoken(line) {
                        spoiled = Some(fault);
                        self.input_ended();
                        self.close(1000)?;
                    }
                }
                () = quiet(&mut self.quiet) => {
                    self.quiet = None;
                    self.close(1000)?;
                }
                Ok(()) = tokio::signal::ctrl_c(), if !self.interrupted => {
                    self.interrupted = true;
                    self.input_ended();
                    self.quiet = None;
                    // RFC 6455 section 7.4.1: going away.
                    self.close(1001)?;
                }
            }
        }
        let closed = self.socket.closed().cloned().unwrap_or(Closed { code: 1005, reason: String::new(), unseen: 0 });
        self.tell_closed(&closed);
        match spoiled {
            Some(fault) => Err(fault),
            None if self.interrupted => Err(Failure::new(Status::Interrupted, "interrupted")),
            None if matches!(closed.code, 1000 | 1001 | 1005) => Ok(()),
            None => Err(Failure::new(Status::Other, format!("WebSocket: the peer closed with {closed}"))),
        }
    }

    /// A line of the input goes out.
    fn spoken(&mut self, line: std::io::Result<Line>) -> Result<(), Failure> {
        match line {
            Ok(Line::Whole(bytes)) if self.binary => self.send(Message::Binary(bytes.into())),
            Ok(Line::Whole(bytes)) => match String::from_utf8(bytes) {
                Ok(text) => self.send(Message::Text(text)),
                Err(_) => Err(Failure::usage("a line of the input is not UTF-8; send it with --binary")),
            },
            Ok(Line::TooLong) => {
                Err(Failure::usage("a line of the input is longer than a message may be (--max-message allows more)"))
            }
            Ok(Line::End) => {
                self.input_ended();
                self.quiet = Some(Box::pin(tokio::time::sleep(self.wait)));
                Ok(())
            }
            Err(error) => Err(Failure::new(Status::File, format!("file: standard input cannot be read: {error}"))),
        }
    }

    fn input_ended(&mut self) {
        self.ended = true;
        self.waiting = None;
    }

    fn send(&mut self, message: Message) -> Result<(), Failure> {
        match self.socket.queue(message.clone()) {
            Ok(()) => Ok(()),
            Err(ws::Error::Full { .. }) => {
                self.waiting = Some(message);
                Ok(())
            }
            // The peer has closed; what it said about it is told at the end.
            Err(ws::Error::Closed(_)) => {
                self.input_ended();
                Ok(())
            }
            Err(error) => Err(failure(error)),
        }
    }

    fn try_again(&mut self) -> Result<(), Failure> {
        match self.waiting.take() {
            Some(message) => self.send(message),
            None => Ok(()),
        }
    }

    fn close(&mut self, code: u16) -> Result<(), Failure> {
        self.socket.start_close(code, "").map_err(failure)
    }

    fn received(&mut self, message: Message) -> Result<(), Failure> {
        if let Some(quiet) = &mut self.quiet {
            quiet.as_mut().reset(Instant::now() + self.wait);
        }
        match message {
            Message::Text(text) => {
                self.output.line(&text);
                self.output.object(&json!({ "type": "text", "data": text }));
            }
            Message::Binary(bytes) if self.binary && !self.output.is_json() => {
                let mut stdout = std::io::stdout().lock();
                // A reader that went away ends nothing.
                let _ = stdout.write_all(&bytes).and_then(|()| stdout.flush());
            }
            Message::Binary(bytes) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                self.output.line(&digits);
                self.output.object(&json!({ "type": "binary", "hex": digits }));
            }
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
        }
        self.received += 1;
        if self.messages == Some(self.received) {
            self.input_ended();
            self.quiet = None;
            self.close(1000)?;
        }
        Ok(())
    }

    fn tell_closed(&self, closed: &Closed) {
        if !self.output.is_json() {
            output::note(format!("closed: {closed}"));
        }
        self.output.object(&json!({
            "type": "close", "code": closed.code, "reason": closed.reason, "messages": self.received,
        }));
    }
}

async fn next<S>(socket: &mut WebSocket<S>, has_waiting: bool) -> Result<Event, ws::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    if has_waiting {
        return socket.recv_or_flushed().await;
    }
    Ok(socket.recv().await?.map_or(Event::Closed, Event::Message))
}

async fn quiet(timer: &mut Option<Pin<Box<Sleep>>>) {
    match timer {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}

fn tell_open(url: &str, connected: &Connected, output: Output) {
    let remote = connected.remote.map(|remote| remote.to_string());
    if !output.is_json() {
        let subprotocol = connected.subprotocol.as_ref().map(|name| format!(", subprotocol {name}"));
        let tls = connected.tls.as_ref().map(|tls| format!(", {} {}", tls.version, tls.cipher_suite));
        output::note(format!(
            "open: {url} ({}){}{}{}",
            remote.as_deref().unwrap_or_default(),
            tls.unwrap_or_default(),
            subprotocol.unwrap_or_default(),
            if connected.deflate { ", compressed" } else { "" }
        ));
    }
    let tls: Option<Value> = connected.tls.as_ref().map(
        |tls| json!({ "version": tls.version, "cipher_suite": tls.cipher_suite, "key_exchange": tls.key_exchange }),
    );
    output.object(&json!({
        "type": "open", "url": url, "address": remote, "subprotocol": connected.subprotocol, "tls": tls,
        "compressed": connected.deflate,
    }));
}

/// `error`, told with what the layers below know of it.
async fn explained(error: ws::Error, network: &Network) -> Failure {
    match error {
        ws::Error::Connect(error) => network.explain(error).await,
        other => failure(other),
    }
}

fn failure(error: ws::Error) -> Failure {
    let status = match &error {
        ws::Error::Refused { status: StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED, .. } => {
            Status::Authentication
        }
        ws::Error::Refused { status, .. } if status.is_client_error() || status.is_server_error() => Status::Server,
        other => match other.layer() {
            Layer::Usage => Status::Usage,
            Layer::File => Status::File,
            Layer::Tls => Status::Tls,
            Layer::Protocol => Status::Protocol,
            _ => Status::Network,
        },
    };
    Failure::new(status, error.to_string())
}
