//! Timestamps and protection against wrapped sequence numbers (RFC 7323 sections 3 to 5).

use std::time::Duration;

use sim::puppet::{Seg, seg};
use sim::world::{A, B, Setup};
use sim::{LinkModel, Loss, Puppet, World};
use stack::tcp::{KeepAlive, Phase, SocketOption};
use stack::{Config, Discard};
use wire::tcp::{TcpFlags, Timestamps};

const DAY: u64 = 86_400;

/// A connection with timestamps; the peer's clock stood at 1000, ours at the value returned.
fn established() -> (Puppet, u32) {
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&stack::tcp::ConnectOptions::default());
    let Some(Timestamps { value, .. }) = puppet.take()[0].options.timestamps else { panic!("no timestamps offered") };
    puppet.send(&seg(0).flags(TcpFlags::SYN).ack(1).mss(1460).timestamps(1_000, value));
    puppet.take();
    (puppet, value)
}

fn echo(puppet: &mut Puppet, segment: &Seg) -> Option<u32> {
    puppet.send(segment);
    puppet.take().pop().and_then(|seen| seen.options.timestamps).map(|option| option.echo)
}

#[test]
fn once_agreed_every_segment_carries_them() {
    let (mut puppet, start) = established();
    let keep_alive = KeepAlive { idle: Duration::from_secs(10), interval: Duration::from_secs(1), probes: 9 };
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_set_option(now, id, SocketOption::KeepAlive(Some(keep_alive)));
    puppet.write(&[1; 3_000]);
    puppet.run_for(Duration::from_millis(250));
    puppet.send(&seg(1).ack(3_001).timestamps(1_001, start));
    puppet.run_for(Duration::from_secs(11));
    puppet.send(&seg(9).ack(3_001).text(b"early").timestamps(1_002, start));
    puppet.finish();
    puppet.send(&seg(1).ack(3_002).timestamps(1_003, start));
    puppet.send(&seg(1).ack(3_002).flags(TcpFlags::FIN).timestamps(1_004, start));
    puppet.send(&seg(1).ack(3_002).flags(TcpFlags::FIN).timestamps(1_004, start));
    assert_eq!(puppet.phase(), Phase::TimeWait);
    let seen = puppet.take();
    assert!(seen.len() >= 8, "{seen:?}");
    for seen in seen {
        let Some(option) = seen.options.timestamps else { panic!("{seen:?}") };
        // RFC 7323 section 5.4: one tick a millisecond.
        assert_eq!(option.value.wrapping_sub(start), seen.at.as_millis() as u32, "{seen:?}");
    }

    // RFC 7323 section 3.2: a reset, too.
    let (mut puppet, start) = established();
    puppet.run_for(Duration::from_millis(100));
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_abort(now, id);
    puppet.drain();
    let option = puppet.take()[0].options.timestamps.expect("the option");
    assert_eq!(option.value.wrapping_sub(start), 100);
}

#[test]
fn the_clock_of_a_segment_whose_ack_is_of_nothing_sent_is_not_believed() {
    // A forged one far ahead would have everything that the peer sends afterwards taken for old.
    let (mut puppet, start) = established();
    puppet.send(&seg(1).ack(9_999).text(b"forged").timestamps(1_000_000, start));
    puppet.take();
    let answer = echo(&mut puppet, &seg(1).ack(1).text(b"true").timestamps(1_001, start));
    puppet.run_for(Duration::from_millis(40));
    assert_eq!(answer.or_else(|| puppet.take().pop()?.options.timestamps.map(|option| option.echo)), Some(1_001));
    assert_eq!(puppet.read(100), b"true");
}

#[test]
fn the_echo_is_of_the_segment_that_the_ack_answers() {
    // RFC 7323 section 4.3 (2): TS.Recent moves only with a segment that spans the last ACK sent.
    let (mut puppet, start) = established();
    puppet.send(&seg(1).ack(1).text(&[1; 100]).timestamps(1_010, start));
    puppet.send(&seg(101).ack(1).text(&[1; 100]).timestamps(1_020, start));
    puppet.run_for(Duration::from_millis(40));
    let ack = puppet.take().remove(0);
    assert_eq!((ack.ack, ack.options.timestamps.map(|option| option.echo)), (201, Some(1_010)), "the earlier one");
    // Out of order: the hole's filler is what counts.
    assert_eq!(echo(&mut puppet, &seg(301).ack(1).text(&[1; 100]).timestamps(1_030, start)), Some(1_010));
    assert_eq!(echo(&mut puppet, &seg(201).ack(1).text(&[1; 100]).timestamps(1_040, start)), Some(1_040));
}

#[test]
fn a_segment_that_begins_before_the_last_ack_sent_moves_the_echo() {
    // RFC 7323 section 4.3 (2): SEG.SEQ <= Last.ACK.sent, with the number that the segment came with.
    let (mut puppet, start) = established();
    puppet.send(&seg(1).ack(1).text(&[1; 100]).timestamps(1_010, start));
    puppet.send(&seg(1).ack(1).text(&[1; 200]).timestamps(1_020, start));
    puppet.run_for(Duration::from_millis(40));
    let ack = puppet.take().pop().expect("an ACK");
    assert_eq!((ack.ack, ack.options.timestamps.map(|option| option.echo)), (201, Some(1_020)));
}

