//! Where the engine's thread sleeps: poll(2) on the link and the doorbell, to the nanosecond.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What ended the sleep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Woken {
    /// Somebody rang.
    pub rung: bool,
    /// The link has frames.
    pub readable: bool,
    /// The link takes frames again.
    pub writable: bool,
    /// The link reports an error or has been hung up.
    pub broken: bool,
}

/// Which link to watch, and for what.
pub(super) struct Watch<'a> {
    pub fd: BorrowedFd<'a>,
    /// Readable when other engines have handed frames over.
    pub handed_over: Option<BorrowedFd<'a>>,
    pub for_writing: bool,
}

/// Sleeps until something happens, or for `longest`; `None` is for ever.
pub(super) fn sleep(doorbell: BorrowedFd<'_>, link: Option<&Watch<'_>>, longest: Option<Duration>) -> Woken {
    let timeout = longest.map(|longest| Timespec {
        tv_sec: i64::try_from(longest.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(longest.subsec_nanos()),
    });
    let bell = PollFd::from_borrowed_fd(doorbell, PollFlags::IN);
    let mut woken = Woken::default();
    let (bell, link) = match link {
        None => {
            let mut fds = [bell];
            if poll(&mut fds, timeout.as_ref()).is_err() {
                return woken;
            }
            (fds[0].revents(), PollFlags::empty())
        }
        Some(Watch { fd, handed_over, for_writing }) => {
            let wanted = if *for_writing { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            let handed = PollFd::from_borrowed_fd(handed_over.unwrap_or(doorbell), PollFlags::IN);
            let mut fds = [bell, PollFd::from_borrowed_fd(*fd, wanted), handed];
            let watched = if handed_over.is_some() { 3 } else { 2 };
            // An interrupted sleep is a short one.
            if poll(&mut fds[..watched], timeout.as_ref()).is_err() {
                return woken;
            }
            let handed = if handed_over.is_some() { fds[2].revents() & PollFlags::IN } else { PollFlags::empty() };
            (fds[0].revents(), fds[1].revents() | handed)
        }
    };
    woken.rung = bell.contains(PollFlags::IN);
    woken.readable = link.contains(PollFlags::IN);
    woken.writable = link.contains(PollFlags::OUT);
    woken.broken = link.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
    woken
}
