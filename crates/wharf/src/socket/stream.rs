//! A TCP connection as the application holds it.
//!
//! Reading takes from the receive ring, writing puts into the send ring; neither asks the engine. The engine is told
//! with a mark: always of what was written, of what was read only when enough was taken that the window should move.
//!
//! After an error what had arrived can still be read, then every read fails with it: a stream that was cut off never
//! looks like one that ended.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};

use ring::{Consumer, Producer};
use stack::tcp::UrgentReader;

use crate::control::{Attachment, Command, Complete, Completion, EngineEnd, Marks, Reply, SocketId};
use crate::error::SocketError;
use crate::lock;
use crate::options::{TcpInfo, TcpOption, TcpOptions};
use crate::socket::client::{Client, Engines};
use crate::socket::wakers::WakerSet;

/// Bytes taken of which the engine is told at the latest: an eighth of the window that a connection begins with.
const TELL_AT_MOST: usize = 8 << 10;

/// What both sides know of a connection.
pub(crate) struct StreamState {
    pub id: SocketId,
    pub marks: Marks,
    /// Local and remote, once the connection stands.
    addresses: OnceLock<(SocketAddr, SocketAddr)>,
    /// The peer has ended its stream, as opposed to a connection that broke.
    peer_finished: AtomicBool,
    /// Set when the connection is over; why, if not well.
    closed: OnceLock<Option<SocketError>>,
    /// `take_error` has told the reason.
    reported: AtomicBool,
    /// How far the peer's urgent data reaches, as a position of the receive ring; zero if there never was any.
    pub(super) urgent_mark: AtomicU64,
    /// Up to which position of the send ring the engine knows that what is written, or will be, is urgent.
    pub(super) urgent_noted: AtomicU64,
    pub(super) read: Mutex<ReadSide>,
    pub(super) write: Mutex<WriteSide>,
    pub(super) readers: WakerSet,
    pub(super) writers: WakerSet,
    /// The settings as last set, for the getters.
    settings: Mutex<Settings>,
}

pub(super) struct ReadSide {
    pub(super) receive: Consumer,
    pub(super) urgent: UrgentReader,
    /// Bytes taken since the engine was last told.
    untold: usize,
    /// Taken bytes at which it is told.
    tell_at: usize,
    /// This side reads no more.
    shut: bool,
}

pub(super) struct WriteSide {
    pub(super) send: Producer,
    /// This side writes no more.
    pub(super) shut: bool,
}

#[derive(Clone, Copy)]
struct Settings {
    no_delay: bool,
    cork: bool,
    keep_alive: Option<crate::KeepAlive>,
    user_timeout: Option<std::time::Duration>,
    user_timeout_option: Option<crate::UserTimeoutOption>,
    hop_limit: u8,
    tos: u8,
}

impl StreamState {
    pub(crate) fn new(id: SocketId, send: Producer, receive: Consumer, options: &TcpOptions) -> Self {
        Self {
            id,
            marks: Marks::default(),
            addresses: OnceLock::new(),
            peer_finished: AtomicBool::new(false),
            closed: OnceLock::new(),
            reported: AtomicBool::new(false),
            urgent_mark: AtomicU64::new(0),
            urgent_noted: AtomicU64::new(0),
            read: Mutex::new(ReadSide {
                receive,
                urgent: UrgentReader::default(),
                untold: 0,
                // While less than this was taken since the engine last looked, the window that it offered then was
                // within an eighth of what it could offer now, or the ring still holds bytes that will be taken. The
                // window may be much smaller than the ring, but hardly ever than 64 KiB.
                tell_at: (options.receive_limit() / 8).clamp(1, TELL_AT_MOST),
                shut: false,
            }),
            write: Mutex::new(WriteSide { send, shut: false }),
            readers: WakerSet::default(),
            writers: WakerSet::default(),
            settings: Mutex::new(Settings {
                no_delay: options.no_delay,
                cork: false,
                keep_alive: options.keep_alive,
                user_timeout: options.user_timeout,
                user_timeout_option: options.user_timeout_option,
                hop_limit: options.hop_limit,
                tos: options.tos,
            }),
        }
    }

    /// Whether waking a writer is worth its while: a quarter of the buffer is free. As long as it is not, bytes are
    /// on their way whose acknowledgement brings the next look.
    fn has_room_worth_waking(&self) -> bool {
        match self.write.try_lock() {
            Ok(side) => side.send.free() >= side.send.limit() / 4,
            // The application is writing at this moment: it may have looked already.
            Err(_) => true,
        }
    }

    /// Whether the connection is over.
    pub(super) fn is_over(&self) -> bool {
        self.closed.get().is_some()
    }

