//! How much one request of a transfer asks for or brings.
//!
//! A large piece costs the server and this side less for each byte; but over a slow link it holds up everything else for
//! long, and its answer is a long time coming. So a transfer begins with pieces that every server takes, and doubles them
//! while answers come quickly, as far as the server states that it takes more (`limits@openssh.com`).

use std::time::Duration;

use tokio::time::Instant;

use super::packet::{LONGEST, Limits};

/// What every server takes, in bytes (draft-ietf-secsh-filexfer-02 section 3: packets of 34000 in all).
const LEAST: u32 = 32 << 10;
/// Room in a packet for what stands beside the data.
const BESIDE: u64 = 1024;
/// The longest that passes between two answers which are told quick.
const QUICK: Duration = Duration::from_secs(1);

/// The size of the pieces of one transfer.
#[derive(Debug)]
pub(super) struct Pace {
    piece: u32,
    most: u32,
    last: Instant,
}

impl Pace {
    /// Of reads from a server with these limits.
    pub(super) fn reading(limits: &Limits, now: Instant) -> Self {
        Self::up_to(limits.read, limits.packet, now)
    }

    /// Of writes to a server with these limits.
    pub(super) fn writing(limits: &Limits, now: Instant) -> Self {
        Self::up_to(limits.write, limits.packet, now)
    }

    /// Of pieces of up to `stated` bytes in packets of up to `packet`; 0 where the server states nothing.
    fn up_to(stated: u64, packet: u64, now: Instant) -> Self {
        let room = if packet == 0 { LONGEST as u64 } else { packet.min(LONGEST as u64) }.saturating_sub(BESIDE);
        let most = if stated == 0 { u64::from(LEAST) } else { stated }.min(room).max(1);
        // It is at most LONGEST.
        let most = u32::try_from(most).unwrap_or(LEAST);
        Self { piece: LEAST.min(most), most, last: now }
    }

    /// Bytes of the next piece.
    pub(super) fn piece(&self) -> u32 {
        self.piece
    }

    /// An answer has come.
    pub(super) fn answered(&mut self, now: Instant) {
        let quick = now.saturating_duration_since(self.last) < QUICK;
        self.piece = if quick { self.piece.saturating_mul(2) } else { LEAST }.min(self.most);
        self.last = now;
    }
}
