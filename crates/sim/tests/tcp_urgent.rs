//! Urgent data (RFC 9293 section 3.8.5, RFC 6093): the mark on its way out and in, and pointers that lie.

use std::time::Duration;

use sim::Puppet;
use sim::puppet::{Seg, seg};
use stack::Config;
use stack::event::Readiness;
use stack::tcp::{ConnectOptions, OutOfBand, Phase, SocketOption, UrgentReader};
use wire::tcp::TcpFlags;

fn established() -> Puppet {
    Puppet::established(Config::default(), seg(0).mss(1460))
}

fn mark(puppet: &Puppet) -> Option<u64> {
    puppet.stack.tcp_urgent_mark(puppet.id())
}

/// Sends `segment` and returns whether the owner was told of a mark.
fn tells(puppet: &mut Puppet, segment: &Seg) -> bool {
    puppet.news();
    puppet.send(segment);
    puppet.news().contains(Readiness::URGENT)
}

#[test]
fn an_urgent_write_points_behind_its_last_byte() {
    // RFC 6093 section 4: the octet that follows the urgent data.
    let mut puppet = established();
    puppet.write_urgent(b"abc");
    assert_eq!(puppet.lines(), ["0.000 PU. 1:4 ack 1 urg 3"]);
    puppet.send(&seg(1).ack(4));
    puppet.write(b"d");
    assert_eq!(puppet.lines(), ["0.000 P. 4:5 ack 1"]);
}

#[test]
fn every_segment_before_the_mark_carries_it_and_none_after_it() {
    let mut puppet = established();
    puppet.write_urgent(&[b'u'; 3_000]);
    puppet.write(&[b'n'; 3_000]);
    assert_eq!(
        puppet.lines(),
        [
            "0.000 U. 1:1461 ack 1 urg 3000",
            "0.000 U. 1461:2921 ack 1 urg 1540",
            // Nagle's rule holds no urgent data back.
            "0.000 PU. 2921:3001 ack 1 urg 80",
            "0.000 . 3001:4461 ack 1",
            "0.000 . 4461:5921 ack 1",
        ]
    );
}

#[test]
fn urgent_data_does_not_wait_for_a_small_segments_acknowledgement() {
    let mut puppet = established();
    puppet.write(b"a");
    puppet.write(b"b");
    assert_eq!(puppet.lines(), ["0.000 P. 1:2 ack 1"]);
    puppet.write_urgent(b"c");
    assert_eq!(puppet.lines(), ["0.000 PU. 2:4 ack 1 urg 2"]);
    // What follows it waits as ever.
    puppet.write(b"d");
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.send(&seg(1).ack(4));
    assert_eq!(puppet.lines(), ["0.000 P. 4:5 ack 1"]);
}

#[test]
fn after_an_idle_time_urgent_data_begins_with_a_small_window_too() {
    // RFC 5681 section 4.1.
    let options = ConnectOptions::default();
    let mut puppet = Puppet::established_with(Config::default(), seg(0).mss(1460).scale(4), &options, 1 << 20, 65_535);
    let mut sent = 1;
    for _ in 0..4 {
        puppet.write(&[b'n'; 60_000]);
        while puppet.info().send_queue > 0 {
            sent = puppet.take().iter().map(|seen| seen.seq + seen.text.len() as u32).max().unwrap_or(sent);
            puppet.send(&seg(1).ack(sent));
        }
    }
    assert!(puppet.info().congestion_window > 60_000);
    puppet.take();
    puppet.run_for(Duration::from_secs(5));
    puppet.write_urgent(&[b'u'; 60_000]);
    let first: usize = puppet.take().iter().map(|seen| seen.text.len()).sum();
    assert!(first <= 10 * 1460, "{first}");
}

#[test]
fn a_retransmission_carries_the_mark() {
    let mut puppet = established();
    puppet.write_urgent(b"abc");
    puppet.take();
    puppet.run_for(Duration::from_secs(2));
    let again = puppet.take();
    assert!(!again.is_empty());
    for seen in again {
        assert_eq!((seen.seq, seen.urgent, seen.flags.contains(TcpFlags::URG)), (1, 3, true));
    }
}

