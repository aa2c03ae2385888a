//! A message alone in flight: the engine does not enter it in its scoreboard until it has to, and nobody can tell.
//!
//! The scripts have a first message answered, after which the next one goes alone. Every round trip is 100 ms, so that
//! RFC 6298's time-out is 300 ms and less later.

#![expect(clippy::print_stdout, reason = "a failing conversation is told to whoever replays it")]

use std::time::Duration;

use sim::puppet::seg;
use sim::{Chance, Puppet, chance};
use stack::event::Readiness;
use stack::tcp::{Algorithm, ConnectOptions, Ecn, KeepAlive, Phase, SocketOption, TcpInfo, UserTimeoutOption, Waiting};
use stack::{Config, Instant};
use wire::icmpv4::UnreachableCode;
use wire::tcp::TcpFlags;

use crate::tcp_icmp::{quoting, unreachable};
use crate::tcp_script::{MSS, RTT, end, established, millis};

/// A connection whose first message of a full segment was answered after a round trip.
fn talking() -> Puppet {
    let mut puppet = established(Algorithm::NewReno, RTT);
    puppet.write(&[1; MSS as usize]);
    puppet.run_for(RTT);
    puppet.send(&seg(1).ack(end(1)));
    puppet.take();
    puppet
}

#[test]
fn a_lone_message_that_is_lost_is_probed_for_and_then_sent_again_when_a_message_in_company_would_be() {
    // RFC 8985 section 7.2: PTO = 2 * SRTT + TLP.max_ack_delay is later than RFC 6298's time-out, in whose place the probe
    // goes: SRTT = 100 ms, RTTVAR = 3/4 * 3/4 * 50 ms after three samples.
    let mut puppet = talking();
    let rto = puppet.info().rto;
    puppet.write(&[2; 100]);
    puppet.take();
    puppet.run_for(rto - millis(1));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(millis(1));
    let probe = puppet.take();
    assert_eq!((probe.len(), probe[0].seq, probe[0].text.len()), (1, end(1), 100));
    assert_eq!((puppet.info().timeouts, puppet.info().retransmissions), (0, 1));
    puppet.run_for(rto);
    assert_eq!(puppet.take().len(), 1);
    assert_eq!((puppet.info().timeouts, puppet.info().congestion_window), (1, MSS));
}

#[test]
fn turns_that_are_told_of_later_are_seen_at_once() {
    // Requests of 100 bytes, each answered after 100 ms, with pauses of a second between them.
    let mut puppet = talking();
    for turn in 0..3_u32 {
        puppet.run_for(millis(400));
        puppet.write(&[2; 100]);
        puppet.take();
        assert_eq!(puppet.info().waiting, Waiting::Application);
        puppet.run_for(RTT);
        puppet.send(&seg(1 + turn).ack(end(1) + 100 * (turn + 1)).text(&[3]));
        let info = puppet.info();
        assert_eq!((info.waiting, info.waiting_since), (Waiting::Idle, puppet.instant()));
        // The time of the first message, and that of each turn, the pauses not counted.
        assert_eq!((info.busy, info.application_limited), (RTT * (turn + 2), RTT * (turn + 2)));
        assert_eq!((info.delivery_rate, info.delivery_rate_app_limited), (Some(1_000), true));
        puppet.take();
    }
    // And everybody has been told when a loss is to be found: two full segments, the second of which is reported.
    puppet.write(&[4; MSS as usize]);
    puppet.write(&[5; MSS as usize]);
    puppet.take();
    puppet.run_for(RTT);
    let una = end(1) + 300;
    puppet.send(&seg(4).ack(una).sack(&[(una + MSS, una + 2 * MSS)]));
    puppet.run_for(RTT / 4);
    let info = puppet.info();
    assert_eq!((info.retransmissions, info.busy), (1, RTT * 4));
}

