//! A session with an SSH server: over any stream, or from a name to a shell over our own sockets.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use russh::client::{self, Handle, Msg};
use russh::{Channel, Disconnect};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, mpsc, watch};

use super::authenticate::{Attempt, Credentials};
use super::channel::{Input, Program, Stream, Terminal};
use super::forwarded_agent::Forwarding;
use super::handler::{FORWARDED_WAITING, Forwarded, Handler, Shared};
use super::known_hosts::KnownHosts;
use super::{Error, algorithms, printable};
use crate::connect::{self, Failed, connect};
use crate::dns::Resolver;
use crate::{Net, aio, lock};

/// What a channel may have under way towards us, in bytes: 200 ms at 640 Mb/s.
const WINDOW: u32 = 16 << 20;
/// The largest packet that is taken, in bytes (RFC 4253 section 6.1 asks for 32768 at least).
const PACKET: u32 = 65_535;
/// Messages that a channel holds for its reader: a window full of the usual packets of 32 KiB.
const MESSAGES: usize = 512;
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// What to do about a host whose key nobody has vouched for. A key that has *changed* ends the session under all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// Refuse it.
    Strict,
    /// Believe and remember it, unless the host is known by keys of other kinds.
    AcceptNew,
    /// Ask, and refuse it where nobody can be asked.
    #[default]
    Ask,
}

/// Who is asked, and told, what only a person can know.
///
/// The calls may block: each is made from a thread that may wait, but [`tell`](Self::tell).
pub trait Questions: Send + Sync + 'static {
    /// Whether a host's key is right; `None` if nobody can be asked. The fingerprint itself counts as yes.
    fn confirm(&self, text: &str, fingerprint: &str) -> Option<bool>;
    /// A password, a passphrase or another answer, shown while it is typed only with `echo`; `None` if nobody can be
    /// asked.
    fn secret(&self, prompt: &str, echo: bool) -> Option<String>;
    /// Something worth knowing: the server's banner, a key that is of no use.
    fn tell(&self, text: &str);
}

/// Nobody can be asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Questions for Nobody {
    fn confirm(&self, _: &str, _: &str) -> Option<bool> {
        None
    }

    fn secret(&self, _: &str, _: bool) -> Option<String> {
        None
    }

    fn tell(&self, _: &str) {}
}

/// How a session is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The files with the keys of known hosts.
    pub known_hosts: Vec<PathBuf>,
    /// Add a new host to the first of them.
    pub remember: bool,
    /// What becomes of a host that is not known.
    pub host_keys: HostKeyPolicy,
    /// Hide the names of hosts that are added.
    pub hash_names: bool,
    /// SHA-1 and CBC too.
    pub legacy: bool,
    /// zlib, where the server has it.
    pub compress: bool,
    /// Patience for the TCP connection, and again for everything up to the authentication.
    pub patience: Duration,
    /// How often a silent server is asked whether it lives, and how many unanswered questions end the session.
    pub keep_alive: Option<(Duration, usize)>,
    /// Exchange keys anew after so many bytes in one direction.
    pub rekey_after: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            known_hosts: Vec::new(),
            remember: true,
            host_keys: HostKeyPolicy::default(),
            hash_names: false,
            legacy: false,
            compress: false,
            patience: Duration::from_secs(30),
            keep_alive: None,
            rekey_after: None,
        }
    }
}

/// An SSH session (RFC 4251 to 4254).
pub struct Session {
    handle: Handle<Handler>,
    shared: Arc<Shared>,
    forwarded: Mutex<mpsc::Receiver<Forwarded>>,
    ended: watch::Receiver<()>,
    questions: Arc<dyn Questions>,
    host: String,
    port: u16,
    legacy: bool,
    patience: Duration,
}

/// Connects to `host` at `port` over `net`, to whichever of its addresses answers first.
///
/// # Errors
/// The name, or the last address's reason.
pub async fn dial(
    net: &Net,
    resolver: &Resolver,
    host: &str,
    port: u16,
    patience: Duration,
) -> Result<aio::TcpStream, Error> {
    // Nagle's algorithm is off: keystrokes do not wait for company, and bulk data comes in full segments anyway.
    match connect(net, resolver, host, port, patience).await {
        Ok(connected) => Ok(connected.stream),
        Err(connect::Error::Name(error)) => Err(error.into()),
        Err(connect::Error::Failed { host, failed }) => Err(match failed {
            Failed::Refused { source, .. } => Error::Connect { host, port, source },
            Failed::TimedOut { .. } => Error::TimedOut { host, port, seconds: patience.as_secs() },
            Failed::NoAddress => Error::Closed("the name has no address".to_owned()),
        }),
    }
}

