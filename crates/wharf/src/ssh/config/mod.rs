//! ssh_config: what files and the command line say about a host (ssh_config(5)).
//!
//! As in OpenSSH the first value found for a word holds, but for the words that may be given several times; so the
//! command line is [`set`](Reader::set) first, then the user's file is read, then the system's. `Host`, `Match` (by names
//! and `all`), `Include` and the common words are known; another word is a note, a bad value an error.

mod forward;
mod settings;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

pub use self::forward::{Forward, Listen};
pub use self::settings::{ForwardAgent, JumpHost, Settings};
use crate::ssh::known_hosts::LONGEST_LINE;
use crate::ssh::pattern;

/// What of a file is read at most, in bytes.
const MOST_BYTES: u64 = 1 << 20;
/// Files that include files that include files.
const DEEPEST: usize = 16;
/// Files that are read in all.
const MOST_FILES: usize = 256;
/// Notes that are kept.
const MOST_NOTES: usize = 50;

/// A value that makes no sense, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct BadValue {
    /// File and line, or the option.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads what concerns one host.
#[derive(Debug)]
pub struct Reader {
    /// The host as it was named.
    host: String,
    /// The name of the user who runs this.
    local_user: String,
    home: Option<PathBuf>,
    settings: Settings,
    notes: Vec<String>,
    files: usize,
}

impl Reader {
    /// For the host named `host`, and for `local_user` with his `home`.
    #[must_use]
    pub fn new(host: &str, local_user: &str, home: Option<&Path>) -> Self {
        Self {
            host: host.to_owned(),
            local_user: local_user.to_owned(),
            home: home.map(Path::to_owned),
            settings: Settings::default(),
            notes: Vec::new(),
            files: 0,
        }
    }

    /// Takes one option as `-o` gives it: `Word=value` or `Word value`.
    ///
    /// # Errors
    /// If the word is unknown or its value makes no sense.
    pub fn set(&mut self, option: &str) -> Result<(), BadValue> {
        let place = || format!("-o {option}");
        let bad = |reason: String| BadValue { place: place(), reason };
        let Some((word, values)) = words::split(option).map_err(|reason| bad(reason.to_owned()))? else {
            return Err(bad("it is empty".to_owned()));
        };
        match self.settings.set(&word, &values) {
            Ok(true) => Ok(()),
            Ok(false) => Err(bad(format!("{word} is not known here"))),
            Err(reason) => Err(bad(reason)),
        }
    }

    /// Takes `word`, in small letters, with one `value` as it is.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_word(&mut self, word: &str, value: &str) -> Result<(), BadValue> {
        let bad = |reason: String| BadValue { place: format!("{word} {value}"), reason };
        match self.settings.set(word, &[value.to_owned()]) {
            Ok(true) => Ok(()),
            Ok(false) => Err(bad("it is not known here".to_owned())),
            Err(reason) => Err(bad(reason)),
        }
    }

    /// Takes the hosts to go through, unless some have been said.
    pub fn set_jumps(&mut self, jumps: Vec<JumpHost>) {
        self.settings.proxy_jump.get_or_insert(jumps);
    }

    /// How many notes there are by now.
    #[must_use]
    pub fn notes_so_far(&self) -> usize {
        self.notes.len()
    }

    /// Reads `file`; one that does not exist says nothing. Names in it without a folder are looked for beside it.
    ///
    /// # Errors
    /// A value that makes no sense, or a file that cannot be read.
    pub fn read(&mut self, file: &Path) -> Result<(), BadValue> {
        self.include(file, 0, true)
    }

    /// Takes `text` as the content of `file`.
    ///
    /// # Errors
    /// A value that makes no sense.
    pub fn read_text(&mut self, file: &Path, text: &str) -> Result<(), BadValue> {
        self.lines(file, text, 0, true)
    }

    /// What has been said, and what was said in vain.
    #[must_use]
    pub fn finish(self) -> (Settings, Vec<String>) {
        (self.settings, self.notes)
    }

    fn include(&mut self, file: &Path, depth: usize, active: bool) -> Result<(), BadValue> {
        self.files += 1;
        if self.files > MOST_FILES {
            self.note(format!("{}: too many files are included; this one is not read", file.display()));
            return Ok(());
        }
        match super::known_hosts::read_bounded(file, MOST_BYTES) {
            Ok(text) => self.lines(file, &String::from_utf8_lossy(&text), depth, active),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(BadValue { place: file.display().to_string(), reason: error.to_string() }),
        }
    }

    fn lines(&mut self, file: &Path, text: &str, depth: usize, outer: bool) -> Result<(), BadValue> {
        let mut active = outer;
        for (index, line) in text.lines().enumerate() {
            let place = || format!("{}:{}", file.display(), index + 1);
            let bad = |reason: String| BadValue { place: place(), reason };
            if line.len() > LONGEST_LINE {
                return Err(bad("the line is too long".to_owned()));
            }
            let Some((word, values)) = words::split(line).map_err(|reason| bad(reason.to_owned()))? else { continue };
            match word.as_str() {
                "host" => active = outer && pattern::list_matches(values.iter().map(String::as_str), &self.host),
                "match" => active = outer && self.criteria(&values, &place()),
                "include" => {
                    for value in &values {
                        for included in self.included(file, value) {
                            if depth == DEEPEST {
                                self.note(format!("{}: files include each other too deeply", place()));
                                return Ok(());
                            }
                            self.include(&included, depth + 1, active)?;
                        }
                    }
                }
                // Of what is for other hosts nothing is looked at.
                _ if !active => {}
                _ => match self.settings.set(&word, &values) {
                    Ok(true) => {}
                    Ok(false) => self.note(format!("{}: {word} is not known here, and has no effect", place())),
                    Err(reason) => return Err(bad(reason)),
                },
            }
        }
        Ok(())
    }

    /// Whether a `Match` line is about this host. What cannot be judged here is not.
    fn criteria(&mut self, words: &[String], place: &str) -> bool {
        let mut words = words.iter();
        let mut all = true;
        while let Some(word) = words.next() {
            let (negated, word) = match word.strip_prefix('!') {
                Some(word) => (true, word),
                None => (false, word.as_str()),
            };
            let subject = match word.to_ascii_lowercase().as_str() {
                "all" => continue,
                "host" => self.settings.host_name.clone().unwrap_or_else(|| self.host.clone()),
                "originalhost" => self.host.clone(),
                "user" => self.settings.user.clone().unwrap_or_else(|| self.local_user.clone()),
                "localuser" => self.local_user.clone(),
                other => {
                    self.note(format!("{place}: Match {other} is not known here; what follows is passed over"));
                    return false;
                }
            };
            let patterns = words.next().map_or("", String::as_str);
            all &= pattern::list_matches(patterns.split(','), &subject) != negated;
        }
        all
    }

    /// The files that an `Include` means: wildcards in the last part of the path are looked up.
    fn included(&self, file: &Path, value: &str) -> Vec<PathBuf> {
        let path = match (value.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => file.parent().unwrap_or(Path::new(".")).join(value),
        };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !name.contains(['*', '?']) {
            return vec![path];
        }
        let Some(Ok(folder)) = path.parent().map(fs::read_dir) else { return Vec::new() };
        let mut found: Vec<PathBuf> = folder
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_str().is_some_and(|one| pattern::matches(&name, one)))
            .map(|entry| entry.path())
            .take(MOST_FILES)
            .collect();
        found.sort();
        found
    }

    fn note(&mut self, text: String) {
        if self.notes.len() < MOST_NOTES {
            self.notes.push(text);
        }
    }
}

#[cfg(test)]
mod tests;
