//! Explicit congestion notification (RFC 3168): agreeing on it, marks and their echo, one reduction a window.

use std::time::Duration;

use sim::puppet::{Seg, seg};
use sim::world::{A, B, Setup};
use sim::{LinkModel, Puppet, World};
use stack::Config;
use stack::tcp::{Algorithm, ConnectOptions, Ecn, ListenOptions, Phase, SocketOptions, TcpError};
use wire::tcp::TcpFlags;

const ECE: TcpFlags = TcpFlags::ECE;
const CWR: TcpFlags = TcpFlags::CWR;
const SYN: TcpFlags = TcpFlags::SYN;
const RST: TcpFlags = TcpFlags::RST;
/// The code points of RFC 3168 section 5.
const NOT_ECT: u8 = 0;
const ECT_0: u8 = 2;
const MARKED: u8 = 3;

fn config(ecn: Ecn) -> Config {
    let mut config = Config::default();
    config.tcp.ecn = ecn;
    config.tcp.congestion = Algorithm::NewReno;
    config
}

/// A connection that the engine opened and whose peer agreed.
fn agreed() -> Puppet {
    let mut puppet = Puppet::new(config(Ecn::Active));
    puppet.connect(&ConnectOptions::default());
    assert_eq!(puppet.lines(), ["0.000 SEW 0:0 ack 0"]);
    puppet.send(&seg(0).ack(1).flags(SYN | ECE).mss(1460));
    assert_eq!(puppet.lines(), ["0.000 . 1:1 ack 1"]);
    assert!(puppet.info().ecn);
    puppet
}

fn echo(ack: u32) -> Seg {
    seg(1).ack(ack).flags(ECE)
}

fn text(at: u32) -> Seg {
    seg(at).ack(1).text(&[7; 100])
}

#[test]
fn an_active_opener_asks_and_a_passive_one_does_not() {
    // RFC 3168 section 6.1.1.
    for (ecn, flags) in [(Ecn::Off, SYN), (Ecn::Passive, SYN), (Ecn::Active, SYN | ECE | CWR)] {
        let mut puppet = Puppet::new(config(ecn));
        puppet.connect(&ConnectOptions::default());
        let syn = puppet.take().remove(0);
        assert_eq!((syn.flags, syn.tos), (flags, NOT_ECT), "{ecn:?}");
    }
}

#[test]
fn a_syn_that_asks_is_answered_with_ece_alone_unless_it_is_off() {
    // RFC 3168 section 6.1.1; the SYN-ACK itself is not ECN-capable.
    for (ecn, answer) in [(Ecn::Off, SYN), (Ecn::Passive, SYN | ECE), (Ecn::Active, SYN | ECE)] {
        let mut puppet = Puppet::new(config(ecn));
        let listener = puppet.listen(ListenOptions::default());
        puppet.send(&seg(0).flags(SYN | ECE | CWR).mss(1460));
        let seen = puppet.take().remove(0);
        assert_eq!((seen.flags, seen.tos), (answer | TcpFlags::ACK, NOT_ECT), "{ecn:?}");
        puppet.send(&seg(1).ack(1));
        puppet.accept(listener);
        assert_eq!(puppet.info().ecn, ecn != Ecn::Off);
    }
}

#[test]
fn half_a_request_or_a_reflected_one_agrees_to_nothing() {
    for half in [TcpFlags::NONE, ECE, CWR] {
        let mut puppet = Puppet::new(config(Ecn::Active));
        let listener = puppet.listen(ListenOptions::default());
        puppet.send(&seg(0).flags(SYN | half).mss(1460));
        assert_eq!(puppet.take()[0].flags, SYN | TcpFlags::ACK);
        puppet.send(&seg(1).ack(1));
        puppet.accept(listener);
        assert!(!puppet.info().ecn, "{half:?}");
    }
    // RFC 3168 section 6.1.1: broken peers reflect the reserved bits.
    for answer in [TcpFlags::NONE, CWR, ECE | CWR] {
        let mut puppet = Puppet::new(config(Ecn::Active));
        puppet.connect(&ConnectOptions::default());
        puppet.send(&seg(0).ack(1).flags(SYN | answer).mss(1460));
        puppet.write(&[1; 100]);
        assert!(!puppet.info().ecn, "{answer:?}");
        assert!(puppet.take().iter().all(|seen| seen.tos == NOT_ECT), "{answer:?}");
    }
    // An answer to what was not asked.
    let mut puppet = Puppet::new(config(Ecn::Passive));
    puppet.connect(&ConnectOptions::default());
    puppet.send(&seg(0).ack(1).flags(SYN | ECE).mss(1460));
    assert!(!puppet.info().ecn);
}

