//! The receiver's side of SACK (RFC 2018) and D-SACK (RFC 2883): which blocks an acknowledgement carries, and in what order.

use std::time::Duration;

use sim::Puppet;
use sim::puppet::{PUPPET, Seg, seg};
use stack::Config;
use stack::ip::routes::Route;
use stack::tcp::{ConnectOptions, ListenOptions, SocketOption, UserTimeoutOption};
use wire::cidr::Cidr;
use wire::tcp::TcpFlags;

fn established() -> Puppet {
    Puppet::established(Config::default(), seg(0).mss(1460).sack_permitted())
}

/// The `n`th hundred bytes of the puppet's stream.
fn hundred(n: u32) -> Seg {
    seg(1 + 100 * (n - 1)).ack(1).text(&[n as u8; 100])
}

/// The blocks of the one acknowledgement that answers `segment`, in hundreds: (2, 3) are the second and third.
fn answer(puppet: &mut Puppet, segment: &Seg) -> (u32, Vec<(u32, u32)>) {
    puppet.send(segment);
    let seen = puppet.take();
    assert_eq!(seen.len(), 1, "one acknowledgement, at once: {seen:?}");
    let hundreds = |(start, end): &(u32, u32)| {
        assert_eq!((start % 100, end % 100), (1, 1), "whole hundreds: {seen:?}");
        (start / 100 + 1, end / 100)
    };
    (seen[0].ack, seen[0].sack.iter().map(hundreds).collect())
}

#[test]
fn sack_is_offered_and_used_only_if_both_sides_offer_it() {
    // RFC 2018 section 2.
    let mut puppet = Puppet::new(Config::default());
    puppet.connect(&ConnectOptions::default());
    assert!(puppet.take()[0].options.sack_permitted);
    puppet.send(&seg(0).flags(TcpFlags::SYN).ack(1).mss(1460));
    puppet.take();
    assert_eq!(answer(&mut puppet, &hundred(3)), (1, vec![]), "the peer did not offer it");

    for offered in [true, false] {
        let mut puppet = Puppet::new(Config::default());
        puppet.listen(ListenOptions::default());
        let syn = if offered { seg(0).mss(1460).sack_permitted() } else { seg(0).mss(1460) };
        puppet.send(&syn.flags(TcpFlags::SYN));
        assert_eq!(puppet.take()[0].options.sack_permitted, offered);
    }

    let mut config = Config::default();
    config.tcp.sack = false;
    let mut puppet = Puppet::established(config, seg(0).mss(1460).sack_permitted());
    assert_eq!(answer(&mut puppet, &hundred(3)), (1, vec![]), "the owner does not want it");
}

#[test]
fn the_first_block_holds_the_segment_that_caused_the_acknowledgement() {
    // RFC 2018 section 4: the first block holds the segment which triggered the ACK, joined with its neighbours.
    let mut puppet = established();
    assert_eq!(answer(&mut puppet, &hundred(5)), (1, vec![(5, 5)]));
    assert_eq!(answer(&mut puppet, &hundred(6)), (1, vec![(5, 6)]));
    assert_eq!(answer(&mut puppet, &hundred(3)), (1, vec![(3, 3), (5, 6)]));
    assert_eq!(answer(&mut puppet, &hundred(8)), (1, vec![(8, 8), (3, 3), (5, 6)]));
    assert_eq!(answer(&mut puppet, &hundred(4)), (1, vec![(3, 6), (8, 8)]));
}

#[test]
fn the_blocks_reported_last_are_repeated_behind_it_as_many_as_fit() {
    // RFC 2018 section 4: four without timestamps.
    let mut puppet = established();
    for (n, blocks) in [
        (2, vec![(2, 2)]),
        (4, vec![(4, 4), (2, 2)]),
        (6, vec![(6, 6), (4, 4), (2, 2)]),
        (8, vec![(8, 8), (6, 6), (4, 4), (2, 2)]),
        (10, vec![(10, 10), (8, 8), (6, 6), (4, 4)]),
    ] {
        assert_eq!(answer(&mut puppet, &hundred(n)), (1, blocks));
    }
}

#[test]
fn beside_timestamps_three_blocks_fit() {
    // RFC 2018 section 3.
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460).sack_permitted().timestamps(5, 0));
    for n in [2, 4, 6, 8] {
        puppet.send(&hundred(n).timestamps(6, 0));
    }
    let seen = puppet.take();
    assert_eq!(seen[3].sack, [(701, 801), (501, 601), (301, 401)]);
    assert!(seen[3].options.timestamps.is_some());
}

#[test]
fn a_block_that_grows_by_many_segments_does_not_crowd_out_the_others() {
    // RFC 2018 section 4: distinct blocks, which are not subsets of one that is reported already; and each is repeated, so
    // that a lost ACK takes no report along.
    let mut puppet = established();
    for n in [2, 4, 6] {
        puppet.send(&hundred(n));
    }
    for n in 8..20 {
        puppet.send(&hundred(n));
    }
    puppet.take();
    assert_eq!(answer(&mut puppet, &hundred(20)), (1, vec![(8, 20), (6, 6), (4, 4), (2, 2)]));
    for n in (22..40).rev() {
        puppet.send(&hundred(n));
    }
    puppet.take();
    assert_eq!(answer(&mut puppet, &hundred(41)), (1, vec![(41, 41), (22, 39), (8, 20), (6, 6)]));
}

