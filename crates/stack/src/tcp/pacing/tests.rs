//! When trains may leave.

use super::*;

const MSS: u32 = 1_000;

#[test]
fn a_train_is_a_millisecond_s_worth_between_two_segments_and_64_kibibytes() {
    // Draft-ietf-ccwg-bbr section 5.6.3.
    for (rate, bytes) in [(1, 2_000), (1_000_000, 2_000), (20_000_000, 20_000), (10_000_000_000, LONGEST_TRAIN)] {
        assert_eq!(quantum(rate, MSS), bytes, "{rate}");
    }
}

#[test]
fn who_comes_late_makes_up_for_one_train_and_no_more() {
    let mut pacer = Pacer::new();
    // 10 MB/s: a train of 10,000 bytes takes a millisecond.
    let start = Instant::from_secs(1);
    pacer.on_sent(start, 10_000, 10_000_000, MSS);
    assert_eq!(pacer.next, start, "nothing was sent before");
    pacer.on_sent(start, 10_000, 10_000_000, MSS);
    assert_eq!(pacer.next, start + Duration::from_millis(1));
    // Half a millisecond late, and the next one stays on its mark.
    pacer.on_sent(start + Duration::from_micros(1_500), 10_000, 10_000_000, MSS);
    assert_eq!(pacer.next, start + Duration::from_millis(2));
    // An hour late.
    let late = start + Duration::from_secs(3_600);
    pacer.on_sent(late, 10_000, 10_000_000, MSS);
    assert_eq!(pacer.next, late);
}

#[test]
fn no_rate_and_no_length_overflows() {
    for rate in [0, 1, u64::MAX] {
        for len in [0, 1, u32::MAX] {
            let mut pacer = Pacer::new();
            pacer.on_sent(Instant::from_secs(1), len, rate, 65_495);
            assert!(quantum(rate, 65_495) >= 2 * 65_495);
        }
    }
}
