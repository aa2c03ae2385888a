//! The known_hosts files: whose key a host has, which keys are revoked, which authorities sign for it.
//!
//! The format is OpenSSH's (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT), in full: hashed names, wildcards and negation,
//! `[host]:port`, `@revoked`, `@cert-authority`, several keys for a host. `handler` asks here when a server has shown
//! its key, `session` before that, for the kinds of keys worth asking the server for.

mod certificate;
mod entry;
mod store;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

use self::entry::{Entry, Marker};
pub use self::store::Unwritable;
pub(super) use self::store::read as read_bounded;

/// What of a file is read at most, in bytes; what is beyond is not believed.
const MOST_BYTES: u64 = 16 << 20;
/// The longest line that is read, in bytes: several times the largest RSA key.
pub(super) const LONGEST_LINE: usize = 64 << 10;
/// Notes kept about lines that cannot be read.
const MOST_NOTES: usize = 20;

/// Where a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A line that could not be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it is.
    pub place: Place,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: this line is skipped: {}", self.place, self.reason)
    }
}

/// What the files say of a key that a server has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the host's, or its certificate is signed by an authority for the host.
    Known(Place),
    /// Nothing is known of the host, or only keys of other kinds, which are listed.
    Unknown {
        /// The host's keys of other kinds.
        others: Vec<Place>,
    },
    /// The host has another key of this kind.
    Changed {
        /// Where that is written.
        place: Place,
        /// That key's SHA-256 fingerprint.
        fingerprint: String,
    },
    /// The key, or the authority that signed its certificate, is marked `@revoked`.
    Revoked(Place),
    /// An authority for the host signed its certificate, but the certificate is not good for it now.
    BadCertificate {
        /// Where the authority is written.
        place: Place,
        /// What is wrong with the certificate.
        reason: String,
    },
}

/// The lines of some known_hosts files.
#[derive(Clone, Debug, Default)]
pub struct KnownHosts {
    entries: Vec<(Place, Entry)>,
    notes: Vec<Note>,
    skipped: usize,
}

impl KnownHosts {
    /// Reads `files`, in this order; one that does not exist is empty. A line that cannot be read is skipped, with a
    /// [`Note`].
    ///
    /// # Errors
    /// When a file exists and cannot be read: what it would have revoked must not go unheard.
    pub fn read(files: &[PathBuf]) -> Result<Self, (PathBuf, std::io::Error)> {
        let mut known = Self::default();
        for file in files {
            match store::read(file, MOST_BYTES) {
                Ok(text) => known.add(file, &text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err((file.clone(), error)),
            }
        }
        Ok(known)
    }

    /// Adds what stands in `text`, the content of `file`.
    pub fn add(&mut self, file: &Path, text: &[u8]) {
        let file: Arc<Path> = file.into();
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let place = Place { file: Arc::clone(&file), line: index + 1 };
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let read = if line.len() > LONGEST_LINE {
                Err("it is too long")
            } else {
                str::from_utf8(line).map_err(|_| "it is not text").and_then(Entry::parse)
            };
            match read {
                Ok(entry) => self.entries.push((place, entry)),
                Err(reason) if self.notes.len() < MOST_NOTES => self.notes.push(Note { place, reason }),
                Err(_) => self.skipped += 1,
            }
        }
    }

    /// The lines that were skipped: the first of them, and how many more there were.
    #[must_use]
    pub fn notes(&self) -> (&[Note], usize) {
        (&self.notes, self.skipped)
    }

    /// What is known of `key`, shown by `host` at `port`, at the time `now`.
    #[must_use]
    pub fn check(&self, host: &str, port: u16, key: &PublicKeyOrCertificate, now: SystemTime) -> Verdict {
        let names = names(host, port);
        if let Some(certificate) = key.certificate()
            && let Some(verdict) = self.check_certificate(host, &names, certificate, now)
        {
            return verdict;
        }
        self.check_key(&names, &key.public_key())
    }

    /// `None` if no authority known for the host has signed it: the key inside then stands for itself.
    fn check_certificate(
        &self,
        host: &str,
        names: &[String],
        certificate: &Certificate,
        now: SystemTime,
    ) -> Option<Verdict> {
        let authority = certificate.signature_key();
        let revoked = |entry: &Entry| {
            entry.marker == Marker::Revoked
                && (entry.key.key_data() == authority || entry.key.key_data() == certificate.public_key())
        };
        if let Some(place) = self.about(names).find(|(_, entry)| revoked(entry)).map(|(place, _)| place) {
            return Some(Verdict::Revoked(place.clone()));
        }
        let (place, _) = self
            .about(names)
            .find(|(_, entry)| entry.marker == Marker::Authority && entry.key.key_data() == authority)?;
        Some(match certificate::is_good_for(certificate, host, now) {
            Ok(()) => Verdict::Known(place.clone()),
            Err(reason) => Verdict::BadCertificate { place: place.clone(), reason },
        })
    }

    fn check_key(&self, names: &[String], key: &PublicKey) -> Verdict {
        let same = |entry: &Entry| entry.key.key_data() == key.key_data();
        if let Some((place, _)) = self.about(names).find(|(_, entry)| entry.marker == Marker::Revoked && same(entry)) {
            return Verdict::Revoked(place.clone());
        }
        if let Some((place, _)) = self.about(names).find(|(_, entry)| entry.marker == Marker::Host && same(entry)) {
            return Verdict::Known(place.clone());
        }
        // Only what is written for this very port tells of a change: on another port another server may answer.
        let own = || self.about(&names[..1]).filter(|(_, entry)| entry.marker == Marker::Host);
        if let Some((place, entry)) = own().find(|(_, entry)| entry.key.algorithm() == key.algorithm()) {
            return Verdict::Changed { place: place.clone(), fingerprint: fingerprint(&entry.key) };
        }
        Verdict::Unknown { others: own().map(|(place, _)| place.clone()).collect() }
    }

    /// The kinds of keys that are known for the host, and whether an authority signs for it: what to ask it for.
    #[must_use]
    pub(super) fn kinds(&self, host: &str, port: u16) -> (Vec<Algorithm>, bool) {
        let (mut kinds, mut authority) = (Vec::new(), false);
        for (_, entry) in self.about(&names(host, port)) {
            match entry.marker {
                Marker::Host => kinds.push(entry.key.algorithm()),
                Marker::Authority => authority = true,
                Marker::Revoked => {}
            }
        }
        (kinds, authority)
    }

    fn about<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = &'a (Place, Entry)> {
        self.entries.iter().filter(move |(_, entry)| names.iter().any(|name| entry.is_about(name)))
    }

    /// Adds `key` as the key of `host` at `port` to `file`, which is made if need be, for its owner alone. With `hashed`
    /// the name is hidden. The line is appended in one write: another program that adds at the same time loses nothing.
    ///
    /// # Errors
    /// [`Unwritable`] says what stood in the way.
    pub fn append(file: &Path, host: &str, port: u16, key: &PublicKey, hashed: bool) -> Result<(), Unwritable> {
        store::append(file, &names(host, port)[0], key, hashed)
    }
}

/// The names under which `host` may stand in a file: its own, then, away from port 22, the one without the port.
fn names(host: &str, port: u16) -> Vec<String> {
    let host = host.to_ascii_lowercase();
    if port == super::PORT {
        return vec![host];
    }
    vec![format!("[{host}]:{port}"), host]
}

/// A key's fingerprint as people compare it: SHA-256, in base64.
#[must_use]
pub fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

#[cfg(test)]
mod tests;
