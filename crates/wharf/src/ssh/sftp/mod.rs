//! SFTP, version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions, over a session.
//!
//! Names are bytes. [`Sftp::read_to`] and [`Sftp::write_from`] keep many requests under way; everything else is one
//! question and its answer, and any number of them can be asked at once.
//!
//! What a server says of names is not to be believed: [`local_name`] refuses those that would leave a folder.

mod attributes;
mod client;
mod error;
mod pace;
mod packet;
mod transfer;

pub use self::attributes::{Attributes, Kind};
pub use self::client::{Handle, Open, Room, Sftp};
pub use self::error::{Error, shown};
pub use self::packet::Entry;
pub use self::transfer::Source;
use crate::ssh::channel::StreamReader as Reader;

/// A name from a server as a name in a local folder; `None` if it would lead elsewhere or is none.
#[must_use]
pub fn local_name(name: &[u8]) -> Option<&std::ffi::OsStr> {
    use std::os::unix::ffi::OsStrExt;
    let leaves = name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0);
    (!leaves).then(|| std::ffi::OsStr::from_bytes(name))
}

/// Whether `pattern`, with `*` and `?`, takes in all of `name`.
#[must_use]
pub fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    crate::ssh::pattern::matches_by(pattern, name, |a, b| a == b)
}

#[cfg(test)]
mod tests;