#[test]
fn what_is_sent_again_after_the_mark_does_not_carry_it() {
    let mut puppet = established();
    puppet.write_urgent(b"abc");
    puppet.send(&seg(1).ack(4));
    puppet.take();
    puppet.write(b"def");
    puppet.take();
    puppet.run_for(Duration::from_secs(1));
    assert!(puppet.take().iter().all(|seen| seen.seq == 4 && seen.urgent == 0 && !seen.flags.contains(TcpFlags::URG)));
}

#[test]
fn an_acknowledgement_before_the_mark_carries_it() {
    // The window takes 4 of the 8 bytes: SND.NXT lies before the mark.
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).window(4));
    puppet.write_urgent(b"patience");
    puppet.run_for(Duration::from_millis(300));
    puppet.take();
    puppet.send(&seg(1).ack(1).window(4).text(&[0; 1_000]));
    puppet.send(&seg(1_001).ack(1).window(4).text(&[0; 1_000]));
    let seen = puppet.take();
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|seen| seen.seq + u32::from(seen.urgent) == 9), "{seen:?}");
}

#[test]
fn a_closed_window_does_not_keep_the_mark_back() {
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).window(0));
    puppet.write_urgent(b"stop");
    assert_eq!(puppet.lines(), ["0.000 U. 1:1 ack 1 urg 4"]);
    // Nor do probes (RFC 9293 section 3.8.6.1).
    puppet.run_for(Duration::from_millis(250));
    assert_eq!(puppet.lines(), ["0.200 U. 1:2 ack 1 urg 4"]);
    puppet.send(&seg(1).ack(1).window(100));
    assert_eq!(puppet.lines(), ["0.250 PU. 1:5 ack 1 urg 4"]);
}

#[test]
fn a_later_mark_moves_the_earlier_one_on() {
    let mut puppet = established();
    puppet.write_urgent(b"ab");
    puppet.write_urgent(b"cd");
    assert_eq!(puppet.lines(), ["0.000 PU. 1:3 ack 1 urg 2", "0.000 PU. 3:5 ack 1 urg 2"]);
    puppet.run_for(Duration::from_secs(2));
    // The last of them, as a tail-loss probe.
    assert!(puppet.take().iter().all(|seen| seen.seq + u32::from(seen.urgent) == 5));
}

#[test]
fn a_mark_out_of_a_pointers_reach_is_named_as_far_as_it_reaches() {
    let options = ConnectOptions::default();
    let mut puppet = Puppet::established_with(Config::default(), seg(0).mss(1460).scale(4), &options, 1 << 20, 65_535);
    puppet.write_urgent(&[b'u'; 100_000]);
    let mut reach = Vec::new();
    let mut received = 1;
    while received < 100_001 {
        let seen = puppet.take();
        assert!(!seen.is_empty());
        for segment in seen {
            received = received.max(segment.seq + segment.text.len() as u32);
            reach.push((segment.seq, segment.urgent, segment.seq + u32::from(segment.urgent)));
        }
        puppet.send(&seg(1).ack(received));
    }
    for (seq, pointer, up) in reach {
        if 100_001 - seq > 65_535 {
            // Not a byte that was sent before: the mark moves on before the reader gets there.
            assert_eq!(pointer, 65_535, "{seq}");
        } else {
            assert_eq!(up, 100_001, "{seq}");
        }
    }
}

#[test]
fn what_is_sent_again_far_before_the_mark_does_not_name_a_byte_that_was_sent() {
    let options = ConnectOptions::default();
    let mut puppet = Puppet::established_with(Config::default(), seg(0).mss(1460).scale(4), &options, 1 << 20, 65_535);
    puppet.write_urgent(&[b'u'; 500_000]);
    let mut received = 1;
    while puppet.info().in_flight <= 70_000 {
        received = puppet.take().iter().map(|seen| seen.seq + seen.text.len() as u32).max().expect("more");
        puppet.send(&seg(1).ack(received));
    }
    puppet.take();
    puppet.run_for(Duration::from_secs(3));
    let again: Vec<_> = puppet.take().into_iter().filter(|seen| seen.seq == received).collect();
    assert!(!again.is_empty());
    assert!(again.iter().all(|seen| seen.urgent == 0 && !seen.flags.contains(TcpFlags::URG)), "{again:?}");
}

