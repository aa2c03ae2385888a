//! The client: any number of questions under way, and their answers in whatever order they come.
//!
//! Two tasks of its own share the channel: one writes the requests, one reads the replies and hands each to who waits
//! for it. Who stops waiting is forgotten when the reply comes, so that a request can be given up at any time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::attributes::Attributes;
use super::error::Error;
use super::packet::{self, Entry, LONGEST, Limits, Reply, Request};
use crate::lock;
use crate::ssh::{Session, Stream};

/// How long a server may be silent while it owes a reply.
const PATIENCE: Duration = Duration::from_secs(60);
/// Requests that wait to be written; who has more waits.
const WAITING: usize = 64;
/// The extension by which a server states its limits.
const LIMITS: &str = "limits@openssh.com";
/// The most names that a folder is read to.
const MOST_ENTRIES: usize = 1_000_000;

/// An SFTP session (draft-ietf-secsh-filexfer-02) over an SSH session.
pub struct Sftp {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Bytes>,
    extensions: Vec<(String, Bytes)>,
    patience: Duration,
    limits: tokio::sync::Mutex<Stated>,
    tasks: [AbortHandle; 2],
}

/// What the server says of its limits, which it is asked for at the beginning and heard when they matter.
enum Stated {
    Asked(Pending),
    Known(Limits),
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u32,
    waiting: HashMap<u32, oneshot::Sender<Reply>>,
    /// Why the session is over.
    end: Option<String>,
    /// When the last reply came.
    heard: Option<Instant>,
}

impl Shared {
    fn end(&self, why: &str) {
        let mut state = lock(&self.state);
        state.end.get_or_insert_with(|| why.to_owned());
        state.waiting.clear();
    }
}

/// A file or folder that is open on the server. It is closed with [`Sftp::close`].
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) handle: Bytes,
    pub(super) path: Arc<[u8]>,
}

/// How a file is opened (draft-ietf-secsh-filexfer-02 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// To be read.
    Read,
    /// To be written from the beginning, made if need be.
    Write,
    /// To be written where it ends, made if need be.
    Resume,
}

/// The room of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All of it, in bytes.
    pub total: u64,
    /// What is free, in bytes.
    pub free: u64,
    /// What is free for this user, in bytes.
    pub available: u64,
    /// All files it can hold.
    pub files: u64,
    /// Files it can still hold.
    pub files_free: u64,
}

/// A reply that is still to come.
pub(super) struct Pending {
    reply: oneshot::Receiver<Reply>,
    shared: Arc<Shared>,
    patience: Duration,
}

impl Pending {
    pub(super) async fn reply(mut self) -> Result<Reply, Error> {
        self.wait().await
    }

    /// As [`reply`](Self::reply). Given up half-way it can be done again; once it is done it cannot.
    async fn wait(&mut self) -> Result<Reply, Error> {
        let Self { reply, shared, patience } = self;
        let patience = *patience;
        loop {
            match tokio::time::timeout(patience, &mut *reply).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(_)) => return Err(closed(shared)),
                // Over a slow link a reply waits its turn: what counts is that any comes.
                Err(_) if lock(&shared.state).heard.is_some_and(|heard| heard.elapsed() < patience) => {}
                Err(_) => {
                    shared.end(&format!("the server has not answered for {} s", patience.as_secs()));
                    return Err(closed(shared));
                }
            }
        }
    }
}

fn closed(shared: &Shared) -> Error {
    Error::Closed(lock(&shared.state).end.clone().unwrap_or_else(|| "the server closed it".to_owned()))
}

impl Sftp {
    /// Starts SFTP over `session`.
    ///
    /// # Errors
    /// When the server has no SFTP, or speaks something else.
    pub async fn start(session: &Session) -> Result<Self, Error> {
        Self::over(session.subsystem("sftp").await?).await
    }

