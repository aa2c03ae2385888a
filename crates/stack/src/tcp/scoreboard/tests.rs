//! The scoreboard against a table with an entry for every byte.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::entropy::Entropy;

/// Near the wrap, so that every run crosses it.
const BASE: SeqNum = SeqNum(u32::MAX - 500);

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn what_was_sent_again_is_not_timed() {
    // RFC 6298 section 3 (Karn's rule).
    let mut board = Scoreboard::new(BASE);
    board.on_sent(at(0), BASE + 1000);
    board.mark_first_lost(1000);
    board.on_resent(at(50), BASE, BASE + 1000);
    board.on_sent(at(60), BASE + 2000);
    let mut delivered = Delivered::default();
    board.on_ack(BASE + 1000, &mut delivered);
    assert_eq!((delivered.bytes, delivered.unambiguous), (1000, None));
    assert_eq!(delivered.latest, Some(Arrival { sent_at: at(50), end: BASE + 1000, resent: true }));
    let mut delivered = Delivered::default();
    board.on_ack(BASE + 2000, &mut delivered);
    assert_eq!(delivered.unambiguous, Some(Arrival { sent_at: at(60), end: BASE + 2000, resent: false }));
}

#[test]
fn of_a_train_that_arrived_in_part_the_arrival_ends_with_that_part() {
    // RFC 8985 section 6.2 step 2: RACK.end_seq is that of the segment which arrived.
    let mut board = Scoreboard::new(BASE);
    board.on_sent(at(0), BASE + 3000);
    let mut delivered = Delivered::default();
    board.on_ack(BASE + 1000, &mut delivered);
    assert_eq!(delivered.latest, Some(Arrival { sent_at: at(0), end: BASE + 1000, resent: false }));
}

#[test]
fn blocks_that_lie_about_what_was_sent_say_nothing() {
    let mut board = Scoreboard::new(BASE);
    board.on_sent(at(0), BASE + 1000);
    for (start, end) in [(500, 1001), (600, 600), (700, 600), (5000, 6000)] {
        let mut delivered = Delivered::default();
        board.on_sack(BASE + start, BASE + end, &mut delivered);
        assert_eq!(delivered, Delivered::default());
    }
    board.on_sack(BASE - 10, BASE + 10, &mut Delivered::default());
    assert_eq!((board.pipe(), board.sacked()), (1000, 0));
}

#[test]
fn blocks_half_of_the_sequence_space_away_say_nothing() {
    // Neither before nor after: RFC 1982 section 3.2.
    const HALF: u32 = 1 << 31;
    for sent in [0, 1, 1000] {
        let mut board = Scoreboard::new(BASE);
        board.on_sent(at(0), BASE + sent);
        for start in [0, sent, HALF - 1, HALF, HALF + 1, HALF + sent] {
            for end in [HALF - 1, HALF, HALF + 1, HALF + sent, HALF + sent + 1, 2 * (HALF - 1), u32::MAX] {
                let mut delivered = Delivered::default();
                board.on_sack(BASE + start, BASE + end, &mut delivered);
                assert_eq!(delivered, Delivered::default(), "{start} to {end} of {sent}");
            }
        }
        assert_eq!((board.pipe(), board.sacked()), (sent, 0));
    }
}

#[test]
fn an_arrival_before_what_has_arrived_is_reordering_unless_it_was_sent_again() {
    let mut board = Scoreboard::new(BASE);
    board.on_sent(at(0), BASE + 3000);
    let mut delivered = Delivered::default();
    board.on_sack(BASE + 2000, BASE + 3000, &mut delivered);
    assert!(!delivered.reordered);
    board.on_sack(BASE + 1000, BASE + 1500, &mut delivered);
    assert!(delivered.reordered);
}

