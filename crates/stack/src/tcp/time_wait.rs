//! What is remembered of connections that are over (RFC 9293 section 3.10.7.4 TIME-WAIT, RFC 1337, RFC 6191).
//!
//! A connection in TIME-WAIT is a few dozen bytes here and nothing anywhere else. All wait equally long, so they stand
//! in one queue in the order of their ends, and no timer is needed but the first one's.

mod queue;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use hashbrown::HashTable;
use wire::tcp::{SeqNum, TcpFlags, Timestamps as TimestampsOption};

use crate::network::Network;
use crate::tcp::bare;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::demux::{Flow, FlowHasher};
use crate::tcp::input::Incoming;
use crate::tcp::phase::Phase;
use crate::tcp::time_wait::queue::{Entry, Queue};
use crate::time::{Instant, nanos_of};

/// Entries that were taken out of turn and not yet swept out, at most, besides as many as live.
const MOST_DEAD: usize = 1_024;

/// What must be known to answer for a connection that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remains {
    pub snd_nxt: SeqNum,
    pub rcv_nxt: SeqNum,
    /// TS.Recent, if timestamps were agreed.
    pub ts_recent: Option<u32>,
}

/// The connections of one address family.
struct Family<A> {
    /// In the order of their ends.
    queue: Queue<A>,
    /// Numbers of entries by four-tuple.
    table: HashTable<u32>,
    /// Entries in `table`.
    alive: usize,
}

/// What a segment means to a connection that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No such connection.
    Unknown,
    /// Nothing comes of it.
    Ignored,
    /// It is answered by an acknowledgement of everything; `restarted` if it was the peer's FIN again.
    Acknowledge(Remains, bool),
    /// A SYN that RFC 6191 allows to take the place, if somebody takes it; a new ISN must lie above SND.NXT.
    Reuse(Remains),
}

/// All connections in TIME-WAIT.
pub(crate) struct TimeWait {
    v4: Family<Ipv4Addr>,
    v6: Family<Ipv6Addr>,
    limit: usize,
    /// How long each is remembered, in nanoseconds.
    span: u64,
}

impl TimeWait {
    pub(crate) const fn new(span: Duration, limit: usize) -> Self {
        Self { v4: Family::new(), v6: Family::new(), limit, span: nanos_of(span) }
    }

    pub(crate) fn len(&self) -> usize {
        self.v4.alive + self.v6.alive
    }

    /// Remembers a connection for twice the maximum segment lifetime from now. At the limit the oldest goes.
    pub(crate) fn insert(&mut self, hasher: &FlowHasher, now: Instant, flow: &Flow, remains: Remains) {
        self.insert_hashed(hasher, hasher.of(flow), now, flow, remains);
    }

