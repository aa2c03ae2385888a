//! Hostile peers: whatever they send, nothing panics, memory stays bounded, and what must survive does.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use sim::puppet::{ENGINE, PUPPET, PUPPET_PORT, Seg, frame_of, seg};
use sim::{Chance, Puppet};
use stack::Config;
use stack::tcp::{Algorithm, ConnectOptions, ListenOptions, Phase};
use wire::protocol::Protocol;
use wire::tcp::TcpFlags;

use crate::random_changes::random_option;

/// A number near one that matters, or any.
fn number(chance: &mut Chance, near: u32) -> u32 {
    match chance.below(4) {
        0 => chance.draw() as u32,
        1 => near.wrapping_add(1 << chance.below(32)),
        2 => near.wrapping_sub(1 << chance.below(32)),
        _ => near.wrapping_add(chance.below(5) as u32).wrapping_sub(2),
    }
}

fn random_segment(chance: &mut Chance, next: u32, unacked: u32) -> Seg {
    let mut segment = seg(number(chance, next));
    if chance.below(8) > 0 {
        segment = segment.ack(number(chance, unacked));
    }
    segment = segment.flags(TcpFlags(chance.draw() as u8)).window(chance.draw() as u16 >> chance.below(16));
    if chance.below(3) == 0 {
        segment = segment.timestamps(number(chance, 1_000), chance.draw() as u32);
    }
    if chance.below(5) == 0 {
        segment = segment.mss(chance.draw() as u16).scale(chance.draw() as u8 & 15);
    }
    let len = [0, 0, 1, 17, 1_460][chance.below(5) as usize];
    segment.text(&vec![chance.draw() as u8; len])
}

/// Whoever holds the connection's numbers can do anything with it; but nothing panics, and what it takes is bounded.
#[test]
fn random_segments_near_the_right_numbers_never_panic_and_take_bounded_memory() {
    for seed in 0..300 {
        let mut chance = Chance::new(seed);
        let syn = match chance.below(3) {
            0 => seg(0),
            1 => seg(0).mss(chance.draw() as u16),
            _ => seg(0).mss(1_460).scale(chance.below(15) as u8).timestamps(1_000, 0),
        };
        let receive = 1 << chance.between(9, 20);
        let options = ConnectOptions::default();
        let mut puppet = Puppet::established_with(Config::default(), syn, &options, 1 << 16, receive);
        puppet.listen(ListenOptions::default());
        for _ in 0..300 {
            let (mut next, mut unacked) = (1, 1);
            for seen in puppet.take() {
                next = seen.ack;
                unacked = seen.seq.wrapping_add(seen.text.len() as u32);
            }
            puppet.send(&random_segment(&mut chance, next, unacked));
            match chance.below(12) {
                0 => drop(puppet.read(1 + chance.below(5_000) as usize)),
                1 if puppet.rings.as_ref().is_some_and(|rings| rings.send.free() >= 3_000) => puppet.write(&[1; 3_000]),
                2 => puppet.run_for(Duration::from_millis(chance.below(3_000))),
                3 if chance.below(20) == 0 => puppet.finish(),
                _ => {}
            }
            let readable = puppet.rings.as_ref().map_or(0, |rings| rings.receive.len());
            assert!(readable <= receive, "seed {seed}: {readable} of {receive}");
            assert!(puppet.stack.tcp_counts().0 <= 2);
            assert!(puppet.take_frames().len() <= 500, "seed {seed}");
        }
        puppet.close();
        puppet.run_for(Duration::from_secs(86_400));
        assert_eq!(puppet.stack.tcp_counts().0, 0, "seed {seed}");
    }
}

/// An acknowledgement that fits, and what it may say beside that.
fn random_report(chance: &mut Chance, next: u32, unacked: u32) -> Seg {
    let behind = match chance.below(4) {
        0 => 0,
        1 => chance.below(5_000) as u32,
        _ => chance.below(70_000) as u32,
    };
    let blocks: Vec<_> = (0..chance.below(5))
        .map(|_| {
            let start = match chance.below(3) {
                0 => number(chance, unacked),
                _ => unacked.wrapping_sub(chance.below(70_000) as u32),
            };
            let len = [chance.below(3_000), 1_460, chance.draw() & 0xffff_ffff, 1 << 31][chance.below(4) as usize];
            (start, start.wrapping_add(len as u32))
        })
        .collect();
    let marks = TcpFlags(if chance.below(8) == 0 { chance.draw() as u8 & 0xe0 } else { 0 });
    let window = [65_535, 65_535, 2_000, 0][chance.below(4) as usize];
    seg(next).ack(unacked.wrapping_sub(behind)).flags(TcpFlags::ACK.with(marks)).window(window).sack(&blocks)
}

