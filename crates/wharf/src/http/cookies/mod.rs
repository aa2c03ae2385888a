//! Cookies (RFC 6265bis) of one user: kept in memory, read from and written to a cookies.txt as curl and wget have it.
//! Called by `keeping`, which adds them to requests and takes them from responses.

mod file;
mod jar;

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ::http::HeaderMap;
use ::http::header::SET_COOKIE;
use url::Url;

use self::jar::Jar;
use super::Method;

/// A file larger than this is not one of cookies: 3000 of the longest are 13 MB.
const LARGEST_FILE: u64 = 16 << 20;

/// A file of cookies that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CookiesError {
    /// The file cannot be read.
    #[error("file: the cookies in {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The file is not one of cookies, or damaged.
    #[error(
        "file: {} is not a file of cookies: line {line}: {reason}; it has to be as Netscape, curl and wget write it, \
         and is left as it is", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file is too large to be one of cookies.
    #[error("file: {} is not a file of cookies: it is larger than {} MiB", path.display(), LARGEST_FILE >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written. What it held before is there still.
    #[error("file: the cookies cannot be written to {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// The cookies of one user; clones share them. At most 3000, of which 180 of one site, each of at most 4096 bytes.
///
/// ```
/// # fn example() -> Result<(), wharf::http::CookiesError> {
/// let path = std::path::Path::new("cookies.txt");
/// let cookies = wharf::http::Cookies::load(path)?;
/// // ... `client.with_cookies(cookies.clone())`, requests, and then:
/// cookies.save(path)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Cookies(Arc<Mutex<Jar>>);

impl Cookies {
    /// No cookies yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cookies of the file `path`; none where it does not exist.
    ///
    /// The format has no place for `SameSite`: what is read counts as `Lax`.
    ///
    /// # Errors
    /// [`CookiesError::Read`], [`CookiesError::Damaged`] and [`CookiesError::TooLarge`].
    pub fn load(path: &Path) -> Result<Self, CookiesError> {
        let cookies = Self::new();
        let refuse = |source| CookiesError::Read { path: path.to_owned(), source };
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(cookies),
            Err(error) => return Err(refuse(error)),
        };
        let mut bytes = Vec::new();
        file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(refuse)?;
        if bytes.len() as u64 > LARGEST_FILE {
            return Err(CookiesError::TooLarge { path: path.to_owned() });
        }
        let lines = file::parse(&bytes).map_err(|damage| CookiesError::Damaged {
            path: path.to_owned(),
            line: damage.line,
            reason: damage.reason,
        })?;
        cookies.jar().take_lines(lines, now());
        Ok(cookies)
    }

    /// Writes them to the file `path`, those that end with the session too, as curl does. The file is its owner's
    /// alone (mode 0600), and at every moment the old one or the new one.
    ///
    /// # Errors
    /// [`CookiesError::Write`].
    pub fn save(&self, path: &Path) -> Result<(), CookiesError> {
        let text = file::print(&self.jar().lines(now()));
        replace(path, text.as_bytes()).map_err(|source| CookiesError::Write { path: path.to_owned(), source })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.jar().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many were not taken: for another host, for a public suffix, too long, not encrypted as promised.
    pub fn refused(&self) -> u64 {
        self.jar().refused()
    }

    /// The `Cookie` field for a request to which the URLs `from` redirected.
    pub(super) fn field(&self, method: &Method, url: &Url, from: &[Url]) -> Option<String> {
        self.jar().field(method, url, from, now())
    }

    /// Takes those that a response from `url` sets.
    pub(super) fn take(&self, url: &Url, headers: &HeaderMap) {
        if headers.contains_key(SET_COOKIE) {
            let fields = headers.get_all(SET_COOKIE).into_iter().map(|value| value.as_bytes());
            self.jar().take(url, fields, now());
        }
    }

    /// Nothing that holds the lock can panic half-way, so that a poisoned one is whole too.
    fn jar(&self) -> MutexGuard<'_, Jar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Puts `bytes` in place of the file `path`, by way of one beside it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Through a symbolic link the file behind it is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?);
    name.push(format!(".wharf-{}", std::process::id()));
    let beside = target.with_file_name(name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &target)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests;
