//! `epoll`: interest in sockets of ours, level- and edge-triggered, once or for good.

use std::collections::BTreeMap;
use std::ffi::c_int;

use libc::epoll_event;

use crate::descriptors::Open;
use crate::errno::{Errno, Sys};
use crate::state::State;

/// An epoll instance.
#[derive(Default)]
pub(crate) struct Epoll {
    interests: BTreeMap<c_int, Interest>,
}

#[derive(Clone, Copy)]
struct Interest {
    events: u32,
    data: u64,
    /// The socket's count of edges when it was last reported; `None` before that.
    reported: Option<u64>,
    /// EPOLLONESHOT has had its shot.
    spent: bool,
}

impl State {
    /// `epoll_create(2)`.
    pub(crate) fn epoll_create(&mut self, size: c_int) -> Sys<c_int> {
        if size <= 0 {
            return Err(Errno(libc::EINVAL));
        }
        self.descriptors.insert(Open::Epoll(Epoll::default()))
    }

    /// `epoll_ctl(2)`.
    pub(crate) fn epoll_ctl(&mut self, epfd: c_int, op: c_int, fd: c_int, event: Option<epoll_event>) -> Sys<()> {
        if !self.descriptors.has(fd) {
            // A pipe or a file: real epoll would take it, but nothing here could wait for both.
            return Err(Errno(libc::EBADF));
        }
        self.descriptors.socket(fd).map_err(|_| Errno(libc::EINVAL))?;
        let epoll = self.descriptors.epoll(epfd)?;
        let interest = |event: epoll_event| Interest {
            events: event.events | (libc::EPOLLERR | libc::EPOLLHUP) as u32,
            data: event.u64,
            reported: None,
            spent: false,
        };
        match op {
            libc::EPOLL_CTL_DEL => epoll.interests.remove(&fd).map(drop).ok_or(Errno(libc::ENOENT)),
            libc::EPOLL_CTL_ADD if epoll.interests.contains_key(&fd) => Err(Errno(libc::EEXIST)),
            libc::EPOLL_CTL_MOD if !epoll.interests.contains_key(&fd) => Err(Errno(libc::ENOENT)),
            libc::EPOLL_CTL_ADD | libc::EPOLL_CTL_MOD => {
                epoll.interests.insert(fd, interest(event.ok_or(Errno(libc::EFAULT))?));
                Ok(())
            }
            _ => Err(Errno(libc::EINVAL)),
        }
    }

    /// `epoll_wait(2)`: at most `most` events; EAGAIN if there are none.
    pub(crate) fn epoll_wait(&mut self, epfd: c_int, most: usize) -> Sys<Vec<epoll_event>> {
        let mut interests = std::mem::take(&mut self.descriptors.epoll(epfd)?.interests);
        // What is closed is forgotten.
        interests.retain(|fd, _| self.descriptors.has(*fd));
        let mut ready = Vec::new();
        for (fd, interest) in &mut interests {
            if ready.len() == most {
                break;
            }
            let Ok((socket, machine)) = self.socket(*fd) else { continue };
            let events = socket.readiness(machine) as u16 as u32 & interest.events;
            let edge = interest.events & libc::EPOLLET as u32 != 0;
            if events == 0 || interest.spent || (edge && interest.reported == Some(socket.edges)) {
                continue;
            }
            interest.reported = Some(socket.edges);
            interest.spent = interest.events & libc::EPOLLONESHOT as u32 != 0;
            ready.push(epoll_event { events, u64: interest.data });
        }
        self.descriptors.epoll(epfd)?.interests = interests;
        if ready.is_empty() { Err(Errno(libc::EAGAIN)) } else { Ok(ready) }
    }
}
