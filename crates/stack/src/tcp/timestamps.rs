//! The timestamps option and protection against wrapped sequence numbers (RFC 7323 sections 3 to 5).

use core::num::NonZeroU32;
use core::time::Duration;

use wire::tcp::{SeqNum, Timestamps as TimestampsOption};

use crate::time::Instant;

/// RFC 7323 section 5.5: a TS.Recent that is older than 24 days says nothing, as the clock may have wrapped. In seconds.
const OUTDATED: u32 = 24 * 86_400;

/// Bytes that the option takes in each segment, padding included.
const OPTION_LEN: u16 = 12;

/// TSval's clock, TS.Recent and its age.
#[derive(Clone, Debug)]
pub(crate) struct Timestamps {
    offset: u32,
    recent: u32,
    /// When TS.Recent was set, in seconds: its age matters by the day. `None`: the option was not agreed to.
    recent_at: Option<NonZeroU32>,
}

/// Whole seconds of the owner's clock, begun ones too, in a word.
fn seconds(at: Instant) -> NonZeroU32 {
    let begun = u32::try_from(at.as_nanos() / 1_000_000_000).unwrap_or(u32::MAX).saturating_add(1);
    NonZeroU32::new(begun).unwrap_or(NonZeroU32::MAX)
}

impl Timestamps {
    pub(crate) const fn new(offset: u32) -> Self {
        Self { offset, recent: 0, recent_at: None }
    }

    /// Both sides offered the option: every segment of the connection carries it from now on.
    pub(crate) fn agree(&mut self, now: Instant, option: TimestampsOption) {
        self.recent = option.value;
        self.recent_at = Some(seconds(now));
    }

    pub(crate) const fn is_agreed(&self) -> bool {
        self.recent_at.is_some()
    }

    /// What the option costs each segment, in bytes.
    pub(crate) const fn option_len(&self) -> u16 {
        if self.is_agreed() { OPTION_LEN } else { 0 }
    }

    /// TSval at `now`: a clock of one tick a millisecond, which RFC 7323 section 5.4 allows.
    pub(crate) fn value(&self, now: Instant) -> u32 {
        self.offset.wrapping_add(now.as_millis() as u32)
    }

    /// The option for a segment sent at `now`.
    pub(crate) fn option(&self, now: Instant) -> TimestampsOption {
        TimestampsOption { value: self.value(now), echo: self.recent }
    }

    /// The last TSval of the peer that was taken.
    pub(crate) const fn recent(&self) -> u32 {
        self.recent
    }

    /// RFC 7323 section 5.5.
    fn is_outdated(&self, now: Instant) -> bool {
        self.recent_at.is_some_and(|set| seconds(now).get().saturating_sub(set.get()) >= OUTDATED)
    }

    /// RFC 7323 section 5.3 R1: whether a segment's timestamp shows it to be an old duplicate.
    pub(crate) fn is_old(&self, now: Instant, value: u32) -> bool {
        (value.wrapping_sub(self.recent) as i32) < 0 && !self.is_outdated(now)
    }

    /// RFC 7323 section 4.3 (2): takes the timestamp of a segment that spans the last acknowledgement sent.
    pub(crate) fn update(&mut self, now: Instant, value: u32, seq: SeqNum, last_ack_sent: SeqNum) {
        let newer = (value.wrapping_sub(self.recent) as i32) >= 0 || self.is_outdated(now);
        if newer && seq.at_or_before(last_ack_sent) {
            self.recent = value;
            self.recent_at = self.recent_at.map(|_| seconds(now));
        }
    }

    /// The round trip that an echoed TSval measured; `None` if the echo cannot be of this connection.
    pub(crate) fn elapsed(&self, now: Instant, echo: u32) -> Option<Duration> {
        let ticks = self.value(now).wrapping_sub(echo);
        // A peer that echoes nonsense must not wreck the estimate: no round trip takes ten minutes.
        (ticks < 600_000).then(|| Duration::from_millis(u64::from(ticks)))
    }
}