#[test]
fn a_peer_cannot_cut_the_scoreboard_into_more_than_its_bound() {
    let mut board = Scoreboard::new(BASE);
    board.on_sent(at(0), BASE + 100_000);
    for block in 0..20_000 {
        board.on_sack(BASE + (4 * block + 1), BASE + (4 * block + 2), &mut Delivered::default());
    }
    assert!(board.runs.len() <= MAX_RUNS);
    for step in 1..5_000 {
        board.on_sent(at(step), BASE + 100_000 + u32::try_from(step).unwrap_or(0));
    }
    assert!(board.runs.len() <= MAX_RUNS + 1);
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Byte {
    InFlight,
    Sacked,
    Lost,
}

#[test]
fn agrees_with_a_table_of_every_byte() {
    for seed in 0..60u8 {
        let mut chance = Entropy::new([seed; 32]);
        let mut board = Scoreboard::new(BASE);
        let mut bytes: Vec<Byte> = Vec::new();
        let mut una = 0usize;
        for step in 0..600u64 {
            let span = bytes.len() - una;
            let pick = |chance: &mut Entropy| {
                let start = una + chance.below(span as u64 + 1) as usize;
                let end = start + chance.below((bytes.len() - start) as u64 + 1) as usize;
                (start, end)
            };
            let seq = |offset: usize| BASE + offset as u32;
            match chance.below(8) {
                0 | 1 => {
                    let len = bytes.len() + chance.below(90) as usize;
                    bytes.resize(len, Byte::InFlight);
                    board.on_sent(at(step), seq(len));
                }
                2 | 3 => {
                    let (start, end) = pick(&mut chance);
                    board.on_sack(seq(start), seq(end), &mut Delivered::default());
                    bytes[start..end].fill(Byte::Sacked);
                }
                4 => {
                    let (new, _) = pick(&mut chance);
                    let arrived = bytes[una..new].iter().filter(|&&byte| byte != Byte::Sacked).count();
                    let mut delivered = Delivered::default();
                    board.on_ack(seq(new), &mut delivered);
                    assert_eq!(delivered.bytes as usize, arrived, "seed {seed}, step {step}");
                    una = new;
                }
                5 => {
                    let len = chance.below(200) as u32;
                    board.mark_first_lost(len);
                    let end = bytes.len().min(una + len as usize);
                    for byte in bytes[una..end].iter_mut().filter(|byte| **byte == Byte::InFlight) {
                        *byte = Byte::Lost;
                    }
                }
                6 => {
                    if let Some((start, end)) = board.next_lost() {
                        board.on_resent(at(step), start, end);
                        bytes[(start - BASE) as usize..(end - BASE) as usize].fill(Byte::InFlight);
                    }
                }
                _ => {
                    let limit = at(chance.below(step + 1));
                    let before = bytes.clone();
                    let marked = board.mark_lost(|run| {
                        if run.sent_at + Duration::from_millis(1) <= limit { Judgement::Lost } else { Judgement::Waits }
                    });
                    let mut position = una;
                    let mut counted = 0;
                    for run in &board.runs {
                        let end = (run.end - BASE) as usize;
                        let now = match run.fate {
                            Fate::InFlight => Byte::InFlight,
                            Fate::Sacked => Byte::Sacked,
                            Fate::Lost => Byte::Lost,
                        };
                        for offset in position..end {
                            counted += u32::from(before[offset] == Byte::InFlight && now == Byte::Lost);
                            assert!(before[offset] == now || (before[offset], now) == (Byte::InFlight, Byte::Lost));
                            bytes[offset] = now;
                        }
                        position = end;
                    }
                    assert_eq!(marked, counted);
                }
            }
            let count = |wanted: Byte| bytes[una..].iter().filter(|&&byte| byte == wanted).count() as u32;
            assert_eq!(board.pipe(), count(Byte::InFlight), "seed {seed}, step {step}");
            assert_eq!(board.sacked(), count(Byte::Sacked), "seed {seed}, step {step}");
            assert_eq!(board.lost(), count(Byte::Lost), "seed {seed}, step {step}");
            let resent = board.runs.iter().filter(|run| run.resent && run.fate == Fate::InFlight).count();
            assert_eq!(board.resent, resent, "seed {seed}, step {step}");
            let first = bytes[una..].iter().position(|&byte| byte == Byte::Lost).map(|offset| seq(una + offset));
            assert_eq!(board.next_lost().map(|lost| lost.0), first);
        }
    }
}

#[test]
fn a_flight_in_order_is_acknowledged_by_the_short_way_as_by_the_whole_one() {
    for seed in 0..20 {
        let mut chance = Entropy::new([seed; 32]);
        let (mut short, mut whole) = (Scoreboard::new(BASE), Scoreboard::new(BASE));
        let (mut nxt, mut una) = (BASE, BASE);
        for step in 0..200 {
            if chance.below(2) == 0 {
                nxt += 1 + chance.below(3000) as u32;
                short.on_sent(at(step / 2), nxt);
                whole.on_sent(at(step / 2), nxt);
            } else if nxt != una {
                una += 1 + chance.below(u64::from(nxt - una)) as u32;
                assert!(short.is_in_order());
                let mut delivered = Delivered::default();
                whole.on_ack(una, &mut delivered);
                assert_eq!(short.on_ack_in_order(una), delivered.latest);
                assert_eq!(delivered.latest, delivered.unambiguous);
                assert!(!delivered.reordered);
            }
            assert_eq!(format!("{short:?}"), format!("{whole:?}"));
        }
    }
}
