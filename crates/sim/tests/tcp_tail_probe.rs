//! Tail-loss probes (RFC 8985 section 7): when they go, what they carry, and what their answers mean. Every round trip is
//! 100 ms, so that the first retransmission time-out is 300 ms.

use std::time::Duration;

use sim::Puppet;
use sim::puppet::seg;
use stack::Config;
use stack::tcp::{Algorithm, ConnectOptions};
use wire::tcp::TcpFlags;

use crate::tcp_script::{
    MSS, RTT, block, end, established, established_by, line, millis, numbers, patient, reno, sack, write,
};

#[test]
fn after_two_round_trips_of_silence_the_last_segment_goes_again() {
    // RFC 8985 section 7.2: PTO = 2 * SRTT. Section 7.3: the segment with the highest number; and then the timer starts
    // again (RFC 6298), with one probe at a time.
    let mut puppet = reno();
    write(&mut puppet, 3);
    puppet.run_for(millis(600));
    assert_eq!(puppet.lines(), [line("0.300", 3).replace(" . ", " P. "), line("0.600", 1)]);
    assert_eq!(puppet.info().timeouts, 1);
}

#[test]
fn a_segment_alone_is_given_the_time_that_its_acknowledgement_may_be_delayed() {
    // RFC 8985 section 7.2: PTO = 2 * SRTT + TLP.max_ack_delay.
    let mut puppet = patient();
    write(&mut puppet, 1);
    puppet.run_for(millis(399));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(millis(1));
    assert_eq!(numbers(&mut puppet), [1]);
}

#[test]
fn a_probe_goes_no_later_than_the_retransmission_timer_and_in_its_place() {
    // RFC 8985 section 7.2: PTO = TCP_RTO_expiration () - Now () if that is sooner; the window is not given up for it.
    let mut puppet = reno();
    write(&mut puppet, 1);
    puppet.run_for(millis(300));
    assert_eq!(numbers(&mut puppet), [1]);
    let info = puppet.info();
    assert_eq!((info.timeouts, info.congestion_window), (0, 10 * MSS));
    puppet.run_for(millis(300));
    assert_eq!(numbers(&mut puppet), [1]);
    assert_eq!(puppet.info().timeouts, 1);
}

#[test]
fn before_any_measurement_a_probe_waits_a_second() {
    // RFC 8985 section 7.2. The SYN went twice, so that its round trip is ambiguous; the time-out is three seconds (RFC 6298
    // section 5.7).
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    puppet.run_for(millis(1_500));
    puppet.send(&seg(0).flags(TcpFlags::SYN).ack(1).mss(1460).sack_permitted());
    puppet.take();
    puppet.write(&[1; 2 * MSS as usize]);
    // RFC 6298 section 5.7: and the window is one segment, so that the rest is the probe.
    assert_eq!(numbers(&mut puppet), [1]);
    puppet.run_for(millis(999));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(millis(1));
    assert_eq!(numbers(&mut puppet), [2]);
}

#[test]
fn every_acknowledgement_of_something_new_starts_the_wait_again() {
    let mut puppet = reno();
    write(&mut puppet, 3);
    puppet.run_for(RTT);
    puppet.send(&sack(1, &[]));
    puppet.run_for(millis(199));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(millis(1));
    assert_eq!(numbers(&mut puppet), [3]);
}

#[test]
fn a_probe_is_new_data_if_there_is_any_whatever_the_congestion_window() {
    // RFC 8985 section 7.3: the probe may be one segment beyond the congestion window.
    let mut puppet = reno();
    write(&mut puppet, 12);
    puppet.run_for(millis(200));
    assert_eq!(numbers(&mut puppet), [11]);
    assert_eq!(puppet.info().in_flight, 11 * MSS);
    assert_eq!(puppet.info().retransmissions, 0);
}

#[test]
fn a_probe_respects_the_peers_window() {
    // RFC 8985 section 7.3: new data only if the receive window allows.
    let syn = seg(0).mss(1460).sack_permitted().window(14_600);
    let mut puppet = established_by(Algorithm::NewReno, RTT, syn);
    puppet.send(&seg(1).ack(1).window(14_600));
    write(&mut puppet, 12);
    puppet.run_for(millis(200));
    assert_eq!(numbers(&mut puppet), [10]);
}

#[test]
fn a_probe_repeats_a_fin() {
    let mut puppet = reno();
    puppet.finish();
    puppet.run_for(millis(300));
    assert_eq!(puppet.lines(), ["0.100 F. 1:1 ack 1", "0.400 F. 1:1 ack 1"]);
    assert_eq!(puppet.info().timeouts, 0);
}

#[test]
fn without_sack_there_are_no_probes() {
    // RFC 8985 section 7.1: the connection supports SACK.
    let mut puppet = established_by(Algorithm::NewReno, RTT, seg(0).mss(1460));
    write(&mut puppet, 3);
    puppet.run_for(millis(300));
    assert_eq!(puppet.lines(), [line("0.400", 1)]);
}

#[test]
fn while_losses_are_repaired_there_are_no_probes() {
    // RFC 8985 section 7.2: not in fast recovery, not in RTO recovery, not while something is reported beyond a gap.
    let mut puppet = reno();
    write(&mut puppet, 10);
    puppet.run_for(RTT);
    puppet.send(&sack(0, &[block(2, 4)]));
    assert_eq!(numbers(&mut puppet), [1]);
    let rto = puppet.info().rto;
    puppet.run_for(rto - millis(1));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(millis(1));
    assert_eq!(numbers(&mut puppet)[0], 1, "by the timer");
    puppet.run_for(2 * rto - millis(1));
    assert_eq!(puppet.lines(), [""; 0]);
}

