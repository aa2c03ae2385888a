//! A stream socket as a link, in the framing of QEMU's `-netdev stream` and `-netdev socket`: the frame's length in
//! four bytes, big endian, then the frame. Used by `fd`.
//!
//! A stream may take part of a frame; the rest is kept here, and until it has gone no other frame is taken. It may
//! also bring half a frame, or ten at once: `receive` reads as much as there is and hands out what is whole.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

use device::{RxFrame, TransmitError, TxFrame};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::descriptor::Descriptor;
use crate::gather;

/// Bytes of length before each frame.
const PREFIX: usize = 4;

/// The longest frame: 64 KiB and QEMU's allowance for headers. A longer one is no frame but a stream out of step,
/// in which nothing that follows can be told from anything else.
pub(crate) const MAX_FRAME: usize = 65_536 + 4_096;

/// Room for a frame of any length, and as much again so that small ones are read many at a time.
const BUFFER: usize = 2 * (PREFIX + MAX_FRAME);

/// A connected stream and what is half read and half written.
pub(crate) struct StreamSocket {
    pub(crate) descriptor: Descriptor,
    buffer: Box<[u8]>,
    /// What was read and not handed out is `buffer[begin..end]`.
    begin: usize,
    end: usize,
    /// Since when a whole frame lies in the buffer, which the descriptor knows nothing of.
    ready: Option<Instant>,
    /// The rest of a frame that counts as sent.
    rest: Vec<u8>,
    scratch: Vec<u8>,
}

/// What the buffer begins with.
enum Next {
    /// A frame in `buffer[.0]`.
    Frame(std::ops::Range<usize>),
    /// Part of one.
    Partial,
    /// A length beyond any frame.
    OutOfStep,
}

impl StreamSocket {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self {
            descriptor: Descriptor::new(fd),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            begin: 0,
            end: 0,
            ready: None,
            rest: Vec::new(),
            scratch: Vec::new(),
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.descriptor.fd()
    }

    pub(crate) fn wants_write(&self) -> bool {
        !self.rest.is_empty() || self.descriptor.wants_write()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.ready
    }

    pub(crate) fn transmit(&mut self, frame: &TxFrame<'_>) -> Result<(), TransmitError> {
        self.send_rest();
        let len = match u32::try_from(frame.len()) {
            Ok(len) if frame.len() <= MAX_FRAME && !self.descriptor.is_gone() => len,
            _ => return Err(self.descriptor.lost()),
        };
        if !self.rest.is_empty() {
            return Err(self.descriptor.full());
        }
        let prefix = len.to_be_bytes();
        match gather::sendmsg(self.descriptor.fd(), &prefix, frame, &mut self.scratch) {
            Ok(taken) => {
                if taken < PREFIX + frame.len() {
                    gather::copy_rest(&prefix, frame, taken, &mut self.rest);
                }
                self.descriptor.taken();
                Ok(())
            }
            Err(Errno::AGAIN) => Err(self.descriptor.full()),
            Err(error) => Err(self.handle_send_error(error)),
        }
    }

    pub(crate) fn flush(&mut self) {
        self.send_rest();
        self.descriptor.end_batch();
    }

    fn send_rest(&mut self) {
        while !self.rest.is_empty() {
            match send(self.descriptor.fd(), &self.rest, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(taken) => {
                    self.rest.drain(..taken);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => {
                    // Its frame was counted as sent, and is not.
                    self.handle_send_error(error);
                }
            }
        }
    }

    /// The kernel lacks memory now, or the stream is over: half a frame lost would put it out of step.
    fn handle_send_error(&mut self, error: Errno) -> TransmitError {
        if !matches!(error, Errno::NOBUFS | Errno::NOMEM) || !self.rest.is_empty() {
            self.close();
        }
        self.descriptor.lost()
    }

    pub(crate) fn receive(&mut self, budget: usize, input: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        let mut taken = 0;
        loop {
            while taken < budget {
                match self.next() {
                    Next::Frame(range) => {
                        taken += 1;
                        self.begin = range.end;
                        self.descriptor.counters.received += 1;
                        input(&RxFrame::plain(&self.buffer[range]));
                    }
                    Next::Partial => break,
                    Next::OutOfStep => {
                        self.descriptor.counters.received_malformed += 1;
                        self.close();
                        return taken;
                    }
                }
            }
            if taken == budget {
                // More may be whole already, and the descriptor need not become readable for it.
                self.ready = (!matches!(self.next(), Next::Partial)).then(Instant::now);
                return taken;
            }
            if !self.fill() {
                self.ready = None;
                return taken;
            }
        }
    }

    fn next(&self) -> Next {
        let read = &self.buffer[self.begin..self.end];
        let Some((prefix, rest)) = read.split_first_chunk::<PREFIX>() else { return Next::Partial };
        match usize::try_from(u32::from_be_bytes(*prefix)) {
            Ok(len) if len <= MAX_FRAME => {
                if rest.len() < len {
                    return Next::Partial;
                }
                let begin = self.begin + PREFIX;
                Next::Frame(begin..begin + len)
            }
            _ => Next::OutOfStep,
        }
    }

    /// Reads once; whether anything came.
    fn fill(&mut self) -> bool {
        if self.descriptor.is_gone() {
            return false;
        }
        // What is left is part of one frame, so that behind it there is room for the whole of one.
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        loop {
            match recv(self.descriptor.fd(), &mut self.buffer[self.end..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => {
                    self.close();
                    return false;
                }
                Ok((_, len)) => {
                    self.descriptor.read_succeeded();
                    self.end += len;
                    return true;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return false,
                Err(Errno::CONNRESET | Errno::PIPE | Errno::NOTCONN | Errno::TIMEDOUT) => {
                    self.close();
                    return false;
                }
                Err(_) => {
                    self.descriptor.read_failed();
                    return false;
                }
            }
        }
    }

    /// The stream is over or worthless; nothing of it is kept.
    fn close(&mut self) {
        self.descriptor.close();
        self.begin = 0;
        self.end = 0;
        self.ready = None;
        self.rest = Vec::new();
    }
}
