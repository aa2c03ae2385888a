//! Slow start, congestion avoidance, and the window's part of fast recovery (RFC 5681, RFC 6582).

use super::initial_window;

/// RFC 5681's two variables, in bytes, and the byte count of RFC 3465.
#[derive(Clone, Debug)]
pub(crate) struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    /// Bytes acknowledged since the window last grew by a segment in congestion avoidance.
    acknowledged: u32,
}

impl NewReno {
    pub(crate) fn new(mss: u32) -> Self {
        // RFC 5681 section 3.1: the initial ssthresh is arbitrarily high.
        Self { cwnd: initial_window(mss), ssthresh: u32::MAX, acknowledged: 0 }
    }

    pub(crate) const fn window(&self) -> u32 {
        self.cwnd
    }

    pub(crate) const fn slow_start_threshold(&self) -> u32 {
        self.ssthresh
    }

    const fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// `acked` new bytes were acknowledged when `flight` bytes had been outstanding.
    pub(crate) fn on_ack(&mut self, acked: u32, flight: u32, mss: u32) {
        // A window that was not used says nothing about the network: RFC 7661, and RFC 9438 section 5.8 for CUBIC.
        let used = if self.in_slow_start() { flight.saturating_mul(2) } else { flight.saturating_add(mss) };
        if used < self.cwnd {
            return;
        }
        if self.in_slow_start() {
            // RFC 5681 section 3.1: cwnd += min (N, SMSS); RFC 3465 section 2.2 allows L = 2 * SMSS a segment, and an
            // ACK here may stand for a train of them.
            self.cwnd = self.cwnd.saturating_add(acked).min(self.ssthresh.max(self.cwnd.saturating_add(mss)));
            return;
        }
        // RFC 5681 section 3.1: in congestion avoidance, one SMSS a window of acknowledged bytes.
        self.acknowledged = self.acknowledged.saturating_add(acked);
        if self.acknowledged >= self.cwnd {
            self.acknowledged -= self.cwnd;
            self.cwnd = self.cwnd.saturating_add(mss);
        }
    }

    /// A segment was found lost by duplicate ACKs: halve, and enter fast recovery.
    pub(crate) fn on_loss(&mut self, flight: u32, mss: u32) {
        // RFC 5681 section 3.2 step 2: ssthresh = max (FlightSize / 2, 2*SMSS).
        self.ssthresh = (flight / 2).max(2 * mss);
        // RFC 5681 section 3.2 step 3: the three segments that left the network.
        self.cwnd = self.ssthresh + 3 * mss;
        self.acknowledged = 0;
    }

    /// RFC 5681 section 3.2 step 4: one more segment has left the network.
    pub(crate) fn inflate(&mut self, mss: u32) {
        self.cwnd = self.cwnd.saturating_add(mss);
    }

    /// RFC 6582 section 3.2 step 3: a partial ACK takes its bytes out and one segment in.
    pub(crate) fn on_partial_ack(&mut self, acked: u32, mss: u32) {
        self.cwnd = self.cwnd.saturating_sub(acked).max(mss);
        if acked >= mss {
            self.cwnd = self.cwnd.saturating_add(mss);
        }
    }

    /// RFC 6582 section 3.2 step 3: everything that was outstanding at the loss has arrived.
    pub(crate) fn on_recovered(&mut self, flight: u32, mss: u32) {
        self.cwnd = self.ssthresh.min(flight.max(mss).saturating_add(mss));
        self.acknowledged = 0;
    }

    /// The retransmission timer expired.
    pub(crate) fn on_timeout(&mut self, flight: u32, mss: u32, first: bool) {
        // RFC 5681 section 3.1 (4): ssthresh is set when a segment is first resent by the timer, not again.
        if first {
            self.ssthresh = (flight / 2).max(2 * mss);
        }
        // RFC 5681 section 3.1: the loss window is one segment.
        self.cwnd = mss;
        self.acknowledged = 0;
    }

    /// A SYN or SYN-ACK was lost.
    pub(crate) fn on_syn_lost(&mut self, mss: u32) {
        // RFC 5681 section 3.1: the initial window is one segment then; ssthresh stays high (RFC 6928 section 2), so
        // that the connection's life is not crippled by its birth.
        self.cwnd = mss;
    }

    /// Nothing was sent for longer than an RTO.
    pub(crate) fn on_restart(&mut self, mss: u32) {
        // RFC 5681 section 4.1: RW = min (IW, cwnd).
        self.cwnd = self.cwnd.min(initial_window(mss));
        self.acknowledged = 0;
    }
}

#[cfg(test)]
mod tests;
