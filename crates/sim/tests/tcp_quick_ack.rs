//! Acknowledgements that are not put off (RFC 1122 section 4.2.3.2 lets them wait): at a connection's beginning, after a pause, and
//! where the application asks for them (TCP_QUICKACK).

use std::time::Duration;

use sim::puppet::{Seg, seg};
use sim::world::{A, B, Setup};
use sim::{LinkModel, Puppet, Stream, World};
use stack::Config;
use stack::tcp::{ConnectOptions, Phase, SocketOption};
use wire::tcp::TcpFlags;

use crate::tcp_script::millis;

/// What is true of the whole way must be true of the short one.
fn both_ways(quick_acks: u8, test: impl Fn(Puppet)) {
    for fast_path in [true, false] {
        let mut config = Config::default();
        config.tcp.fast_path = fast_path;
        config.tcp.quick_acks = quick_acks;
        test(Puppet::established(config, seg(0).mss(1460)));
    }
}

fn set(puppet: &mut Puppet, on: bool) {
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_set_option(now, id, SocketOption::QuickAck(on));
    puppet.drain();
}

/// How long each of `segments` waited for its acknowledgement, all of them sent one after the other.
fn waits(puppet: &mut Puppet, segments: &[Seg]) -> Vec<Duration> {
    let mut waits = Vec::new();
    for segment in segments {
        let sent = puppet.now();
        puppet.send(segment);
        puppet.run_for(millis(60));
        let acks = puppet.take();
        assert_eq!(acks.len(), 1);
        waits.push(acks[0].at - sent);
    }
    waits
}

/// `n` segments of ten bytes, from `first` on.
fn tens(first: u32, n: u32, ack: u32) -> Vec<Seg> {
    (0..n).map(|i| seg(first + 10 * i).ack(ack).text(&[7; 10])).collect()
}

#[test]
fn so_many_acknowledgements_are_not_put_off_at_first() {
    both_ways(3, |mut puppet| {
        assert!(puppet.info().quick_acks);
        let waits = waits(&mut puppet, &tens(1, 5, 1));
        assert_eq!(waits, [0, 0, 0, 40, 40].map(millis));
        assert!(!puppet.info().quick_acks);
    });
}

#[test]
fn every_acknowledgement_is_put_off_by_default() {
    // RFC 1122 section 4.2.3.2.
    both_ways(0, |mut puppet| {
        assert!(!puppet.info().quick_acks);
        assert_eq!(waits(&mut puppet, &tens(1, 2, 1)), [40, 40].map(millis));
        puppet.run_for(Duration::from_secs(10));
        assert_eq!(waits(&mut puppet, &tens(21, 1, 1)), [millis(40)], "nor after a pause");
    });
}

#[test]
fn segments_that_come_together_use_up_one_acknowledgement() {
    both_ways(2, |mut puppet| {
        puppet.send_batch(&tens(1, 4, 1));
        assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 41"]);
        assert_eq!(waits(&mut puppet, &tens(41, 2, 1)), [0, 40].map(millis));
    });
    // Full ones too, half of which would not have been put off anyway.
    both_ways(2, |mut puppet| {
        let full: Vec<_> = (0..4).map(|n| seg(1 + 1_460 * n).ack(1).text(&[7; 1_460])).collect();
        puppet.send_batch(&full);
        assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 5841"]);
        assert_eq!(waits(&mut puppet, &tens(5_841, 2, 1)), [0, 40].map(millis));
    });
}

#[test]
fn every_second_full_segment_is_acknowledged_at_once_when_they_are_used_up() {
    // RFC 5681 section 4.2: full is what the peer fills its segments with; those of the beginning were not looked at.
    both_ways(1, |mut puppet| {
        let mut acks = Vec::new();
        for n in 0..5 {
            puppet.send(&seg(1 + n * 1_460).ack(1).text(&[1; 1_460]));
            acks.push(puppet.take().len());
        }
        assert_eq!(acks, [1, 0, 1, 0, 1]);
    });
}

#[test]
fn what_the_application_answers_ends_them() {
    both_ways(16, |mut puppet| {
        puppet.send(&seg(1).ack(1).text(b"ping"));
        assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 5"]);
        puppet.write(b"pong");
        assert_eq!(puppet.lines(), ["0.000 P. 1:5 ack 5"]);
        assert!(!puppet.info().quick_acks);
        assert_eq!(waits(&mut puppet, &[seg(5).ack(5).text(b"ping")]), [millis(40)]);
        // An answer by the short way, to a message alone in flight.
        puppet.write(b"pong");
        puppet.send(&seg(9).ack(9).text(b"ping"));
        puppet.run_for(millis(39));
        assert_eq!(puppet.take().len(), 1, "the answer, and no acknowledgement");
    });
}

#[test]
fn a_question_is_no_answer() {
    // A client speaks first, and what it gets is the first text that it receives.
    both_ways(2, |mut puppet| {
        puppet.write(b"question");
        puppet.take();
        assert_eq!(waits(&mut puppet, &tens(1, 3, 9)), [0, 0, 40].map(millis));
    });
}