#[test]
fn the_mark_is_told_once_and_again_when_it_advances() {
    // RFC 9293 section 3.8.5: MUST-32.
    let mut puppet = established();
    assert_eq!(mark(&puppet), None);
    assert!(tells(&mut puppet, &seg(1).ack(1).urgent(300).text(b"abc")));
    assert_eq!(mark(&puppet), Some(300));
    assert!(!tells(&mut puppet, &seg(4).ack(1).urgent(297).text(b"def")));
    assert!(tells(&mut puppet, &seg(7).ack(1).urgent(400).text(b"ghi")));
    assert_eq!(mark(&puppet), Some(406));
    assert_eq!(puppet.read(100), b"abcdefghi");
}

#[test]
fn urgent_data_stays_in_line() {
    // RFC 6093 section 3.4.
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).text(b"ab"));
    puppet.send(&seg(3).ack(1).urgent(1).text(b"!cd"));
    assert_eq!(mark(&puppet), Some(3));
    assert_eq!(puppet.read(100), b"ab!cd");
}

#[test]
fn a_segment_without_text_brings_the_mark() {
    let mut puppet = established();
    assert!(tells(&mut puppet, &seg(1).ack(1).urgent(9)));
    assert_eq!(mark(&puppet), Some(9));
}

#[test]
fn a_closed_window_of_ours_lets_the_mark_in() {
    // RFC 9293 section 3.8.6: MUST-66.
    let options = ConnectOptions::default();
    let mut puppet = Puppet::established_with(Config::default(), seg(0).mss(1460), &options, 4_096, 1_000);
    puppet.send(&seg(1).ack(1).text(&[b'x'; 1_000]));
    assert!(tells(&mut puppet, &seg(1_001).ack(1).urgent(5).text(b"stop!")));
    assert_eq!(mark(&puppet), Some(1_005));
    // Further on, where nothing is taken, too.
    assert!(tells(&mut puppet, &seg(1_002).ack(1).urgent(7).text(b"top! now")));
    assert_eq!(mark(&puppet), Some(1_008));
}

#[test]
fn a_pointer_of_zero_says_nothing() {
    let mut puppet = established();
    assert!(!tells(&mut puppet, &seg(1).ack(1).urgent(0).text(b"abc")));
    assert!(!tells(&mut puppet, &seg(1_000).ack(1).urgent(0).text(b"abc")));
    assert_eq!(mark(&puppet), None);
}

#[test]
fn a_pointer_moves_the_mark_never_backwards() {
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).urgent(500).text(b"abc"));
    assert!(!tells(&mut puppet, &seg(4).ack(1).urgent(2).text(b"def")));
    assert_eq!(mark(&puppet), Some(500));
}

#[test]
fn a_pointer_into_what_has_arrived_is_none() {
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).text(&[b'x'; 100]));
    // Partly old, and the pointer within the old part.
    assert!(!tells(&mut puppet, &seg(51).ack(1).urgent(20).text(&[b'x'; 50])));
    assert_eq!(mark(&puppet), None);
    // Up to its end.
    assert!(!tells(&mut puppet, &seg(51).ack(1).urgent(50).text(&[b'x'; 100])));
    assert_eq!(mark(&puppet), None);
    // The pointer counts from the number that the segment came with, however much of it is new.
    assert!(tells(&mut puppet, &seg(101).ack(1).urgent(80).text(&[b'x'; 100])));
    assert_eq!(mark(&puppet), Some(180));
}

#[test]
fn a_pointer_beyond_the_window_is_kept_and_harms_nothing() {
    let options = ConnectOptions::default();
    let mut puppet = Puppet::established_with(Config::default(), seg(0).mss(1460), &options, 4_096, 2_000);
    assert!(tells(&mut puppet, &seg(1).ack(1).urgent(65_535).text(b"abc")));
    assert_eq!(mark(&puppet), Some(65_535));
    assert_eq!(puppet.read(10), b"abc");
    // The peer ends before it gets there.
    puppet.send(&seg(4).ack(1).flags(TcpFlags::FIN));
    assert_eq!(puppet.phase(), Phase::CloseWait);
    assert!(puppet.rings.as_ref().is_some_and(|rings| rings.receive.is_finished()));
}

