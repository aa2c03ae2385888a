//! Opening a connection (RFC 9293 sections 3.5 and 3.10.7.1 to 3.10.7.4), packet by packet.

use std::time::Duration;

use sim::puppet::{Puppet, seg};
use stack::Config;
use stack::event::Readiness;
use stack::tcp::{ConnectOptions, ListenOptions, Phase, TcpError};
use wire::tcp::{TcpFlags, Timestamps};

const SYN: TcpFlags = TcpFlags::SYN;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_active_open_offers_its_options_and_acknowledges_the_answer() {
    let mut puppet = Puppet::new(Config::default());
    puppet.connect_with(&ConnectOptions::default(), 1 << 20, 1 << 20);
    let syn = puppet.take().remove(0);
    assert_eq!(syn.line(), "0.000 S 0:0 ack 0");
    assert_eq!(syn.options.mss, Some(1460));
    assert_eq!(syn.options.window_scale, Some(5));
    let Some(Timestamps { value, echo: 0 }) = syn.options.timestamps else { panic!("{:?}", syn.options) };
    // RFC 7323 section 2.2: the window field of a SYN is not scaled.
    assert_eq!(syn.window, 65_535);

    puppet.send(&seg(0).flags(SYN).ack(1).mss(1460).scale(7).timestamps(5, value));
    let ack = puppet.take();
    assert_eq!(ack.len(), 1);
    assert_eq!(ack[0].line(), "0.000 . 1:1 ack 1");
    assert_eq!(ack[0].options.timestamps, Some(Timestamps { value, echo: 5 }));
    assert_eq!(puppet.phase(), Phase::Established);
    assert!(puppet.news().contains(Readiness::CONNECTED | Readiness::WRITABLE));
}

#[test]
fn a_passive_open_answers_a_syn_and_offers_the_connection_after_the_ack() {
    let mut puppet = Puppet::new(Config::default());
    let listener = puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460).scale(7).timestamps(9, 0));
    let answer = puppet.take().remove(0);
    assert_eq!(answer.line(), "0.000 S. 0:0 ack 1");
    assert_eq!(answer.options.mss, Some(1460));
    assert!(answer.options.window_scale.is_some());
    assert_eq!(answer.options.timestamps.map(|option| option.echo), Some(9));
    assert!(puppet.stack.tcp_accept(puppet.instant(), listener).is_none(), "the handshake is not complete");
    puppet.send(&seg(1).ack(1).timestamps(9, 0));
    puppet.accept(listener);
    assert_eq!(puppet.phase(), Phase::Established);
    assert_eq!(puppet.lines(), [""; 0], "the third ACK is not answered");
}

#[test]
fn options_that_the_peer_did_not_offer_are_not_used() {
    // RFC 7323 sections 2.2 and 3.2: both sides or neither.
    let mut puppet = Puppet::new(Config::default());
    let listener = puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1000));
    let answer = puppet.take().remove(0);
    assert_eq!(answer.options.window_scale, None);
    assert_eq!(answer.options.timestamps, None);
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    assert_eq!(puppet.info().window_scale, None);
    puppet.write(b"x");
    let text = puppet.take().remove(0);
    assert_eq!(text.options.timestamps, None);
    assert_eq!(text.window, 65_535, "unscaled, so at most this although the buffer is larger");
}

#[test]
fn both_sides_may_open_at_once() {
    // RFC 9293 section 3.5, figure 8.
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    assert_eq!(puppet.lines(), ["0.000 S 0:0 ack 0"]);
    puppet.send(&seg(0).flags(SYN).mss(1460));
    assert_eq!(puppet.phase(), Phase::SynReceived);
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 1"]);
    puppet.send(&seg(0).flags(SYN).ack(1).mss(1460));
    assert_eq!(puppet.phase(), Phase::Established);
    assert_eq!(puppet.stack.tcp_counts(), (1, 0));
    puppet.write(b"hello");
    assert_eq!(puppet.lines().last().map(String::as_str), Some("0.000 P. 1:6 ack 1"));
}

#[test]
fn a_simultaneous_open_may_also_end_with_a_plain_ack() {
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.send(&seg(1).ack(1));
    assert_eq!(puppet.phase(), Phase::Established);
}

#[test]
fn the_window_of_a_syn_ack_in_a_simultaneous_open_is_not_scaled() {
    // RFC 7323 section 2.2.
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460).scale(7).window(1_000));
    puppet.send(&seg(0).flags(SYN).ack(1).mss(1460).scale(7).window(1_000));
    assert_eq!(puppet.phase(), Phase::Established);
    assert_eq!(puppet.info().send_window, 1_000);
}

#[test]
fn the_window_of_a_syn_ack_is_not_scaled() {
    let puppet = Puppet::established(Config::default(), seg(0).mss(1460).scale(7).window(1_000));
    assert_eq!(puppet.info().send_window, 1_000);
    let mut puppet = puppet;
    puppet.send(&seg(1).ack(1).window(1_000));
    assert_eq!(puppet.info().send_window, 128_000);
}

