//! The files themselves: read within a bound, appended to in one write.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use russh::keys::PublicKey;

use super::entry;

/// A key that could not be written down.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written: {reason}", file.display())]
pub struct Unwritable {
    /// The file.
    pub file: PathBuf,
    /// What the system, or the key's encoder, says.
    pub reason: String,
}

/// The bytes of `file`, at most `most`; the line that the bound cuts is left out.
pub(in crate::ssh) fn read(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    let opened = File::open(file)?;
    if !opened.metadata()?.is_file() && file != Path::new("/dev/null") {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = Vec::new();
    opened.take(most + 1).read_to_end(&mut text)?;
    if text.len() as u64 > most {
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        text.truncate(whole);
    }
    Ok(text)
}

pub(super) fn append(file: &Path, name: &str, key: &PublicKey, hashed: bool) -> Result<(), Unwritable> {
    let failed = |reason: String| Unwritable { file: file.to_owned(), reason };
    let key = key.to_openssh().map_err(|error| failed(error.to_string()))?;
    // A key's comment would be the server's words; only the kind and the key are written.
    let key = key.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let name = if hashed {
        let mut salt = [0; 20];
        rand::fill(&mut salt).map_err(|_| failed("the system gives no random numbers".to_owned()))?;
        entry::hashed(name, &salt)
    } else {
        name.to_owned()
    };
    append_line(file, &format!("{name} {key}\n")).map_err(|error| failed(error.to_string()))
}

fn append_line(path: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = path.parent()
        && !folder.as_os_str().is_empty()
        && !folder.exists()
    {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let mut whole = String::new();
    // A file whose last line has no end gets it first, in the same write.
    if fs::metadata(path)?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            whole.push('\n');
        }
    }
    whole += line;
    // O_APPEND: one write is one piece, whoever else appends.
    file.write_all(whole.as_bytes())
}