    async fn over(stream: Stream) -> Result<Self, Error> {
        let (mut reader, mut writer) = stream.split();
        let gone = |error: std::io::Error| Error::Closed(error.to_string());
        writer.write_all(&packet::init()).await.map_err(gone)?;
        let mut buffer = BytesMut::new();
        let first = next_packet(&mut reader, &mut buffer).await.map_err(|why| Error::Protocol(why.to_owned()))?;
        let first = first.ok_or_else(|| Error::Closed("the server closed it before SFTP began".to_owned()))?;
        let (version, extensions) = packet::version(first).map_err(|why| Error::Protocol(why.to_owned()))?;
        if version != packet::VERSION {
            return Err(Error::Protocol(format!("it speaks version {version}, and only 3 is spoken here")));
        }
        let shared = Arc::new(Shared::default());
        let (requests, mut to_write) = mpsc::channel::<Bytes>(WAITING);
        let write_shared = Arc::clone(&shared);
        let writing = tokio::spawn(async move {
            while let Some(request) = to_write.recv().await {
                if let Err(why) = writer.write_bytes(request).await {
                    write_shared.end(&why.to_string());
                    return;
                }
            }
            let _ = writer.shutdown().await;
        });
        let read_shared = Arc::clone(&shared);
        let reading = tokio::spawn(async move {
            let why = read_replies(&mut reader, &mut buffer, &read_shared).await;
            read_shared.end(&why);
        });
        let tasks = [writing.abort_handle(), reading.abort_handle()];
        let limits = tokio::sync::Mutex::new(Stated::Known(Limits::default()));
        let sftp = Self { shared, requests, extensions, patience: PATIENCE, limits, tasks };
        if sftp.has(LIMITS) {
            let asked = sftp.ask(&Request::Extended { name: LIMITS, words: &[] }).await?;
            *sftp.limits.lock().await = Stated::Asked(asked);
        }
        Ok(sftp)
    }

    /// The server's limits, as far as it states any.
    pub(super) async fn limits(&self) -> Result<Limits, Error> {
        let mut stated = self.limits.lock().await;
        if let Stated::Asked(pending) = &mut *stated {
            let limits = match pending.wait().await? {
                Reply::Extended(reply) => Limits::decode(reply).map_err(|why| Error::Protocol(why.to_owned()))?,
                // It cannot say after all.
                _ => Limits::default(),
            };
            *stated = Stated::Known(limits);
        }
        match &*stated {
            Stated::Known(limits) => Ok(*limits),
            Stated::Asked(_) => Ok(Limits::default()),
        }
    }