#[test]
fn a_pause_of_more_than_a_time_out_gives_them_anew() {
    // RFC 5681 section 4.1: the sender begins again with a small window.
    both_ways(1, |mut puppet| {
        assert_eq!(waits(&mut puppet, &tens(1, 2, 1)), [0, 40].map(millis));
        let rto = puppet.info().rto;
        puppet.run_for(rto - millis(60));
        assert_eq!(waits(&mut puppet, &tens(21, 1, 1)), [millis(40)], "no longer than a time-out");
        puppet.run_for(rto);
        assert_eq!(waits(&mut puppet, &tens(31, 2, 1)), [0, 40].map(millis));
        // An acknowledgement is nothing that is acknowledged; what comes soon after it does not come after a pause.
        puppet.run_for(rto);
        puppet.send(&seg(51).ack(1).window(100));
        assert_eq!(waits(&mut puppet, &tens(51, 1, 1)), [millis(40)]);
    });
}

#[test]
fn a_question_after_a_pause_has_its_answer_acknowledged_at_once() {
    both_ways(1, |mut puppet| {
        assert_eq!(waits(&mut puppet, &tens(1, 2, 1)), [0, 40].map(millis));
        puppet.run_for(Duration::from_secs(5));
        puppet.write(b"question");
        puppet.run_for(millis(50));
        puppet.take();
        assert_eq!(waits(&mut puppet, &tens(21, 2, 9)), [0, 40].map(millis));
    });
    // Not so where the peer has just been heard: this side answers.
    both_ways(1, |mut puppet| {
        assert_eq!(waits(&mut puppet, &tens(1, 2, 1)), [0, 40].map(millis));
        puppet.write(b"answer");
        puppet.send(&seg(21).ack(7));
        puppet.take();
        puppet.run_for(Duration::from_secs(5));
        puppet.send(&seg(21).ack(7).text(b"question"));
        assert_eq!(puppet.take().len(), 1, "after a pause of the peer's");
        puppet.write(b"answer");
        puppet.take();
        assert_eq!(waits(&mut puppet, &tens(29, 1, 13)), [millis(40)]);
    });
}

#[test]
fn an_answer_does_not_come_after_a_pause_however_long_it_took() {
    // Something of this side was on its way, so the peer had something to wait for.
    both_ways(1, |mut puppet| {
        assert_eq!(waits(&mut puppet, &tens(1, 2, 1)), [0, 40].map(millis));
        puppet.write(b"?");
        puppet.send(&seg(21).ack(2));
        let rto = puppet.info().rto;
        puppet.run_for(rto * 3 / 4);
        puppet.write(b"?");
        puppet.run_for(rto / 2);
        assert_eq!(puppet.take().len(), 2);
        assert_eq!(waits(&mut puppet, &tens(21, 1, 3)), [millis(40)]);
    });
}

#[test]
fn an_application_that_asks_for_it_has_what_is_owed_acknowledged_and_then_sixteen_times_more() {
    both_ways(0, |mut puppet| {
        puppet.send(&seg(1).ack(1).text(&[7; 10]));
        puppet.run_for(millis(10));
        set(&mut puppet, true);
        assert_eq!(puppet.lines(), ["0.010 . 1:1 ack 11"]);
        assert!(puppet.info().quick_acks);
        let waits = waits(&mut puppet, &tens(11, 17, 1));
        assert_eq!(waits[..16], [Duration::ZERO; 16]);
        assert_eq!(waits[16], millis(40));
        assert!(!puppet.info().quick_acks);
    });
    // As many as the engine's owner has said, if it has.
    both_ways(2, |mut puppet| {
        assert_eq!(waits(&mut puppet, &tens(1, 3, 1)), [0, 0, 40].map(millis));
        set(&mut puppet, true);
        assert_eq!(puppet.lines(), [""; 0], "nothing is owed");
        assert_eq!(waits(&mut puppet, &tens(31, 3, 1)), [0, 0, 40].map(millis));
    });
}

#[test]
fn an_application_can_have_them_put_off_again() {
    both_ways(16, |mut puppet| {
        assert_eq!(waits(&mut puppet, &tens(1, 1, 1)), [millis(0)]);
        set(&mut puppet, false);
        assert!(!puppet.info().quick_acks);
        assert_eq!(waits(&mut puppet, &tens(11, 2, 1)), [40, 40].map(millis));
    });
    // Before the handshake is over, too.
    let mut config = Config::default();
    config.tcp.quick_acks = 16;
    let mut puppet = Puppet::new(config);
    puppet.connect(&ConnectOptions::default());
    set(&mut puppet, false);
    puppet.send(&seg(0).mss(1460).flags(TcpFlags::SYN).ack(1));
    puppet.take();
    assert_eq!(waits(&mut puppet, &tens(1, 1, 1)), [millis(40)]);
}

