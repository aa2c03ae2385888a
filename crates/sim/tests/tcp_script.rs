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
