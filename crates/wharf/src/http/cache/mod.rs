//! A cache of responses (RFC 9111) for one user, in memory or in a directory. `rules` says what may be stored and used,
//! `memory` and `disk` keep it; what stands here records bodies as they are read and gives them again. Called by
//! `keeping`.

mod disk;
mod format;
mod memory;
pub(super) mod rules;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use ::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use self::disk::{Disk, OnDisk, Unfinished};
use self::memory::Memory;
use self::rules::{Asked, Meta};
use super::body::Body;
use super::error::Error;
use crate::lock;

/// A single response takes at most this part of the whole: one film does not throw a thousand pages out.
const PART_OF_ONE: u64 = 4;
/// Bytes read from a file at once.
const PIECE: usize = 64 << 10;

/// A directory that cannot hold a cache.
#[derive(Debug, thiserror::Error)]
#[error("file: the cache in {} cannot be opened: {source}", path.display())]
pub struct CacheError {
    /// The directory.
    pub path: PathBuf,
    /// What happened.
    pub source: io::Error,
}

/// How a response came out of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheUse {
    /// It was fresh: nothing was sent.
    Fresh,
    /// The origin said that it still holds.
    Validated,
    /// It was not fresh any more, but may be used: while it is validated, or because the origin does not answer
    /// (RFC 5861).
    Stale,
}

/// What a cache has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheCounts {
    /// Responses given without asking the origin.
    pub fresh: u64,
    /// Responses given after the origin said that they hold.
    pub validated: u64,
    /// Responses given though they were not fresh.
    pub stale: u64,
    /// Requests for which there was nothing to give.
    pub missed: u64,
    /// Responses stored.
    pub stored: u64,
    /// Responses that made room for others.
    pub evicted: u64,
    /// Files that were cut or damaged, and removed.
    pub damaged: u64,
}

/// A cache of responses for one user; clones share it.
///
/// ```
/// let cache = wharf::http::Cache::in_memory(64 << 20);
/// // ... `client.with_cache(cache.clone())`
/// assert_eq!(cache.counts().fresh, 0);
/// ```
#[derive(Clone)]
pub struct Cache(Arc<Shared>);

struct Shared {
    store: Mutex<Store>,
    /// The most bytes of one body.
    largest: u64,
    counts: Mutex<CacheCounts>,
    /// Why nothing is stored any more.
    trouble: Mutex<Option<String>>,
    /// URLs that are being validated in the background.
    validating: Mutex<HashSet<String>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

enum Store {
    Memory(Memory),
    Disk(Disk),
}

/// A stored response, whole and undamaged.
pub(super) struct Found {
    pub(super) meta: Meta,
    body: Stored,
}

#[derive(Clone)]
enum Stored {
    Memory(Bytes),
    Disk(OnDisk),
}

impl Cache {
    /// A cache in memory of at most `capacity` bytes.
    pub fn in_memory(capacity: u64) -> Self {
        Self::new(Store::Memory(Memory::new(capacity)), capacity)
    }

    /// The cache in `directory` with files of at most `capacity` bytes in all. The directory is made if it is not
    /// there. What is stored there by another process at the same time is seen when it is opened again.
    ///
    /// # Errors
    /// [`CacheError`] when the directory cannot be made or read.
    pub fn on_disk(directory: &Path, capacity: u64) -> Result<Self, CacheError> {
        let disk =
            Disk::open(directory, capacity).map_err(|source| CacheError { path: directory.to_owned(), source })?;
        Ok(Self::new(Store::Disk(disk), capacity))
    }

    fn new(store: Store, capacity: u64) -> Self {
        Self(Arc::new(Shared {
            store: Mutex::new(store),
            largest: capacity / PART_OF_ONE,
            counts: Mutex::default(),
            trouble: Mutex::default(),
            validating: Mutex::default(),
            tasks: Mutex::default(),
        }))
    }

    /// What it has done so far.
    pub fn counts(&self) -> CacheCounts {
        *lock(&self.0.counts)
    }

