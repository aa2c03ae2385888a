//! The control channel between sockets and the engine's thread.
//!
//! A socket is its rings and this channel. What crosses it is plain data: a [`Command`] for the socket named by a
//! [`SocketId`] goes down, a [`Completion`] comes back; bytes go through the rings, and a *mark* ("I wrote", "I read")
//! says that the engine should look at them. In one process the rings and the socket's state travel beside the
//! command as an [`Attachment`]; a daemon would pass shared memory there, and nothing else would change.
//!
//! `channel` is the queue and the doorbell; `reply` what a question is answered through.

mod channel;
mod reply;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ring::datagram::Record;
use ring::{Consumer, Producer};

pub(crate) use self::channel::{Channel, Marks, Turn};
pub(crate) use self::reply::{Answerer, Reply};
use crate::configuration::Adoption;
use crate::error::SocketError;
use crate::interface::Interface;
use crate::options::{ListenOptions, TcpInfo, TcpOption, TcpOptions, UdpOption, UdpOptions};
use crate::socket::datagram::DatagramState;
use crate::socket::echo::EchoState;
use crate::socket::listener::ListenerState;
use crate::socket::stream::StreamState;

/// Names a socket on the channel. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SocketId(pub u64);

/// What a socket asks of the engine.
#[derive(Debug)]
pub(crate) enum Command {
    /// Begin a TCP connection.
    TcpConnect { remote: SocketAddr, options: TcpOptions },
    /// Listen for TCP connections.
    TcpListen { local: SocketAddr, options: ListenOptions },
    /// Read no more from a connection.
    TcpShutdownRead,
    /// What a connection's send ring holds, or will hold, before this position is urgent.
    TcpUrgent { end: u64 },
    /// Change a connection's settings.
    TcpSet(TcpOption),
    /// Bind a UDP socket.
    UdpBind { local: SocketAddr, options: UdpOptions },
    /// Send to, and take from, one peer only.
    UdpConnect(SocketAddr),
    /// Send this datagram after those in the ring, and say what became of it.
    UdpSend { record: Record, payload: Box<[u8]> },
    /// Change a UDP socket's settings.
    UdpSet(UdpOption),
    /// Open an echo socket.
    EchoOpen,
    /// Send an echo request.
    EchoSend { destination: IpAddr, hop_limit: Option<u8>, sequence: u16, payload: Box<[u8]> },
    /// The application lets go of the socket. A connection still sends what was written; a listener resets what
    /// nobody accepted.
    Close,
    /// A question that concerns a connection.
    TcpInfo,
    /// A question that concerns no socket.
    Interfaces,
    /// From the first of several engines: its address, or that it has none.
    Adopt(Adoption),
}

/// What travels with a command as long as both ends are in one process.
pub(crate) enum Attachment {
    /// Nothing.
    None,
    /// A new connection's state and the engine's halves of its rings.
    Stream { state: EngineEnd<StreamState>, send: Consumer, receive: Producer },
    /// A new listener's state, and where to say whether it could be bound.
    Listener { state: EngineEnd<ListenerState>, bound: Answerer<SocketAddr> },
    /// A new UDP socket's state, the engine's halves of its rings, and where to say whether it could be bound.
    Datagram { state: EngineEnd<DatagramState>, send: Consumer, receive: Producer, bound: Answerer<SocketAddr> },
    /// A new echo socket's state, and the engine's half of its ring.
    Echo { state: EngineEnd<EchoState>, receive: Producer },
    /// Who wants to know that it was done.
    Done(Answerer<()>),
    /// Who wants to know an address of the socket's.
    Address(Answerer<SocketAddr>),
    /// Who asked for [`Command::TcpInfo`].
    TcpInfo(Answerer<TcpInfo>),
    /// Who asked for [`Command::Interfaces`].
    Interfaces(Answerer<Vec<Interface>>),
}

/// A command on its way.
pub(crate) struct Submission {
    pub socket: SocketId,
    pub command: Command,
    pub attachment: Attachment,
}

/// What the engine tells a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    /// The connection stands.
    Connected { local: SocketAddr, remote: SocketAddr },
    /// There may be something to read, or the stream's end.
    Readable,
    /// The peer has ended its stream; what it sent before can still be read.
    PeerFinished,
    /// The peer's urgent data reaches up to this position of the receive ring.
    Urgent { mark: u64 },
    /// The engine knows that what the send ring holds, or will hold, before this position is urgent.
    UrgentNoted { end: u64 },
    /// There may be room to write.
    Writable,
    /// Everything that was written has arrived.
    Drained,
    /// An error that leaves the socket alive.
    Error(SocketError),
    /// An ICMP error about an echo request.
    EchoError { sequence: u16, from: IpAddr, reason: SocketError },
    /// The socket is over; well, when there is no reason.
    Closed(Option<SocketError>),
}

/// A socket's state, as the engine sees it.
pub(crate) trait Complete {
    /// Takes in what the engine says and wakes who waits for it. Called on the engine's thread with no lock held.
    fn complete(&self, completion: Completion);
}

/// The engine's hold on a socket's state. Wherever it is dropped (the socket was let go, the engine stopped, its
/// thread panicked, the command was never read), nobody is left waiting.
pub(crate) struct EngineEnd<S: Complete>(pub Arc<S>);

impl<S: Complete> std::ops::Deref for EngineEnd<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

impl<S: Complete> Drop for EngineEnd<S> {
    fn drop(&mut self) {
        self.0.complete(Completion::Closed(Some(SocketError::EngineStopped)));
    }
}
