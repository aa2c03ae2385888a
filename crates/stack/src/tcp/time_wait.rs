//! What is remembered of connections that are over (RFC 9293 section 3.10.7.4 TIME-WAIT, RFC 1337, RFC 6191).
//!
//! A connection in TIME-WAIT is a few dozen bytes here and nothing anywhere else. All wait equally long, so they stand
//! in one queue in the order of their ends, and no timer is needed but the first one's.

mod queue;

use core::hash::Hasher;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use wire::tcp::{SeqNum, TcpFlags, Timestamps as TimestampsOption};

use crate::entropy::Entropy;
use crate::network::Network;
use crate::tcp::bare;
use crate::tcp::demux::Flow;
use crate::tcp::input::Incoming;
use crate::tcp::time_wait::queue::{Entry, Queue};
use crate::time::Instant;

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
    keys: (u64, u64),
    v4: Family<Ipv4Addr>,
    v6: Family<Ipv6Addr>,
    limit: usize,
    span: Duration,
}

impl TimeWait {
    pub(crate) fn new(entropy: &mut Entropy, span: Duration, limit: usize) -> Self {
        Self { keys: (entropy.next_u64(), entropy.next_u64()), v4: Family::new(), v6: Family::new(), limit, span }
    }

    pub(crate) fn len(&self) -> usize {
        self.v4.alive + self.v6.alive
    }

    /// Remembers a connection for twice the maximum segment lifetime from now. At the limit the oldest goes.
    pub(crate) fn insert(&mut self, now: Instant, flow: &Flow, remains: Remains) {
        if self.len() >= self.limit {
            let family_is_v4 = self.v4.alive >= self.v6.alive;
            if family_is_v4 { self.v4.drop_oldest(self.keys) } else { self.v6.drop_oldest(self.keys) }
        }
        let ends = now + self.span;
        match (flow.local, flow.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                self.v4.insert(self.keys, ends, Entry::new(local, remote, flow, remains));
            }
            (IpAddr::V6(local), IpAddr::V6(remote)) => {
                self.v6.insert(self.keys, ends, Entry::new(local, remote, flow, remains));
            }
            _ => {}
        }
    }

    /// Whether `flow` is remembered.
    pub(crate) fn contains(&self, flow: &Flow) -> bool {
        self.find(flow).is_some()
    }

    pub(crate) fn find(&self, flow: &Flow) -> Option<Remains> {
        match (flow.local, flow.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => self.v4.find(self.keys, local, remote, flow),
            (IpAddr::V6(local), IpAddr::V6(remote)) => self.v6.find(self.keys, local, remote, flow),
            _ => None,
        }
    }

    /// Forgets `flow`.
    pub(crate) fn remove(&mut self, flow: &Flow) {
        match (flow.local, flow.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => self.v4.remove(self.keys, local, remote, flow),
            (IpAddr::V6(local), IpAddr::V6(remote)) => self.v6.remove(self.keys, local, remote, flow),
            _ => {}
        }
    }

    /// When the next one ends.
    pub(crate) fn next_deadline(&self) -> Instant {
        self.v4.next_end().min(self.v6.next_end())
    }

    /// Forgets those whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.v4.expire(self.keys, now);
        self.v6.expire(self.keys, now);
    }

    /// A segment of `flow` arrived.
    pub(crate) fn on_segment(&mut self, now: Instant, flow: &Flow, segment: &Incoming<'_>) -> Verdict {
        let Some(remains) = self.find(flow) else { return Verdict::Unknown };
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
            self.remove(flow);
            self.insert(now, flow, remains);
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

/// An address that a four-tuple is hashed by.
trait Address: Copy + Eq {
    fn write(self, hasher: &mut SipHasher13);
}

impl Address for Ipv4Addr {
    fn write(self, hasher: &mut SipHasher13) {
        hasher.write_u32(self.to_bits());
    }
}

impl Address for Ipv6Addr {
    fn write(self, hasher: &mut SipHasher13) {
        hasher.write_u128(self.to_bits());
    }
}

fn hash<A: Address>(keys: (u64, u64), local: A, remote: A, local_port: u16, remote_port: u16) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(keys.0, keys.1);
    local.write(&mut hasher);
    remote.write(&mut hasher);
    hasher.write_u32(u32::from(local_port) << 16 | u32::from(remote_port));
    hasher.finish()
}

