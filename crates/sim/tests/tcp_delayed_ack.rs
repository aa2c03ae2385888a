//! When data is acknowledged (RFC 1122 section 4.2.3.2, RFC 5681 section 4.2).

use std::time::Duration;

use sim::Puppet;
use sim::puppet::seg;
use stack::Config;
use stack::event::Readiness;
use stack::tcp::{ListenOptions, Phase};
use wire::tcp::TcpFlags;

fn established() -> Puppet {
    Puppet::established(Config::default(), seg(0).mss(1460))
}

#[test]
fn a_lone_segment_is_acknowledged_after_forty_milliseconds() {
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).text(b"hello"));
    puppet.run_for(Duration::from_millis(39));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(Duration::from_millis(1));
    assert_eq!(puppet.lines(), ["0.040 . 1:1 ack 6"]);
}

#[test]
fn every_second_full_segment_is_acknowledged_at_once() {
    let mut puppet = established();
    let mut acks = Vec::new();
    for n in 0..6 {
        puppet.send(&seg(1 + n * 1_460).ack(1).text(&[1; 1_460]));
        acks.push(puppet.take().len());
    }
    assert_eq!(acks, [0, 1, 0, 1, 0, 1]);
}

#[test]
fn full_means_what_the_peer_fills_its_segments_with_whatever_it_takes_itself() {
    // RFC 5681 section 4.2. A peer on a link of large frames that takes small segments sends large ones nevertheless, ...
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(200));
    puppet.send(&seg(1).ack(1).text(&[1; 1_460]));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.send(&seg(1_461).ack(1).text(&[1; 1_460]));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 2921"]);
    // ... and one on a link of smaller frames than ours must not wait for us to fill two of our own.
    let mut puppet = Puppet::with_mtu(Config::default(), 9_000);
    let listener = puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(TcpFlags::SYN).mss(8_960));
    puppet.send(&seg(1).ack(1));
    puppet.accept(listener);
    puppet.take();
    let acks: Vec<usize> = (0..6)
        .map(|n| {
            puppet.send(&seg(1 + n * 1_000).ack(1).text(&[1; 1_000]));
            puppet.take().len()
        })
        .collect();
    assert_eq!(acks, [0, 1, 0, 1, 0, 1]);
}

#[test]
fn the_acknowledgement_rides_on_data() {
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).text(b"ping"));
    puppet.write(b"pong");
    puppet.run_for(Duration::from_millis(100));
    assert_eq!(puppet.lines(), ["0.000 P. 1:5 ack 5"]);
}

#[test]
fn each_segment_out_of_order_is_acknowledged_at_once_and_so_is_what_fills_the_gap() {
    let mut puppet = established();
    let segments: Vec<_> = [2, 3, 4].iter().map(|n| seg(1 + n * 10).ack(1).text(&[1; 10])).collect();
    puppet.send_batch(&segments);
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1"; 3], "one for each, so that the peer can count");
    puppet.send(&seg(1).ack(1).text(&[1; 10]));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 11"]);
    puppet.send(&seg(11).ack(1).text(&[1; 10]));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 51"]);
}

/// What is true of the whole way must be true of the short one.
fn both_ways(test: impl Fn(Puppet)) {
    for fast_path in [true, false] {
        let mut config = Config::default();
        config.tcp.fast_path = fast_path;
        test(Puppet::established(config, seg(0).mss(1460)));
    }
}

#[test]
fn the_fin_of_an_application_that_finishes_at_once_acknowledges_the_peers() {
    // RFC 1122 section 4.2.3.2, as Linux has it: three segments end a connection, not four.
    both_ways(|mut puppet| {
        puppet.send(&seg(1).ack(1).flags(TcpFlags::FIN));
        assert_eq!((puppet.phase(), puppet.lines().len()), (Phase::CloseWait, 0));
        assert!(puppet.news().contains(Readiness::PEER_FINISHED), "the application hears of it at once");
        puppet.run_for(Duration::from_millis(10));
        puppet.finish();
        assert_eq!(puppet.lines(), ["0.010 F. 1:1 ack 2"]);
        puppet.send(&seg(2).ack(2));
        assert_eq!(puppet.phase(), Phase::Closed);
        puppet.run_for(Duration::from_secs(1));
        assert_eq!(puppet.lines(), [""; 0]);
    });
    both_ways(|mut puppet| {
        puppet.send(&seg(1).ack(1).flags(TcpFlags::FIN).text(b"bye"));
        puppet.read(100);
        puppet.close();
        assert_eq!(puppet.lines(), ["0.000 F. 1:1 ack 5"]);
    });
}