    /// The same where the hash is known.
    #[inline(always)]
    pub(crate) fn insert_hashed(
        &mut self,
        hasher: &FlowHasher,
        hash: u32,
        now: Instant,
        flow: &Flow,
        remains: Remains,
    ) {
        if self.len() >= self.limit {
            let family_is_v4 = self.v4.alive >= self.v6.alive;
            if family_is_v4 { self.v4.drop_oldest(hasher) } else { self.v6.drop_oldest(hasher) }
        }
        let ends = now.after_nanos(self.span);
        match (flow.local, flow.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                self.v4.insert(hasher, hash, ends, Entry::new(local, remote, flow, remains));
            }
            (IpAddr::V6(local), IpAddr::V6(remote)) => {
                self.v6.insert(hasher, hash, ends, Entry::new(local, remote, flow, remains));
            }
            _ => {}
        }
    }

    pub(crate) fn find(&self, hasher: &FlowHasher, flow: &Flow) -> Option<Remains> {
        if self.len() == 0 {
            // Spares the hash.
            return None;
        }
        self.find_hashed(hasher.of(flow), flow)
    }

    /// Whether `flow`, which has this hash, is remembered.
    #[inline]
    pub(crate) fn has_hashed(&self, hash: u32, flow: &Flow) -> bool {
        self.len() > 0 && self.find_hashed(hash, flow).is_some()
    }

    /// The same where the hash is known.
    pub(crate) fn find_hashed(&self, hash: u32, flow: &Flow) -> Option<Remains> {
        match (flow.local, flow.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => self.v4.find(hash, local, remote, flow),
            (IpAddr::V6(local), IpAddr::V6(remote)) => self.v6.find(hash, local, remote, flow),
            _ => None,
        }
    }

    /// Forgets `flow`.
    pub(crate) fn remove(&mut self, hasher: &FlowHasher, flow: &Flow) {
        match (flow.local, flow.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => self.v4.remove(hasher, local, remote, flow),
            (IpAddr::V6(local), IpAddr::V6(remote)) => self.v6.remove(hasher, local, remote, flow),
            _ => {}
        }
    }

    /// When the next one ends.
    pub(crate) fn next_deadline(&self) -> Instant {
        self.v4.next_end().min(self.v6.next_end())
    }

    /// Forgets those whose time is over.
    pub(crate) fn expire(&mut self, hasher: &FlowHasher, now: Instant) {
        self.v4.expire(hasher, now);
        self.v6.expire(hasher, now);
    }

    /// A segment of `flow` arrived.
    pub(crate) fn on_segment(
        &mut self,
        hasher: &FlowHasher,
        now: Instant,
        flow: &Flow,
        segment: &Incoming<'_>,
    ) -> Verdict {
        let Some(remains) = self.find(hasher, flow) else { return Verdict::Unknown };
        let flags = segment.header.flags;
        if flags.contains(TcpFlags::RST) {
            // RFC 1337 section 3: a reset does not cut TIME-WAIT short.
            return Verdict::Ignored;
        }
        if flags.contains(TcpFlags::SYN) && !flags.contains(TcpFlags::ACK) && may_reuse(&remains, segment) {
            return Verdict::Reuse(remains);
        }
        let fin_again = flags.contains(TcpFlags::FIN) && segment.header.seq + segment.len() == remains.rcv_nxt;
        if fin_again {
            // RFC 9293 section 3.10.7.4: acknowledge it and start the wait again.
            self.remove(hasher, flow);
            self.insert(hasher, now, flow, remains);
        }
        Verdict::Acknowledge(remains, fin_again)
    }
}

/// RFC 6191 section 2 and RFC 1122 section 4.2.2.13: a SYN that cannot be an old duplicate.
fn may_reuse(remains: &Remains, segment: &Incoming<'_>) -> bool {
    match (remains.ts_recent, segment.header.options.timestamps) {
        (Some(recent), Some(option)) if option.value != recent => (option.value.wrapping_sub(recent) as i32) > 0,
        _ => segment.header.seq.after(remains.rcv_nxt),
    }
}

/// Sends the acknowledgement of everything that [`Verdict::Acknowledge`] asks for.
pub(crate) fn acknowledge(now: Instant, net: &mut Network, flow: &Flow, remains: &Remains, timestamp: u32) {
    let mut header = bare::header(flow, remains.snd_nxt, remains.rcv_nxt, TcpFlags::ACK);
    header.options.timestamps = remains.ts_recent.map(|echo| TimestampsOption { value: timestamp, echo });
    bare::send(now, net, flow, &header);
}

impl Connection {
    /// What must be known of it once it is over.
    pub(super) fn remains(&self) -> Remains {
        Remains {
            snd_nxt: self.snd.nxt,
            rcv_nxt: self.rcv.nxt,
            ts_recent: self.timestamps.is_agreed().then(|| self.timestamps.recent()),
        }
    }

    /// Whether nothing is left of it but the acknowledgement of the peer's FIN, for which it stands in the queue of those that
    /// have something to send: nobody owns it, and it goes when that has gone.
    #[inline]
    pub(super) fn has_a_last_word(&self) -> bool {
        self.flags.has(Flags::ORPHANED) && self.phase == Phase::TimeWait && self.flags.has(Flags::QUEUED)
    }

