//! Acknowledgements that are taken in together: the engine sends when it has seen the last of them, and yet a loss or a mark that
//! they tell of costs no more than if it had sent after each (RFC 5681 section 3.1, RFC 9937). A kernel that receives a burst
//! answers with a burst.

use sim::Puppet;
use sim::puppet::{Seg, seg};
use stack::Config;
use stack::tcp::{Algorithm, ConnectOptions, Ecn};
use wire::tcp::TcpFlags;

use crate::tcp_script::{
    MSS, RTT, block, config, established, established_by, millis, numbers, sack, twenty_of, write,
};

/// What can be told of a sender: threshold, window, in flight, reported, and lost.
fn figures(puppet: &Puppet) -> (u32, u32, u32, u32, u32) {
    let info = puppet.info();
    (info.slow_start_threshold, info.congestion_window, info.in_flight, info.sacked, info.lost)
}

/// Lets two connections alike take `acks`, one of them one by one, the other together; returns what they have sent, in order
/// of numbers, and themselves.
fn both_ways(make: impl Fn() -> Puppet, acks: &[Seg]) -> ([Vec<u32>; 2], [Puppet; 2]) {
    let (mut one_by_one, mut together) = (make(), make());
    for ack in acks {
        one_by_one.send(ack);
    }
    together.send_batch(acks);
    let mut sent = [numbers(&mut one_by_one), numbers(&mut together)];
    sent.iter_mut().for_each(|numbers| numbers.sort_unstable());
    (sent, [one_by_one, together])
}

/// Acknowledgements of every second segment from the 11th on up to `lost`, which is missing, and of the three behind it, by which
/// that is known.
fn without(lost: u32) -> Vec<Seg> {
    let before = (12..lost).step_by(2).map(|n| sack(n, &[]));
    before.chain((lost + 1..=lost + 3).map(|n| sack(lost - 1, &[block(lost + 1, n)]))).collect()
}

#[test]
fn a_loss_among_them_costs_what_it_would_have_cost_one_by_one() {
    // RFC 5681 section 3.1 (4): half of FlightSize, of which the acknowledgements before have taken some away that the sender
    // had no time to make up for. RFC 9937 section 6: nor is what they let go a part of the reduction.
    for algorithm in [Algorithm::NewReno, Algorithm::Cubic] {
        for lost in 12..=27 {
            let (sent, puppets) = both_ways(|| twenty_of(established(algorithm, RTT), 400), &without(lost));
            let [one_by_one, together] = puppets;
            assert!(together.info().recovering && one_by_one.info().recovering);
            assert_eq!(sent[0], sent[1], "{algorithm:?}, {lost} lost");
            assert_eq!(figures(&one_by_one), figures(&together), "{algorithm:?}, {lost} lost");
        }
    }
}

#[test]
fn the_threshold_is_half_of_the_window_that_was_full() {
    // RFC 5681 section 3.1 (4): the figures. In slow start ten new acknowledged segments make 30 of a window of 20.
    let acks = [sack(20, &[]), sack(20, &[block(22, 22)]), sack(20, &[block(22, 23)]), sack(20, &[block(22, 24)])];
    let mut puppet = twenty_of(established(Algorithm::NewReno, RTT), 400);
    puppet.send_batch(&acks);
    assert_eq!(puppet.info().slow_start_threshold, 15 * MSS);
    // The retransmission; twenty for the ten that arrived in order; and two by limited transmit (RFC 3042).
    let mut expected = vec![21];
    expected.extend(31..=52);
    assert_eq!(numbers(&mut puppet), expected);
}

#[test]
fn what_is_owed_goes_out_once() {
    // RFC 9937 section 6: after it, half of what arrives goes out, as if nothing had been owed.
    let make = || twenty_of(established(Algorithm::NewReno, RTT), 400);
    let (_, [mut one_by_one, mut together]) = both_ways(make, &without(21));
    for n in 25..=30 {
        let mut sent = [&mut one_by_one, &mut together].map(|puppet| {
            puppet.send(&sack(20, &[block(22, n)]));
            numbers(puppet)
        });
        sent.iter_mut().for_each(|numbers| numbers.sort_unstable());
        assert_eq!(sent[0], sent[1], "after the report of {n}");
        assert!(sent[0].len() <= 1);
    }
    assert_eq!(figures(&one_by_one), figures(&together));
}

