//! Moments as people read them.

use super::Date;

#[test]
fn times_are_told_as_dates_of_the_calendar() {
    for (seconds, told) in [
        (0, "1970-01-01 00:00"),
        (951_782_400, "2000-02-29 00:00"),
        (951_827_696, "2000-02-29 12:34"),
        (1_709_251_199, "2024-02-29 23:59"),
        (1_735_689_599, "2024-12-31 23:59"),
        (u64::from(u32::MAX), "2106-02-07 06:28"),
    ] {
        assert_eq!(Date::and_time(seconds), told);
    }
}

#[test]
fn a_unix_time_becomes_its_day() {
    let day = |seconds| Date::of_unix_time(seconds).to_string();
    assert_eq!(day(0), "1970-01-01");
    assert_eq!(day(951_782_399), "2000-02-28");
    assert_eq!(day(951_782_400), "2000-02-29");
    assert_eq!(day(951_868_800), "2000-03-01");
    assert_eq!(day(1_795_219_200), "2026-11-21");
    assert_eq!(day(4_107_542_400), "2100-03-01");
}
