//! A download that can go on: `NAME.part` holds what has come, `NAME.part.json` what the server called it, and `NAME`
//! appears when it is whole.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use wharf::http::HeaderMap;

use super::destination::cannot_write;
use crate::exit::{Failure, Status};

/// What is known of a page of which a part has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    /// The URL that was asked for.
    pub(super) url: String,
    /// What the server calls this version of it, an `ETag` or a `Last-Modified`, if it may stand in `If-Range`.
    pub(super) validator: Option<String>,
}

impl About {
    /// What a response to a request for `url` says of itself.
    pub(super) fn of(url: &str, headers: &HeaderMap) -> Self {
        Self { url: url.to_owned(), validator: strong_validator(headers) }
    }
}

/// RFC 9110 section 13.1.5: a strong entity tag, or else a date that is strong.
fn strong_validator(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim().to_owned());
    if let Some(etag) = text("etag") {
        return if etag.starts_with("W/") { None } else { Some(etag) };
    }
    // RFC 9110 section 8.8.2.2: strong if it had not changed in the second in which it was sent. Equal texts are the
    // same second; a date that is later than the response's own would be a lie, and never matches.
    let (modified, date) = (text("last-modified")?, text("date")?);
    if modified == date { None } else { Some(modified) }
}

/// The file of a download under way. What has come stays when it is dropped, if the server can be asked for the rest.
pub(super) struct Part {
    file: File,
    path: PathBuf,
    about_path: PathBuf,
    target: PathBuf,
    /// The same as it was named.
    named: PathBuf,
    length: u64,
    about: Option<About>,
    /// It has its name, or never had anything.
    done: bool,
}

impl Part {
    /// The part beside `target`, with what is in it.
    pub(super) fn open(target: &Path) -> Result<Self, Failure> {
        match fs::metadata(target) {
            Ok(metadata) if !metadata.is_file() => {
                return Err(Failure::usage(format!(
                    "-c goes on with a file, and {} is none; give -O the name of a file",
                    target.display()
                )));
            }
            _ => {}
        }
        let named = target.to_owned();
        // Through a symbolic link the file behind it is replaced, not the link.
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let (path, about_path) = (with_suffix(&target, ".part"), with_suffix(&target, ".part.json"));
        let refuse = |error| cannot_write(&path, &error);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(refuse)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Failure::new(
                Status::File,
                format!(
                    "file: {} is being written by another download; wait for it, or save elsewhere",
                    path.display()
                ),
            )
        })?;
        let length = file.metadata().map_err(refuse)?.len();
        // A description that cannot be read is none: the file is fetched anew.
        let about = fs::read(&about_path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(Self { file, path, about_path, target, named, length, about, done: false })
    }

    /// From where `url` can be gone on with, and on what condition.
    pub(super) fn resumable(&self, url: &str) -> Option<(u64, &str)> {
        let about = self.about.as_ref().filter(|about| about.url == url)?;
        if self.length == 0 { None } else { Some((self.length, about.validator.as_deref()?)) }
    }

    /// Bytes that are there.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The file that it will be, as it was named.
    pub(super) fn named(&self) -> &Path {
        &self.named
    }

    /// Throws away what is there: another version comes.
    pub(super) fn start_anew(&mut self, about: About) -> Result<(), Failure> {
        let begun = (|| {
            self.file.set_len(0)?;
            self.length = 0;
            // In this order: a part is never taken for one of another version.
            let _ = fs::remove_file(&self.about_path);
            fs::write(&self.about_path, serde_json::to_vec(&about)?)
        })();
        self.about = Some(about);
        begun.and_then(|()| self.go_on()).map_err(|error| cannot_write(&self.path, &error))
    }

    /// What is written from now on follows what is there.
    pub(super) fn go_on(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.length)).map(drop)
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(cannot_write(&self.path, &io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    // Counted one by one: on a disk that fills up, what fitted is there.
                    self.length += count as u64;
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(cannot_write(&self.path, &error)),
            }
        }
        Ok(())
    }

    /// Gives the whole file its name.
    pub(super) fn finish(mut self) -> Result<PathBuf, Failure> {
        fs::rename(&self.path, &self.target).map_err(|error| cannot_write(&self.target, &error))?;
        let _ = fs::remove_file(&self.about_path);
        self.done = true;
        Ok(self.named.clone())
    }

    /// What stays if the download ends here.
    pub(super) fn kept(&self) -> Option<(&Path, u64)> {
        self.is_of_use().then_some((&*self.path, self.length))
    }

    /// Nothing is to go on from here: what has come is not what it was called.
    pub(super) fn give_up(&mut self) {
        self.about = None;
    }

    /// Whether the next attempt can go on from here.
    fn is_of_use(&self) -> bool {
        self.length > 0 && self.about.as_ref().is_some_and(|about| about.validator.is_some())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.done && !self.is_of_use() {
            let _ = fs::remove_file(&self.path);
            let _ = fs::remove_file(&self.about_path);
        }
    }
}

/// `path` with `suffix` after its name.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What a `Content-Range` says (RFC 9110 section 14.4): the first byte, if it names some, and the length of the whole.
pub(super) fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let text = headers.get("content-range")?.to_str().ok()?;
    let (range, whole) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let whole = if whole == "*" { None } else { Some(whole.parse().ok()?) };
    let first = if range == "*" { None } else { Some(range.split_once('-')?.0.parse().ok()?) };
    Some((first, whole))
}