#[test]
fn what_the_probe_finds_missing_before_it_is_repaired_without_a_time_out() {
    // RFC 8985 section 7.4.1 by way of RACK: the last two of five are lost; the answer to the probe of the fifth shows it.
    let mut puppet = reno();
    write(&mut puppet, 5);
    puppet.run_for(RTT);
    puppet.send(&sack(3, &[]));
    puppet.run_for(millis(200));
    assert_eq!(numbers(&mut puppet), [5]);
    puppet.run_for(RTT);
    puppet.send(&sack(3, &[block(5, 5)]));
    assert_eq!(numbers(&mut puppet), [4]);
    puppet.run_for(RTT);
    puppet.send(&sack(5, &[]));
    let info = puppet.info();
    assert_eq!((info.timeouts, info.in_flight), (0, 0));
    assert!(info.slow_start_threshold < u32::MAX, "a loss is a loss");
}

#[test]
fn a_probe_of_new_data_shows_what_is_missing_too_and_is_none_itself() {
    let mut puppet = reno();
    write(&mut puppet, 11);
    puppet.run_for(RTT);
    puppet.send(&sack(9, &[]));
    puppet.take();
    puppet.run_for(millis(200));
    // The eleventh went with the ACK, so that the tenth and eleventh are out: of these the eleventh goes again.
    assert_eq!(numbers(&mut puppet), [11]);

    let mut puppet = reno();
    write(&mut puppet, 11);
    puppet.run_for(millis(200));
    assert_eq!(numbers(&mut puppet), [11]);
    puppet.run_for(RTT);
    puppet.send(&sack(11, &[]));
    // RFC 8985 section 7.4.2: "TLP of new data delivered".
    write(&mut puppet, 1);
    puppet.send(&sack(12, &[]));
    assert_eq!(puppet.info().slow_start_threshold, u32::MAX);
}

/// Three segments, whose acknowledgement is late; a probe of the third has gone.
fn probed() -> Puppet {
    let mut puppet = reno();
    write(&mut puppet, 3);
    puppet.run_for(millis(200));
    assert_eq!(numbers(&mut puppet), [3]);
    puppet
}

/// One more segment is sent and acknowledged: the window and threshold afterwards.
fn after_one_more(mut puppet: Puppet) -> (u32, u32) {
    write(&mut puppet, 1);
    puppet.run_for(RTT);
    puppet.send(&sack(4, &[]));
    let info = puppet.info();
    (info.congestion_window, info.slow_start_threshold)
}

#[test]
fn a_probe_that_is_reported_as_a_duplicate_was_superfluous_and_costs_nothing() {
    // RFC 8985 section 7.4.2, case 1. The first ACK alone does not tell yet whose it is.
    let mut puppet = probed();
    puppet.send(&sack(3, &[]));
    assert_eq!(puppet.info().slow_start_threshold, u32::MAX);
    puppet.run_for(millis(50));
    puppet.send(&sack(3, &[block(3, 3)]));
    assert_eq!(after_one_more(puppet), (10 * MSS, u32::MAX));
}

#[test]
fn a_second_acknowledgement_means_the_same_where_the_peer_does_not_report_duplicates() {
    // RFC 8985 section 7.4.2, case 2.
    let mut puppet = probed();
    puppet.send(&sack(3, &[]));
    puppet.send(&sack(3, &[]));
    assert_eq!(after_one_more(puppet), (10 * MSS, u32::MAX));
}

#[test]
fn a_probe_that_repaired_a_loss_halves_the_window() {
    // RFC 8985 section 7.4.2: what was sent after the probe is acknowledged, and no sign of a second arrival came before.
    let mut puppet = probed();
    puppet.run_for(RTT);
    puppet.send(&sack(3, &[]));
    assert_eq!(puppet.info().slow_start_threshold, u32::MAX, "not known yet");
    assert_eq!(after_one_more(puppet), (2 * MSS, 2 * MSS));
}

#[test]
fn another_probe_waits_for_the_answer_to_the_first() {
    // RFC 8985 section 7.3: TLP.end_seq is None.
    let mut puppet = patient();
    write(&mut puppet, 3);
    puppet.run_for(millis(1_900));
    assert_eq!(numbers(&mut puppet), [3], "one");
    puppet.send(&sack(3, &[]));
    puppet.send(&sack(3, &[block(3, 3)]));
    write(&mut puppet, 3);
    puppet.run_for(millis(1_900));
    assert_eq!(numbers(&mut puppet), [6]);
}

#[test]
fn over_a_link_of_microseconds_a_probe_waits_two_milliseconds() {
    // A departure from RFC 8985 section 7.2, whose reason is in docs/decisions.md.
    let mut puppet = established(Algorithm::NewReno, Duration::from_micros(50));
    write(&mut puppet, 3);
    puppet.run_for(Duration::from_micros(1_999));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(Duration::from_micros(1));
    assert_eq!(puppet.take()[0].seq, end(2));
}

#[test]
fn a_probe_that_a_full_device_kept_is_not_sent_when_all_has_been_acknowledged() {
    // RFC 8985 section 7.2: an acknowledgement of new data starts the probe timer again; what it was for has arrived.
    // The acknowledgement of a stream without trouble, and one that is looked at whole, for its duplicate (RFC 2883).
    for report in [&[][..], &[(end(1), end(2))]] {
        let mut puppet = reno();
        write(&mut puppet, 3);
        puppet.take();
        puppet.set_device_full(true);
        puppet.run_for(millis(210));
        puppet.send(&seg(1).ack(end(3)).sack(report));
        write(&mut puppet, 2);
        assert_eq!(puppet.lines(), [""; 0]);
        puppet.set_device_full(false);
        puppet.drain();
        assert_eq!(numbers(&mut puppet), [4, 5]);
        assert_eq!(puppet.info().retransmissions, 0);
    }
}
