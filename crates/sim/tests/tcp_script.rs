//! What the scripts about losses share: connections whose handshake took a known time, and names for the segments of a
//! flight.

use std::time::Duration;

use sim::Puppet;
use sim::puppet::{Seg, seg};
use stack::Config;
use stack::tcp::{Algorithm, ConnectOptions};
use wire::tcp::TcpFlags;

/// Bytes of text in a full segment, where there are no timestamps.
pub(crate) const MSS: u32 = 1_460;

/// So many milliseconds.
pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The sequence number just after the `n`th full segment.
pub(crate) fn end(n: u32) -> u32 {
    1 + n * MSS
}

/// The full segments from the `first`th to the `last`th, as a SACK block.
pub(crate) fn block(first: u32, last: u32) -> (u32, u32) {
    (end(first - 1), end(last))
}

/// The line of the `n`th full segment, sent at `at`.
pub(crate) fn line(at: &str, n: u32) -> String {
    format!("{at} . {}:{} ack 1", end(n - 1), end(n))
}

/// An ACK of the first `n` segments with these SACK blocks.
pub(crate) fn sack(n: u32, blocks: &[(u32, u32)]) -> Seg {
    seg(1).ack(end(n)).sack(blocks)
}

/// Default settings with this congestion control.
pub(crate) fn config(algorithm: Algorithm) -> Config {
    let mut config = Config::default();
    config.tcp.congestion = algorithm;
    // The size is not what is wrong in these scripts.
    config.tcp.path_probing = false;
    config
}

/// An established connection that the engine opened, with SACK, without timestamps; its handshake took `rtt`, and the
/// peer's window holds eight megabytes.
pub(crate) fn established(algorithm: Algorithm, rtt: Duration) -> Puppet {
    established_by(algorithm, rtt, seg(0).mss(1460).sack_permitted().scale(7))
}

/// [`established`], where the peer's SYN-ACK is `syn`.
pub(crate) fn established_by(algorithm: Algorithm, rtt: Duration, syn: Seg) -> Puppet {
    established_with(config(algorithm), rtt, syn)
}

/// [`established_by`] with these settings.
pub(crate) fn established_with(config: Config, rtt: Duration, syn: Seg) -> Puppet {
    let mut puppet = Puppet::new(config);
    puppet.connect(&ConnectOptions::default());
    puppet.run_for(rtt);
    puppet.send(&syn.flags(TcpFlags::SYN).ack(1));
    assert_eq!(puppet.take().len(), 2, "a SYN, and the ACK of the SYN-ACK");
    // A SYN's window is not scaled: with the next segment it grows, and does not change any more.
    puppet.send(&seg(1).ack(1));
    puppet
}

/// Writes `n` full segments, and takes what goes out.
pub(crate) fn write(puppet: &mut Puppet, n: u32) -> Vec<String> {
    puppet.write(&vec![1; (n * MSS) as usize]);
    puppet.lines()
}

/// The segment numbers of what the engine has sent since the last call; everything must be full segments.
pub(crate) fn numbers(puppet: &mut Puppet) -> Vec<u32> {
    let number = |seen: &sim::puppet::Seen| {
        assert_eq!(seen.text.len() as u32, MSS, "a full segment: {}", seen.line());
        (seen.seq - 1) / MSS + 1
    };
    puppet.take().iter().map(number).collect()
}

/// A bulk transfer whose every round trip is a burst, and an ACK for each `stretch` segments of it a round trip later.
pub(crate) struct Bulk {
    pub(crate) puppet: Puppet,
    /// Segments acknowledged.
    pub(crate) acked: u32,
    /// Segments that an ACK covers.
    pub(crate) stretch: u32,
}

impl Bulk {
    /// Begins to send, with more waiting than any window holds.
    pub(crate) fn begin(mut puppet: Puppet) -> Self {
        puppet.write(&vec![1; 700 * MSS as usize]);
        Self { puppet, acked: 0, stretch: 1 }
    }

    /// The segments in flight.
    pub(crate) fn flight(&self) -> u32 {
        self.puppet.info().in_flight / MSS
    }

    /// The congestion window, in segments.
    pub(crate) fn window(&self) -> f64 {
        f64::from(self.puppet.info().congestion_window) / f64::from(MSS)
    }

    /// A round trip passes, and everything that was in flight is acknowledged.
    pub(crate) fn round(&mut self, rtt: Duration) {
        self.puppet.run_for(rtt);
        let end = self.acked + self.flight();
        while self.acked < end {
            let more = self.stretch.min(end - self.acked);
            self.acked += more;
            self.puppet.send(&sack(self.acked, &[]));
            self.puppet.write(&vec![1; (more * MSS) as usize]);
        }
        self.puppet.take();
    }

    /// Round trips until `segments` are in flight.
    pub(crate) fn grow_to(&mut self, segments: u32, rtt: Duration) {
        while self.flight() < segments {
            self.round(rtt);
        }
    }

    /// The first segment in flight is lost and repaired, which takes two round trips; the window is the threshold then.
    pub(crate) fn lose_one(&mut self, rtt: Duration) {
        self.puppet.run_for(rtt);
        let end = self.acked + self.flight();
        self.puppet.send(&sack(self.acked, &[block(self.acked + 2, end)]));
        assert!(self.puppet.info().recovering);
        self.puppet.run_for(rtt);
        let freed = end - self.acked;
        self.acked = end;
        self.puppet.send(&sack(end, &[]));
        self.puppet.write(&vec![1; (freed * MSS) as usize]);
        self.puppet.take();
        assert!(!self.puppet.info().recovering);
    }

    /// What waits is sent and acknowledged, and no more is written.
    pub(crate) fn stop(&mut self) {
        while self.puppet.info().send_queue > 0 {
            self.puppet.run_for(Duration::from_millis(100));
            for _ in 0..self.flight() {
                self.acked += 1;
                self.puppet.send(&sack(self.acked, &[]));
            }
            self.puppet.take();
        }
    }

    /// After [`stop`](Self::stop), there is more to send again.
    pub(crate) fn resume(&mut self) {
        self.puppet.write(&vec![1; 700 * MSS as usize]);
        self.puppet.take();
    }
}

/// The round trip of [`reno`] and [`patient`].
pub(crate) const RTT: Duration = Duration::from_millis(100);

/// A connection with NewReno over 100 ms.
pub(crate) fn reno() -> Puppet {
    established(Algorithm::NewReno, RTT)
}

/// Brings a connection to twenty segments in flight, from the 11th to the 30th, of `written`.
pub(crate) fn twenty_of(mut puppet: Puppet, written: u32) -> Puppet {
    write(&mut puppet, written);
    puppet.run_for(RTT);
    for n in 1..=10 {
        puppet.send(&sack(n, &[]));
    }
    puppet.take();
    assert_eq!(puppet.info().in_flight, 20 * MSS);
    puppet.run_for(RTT);
    puppet
}

/// [`reno`], whose retransmission timer keeps out of the way.
pub(crate) fn patient() -> Puppet {
    let mut config = config(Algorithm::NewReno);
    config.tcp.rto_min = Duration::from_secs(2);
    established_with(config, RTT, seg(0).mss(1460).sack_permitted().scale(7))
}
