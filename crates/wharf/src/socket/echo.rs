//! An echo socket as the application holds it: what `ping` stands on.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};

use ring::{Consumer, datagram};

use crate::control::{Attachment, Command, Complete, Completion, EngineEnd, Reply, SocketId};
use crate::error::SocketError;
use crate::lock;
use crate::socket::client::Client;
use crate::socket::wakers::WakerSet;

/// Bytes of replies that wait at most.
const RECEIVE_LIMIT: usize = 256 << 10;
/// Errors that wait at most; beyond it the oldest goes.
const ERRORS: usize = 16;

/// What both sides know of an echo socket.
pub(crate) struct EchoState {
    /// What ICMP errors said about requests, the last few of them.
    errors: Mutex<VecDeque<Arrived>>,
    closed: OnceLock<SocketError>,
    replies: Mutex<Consumer>,
    readers: WakerSet,
}

impl Complete for EchoState {
    fn complete(&self, completion: Completion) {
        match completion {
            Completion::EchoError { sequence, from, reason } => {
                let mut errors = lock(&self.errors);
                if errors.len() >= ERRORS {
                    errors.pop_front();
                }
                errors.push_back(Arrived { source: from, sequence, what: Echoed::Error(reason) });
            }
            Completion::Closed(reason) => {
                // The first reason stands.
                let _ = self.closed.set(reason.unwrap_or(SocketError::NotConnected));
            }
            Completion::Connected { .. }
            | Completion::Readable
            | Completion::PeerFinished
            | Completion::Writable
            | Completion::Drained
            | Completion::Urgent { .. }
            | Completion::UrgentNoted { .. }
            | Completion::Error(_) => {}
        }
        self.readers.wake();
    }
}

/// Something that came for an echo request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// Who sent it.
    pub source: IpAddr,
    /// Which request it is about.
    pub sequence: u16,
    pub what: Echoed,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Echoed {
    Reply { hop_limit: u8, payload: Vec<u8> },
    Error(SocketError),
}

/// The application's hold on an echo socket.
pub(crate) struct Echo {
    client: Arc<Client>,
    state: Arc<EchoState>,
    id: SocketId,
}

impl Echo {
    pub(crate) fn open(client: &Arc<Client>) -> Result<Self, SocketError> {
        let (receive, replies) = ring::heap(RECEIVE_LIMIT);
        let id = client.channel.name_socket();
        let state = Arc::new(EchoState {
            errors: Mutex::default(),
            closed: OnceLock::new(),
            replies: Mutex::new(replies),
            readers: WakerSet::default(),
        });
        client.channel.submit(
            id,
            Command::EchoOpen,
            Attachment::Echo { state: EngineEnd(Arc::clone(&state)), receive },
        )?;
        Ok(Self { client: Arc::clone(client), state, id })
    }

    /// Sends a request; the reply says whether it went out.
    pub(crate) fn send(
        &self,
        destination: IpAddr,
        hop_limit: Option<u8>,
        sequence: u16,
        payload: &[u8],
    ) -> Result<Reply<()>, SocketError> {
        let (reply, answerer) = Reply::new();
        self.client.channel.submit(
            self.id,
            Command::EchoSend { destination, hop_limit, sequence, payload: payload.into() },
            Attachment::Done(answerer),
        )?;
        Ok(reply)
    }

    /// The next reply or ICMP error.
    pub(crate) fn poll_receive(&self, context: &mut Context<'_>) -> Poll<Result<Arrived, SocketError>> {
        self.state.readers.poll(context, || self.try_receive())
    }

    fn try_receive(&self) -> Option<Result<Arrived, SocketError>> {
        let closed = self.state.closed.get();
        let mut replies = lock(&self.state.replies);
        while let Some((_, len)) = datagram::peek(&replies) {
            let mut bytes = vec![0; len];
            let (record, _) = datagram::pop(&mut replies, &mut bytes)?;
            // The sequence number comes before the data.
            let Some((sequence, payload)) = bytes.split_first_chunk::<2>() else {
                continue;
            };
            return Some(Ok(Arrived {
                source: record.remote.ip(),
                sequence: u16::from_be_bytes(*sequence),
                what: Echoed::Reply { hop_limit: record.ttl, payload: payload.to_vec() },
            }));
        }
        drop(replies);
        let error = lock(&self.state.errors).pop_front();
        error.map(Ok).or_else(|| closed.map(|&reason| Err(reason)))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // An engine that has stopped has let go already.
        let _ = self.client.channel.submit(self.id, Command::Close, Attachment::None);
    }
}
