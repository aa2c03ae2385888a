//! TCP options: maximum segment size (RFC 9293 section 3.7.1), window scale and timestamps (RFC 7323), selective
//! acknowledgment (RFC 2018), user timeout (RFC 5482). Options of other kinds are skipped.

use core::fmt;
use core::num::NonZeroU16;
use core::time::Duration;

use super::{HEADER_LEN, MAX_HEADER_LEN, SeqNum};
use crate::Malformed;

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const USER_TIMEOUT: u8 = 28;

const MAX_LEN: usize = MAX_HEADER_LEN - HEADER_LEN;
const TIMESTAMPS_LEN: usize = 12;

/// What the user timeout option takes, in bytes.
pub const USER_TIMEOUT_LEN: usize = 4;

/// The largest shift of a window (RFC 7323 section 2.3).
pub const MAX_WINDOW_SCALE: u8 = 14;

/// The timestamps option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the other side's clock, as it was last seen; meaningful with ACK only.
    pub echo: u32,
}

/// The value of the user timeout option (RFC 5482 section 3.3), as it stands in a segment: whole seconds, or with the highest bit
/// whole minutes. Never zero of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserTimeout(NonZeroU16);

impl UserTimeout {
    /// The granularity bit: minutes.
    const MINUTES: u16 = 1 << 15;
    const MOST: u16 = Self::MINUTES - 1;

    /// The shortest that can be told which is no shorter than `time`, or the longest at all: 32,767 minutes, 22 days.
    #[must_use]
    pub fn of(time: Duration) -> Self {
        // RFC 5482 section 3.4: zero MUST NOT be sent.
        let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).max(1);
        let value = match u16::try_from(seconds) {
            Ok(seconds) if seconds <= Self::MOST => seconds,
            _ => u16::try_from(seconds.div_ceil(60)).unwrap_or(u16::MAX).min(Self::MOST) | Self::MINUTES,
        };
        Self(NonZeroU16::new(value).unwrap_or(NonZeroU16::MIN))
    }

    /// For how long data may stay unacknowledged.
    #[must_use]
    pub const fn duration(self) -> Duration {
        let (value, unit) = (self.0.get() & Self::MOST, if self.0.get() & Self::MINUTES != 0 { 60 } else { 1 });
        Duration::from_secs(value as u64 * unit)
    }

    /// The option's last two bytes. RFC 5482 section 3.4: zero, of either granularity, is reserved and MUST be ignored.
    fn parse(bytes: [u8; 2]) -> Option<Self> {
        let value = NonZeroU16::new(u16::from_be_bytes(bytes))?;
        (value.get() != Self::MINUTES).then_some(Self(value))
    }

    const fn to_bytes(self) -> [u8; USER_TIMEOUT_LEN] {
        let [t0, t1] = self.0.get().to_be_bytes();
        [USER_TIMEOUT, USER_TIMEOUT_LEN as u8, t0, t1]
    }
}

/// What most options that are sent take, if any are: three words.
pub const USUAL_OPTIONS_LEN: usize = 12;

/// The length of what [`TcpOptions::of_syn_with_timestamps`] returns.
pub const SYN_OPTIONS_LEN: usize = 20;

impl Timestamps {
    /// As `emit` lays them out where there is nothing else (RFC 7323 appendix A).
    #[inline]
    pub fn to_bytes(self) -> [u8; USUAL_OPTIONS_LEN] {
        let [v0, v1, v2, v3] = self.value.to_be_bytes();
        let [e0, e1, e2, e3] = self.echo.to_be_bytes();
        [NOP, NOP, TIMESTAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3]
    }
}

/// The options of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpOptions {
    /// Largest segment that the sender takes, in bytes of payload. On SYN only.
    pub mss: Option<u16>,
    /// Shift of every later window field; at most 14: more is read and written as 14. On SYN only.
    pub window_scale: Option<u8>,
    /// The sender understands SACK. On SYN only.
    pub sack_permitted: bool,
    /// The clocks.
    pub timestamps: Option<Timestamps>,
    /// For how long the sender lets data stay unacknowledged, and suggests that the other side does.
    pub user_timeout: Option<UserTimeout>,
    /// What has arrived out of order, the most recent first. `emit` leaves out the last blocks when the 40 bytes are
    /// full: three fit beside timestamps, four alone.
    pub sack: SackBlocks,
}

impl TcpOptions {
    /// No options.
    pub const NONE: TcpOptions = TcpOptions {
        mss: None,
        window_scale: None,
        sack_permitted: false,
        timestamps: None,
        user_timeout: None,
        sack: SackBlocks::EMPTY,
    };