    /// Why it stores nothing any more, if so: a disk that is full, for example. Requests succeed all the same.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.0.trouble).clone()
    }

    /// Waits until all that is being validated in the background has been. Without it that ends with the runtime, and
    /// the next request validates.
    pub async fn settled(&self) {
        loop {
            let tasks = std::mem::take(&mut *lock(&self.0.tasks));
            if tasks.is_empty() {
                return;
            }
            for task in tasks {
                // It cannot panic, and one that was aborted is done too.
                let _ = task.await;
            }
        }
    }

    /// The stored response that `asked` selects.
    pub(super) fn find(&self, asked: &Asked<'_>) -> Option<Found> {
        let key = rules::key(asked.url);
        let (found, damaged) = match &mut *lock(&self.0.store) {
            Store::Memory(memory) => (memory.find(&key, asked).map(|(meta, body)| (meta, Stored::Memory(body))), 0),
            Store::Disk(disk) => {
                let (found, damaged) = disk.find(&key, asked);
                (found.map(|(meta, body)| (meta, Stored::Disk(body))), damaged)
            }
        };
        self.count(|counts| counts.damaged += damaged);
        found.map(|(meta, body)| Found { meta, body })
    }

    /// The body of a response that is about to be stored under `meta`: it is, once it has been read whole.
    pub(super) fn record(&self, meta: Meta, body: Body) -> Body {
        if lock(&self.0.trouble).is_some() || body.expected().is_some_and(|expected| expected > self.0.largest) {
            return body;
        }
        let recorder = match &mut *lock(&self.0.store) {
            Store::Memory(_) => Ok(Recorder::Memory(BytesMut::new())),
            Store::Disk(disk) => disk.begin().map(Recorder::Disk),
        };
        match recorder {
            Ok(recorder) => {
                let record = Some(Record { cache: self.clone(), meta, recorder, length: 0 });
                Body::from_source(Box::pin(Recording { body, record }))
            }
            Err(error) => {
                self.give_up(&error);
                body
            }
        }
    }

    /// A stored response was found to hold: `meta` takes the place of what was known of it.
    pub(super) fn renew(&self, found: &Found, meta: &Meta) {
        if lock(&self.0.trouble).is_some() {
            return;
        }
        let renewed = {
            let mut store = lock(&self.0.store);
            match (&mut *store, &found.body) {
                (Store::Memory(memory), Stored::Memory(body)) => {
                    memory.forget_variant(&found.meta);
                    Ok(memory.store(meta.clone(), body.clone()))
                }
                (Store::Disk(disk), Stored::Disk(body)) => disk.renew(meta, body),
                _ => Ok(0),
            }
        };
        match renewed {
            Ok(evicted) => self.count(|counts| counts.evicted += evicted),
            Err(error) => self.give_up(&error),
        }
    }

    /// Throws away all responses of a URL.
    pub(super) fn forget(&self, key: &str) {
        match &mut *lock(&self.0.store) {
            Store::Memory(memory) => memory.forget(key),
            Store::Disk(disk) => disk.forget(key),
        }
    }

    /// Throws one response away.
    pub(super) fn forget_one(&self, found: &Found) {
        match &mut *lock(&self.0.store) {
            Store::Memory(memory) => memory.forget_variant(&found.meta),
            Store::Disk(disk) => disk.forget_variant(&found.meta),
        }
    }