#[test]
fn pointers_outside_of_the_window_and_after_the_fin_are_not_looked_at() {
    let mut puppet = established();
    assert!(!tells(&mut puppet, &seg(100_000).ack(1).urgent(5).text(b"abc")));
    // One that acknowledges what was never sent.
    assert!(!tells(&mut puppet, &seg(1).ack(1_000).urgent(5).text(b"abc")));
    puppet.send(&seg(1).ack(1).flags(TcpFlags::FIN));
    assert!(!tells(&mut puppet, &seg(2).ack(1).urgent(5)));
    assert_eq!(mark(&puppet), None);
}

#[test]
fn a_flood_of_marks_costs_one_event_and_no_memory() {
    let mut puppet = established();
    puppet.news();
    let segments: Vec<Seg> = (0..1_000).map(|n| seg(1 + n).ack(1).urgent(u16::MAX).text(b"x")).collect();
    puppet.send_batch(&segments);
    let events = puppet.events.drain(..).count();
    assert_eq!(events, 1);
    assert_eq!(mark(&puppet), Some(999 + 65_535));
    assert_eq!(puppet.read(2_000).len(), 1_000);
}

#[test]
fn what_nobody_reads_has_no_mark() {
    let mut puppet = established();
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_shutdown_read(now, id);
    assert!(!tells(&mut puppet, &seg(1).ack(1).urgent(3).text(b"abc")));
    assert_eq!(mark(&puppet), None);
}

#[test]
fn a_mark_may_be_set_before_what_it_marks_is_written() {
    let mut puppet = established();
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_wrote_urgent(now, id, 5);
    puppet.drain();
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.write(b"abc");
    puppet.write(b"de");
    assert_eq!(puppet.lines(), ["0.000 PU. 1:4 ack 1 urg 5", "0.000 PU. 4:6 ack 1 urg 2"]);
    puppet.send(&seg(1).ack(6));
    // What was acknowledged cannot become urgent.
    puppet.stack.tcp_wrote_urgent(now, id, 2);
    puppet.write(b"f");
    assert_eq!(puppet.lines(), ["0.000 P. 6:7 ack 1"]);
    puppet.send(&seg(1).ack(7).window(0));
    puppet.stack.tcp_wrote_urgent(now, id, 2);
    puppet.drain();
    assert_eq!(puppet.lines(), [""; 0], "nor is there anything to tell a closed window");
}

#[test]
fn the_mark_that_is_sent_never_goes_back() {
    let mut puppet = established();
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_wrote_urgent(now, id, 8);
    puppet.stack.tcp_wrote_urgent(now, id, 3);
    puppet.write(b"abcdefgh");
    assert_eq!(puppet.lines(), ["0.000 PU. 1:9 ack 1 urg 8"]);
}

#[test]
fn nothing_becomes_urgent_after_the_end() {
    let mut puppet = established();
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.finish();
    puppet.take();
    puppet.stack.tcp_wrote_urgent(now, id, 100);
    puppet.drain();
    puppet.run_for(Duration::from_secs(2));
    let again = puppet.take();
    assert!(!again.is_empty());
    assert!(again.iter().all(|seen| !seen.flags.contains(TcpFlags::URG)), "{again:?}");
}

#[test]
fn a_senseless_mark_of_the_application_harms_nothing() {
    // Its word may come from another process.
    let mut puppet = established();
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_wrote_urgent(now, id, u64::MAX);
    puppet.write(b"abc");
    assert_eq!(puppet.lines(), ["0.000 PU. 1:4 ack 1 urg 65535"]);
    puppet.send(&seg(1).ack(4).text(b"x"));
    puppet.write(b"d");
    assert_eq!(puppet.lines(), ["0.000 PU. 4:5 ack 2 urg 65535"]);
    puppet.finish();
    assert_eq!(puppet.lines(), ["0.000 FU. 5:5 ack 2 urg 65535"]);
}

#[test]
fn urgent_data_written_before_the_handshake_is_marked_when_it_goes() {
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    puppet.write_urgent(b"abc");
    puppet.run_for(Duration::from_secs(1));
    assert!(puppet.take().iter().all(|seen| seen.urgent == 0), "the SYN has nothing to point to");
    puppet.send(&seg(0).ack(1).mss(1460).flags(TcpFlags::SYN));
    let lines = puppet.lines();
    assert_eq!(lines.last().map(String::as_str), Some("1.000 PU. 1:4 ack 1 urg 3"), "{lines:?}");
}

