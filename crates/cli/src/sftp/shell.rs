//! The commands, one after the other, with the folder there that they are about.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use wharf::ssh::sftp::{Attributes, Error, Kind, Sftp, shown};

use super::command::{Command, HELP, Way};
use super::listing;
use super::moves::{Mover, Trouble};
use super::paths::{self, expanded, joined, last_part};
use crate::output::Output;

/// Folders within folders that `rm -r` goes into.
const DEEPEST: usize = 64;

/// Where the commands are about.
pub(super) struct Shell {
    pub(super) sftp: Arc<Sftp>,
    /// The folder there; the completer looks at it too.
    pub(super) folder: Arc<Mutex<Vec<u8>>>,
    pub(super) way: Way,
    pub(super) requests: usize,
    pub(super) quiet: bool,
    pub(super) output: Output,
}

/// What comes after a command.
pub(super) enum Next {
    More,
    Quit,
}

impl Shell {
    fn folder(&self) -> Vec<u8> {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn at(&self, path: &str) -> Vec<u8> {
        joined(&self.folder(), path.as_bytes())
    }

    fn mover(&self) -> Mover<'_> {
        Mover { sftp: &self.sftp, requests: self.requests, quiet: self.quiet, output: self.output, failures: 0 }
    }

    /// Goes to a folder there.
    pub(super) async fn go(&self, path: &[u8]) -> Result<(), Trouble> {
        let path = self.sftp.real_path(path).await?;
        if self.sftp.stat(&path, true).await?.kind() != Kind::Folder {
            return Err(Trouble::Refused(format!("{} is no folder", shown(&path))));
        }
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = path;
        Ok(())
    }

    /// Carries one command out.
    pub(super) async fn run(&self, command: Command) -> Result<Next, Trouble> {
        let sftp = &self.sftp;
        match command {
            Command::Nothing => {}
            Command::Help => self.output.line(HELP),
            Command::Quit => return Ok(Next::Quit),
            Command::Where => self.output.line(shown(&self.folder())),
            Command::LocalWhere => {
                let folder = env::current_dir().map_err(|error| here(".", error))?;
                self.output.line(folder.display().to_string());
            }
            Command::Go(path) => self.go(&path.map_or(b".".to_vec(), |path| self.at(&path))).await?,
            Command::LocalGo(path) => env::set_current_dir(&path).map_err(|error| here(&path, error))?,
            Command::List { long, paths } => self.list(long, &paths).await?,
            Command::LocalList(path) => self.list_here(path.as_deref().unwrap_or("."))?,
            Command::Get { way, from, to } => self.get(self.merged(way), &from, to.as_deref()).await?,
            Command::Put { way, from, to } => self.put(self.merged(way), &from, to.as_deref()).await?,
            Command::Remove { recursive, paths } => {
                for path in paths {
                    for path in expanded(sftp, self.at(&path)).await? {
                        self.remove(&path, recursive, DEEPEST).await?;
                    }
                }
            }
            Command::MakeFolder(path) => sftp.make_folder(&self.at(&path)).await?,
            Command::LocalMakeFolder(path) => fs::create_dir(&path).map_err(|error| here(&path, error))?,
            Command::RemoveFolder(path) => sftp.remove_folder(&self.at(&path)).await?,
            Command::Rename(from, to) => sftp.rename(&self.at(&from), &self.under(&from, &to).await?).await?,
            // The target of a symbolic link is text, as it stands.
            Command::Link { symbolic: true, target, link } => {
                sftp.symbolic_link(target.as_bytes(), &self.at(&link)).await?;
            }
            Command::Link { symbolic: false, target, link } => {
                sftp.hard_link(&self.at(&target), &self.at(&link)).await?;
            }
            Command::Stat { path, follow } => {
                let path = self.at(&path);
                let attributes = sftp.stat(&path, follow).await?;
                listing::described(&path, &attributes).iter().for_each(|line| self.output.line(line));
                self.output.object(&as_json(&path, &attributes));
            }
            Command::Mode(mode, path) => {
                for path in expanded(sftp, self.at(&path)).await? {
                    sftp.set(&path, Attributes { permissions: Some(mode), ..Attributes::default() }).await?;
                }
            }
            Command::Room(path) => {
                let room = sftp.room(&self.at(path.as_deref().unwrap_or("."))).await?;
                self.output.line(listing::room(&room));
                self.output.object(&json!({
                    "total": room.total, "free": room.free, "available": room.available, "files": room.files,
                    "files_free": room.files_free,
                }));
            }
        }
        Ok(Next::More)
    }

    fn merged(&self, way: Way) -> Way {
        Way {
            recursive: way.recursive || self.way.recursive,
            preserve: way.preserve || self.way.preserve,
            resume: way.resume,
        }
    }

    /// `to`, or in it under the name that `from` has, if it is a folder.
    async fn under(&self, from: &str, to: &str) -> Result<Vec<u8>, Error> {
        let path = self.at(to);
        match self.sftp.stat(&path, true).await {
            Ok(attributes) if attributes.kind() == Kind::Folder => Ok(joined(&path, last_part(from.as_bytes()))),
            Err(error) if error.is_final() => Err(error),
            _ => Ok(path),
        }
    }

