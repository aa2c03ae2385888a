//! What TCP_INFO tells: counters, rates, and what the sender waits for.

use std::time::Duration;

use sim::Puppet;
use sim::puppet::{PUPPET_PORT, seg};
use stack::Config;
use stack::tcp::{Algorithm, ConnectOptions, Waiting};
use wire::tcp::TcpFlags;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn established() -> Puppet {
    let mut config = Config::default();
    config.tcp.congestion = Algorithm::NewReno;
    Puppet::established(config, seg(0).mss(1_460))
}

#[test]
fn the_sender_says_what_it_waits_for_and_for_how_long_it_has() {
    let mut puppet = established();
    assert_eq!(puppet.info().waiting, Waiting::Idle);
    puppet.run_for(ms(500));
    puppet.write(&[1; 30_000]);
    assert_eq!(puppet.info().waiting, Waiting::CongestionWindow);
    puppet.run_for(ms(30));
    puppet.send(&seg(1).ack(14_601).window(10_220));
    assert_eq!(puppet.info().waiting, Waiting::ReceiveWindow);
    puppet.run_for(ms(40));
    puppet.send(&seg(1).ack(24_821));
    assert_eq!(puppet.info().waiting, Waiting::Application, "everything is on its way");
    puppet.run_for(ms(50));
    puppet.send(&seg(1).ack(30_001));
    let info = puppet.info();
    assert_eq!((info.waiting, info.waiting_since), (Waiting::Idle, puppet.instant()));
    puppet.run_for(ms(1_000));
    let info = puppet.info();
    assert_eq!(info.congestion_window_limited, ms(30));
    assert_eq!(info.receive_window_limited, ms(40));
    assert_eq!(info.application_limited, ms(50));
    assert_eq!((info.pacing_limited, info.busy), (Duration::ZERO, ms(120)));
}

#[test]
fn a_small_segment_that_waits_for_company_waits_for_the_application() {
    let mut puppet = established();
    puppet.write(b"a");
    puppet.write(b"b");
    assert_eq!(puppet.info().waiting, Waiting::Application);
    assert_eq!(puppet.info().in_flight, 1);
}

#[test]
fn bytes_are_counted_by_what_became_of_them() {
    let mut puppet = established();
    puppet.write(&[1; 5_000]);
    puppet.send(&seg(1).ack(1_461).text(&[7; 300]));
    let info = puppet.info();
    assert_eq!((info.bytes_sent, info.bytes_acked, info.bytes_received), (5_000, 1_460, 300));
    puppet.run_for(ms(250));
    let info = puppet.info();
    assert!(info.retransmissions > 0 && info.bytes_retransmitted >= 1_460, "{info:?}");
    assert_eq!(info.bytes_sent, 5_000 + info.bytes_retransmitted);
    puppet.send(&seg(301).ack(5_001));
    puppet.finish();
    puppet.send(&seg(301).ack(5_002));
    let info = puppet.info();
    assert_eq!((info.bytes_acked, info.bytes_sent), (5_000, 5_000 + info.bytes_retransmitted), "the FIN is no byte");
}

#[test]
fn the_delivery_rate_is_what_arrived_over_the_time_it_took() {
    // Draft-cheng-iccrg-delivery-rate-estimation section 3.3: 14,600 bytes in 100 ms.
    let mut puppet = established();
    puppet.write(&[1; 60_000]);
    assert_eq!(puppet.info().delivery_rate, None);
    puppet.run_for(ms(100));
    puppet.send(&seg(1).ack(14_601));
    let info = puppet.info();
    assert_eq!((info.delivery_rate, info.delivery_rate_app_limited), (Some(146_000), false));
    assert_eq!(info.min_rtt, Some(ms(100)));
    // What follows is less than the window: the samples are the application's.
    puppet.run_for(ms(100));
    puppet.send(&seg(1).ack(43_801));
    puppet.run_for(ms(100));
    puppet.send(&seg(1).ack(60_001));
    for n in 0..2 {
        puppet.write(&[1; 1_000]);
        puppet.run_for(ms(100));
        puppet.send(&seg(1).ack(61_001 + n * 1_000));
    }
    let info = puppet.info();
    assert_eq!((info.delivery_rate, info.delivery_rate_app_limited), (Some(10_000), true));
}

#[test]
fn a_connection_learns_nothing_from_another_one_to_the_same_host() {
    // Congestion state is shared with nobody (against RFC 9040): one application's losses are not another's.
    let mut puppet = established();
    puppet.write(&[1; 100_000]);
    puppet.run_for(Duration::from_secs(10));
    let first = puppet.info();
    assert!(first.slow_start_threshold < u32::MAX && first.congestion_window < 5 * 1_460, "{first:?}");
    let (now, id) = (puppet.instant(), puppet.id());
    puppet.stack.tcp_abort(now, id);
    puppet.drain();
    puppet.take();
    puppet.connect(&ConnectOptions::default());
    puppet.send(&seg(0).ack(1).flags(TcpFlags::SYN).mss(1_460));
    let second = puppet.info();
    assert_eq!(puppet.stack.tcp_addresses(puppet.id()).map(|(_, remote)| remote.port()), Some(PUPPET_PORT));
    assert_eq!((second.congestion_window, second.slow_start_threshold), (14_600, u32::MAX));
    assert_eq!((second.retransmissions, second.timeouts, second.min_rtt), (0, 0, None));
    assert_eq!(second.rto, ms(200), "of its own handshake");
}