#[test]
fn a_lone_segment_with_more_behind_it_is_not_limited_by_the_application() {
    // Draft-cheng-iccrg-delivery-rate-estimation section 3.4: what leaves once that one has arrived is limited by the window of
    // a segment and a half, and the answers of before were limited by the application.
    let mut puppet = talking();
    let window = (3 * MSS / 2 / 128) as u16;
    puppet.write(&[2; 100]);
    puppet.run_for(RTT);
    puppet.send(&seg(1).ack(end(1) + 100).window(window));
    assert!(puppet.info().delivery_rate_app_limited);
    puppet.write(&[3; 4 * MSS as usize]);
    let una = end(1) + 100;
    assert_eq!(puppet.info().in_flight, MSS);
    puppet.run_for(RTT);
    puppet.send(&seg(1).ack(una + 1_000).window(window));
    assert_eq!(puppet.info().in_flight, 2 * MSS - 1_000);
    puppet.run_for(RTT);
    puppet.send(&seg(1).ack(una + 2 * MSS).window(window));
    assert!(!puppet.info().delivery_rate_app_limited);
}

#[test]
fn a_lone_message_without_sack_waits_for_the_retransmission_timer_alone() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    for _ in 0..2 {
        puppet.write(&[1; 10]);
        puppet.take();
        let (una, flight) = (1 + puppet.info().bytes_acked as u32, puppet.info().in_flight);
        puppet.send(&seg(1).ack(una + flight));
    }
    puppet.write(&[1; 10]);
    puppet.take();
    let rto = puppet.info().rto;
    puppet.run_for(rto);
    assert_eq!(puppet.take().len(), 1);
    assert_eq!(puppet.info().timeouts, 1);
}

#[test]
fn a_lone_message_whose_successor_is_reported_is_found_lost_by_time() {
    // RFC 8985 section 6.2: the scoreboard must know when it left, which was before the second one.
    let mut puppet = talking();
    puppet.write(&[2; MSS as usize]);
    puppet.run_for(millis(10));
    puppet.write(&[3; MSS as usize]);
    puppet.take();
    puppet.run_for(RTT);
    puppet.send(&seg(1).ack(end(1)).sack(&[(end(2), end(3))]));
    // The first left 110 ms ago, the second's round trip was 100 ms: the reordering window of a quarter of the smallest round
    // trip has 15 ms to go.
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(millis(14));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(millis(1));
    let again = puppet.take();
    assert_eq!((again.len(), again[0].seq), (1, end(1)));
    assert!(puppet.info().recovering);
}

#[test]
fn an_acknowledgement_of_a_part_leaves_the_rest_in_flight_under_the_same_time() {
    let mut puppet = talking();
    puppet.write(&[2; 1_000]);
    puppet.take();
    puppet.run_for(RTT);
    puppet.send(&seg(1).ack(end(1) + 400));
    assert_eq!((puppet.info().in_flight, puppet.info().send_queue), (600, 600));
    puppet.run_for(puppet.info().rto);
    let probe = puppet.take();
    assert_eq!((probe[0].seq, probe[0].text.len()), (end(1) + 400, 600));
}

#[test]
fn a_lone_message_too_large_for_the_path_is_sent_again_in_smaller_ones_at_once() {
    // RFC 1191 section 6.4.
    let mut puppet = talking();
    puppet.write(&[2; 1_400]);
    let frame = puppet.take_frames().remove(0);
    puppet.send_frame(&quoting(&frame, 0, unreachable(UnreachableCode::FRAGMENTATION_NEEDED, 1_000)));
    let lens: Vec<usize> = puppet.take().iter().map(|seen| seen.text.len()).collect();
    assert_eq!(lens, [960, 440]);
}

#[test]
fn a_fin_that_is_all_a_connection_ever_sent_is_probed_for_and_acknowledged() {
    let mut puppet = established(Algorithm::NewReno, RTT);
    puppet.finish();
    assert_eq!(puppet.take().len(), 1);
    let rto = puppet.info().rto;
    puppet.run_for(rto - millis(1));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(millis(1));
    let again = puppet.take();
    assert_eq!(again.len(), 1);
    assert!(again[0].flags.contains(TcpFlags::FIN));
    puppet.send(&seg(1).ack(2));
    assert_eq!(puppet.phase(), Phase::FinWait2);
}

