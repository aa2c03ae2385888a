//! Exit statuses, and the errors that lead to them. The statuses are GNU wget's, so that scripts know them.

use std::process::ExitCode;
use std::time::Duration;

use wharf::{dns, http};

/// What every command's help says about its status.
pub(crate) const HELP: &str = "\
Exit status:
  0  done, whole
  1  anything not listed here; for ping and nslookup: no reply, no such name or record
  2  the command line makes no sense
  3  a file could not be read or written
  4  the network: no link, no address, no such name, refused, unreachable, no answer in time
  5  TLS: the certificate or the handshake was refused; DNSSEC: an answer is not what its owner signed
  6  the server wants a user name and password (401, 407)
  7  the protocol: no HTTP, a body cut short, too many redirects
  8  the server answered with another error (4xx, 5xx)
  130  interrupted by Ctrl-C";

/// A command's end other than success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Other = 1,
    Usage = 2,
    File = 3,
    Network = 4,
    Tls = 5,
    Authentication = 6,
    Protocol = 7,
    Server = 8,
    Interrupted = 130,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// Why a command ended without success: the status, and a sentence for the reader.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Failure {
    pub(crate) status: Status,
    /// Whether the same may well succeed a little later, and if somebody said so, when.
    pub(crate) passing: Option<Passing>,
    text: String,
}

/// A failure that may be over soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passing {
    /// When the server said it would be; `None` if it said nothing.
    pub(crate) after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(status: Status, text: impl Into<String>) -> Self {
        Self { status, passing: None, text: text.into() }
    }

    /// The same, known to be over soon, or not.
    pub(crate) fn passing(mut self, passing: Option<Passing>) -> Self {
        self.passing = passing;
        self
    }

    /// A failure that the command's own output has told already.
    pub(crate) fn told(status: Status) -> Self {
        Self::new(status, String::new())
    }

    pub(crate) fn is_told(&self) -> bool {
        self.text.is_empty()
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Status::Usage, text)
    }
}

impl From<http::Error> for Failure {
    fn from(error: http::Error) -> Self {
        let status = match error.layer() {
            http::Layer::Usage => Status::Usage,
            http::Layer::File => Status::File,
            http::Layer::Tls => Status::Tls,
            http::Layer::Authentication => Status::Authentication,
            http::Layer::Protocol => Status::Protocol,
            _ => Status::Network,
        };
        let passing = error.is_transient().then_some(Passing { after: None });
        Self::new(status, error.to_string()).passing(passing)
    }
}

impl From<http::CookiesError> for Failure {
    fn from(error: http::CookiesError) -> Self {
        Self::new(Status::File, error.to_string())
    }
}

impl From<http::CacheError> for Failure {
    fn from(error: http::CacheError) -> Self {
        Self::new(Status::File, error.to_string())
    }
}

impl From<dns::Error> for Failure {
    fn from(error: dns::Error) -> Self {
        let status = match error {
            dns::Error::InvalidName { .. } => Status::Usage,
            // Both say that whoever answered is not who he should be.
            dns::Error::Tls { .. } | dns::Error::Bogus(_) => Status::Tls,
            _ => Status::Network,
        };
        Self::new(status, error.to_string())
    }
}

impl From<wharf::tls::Error> for Failure {
    fn from(error: wharf::tls::Error) -> Self {
        Self::from(http::Error::from(error))
    }
}
