//! The wheel against a sorted list, over spans from nanoseconds to years.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::entropy::Entropy;

fn drain(wheel: &mut Wheel<u32>, now: Instant) -> Vec<u32> {
    let mut fired: Vec<u32> = core::iter::from_fn(|| wheel.pop_expired(now)).collect();
    fired.sort_unstable();
    fired
}

#[test]
fn a_timer_fires_at_its_nanosecond_and_not_before() {
    let mut wheel = Wheel::new();
    wheel.insert(Instant::from_nanos(70_000), 1);
    wheel.insert(Instant::from_nanos(70_001), 2);
    assert_eq!(wheel.next_deadline(), Instant::from_nanos(70_000));
    assert_eq!(drain(&mut wheel, Instant::from_nanos(69_999)), vec![]);
    assert_eq!(wheel.next_deadline(), Instant::from_nanos(70_000));
    assert_eq!(drain(&mut wheel, Instant::from_nanos(70_000)), vec![1]);
    assert_eq!(drain(&mut wheel, Instant::from_nanos(70_001)), vec![2]);
    assert!(wheel.next_deadline().is_never());
}

#[test]
fn a_deadline_in_the_past_fires_at_once() {
    let mut wheel = Wheel::new();
    assert_eq!(drain(&mut wheel, Instant::from_secs(1_000)), vec![]);
    wheel.insert(Instant::from_secs(1), 7);
    assert_eq!(drain(&mut wheel, Instant::from_secs(1_000)), vec![7]);
}

#[test]
fn a_cancelled_timer_never_fires_and_its_entry_is_used_again() {
    let mut wheel = Wheel::new();
    let first = wheel.insert(Instant::from_secs(5), 1);
    wheel.cancel(first);
    wheel.cancel(first);
    let second = wheel.insert(Instant::from_secs(6), 2);
    assert_eq!(first, second);
    assert_eq!(drain(&mut wheel, Instant::from_secs(10)), vec![2]);
}

#[test]
fn a_timer_that_is_taken_away_at_once_is_not_waited_for() {
    let mut wheel = Wheel::new();
    wheel.insert(Instant::from_nanos(90_000), 1);
    let last = wheel.insert(Instant::from_nanos(80_000), 2);
    assert_eq!(wheel.next_deadline(), Instant::from_nanos(80_000));
    wheel.cancel(last);
    assert_eq!(wheel.next_deadline(), Instant::from_nanos(90_000));
    // Nor does one that came first hide that another comes first now.
    let later = wheel.insert(Instant::from_nanos(95_000), 3);
    wheel.cancel(later);
    assert_eq!(wheel.next_deadline(), Instant::from_nanos(90_000));
}

#[test]
fn a_timer_that_was_taken_away_rings_in_vain_once_at_most() {
    let mut wheel = Wheel::new();
    let first = wheel.insert(Instant::from_secs(1), 1);
    wheel.insert(Instant::from_secs(100), 2);
    let rings = wheel.next_deadline();
    wheel.cancel(first);
    assert_eq!(wheel.next_deadline(), rings);
    assert_eq!(drain(&mut wheel, rings), vec![]);
    assert_eq!(wheel.next_deadline(), wheel.find_next_deadline());
    assert!(wheel.next_deadline() > Instant::from_secs(60));
}

#[test]
fn the_furthest_deadlines_wait_for_their_time() {
    let mut wheel = Wheel::new();
    wheel.insert(Instant::NEVER, 1);
    wheel.insert(Instant::from_nanos(u64::MAX - 1), 2);
    wheel.insert(Instant::from_secs(400 * 365 * 86_400), 3);
    assert_eq!(drain(&mut wheel, Instant::from_secs(399 * 365 * 86_400)), vec![]);
    assert_eq!(drain(&mut wheel, Instant::from_secs(400 * 365 * 86_400)), vec![3]);
    assert_eq!(drain(&mut wheel, Instant::from_nanos(u64::MAX - 1)), vec![2]);
}

#[test]
fn agrees_with_a_sorted_list_over_every_span() {
    for seed in 0..40u8 {
        let mut chance = Entropy::new([seed; 32]);
        let mut wheel = Wheel::new();
        let mut model: Vec<(Instant, u32, TimerId)> = Vec::new();
        let mut now = Instant::ZERO;
        for key in 0..4_000u32 {
            let span = Duration::from_nanos(chance.next_u64() >> (8 + chance.below(50)));
            match chance.below(6) {
                0..=2 => {
                    let id = wheel.insert(now + span, key);
                    model.push((now + span, key, id));
                }
                3 if !model.is_empty() => {
                    let at = chance.below(model.len() as u64) as usize;
                    wheel.reschedule(model[at].2, now + span);
                    model[at].0 = now + span;
                }
                4 if !model.is_empty() => {
                    let at = chance.below(model.len() as u64) as usize;
                    wheel.cancel(model.swap_remove(at).2);
                }
                _ => {
                    let next = wheel.next_deadline();
                    let earliest = model.iter().map(|timer| timer.0).min().unwrap_or(Instant::NEVER);
                    assert!(next <= earliest, "seed {seed}: the next deadline is late");
                    now = if chance.below(2) == 0 { next.max(now) } else { now + span };
                    if now.is_never() {
                        now = Instant::from_nanos(u64::MAX - 1);
                    }
                    let mut due: Vec<u32> = model.iter().filter(|t| t.0 <= now).map(|t| t.1).collect();
                    due.sort_unstable();
                    model.retain(|timer| timer.0 > now);
                    assert_eq!(drain(&mut wheel, now), due, "seed {seed} at {now}");
                }
            }
            // What is remembered is never later than what a search finds, and at most one ring is in vain.
            assert!(wheel.next_deadline() <= wheel.find_next_deadline(), "seed {seed} at {now}");
            assert!(!model.is_empty() || wheel.next_deadline().is_never(), "seed {seed} at {now}");
        }
    }
}

use core::time::Duration;