#[test]
fn the_window_of_a_syn_is_not_scaled_but_that_of_the_third_ack_is() {
    let mut puppet = Puppet::new(Config::default());
    let listener = puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460).scale(3).window(1_000));
    puppet.send(&seg(1).ack(1).window(500));
    puppet.accept(listener);
    assert_eq!(puppet.info().send_window, 4_000);
}

#[test]
fn a_syn_is_sent_seven_times_with_doubled_pauses_and_then_the_attempt_times_out() {
    // RFC 6298 sections 2.1 and 5.5; RFC 9293 section 3.8.3.
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    puppet.run_for(secs(126));
    let times: Vec<u64> = puppet.take().iter().map(|seen| seen.at.as_secs()).collect();
    assert_eq!(times, [0, 1, 3, 7, 15, 31, 63]);
    assert_eq!(puppet.phase(), Phase::SynSent);
    puppet.run_for(secs(1));
    assert_eq!(puppet.phase(), Phase::Closed);
    assert_eq!(puppet.error(), Some(TcpError::TimedOut));
    assert_eq!(puppet.lines(), [""; 0]);
}

#[test]
fn a_syn_ack_is_sent_seven_times_and_then_the_half_open_connection_is_forgotten() {
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.run_for(secs(126));
    let seen = puppet.take();
    let times: Vec<u64> = seen.iter().map(|seen| seen.at.as_secs()).collect();
    assert_eq!(times, [0, 1, 3, 7, 15, 31, 63]);
    assert!(seen.iter().all(|seen| seen.flags == SYN | TcpFlags::ACK));
    assert_eq!(puppet.stack.tcp_counts(), (1, 0));
    puppet.run_for(secs(1));
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
    assert_eq!(puppet.lines(), [""; 0], "no reset");
}

#[test]
fn a_retransmitted_syn_gets_the_syn_ack_again_and_makes_no_second_connection() {
    let mut puppet = Puppet::new(Config::default());
    let listener = puppet.listen(ListenOptions::default());
    for _ in 0..3 {
        puppet.send(&seg(0).flags(SYN).mss(1460));
    }
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 1"; 3]);
    assert_eq!(puppet.stack.tcp_counts(), (1, 0));
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    // Once more, late: RFC 5961 section 4.2 answers it with an ACK.
    puppet.send(&seg(0).flags(SYN).mss(1460));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1"]);
    assert_eq!(puppet.stack.tcp_counts(), (1, 0));
    assert!(puppet.stack.tcp_accept(puppet.instant(), listener).is_none());
}

#[test]
fn a_repeated_syn_ack_is_acknowledged_again() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    puppet.send(&seg(0).flags(SYN).ack(1).mss(1460));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1"]);
    assert_eq!(puppet.phase(), Phase::Established);
}

#[test]
fn another_syn_of_the_same_ports_is_answered_while_the_first_is_half_open() {
    // RFC 9293 section 3.10.7.4, first step: an unacceptable segment gets an ACK. A peer that has begun anew answers it
    // with the reset that makes room.
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.send(&seg(3_000_000_000).flags(SYN).mss(1460));
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 1", "0.000 . 1:1 ack 1"]);
    puppet.send(&seg(1).flags(TcpFlags::RST));
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
    puppet.send(&seg(3_000_000_000).flags(SYN).mss(1460));
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 3000000001"]);
}

#[test]
fn a_peer_that_announces_no_mss_gets_segments_of_536_bytes() {
    // RFC 9293 section 3.7.1 (MUST-15).
    let mut puppet = Puppet::established(Config::default(), seg(0));
    puppet.write(&[7; 1_200]);
    let lens: Vec<usize> = puppet.take().iter().map(|seen| seen.text.len()).collect();
    assert_eq!(lens, [536, 536, 128]);
}

#[test]
fn a_scale_over_14_is_never_offered() {
    // RFC 7323 section 2.3.
    let mut puppet = Puppet::new(Config::default());
    puppet.connect_with(&ConnectOptions::default(), 1 << 20, 1 << 34);
    // In the bytes: who parses the option takes more than 14 for 14.
    let mut shifts = Vec::new();
    puppet.take_with_frames(|frame| {
        let options = frame.get(14 + 20 + 20..).unwrap_or_default();
        shifts.extend(options.windows(3).filter(|option| option[..2] == [3, 3]).map(|option| option[2]));
    });
    assert_eq!(shifts, [14]);
}

#[test]
fn an_ack_of_something_else_than_our_syn_is_reset_and_the_attempt_goes_on() {
    // RFC 9293 section 3.10.7.3, first step.
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    puppet.take();
    for ack in [0, 2, 1_000_000] {
        puppet.send(&seg(0).flags(SYN).ack(ack).mss(1460));
        let seen = puppet.take();
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].flags, seen[0].seq), (TcpFlags::RST, ack));
    }
    assert_eq!(puppet.phase(), Phase::SynSent);
    puppet.send(&seg(0).flags(SYN).ack(1).mss(1460));
    assert_eq!(puppet.phase(), Phase::Established);
}