#[test]
fn a_lone_message_counts_as_on_its_way_and_its_round_trip_is_measured() {
    let mut puppet = talking();
    puppet.run_for(millis(20));
    let before = puppet.info();
    puppet.write(&[2; 300]);
    let info = puppet.info();
    assert_eq!((info.in_flight, info.waiting, info.waiting_since), (300, Waiting::Application, puppet.instant()));
    puppet.run_for(millis(40));
    puppet.send(&seg(1).ack(end(1) + 300));
    let info = puppet.info();
    assert_eq!(info.waiting, Waiting::Idle);
    assert_eq!(info.busy, before.busy + millis(40));
    assert_eq!(info.min_rtt, Some(millis(40)));
    // RFC 6298 section 2.3.
    assert_eq!(info.srtt, Some(millis(100) * 7 / 8 + millis(40) / 8));
    // 300 bytes in 40 ms.
    assert_eq!((info.delivery_rate, info.delivery_rate_app_limited), (Some(7_500), true));
}

#[test]
fn a_lone_message_on_a_connection_of_a_small_window_lets_the_window_grow() {
    // RFC 5681 section 3.1: after a time-out the window is one segment, and a message of that size fills it.
    let mut puppet = talking();
    puppet.write(&[2; MSS as usize]);
    puppet.run_for(millis(2_000));
    puppet.take();
    puppet.send(&seg(1).ack(end(2)));
    let window = puppet.info().congestion_window;
    assert!(window <= 2 * MSS, "{window}");
    for n in 3..6 {
        puppet.write(&[2; MSS as usize]);
        puppet.run_for(RTT);
        puppet.send(&seg(1).ack(end(n)));
    }
    assert!(puppet.info().congestion_window > window, "{} after {window}", puppet.info().congestion_window);
}

/// One engine of two that are told the same, and what it did.
struct Told {
    puppet: Puppet,
    /// Text that the puppet has sent.
    said: u32,
    timestamps: bool,
    /// What the next segment of the puppet says of its user timeout, in seconds.
    user_timeout: Option<u64>,
    full: bool,
    finished: bool,
    /// Its application tells the engine of what it writes as it drains it.
    pushes: bool,
    /// Frames, and when they were sent.
    sent: Vec<(Instant, Vec<u8>)>,
}

impl Told {
    /// A connection that has agreed to what the seed says.
    fn new((fast_path, pushes): (bool, bool), seed: u64) -> Self {
        let mut chance = Chance::new(!seed);
        let timestamps = chance.below(2) > 0;
        let mut config = Config::default();
        config.tcp.fast_path = fast_path;
        let (mut syn, mut flags) = (seg(0).mss(1460).scale(7), TcpFlags::SYN);
        if timestamps {
            syn = syn.timestamps(1, 0);
        }
        if chance.below(4) > 0 {
            syn = syn.sack_permitted();
        }
        if chance.below(4) == 0 {
            config.tcp.ecn = Ecn::Active;
            flags |= TcpFlags::ECE;
        }
        let mut options = ConnectOptions::default();
        if chance.below(3) == 0 {
            options.socket.keep_alive = Some(KeepAlive { idle: millis(90), interval: millis(30), probes: 100 });
        }
        if chance.below(6) == 0 {
            options.socket.user_timeout = Some(millis(700));
        }
        if chance.below(4) == 0 {
            options.socket.user_timeout_option = Some(UserTimeoutOption::default());
            syn = syn.user_timeout(180);
        }
        if chance.below(3) == 0 {
            config.tcp.quick_acks = [1, 2, 16][chance.below(3) as usize];
        }
        let room = [1 << 16, 1 << 12][chance.below(2) as usize];
        let mut puppet = Puppet::new(config);
        puppet.connect_with(&options, 1 << 20, room);
        puppet.send(&syn.ack(1).flags(flags));
        puppet.take();
        let (said, user_timeout, sent) = (0, None, Vec::new());
        let mut told = Self { puppet, said, timestamps, user_timeout, full: false, finished: false, pushes, sent };
        told.exchange();
        told
    }