impl Session {
    /// Speaks SSH over `stream`, up to the point where the server has shown a key that is trusted. `host` and `port`
    /// are what the key is looked up under.
    ///
    /// # Errors
    /// Whatever keeps the session from coming about; each kind of [`Error`] says what.
    pub async fn over<S>(
        stream: S,
        host: &str,
        port: u16,
        options: &Options,
        questions: Arc<dyn Questions>,
    ) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let known = KnownHosts::read(&options.known_hosts)
            .map_err(|(file, error)| Error::KnownHosts { file, reason: error.to_string() })?;
        let (notes, more) = known.notes();
        for note in notes {
            questions.tell(&note.to_string());
        }
        if more > 0 {
            questions.tell(&format!("{more} more lines of known_hosts are skipped"));
        }
        let mut config = client::Config {
            client_id: russh::SshId::Standard(concat!("SSH-2.0-Wharf_", env!("CARGO_PKG_VERSION")).into()),
            preferred: algorithms::offered(&known, host, port, options.legacy, options.compress),
            window_size: WINDOW,
            maximum_packet_size: PACKET,
            channel_buffer_size: MESSAGES,
            keepalive_interval: options.keep_alive.map(|(interval, _)| interval),
            keepalive_max: options.keep_alive.map_or(0, |(_, most)| most),
            ..client::Config::default()
        };
        if let Some(bytes) = options.rekey_after {
            config.limits.rekey_read_limit = bytes;
            config.limits.rekey_write_limit = bytes;
        }
        let shared = Arc::new(Shared::default());
        let (alive, ended) = watch::channel(());
        let (forwarded_to, forwarded) = mpsc::channel(FORWARDED_WAITING);
        let handler = Handler {
            host: host.to_owned(),
            port,
            known,
            policy: options.host_keys,
            file: options.known_hosts.first().filter(|_| options.remember).cloned(),
            hash_names: options.hash_names,
            questions: Arc::clone(&questions),
            shared: Arc::clone(&shared),
            forwarded: forwarded_to,
            accepted: None,
            _alive: alive,
        };
        let connecting = client::connect_stream(Arc::new(config), stream, handler);
        let mut connecting = std::pin::pin!(connecting);
        let handle = loop {
            match tokio::time::timeout(options.patience, &mut connecting).await {
                Ok(outcome) => break outcome?,
                // A person may take his time over the host's key.
                Err(_) if shared.asking.load(Ordering::Relaxed) => {}
                Err(_) => {
                    let (host, seconds) = (host.to_owned(), options.patience.as_secs());
                    return Err(Error::TimedOut { host, port, seconds });
                }
            }
        };
        let forwarded = Mutex::new(forwarded);
        Ok(Self {
            handle,
            shared,
            forwarded,
            ended,
            questions,
            host: host.to_owned(),
            port,
            legacy: options.legacy,
            patience: options.patience,
        })
    }

    /// Proves who the user is. Until then nothing else can be done.
    ///
    /// # Errors
    /// [`Error::Authentication`] if the server takes nothing that there is.
    pub async fn authenticate(&mut self, credentials: &Credentials) -> Result<(), Error> {
        let attempt = Attempt {
            handle: &mut self.handle,
            credentials,
            questions: &self.questions,
            host: &self.host,
            port: self.port,
            patience: self.patience,
            legacy: self.legacy,
            tried: Vec::new(),
        };
        let outcome = attempt.run().await;
        self.explain(outcome)
    }

    /// Lets the programs that are run from now on ask the agent at `socket`, through the server. Whoever has rights
    /// enough on the server can have it sign meanwhile.
    pub fn forward_agent(&self, socket: impl Into<PathBuf>) {
        *lock(&self.shared.agent) = Some(Forwarding::new(socket.into()));
    }

    /// Runs `command` on the server, in `terminal` if one is given, with `environment` as far as the server allows.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn exec(
        &self,
        command: &[u8],
        terminal: Option<&Terminal>,
        environment: &[(String, String)],
    ) -> Result<(Program, Input), Error> {
        self.start(Start::Exec(command), terminal, environment).await
    }

    /// Runs the user's shell on the server.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn shell(
        &self,
        terminal: Option<&Terminal>,
        environment: &[(String, String)],
    ) -> Result<(Program, Input), Error> {
        self.start(Start::Shell, terminal, environment).await
    }

    async fn start(
        &self,
        start: Start<'_>,
        terminal: Option<&Terminal>,
        environment: &[(String, String)],
    ) -> Result<(Program, Input), Error> {
        let (mut program, input) = Program::new(self.open("a session").await?);
        let channel = input.channel();
        for (name, value) in environment {
            // Servers take few names; what they refuse is no error (RFC 4254 section 6.4).
            self.explain(channel.set_env(false, name.as_str(), value.as_str()).await.map_err(Error::from))?;
        }
        let forwards_agent = lock(&self.shared.agent).is_some();
        if forwards_agent {
            channel.agent_forward(true).await?;
            if !program.granted().await {
                self.explain_end()?;
                self.questions.tell("The server does not let programs there ask the agent.");
            }
        }
        if let Some(Terminal { kind, size: (width, height), modes }) = terminal {
            let modes: Vec<_> =
                modes.iter().filter_map(|&(code, value)| Some((russh::Pty::from_u8(code)?, value))).collect();
            channel.request_pty(true, kind, *width, *height, 0, 0, &modes).await?;
            if !program.granted().await {
                return self.refused("a terminal");
            }
        }
        match start {
            Start::Exec(command) => channel.exec(true, command).await?,
            Start::Shell => channel.request_shell(true).await?,
        }
        if !program.granted().await {
            return self.refused(match start {
                Start::Exec(_) => "the command",
                Start::Shell => "a shell",
            });
        }
        Ok((program, input))
    }

    /// A stream to `subsystem`, such as `sftp`.
    ///
    /// # Errors
    /// When the server has none.
    pub async fn subsystem(&self, subsystem: &str) -> Result<Stream, Error> {
        let mut channel = self.open("a session").await?;
        channel.request_subsystem(true, subsystem).await?;
        loop {
            match channel.wait().await {
                Some(russh::ChannelMsg::Success) => return Ok(Stream::new(channel)),
                Some(russh::ChannelMsg::Failure | russh::ChannelMsg::Close) | None => {
                    return self.refused(&format!("the subsystem {subsystem}"));
                }
                Some(_) => {}
            }
        }
    }

    /// A stream to `host` at `port` as the server reaches it (RFC 4254 section 7.2).
    ///
    /// # Errors
    /// When the server does not reach it, or does not let us.
    pub async fn direct(&self, host: &str, port: u16, from: (&str, u16)) -> Result<Stream, Error> {
        let opened = self.handle.channel_open_direct_tcpip(host, port.into(), from.0, from.1.into()).await;
        let what = format!("a connection to {host} port {port}");
        Ok(Stream::new(self.opened(opened, &what)?))
    }

    /// Has the server listen at `address` and `port` (0: one of its choice), and returns the port. What connects there
    /// comes by [`forwarded`](Self::forwarded).
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn listen(&self, address: &str, port: u16) -> Result<u16, Error> {
        // Before the answer: a connection may follow at its heels.
        lock(&self.shared.forwards).push(port);
        let answered = self.handle.tcpip_forward(address, port.into()).await;
        let bound = match answered {
            Ok(0) => port,
            Ok(bound) => u16::try_from(bound)
                .map_err(|_| Error::Protocol(format!("the server listens at port {bound}, which is none")))?,
            Err(russh::Error::RequestDenied) => return self.refused(&format!("to listen at port {port}")),
            Err(error) => return self.explain(Err(error.into())),
        };
        lock(&self.shared.forwards).push(bound);
        Ok(bound)
    }

    /// The next connection to a port that the server listens on for us; `None` when the session is over.
    pub async fn forwarded(&self) -> Option<Forwarded> {
        self.forwarded.lock().await.recv().await
    }

    /// Exchanges keys anew at the next opportunity.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn rekey(&self) -> Result<(), Error> {
        Ok(self.handle.rekey_soon().await?)
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Why it ended, if it did so by itself.
    #[must_use]
    pub fn end(&self) -> Option<String> {
        lock(&self.shared.end).clone()
    }

    /// Waits until it is over.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // Nothing is ever sent: the sender goes with the session's task.
        while ended.changed().await.is_ok() {}
    }

    /// Says goodbye, and waits a moment until that is out.
    pub async fn close(&self) {
        // A peer that takes nothing more leaves no room for the goodbye either.
        let goodbye = async {
            if self.handle.disconnect(Disconnect::ByApplication, "", "").await.is_ok() {
                self.ended().await;
            }
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }

    async fn open(&self, what: &str) -> Result<Channel<Msg>, Error> {
        let opened = self.handle.channel_open_session().await;
        self.opened(opened, what)
    }

    fn opened(&self, opened: Result<Channel<Msg>, russh::Error>, what: &str) -> Result<Channel<Msg>, Error> {
        match opened {
            Err(russh::Error::ChannelOpenFailure(reason)) => {
                Err(Error::Refused { what: what.to_owned(), reason: Some(printable(reason.description())) })
            }
            other => self.explain(other.map_err(Error::from)),
        }
    }

    /// An error if the session is over.
    fn explain_end(&self) -> Result<(), Error> {
        if !self.is_closed() {
            return Ok(());
        }
        self.explain(Err(Error::Closed("the server closed it".to_owned())))
    }

    fn refused<T>(&self, what: &str) -> Result<T, Error> {
        self.explain(Err(if self.is_closed() {
            Error::Closed("the server closed it".to_owned())
        } else {
            Error::Refused { what: what.to_owned(), reason: None }
        }))
    }

    /// An end of the session told with the reason that is known for it.
    fn explain<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        match outcome {
            Err(Error::Closed(why)) => Err(Error::Closed(self.end().unwrap_or(why))),
            other => other,
        }
    }
}

#[derive(Clone, Copy)]
enum Start<'a> {
    Exec(&'a [u8]),
    Shell,
}
