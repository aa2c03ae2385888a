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
    /// The first of its interface, ahead of the queue. Most often it is the only one there is, and no queue is touched.
    first: Option<(InterfaceId, u32)>,
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

    /// [`enter`](Self::enter) for a connection whose flags say already that it stands here.
    #[inline]
    pub(crate) fn push(&mut self, interface: InterfaceId, index: u32) {
        self.waiting += 1;
        if self.waiting == 1 {
            self.first = Some((interface, index));
            return;
        }
        self.push_behind(interface, index);
    }

    #[cold]
    #[inline(never)]
    fn push_behind(&mut self, interface: InterfaceId, index: u32) {
        self.queue(interface).push_back(index);
    }

    pub(crate) fn push_front(&mut self, interface: InterfaceId, index: u32) {
        self.waiting += 1;
        if let Some((of, second)) = self.first.replace((interface, index)) {
            self.queue(of).push_front(second);
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self, interface: InterfaceId) -> Option<u32> {
        let index = match self.first {
            Some((of, index)) if of == interface => {
                self.first = None;
                index
            }
            _ => self.pop_behind(interface)?,
        };
        self.waiting -= 1;
        Some(index)
    }

    #[cold]
    #[inline(never)]
    fn pop_behind(&mut self, interface: InterfaceId) -> Option<u32> {
        self.queues.get_mut(interface.index() as usize)?.pop_front()
    }

    /// The one on `interface`, if there is no other, on whatever interface. It stays.
    #[inline]
    pub(crate) fn only(&self, interface: InterfaceId) -> Option<u32> {
        match self.first {
            Some((of, index)) if of == interface && self.waiting == 1 => Some(index),
            _ => None,
        }
    }

    /// Whether there is just one, and on another interface.
    #[inline]
    pub(crate) fn has_one_beside(&self, interface: InterfaceId) -> bool {
        self.waiting == 1 && self.first.is_some_and(|(of, _)| of != interface)
    }

    /// The first is done, if it is `index`.
    #[inline]
    pub(crate) fn forget(&mut self, index: u32) {
        if self.first.take_if(|(_, first)| *first == index).is_some() {
            self.waiting -= 1;
        }
    }

    /// Whether there are none, on whatever interface.
    #[inline]
    pub(crate) const fn is_silent(&self) -> bool {
        self.waiting == 0
    }

    /// How many there are, on all interfaces.
    #[inline]
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    #[inline]
    pub(crate) fn is_empty(&self, interface: InterfaceId) -> bool {
        if self.waiting == 0 {
            return true;
        }
        match self.first {
            Some((of, _)) if of == interface => false,
            Some(_) if self.waiting == 1 => true,
            _ => self.waiting == 0 || self.is_empty_behind(interface),
        }
    }

    #[cold]
    #[inline(never)]
    fn is_empty_behind(&self, interface: InterfaceId) -> bool {
        self.queues.get(interface.index() as usize).is_none_or(VecDeque::is_empty)
    }

    /// Takes the queue of an interface that is gone; the connections in it are the caller's to see to.
    pub(crate) fn remove(&mut self, interface: InterfaceId) -> VecDeque<u32> {
        let mut queue = self.queues.get_mut(interface.index() as usize).map(core::mem::take).unwrap_or_default();
        if let Some((_, index)) = self.first.take_if(|(of, _)| *of == interface) {
            queue.push_front(index);
        }
        self.waiting -= queue.len();
        queue
    }
}

#[cfg(test)]
mod tests;