#[test]
fn what_the_acknowledgement_covers_is_reported_no_more() {
    let mut puppet = established();
    for n in [2, 4, 6, 8] {
        puppet.send(&hundred(n));
    }
    puppet.take();
    // RFC 2018 section 4: the segment advanced the ACK, so the most recently reported block comes first.
    assert_eq!(answer(&mut puppet, &hundred(1)), (201, vec![(8, 8), (6, 6), (4, 4)]));
    assert_eq!(answer(&mut puppet, &hundred(10)), (201, vec![(10, 10), (8, 8), (6, 6), (4, 4)]));
    assert_eq!(answer(&mut puppet, &hundred(5)), (201, vec![(4, 6), (10, 10), (8, 8)]));
    assert_eq!(answer(&mut puppet, &hundred(3)), (601, vec![(10, 10), (8, 8)]));
}

#[test]
fn nothing_that_was_reported_is_dropped_again() {
    // RFC 2018 section 8 would allow it.
    let mut puppet = established();
    for n in (2..=40).rev() {
        puppet.send(&hundred(n));
    }
    puppet.take();
    assert_eq!(answer(&mut puppet, &hundred(1)), (4_001, vec![]));
    let text = puppet.read(10_000);
    let expected: Vec<u8> = (1..=40).flat_map(|n| [n; 100]).collect();
    assert_eq!(text, expected);
}

#[test]
fn a_segment_that_comes_twice_is_reported_once() {
    // RFC 2883 section 4.1: the first block, and it lies below the acknowledgement.
    let mut puppet = established();
    puppet.send(&hundred(1));
    puppet.send(&hundred(2));
    puppet.run_for(Duration::from_millis(50));
    puppet.take();
    assert_eq!(answer(&mut puppet, &hundred(1)), (201, vec![(1, 1)]));
    assert_eq!(answer(&mut puppet, &hundred(4)), (201, vec![(4, 4)]), "the duplicate is old news");
    // RFC 2883 section 4.1.1, second example: what lies beyond gaps stands behind it.
    assert_eq!(answer(&mut puppet, &hundred(2)), (201, vec![(2, 2), (4, 4)]));
}

#[test]
fn a_segment_beyond_a_gap_that_comes_twice_is_reported_before_the_block_it_lies_in() {
    // RFC 2883 section 4.1.2.
    let mut puppet = established();
    for n in [4, 5, 8] {
        puppet.send(&hundred(n));
    }
    puppet.take();
    assert_eq!(answer(&mut puppet, &hundred(5)), (1, vec![(5, 5), (4, 5), (8, 8)]));
    assert_eq!(answer(&mut puppet, &hundred(8)), (1, vec![(8, 8), (8, 8), (4, 5)]));
}

#[test]
fn of_a_segment_that_came_in_part_before_that_part_is_reported() {
    // RFC 2883 section 4.2.1: below the acknowledgement.
    let mut puppet = established();
    puppet.send(&hundred(1));
    puppet.send(&seg(1).ack(1).text(&[0; 300]));
    puppet.run_for(Duration::from_millis(50));
    let seen = puppet.take();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((seen[0].ack, &seen[0].sack[..]), (301, &[(1, 101)][..]));

    // RFC 2883 section 4.2.2: beyond a gap.
    let mut puppet = established();
    puppet.send(&hundred(5));
    puppet.take();
    assert_eq!(answer(&mut puppet, &seg(301).ack(1).text(&[0; 300])), (1, vec![(5, 5), (4, 6)]));
}

#[test]
fn blocks_find_no_room_beside_text_and_go_alone() {
    let mut puppet = established();
    puppet.write(&[1; 1_460]);
    puppet.take();
    puppet.send(&hundred(3));
    puppet.write(&[1; 1_460]);
    let seen = puppet.take();
    let blocks: Vec<usize> = seen.iter().map(|seen| seen.sack.len()).collect();
    assert!(blocks.contains(&1), "the report is not lost: {seen:?}");
    assert!(seen.iter().all(|seen| seen.text.is_empty() || seen.sack.is_empty()), "{seen:?}");
}

#[test]
fn over_the_smallest_path_as_many_fit_as_it_has_room_for() {
    // RFC 791 section 3.2: 68 bytes, of which 28 are left for options. RFC 2018 section 3.
    for (timestamps, user_timeout, fits) in [(true, false, 1), (false, false, 3), (true, true, 1), (false, true, 2)] {
        let mut puppet = Puppet::new(Config::default());
        let destination = Cidr::host(PUPPET.into());
        let route = Route { destination, via: None, interface: puppet.interface, metric: 0, mtu: Some(68) };
        puppet.stack.add_route(route).expect("a route on the link");
        let mut options = ConnectOptions::default();
        options.socket.user_timeout_option = user_timeout.then(UserTimeoutOption::default);
        puppet.connect(&options);
        let stamped = |segment: Seg| if timestamps { segment.timestamps(1, 0) } else { segment };
        puppet.send(&stamped(seg(0).ack(1).flags(TcpFlags::SYN).mss(1460).sack_permitted()));
        puppet.take();
        for n in [2, 4, 6] {
            puppet.send(&stamped(hundred(n)));
        }
        let (id, now) = (puppet.id(), puppet.instant());
        puppet.stack.tcp_set_option(now, id, SocketOption::UserTimeout(None));
        puppet.send(&stamped(hundred(8)));
        let seen = puppet.take();
        assert_eq!(seen.len(), 4);
        assert_eq!(seen[3].sack, [(701, 801), (501, 601), (301, 401)][..fits]);
        assert_eq!(seen[3].options.user_timeout.is_some(), user_timeout);
    }
}
