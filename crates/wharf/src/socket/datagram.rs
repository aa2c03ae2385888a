//! A UDP socket as the application holds it.
//!
//! Datagrams lie as records in two rings. The first to a destination goes to the engine as a command, so that a
//! destination that cannot be reached is the error of the very call; those that follow to the same one go into the
//! send ring. What fails later (ICMP errors, mostly) is the error of the next call, as it is everywhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};

use ring::datagram::{self, Record};
use ring::{Consumer, Producer};

use crate::control::{Attachment, Command, Complete, Completion, EngineEnd, Marks, Reply, SocketId};
use crate::error::SocketError;
use crate::lock;
use crate::options::{UdpOption, UdpOptions};
use crate::socket::client::Client;
use crate::socket::wakers::WakerSet;

/// Destinations that are known to have a route, at most.
const KNOWN: usize = 8;
/// What the engine sends with when nothing else was asked for.
const DEFAULT_HOP_LIMIT: u8 = 64;
/// RFC 791: every host takes 576 bytes, so this much payload passes unfragmented (almost) everywhere.
const SMALL: usize = 576 - 60 - 8;
/// RFC 768 and 791: what an IPv4 packet holds beside its header and UDP's.
const MAX_V4: usize = 65_535 - 20 - 8;
/// RFC 8200: the payload length counts UDP's header.
const MAX_V6: usize = 65_535 - 8;

/// What both sides know of a UDP socket.
pub(crate) struct DatagramState {
    pub id: SocketId,
    pub marks: Marks,
    /// An error that the next call tells.
    error: Mutex<Option<SocketError>>,
    closed: OnceLock<SocketError>,
    read: Mutex<Consumer>,
    write: Mutex<WriteSide>,
    readers: WakerSet,
    writers: WakerSet,
    settings: Mutex<Settings>,
}

struct WriteSide {
    send: Producer,
    /// The last destinations that the engine had a route to, or that sent us something.
    known: Vec<IpAddr>,
    next_known: usize,
}

/// A send that may wait for the engine's answer: it belongs to the caller, so that callers do not take each other's.
#[derive(Default)]
pub(crate) struct Sending {
    asked: Option<Asked>,
}

impl Sending {
    /// Whether the engine's answer is awaited, rather than room in the ring.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }
}

struct Asked {
    destination: SocketAddr,
    len: usize,
    reply: Reply<()>,
}

#[derive(Clone, Copy)]
struct Settings {
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    broadcast: bool,
    dont_fragment: bool,
    hop_limit: Option<u8>,
    tos: u8,
}

impl Complete for DatagramState {
    fn complete(&self, completion: Completion) {
        match completion {
            Completion::Readable => self.readers.wake(),
            Completion::Writable => self.writers.wake(),
            Completion::Error(reason) => {
                lock(&self.write).known.clear();
                *lock(&self.error) = Some(reason);
                self.wake_all();
            }
            Completion::Closed(reason) => {
                // The first reason stands.
                let _ = self.closed.set(reason.unwrap_or(SocketError::NotConnected));
                self.wake_all();
            }
            Completion::Connected { .. }
            | Completion::PeerFinished
            | Completion::Drained
            | Completion::Urgent { .. }
            | Completion::UrgentNoted { .. }
            | Completion::EchoError { .. } => {}
        }
    }
}

impl DatagramState {
    fn wake_all(&self) {
        self.readers.wake();
        self.writers.wake();
    }

    fn failure(&self) -> Option<SocketError> {
        lock(&self.error).take().or_else(|| self.closed.get().copied())
    }
}

/// The application's hold on a UDP socket.
pub(crate) struct Datagram {
    client: Arc<Client>,
    state: Arc<DatagramState>,
}

impl Datagram {
    /// Asks for a socket; it stands when the reply says at which address.
    pub(crate) fn bind(
        client: &Arc<Client>,
        local: SocketAddr,
        options: &UdpOptions,
    ) -> Result<(Self, Reply<SocketAddr>), SocketError> {
        if options.hop_limit == Some(0) {
            return Err(SocketError::InvalidOption);
        }
        let (send_in, send_out) = ring::heap(options.send_buffer);
        let (receive_in, receive_out) = ring::heap(options.receive_buffer);
        let id = client.channel.name_socket();
        let state = Arc::new(DatagramState {
            id,
            marks: Marks::default(),
            error: Mutex::default(),
            closed: OnceLock::new(),
            read: Mutex::new(receive_out),
            write: Mutex::new(WriteSide { send: send_in, known: Vec::new(), next_known: 0 }),
            readers: WakerSet::default(),
            writers: WakerSet::default(),
            settings: Mutex::new(Settings {
                local: None,
                peer: None,
                broadcast: options.broadcast,
                dont_fragment: options.dont_fragment,
                hop_limit: options.hop_limit,
                tos: options.tos,
            }),
        });
        let (reply, bound) = Reply::new();
        client.channel.submit(
            id,
            Command::UdpBind { local, options: options.clone() },
            Attachment::Datagram { state: EngineEnd(Arc::clone(&state)), send: send_out, receive: receive_in, bound },
        )?;
        Ok((Self { client: Arc::clone(client), state }, reply))
    }

