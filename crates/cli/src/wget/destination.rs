//! Where a body goes: a file that appears under its name only when it is whole, or a stream.
//!
//! Until then the bytes are in a file without a name (`O_TMPFILE`), which disappears by itself however the process
//! ends; on file systems without these, in a hidden file beside the final one. With `-c` they are in a [`Part`].

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};

use super::part::Part;
use crate::exit::{Failure, Status};

/// Takes the bytes of one download.
pub(super) enum Destination {
    /// Standard output, or a device or pipe: bytes go straight out.
    Stream { out: Box<dyn Write + Send>, name: PathBuf },
    /// A file to be.
    File(Pending),
    /// A file of which a part may be there already.
    Part(Part),
}

/// A file that has no name yet, or a hidden one.
pub(super) struct Pending {
    file: File,
    /// The hidden name, removed on drop; `None` for a file without any.
    hidden: Option<PathBuf>,
    target: PathBuf,
    replaces: bool,
}

/// The most numbers tried for a file whose name is taken.
const MOST_NUMBERS: u32 = 10_000;

impl Destination {
    /// Whether the bytes are gone once they are written.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream { .. })
    }

    pub(super) fn stdout() -> Self {
        Self::Stream { out: Box::new(io::stdout()), name: "standard output".into() }
    }

    /// The file `path`, in place of one that is there. A device or a pipe is written to as it stands.
    pub(super) fn replacing(path: &Path) -> Result<Self, Failure> {
        let refuse = |error| cannot_write(path, &error);
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Err(Failure::new(
                Status::File,
                format!("file: {} is a folder; give -O the name of a file", path.display()),
            )),
            Ok(metadata) if !metadata.is_file() => {
                let out = OpenOptions::new().write(true).open(path).map_err(refuse)?;
                Ok(Self::Stream { out: Box::new(out), name: path.to_owned() })
            }
            // Through a symbolic link the file behind it is replaced, not the link.
            Ok(_) => Ok(Self::File(Pending::new(fs::canonicalize(path).map_err(refuse)?, true).map_err(refuse)?)),
            Err(_) => Ok(Self::File(Pending::new(path.to_owned(), true).map_err(refuse)?)),
        }
    }

    /// The file `path`, or `path.1` and so on where that is taken.
    pub(super) fn numbered(path: &Path) -> Result<Self, Failure> {
        Pending::new(path.to_owned(), false).map(Self::File).map_err(|error| cannot_write(path, &error))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Stream { out, name } => out.write_all(bytes).map_err(|error| cannot_write(name, &error)),
            Self::File(pending) => pending.file.write_all(bytes).map_err(|error| cannot_write(&pending.target, &error)),
            Self::Part(part) => part.write(bytes),
        }
    }

    /// Bytes that are there from an earlier time.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Part(part) => part.length(),
            Self::Stream { .. } | Self::File(_) => 0,
        }
    }

    /// What stays if the download ends here: in which file, and how many bytes.
    pub(super) fn kept(&self) -> Option<(&Path, u64)> {
        match self {
            Self::Part(part) => part.kept(),
            Self::Stream { .. } | Self::File(_) => None,
        }
    }

    /// Nothing of it is to be gone on with.
    pub(super) fn give_up(&mut self) {
        match self {
            Self::Part(part) => part.give_up(),
            Self::Stream { .. } | Self::File(_) => {}
        }
    }

    /// Gives the whole file its name and says which; `None` for a stream.
    pub(super) fn finish(self) -> Result<Option<PathBuf>, Failure> {
        match self {
            Self::Stream { mut out, name } => {
                out.flush().map_err(|error| cannot_write(&name, &error))?;
                Ok(None)
            }
            Self::File(pending) => {
                let target = pending.target.clone();
                pending.publish().map(Some).map_err(|error| cannot_write(&target, &error))
            }
            Self::Part(part) => part.finish().map(Some),
        }
    }
}

impl Pending {
    fn new(target: PathBuf, replaces: bool) -> io::Result<Self> {
        let folder = folder_of(&target);
        let mode = Mode::from_raw_mode(0o666);
        if let Ok(file) = openat(CWD, folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, mode) {
            return Ok(Self { file: file.into(), hidden: None, target, replaces });
        }
        // Not every file system has files without a name; whatever else is wrong shows here again.
        let hidden = hidden_name(&target, "part");
        let file = OpenOptions::new().write(true).create_new(true).mode(0o666).open(&hidden)?;
        Ok(Self { file, hidden: Some(hidden), target, replaces })
    }

    /// Links the file to its name. The name holds the whole file or what it held before, at every moment.
    fn publish(mut self) -> io::Result<PathBuf> {
        if self.replaces {
            if self.hidden.is_none() {
                let hidden = hidden_name(&self.target, "done");
                self.link(&hidden)?;
                self.hidden = Some(hidden);
            }
            if let Some(hidden) = &self.hidden {
                fs::rename(hidden, &self.target)?;
                self.hidden = None;
            }
            return Ok(self.target.clone());
        }
        for number in 0..MOST_NUMBERS {
            let name = numbered_name(&self.target, number);
            match self.link(&name) {
                Ok(()) => return Ok(name),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "every number for a file of this name is taken"))
    }

    /// Gives the file the name `name`, which must be free.
    fn link(&self, name: &Path) -> io::Result<()> {
        match &self.hidden {
            Some(hidden) => fs::hard_link(hidden, name),
            None => {
                let itself = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                Ok(linkat(CWD, itself, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            let _ = fs::remove_file(hidden);
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// `.NAME.wharf-PID.STAGE` beside `target`.
fn hidden_name(target: &Path, stage: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!(".wharf-{}.{stage}", std::process::id()));
    target.with_file_name(name)
}

fn numbered_name(target: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return target.to_owned();
    }
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let place = path.display();
    let text = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => format!(
            "file: {place} cannot be written: the disk is full ({error}); free some space, or save elsewhere with -O"
        ),
        io::ErrorKind::FileTooLarge => {
            format!("file: {place} cannot be written: it grows larger than files may be here ({error})")
        }
        io::ErrorKind::BrokenPipe => format!("file: {place} was closed before the whole was written"),
        io::ErrorKind::NotFound => {
            format!("file: the folder of {place} does not exist; make it, or save elsewhere with -O")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("file: {place} cannot be written ({error}); save elsewhere with -O")
        }
        _ => format!("file: {place} cannot be written: {error}"),
    };
    Failure::new(Status::File, text)
}
