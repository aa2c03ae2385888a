//! What a socket is ready for: `poll(2)`, and what epoll asks. The bits are those of Linux's `tcp_poll`.

use std::ffi::c_int;

use libc::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDHUP, POLLRDNORM, POLLWRNORM, c_short, pollfd};
use stack::tcp::{OutOfBand, Phase};

use crate::errno::{Errno, Sys};
use crate::machine::Machine;
use crate::socket::{Role, Socket};
use crate::state::State;

const READABLE: c_short = POLLIN | POLLRDNORM;
const WRITABLE: c_short = POLLOUT | POLLWRNORM;

impl Socket {
    /// Everything that holds now.
    pub(crate) fn readiness(&self, machine: &Machine) -> c_short {
        let mut ready = if self.error.is_some() { POLLERR } else { 0 };
        match &self.role {
            Role::Fresh => ready |= POLLHUP | WRITABLE,
            // Linux: a write is what the connection waits for.
            Role::Deferred(_) => ready |= WRITABLE,
            Role::Listening(listener) => {
                if machine.stack.tcp_waiting(*listener) > 0 {
                    ready |= READABLE;
                }
            }
            Role::Stream(stream) => {
                let phase = machine.stack.tcp_phase(stream.id);
                let over = matches!(phase, Phase::Closed | Phase::TimeWait);
                let ended = stream.rings.receive.is_producer_finished() || stream.shut_read || over;
                if over || (ended && stream.shut_write) {
                    ready |= POLLHUP;
                }
                if ended {
                    ready |= READABLE | POLLRDHUP;
                }
                if matches!(phase, Phase::SynSent | Phase::SynReceived) {
                    return ready;
                }
                let mut urgent = stream.urgent.clone();
                urgent.set_mark(machine.stack.tcp_urgent_mark(stream.id).unwrap_or(0));
                let arrived = stream.rings.receive.len();
                let unread = urgent.admissible(&stream.rings.receive, arrived);
                // Linux: what lies before the mark is worth a read, however little it is.
                if unread >= self.receive_low_water.max(1) || (unread > 0 && unread < arrived) {
                    ready |= READABLE;
                }
                let ahead = urgent.remaining(&stream.rings.receive) > 0;
                if ahead && matches!(urgent.take(&stream.rings.receive, true), OutOfBand::Byte(_)) {
                    ready |= POLLPRI;
                }
                let (free, queued, unsent) = machine.stack.tcp_info(stream.id).map_or((1, 0, 0), |info| {
                    let unsent = info.send_queue.saturating_sub(info.in_flight as usize);
                    (stream.rings.send.free(), info.send_queue, unsent)
                });
                // Linux: room for at least half of what is queued, so that a writer is not woken for every byte.
                if stream.shut_write || over || (free > 0 && free >= queued / 2 && self.has_few_unsent(unsent)) {
                    ready |= WRITABLE;
                }
            }
        }
        ready
    }
}

impl Socket {
    /// TCP_NOTSENT_LOWAT: a writer is woken only when so little waits that what it writes now is soon sent.
    fn has_few_unsent(&self, unsent: usize) -> bool {
        self.unsent_low_water == 0 || unsent < self.unsent_low_water
    }
}

impl State {
    /// Fills in `revents`; EAGAIN if nothing is ready.
    pub(crate) fn poll(&mut self, entries: &mut [pollfd]) -> Sys<c_int> {
        let mut ready = 0;
        for entry in entries.iter_mut() {
            entry.revents = self.poll_one(entry);
            ready += c_int::from(entry.revents != 0);
        }
        if ready == 0 { Err(Errno(libc::EAGAIN)) } else { Ok(ready) }
    }

    fn poll_one(&mut self, entry: &pollfd) -> c_short {
        if entry.fd < 0 {
            return 0;
        }
        if !self.descriptors.has(entry.fd) {
            let mut other = pollfd { revents: 0, ..*entry };
            // SAFETY: one descriptor, and no waiting.
            return if unsafe { libc::poll(&raw mut other, 1, 0) } < 0 { POLLNVAL } else { other.revents };
        }
        match self.socket(entry.fd) {
            Ok((socket, machine)) => socket.readiness(machine) & (entry.events | POLLERR | POLLHUP),
            Err(_) => POLLNVAL,
        }
    }
}