/// Acknowledgements that lie about what arrived, while settings change: nothing panics, and what is counted adds up.
#[test]
fn random_reports_of_what_arrived_never_panic_and_count_nothing_twice() {
    for seed in 0..300 {
        let mut chance = Chance::new(seed);
        let mut config = Config::default();
        config.tcp.congestion = [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Bbr][chance.below(3) as usize];
        config.tcp.fast_path = chance.below(4) > 0;
        let syn = seg(0).mss(1_460).sack_permitted();
        let mut puppet = Puppet::established_with(config, syn, &ConnectOptions::default(), 1 << 17, 1 << 16);
        let (mut next, mut unacked) = (1, 1);
        for _ in 0..300 {
            for seen in puppet.take() {
                next = seen.ack;
                let end = seen.seq.wrapping_add(seen.text.len() as u32);
                unacked = if end.wrapping_sub(unacked) as i32 > 0 { end } else { unacked };
            }
            puppet.send(&random_report(&mut chance, next, unacked));
            match chance.below(8) {
                0 | 1 if puppet.rings.as_ref().is_some_and(|rings| rings.send.free() >= 30_000) => {
                    puppet.write(&[1; 30_000]);
                }
                2 => puppet.run_for(Duration::from_millis(1 << chance.below(12))),
                3 => {
                    let (now, id) = (puppet.instant(), puppet.id());
                    puppet.stack.tcp_set_option(now, id, random_option(&mut chance));
                    puppet.drain();
                }
                4 => puppet.set_device_full(chance.below(4) == 0),
                _ => {}
            }
            if let Some(info) = puppet.stack.tcp_info(puppet.id()) {
                assert!(info.sacked + info.lost <= info.in_flight, "seed {seed}: {info:?}");
            }
        }
        puppet.set_device_full(false);
        puppet.close();
        puppet.run_for(Duration::from_secs(86_400));
        assert_eq!(puppet.stack.tcp_counts().0, 0, "seed {seed}");
    }
}

/// An attacker off the path guesses: the connection survives, and its data is untouched.
#[test]
fn blind_guesses_neither_end_a_connection_nor_get_bytes_into_it() {
    for seed in 0..20 {
        let mut chance = Chance::new(seed);
        let mut puppet = Puppet::established(Config::default(), seg(0).mss(1_460).timestamps(1_000, 0));
        puppet.write(b"to the peer");
        puppet.take();
        for _ in 0..2_000 {
            // Anywhere but at the two numbers that the attacker would have to know at once.
            let guess = seg(70_000 + chance.below(4_000_000_000) as u32)
                .ack(70_000 + chance.below(4_000_000_000) as u32)
                .flags(TcpFlags(chance.draw() as u8))
                .timestamps(chance.draw() as u32, chance.draw() as u32)
                .text(b"forged");
            puppet.send(&guess);
            // In the receive window, but with no idea of what was sent.
            let guess = seg(2 + chance.below(60_000) as u32)
                .ack(70_000 + chance.below(2_000_000_000) as u32)
                .flags(TcpFlags(chance.draw() as u8 & !TcpFlags::RST.0))
                .timestamps(1_000, 0)
                .text(b"forged");
            puppet.send(&guess);
            puppet.send(&seg(2 + chance.below(60_000) as u32).flags(TcpFlags::RST));
        }
        puppet.take();
        assert_eq!(puppet.phase(), Phase::Established, "seed {seed}");
        puppet.send(&seg(1).ack(12).text(b"from the peer").timestamps(1_001, 0));
        assert_eq!(puppet.read(100), b"from the peer", "seed {seed}");
        assert_eq!(puppet.info().in_flight, 0);
    }
}

