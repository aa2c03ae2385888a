//! The cache in a directory: a file for each response, of the form in `format`. A file is written under a name of its
//! own and renamed when it is whole; one that is cut or damaged is removed when it is met. Files of other names are left
//! alone. Called by `cache`.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use super::format::{Damaged, Fields, Head, LONGEST_HEAD, TRAILER, Trailer};
use super::rules::{Asked, Meta};

/// What a response's file is called after its two numbers.
const SUFFIX: &str = ".response";
/// What a file is called that is not whole yet, after the number of the process that writes it.
const UNFINISHED: &str = ".unfinished";

/// By URL and by what of the request it is selected by.
type Id = (u64, u64);

/// Responses in a directory, the longest unused of which make room.
pub(super) struct Disk {
    directory: PathBuf,
    capacity: u64,
    /// Bytes of all files.
    taken: u64,
    listed: BTreeMap<Id, Listed>,
    /// Files begun, for their names.
    begun: u64,
}

struct Listed {
    size: u64,
    used: SystemTime,
}

/// The body of a stored response, whole and found undamaged, in a file that stays readable whatever happens to its name.
#[derive(Clone)]
pub(super) struct OnDisk {
    file: Arc<File>,
    pub(super) length: u64,
    checksum: u32,
}

impl OnDisk {
    /// Bytes from `offset` on, into `buffer`; none at the end.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        self.file.read_at(&mut buffer[..length], offset)
    }
}

/// A response's file as it is written. Dropping it removes the file.
pub(super) struct Unfinished {
    file: File,
    path: PathBuf,
    length: u64,
    hasher: crc32fast::Hasher,
}

impl Unfinished {
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After the renaming there is nothing of this name.
        let _ = fs::remove_file(&self.path);
    }
}

impl Disk {
    /// The cache in `directory`, which is made if it is not there, for its owner alone.
    pub(super) fn open(directory: &Path, capacity: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut disk = Self { directory: directory.to_owned(), capacity, taken: 0, listed: BTreeMap::new(), begun: 0 };
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if is_left_behind(name) {
                let _ = fs::remove_file(entry.path());
            } else if let (Some(id), Ok(metadata)) = (id_of(name), entry.metadata())
                && metadata.is_file()
            {
                let used = metadata.modified().unwrap_or(UNIX_EPOCH);
                disk.taken += metadata.len();
                disk.listed.insert(id, Listed { size: metadata.len(), used });
            }
        }
        Ok(disk)
    }

    /// The newest response that `asked` selects; and how many damaged ones were met, which are removed.
    pub(super) fn find(&mut self, key: &str, asked: &Asked<'_>) -> (Option<(Meta, OnDisk)>, u64) {
        let (mut best, mut damaged): (Option<(Id, Meta, OnDisk)>, u64) = (None, 0);
        let url = hash(key.as_bytes());
        let ids: Vec<Id> = self.listed.range((url, 0)..=(url, u64::MAX)).map(|(&id, _)| id).collect();
        for id in ids {
            match read(&self.path(id)) {
                Ok((meta, body)) => {
                    // Another URL may share the number.
                    let selected = meta.url == key && meta.is_selected_by(asked.headers);
                    if selected && best.as_ref().is_none_or(|(_, best, _)| best.received < meta.received) {
                        best = Some((id, meta, body));
                    }
                }
                Err(error) => {
                    // Another process may have removed it.
                    damaged += u64::from(error.kind() == io::ErrorKind::InvalidData);
                    self.remove(id);
                }
            }
        }
        let Some((id, meta, body)) = best else { return (None, damaged) };
        if let Err(error) = verify(&body) {
            damaged += u64::from(error.kind() == io::ErrorKind::InvalidData);
            self.remove(id);
            return (None, damaged);
        }
        let now = SystemTime::now();
        if let Some(listed) = self.listed.get_mut(&id) {
            listed.used = now;
        }
        // The next process sees by this what was used; if it cannot be, that one only evicts in another order.
        let _ = body.file.set_modified(now);
        (Some((meta, body)), damaged)
    }

    /// A new file.
    pub(super) fn begin(&mut self) -> io::Result<Unfinished> {
        self.begun += 1;
        let path = self.directory.join(format!("{}-{}{UNFINISHED}", std::process::id(), self.begun));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        Ok(Unfinished { file, path, length: 0, hasher: crc32fast::Hasher::new() })
    }

    /// The body is whole: it gets its head and its name. How many had to go for it.
    pub(super) fn finish(&mut self, unfinished: Unfinished, meta: &Meta) -> io::Result<u64> {
        let checksum = unfinished.hasher.clone().finalize();
        self.publish(unfinished, meta, checksum)
    }

    /// The response `body` was found to hold: it gets a new head. How many had to go for it.
    pub(super) fn renew(&mut self, meta: &Meta, body: &OnDisk) -> io::Result<u64> {
        let mut unfinished = self.begin()?;
        let mut from = &*body.file;
        from.seek(SeekFrom::Start(0))?;
        // Within one file system the kernel copies by itself, or shares the blocks.
        unfinished.length = io::copy(&mut from.take(body.length), &mut unfinished.file)?;
        if unfinished.length != body.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.publish(unfinished, meta, body.checksum)
    }

    fn publish(&mut self, mut unfinished: Unfinished, meta: &Meta, body_checksum: u32) -> io::Result<u64> {
        let head = head_of(meta).encode();
        if head.len() > LONGEST_HEAD {
            return Ok(0);
        }
        let trailer = Trailer {
            body_length: unfinished.length,
            head_length: head.len() as u32,
            body_checksum,
            head_checksum: crc32fast::hash(&head),
        };
        unfinished.file.write_all(&head)?;
        unfinished.file.write_all(&trailer.encode())?;
        let id = (hash(meta.url.as_bytes()), hash(&meta.variant()));
        self.unlist(id);
        fs::rename(&unfinished.path, self.path(id))?;
        let size = unfinished.length + head.len() as u64 + TRAILER as u64;
        self.taken += size;
        self.listed.insert(id, Listed { size, used: SystemTime::now() });
        let mut evicted = 0;
        while self.taken > self.capacity {
            let oldest = self.listed.iter().min_by_key(|(_, listed)| listed.used).map(|(&id, _)| id);
            let Some(oldest) = oldest else { break };
            self.remove(oldest);
            evicted += 1;
        }
        Ok(evicted)
    }

    pub(super) fn forget_variant(&mut self, meta: &Meta) {
        self.remove((hash(meta.url.as_bytes()), hash(&meta.variant())));
    }

    /// Removes all responses of a URL, and those of others that share its number: they are fetched again.
    pub(super) fn forget(&mut self, key: &str) {
        let url = hash(key.as_bytes());
        let ids: Vec<Id> = self.listed.range((url, 0)..=(url, u64::MAX)).map(|(&id, _)| id).collect();
        for id in ids {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: Id) {
        self.unlist(id);
        // If it cannot be removed it is found damaged or stale again, and no harm done.
        let _ = fs::remove_file(self.path(id));
    }

    fn unlist(&mut self, id: Id) {
        if let Some(listed) = self.listed.remove(&id) {
            self.taken -= listed.size;
        }
    }

    fn path(&self, (url, variant): Id) -> PathBuf {
        self.directory.join(format!("{url:016x}-{variant:016x}{SUFFIX}"))
    }
}