    /// Whether nothing more will be received.
    pub(super) fn has_ended(&self) -> bool {
        self.is_over() || self.peer_finished.load(Ordering::Acquire)
    }

    /// Why nothing can be written any more.
    pub(super) fn refuses_text(&self, side: &WriteSide) -> Option<SocketError> {
        if side.shut {
            return Some(SocketError::BrokenPipe);
        }
        match self.closed.get() {
            Some(reason) => Some(reason.unwrap_or(SocketError::BrokenPipe)),
            None => side.send.is_consumer_gone().then_some(SocketError::BrokenPipe),
        }
    }
}

impl Complete for StreamState {
    fn complete(&self, completion: Completion) {
        match completion {
            Completion::Connected { local, remote } => {
                // A connection is made once.
                let _ = self.addresses.set((local, remote));
                self.readers.wake();
                self.writers.wake();
            }
            Completion::Readable => self.readers.wake(),
            Completion::PeerFinished => {
                self.peer_finished.store(true, Ordering::Release);
                self.readers.wake();
            }
            Completion::Urgent { mark } => {
                // Release: who sees that the ring is not marked any more sees this. Readers are woken when it is not.
                self.urgent_mark.store(mark, Ordering::Release);
            }
            Completion::UrgentNoted { end } => {
                self.urgent_noted.fetch_max(end, Ordering::Release);
                self.writers.wake();
            }
            Completion::Writable => {
                if !self.writers.is_empty() && self.has_room_worth_waking() {
                    self.writers.wake();
                }
            }
            Completion::Drained => {
                // Who closes may wait for this.
                self.writers.wake();
                // Somebody waits for an answer, perhaps for long: what was asked needs its memory no more.
                if !self.readers.is_empty()
                    && let Ok(mut side) = self.write.try_lock()
                {
                    side.send.release();
                }
            }
            Completion::Error(reason) | Completion::Closed(Some(reason)) => self.close(Some(reason)),
            Completion::Closed(None) => self.close(None),
            Completion::EchoError { .. } => {}
        }
    }
}

impl StreamState {
    fn close(&self, reason: Option<SocketError>) {
        // The first reason stands.
        let _ = self.closed.set(reason);
        self.readers.wake();
        self.writers.wake();
    }
}

/// The application's hold on a connection. When it is dropped the engine lets the connection go: what was written is
/// still sent; if something was not read the peer gets a reset (RFC 2525 section 2.17).
pub(crate) struct Stream {
    pub(super) client: Arc<Client>,
    pub(super) state: Arc<StreamState>,
}

impl Stream {
    /// Begins a connection. It stands when [`poll_connected`](Self::poll_connected) says so.
    pub(crate) fn connect(engines: &Engines, remote: SocketAddr, options: &TcpOptions) -> Result<Self, SocketError> {
        Ok(Self::connect_with_data(engines, remote, options, &[])?.0)
    }

    /// As [`connect`](Self::connect), and the SYN takes along what it may of `data` if [`TcpOptions::fast_open`] says so.
    /// Returns how much of `data` was written.
    pub(crate) fn connect_with_data(
        engines: &Engines,
        remote: SocketAddr,
        options: &TcpOptions,
        data: &[u8],
    ) -> Result<(Self, usize), SocketError> {
        if !options.is_valid() {
            return Err(SocketError::InvalidOption);
        }
        let client = engines.for_connection(options.local, remote);
        let (mut send_in, send_out) = ring::heap(options.send_limit());
        // Before the engine knows of the connection: a SYN carries what stands in the ring when it leaves.
        let written = send_in.write(data);
        let (receive_in, receive_out) = ring::heap(options.receive_limit());
        let id = client.channel.name_socket();
        let state = Arc::new(StreamState::new(id, send_in, receive_out, options));
        client.channel.submit(
            id,
            Command::TcpConnect { remote, options: options.clone() },
            Attachment::Stream { state: EngineEnd(Arc::clone(&state)), send: send_out, receive: receive_in },
        )?;
        Ok((Self { client: Arc::clone(client), state }, written))
    }

    /// Takes over a connection that the engine has accepted.
    pub(crate) fn accepted(client: &Arc<Client>, state: Arc<StreamState>) -> Self {
        Self { client: Arc::clone(client), state }
    }

    /// Ready when the connection stands or has failed.
    pub(crate) fn poll_connected(&self, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.state.writers.poll(context, || match (self.state.addresses.get(), self.state.closed.get()) {
            (Some(_), _) => Some(Ok(())),
            (None, Some(reason)) => Some(Err(reason.unwrap_or(SocketError::Aborted))),
            (None, None) => None,
        })
    }