#[test]
fn a_sender_without_more_to_say_has_no_more_in_flight_than_it_has() {
    // RFC 5681 section 3.1 (4): FlightSize, not cwnd, says how much the network held: nothing waits here, and 21 to 30 are all
    // that is in flight when the 21st is found lost.
    let acks = [sack(20, &[]), sack(20, &[block(22, 22)]), sack(20, &[block(22, 23)]), sack(20, &[block(22, 24)])];
    let (sent, [one_by_one, together]) = both_ways(|| twenty_of(established(Algorithm::NewReno, RTT), 30), &acks);
    assert_eq!(sent, [[21], [21]]);
    assert_eq!(together.info().slow_start_threshold, 5 * MSS);
    assert_eq!(figures(&one_by_one), figures(&together));
}

#[test]
fn what_the_peers_window_holds_back_is_not_in_flight_either() {
    // RFC 5681 section 3.1: an easy mistake to make is to use cwnd, which may be far beyond the peer's window: 20 segments here.
    let window = (20 * MSS / 128) as u16;
    let acks: Vec<Seg> = without(21).into_iter().map(|ack| ack.window(window)).collect();
    let (_, [one_by_one, together]) = both_ways(|| twenty_of(established(Algorithm::NewReno, RTT), 400), &acks);
    let thresholds = [&one_by_one, &together].map(|puppet| puppet.info().slow_start_threshold);
    assert!(thresholds.iter().all(|&threshold| threshold <= 10 * MSS), "{thresholds:?}");
}

#[test]
fn without_sack_duplicates_taken_in_together_count_alike() {
    // RFC 5681 section 3.2: the third duplicate tells of the loss, and the two before let a segment go each (RFC 3042).
    let make = || twenty_of(established_by(Algorithm::NewReno, RTT, seg(0).mss(1460).scale(7)), 400);
    for in_order in 10..=26 {
        let mut acks: Vec<Seg> = (11..=in_order).map(|n| sack(n, &[])).collect();
        acks.extend((0..3).map(|_| sack(in_order, &[])));
        let (sent, [one_by_one, together]) = both_ways(make, &acks);
        assert_eq!(sent[0], sent[1], "{in_order} in order");
        assert_eq!(figures(&one_by_one), figures(&together), "{in_order} in order");
    }
}

/// A connection that the engine opens with these settings and options; the peer agrees to all of them.
fn agreed(config: Config, options: &ConnectOptions) -> Puppet {
    let mut puppet = Puppet::new(config);
    puppet.connect(options);
    puppet.run_for(RTT);
    puppet.send(&seg(0).mss(1460).sack_permitted().scale(7).flags(TcpFlags::SYN | TcpFlags::ECE).ack(1));
    puppet.send(&seg(1).ack(1));
    puppet.take();
    puppet
}

#[test]
fn what_pacing_holds_back_is_not_in_flight() {
    // RFC 5681 section 3.1 (4): there the sender had its chance. Two segments leave every 20 ms here.
    let mut options = ConnectOptions::default();
    options.socket.max_pacing_rate = Some(u64::from(10 * MSS) * 10);
    let mut puppet = agreed(config(Algorithm::NewReno), &options);
    write(&mut puppet, 100);
    puppet.run_for(RTT);
    puppet.send(&sack(4, &[]));
    puppet.run_for(millis(5));
    let in_flight = puppet.info().in_flight / MSS;
    assert!(puppet.info().congestion_window / MSS > in_flight + 2, "more would go, were it not for the pace");
    let acks = [sack(6, &[]), sack(6, &[block(8, 8)]), sack(6, &[block(8, 9)]), sack(6, &[block(8, 10)])];
    puppet.send_batch(&acks);
    assert!(puppet.info().recovering);
    assert_eq!(puppet.info().slow_start_threshold, (in_flight - 2) * MSS / 2);
}

#[test]
fn a_mark_echoed_among_them_costs_what_it_would_have_cost_one_by_one() {
    // RFC 3168 section 6.1.2: as a loss would.
    let make = || {
        let mut config = config(Algorithm::NewReno);
        config.tcp.ecn = Ecn::Active;
        let puppet = twenty_of(agreed(config, &ConnectOptions::default()), 400);
        assert!(puppet.info().ecn);
        puppet
    };
    let mut acks: Vec<Seg> = (11..=24).map(|n| sack(n, &[])).collect();
    acks.push(sack(25, &[]).flags(TcpFlags::ECE));
    let (sent, [one_by_one, together]) = both_ways(make, &acks);
    assert_eq!(sent[0], sent[1]);
    assert_eq!(figures(&one_by_one), figures(&together));
    assert_eq!(together.info().slow_start_threshold, 17 * MSS, "half of 20 and 14 more");
}