    /// Gives the session up when the server is silent for `patience` while it owes a reply; 60 s without this.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Whether the server has the extension `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.extensions.iter().any(|(extension, _)| extension == name)
    }

    /// Asks, and returns at once.
    pub(super) async fn ask(&self, request: &Request<'_>) -> Result<Pending, Error> {
        self.ask_as(|id| request.encode(id)).await
    }

    /// Asks what `encode` makes of the request's number, and returns at once.
    pub(super) async fn ask_as(&self, encode: impl FnOnce(u32) -> Bytes) -> Result<Pending, Error> {
        let (reply_to, reply) = oneshot::channel();
        let id = {
            let mut state = lock(&self.shared.state);
            if let Some(end) = &state.end {
                return Err(Error::Closed(end.clone()));
            }
            let state = &mut *state;
            // After four thousand million questions, an old one may still be waiting.
            while state.waiting.contains_key(&state.next) {
                state.next = state.next.wrapping_add(1);
            }
            let id = state.next;
            state.next = state.next.wrapping_add(1);
            state.waiting.insert(id, reply_to);
            id
        };
        match tokio::time::timeout(self.patience, self.requests.send(encode(id))).await {
            Ok(Ok(())) => Ok(Pending { reply, shared: Arc::clone(&self.shared), patience: self.patience }),
            Ok(Err(_)) => Err(closed(&self.shared)),
            Err(_) => {
                self.shared.end(&format!("the server has taken nothing for {} s", self.patience.as_secs()));
                Err(closed(&self.shared))
            }
        }
    }

    async fn answer(&self, request: &Request<'_>) -> Result<Reply, Error> {
        self.ask(request).await?.reply().await
    }

    async fn done(&self, request: &Request<'_>, path: &[u8]) -> Result<(), Error> {
        done(self.answer(request).await?, path)
    }

    /// Opens a file.
    ///
    /// # Errors
    /// The server's reason.
    pub async fn open(&self, path: &[u8], how: Open, attributes: Attributes) -> Result<Handle, Error> {
        const READ: u32 = 1;
        const WRITE: u32 = 2;
        const CREATE: u32 = 8;
        const TRUNCATE: u32 = 16;
        let flags = match how {
            Open::Read => READ,
            Open::Write => WRITE | CREATE | TRUNCATE,
            Open::Resume => WRITE | CREATE,
        };
        handle(self.answer(&Request::Open { path, flags, attributes }).await?, path)
    }

    /// Closes it. Some servers tell only now that what was written is lost.
    ///
    /// # Errors
    /// The server's reason.
    pub async fn close(&self, handle: Handle) -> Result<(), Error> {
        self.done(&Request::Close { handle: &handle.handle }, &handle.path).await
    }

    /// What is known of `path`; with `follow` of what a link leads to.
    ///
    /// # Errors
    /// The server's reason.
    pub async fn stat(&self, path: &[u8], follow: bool) -> Result<Attributes, Error> {
        attributes(self.answer(&Request::Stat { path, follow }).await?, path)
    }

    /// What is known of an open file.
    ///
    /// # Errors
    /// The server's reason.
    pub async fn stat_open(&self, handle: &Handle) -> Result<Attributes, Error> {
        attributes(self.answer(&Request::FStat { handle: &handle.handle }).await?, &handle.path)
    }

    /// Sets what `attributes` say.
    ///
    /// # Errors
    /// The server's reason.
    pub async fn set(&self, path: &[u8], attributes: Attributes) -> Result<(), Error> {
        self.done(&Request::SetStat { path, attributes }, path).await
    }

    /// Sets what `attributes` say of an open file.
    ///
    /// # Errors
    /// The server's reason.
    pub async fn set_open(&self, handle: &Handle, attributes: Attributes) -> Result<(), Error> {
        self.done(&Request::FSetStat { handle: &handle.handle, attributes }, &handle.path).await
    }

    /// The names in a folder, without `.` and `..`, in the server's order.
    ///
    /// # Errors
    /// The server's reason, or a folder without end.
    pub async fn list(&self, path: &[u8]) -> Result<Vec<Entry>, Error> {
        let folder = handle(self.answer(&Request::OpenDir { path }).await?, path)?;
        let mut entries: Vec<Entry> = Vec::new();
        let outcome = loop {
            match self.answer(&Request::ReadDir { handle: &folder.handle }).await {
                Ok(Reply::Names(names)) => {
                    entries.extend(names.into_iter().filter(|entry| entry.name != b"." && entry.name != b".."));
                    if entries.len() > MOST_ENTRIES {
                        break Err(Error::Protocol(format!("a folder has more than {MOST_ENTRIES} names")));
                    }
                }
                // The end of the folder.
                Ok(Reply::Status { code: 1, .. }) => break Ok(()),
                Ok(reply) => break done(reply, path),
                Err(error) => break Err(error),
            }
        };
        let closed = if matches!(&outcome, Err(error) if error.is_final()) { Ok(()) } else { self.close(folder).await };
        outcome?;
        closed?;
        Ok(entries)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// The server's reason.
    pub async fn remove(&self, path: &[u8]) -> Result<(), Error> {
        self.done(&Request::Remove { path }, path).await
    }

    /// Makes a folder.
    ///
    /// # Errors
    /// The server's reason.
    pub async fn make_folder(&self, path: &[u8]) -> Result<(), Error> {
        self.done(&Request::MakeDir { path }, path).await
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// The server's reason.
    pub async fn remove_folder(&self, path: &[u8]) -> Result<(), Error> {
        self.done(&Request::RemoveDir { path }, path).await
    }

    /// Gives `from` the name `to`: in place of what has it, where the server can do that.
    ///
    /// # Errors
    /// The server's reason.
    pub async fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), Error> {
        const POSIX: &str = "posix-rename@openssh.com";
        if self.has(POSIX) {
            return self.done(&Request::Extended { name: POSIX, words: &[from, to] }, from).await;
        }
        self.done(&Request::Rename { from, to }, from).await
    }

    /// Makes `link` a second name of the file `from`.
    ///
    /// # Errors
    /// The server's reason, or that it has no such thing.
    pub async fn hard_link(&self, from: &[u8], link: &[u8]) -> Result<(), Error> {
        self.done(&Request::Extended { name: "hardlink@openssh.com", words: &[from, link] }, link).await
    }

    /// Makes `link` a symbolic link to `target`.
    ///
    /// # Errors
    /// The server's reason.
    pub async fn symbolic_link(&self, target: &[u8], link: &[u8]) -> Result<(), Error> {
        self.done(&Request::SymLink { target, link }, link).await
    }

    /// What a symbolic link says.
    ///
    /// # Errors
    /// The server's reason.
    pub async fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, Error> {
        name(self.answer(&Request::ReadLink { path }).await?, path)
    }

    /// `path` from the root, without `..` and links as far as the server can say.
    ///
    /// # Errors
    /// The server's reason.
    pub async fn real_path(&self, path: &[u8]) -> Result<Vec<u8>, Error> {
        name(self.answer(&Request::RealPath { path }).await?, path)
    }

    /// The room of the file system that holds `path`.
    ///
    /// # Errors
    /// The server's reason, or that it has no such thing.
    pub async fn room(&self, path: &[u8]) -> Result<Room, Error> {
        let mut reply = match self.answer(&Request::Extended { name: "statvfs@openssh.com", words: &[path] }).await? {
            Reply::Extended(reply) => reply,
            other => return Err(unexpected(other, path)),
        };
        // OpenSSH's PROTOCOL section 4.4: block size, fragment size, blocks, free, available, files, free, available.
        let mut numbers = [0; 8];
        for number in &mut numbers {
            *number = packet::take_u64(&mut reply).map_err(|why| Error::Protocol(why.to_owned()))?;
        }
        let [_, unit, total, free, available, files, files_free, _] = numbers;
        let bytes = |blocks: u64| blocks.saturating_mul(unit);
        Ok(Room { total: bytes(total), free: bytes(free), available: bytes(available), files, files_free })
    }
}

