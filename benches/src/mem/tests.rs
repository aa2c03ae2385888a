//! That what is counted is there.

use super::{smoltcp, wharf};
use crate::allocator;

#[test]
fn every_case_finds_memory_with_both_contenders() {
    allocator::start();
    for measure in [wharf::established, wharf::listening, wharf::time_wait] {
        assert!(measure(300) > 300 * 16);
    }
    for measure in [smoltcp::established, smoltcp::listening, smoltcp::time_wait] {
        // Two buffers of 64 KiB.
        assert!(measure(10) > 10 * 131_072);
    }
}

#[test]
fn many_connections_are_opened_spoken_to_and_closed() {
    allocator::start();
    let found = wharf::many(500).expect("all of them live and end");
    assert!(found.idle > 0 && found.idle <= found.peak);
}