/// RFC 7323 section 4.3: otherwise a lost acknowledgement would make the peer take its time-out for a round trip.
#[test]
fn a_segment_that_comes_again_is_acknowledged_with_the_clock_of_its_second_coming() {
    let (mut puppet, start) = established();
    let request = |clock| seg(1).ack(1).text(b"request").timestamps(clock, start);
    puppet.send(&request(1_010));
    puppet.run_for(Duration::from_millis(100));
    puppet.take();
    assert_eq!(echo(&mut puppet, &request(1_210)), Some(1_210));
    // Nor by a guess: from before the last acknowledgement, with an ACK of nothing sent, or a SYN.
    assert_eq!(echo(&mut puppet, &seg(1).ack(1).text(b"re").timestamps(9_000, start)), Some(1_210));
    assert_eq!(echo(&mut puppet, &request(9_000).ack(77_777)), Some(1_210));
    assert_eq!(echo(&mut puppet, &request(9_000).flags(TcpFlags::SYN)), Some(1_210));
    assert_eq!(echo(&mut puppet, &seg(8).ack(1).text(b"next").timestamps(1_211, start)), None, "none is owed yet");
}

#[test]
fn a_lost_acknowledgement_is_no_round_trip() {
    let mut world = World::new(Setup::new(1).link(LinkModel::delay(Duration::from_millis(10))));
    let (mut client, mut server) = world.connected(A, B, 7);
    for lost in [0.0, 1.0] {
        world.link_mut(B).loss = Loss::Random(lost);
        client.write(&mut world, b"request");
        world.run_for(Duration::from_secs(5));
        server.read_all(&mut world);
    }
    world.link_mut(B).loss = Loss::Never;
    world.run_for(Duration::from_secs(10));
    let info = world.host(A).stack.tcp_info(client.id).expect("a connection");
    assert!(info.retransmissions > 0 && info.bytes_acked == 14, "{info:?}");
    assert!(info.srtt < Some(Duration::from_millis(70)), "{:?}", info.srtt);
}

#[test]
fn an_older_timestamp_marks_an_old_duplicate() {
    // RFC 7323 section 5.3 R1.
    let (mut puppet, start) = established();
    puppet.send(&seg(1).ack(1).text(b"old").timestamps(999, start));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1"]);
    assert_eq!(puppet.stack.discards().of(Discard::TcpPaws), 1);
    puppet.send(&seg(1).ack(1).text(b"new").timestamps(1_000, start));
    assert_eq!(puppet.read(10), b"new");
}

#[test]
fn the_peers_clock_may_wrap() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460).timestamps(u32::MAX, 0));
    puppet.send(&seg(1).ack(1).text(b"a").timestamps(3, 0));
    puppet.send(&seg(2).ack(1).text(b"b").timestamps(u32::MAX, 0));
    assert_eq!(puppet.read(10), b"a");
    assert_eq!(puppet.stack.discards().of(Discard::TcpPaws), 1);
}

#[test]
fn after_twenty_four_idle_days_an_old_looking_timestamp_is_believed() {
    // RFC 7323 section 5.5.
    let (mut puppet, start) = established();
    puppet.run_for(Duration::from_secs(23 * DAY));
    puppet.send(&seg(1).ack(1).text(b"x").timestamps(900, start));
    assert_eq!(puppet.read(10), b"");
    puppet.run_for(Duration::from_secs(2 * DAY));
    puppet.send(&seg(1).ack(1).text(b"x").timestamps(900, start));
    assert_eq!(puppet.read(10), b"x");
    puppet.send(&seg(2).ack(1).text(b"y").timestamps(899, start));
    assert_eq!(puppet.read(10), b"", "and from there on it counts again");
}

#[test]
fn a_segment_without_the_agreed_option_is_dropped_but_a_reset_needs_none() {
    // RFC 7323 sections 3.2 and 5.2.
    let (mut puppet, _) = established();
    puppet.send(&seg(1).ack(1).text(b"bare"));
    assert_eq!(puppet.read(10), b"");
    assert_eq!(puppet.stack.discards().of(Discard::TcpPaws), 1);
    puppet.send(&seg(1).flags(TcpFlags::RST));
    assert_eq!(puppet.phase(), Phase::Closed);
}

#[test]
fn an_option_that_was_not_agreed_changes_nothing() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.send(&seg(1).ack(1).text(b"a").timestamps(1_000, 1));
    puppet.send(&seg(2).ack(1).text(b"b").timestamps(1, 1));
    assert_eq!(puppet.read(10), b"ab");
    puppet.run_for(Duration::from_millis(40));
    assert_eq!(puppet.take()[0].options.timestamps, None);
}

#[test]
fn a_nonsensical_echo_does_not_wreck_the_estimate() {
    let (mut puppet, start) = established();
    puppet.write(&[1; 2_000]);
    puppet.run_for(Duration::from_millis(250));
    puppet.send(&seg(1).ack(2_001).timestamps(1_001, start.wrapping_sub(1 << 30)));
    assert!(puppet.info().srtt < Some(Duration::from_secs(1)));
}

#[test]
fn our_clock_starts_elsewhere_for_each_flow() {
    let mut puppet = Puppet::new(Config::default());
    let mut values = Vec::new();
    for _ in 0..4 {
        puppet.connect(&stack::tcp::ConnectOptions::default());
        values.push(puppet.take()[0].options.timestamps.map(|option| option.value));
    }
    values.dedup();
    assert_eq!(values.len(), 4);
}
