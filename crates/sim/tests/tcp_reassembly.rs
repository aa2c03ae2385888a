//! Data that comes out of order, twice, or in overlapping pieces (RFC 9293 section 3.10.7.4, seventh step).

use std::time::Duration;

use sim::puppet::seg;
use sim::{Chance, Puppet};
use stack::{Config, Discard};

fn established() -> Puppet {
    Puppet::established(Config::default(), seg(0).mss(1460))
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

#[test]
fn pieces_in_reverse_order_are_put_together() {
    let mut puppet = established();
    let whole = text(5_000);
    for n in (0..50).rev() {
        puppet.send(&seg(1 + n * 100).ack(1).text(&whole[n as usize * 100..][..100]));
        assert_eq!(puppet.rings.as_ref().map_or(0, |rings| rings.receive.len()), if n == 0 { 5_000 } else { 0 });
    }
    assert_eq!(puppet.take().last().map(|seen| seen.ack), Some(5_001));
    assert_eq!(puppet.read(10_000), whole);
}

#[test]
fn overlapping_pieces_in_any_order_give_each_byte_once() {
    for seed in 0..20 {
        let mut chance = Chance::new(seed);
        let mut puppet = established();
        let whole = text(20_000);
        let mut received = Vec::new();
        while received.len() < whole.len() {
            // Somewhere from a little behind to a window ahead.
            let from = received.len().saturating_sub(500) + chance.below(6_000) as usize;
            let from = from.min(whole.len() - 1);
            let len = (1 + chance.below(1_460) as usize).min(whole.len() - from);
            puppet.send(&seg(1 + from as u32).ack(1).text(&whole[from..from + len]));
            received.extend(puppet.read(chance.below(4_000) as usize));
            puppet.take();
        }
        assert_eq!(received, whole, "seed {seed}");
    }
}

#[test]
fn a_hole_that_is_never_closed_costs_no_more_than_the_window_and_the_rest_goes_on() {
    let mut puppet = established();
    // Every second byte of the window: far more holes than are remembered.
    for n in 0..30_000_u32 {
        puppet.send(&seg(2 + 2 * n).ack(1).text(b"x"));
        if n % 1_000 == 0 {
            puppet.take();
        }
    }
    assert!(puppet.info().out_of_order <= 2_048);
    assert!(puppet.stack.discards().of(Discard::TcpMemory) > 0, "counted");
    assert_eq!(puppet.read(10), b"");
    // Nobody waits for it: a day later the first byte comes.
    puppet.run_for(Duration::from_secs(86_400));
    puppet.take();
    puppet.send(&seg(1).ack(1).text(b"xxxxxx"));
    let last = puppet.take().pop().expect("an ACK");
    assert_eq!(last.ack, 7);
    assert_eq!(puppet.read(100), b"xxxxxx");
}

#[test]
fn when_too_many_holes_were_open_everything_still_arrives_by_retransmission() {
    let mut puppet = established();
    let whole = text(1_000);
    for n in (1..1_000_u32).step_by(2) {
        puppet.send(&seg(1 + n).ack(1).text(&whole[n as usize..][..1]));
    }
    for n in 0..1_000_u32 {
        puppet.send(&seg(1 + n).ack(1).text(&whole[n as usize..][..1]));
    }
    assert_eq!(puppet.read(2_000), whole);
}

#[test]
fn a_second_copy_does_not_overwrite_what_was_read_or_promised() {
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).text(b"first"));
    puppet.send(&seg(1).ack(1).text(b"FORGED and more"));
    assert_eq!(puppet.read(100), b"firstD and more");
}

#[test]
fn a_damaged_segment_leaves_no_trace() {
    let mut puppet = established();
    let mut frame = puppet.frame(&seg(1).ack(1).text(b"damaged"));
    let last = frame.len() - 1;
    frame[last] ^= 0x20;
    puppet.send_frame(&frame);
    assert_eq!(puppet.stack.discards().of(Discard::TcpChecksum), 1);
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.send(&seg(1).ack(1).text(b"whole"));
    assert_eq!(puppet.read(100), b"whole");
}
