//! Closing and aborting (RFC 9293 sections 3.6 and 3.10.4 to 3.10.7.4, eighth step).

use std::time::Duration;

use sim::Puppet;
use sim::puppet::seg;
use stack::event::Readiness;
use stack::tcp::{Phase, TcpError};
use stack::{Config, Discard};
use wire::tcp::TcpFlags;

const FIN: TcpFlags = TcpFlags::FIN;
const RST: TcpFlags = TcpFlags::RST;

fn established() -> Puppet {
    Puppet::established(Config::default(), seg(0).mss(1460))
}

#[test]
fn the_side_that_finishes_first_waits_and_the_other_is_done_at_once() {
    let mut puppet = established();
    puppet.finish();
    assert_eq!(puppet.lines(), ["0.000 F. 1:1 ack 1"]);
    assert_eq!(puppet.phase(), Phase::FinWait1);
    puppet.send(&seg(1).ack(2));
    assert_eq!(puppet.phase(), Phase::FinWait2);
    puppet.send(&seg(1).flags(FIN).ack(2));
    assert_eq!(puppet.lines(), ["0.000 . 2:2 ack 2"]);
    assert_eq!(puppet.phase(), Phase::TimeWait);

    let mut puppet = established();
    puppet.send(&seg(1).flags(FIN).ack(1));
    assert_eq!(puppet.phase(), Phase::CloseWait);
    assert!(puppet.news().contains(Readiness::PEER_FINISHED));
    puppet.run_for(Duration::from_millis(50));
    assert_eq!(puppet.lines(), ["0.040 . 1:1 ack 2"]);
    puppet.finish();
    assert_eq!(puppet.lines(), ["0.050 F. 1:1 ack 2"]);
    assert_eq!(puppet.phase(), Phase::LastAck);
    puppet.send(&seg(2).ack(2));
    assert_eq!(puppet.phase(), Phase::Closed);
    assert_eq!(puppet.error(), None);
}

#[test]
fn the_fin_of_an_orphan_leaves_also_where_its_text_was_acknowledged_before_it_could() {
    // RFC 9293 section 3.10.7.4: LAST-ACK ends by the acknowledgement of the FIN, and of nothing else.
    for fast_path in [true, false] {
        let mut config = Config::default();
        config.tcp.fast_path = fast_path;
        let mut puppet = Puppet::established(config, seg(0).mss(1460));
        puppet.write(b"one");
        puppet.send(&seg(1).ack(4));
        puppet.write(b"two");
        puppet.send(&seg(1).flags(FIN).ack(4));
        puppet.take();
        // The acknowledgement comes with the batch that the owner lets go in, before the engine is drained.
        puppet.stack.tcp_close(puppet.instant(), puppet.id());
        assert_eq!(puppet.phase(), Phase::LastAck);
        puppet.send(&seg(2).ack(7));
        assert_eq!((puppet.phase(), puppet.lines()), (Phase::LastAck, vec!["0.000 F. 7:7 ack 2".to_owned()]));
        puppet.send(&seg(2).ack(8));
        assert_eq!((puppet.phase(), puppet.stack.tcp_counts()), (Phase::Closed, (0, 0)));
    }
}

#[test]
fn the_last_acknowledgement_waits_for_a_device_that_is_full() {
    for fast_path in [true, false] {
        let mut config = Config::default();
        config.tcp.fast_path = fast_path;
        let mut puppet = Puppet::established(config, seg(0).mss(1460));
        puppet.finish();
        puppet.send(&seg(1).ack(2));
        puppet.take();
        puppet.set_device_full(true);
        puppet.send(&seg(1).flags(FIN).ack(2));
        assert_eq!((puppet.phase(), puppet.lines().len()), (Phase::TimeWait, 0));
        puppet.set_device_full(false);
        assert_eq!(puppet.lines(), ["0.000 . 2:2 ack 2"]);
        puppet.drain();
        assert_eq!(puppet.lines(), [""; 0]);
        // Nothing is left but what is remembered of it.
        puppet.close();
        puppet.run_for(Duration::from_secs(120));
        assert_eq!((puppet.lines().len(), puppet.stack.tcp_counts()), (0, (0, 0)));
        assert!(puppet.stack.poll_timeout().is_never());
    }
}