#[test]
fn a_socket_may_differ_from_its_engine() {
    let mut options = SocketOptions::default();
    options.ecn = Some(Ecn::Active);
    options.tos = 0xb8 | MARKED;
    let mut puppet = Puppet::new(config(Ecn::Off));
    puppet.connect(&ConnectOptions { socket: options, ..ConnectOptions::default() });
    let syn = puppet.take().remove(0);
    assert_eq!((syn.flags, syn.tos), (SYN | ECE | CWR, 0xb8), "the two bits are not the application's");
    puppet.send(&seg(0).ack(1).flags(SYN | ECE).mss(1460));
    puppet.write(&[1; 100]);
    assert_eq!(puppet.take().last().map(|seen| seen.tos), Some(0xb8 | ECT_0));
    // Nor are they where nothing was agreed.
    let mut options = SocketOptions::default();
    options.tos = 0xb8 | MARKED;
    let mut puppet = Puppet::new(config(Ecn::Off));
    puppet.connect(&ConnectOptions { socket: options, ..ConnectOptions::default() });
    puppet.send(&seg(0).ack(1).flags(SYN).mss(1460));
    puppet.write(&[1; 5_000]);
    puppet.write(&[1; 100]);
    assert!(puppet.take().iter().all(|seen| seen.tos == 0xb8));
}

#[test]
fn a_lost_syn_that_asked_is_followed_by_one_that_does_not() {
    // RFC 3168 section 6.1.1.1.
    let mut puppet = Puppet::new(config(Ecn::Active));
    puppet.connect(&ConnectOptions::default());
    puppet.run_for(Duration::from_secs(4));
    assert_eq!(puppet.lines(), ["0.000 SEW 0:0 ack 0", "1.000 S 0:0 ack 0", "3.000 S 0:0 ack 0"]);
    puppet.send(&seg(0).ack(1).flags(SYN | ECE).mss(1460));
    assert!(!puppet.info().ecn);
}

#[test]
fn a_refused_syn_that_asked_is_followed_by_one_that_does_not() {
    // RFC 3168 section 6.1.1.1.
    let mut puppet = Puppet::new(config(Ecn::Active));
    puppet.connect(&ConnectOptions::default());
    puppet.send(&seg(0).ack(1).flags(RST));
    assert_eq!(puppet.lines(), ["0.000 SEW 0:0 ack 0", "0.000 S 0:0 ack 0"]);
    assert_eq!(puppet.phase(), Phase::SynSent);
    puppet.send(&seg(0).ack(1).flags(RST));
    assert_eq!(puppet.error(), Some(TcpError::Refused));
}

#[test]
fn new_text_is_ecn_capable_and_nothing_else_is() {
    // RFC 3168 sections 6.1.4 (pure ACKs), 6.1.5 (retransmissions), 6.1.6 (window probes).
    let mut puppet = agreed();
    puppet.write(&[1; 3_000]);
    assert!(puppet.take().iter().all(|seen| seen.tos == ECT_0));
    puppet.send(&text(1).ack(1));
    puppet.run_for(Duration::from_millis(40));
    let ack = puppet.take().remove(0);
    assert_eq!((ack.text.len(), ack.tos), (0, NOT_ECT));
    puppet.run_for(Duration::from_millis(200));
    let again = puppet.take().remove(0);
    assert_eq!((again.seq, again.tos), (1, NOT_ECT));
    puppet.send(&seg(101).ack(3_001).window(0));
    puppet.write(&[1; 100]);
    puppet.run_for(Duration::from_secs(2));
    let probe = puppet.take().remove(0);
    assert_eq!((probe.seq, probe.text.len(), probe.tos), (3_001, 1, NOT_ECT));
    puppet.send(&seg(101).ack(3_001));
    puppet.finish();
    let last = puppet.take().pop();
    assert!(last.is_some_and(|seen| seen.flags.contains(TcpFlags::FIN)));
}

#[test]
fn a_mark_is_echoed_at_once_and_on_every_segment_until_cwr() {
    // RFC 3168 section 6.1.3.
    let mut puppet = agreed();
    puppet.send(&text(1).tos(MARKED));
    assert_eq!(puppet.lines(), ["0.000 E. 1:1 ack 101"], "not after the delay of other acknowledgements");
    puppet.send(&text(101).tos(ECT_0));
    puppet.write(b"hello");
    assert_eq!(puppet.lines(), ["0.000 PE. 1:6 ack 201"]);
    puppet.send(&text(201).ack(6).tos(ECT_0).flags(CWR));
    puppet.run_for(Duration::from_millis(40));
    assert_eq!(puppet.lines(), ["0.040 . 6:6 ack 301"]);
    // CWR and a new mark in one: the echo goes on.
    puppet.send(&text(301).ack(6).tos(MARKED));
    puppet.send(&text(401).ack(6).tos(MARKED).flags(CWR));
    puppet.run_for(Duration::from_millis(40));
    assert!(puppet.take().iter().all(|seen| seen.flags.contains(ECE)));
    assert_eq!(puppet.info().marks_received, 3);
}