    /// Bytes that `emit` writes: a multiple of four, at most 40.
    #[inline]
    pub fn len(&self) -> usize {
        let len = self.len_without_sack();
        match self.sack_blocks_that_fit(len) {
            0 => len,
            blocks => len + 4 + 8 * blocks,
        }
    }

    /// Whether there is no option at all.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn len_without_sack(&self) -> usize {
        let mut len = 0;
        if self.timestamps.is_some() {
            len += TIMESTAMPS_LEN;
        }
        if self.mss.is_some() {
            len += 4;
        }
        // With timestamps it stands in the place of their two NOPs.
        if self.sack_permitted && self.timestamps.is_none() {
            len += 4;
        }
        if self.window_scale.is_some() {
            len += 4;
        }
        if self.user_timeout.is_some() {
            len += USER_TIMEOUT_LEN;
        }
        len
    }

    #[inline]
    fn sack_blocks_that_fit(&self, len_of_others: usize) -> usize {
        if self.sack.is_empty() {
            return 0;
        }
        let room = (MAX_LEN - len_of_others - 4) / 8;
        self.sack.len().min(room)
    }

    /// Reads the bytes between the fixed header and the payload.
    ///
    /// # Errors
    /// [`Malformed::OptionLength`].
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<TcpOptions, Malformed> {
        let mut options = TcpOptions::NONE;
        options.read(bytes)?;
        Ok(options)
    }

    /// [`parse`](Self::parse) into options where none stand yet: most segments have none, and nothing is moved then.
    #[inline]
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        if bytes.is_empty() {
            return Ok(());
        }
        // RFC 7323 appendix A: the layout that nearly every sender uses on nearly every segment.
        if let &[NOP, NOP, TIMESTAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3] = bytes {
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            let echo = u32::from_be_bytes([e0, e1, e2, e3]);
            self.timestamps = Some(Timestamps { value, echo });
            return Ok(());
        }
        self.read_each(bytes)
    }

    fn read_each(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut rest = bytes;
        // A SYN's, aligned to words as many senders lay them out.
        while let Some((word, after)) = rest.split_first_chunk() {
            match *word {
                [MSS, 4, m0, m1] => self.mss = Some(u16::from_be_bytes([m0, m1])),
                [NOP, NOP, SACK_PERMITTED, 2] => self.sack_permitted = true,
                // RFC 7323 section 2.3: a shift over 14 MUST be used as 14.
                [NOP, WINDOW_SCALE, 3, shift] => self.window_scale = Some(shift.min(MAX_WINDOW_SCALE)),
                _ => break,
            }
            rest = after;
        }
        while let [kind, after @ ..] = rest {
            match *kind {
                END => break,
                NOP => {
                    rest = after;
                    continue;
                }
                _ => {}
            }
            // RFC 9293 section 3.1 (MUST-7): be prepared for an illegal length, zero included.
            let (&len, after) = after.split_first().ok_or(Malformed::OptionLength)?;
            let data_len = usize::from(len).checked_sub(2).ok_or(Malformed::OptionLength)?;
            let (data, after) = after.split_at_checked(data_len).ok_or(Malformed::OptionLength)?;
            self.take(*kind, data)?;
            rest = after;
        }
        Ok(())
    }

    fn take(&mut self, kind: u8, data: &[u8]) -> Result<(), Malformed> {
        match (kind, data) {
            (MSS, &[m0, m1]) => self.mss = Some(u16::from_be_bytes([m0, m1])),
            (WINDOW_SCALE, &[shift]) => self.window_scale = Some(shift.min(MAX_WINDOW_SCALE)),
            (SACK_PERMITTED, []) => self.sack_permitted = true,
            (TIMESTAMPS, &[v0, v1, v2, v3, e0, e1, e2, e3]) => {
                let value = u32::from_be_bytes([v0, v1, v2, v3]);
                let echo = u32::from_be_bytes([e0, e1, e2, e3]);
                self.timestamps = Some(Timestamps { value, echo });
            }
            (SACK, data) => self.sack = SackBlocks::parse(data)?,
            // Of another length it is as good as unknown: advice is no reason to drop a segment.
            (USER_TIMEOUT, &[t0, t1]) => self.user_timeout = UserTimeout::parse([t0, t1]).or(self.user_timeout),
            (MSS | WINDOW_SCALE | SACK_PERMITTED | TIMESTAMPS, _) => {
                return Err(Malformed::OptionLength);
            }
            // RFC 9293 section 3.1 (MUST-6): an option that is not implemented MUST be ignored.
            _ => {}
        }
        Ok(())
    }

    /// Writes the options, each aligned to four bytes with NOPs, and returns how many bytes that took.
    ///
    /// # Panics
    /// When `buffer` is shorter than [`len`](Self::len).
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        let usual = self.mss.is_none()
            && self.window_scale.is_none()
            && !self.sack_permitted
            && self.user_timeout.is_none()
            && self.sack.is_empty();
        match self.timestamps {
            None if usual => 0,
            Some(timestamps) if usual => emit_timestamps(timestamps, [NOP, NOP], buffer),
            _ => self.emit_each(buffer),
        }
    }

    /// What `emit` writes, where that is nothing, timestamps alone, or what a SYN without them brings. `None`: it is something
    /// else.
    #[inline]
    pub fn usual(&self) -> Option<Option<[u8; USUAL_OPTIONS_LEN]>> {
        match *self {
            TcpOptions { sack, user_timeout, .. } if !sack.is_empty() || user_timeout.is_some() => None,
            TcpOptions { mss: None, window_scale: None, sack_permitted: false, timestamps, .. } => {
                Some(timestamps.map(Timestamps::to_bytes))
            }
            TcpOptions {
                mss: Some(mss), window_scale: Some(shift), sack_permitted: true, timestamps: None, ..
            } => Some(Some(Self::of_syn(mss, shift))),
            _ => None,
        }
    }

    /// What `emit` writes for a SYN that announces a segment size, SACK and window scaling.
    #[inline]
    #[must_use]
    pub fn of_syn(mss: u16, shift: u8) -> [u8; USUAL_OPTIONS_LEN] {
        let [m0, m1] = mss.to_be_bytes();
        [MSS, 4, m0, m1, NOP, NOP, SACK_PERMITTED, 2, NOP, WINDOW_SCALE, 3, shift.min(MAX_WINDOW_SCALE)]
    }

    /// The same with timestamps.
    #[inline]
    #[must_use]
    pub fn of_syn_with_timestamps(mss: u16, timestamps: Timestamps, shift: u8) -> [u8; SYN_OPTIONS_LEN] {
        let [m0, m1] = mss.to_be_bytes();
        let [v0, v1, v2, v3] = timestamps.value.to_be_bytes();
        let [e0, e1, e2, e3] = timestamps.echo.to_be_bytes();
        let shift = shift.min(MAX_WINDOW_SCALE);
        #[rustfmt::skip]
        let options = [
            MSS, 4, m0, m1, SACK_PERMITTED, 2, TIMESTAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3, NOP, WINDOW_SCALE, 3, shift,
        ];
        options
    }

    fn emit_each(&self, buffer: &mut [u8]) -> usize {
        let mut at = 0;
        if let Some(mss) = self.mss {
            let [m0, m1] = mss.to_be_bytes();
            buffer[at..at + 4].copy_from_slice(&[MSS, 4, m0, m1]);
            at += 4;
        }
        match (self.timestamps, self.sack_permitted) {
            (Some(timestamps), true) => at += emit_timestamps(timestamps, [SACK_PERMITTED, 2], &mut buffer[at..]),
            (Some(timestamps), false) => at += emit_timestamps(timestamps, [NOP, NOP], &mut buffer[at..]),
            (None, true) => {
                buffer[at..at + 4].copy_from_slice(&[NOP, NOP, SACK_PERMITTED, 2]);
                at += 4;
            }
            (None, false) => {}
        }
        if let Some(shift) = self.window_scale {
            buffer[at..at + 4].copy_from_slice(&[NOP, WINDOW_SCALE, 3, shift.min(MAX_WINDOW_SCALE)]);
            at += 4;
        }
        if let Some(user_timeout) = self.user_timeout {
            buffer[at..at + USER_TIMEOUT_LEN].copy_from_slice(&user_timeout.to_bytes());
            at += USER_TIMEOUT_LEN;
        }
        let blocks = self.sack_blocks_that_fit(at);
        if blocks == 0 {
            return at;
        }
        let len = 2 + 8 * blocks;
        buffer[at..at + 4].copy_from_slice(&[NOP, NOP, SACK, len as u8]);
        at += 4;
        for (start, end) in self.sack.iter().take(blocks) {
            buffer[at..at + 4].copy_from_slice(&start.0.to_be_bytes());
            buffer[at + 4..at + 8].copy_from_slice(&end.0.to_be_bytes());
            at += 8;
        }
        at
    }
}

