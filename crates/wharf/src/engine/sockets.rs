//! Who is who: the names that sockets have on the channel and the handles that the stack gave them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use stack::ip::echo::EchoId;
use stack::tcp::{ConnectionId, ListenerId};
use stack::udp::UdpId;

use crate::control::{EngineEnd, SocketId};
use crate::options::TcpOptions;
use crate::socket::datagram::DatagramState;
use crate::socket::echo::EchoState;
use crate::socket::listener::ListenerState;
use crate::socket::stream::StreamState;

/// A socket as the engine has it. Dropping one tells whoever waits on it that it is over.
pub(super) enum Socket {
    Stream {
        state: EngineEnd<StreamState>,
        connection: ConnectionId,
    },
    Listener {
        state: EngineEnd<ListenerState>,
        listener: ListenerId,
        /// What its connections begin with.
        options: TcpOptions,
    },
    Datagram {
        state: EngineEnd<DatagramState>,
        socket: UdpId,
    },
    Echo {
        state: EngineEnd<EchoState>,
        echo: EchoId,
    },
}

/// Every socket, by either name.
#[derive(Default)]
pub(super) struct Sockets {
    sockets: HashMap<SocketId, Socket, Hashing>,
    connections: HashMap<ConnectionId, SocketId, Hashing>,
    listeners: HashMap<ListenerId, SocketId, Hashing>,
    datagrams: HashMap<UdpId, SocketId, Hashing>,
    echoes: HashMap<EchoId, SocketId, Hashing>,
}

/// Which of the stack's handles an event names.
#[derive(Clone, Copy)]
pub(super) enum Named {
    Connection(ConnectionId),
    Listener(ListenerId),
    Datagram(UdpId),
    Echo(EchoId),
}

impl Sockets {
    pub(super) fn insert(&mut self, id: SocketId, socket: Socket) {
        match &socket {
            Socket::Stream { connection, .. } => self.connections.insert(*connection, id),
            Socket::Listener { listener, .. } => self.listeners.insert(*listener, id),
            Socket::Datagram { socket, .. } => self.datagrams.insert(*socket, id),
            Socket::Echo { echo, .. } => self.echoes.insert(*echo, id),
        };
        self.sockets.insert(id, socket);
    }

    pub(super) fn remove(&mut self, id: SocketId) -> Option<Socket> {
        let socket = self.sockets.remove(&id)?;
        match &socket {
            Socket::Stream { connection, .. } => self.connections.remove(connection),
            Socket::Listener { listener, .. } => self.listeners.remove(listener),
            Socket::Datagram { socket, .. } => self.datagrams.remove(socket),
            Socket::Echo { echo, .. } => self.echoes.remove(echo),
        };
        Some(socket)
    }

    pub(super) fn get(&self, id: SocketId) -> Option<&Socket> {
        self.sockets.get(&id)
    }

    /// The socket that the stack means.
    pub(super) fn named(&self, name: Named) -> Option<&Socket> {
        let id = match name {
            Named::Connection(connection) => self.connections.get(&connection),
            Named::Listener(listener) => self.listeners.get(&listener),
            Named::Datagram(socket) => self.datagrams.get(&socket),
            Named::Echo(echo) => self.echoes.get(&echo),
        };
        self.sockets.get(id?)
    }
}

type Hashing = BuildHasherDefault<Spread>;

/// Hashes names that this program gave out itself, one number each: no peer chooses them, so spreading them over the
/// table is all there is to do.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing: 2^64 over the golden ratio.
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
