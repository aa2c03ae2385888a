//! Urgent data on a connection (RFC 9293 section 3.8.5): the application's side.
//!
//! The engine marks the receive ring before it publishes a byte up to which the peer's urgent data reaches, tells the mark by
//! [`Completion::Urgent`](crate::control::Completion), takes the ring's mark back and wakes who waits. A reader that finds the
//! ring marked waits for that, so that it never reads past a mark that it does not know.
//!
//! The other way round the engine has to know of a mark before it can see a byte that the mark covers, and it looks at the send
//! ring whenever it likes: a writer announces the end of what it will write, waits for the engine's word, and then writes.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use ring::Consumer;
use stack::tcp::{OutOfBand, UrgentReader};

use super::stream::{ReadSide, Stream, StreamState, WriteSide};
use crate::control::{Attachment, Command, Marks};
use crate::error::SocketError;
use crate::lock;

impl StreamState {
    /// How many of the `arrived` bytes a read may take; `None` while the engine is about to tell of a mark.
    pub(super) fn admit(&self, side: &mut ReadSide, arrived: usize) -> Option<usize> {
        if arrived == 0 {
            return Some(0);
        }
        self.learn(side)?;
        let ReadSide { receive, urgent, .. } = side;
        Some(urgent.admit(receive, arrived))
    }

    /// How many bytes a read could take.
    pub(super) fn admissible(&self, side: &mut ReadSide) -> usize {
        let arrived = side.receive.len();
        match self.learn(side) {
            Some(()) => side.urgent.admissible(&side.receive, arrived),
            None => 0,
        }
    }

    /// Takes the mark over; `None` while the engine is about to tell of one.
    fn learn(&self, side: &mut ReadSide) -> Option<()> {
        if side.receive.is_marked() && !self.is_over() {
            return None;
        }
        side.urgent.set_mark(self.urgent_mark.load(Ordering::Acquire));
        Some(())
    }
}

impl Stream {
    /// Ready with what `look` sees of urgent data once the reader knows of every mark that the engine knows of.
    fn poll_urgent<T>(
        &self,
        context: &mut Context<'_>,
        look: impl Fn(&mut UrgentReader, &Consumer) -> Option<T>,
    ) -> Poll<T> {
        self.state.readers.poll(context, || {
            let mut side = lock(&self.state.read);
            self.state.learn(&mut side)?;
            let ReadSide { receive, urgent, .. } = &mut *side;
            look(urgent, receive)
        })
    }

    /// Whether the next byte to be read is the last urgent one.
    pub(crate) fn poll_at_mark(&self, context: &mut Context<'_>) -> Poll<bool> {
        self.poll_urgent(context, |urgent, receive| Some(urgent.is_at_mark(receive)))
    }

    /// How many bytes remain to be read up to the end of urgent data.
    pub(crate) fn poll_urgent_remaining(&self, context: &mut Context<'_>) -> Poll<u64> {
        self.poll_urgent(context, |urgent, receive| Some(urgent.remaining(receive)))
    }

    /// Ready when urgent data lies ahead, with how many bytes remain to be read up to its end, or with zero when none will
    /// come any more.
    pub(crate) fn poll_until_urgent(&self, context: &mut Context<'_>) -> Poll<u64> {
        self.poll_urgent(context, |urgent, receive| match urgent.remaining(receive) {
            0 if !self.state.has_ended() => None,
            remaining => Some(remaining),
        })
    }

    /// The last urgent byte, apart from the stream; not ready while it was announced and has not arrived.
    pub(crate) fn poll_out_of_band(&self, context: &mut Context<'_>) -> Poll<Result<u8, SocketError>> {
        self.poll_urgent(context, |urgent, receive| {
            // Before the ring: what was published before the stream ended is found there.
            let ended = self.state.has_ended();
            match urgent.take(receive, false) {
                OutOfBand::Byte(byte) => Some(Ok(byte)),
                OutOfBand::Awaited if !ended => None,
                OutOfBand::Awaited | OutOfBand::Nothing => Some(Err(SocketError::NothingUrgent)),
            }
        })
    }

    /// Whether the last urgent byte stays in the stream.
    pub(crate) fn out_of_band_inline(&self) -> bool {
        !lock(&self.state.read).urgent.is_out_of_band()
    }

    pub(crate) fn set_out_of_band_inline(&self, inline: bool) {
        lock(&self.state.read).urgent.set_out_of_band(!inline);
    }

    /// Tells the engine that what is written next, as far as there is room for `len` bytes of it, is urgent; returns the
    /// position that its end has.
    pub(crate) fn poll_announce_urgent(&self, context: &mut Context<'_>, len: usize) -> Poll<Result<u64, SocketError>> {
        self.poll_write_side(context, |side| {
            let fits = len.min(side.send.free());
            if fits == 0 && len > 0 {
                return None;
            }
            let end = side.send.position() + fits as u64;
            Some(self.submit(Command::TcpUrgent { end }, Attachment::None).map(|()| end))
        })
    }

    /// Writes what there is room for of `bytes` once the engine knows that it is urgent up to `end`. Nothing, if somebody else
    /// has written there meanwhile: then it has to be announced anew.
    pub(crate) fn poll_write_urgent(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
        end: u64,
    ) -> Poll<Result<usize, SocketError>> {
        self.poll_write_side(context, |side| {
            let noted = self.state.urgent_noted.load(Ordering::Acquire);
            if noted < end {
                return None;
            }
            let room = usize::try_from(noted.saturating_sub(side.send.position())).unwrap_or(usize::MAX);
            let written = side.send.write(&bytes[..bytes.len().min(room)]);
            if written > 0 {
                self.mark(Marks::WROTE);
            }
            Some(Ok(written))
        })
    }

    fn poll_write_side<T>(
        &self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&mut WriteSide) -> Option<Result<T, SocketError>>,
    ) -> Poll<Result<T, SocketError>> {
        self.state.writers.poll(context, || {
            let mut side = lock(&self.state.write);
            match self.state.refuses_text(&side) {
                Some(reason) => Some(Err(reason)),
                None => write(&mut side),
            }
        })
    }
}
