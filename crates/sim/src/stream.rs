//! An application's end of a TCP connection in a simulated world.

use std::net::SocketAddr;
use std::time::Duration;

use stack::Event;
use stack::ports::BindError;
use stack::tcp::{
    ApplicationRings, ConnectError, ConnectOptions, ConnectionId, ListenOptions, ListenerId, Phase, TcpError,
    heap_rings,
};

use crate::world::{HostId, World};

/// One end of a connection.
pub struct Stream {
    /// Whose end it is.
    pub host: HostId,
    /// Its handle in that host's engine.
    pub id: ConnectionId,
    /// The application's halves of its rings.
    pub rings: ApplicationRings,
}

impl World {
    /// Begins to connect `host` to `remote`, with rings of 256 KiB.
    ///
    /// # Errors
    /// As `Stack::tcp_connect`.
    pub fn connect(&mut self, host: HostId, remote: SocketAddr) -> Result<Stream, ConnectError> {
        self.connect_with(host, remote, &ConnectOptions::default(), 256 * 1024, 256 * 1024)
    }

    /// [`connect`](Self::connect) with settings and sizes of the send and the receive ring.
    ///
    /// # Errors
    /// As `Stack::tcp_connect`.
    pub fn connect_with(
        &mut self,
        host: HostId,
        remote: SocketAddr,
        options: &ConnectOptions,
        send: usize,
        receive: usize,
    ) -> Result<Stream, ConnectError> {
        let (engine, rings) = heap_rings(send, receive);
        let mut options = options.clone();
        if !self.autotuned {
            // Scripts count on writing as much as they name.
            options.socket.send_buffer.get_or_insert(send as u32);
        }
        let now = self.now();
        let id = self.host_mut(host).stack.tcp_connect(now, remote, &options, engine)?;
        self.settle();
        Ok(Stream { host, id, rings })
    }

    /// Lets `host` listen on `port`.
    ///
    /// # Errors
    /// As `Stack::tcp_listen`.
    pub fn listen(&mut self, host: HostId, port: u16) -> Result<ListenerId, BindError> {
        let local = self.socket(host, port);
        self.host_mut(host).stack.tcp_listen(local, ListenOptions::default())
    }

    /// The next connection that waits at `listener`.
    pub fn accept(&mut self, host: HostId, listener: ListenerId) -> Option<Stream> {
        let now = self.now();
        let accepted = self.host_mut(host).stack.tcp_accept(now, listener)?;
        self.settle();
        Some(Stream { host, id: accepted.connection, rings: accepted.rings })
    }

    /// A connection from `from` to `port` of `to`, complete on both sides.
    ///
    /// # Panics
    /// If it does not come about within two minutes.
    pub fn connected(&mut self, from: HostId, to: HostId, port: u16) -> (Stream, Stream) {
        let listener = self.listen(to, port).expect("a free port");
        let client = self.connect(from, self.socket(to, port)).expect("a route");
        let mut server = None;
        let complete = self.run_until(Duration::from_secs(120), |world| {
            if server.is_none() {
                server = world.accept(to, listener);
            }
            server.is_some() && client.phase(world) == Phase::Established
        });
        assert!(complete, "no connection within two minutes");
        (client, server.expect("accepted"))
    }
}

impl Stream {
    /// Writes as much of `bytes` as there is room for; returns how much.
    pub fn write(&mut self, world: &mut World, bytes: &[u8]) -> usize {
        let written = self.rings.send.write(bytes);
        if written > 0 {
            let now = world.now();
            world.host_mut(self.host).stack.tcp_wrote(now, self.id);
            world.settle();
        }
        written
    }

    /// Takes what has arrived, at most `to`'s length; returns how much.
    pub fn read(&mut self, world: &mut World, to: &mut [u8]) -> usize {
        let read = self.rings.receive.read(to);
        if read > 0 {
            let now = world.now();
            world.host_mut(self.host).stack.tcp_read(now, self.id);
            world.settle();
        }
        read
    }

    /// Everything that has arrived.
    pub fn read_all(&mut self, world: &mut World) -> Vec<u8> {
        let mut all = vec![0; self.rings.receive.len()];
        let read = self.read(world, &mut all);
        all.truncate(read);
        all
    }

    /// Ends this side's stream; the other stays open.
    pub fn finish(&mut self, world: &mut World) {
        self.rings.send.finish();
        let now = world.now();
        world.host_mut(self.host).stack.tcp_wrote(now, self.id);
        world.settle();
    }

    /// Whether the peer's stream has ended and all of it was read.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.rings.receive.is_finished()
    }

    /// Lets the connection go.
    pub fn close(self, world: &mut World) {
        let now = world.now();
        world.host_mut(self.host).stack.tcp_close(now, self.id);
        world.settle();
    }

    /// Resets the connection.
    pub fn abort(self, world: &mut World) {
        let now = world.now();
        world.host_mut(self.host).stack.tcp_abort(now, self.id);
        world.settle();
    }

    /// Its state.
    #[must_use]
    pub fn phase(&self, world: &World) -> Phase {
        world.host(self.host).stack.tcp_phase(self.id)
    }

    /// Takes its error.
    pub fn error(&self, world: &mut World) -> Option<TcpError> {
        world.host_mut(self.host).stack.tcp_error(self.id)
    }

    /// Whether an event about it waits to be read.
    #[must_use]
    pub fn has_event(&self, world: &World) -> bool {
        world.host(self.host).events.iter().any(|event| matches!(event, Event::Tcp(id, _) if *id == self.id))
    }
}