impl<A: Address> Entry<A> {
    fn hash(&self, keys: (u64, u64)) -> u64 {
        hash(keys, self.local, self.remote, self.local_port, self.remote_port)
    }

    fn is(&self, local: A, remote: A, flow: &Flow) -> bool {
        self.local == local
            && self.remote == remote
            && self.local_port == flow.local_port
            && self.remote_port == flow.remote_port
    }
}

impl<A: Address> Family<A> {
    fn new() -> Self {
        Self { queue: Queue::new(), table: HashTable::new(), alive: 0 }
    }

    fn insert(&mut self, keys: (u64, u64), ends: Instant, entry: Entry<A>) {
        let hash = entry.hash(keys);
        let number = self.queue.push(ends, entry);
        self.alive += 1;
        let queue = &self.queue;
        self.table.insert_unique(hash, number, |&other| queue.at(other).map_or(0, |entry| entry.hash(keys)));
    }

    fn find(&self, keys: (u64, u64), local: A, remote: A, flow: &Flow) -> Option<Remains> {
        if self.alive == 0 {
            return None;
        }
        let hash = hash(keys, local, remote, flow.local_port, flow.remote_port);
        let is_it = |number: &u32| self.queue.at(*number).is_some_and(|entry| entry.is(local, remote, flow));
        let number = self.table.find(hash, is_it)?;
        self.queue.at(*number).map(Entry::remains)
    }

    fn remove(&mut self, keys: (u64, u64), local: A, remote: A, flow: &Flow) {
        let hash = hash(keys, local, remote, flow.local_port, flow.remote_port);
        let queue = &mut self.queue;
        let found =
            self.table.find_entry(hash, |&number| queue.at(number).is_some_and(|entry| entry.is(local, remote, flow)));
        if let Ok(found) = found {
            let (number, _) = found.remove();
            if let Some(entry) = queue.at_mut(number) {
                entry.alive = false;
            }
            self.alive -= 1;
        }
        self.trim();
        // An old entry at the front holds up those that were taken out behind it. A peer that repeats its FIN leaves one
        // each time, so they are swept out before they outnumber the living.
        if self.queue.len() > 2 * self.alive + MOST_DEAD {
            self.sweep(keys);
        }
    }

    /// Drops every entry that was taken out of turn.
    fn sweep(&mut self, keys: (u64, u64)) {
        let mut old = core::mem::replace(self, Self::new());
        while let Some((ends, &entry)) = old.queue.front() {
            old.queue.pop();
            if entry.alive {
                self.insert(keys, ends, entry.renewed());
            }
        }
    }

    /// Drops entries at the front that were taken out of turn.
    fn trim(&mut self) {
        while self.queue.front().is_some_and(|(_, entry)| !entry.alive) {
            self.queue.pop();
        }
    }

    fn drop_oldest(&mut self, keys: (u64, u64)) {
        let Some((number, entry)) = self.queue.pop() else { return };
        if let Ok(found) = self.table.find_entry(entry.hash(keys), |&other| other == number) {
            found.remove();
            self.alive -= 1;
        }
        self.trim();
        if self.alive == 0 {
            // What a burst took goes back.
            self.table = HashTable::new();
        }
    }

    fn next_end(&self) -> Instant {
        self.queue.front().map_or(Instant::NEVER, |(ends, _)| ends)
    }

    fn expire(&mut self, keys: (u64, u64), now: Instant) {
        while self.next_end() <= now {
            self.drop_oldest(keys);
        }
    }
}

#[cfg(test)]
mod tests;
