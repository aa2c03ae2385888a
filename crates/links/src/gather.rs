//! A frame's pieces handed to the kernel where they lie: prefix, headers and slices of a ring as one `iovec`.
//!
//! The slices may lie in memory that another process writes: they never become a `&[u8]`, only addresses for the
//! kernel, which copies each byte once.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use device::TxFrame;
use rustix::io::Errno;

/// Pieces that go without a detour: prefix, headers and as many slices as a ring cuts a range into, twice over.
const MAX_PIECES: usize = 2 + 2 * ring::MAX_SPANS;

/// Writes `prefix` and the frame with one `writev`. A frame in more pieces than the array takes is gathered in
/// `scratch` first. Returns the bytes the kernel took.
pub(crate) fn writev(
    fd: BorrowedFd<'_>,
    prefix: &[u8],
    frame: &TxFrame<'_>,
    scratch: &mut Vec<u8>,
) -> Result<usize, Errno> {
    with_pieces(prefix, frame, scratch, |pieces| {
        // SAFETY: every piece is readable for its length: prefix, header and scratch are borrowed slices, and a span
        // promises it for its lifetime. The count fits c_int (MAX_PIECES).
        unsafe { libc::writev(fd.as_raw_fd(), pieces.as_ptr(), pieces.len() as libc::c_int) }
    })
}

/// Sends `prefix` and the frame with one `sendmsg`, without SIGPIPE and without waiting. Otherwise as [`writev`].
pub(crate) fn sendmsg(
    fd: BorrowedFd<'_>,
    prefix: &[u8],
    frame: &TxFrame<'_>,
    scratch: &mut Vec<u8>,
) -> Result<usize, Errno> {
    with_pieces(prefix, frame, scratch, |pieces| {
        // SAFETY: a msghdr of zeros is one without address, control data and pieces.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = pieces.as_ptr().cast_mut();
        message.msg_iovlen = pieces.len() as _;
        // SAFETY: as in `writev`; sendmsg writes neither to the message nor to the pieces.
        unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) }
    })
}

/// Calls `send` with the pieces in order, again when a signal came between.
fn with_pieces(
    prefix: &[u8],
    frame: &TxFrame<'_>,
    scratch: &mut Vec<u8>,
    mut send: impl FnMut(&[libc::iovec]) -> libc::ssize_t,
) -> Result<usize, Errno> {
    let mut pieces = [piece(std::ptr::null(), 0); MAX_PIECES];
    pieces[0] = piece(prefix.as_ptr(), prefix.len());
    let count = if frame.payload.len() <= MAX_PIECES - 2 {
        pieces[1] = piece(frame.header.as_ptr(), frame.header.len());
        for (entry, span) in pieces[2..].iter_mut().zip(frame.payload) {
            *entry = piece(span.as_ptr(), span.len());
        }
        2 + frame.payload.len()
    } else {
        scratch.resize(frame.len(), 0);
        frame.copy_to(scratch);
        pieces[1] = piece(scratch.as_ptr(), scratch.len());
        2
    };
    loop {
        let result = send(&pieces[..count]);
        match usize::try_from(result) {
            Ok(taken) => return Ok(taken),
            Err(_) => match last_errno() {
                Errno::INTR => {}
                errno => return Err(errno),
            },
        }
    }
}

/// Copies `prefix` and the frame from byte `from` of both together on to `to`, which is cleared first: the rest of a
/// frame of which a stream took a part.
pub(crate) fn copy_rest(prefix: &[u8], frame: &TxFrame<'_>, from: usize, to: &mut Vec<u8>) {
    to.clear();
    to.resize(prefix.len() + frame.len(), 0);
    to[..prefix.len()].copy_from_slice(prefix);
    frame.copy_to(&mut to[prefix.len()..]);
    to.drain(..from);
}

const fn piece(base: *const u8, len: usize) -> libc::iovec {
    // The kernel only reads what is sent; the type is shared with readv.
    libc::iovec { iov_base: base.cast_mut().cast(), iov_len: len }
}

fn last_errno() -> Errno {
    // Behind a failed call there is always an errno.
    io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}