#[test]
fn the_last_acknowledgement_leaves_also_when_the_owner_lets_go_before_it_could() {
    for abort in [false, true] {
        let mut puppet = established();
        puppet.finish();
        puppet.send(&seg(1).ack(2));
        puppet.take();
        puppet.set_device_full(true);
        puppet.send(&seg(1).flags(FIN).ack(2));
        if abort {
            let (now, id) = (puppet.instant(), puppet.id());
            puppet.stack.tcp_abort(now, id);
        } else {
            puppet.close();
        }
        assert_eq!(puppet.stack.tcp_counts(), (0, 1));
        puppet.set_device_full(false);
        assert_eq!(puppet.lines(), ["0.000 . 2:2 ack 2"]);
    }
}

/// A connection whose application is gone, and whose peer's end has come while the device was full.
fn at_its_last_word(fast_path: bool) -> Puppet {
    let mut config = Config::default();
    config.tcp.fast_path = fast_path;
    let mut puppet = Puppet::established(config, seg(0).mss(1460));
    puppet.close();
    puppet.send(&seg(1).ack(2));
    puppet.take();
    puppet.set_device_full(true);
    puppet.send(&seg(1).flags(FIN).ack(2));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet
}

#[test]
fn an_orphan_goes_when_its_last_acknowledgement_has_gone() {
    for fast_path in [true, false] {
        let mut puppet = at_its_last_word(fast_path);
        puppet.set_device_full(false);
        assert_eq!((puppet.lines(), puppet.stack.tcp_counts()), (vec!["0.000 . 2:2 ack 2".to_owned()], (0, 1)));
        // The peer's end may come again; there is one answer to it each time.
        puppet.send(&seg(1).flags(FIN).ack(2));
        assert_eq!((puppet.lines(), puppet.stack.tcp_counts()), (vec!["0.000 . 2:2 ack 2".to_owned()], (0, 1)));
        puppet.run_for(Duration::from_secs(120));
        assert_eq!((puppet.lines().len(), puppet.stack.tcp_counts()), (0, (0, 0)));
        assert!(puppet.stack.poll_timeout().is_never());
    }
}

#[test]
fn an_orphan_goes_with_the_interface_that_would_not_take_its_last_acknowledgement() {
    for fast_path in [true, false] {
        let mut puppet = at_its_last_word(fast_path);
        let interface = puppet.stack.interfaces().last().unwrap().id;
        let now = puppet.instant();
        puppet.stack.remove_interface(now, interface);
        assert_eq!(puppet.stack.tcp_counts().0, 0);
    }
}

#[test]
fn an_end_that_was_damaged_on_its_way_is_counted_and_nothing_else() {
    for timed in [false, true] {
        let syn = if timed { seg(0).mss(1460).timestamps(1, 0) } else { seg(0).mss(1460) };
        let mut puppet = Puppet::established(Config::default(), syn);
        let fin = seg(1).flags(FIN).ack(1);
        let frame = puppet.frame(&if timed { fin.timestamps(2, 0) } else { fin });
        // Each byte of TCP's header.
        for at in 34..if timed { 66 } else { 54 } {
            let mut damaged = frame.clone();
            damaged[at] ^= 0x10;
            puppet.send_frame(&damaged);
        }
        assert_eq!((puppet.phase(), puppet.lines().len()), (Phase::Established, 0));
        let counted: u64 = puppet.stack.discards().iter().map(|(_, count)| count).sum();
        assert_eq!(counted, if timed { 32 } else { 20 });
        puppet.send_frame(&frame);
        assert_eq!(puppet.phase(), Phase::CloseWait);
    }
}

#[test]
fn both_sides_may_finish_at_once() {
    // RFC 9293 section 3.6, figure 13.
    let mut puppet = established();
    puppet.finish();
    puppet.take();
    puppet.send(&seg(1).flags(FIN).ack(1));
    assert_eq!(puppet.phase(), Phase::Closing);
    assert_eq!(puppet.lines(), ["0.000 . 2:2 ack 2"]);
    puppet.send(&seg(2).ack(2));
    assert_eq!(puppet.phase(), Phase::TimeWait);
    assert_eq!(puppet.error(), None);
}

