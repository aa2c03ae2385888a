//! Becoming something: `bind`, `listen`, `accept`, `connect`, `shutdown`, as Linux does them.

use std::ffi::c_int;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use stack::tcp::{ConnectOptions, ListenOptions, Phase, SocketOption, heap_rings};

use crate::address::Name;
use crate::descriptors::Open;
use crate::errno::{Errno, Sys};
use crate::socket::{Role, Socket, Stream};
use crate::state::State;

impl State {
    /// `bind(2)`.
    pub(crate) fn bind(&mut self, fd: c_int, name: Name) -> Sys<()> {
        let (socket, _) = self.socket(fd)?;
        let Name::Address(mut local) = name else { return Err(Errno(libc::EAFNOSUPPORT)) };
        if socket.bound.is_some() || !matches!(socket.role, Role::Fresh) {
            return Err(Errno(libc::EINVAL));
        }
        if local.port() == 0 {
            local.set_port(self.free_port());
        } else if self.is_bound(fd, local)? {
            return Err(Errno(libc::EADDRINUSE));
        }
        if !local.ip().is_unspecified() {
            self.machine.adopt(local.ip());
        }
        self.descriptors.socket(fd)?.bound = Some(local);
        Ok(())
    }

    /// Whether another socket has the address and will not share it.
    fn is_bound(&mut self, fd: c_int, local: SocketAddr) -> Sys<bool> {
        let socket = self.descriptors.socket(fd)?;
        let (shares, shares_port) = (socket.reuse_address, socket.reuse_port);
        Ok(self.descriptors.sockets().any(|other| {
            let Some(taken) = other.bound else { return false };
            let overlaps = taken.ip() == local.ip() || taken.ip().is_unspecified() || local.ip().is_unspecified();
            // Nobody shares with a listener.
            let both = shares && other.reuse_address && !matches!(other.role, Role::Listening(_));
            taken.port() == local.port() && overlaps && !both && !(shares_port && other.reuse_port)
        }))
    }

    /// `listen(2)`.
    pub(crate) fn listen(&mut self, fd: c_int, backlog: c_int) -> Sys<()> {
        let (socket, _) = self.socket(fd)?;
        match socket.role {
            Role::Fresh => {}
            Role::Listening(_) => return Ok(()),
            Role::Stream(_) | Role::Deferred(_) => return Err(Errno(libc::EINVAL)),
        }
        let local = match socket.bound {
            Some(local) => local,
            None => SocketAddr::new(unspecified(socket), self.free_port()),
        };
        let fast_open = self.descriptors.socket(fd)?.fast_open;
        let mut options = ListenOptions::default();
        options.fast_open = self.fast_open_limit(fast_open);
        let (socket, machine) = self.socket(fd)?;
        // Linux: a negative backlog is the largest; and it lets in one more than it was told.
        options.backlog = usize::try_from(backlog).unwrap_or(4_096).saturating_add(1).min(4_096);
        options.reuse_address = socket.reuse_address;
        options.reuse_port = socket.reuse_port;
        options.socket = socket.options.clone();
        let (send, receive) = (socket.send_limit, socket.receive_limit);
        options.rings = Some(Box::new(move || heap_rings(send, receive)));
        let listener = machine.stack.tcp_listen(local, options)?;
        socket.bound = Some(local);
        socket.quick_ack = None;
        socket.role = Role::Listening(listener);
        Ok(())
    }

    /// `accept(2)`; EAGAIN when nobody waits.
    pub(crate) fn accept(&mut self, fd: c_int) -> Sys<(c_int, SocketAddr)> {
        let (socket, machine) = self.socket(fd)?;
        let Role::Listening(listener) = socket.role else { return Err(Errno(libc::EINVAL)) };
        let accepted = machine.stack.tcp_accept(machine.now, listener).ok_or(Errno(libc::EAGAIN))?;
        let child = socket.accepted(accepted.connection, accepted.rings, accepted.local);
        let child = self.descriptors.insert(Open::Socket(Box::new(child)))?;
        Ok((child, accepted.remote))
    }

    /// `connect(2)`; EINPROGRESS when it has begun.
    pub(crate) fn connect(&mut self, fd: c_int, name: Name) -> Sys<()> {
        let (socket, machine) = self.socket(fd)?;
        let remote = match name {
            Name::Unspecified => return self.disconnect(fd),
            Name::Address(remote) => remote,
        };
        match &mut socket.role {
            Role::Listening(_) | Role::Deferred(_) => return Err(Errno(libc::EISCONN)),
            Role::Stream(stream) if stream.opening => {
                return match self.connected(fd) {
                    Err(Errno(libc::EAGAIN)) => Err(Errno(libc::EALREADY)),
                    other => other,
                };
            }
            Role::Stream(_) => return Err(Errno(libc::EISCONN)),
            Role::Fresh => {}
        }
        if socket.fast_open_connect && machine.stack.tcp_has_fast_open_cookie(machine.now, remote.ip()) {
            socket.role = Role::Deferred(remote);
            return Ok(());
        }
        let fast = socket.fast_open_connect;
        self.begin(fd, remote, fast)?;
        Err(Errno(libc::EINPROGRESS))
    }