/// The numbers in the name of a response's file.
fn id_of(name: &str) -> Option<Id> {
    let (url, variant) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    if url.len() != 16 || variant.len() != 16 {
        return None;
    }
    Some((u64::from_str_radix(url, 16).ok()?, u64::from_str_radix(variant, 16).ok()?))
}

/// Whether `name` is a file that a process left behind that does not run any more.
fn is_left_behind(name: &str) -> bool {
    let process = name.strip_suffix(UNFINISHED).and_then(|name| name.split_once('-')).map(|(process, _)| process);
    process.is_some_and(|process| process.parse::<u32>().is_ok() && !Path::new("/proc").join(process).exists())
}

/// Head and body of a response's file; the body is not read.
fn read(path: &Path) -> io::Result<(Meta, OnDisk)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut trailer = [0; TRAILER];
    let at = length.checked_sub(TRAILER as u64).ok_or(Damaged)?;
    file.read_exact_at(&mut trailer, at)?;
    let trailer = Trailer::decode(&trailer, length)?;
    let mut head = vec![0; trailer.head_length as usize];
    file.read_exact_at(&mut head, trailer.body_length)?;
    if crc32fast::hash(&head) != trailer.head_checksum {
        return Err(Damaged.into());
    }
    let meta = meta_of(Head::decode(&head)?).ok_or(Damaged)?;
    Ok((meta, OnDisk { file: Arc::new(file), length: trailer.body_length, checksum: trailer.body_checksum }))
}

/// Whether the body is as it was written.
fn verify(body: &OnDisk) -> io::Result<()> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let mut offset = 0;
    loop {
        match body.read(&mut buffer, offset)? {
            0 => break,
            count => {
                hasher.update(&buffer[..count]);
                offset += count as u64;
            }
        }
    }
    if offset == body.length && hasher.finalize() == body.checksum { Ok(()) } else { Err(Damaged.into()) }
}

impl From<Damaged> for io::Error {
    fn from(_: Damaged) -> Self {
        io::ErrorKind::InvalidData.into()
    }
}

fn head_of(meta: &Meta) -> Head {
    let milliseconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let fields = |headers: &HeaderMap| -> Fields {
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
    };
    Head {
        url: meta.url.clone(),
        requested: milliseconds(meta.requested),
        received: milliseconds(meta.received),
        request: fields(&meta.selecting),
        version: match meta.version {
            Version::HTTP_09 => 9,
            Version::HTTP_10 => 10,
            Version::HTTP_2 => 2,
            Version::HTTP_3 => 3,
            _ => 11,
        },
        status: meta.status.as_u16(),
        response: fields(&meta.headers),
    }
}

/// `None` for what no response can be.
fn meta_of(head: Head) -> Option<Meta> {
    let at = |milliseconds| UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds));
    let fields = |fields: Fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.try_append(name, HeaderValue::from_bytes(&value).ok()?).ok()?;
        }
        Some(headers)
    };
    Some(Meta {
        url: head.url,
        requested: at(head.requested)?,
        received: at(head.received)?,
        selecting: fields(head.request)?,
        version: match head.version {
            9 => Version::HTTP_09,
            10 => Version::HTTP_10,
            11 => Version::HTTP_11,
            2 => Version::HTTP_2,
            3 => Version::HTTP_3,
            _ => return None,
        },
        status: StatusCode::from_u16(head.status).ok()?,
        headers: fields(head.response)?,
    })
}

/// FNV-1a, which stays the same from release to release. What shares a number is told apart by the URL in the file.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
