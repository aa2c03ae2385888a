//! The connections that have something to send, in turn, an interface each.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::link::InterfaceId;
use crate::tcp::connection::{Connection, Flags};

/// Queues of connection indices, each at its interface's place. An index stands in at most one, once (`Flags::QUEUED`).
#[derive(Default)]
pub(crate) struct Ready {
    queues: Vec<VecDeque<u32>>,
    /// Connections in all of them: most often none, and every call asks of two interfaces.
    waiting: usize,
}

impl Ready {
    fn queue(&mut self, interface: InterfaceId) -> &mut VecDeque<u32> {
        let at = interface.index() as usize;
        if at >= self.queues.len() {
            self.queues.resize_with(at + 1, VecDeque::new);
        }
        &mut self.queues[at]
    }

    /// A connection has something to send, and has the next hop's address to send it to, or else waits for that elsewhere.
    #[inline]
    pub(crate) fn enter(&mut self, connection: &mut Connection, index: u32) {
        const STANDS: Flags = Flags::QUEUED.and(Flags::RESOLVING);
        if !connection.flags.has(STANDS) {
            connection.flags.set(Flags::QUEUED);
            self.push(connection.interface, index);
        }
    }

    #[inline]
    fn push(&mut self, interface: InterfaceId, index: u32) {
        self.waiting += 1;
        match self.queues.get_mut(interface.index() as usize) {
            Some(queue) if queue.len() < queue.capacity() => queue.push_back(index),
            _ => self.make_room_and_push(interface, index),
        }
    }

    #[inline(never)]
    fn make_room_and_push(&mut self, interface: InterfaceId, index: u32) {
        self.queue(interface).push_back(index);
    }

    pub(crate) fn push_front(&mut self, interface: InterfaceId, index: u32) {
        self.waiting += 1;
        self.queue(interface).push_front(index);
    }

    pub(crate) fn pop(&mut self, interface: InterfaceId) -> Option<u32> {
        let index = self.queues.get_mut(interface.index() as usize)?.pop_front()?;
        self.waiting -= 1;
        Some(index)
    }

    /// Whether there are none, on whatever interface.
    #[inline]
    pub(crate) const fn is_silent(&self) -> bool {
        self.waiting == 0
    }

    #[inline]
    pub(crate) fn is_empty(&self, interface: InterfaceId) -> bool {
        self.waiting == 0 || self.queues.get(interface.index() as usize).is_none_or(VecDeque::is_empty)
    }

    /// Takes the queue of an interface that is gone; the connections in it are the caller's to see to.
    pub(crate) fn remove(&mut self, interface: InterfaceId) -> VecDeque<u32> {
        let queue = self.queues.get_mut(interface.index() as usize).map(core::mem::take).unwrap_or_default();
        self.waiting -= queue.len();
        queue
    }
}