    /// Takes bytes from the receive ring: `take` is handed the ring and how many bytes it may have, at least one, consumes
    /// (or peeks at) what it wants, at least one, and returns how much that was. Zero is the end of the stream.
    pub(crate) fn poll_take(
        &self,
        context: &mut Context<'_>,
        mut take: impl FnMut(&mut Consumer, usize) -> usize,
    ) -> Poll<Result<usize, SocketError>> {
        let taken = self.state.readers.poll(context, || self.try_take(&mut take));
        if taken.is_pending() {
            // Who waits with an empty ring may wait long: the memory of both rings can go back.
            self.give_back();
        }
        taken
    }

    /// As [`poll_take`](Self::poll_take), `None` where that would wait.
    pub(crate) fn try_take(
        &self,
        mut take: impl FnMut(&mut Consumer, usize) -> usize,
    ) -> Option<Result<usize, SocketError>> {
        let mut side = lock(&self.state.read);
        if side.shut {
            return Some(Ok(0));
        }
        // Before the ring: what was published before the stream ended, well or not, is read first.
        let finished = self.state.peer_finished.load(Ordering::Acquire);
        let closed = self.state.closed.get();
        let before = side.receive.position();
        let arrived = side.receive.len();
        let admitted = self.state.admit(&mut side, arrived)?;
        let taken = if admitted > 0 { take(&mut side.receive, admitted) } else { 0 };
        // A byte out of band that was stepped over counts too.
        side.untold += (side.receive.position() - before) as usize;
        if taken > 0 {
            let tell = side.untold >= side.tell_at;
            if tell {
                side.untold = 0;
            }
            drop(side);
            if tell {
                self.mark(Marks::READ);
            }
            return Some(Ok(taken));
        }
        if side.receive.is_poisoned() {
            return Some(Err(SocketError::Corrupt));
        }
        // The end of a stream is the peer's FIN and nothing else. The ring's own mark of the end does not do: the
        // engine makes it also when the connection breaks.
        if finished {
            return Some(Ok(0));
        }
        closed.map(|reason| Err(reason.unwrap_or(SocketError::Aborted)))
    }

