//! Answers remembered for as long as they allow, positive and negative (RFC 2308), so many at most.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::RData;

use crate::lock;

/// Most answers remembered by one resolver. An answer is a few hundred bytes; 64 KiB at the very most.
pub(super) const CAPACITY: usize = 4096;

/// No answer is believed for longer, whatever it says of itself (RFC 8767 section 4 advises days, not weeks).
const LONGEST: Duration = Duration::from_secs(86_400);

/// RFC 2308 section 5: "there is none" is not believed for more than three hours.
const LONGEST_NEGATIVE: Duration = Duration::from_secs(3 * 3600);

/// What was answered lately.
pub(super) struct Cache {
    entries: Mutex<HashMap<Query, Entry>>,
    capacity: usize,
}

struct Entry {
    message: Message,
    stored: Instant,
    until: Instant,
}

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: Mutex::default(), capacity }
    }

    /// The answer to `query`, its records' times lessened by its age.
    pub(super) fn find(&self, query: &Query, now: Instant) -> Option<Message> {
        let entries = lock(&self.entries);
        let entry = entries.get(query).filter(|entry| now < entry.until)?;
        let age = u32::try_from(now.saturating_duration_since(entry.stored).as_secs()).unwrap_or(u32::MAX);
        let mut message = entry.message.clone();
        for records in [&mut message.answers, &mut message.authorities, &mut message.additionals] {
            for record in records {
                record.ttl = record.ttl.saturating_sub(age);
            }
        }
        Some(message)
    }

    /// Remembers an answer, if it allows that.
    pub(super) fn store(&self, query: Query, message: &Message, now: Instant) {
        let life = lifetime(message);
        if life.is_zero() || self.capacity == 0 {
            return;
        }
        let mut entries = lock(&self.entries);
        if entries.len() >= self.capacity && !entries.contains_key(&query) {
            make_room(&mut entries, now);
        }
        entries.insert(query, Entry { message: message.clone(), stored: now, until: now + life });
    }

    /// Forgets the answer to `query`.
    pub(super) fn forget(&self, query: &Query) {
        lock(&self.entries).remove(query);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.entries).len()
    }
}

/// Drops what is over, or else the quarter that would be over first: one sweep for many insertions.
fn make_room(entries: &mut HashMap<Query, Entry>, now: Instant) {
    entries.retain(|_, entry| now < entry.until);
    let mut ends: Vec<Instant> = entries.values().map(|entry| entry.until).collect();
    let quarter = ends.len() / 4;
    if quarter > 0 {
        let (_, &mut last, _) = ends.select_nth_unstable(quarter);
        let mut left = quarter + 1;
        entries.retain(|_, entry| {
            let goes = entry.until <= last && left > 0;
            left -= usize::from(goes);
            !goes
        });
    } else {
        entries.clear();
    }
}

/// For how long an answer may be remembered.
fn lifetime(message: &Message) -> Duration {
    let code = message.metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) || message.metadata.truncation {
        return Duration::ZERO;
    }
    // RFC 2181 section 5.2: of several times in one set, the shortest holds.
    let positive = message.answers.iter().map(|record| record.ttl).min();
    // RFC 2308 section 5: the lesser of the SOA's own time and its MINIMUM.
    let negative = message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    let seconds = |ttl: u32| Duration::from_secs(ttl.into());
    match (positive, negative) {
        // RFC 2181 section 8: a time with its highest bit set is no time.
        (Some(ttl), _) if ttl > i32::MAX as u32 => Duration::ZERO,
        (Some(ttl), Some(none)) if code == ResponseCode::NXDomain => seconds(ttl.min(none)).min(LONGEST_NEGATIVE),
        (Some(ttl), _) => seconds(ttl).min(LONGEST),
        (None, Some(ttl)) => seconds(ttl).min(LONGEST_NEGATIVE),
        // RFC 2308 section 5: without a SOA there is nothing to go by.
        (None, None) => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests;