#[test]
fn damaged_and_cut_frames_never_panic() {
    for seed in 0..40 {
        let mut chance = Chance::new(seed);
        let mut puppet = Puppet::established(Config::default(), seg(0).mss(1_460).timestamps(1_000, 0));
        puppet.listen(ListenOptions::default());
        for _ in 0..500 {
            let mut frame = puppet.frame(&random_segment(&mut chance, 1, 1));
            for _ in 0..chance.below(4) {
                let at = chance.below(frame.len() as u64) as usize;
                frame[at] = chance.draw() as u8;
            }
            frame.truncate(chance.below(frame.len() as u64 + 1) as usize);
            puppet.send_frame(&frame);
        }
        // TCP headers of any bytes at all behind a correct IP header: option lists, data offsets.
        for _ in 0..500 {
            let len = chance.below(80) as usize;
            let mut tcp: Vec<u8> = (0..len).map(|_| chance.draw() as u8).collect();
            if len >= 20 {
                tcp[..2].copy_from_slice(&PUPPET_PORT.to_be_bytes());
                tcp[2..4].copy_from_slice(&puppet.port.to_be_bytes());
                wire::tcp::TcpHeader::fill_checksum(&mut tcp, PUPPET.into(), ENGINE.into());
            }
            puppet.send_frame(&frame_of(Protocol::TCP, &tcp));
        }
    }
}

#[test]
fn a_window_that_shrinks_to_nothing_again_and_again_does_not_stall_or_spin() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1_460).timestamps(1, 0));
    puppet.write(&[1; 100_000]);
    let (mut acked, mut sent, mut echo) = (1, 0, 0);
    for _ in 0..500 {
        puppet.send(&seg(1).ack(acked).window(2_000).timestamps(1, echo));
        for seen in puppet.take() {
            sent += 1;
            echo = seen.options.timestamps.map_or(0, |option| option.value);
            let end = seen.seq + seen.text.len() as u32;
            // Only what begins in order, and only half of it: then the window is taken back.
            if seen.seq <= acked && end > acked {
                acked += (end - acked).div_ceil(2);
            }
        }
        puppet.send(&seg(1).ack(acked).window(0).timestamps(1, echo));
        puppet.run_for(Duration::from_secs(3));
        sent += puppet.take().len();
    }
    assert_eq!(puppet.phase(), Phase::Established);
    assert!(acked > 100_000, "it gets through: {acked}");
    assert!(sent < 5_000, "{sent} segments");
}

#[test]
fn tiny_segments_cost_one_ring_and_two_acks_at_most_each() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1_460));
    for n in 0..60_000 {
        puppet.send(&seg(1 + n).ack(1).text(b"x"));
        if n % 1_000 == 0 {
            puppet.read(1_000);
        }
    }
    assert!(puppet.take().len() <= 120);
    puppet.run_for(Duration::from_secs(1));
    puppet.read(100_000);
    assert_eq!(puppet.take().last().map(|seen| seen.ack), Some(60_001));
}

#[test]
fn a_peer_with_a_tiny_mss_does_not_make_us_send_headers_only() {
    for mss in [0, 1, 8, 20, 47] {
        let mut puppet = Puppet::established(Config::default(), seg(0).mss(mss).timestamps(1, 0));
        puppet.write(&[1; 360]);
        let seen = puppet.take();
        assert!(seen.iter().all(|seen| seen.text.len() >= 36), "{mss}: {seen:?}");
    }
}

#[test]
fn acks_of_single_bytes_do_not_make_the_sender_burst() {
    // RFC 3465: the window grows by bytes acknowledged, so splitting an ACK gains nothing.
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1_460));
    puppet.write(&[1; 200_000]);
    puppet.take();
    for n in 0..1_460 {
        puppet.send(&seg(1).ack(2 + n));
    }
    assert!(puppet.info().congestion_window <= 14_600 + 1_460);
}

#[test]
fn strays_from_everywhere_leave_nothing_behind() {
    let mut puppet = Puppet::new(Config::default());
    let mut chance = Chance::new(1);
    for _ in 0..20_000 {
        let from = SocketAddrV4::new(Ipv4Addr::from_bits(chance.draw() as u32), chance.draw() as u16);
        let to = SocketAddrV4::new(ENGINE, chance.draw() as u16);
        let segment = random_segment(&mut chance, 1, 1);
        puppet.send_frame(&puppet.frame_between(from, to, &segment));
    }
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
    puppet.run_for(Duration::from_secs(60));
    assert!(puppet.stack.poll_timeout().is_never());
}
