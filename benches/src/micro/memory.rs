//! Bytes: sums, copies, rings.

use std::hint::black_box;

use smoltcp::storage::RingBuffer;
use smoltcp::wire::checksum as peer;
use wire::checksum;

use super::{SEGMENT, step};
use crate::case::Work;

fn segment() -> Vec<u8> {
    (0..SEGMENT).map(|at| at as u8).collect()
}

/// The sum of a full segment.
pub(super) fn checksum() -> Box<dyn Work> {
    let bytes = segment();
    step(move || {
        black_box(checksum::sum(black_box(&bytes)).finish());
    })
}

pub(super) fn peer_checksum() -> Box<dyn Work> {
    let bytes = segment();
    step(move || {
        black_box(peer::data(black_box(&bytes)));
    })
}

/// A full segment copied and summed.
pub(super) fn copy_and_sum() -> Box<dyn Work> {
    let (bytes, mut copy) = (segment(), vec![0; SEGMENT]);
    step(move || {
        black_box(checksum::copy_and_sum(black_box(&bytes), black_box(&mut copy)).finish());
    })
}

pub(super) fn peer_copy_and_sum() -> Box<dyn Work> {
    let (bytes, mut copy) = (segment(), vec![0; SEGMENT]);
    step(move || {
        copy.copy_from_slice(black_box(&bytes));
        black_box(peer::data(black_box(&copy)));
    })
}

/// A full segment into a ring and out of it.
pub(super) fn ring() -> Box<dyn Work> {
    let (mut producer, mut consumer) = ring::heap(65_536);
    let (bytes, mut out) = (segment(), vec![0; SEGMENT]);
    // As in a connection that carries data, the ring never runs empty.
    assert_eq!(producer.write(&bytes), SEGMENT, "room for a segment");
    step(move || {
        black_box(producer.write(black_box(&bytes)));
        black_box(consumer.read(&mut out));
    })
}

pub(super) fn peer_ring() -> Box<dyn Work> {
    let mut ring = RingBuffer::new(vec![0_u8; 65_536]);
    let (bytes, mut out) = (segment(), vec![0; SEGMENT]);
    assert_eq!(ring.enqueue_slice(&bytes), SEGMENT, "room for a segment");
    step(move || {
        black_box(ring.enqueue_slice(black_box(&bytes)));
        black_box(ring.dequeue_slice(&mut out));
    })
}
