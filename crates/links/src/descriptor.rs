//! What all links over one descriptor share: waiting for room, and falling silent when the far end is gone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{DupFlags, dup3};

use crate::counters::Counters;
use device::TransmitError;

/// Errors of reading in a row after which a link counts as gone: whoever polls it must not spin on one that is
/// readable and broken.
const MAX_ERRORS_IN_A_ROW: u32 = 64;

/// A nonblocking descriptor, and the account of it.
#[derive(Debug)]
pub(crate) struct Descriptor {
    fd: OwnedFd,
    /// The far end is gone for good; `fd` is a silent stand-in.
    gone: bool,
    /// `transmit` said Full since the last flush.
    refused: bool,
    /// It did in the last batch too, and the caller waits for room.
    waiting: bool,
    errors_in_a_row: u32,
    pub(crate) counters: Counters,
}

impl Descriptor {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd, gone: false, refused: false, waiting: false, errors_in_a_row: 0, counters: Counters::default() }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.waiting || self.refused
    }

    pub(crate) fn taken(&mut self) {
        self.counters.transmitted += 1;
    }

    pub(crate) fn full(&mut self) -> TransmitError {
        self.counters.transmit_full += 1;
        self.refused = true;
        TransmitError::Full
    }

    pub(crate) fn lost(&mut self) -> TransmitError {
        self.counters.transmit_lost += 1;
        TransmitError::Lost
    }

    /// The end of a batch: a caller who had nothing more to send no longer waits for room. Without this a poll for
    /// writing would return at once for ever.
    pub(crate) fn end_batch(&mut self) {
        self.waiting = self.refused;
        self.refused = false;
    }

    pub(crate) fn read_succeeded(&mut self) {
        self.errors_in_a_row = 0;
    }

    pub(crate) fn read_failed(&mut self) {
        self.counters.receive_errors += 1;
        self.errors_in_a_row += 1;
        if self.errors_in_a_row >= MAX_ERRORS_IN_A_ROW {
            self.close();
        }
    }

    /// The far end is gone. A closed socket or a deleted device stays readable for ever, and whoever polls it would
    /// spin: an event that never comes takes the descriptor's place, number and registration staying valid.
    pub(crate) fn close(&mut self) {
        if self.gone {
            return;
        }
        self.gone = true;
        self.waiting = false;
        self.refused = false;
        // Without a descriptor left to make the stand-in of, the old one stays; the caller is told by `link_up`.
        if let Ok(silent) = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK) {
            let _ = dup3(&silent, &mut self.fd, DupFlags::CLOEXEC);
        }
    }
}