    /// Takes in the address that the reply to `bind` gave.
    pub(crate) fn set_bound(&self, local: SocketAddr) {
        lock(&self.state.settings).local = Some(local);
    }

    pub(crate) fn local_addr(&self) -> Result<SocketAddr, SocketError> {
        lock(&self.state.settings).local.ok_or(SocketError::NotConnected)
    }

    pub(crate) fn peer_addr(&self) -> Result<SocketAddr, SocketError> {
        lock(&self.state.settings).peer.ok_or(SocketError::NotConnected)
    }

    /// Sends to, and takes from, `peer` only. It holds when the reply says so and
    /// [`set_peer`](Self::set_peer) was called.
    pub(crate) fn connect(&self, peer: SocketAddr) -> Result<Reply<SocketAddr>, SocketError> {
        let (reply, answerer) = Reply::new();
        self.submit(Command::UdpConnect(peer), Attachment::Address(answerer))?;
        Ok(reply)
    }

    /// Takes in that the engine has connected the socket, and the local address that it has now.
    pub(crate) fn set_peer(&self, peer: SocketAddr, local: SocketAddr) {
        let mut settings = lock(&self.state.settings);
        settings.peer = Some(peer);
        settings.local = Some(local);
    }

    /// Sends a datagram whole, to `destination` or the connected peer.
    pub(crate) fn poll_send(
        &self,
        sending: &mut Sending,
        context: &mut Context<'_>,
        payload: &[u8],
        destination: Option<SocketAddr>,
    ) -> Poll<Result<usize, SocketError>> {
        let (record, dont_fragment) = match self.address(destination, payload.len()) {
            Ok(addressed) => addressed,
            Err(reason) => return Poll::Ready(Err(reason)),
        };
        if let Some(asked) = &sending.asked {
            let Poll::Ready(answer) = asked.reply.poll(context) else {
                return Poll::Pending;
            };
            let was_this = asked.destination == record.remote && asked.len == payload.len();
            let destination = asked.destination.ip();
            sending.asked = None;
            if answer.is_ok() {
                lock(&self.state.write).remember(destination);
            }
            // If it was another, its caller gave it up and nobody is left to tell.
            if was_this {
                return Poll::Ready(answer.map(|()| payload.len()));
            }
        }
        if let Some(reason) = self.state.failure() {
            return Poll::Ready(Err(reason));
        }
        let known = lock(&self.state.write).known.contains(&record.remote.ip());
        if !known || (dont_fragment && payload.len() > SMALL) {
            return self.ask(sending, context, record, payload);
        }
        self.state.writers.poll(context, || self.try_push(&record, payload))
    }

    /// The record of a datagram of `len` bytes to `destination`, and whether it may be fragmented.
    fn address(&self, destination: Option<SocketAddr>, len: usize) -> Result<(Record, bool), SocketError> {
        let Settings { peer, dont_fragment, .. } = *lock(&self.state.settings);
        let remote = destination.or(peer).ok_or(SocketError::NotConnected)?;
        // RFC 768: the length field counts 16 bits; more is refused, never cut.
        if len > if remote.is_ipv4() { MAX_V4 } else { MAX_V6 } {
            return Err(SocketError::MessageTooLong);
        }
        if remote.port() == 0 || remote.ip().is_unspecified() {
            return Err(SocketError::BadDestination);
        }
        // What is left at zero the socket's options choose.
        Ok((Record { remote, local: None, interface: 0, tos: 0, ttl: 0 }, dont_fragment))
    }

