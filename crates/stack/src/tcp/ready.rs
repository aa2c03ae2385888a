//! The connections that have something to send, in turn, an interface each.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::link::InterfaceId;

/// Queues of connection indices. An index stands in at most one, once (`Flags::QUEUED`).
#[derive(Default)]
pub(crate) struct Ready {
    queues: Vec<(InterfaceId, VecDeque<u32>)>,
}

impl Ready {
    fn queue(&mut self, interface: InterfaceId) -> &mut VecDeque<u32> {
        let at = match self.queues.iter().position(|(id, _)| *id == interface) {
            Some(at) => at,
            None => {
                self.queues.push((interface, VecDeque::new()));
                self.queues.len() - 1
            }
        };
        &mut self.queues[at].1
    }

    pub(crate) fn push(&mut self, interface: InterfaceId, index: u32) {
        self.queue(interface).push_back(index);
    }

    pub(crate) fn push_front(&mut self, interface: InterfaceId, index: u32) {
        self.queue(interface).push_front(index);
    }

    pub(crate) fn pop(&mut self, interface: InterfaceId) -> Option<u32> {
        self.queue(interface).pop_front()
    }

    pub(crate) fn is_empty(&self, interface: InterfaceId) -> bool {
        self.queues.iter().all(|(id, queue)| *id != interface || queue.is_empty())
    }

    /// Takes the queue of an interface that is gone; the connections in it are the caller's to see to.
    pub(crate) fn remove(&mut self, interface: InterfaceId) -> VecDeque<u32> {
        match self.queues.iter().position(|(id, _)| *id == interface) {
            Some(at) => self.queues.swap_remove(at).1,
            None => VecDeque::new(),
        }
    }
}