#[test]
fn the_ring_is_marked_before_the_byte_is_published_and_until_the_reader_was_told() {
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).urgent(1).text(b"!"));
    let id = puppet.id();
    assert!(puppet.rings.as_ref().is_some_and(|rings| rings.receive.is_marked()));
    puppet.stack.tcp_urgent_told(id);
    assert!(puppet.rings.as_ref().is_some_and(|rings| !rings.receive.is_marked()));
}

/// What a read of at most `most` bytes returns.
fn read(reader: &mut UrgentReader, puppet: &mut Puppet, most: usize) -> Vec<u8> {
    let ring = &mut puppet.rings.as_mut().expect("a connection").receive;
    let arrived = ring.len();
    let admitted = reader.admit(ring, arrived);
    puppet.read(most.min(admitted))
}

#[test]
fn a_reader_in_line_stops_at_the_mark_and_goes_on_behind_it() {
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).urgent(5).text(b"abcd!efg"));
    let mut reader = UrgentReader::default();
    reader.set_mark(mark(&puppet).expect("a mark"));
    let ring = |puppet: &mut Puppet| puppet.rings.take().expect("a connection");
    let rings = ring(&mut puppet);
    assert_eq!((reader.remaining(&rings.receive), reader.is_at_mark(&rings.receive)), (5, false));
    puppet.rings = Some(rings);
    assert_eq!(read(&mut reader, &mut puppet, 100), b"abcd");
    let rings = ring(&mut puppet);
    assert!(reader.is_at_mark(&rings.receive));
    assert_eq!(reader.take(&rings.receive, false), OutOfBand::Nothing);
    puppet.rings = Some(rings);
    assert_eq!(read(&mut reader, &mut puppet, 100), b"!efg");
}

#[test]
fn a_reader_out_of_band_gets_the_last_urgent_byte_apart() {
    let mut puppet = established();
    let mut reader = UrgentReader::default();
    reader.set_out_of_band(true);
    puppet.send(&seg(1).ack(1).urgent(5).text(b"abcd"));
    reader.set_mark(mark(&puppet).expect("a mark"));
    let rings = puppet.rings.take().expect("a connection");
    assert_eq!(reader.take(&rings.receive, false), OutOfBand::Awaited);
    puppet.rings = Some(rings);
    puppet.send(&seg(5).ack(1).text(b"!efg"));
    let rings = puppet.rings.take().expect("a connection");
    assert_eq!(reader.take(&rings.receive, true), OutOfBand::Byte(b'!'));
    assert_eq!(reader.take(&rings.receive, false), OutOfBand::Byte(b'!'));
    assert_eq!(reader.take(&rings.receive, false), OutOfBand::Nothing);
    puppet.rings = Some(rings);
    assert_eq!(read(&mut reader, &mut puppet, 100), b"abcd");
    assert_eq!(read(&mut reader, &mut puppet, 100), b"efg");
}

#[test]
fn a_byte_out_of_band_that_was_read_past_can_still_be_had() {
    let mut puppet = established();
    let mut reader = UrgentReader::default();
    reader.set_out_of_band(true);
    puppet.send(&seg(1).ack(1).urgent(1).text(b"!abc"));
    reader.set_mark(mark(&puppet).expect("a mark"));
    assert_eq!(read(&mut reader, &mut puppet, 100), b"abc");
    let rings = puppet.rings.take().expect("a connection");
    assert_eq!(reader.take(&rings.receive, true), OutOfBand::Byte(b'!'));
    assert_eq!(reader.take(&rings.receive, false), OutOfBand::Byte(b'!'));
    assert_eq!(reader.take(&rings.receive, false), OutOfBand::Nothing);
}

