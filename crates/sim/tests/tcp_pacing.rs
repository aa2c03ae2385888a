//! Pacing: when trains leave (draft-ietf-ccwg-bbr-05 section 5.6, RFC 9002 section 7.7), and what does not wait for it.

use std::time::Duration;

use sim::Puppet;
use sim::puppet::{Seen, seg};
use stack::Config;
use stack::tcp::{Algorithm, ConnectOptions, SocketOption, SocketOptions, Waiting};
use wire::tcp::TcpFlags;

const MSS: usize = 1_460;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A connection whose handshake took 100 ms.
fn established(change: impl FnOnce(&mut SocketOptions)) -> Puppet {
    let mut config = Config::default();
    config.tcp.congestion = Algorithm::NewReno;
    let mut options = ConnectOptions::default();
    change(&mut options.socket);
    let mut puppet = Puppet::new(config);
    puppet.connect(&options);
    puppet.run_for(ms(100));
    puppet.send(&seg(0).ack(1).flags(TcpFlags::SYN).mss(MSS as u16));
    puppet.take();
    puppet
}

/// When how many segments left, in milliseconds.
fn trains(seen: &[Seen]) -> Vec<(u128, usize)> {
    let mut trains: Vec<(u128, usize)> = Vec::new();
    for segment in seen {
        let at = segment.at.as_millis();
        match trains.last_mut() {
            Some((last, count)) if *last == at => *count += 1,
            _ => trains.push((at, 1)),
        }
    }
    trains
}

#[test]
fn the_initial_window_leaves_at_once_and_what_follows_at_twice_the_window_a_round_trip() {
    let mut puppet = established(|socket| socket.pacing = true);
    puppet.write(&[1; 60_000]);
    assert_eq!(trains(&puppet.take()), [(100, 10)]);
    puppet.run_for(ms(100));
    puppet.send(&seg(1).ack(14_601));
    puppet.run_for(ms(50));
    // RFC 9002 section 7.7: 20 segments of slow start, at 584,000 bytes a second: a train of two every 5 ms, and one more
    // at first, as nothing had been sent for long.
    assert_eq!(puppet.info().pacing_rate, Some(584_000));
    let sent = trains(&puppet.take());
    assert_eq!(sent[..4], [(200, 4), (205, 2), (210, 2), (215, 2)]);
    assert_eq!(sent.iter().map(|(_, count)| count).sum::<usize>(), 20, "all that the window allows");
    assert!(puppet.stack.poll_timeout() > puppet.instant() + ms(50), "and then no deadline but the retransmission's");
}

#[test]
fn without_the_option_the_window_leaves_at_once() {
    let mut puppet = established(|_| {});
    puppet.write(&[1; 60_000]);
    puppet.run_for(ms(100));
    puppet.take();
    puppet.send(&seg(1).ack(14_601));
    assert_eq!(trains(&puppet.take()), [(200, 20)]);
    assert_eq!(puppet.info().pacing_rate, None);
}

#[test]
fn a_highest_rate_holds_from_the_first_byte() {
    // 100,000 bytes a second: two segments every 29.2 ms.
    let mut puppet = established(|socket| socket.max_pacing_rate = Some(100_000));
    puppet.write(&[1; 14_600]);
    puppet.run_for(ms(200));
    assert_eq!(trains(&puppet.take()), [(100, 4), (129, 2), (158, 2), (187, 2)]);
    assert_eq!(puppet.info().pacing_rate, Some(100_000));
}

#[test]
fn acknowledgements_and_the_end_do_not_wait_for_a_train_s_time() {
    let mut puppet = established(|socket| socket.max_pacing_rate = Some(10_000));
    puppet.write(&[1; 8_760]);
    puppet.take();
    assert_eq!(puppet.info().waiting, Waiting::Pacing);
    puppet.send(&seg(1).ack(1).text(&[7; 1_000]));
    puppet.send(&seg(1_001).ack(1).text(&[7; 1_000]));
    assert_eq!(puppet.lines(), ["0.100 . 5841:5841 ack 2001"]);
    puppet.finish();
    assert_eq!(puppet.lines(), [""; 0], "the end follows the last byte");
    puppet.run_for(ms(400));
    // 2,920 bytes take 292 ms.
    let last = puppet.lines().pop();
    assert_eq!(last.as_deref(), Some("0.392 FP. 7301:8761 ack 2001"));
}

#[test]
fn who_waits_for_its_time_is_not_taken_for_one_without_a_window() {
    let mut puppet = established(|socket| socket.max_pacing_rate = Some(1_000));
    puppet.write(&[1; 20_000]);
    puppet.send(&seg(1).ack(5_841));
    puppet.take();
    // 2,920 bytes take 2.9 s; nothing is in flight meanwhile, and no probe goes out.
    puppet.run_for(ms(2_900));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(ms(200));
    assert_eq!(puppet.lines(), ["3.020 . 5841:7301 ack 1", "3.020 . 7301:8761 ack 1"]);
}

#[test]
fn the_option_may_change_while_a_train_waits() {
    let mut puppet = established(|socket| socket.max_pacing_rate = Some(1_000));
    puppet.write(&[1; 14_600]);
    assert_eq!(puppet.take().len(), 4);
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_set_option(now, id, SocketOption::MaxPacingRate(None));
    puppet.drain();
    assert_eq!(puppet.take().len(), 6, "all that the window allows");
    puppet.stack.tcp_set_option(now, id, SocketOption::Pacing(true));
    puppet.send(&seg(1).ack(14_601));
    puppet.write(&[1; 30_000]);
    assert!(puppet.take().len() < 20);
    puppet.stack.tcp_set_option(now, id, SocketOption::Pacing(false));
    puppet.drain();
    assert!(!puppet.take().is_empty());
}
