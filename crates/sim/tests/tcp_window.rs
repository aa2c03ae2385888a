//! Windows: what is offered and kept (RFC 9293 section 3.8.6, RFC 7323 section 2), and silly windows on both sides
//! (RFC 9293 section 3.8.6.2, RFC 1122 sections 4.2.3.3 and 4.2.3.4).

use std::time::Duration;

use sim::Puppet;
use sim::puppet::seg;
use stack::tcp::ConnectOptions;
use stack::{Config, Discard};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// With a receive ring of `receive` bytes, and windows scaled if that needs it.
fn receiving(receive: usize) -> Puppet {
    let syn = seg(0).mss(1460).scale(7);
    Puppet::established_with(Config::default(), syn, &ConnectOptions::default(), 1 << 20, receive)
}

#[test]
fn what_lies_beyond_the_window_is_cut_off_and_the_rest_is_taken() {
    let mut puppet = receiving(1_000);
    puppet.send(&seg(1).ack(1).text(&[1; 1_460]));
    let ack = puppet.take().remove(0);
    assert_eq!((ack.ack, ack.window), (1_001, 0));
    assert_eq!(puppet.read(5_000).len(), 1_000);
}

#[test]
fn a_segment_wholly_outside_of_the_window_is_answered_and_dropped() {
    let mut puppet = receiving(1_000);
    for seq in [1_001, 5_000, 2_000_000_000, u32::MAX - 5_000] {
        puppet.send(&seg(seq).ack(1).text(&[1; 100]));
        assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1"], "{seq}");
    }
    assert_eq!(puppet.read(5_000).len(), 0);
    assert_eq!(puppet.stack.discards().of(Discard::TcpOutsideWindow), 4);
}

#[test]
fn reading_a_byte_from_a_full_buffer_opens_no_window() {
    // RFC 1122 section 4.2.3.3: at least half the buffer or one segment.
    let mut puppet = receiving(10_000);
    for n in 0..10 {
        puppet.send(&seg(1 + n * 1_000).ack(1).text(&[1; 1_000]));
    }
    puppet.run_for(millis(50));
    assert_eq!(puppet.take().last().map(|ack| ack.window), Some(0));
    puppet.read(1);
    puppet.read(1_000);
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.send(&seg(10_001).ack(1).text(&[1; 1]));
    assert_eq!(puppet.take()[0].window, 0, "not in the answer to a probe either");
    puppet.read(459);
    assert_eq!(puppet.take().iter().map(|ack| ack.window).collect::<Vec<_>>(), [1_460]);
}

#[test]
fn a_small_buffer_opens_its_window_by_halves() {
    let mut puppet = receiving(1_000);
    puppet.send(&seg(1).ack(1).text(&[1; 1_000]));
    puppet.take();
    puppet.read(499);
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.read(1);
    assert_eq!(puppet.take().iter().map(|ack| ack.window).collect::<Vec<_>>(), [500]);
}

#[test]
fn the_right_edge_never_moves_back() {
    // RFC 9293 section 3.8.6 (SHLD-14).
    for receive in [3_000, 65_535, 1 << 20] {
        let mut puppet = receiving(receive);
        let scale = puppet.info().window_scale.expect("scaled").1;
        let (mut edge, mut seq) = (0, 1);
        for n in 0..500_u32 {
            let len = (n * 37 % 700) as usize + 1;
            puppet.send(&seg(seq).ack(1).text(&vec![1; len]));
            puppet.run_for(millis(41));
            if n % 3 == 0 {
                puppet.read(len / 2);
            }
            for ack in puppet.take() {
                seq = ack.ack;
                let now = ack.ack + (u32::from(ack.window) << scale);
                // RFC 7323 section 2.4: less than the unit of a scaled window may be lost to rounding.
                assert!(now + (1 << scale) > edge, "receive {receive}, segment {n}: {now} after {edge}");
                edge = edge.max(now);
            }
        }
    }
}