    /// Has the engine send the datagram and say what became of it.
    fn ask(
        &self,
        sending: &mut Sending,
        context: &mut Context<'_>,
        record: Record,
        payload: &[u8],
    ) -> Poll<Result<usize, SocketError>> {
        let (reply, answerer) = Reply::new();
        if let Err(reason) =
            self.submit(Command::UdpSend { record, payload: payload.into() }, Attachment::Done(answerer))
        {
            return Poll::Ready(Err(reason));
        }
        match reply.poll(context) {
            Poll::Pending => {
                sending.asked = Some(Asked { destination: record.remote, len: payload.len(), reply });
                Poll::Pending
            }
            Poll::Ready(answer) => {
                if answer.is_ok() {
                    lock(&self.state.write).remember(record.remote.ip());
                }
                Poll::Ready(answer.map(|()| payload.len()))
            }
        }
    }

    /// Puts a datagram into the send ring; `None` when there is no room.
    fn try_push(&self, record: &Record, payload: &[u8]) -> Option<Result<usize, SocketError>> {
        let mut side = lock(&self.state.write);
        if datagram::push(&mut side.send, record, payload).is_err() {
            // A ring smaller than the datagram would never take it.
            let never = payload.len() + datagram::HEADER_LEN > side.send.limit();
            return never.then_some(Err(SocketError::MessageTooLong));
        }
        drop(side);
        self.client.channel.mark(self.state.id, &self.state.marks, Marks::WROTE);
        Some(Ok(payload.len()))
    }

    /// Receives a datagram: `take` is handed the ring and pops (or peeks at) a record, if there is one.
    pub(crate) fn poll_receive(
        &self,
        context: &mut Context<'_>,
        mut take: impl FnMut(&mut Consumer) -> Option<Record>,
    ) -> Poll<Result<Record, SocketError>> {
        let received = self.state.readers.poll(context, || self.try_receive(&mut take));
        if received.is_pending()
            && let Ok(mut side) = self.state.write.try_lock()
        {
            side.send.release();
        }
        received
    }

    /// As [`poll_receive`](Self::poll_receive), `None` where that would wait.
    pub(crate) fn try_receive(
        &self,
        mut take: impl FnMut(&mut Consumer) -> Option<Record>,
    ) -> Option<Result<Record, SocketError>> {
        let failure = lock(&self.state.error).take();
        if let Some(reason) = failure {
            return Some(Err(reason));
        }
        let closed = self.state.closed.get();
        let taken = take(&mut lock(&self.state.read));
        if let Some(record) = taken {
            // Who sent something can be answered: its address needs no asking.
            if let Ok(mut side) = self.state.write.try_lock() {
                side.remember(record.remote.ip());
            }
            return Some(Ok(record));
        }
        closed.map(|&reason| Err(reason))
    }

    /// The error that waits, if any.
    pub(crate) fn take_error(&self) -> Option<SocketError> {
        lock(&self.state.error).take()
    }

    /// Changes a setting.
    pub(crate) fn set(&self, option: UdpOption) -> Result<(), SocketError> {
        {
            let mut settings = lock(&self.state.settings);
            match option {
                UdpOption::Broadcast(on) => settings.broadcast = on,
                UdpOption::DontFragment(on) => settings.dont_fragment = on,
                UdpOption::HopLimit(0) => return Err(SocketError::InvalidOption),
                UdpOption::HopLimit(hops) => settings.hop_limit = Some(hops),
                UdpOption::Tos(tos) => settings.tos = tos,
            }
        }
        // Each destination is asked about again under the new setting.
        lock(&self.state.write).known.clear();
        self.submit(Command::UdpSet(option), Attachment::None)
    }

    pub(crate) fn broadcast(&self) -> bool {
        lock(&self.state.settings).broadcast
    }

    pub(crate) fn dont_fragment(&self) -> bool {
        lock(&self.state.settings).dont_fragment
    }

    pub(crate) fn hop_limit(&self) -> u8 {
        lock(&self.state.settings).hop_limit.unwrap_or(DEFAULT_HOP_LIMIT)
    }

    pub(crate) fn tos(&self) -> u8 {
        lock(&self.state.settings).tos
    }

    fn submit(&self, command: Command, attachment: Attachment) -> Result<(), SocketError> {
        self.client.channel.submit(self.state.id, command, attachment)
    }
}

impl WriteSide {
    fn remember(&mut self, address: IpAddr) {
        if self.known.contains(&address) {
            return;
        }
        if self.known.len() < KNOWN {
            self.known.push(address);
            return;
        }
        self.known[self.next_known] = address;
        self.next_known = (self.next_known + 1) % KNOWN;
    }
}

impl Drop for Datagram {
    fn drop(&mut self) {
        // An engine that has stopped has let go already.
        let _ = self.submit(Command::Close, Attachment::None);
    }
}