#[inline]
fn emit_timestamps(timestamps: Timestamps, before: [u8; 2], buffer: &mut [u8]) -> usize {
    let space = buffer.first_chunk_mut::<TIMESTAMPS_LEN>().expect("a buffer shorter than the options");
    let [b0, b1] = before;
    let [v0, v1, v2, v3] = timestamps.value.to_be_bytes();
    let [e0, e1, e2, e3] = timestamps.echo.to_be_bytes();
    *space = [b0, b1, TIMESTAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3];
    TIMESTAMPS_LEN
}

/// What a SYN or SYN-ACK most often brings, in the layouts that [`TcpOptions::emit`] and most systems have: a segment size,
/// SACK permitted, a shift, with timestamps or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynOptions {
    /// As [`TcpOptions::mss`].
    pub mss: u16,
    /// As [`TcpOptions::window_scale`].
    pub window_scale: u8,
    /// As [`TcpOptions::timestamps`].
    pub timestamps: Option<Timestamps>,
}

impl SynOptions {
    /// Reads the bytes behind the fixed header, if they are laid out so; [`TcpOptions::parse`] reads the same then.
    #[inline(always)]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        const SIZE: u32 = u32::from_be_bytes([MSS, 4, 0, 0]);
        const SACK: u32 = u32::from_be_bytes([NOP, NOP, SACK_PERMITTED, 2]);
        const SACK_AND_TIMES: u32 = u32::from_be_bytes([SACK_PERMITTED, 2, TIMESTAMPS, 10]);
        const SCALE: u32 = u32::from_be_bytes([NOP, WINDOW_SCALE, 3, 0]);
        // Whole words: few comparisons.
        let (words, _) = bytes.as_chunks::<4>();
        let (first, last, timestamps) = match (bytes.len(), words) {
            (USUAL_OPTIONS_LEN, &[first, second, last]) if u32::from_be_bytes(second) == SACK => (first, last, None),
            (SYN_OPTIONS_LEN, &[first, second, value, echo, last]) if u32::from_be_bytes(second) == SACK_AND_TIMES => {
                let (value, echo) = (u32::from_be_bytes(value), u32::from_be_bytes(echo));
                (first, last, Some(Timestamps { value, echo }))
            }
            _ => return None,
        };
        let (first, last) = (u32::from_be_bytes(first), u32::from_be_bytes(last));
        if first & 0xffff_0000 != SIZE || last & 0xffff_ff00 != SCALE {
            return None;
        }
        Some(Self { mss: first as u16, window_scale: (last as u8).min(MAX_WINDOW_SCALE), timestamps })
    }
}

