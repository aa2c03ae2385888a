//! get and put: one file or a whole folder, anew or from where it was interrupted.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use wharf::ssh::sftp::{Attributes, Error, Kind, Open, Sftp, local_name, shown};

use super::command::Way;
use super::part::{self, Part};
use super::paths::{joined, last_part};
use super::progress::Progress;
use crate::output::{self, Output};

/// Folders within folders.
const DEEPEST: usize = 64;

/// Moves files over one session.
pub(super) struct Mover<'a> {
    pub(super) sftp: &'a Sftp,
    pub(super) requests: usize,
    pub(super) quiet: bool,
    pub(super) output: Output,
    /// What failed on the way and did not stop the rest.
    pub(super) failures: usize,
}

/// Why a file was not moved.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Remote(#[from] Error),
    #[error("{}: {}", path.display(), words(error))]
    Local { path: PathBuf, error: io::Error },
    #[error("{0}")]
    Refused(String),
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("the disk is full ({error}); free some space, and reget goes on from there")
        }
        _ => error.to_string(),
    }
}

impl Trouble {
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Remote(error) if error.is_final())
    }
}

/// An error about the local file `path`.
fn local(path: &Path) -> impl FnOnce(io::Error) -> Trouble {
    let path = path.to_owned();
    |error| Trouble::Local { path, error }
}

/// An error of a transfer, in which `path` is what stands here.
fn placed(path: &Path) -> impl FnOnce(Error) -> Trouble {
    let path = path.to_owned();
    |error| match error {
        Error::Local(error) => Trouble::Local { path, error },
        other => other.into(),
    }
}