#[test]
fn after_half_a_close_the_other_direction_goes_on() {
    let mut puppet = established();
    puppet.finish();
    puppet.send(&seg(1).ack(2));
    puppet.send(&seg(1).ack(2).text(b"still"));
    puppet.send(&seg(6).ack(2).text(b" here"));
    assert_eq!(puppet.read(100), b"still here");
    assert_eq!(puppet.phase(), Phase::FinWait2);

    let mut puppet = established();
    puppet.send(&seg(1).flags(FIN).ack(1));
    puppet.take();
    puppet.write(b"answer");
    assert_eq!(puppet.lines(), ["0.000 P. 1:7 ack 2"]);
    puppet.send(&seg(2).ack(7));
    assert_eq!(puppet.phase(), Phase::CloseWait);
}

#[test]
fn a_fin_on_a_segment_that_was_cut_at_the_window_is_not_taken() {
    let mut puppet = Puppet::established_with(
        Config::default(),
        seg(0).mss(1460),
        &stack::tcp::ConnectOptions::default(),
        1 << 16,
        1_000,
    );
    puppet.send(&seg(1).flags(FIN).ack(1).text(&[9; 1_001]));
    assert_eq!(puppet.phase(), Phase::Established);
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1001"], "neither the byte beyond the window nor the FIN");
    assert_eq!(puppet.read(5_000).len(), 1_000);
    puppet.send(&seg(1_001).flags(FIN).ack(1).text(&[9; 1]));
    assert_eq!(puppet.phase(), Phase::CloseWait);
    assert_eq!(puppet.read(5_000).len(), 1);
}

#[test]
fn a_fin_needs_no_window() {
    // A FIN takes no room: where all the text before it fits, it is taken, or a peer that has nothing else to send would
    // repeat it until it gives up. So it is acknowledged as any other, alone or with the text that fills the window, on the
    // short way and on the whole.
    for (fast_path, with_text) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut config = Config::default();
        config.tcp.fast_path = fast_path;
        let options = stack::tcp::ConnectOptions::default();
        let mut puppet = Puppet::established_with(config, seg(0).mss(1460), &options, 1 << 16, 1_000);
        let text = seg(1).ack(1).text(&[9; 1_000]);
        if with_text {
            puppet.run_for(Duration::from_millis(100));
            puppet.send(&text.flags(FIN));
        } else {
            puppet.send(&text);
            puppet.run_for(Duration::from_millis(100));
            assert_eq!(puppet.take().last().map(|seen| seen.window), Some(0));
            puppet.send(&seg(1_001).flags(FIN).ack(1));
        }
        assert_eq!(puppet.phase(), Phase::CloseWait);
        puppet.run_for(Duration::from_millis(40));
        assert_eq!(puppet.lines(), ["0.140 . 1:1 ack 1002"], "{fast_path} {with_text}");
        assert_eq!(puppet.read(5_000).len(), 1_000);
    }
}

#[test]
fn a_fin_that_a_closed_window_keeps_out_is_repeated_for_as_long_as_the_peer_answers() {
    // RFC 1122 section 4.2.2.17: a peer that answers may keep its window closed for ever.
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).window(0));
    puppet.finish();
    puppet.take();
    for _ in 0..40 {
        puppet.run_for(Duration::from_secs(120));
        if !puppet.take().is_empty() {
            puppet.send(&seg(1).ack(1).window(0));
        }
    }
    assert_eq!(puppet.phase(), Phase::FinWait1);
    puppet.send(&seg(1).ack(1).window(1_000));
    puppet.run_for(Duration::from_secs(120));
    assert!(puppet.take().iter().any(|seen| seen.flags.contains(FIN)));
    puppet.send(&seg(1).ack(2).window(1_000));
    assert_eq!(puppet.phase(), Phase::FinWait2);
}

#[test]
fn a_fin_together_with_text_that_is_known_is_taken() {
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).text(b"all of it"));
    puppet.send(&seg(1).flags(FIN).ack(1).text(b"all of it"));
    assert_eq!(puppet.phase(), Phase::CloseWait);
    puppet.run_for(Duration::from_millis(40));
    assert_eq!(puppet.lines(), ["0.040 . 1:1 ack 11"]);
    assert_eq!(puppet.read(100), b"all of it");
}

