//! File descriptors that belong to sockets of ours, and are real: the end of a script closes them by `close(2)`, and we
//! are not told.
//!
//! Each is the reading end of a pipe whose other end stays here. When the last copy of the reading end has been closed,
//! by whomever, the writing end reports an error.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::epoll::Epoll;
use crate::errno::{Errno, Sys};
use crate::socket::Socket;

/// What a descriptor stands for.
pub(crate) enum Open {
    Socket(Box<Socket>),
    Epoll(Epoll),
}

struct Entry {
    open: Open,
    /// The end of the pipe that stays here.
    ours: OwnedFd,
}

/// The table.
#[derive(Default)]
pub(crate) struct Descriptors {
    entries: BTreeMap<RawFd, Entry>,
}

impl Descriptors {
    /// A new descriptor.
    pub(crate) fn insert(&mut self, open: Open) -> Sys<RawFd> {
        let mut ends: [c_int; 2] = [-1; 2];
        // SAFETY: room for the two numbers that it writes.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
            return Err(Errno::last());
        }
        // SAFETY: the writing end is ours alone.
        let ours = unsafe { OwnedFd::from_raw_fd(ends[1]) };
        self.entries.insert(ends[0], Entry { open, ours });
        Ok(ends[0])
    }

    /// Whether `fd` is ours and still open.
    pub(crate) fn has(&self, fd: RawFd) -> bool {
        self.entries.contains_key(&fd)
    }

    /// The socket behind `fd`.
    pub(crate) fn socket(&mut self, fd: RawFd) -> Sys<&mut Socket> {
        match self.entries.get_mut(&fd).map(|entry| &mut entry.open) {
            Some(Open::Socket(socket)) => Ok(socket),
            Some(Open::Epoll(_)) => Err(Errno(libc::ENOTSOCK)),
            None => Err(Errno(libc::EBADF)),
        }
    }

    /// The epoll instance behind `fd`.
    pub(crate) fn epoll(&mut self, fd: RawFd) -> Sys<&mut Epoll> {
        match self.entries.get_mut(&fd).map(|entry| &mut entry.open) {
            Some(Open::Epoll(epoll)) => Ok(epoll),
            Some(Open::Socket(_)) => Err(Errno(libc::EINVAL)),
            None => Err(Errno(libc::EBADF)),
        }
    }

    /// Every socket.
    pub(crate) fn sockets(&mut self) -> impl Iterator<Item = &mut Socket> {
        self.entries.values_mut().filter_map(|entry| match &mut entry.open {
            Open::Socket(socket) => Some(&mut **socket),
            Open::Epoll(_) => None,
        })
    }

    /// Takes `fd` out of the table and closes it.
    pub(crate) fn close(&mut self, fd: RawFd) -> Option<Open> {
        let entry = self.entries.remove(&fd)?;
        // SAFETY: the reading end was handed out by `insert` and is closed here for its holder, who asked for it.
        unsafe { libc::close(fd) };
        Some(entry.open)
    }

    /// Takes out what others have closed.
    pub(crate) fn take_abandoned(&mut self) -> Vec<Open> {
        let gone: Vec<RawFd> =
            self.entries.iter().filter(|(_, entry)| entry.is_abandoned()).map(|(fd, _)| *fd).collect();
        gone.into_iter().filter_map(|fd| self.entries.remove(&fd)).map(|entry| entry.open).collect()
    }

    /// Takes out everything, closing it.
    pub(crate) fn take_all(&mut self) -> Vec<Open> {
        let abandoned = self.take_abandoned();
        let open: Vec<RawFd> = self.entries.keys().copied().collect();
        abandoned.into_iter().chain(open.into_iter().filter_map(|fd| self.close(fd)).collect::<Vec<_>>()).collect()
    }
}

impl Entry {
    fn is_abandoned(&self) -> bool {
        let mut state = libc::pollfd { fd: self.ours.as_raw_fd(), events: 0, revents: 0 };
        // SAFETY: one descriptor, and no waiting.
        let ready = unsafe { libc::poll(&raw mut state, 1, 0) };
        ready == 1 && state.revents & libc::POLLERR != 0
    }
}
