//! A cable between two TAP devices: a thread that carries every frame from one to the other as it is, behind the offload
//! header that it came with. A frame of 64 KiB stays one, and a checksum that nobody needed stays undone. Used by
//! `kernel`, whose stack cannot be at the other end of a TAP device by itself.
//!
//! The links of the library would take the header apart and put it together again; nothing is gained here by that.

#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;

/// Room for the longest frame that a TAP device gives, with its offload header.
const LONGEST: usize = 1 << 17;

/// Frames carried one way before it is the other's turn.
const BATCH: usize = 64;

/// Carries frames between `one` and `other` for as long as `work` takes.
///
/// Both are TAP devices with the same kind of offload header, and do not block.
///
/// # Errors
/// What `work` says; when a device fails; when one did not take a frame: what was measured then is not the peer alone.
pub(super) fn during<T>(one: impl AsFd, other: impl AsFd, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let end = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).context("making an eventfd")?;
    let (one, other) = (one.as_fd(), other.as_fd());
    let end = &End { is_near: AtomicBool::new(false), wakes: end.as_fd() };
    thread::scope(|scope| {
        let relay = thread::Builder::new().name("relay".to_owned());
        let relay = relay.spawn_scoped(scope, move || carry(one, other, end)).context("starting the relay")?;
        let ending = Ending(end);
        let done = work();
        drop(ending);
        let lost = relay.join().map_err(|_| anyhow!("the relay panicked"))?.context("the relay")?;
        ensure!(lost == 0, "the relay could not hand on {lost} frames");
        done
    })
}

/// How the relay hears that it is to end, whether it works or waits.
struct End<'a> {
    is_near: AtomicBool,
    wakes: BorrowedFd<'a>,
}

/// Ends the relay when it goes, however that comes about.
struct Ending<'a>(&'a End<'a>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_near.store(true, Ordering::Relaxed);
        // A counter of 64 bits takes a one.
        let _ = rustix::io::write(self.0.wakes, &1_u64.to_ne_bytes());
    }
}

/// Returns the frames that were not taken.
fn carry(one: BorrowedFd<'_>, other: BorrowedFd<'_>, end: &End<'_>) -> Result<u64, Errno> {
    let mut buffer = vec![0; LONGEST];
    let mut lost = 0;
    while !end.is_near.load(Ordering::Relaxed) {
        let forth = pass(one, other, &mut buffer, &mut lost)?;
        let back = pass(other, one, &mut buffer, &mut lost)?;
        if forth + back > 0 {
            continue;
        }
        let mut awaited = [one, other, end.wakes].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        match poll(&mut awaited, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(lost)
}

/// Carries what waits at `from`, a batch at most; returns how many frames it was.
fn pass(from: BorrowedFd<'_>, to: BorrowedFd<'_>, buffer: &mut [u8], lost: &mut u64) -> Result<usize, Errno> {
    for taken in 0..BATCH {
        let len = match rustix::io::read(from, &mut *buffer) {
            Ok(len) => len,
            Err(Errno::AGAIN) => return Ok(taken),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        };
        // A TAP device takes a frame whole or not at all.
        if rustix::io::write(to, &buffer[..len]).is_err() {
            *lost += 1;
        }
    }
    Ok(BATCH)
}