impl Mover<'_> {
    /// Fetches `from` to `to`, which is a folder to put it in if there is one of that name.
    pub(super) async fn get(&mut self, way: Way, from: &[u8], to: &Path) -> Result<(), Trouble> {
        let attributes = self.sftp.stat(from, true).await?;
        let to = if to.is_dir() {
            // `get ..` and `get /` have no name to keep.
            let name = local_name(last_part(from))
                .ok_or_else(|| Trouble::Refused(format!("{}: it has no name to keep; give one", shown(from))))?;
            to.join(name)
        } else {
            to.to_owned()
        };
        match attributes.kind() {
            Kind::Folder if way.recursive => {
                let mut above = HashSet::new();
                self.get_folder(way, from, &to, attributes, &mut above).await
            }
            Kind::Folder => Err(Trouble::Refused(format!("{} is a folder; get -r fetches it", shown(from)))),
            Kind::File => self.get_file(way, from, &to, attributes).await,
            Kind::Link | Kind::Other => Err(Trouble::Refused(format!("{} is no plain file", shown(from)))),
        }
    }

    async fn get_file(&mut self, way: Way, from: &[u8], to: &Path, attributes: Attributes) -> Result<(), Trouble> {
        let mode = attributes.mode().unwrap_or(0o666);
        let size = attributes.size;
        let (mut part, offset) = if way.resume {
            if size.is_some_and(|size| fs::metadata(to).is_ok_and(|had| had.len() == size)) {
                self.say("is whole already", from, to, 0);
                return Ok(());
            }
            Part::resume(to, mode, size.unwrap_or(u64::MAX)).map_err(local(to))?
        } else {
            (Part::create(to, mode).map_err(local(to))?, 0)
        };
        if size.is_some_and(|size| offset > size) {
            return Err(Trouble::Refused(format!(
                "{}: {offset} bytes are here, and {} there: it is another file; get fetches it anew",
                to.display(),
                size.unwrap_or_default()
            )));
        }
        let progress = Progress::new(&shown(last_part(from)), size.unwrap_or_default(), offset, self.quiet);
        let file = self.sftp.open(from, Open::Read, Attributes::default()).await?;
        let came = self
            .sftp
            .read_to(&file, offset, size, self.requests, |bytes| {
                progress.advance(bytes.len() as u64);
                part.write(bytes)
            })
            .await;
        // A file that could not be closed was read all the same; a session that is gone says so in `came`.
        let _ = self.sftp.close(file).await;
        let came = came.map_err(placed(to))?;
        part.publish(way.preserve.then_some(&attributes)).map_err(local(to))?;
        drop(progress);
        self.say("fetched", from, to, came);
        Ok(())
    }

    fn get_folder<'a>(
        &'a mut self,
        way: Way,
        from: &'a [u8],
        to: &'a Path,
        attributes: Attributes,
        above: &'a mut HashSet<Vec<u8>>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Trouble>> + 'a>> {
        Box::pin(async move {
            let real = self.sftp.real_path(from).await?;
            if above.len() >= DEEPEST || !above.insert(real.clone()) {
                return Err(Trouble::Refused(format!("{}: links lead in a circle, or too deep", shown(from))));
            }
            match fs::create_dir(to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && to.is_dir() => {}
                other => other.map_err(local(to))?,
            }
            for entry in self.sftp.list(from).await? {
                let Some(name) = local_name(&entry.name) else {
                    self.fail(&format!("{}: a name that leads out of the folder is not fetched", shown(&entry.name)));
                    continue;
                };
                let (there, here) = (joined(from, &entry.name), to.join(name));
                let outcome = match self.entry(&there, entry.attributes).await {
                    Ok(attributes) => match attributes.kind() {
                        Kind::Folder => self.get_folder(way, &there, &here, attributes, above).await,
                        Kind::File => self.get_file(way, &there, &here, attributes).await,
                        Kind::Link | Kind::Other => {
                            Err(Trouble::Refused(format!("{} is no plain file", shown(&there))))
                        }
                    },
                    Err(trouble) => Err(trouble),
                };
                self.settle(outcome)?;
            }
            above.remove(&real);
            if way.preserve {
                File::open(to).and_then(|folder| part::preserve(&folder, &attributes)).map_err(local(to))?;
            }
            Ok(())
        })
    }

    /// What an entry of a folder is, behind a link if it is one.
    async fn entry(&self, path: &[u8], listed: Attributes) -> Result<Attributes, Trouble> {
        match listed.kind() {
            Kind::Link => Ok(self.sftp.stat(path, true).await?),
            _ if listed.permissions.is_none() || listed.size.is_none() => Ok(self.sftp.stat(path, false).await?),
            _ => Ok(listed),
        }
    }

    /// Sends `from` to `to`, which is a folder to put it in if there is one of that name.
    pub(super) async fn put(&mut self, way: Way, from: &Path, to: &[u8]) -> Result<(), Trouble> {
        let metadata = fs::metadata(from).map_err(local(from))?;
        let is_folder = |attributes: &Attributes| attributes.kind() == Kind::Folder;
        let to = if self.sftp.stat(to, true).await.as_ref().is_ok_and(is_folder) {
            let whole = from.canonicalize().map_err(local(from))?;
            let name = from.file_name().or(whole.file_name());
            let name = name.ok_or_else(|| Trouble::Refused(format!("{} has no name to keep", from.display())))?;
            joined(to, name.as_bytes())
        } else {
            to.to_vec()
        };
        if metadata.is_dir() {
            if !way.recursive {
                return Err(Trouble::Refused(format!("{} is a folder; put -r sends it", from.display())));
            }
            let mut above = HashSet::new();
            return self.put_folder(way, from, &to, &metadata, &mut above).await;
        }
        self.put_file(way, from, &to, &metadata).await
    }

    async fn put_file(&mut self, way: Way, from: &Path, to: &[u8], metadata: &Metadata) -> Result<(), Trouble> {
        if !metadata.is_file() {
            return Err(Trouble::Refused(format!("{} is no plain file", from.display())));
        }
        let mut source = File::open(from).map_err(local(from))?;
        let size = metadata.len();
        let under_way = [to, part::SUFFIX.as_bytes()].concat();
        let mode = Attributes { permissions: Some(metadata.mode() & 0o777 | 0o200), ..Attributes::default() };
        let mut offset = 0;
        if way.resume {
            offset = match self.sftp.stat(&under_way, true).await {
                Ok(had) => had.size.unwrap_or(0),
                Err(Error::NotFound { .. }) => self.left_by_another(to, &under_way, size).await?,
                Err(error) => return Err(error.into()),
            };
            if offset > size {
                return Err(Trouble::Refused(format!(
                    "{}: {offset} bytes are there, and {size} here: it is another file; put sends it anew",
                    shown(to)
                )));
            }
        }
        let how = if way.resume { Open::Resume } else { Open::Write };
        let file = self.sftp.open(&under_way, how, mode).await?;
        source.seek(SeekFrom::Start(offset)).map_err(local(from))?;
        let progress = Progress::new(&shown(last_part(to)), size, offset, self.quiet);
        let sent =
            self.sftp.write_from(&file, offset, self.requests, &mut source, |bytes| progress.advance(bytes)).await;
        let outcome = match sent {
            Ok(sent) => self.check_and_keep(way, &file, to, offset + sent, metadata).await.map(|()| sent),
            Err(error) => Err(placed(from)(error)),
        };
        let closed = self.sftp.close(file).await;
        let sent = outcome?;
        closed?;
        self.publish(&under_way, to).await?;
        drop(progress);
        self.say("sent", to, from, sent);
        Ok(())
    }

    /// What another program left under the name itself, made ours to go on with unless it is whole.
    async fn left_by_another(&self, to: &[u8], under_way: &[u8], size: u64) -> Result<u64, Trouble> {
        match self.sftp.stat(to, false).await {
            Ok(had) if had.kind() == Kind::File && had.size.is_some_and(|had| had < size) => {
                self.sftp.rename(to, under_way).await?;
                Ok(had.size.unwrap_or(0))
            }
            _ => Ok(0),
        }
    }

    /// The server must have as much as was sent, before the file gets its name.
    async fn check_and_keep(
        &self,
        way: Way,
        file: &wharf::ssh::sftp::Handle,
        to: &[u8],
        length: u64,
        metadata: &Metadata,
    ) -> Result<(), Trouble> {
        if let Some(has) = self.sftp.stat_open(file).await?.size
            && has != length
        {
            return Err(Trouble::Refused(format!("{}: {length} bytes were sent, and {has} arrived", shown(to))));
        }
        if way.preserve {
            self.sftp.set_open(file, kept(metadata)).await?;
        }
        Ok(())
    }

    /// Gives the file its final name, in place of one that has it.
    async fn publish(&self, under_way: &[u8], to: &[u8]) -> Result<(), Trouble> {
        match self.sftp.rename(under_way, to).await {
            // Version 3 by itself has no way to replace a file (section 6.5 of the draft).
            Err(Error::Failed { .. }) if self.sftp.stat(to, false).await.is_ok() => {
                self.sftp.remove(to).await?;
                Ok(self.sftp.rename(under_way, to).await?)
            }
            other => Ok(other?),
        }
    }

    fn put_folder<'a>(
        &'a mut self,
        way: Way,
        from: &'a Path,
        to: &'a [u8],
        metadata: &'a Metadata,
        above: &'a mut HashSet<(u64, u64)>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Trouble>> + 'a>> {
        Box::pin(async move {
            let itself = (metadata.dev(), metadata.ino());
            if above.len() >= DEEPEST || !above.insert(itself) {
                return Err(Trouble::Refused(format!("{}: links lead in a circle, or too deep", from.display())));
            }
            if let Err(error) = self.sftp.make_folder(to).await {
                let there = self.sftp.stat(to, true).await;
                if error.is_final() || !there.is_ok_and(|there| there.kind() == Kind::Folder) {
                    return Err(error.into());
                }
            }
            let mut names: Vec<_> = fs::read_dir(from)
                .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
                .map_err(local(from))?;
            names.sort();
            for name in names {
                let (here, there) = (from.join(&name), joined(to, name.as_bytes()));
                let outcome = match fs::metadata(&here) {
                    Ok(metadata) if metadata.is_dir() => self.put_folder(way, &here, &there, &metadata, above).await,
                    Ok(metadata) => self.put_file(way, &here, &there, &metadata).await,
                    Err(error) => Err(local(&here)(error)),
                };
                self.settle(outcome)?;
            }
            above.remove(&itself);
            if way.preserve {
                self.sftp.set(to, kept(metadata)).await?;
            }
            Ok(())
        })
    }

    /// One file that fails does not stop the others, but an end of the session and a full disk do.
    fn settle(&mut self, outcome: Result<(), Trouble>) -> Result<(), Trouble> {
        match outcome {
            Err(trouble)
                if trouble.is_final()
                    || matches!(&trouble, Trouble::Local { error, .. } if error.kind() == io::ErrorKind::StorageFull) =>
            {
                Err(trouble)
            }
            Err(trouble) => {
                self.fail(&trouble.to_string());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn fail(&mut self, text: &str) {
        self.failures += 1;
        output::note(text);
    }

    fn say(&self, what: &str, there: &[u8], here: &Path, bytes: u64) {
        self.output.object(&json!({
            "done": what,
            "remote": String::from_utf8_lossy(there),
            "local": here.to_string_lossy(),
            "bytes": bytes,
        }));
        if !self.quiet {
            self.output.line(format!("{}: {what}, {}", shown(there), output::bytes(bytes)));
        }
    }
}

/// What -p keeps of a local file.
fn kept(metadata: &Metadata) -> Attributes {
    let seconds = |time: i64| u32::try_from(time).unwrap_or(0);
    Attributes {
        permissions: Some(metadata.mode() & 0o777),
        times: Some((seconds(metadata.atime()), seconds(metadata.mtime()))),
        ..Attributes::default()
    }
}
