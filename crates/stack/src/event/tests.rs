//! The order of events: the place ahead of the queue changes nothing about it.

use alloc::collections::VecDeque;

use super::{Event, Events, Named, Readiness};
use crate::entropy::Entropy;
use crate::handle::Handle;
use crate::tcp::MemoryState;

/// An event of one of four kinds, and one that is equal to no other.
fn event(kind: u32, number: u64) -> Event {
    match kind {
        0 => Event::Tcp(Handle::from_bits(number), Readiness::NONE),
        1 => Event::Accept(Handle::from_bits(number)),
        2 => Event::Udp(Handle::from_bits(number), Readiness::NONE),
        _ => Event::TcpMemory(MemoryState::Pressure),
    }
}

#[test]
fn events_are_read_in_the_order_in_which_they_happened() {
    for seed in 0..64 {
        let mut chance = Entropy::new([seed; 32]);
        let mut events = Events::default();
        let mut model: VecDeque<Event> = VecDeque::new();
        for step in 0..2_000 {
            // Long runs of one and of the other, so that the queue is long at times and mostly is not.
            if chance.below(16) < if step / 100 % 2 == 0 { 9 } else { 7 } {
                let event = event(chance.below(4) as u32, step);
                events.push(event.clone());
                model.push_back(event);
            } else if chance.below(2) == 0 {
                assert_eq!(events.pop(), model.pop_front(), "seed {seed}, step {step}");
            } else {
                let named = events.take_named().map(|named| match named {
                    Named::Tcp(id) => Event::Tcp(id, Readiness::NONE),
                    Named::Accept(id) => Event::Accept(id),
                });
                let expected = model.pop_front_if(|event| matches!(event, Event::Tcp(..) | Event::Accept(_)));
                assert_eq!(named, expected, "seed {seed}, step {step}");
            }
            assert_eq!(events.is_empty(), model.is_empty());
        }
    }
}
