//! What the tabulator completes: commands, names there, names here.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use wharf::ssh::sftp::{Kind, Sftp};

use super::command::NAMES;
use super::paths::{joined, parted};
use super::words;

/// A completion that takes longer is not wanted any more.
const PATIENCE: Duration = Duration::from_secs(5);
/// Names that are offered.
const MOST: usize = 1000;

/// Completes over the session.
pub(super) struct Completion {
    pub(super) sftp: Arc<Sftp>,
    pub(super) folder: Arc<Mutex<Vec<u8>>>,
    pub(super) runtime: tokio::runtime::Handle,
}

impl Helper for Completion {}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Hinter for Completion {
    type Hint = String;
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..at];
        let start = word_start(before);
        let word = words::split(&before[start..]).ok().and_then(|words| words.into_iter().next()).unwrap_or_default();
        let first = words::split(&before[..start]).ok().and_then(|words| words.into_iter().next());
        let mut found = match first.as_deref().map(|name| name.trim_start_matches('-')) {
            None => NAMES.iter().filter(|name| name.starts_with(&word)).map(|name| format!("{name} ")).collect(),
            Some("lcd" | "lls" | "lmkdir" | "put" | "reput") => here(&word),
            Some(_) => self.there(&word),
        };
        found.sort();
        found.truncate(MOST);
        Ok((start, found))
    }
}

impl Completion {
    fn there(&self, word: &str) -> Vec<String> {
        let (folder, beginning) = parted(word.as_bytes());
        let here = self.folder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let path = if folder.is_empty() { here } else { joined(&here, folder) };
        let sftp = Arc::clone(&self.sftp);
        // The line is edited on a thread of its own; the session's runs on.
        let listed = self
            .runtime
            .block_on(async move { tokio::time::timeout(PATIENCE, sftp.list(&path)).await.ok()?.ok() })
            .unwrap_or_default();
        let prefix = &word[..word.len() - beginning.len()];
        listed
            .into_iter()
            .filter(|entry| entry.name.starts_with(beginning))
            .filter_map(|entry| Some((String::from_utf8(entry.name).ok()?, entry.attributes.kind())))
            .filter(|(name, _)| !name.contains(char::is_control))
            .map(|(name, kind)| finished(prefix, &name, kind == Kind::Folder))
            .collect()
    }
}

fn here(word: &str) -> Vec<String> {
    let (folder, beginning) = word.rsplit_once('/').map_or(("", word), |(folder, rest)| (folder, rest));
    let prefix = &word[..word.len() - beginning.len()];
    let path = match (folder, prefix) {
        ("", "/") => Path::new("/"),
        ("", _) => Path::new("."),
        (folder, _) => Path::new(folder),
    };
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path().is_dir())))
        .filter(|(name, _)| name.starts_with(beginning))
        .map(|(name, is_folder)| finished(prefix, &name, is_folder))
        .collect()
}

/// A folder invites more, a file is done.
fn finished(prefix: &str, name: &str, is_folder: bool) -> String {
    format!("{}{}{}", words::quoted(prefix), words::quoted(name), if is_folder { '/' } else { ' ' })
}

/// Where the word begins that the cursor is at the end of.
fn word_start(line: &str) -> usize {
    let mut start = 0;
    let mut escaped = false;
    for (at, letter) in line.char_indices() {
        match letter {
            '\\' if !escaped => escaped = true,
            letter if letter.is_whitespace() && !escaped => {
                start = at + letter.len_utf8();
            }
            _ => escaped = false,
        }
    }
    start
}

#[cfg(test)]
pub(super) fn start_of(line: &str) -> usize {
    word_start(line)
}
