//! A file of session secrets in NSS's format, as Wireshark and tshark read it. Only ever where it was asked for.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::Error;
use crate::lock;

/// A file that gets every session's secrets. Whoever can read it can read the sessions.
#[derive(Clone)]
pub struct KeyLog {
    file: Arc<Mutex<File>>,
}

impl KeyLog {
    /// Appends to the file at `path`, which only its owner can read if it is made anew.
    ///
    /// # Errors
    /// [`Error::KeyLog`] when it cannot be opened.
    pub fn append_to(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| Error::KeyLog { path: path.to_owned(), source })?;
        Ok(Self { file: Arc::new(Mutex::new(file)) })
    }
}

impl rustls::KeyLog for KeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hexadecimal(client_random), hexadecimal(secret));
        // A disk that is full spoils the log and not the session.
        let _ = lock(&self.file).write_all(line.as_bytes());
    }
}

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLog").finish_non_exhaustive()
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
