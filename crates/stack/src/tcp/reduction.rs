//! Proportional rate reduction (RFC 9937): while losses are repaired, how much goes out for what arrives, so that the
//! window comes down to the threshold smoothly, and not below it.

/// RFC 9937 section 5: the state of one reduction, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reduction {
    /// RecoverFS.
    flight: u32,
    /// prr_delivered.
    delivered: u32,
    /// prr_out.
    out: u32,
    /// What the window had let go before the losses were found, and has not gone out yet.
    owed: u32,
}

impl Reduction {
    /// A reduction begins with `flight` bytes outstanding, `sacked` of which had been delivered before, and `owed` of which are
    /// about to go out.
    pub(crate) const fn new(flight: u32, sacked: u32, owed: u32) -> Self {
        // RFC 9937 section 6: RecoverFS leaves out what will not be delivered any more.
        Self { flight: flight.saturating_sub(sacked), delivered: 0, out: 0, owed }
    }

    /// What may go out whatever arrives: it counts as sent before the reduction, not as a part of it.
    pub(crate) const fn owed(&self) -> u32 {
        self.owed
    }

    /// `len` bytes have gone out, new or again.
    pub(crate) fn on_sent(&mut self, len: u32) {
        let paid = len.min(self.owed);
        self.owed -= paid;
        self.out = self.out.saturating_add(len - paid);
    }

    /// An acknowledgement tells of `arrived` bytes, and `pipe` are in flight: how much may go out now. `safe` (SafeACK): it
    /// advanced SND.UNA, and showed no further loss.
    pub(crate) fn allow(&mut self, arrived: u32, pipe: u32, threshold: u32, safe: bool, mss: u32) -> u32 {
        self.delivered = self.delivered.saturating_add(arrived);
        let share = self.share(arrived, pipe.saturating_add(self.owed), threshold, safe, mss);
        self.owed.saturating_add(share)
    }

    fn share(&self, arrived: u32, pipe: u32, threshold: u32, safe: bool, mss: u32) -> u32 {
        if pipe > threshold {
            // RFC 9937 section 6: CEIL (prr_delivered * ssthresh / RecoverFS) - prr_out.
            let share = (u64::from(self.delivered) * u64::from(threshold)).div_ceil(u64::from(self.flight.max(1)));
            return u32::try_from(share).unwrap_or(u32::MAX).saturating_sub(self.out);
        }
        // RFC 9937 section 6: what has arrived (PRR-CRB), and a segment more while it goes well (PRR-SSRB).
        let bonus = if safe { mss } else { 0 };
        let limit = self.delivered.saturating_sub(self.out).max(arrived).saturating_add(bonus);
        limit.min(threshold - pipe)
    }
}