impl Drop for Sftp {
    fn drop(&mut self) {
        self.shared.end("it was given up");
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Reads replies until the end, and says why it is one.
async fn read_replies(reader: &mut super::Reader, buffer: &mut BytesMut, shared: &Shared) -> String {
    loop {
        match next_packet(reader, buffer).await {
            Ok(Some(packet)) => match packet::reply(packet) {
                Ok((id, reply)) => {
                    let waiting = {
                        let mut state = lock(&shared.state);
                        state.heard = Some(Instant::now());
                        state.waiting.remove(&id)
                    };
                    match waiting {
                        // Who asked may have gone.
                        Some(waiting) => drop(waiting.send(reply)),
                        None => return "the server answers what nobody asked".to_owned(),
                    }
                }
                Err(why) => return format!("the server broke the SFTP protocol: {why}"),
            },
            Ok(None) => return "the server closed it".to_owned(),
            Err(why) => return format!("the server broke the SFTP protocol: {why}"),
        }
    }
}

/// The next packet without its length; `None` at the end.
async fn next_packet(reader: &mut super::Reader, buffer: &mut BytesMut) -> Result<Option<Bytes>, packet::Broken> {
    loop {
        if buffer.len() >= 4 {
            let length = u32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]) as usize;
            if length > LONGEST {
                return Err("a packet is too long");
            }
            if buffer.len() >= 4 + length {
                buffer.advance(4);
                return Ok(Some(buffer.split_to(length).freeze()));
            }
            buffer.reserve(4 + length - buffer.len());
        }
        let bytes = reader.next_bytes().await;
        if bytes.is_empty() {
            return if buffer.is_empty() { Ok(None) } else { Err("a packet is cut short") };
        }
        buffer.extend_from_slice(&bytes);
    }
}

pub(super) fn done(reply: Reply, path: &[u8]) -> Result<(), Error> {
    match reply {
        Reply::Status { code: 0, .. } => Ok(()),
        other => Err(unexpected(other, path)),
    }
}

fn handle(reply: Reply, path: &[u8]) -> Result<Handle, Error> {
    match reply {
        Reply::Handle(handle) => Ok(Handle { handle, path: path.into() }),
        other => Err(unexpected(other, path)),
    }
}

fn attributes(reply: Reply, path: &[u8]) -> Result<Attributes, Error> {
    match reply {
        Reply::Attributes(attributes) => Ok(attributes),
        other => Err(unexpected(other, path)),
    }
}

fn name(reply: Reply, path: &[u8]) -> Result<Vec<u8>, Error> {
    match reply {
        Reply::Names(names) => match <[Entry; 1]>::try_from(names) {
            Ok([entry]) => Ok(entry.name),
            Err(names) => Err(Error::Protocol(format!("{} names came for one", names.len()))),
        },
        other => Err(unexpected(other, path)),
    }
}

pub(super) fn unexpected(reply: Reply, path: &[u8]) -> Error {
    match reply {
        Reply::Status { code: 0, .. } => Error::Protocol("a question was answered with yes".to_owned()),
        Reply::Status { code, message } => Error::of_status(code, &message, path),
        _ => Error::Protocol("a reply is of the wrong kind".to_owned()),
    }
}