    /// Begins a connection; `fast` lets its SYN carry what Fast Open allows.
    pub(crate) fn begin(&mut self, fd: c_int, remote: SocketAddr, fast: bool) -> Sys<()> {
        let (socket, machine) = self.socket(fd)?;
        // Linux: the unspecified address is this host.
        let remote = match remote.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), remote.port()),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), remote.port()),
            _ => remote,
        };
        let mut options = ConnectOptions::default();
        options.local = socket.bound;
        options.socket = socket.options.clone();
        options.fast_open = fast;
        let (engine, rings) = heap_rings(socket.send_limit, socket.receive_limit);
        let id = machine.stack.tcp_connect(machine.now, remote, &options, engine)?;
        if let Some(on) = socket.quick_ack {
            machine.stack.tcp_set_option(machine.now, id, SocketOption::QuickAck(on));
        }
        socket.role = Role::Stream(Stream::new(id, rings, true, socket.urgent_inline));
        socket.bound = machine.stack.tcp_addresses(id).map(|(local, _)| local);
        Ok(())
    }

    /// How a `connect` has gone; EAGAIN while it is under way.
    pub(crate) fn connected(&mut self, fd: c_int) -> Sys<()> {
        let (socket, machine) = self.socket(fd)?;
        let Role::Stream(stream) = &mut socket.role else { return Err(Errno(libc::EISCONN)) };
        match machine.stack.tcp_phase(stream.id) {
            Phase::SynSent | Phase::SynReceived => Err(Errno(libc::EAGAIN)),
            Phase::Closed if stream.opening => {
                // A failed attempt leaves the socket as it was before.
                let id = stream.id;
                machine.stack.tcp_close(machine.now, id);
                socket.role = Role::Fresh;
                socket.take_error()?;
                Err(Errno(libc::ECONNABORTED))
            }
            _ => {
                stream.opening = false;
                Ok(())
            }
        }
    }

    /// `connect` to AF_UNSPEC.
    fn disconnect(&mut self, fd: c_int) -> Sys<()> {
        let (socket, machine) = self.socket(fd)?;
        match std::mem::replace(&mut socket.role, Role::Fresh) {
            Role::Fresh | Role::Deferred(_) => {}
            Role::Listening(listener) => machine.stack.tcp_unlisten(machine.now, listener),
            Role::Stream(stream) => machine.stack.tcp_abort(machine.now, stream.id),
        }
        socket.error = None;
        socket.bound = None;
        Ok(())
    }

    /// `shutdown(2)`.
    pub(crate) fn shutdown(&mut self, fd: c_int, how: c_int) -> Sys<()> {
        let (socket, machine) = self.socket(fd)?;
        let (read, write) = match how {
            libc::SHUT_RD => (true, false),
            libc::SHUT_WR => (false, true),
            libc::SHUT_RDWR => (true, true),
            _ => return Err(Errno(libc::EINVAL)),
        };
        let stream = match &mut socket.role {
            Role::Fresh => return Err(Errno(libc::ENOTCONN)),
            Role::Deferred(_) => {
                socket.role = Role::Fresh;
                return Ok(());
            }
            Role::Listening(listener) if read => {
                machine.stack.tcp_unlisten(machine.now, *listener);
                socket.role = Role::Fresh;
                return Ok(());
            }
            Role::Listening(_) => return Ok(()),
            Role::Stream(stream) => stream,
        };
        match machine.stack.tcp_phase(stream.id) {
            Phase::Closed | Phase::TimeWait => return Err(Errno(libc::ENOTCONN)),
            Phase::SynSent => {
                machine.stack.tcp_abort(machine.now, stream.id);
                socket.role = Role::Fresh;
                return Ok(());
            }
            _ => {}
        }
        if read && !std::mem::replace(&mut stream.shut_read, true) {
            machine.stack.tcp_shutdown_read(machine.now, stream.id);
        }
        if write && !std::mem::replace(&mut stream.shut_write, true) {
            stream.rings.send.finish();
            machine.stack.tcp_wrote(machine.now, stream.id);
        }
        socket.edges += 1;
        Ok(())
    }

    /// The first part of a `close` that lingers: the stream is finished. False if there is nothing to linger for.
    pub(crate) fn begin_to_linger(&mut self, fd: c_int) -> bool {
        let Ok((socket, machine)) = self.socket(fd) else { return false };
        let Role::Stream(stream) = &mut socket.role else { return false };
        if !stream.rings.receive.is_empty() || !machine.stack.tcp_phase(stream.id).is_synchronized() {
            return false;
        }
        if !std::mem::replace(&mut stream.shut_write, true) {
            stream.rings.send.finish();
            machine.stack.tcp_wrote(machine.now, stream.id);
        }
        true
    }

    /// Whether everything, the FIN included, has been acknowledged; EAGAIN until then.
    pub(crate) fn lingered(&mut self, fd: c_int) -> Sys<()> {
        let (socket, machine) = self.socket(fd)?;
        let Role::Stream(stream) = &socket.role else { return Ok(()) };
        match machine.stack.tcp_phase(stream.id) {
            Phase::FinWait1 | Phase::Closing | Phase::LastAck | Phase::Established | Phase::CloseWait => {
                Err(Errno(libc::EAGAIN))
            }
            _ => Ok(()),
        }
    }
}

fn unspecified(socket: &Socket) -> IpAddr {
    match socket.family {
        libc::AF_INET6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}
