//! A link by its name on a command line: `user`, `tap:NAME`, `fd:N`. Used by `--link` of every command, and by whoever
//! lets a configuration choose.

use std::fmt;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::str::FromStr;

use crate::error::OpenError;
use crate::fd::FdLink;
use crate::tap::Tap;
use crate::user::{UserConfig, UserLink};
use crate::{Link, tun};

/// Which link to open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum LinkSpec {
    /// `user`: the user-mode gateway, which needs neither rights nor set-up.
    #[default]
    User,
    /// `tap:NAME`: the TAP interface of this name, which exists.
    Tap(String),
    /// `fd:N`: a descriptor that this process was started with; see [`FdLink`] for what it may be.
    Fd(RawFd),
}

impl LinkSpec {
    /// Opens the link, the user-mode gateway as it is by default; [`UserLink::open`] takes what is to be different.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open(&self) -> Result<Box<dyn Link>, OpenError> {
        self.open_with_mtu(None)
    }

    /// [`open`](Self::open) with the largest IP packet of the link, in bytes. A TAP device has its interface's.
    ///
    /// # Errors
    /// [`OpenError`] says what to do.
    pub fn open_with_mtu(&self, mtu: Option<u32>) -> Result<Box<dyn Link>, OpenError> {
        match self {
            Self::User => {
                let mut config = UserConfig::default();
                config.mtu = mtu.unwrap_or(config.mtu);
                Ok(Box::new(UserLink::open(&config).map_err(OpenError::User)?))
            }
            Self::Tap(name) if mtu.is_some() => Err(OpenError::TapMtu(name.clone())),
            Self::Tap(name) => Ok(Box::new(Tap::open(name)?)),
            Self::Fd(number) => Ok(Box::new(FdLink::named(duplicate(*number)?, self.to_string(), mtu)?)),
        }
    }
}

/// A descriptor of our own for what `number` leads to. The number itself stays open: it is the process's, and who
/// named it may use it for something else, or name it again.
fn duplicate(number: RawFd) -> Result<OwnedFd, OpenError> {
    // SAFETY: fcntl with F_DUPFD_CLOEXEC takes any number, and touches no memory.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if copy == -1 {
        return Err(match std::io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EBADF) => OpenError::NotOpen(number),
            error => OpenError::system(&format!("fd:{number}"), "copying the descriptor", error),
        });
    }
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

impl fmt::Display for LinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("user"),
            Self::Tap(name) => write!(f, "tap:{name}"),
            Self::Fd(number) => write!(f, "fd:{number}"),
        }
    }
}

/// Why a text names no link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkSpecError {
    /// None of the kinds.
    Kind(String),
    /// After `tap:` stands what no interface can be called.
    TapName(String),
    /// After `fd:` stands what is no number of a descriptor.
    FdNumber(String),
}

impl fmt::Display for LinkSpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(text) => write!(f, "{text:?} is no link: expected user, tap:NAME or fd:N"),
            Self::TapName(name) => OpenError::Name(name.clone()).fmt(f),
            Self::FdNumber(text) => write!(f, "{text:?} is no descriptor: expected a number from 0, as in fd:5"),
        }
    }
}

impl std::error::Error for LinkSpecError {}

impl FromStr for LinkSpec {
    type Err = LinkSpecError;

    fn from_str(text: &str) -> Result<Self, LinkSpecError> {
        if text == "user" {
            return Ok(Self::User);
        }
        if let Some(name) = text.strip_prefix("tap:") {
            return if tun::is_interface_name(name) {
                Ok(Self::Tap(name.to_owned()))
            } else {
                Err(LinkSpecError::TapName(name.to_owned()))
            };
        }
        if let Some(number) = text.strip_prefix("fd:") {
            // Digits only: parse() also takes a sign.
            let digits = Some(number).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
            let number = digits.and_then(|digits| digits.parse().ok());
            return number.map(Self::Fd).ok_or_else(|| LinkSpecError::FdNumber(text["fd:".len()..].to_owned()));
        }
        Err(LinkSpecError::Kind(text.to_owned()))
    }
}