#[test]
fn every_byte_that_the_window_promised_has_room() {
    // RFC 7323 section 2: what a scaled field rounds up to must be there. Odd sizes leave a remainder each time.
    for size in [1, 7, 33, 1_459] {
        let mut puppet = receiving(300_000);
        let scale = puppet.info().window_scale.expect("scaled").1;
        let mut seq = 1;
        let mut edge = 65_536;
        loop {
            puppet.send(&seg(seq).ack(1).text(&vec![7; size.min((edge - seq) as usize)]));
            puppet.run_for(millis(41));
            let before = seq;
            for ack in puppet.take() {
                seq = ack.ack;
                edge = seq + (u32::from(ack.window) << scale);
            }
            if seq == edge {
                break;
            }
            assert_ne!(seq, before, "the window is open, so it takes what it promised");
            if size < 100 && seq > 10_000 && seq < 290_000 {
                // Quickly to where the buffer is nearly full.
                let full = ((edge - seq) as usize).min(1_460);
                puppet.send(&seg(seq).ack(1).text(&vec![7; full]));
                seq += full as u32;
            }
        }
        assert_eq!(puppet.stack.discards().of(Discard::TcpMemory), 0, "segments of {size}");
        let received = puppet.read(1 << 20);
        assert!(received.len() <= 300_000 && received.len() > 299_000, "{}", received.len());
        assert!(received.iter().all(|&byte| byte == 7));
    }
}

#[test]
fn an_old_segment_that_comes_late_does_not_set_the_window() {
    // RFC 9293 section 3.10.7.4, SND.WL1 and SND.WL2.
    let mut puppet = receiving(65_535);
    puppet.write(&[1; 2_000]);
    puppet.take();
    puppet.send(&seg(1).ack(1_461).window(300));
    assert_eq!(puppet.info().send_window, 38_400);
    puppet.send(&seg(1).ack(1).window(10));
    assert_eq!(puppet.info().send_window, 38_400, "an older ACK");
    puppet.send(&seg(1).ack(1_461).window(200).text(b"new"));
    assert_eq!(puppet.info().send_window, 25_600);
    puppet.send(&seg(1).ack(1_461).window(10));
    assert_eq!(puppet.info().send_window, 25_600, "an older sequence number");
    puppet.send(&seg(4).ack(1_461).window(100));
    assert_eq!(puppet.info().send_window, 12_800, "the same ACK again may change it");
    puppet.send(&seg(104).ack(1_461).window(90).text(b"overtook"));
    puppet.send(&seg(4).ack(1_461).window(10).text(b"was overtaken"));
    assert_eq!(puppet.info().send_window, 11_520, "a segment that was overtaken, although its text is taken");
}

#[test]
fn an_ack_of_what_was_never_sent_frees_nothing_and_is_answered() {
    // RFC 9293 section 3.10.7.4, fifth step.
    let mut puppet = receiving(65_535);
    puppet.write(b"data");
    puppet.take();
    puppet.send(&seg(1).ack(6).text(b"ignored"));
    assert_eq!(puppet.lines(), ["0.000 . 5:5 ack 1"]);
    assert_eq!((puppet.info().send_queue, puppet.read(10).len()), (4, 0));
    puppet.send(&seg(1).ack(5));
    assert_eq!(puppet.info().send_queue, 0);
}

#[test]
fn the_ack_field_counts_while_our_window_is_closed() {
    // RFC 9293 section 3.10.7.4: "special allowance should be made to accept valid ACKs".
    let mut puppet = receiving(1_000);
    puppet.send(&seg(1).ack(1).text(&[1; 1_000]));
    puppet.write(&[2; 3_000]);
    puppet.take();
    // In order, and beyond the closed window.
    puppet.send(&seg(1_001).ack(1_461).text(&[1; 100]));
    assert_eq!(puppet.info().send_queue, 3_000 - 1_460);
    puppet.send(&seg(1_101).ack(2_921).text(&[1; 100]));
    assert_eq!(puppet.info().send_queue, 3_000 - 2_920);
    assert_eq!(puppet.read(5_000).len(), 1_000);
}

#[test]
fn a_peer_that_takes_its_window_back_under_data_in_flight_is_probed_and_served_when_it_opens() {
    // RFC 9293 section 3.8.6 (MUST-34): be robust against window shrinking.
    let mut puppet = receiving(65_535);
    puppet.send(&seg(1).ack(1).window(100));
    puppet.write(&[1; 10_000]);
    assert_eq!(puppet.take().len(), 7);
    puppet.send(&seg(1).ack(1_461).window(0));
    puppet.run_for(Duration::from_secs(10));
    let seen = puppet.take();
    assert!(!seen.is_empty(), "it goes on asking");
    assert!(seen.iter().all(|seen| seen.text.len() <= 1), "but sends nothing beyond the window: {seen:?}");
    puppet.send(&seg(1).ack(1_461).window(100));
    let seen = puppet.take();
    assert_eq!((seen[0].seq, seen[0].text.len()), (1_461, 1_460));
    let mut acked = 1_461;
    for _ in 0..20 {
        puppet.send(&seg(1).ack(acked).window(100));
        puppet.run_for(Duration::from_secs(2));
        for seen in puppet.take() {
            if seen.seq == acked {
                acked += seen.text.len() as u32;
            }
        }
    }
    assert_eq!(acked, 10_001);
}