#[test]
fn a_later_mark_has_a_byte_of_its_own_and_an_earlier_one_changes_nothing() {
    let mut puppet = established();
    let mut reader = UrgentReader::default();
    reader.set_out_of_band(true);
    puppet.send(&seg(1).ack(1).urgent(1).text(b"1"));
    reader.set_mark(1);
    assert_eq!(read(&mut reader, &mut puppet, 100), b"");
    let take = |reader: &mut UrgentReader, puppet: &mut Puppet| {
        let rings = puppet.rings.take().expect("a connection");
        let taken = reader.take(&rings.receive, false);
        puppet.rings = Some(rings);
        taken
    };
    assert_eq!(take(&mut reader, &mut puppet), OutOfBand::Byte(b'1'));
    puppet.send(&seg(2).ack(1).urgent(2).text(b"a2b"));
    reader.set_mark(3);
    reader.set_mark(1);
    assert_eq!(take(&mut reader, &mut puppet), OutOfBand::Byte(b'2'));
    assert_eq!(read(&mut reader, &mut puppet, 100), b"a");
    assert_eq!(read(&mut reader, &mut puppet, 100), b"b");
    // The third is announced: what was kept of the second is no answer.
    reader.set_mark(6);
    assert_eq!(take(&mut reader, &mut puppet), OutOfBand::Awaited);
    puppet.send(&seg(5).ack(1).text(b"cd"));
    assert_eq!(read(&mut reader, &mut puppet, 100), b"c");
}

#[test]
fn what_was_kept_of_an_earlier_mark_is_not_taken_for_a_later_one() {
    let mut puppet = established();
    let mut reader = UrgentReader::default();
    reader.set_out_of_band(true);
    puppet.send(&seg(1).ack(1).text(b"1a"));
    reader.set_mark(1);
    assert_eq!(read(&mut reader, &mut puppet, 100), b"a");
    // Read in line meanwhile, so that nothing is kept of it.
    reader.set_mark(3);
    reader.set_out_of_band(false);
    puppet.send(&seg(3).ack(1).text(b"2"));
    assert_eq!(read(&mut reader, &mut puppet, 100), b"2");
    reader.set_out_of_band(true);
    let rings = puppet.rings.take().expect("a connection");
    assert_eq!(reader.take(&rings.receive, false), OutOfBand::Nothing);
}

#[test]
fn a_reader_is_admitted_exactly_what_it_was_told_it_would_be() {
    for out_of_band in [false, true] {
        // The mark before, at, within and beyond what has arrived; and nothing that has.
        for (mark, text, expected) in [
            (0, "abcd", 4),
            (1, "!bcd", if out_of_band { 3 } else { 4 }),
            (3, "ab!d", 2),
            (4, "abc!", 3),
            (9, "abcd", 4),
            (1, "", 0),
            (3, "", 0),
        ] {
            let mut puppet = established();
            let mut reader = UrgentReader::default();
            reader.set_out_of_band(out_of_band);
            if !text.is_empty() {
                puppet.send(&seg(1).ack(1).text(text.as_bytes()));
            }
            reader.set_mark(mark);
            let ring = &mut puppet.rings.as_mut().expect("a connection").receive;
            let arrived = ring.len();
            let admissible = reader.admissible(ring, arrived);
            assert_eq!((admissible, reader.admit(ring, arrived)), (expected, expected), "{out_of_band} {mark} {text}");
        }
    }
}

#[test]
fn a_long_exchange_with_marks_arrives_whole_while_the_short_way_is_off_and_on() {
    for fast_path in [false, true] {
        let mut config = Config::default();
        config.tcp.fast_path = fast_path;
        let mut puppet = Puppet::established(config, seg(0).mss(1460));
        let (now, id) = (puppet.instant(), puppet.id());
        puppet.stack.tcp_set_option(now, id, SocketOption::NoDelay(true));
        let (mut sent, mut marks) = (1, Vec::new());
        for round in 0..20 {
            if round % 3 == 1 {
                puppet.write_urgent(&[b'u'; 10]);
            } else {
                puppet.write(&[b'n'; 10]);
            }
            for seen in puppet.take() {
                assert_eq!(seen.seq, sent);
                sent += seen.text.len() as u32;
                marks.push(seen.urgent);
            }
            puppet.send(&seg(1).ack(sent));
        }
        let expected: Vec<u16> = (0..20).map(|round| if round % 3 == 1 { 10 } else { 0 }).collect();
        assert_eq!(marks, expected, "{fast_path}");
    }
}