#[test]
fn a_reset_that_acknowledges_the_syn_refuses_the_connection() {
    // RFC 9293 section 3.10.7.3, second step.
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    puppet.take();
    puppet.send(&seg(0).flags(TcpFlags::RST));
    puppet.send(&seg(0).flags(TcpFlags::RST).ack(2));
    assert_eq!(puppet.phase(), Phase::SynSent, "those did not acknowledge the SYN");
    puppet.send(&seg(0).flags(TcpFlags::RST).ack(1));
    assert_eq!(puppet.phase(), Phase::Closed);
    assert_eq!(puppet.error(), Some(TcpError::Refused));
    assert!(puppet.news().contains(Readiness::CLOSED | Readiness::ERROR));
    assert_eq!(puppet.lines(), [""; 0], "a reset is not answered");
}

#[test]
fn a_wrong_ack_in_syn_received_is_reset_and_the_right_one_still_completes() {
    // RFC 9293 section 3.10.7.4, fifth step.
    let mut puppet = Puppet::new(Config::default());
    let listener = puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.take();
    puppet.send(&seg(1).ack(77));
    assert_eq!(puppet.lines(), ["0.000 R 77:77 ack 0"]);
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    assert_eq!(puppet.phase(), Phase::Established);
}

#[test]
fn a_segment_to_a_port_without_listener_is_reset() {
    // RFC 9293 section 3.10.7.1.
    let mut puppet = Puppet::new(Config::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    puppet.send(&seg(5).text(b"abc"));
    puppet.send(&seg(5).ack(99));
    puppet.send(&seg(5).flags(TcpFlags::RST));
    let lines = puppet.lines();
    assert_eq!(lines.len(), 3, "a reset is never answered: {lines:?}");
    assert!(lines[0].starts_with("0.000 R. ") && lines[0].ends_with("ack 1"));
    assert!(lines[1].ends_with("ack 8"));
    assert_eq!(lines[2], "0.000 R 99:99 ack 0");
}

#[test]
fn text_on_the_third_ack_is_delivered() {
    let (mut puppet, _) = Puppet::accepted(Config::default(), seg(0).mss(1460), &seg(1).ack(1).text(b"GET /"));
    assert_eq!(puppet.read(100), b"GET /");
}

#[test]
fn what_is_written_before_the_connection_stands_is_sent_once_it_does() {
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    puppet.write(b"early");
    puppet.finish();
    assert_eq!(puppet.lines(), ["0.000 S 0:0 ack 0"]);
    puppet.send(&seg(0).flags(SYN).ack(1).mss(1460));
    assert_eq!(puppet.lines(), ["0.000 FP. 1:6 ack 1"]);
    assert_eq!(puppet.phase(), Phase::FinWait1);
}

#[test]
fn closing_in_syn_received_keeps_sending_the_syn_ack_and_then_finishes() {
    // RFC 9293 section 3.10.4: queue the FIN until the connection is established.
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    puppet.send(&seg(0).flags(SYN).mss(1460));
    assert_eq!(puppet.phase(), Phase::SynReceived);
    puppet.close();
    puppet.run_for(secs(4));
    assert_eq!(puppet.lines()[1..], ["0.000 S. 0:0 ack 1", "1.000 S. 0:0 ack 1", "3.000 S. 0:0 ack 1"]);
    puppet.send(&seg(1).ack(1));
    assert_eq!(puppet.lines(), ["4.000 F. 1:1 ack 1"], "the ACK of the SYN is not the ACK of the FIN");
    assert_eq!(puppet.stack.tcp_counts(), (1, 0));
    puppet.send(&seg(1).flags(TcpFlags::FIN).ack(2));
    assert_eq!(puppet.lines(), ["4.000 . 2:2 ack 2"]);
    assert_eq!(puppet.stack.tcp_counts(), (0, 1));
}

#[test]
fn a_lost_syn_costs_the_initial_window_but_not_the_threshold() {
    // RFC 5681 section 3.1 and RFC 6928 section 2; RFC 6298 section 5.7 for the time-out of three seconds.
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    puppet.run_for(secs(2));
    puppet.send(&seg(0).flags(SYN).ack(1).mss(1460));
    let info = puppet.info();
    assert_eq!(info.congestion_window, 1460);
    assert_eq!(info.slow_start_threshold, u32::MAX);
    assert_eq!(info.rto, secs(3), "nothing could be measured: either SYN may have been answered");
    // Slow start takes it from there.
    puppet.write(&[1; 30_000]);
    assert_eq!(puppet.take().iter().filter(|seen| !seen.text.is_empty()).count(), 1);
    puppet.send(&seg(1).ack(1_461));
    assert_eq!(puppet.take().len(), 2);
}

#[test]
fn a_syn_ack_without_an_answer_to_the_first_syn_measures_nothing_without_timestamps() {
    // RFC 6298 section 3 (Karn).
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    puppet.run_for(Duration::from_millis(1_100));
    puppet.send(&seg(0).flags(SYN).ack(1).mss(1460));
    assert_eq!(puppet.info().srtt, None);
}
