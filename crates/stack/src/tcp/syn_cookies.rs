//! SYN cookies (RFC 4987 section 3.6): when the SYN queue is full, our initial sequence number itself remembers the
//! handshake, and nothing else does.
//!
//! The number is 29 bits of a keyed hash over the four-tuple, the peer's number and the segment size, two bits that
//! name the segment size, and one bit that says which of two secrets made it. A secret is drawn anew every 64 seconds, and
//! the one before it still counts, so that a cookie holds for one to two minutes. What else the SYN offered stands in the
//! low six bits of our timestamp, which the peer echoes: its window's shift, SACK and ECN. Called by `half_open`.

use core::time::Duration;

use wire::tcp::{SeqNum, TcpFlags, TcpOptions};

use crate::entropy::{Entropy, Key};
use crate::tcp::demux::Flow;
use crate::tcp::ecn;
use crate::tcp::handshake::PeerSyn;
use crate::time::Instant;

/// When handshakes are answered with SYN cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum SynCookies {
    /// Never: a SYN that finds the SYN queue full is dropped.
    Never,
    /// When the SYN queue is full.
    #[default]
    WhenFull,
    /// Always, to see that it works.
    Always,
}

/// A secret's time.
const PERIOD: Duration = Duration::from_secs(64);

/// The segment sizes that a cookie can name: what nobody takes less than, what is left by tunnels and by PPPoE, and
/// Ethernet's. The largest that the peer takes is chosen.
const SIZES: [u16; 4] = [536, 1_220, 1_440, 1_460];
const SIZE_BITS: u32 = 2;
/// A bit for the secret, and the size.
const CLEAR_BITS: u32 = 1 + SIZE_BITS;

/// Bits of the timestamp that carry options.
const OPTION_BITS: u32 = 0b11_1111;
const SACK: u32 = 1 << 4;
const ECN: u32 = 1 << 5;
const SCALE: u32 = 0b1111;
/// In the place of a shift, which is at most 14: windows are not scaled.
const UNSCALED: u32 = 15;

/// What makes and recognises cookies.
pub(crate) struct CookieJar {
    entropy: Entropy,
    /// The secret of the present and of the last period, at `period % 2` and the other.
    secrets: [Key; 2],
    period: u64,
    /// Until when an ACK may be of a cookie. Where none was sent, none is looked for.
    open_until: Instant,
}

impl CookieJar {
    pub(crate) fn new(mut entropy: Entropy) -> Self {
        let secrets = [entropy.key(), entropy.key()];
        Self { entropy, secrets, period: 0, open_until: Instant::ZERO }
    }

    /// Draws new secrets for the periods that have begun since the last call.
    fn rotate(&mut self, now: Instant) {
        let period = now.as_millis() / PERIOD.as_millis() as u64;
        for begun in (self.period + 1..=period).rev().take(2) {
            self.secrets[(begun % 2) as usize] = self.entropy.key();
        }
        self.period = self.period.max(period);
    }

    fn hash(&self, secret: u32, flow: &Flow, seq: SeqNum, size: u32) -> u32 {
        (flow.prf_with(self.secrets[secret as usize], u64::from(seq.0) << 8 | u64::from(size)) >> 32) as u32
            & !((1 << CLEAR_BITS) - 1)
    }

    /// Our initial sequence number for a handshake that nothing else remembers. `syn` keeps what the cookie can hold.
    /// `None` for a peer that takes smaller segments than a cookie can say.
    pub(crate) fn bake(&mut self, now: Instant, flow: &Flow, syn: &mut PeerSyn) -> Option<SeqNum> {
        self.rotate(now);
        self.open_until = now + 2 * PERIOD;
        let size = SIZES.iter().rposition(|&size| size <= syn.mss)? as u32;
        if syn.timestamp.is_none() {
            // Nowhere to note them.
            syn.scale = None;
            syn.sack = false;
            syn.flags = TcpFlags::SYN;
        }
        let secret = (self.period % 2) as u32;
        Some(SeqNum(self.hash(secret, flow, syn.seq, size) | size << 1 | secret))
    }

    /// The timestamp at `value` of our clock that carries the options of `syn`; `ecn` says whether ECN is agreed.
    pub(crate) fn stamp(value: u32, syn: &PeerSyn, ecn: bool) -> u32 {
        let options =
            syn.scale.map_or(UNSCALED, u32::from) | if syn.sack { SACK } else { 0 } | if ecn { ECN } else { 0 };
        let stamp = value & !OPTION_BITS | options;
        // Never ahead of the clock, whose later values must not look older (RFC 7323 section 5.3).
        if (value.wrapping_sub(stamp) as i32) < 0 { stamp.wrapping_sub(OPTION_BITS + 1) } else { stamp }
    }

    /// Whether cookies were sent so recently that one may come back.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        now < self.open_until
    }

    /// What the peer's SYN said, if `ack` acknowledges a cookie that was sent to it no longer ago than two periods.
    /// `clock` is our timestamp clock for the flow.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        flow: &Flow,
        seq: SeqNum,
        ack: SeqNum,
        options: &TcpOptions,
        clock: u32,
    ) -> Option<PeerSyn> {
        self.rotate(now);
        let (cookie, seq) = (ack - 1, seq - 1);
        let (secret, size) = (cookie.0 & 1, cookie.0 >> 1 & ((1 << SIZE_BITS) - 1));
        if self.hash(secret, flow, seq, size) | size << 1 | secret != cookie.0 {
            return None;
        }
        let mut syn = PeerSyn {
            seq,
            timestamp: None,
            window: 0,
            mss: SIZES[size as usize],
            scale: None,
            sack: false,
            flags: TcpFlags::SYN,
        };
        if let Some(timestamps) = options.timestamps {
            let age = clock.wrapping_sub(timestamps.echo);
            // An echo of what was not sent in that time is none of a cookie's.
            if u128::from(age) > 2 * PERIOD.as_millis() + u128::from(2 * OPTION_BITS) {
                return None;
            }
            let noted = timestamps.echo & OPTION_BITS;
            syn.timestamp = Some(timestamps.value);
            syn.scale = (noted & SCALE != UNSCALED).then_some((noted & SCALE) as u8);
            syn.sack = noted & SACK != 0;
            if noted & ECN != 0 {
                syn.flags = TcpFlags::SYN | ecn::SETUP;
            }
        }
        Some(syn)
    }
}

#[cfg(test)]
mod tests;