    /// Ready when a read would not wait.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.state.readers.poll(context, || {
            let mut side = lock(&self.state.read);
            let readable = side.shut
                || self.state.closed.get().is_some()
                || self.state.admissible(&mut side) > 0
                || self.state.peer_finished.load(Ordering::Acquire);
            readable.then_some(())
        })
    }

    /// Writes what there is room for, at least one byte unless `buffers` have none.
    pub(crate) fn poll_write(
        &self,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<Result<usize, SocketError>> {
        self.state.writers.poll(context, || self.try_write(buffers))
    }

    /// As [`poll_write`](Self::poll_write), `None` where that would wait.
    pub(crate) fn try_write(&self, buffers: &[IoSlice<'_>]) -> Option<Result<usize, SocketError>> {
        let mut side = lock(&self.state.write);
        if let Some(reason) = self.state.refuses_text(&side) {
            return Some(Err(reason));
        }
        let mut written = 0;
        for buffer in buffers {
            let n = side.send.write(buffer);
            written += n;
            if n < buffer.len() {
                break;
            }
        }
        drop(side);
        if written > 0 {
            self.mark(Marks::WROTE);
            return Some(Ok(written));
        }
        buffers.iter().all(|buffer| buffer.is_empty()).then_some(Ok(0))
    }

    /// Ready when a write would not wait.
    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.state.writers.poll(context, || {
            let side = lock(&self.state.write);
            let writable =
                side.shut || self.state.closed.get().is_some() || side.send.is_consumer_gone() || side.send.free() > 0;
            writable.then_some(())
        })
    }

    /// Ready when everything that was written has been acknowledged, or the connection is over.
    pub(crate) fn poll_drained(&self, context: &mut Context<'_>) -> Poll<()> {
        self.state.writers.poll(context, || {
            let side = lock(&self.state.write);
            let drained = self.state.closed.get().is_some() || side.send.is_consumer_gone() || side.send.is_empty();
            drained.then_some(())
        })
    }

    /// Ends the stream to the peer after what was written.
    pub(crate) fn shutdown_write(&self) -> Result<(), SocketError> {
        if self.state.addresses.get().is_none() {
            return Err(SocketError::NotConnected);
        }
        let mut side = lock(&self.state.write);
        if !side.shut {
            side.shut = true;
            side.send.finish();
            drop(side);
            self.mark(Marks::WROTE);
            self.state.writers.wake();
        }
        Ok(())
    }

    /// Reads no more: reads return the end of the stream from now on.
    pub(crate) fn shutdown_read(&self) -> Result<(), SocketError> {
        if self.state.addresses.get().is_none() {
            return Err(SocketError::NotConnected);
        }
        let was_shut = std::mem::replace(&mut lock(&self.state.read).shut, true);
        if !was_shut {
            self.state.readers.wake();
            self.submit(Command::TcpShutdownRead, Attachment::None)?;
        }
        Ok(())
    }

    /// Why the connection failed, once; `None` while it is well and when it ended well.
    pub(crate) fn take_error(&self) -> Option<SocketError> {
        let reason = (*self.state.closed.get()?)?;
        (!self.state.reported.swap(true, Ordering::Relaxed)).then_some(reason)
    }

    /// Our end's address and port.
    pub(crate) fn local_addr(&self) -> Result<SocketAddr, SocketError> {
        self.state.addresses.get().map(|&(local, _)| local).ok_or(SocketError::NotConnected)
    }

    /// The peer's address and port.
    pub(crate) fn peer_addr(&self) -> Result<SocketAddr, SocketError> {
        self.state.addresses.get().map(|&(_, remote)| remote).ok_or(SocketError::NotConnected)
    }

    /// Changes a setting.
    pub(crate) fn set(&self, option: TcpOption) -> Result<(), SocketError> {
        {
            let mut settings = lock(&self.state.settings);
            match option {
                TcpOption::NoDelay(on) => settings.no_delay = on,
                TcpOption::Cork(on) => settings.cork = on,
                TcpOption::KeepAlive(times) => settings.keep_alive = times,
                TcpOption::UserTimeout(time) => settings.user_timeout = time,
                TcpOption::HopLimit(0) => return Err(SocketError::InvalidOption),
                TcpOption::HopLimit(hops) => settings.hop_limit = hops,
                TcpOption::Tos(tos) => settings.tos = tos,
                TcpOption::MaxPacingRate(Some(0)) => return Err(SocketError::InvalidOption),
                TcpOption::UserTimeoutOption(wanted) => settings.user_timeout_option = wanted,
                TcpOption::ResetOnClose(_)
                | TcpOption::Congestion(_)
                | TcpOption::Pacing(_)
                | TcpOption::MaxPacingRate(_)
                | TcpOption::QuickAck(_) => {}
            }
        }
        self.submit(Command::TcpSet(option), Attachment::None)
    }

    pub(crate) fn no_delay(&self) -> bool {
        lock(&self.state.settings).no_delay
    }

    pub(crate) fn cork(&self) -> bool {
        lock(&self.state.settings).cork
    }

    pub(crate) fn keep_alive(&self) -> Option<crate::KeepAlive> {
        lock(&self.state.settings).keep_alive
    }

    pub(crate) fn user_timeout(&self) -> Option<std::time::Duration> {
        lock(&self.state.settings).user_timeout
    }

    pub(crate) fn user_timeout_option(&self) -> Option<crate::UserTimeoutOption> {
        lock(&self.state.settings).user_timeout_option
    }

    pub(crate) fn hop_limit(&self) -> u8 {
        lock(&self.state.settings).hop_limit
    }

    pub(crate) fn tos(&self) -> u8 {
        lock(&self.state.settings).tos
    }

    /// Asks the engine about the connection.
    pub(crate) fn info(&self) -> Result<Reply<TcpInfo>, SocketError> {
        let (reply, answerer) = Reply::new();
        self.submit(Command::TcpInfo, Attachment::TcpInfo(answerer))?;
        Ok(reply)
    }

    /// Gives memory back while the reader waits: our part of an empty send ring, and word to the engine about the
    /// receive ring, for which it need not wake.
    fn give_back(&self) {
        if let Ok(mut side) = self.state.write.try_lock() {
            side.send.release();
        }
        let emptied = std::mem::replace(&mut lock(&self.state.read).untold, 0) > 0;
        if emptied {
            self.mark(Marks::EMPTIED);
        }
    }

    pub(super) fn mark(&self, what: u8) {
        self.client.channel.mark(self.state.id, &self.state.marks, what);
    }

    pub(super) fn submit(&self, command: Command, attachment: Attachment) -> Result<(), SocketError> {
        self.client.channel.submit(self.state.id, command, attachment)
    }
}

/// The first `most` bytes of `buffer`, or all of it.
pub(crate) fn upto(buffer: &mut [u8], most: usize) -> &mut [u8] {
    let len = buffer.len().min(most);
    &mut buffer[..len]
}

impl Drop for Stream {
    fn drop(&mut self) {
        // An engine that has stopped has let go already.
        let _ = self.submit(Command::Close, Attachment::None);
    }
}