#[test]
fn a_fin_before_its_turn_waits_for_what_is_missing() {
    let mut puppet = established();
    puppet.send(&seg(4).flags(FIN).ack(1).text(b"def"));
    assert_eq!(puppet.phase(), Phase::Established);
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1"]);
    puppet.send(&seg(1).ack(1).text(b"abc"));
    assert_eq!(puppet.phase(), Phase::CloseWait);
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 8"]);
    assert_eq!(puppet.read(100), b"abcdef");
}

#[test]
fn nothing_after_the_fin_is_delivered_in_any_closing_state() {
    // RFC 9293 section 3.10.7.4, seventh step.
    for phase in [Phase::CloseWait, Phase::LastAck, Phase::Closing, Phase::TimeWait] {
        let mut puppet = established();
        if matches!(phase, Phase::Closing | Phase::TimeWait) {
            puppet.finish();
        }
        let acked = if phase == Phase::TimeWait { 2 } else { 1 };
        puppet.send(&seg(1).flags(FIN).ack(acked).text(b"end"));
        if phase == Phase::LastAck {
            puppet.finish();
        }
        assert_eq!(puppet.phase(), phase);
        puppet.take();
        puppet.send(&seg(5).ack(acked).text(b"more"));
        puppet.send(&seg(4).flags(FIN).ack(acked).text(b"more"));
        puppet.send(&seg(5).flags(FIN).ack(acked));
        assert!(puppet.take().iter().all(|seen| seen.ack == 5), "{phase:?}");
        assert_eq!(puppet.read(100), b"end", "{phase:?}");
        assert!(puppet.rings.as_ref().is_some_and(|rings| rings.receive.is_finished()));
    }
}

#[test]
fn text_that_lay_beyond_a_fin_out_of_order_is_not_delivered() {
    let mut puppet = established();
    puppet.send(&seg(7).ack(1).text(b"beyond"));
    puppet.send(&seg(4).flags(FIN).ack(1).text(b"def"));
    puppet.send(&seg(5).ack(1).text(b"efbeyond"));
    puppet.send(&seg(1).ack(1).text(b"abc"));
    assert_eq!(puppet.phase(), Phase::CloseWait);
    assert_eq!(puppet.read(100), b"abcdef");

    let mut puppet = established();
    puppet.send(&seg(4).ack(1).text(b"beyond"));
    puppet.send(&seg(1).flags(FIN).ack(1).text(b"abc"));
    assert_eq!(puppet.phase(), Phase::CloseWait);
    assert_eq!(puppet.read(100), b"abc");
}

#[test]
fn an_orphan_in_fin_wait_2_goes_after_a_minute() {
    let mut puppet = established();
    puppet.close();
    assert_eq!(puppet.lines(), ["0.000 F. 1:1 ack 1"]);
    puppet.send(&seg(1).ack(2));
    puppet.run_for(Duration::from_secs(59));
    assert_eq!(puppet.stack.tcp_counts(), (1, 0));
    puppet.run_for(Duration::from_secs(2));
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
    assert!(puppet.stack.poll_timeout().is_never());
}

#[test]
fn half_a_close_may_last_as_long_as_the_application_holds_on() {
    let mut puppet = established();
    puppet.finish();
    puppet.send(&seg(1).ack(2));
    puppet.run_for(Duration::from_secs(86_400));
    assert_eq!(puppet.phase(), Phase::FinWait2);
    puppet.close();
    puppet.run_for(Duration::from_secs(61));
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
}

#[test]
fn closing_with_unread_bytes_resets() {
    // RFC 2525 section 2.17.
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).text(b"unread"));
    puppet.take();
    puppet.close();
    assert_eq!(puppet.lines(), ["0.000 R. 1:1 ack 7"]);
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
}

#[test]
fn text_for_an_application_that_is_gone_is_answered_by_a_reset() {
    // RFC 1122 section 4.2.2.13.
    let mut puppet = established();
    puppet.close();
    puppet.take();
    puppet.send(&seg(1).ack(2).text(b"anybody?"));
    let lines = puppet.lines();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("0.000 R. 2:2"), "{lines:?}");
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
}

#[test]
fn everything_written_before_a_close_is_delivered() {
    let mut puppet = established();
    puppet.write(&[3; 30_000]);
    puppet.close();
    let mut received = 0;
    let mut finished = false;
    for _ in 0..100 {
        for seen in puppet.take() {
            received = received.max(seen.seq + seen.text.len() as u32 - 1);
            finished |= seen.flags.contains(FIN);
        }
        puppet.send(&seg(1).ack(received + 1));
        if finished {
            break;
        }
    }
    assert_eq!(received, 30_000);
    assert!(finished);
}

