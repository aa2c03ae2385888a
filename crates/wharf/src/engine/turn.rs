//! The engine's loop. One turn: what sockets ask, a batch of frames, timers that are due, output, what to tell; then
//! sleep, if nothing is left.
//!
//! Every part is bounded, so that none keeps the others waiting (I13): commands by the number of sockets and callers,
//! frames by [`BATCH`], the rest by the stack.

use std::time::Duration;

use super::sleep::{Watch, sleep};
use super::{Attached, Engine};
use crate::control::Turn;
use stack::tcp::Phase;

/// Frames received in one turn at most; each may stand for 64 KiB.
pub(super) const BATCH: usize = 64;
/// How long a broken link is left alone, and how often one without a carrier is looked at.
const RETRY: Duration = Duration::from_secs(1);

impl Engine {
    /// Runs until everybody has let go.
    pub(super) fn run(mut self) {
        let mut turn = Turn::default();
        let mut stop_by = None;
        loop {
            let now = self.now();
            self.channel.take(&mut turn);
            for submission in turn.submissions.drain(..) {
                self.execute(now, submission);
            }
            for socket in turn.marked.drain(..) {
                self.look_at(now, socket);
            }
            let more = self.receive(now);
            // After the queue, not before (I13): what has arrived may have settled what a timer is for.
            let now = self.now();
            if self.stack.poll_timeout() <= now {
                self.stack.handle_timeout(now);
            }
            self.transmit(now);
            while self.tell(now) {
                self.transmit(now);
            }
            if turn.stop {
                let deadline = *stop_by.get_or_insert(now + self.linger);
                if now >= deadline || self.has_nothing_to_send(now) {
                    break;
                }
            }
            if more {
                continue;
            }
            self.rest(stop_by);
        }
        self.deconfigure();
    }

    /// Takes a batch of frames; true if there may be more.
    fn receive(&mut self, now: stack::Instant) -> bool {
        let Self { stack, link, .. } = self;
        let Some(Attached { link, interface, readable, up, suspect, broken_until, .. }) = link else {
            return false;
        };
        let due = link.deadline().is_some_and(|deadline| deadline <= std::time::Instant::now());
        if *readable || due {
            let received = link.receive(BATCH, &mut |frame| stack.handle_frame(now, *interface, frame));
            *readable = received >= BATCH;
            // A descriptor that reports an error, or the end of what it leads to, reports it for ever and would keep
            // the loop turning: look again later (L1).
            if received == 0 && std::mem::take(suspect) {
                *broken_until = Some(now + RETRY);
            }
        }
        let carrier = link.link_up();
        if carrier != *up {
            *up = carrier;
            stack.set_link_state(now, *interface, carrier);
        }
        *readable
    }

    /// Hands the link what there is to send.
    pub(super) fn transmit(&mut self, now: stack::Instant) {
        loop {
            let Self { stack, link, .. } = &mut *self;
            if let Some(Attached { link, interface, blocked, .. }) = link {
                *blocked = !stack.poll_transmit(now, *interface, link);
                if *blocked {
                    return;
                }
            }
            if !self.retry_sends(now) {
                return;
            }
        }
    }

    /// Sleeps until there is something to do, unless there is already.
    fn rest(&mut self, stop_by: Option<stack::Instant>) {
        if !self.channel.fall_asleep(stop_by.is_some()) {
            self.channel.awake(false);
            // The link was not looked at: it may have something too.
            if let Some(attached) = &mut self.link {
                attached.readable = attached.broken_until.is_none();
            }
            return;
        }
        let now = self.now();
        let mut until = self.stack.poll_timeout();
        if let Some(stop_by) = stop_by {
            until = until.min(stop_by);
        }
        let mut watch = None;
        if let Some(attached) = &mut self.link {
            if attached.broken_until.is_some_and(|time| time <= now) {
                attached.broken_until = None;
            }
            if let Some(time) = attached.broken_until {
                until = until.min(time);
            }
            if !attached.up {
                until = until.min(now + RETRY);
            }
        }
        if let Some(attached) = &self.link {
            if let Some(deadline) = attached.link.deadline() {
                until = until.min(self.instant(deadline));
            }
            if attached.broken_until.is_none() {
                let Attached { link, .. } = attached;
                let (fd, handed_over) = (link.fd(), link.handed_over_fd());
                watch = Some(Watch { fd, handed_over, for_writing: link.wants_write() });
            }
        }
        let longest = (!until.is_never()).then(|| until.since(now));
        let woken = sleep(self.channel.doorbell(), watch.as_ref(), longest);
        self.channel.awake(woken.rung);
        if let Some(attached) = &mut self.link {
            attached.readable = woken.readable || woken.broken;
            attached.suspect = woken.broken;
        }
    }

    /// Whether no connection has anything left that it owes its peer, or no link to send it over. Sockets are gone;
    /// what is left are connections that were let go, and the address.
    fn has_nothing_to_send(&mut self, now: stack::Instant) -> bool {
        if self.link.as_ref().is_some_and(|attached| !attached.up || attached.broken_until.is_some()) {
            return true;
        }
        self.waiting_sends.is_empty()
            && self.link.as_ref().is_none_or(|attached| !attached.blocked && !attached.link.wants_write())
            && self
                .stack
                .tcp_connections()
                .all(|(_, _, _, phase)| matches!(phase, Phase::Closed | Phase::FinWait2 | Phase::TimeWait))
            && !self.release_waits(now)
    }
}