    /// The most bytes of a body that is stored.
    pub(super) fn largest(&self) -> u64 {
        self.0.largest
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut CacheCounts)) {
        change(&mut lock(&self.0.counts));
    }

    /// Whether the caller is the one to validate `key` in the background; nobody else does until it is done.
    pub(super) fn begin_validating(&self, key: &str) -> bool {
        lock(&self.0.validating).insert(key.to_owned())
    }

    pub(super) fn done_validating(&self, key: &str) {
        lock(&self.0.validating).remove(key);
    }

    /// Something that [`settled`](Self::settled) waits for.
    pub(super) fn keep_task(&self, task: JoinHandle<()>) {
        let mut tasks = lock(&self.0.tasks);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    /// Nothing is stored from now on: what cannot be written once cannot be in a moment either, and every attempt would
    /// cost a request's time.
    fn give_up(&self, error: &io::Error) {
        let reason = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => format!("the disk is full ({error})"),
            _ => error.to_string(),
        };
        lock(&self.0.trouble).get_or_insert(format!("nothing more is stored in the cache: {reason}"));
    }

    fn finish(&self, record: Record) {
        let Record { meta, recorder, .. } = record;
        let finished = match (&mut *lock(&self.0.store), recorder) {
            (Store::Memory(memory), Recorder::Memory(body)) => Ok(memory.store(meta, body.freeze())),
            (Store::Disk(disk), Recorder::Disk(unfinished)) => disk.finish(unfinished, &meta),
            _ => Ok(0),
        };
        match finished {
            Ok(evicted) => self.count(|counts| {
                counts.stored += 1;
                counts.evicted += evicted;
            }),
            Err(error) => self.give_up(&error),
        }
    }
}

impl Found {
    /// The same body, described anew.
    pub(super) fn with(&self, meta: Meta) -> Self {
        Self { meta, body: self.body.clone() }
    }

    /// Its body, once more.
    pub(super) fn body(&self) -> Body {
        match &self.body {
            Stored::Memory(body) => Body::from_bytes(body.clone()),
            Stored::Disk(body) => Body::from_source(Box::pin(Replay { body: body.clone(), offset: 0 })),
        }
    }
}

/// A body on its way into the cache.
struct Record {
    cache: Cache,
    meta: Meta,
    recorder: Recorder,
    length: u64,
}

enum Recorder {
    Memory(BytesMut),
    Disk(Unfinished),
}

impl Record {
    /// Whether it goes on.
    fn take(&mut self, bytes: &[u8]) -> bool {
        self.length += bytes.len() as u64;
        if self.length > self.cache.0.largest {
            return false;
        }
        match &mut self.recorder {
            Recorder::Memory(body) => body.extend_from_slice(bytes),
            Recorder::Disk(unfinished) => {
                if let Err(error) = unfinished.write(bytes) {
                    self.cache.give_up(&error);
                    return false;
                }
            }
        }
        true
    }
}

/// Gives a body and keeps what it gave. A body that is not read to its end, or does not come to it, is not kept.
struct Recording {
    body: Body,
    record: Option<Record>,
}

impl hyper::body::Body for Recording {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let next = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &next {
            Some(Ok(frame)) => {
                if let (Some(bytes), Some(record)) = (frame.data_ref(), &mut self.record)
                    && !record.take(bytes)
                {
                    self.record = None;
                }
            }
            Some(Err(_)) => self.record = None,
            None => {
                if let Some(record) = self.record.take()
                    && self.body.expected().is_none_or(|expected| expected == record.length)
                {
                    record.cache.clone().finish(record);
                }
            }
        }
        Poll::Ready(next)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.expected().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A body out of a file.
struct Replay {
    body: OnDisk,
    offset: u64,
}

impl hyper::body::Body for Replay {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.offset == self.body.length {
            return Poll::Ready(None);
        }
        let mut piece = BytesMut::zeroed(PIECE);
        let read = self.body.read(&mut piece, self.offset);
        let reason = match read {
            Ok(0) => "the file of the cache was cut while it was read".to_owned(),
            Ok(count) => {
                piece.truncate(count);
                self.offset += count as u64;
                return Poll::Ready(Some(Ok(Frame::data(piece.freeze()))));
            }
            Err(error) => format!("the file of the cache cannot be read: {error}"),
        };
        let (received, expected) = (self.offset, Some(self.body.length));
        Poll::Ready(Some(Err(Error::CutShort { received, expected, reason })))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.length - self.offset)
    }
}

#[cfg(test)]
mod tests;
