//! Errors as Linux numbers them: the one place where the engine's words become errno.

use std::ffi::c_int;

use stack::ports::BindError;
use stack::tcp::{ConnectError, TcpError};

/// An errno value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub c_int);

/// What a call returns.
pub(crate) type Sys<T> = Result<T, Errno>;

impl Errno {
    /// Stores it where C looks for it.
    pub(crate) fn set(self) {
        // SAFETY: glibc gives the calling thread's errno, which lives as long as the thread.
        unsafe { *libc::__errno_location() = self.0 }
    }

    /// What the system call before has left there.
    pub(crate) fn last() -> Self {
        Self(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<BindError> for Errno {
    fn from(error: BindError) -> Self {
        Self(match error {
            BindError::InUse | BindError::NoPorts => libc::EADDRINUSE,
            BindError::NotAvailable => libc::EADDRNOTAVAIL,
        })
    }
}

impl From<ConnectError> for Errno {
    fn from(error: ConnectError) -> Self {
        Self(match error {
            ConnectError::NoRoute => libc::ENETUNREACH,
            ConnectError::InUse => libc::EADDRINUSE,
            // Linux answers so for an address that no host can have: there is no route to it.
            ConnectError::BadDestination => libc::ENETUNREACH,
            _ => libc::EADDRNOTAVAIL,
        })
    }
}

impl From<TcpError> for Errno {
    fn from(error: TcpError) -> Self {
        Self(match error {
            TcpError::Refused => libc::ECONNREFUSED,
            TcpError::Reset => libc::ECONNRESET,
            TcpError::TimedOut => libc::ETIMEDOUT,
            TcpError::HostUnreachable => libc::EHOSTUNREACH,
            TcpError::NetworkUnreachable => libc::ENETUNREACH,
            TcpError::ProtocolUnreachable => libc::ENOPROTOOPT,
            TcpError::Prohibited => libc::EACCES,
            TcpError::AddressRemoved => libc::ENETDOWN,
            TcpError::Aborted => libc::ECONNABORTED,
            _ => libc::EIO,
        })
    }
}