#[test]
fn what_the_application_answers_to_a_fin_acknowledges_it() {
    both_ways(|mut puppet| {
        puppet.send(&seg(1).ack(1).flags(TcpFlags::FIN).text(b"bye"));
        assert_eq!(puppet.lines(), [""; 0]);
        puppet.write(b"so long");
        puppet.run_for(Duration::from_millis(100));
        assert_eq!(puppet.lines(), ["0.000 P. 1:8 ack 5"]);
    });
}

#[test]
fn a_fin_that_nothing_answers_is_acknowledged_after_forty_milliseconds() {
    // RFC 1122 section 4.2.3.2: well within half a second.
    both_ways(|mut puppet| {
        puppet.send(&seg(1).ack(1).flags(TcpFlags::FIN));
        puppet.run_for(Duration::from_millis(39));
        assert_eq!(puppet.lines(), [""; 0]);
        puppet.run_for(Duration::from_millis(1));
        assert_eq!(puppet.lines(), ["0.040 . 1:1 ack 2"]);
        puppet.run_for(Duration::from_secs(10));
        assert_eq!(puppet.lines(), [""; 0]);
    });
    // What was owed before does not wait longer for it.
    both_ways(|mut puppet| {
        puppet.send(&seg(1).ack(1).text(b"hello"));
        puppet.run_for(Duration::from_millis(30));
        puppet.send(&seg(6).ack(1).flags(TcpFlags::FIN));
        puppet.run_for(Duration::from_millis(30));
        assert_eq!(puppet.lines(), ["0.040 . 1:1 ack 7"]);
    });
}

#[test]
fn a_fin_is_acknowledged_at_once_where_what_comes_with_it_is() {
    // RFC 5681 section 4.2: behind a second full segment, ...
    both_ways(|mut puppet| {
        puppet.send(&seg(1).ack(1).text(&[1; 1_460]));
        puppet.send(&seg(1_461).ack(1).flags(TcpFlags::FIN).text(&[1; 1_460]));
        assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 2922"]);
    });
    // ... with what fills a gap, ...
    both_ways(|mut puppet| {
        puppet.send(&seg(11).ack(1).flags(TcpFlags::FIN));
        puppet.take();
        puppet.send(&seg(1).ack(1).text(&[1; 10]));
        assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 12"]);
    });
    // ... and where it comes again.
    both_ways(|mut puppet| {
        puppet.send(&seg(1).ack(1).flags(TcpFlags::FIN));
        puppet.send(&seg(1).ack(1).flags(TcpFlags::FIN));
        assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 2"]);
    });
}

#[test]
fn a_fin_is_acknowledged_at_once_by_a_side_that_has_finished() {
    // RFC 9293 section 3.10.7.4: in FIN-WAIT-1, where both finish at once, ...
    both_ways(|mut puppet| {
        puppet.finish();
        puppet.take();
        puppet.send(&seg(1).ack(1).flags(TcpFlags::FIN));
        assert_eq!(puppet.phase(), Phase::Closing);
        assert_eq!(puppet.lines(), ["0.000 . 2:2 ack 2"]);
    });
    // ... in FIN-WAIT-2, and in both of them by one segment.
    both_ways(|mut puppet| {
        puppet.finish();
        puppet.send(&seg(1).ack(2));
        puppet.take();
        puppet.send(&seg(1).ack(2).flags(TcpFlags::FIN));
        assert_eq!(puppet.phase(), Phase::TimeWait);
        assert_eq!(puppet.lines(), ["0.000 . 2:2 ack 2"]);
    });
    both_ways(|mut puppet| {
        puppet.finish();
        puppet.take();
        puppet.send(&seg(1).ack(2).flags(TcpFlags::FIN));
        assert_eq!(puppet.phase(), Phase::TimeWait);
        assert_eq!(puppet.lines(), ["0.000 . 2:2 ack 2"]);
    });
}

#[test]
fn known_data_is_acknowledged_again_at_once() {
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).text(b"hello"));
    puppet.send(&seg(1).ack(1).text(b"hello"));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 6"]);
}

#[test]
fn an_acknowledgement_that_found_the_device_full_is_still_owed() {
    let mut puppet = established();
    puppet.set_device_full(true);
    puppet.send(&seg(11).ack(1).text(b"early"));
    puppet.send(&seg(1).ack(1).flags(TcpFlags::SYN));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(Duration::from_millis(5));
    puppet.set_device_full(false);
    assert_eq!(puppet.lines(), ["0.005 . 1:1 ack 1"; 1]);
}

#[test]
fn text_and_a_fin_that_found_the_device_full_go_once_it_takes_them() {
    let mut puppet = established();
    puppet.set_device_full(true);
    puppet.write(b"late");
    puppet.finish();
    puppet.send(&seg(1).ack(1).flags(TcpFlags::FIN));
    puppet.run_for(Duration::from_secs(5));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.set_device_full(false);
    assert_eq!(puppet.lines(), ["5.000 FP. 1:5 ack 2"], "no retransmission either: nothing had been sent");
}
