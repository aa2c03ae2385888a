//! A local file that is being fetched: `NAME.part` beside its final name until it is whole.

use std::ffi::OsString;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::OFlags;
use wharf::ssh::sftp::Attributes;

/// What is added to the name of a file that is not whole yet, here and on the server.
pub(super) const SUFFIX: &str = ".part";

/// The file under way.
pub(super) struct Part {
    file: File,
    path: PathBuf,
    target: PathBuf,
}

/// `target` with the suffix.
fn part_of(target: &Path) -> PathBuf {
    let mut name = target.file_name().map(OsString::from).unwrap_or_default();
    name.push(SUFFIX);
    target.with_file_name(name)
}

impl Part {
    /// Begins `target` anew, for a file with the permissions `mode`.
    pub(super) fn create(target: &Path, mode: u32) -> io::Result<Self> {
        Self::open(target, mode, true)
    }

    /// Goes on with `target`, and tells how many bytes are there: of its part, or of what another program left under the
    /// name itself, unless that is whole.
    pub(super) fn resume(target: &Path, mode: u32, size: u64) -> io::Result<(Self, u64)> {
        let path = part_of(target);
        let is_shorter = |file: &Path| fs::symlink_metadata(file).is_ok_and(|had| had.is_file() && had.len() < size);
        if !path.exists() && is_shorter(target) {
            fs::rename(target, &path)?;
        }
        let part = Self::open(target, mode, false)?;
        let length = part.file.metadata()?.len();
        Ok((part, length))
    }

    fn open(target: &Path, mode: u32, anew: bool) -> io::Result<Self> {
        let path = part_of(target);
        let file = OpenOptions::new()
            .append(!anew)
            .write(true)
            .create(true)
            .truncate(anew)
            // Ours to go on with, whatever the other's permissions.
            .mode(mode & 0o777 | 0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{} is no file", path.display())));
        }
        Ok(Self { file, path, target: target.to_owned() })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Gives the whole file its name, and with `keep` the times and permissions of the original.
    pub(super) fn publish(self, keep: Option<&Attributes>) -> io::Result<()> {
        if let Some(attributes) = keep {
            preserve(&self.file, attributes)?;
        }
        fs::rename(&self.path, &self.target)
    }
}

/// Gives `file` the times and permissions of `attributes`, without set-user-id and its like: who owns it here is
/// another.
pub(super) fn preserve(file: &File, attributes: &Attributes) -> io::Result<()> {
    if let Some(mode) = attributes.mode() {
        file.set_permissions(Permissions::from_mode(mode & 0o777))?;
    }
    if let Some((read, changed)) = attributes.times {
        let time = |seconds: u32| UNIX_EPOCH + Duration::from_secs(seconds.into());
        file.set_times(FileTimes::new().set_accessed(time(read)).set_modified(time(changed)))?;
    }
    Ok(())
}