    /// What the peer sends: an acknowledgement of `ack`, with text.
    fn answer(&mut self, ack: u32, text: usize, blocks: &[(u32, u32)], window: u16, flags: TcpFlags) {
        self.say_at(1 + self.said, ack, text, blocks, window, flags);
        self.said += text as u32;
    }

    /// The same with text that is not the next, perhaps.
    fn say_at(&mut self, seq: u32, ack: u32, text: usize, blocks: &[(u32, u32)], window: u16, flags: TcpFlags) {
        let segment = seg(seq).ack(ack).text(&vec![7; text]).window(window).flags(flags).sack(blocks);
        let clock = 1 + self.puppet.now().as_millis() as u32;
        let segment = if self.timestamps { segment.timestamps(clock, clock) } else { segment };
        let segment = match self.user_timeout.take() {
            Some(seconds) => segment.user_timeout(seconds),
            None => segment,
        };
        self.puppet.send(&segment);
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.pushes {
            self.puppet.push(bytes);
        } else {
            self.puppet.write(bytes);
        }
    }

    /// A message and its acknowledgement, after which the next one goes alone.
    fn exchange(&mut self) {
        self.write(&[1; 50]);
        self.puppet.run_for(millis(3));
        let (una, nxt) = self.space();
        assert_eq!(nxt - una, 50);
        self.answer(nxt, 0, &[], 1_000, TcpFlags::ACK);
    }

    /// SND.UNA and SND.NXT.
    fn space(&self) -> (u32, u32) {
        let info = self.puppet.info();
        let una = 1 + info.bytes_acked as u32 + u32::from(matches!(info.phase, Phase::FinWait2));
        (una, una + info.in_flight)
    }

    /// One thing that happens, which chance decides.
    fn step(&mut self, chance: &mut Chance) {
        let (una, nxt) = self.space();
        let flight = nxt - una;
        match chance.below(23) {
            0..=4 if !self.finished => {
                let len = [1, 64, 900, 1_460, 4_000][chance.below(5) as usize];
                self.write(&vec![2; len]);
            }
            // All of it, most often with an answer.
            5..=8 | 16 => {
                let text = [0, 1, 64, 1_460][chance.below(4) as usize];
                self.answer(nxt, text, &[], 1_000, TcpFlags::ACK);
            }
            9 => self.answer(una + chance.below(u64::from(flight) + 1) as u32, 0, &[], 1_000, TcpFlags::ACK),
            10 => self.answer(una, 0, &[], 1_000 + chance.below(2) as u16, TcpFlags::ACK),
            11 if flight > 1 => {
                let from = una + 1 + chance.below(u64::from(flight) - 1) as u32;
                self.answer(una, 0, &[(from, nxt)], 1_000, TcpFlags::ACK);
            }
            12 => {
                let window = [0, 1, 300][chance.below(3) as usize];
                self.answer(nxt, 0, &[], window, TcpFlags::ACK);
            }
            13 => {
                let algorithm = [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Bbr][chance.below(3) as usize];
                let keep_alive = KeepAlive { idle: millis(90), interval: millis(30), probes: 100 };
                let user_timeout = UserTimeoutOption::default().advertising(Duration::from_secs(120));
                let option = match chance.below(13) {
                    0 => SocketOption::NoDelay(chance.below(2) > 0),
                    1 => SocketOption::Pacing(chance.below(2) > 0),
                    2 => SocketOption::Tos([0, 0xb8][chance.below(2) as usize]),
                    3 => SocketOption::HopLimit([64, 9][chance.below(2) as usize]),
                    4 => SocketOption::KeepAlive((chance.below(2) > 0).then_some(keep_alive)),
                    5 => SocketOption::QuickAck(chance.below(4) > 0),
                    6 | 7 => SocketOption::Cork(chance.below(2) > 0),
                    8 => SocketOption::UserTimeoutOption((chance.below(4) > 0).then_some(user_timeout)),
                    9 => SocketOption::UserTimeout((chance.below(2) > 0).then_some(Duration::from_secs(5))),
                    _ => SocketOption::Congestion(algorithm),
                };
                let (id, now) = (self.puppet.id(), self.puppet.instant());
                self.puppet.stack.tcp_set_option(now, id, option);
                self.puppet.drain();
            }
            14 => {
                self.puppet.read(1 << 16);
            }
            17 => {
                let len = 1 + chance.below(100) as usize;
                self.answer(una + chance.below(u64::from(flight) + 1) as u32, len, &[], 1_000, TcpFlags::ACK);
            }
            // Beyond a gap, or again.
            18 => {
                let seq = 1 + self.said + 1 + chance.below(300) as u32;
                self.say_at(seq, nxt, 1 + chance.below(200) as usize, &[], 1_000, TcpFlags::ACK);
            }
            19 => {
                let back = chance.below(u64::from(self.said.min(200)) + 1) as u32;
                self.say_at(1 + self.said - back, nxt, back as usize, &[], 1_000, TcpFlags::ACK);
            }
            20 => {
                let late = self.timestamps && self.puppet.now() > millis(100);
                let segment = seg(1 + self.said).ack(nxt).text(&[7; 20]).window(1_000).flags(TcpFlags::ACK);
                // An old duplicate by its timestamp, or one without.
                self.puppet.send(&if late { segment.timestamps(1, 1) } else { segment });
                self.said += if self.timestamps { 0 } else { 20 };
            }
            21 if chance.below(10) == 0 => match chance.below(2) {
                0 => {
                    let (id, now) = (self.puppet.id(), self.puppet.instant());
                    self.puppet.stack.tcp_shutdown_read(now, id);
                    self.puppet.drain();
                }
                _ => {
                    self.finished = true;
                    self.puppet.finish();
                }
            },
            22 => self.user_timeout = Some(100 + chance.below(100)),
            15 => {
                self.full = !self.full;
                self.puppet.set_device_full(self.full);
                self.puppet.drain();
            }
            _ => self.pass([0, 1, 3, 50, 250, 1_500][chance.below(6) as usize]),
        }
        self.note_frames();
    }

