//! What a file is called, and which URLs a file lists.

use std::io::Read;
use std::path::{Path, PathBuf};

use wharf::http::Url;

use crate::exit::{Failure, Status};

/// Linux allows 255 bytes in a file's name; this leaves room for a number or `.part.json` at its end.
const LONGEST_NAME: usize = 240;

/// The largest list of URLs that is read.
const LONGEST_LIST: u64 = 64 << 20;

/// The last part of the path of `url` as a file's name, `index.html` where it has none.
pub(super) fn default_name(url: &Url) -> PathBuf {
    let last = url.path_segments().and_then(Iterator::last).unwrap_or("");
    let mut name: String = percent_decoded(last)
        .chars()
        // A name is the server's to choose, so it may not leave the folder or reach the terminal as commands.
        .map(|character| if character == '/' || character.is_control() { '_' } else { character })
        .collect();
    while name.len() > LONGEST_NAME {
        name.pop();
    }
    if matches!(name.as_str(), "" | "." | "..") {
        name = "index.html".to_owned();
    }
    PathBuf::from(name)
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The URLs of the file `path`, one a line.
pub(super) fn listed(path: &Path) -> Result<Vec<String>, Failure> {
    let refuse = |reason: &str| Failure::new(Status::File, format!("file: the list {} {reason}", path.display()));
    let cannot = |error: std::io::Error| refuse(&format!("cannot be read: {error}"));
    let source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(cannot)?)
    };
    let mut text = String::new();
    source.take(LONGEST_LIST + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > LONGEST_LIST {
        return Err(refuse(&format!("is larger than {} MiB", LONGEST_LIST >> 20)));
    }
    let urls: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    if urls.is_empty() { Err(refuse("holds no URL")) } else { Ok(urls) }
}
