//! Fast Open as Linux's sockets have it (RFC 7413): `sendto` with MSG_FASTOPEN, and the first write after a `connect` that
//! TCP_FASTOPEN_CONNECT has put off.

use std::ffi::c_int;

use crate::address::Name;
use crate::errno::{Errno, Sys};
use crate::settings::{FAST_OPEN_CLIENT, FAST_OPEN_SERVER};
use crate::socket::Role;
use crate::state::State;

impl State {
    /// Sets TCP_FASTOPEN_CONNECT.
    pub(crate) fn set_fast_open_connect(&mut self, fd: c_int, number: c_int) -> Sys<()> {
        let client = self.settings.fast_open & FAST_OPEN_CLIENT != 0;
        let (socket, _) = self.socket(fd)?;
        socket.fast_open_connect = match (number, &socket.role) {
            (0 | 1, _) if !client => return Err(Errno(libc::EOPNOTSUPP)),
            (0 | 1, Role::Fresh) => number == 1,
            _ => return Err(Errno(libc::EINVAL)),
        };
        Ok(())
    }

    /// What a listener with this TCP_FASTOPEN may have of connections that are not proven.
    pub(crate) fn fast_open_limit(&self, connections: usize) -> Option<usize> {
        (connections > 0 && self.settings.fast_open & FAST_OPEN_SERVER != 0).then_some(connections)
    }

    /// Whether a `send` with these flags opens the connection.
    pub(crate) fn opens_by_sending(&mut self, fd: c_int, flags: c_int) -> Sys<bool> {
        let (socket, _) = self.socket(fd)?;
        Ok(flags & libc::MSG_FASTOPEN != 0 || matches!(socket.role, Role::Deferred(_)))
    }

    /// Opens the connection and writes what its SYN takes of `bytes`: how much that was, which is nothing where it asks for a
    /// cookie first.
    pub(crate) fn open_by_sending(&mut self, fd: c_int, name: Option<Name>, bytes: &[u8]) -> Sys<usize> {
        let client = self.settings.fast_open & FAST_OPEN_CLIENT != 0;
        let (socket, _) = self.socket(fd)?;
        let remote = match (&socket.role, name) {
            _ if !client => return Err(Errno(libc::EOPNOTSUPP)),
            (_, Some(Name::Unspecified)) => return Err(Errno(libc::EOPNOTSUPP)),
            (Role::Deferred(remote), _) => *remote,
            // Linux: what has opened meanwhile is written to, once.
            (Role::Stream(stream), _) if stream.opening => {
                return match self.connected(fd) {
                    Err(Errno(libc::EAGAIN)) => Err(Errno(libc::EALREADY)),
                    other => other.map(|()| 0),
                };
            }
            (Role::Stream(_) | Role::Listening(_), _) => return Err(Errno(libc::EISCONN)),
            (Role::Fresh, None) => return Err(Errno(libc::EINVAL)),
            (Role::Fresh, Some(Name::Address(remote))) => remote,
        };
        socket.role = Role::Fresh;
        self.begin(fd, remote, true)?;
        let (socket, machine) = self.socket(fd)?;
        let Role::Stream(stream) = &mut socket.role else { return Ok(0) };
        let room = machine.stack.tcp_syn_room(stream.id).min(bytes.len());
        // No more: it would be sent after the handshake, and the caller is told of it then.
        let written = stream.rings.send.write(&bytes[..room]);
        if written > 0 {
            machine.stack.tcp_wrote(machine.now, stream.id);
        }
        Ok(written)
    }
}