#[test]
fn an_abort_sends_a_reset_at_the_number_that_the_peer_expects() {
    // RFC 9293 section 3.10.5.
    let mut puppet = established();
    puppet.write(b"some");
    puppet.take();
    let id = puppet.id();
    puppet.stack.tcp_abort(puppet.instant(), id);
    puppet.drain();
    assert_eq!(puppet.lines(), ["0.000 R. 5:5 ack 1"]);
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
}

#[test]
fn the_application_can_tell_a_reset_from_a_close_also_after_a_fin() {
    let mut puppet = established();
    puppet.send(&seg(1).flags(FIN).ack(1).text(b"x"));
    puppet.news();
    puppet.send(&seg(3).flags(RST));
    assert_eq!(puppet.phase(), Phase::Closed);
    assert!(puppet.news().contains(Readiness::ERROR | Readiness::CLOSED));
    assert_eq!(puppet.error(), Some(TcpError::Reset));
    assert_eq!(puppet.read(10), b"x", "what came before stays readable");
}

#[test]
fn a_reset_before_the_last_bytes_were_acknowledged_is_an_error_also_after_both_have_finished() {
    let mut puppet = established();
    puppet.send(&seg(1).flags(FIN).ack(1));
    puppet.write(b"never arrives");
    puppet.finish();
    assert_eq!(puppet.phase(), Phase::LastAck);
    puppet.send(&seg(2).flags(RST));
    assert_eq!(puppet.phase(), Phase::Closed);
    assert_eq!(puppet.error(), Some(TcpError::Reset));

    // With everything acknowledged but the FIN, nothing is lost: RFC 9293 section 3.10.7.4, second step.
    let mut puppet = established();
    puppet.send(&seg(1).flags(FIN).ack(1));
    puppet.finish();
    puppet.send(&seg(2).flags(RST));
    assert_eq!(puppet.phase(), Phase::Closed);
    assert_eq!(puppet.error(), None);
}

#[test]
fn window_updates_and_duplicate_acks_count_in_last_ack_and_closing() {
    for closing in [false, true] {
        let mut puppet = established();
        puppet.send(&seg(1).ack(1).window(3_000));
        puppet.write(&[5; 20_000]);
        if closing {
            puppet.finish();
            puppet.send(&seg(1).flags(FIN).ack(1).window(3_000));
        } else {
            puppet.send(&seg(1).flags(FIN).ack(1).window(3_000));
            puppet.finish();
        }
        assert_eq!(puppet.phase(), if closing { Phase::Closing } else { Phase::LastAck });
        puppet.take();
        puppet.send(&seg(2).ack(1).window(20_000));
        let sent: usize = puppet.take().iter().map(|seen| seen.text.len()).sum();
        assert!(sent >= 10_000, "the window has opened: {sent}");
        for _ in 0..3 {
            puppet.send(&seg(2).ack(1).window(20_000));
        }
        let again = puppet.take();
        assert!(again.iter().any(|seen| seen.seq == 1 && seen.text.len() == 1460), "{again:?}");
    }
}

#[test]
fn after_shutdown_of_reading_whatever_comes_is_acknowledged_and_thrown_away() {
    let mut puppet = Puppet::established_with(
        Config::default(),
        seg(0).mss(1460),
        &stack::tcp::ConnectOptions::default(),
        1 << 16,
        4_000,
    );
    let id = puppet.id();
    puppet.stack.tcp_shutdown_read(puppet.instant(), id);
    puppet.drain();
    for round in 0..20 {
        puppet.send(&seg(1 + round * 1_000).ack(1).text(&[1; 1_000]));
        puppet.run_for(Duration::from_millis(50));
        let last = puppet.take().pop().expect("an ACK");
        assert_eq!(last.ack, 1 + (round + 1) * 1_000, "round {round}");
        assert!(last.window >= 1_000, "the window stays open: round {round}");
    }
    assert_eq!(puppet.read(1_000).len(), 0);
    assert_eq!(puppet.stack.discards().of(Discard::TcpMemory), 0);
}