#[test]
fn a_fin_before_any_text_is_acknowledged_at_once() {
    both_ways(1, |mut puppet| {
        puppet.send(&seg(1).ack(1).flags(TcpFlags::FIN));
        assert_eq!((puppet.phase(), puppet.lines()), (Phase::CloseWait, vec!["0.000 . 1:1 ack 2".to_string()]));
        puppet.run_for(Duration::from_secs(1));
        assert_eq!(puppet.lines(), [""; 0]);
    });
    // So does one for whose acknowledgement the application has asked.
    both_ways(0, |mut puppet| {
        puppet.send(&seg(1).ack(1).flags(TcpFlags::FIN));
        assert_eq!(puppet.lines(), [""; 0]);
        set(&mut puppet, true);
        assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 2"]);
    });
}

#[test]
fn a_fin_after_text_waits_for_the_application_to_finish() {
    // RFC 1122 section 4.2.3.2, and as Linux has it: three segments end a connection, not four.
    both_ways(16, |mut puppet| {
        assert_eq!(waits(&mut puppet, &tens(1, 1, 1)), [millis(0)]);
        puppet.send(&seg(11).ack(1).flags(TcpFlags::FIN));
        puppet.run_for(millis(10));
        puppet.read(100);
        puppet.close();
        assert_eq!(puppet.lines(), ["0.070 F. 1:1 ack 12"]);
    });
}

#[test]
fn a_quick_acknowledgement_that_found_the_device_full_is_still_owed() {
    both_ways(1, |mut puppet| {
        puppet.set_device_full(true);
        puppet.send(&seg(1).ack(1).text(b"early"));
        puppet.run_for(millis(5));
        assert_eq!(puppet.lines(), [""; 0]);
        puppet.set_device_full(false);
        assert_eq!(puppet.lines(), ["0.005 . 1:1 ack 6"]);
    });
}

/// Requests of as many small writes as `writes` has lengths, `turns` of them over a link of 10 ms either way, each answered by 500
/// bytes a millisecond later: how many frames they take, and how long.
fn conversation(quick_acks: u8, turns: usize, writes: &[usize]) -> (usize, Duration) {
    let mut setup = Setup::new(7).link(LinkModel::delay(millis(10)));
    for config in &mut setup.config {
        config.tcp.quick_acks = quick_acks;
    }
    let mut world = World::new(setup);
    let (mut client, mut server) = world.connected(A, B, 7);
    world.trace();
    let begun = world.now();
    for _ in 0..turns {
        for &len in writes {
            client.write(&mut world, &vec![1; len]);
        }
        read(&mut world, &mut server, writes.iter().sum());
        world.run_for(millis(1));
        server.write(&mut world, &[2; 500]);
        read(&mut world, &mut client, 500);
    }
    let took = world.now().since(begun);
    // Whatever is still owed.
    world.run_for(millis(100));
    (world.take_trace().len(), took)
}

/// Waits until so many bytes have come.
fn read(world: &mut World, stream: &mut Stream, len: usize) {
    let mut came = 0;
    let done = world.run_until(Duration::from_secs(1), |world| {
        came += stream.read_all(world).len();
        came == len
    });
    assert!(done, "{came} of {len} bytes");
}

#[test]
fn a_request_that_is_answered_soon_costs_a_packet_more_and_no_less_time() {
    // Why they are off by default: three packets, or four.
    assert_eq!([0, 16].map(|acks| conversation(acks, 1, &[64])), [(3, millis(21)), (4, millis(21))]);
    // Each side does without them once it has answered.
    assert_eq!([0, 16].map(|acks| conversation(acks, 10, &[64])), [(24, millis(210)), (26, millis(210))]);
}

#[test]
fn a_request_in_two_small_writes_does_not_wait_for_a_delayed_acknowledgement_at_first() {
    // RFC 9293 section 3.7.4: Nagle's algorithm keeps the second one until the first is acknowledged. That is what they are for.
    assert_eq!([0, 16].map(|acks| conversation(acks, 1, &[64, 64])), [(5, millis(81)), (6, millis(41))]);
}

#[test]
fn the_last_one_is_used_up_by_the_same_segment_with_receive_coalescing_and_without() {
    let acks = |fast_path: bool, coalescing: bool| {
        let mut config = Config::default();
        (config.tcp.fast_path, config.tcp.receive_coalescing) = (fast_path, coalescing);
        config.tcp.quick_acks = 1;
        let mut puppet = Puppet::established(config, seg(0).mss(1460));
        // The flow is known by its headers from here on.
        puppet.send(&seg(1).ack(1).text(&[7; 10]));
        puppet.run_for(millis(5_000));
        puppet.take();
        // After a pause there is one again, for the first of these two; the second is looked at for its size.
        let full: Vec<_> = (0..2).map(|n| seg(11 + 1_460 * n).ack(1).text(&[7; 1_460])).collect();
        puppet.send_batch(&full);
        puppet.send(&seg(2_931).ack(1).text(&[7; 600]));
        puppet.send(&seg(3_531).ack(1).text(&[7; 600]));
        puppet.run_for(millis(100));
        puppet.lines()
    };
    assert_eq!(acks(true, true), acks(true, false), "with coalescing and without");
    assert_eq!(acks(true, false), acks(false, false), "the short way and the whole one");
}
