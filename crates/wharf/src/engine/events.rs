//! What the stack says, told to whom it concerns.

use stack::Event;
use stack::event::Readiness;
use stack::ip::echo::EchoId;
use stack::tcp::{ConnectionId, ListenerId};
use stack::udp::UdpId;

use super::sockets::{Named, Socket};
use super::{Engine, failures};
use crate::control::{Complete, Completion};

impl Engine {
    /// Tells everything there is to tell; true if that asked something of the stack, so that there may be more to send.
    pub(super) fn tell(&mut self, now: stack::Instant) -> bool {
        let mut asked = false;
        while let Some(event) = self.stack.poll_event() {
            match event {
                Event::Tcp(connection, news) => self.tell_connection(connection, news),
                Event::Accept(listener) => asked |= self.tell_listener(now, listener),
                Event::Udp(socket, news) => self.tell_datagram(socket, news),
                Event::Echo(echo, news) => self.tell_echo(echo, news),
                // The rest is about addresses, or about any-address mode, which this engine is not in.
                event => self.follow(&event),
            }
        }
        asked
    }

    fn tell_connection(&mut self, connection: ConnectionId, news: Readiness) {
        let Self { stack, sockets, .. } = self;
        let Some(Socket::Stream { state, .. }) = sockets.named(Named::Connection(connection)) else {
            return;
        };
        if news.contains(Readiness::CONNECTED)
            && let Some((local, remote)) = stack.tcp_addresses(connection)
        {
            state.complete(Completion::Connected { local, remote });
        }
        if news.contains(Readiness::URGENT)
            && let Some(mark) = stack.tcp_urgent_mark(connection)
        {
            state.complete(Completion::Urgent { mark });
            stack.tcp_urgent_told(connection);
            // Only now: whoever looks while the ring is still marked waits to be woken.
            state.complete(Completion::Readable);
        }
        if news.contains(Readiness::PEER_FINISHED) {
            state.complete(Completion::PeerFinished);
        }
        if news.contains(Readiness::CLOSED) {
            let reason = stack.tcp_error(connection).map(failures::of_connection);
            state.complete(Completion::Closed(reason));
            return;
        }
        if news.contains(Readiness::READABLE) {
            state.complete(Completion::Readable);
        }
        if news.contains(Readiness::DRAINED) {
            state.complete(Completion::Drained);
        }
        if news.contains(Readiness::WRITABLE) || news.contains(Readiness::DRAINED) {
            state.complete(Completion::Writable);
        }
    }

    fn tell_listener(&mut self, now: stack::Instant, listener: ListenerId) -> bool {
        match self.sockets.named(Named::Listener(listener)) {
            Some(Socket::Listener { state, .. }) => {
                let id = state.id;
                self.accept(now, id)
            }
            _ => false,
        }
    }

    fn tell_datagram(&mut self, socket: UdpId, news: Readiness) {
        let Self { stack, sockets, .. } = self;
        let Some(Socket::Datagram { state, .. }) = sockets.named(Named::Datagram(socket)) else {
            return;
        };
        while let Some(error) = stack.udp_take_error(socket) {
            state.complete(Completion::Error(failures::of_icmp(error.kind)));
        }
        if news.contains(Readiness::CLOSED) {
            state.complete(Completion::Closed(Some(crate::SocketError::AddressRemoved)));
            return;
        }
        if news.contains(Readiness::READABLE) {
            state.complete(Completion::Readable);
        }
        if news.contains(Readiness::WRITABLE) {
            state.complete(Completion::Writable);
        }
    }

    fn tell_echo(&mut self, echo: EchoId, news: Readiness) {
        let Self { stack, sockets, .. } = self;
        let Some(Socket::Echo { state, .. }) = sockets.named(Named::Echo(echo)) else {
            return;
        };
        while let Some(error) = stack.echo_take_error(echo) {
            state.complete(Completion::EchoError {
                sequence: error.seq,
                from: error.from,
                reason: failures::of_icmp(error.kind),
            });
        }
        if news.contains(Readiness::READABLE) {
            state.complete(Completion::Readable);
        }
    }
}
