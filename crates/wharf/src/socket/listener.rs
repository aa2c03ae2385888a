//! A TCP listener as the application holds it.
//!
//! The engine accepts connections as they complete and puts them into this listener's queue, so that `accept` asks
//! nobody. The queue is short; what does not fit waits in the engine's backlog, which has the limit that was asked
//! for.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};

use crate::control::{Attachment, Command, Complete, Completion, EngineEnd, Marks, Reply, SocketId};
use crate::error::SocketError;
use crate::lock;
use crate::options::ListenOptions;
use crate::socket::client::Client;
use crate::socket::stream::{Stream, StreamState};
use crate::socket::wakers::WakerSet;

/// Accepted connections that wait here at most.
const STAGED: usize = 64;

/// What both sides know of a listener.
pub(crate) struct ListenerState {
    pub id: SocketId,
    pub marks: Marks,
    /// How many of `accepted` there may be.
    limit: usize,
    accepted: Mutex<VecDeque<(Arc<StreamState>, SocketAddr)>>,
    closed: OnceLock<SocketError>,
    acceptors: WakerSet,
}

impl ListenerState {
    /// The engine: room for how many more.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(lock(&self.accepted).len())
    }

    /// The engine: one more connection; who waits is woken by [`Completion::Readable`].
    pub(crate) fn push(&self, stream: Arc<StreamState>, remote: SocketAddr) {
        lock(&self.accepted).push_back((stream, remote));
    }

    /// The engine: takes back a connection that nobody accepted.
    pub(crate) fn pop(&self) -> Option<Arc<StreamState>> {
        lock(&self.accepted).pop_front().map(|(stream, _)| stream)
    }
}

impl Complete for ListenerState {
    fn complete(&self, completion: Completion) {
        let reason = match completion {
            Completion::Error(reason) | Completion::Closed(Some(reason)) => Some(reason),
            Completion::Closed(None) => Some(SocketError::Aborted),
            Completion::Connected { .. }
            | Completion::Readable
            | Completion::PeerFinished
            | Completion::Writable
            | Completion::Drained
            | Completion::EchoError { .. } => None,
        };
        if let Some(reason) = reason {
            // The first reason stands.
            let _ = self.closed.set(reason);
        }
        self.acceptors.wake();
    }
}

/// The application's hold on a listener.
pub(crate) struct Listener {
    client: Arc<Client>,
    state: Arc<ListenerState>,
    local: OnceLock<SocketAddr>,
}

impl Listener {
    /// Asks for a listener; it stands when the reply says at which address.
    pub(crate) fn bind(
        client: &Arc<Client>,
        local: SocketAddr,
        options: &ListenOptions,
    ) -> Result<(Self, Reply<SocketAddr>), SocketError> {
        if options.tcp.local.is_some() || options.tcp.hop_limit == 0 {
            return Err(SocketError::InvalidOption);
        }
        let id = client.channel.name_socket();
        let state = Arc::new(ListenerState {
            id,
            marks: Marks::default(),
            limit: options.backlog.clamp(1, STAGED),
            accepted: Mutex::default(),
            closed: OnceLock::new(),
            acceptors: WakerSet::default(),
        });
        let (reply, bound) = Reply::new();
        client.channel.submit(
            id,
            Command::TcpListen { local, options: options.clone() },
            Attachment::Listener { state: EngineEnd(Arc::clone(&state)), bound },
        )?;
        Ok((Self { client: Arc::clone(client), state, local: OnceLock::new() }, reply))
    }

    /// Takes in the address that the reply gave.
    pub(crate) fn set_bound(&self, local: SocketAddr) {
        // A listener is bound once.
        let _ = self.local.set(local);
    }

    pub(crate) fn local_addr(&self) -> Result<SocketAddr, SocketError> {
        self.local.get().copied().ok_or(SocketError::NotConnected)
    }

    /// The next connection and its peer.
    pub(crate) fn poll_accept(&self, context: &mut Context<'_>) -> Poll<Result<(Stream, SocketAddr), SocketError>> {
        if let Some(result) = self.try_accept() {
            return Poll::Ready(result);
        }
        self.state.acceptors.register(context.waker());
        self.try_accept().map_or(Poll::Pending, Poll::Ready)
    }

    /// As [`poll_accept`](Self::poll_accept), `None` where that would wait.
    pub(crate) fn try_accept(&self) -> Option<Result<(Stream, SocketAddr), SocketError>> {
        let (taken, was_full) = {
            let mut accepted = lock(&self.state.accepted);
            let was_full = accepted.len() >= self.state.limit;
            (accepted.pop_front(), was_full)
        };
        if was_full {
            self.client.channel.mark(self.state.id, &self.state.marks, Marks::ACCEPTED);
        }
        match taken {
            Some((state, remote)) => Some(Ok((Stream::accepted(&self.client, state), remote))),
            None => self.state.closed.get().map(|&reason| Err(reason)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // An engine that has stopped has let go already.
        let _ = self.client.channel.submit(self.state.id, Command::Close, Attachment::None);
    }
}
