//! Why an SFTP request failed.

use crate::ssh::{self, printable};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file.
    #[error("{path}: no such file or folder there")]
    NotFound {
        /// The path.
        path: String,
    },
    /// It is not allowed.
    #[error("{path}: permission denied")]
    Denied {
        /// The path.
        path: String,
    },
    /// The server failed for another reason: a full disk, a folder that is not empty, a name that is taken.
    #[error("{path}: {message}")]
    Failed {
        /// The path.
        path: String,
        /// The server's words.
        message: String,
    },
    /// The server does not know the request.
    #[error("{path}: the server cannot do that")]
    Unsupported {
        /// The path.
        path: String,
    },
    /// A file was at its end too early.
    #[error("{path}: it ended at byte {at}, of {expected}")]
    CutShort {
        /// The path.
        path: String,
        /// Where it ended.
        at: u64,
        /// Its size as told.
        expected: u64,
    },
    /// The server broke the protocol.
    #[error("the server broke the SFTP protocol: {0}")]
    Protocol(String),
    /// The connection is gone.
    #[error("the connection is gone: {0}")]
    Closed(String),
    /// There is no SFTP to be had.
    #[error(transparent)]
    Session(#[from] ssh::Error),
    /// A local reader or writer failed.
    #[error("{0}")]
    Local(std::io::Error),
}

impl Error {
    /// Whether nothing more can be done in this session.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Protocol(_) | Self::Closed(_) | Self::Session(_))
    }

    /// A status other than success, about `path`.
    pub(super) fn of_status(code: u32, message: &str, path: &[u8]) -> Self {
        let path = shown(path);
        match code {
            2 => Self::NotFound { path },
            3 => Self::Denied { path },
            8 => Self::Unsupported { path },
            6 | 7 => Self::Closed(printable(message)),
            _ => {
                let words = match (message.trim(), code) {
                    ("" | "Failure", 4) => "the server failed at it, and does not say why".to_owned(),
                    ("", code) => format!("the server answered with status {code}"),
                    (words, _) => printable(words),
                };
                Self::Failed { path, message: words }
            }
        }
    }
}

/// A path as people can read it, whatever its bytes.
#[must_use]
pub fn shown(path: &[u8]) -> String {
    printable(&String::from_utf8_lossy(path)).replace(['\n', '\t'], "\u{fffd}")
}