    /// So many milliseconds pass.
    fn pass(&mut self, span: u64) {
        for _ in 0..span {
            self.puppet.run_for(millis(1));
            self.note_frames();
        }
    }

    fn note_frames(&mut self) {
        let now = self.puppet.instant();
        self.sent.extend(self.puppet.take_frames().into_iter().map(|frame| (now, frame)));
    }

    fn seen(&mut self) -> (Vec<(Instant, Vec<u8>)>, Readiness, TcpInfo) {
        let mut info = self.puppet.info();
        if self.finished {
            // A FIN that is alone in flight needs no scoreboard, and nothing is measured by it but the round trip.
            info.reordering_window = Duration::ZERO;
            (info.min_rtt, info.delivery_rate, info.delivery_rate_app_limited) = (None, None, false);
        }
        (std::mem::take(&mut self.sent), self.puppet.news(), info)
    }
}

/// Conversations in the comparison.
const CONVERSATIONS: u64 = 1_000;
/// Things that happen in each.
const STEPS: u32 = 40;
/// Whether there are short ways, and whether what is written is pushed.
const WAYS: [(&str, (bool, bool)); 3] = [("whole", (false, false)), ("short", (true, false)), ("pushed", (true, true))];

#[test]
fn no_conversation_shows_whether_the_scoreboard_was_told_at_once_or_later() {
    for seed in chance::seeds(CONVERSATIONS) {
        let mut told = WAYS.map(|(_, way)| (Told::new(way, seed), Chance::new(seed)));
        for step in 0..STEPS {
            let seen = told.each_mut().map(|(told, chance)| {
                told.step(chance);
                told.seen()
            });
            if seen[1..].iter().any(|other| *other != seen[0]) {
                for ((which, _), (sent, news, info)) in WAYS.iter().zip(&seen) {
                    println!("{which}: {news:?} {info:?}");
                    sent.iter().for_each(|(at, frame)| println!("  {at} {}", sim::trace::packet(frame)));
                }
                println!("replay: WHARF_SEED={seed} cargo test -p wharf-sim tcp_lone");
                panic!("seed {seed}, step {step}: told later and told at once differ");
            }
            if seen[0].2.phase == Phase::Closed {
                break;
            }
        }
    }
}