/// Up to four SACK blocks, each from its first sequence number to the one after its last.
#[derive(Clone, Copy, Default)]
pub struct SackBlocks {
    len: u8,
    blocks: [(SeqNum, SeqNum); SackBlocks::MAX],
}

impl SackBlocks {
    /// What 40 bytes of options hold.
    pub const MAX: usize = 4;

    /// No blocks.
    pub const EMPTY: SackBlocks = SackBlocks { len: 0, blocks: [(SeqNum(0), SeqNum(0)); SackBlocks::MAX] };

    /// How many there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a block; false, and no change, when there are four.
    #[inline]
    #[must_use = "a fifth block does not fit"]
    pub fn push(&mut self, start: SeqNum, end: SeqNum) -> bool {
        let Some(free) = self.blocks.get_mut(usize::from(self.len)) else {
            return false;
        };
        *free = (start, end);
        self.len += 1;
        true
    }

    /// The blocks in the order of the option.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (SeqNum, SeqNum)> + '_ {
        self.blocks.iter().take(self.len()).copied()
    }

    fn parse(data: &[u8]) -> Result<SackBlocks, Malformed> {
        let (pairs, rest) = data.as_chunks::<8>();
        if pairs.is_empty() || !rest.is_empty() {
            return Err(Malformed::OptionLength);
        }
        let mut blocks = SackBlocks::EMPTY;
        for &[s0, s1, s2, s3, e0, e1, e2, e3] in pairs {
            let start = SeqNum(u32::from_be_bytes([s0, s1, s2, s3]));
            let end = SeqNum(u32::from_be_bytes([e0, e1, e2, e3]));
            if !blocks.push(start, end) {
                return Err(Malformed::OptionLength);
            }
        }
        Ok(blocks)
    }
}

impl PartialEq for SackBlocks {
    fn eq(&self, other: &SackBlocks) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SackBlocks {}

impl fmt::Debug for SackBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