    async fn list(&self, long: bool, given: &[String]) -> Result<(), Trouble> {
        let own = [String::from(".")];
        let given = if given.is_empty() { own.as_slice() } else { given };
        for path in given {
            for path in expanded(&self.sftp, self.at(path)).await? {
                let attributes = self.sftp.stat(&path, true).await?;
                let entries = if attributes.kind() == Kind::Folder {
                    self.sftp.list(&path).await?
                } else {
                    vec![wharf::ssh::sftp::Entry { name: path, long: Vec::new(), attributes }]
                };
                for entry in &entries {
                    self.output.object(&as_json(&entry.name, &entry.attributes));
                }
                let shown = entries.into_iter().filter(|entry| long || !entry.name.starts_with(b".")).collect();
                listing::lines(shown, long).iter().for_each(|line| self.output.line(line));
            }
        }
        Ok(())
    }

    fn list_here(&self, path: &str) -> Result<(), Trouble> {
        let entries = fs::read_dir(path).map_err(|error| here(path, error))?;
        let mut names: Vec<_> =
            entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names.iter().for_each(|name| self.output.line(name));
        Ok(())
    }

    /// Fetches what `from` stands for.
    pub(super) async fn get(&self, way: Way, from: &str, to: Option<&str>) -> Result<(), Trouble> {
        let found = expanded(&self.sftp, self.at(from)).await?;
        let to = Path::new(to.unwrap_or("."));
        if found.len() > 1 && !to.is_dir() {
            return Err(Trouble::Refused(format!("{} is no folder for {} files", to.display(), found.len())));
        }
        let mut mover = self.mover();
        for path in found {
            mover.get(way, &path, to).await?;
        }
        failed(mover.failures)
    }

    async fn put(&self, way: Way, from: &str, to: Option<&str>) -> Result<(), Trouble> {
        let found = expanded_here(from)?;
        let to = to.map_or_else(|| self.folder(), |to| self.at(to));
        if found.len() > 1 && self.sftp.stat(&to, true).await?.kind() != Kind::Folder {
            return Err(Trouble::Refused(format!("{} is no folder for {} files", shown(&to), found.len())));
        }
        let mut mover = self.mover();
        for path in found {
            mover.put(way, &path, &to).await?;
        }
        failed(mover.failures)
    }

    fn remove<'a>(
        &'a self,
        path: &'a [u8],
        recursive: bool,
        deeper: usize,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Trouble>> + 'a>> {
        Box::pin(async move {
            // A link is removed, never what it leads to.
            let attributes = self.sftp.stat(path, false).await?;
            if attributes.kind() != Kind::Folder {
                return Ok(self.sftp.remove(path).await?);
            }
            if !recursive {
                return Err(Trouble::Refused(format!("{} is a folder; rm -r removes it", shown(path))));
            }
            if deeper == 0 {
                return Err(Trouble::Refused(format!("{}: folders are too deep", shown(path))));
            }
            for entry in self.sftp.list(path).await? {
                if wharf::ssh::sftp::local_name(&entry.name).is_none() {
                    return Err(Trouble::Refused(format!(
                        "{}: a name that leads out of the folder is not removed",
                        shown(&entry.name)
                    )));
                }
                self.remove(&joined(path, &entry.name), true, deeper - 1).await?;
            }
            Ok(self.sftp.remove_folder(path).await?)
        })
    }
}

fn failed(failures: usize) -> Result<(), Trouble> {
    match failures {
        0 => Ok(()),
        1 => Err(Trouble::Refused("one file was not moved".to_owned())),
        more => Err(Trouble::Refused(format!("{more} files were not moved"))),
    }
}

fn here(path: &str, error: std::io::Error) -> Trouble {
    Trouble::Local { path: path.into(), error }
}

fn as_json(name: &[u8], attributes: &Attributes) -> serde_json::Value {
    json!({
        "name": String::from_utf8_lossy(name),
        "kind": match attributes.kind() {
            Kind::File => "file",
            Kind::Folder => "folder",
            Kind::Link => "link",
            Kind::Other => "other",
        },
        "size": attributes.size,
        "mode": attributes.mode(),
        "changed": attributes.times.map(|(_, changed)| changed),
    })
}

/// The local files that `path` stands for: itself, or what its last part matches.
fn expanded_here(path: &str) -> Result<Vec<std::path::PathBuf>, Trouble> {
    use std::os::unix::ffi::OsStrExt;
    let whole = Path::new(path);
    let name = paths::last_part(path.as_bytes());
    if !name.iter().any(|byte| matches!(byte, b'*' | b'?')) || whole.exists() {
        return Ok(vec![whole.to_owned()]);
    }
    let folder = whole.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found: Vec<_> = fs::read_dir(folder)
        .map_err(|error| here(&folder.to_string_lossy(), error))?
        .filter_map(Result::ok)
        .filter(|entry| wharf::ssh::sftp::name_matches(name, entry.file_name().as_bytes()))
        .filter(|entry| name.starts_with(b".") || !entry.file_name().as_bytes().starts_with(b"."))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(here(path, std::io::ErrorKind::NotFound.into()));
    }
    Ok(found)
}
