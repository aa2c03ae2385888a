//! Everything behind the lock: the engine, the sockets, and what ties the one's events to the others.

use std::ffi::c_int;

use stack::event::Readiness;
use stack::{Event, Instant};

use crate::descriptors::{Descriptors, Open};
use crate::errno::{Errno, Sys};
use crate::machine::Machine;
use crate::settings::Settings;
use crate::socket::{Role, Socket};

/// Ports that `bind` takes when it is given none, in turn.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// One set of sockets over one engine.
pub(crate) struct State {
    pub machine: Machine,
    pub descriptors: Descriptors,
    pub settings: Settings,
    /// A socket was opened: the settings stand.
    begun: bool,
    next_port: u16,
}

impl State {
    pub(crate) fn new(settings: Settings, now: Instant) -> Self {
        let machine = Machine::new(now, settings.config.clone(), settings.seed, settings.mtu, settings.local);
        Self { machine, descriptors: Descriptors::default(), settings, begun: false, next_port: *EPHEMERAL.start() }
    }

    /// `socket(2)`.
    pub(crate) fn open(&mut self, family: c_int, kind: c_int, protocol: c_int) -> Sys<c_int> {
        if !self.begun {
            self.begun = true;
            if self.settings.sysctl {
                self.settings.apply_sysctls();
                let Settings { config, mtu, local, seed, .. } = self.settings.clone();
                self.machine = Machine::new(self.machine.now, config, seed, mtu, local);
            }
        }
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        match (family, kind & !flags, protocol) {
            (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => {}
            (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM, _) => return Err(Errno(libc::EPROTONOSUPPORT)),
            (libc::AF_INET | libc::AF_INET6, _, _) => return Err(Errno(libc::ESOCKTNOSUPPORT)),
            _ => return Err(Errno(libc::EAFNOSUPPORT)),
        }
        let socket = Socket::new(family, kind & libc::SOCK_NONBLOCK != 0, &self.settings.config.tcp);
        self.descriptors.insert(Open::Socket(Box::new(socket)))
    }

    /// The socket behind `fd`, and the engine.
    pub(crate) fn socket(&mut self, fd: c_int) -> Sys<(&mut Socket, &mut Machine)> {
        Ok((self.descriptors.socket(fd)?, &mut self.machine))
    }

    /// `close(2)`.
    pub(crate) fn close(&mut self, fd: c_int) -> Sys<()> {
        let open = self.descriptors.close(fd).ok_or(Errno(libc::EBADF))?;
        self.let_go(open);
        Ok(())
    }

    /// What closing does to the engine.
    fn let_go(&mut self, open: Open) {
        let Open::Socket(socket) = open else { return };
        let now = self.machine.now;
        match socket.role {
            Role::Fresh | Role::Deferred(_) => {}
            Role::Listening(listener) => self.machine.stack.tcp_unlisten(now, listener),
            Role::Stream(stream) => self.machine.stack.tcp_close(now, stream.id),
        }
    }

    /// Closes everything.
    pub(crate) fn close_all(&mut self) {
        for open in self.descriptors.take_all() {
            self.let_go(open);
        }
        self.settle();
    }

    /// Lets the engine send and tell, after whatever was done to it.
    pub(crate) fn settle(&mut self) {
        for open in self.descriptors.take_abandoned() {
            self.let_go(open);
        }
        let descriptors = &mut self.descriptors;
        self.machine.drain(|stack, event| match event {
            Event::Tcp(id, news) => {
                let socket = descriptors.sockets().find(|socket| socket.stream().is_some_and(|stream| stream.id == id));
                let Some(socket) = socket else { return };
                socket.edges += 1;
                if news.contains(Readiness::ERROR)
                    && let Some(error) = stack.tcp_error(id)
                {
                    socket.fail(error);
                }
            }
            Event::Accept(listener) => {
                for socket in descriptors.sockets() {
                    if matches!(socket.role, Role::Listening(id) if id == listener) {
                        socket.edges += 1;
                    }
                }
            }
            _ => {}
        });
    }

    /// A port for `bind` with port zero.
    pub(crate) fn free_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
        port
    }
}
