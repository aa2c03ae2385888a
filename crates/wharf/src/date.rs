//! Days of the calendar, for people: when a certificate or a signature is valid, when a file was changed.

use std::fmt;

/// A day of the Gregorian calendar, in UTC. Shown as `2026-11-21`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// The year, 1970 or later.
    pub year: u64,
    /// The month, 1 to 12.
    pub month: u64,
    /// The day of the month, 1 to 31.
    pub day: u64,
}

impl Date {
    /// The day of a moment, told in seconds since the first of January 1970.
    pub fn of_unix_time(seconds: u64) -> Self {
        // Years run from March here, so that the leap day is the last of its year; the calendar repeats after 146,097 days.
        let days = seconds / 86_400 + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
        }
    }

    /// A moment to the minute, as `2026-11-21 16:57`, in UTC.
    pub fn and_time(seconds: u64) -> String {
        let rest = seconds % 86_400;
        format!("{} {:02}:{:02}", Self::of_unix_time(seconds), rest / 3_600, rest / 60 % 60)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests;
