//! Bytes in and out: `recv` and `send` in all their spellings, the queues' lengths, `splice`.

use std::ffi::c_int;

use stack::tcp::{OutOfBand, Phase};

use crate::errno::{Errno, Sys};
use crate::machine::Machine;
use crate::socket::{Role, Stream};
use crate::state::State;

impl Stream {
    /// Takes the engine's mark over. Nobody reads between the engine's word and this.
    pub(crate) fn follow_mark(&mut self, machine: &Machine) {
        if let Some(mark) = machine.stack.tcp_urgent_mark(self.id) {
            self.urgent.set_mark(mark);
        }
    }
}

/// The most that one call moves; a call may always move less than it was asked to.
const MOST: usize = 64 << 20;

impl State {
    /// `recv(2)`, at most `len` bytes; EAGAIN when there are none yet.
    pub(crate) fn receive(&mut self, fd: c_int, len: usize, flags: c_int) -> Sys<Vec<u8>> {
        const KNOWN: c_int = libc::MSG_PEEK
            | libc::MSG_DONTWAIT
            | libc::MSG_TRUNC
            | libc::MSG_WAITALL
            | libc::MSG_NOSIGNAL
            | libc::MSG_CMSG_CLOEXEC;
        let (socket, machine) = self.socket(fd)?;
        if flags & libc::MSG_ERRQUEUE != 0 {
            // No timestamps and no zero copy, so nothing is ever queued there.
            return Err(Errno(libc::EAGAIN));
        }
        if flags & libc::MSG_OOB != 0 {
            return self.receive_urgent(fd, len, flags & libc::MSG_PEEK != 0);
        }
        if flags & !KNOWN != 0 {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        let stream = match &mut socket.role {
            Role::Stream(stream) => stream,
            // Linux: it waits for what was never asked for.
            Role::Deferred(_) => return Err(Errno(libc::EAGAIN)),
            _ => return Err(Errno(libc::ENOTCONN)),
        };
        stream.follow_mark(machine);
        let ring = &mut stream.rings.receive;
        let arrived = ring.len();
        // Not as Linux: a look steps over a byte out of band, too, which can be taken all the same.
        let waiting = stream.urgent.admit(ring, arrived);
        let phase = machine.stack.tcp_phase(stream.id);
        let over = matches!(phase, Phase::Closed | Phase::TimeWait);
        if waiting == 0 {
            if len == 0 || ring.is_producer_finished() {
                return Ok(Vec::new());
            }
            let ended = stream.shut_read || over;
            socket.take_error()?;
            return if ended { Ok(Vec::new()) } else { Err(Errno(libc::EAGAIN)) };
        }
        let len = len.min(MOST);
        // At the mark a read ends, whatever it waits for.
        let all = flags & libc::MSG_WAITALL != 0 && flags & libc::MSG_PEEK == 0 && waiting == ring.len();
        if all && waiting < len && !ring.is_producer_finished() && !over && !stream.shut_read {
            return Err(Errno(libc::EAGAIN));
        }
        let mut bytes = vec![0; len.min(waiting)];
        ring.copy_at(0, &mut bytes);
        if flags & libc::MSG_PEEK == 0 {
            ring.consume(bytes.len());
            machine.stack.tcp_read(machine.now, stream.id);
        }
        Ok(bytes)
    }

    /// `send(2)`: how much there was room for; EAGAIN when there was none.
    pub(crate) fn send(&mut self, fd: c_int, bytes: &[u8], flags: c_int) -> Sys<usize> {
        const KNOWN: c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | libc::MSG_OOB | libc::MSG_MORE;
        let (socket, machine) = self.socket(fd)?;
        if flags & !KNOWN != 0 {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        let Role::Stream(stream) = &mut socket.role else { return Err(Errno(libc::EPIPE)) };
        let phase = machine.stack.tcp_phase(stream.id);
        if stream.shut_write || matches!(phase, Phase::Closed | Phase::TimeWait) {
            return Err(Errno(libc::EPIPE));
        }
        if matches!(phase, Phase::SynSent | Phase::SynReceived) {
            return Err(Errno(libc::EAGAIN));
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let written = stream.rings.send.write(bytes);
        if written == 0 {
            return Err(Errno(libc::EAGAIN));
        }
        let (id, end) = (stream.id, stream.rings.send.position());
        // Only now: what waited for this goes with it.
        socket.set_corked(machine, socket.cork || flags & libc::MSG_MORE != 0);
        if flags & libc::MSG_OOB != 0 {
            machine.stack.tcp_wrote_urgent(machine.now, id, end);
        } else {
            machine.stack.tcp_wrote(machine.now, id);
        }
        Ok(written)
    }

    /// `recv(2)` with MSG_OOB: the last urgent byte.
    fn receive_urgent(&mut self, fd: c_int, len: usize, peek: bool) -> Sys<Vec<u8>> {
        let (socket, machine) = self.socket(fd)?;
        let Role::Stream(stream) = &mut socket.role else { return Err(Errno(libc::EINVAL)) };
        stream.follow_mark(machine);
        match stream.urgent.take(&stream.rings.receive, peek) {
            OutOfBand::Byte(byte) => Ok([byte][..len.min(1)].to_vec()),
            OutOfBand::Awaited if stream.shut_read || stream.rings.receive.is_producer_finished() => Ok(Vec::new()),
            OutOfBand::Awaited => Err(Errno(libc::EAGAIN)),
            OutOfBand::Nothing => Err(Errno(libc::EINVAL)),
        }
    }

    /// FIONREAD: bytes that can be read, before the mark of urgent data.
    pub(crate) fn unread(&mut self, fd: c_int) -> Sys<usize> {
        let (socket, machine) = self.socket(fd)?;
        match &mut socket.role {
            Role::Stream(stream) => {
                stream.follow_mark(machine);
                Ok(stream.unread())
            }
            Role::Listening(_) => Err(Errno(libc::EINVAL)),
            Role::Fresh | Role::Deferred(_) => Ok(0),
        }
    }

    /// SIOCATMARK: whether the next byte is the last urgent one.
    pub(crate) fn is_at_mark(&mut self, fd: c_int) -> Sys<bool> {
        let (socket, machine) = self.socket(fd)?;
        match &mut socket.role {
            Role::Stream(stream) => {
                stream.follow_mark(machine);
                Ok(stream.urgent.is_at_mark(&stream.rings.receive))
            }
            _ => Ok(false),
        }
    }

    /// SIOCOUTQ: bytes written and not acknowledged, and how many of them were never sent.
    pub(crate) fn unacknowledged(&mut self, fd: c_int) -> Sys<(usize, usize)> {
        let (socket, machine) = self.socket(fd)?;
        match &socket.role {
            Role::Stream(stream) => {
                let info = machine.stack.tcp_info(stream.id);
                let (queued, flight) = info.map_or((0, 0), |info| (info.send_queue, info.in_flight as usize));
                Ok((queued, queued.saturating_sub(flight)))
            }
            Role::Listening(_) => Err(Errno(libc::EINVAL)),
            Role::Fresh | Role::Deferred(_) => Ok((0, 0)),
        }
    }

    /// `splice(2)` from a socket into a pipe.
    pub(crate) fn splice_out(&mut self, fd: c_int, pipe: c_int, len: usize) -> Sys<usize> {
        let bytes = self.receive(fd, len, libc::MSG_PEEK)?;
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut ready = libc::pollfd { fd: pipe, events: libc::POLLOUT, revents: 0 };
        // SAFETY: one descriptor, and no waiting.
        if unsafe { libc::poll(&raw mut ready, 1, 0) } != 1 {
            return Err(Errno(libc::EAGAIN));
        }
        // A pipe that is ready takes a page at least; more might block while the lock is held.
        let most = bytes.len().min(4_096);
        // SAFETY: `most` bytes are there.
        let written = unsafe { libc::write(pipe, bytes.as_ptr().cast(), most) };
        let written = usize::try_from(written).map_err(|_| Errno::last())?;
        self.receive(fd, written, 0).map(|taken| taken.len())
    }

    /// `splice(2)` from a pipe into a socket.
    pub(crate) fn splice_in(&mut self, pipe: c_int, fd: c_int, len: usize) -> Sys<usize> {
        let (socket, _) = self.socket(fd)?;
        let Role::Stream(stream) = &socket.role else { return Err(Errno(libc::EPIPE)) };
        let mut bytes = vec![0; len.min(stream.rings.send.free()).min(1 << 20)];
        if bytes.is_empty() {
            return Err(Errno(libc::EAGAIN));
        }
        let mut ready = libc::pollfd { fd: pipe, events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor, and no waiting.
        if unsafe { libc::poll(&raw mut ready, 1, 0) } != 1 {
            return Err(Errno(libc::EAGAIN));
        }
        // SAFETY: room for so many bytes. A pipe that is ready does not block.
        let read = unsafe { libc::read(pipe, bytes.as_mut_ptr().cast(), bytes.len()) };
        bytes.truncate(usize::try_from(read).map_err(|_| Errno::last())?);
        // There was room for all of it, and nobody else has the lock.
        if bytes.is_empty() { Ok(0) } else { self.send(fd, &bytes, 0) }
    }
}
