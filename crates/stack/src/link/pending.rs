//! Packets that wait for their neighbour's MAC: bounded for each neighbour and for the interface.
//!
//! Where the interface's bound is reached, the packet that has waited longest goes, whoever it waits for: it is the one
//! whose neighbour is most likely dead. So many dead neighbours cannot take the room of one that is alive.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::InterfaceId;
use super::neighbors::NeighborId;
use crate::discard::Discard;
use crate::network::Network;

/// Bytes that wait for one neighbour at most; beyond them the oldest packet goes. RFC 1122 section 2.3.2.2 asks for one
/// packet at least: the largest datagram there is fits, in fragments of any size with their headers.
const MOST_BYTES_PER_NEIGHBOR: usize = 128 * 1024;
/// Bytes that wait on one interface at most.
const MOST_BYTES: usize = 256 * 1024;
/// Entries of the order of arrival after which those of packets that are gone are swept out.
const SWEEP: usize = 4_096;

/// Frames that wait for one neighbour, each with its number in the order of arrival.
#[derive(Default)]
pub(crate) struct Waiting {
    frames: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
}

impl Waiting {
    /// The number of the frame that has waited longest.
    fn front(&self) -> Option<u64> {
        self.frames.front().map(|&(number, _)| number)
    }

    fn push(&mut self, number: u64, frame: Vec<u8>) {
        self.bytes += frame.len();
        self.frames.push_back((number, frame));
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let (_, frame) = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }

    /// All of them, in order.
    pub(crate) fn into_frames(self) -> impl Iterator<Item = Vec<u8>> {
        self.frames.into_iter().map(|(_, frame)| frame)
    }
}

/// What waits on an interface, all neighbours together.
pub(crate) struct Pending {
    pub bytes: usize,
    next: u64,
    /// Packets by arrival. The packet may be gone: then its neighbour no longer has its number.
    order: VecDeque<(u64, NeighborId)>,
}

impl Pending {
    pub(crate) const fn new() -> Self {
        Self { bytes: 0, next: 0, order: VecDeque::new() }
    }

    /// A packet of `len` bytes has left, one way or the other.
    pub(crate) fn left(&mut self, len: usize) {
        self.bytes -= len;
        if self.bytes == 0 {
            self.order = VecDeque::new();
        }
    }
}

impl Network {
    /// Keeps a frame until its neighbour is known.
    pub(super) fn pend(&mut self, interface: InterfaceId, id: NeighborId, frame: Vec<u8>) {
        let (Some(link), Some(entry)) = (self.interfaces.get_mut(interface), self.neighbors.get_mut(id)) else {
            return;
        };
        let number = link.pending.next;
        link.pending.next += 1;
        link.pending.bytes += frame.len();
        link.pending.order.push_back((number, id));
        entry.pending.push(number, frame);
        while self.neighbors.get(id).is_some_and(|entry| entry.pending.bytes > MOST_BYTES_PER_NEIGHBOR) {
            self.drop_oldest_of(interface, id);
        }
        while self.interfaces.get(interface).is_some_and(|link| link.pending.bytes > MOST_BYTES) {
            let oldest = self.interfaces.get_mut(interface).and_then(|link| link.pending.order.pop_front());
            let Some((number, id)) = oldest else { break };
            if self.neighbors.get(id).and_then(|entry| entry.pending.front()) == Some(number) {
                self.drop_oldest_of(interface, id);
            }
        }
        let Self { interfaces, neighbors, .. } = self;
        if let Some(link) = interfaces.get_mut(interface)
            && link.pending.order.len() > SWEEP
        {
            let waits = |&(number, id): &(u64, NeighborId)| {
                neighbors.get(id).and_then(|entry| entry.pending.front()).is_some_and(|front| front <= number)
            };
            link.pending.order.retain(waits);
        }
    }

    fn drop_oldest_of(&mut self, interface: InterfaceId, id: NeighborId) {
        let Some(frame) = self.neighbors.get_mut(id).and_then(|entry| entry.pending.pop()) else { return };
        if let Some(link) = self.interfaces.get_mut(interface) {
            link.pending.left(frame.len());
        }
        self.discard(Discard::NeighborQueue);
        self.buffers.give_back(frame);
    }
}