#[test]
fn marks_outside_of_the_window_or_on_empty_segments_or_without_agreement_say_nothing() {
    // RFC 3168 sections 6.1.4 and 6.1.5: an attacker could forge them.
    let mut puppet = agreed();
    puppet.send(&text(200_000).tos(MARKED));
    puppet.send(&seg(1).ack(1).tos(MARKED));
    puppet.send(&text(1));
    puppet.run_for(Duration::from_millis(40));
    assert!(puppet.take().iter().all(|seen| !seen.flags.contains(ECE)));

    let mut puppet = Puppet::established(config(Ecn::Passive), seg(0).mss(1460));
    puppet.send(&text(1).tos(MARKED));
    puppet.send(&echo(1));
    puppet.write(&[1; 5_000]);
    puppet.send(&echo(1_461));
    assert!(puppet.take().iter().all(|seen| !seen.flags.intersects(ECE | CWR)));
    assert_eq!(puppet.info().slow_start_threshold, u32::MAX);
}

#[test]
fn an_echo_halves_the_window_once_a_round_trip_and_cwr_says_so_once() {
    // RFC 3168 section 6.1.2.
    let mut puppet = agreed();
    puppet.write(&[1; 60_000]);
    assert_eq!(puppet.take().len(), 10);
    let mut answers = Vec::new();
    for n in 1..=10 {
        puppet.send(&echo(1 + n * 1_460));
        answers.extend(puppet.take());
    }
    let info = puppet.info();
    assert_eq!(info.slow_start_threshold, 7_300, "half of ten segments, however many acknowledgements echo it");
    assert_eq!((info.echoes_received, info.retransmissions), (10, 0));
    let cwr: Vec<u32> = answers.iter().filter(|seen| seen.flags.contains(CWR)).map(|seen| seen.seq).collect();
    assert_eq!(cwr, [14_601], "on the first new segment, and on no other");
    assert_eq!(answers.len(), 5, "half as many segments went out as came in: {answers:?}");
    assert_eq!(info.congestion_window, 7_300);
    // The next window's echo is another one.
    puppet.send(&echo(1 + 11 * 1_460));
    assert_eq!(puppet.info().slow_start_threshold, 7_300 / 2);
}

#[test]
fn a_loss_in_the_window_of_a_mark_is_repaired_without_a_second_reduction() {
    // RFC 3168 section 6.1.2.
    let mut puppet = agreed();
    puppet.write(&[1; 14_600]);
    puppet.take();
    puppet.send(&echo(1_461));
    for _ in 0..3 {
        puppet.send(&seg(1).ack(1_461));
    }
    assert_eq!(puppet.take()[0].line(), "0.000 . 1461:2921 ack 1");
    assert_eq!(puppet.info().slow_start_threshold, 7_300);
}

#[test]
fn a_retransmission_tells_by_cwr_of_its_reduction_too() {
    // RFC 3168 section 6.1.2: for any reason.
    let mut puppet = agreed();
    puppet.write(&[1; 14_600]);
    puppet.take();
    for _ in 0..3 {
        puppet.send(&seg(1).ack(1));
    }
    let again = puppet.take().remove(0);
    assert_eq!((again.flags.contains(CWR), again.tos), (false, NOT_ECT), "not on the retransmission itself");
    puppet.send(&seg(1).ack(14_601));
    // It is owed also when the scoreboard has long gone.
    puppet.run_for(Duration::from_secs(60));
    puppet.write(&[1; 3_000]);
    let flags: Vec<bool> = puppet.take().iter().map(|seen| seen.flags.contains(CWR)).collect();
    assert_eq!(flags, [true, false, false]);
}

#[test]
fn a_router_that_marks_keeps_its_queue_short_and_loses_nothing() {
    let transfer = |ecn: Ecn| {
        let rate = Some(20_000_000);
        let queue = Some(150_000);
        let model = LinkModel { rate, queue, mark: Some(40_000), ..LinkModel::delay(Duration::from_millis(10)) };
        let mut setup = Setup::new(11).link(model);
        for side in &mut setup.config {
            side.tcp.ecn = ecn;
        }
        let mut world = World::new(setup);
        let (mut client, mut server) = world.connected(A, B, 7);
        let chunk = [7; 1 << 16];
        let (mut written, mut received) = (0, 0);
        let start = world.now();
        assert!(world.run_until(Duration::from_secs(60), |world| {
            written += client.write(world, &chunk[..chunk.len().min(10_000_000 - written)]);
            received += server.read_all(world).len();
            received == 10_000_000
        }));
        let took = world.now().since(start).as_secs_f64();
        let info = world.host(A).stack.tcp_info(client.id).expect("a connection");
        (world.link_stats(A), info, took)
    };
    let (stats, info, took) = transfer(Ecn::Active);
    assert_eq!((stats.overflowed, info.retransmissions), (0, 0));
    assert!(info.ecn && stats.marked > 0 && info.echoes_received > 0, "{info:?}");
    // 10 MB at 20 Mbit/s take 4 s.
    assert!(took < 4.4, "{took}");
    let (stats, info, _) = transfer(Ecn::Passive);
    assert!(stats.overflowed > 0 && stats.marked == 0 && !info.ecn, "without it the queue overflows: {stats:?}");
}
