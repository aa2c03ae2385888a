//! When data is acknowledged (RFC 1122 section 4.2.3.2, RFC 5681 section 4.2).

use std::time::Duration;

use sim::Puppet;
use sim::puppet::seg;
use stack::Config;
use stack::tcp::ListenOptions;
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

#[test]
fn a_fin_is_acknowledged_at_once() {
    let mut puppet = established();
    puppet.send(&seg(1).ack(1).flags(TcpFlags::FIN).text(b"bye"));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 5"]);
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