#[test]
fn a_pure_ack_lies_inside_the_window_that_the_peer_has_left_open() {
    // RFC 9293 section 3.10.7.4, first step: at a closed window a peer takes an ACK at its RCV.NXT and nowhere else.
    let mut puppet = receiving(65_535);
    puppet.write(&[1; 100]);
    puppet.send(&seg(1).ack(101).window(0));
    puppet.write(&[2; 100]);
    puppet.run_for(Duration::from_secs(1));
    let probes = puppet.take();
    assert!(probes.iter().any(|seen| seen.seq == 101 && seen.text.len() == 1), "a probe is on the way: {probes:?}");
    puppet.send(&seg(1).ack(101).window(0).text(&[3; 3_000][..1_460]));
    puppet.send(&seg(1_461).ack(101).window(0).text(&[3; 1_460]));
    let acks = puppet.take();
    assert!(acks.iter().any(|ack| ack.ack == 2_921));
    assert!(acks.iter().all(|ack| ack.seq == 101), "{acks:?}");
}

#[test]
fn no_small_segment_is_sent_merely_because_the_window_is_small() {
    // RFC 1122 section 4.2.3.4.
    let mut puppet = receiving(65_535);
    puppet.write(&[1; 1_460]);
    puppet.send(&seg(1).ack(1_461).window(1));
    puppet.write(&[1; 10_000]);
    puppet.take();
    // 128 bytes of window, and the largest seen was far more: nothing goes.
    assert_eq!(puppet.info().in_flight, 0);
    puppet.send(&seg(1).ack(1_461).window(11));
    assert_eq!(puppet.lines(), [""; 0], "1408 bytes are less than a segment");
    puppet.send(&seg(1).ack(1_461).window(12));
    assert_eq!(puppet.take().iter().map(|seen| seen.text.len()).collect::<Vec<_>>(), [1_460]);
}

#[test]
fn half_of_the_largest_window_ever_seen_is_worth_a_segment() {
    // RFC 1122 section 4.2.3.4 (3): for peers whose whole buffer is small.
    let syn = seg(0).mss(1460).window(1_000);
    let mut puppet = Puppet::established(Config::default(), syn);
    puppet.write(&[1; 5_000]);
    assert_eq!(puppet.take().iter().map(|seen| seen.text.len()).collect::<Vec<_>>(), [1_000]);
    puppet.send(&seg(1).ack(1_001).window(499));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.send(&seg(1).ack(1_001).window(500));
    assert_eq!(puppet.take().iter().map(|seen| seen.text.len()).collect::<Vec<_>>(), [500]);
}

#[test]
fn windows_near_a_gibibyte_are_offered_and_kept() {
    // RFC 7323 section 2.3: 65,535 << 14 is the largest there is.
    let syn = seg(0).mss(1460).scale(14);
    let mut puppet = Puppet::established_with(Config::default(), syn, &ConnectOptions::default(), 1 << 20, 1 << 31);
    puppet.send(&seg(1).ack(1));
    assert_eq!(puppet.info().send_window, 65_535 << 14);
    puppet.write(b"x");
    assert_eq!(puppet.take().last().map(|seen| seen.window), Some(65_535));
    let window = puppet.info().receive_window;
    assert_eq!(window, 65_535 << 14);
    // The last byte of the window is taken, the one after it is not; nor is anything half the sequence space away.
    puppet.send(&seg(window).ack(1).text(b"z"));
    assert_eq!(puppet.stack.discards().of(Discard::TcpOutsideWindow), 0);
    for far in [window + 1, 1 + (1 << 31), 1 + (1 << 31) - 1, 2 + (1 << 31)] {
        let before = puppet.stack.discards().of(Discard::TcpOutsideWindow);
        puppet.send(&seg(far).ack(1).text(b"z"));
        assert_eq!(puppet.stack.discards().of(Discard::TcpOutsideWindow), before + 1, "{far}");
    }
    puppet.send(&seg(1).ack(1).text(b"a"));
    assert_eq!(puppet.read(10), b"a");
}