    /// The acknowledgement of the peer's FIN, where it is owed still and the connection will not be there to send it.
    #[cold]
    pub(super) fn acknowledge_end(&mut self, now: Instant, net: &mut Network) {
        if self.flags.take(Flags::ACK_NOW) && self.phase == Phase::TimeWait {
            acknowledge(now, net, &self.flow, &self.remains(), self.timestamps.value(now));
        }
    }
}

/// An address of either family.
trait Address: Copy + Eq + Into<IpAddr> {}

impl Address for Ipv4Addr {}

impl Address for Ipv6Addr {}

impl<A: Address> Entry<A> {
    fn flow(&self) -> Flow {
        let (local_port, remote_port) = (self.local_port, self.remote_port);
        Flow { local: self.local.into(), remote: self.remote.into(), local_port, remote_port }
    }

    fn is(&self, local: A, remote: A, flow: &Flow) -> bool {
        self.local == local
            && self.remote == remote
            && self.local_port == flow.local_port
            && self.remote_port == flow.remote_port
    }
}

/// A flow's hash for the table, which looks for a place by the lower bits, and tells what stands there apart by the upper ones.
#[inline]
const fn spread(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

impl<A: Address> Family<A> {
    const fn new() -> Self {
        Self { queue: Queue::new(), table: HashTable::new(), alive: 0 }
    }

    /// Adds an entry whose flow has the hash `hash`.
    #[inline]
    fn insert(&mut self, hasher: &FlowHasher, hash: u32, ends: Instant, entry: Entry<A>) {
        let number = self.queue.push(ends, entry);
        self.alive += 1;
        let queue = &self.queue;
        let rehash = |&other: &u32| queue.at(other).map_or(0, |entry| spread(hasher.of(&entry.flow())));
        self.table.insert_unique(spread(hash), number, rehash);
    }

    fn find(&self, hash: u32, local: A, remote: A, flow: &Flow) -> Option<Remains> {
        if self.alive == 0 {
            return None;
        }
        let is_it = |number: &u32| self.queue.at(*number).is_some_and(|entry| entry.is(local, remote, flow));
        let number = self.table.find(spread(hash), is_it)?;
        self.queue.at(*number).map(Entry::remains)
    }

    fn remove(&mut self, hasher: &FlowHasher, local: A, remote: A, flow: &Flow) {
        let queue = &mut self.queue;
        let is_it = |&number: &u32| queue.at(number).is_some_and(|entry| entry.is(local, remote, flow));
        let found = self.table.find_entry(spread(hasher.of(flow)), is_it);
        if let Ok(found) = found {
            let (number, _) = found.remove();
            if let Some(entry) = queue.at_mut(number) {
                entry.alive = false;
            }
            self.alive -= 1;
        }
        self.queue.trim();
        // An old entry at the front holds up those that were taken out behind it. A peer that repeats its FIN leaves one
        // each time, so they are swept out before they outnumber the living.
        if self.queue.len() > 2 * self.alive + MOST_DEAD {
            self.sweep(hasher);
        }
    }

    /// Drops every entry that was taken out of turn.
    fn sweep(&mut self, hasher: &FlowHasher) {
        let mut old = core::mem::replace(self, Self::new());
        while let Some((ends, &entry)) = old.queue.front() {
            old.queue.pop();
            if entry.alive {
                self.insert(hasher, hasher.of(&entry.flow()), ends, entry.renewed());
            }
        }
    }

    fn drop_oldest(&mut self, hasher: &FlowHasher) {
        let Some((number, entry)) = self.queue.pop() else { return };
        if let Ok(found) = self.table.find_entry(spread(hasher.of(&entry.flow())), |&other| other == number) {
            found.remove();
            self.alive -= 1;
        }
        if self.alive == 0 {
            // What a burst took goes back.
            self.table = HashTable::new();
        }
    }

    fn next_end(&self) -> Instant {
        self.queue.first_end()
    }

    fn expire(&mut self, hasher: &FlowHasher, now: Instant) {
        while self.next_end() <= now {
            self.drop_oldest(hasher);
        }
    }
}

#[cfg(test)]
mod tests;
